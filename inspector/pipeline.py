"""The one way for data through the house: segments in, hooks called.

Rules.  Every source, live or saved, takes this way; nothing behind it can tell them apart.  A fault of our own in reading a flow
turns that flow into a flagged raw relay and touches no other.

Knows flows, protocols and hooks.  Must not know sockets, files, screens or clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from typing import Protocol as Interface

from inspector.gate import FlowGate
from inspector.limits import DEFAULT, Limits
from inspector.machine import Machine, Table
from inspector.mask import masked, masked_lines
from inspector.pdu import C2S, PDU, Direction, Flow
from inspector.protocol import Protocol, by_greeting, by_name
from inspector.protocols.pop3 import POP3
from inspector.protocols.smtp import LMTP, SMTP
from inspector.segment import Event, Gap, Opened, Remark, Reset, Segment
from inspector.session import Observer, Session

BUILTIN_PROTOCOLS: Final = (POP3, SMTP, LMTP)
"""The protocols that mailspy reads without any plugin."""

_OPAQUE: Final[Table] = {"": {}}


class FlowObserver(Observer, Interface):
    """An observer that is also told when flows open and close."""

    flow_opened: Callable[[Flow], None]
    flow_closed: Callable[[Flow, str], None]


class OpaqueSession(Session):
    """A flow that nobody reads: its octets are counted and passed on."""

    __slots__ = ()

    def __init__(self, flow: Flow, observer: Observer, limits: Limits) -> None:
        super().__init__(flow, observer, limits, Machine(_OPAQUE, ""))
        self.give_up()


class Pipeline:
    """All flows of a run."""

    def __init__(self, observer: FlowObserver, protocols: Sequence[Protocol] = BUILTIN_PROTOCOLS,
                 limits: Limits = DEFAULT, alarm: Callable[[str], None] = lambda line: None) -> None:
        self.observer = observer
        self.protocols = by_name(protocols)
        self.limits = limits
        self.alarm = alarm
        self._inspectors: dict[int, Inspector] = {}

    def open(self, flow: Flow) -> Inspector:
        """A flow begins; what crosses on it goes to the inspector returned."""
        self.observer.flow_opened(flow)
        return Inspector(self, flow)

    def take(self, event: Event) -> None:
        """One event of a source that numbers its flows: the way of saved captures."""
        if isinstance(event, Segment):
            if inspector := self._inspectors.get(event.flow):
                inspector.feed(event.direction is C2S, event.data, event.time)
        elif isinstance(event, Opened):
            self._inspectors[event.flow.number] = self.open(event.flow)
        elif inspector := self._inspectors.get(event.flow):
            if isinstance(event, Gap):
                inspector.gap(event.direction is C2S, event.size, event.time)
                return
            if isinstance(event, Remark):
                inspector.remark(event.name, event.detail, event.time)
                return
            finished = inspector.reset if isinstance(event, Reset) else inspector.end
            if finished(event.direction, event.time):
                del self._inspectors[event.flow]

    def finish(self) -> None:
        """The source is over: closes what is still open, each flow at the time of its last event."""
        for inspector in self._inspectors.values():
            inspector.close("observation ended")
        self._inspectors.clear()


class Inspector:
    """One flow on its way through the pipeline."""

    __slots__ = ("_ended", "_first", "_gate", "_pipeline", "_waiting", "flow", "seen", "session", "time")

    def __init__(self, pipeline: Pipeline, flow: Flow) -> None:
        self._pipeline = pipeline
        self.flow = flow
        self.time = flow.opened
        self.seen: list[PDU] | None = None
        """What the last segment completed; kept only after `collect`."""
        self._ended: Direction | None = None
        self._waiting: list[tuple[bool, bytes, int]] = []
        """Segments of a flow whose protocol is not known yet."""
        self._first = b""
        self._gate: FlowGate | None = None
        protocol = pipeline.protocols.get(flow.protocol)
        self.session: Session | None = protocol.session(flow, pipeline.observer, pipeline.limits) if protocol else None

    def collect(self) -> None:
        """Keeps, after each segment, the PDUs that it completed, for the comments of a capture."""
        self.seen = []
        if self.session is not None:
            self.session.seen = self.seen

    def judged_by(self, gate: FlowGate) -> None:
        """Lets verdicts take effect, by that gate."""
        self._gate = gate
        if self.session is not None:
            self.session.gate = gate
            gate.session = self.session

    def comments(self) -> list[str]:
        """What the last segment completed, one line a PDU: its number, direction, phase and text."""
        seen = self.seen
        if not seen:
            return []
        if len(seen) == 1:
            pdu = seen[0]
            return [f"#{pdu.number} {pdu.direction} {pdu.phase} {pdu.note or pdu.text}"]
        return [f"#{pdu.number} {pdu.direction} {pdu.phase} {pdu.text}" for pdu in seen]

    def feed(self, client: bool, data: bytes, time: int) -> None:
        """Octets of one direction, at a time in microseconds since the epoch."""
        self.time = time
        if self.seen:
            self.seen.clear()
        session = self.session
        if session is None:
            self._undecided(client, data, time)
            return
        if self.flow.closed:
            return
        session.time = time
        session.hidden = False
        try:
            (session.client if client else session.server).feed(data)
        except Exception as error:
            self._degrade(error)

    def gap(self, client: bool, size: int, time: int) -> None:
        """Octets of one direction are not in the capture."""
        self.time = time
        self.flow.missing += size
        session = self.session
        if session is None or self.flow.closed:
            return
        session.time = time
        try:
            session.gap(client, size)
        except Exception as error:
            self._degrade(error)

    def remark(self, name: str, detail: str, time: int) -> None:
        """Something is odd about the connection itself."""
        self.time = time
        if self.session is None:
            self._decide(OpaqueSession)
        assert self.session is not None
        self.session.time = time
        self.session.anomaly(name, detail)

    def end(self, direction: Direction, time: int) -> bool:
        """One direction is over (FIN).  True when the flow is."""
        self.time = time
        if self._ended is None:
            self._ended = direction
        if self._ended is direction:
            return False
        self.close("client closed" if self._ended is C2S else "server closed")
        return True

    def reset(self, direction: Direction, time: int) -> bool:
        """One side has aborted the connection (RST): the flow is over."""
        self.time = time
        self.close("client reset" if direction is C2S else "server reset")
        return True

    def close(self, reason: str) -> None:
        """The flow is over."""
        if self.seen:
            self.seen.clear()
        if self.session is None:
            self._decide(OpaqueSession)
        session = self.session
        assert session is not None
        try:
            session.finish(self.time)
        except Exception as error:
            self._degrade(error)
            session.observer.judge = None
            OpaqueSession.finish(session, self.time)
        self.flow.closed = self.time
        self._pipeline.observer.flow_closed(self.flow, reason)
        session.release()

    def masked(self, data: bytes) -> bytes:
        """The client's segment just fed, with its secrets masked at equal length."""
        session = self.session
        if session is None:
            waiting = b"".join(piece for sender, piece, _ in self._waiting if sender)
            return masked_lines(waiting)[-len(data):]
        reader = session.client
        if session.hidden or reader.buffer or reader.held_size or reader.long_head:
            return masked(session, data)
        return data

    # The protocol, when only the greeting can tell it

    def _undecided(self, client: bool, data: bytes, time: int) -> None:
        self._waiting.append((client, data, time))
        limit = self._pipeline.limits.undecided
        if not client:
            self._first += data[:limit]
            if b"\n" in self._first:
                self._decide_by_greeting()
                return
        if sum(len(piece) for _, piece, _ in self._waiting) > limit:
            self._decide(OpaqueSession)

    def _decide_by_greeting(self) -> None:
        protocols = self._pipeline.protocols
        name = by_greeting(protocols.values(), self._first)
        if name:
            self.flow.protocol = name
            self._decide(protocols[name].session)
        else:
            self._decide(OpaqueSession)

    def _decide(self, make: Callable[[Flow, Observer, Limits], Session]) -> None:
        session = self.session = make(self.flow, self._pipeline.observer, self._pipeline.limits)
        session.seen = self.seen
        if self._gate is not None:
            self.judged_by(self._gate)
        waiting, self._waiting, self._first = self._waiting, [], b""
        if make is OpaqueSession and waiting:
            session.time = self.time
            session.anomaly("unknown_protocol", "neither the port nor the greeting tells it; see --protocol")
        for client, data, time in waiting:
            try:
                session.segment(client, data, time)
            except Exception as error:
                self._degrade(error)

    def _degrade(self, error: Exception) -> None:
        """A fault of our own: the flow goes on unread, and says so."""
        session = self.session
        assert session is not None
        detail = f"{type(error).__name__}: {error}"
        self._pipeline.alarm(f"flow {self.flow.number}: a fault in reading it, the rest is passed on unread: {detail}")
        session.message = None
        if session.sink is not None:
            session.sink.close(False)
            session.sink = None
        session.give_up()
        session.pending.clear()
        session.anomaly("parser_fault", detail)
