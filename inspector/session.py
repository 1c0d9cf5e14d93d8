"""The state of one flow, whatever its protocol: what is unanswered, what is being read, what was found.

Rules.  Replies answer commands in order; a greeting answers the connection.  What cannot be interpreted yet is held, not
guessed.  Every octet of a direction belongs to exactly one PDU.  Deviations are told as anomalies after the PDU in which
they stand; nothing that a peer sends raises an exception.

Knows flows, exchanges, messages and observers.  Must not know any protocol's words, any plugin, any clock or socket.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

from mypy_extensions import mypyc_attr

from inspector import wary
from inspector.anomaly import CATALOGUE, Anomaly
from inspector.echo import Echo
from inspector.hold import LINES, Cover, cover_of
from inspector.machine import Machine
from inspector.offers import Offers, differing, in_the_clear, weak
from inspector.pdu import (
    C2S,
    MAILSPY,
    NOTHING,
    PDU,
    PEER,
    S2C,
    Exchange,
    Finding,
    Flow,
    Kind,
    Message,
    Outcome,
    Part,
    Sink,
    Transaction,
)
from inspector.reader import Reader
from inspector.text import sanitise
from inspector.verdict import Verdict, strictest
from inspector.wrapping import HEADER, Wrapping, covered, hides, secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from inspector.limits import Limits
    from inspector.posing import Posing
    from inspector.segment import Words
    from inspector.starttls import StartTls

_SERVER_HELLO: Final = re.compile(r" ServerHello (TLS 1\.\d|SSL 3\.0)")
"""How a record is described that says which version it is."""
ALERT: Final = 21
"""The type of a record with an alert (RFC 8446 §6)."""
MAIL_ALPN: Final = frozenset({"smtp", "lmtp", "pop3", "imap", "managesieve"})
"""What a client of mail may ask for (RFC 7301); anything else is an attack across protocols, or a mistake."""
HEADER_LINES: Final = 16
"""Lines of a header to which replies are awaited."""
REPLIES_KEPT: Final = 1_000
"""Replies that an exchange keeps: an endless SASL dialogue must not fill the memory.  Past it only the last is kept."""


class Observer(Protocol):
    """Who is told what a session finds: the hooks of the plugins, or a test."""

    pdu_seen: Callable[[PDU, Session], None]
    phase_changed: Callable[[Session, str], None]
    anomaly_found: Callable[[Anomaly, Session], None]
    exchange_completed: Callable[[Exchange, Session], None] | None
    """None when nobody asks, and then no exchange is built."""
    finding: Callable[[Finding, Session], None]
    judge: Callable[[PDU | Message, Session], Verdict | None] | None
    """Is asked before a PDU or the end of a message is accepted; None when nobody judges."""

    def open_message(self, message: Message, session: Session) -> Sink | None:
        """One sink for the octets of a message, or None when nobody asks for them."""

    def open_part(self, part: Part, message: Message) -> Sink | None:
        """One sink for the octets of a part, or None when nobody asks for them."""

    def describe_record(self, head: bytes) -> str:
        """One line about a TLS record."""


class Gate(Protocol):
    """What carries verdicts out, live."""

    def rule(self, subject: PDU | Message, verdict: Verdict) -> bytes | None:
        """A judge has spoken about the PDU or the message in hand.  Gives what leaves in the place of a line, if anything."""

    def passing(self, pdu: PDU) -> None:
        """A PDU has been cut off; the judges have spoken."""

    def edited(self, pdu: PDU) -> bytes | None:
        """What leaves in the place of a list of what the server can do, if anything."""

    @property
    def given(self) -> int:
        """Where in the server's stream begins what the client has not got."""

    def left(self, position: int) -> bool:
        """Whether the client has got what the server has said up to there."""

    def suspends(self, pdu: PDU) -> bool:
        """A reply says that TLS begins: whether it waits until it is known that there will be TLS."""

    def opens(self, pdu: PDU, octets: int) -> None:
        """The command that was told last is followed by so many octets of its own."""

    def refuse(self, farewell: bytes) -> None:
        """Nothing more leaves but the farewell."""

    def take_turns(self) -> None:
        """The server's next line is about to be read: answers given in its place go first when it is their turn."""


class Veil:
    """What TLS hides of a session, and what came before it."""

    __slots__ = ("agreed", "client", "crossed", "edited", "exposed", "failed", "legs", "offered", "server", "unasked", "waiting")

    def __init__(self) -> None:
        self.client = -1
        self.server = -1
        """Where each side's octets were when TLS was agreed on; below 0 when nothing may go on in the clear."""
        self.agreed = False
        """Somebody has asked for TLS, and somebody has agreed."""
        self.unasked = False
        """A client has begun TLS, and nobody has agreed to it."""
        self.exposed = False
        """Then the server has answered in the clear: it reads no TLS."""
        self.failed = False
        """There is no TLS where there was to be."""
        self.edited = False
        """What is offered or refused is mailspy's, not the server's."""
        self.legs: set[str] = set()
        """Which legs are in TLS, as the live proxy has told."""
        self.offered: frozenset[str] | None = None
        """What the server has said before TLS that it can do."""
        self.waiting = b""
        """The reply that waits for TLS."""
        self.crossed = False
        """It is told that somebody speaks another protocol."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Session:
    """What is known of a flow at this point of its traffic.  Protocols derive from it."""

    __slots__ = ("_approved", "_cut", "_early", "_found", "_veil", "authenticated", "chunked", "client", "doubtful",
                 "echo", "evaded", "flow", "gate", "headed", "hidden", "instead", "joined", "lacking", "limits", "machine",
                 "message", "number", "observer", "offers", "opening", "pending", "recorded", "seen", "server", "sink",
                 "starttls", "taint", "time", "tls", "transaction", "unveiled", "user")

    def __init__(self, flow: Flow, observer: Observer, limits: Limits, machine: Machine) -> None:
        self.flow, self.observer, self.limits, self.machine = flow, observer, limits, machine
        self.time = flow.opened
        """When the segment in hand was seen, in microseconds since the epoch."""
        self.client, self.server = Reader(self, client=True), Reader(self, client=False)
        self.pending: list[Exchange] = []
        """The unanswered exchanges, the oldest first."""
        self.number = 0
        """How many PDUs there were so far."""
        self.transaction: Transaction | None = None
        """The transaction in force, as the replies so far say."""
        self.opening: Transaction | None = None
        """SMTP: the transaction that the next command belongs to when all unanswered ones succeed."""
        self.message: Message | None = None
        """The message that is crossing now."""
        self.sink: Sink | None = None
        self.user = ""
        """Who is logged in, where that crossed in the clear; else empty."""
        self.authenticated = False
        """SMTP: the server has accepted the client's AUTH."""
        self.tls = self.unveiled = flow.secure
        """TLS has been agreed on: what follows cannot be read, unless it is unveiled: it is seen in the clear."""
        self.taint = self.headed = 0
        """Up to this offset of the client's stream every line is taken for secret: it came before the answer to AUTH.
        `headed`: octets of that stream that stand before the session."""
        self.gate: Gate | None = None
        """Where the verdicts of judges take effect; None offline, and when nobody judges."""
        self.seen: list[PDU] | None = None
        """Where PDUs are collected for the capture, or None."""
        self.echo: Echo | None = None
        self.hidden: list[Cover] = []
        """What stands in the place of lines with secrets of the client's in the segment in hand, while PDUs are collected."""
        self.recorded: dict[int, bytes] = {}
        """In replay: the lines that left in the place of the client's, by the numbers of their PDUs."""
        self.instead: bytes | None = None
        """What a judge has put in the place of the line in hand, which is read next."""
        self._cut = self._early = self._approved = self.chunked = False
        # `chunked`: a content that no server has asked for crosses (BDAT), or has in the segment in hand.
        self._found: dict[str, int] = {}
        """How often each deviation was found."""
        self._veil = Veil()
        self.lacking = False
        """Octets of the body in hand are missing."""
        self.joined = False
        """The capture begins in the middle of the flow, and no command has come since: replies may answer what is not in it."""
        self.starttls: StartTls | None = None
        """How TLS begins in the protocol; None where it cannot."""
        self.offers: Offers | None = None
        """What servers have offered in other sessions; None where nobody keeps it."""
        self.doubtful: Exchange | None = None
        """The last exchange whose reply may be in a gap."""
        self.evaded: Exchange | None = None
        """The exchange that was the oldest when the server last said what is no reply."""

    @property
    def phase(self) -> str:
        """The phase that the replies seen so far have led to."""
        return self.machine.state

    @property
    def client_state(self) -> str:
        """The state of the client automaton, for the protocols that have one."""
        return ""

    # What the pipeline tells

    def segment(self, client: bool, data: bytes, time: int) -> None:
        """Octets of one direction."""
        self.time = time
        (self.client if client else self.server).feed(data)

    def gap(self, client: bool, size: int) -> None:
        """Octets of one direction are missing; what follows is read again from the first place that is certain."""
        reader = self.client if client else self.server
        if reader.in_body:
            self.lacking = True
        if client:
            self.joined = True
        self.anomaly("tcp_gap", f"{C2S if client else S2C}: {f'{size:,}' if size else 'some'} octets are not in the capture")
        if not client and self.pending and not reader.in_body:
            self.doubtful = self.pending[-1]
        reader.gap(size)

    def join(self) -> None:
        """The capture begins in the middle of the flow: what comes is read from the first place that is certain."""
        self.joined = True
        self.pending.clear()
        self.client.step = self.server.step = Reader.after_gap

    def wrapped(self, client: bool, octets: bytes, wrapping: Wrapping) -> None:
        """Octets that stand before the session, and are none of it."""
        reader = self.client if client else self.server
        reader.offset += len(octets)
        if client:
            self.headed += len(octets)
        if self.gate is not None and client and hides(octets):
            self.judge_unread()
        spans = secrets(octets) if client else []
        pdu = self.draft(client, Kind.OPAQUE, self.phase, "", "", octets, len(octets), self.client_state, 0, None, None,
                         wrapping.details, sanitise(wrapping.note))
        self.instead = None
        if spans:
            self.remember(b" ".join([octets[first:last] for first, last in spans]), 0)
            pdu.secret, pdu.veiled = (spans[0][0], spans[-1][1]), covered(octets)
        self.tell(pdu)
        # A server that does not know such a header answers its lines.
        self.pending += [Exchange(HEADER, self.phase, self.client_state, None, pdu)
                         for _ in range(min(wrapping.lines, HEADER_LINES))]

    def knows_header(self) -> None:
        """The reply in hand is none to lines of a header: the server knows it, and has read no lines."""
        self.pending = [exchange for exchange in self.pending if exchange.verb != HEADER]

    def moved_on(self) -> None:
        """The client goes on: it has got the replies that may have been in a gap."""
        last, self.doubtful = self.doubtful, None
        for number, exchange in enumerate(self.pending):
            if exchange is last:
                for unknown in self.pending[:number + 1]:
                    self.unanswered(unknown)
                del self.pending[:number + 1]
                self.client.resume()
                return

    def unanswered(self, exchange: Exchange) -> None:
        """The reply to a command is not known, and will not be: it may be in a gap, or it never came."""

    def goes_on(self) -> None:
        """The client sends what it had to wait with: the reply that it waited for is in a gap."""
        self.moved_on()

    def spoke(self) -> None:
        """The client sends something: if the one reply that it waits for has no end yet, the client does without."""
        server = self.server
        alone = server.buffer and len(self.pending) == 1 + len(server.spoken)
        if alone and (self.gate is None or self.gate.left(server.position)):
            server.spoken_into()

    def begins(self, client: bool, line: bytes) -> bool:
        """Whether a line after a gap is a whole one, as far as it tells."""
        return False

    def may_reply(self, rest: bytes) -> bool:
        """Whether a line of the server's may become a reply that begins so, and nobody knows yet."""
        return False

    def finish(self, time: int) -> None:
        """The flow is over: what is half read is cut short, and what was due is missing."""
        self.time = time
        self.client.finish()
        self.server.finish()
        self.close_message(False)
        self._told_due()

    def release(self) -> None:
        """Lets go of everything: what refers to itself would wait for the garbage collector."""
        del self.client.session, self.server.session
        self.sink = self.message = self.gate = None

    @property
    def asks_for_tls(self) -> bool:
        """Whether the command that TLS begins after waits for its reply."""
        return self.starttls is not None and any(exchange.verb == self.starttls.verb for exchange in self.pending)

    @property
    def unfinished(self) -> bool:
        """Whether an end now would cut something short: a message, a line, an exchange."""
        return self.message is not None or bool(self.client.buffer or self.client.held or self.server.buffer or self._due())

    def _due(self) -> list[Exchange]:
        """Commands whose replies are still to come; QUIT may do without, and what mailspy is about to answer itself."""
        ours = self.starttls.verb if self._veil.edited and self.starttls is not None else "QUIT"
        free = ("QUIT", HEADER, ours)
        return [exchange for exchange in self.pending if exchange.command is not None and exchange.verb not in free]

    def _told_due(self) -> None:
        due = self._due()
        if due and not self._cut and (self.unveiled or not self.tls):
            self.anomaly("truncated", f"no reply came to {self.named(due)}")

    def named(self, exchanges: Sequence[Exchange]) -> str:
        """Unanswered exchanges for people: the first, and how many more."""
        more = f" and {len(exchanges) - 1} more" if exchanges[1:] else ""
        return f"{self.awaited(exchanges[0])}{more}"

    def awaited(self, exchange: Exchange) -> str:
        """What waits for a reply, for people."""
        if exchange.verb or exchange.command is None:
            return exchange.verb
        return "an unknown command" if exchange.command.shown.strip() else "an empty line"

    def passed_over(self, count: int) -> None:
        """The reply in hand cannot be for so many of the oldest commands: they got none, and the session goes on without it."""
        skipped = self.pending[:count]
        del self.pending[:count]
        for exchange in skipped:
            self.unanswered(exchange)
            self.went_on(exchange)
            self.completed(exchange)
        if any(exchange.command is not None and exchange.command.shown.strip() for exchange in skipped):
            self.judge_unread()

    def went_on(self, exchange: Exchange) -> None:
        """The server has passed over a command without a reply, and has taken later ones."""

    def give_up(self) -> None:
        """Reads no further: the rest of both directions is passed on as it is, unless a judge closes the flow."""
        self.client.give_up()
        self.server.give_up()
        self.judge_unread()

    @property
    def judged(self) -> bool:
        """Whether verdicts take effect: what is read is what leaves."""
        return self.gate is not None and self.observer.judge is not None

    def doubtful_end(self) -> None:
        """To some server the content that is being read may be over."""

    def posing(self) -> Posing | None:
        """What watches the octets of a message that some server may read as commands; None where nobody judges."""
        return None

    def posed(self, posing: Posing, octets: bytes) -> None:
        """Such octets are about to leave."""

    def judge_unread(self, client: bool = True) -> None:
        """What comes next is not read, or only guessed: asks the judges, live, before any of it leaves."""
        if self.gate is not None and self.observer.judge is not None:
            side, reader = (C2S, self.client) if client else (S2C, self.server)
            unread = PDU(self.number + 1, side, Kind.OPAQUE, self.phase, "", "", b"", 0, reader.offset, self.time)
            self._judged(unread, self.observer.judge)
            self.instead = None

    # What plugins may call

    def report(self, finding: Finding) -> None:
        """Tells everybody a plugin's result."""
        self.observer.finding(finding, self)

    def open_part(self, part: Part, message: Message) -> Sink | None:
        """Asks every plugin for a sink for a part; one sink that feeds them all, or None."""
        return self.observer.open_part(part, message)

    # What the protocols call

    def draft(self, client: bool, kind: Kind, phase: str, verb: str, status: str, raw: bytes, size: int,
              client_state: str = "", transaction: int = 0, secret: tuple[int, int] | None = None,
              command: PDU | None = None, details: Mapping[str, str] = NOTHING, note: str = "") -> PDU:
        """Numbers a PDU that has just been cut off, and has it judged.

        Until then the session is as it was before it.  Where `instead` is set now, the PDU never was: see `read_instead`.
        """
        self.number = number = self.number + 1
        reader = self.client if client else self.server
        pdu = PDU(number, C2S if client else S2C, kind, phase, verb, status, raw, size, reader.offset - size, self.time,
                  client_state, transaction, secret, command, details, note)
        if client:
            if secret is not None:
                self.remember(raw, secret[0])
        elif self.echo is not None and self.echo.said:
            self._exact(pdu, self.echo)
        if reader.said and reader.says(pdu.offset, reader.offset):
            pdu.origin = MAILSPY
            return pdu
        if self.observer.judge is not None and not self._approved:
            self._judged(pdu, self.observer.judge)
        if self.gate is not None and not client and self.instead is None:
            self.instead = self.gate.edited(pdu)
        if self.recorded and client:
            self.instead = self.recorded.pop(number, None)
        return pdu

    def forget_covers(self) -> None:
        """The next segment comes."""
        if self.hidden:
            self.hidden.clear()
        if self.echo is not None and self.echo.covers:
            given = self._given
            self.echo.covers = [cover for cover in self.echo.covers if cover.offset + cover.size > given]

    def remember(self, octets: bytes, first: int) -> None:
        """What a client has said is secret, from there on: where its server says it again, it is masked."""
        if self.echo is None:
            self.echo = Echo()
        server = self.server
        shown = self._given - server.offset
        if shown > 0 and (half_read := server.half_read):
            self.echo.settle(half_read[:shown], shown, server.offset)
        self.echo.remember(octets, first)

    @property
    def listing(self) -> bool:
        """Whether what the server says next lists what it can do, if it is good."""
        return self.starttls is not None and bool(self.pending) and self.pending[0].verb in self.starttls.lists

    def heard(self, line: bytes, size: int, begin: int, partial: bool = False) -> bytes:
        """A line of the server's without what comes back of the client's secrets.

        `size`: its octets, of which it may be the head; `begin`: where in the stream it begins.
        """
        echo = self.echo
        if echo is None or (self.listing and line[:3] in (b"250", b"+OK")):
            return line
        shown = echo.veiled(line, begin)
        if shown is not line and not partial:
            echo.said.append((shown, line))
            if self.seen is not None:
                echo.covers.append(Cover(begin, shown, size))
        return shown

    def heard_so_far(self, line: bytes, partial: bool = False) -> bytes:
        """The same of the line in hand: where its client has spoken into it, and what follows may be another, of each of them."""
        if self.echo is None:
            return line
        heard, begin, reader = [], 0, self.server
        for place in [*reader.spoken, len(line)]:
            after = line[place:]
            if begin < place and (not after or self.may_reply(after) or self.begins(False, after)):
                half = line[begin:place]
                heard.append(self.heard(half, len(half), reader.offset + begin, partial))
                begin = place
        return b"".join(heard)

    def _exact(self, pdu: PDU, echo: Echo) -> None:
        """What was read as it is shown: its octets are those that came, and it is told as a masked capture tells it."""
        pdu.note, pdu.veiled = pdu.text, pdu.raw
        for line, said in echo.said:
            pdu.raw = pdu.raw.replace(line, said, 1)
        echo.said.clear()

    def _judged(self, pdu: PDU, judge: Callable[[PDU | Message, Session], Verdict | None]) -> None:
        verdict = judge(pdu, self)
        if self.gate is None or self._cut:
            return
        if pdu.direction is C2S and pdu.kind in wary.LINES:
            verdict = strictest((verdict, *wary.verdicts(self, pdu, judge)))
        if verdict is not None:
            self.instead = self.gate.rule(pdu, verdict)

    # What each protocol says where not all servers read alike, and somebody judges

    def wary(self, pdu: PDU) -> tuple[bytes, Sequence[bytes]]:
        """What is said to a client's line that servers read differently, if it is refused; other readings of it, to be judged."""
        return b"", ()

    def read_as(self, line: bytes) -> tuple[str, Mapping[str, str]]:
        """The verb and the details of a line that is read as a command."""
        return "", NOTHING

    def refusal(self, why: str) -> bytes:
        """What mailspy says to a line that it does not let pass."""
        return b""

    def farewell(self, why: str) -> bytes:
        """What mailspy says where it ends a flow."""
        return b""

    def goes_on_after(self, command: PDU, answer: bytes) -> bool:
        """Whether what follows such an answer to a command is no command: a server that never saw it would take it for one."""
        starttls = self.starttls
        return starttls is not None and command.verb == starttls.verb and answer.startswith(starttls.positive)

    def opening_refused(self, exchange: Exchange) -> bytes:
        """What mailspy answers to a command whose octets the server would not take for what they are; empty where it would."""
        return b""

    def read_instead(self, pdu: PDU) -> None:
        """The line of that draft is not the one that leaves: that one is read in its place, as if it had come."""
        instead, self.instead = self.instead, None
        assert instead is not None
        self.number = pdu.number - 1
        if pdu.direction is S2C:
            self._uncover(pdu.offset)
            self.server.offset = pdu.offset
            self.server.say(instead)
            return
        if self.seen is not None and pdu.secret is not None:
            self.hidden.append(cover_of(pdu))
        longer = len(instead) - pdu.size
        if self.hidden:
            self.hidden = [cover.moved(longer) for cover in self.hidden]
        if self.taint > pdu.offset:
            self.taint += longer
        self.client.offset = pdu.offset
        self.client.say(instead)

    def _uncover(self, offset: int) -> None:
        """The server's line there is not the one that crosses, nor what was to be shown of it."""
        if self.echo is not None:
            self.echo.covers = [cover for cover in self.echo.covers if cover.offset < offset]

    def tell(self, pdu: PDU) -> PDU:
        """The PDU is accepted as it is: tells it."""
        if self.gate is not None:
            self.gate.passing(pdu)
        self.observer.pdu_seen(pdu, self)
        if self.seen is not None:
            self.seen.append(pdu)
            if pdu.secret is not None and pdu.direction is C2S and pdu.origin is PEER:
                self.hidden.append(cover_of(pdu))
        if self._cut:
            self._cut = False
            self.anomaly("truncated", f"the stream ended in the middle of this {pdu.kind.value}", pdu)
        return pdu

    def emit(self, client: bool, kind: Kind, phase: str, verb: str, status: str, raw: bytes, size: int,
             client_state: str = "", transaction: int = 0, secret: tuple[int, int] | None = None,
             command: PDU | None = None, details: Mapping[str, str] = NOTHING, note: str = "") -> PDU:
        """Both at once, for what nothing can take the place of: it is no whole line."""
        pdu = self.draft(client, kind, phase, verb, status, raw, size, client_state, transaction, secret, command, details, note)
        self.instead = None
        return self.tell(pdu)

    def anomaly(self, name: str, detail: str, pdu: PDU | None = None) -> None:
        """Tells a deviation, or counts it where enough of its name were told; that it is the wrong protocol, once."""
        if name == "cross_protocol":
            if self._veil.crossed:
                return
            self._veil.crossed = True
        found = self._found[name] = self._found.get(name, 0) + 1
        if found <= self.limits.anomalies:
            self.observer.anomaly_found(Anomaly(CATALOGUE[name], pdu.number if pdu else None, detail, self.time), self)

    def sum_up(self) -> None:
        """The flow is over: tells of each deviation that was found too often how many were not told."""
        for name, found in self._found.items():
            more = found - self.limits.anomalies
            if more > 0:
                told = f"{more:,} more, {found:,} in all"
                self.observer.anomaly_found(Anomaly(CATALOGUE[name], None, told, self.time, more), self)

    def anomalies(self, found: list[tuple[str, str]], pdu: PDU) -> None:
        """Tells the deviations found in one PDU."""
        for name, detail in found:
            self.anomaly(name, detail, pdu)

    def answered(self, exchange: Exchange, pdu: PDU) -> None:
        """Keeps a reply with its exchange, for whoever asks for exchanges."""
        if self.observer.exchange_completed is None:
            return
        replies = exchange.replies
        if not isinstance(replies, list):
            exchange.replies = [pdu]
        elif len(replies) < REPLIES_KEPT:
            replies.append(pdu)
        else:
            replies[-1] = pdu

    def completed(self, exchange: Exchange) -> None:
        """Tells that an exchange is over."""
        if self.observer.exchange_completed is not None and exchange.command is not None:
            self.observer.exchange_completed(exchange, self)

    def settle(self, verb: str, outcome: Outcome) -> None:
        """Moves the machine by a reply, and tells when the phase has changed."""
        machine = self.machine
        before = machine.state
        if machine.settle(verb, outcome):
            self.observer.phase_changed(self, before)

    def hope(self, *machines: Machine) -> None:
        """Makes the expectations anew, where a reply has dashed them, before the next command is looked at.

        Only up to the first command from which on nothing is different: a peer may have thousands wait, and have each refused.
        """
        for place, machine in enumerate(machines):
            machine.stale = False
            before, machine.expected = machine.expected, machine.state
            for exchange in self.pending:
                hoped = exchange.hoped = exchange.hoped or ["", ""]
                if hoped[place] == machine.expected:
                    machine.expected = before
                    break
                hoped[place] = machine.expected
                machine.announce(exchange.verb)

    def hope_again(self, verb: str, *machines: Machine) -> None:
        """The same before a command of that verb; after what is missing, the first command tells the phase: this one, or the
        first in which it is in order."""
        self.hope(*machines)
        if self.joined:
            self.joined = False
            for machine in machines:
                if verb not in machine.table[machine.expected]:
                    machine.state = machine.expected = next(
                        (state for state, rows in machine.table.items() if verb in rows), machine.state)

    def too_many(self, pdu: PDU) -> None:
        """More commands wait for a reply than are kept: the reader waits too."""
        if not self.client.paused:
            self.client.paused = True
            self.anomaly("too_many_pipelined", f"{len(self.pending)} commands wait for replies", pdu)

    def room(self) -> None:
        """A reply has come: lets the reader go on when it waited for room only."""
        if self.client.paused and len(self.pending) <= self.limits.unanswered // 2 and not self.synchronising():
            self.client.resume()

    def release_client(self) -> None:
        """The reply is there that says how to read what the client sent after a synchronising command."""
        if self.client.held:
            self.anomaly("early_content", f"{self.client.held_size} octets did not wait for the reply")
        self.client.resume()

    def release_tainted(self) -> None:
        """The same after AUTH: nobody can tell a password that came too early from a command; nor of a line its beginning."""
        if self.client.held or self.client.buffer or self.client.long_head:
            self.taint = self.client.position
        self.release_client()

    def synchronising(self) -> bool:
        """Whether an unanswered command must be answered before the client's next octets can be read."""
        # Where one does, it is nearly always the last: the reader waits behind it.
        return any(exchange.entry is not None and exchange.entry.synchronises for exchange in reversed(self.pending))

    def talked_early(self) -> bool:
        """Whether the client speaks before the greeting; True once."""
        if self._early or not self.pending or self.pending[0].command is not None:
            return False
        self._early = True
        return True

    # Messages

    def open_message(self, message: Message) -> None:
        """A message begins to cross."""
        self.lacking = False
        self.message = message
        self.sink = self.observer.open_message(message, self)

    def content(self, pieces: list[bytes]) -> None:
        """Octets of the message in hand."""
        message, sink = self.message, self.sink
        if message is None or sink is None:
            return
        message.time = self.time
        for piece in pieces:
            message.size += len(piece)
            sink.feed(piece)

    def close_message(self, complete: bool) -> None:
        """The message in hand is over."""
        message, sink, self.sink = self.message, self.sink, None
        if message is not None:
            message.time = self.time
            complete = complete and not self.lacking
            if sink is not None:
                sink.close(complete)
            if complete and self.observer.judge is not None:
                verdict = self.observer.judge(message, self)
                if verdict is not None and self.gate is not None:
                    self.gate.rule(message, verdict)
            self.message = None

    # What the readers call

    def client_line(self, line: bytes, size: int) -> None:
        """A line from the client; `size` is larger than `line` when only its head was kept."""
        raise NotImplementedError

    def server_line(self, line: bytes, size: int) -> None:
        """A line from the server; where nobody reads what the server says, it is mailspy's own."""
        self.emit(False, Kind.OPAQUE, self.phase, "", "", line, size)

    def body_end(self, reader: Reader, head: bytes, size: int, ambiguous: bool) -> None:
        """A body is over, or cut short."""
        raise NotImplementedError

    def held_too_much(self, reader: Reader) -> None:
        """The reader holds more than it may: un-pause it so that it reads on, or give up."""
        raise NotImplementedError

    def truncated(self, reader: Reader, silent: bool = False) -> None:
        """The PDU that comes next was cut short by the end of the stream."""
        self._cut = not silent

    def partial_line(self, reader: Reader, rest: bytes, secret: tuple[int, int] | None) -> None:
        """A line without its end, at the end of the stream; `secret`: where one stands in it."""
        kind = Kind.COMMAND if reader.client else Kind.REPLY
        self.emit(reader.client, kind, self.phase, "", "", rest, len(rest), self.client_state, 0, secret)

    def partial_secret(self, rest: bytes) -> tuple[int, int] | None:
        """Where a secret stands in the client's line that begins so."""
        return None

    def unread_secret(self, lines: bytes) -> tuple[int, int] | None:
        """Where there are secrets in what nobody reads as commands."""
        return None

    @property
    def cut_short(self) -> bool:
        """Whether the PDU in hand is cut short by the end of the stream: nothing takes its place."""
        return self._cut

    @property
    def reply_in_hand(self) -> int:
        """Octets of the server's that were cut off and belong to a reply of several lines that is not whole."""
        return 0

    @property
    def between_replies(self) -> bool:
        """Whether the server's next octets begin something new, to the client too: then mailspy may speak in its place."""
        return self.server.step is Reader.line and not self.reply_in_hand and self._given <= self.server.offset

    @property
    def _given(self) -> int:
        """Up to where the client has got what the server has said, as far as that was read.

        What came before it was known what the flow is may have left long ago.
        """
        return self.server.position if self.gate is None else min(self.server.position, self.gate.given)

    @property
    def downwards(self) -> bool:
        """Whether messages cross from the server to the client."""
        return False

    @property
    def secretive(self) -> bool:
        """Whether all of the client's line in hand is a secret: AUTH waits for it, or it came before AUTH was answered."""
        return False

    def holds(self) -> int:
        """What the client's reader holds, as far as anybody knows; see `hold`."""
        return LINES

    def comes_after(self, line: bytes) -> int:
        """The same of what comes after a line that is held."""
        return LINES

    # TLS and octets that are not read

    def offered(self, pdu: PDU) -> None:
        """The server has said what it can do."""
        starttls = self.starttls
        if starttls is None:
            return
        # As a masked capture has it.
        listed = pdu.shown
        capabilities = frozenset(starttls.capabilities(listed))
        before, self._veil.offered = self._veil.offered, None
        if self.tls or self._veil.legs:
            if before is not None and (told := differing(before, capabilities)):
                self.anomaly("capabilities_differ", told, pdu)
            return
        self._veil.offered = capabilities
        offered = starttls.verb in capabilities
        if before is None and (mechanism := in_the_clear(listed)):
            self.anomaly("auth_offered_in_clear", mechanism, pdu)
        if self.offers is not None and not self._veil.edited and self.offers.withdrawn(self.flow.server, offered):
            self.anomaly("starttls_withdrawn", f"{self.flow.server} has offered {starttls.verb} before", pdu)

    def suspended(self, pdu: PDU) -> bool:
        """Whether the reply that TLS begins after waits: then it was not read, and what comes with it is nobody's."""
        if self.gate is None or not self.gate.suspends(pdu):
            return False
        self.number = pdu.number - 1
        self._uncover(pdu.offset)
        self.server.offset = pdu.offset
        self._veil.waiting = pdu.raw
        self.server.stop()
        if pdu.origin is MAILSPY:
            self.server.said.pop()
        return True

    def resumed(self, reply: bytes, own: bool) -> None:
        """The client gets that reply now, which has been judged; `own`: mailspy's."""
        self.server.go_on()
        self._approved = True
        # The first of its lines may have left before.
        self.server.say(reply if own else self._veil.waiting, own)
        self._approved = False

    def rejected(self) -> None:
        """The client never gets it: as much of it as has left before is all of it."""
        self.server.go_on()
        if self.gate is not None and (left := self.gate.given - self.server.offset) > 0:
            self.server.say(self._veil.waiting[:left], False)

    def answered_tls(self, agreed: bool, odd: str = "") -> None:
        """The server has answered the command that begins TLS; `odd`: its status, where that is good and agrees to nothing."""
        if agreed:
            self.start_tls()
        if agreed or self._veil.failed:
            self.client.resume()
            return
        verb = self.starttls.verb if self.starttls is not None else ""
        offered = "offered and " if verb in (self._veil.offered or ()) else ""
        if odd:
            self.anomaly("starttls_refused", f"{odd} agrees to no TLS: {verb} was {offered}not accepted")
        elif not self._veil.edited:
            self.anomaly("starttls_refused", f"{verb} was {offered}refused")
        self.release_client()

    def start_tls(self) -> None:
        """TLS was agreed on: from here both directions are records."""
        self.tls = self._veil.agreed = True
        held = self.client.waiting
        self._veil.server, self._veil.client = self.server.offset, self.client.offset
        self.client.step = self.server.step = Reader.record
        if held and held[:1] != b"\x16":
            self._veil.server, self.client.hello_due = -1, self.client.position
            self.anomaly("plaintext_after_starttls", f"{len(held)} octets came in the clear before the reply")

    def clear_again(self, line: bytes) -> bool:
        """Whether the client's first line where a TLS record was due is a command, and the session goes on in the clear.

        A tap behind the TLS, and a capture that was decrypted, hold such sessions.  A server that speaks first injects.
        """
        if self._veil.unasked and self.begins(True, line):
            self.tls = False
            self.client.step = Reader.line
            return True
        if not self.tls or max(self._given, self.server.offset) != self._veil.server or not self.begins(True, line):
            return False
        self.unveiled = True
        self.client.step = self.server.step = Reader.line
        self.anomaly("clear_after_starttls", "the client goes on with a command where a TLS handshake was due")
        return True

    def noted(self, findings: Sequence[Finding], secured: bool) -> None:
        """What the live proxy knows of the flow; `secured`: from here on what crosses in TLS is seen in the clear."""
        self._veil.legs |= {str(finding.fields.get("leg")) for finding in findings if finding.event == "tls"}
        if secured:
            self.unveil("server" in self._veil.legs)
        for finding in findings:
            self.report(finding)
            if finding.event == "tls_policy":
                self._veil.edited = True
            elif finding.event == "tls_failed":
                self._veil.failed = True
                self._injected(finding.fields)
            elif finding.event == "tls":
                self._leg(finding.fields)
            elif finding.event == "tls_passed":
                self.give_up()

    def worded(self, words: Words) -> None:
        """In replay: what mailspy has said in somebody's place, in what comes next."""
        if len(self.recorded) < self.limits.unanswered:
            self.recorded = {number: line for number, line in (*self.recorded.items(), *words.instead) if number > self.number}
        if words.divided:
            self.server.divide()
        self.injected(words.injected)
        if words.withheld:
            self.server.feed(words.withheld)
        if words.closing:
            self.close_server()
        if len(self.server.said) < self.limits.unanswered:
            self.server.said += words.said

    def injected(self, octets: tuple[int, int]) -> None:
        """So many octets in the clear came with the client's wish for TLS and with the server's agreement, and went nowhere."""
        for count, what in zip(octets, ("command", "reply"), strict=True):
            if count:
                self.anomaly("plaintext_after_starttls", f"{count} octets came in the clear with the {what}, and went nowhere")

    def withdraw(self, left: int) -> None:
        """What the server has sent past that offset and the client did not get crosses no more."""
        self.server.withdraw(left)
        self._uncover(left)

    def close_server(self) -> None:
        """The client gets no more of the server's words: at most mailspy's own come now."""
        self.server.close()

    def _injected(self, fields: Mapping[str, object]) -> None:
        """Where mailspy itself has asked the server for TLS, which no PDU shows."""
        if octets := fields.get("injected"):
            self.anomaly("plaintext_after_starttls", f"{fields.get('leg')} leg: {octets} octets came in the clear with the reply")

    def _leg(self, fields: Mapping[str, object]) -> None:
        """One leg is in TLS: is anything odd about it?"""
        leg = f"{fields.get('leg')} leg"
        self._injected(fields)
        if told := weak(str(fields.get("version", "")), str(fields.get("cipher", ""))):
            self.anomaly("weak_tls", f"{leg}: {told}")
        offered = fields.get("alpn_offered")
        if isinstance(offered, list) and offered and MAIL_ALPN.isdisjoint(map(str, offered)):
            self.anomaly("cross_protocol", f"{leg}: TLS for {', '.join(map(str, offered))} (ALPN)")

    def unveil(self, whole: bool = True) -> None:
        """From here on what crosses in TLS is seen in the clear: other streams, of which nothing has come.  `whole`: not on the
        client's leg alone."""
        self.tls = self.unveiled = whole
        self._veil.server = -1
        self.client.renew()
        self.server.renew()

    @property
    def failed(self) -> bool:
        """Whether TLS has failed, and with it the session."""
        return self._veil.failed

    @property
    def veiled(self) -> bool:
        """Whether records are due, and none has come."""
        veil = self._veil
        return self.tls and not self.unveiled and (veil.server, veil.client) == (self.server.offset, self.client.position)

    def unasked_tls(self) -> None:
        """The client's first octets begin a TLS handshake on a port that begins in the clear."""
        self.tls = True
        self.client.step = Reader.record
        if self.flow.sealed:
            # A capture of records whose keys are not there.
            self.unveiled = False
            self.server.step = Reader.record
            return
        self._veil.unasked = True
        self.anomaly("cross_protocol", "TLS on a port that begins in the clear")
        self.judge_unread()

    @property
    def agreed(self) -> bool:
        """Whether TLS was agreed on in the session."""
        return self._veil.agreed

    @property
    def uncovered(self) -> bool:
        """Whether the records that cross are TLS that nobody has agreed on: lines may come at any time."""
        return self._veil.unasked

    def hides(self, kind: int, length: int) -> bool:
        """Whether something of such a type and length is a record, where nobody has agreed to TLS: once the server has answered
        in the clear, only the alert with which the client goes away."""
        return not self._veil.exposed or (kind == ALERT and length == 2)

    def answered_in_clear(self) -> bool:
        """The server has said something that answers nothing; True where it answers what was taken for TLS."""
        veil = self._veil
        if veil.unasked and not veil.exposed:
            veil.exposed = True
            self.client.uncover()
        return veil.unasked

    def opaque_seen(self, reader: Reader, head: bytes, size: int, record: bool) -> None:
        """A TLS record, or octets that nobody reads."""
        early = self.tls and not record and reader.step is Reader.record
        secret: tuple[int, int] | None = None
        note = ""
        unheard = not reader.client and self.client.step is Reader.opaque
        if early and not reader.client:
            head = self.heard(head, size, reader.offset - size)
        if record:
            note = f"{self.observer.describe_record(head)}, {size} octets"
        elif not early or unheard:
            note = f"{size} octets not read"
            # What a server says to what nobody reads may repeat it.
            secret = (0, len(head)) if unheard or reader.client or self.client.position else None
        elif reader.client:
            secret = self.unread_secret(head)
        pdu = self.emit(reader.client, Kind.OPAQUE, self.phase, "", "", head, size, self.client_state, 0, secret, None,
                        NOTHING, note)
        hello = _SERVER_HELLO.search(note) if record and not reader.client else None
        if hello is not None and (told := weak(hello[1], "")):
            self.anomaly("weak_tls", told, pdu)
        if early and reader.client and self.comes_after(head) != LINES:
            # What comes is no command where this is one: some of it may be secret, and none of it is TLS.
            reader.give_up()
        if not self._veil.agreed:
            return
        if early:
            self.anomaly("plaintext_after_starttls", "clear text where a TLS record was due", pdu)
        elif not reader.client and self.client.position == self._veil.client:
            self.anomaly("plaintext_after_starttls", "the server's octets come before the client's hello", pdu)
