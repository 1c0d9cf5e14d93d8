"""The handshakes of a session that mailspy looks into: the server's first, so that the client is shown what the server is.

Rules.  A leg is in TLS or in the clear as it was asked for, and never falls back.  A server that is not what it should be gets no
octet of the client's, unless the user has said otherwise.  When one leg fails, both are closed, and it is told which, whose word
it was, and what to do.

Knows links, contexts and verification.  Must not know flows or sockets.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from inspector.formats.tls import TlsHello
from inspector.live.hello import Hello
from inspector.live.link import Link
from inspector.live.sealed import Keylog
from inspector.live.secure import Refused, Secured, SecureLink
from inspector.live.upgrade import Upgrade
from inspector.pdu import Address, Finding
from inspector.starttls import StartTls
from inspector.text import sanitise
from inspector.tls.contexts import Serving
from inspector.tls.names import address_of
from inspector.tls.verification import Problem, Store, facts_of

CLIENT, SERVER = "client", "server"
ON, WARN, OFF = "on", "warn", "off"
VERIFY: Final = (ON, WARN, OFF)
"""What follows from a server's certificate that is not right: no session, a finding, nothing."""

MEND: Final = {
    "unknown_authority": "if you trust who has signed it, name that authority by --upstream-ca FILE",
    "self_signed": "if it is the server's own, name it by --upstream-ca FILE",
    "wrong_name": "is the server reached under another name? --upstream takes the one that it has",
    "expired": "its operator must renew it",
    "not_yet_valid": "is the clock right?",
    "not_for_servers": "its operator must have one made for servers",
    "weak_key": "its operator must have one made with a longer key",
    "weak_signature": "its operator must have one signed over SHA-256",
}
ANYWAY: Final = "--upstream-verify warn goes on all the same"
ASKED: Final = "; it has asked for a client's certificate: --client-cert FILE"
NOT_TAKEN: Final = "; it was shown the certificate of --client-cert: does it know who has signed that?"
ADVICE: Final[Sequence[tuple[str, Sequence[str], str]]] = (
    (SERVER, ("protocol version", "unsupported protocol"),
     "it knows only versions that mailspy does not offer: --tls-legacy allows TLS 1.0 and 1.1"),
    (SERVER, ("wrong version number", "packet length", "http request", "unexpected message"),
     "does it speak TLS on this port? One that begins in the clear is --upstream SCHEME+starttls://…"),
    (SERVER, ("",), "does it speak TLS on this port?"),
    (CLIENT, ("unknown ca", "certificate unknown", "bad certificate", "unsupported certificate"),
     "it does not know our authority (`mailspy ca install-help`), or the authority is restricted to other names "
     "(`mailspy ca show`)"),
    (CLIENT, ("certificate expired",), "the server's own certificate has expired, and ours copies that: its operator must renew"),
    (CLIENT, ("protocol version", "unsupported protocol"), "it knows only TLS 1.0 or 1.1: --tls-legacy allows them"),
    (CLIENT, ("wrong version number", "packet length", "http request", "unexpected message"),
     "it speaks in the clear on a port that is in TLS: it is to be set to TLS from the first octet; or --listen "
     "SCHEME+starttls://…"),
)
"""What to do, by the leg and by what is in the reason; the first that fits."""


@dataclass(frozen=True, slots=True)
class Interception:
    """With what mailspy looks into TLS."""

    serving: Serving
    reaching: ssl.SSLContext
    store: Store
    verify: str = ON
    keylog: Keylog | None = None
    """Where keys are found for captures of the records; None where captures are of the clear text."""
    own: str = ""
    """The SHA-256 of the certificate that servers are shown which ask for one; empty where there is none."""

    def advice(self, asked: bool) -> str:
        """What to do when a server refuses that has asked us for a certificate."""
        return (NOT_TAKEN if self.own else ASKED) if asked else ""


class Leg(NamedTuple):
    """How one side of a session is in TLS."""

    secured: Secured
    shown: bytes
    """The certificate that the server, or mailspy in its place, has shown, as DER; empty where none was."""
    name: str
    """Whom the server, or mailspy in its place, was asked for (SNI); empty if nobody."""
    offered: tuple[str, ...] = ()
    """Which protocols the client has offered (ALPN, RFC 7301)."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with what the server has shown."""
    own: str = ""
    """The SHA-256 of the certificate that the server was shown; empty where none was."""
    verify: str = ""
    """What was to follow from a problem: `on`, `warn`, `off` (nobody has looked); empty for the client's leg."""
    injected: int = 0
    """Octets in the clear that came with the server's agreement to TLS, and went nowhere."""

    def finding(self, leg: str) -> Finding:
        """What there is to tell of it."""
        secured = self.secured
        facts, unverified = facts_of(self.shown), self.verify == OFF
        severity = "high" if self.problems else "low" if unverified else "info"
        told = ", ".join([
            *(f"{problem.name}: {problem.detail}" for problem in self.problems), *(["not verified"] if unverified else []),
            secured.version, secured.cipher, *([f"asks for {self.name}"] if leg == CLIENT and self.name else []),
            *([f"certificate for {', '.join(facts['names'])}"] if self.shown else []),
            *([f"asks for a certificate, and gets {'ours' if secured.shown else 'none'}"] if secured.asked else []),
            f"{secured.duration / 1000:.1f} ms"])
        return Finding("tls", f"{leg} leg: {told}", {
            "leg": leg, "name": self.name, "version": secured.version, "cipher": secured.cipher, "alpn": secured.alpn,
            "alpn_offered": list(self.offered),
            **facts, "resumed": secured.resumed, "duration_us": secured.duration,
            "client_certificate_asked": secured.asked, "client_certificate": self.own,
            "verify": self.verify, "problems": _told(self.problems), "injected": self.injected, "severity": severity,
        }, severity)


class Failed(NamedTuple):
    """Why there is no TLS, and so no session."""

    client: bool
    """It was the client's leg."""
    reason: str
    """What, whose word it was, and what to do."""
    theirs: bool = False
    """It was the peer's word: an alert."""
    problems: tuple[Problem, ...] = ()
    server: Leg | None = None
    """How the server's leg is in TLS, where it was the client's that failed."""
    injected: int = 0
    """Octets in the clear that came with the server's agreement to TLS."""

    def findings(self, farewell: str = "") -> list[Finding]:
        """What there is to tell of it; `farewell` is what the client is told, if anything."""
        leg = CLIENT if self.client else SERVER
        told = f"; the client is told: {farewell}" if farewell else ""
        failed = Finding("tls_failed", f"{leg} leg: {self.reason}{told}", {
            "leg": leg, "reason": self.reason, "alert": self.theirs, "farewell": farewell, "problems": _told(self.problems),
            "injected": self.injected, "severity": "high",
        }, "high")
        return [failed] if self.server is None else [self.server.finding(SERVER), failed]


Done = Callable[[Link, Link, Leg | None, Leg | None], None]
"""Gets the links to relay between, the client's first, and how each is in TLS."""


class Handshakes:
    """Those of one session."""

    def __init__(self, interception: Interception, whom: Address, client: Link, server: Link,
                 done: Done, failed: Callable[[Failed], None]) -> None:
        """`failed` is told why there is no TLS, and closes the links.  `whom`: the server, to be proved by its certificate."""
        self._interception = interception
        self._whom = Address(whom.host.rstrip("."), whom.port)
        self._client = client
        self._server = server
        self._done: Done | None = done
        self._failed: Callable[[Failed], None] | None = failed
        self._client_secret = False
        self._early = b""
        self._hello: TlsHello | None = None
        self._leaf = b""
        """What the client is shown."""
        self._answer: Callable[[], None] | None = None
        self._at_client = False
        """The server's leg is done."""
        self._server_leg: Leg | None = None
        self._upgrade: Upgrade | None = None
        self._over = False

    def begin(self, client: bool, server: bool, early: bytes = b"", answer: Callable[[], None] | None = None) -> None:
        """Which of the legs are in TLS.  `early`: what the client has sent of it already; `answer` tells it to begin."""
        self._client_secret, self._early, self._answer = client, early, answer
        if server:
            SecureLink(self._server, self._interception.reaching, self._server_settled, asked_name(self._whom.host))
        else:
            self._greet_client()

    def upgrade(self, starttls: StartTls, client: bool, drops: bool = False) -> None:
        """The server is asked for TLS first, in its protocol; what it has said before is `greeting` then.  `drops`: clear text
        that comes with its agreement goes nowhere; else there is no session then."""
        self._client_secret = client
        self._upgrade = Upgrade(self._server, starttls, self._upgraded, drops)

    @property
    def greeting(self) -> bytes:
        """What the server said when it was asked for TLS, before that."""
        return self._upgrade.greeting if self._upgrade is not None else b""

    def give_up(self, reason: str) -> None:
        """It takes too long, or mailspy stops."""
        if not self._over:
            self._fail(Failed(self._at_client, reason))

    def cancel(self) -> None:
        """Nobody wants to know any more."""
        self._over = True
        self._done = self._failed = self._answer = None

    @property
    def injected(self) -> int:
        """Octets in the clear that came with the server's agreement."""
        return self._upgrade.injected if self._upgrade is not None else 0

    def _upgraded(self, refusal: str, theirs: bool) -> None:
        if self._over:
            return
        if refusal:
            self._fail(Failed(False, refusal, theirs, injected=self.injected))
        else:
            self.begin(self._client_secret, True)

    def _server_settled(self, link: SecureLink, outcome: Secured | Refused) -> None:
        if self._over:
            return
        if isinstance(outcome, Refused):
            more = self._interception.advice(outcome.asked) or _advice(SERVER, outcome.reason)
            self._fail(Failed(False, _said(outcome, SERVER) + more, outcome.theirs, injected=self.injected))
            return
        link.advice = self._interception.advice(outcome.asked)
        verify = self._interception.verify
        problems = () if verify == OFF else tuple(self._interception.store.problems(outcome.chain, self._whom.host))
        self._server = link
        if problems and verify == ON:
            told = [f"{problem.name}: {problem.detail}" for problem in problems]
            mend = [MEND[problems[0].name]] if problems[0].name in MEND else []
            reason = sanitise(f"the server's certificate: {'; '.join([*told, *mend, ANYWAY])}")
            self._fail(Failed(False, reason, False, problems))
            return
        own = self._interception.own if outcome.shown else ""
        self._server_leg = Leg(outcome, _shown_by(link) or b"", asked_name(self._whom.host) or "", problems=problems, own=own,
                               verify=verify, injected=self.injected)
        self._greet_client()

    def _greet_client(self) -> None:
        self._at_client = True
        if not self._client_secret:
            self._finish(self._client, None)
            return
        if self._answer is not None:
            self._answer()
        Hello(self._client, self._hello_came, self._client_gone, self._early)

    def _hello_came(self, octets: bytes, hello: TlsHello | None) -> None:
        if self._over:
            return
        self._hello = hello
        reached = (hello.server_name if hello is not None else "") or self._client.local.host
        context, self._leaf = self._interception.serving.of(self._whom, _shown_by(self._server), reached)
        SecureLink(self._client, context, self._client_settled, server_side=True, early=octets,
                   keep=self._interception.keylog is not None)

    def _client_gone(self, reason: str) -> None:
        if not self._over:
            self._fail(Failed(True, f"no TLS with the client: {reason}"))

    def _client_settled(self, link: SecureLink, outcome: Secured | Refused) -> None:
        if self._over:
            return
        if isinstance(outcome, Refused):
            self._fail(Failed(True, _said(outcome, CLIENT) + _advice(CLIENT, outcome.reason), outcome.theirs))
            return
        name, offered = (self._hello.server_name, self._hello.alpn) if self._hello is not None else ("", ())
        self._finish(link, Leg(outcome, b"" if outcome.resumed else self._leaf, name, offered))

    def _finish(self, client: Link, leg: Leg | None) -> None:
        done = self._done
        self.cancel()
        if done is not None:
            done(client, self._server, leg, self._server_leg)

    def _fail(self, failure: Failed) -> None:
        failed = self._failed
        self.cancel()
        if failed is not None:
            failed(failure._replace(server=self._server_leg))


def _shown_by(link: Link) -> bytes | None:
    """The certificate that the other side of a link has shown, as DER; its handshake may have been in another step than this."""
    secured = link.secured if isinstance(link, SecureLink) else None
    return secured.chain[0] if secured is not None and secured.chain else None


def _told(problems: Sequence[Problem]) -> list[dict[str, str]]:
    return [{"name": problem.name, "detail": problem.detail} for problem in problems]


def _advice(leg: str, reason: str) -> str:
    """What to do about it, with a semicolon before it; nothing where nobody knows."""
    return next((f"; {advice}" for where, words, advice in ADVICE if where == leg and any(word in reason for word in words)), "")


def _said(outcome: Refused, who: str) -> str:
    return f"the {who} refuses: {outcome.reason}" if outcome.theirs else f"no TLS with the {who}: {outcome.reason}"


def asked_name(host: str) -> str | None:
    """What a server of that name is asked for (SNI, RFC 6066 §3); None for an address, and for what TLS cannot say."""
    name = host.rstrip(".")
    if address_of(name) is not None:
        return None
    try:
        return name if name and not name.startswith(".") and name.encode("idna") else None
    except UnicodeError:
        return None
