"""`mailspy demo`: embedded servers, the proxy in front of each, and the sheet's three plays through it, and one in TLS.

Knows the order of the plays and where their files go.  Must not know how events are shown.
"""

from __future__ import annotations

import tempfile
import textwrap
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from twisted.internet import defer

from inspector.capture.writer import CaptureWriter
from inspector.demo import telnet
from inspector.demo.pop3_client import Action, Pop3Client, Transition
from inspector.demo.secure import HOST, Secure, SecurePop3Server
from inspector.demo.servers import Servers
from inspector.demo.words import word
from inspector.live import reactor as reactors
from inspector.live.ending import Ending
from inspector.live.service import Route, Service, Settings, make_plane
from inspector.pdu import Address
from inspector.starttls import FOLLOW, PASS, Policy

if TYPE_CHECKING:
    from inspector.output import Outputs
    from inspector.pipeline import Pipeline

LOOPBACK: Final = "127.0.0.1"
SETTLE: Final = 5.0
"""Seconds that the last flow has to close."""

Say = Callable[[str], None]


def run(pipeline: Pipeline, outputs: Outputs, say: Say, *, lang: str, serve: bool, folder: str | None) -> int:
    """Plays, or serves until Ctrl-C; returns the exit code.  `say` takes lines for people."""
    place = Path(folder) if folder else Path(tempfile.mkdtemp(prefix="mailspy-demo-"))
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    reactor = reactors.install()
    capture = CaptureWriter(f"{place}/", alarm=outputs.notice)
    servers, secure = Servers(reactor, LOOPBACK), Secure(place)
    service = Service(reactor, make_plane(reactor, ""), pipeline, capture, False, Settings(), outputs.notice, outputs,
                      secure.interception())
    demo = Demo(reactor, service, servers, secure, place, lang, say)
    try:
        service.start()
        Ending(service, reactor).handle()
        reactor.callWhenRunning(demo.serve if serve else demo.play)
        reactor.run(installSignalHandlers=False)
    finally:
        service.close()
    if demo.code == 0:
        say("")
        if demo.saved is not None:
            say(word(lang, "saved", path=demo.saved))
        say(word(lang, "capture", path=capture.path))
        say(word(lang, "again", path=capture.path))
    return demo.code


class Demo:
    """One run of the demo."""

    def __init__(self, reactor: Any, service: Service, servers: Servers, secure: Secure, folder: Path, lang: str,
                 say: Say) -> None:
        self.code = 0
        self.saved: Path | None = None
        """publi.doc, once the client has decoded it."""
        self._reactor = reactor
        self._service = service
        self._servers = servers
        self._secure = secure
        self._folder = folder
        self._lang = lang
        self._say = say
        self._pop3 = self._listen(servers.pop3, "pop3")
        self._smtp = self._listen(servers.smtp, "smtp")
        self._pop3_tls = self._listen(servers.listen(SecurePop3Server, secure.context), "pop3", FOLLOW)

    def _listen(self, port: int, protocol: str, policy: Policy = PASS) -> int:
        host = LOOPBACK if policy == PASS else HOST
        return self._service.listen(Route(Address(LOOPBACK, 0), host, port, protocol, policy=policy)).address.port

    def _word(self, key: str, **values: object) -> str:
        return word(self._lang, key, **values)

    def play(self) -> None:
        """The plays, one after the other, then the end."""
        playing: defer.Deferred[None] = self._plays()
        playing.addErrback(self._failed)
        playing.addBoth(lambda _: self._end())

    @defer.inlineCallbacks
    def _plays(self) -> Generator[Any, Any, None]:
        self._say(self._word("intro"))
        self._title("pop3")
        client = Pop3Client(self._reactor, "localhost", self._pop3, self._folder, self._told)
        yield client.run()
        self.saved = client.saved
        yield self._settled()
        for key, lines in (("michel", telnet.MICHEL_TO_PIERRE), ("relay", telnet.RELAY_ATTEMPT)):
            self._title(key)
            yield telnet.play(self._reactor, LOOPBACK, self._smtp, lines)
            yield self._settled()
        self._title("tls")
        yield self._secure.play(self._reactor, LOOPBACK, self._pop3_tls)
        yield self._settled()

    def _title(self, key: str) -> None:
        self._say("")
        self._say(self._word(key))
        self._say("")

    @defer.inlineCallbacks
    def _settled(self) -> Generator[Any, Any, None]:
        """Waits until the flow is closed on both sides, so that the plays do not mix."""
        until = self._reactor.seconds() + SETTLE
        while self._service.sessions and self._reactor.seconds() < until:
            waited: defer.Deferred[None] = defer.Deferred()
            self._reactor.callLater(0.01, waited.callback, None)
            yield waited

    def _told(self, event: Transition | Action) -> None:
        """The client's automaton, beside what crosses the wire: changes of state, and calls that no PDU shows."""
        if isinstance(event, Transition):
            if event.before != event.after:
                self._aside(f"{event.before} → {event.after}   {event.event} {event.outcome}: {self._word(event.after)}")
        elif event.call not in ("send", "receive"):
            self._aside(f"{event.call}({event.detail})   {self._word(event.call)}")

    def _aside(self, text: str) -> None:
        self._say(textwrap.indent(f"⟨{self._word('automaton')}⟩ {text}", "          "))

    def serve(self) -> None:
        """Leaves everything up, and tells how to use it."""
        pop3, smtp = self._pop3, self._smtp
        self._say(self._word("serve"))
        for line in (f"telnet {LOOPBACK} {pop3}",
                     f"curl -u natkin:monpass pop3://{LOOPBACK}:{pop3}/1",
                     f"curl -u natkin:monpass --ssl-reqd --cacert {self._secure.ours_path} pop3://{HOST}:{self._pop3_tls}/1",
                     f"telnet {LOOPBACK} {smtp}",
                     f"curl smtp://{LOOPBACK}:{smtp} --mail-from michel@cnam.fr --mail-rcpt pierre@cnam.fr -T FILE",
                     f"swaks --server {LOOPBACK}:{smtp} --from michel@cnam.fr --to pierre@cnam.fr"):
            self._say(f"  {line}")
        self._say(self._word("account"))
        self._say(self._word("stop"))

    def _failed(self, failure: Any) -> None:
        self.code = 1
        self._say(self._word("failed", reason=failure.getErrorMessage()))

    def _end(self) -> None:
        self._servers.stop()
        self._reactor.stop()
