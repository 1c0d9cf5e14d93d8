"""The one way for data through the house: segments in, hooks called.

Rules.  Every source, live or saved, takes this way; nothing behind it can tell them apart.  A fault of our own in reading a flow
turns that flow into a flagged raw relay and touches no other.

Knows flows, protocols and hooks.  Must not know sockets, files, screens or clocks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final
from typing import Protocol as Interface

from inspector.arrival import PREAUTH, Arrival
from inspector.fault import name_of, silent
from inspector.gate import FlowGate
from inspector.interrupt import check
from inspector.keylog import Keys
from inspector.limits import DEFAULT, Limits
from inspector.machine import Machine, Table
from inspector.mask import Mask
from inspector.newcomer import Newcomer
from inspector.offers import Offers
from inspector.pdu import C2S, PDU, S2C, Direction, Finding, Flow, Kind
from inspector.protocol import Protocol, by_greeting, by_name, by_port
from inspector.protocols.pop3 import POP3
from inspector.protocols.smtp import LMTP, SMTP
from inspector.reader import Reader
from inspector.reasons import CLIENT_CLOSED, CLIENT_RESET, OBSERVATION_ENDED, SERVER_CLOSED, SERVER_RESET, TLS_FAILED
from inspector.recognition import CLEAR_PORTS, LOOKED_AT, NOT_MAIL, SMTP_FAMILY, TLS, TLS_PORTS, foreign
from inspector.run import Run, calm
from inspector.segment import SILENT, Event, Forgotten, Gap, Noted, Opened, Remark, Reset, Secrets, Segment, Words
from inspector.session import Observer, Session
from inspector.starttls import PASS
from inspector.unsealing import BROKEN, HOPELESS, READABLE, WAITING, Unsealing
from inspector.wrapping import Heads, Wrapping

UNDECIDED: Final = 1 << 26
"""Octets of flows of somebody else's capture that wait until it is known what they are, all taken together: past it the oldest
is taken for what it seems to be."""
UNDECIDED_EVENTS: Final = 4_096
"""Events of one of them: captures of headers alone have gaps without end."""
GATHERED: Final = 1 << 24
"""Octets that wait to be read together with others, all flows taken together."""
HELLO: Final = b"\x16"
"""The first octet of TLS."""
LATE: Final = 1 << 60
"""Beyond the number of any event."""

BUILTIN_PROTOCOLS: Final = (POP3, SMTP, LMTP)
"""The protocols that mailspy reads without any plugin."""

MakeSession = Callable[[Flow, Observer, Limits], Session]

_OPAQUE: Final[Table] = {"": {}}
_VEILED: Final[Table] = {"TLS": {}}


class FlowObserver(Observer, Interface):
    """An observer that is also told when flows open and close."""

    flow_opened: Callable[[Flow], None]
    flow_closed: Callable[[Flow, str], None]


class Copier(Interface):
    """Writes what is read into another capture."""

    def opened(self, flow: Flow) -> None:
        """A flow begins."""

    def segment(self, inspector: Inspector, client: bool, data: bytes, time: int) -> None:
        """A segment was read."""

    def gap(self, flow: Flow, client: bool, size: int) -> None:
        """Octets are missing."""

    def noted(self, flow: Flow, findings: Sequence[Finding], secured: bool, time: int, words: Words) -> None:
        """What the live proxy has written down."""

    def ended(self, flow: Flow, direction: Direction, time: int) -> None:
        """A direction is over."""

    def reset(self, flow: Flow, direction: Direction, time: int) -> None:
        """A side has aborted the connection."""

    def forgotten(self, flow: Flow) -> None:
        """Nothing more comes of the flow, whose end nobody has seen."""


class UnreadSession(Session):
    """A flow without lines of its own."""

    __slots__ = ()

    def server_line(self, line: bytes, size: int) -> None:
        """What mailspy says in the server's place when it ends the flow."""
        self.emit(False, Kind.REPLY, self.phase, "", "", line, size)


class OpaqueSession(UnreadSession):
    """A flow that nobody reads: its octets are counted and passed on."""

    __slots__ = ()

    def __init__(self, flow: Flow, observer: Observer, limits: Limits) -> None:
        super().__init__(flow, observer, limits, Machine(_OPAQUE, ""))
        self.give_up()


class VeiledSession(UnreadSession):
    """A flow that is TLS from its first octet: its records are told."""

    __slots__ = ()

    def __init__(self, flow: Flow, observer: Observer, limits: Limits) -> None:
        super().__init__(flow, observer, limits, Machine(_VEILED, "TLS"))
        self.tls = True
        self.client.step = self.server.step = Reader.record

    def join(self) -> None:
        """In the middle of a record, nobody can tell where the next begins."""
        self.give_up()


class Pipeline:
    """All flows of a run."""

    def __init__(self, observer: FlowObserver, protocols: Sequence[Protocol] = BUILTIN_PROTOCOLS,
                 limits: Limits = DEFAULT, alarm: Callable[[str], None] = lambda line: None) -> None:
        self.observer = observer
        self.protocols = by_name(protocols)
        self.plugins = [protocol for protocol in protocols if protocol not in BUILTIN_PROTOCOLS]
        """Those whose greetings nobody else knows."""
        self.greetings = [(protocol.greeting, protocol.name) for protocol in self.plugins if protocol.greeting]
        self.limits = limits
        self.alarm = alarm
        self._inspectors: dict[int, Inspector] = {}
        self.copy: Copier | None = None
        """Is told all that is read, where it is written anew."""
        self.turn = 0
        """The number of the event in hand, where somebody counts them."""
        self._gathered = 0
        """Octets that were gathered since all were read: no more than that wait."""
        self.offers: Offers | None = Offers()
        """What servers have offered; None where other processes have some of the sessions."""
        self.keys: Keys | None = None
        """Those of TLS sessions, once there are any."""
        self._newcomers: OrderedDict[int, Newcomer] = OrderedDict()
        """Flows of somebody else's capture of which it is not known yet what they are, the oldest first."""
        self._waiting = 0
        """Octets that they keep."""
        self.left_out = 0
        """Flows that were not told because they are no mail."""

    def open(self, flow: Flow) -> Inspector:
        """A flow begins; what crosses on it goes to the inspector returned."""
        self.observer.flow_opened(flow)
        inspector = Inspector(self, flow)
        if self.copy is not None:
            inspector.collect()
            self.copy.opened(flow)
        return inspector

    def hint(self, port: int) -> str:
        """The protocol that a server's port hints at, or an empty string."""
        return by_port(self.protocols.values(), port) or CLEAR_PORTS.get(port, "")

    def take(self, event: Event) -> None:
        """One event of a source that numbers its flows: the way of saved captures."""
        if isinstance(event, Segment):
            self.take_segment(event.flow, event.direction is C2S, event.data, event.time)
        elif isinstance(event, Opened):
            if event.own:
                ours = self._inspectors[event.key or event.flow.number] = self.open(event.flow)
                ours.own = True
                if event.joined:
                    ours.join(event.unread)
            else:
                self._newcomers[event.key or event.flow.number] = Newcomer(event, self.hint(event.flow.server.port))
        elif isinstance(event, Secrets):
            self.keys = self.keys or Keys()
            self.keys.add(event.keylog)
        else:
            inspector = self._inspectors.get(event.flow)
            if isinstance(event, Forgotten):
                self._forget(event.flow)
            elif inspector is None:
                self._newcomer(event.flow, event)
            elif isinstance(event, Gap):
                inspector.gap(event.direction is C2S, event.size, event.time)
            elif isinstance(event, Remark):
                inspector.remark(event.name, event.detail, event.time)
            elif isinstance(event, Noted):
                inspector.noted(event.findings, event.secured, event.time, event.words)
            else:
                finished = inspector.reset if isinstance(event, Reset) else inspector.end
                if finished(event.direction, event.time):
                    del self._inspectors[event.flow]

    def _newcomer(self, number: int, event: Event) -> None:
        """An event of a flow that is not known yet, or that is left out."""
        newcomer = self._newcomers.get(number)
        if newcomer is None:
            return
        before = newcomer.cost
        newcomer.take(event)
        self._waiting += newcomer.cost - before
        if newcomer.size > self.limits.undecided or len(newcomer.events) > UNDECIDED_EVENTS:
            newcomer.over = True
        self._decide(newcomer)
        while self._waiting > UNDECIDED:
            oldest = next(iter(self._newcomers.values()))
            oldest.over = True
            self._decide(oldest)

    def _forget(self, number: int) -> None:
        """The source knows a flow no more: it is closed as where the observation ends, at the time of its last event."""
        newcomer = self._newcomers.get(number)
        if newcomer is not None:
            newcomer.over = True
            self._decide(newcomer)
        inspector = self._inspectors.pop(number, None)
        if inspector is not None:
            inspector.forgotten()

    def _decide(self, newcomer: Newcomer) -> None:
        """Tells a flow when it is known what it is; leaves it out when it is no mail, and on no port of mail."""
        wrapping = newcomer.unwrap()
        if wrapping is not None:
            newcomer.hint = self.hint(wrapping.port) or newcomer.hint
        name = newcomer.name() or (NOT_MAIL if newcomer.over else "")
        if name == NOT_MAIL and self.keys is not None and newcomer.hello:
            name = newcomer.inner(self.keys)
            if name in self.protocols:
                newcomer.flow.secure = newcomer.flow.sealed = True
            elif name or newcomer.over:
                name = NOT_MAIL
        if name == NOT_MAIL and (greeted := by_greeting(self.plugins, newcomer.server)):
            name = greeted
        if not name:
            return
        flow = newcomer.flow
        del self._newcomers[newcomer.key]
        self._waiting -= newcomer.cost
        if name == NOT_MAIL and not newcomer.hint and flow.server.port not in TLS_PORTS:
            self.left_out += 1
            return
        self._known(newcomer, name)

    def _known(self, newcomer: Newcomer, name: str) -> None:
        flow = newcomer.flow
        make, anomaly = self._session_of(newcomer, name)
        inspector = self._inspectors[newcomer.key] = self.open(flow)
        session = inspector.begin(make)
        if anomaly is not None:
            session.anomaly(*anomaly)
        if newcomer.joined:
            session.join()
        if newcomer.wrapping is None:
            self.take_all(newcomer.events)
        else:
            self._take_wrapped(inspector, newcomer.wrapping, newcomer.events)

    def _session_of(self, newcomer: Newcomer, name: str) -> tuple[MakeSession, tuple[str, str] | None]:
        """How a newcomer is read, and what is odd about it."""
        flow, hint = newcomer.flow, newcomer.hint
        port = flow.server.port
        if name in self.protocols:
            flow.protocol = name
            return self.protocols[name].session, self._refuted(name, hint, port)
        if not newcomer.client and not newcomer.server:
            return OpaqueSession, None
        other = foreign(newcomer.client, newcomer.server)
        if other == TLS:
            if port in TLS_PORTS:
                flow.protocol = TLS_PORTS[port]
                return VeiledSession, None
            flow.protocol = hint
            return (self.protocols[hint].session if hint in self.protocols and newcomer.hello else VeiledSession), None
        if name == NOT_MAIL:
            return OpaqueSession, ("cross_protocol", f"{other or 'something unknown'} on port {port}")
        flow.protocol = name
        if newcomer.server.startswith(PREAUTH):
            return OpaqueSession, ("unasked_login", f"a PREAUTH greeting; {name} is not read")
        return OpaqueSession, self._refuted(name, hint, port) or ("unknown_protocol", f"{name} is not read")

    def _refuted(self, name: str, hint: str, port: int) -> tuple[str, str] | None:
        """What is odd about a protocol on a port that is another's."""
        if not hint or name == hint or {name, hint} <= {*SMTP_FAMILY} or hint not in self.protocols:
            return None
        more = "" if name in self.protocols else "; mailspy does not read that"
        return "cross_protocol", f"{name.upper()} on port {port}, where {hint.upper()} is due{more}"

    def _take_wrapped(self, inspector: Inspector, wrapping: Wrapping, events: list[Event]) -> None:
        """The same, with what stands before the session taken off."""
        heads = Heads(wrapping)
        for event in events:
            if not isinstance(event, Segment):
                self.take(event)
                continue
            client = event.direction is C2S
            head, rest = heads.take(client, event.data)
            if head:
                inspector.wrapped(client, head, wrapping, event.time)
            if rest:
                inspector.feed(client, rest, event.time)

    def take_all(self, events: Sequence[Event]) -> None:
        """Several events, in their order; a person who wants no more is heard between them, whatever plugins have caught."""
        for event in events:
            self.take(event)
            check()

    def take_segment(self, number: int, client: bool, data: bytes, time: int) -> None:
        """One segment, now, or with those after it where nobody can tell the difference."""
        inspector = self._inspectors.get(number)
        if inspector is None:
            self._newcomer(number, Segment(number, C2S if client else S2C, time, data))
        elif inspector.gather(client, data, time):
            self._gathered += len(data)
            if self._gathered > GATHERED:
                self._read_gathered()
        else:
            inspector.feed_calmly(client, data, time)

    def _read_gathered(self) -> None:
        self._gathered = 0
        for inspector in self._inspectors.values():
            inspector.read_run()

    def finish(self, mark: Callable[[int], None] | None = None) -> None:
        """The source is over: closes what is still open, each flow at the time of its last event.

        `mark` is called after each flow with a number that sorts what is told now, whichever process has which flows.
        """
        self._read_gathered()
        for newcomer in sorted(self._newcomers.values(), key=_number):
            newcomer.over = True
            self.turn = LATE + newcomer.flow.number
            self._decide(newcomer)
            if mark is not None:
                mark(LATE * 2 + newcomer.flow.number)
        for inspector in self._inspectors.values():
            inspector.close(inspector.reason(OBSERVATION_ENDED))
            if mark is not None:
                mark(LATE * 3 + inspector.turn)
        self._inspectors.clear()
        if self.left_out and mark is None:
            self.alarm(left_out(self.left_out))
            self.left_out = 0


def _number(newcomer: Newcomer) -> int:
    return newcomer.flow.number


def left_out(count: int) -> str:
    """A line about flows that are not told."""
    return f"{count:,} {'flow that is' if count == 1 else 'flows that are'} not mail left out"


class Inspector:
    """One flow on its way through the pipeline."""

    __slots__ = ("_arrival", "_deaf", "_early_words", "_ended", "_ending", "_gate", "_given_up", "_heard", "_mask", "_pipeline",
                 "_run", "_unsealing", "behind", "flow", "own", "seen", "session", "time", "turn")

    def __init__(self, pipeline: Pipeline, flow: Flow) -> None:
        self._pipeline = pipeline
        self.flow = flow
        self.time = flow.opened
        self.seen: list[PDU] | None = None
        """What the last segment completed; kept only after `collect`."""
        self._mask = Mask()
        self._ended: Direction | None = None
        self._early_words = SILENT
        """In replay: what stands in the place of the client's lines that come next, while it is not known what the flow is."""
        self._ending = ""
        """Why mailspy has ended the flow itself."""
        self.turn = pipeline.turn
        """The event with which it began."""
        self._run: Run | None = None
        """Segments of a body that wait to be read together."""
        self._gate: FlowGate | None = None
        self._heard = b""
        """The server's first octets, where its words pass a gate."""
        self._unsealing: Unsealing | None = None
        """What opens the records of TLS, where there are keys."""
        self._given_up = False
        """They cannot be opened."""
        self.own = False
        """mailspy itself has captured it."""
        self._deaf = False
        """Nothing more was read of it live."""
        self.behind = ""
        """The server behind a proxy that the client has asked to go there; empty where there is none."""
        self.session: Session | None = None
        self._arrival: Arrival | None = None
        """What is known while it is not known what the flow is."""
        protocol = pipeline.protocols.get(flow.protocol)
        if protocol is None or (protocol in BUILTIN_PROTOCOLS and not flow.secure and not flow.sealed):
            self._arrival = Arrival(flow.protocol if protocol is not None else "", pipeline.greetings, pipeline.limits.undecided)
        else:
            self.begin(protocol.session)

    def collect(self) -> None:
        """Keeps, after each segment, the PDUs that it completed, for the comments of a capture."""
        self.seen = []
        if self.session is not None:
            self.session.seen = self.seen

    def judged_by(self, gate: FlowGate) -> None:
        """Lets verdicts take effect, by that gate."""
        self._gate = gate
        gate.arrival = self._arrival
        if self.session is not None:
            self.session.gate = gate
            gate.session = self.session
            gate.starttls = self.session.starttls if gate.policy != PASS else None

    def say(self, raw: bytes, time: int) -> Words:
        """mailspy tells the client so in the server's place; what that has half said is never finished."""
        self.time = time
        self.forget_comments()
        heard = self.told_by(0)
        session = self.session or self._arrived()
        session.time = time
        session.hidden.clear()
        begin = session.server.offset
        try:
            session.close_server()
            begin = session.server.offset
            session.server.say(raw)
        except Exception as error:
            self._degrade(error)
        return Words(((begin, begin + len(raw)),), heard=heard, closing=True)

    def told_by(self, begin: int) -> bytes | None:
        """The server's first octets, where it may be by them that the protocol is told to whoever has not got them: mailspy's own
        words begin at that octet of what the client gets."""
        if self._arrival is not None:
            return self._mask.bare(self._arrival.heard)
        return self._heard if begin < LOOKED_AT else None

    def left(self, client: bool, time: int) -> None:
        """What has come of a side before it was known what the flow is, and was held back, leaves now."""
        if self._arrival is not None:
            self._arrival.left(client, time)

    def arrive(self) -> Session:
        """What the flow is is told now, if it is not known yet."""
        return self.session or self._arrived()

    def forget_comments(self) -> None:
        """What was completed so far has been told."""
        if self.seen:
            self.seen.clear()

    def comments(self) -> list[str]:
        """What the last segment completed, one line a PDU: its number, direction, phase and text."""
        seen = self.seen
        if not seen:
            return []
        if len(seen) == 1:
            pdu = seen[0]
            return [f"#{pdu.number} {pdu.way} {pdu.phase} {pdu.note or pdu.text}"]
        return [f"#{pdu.number} {pdu.way} {pdu.phase} {pdu.text}" for pdu in seen]

    def feed(self, client: bool, data: bytes, time: int) -> None:
        """Octets of one direction, at a time in microseconds since the epoch."""
        self.time = time
        if self.seen:
            self.seen.clear()
        session = self.session
        if self._arrival is not None:
            self._arrive(self._arrival, client, data, time)
        elif self.flow.closed or self._deaf or session is None:
            return
        elif self._pipeline.keys is not None and self._sealed(session, client, data):
            self._unseal(session, client, data, time)
            return
        else:
            session.time = time
            session.forget_covers()
            try:
                (session.client if client else session.server).feed(data)
            except BaseException as error:
                self._degrade(error, data if client else b"")
        if self._pipeline.copy is not None:
            self._pipeline.copy.segment(self, client, data, time)

    def _sealed(self, session: Session, client: bool, data: bytes) -> bool:
        """Whether records are to be opened, from here on or since long."""
        if self._unsealing is not None:
            return True
        if not self._given_up and client and data[:1] == HELLO and (
                session.veiled or (self.flow.sealed and not session.client.position)):
            assert self._pipeline.keys is not None
            self._unsealing = Unsealing(self._pipeline.keys)
        return self._unsealing is not None

    def _unseal(self, session: Session, client: bool, data: bytes, time: int) -> None:
        """Reads what is in the records of a segment."""
        unsealing = self._unsealing
        assert unsealing is not None
        waited = unsealing.state is WAITING
        clear = unsealing.feed(client, data, time)
        if waited and unsealing.state is READABLE:
            session.unveil(self.flow.secure or not self.flow.sealed)
        if clear:
            self._unsealing = None
            self.feed(client, clear, time)
            self._unsealing = unsealing
        if unsealing.state in (HOPELESS, BROKEN):
            self._unsealing, self._given_up = None, True
            if unsealing.state is BROKEN and self.own:
                # It did not open live either, and `tls_failed` tells.
                self._deaf = True
            elif unsealing.state is BROKEN:
                session.anomaly("sealed", "a record does not open with the keys that there are")
                session.give_up()
            for sender, raw, when in unsealing.raw:
                self.feed(sender, raw, when)

    def gather(self, client: bool, data: bytes, time: int) -> bool:
        """Keeps a segment for later if it only lengthens what is crossing."""
        run = self._run
        if run is None or not run.takes(client, data):
            return False
        run.add(data, time)
        return True

    def feed_calmly(self, client: bool, data: bytes, time: int) -> None:
        """The same as `feed`; what comes next may be gathered."""
        self.read_run()
        self.feed(client, data, time)
        session = self.session
        if session is not None and session.sink is not None and self.seen is None and calm(data):
            reader = session.client if client else session.server
            waits = reader.step is Reader.content and not reader.paused and self._unsealing is None and not reader.doubting
            if waits and getattr(session.sink, "patient", False):
                self._run = Run(client)

    def read_run(self) -> None:
        """Reads what was gathered."""
        run, self._run = self._run, None
        if run is not None and run.pieces:
            self.feed(run.client, b"".join(run.pieces), run.time)

    def gap(self, client: bool, size: int, time: int) -> None:
        """Octets of one direction are not in the capture."""
        self.read_run()
        self.time = time
        self.flow.missing += size
        if self._pipeline.copy is not None:
            self._pipeline.copy.gap(self.flow, client, size)
        session = self._arrived()
        if self.flow.closed:
            return
        session.time = time
        if self._unsealing is not None:
            # What comes after octets that are missing does not open.
            self._unsealing, self._given_up = None, True
            session.give_up()
        try:
            session.gap(client, size)
        except BaseException as error:
            self._degrade(error)

    def remark(self, name: str, detail: str, time: int) -> None:
        """Something is odd about the connection itself."""
        self.read_run()
        self.time = time
        session = self.session or self._arrived()
        session.time = time
        session.anomaly(name, detail)

    def noted(self, findings: Sequence[Finding], secured: bool, time: int, words: Words = SILENT) -> None:
        """What the live proxy knows of the flow, which no octet shows; of reasons why it ends the flow the first counts."""
        self.read_run()
        self.time = time
        self._ending = self._ending or words.reason
        if self._pipeline.copy is not None:
            self._pipeline.copy.noted(self.flow, findings, secured, time, words)
        if self.flow.closed or (words.reason and not findings and not secured):
            return
        if self.session is None and words.instead and not (findings or secured or words.said or words.closing):
            # What the client has said, which comes next, tells what the flow is.
            early = (*self._early_words.instead, *words.instead)
            self._early_words = words._replace(instead=early[:self._pipeline.limits.unanswered])
            return
        if words.heard is not None and self._arrival is not None:
            self._arrival.hear(words.heard)
            self._learn(self._arrival)
        session = self.session or self._arrived()
        session.time = time
        try:
            if words is not SILENT:
                session.worded(words)
            session.noted(findings, secured)
        except BaseException as error:
            self._degrade(error)

    def join(self, unread: bool) -> None:
        """The capture was begun in the middle of the flow.  `unread`: where nothing that comes can be read."""
        if unread:
            (self.session or self.begin(OpaqueSession)).give_up()
        elif self.session is not None:
            self.session.join()
        if self.session is not None:
            self._leave_arrival()

    @property
    def secured(self) -> bool:
        """What is read from here on crosses in TLS."""
        return self.flow.secure or (self.session is not None and self.session.unveiled)

    @property
    def unread(self) -> bool:
        """Nothing of what comes is read, or it is in the middle of records."""
        session = self.session
        return session is not None and ((session.tls and not session.unveiled) or session.client.step is Reader.opaque)

    @property
    def unfinished(self) -> bool:
        """Whether an end now would cut something short."""
        return self.session is not None and not self.flow.closed and self.session.unfinished

    def end(self, direction: Direction, time: int) -> bool:
        """One direction is over (FIN).  True when the flow is."""
        self.read_run()
        self.time = time
        if self._pipeline.copy is not None:
            self._pipeline.copy.ended(self.flow, direction, time)
        if self._ended is None:
            self._ended = direction
        if self._ended is direction:
            return False
        self.close(self.reason(CLIENT_CLOSED if self._ended is C2S else SERVER_CLOSED))
        return True

    def reset(self, direction: Direction, time: int) -> bool:
        """One side has aborted the connection (RST): the flow is over."""
        self.read_run()
        self.time = time
        if self._pipeline.copy is not None:
            self._pipeline.copy.reset(self.flow, direction, time)
        self.close(self.reason(CLIENT_RESET if direction is C2S else SERVER_RESET))
        return True

    def forgotten(self) -> None:
        """Nothing more will be told of the flow, and its end was not seen."""
        self.read_run()
        if self._pipeline.copy is not None:
            self._pipeline.copy.forgotten(self.flow)
        self.close(self.reason(OBSERVATION_ENDED))

    def reason(self, seen: str) -> str:
        """Why the flow is over: what mailspy itself has done to it, else what is seen of its end."""
        return self._ending or (TLS_FAILED if self.session is not None and self.session.failed else seen)

    def close(self, reason: str) -> None:
        """The flow is over."""
        if self.seen:
            self.seen.clear()
        session = self._arrived()
        try:
            session.finish(self.time)
        except BaseException as error:
            self._degrade(error)
            # What is left is told unread and unjudged, as the session cannot say what it is; judges of other flows stay.
            observer = session.observer
            judge, observer.judge = observer.judge, None
            OpaqueSession.finish(session, self.time)
            observer.judge = judge
        session.sum_up()
        self.flow.closed = self.time
        self._pipeline.observer.flow_closed(self.flow, reason)
        session.release()

    def heard(self, data: bytes, end: int = -1) -> bytes:
        """The server's segment just fed without what comes back of the client's secrets; or what the client gets, up to `end` in
        the stream."""
        session = self.session
        if session is None:
            return self._mask.heard_early(data)
        reader, echo = session.server, session.echo
        read = reader.step is not Reader.opaque and session.client.step is not Reader.opaque
        if read and (echo is None or not (echo.covers or reader.buffer or reader.long_head)):
            return data
        return self._mask.heard(session, data, session.server.position if end < 0 else end)

    def masked(self, data: bytes) -> bytes:
        """The client's segment just fed, with its secrets masked at equal length."""
        session, arrival = self.session, self._arrival
        if session is None or (arrival is not None and arrival.waiting):
            shown = arrival.masked(len(data)) if arrival is not None else data
            secrets = arrival.header_secrets if arrival is not None else None
            if shown != data or arrival is None or not arrival.in_tls:
                self._mask.said_early(data, secrets)
            return shown
        reader = session.client
        if (session.hidden or reader.buffer or reader.held_size or session.chunked or reader.step is Reader.long_line
                or reader.step is Reader.opaque):
            return self._mask.masked(session, data)
        return data

    # What a flow is, by its first octets

    def _arrive(self, arrival: Arrival, client: bool, data: bytes, time: int) -> None:
        """Octets of a flow of which it is not known yet what it is, or what stands before it."""
        session = self.session
        if session is None and not client and arrival.greets(data):
            self._settle(arrival, arrival.scheme)
            self._segment(client, data, time)
        elif session is not None and client and data and arrival.goes_on(data):
            self._segment(client, data, time)
            self._leave_arrival()
        else:
            arrival.take(client, data, time)
            self._learn(arrival)

    def _segment(self, client: bool, data: bytes, time: int) -> None:
        """Octets that are the session's alone."""
        session = self.session
        assert session is not None
        session.forget_covers()
        try:
            session.segment(client, data, time)
        except BaseException as error:
            self._degrade(error, data if client else b"")

    def _learn(self, arrival: Arrival) -> None:
        """What the octets so far tell."""
        if self.session is None:
            name = arrival.name()
            if not name:
                self._ask(arrival)
                return
            if self._gate is not None and self._gate.judged:
                arrival.let_go(self.time)
            self._settle(arrival, name)
        elif arrival.refuted():
            self._refute(arrival)
        elif odd := arrival.odd():
            self.session.time = self.time
            self.session.anomaly("cross_protocol", odd)
        self._read(arrival)
        if arrival.over:
            self._leave_arrival()

    def _ask(self, arrival: Arrival) -> None:
        """What tells nothing passes; judges are asked once before it does."""
        if self._gate is None:
            return
        asking = OpaqueSession(self.flow, self._pipeline.observer, self._pipeline.limits)
        asking.time, asking.gate = self.time, self._gate
        if arrival.passes and not arrival.asked:
            arrival.asked = True
            asking.judge_unread()
        passes = arrival.lapsed or (arrival.deaf and not arrival.asked)
        if passes and arrival.keeps(False) and not arrival.wondered:
            arrival.wondered = True
            asking.judge_unread(False)

    def _settle(self, arrival: Arrival, name: str) -> None:
        """It is known what the flow is, or that nobody can read it."""
        pipeline, odd = self._pipeline, arrival.odd()
        self.flow.protocol = "" if name == NOT_MAIL else name
        session = self._begin(pipeline.protocols[name].session if name in pipeline.protocols else OpaqueSession)
        session.time = self.time
        if odd:
            session.anomaly("cross_protocol", odd)
        if name in pipeline.protocols:
            return
        if arrival.server.startswith(PREAUTH):
            session.anomaly("unasked_login", "a PREAUTH greeting")
        if not odd and arrival.waiting:
            session.anomaly("unknown_protocol", arrival.unread())
        if not arrival.asked:
            session.judge_unread()

    def _refute(self, arrival: Arrival) -> None:
        """The greeting was not of mail."""
        session = self.session
        assert session is not None
        self.flow.protocol = ""
        session.time = self.time
        session.pending.clear()
        session.give_up()
        session.anomaly("unknown_protocol", "the client speaks FTP")

    def _read(self, arrival: Arrival) -> None:
        """Gives the session what it can read by now."""
        session, wrapping = self.session, arrival.wrapping
        assert session is not None
        session.forget_covers()
        for client, data, time, head in arrival.pieces():
            if head and wrapping is not None and wrapping.server:
                self.behind = wrapping.host
            try:
                if head and wrapping is not None:
                    session.time = time
                    session.wrapped(client, data, wrapping)
                else:
                    session.segment(client, data, time)
            except BaseException as error:
                self._degrade(error, data if client else b"")

    def _leave_arrival(self) -> None:
        if self._arrival is not None and self._gate is not None:
            self._heard = self._mask.bare(self._arrival.heard)
        self._arrival = None
        if self._gate is not None:
            self._gate.arrival = None

    def _arrived(self) -> Session:
        """The session; where it is not known yet what the flow is, nothing more will tell."""
        arrival = self._arrival
        if arrival is not None:
            arrival.close()
            if self.session is None:
                self._settle(arrival, arrival.name() or arrival.scheme or NOT_MAIL)
            self._read(arrival)
            self._leave_arrival()
        assert self.session is not None
        return self.session

    def begin(self, make: MakeSession) -> Session:
        """The flow is read so, from its first octet."""
        self._arrival = None
        return self._begin(make)

    def _begin(self, make: MakeSession) -> Session:
        session, broken = self._made(make)
        self.session = session
        session.seen = self.seen
        if self._early_words is not SILENT:
            session.worded(self._early_words)
        if (protocol := self._pipeline.protocols.get(self.flow.protocol)) is not None:
            session.starttls, session.offers = protocol.starttls, self._pipeline.offers
        if self._gate is not None:
            self.judged_by(self._gate)
        if broken:
            session.anomaly("parser_fault", broken)
        return session

    def wrapped(self, client: bool, octets: bytes, wrapping: Wrapping, time: int) -> None:
        """What stands before the session in one direction."""
        assert self.session is not None
        self.time = self.session.time = time
        self.session.wrapped(client, octets, wrapping)
        if self._pipeline.copy is not None:
            self._pipeline.copy.segment(self, client, octets, time)

    def _made(self, make: MakeSession) -> tuple[Session, str]:
        """A session; one that reads nothing where that of a plugin cannot be made, and what is told of that."""
        try:
            made: object = make(self.flow, self._pipeline.observer, self._pipeline.limits)
            if isinstance(made, Session):
                return made, ""
            raise TypeError(f"{name_of(made)} is no Session")
        except BaseException as error:
            return OpaqueSession(self.flow, self._pipeline.observer, self._pipeline.limits), self._told(error)

    def _told(self, error: BaseException) -> str:
        """Tells a person of a fault in reading the flow, and gives what is told of it; a person's own signal is none."""
        check()
        protocol = self._pipeline.protocols.get(self.flow.protocol)
        plugin = f" by plugin {protocol.plugin}" if protocol is not None and protocol.plugin else ""
        detail = silent(error)
        self._pipeline.alarm(f"flow {self.flow.number}: a fault in reading it{plugin}, the rest is passed on unread: {detail}")
        return detail

    def _degrade(self, error: BaseException, said: bytes = b"") -> None:
        """A fault of our own: the flow goes on unread, and says so.  `said`: the client's segment in which it arose."""
        session = self.session
        assert session is not None
        detail = self._told(error)
        session.message = None
        if session.sink is not None:
            session.sink.close(False)
            session.sink = None
        session.give_up()
        session.pending.clear()
        if said and self.seen is not None:
            self._mask.faulty(session, said)
        session.anomaly("parser_fault", detail)
