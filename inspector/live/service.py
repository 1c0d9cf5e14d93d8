"""The live proxy: listens, connects, pairs links into relays, and ends well.

Rules.  A client is served only as far as its server can be reached: otherwise it is told so, in its protocol, within the connect
timeout.  When the system has no descriptor left, accepting pauses and resumes.  However it ends, the capture is whole.

Knows the reactor, planes, relays and the pipeline.  Must not know any protocol, nor what plugins do.
"""

from __future__ import annotations

import errno
import ipaddress
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from inspector import heap
from inspector.errors import OptionError
from inspector.live import reactor as reactors
from inspector.live.clock import now, step
from inspector.live.connect import Names, Reaching, Target
from inspector.live.ending import Ending
from inspector.live.files import Files
from inspector.live.handshakes import CLIENT, SERVER, Done, Failed, Handshakes, Interception, Leg
from inspector.live.link import Link, Listening, Plane
from inspector.live.outbox import Outbox
from inspector.live.relay import GatedRelay, Relay
from inspector.live.sealed import SealedCapture
from inspector.live.secure import SecureLink
from inspector.live.watchman import Watchman
from inspector.pdu import Address, Finding, Flow
from inspector.reasons import STOPPED
from inspector.starttls import HIDE, PASS, Mode, Policy

if TYPE_CHECKING:
    from inspector.capture.writer import CaptureWriter
    from inspector.gate import FlowGate
    from inspector.output import Outputs
    from inspector.pipeline import Inspector, Pipeline

TICK: Final = 0.1
"""Seconds between two looks at connections on their way, and two flushes of what plugins have written."""
STARVED_PAUSE: Final = 1.0
"""Seconds without accepting when the system had no descriptor left."""
STARVED_AGAIN: Final = 60.0
"""Seconds after which the same is told once more."""
BREACHED: Final = "clear text came with STARTTLS, before TLS: somebody injects it, or a peer is broken; the session is ended"
"""Why there is no TLS where the wall is breached."""
FAREWELL: Final = 5.0
"""Seconds that a refused client has to take its reply and close."""

TOLD: Final = {Mode.SAME: "", Mode.PLAIN: "", Mode.STARTTLS: " with STARTTLS", Mode.IMPLICIT: " in TLS"}
"""How a leg is, at the start."""

Notice = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Route:
    """Where to listen, and which server to reach from there."""

    listen: Address
    host: str
    port: int
    protocol: str = ""
    """Empty: to be told from the greeting."""
    client: Mode = Mode.SAME
    server: Mode = Mode.SAME
    """How each leg is in TLS."""
    policy: Policy = PASS
    """What becomes of TLS that a client asks for in the clear."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user can set about the proxy itself."""

    connect_timeout: float = 30.0
    """Seconds to resolve the server's name and connect."""
    drain: float = 5.0
    """Seconds that open sessions have to finish after the first signal."""
    max_sessions: int = 0
    """Sessions at a time; 0 for as many as the system allows."""
    drop_injected: bool = False
    """Clear text that comes with STARTTLS or its reply is thrown away, and TLS begins; else the session is ended."""
    transport: str = ""
    """`epoll` or `twisted`; empty for the better one that the system has."""


def make_plane(reactor: Any, transport: str) -> Plane:
    """What moves the bytes."""
    if transport != "twisted":
        try:
            from inspector.live.plane import EpollPlane

            return EpollPlane(reactor)
        except (ImportError, AttributeError):
            if transport == "epoll":
                raise OptionError("--transport epoll: this system has no epoll; leave the option out") from None
    from inspector.live.transport import TwistedPlane

    return TwistedPlane(reactor)


class Service:
    """The proxy while it runs."""

    def __init__(self, reactor: Any, plane: Plane, pipeline: Pipeline, capture: CaptureWriter | None, keep_secrets: bool,
                 settings: Settings, notice: Notice, outputs: Outputs | None = None,
                 interception: Interception | None = None) -> None:
        """`interception`: needed where a route has a leg in TLS."""
        self.reactor = reactor
        self.plane = plane
        self.pipeline = pipeline
        self.capture = capture
        self.keep_secrets = keep_secrets
        self.settings = settings
        self.notice = notice
        self.outputs = outputs
        self.flows = 0
        """How many flows there were so far."""
        self.listening: list[Listening] = []
        self.idle: Callable[[], None] | None = None
        """Called when the last session ends while the service stops."""
        self.enough: Callable[[], None] | None = None
        """Called when there is nothing left to go on for: sessions may finish, and the run ends."""
        self.files = Files(capture, outputs, notice)
        self._relays: set[Relay] = set()
        self._reaching: set[Reaching] = set()
        self._interception = interception
        self._securing: dict[Handshakes, Any] = {}
        """Handshakes under way, each with the timer that ends it."""
        self._switching: dict[Relay, Handshakes] = {}
        """Those of sessions that there are already."""
        self._outbox = Outbox(capture) if capture is not None and plane.gathers else None
        if self._outbox is not None:
            plane.turned = self._outbox.flush
        plane.alarm = self._fault
        self._judging = bool(getattr(pipeline.observer, "judging", False))
        self._names = Names(reactor)
        self._watchman = Watchman(notice)
        self._starving = False
        self._starved_last: float | None = None
        self._stopping = False
        self._next_tick: Any = None
        self._stepped = False

    @property
    def sessions(self) -> int:
        """How many sessions there are, those being connected included."""
        return len(self._relays) + len(self._reaching) + len(self._securing.keys() - self._switching.values())

    def listen(self, route: Route) -> Listening:
        """Begins to serve a route.  Raises OptionError, saying the way out."""
        target = Target(route.host, route.port)
        try:
            listening = self.plane.listen(route.listen, lambda link: self._accepted(link, route, target), self._starved)
        except OSError as error:
            raise OptionError(_cannot_listen(route.listen, error)) from error
        self.listening.append(listening)
        return listening

    def start(self) -> None:
        """Begins what is done from time to time."""
        self._tick()

    def _tick(self) -> None:
        seconds = self.reactor.seconds()
        for reaching in list(self._reaching):
            reaching.check(seconds)
        if self.files.tick(seconds, self._relays) and self.enough is not None:
            self.enough()
        if not self._stepped and (moved := step()):
            self._stepped = True
            self.notice(f"the wall clock was moved by {moved / 1e6:+.1f} s; time stamps go on from the clock as it was at the "
                        "start")
        self._watchman.round(seconds)
        self._next_tick = self.reactor.callLater(TICK, self._tick)

    def _fault(self, error: Exception) -> None:
        self.notice(f"a fault of our own has ended a session, others go on: {type(error).__name__}: {error}")

    # One session

    def _accepted(self, link: Link, route: Route, target: Target) -> None:
        reaching = Reaching(self.reactor, self.plane, self._names, target, self.settings.connect_timeout, self._starved)
        self._reaching.add(reaching)
        if self.settings.max_sessions:
            self._limit()
        reaching.begin(lambda server: self._connected(reaching, link, server, route),
                       lambda address, reason, why: self._unreachable(reaching, link, address, reason, why, route))

    def _connected(self, reaching: Reaching, link: Link, server: Link, route: Route) -> None:
        self._reaching.discard(reaching)
        if route.client is Mode.IMPLICIT or route.server in (Mode.IMPLICIT, Mode.STARTTLS):
            self._secure(link, server, route)
        else:
            self._relay(link, server, server.peer, route).start()

    def _unreachable(self, reaching: Reaching, link: Link, address: Address, reason: str, why: str, route: Route) -> None:
        self._reaching.discard(reaching)
        self.notice(f"{route.host}:{route.port} cannot be reached: {reason}; is it up? `mailspy demo` needs no server")
        relay = self._relay(link, None, address, route)
        if route.client is Mode.IMPLICIT:
            relay.abandon((), reason=why)
        else:
            relay.refuse(self._farewell(route, f"server cannot be reached: {reason}"), why)
            self.reactor.callLater(FAREWELL, relay.stop)

    def _farewell(self, route: Route, reason: str) -> bytes:
        """What tells a client, in its protocol, that there is no session."""
        protocol = self.pipeline.protocols.get(route.protocol)
        return protocol.unavailable.replace(b"%s", reason.encode("ascii", "replace")) if protocol else b""

    def _relay(self, link: Link, server: Link | None, address: Address, route: Route, secure: bool = False) -> Relay:
        self.flows += 1
        sealed = route.client is Mode.IMPLICIT and self._interception is not None and self._interception.keylog is not None
        flow = Flow(self.flows, link.peer, address, now(), route.protocol, secure=secure, sealed=sealed)
        inspector = self.pipeline.open(flow)
        if server is not None and (self._judging or route.policy != PASS):
            relay: Relay = self._gated(inspector, link, server, route)
        else:
            relay = Relay(inspector, link, server, self.capture, self.keep_secrets, self._over, self._outbox)
        self._relays.add(relay)
        return relay

    def _gated(self, inspector: Inspector, link: Link, server: Link, route: Route) -> GatedRelay:
        relay = GatedRelay(inspector, link, server, self.capture, self.keep_secrets, self._over, self._outbox, route.policy,
                           self._judging, lambda this, gate: self._begin_tls(this, gate, route))
        self._watchman.watch(relay)
        return relay

    # TLS

    def _secure(self, link: Link, server: Link, route: Route) -> None:
        """Legs that are in TLS before the session begins."""
        address = server.peer

        def done(client: Link, server: Link, *legs: Leg | None) -> None:
            self._settled(handshakes)
            relay = self._relay(client, server, address, route, all(legs))
            if (recorder := self._sealed(relay, client)) is not None:
                relay.record_by(recorder)
            relay.note(_told(*legs))
            if handshakes.greeting:
                relay.received(False, handshakes.greeting)
            relay.start()

        def failed(failure: Failed) -> None:
            self._settled(handshakes)
            server.abort()
            self._insecure(self._relay(link, None, address, route), failure, route, route.client is not Mode.IMPLICIT)

        handshakes = self._handshakes(route, link, server, done, failed)
        starttls = self.pipeline.protocols[route.protocol].starttls if route.server is Mode.STARTTLS else None
        if starttls is not None:
            handshakes.upgrade(starttls, route.client is Mode.IMPLICIT, self.settings.drop_injected)
        else:
            handshakes.begin(route.client is Mode.IMPLICIT, route.server is Mode.IMPLICIT)

    def _begin_tls(self, relay: GatedRelay, gate: FlowGate, route: Route) -> None:
        """TLS begins in a session: the server's leg first if it is to, then the client is told, then its leg."""
        if gate.breached and not self.settings.drop_injected:
            self._insecure(relay, Failed(gate.breached == CLIENT, BREACHED), route, True)
            return
        client, server = relay.client, relay.server
        assert server is not None
        both = gate.policy.answer is None

        def done(client: Link, server: Link, *legs: Leg | None) -> None:
            self._settled(handshakes)
            hidden = not both and route.server is Mode.PLAIN
            relay.secured(client, server, _told(*legs), HIDE if hidden else PASS, self._sealed(relay, client))

        def failed(failure: Failed) -> None:
            self._settled(handshakes)
            self._insecure(relay, failure, route, not failure.client)

        handshakes = self._handshakes(route, client, server, done, failed, relay.inspector.behind)
        self._switching[relay] = handshakes
        # What either side says from here on is its TLS, or breaks it: nobody but TLS reads it.
        client.pause()
        server.pause()
        handshakes.begin(True, both, gate.hello, relay.agree)

    def _sealed(self, relay: Relay, client: Link) -> SealedCapture | None:
        """The capture of the client's records, where it is asked for."""
        keylog = self._interception.keylog if self._interception is not None else None
        if keylog is None or self.capture is None or not isinstance(client, SecureLink):
            return None
        return SealedCapture(self.capture, relay.inspector.flow, client, keylog, now())

    def _handshakes(self, route: Route, client: Link, server: Link, done: Done, failed: Callable[[Failed], None],
                    behind: str = "") -> Handshakes:
        """Those of a session, within the time that they have; `behind`: the server to which a proxy was asked to go, if any."""
        assert self._interception is not None
        handshakes = Handshakes(self._interception, Address(behind or route.host, route.port), client, server, done, failed)
        seconds = self.settings.connect_timeout
        self._securing[handshakes] = self.reactor.callLater(seconds, handshakes.give_up, f"no handshake within {seconds:g} s")
        return handshakes

    def _settled(self, handshakes: Handshakes) -> None:
        timer = self._securing.pop(handshakes, None)
        if timer is not None and timer.active():
            timer.cancel()

    def _insecure(self, relay: Relay, failure: Failed, route: Route, clear: bool) -> None:
        """No session: the leg is told, and whose word it was; a client that is still in the clear is told too."""
        who = f"{relay.client.peer}: " if failure.client else f"{route.host}:{route.port}: "
        self.notice(f"{who}{failure.reason}")
        farewell = self._farewell(route, "no TLS with the server" if not failure.client else "no TLS") if clear else b""
        relay.abandon(failure.findings(farewell.decode("ascii").rstrip()), farewell, STOPPED if self._stopping else "")

    def _over(self, relay: Relay) -> None:
        self._relays.discard(relay)
        if isinstance(relay, GatedRelay):
            self._watchman.forget(relay)
        if self._switching and (handshakes := self._switching.pop(relay, None)) is not None:
            handshakes.cancel()
            self._settled(handshakes)
        self._room()

    def _room(self) -> None:
        """There is a session less."""
        if self._stopping:
            if not self._relays and self.idle is not None:
                self.idle()
        elif self.settings.max_sessions and not self._starving and self.sessions == self.settings.max_sessions - 1:
            self._accepting(True)

    # Bounds

    def _limit(self) -> None:
        if self.sessions >= self.settings.max_sessions:
            self._accepting(False)

    def _accepting(self, yes: bool) -> None:
        for listening in self.listening:
            if yes:
                listening.resume()
            else:
                listening.pause()

    def _starved(self, error: OSError) -> None:
        if self._starving:
            return
        self._starving = True
        last, self._starved_last = self._starved_last, self.reactor.seconds()
        if last is None or self._starved_last - last > STARVED_AGAIN:
            self.notice(f"no descriptor for a new connection ({os.strerror(error.errno or 0)}): accepting pauses, open "
                        f"sessions go on; `ulimit -n` tells the limit, --max-sessions keeps below it")
        self._accepting(False)
        self.reactor.callLater(STARVED_PAUSE, self._fed)

    def _fed(self) -> None:
        self._starving = False
        if not self._stopping and not (self.settings.max_sessions and self.sessions >= self.settings.max_sessions):
            self._accepting(True)

    def look(self) -> None:
        """Looks at once whether files are where they were."""
        self.files.look(self._relays)

    # The end

    def close_listening(self) -> None:
        """Accepts no more; sessions go on."""
        self._stopping = True
        for listening in self.listening:
            listening.close()
        for reaching in list(self._reaching):
            reaching.cancel()
        self._reaching.clear()
        for handshakes in self._securing.keys() - self._switching.values():
            handshakes.give_up("mailspy is stopping")

    def abort(self) -> None:
        """Ends every session at once."""
        self.idle = None
        if self._outbox is not None:
            self._outbox.flush()
        for relay in list(self._relays):
            relay.stop()

    def close(self) -> None:
        """Frees everything; the capture is whole."""
        self.close_listening()
        self.abort()
        if self._next_tick is not None and self._next_tick.active():
            self._next_tick.cancel()
        self.plane.close()
        self._watchman.close()
        if self.capture is not None:
            self.capture.close()
        if self.outputs is not None:
            self.outputs.flush()


def _told(client: Leg | None, server: Leg | None) -> list[Finding]:
    """How the legs are in TLS, in the order in which they came to be."""
    return [leg.finding(name) for name, leg in ((SERVER, server), (CLIENT, client)) if leg is not None]


def _cannot_listen(address: Address, error: OSError) -> str:
    """What, why and how to mend."""
    what = f"cannot listen on {address}: {error.strerror or error}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return (f"{what}; ports below 1024 need a permission: take another port (--listen {address.port + 1000}), or grant it: "
                f"setcap cap_net_bind_service=+ep on the Python program, or sysctl net.ipv4.ip_unprivileged_port_start="
                f"{address.port}")
    if error.errno == errno.EADDRINUSE:
        return f"{what}; another program has this port: take another (--listen), or end that program"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{what}; no interface of this machine has that address: 127.0.0.1 or 0.0.0.0 will do"
    return what


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    return ipaddress.ip_address(host).is_loopback


def run(routes: Sequence[Route], pipeline: Pipeline, capture: CaptureWriter | None, keep_secrets: bool, settings: Settings,
        notice: Notice, outputs: Outputs | None = None, interception: Interception | None = None) -> int:
    """Serves the routes until a signal; returns the exit code.  Raises OptionError."""
    reactor = reactors.install()
    reactors.raise_descriptor_limit()
    service = Service(reactor, make_plane(reactor, settings.transport), pipeline, capture, keep_secrets, settings, notice,
                      outputs, interception)
    ending = Ending(service, reactor)
    try:
        ending.handle()
        for route in routes:
            listening = service.listen(route)
            if not is_loopback(listening.address.host):
                notice(f"warning: {listening.address} can be reached from other machines; whoever reaches it reaches "
                       f"{route.host} through it")
            notice(f"listening on {listening.address}{TOLD[route.client]}, upstream "
                   f"{route.protocol or 'protocol from the greeting'} {Address(route.host, route.port)}{TOLD[route.server]}")
        service.start()
        reactor.addSystemEventTrigger("before", "shutdown", service.abort)
        heap.calm()
        reactor.run(installSignalHandlers=False)
    finally:
        service.close()
        ending.over()
    return 0
