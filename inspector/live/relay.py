"""One flow between two links: what comes from one goes to the other, is inspected on the way, and saved before it leaves.

Rules.  Octets are exact in both directions.  FIN is passed on as FIN, RST as RST.  While one side takes nothing, the other is not
read: at most one read waits to be sent.  A capture is written before the octets leave.

Knows links, the inspector of its flow and the capture.  Must not know sockets, Twisted or any protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from inspector.gate import FlowGate, Held
from inspector.live.clock import now
from inspector.pdu import C2S, S2C, Direction, Finding, Flow
from inspector.reasons import FAULT, STOPPED
from inspector.segment import SILENT, Words
from inspector.starttls import PASS, Policy

if TYPE_CHECKING:
    from inspector.capture.writer import CaptureWriter
    from inspector.live.link import Link
    from inspector.live.outbox import Outbox
    from inspector.pipeline import Inspector


NO_REPLY: Final = "the client begins TLS, and no reply has come that agrees to it"
UNASKED: Final = "the client begins TLS, which nobody has agreed to and no judge can read; the session is ended"
NOT_KNOWN: Final = "its first octets do not tell what it is, and nothing follows: they pass unread"


class Recorder(Protocol):
    """What a relay asks of a capture."""

    def segment(self, flow: Flow, direction: Direction, data: bytes, time: int, comments: Sequence[str] = ()) -> None:
        """Octets, before they leave."""

    def note(self, flow: Flow, findings: Sequence[Finding], secured: bool, time: int, words: Words = SILENT) -> None:
        """What no octet shows."""

    def rejoin(self, flow: Flow, time: int, secure: bool, unread: bool) -> None:
        """The flow goes on in a file that was begun in its middle."""

    def end(self, flow: Flow, direction: Direction, time: int) -> None:
        """FIN."""

    def reset(self, flow: Flow, direction: Direction, time: int) -> None:
        """RST."""

    def forget(self, flow: Flow) -> None:
        """Nothing more will come."""


BeginTls = Callable[["GatedRelay", FlowGate], None]
"""Is told that a session has agreed on TLS; what the gate withholds is the server's reply."""


class Relay:
    """The two ends of one flow."""

    __slots__ = ("_capture", "_client_ended", "_keep_secrets", "_outbox", "_over", "_server_ended", "_told", "client",
                 "inspector", "over", "server")

    def __init__(self, inspector: Inspector, client: Link, server: Link | None, capture: CaptureWriter | None,
                 keep_secrets: bool, over: Callable[[Relay], None], outbox: Outbox | None = None) -> None:
        self.inspector = inspector
        self.client = client
        self.server = server
        self.over = over
        """Called once, when both links are closed."""
        self._capture: Recorder | None = capture
        self._outbox = outbox
        """Where octets wait for the capture to be written; None when each record is written at once."""
        self._keep_secrets = keep_secrets
        self._client_ended = False
        self._server_ended = False
        self._told = False
        """The inspector knows that the flow is over; its last octets may still be on their way."""
        self._over = False
        client.owner, client.client = self, True
        if server is not None:
            server.owner, server.client = self, False
        if capture is not None:
            inspector.collect()
            capture.open(inspector.flow)

    def start(self) -> None:
        """Begins to read both sides."""
        if self.server is not None:
            self.server.start()
        if not self._over:
            self.client.start()

    def note(self, findings: Sequence[Finding], secured: bool = False, reason: str = "") -> None:
        """Tells what no octet shows, and writes it down; `secured`: from here on what crosses in TLS is seen in the clear;
        `reason`: why we end the flow."""
        self._flush()
        if self._over:
            return
        time = now()
        words = Words(reason=reason) if reason else SILENT
        if self._capture is not None:
            self._capture.note(self.inspector.flow, findings, secured, time, words)
        self.inspector.noted(findings, secured, time, words)

    def record_by(self, capture: Recorder) -> None:
        """From here on the flow is captured so, by a recorder that sees the octets leave: nothing waits for others on its way."""
        self._flush()
        self._capture = capture
        self._outbox = None

    def rejoin(self) -> None:
        """The capture was begun anew: what comes of this flow stands there."""
        if self._capture is not None and not self._over:
            self._capture.rejoin(self.inspector.flow, now(), self.inspector.secured, self.inspector.unread)

    def refuse(self, line: bytes, reason: str) -> None:
        """There is no server: tells the client so, in its protocol, and ends."""
        self.note((), reason=reason)
        self.client.start()
        if line:
            self.say(line)
        self.ended(False)

    def say(self, line: bytes) -> None:
        """Tells the client something in the server's place."""
        self._flush()
        if self._over:
            return
        time = now()
        words = self.inspector.say(line, time)
        self._record_words(words, time)
        self._got(line, time, self.inspector.comments())
        self.client.send(line)

    def _record_words(self, words: Words, time: int) -> None:
        if self._capture is not None and words is not SILENT:
            self._capture.note(self.inspector.flow, (), False, time, words)

    def _got(self, data: bytes, time: int, comments: Sequence[str] = (), end: int = -1) -> None:
        """The client gets those octets next; `end`: where they end in the server's stream, if not where that has come to."""
        if self._capture is not None and data:
            saved = data if self._keep_secrets else self.inspector.heard(data, end)
            self._capture.segment(self.inspector.flow, S2C, saved, time, comments)

    # What links tell

    def received(self, client: bool, data: bytes) -> None:
        """Octets of one side: inspected, saved, sent on."""
        time = now()
        inspector = self.inspector
        inspector.feed(client, data, time)
        capture = self._capture
        if capture is not None:
            saved = data if self._keep_secrets else inspector.masked(data) if client else inspector.heard(data)
            capture.segment(inspector.flow, C2S if client else S2C, saved, time, inspector.comments())
        self._pass_on(client, data)

    def _pass_on(self, client: bool, data: bytes) -> None:
        if self._outbox is not None:
            self._outbox.add(self, client, data)
        else:
            self.send(client, data)

    def send(self, client: bool, data: bytes) -> None:
        """Sends on what one side said; when the other takes no more for now, this one is not read."""
        target = self.server if client else self.client
        if target is not None and not self._over and target.send(data):
            source = self.client if client else self.server
            if source is not None and not self._over:
                source.pause()

    def _flush(self) -> None:
        """What came before leaves before."""
        if self._outbox is not None:
            self._outbox.flush()

    def drained(self, client: bool) -> None:
        """One side has taken all: the other is read again; or both are closed, when both have ended."""
        if self._over:
            return
        if self._client_ended and self._server_ended:
            self._done(_close)
            return
        source = self.server if client else self.client
        if source is not None:
            source.resume()

    def ended(self, client: bool) -> None:
        """One side sends nothing more: the other is told so."""
        self._flush()
        if self._over:
            return
        if client:
            self._client_ended = True
        else:
            self._server_ended = True
        source, target = (self.client, self.server) if client else (self.server, self.client)
        first = not (self._client_ended and self._server_ended)  # who ends because the other has cuts off nothing
        if first and source is not None and source.truncated and self.inspector.unfinished:
            leg = "client" if client else "server"
            self.note([Finding("tls_truncated", f"{leg} leg: it ended in the middle of the session, and TLS did not say so: "
                               "somebody may have cut it off", {"leg": leg, "severity": "medium"}, "medium")])
        time = now()
        direction = C2S if client else S2C
        if self._capture is not None:
            self._capture.end(self.inspector.flow, direction, time)
        self._told = self.inspector.end(direction, time)
        if self._told and not (target is not None and target.backlog):
            self._done(_close)
        elif target is not None:
            target.end(source is not None and source.truncated)

    def broken(self, client: bool) -> None:
        """One side has aborted: so is the other."""
        self._flush()
        if self._over:
            return
        source = self.client if client else self.server
        if source is not None and source.failure:
            self._note_failure("client" if client else "server", source.failure)
        elif source is not None and source.faulty:
            self.note((), reason=FAULT)
        if not self._told:
            time = now()
            direction = C2S if client else S2C
            if self._capture is not None:
                self._capture.reset(self.inspector.flow, direction, time)
            self._told = self.inspector.reset(direction, time)
        self._done(_abort)

    def _note_failure(self, leg: str, reason: str) -> None:
        """TLS has failed in the middle of the session."""
        fields: dict[str, object] = {"leg": leg, "reason": reason, "alert": "alert" in reason, "farewell": "", "problems": [],
                                    "injected": 0, "severity": "high"}
        self.note([Finding("tls_failed", f"{leg} leg: {reason}", fields, "high")])

    def stop(self) -> None:
        """mailspy stops: both sides are aborted, whatever the state of the flow."""
        self._flush()
        if self._over:
            return
        if not self._told:
            self.note((), reason=STOPPED)
            self._cut_off()
        self._done(_abort)

    def _cut_off(self) -> None:
        """The flow is over because we end it: RST stands for that in a capture."""
        if not self._told:
            time = now()
            if self._capture is not None:
                self._capture.reset(self.inspector.flow, S2C, time)
            self._told = self.inspector.reset(S2C, time)

    def abandon(self, findings: Sequence[Finding], farewell: bytes = b"", reason: str = "") -> None:
        """There is no session: the server gets an abort, the client what waits for it, the farewell, and FIN."""
        if self._over:
            return
        self.note(findings, reason=reason)
        server, self.server = self.server, None
        if server is not None:
            server.abort()
        if farewell:
            self.say(farewell)
        self._cut_off()
        self._done(_close)

    def _done(self, how: Callable[[Link], None]) -> None:
        self._over = True
        if self._capture is not None:
            self._capture.forget(self.inspector.flow)
        how(self.client)
        if self.server is not None:
            how(self.server)
        self.over(self)


class GatedRelay(Relay):
    """A relay through whose gate nothing leaves unjudged, and that sees TLS begin in the session.

    The capture holds what the client sent and what the client got.
    """

    __slots__ = ("_begin_tls", "_full", "_gate", "_judged", "_late")

    def __init__(self, inspector: Inspector, client: Link, server: Link | None, capture: CaptureWriter | None,
                 keep_secrets: bool, over: Callable[[Relay], None], outbox: Outbox | None = None,
                 policy: Policy = PASS, judged: bool = True, begin_tls: BeginTls | None = None) -> None:
        """`policy`: what becomes of TLS that begins in the session; `begin_tls` is told when it does."""
        super().__init__(inspector, client, server, capture, keep_secrets, over, outbox)
        self._gate: FlowGate | None = FlowGate(policy, judged)
        self._judged = judged
        self._begin_tls = begin_tls
        inspector.judged_by(self._gate)
        self._full = False
        """The client is not read: what it has sent waits for replies."""
        self._late = False
        """The client has ended, but some of what it sent waits for a reply before it can be judged."""

    def received(self, client: bool, data: bytes) -> None:
        """Octets of one side: judged while they are inspected; what may leave is sent on."""
        gate, inspector = self._gate, self.inspector
        if gate is None:
            super().received(client, data)
            return
        if gate.closed and not client:
            return
        time, before = now(), inspector.time
        gate.came(client, data)
        inspector.feed(client, data, time)
        hello = gate.take_hello() if client else b""
        gate.take_turns()
        comments = inspector.comments()
        to_server, to_client = gate.leaves(True), gate.leaves(False)
        words = gate.words(self._keep_secrets)
        if words.said:
            words = words._replace(heard=inspector.told_by(words.said[0][0]))
        self._record_words(words, time)
        if client and self._capture is not None and len(hello) < len(data):
            said = data[:-len(hello)] if hello else data
            saved = said if self._keep_secrets else inspector.masked(said)
            self._capture.segment(inspector.flow, C2S, saved, time, comments)
        self._got(to_client, time, () if client else comments, gate.given)
        if to_server:
            self._pass_on(True, to_server)
        if to_client:
            self._pass_on(False, to_client)
        if gate.closing is not None and not gate.closed:
            self._end_by(gate, time)
        elif not to_client and words is SILENT and (not client or len(hello) == len(data)):
            inspector.time = before  # nothing has crossed yet
        if gate.closed or gate.agreed:
            self._flush()
        self._go_on(gate)

    def _end_by(self, gate: FlowGate, time: int) -> None:
        """A judge has ended the flow: what left before, then mailspy's last words."""
        inspector = self.inspector
        inspector.forget_comments()
        heard = inspector.told_by(0)
        inspector.arrive()
        left, words, farewell = gate.end()
        words = words._replace(heard=heard)
        begin, end = words.said[0] if words.said else (0, 0)
        self._got(left, time, (), begin - len(words.withheld))
        if words.withheld and not self._keep_secrets:
            words = words._replace(withheld=inspector.heard(words.withheld, begin))
        self._record_words(words, time)
        self._got(farewell, time, inspector.comments(), end)
        if left or farewell:
            self._pass_on(False, left + farewell)

    def _go_on(self, gate: FlowGate) -> None:
        """What follows from what the gate has seen."""
        if gate.edits:
            edits, gate.edits = gate.edits, []
            self.note(edits)
        if gate.full != self._full:
            self._throttle(gate.full)
        if gate.closed:
            if self.server is not None:
                self.end_from_server()
        elif gate.agreed and self._begin_tls is not None:
            begin, self._begin_tls = self._begin_tls, None
            begin(self, gate)
        elif hello := gate.give_hello():
            self.received(True, hello)
        elif self._late and not self._waits():
            self._end_late()

    def _throttle(self, full: bool) -> None:
        """A chunk waits for the replies before it: the client is not read while too much of it is here."""
        self._full = full
        if full:
            self.client.pause()
        elif self.server is None or not self.server.backlog:
            self.client.resume()

    def secured(self, client: Link, server: Link | None, findings: Sequence[Finding], policy: Policy,
                recorder: Recorder | None = None) -> None:
        """TLS has begun: the session goes on over these links.  `policy`: what becomes of a wish for more of it; `recorder`: how
        it is captured from here on, if in another way."""
        if self._over:
            return
        gate, session = self._gate, self.inspector.session
        assert gate is not None
        assert session is not None
        if gate.waits:
            self._agree(gate)
        self.client, self.server = client, server
        client.owner, client.client = self, True
        if server is not None:
            server.owner, server.client = self, False
        if recorder is not None:
            self.record_by(recorder)
        self.note(findings, True)
        gate.renew(policy)
        if not self._judged and policy == PASS:
            self._gate = session.gate = None
        self.start()
        if server is not None:
            server.resume()

    def holding(self) -> list[Held]:
        """What is held back."""
        return self._gate.holding() if self._gate is not None and not self._over else []

    def lapse(self) -> str:
        """It has taken long: what waits for what it is goes on, or the flow ends.  Gives a word why, where something does."""
        gate = self._gate
        if gate is None or self._over:
            return ""
        if gate.hello and not gate.agreed:
            return self._pass_hello(gate)
        if not gate.lapse():
            return ""
        ends = gate.closing is not None
        self.received(True, b"")
        return UNASKED if ends else NOT_KNOWN

    def _pass_hello(self, gate: FlowGate) -> str:
        """The client has begun TLS, and nobody has said whether the server will."""
        if gate.policy.answer is not None:
            finding = Finding("tls_failed", f"client leg: {NO_REPLY}", {
                "leg": "client", "reason": NO_REPLY, "alert": False, "farewell": "", "problems": [], "injected": 0,
                "severity": "high"}, "high")
            self.abandon([finding])
            return f"{NO_REPLY}; the session is ended"
        hello = gate.pass_hello()
        self.note([Finding("tls_passed", f"client leg: {NO_REPLY}; what follows passes unread", {
            "leg": "client", "reason": NO_REPLY, "severity": "medium"}, "medium")])
        self.received(True, hello)
        return f"{NO_REPLY}; what follows passes unread"

    def agree(self) -> None:
        """The client is told that TLS begins."""
        if self._gate is not None and self._gate.waits and not self._over:
            self.client.send(self._agree(self._gate))

    def _agree(self, gate: FlowGate) -> bytes:
        self._flush()
        time, inspector, session = now(), self.inspector, self.inspector.session
        assert session is not None
        inspector.time = session.time = time
        inspector.forget_comments()
        reply, words = gate.agree()
        self._record_words(words, time)
        self._got(reply, time, inspector.comments())
        return reply

    def abandon(self, findings: Sequence[Finding], farewell: bytes = b"", reason: str = "") -> None:
        """There is no session: what waits for TLS goes nowhere."""
        gate, session = self._gate, self.inspector.session
        if gate is not None and gate.waits and session is not None and not self._over:
            self._flush()
            self.inspector.time = session.time = time = now()
            self._record_words(gate.reject(), time)
        super().abandon(findings, farewell, reason)

    def _waits(self) -> bool:
        """Whether octets of the client wait for a reply."""
        gate, session = self._gate, self.inspector.session
        return (gate is not None and gate.chunk_waits) or (
            session is not None and session.client.paused and bool(session.client.held))

    def ended(self, client: bool) -> None:
        """One side sends nothing more: the other is told so, after what it is still to get."""
        if client and not self._over and self.server is not None and self._waits() and not self._server_ended:
            self._late = True
            return
        self._let_go(client)
        if not client:
            self._withdraw()
        super().ended(client)
        if not client and self._late:
            self._end_late()

    def _withdraw(self) -> None:
        """What the client did not get of the server's words, and never will, was not said."""
        gate = self._gate
        if gate is None or self._over:
            return
        rest, time = gate.withdraw(), self.inspector.time
        if rest:
            self._got(rest, time)
            self._pass_on(False, rest)
        if gate.divided:
            self._record_words(Words(divided=True), time)

    def broken(self, client: bool) -> None:
        """One side has aborted: so is the other."""
        self._flush()
        self._withdraw()
        super().broken(client)

    def stop(self) -> None:
        """mailspy stops: whatever its state."""
        self._withdraw()
        super().stop()

    def _end_late(self) -> None:
        self._late = False
        self._let_go(True)
        super().ended(True)

    def _let_go(self, client: bool) -> None:
        """What the gate still holds of a side that ends leaves before its end."""
        gate = self._gate
        rest = gate.rest(client) if gate is not None and not self._over else b""
        if gate is None or not rest:
            return
        time = now()
        self.inspector.left(client, time)
        if self._capture is not None and not client:
            shown = rest if self._keep_secrets else self.inspector.heard(rest, gate.given)
            self._capture.segment(self.inspector.flow, S2C, shown, time)
        self._pass_on(client, rest)

    def end_from_server(self) -> None:
        """The client gets its last octets and FIN, the server an abort: a message without its end is not delivered."""
        if self._gate is not None:
            self.note((), reason=self._gate.why)
        server, self.server = self.server, None
        if server is not None:
            server.abort()
        if not self._server_ended:
            self.ended(False)


def _close(link: Link) -> None:
    link.close()


def _abort(link: Link) -> None:
    link.abort()
