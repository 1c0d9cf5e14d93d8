"""mailspy_relay: judges every RCPT by a policy, and whether the server keeps to it; `--enforce-relay` sees to it.

Rules.  Nothing is judged unless the user gives a policy: local domains, as a rule (`--local-domain`).  A recipient is judged when
its reply comes, by the envelope that the server's replies have made.  `--enforce-relay` judges the command: what the policy
forbids is answered in the server's place and never reaches it, and a flow that is no longer read is ended.

Knows the hooks and the options.  Must not know how paths are read (`route`), domains compared (`domains`) or rules applied
(`policy`).
"""

from __future__ import annotations

from typing import Final

from inspector import (
    PDU,
    Answer,
    Close,
    Direction,
    Finding,
    Kind,
    OptionError,
    OptionParser,
    Options,
    Session,
    Transaction,
    Verdict,
    hookimpl,
)
from mailspy_relay.command import begins, hidden, recipient
from mailspy_relay.outcome import outcome
from mailspy_relay.policy import UNREADABLE, Decision, Envelope, Policy

DENIED: Final = b"550 5.7.1 relaying denied by mailspy\r\n"
"""What the client gets in the server's place (RFC 3463 §3.8)."""
BLIND: Final = b"421 4.7.0 mailspy: this session can no longer be read, and relaying is restricted\r\n"
"""What the client gets where recipients could pass unread."""
HIDING: Final = b"421 4.7.0 mailspy: a recipient is hidden in this line, and relaying is restricted\r\n"
"""What the client gets who sends a line that is two to some servers."""
MAIL: Final = frozenset({"smtp", "lmtp", ""})
"""Sessions that may be of mail: those too of which nobody knows what they are."""
LINES: Final = frozenset({Kind.COMMAND, Kind.SASL_RESPONSE})
"""What a server could take for a RCPT."""
BELOW: Final = "'.example' for all below it"
JUDGING: Final = frozenset({"judge_pdu"})
"""What is left out where nothing is enforced: without a judge nothing that crosses is held."""


class RelayPlugin:
    """The plugin."""

    __slots__ = ("_enforce", "_policy", "idle")

    def __init__(self) -> None:
        self.idle: bool | frozenset[str] = False
        self._policy = Policy(Options())
        self._enforce = False

    @hookimpl
    def add_options(self, parser: OptionParser) -> None:
        """Declares the policy."""
        parser.add("local-domain", metavar="DOMAIN", multiple=True,
                   help=f"A domain that the server takes mail for, {BELOW}; others are relayed")
        parser.add("relay-domain", metavar="DOMAIN", multiple=True,
                   help=f"A domain that it relays to for everybody, {BELOW}")
        parser.add("trusted-network", metavar="CIDR", multiple=True,
                   help="A network whose clients may relay, or an address; after '!' one whose clients may not")
        parser.add("relay-recipient", metavar="ADDRESS", multiple=True,
                   help="A recipient elsewhere that everybody may write to; a domain for all its users")
        parser.add("relay-sender", metavar="ADDRESS", multiple=True,
                   help="A sender who may write to everybody; '<>' for the empty one")
        parser.add("no-auth-relay", type=bool, help="Clients that have logged in may not relay either")
        parser.add("enforce-relay", type=bool,
                   help="Answer what the policy forbids with 550 in the server's place; it never gets there")

    @hookimpl
    def configure(self, options: Options) -> None:
        """Takes the policy.  Raises OptionError for what makes none."""
        self._policy = Policy(options)
        self._enforce = bool(options.get("enforce-relay"))
        if not self._policy and not self._enforce and options.get("no-auth-relay"):
            raise OptionError("--no-auth-relay: an exception from which policy? Name the domains of the server by --local-domain")
        if self._enforce and not self._policy:
            raise OptionError("--enforce-relay: which policy? Name the domains of the server by --local-domain")
        self.idle = True if not self._policy else frozenset() if self._enforce else JUDGING

    @hookimpl
    def judge_pdu(self, pdu: PDU, session: Session) -> Verdict | None:
        """Answers a RCPT that the policy forbids."""
        if pdu.direction is not Direction.CLIENT_TO_SERVER or session.flow.protocol not in MAIL:
            return None
        if pdu.kind is Kind.OPAQUE:
            read = bool(pdu.details)  # a header before the session
            return None if read or (session.agreed and session.tls and not session.unveiled) else Close(BLIND)
        if pdu.kind is not Kind.BODY and hidden(pdu.raw):
            return Close(HIDING)
        if pdu.kind not in LINES or not begins(pdu.raw):
            return None
        return None if self._decide(pdu, pdu.raw, session, session.opening).allowed else Answer(DENIED)

    @hookimpl
    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        """Judges a recipient when its reply comes."""
        if pdu.verb == "RCPT" and pdu.kind is Kind.REPLY and pdu.command is not None and self._policy:
            session.report(self._finding(pdu, pdu.command, session))

    def _decide(self, command: PDU, line: bytes, session: Session, transaction: Transaction | None) -> Decision:
        """`line`: the command as it came, or as a capture has it."""
        path = recipient(line)
        if path is None or command.size > len(command.raw):
            return Decision(False, False, UNREADABLE, "")
        flow = session.flow
        return self._policy.decide(Envelope(
            path, transaction.sender if transaction is not None else "", flow.client.host,
            flow.server.host, session.authenticated))

    def _finding(self, reply: PDU, command: PDU, session: Session) -> Finding:
        transaction, status = session.transaction, reply.status
        decision = self._decide(command, command.shown, session, transaction)
        enforced = self._enforce and not decision.allowed and reply.raw == DENIED
        verdict, severity = outcome(decision, status, reply.details.get("enhanced", ""), enforced or transaction is not None)
        path = command.details.get("path", "")
        accepted = status[:1] == "2"
        said = "accepted" if accepted else "refused by mailspy" if enforced else "refused"
        tricks = f", by {' and '.join(decision.tricks)}" if decision.tricks else ""
        return Finding(
            "policy",
            f"{'local delivery' if decision.local else 'relay'} to {path} {said} ({status}){tricks}",
            {
                "recipient": path,
                "decision": "local" if decision.local else "relay",
                "rule": decision.rule,
                "sender": transaction.sender if transaction is not None else "",
                "accepted": accepted,
                "status": status,
                "allowed": decision.allowed,
                "verdict": verdict,
                "severity": severity,
                "host": decision.host,
                "tricks": list(decision.tricks),
                "enforced": enforced,
            },
            severity)


plugin = RelayPlugin
