"""Carrying verdicts out: which octets of a flow may leave, and what leaves in their place.

Rules.  Only in use when some plugin judges, or when TLS that begins in the session concerns us.  A line leaves when it was
judged; a body streams, but for the few octets of its end, which wait for the verdict on its message.  What is no longer read is
judged once, before it leaves.  An answer in the server's place takes its turn among the server's replies, and the session reads
it as if the server had sent it: what the session sees is what the client sees.

The wall: where TLS is agreed on, nothing leaves any more, nor what came with the command or its reply.

Knows a session and its readers.  Must not know sockets or plugins.
"""

from __future__ import annotations

from typing import Final

from inspector.arrival import Arrival
from inspector.mask import covered
from inspector.pdu import C2S, MAILSPY, PDU, Finding, Kind, Message
from inspector.protocols.line import line_end
from inspector.reader import Reader
from inspector.reasons import PLUGIN, TOO_MUCH_HELD
from inspector.segment import SILENT, Words
from inspector.session import Session
from inspector.starttls import HIDE, PASS, REFUSE, SERVE, Policy, StartTls
from inspector.verdict import Answer, Close, Forward, Replace, Verdict

LINES: Final = frozenset({Kind.GREETING, Kind.COMMAND, Kind.REPLY, Kind.CONTINUATION, Kind.SASL_RESPONSE})
UNFINISHED: Final = "an answer in the server's place that asks for more than a command"
STRANDED: Final = "a command in the place of another that is followed by something else, and what followed it is here"
EVADED: Final = "what the server says is no reply, after which this line could be answered in its place"
_HELLO: Final = b"\x16\x03"
"""How a TLS handshake begins."""
_STANCES: Final = {SERVE: "offers {} in the server's place", HIDE: "hides {}, which the client is to believe there is not",
                   REFUSE: "refuses {} in the server's place"}
"""What is told of a session in which the server is not asked for TLS."""


Held = tuple[bool, int, int, str]
"""Of octets that are held: whether they are the client's, where they begin in its stream, how many they are, and why."""
TLS_WAITS: Final = "TLS with the server is not there yet"
HELLO_WAITS: Final = "the client begins TLS, and no reply says whether the server does"
HALF_HEADER: Final = "it is not known yet what they begin"
HALF_GREETING: Final = "the greeting has no line end yet, and judges see lines whole"
BODY_WAITS: Final = "they may be the end of a message, which judges see whole"
CHUNK_WAITS: Final = "a chunk leaves when the replies before it tell whether the server takes it"
LISTING: Final = "the reply is not whole yet"
HALF_LINE: Final = "the line has no end yet, and judges see lines whole"
WITHHELD: Final = 5
"""Octets of a content that a client does not get whose flow is ended at it: `CRLF . CRLF` at least."""
LONGEST_COMMAND: Final = 512
"""Octets of a line that may be the command that begins TLS (RFC 5321 §4.5.3.1.4)."""
NOWHERE: Final = 1 << 62
"""An offset that no stream reaches."""
HELD: Final = 2
"""A lane holds so many times `Limits.held`: what its reader holds, and a line without end.  Past it the flow is ended."""


class Lane:
    """The octets of one direction between their coming and their leaving."""

    __slots__ = ("_edits", "_fresh", "_held", "barrier", "base", "edited", "leaving")

    def __init__(self) -> None:
        self._edits: list[tuple[int, int, bytes]] = []
        """What leaves in the place of what, in order: begin, end, octets.  The end may be still to come."""
        self.barrier = NOWHERE
        """Nothing from this offset on leaves."""
        self.base = 0
        """Where in the session's stream the held octets begin."""
        self._held = bytearray()
        self._fresh = b""
        """What has come last while nothing was held: most segments leave as they came, and are not copied for that."""
        self.leaving: list[bytes] = []
        self.edited = False
        """Some of what leaves is not what came: places in the two are no longer the same."""

    @property
    def held(self) -> bytearray:
        """The octets that have come and not left."""
        if self._fresh:
            self._held += self._fresh
            self._fresh = b""
        return self._held

    def came(self, data: bytes) -> None:
        """Octets have come."""
        if self._held or self._fresh:
            self.held.extend(data)
        else:
            self._fresh = data

    def clear(self) -> None:
        """Nothing of what is held will ever leave."""
        self.drop(len(self.held))

    def edit(self, begin: int, end: int, raw: bytes = b"") -> None:
        """When their turn comes those octets do not leave; what leaves in their place nobody else has sent."""
        self._edits.append((begin, end, raw))
        if len(self._edits) > 1:
            self._edits.sort()

    def release(self, offset: int) -> None:
        """Lets everything before that offset leave, as edited."""
        offset = min(offset, self.barrier)
        while self._edits and self._edits[0][0] < offset:
            begin, end, raw = self._edits.pop(0)
            if end <= self.base:
                continue
            self._pass(begin)
            if raw:
                self.leaving.append(raw)
            self.drop(min(end, offset) - self.base)
            if end > offset:
                self._edits.insert(0, (offset, end, b""))
        self._pass(offset)

    def _pass(self, offset: int) -> None:
        count = offset - self.base
        if count <= 0:
            return
        if count >= len(self._fresh) and self._fresh:
            self.leaving.append(self._fresh)
            self.base += count
            self._fresh = b""
        else:
            self.leaving.append(bytes(self.held[:count]))
            self.drop(count)

    def drop(self, count: int) -> None:
        """Takes octets away."""
        del self.held[:count]
        self.base += count

    def put(self, offset: int, size: int, raw: bytes) -> None:
        """Octets of our own take the place of so many, as if they had come."""
        self.edited = True
        at = offset - self.base
        self.held[at:at + size] = raw

    def take(self) -> bytes:
        """What leaves now."""
        leaving = self.leaving
        if not leaving:
            return b""
        self.leaving = []
        return leaving[0] if len(leaving) == 1 else b"".join(leaving)


class FlowGate:
    """The gate of one flow."""

    __slots__ = ("_agreed", "_answers", "_chunks", "_client", "_instead", "_judged", "_lines", "_listing", "_own", "_reply",
                 "_said", "_server", "_told", "_waits", "_withholding", "arrival", "closed", "closing", "edits", "hello", "over",
                 "policy", "session", "starttls", "why")

    def __init__(self, policy: Policy = PASS, judged: bool = True) -> None:
        """`policy`: what becomes of TLS that begins in the session; `judged`: no line leaves before it was judged."""
        self.session: Session | None = None
        self.arrival: Arrival | None = None
        """What is known of the flow while it is not known what it is."""
        self.closing: Close | None = None
        """The flow is to be ended, with this farewell."""
        self.why = PLUGIN
        """For what reason it then ends."""
        self.closed = False
        """It is: nothing crosses any more."""
        self._withholding = False
        """It is ended at a content for the client, which is not to have the end of that."""
        self._said: list[tuple[int, int]] = []
        self._lines: dict[int, bytes] = {}
        """Lines that leave in the place of the client's, by the numbers of their PDUs, until they are read."""
        self._instead: list[tuple[int, bytes, tuple[int, int] | None]] = []
        """The same, read, with the place of their secrets: see `words`."""
        self.starttls: StartTls | None = None
        """How TLS begins in the protocol, where that concerns us."""
        self._judged = judged
        self.policy = policy
        self.edits: list[Finding] = []
        """What was changed of the server's words, for whoever tells it."""
        self.hello = b""
        """What the client has sent after its command and before the reply, and what begins TLS."""
        self._client = Lane()
        self._server = Lane()
        self._answers: dict[int, bytes] = {}
        """Answers that wait for their turn, by the number of the command's PDU."""
        self._chunks: list[tuple[PDU, int]] = []
        """Commands that open so many octets, and wait until the server is known to take them: the PDU, the octets' end."""
        self._reply = (0, 0)
        """Where the server's last PDU begins and ends."""
        self._listing = False
        """That PDU belongs to a list of capabilities."""
        self._told = False
        """It is told what is done in the server's place."""
        self._agreed = self._waits = self._own = False
        """TLS begins; the reply that says so waits; it is mailspy's."""
        self.over = False
        """The server has ended: nobody answers in its place."""

    @property
    def judged(self) -> bool:
        """Whether somebody judges, and nothing leaves before."""
        return self._judged

    def came(self, client: bool, data: bytes) -> None:
        """Octets have come; the session reads them next."""
        if self.closed:
            return
        (self._client if client else self._server).came(data)

    def leaves(self, client: bool) -> bytes:
        """What may leave in one direction, after the session has read."""
        lane = self._client if client else self._server
        session = self.session
        if self.closing is None and self.arrival is not None and not lane.edited and self.arrival.keeps(client):
            strict = self._judged or (client and self.policy.answer is not None)
            lane.release(self.arrival.free(client, strict))
        if session is not None and self.closing is None:
            if not self._agreed:
                lane.release(self._limit(session, client))
            elif not client:
                lane.release(self._reply[0])
            if len(lane.held) > HELD * session.limits.held:
                self.closing, self.why = Close(), TOO_MUCH_HELD
        return lane.take()

    def words(self, keep_secrets: bool) -> Words:
        """What was said in somebody's place since the last time."""
        if not self._said and not self._instead:
            return SILENT
        said, self._said, instead, self._instead = self._said, [], self._instead, []
        return Words(tuple(said), tuple((number, raw if keep_secrets or secret is None else covered(raw, *secret))
                                        for number, raw, secret in instead))

    def withdraw(self) -> bytes:
        """The flow is over for the server's words: what the client did not get of them has never crossed.  Gives what leaves."""
        session, lane = self.session, self._server
        if self._agreed:
            lane.clear()
        elif session is not None and not self.closed:
            session.withdraw(lane.base)
            lane.clear()
        elif self.arrival is not None and not self.closed:
            self.arrival.withdraw(lane.base)
            lane.clear()
        return lane.take()

    @property
    def divided(self) -> bool:
        """Whether half a line of the server's ended at one that has not left, and may never."""
        return self.session is not None and self.session.server.divided == self.session.server.offset

    def end(self) -> tuple[bytes, Words, bytes]:
        """Ends the flow as a judge has said: the last that the client gets of the server's words, what is told of that, and
        mailspy's own last words."""
        session, closing, lane = self.session, self.closing, self._server
        assert closing is not None
        self.closed = True
        self._answers.clear()
        if session is None:
            return b"", SILENT, closing.farewell
        end = max(lane.base, self._limit(session, False))
        session.withdraw(end)
        withheld = min(WITHHELD, end - lane.base) if self._withholding else 0
        lane.release(end - withheld)
        left, kept = lane.take(), bytes(lane.held[:withheld])
        lane.clear()
        divided = self.divided
        session.close_server()
        begin = session.server.offset
        farewell = b"" if self.over else closing.farewell
        if farewell:
            session.server.say(farewell)
        return left, Words(((begin, begin + len(farewell)),), (), kept, closing=True, divided=divided), farewell

    def _limit(self, session: Session, client: bool) -> int:
        reader = session.client if client else session.server
        starttls, policy = self.starttls, self.policy
        if starttls is not None and not client and policy.offered is not None and self._in_list(session, starttls):
            return self._reply[1]
        if self._judged:
            return reader.safe if client else reader.safe - session.reply_in_hand
        waits = policy.answer is not None if client else (
            starttls is not None and self._asked(session))
        # A line that may be the command, or the reply to it, leaves as a whole; others as they come.
        if waits and ((not reader.long_head and len(reader.buffer) <= LONGEST_COMMAND)
                      or (client and starttls is not None and starttls.may_begin(reader.half_read))):
            return reader.safe
        follows = self.policy.answer is None and not (self.policy.seen and self._asked(session))
        return reader.position if follows else reader.position - reader.held_size

    def _in_list(self, session: Session, starttls: StartTls) -> bool:
        """Whether a list of capabilities is being read, which is changed as a whole."""
        if session.server.in_body:
            return self._listing
        if session.server.step is Reader.opaque:
            return False
        return bool(session.pending) and session.pending[0].verb in starttls.lists

    def rest(self, client: bool) -> bytes:
        """What a direction still holds when its sender ends: it leaves as it is, but for a client's where somebody judges.

        Of a server's last words judges are asked, unread.
        """
        lane, session = self._client if client else self._server, self.session
        self.over = self.over or not client
        if self._judged and not client and session is not None and lane.held:
            session.judge_unread(False)
        if (self._judged and client) or self._agreed or self.closing is not None:
            return b""
        lane.release(lane.base + len(lane.held))
        return lane.take()

    def refuse(self, farewell: bytes) -> None:
        """The flow is to be ended: nothing more leaves but the farewell."""
        if self.closing is None:
            self.closing = Close(farewell)

    def rule(self, subject: PDU | Message, verdict: Verdict) -> bytes | None:
        """A judge has spoken about the PDU or the message in hand.  Gives what leaves in the place of a line, if anything."""
        if self.closing is not None:
            return None
        if isinstance(verdict, Close):
            return self._close(subject, verdict)
        if isinstance(subject, Message):
            if isinstance(verdict, Answer):
                self._close(subject, Close(verdict.raw))
        elif subject.kind in LINES and not isinstance(verdict, Forward):
            if self.session is not None and (why := self._strands(self.session, subject, verdict)):
                self.refuse(self.session.farewell(why))
                return None
            return self._rule_line(subject, verdict)
        return None

    def _strands(self, session: Session, pdu: PDU, verdict: Replace | Answer) -> str:
        """Why what the client goes on with would be read as something else after such a verdict; empty where it would not."""
        if isinstance(verdict, Answer):
            return UNFINISHED if session.goes_on_after(pdu, verdict.raw) else ""
        goes_on = self._client.base + len(self._client.held) > pdu.offset + pdu.size
        other = pdu.kind is Kind.COMMAND and goes_on and session.comes_after(pdu.raw) != session.comes_after(verdict.raw)
        return STRANDED if other else ""

    def _close(self, subject: PDU | Message, verdict: Close) -> bytes | None:
        """The flow is to be ended.  A line of the server's that says so is none any more: nothing leaves in its place."""
        self.closing = verdict
        if isinstance(subject, Message):
            self._withholding = subject.session.downwards
        elif subject.direction is not C2S:
            if subject.kind in LINES:
                return b""
            self._withholding = True
        return None

    def _rule_line(self, pdu: PDU, verdict: Replace | Answer) -> bytes | None:
        client = pdu.direction is C2S
        lane = self._client if client else self._server
        if pdu.offset < lane.base:
            return None  # it has been ruled upon
        if isinstance(verdict, Replace) or not client:
            lane.put(pdu.offset, pdu.size, verdict.raw)
            if client:
                self._lines[pdu.number] = verdict.raw
            else:
                self._said.append((pdu.offset, pdu.offset + len(verdict.raw)))
            return verdict.raw
        lane.edit(pdu.offset, pdu.offset + pdu.size)
        if self.closing is None:
            lane.release(pdu.offset + pdu.size)
        self._answers[pdu.number] = verdict.raw
        return None

    def opens(self, pdu: PDU, octets: int) -> None:
        """So many octets of the client's belong to its command: where that is answered here, the server gets none of them.

        Else both wait until the replies before are there: they tell whether the server takes such octets for what they are.
        """
        end = pdu.offset + pdu.size + octets
        if pdu.number in self._answers:
            self._client.edit(pdu.offset + pdu.size, end)
        elif self._judged:
            self._chunks.append((pdu, end))
            self._client.barrier = min(self._client.barrier, pdu.offset)

    def _settle_chunks(self, session: Session) -> None:
        while self._chunks:
            pdu, end = self._chunks[0]
            waiting = next((exchange for exchange in session.pending if exchange.command is pdu), None)
            if waiting is not None and waiting is not session.pending[0]:
                break
            if waiting is not None and (raw := session.opening_refused(waiting)):
                self._client.edit(pdu.offset, end)
                self._answers[pdu.number] = raw
            del self._chunks[0]
        self._client.barrier = self._chunks[0][0].offset if self._chunks else NOWHERE

    @property
    def full(self) -> bool:
        """Whether so much of a chunk waits for replies that no more of it should be read before they come."""
        return bool(self._chunks) and self.session is not None and len(self._client.held) > self.session.limits.held

    @property
    def chunk_waits(self) -> bool:
        """Whether a chunk waits for replies."""
        return bool(self._chunks)

    def take_turns(self) -> None:
        """Gives the answers whose turn has come: called before each line of the server is read, and after each feed."""
        session = self.session
        if self._agreed:
            return
        if self.closing is not None:
            if session is not None and not self.closed and session.server.step is Reader.line:
                session.server.stop()
            return
        if self._chunks and session is not None:
            self._settle_chunks(session)
        while self._answers and not self.over and session is not None and session.pending and session.between_replies:
            command = session.pending[0].command
            raw = self._answers.pop(command.number, None) if command is not None else None
            if raw is None:
                if session.evaded is session.pending[0]:
                    # The turn never comes.
                    self.refuse(session.farewell(EVADED))
                return
            begin = session.server.offset
            self._server.put(begin, 0, raw)
            self._said.append((begin, begin + len(raw)))
            session.server.say(raw)

    # TLS that begins in the session

    def passing(self, pdu: PDU) -> None:
        """A PDU was cut off: is it mailspy's own, or about TLS?"""
        if pdu.origin is MAILSPY and pdu.direction is C2S and (line := self._lines.pop(pdu.number, None)) is not None:
            self._instead.append((pdu.number, line, _whole(pdu, line)))
        if (self._judged and pdu.direction is C2S and pdu.kind in LINES and pdu.raw[-2:] != b"\r\n" and pdu.raw[-1:] == b"\n"
                and pdu.number not in self._answers):
            # To some servers LF alone ends no line: what comes next would be read as one with it.
            end = pdu.offset + pdu.size
            self._client.edit(end - 1, end, b"\r\n")
        starttls, policy = self.starttls, self.policy
        if starttls is None or self._agreed:
            return
        if not self._told:
            self._tell(starttls)
        if pdu.direction is C2S:
            if policy.answer is not None and not self.over and pdu.verb == starttls.verb and pdu.kind is Kind.COMMAND:
                self._rule_line(pdu, Answer(starttls.accepted if policy.answer else starttls.refused))
            return
        self._reply = (pdu.offset, pdu.offset + pdu.size)
        self._listing = pdu.verb in starttls.lists
        if self._listing and pdu.kind is Kind.BODY and (edited := self._edited(pdu)) is not None and self.session is not None:
            # The session goes on in the stream that the client gets.
            self.session.server.offset += len(edited) - pdu.size
            pdu.raw, pdu.size, pdu.note, pdu.origin = edited, len(edited), "", MAILSPY
            self._reply = (pdu.offset, pdu.offset + pdu.size)

    def _tell(self, starttls: StartTls) -> None:
        """What is done in the server's place, once a session: neither it nor its lists are then the server's own."""
        self._told = True
        if (stance := _STANCES.get(self.policy)) is not None:
            self.edits.append(Finding("tls_policy", f"mailspy {stance.format(starttls.verb)}", {
                "capability": starttls.verb, "offered": self.policy.offered, "accepted": self.policy.answer}))

    def edited(self, pdu: PDU) -> bytes | None:
        """What leaves in the place of a reply that lists what the server can do, if anything."""
        return self._edited(pdu) if pdu.kind is not Kind.BODY else None

    def _edited(self, pdu: PDU) -> bytes | None:
        starttls, offered, session = self.starttls, self.policy.offered, self.session
        if starttls is None or offered is None or session is None or self._agreed or session.cut_short or pdu.origin is MAILSPY:
            return None
        edited = starttls.edited(pdu.raw, offered) if starttls.in_list(pdu) else pdu.raw
        if edited == pdu.raw or pdu.offset < self._server.base:
            return None
        self._server.release(pdu.offset)
        self._server.put(pdu.offset, pdu.size, edited)
        self._said.append((pdu.offset, pdu.offset + len(edited)))
        how = "offers" if offered else "hides"
        self.edits.append(Finding("tls_edit", f"mailspy {how} {starttls.verb} in the answer to {pdu.verb}", {
            "capability": starttls.verb, "offered": offered, "command": pdu.verb}))
        return edited

    @property
    def given(self) -> int:
        """Where in the server's stream begins what the client has not got."""
        return self._server.base

    def left(self, position: int) -> bool:
        """Whether the client has got what the server has said up to there: else it does not answer that."""
        return self._server.base >= position

    def suspends(self, pdu: PDU) -> bool:
        """A reply says that TLS begins.  Where that is ours to begin, it waits, and nothing leaves any more."""
        if self._agreed or not self.policy.seen:
            return False
        self._agreed, self._waits, self._own = True, True, pdu.origin is MAILSPY
        self._reply = (pdu.offset, pdu.offset + pdu.size)
        if self._own:
            self._said.pop()
        return True

    def agree(self) -> tuple[bytes, Words]:
        """There is TLS with the server, or there need not be: the session reads the reply, which leaves now."""
        session, reply = self.session, self.reply
        assert session is not None
        injected = (0, len(self._server.held) - len(reply))
        self._server.clear()
        begin, self._waits = session.server.offset, False
        divided = self.divided
        session.injected(injected)
        session.resumed(reply, self._own)
        return reply, Words(((begin, begin + len(reply)),) if self._own else (), injected=injected, divided=divided)

    def reject(self) -> Words:
        """There is no TLS: the client never gets the reply, nor the server what came with the command."""
        session = self.session
        assert session is not None
        injected = (len(self._client.held), len(self._server.held) - len(self.reply))
        self._agreed = self._waits = False
        self._client.clear()
        # None of it is given.
        self._server.held.clear()
        divided = self.divided
        session.rejected()
        session.injected(injected)
        return Words(injected=injected, divided=divided)

    @property
    def waits(self) -> bool:
        """Whether a reply waits for TLS."""
        return self._agreed and self._waits

    @property
    def agreed(self) -> bool:
        """Whether TLS begins, and is ours to begin."""
        return self._agreed

    def take_hello(self) -> bytes:
        """Takes away what the client has sent of its handshake before the reply to its command: none of it is the session's."""
        session = self.session
        if not self.policy.seen or session is None or not session.client.held or not self._asked(session):
            return b""
        reader = session.client
        if not (self.hello or reader.held[0][1][:1] == _HELLO[:1]) or len(self.hello) + reader.held_size > session.limits.held:
            return b""
        held = reader.waiting
        reader.held.clear()
        reader.held_size = 0
        del self._client.held[-len(held):]
        self.hello += held
        return held

    @property
    def reply(self) -> bytes:
        """The reply that waits, without what came with it."""
        return bytes(self._server.held[:max(0, self._reply[1] - self._server.base)])

    def give_hello(self) -> bytes:
        """There will be no TLS: what was taken away belongs to the session after all."""
        session = self.session
        if not self.hello or self._agreed or session is None or session.client.paused:
            return b""
        hello, self.hello = self.hello, b""
        return hello

    def holding(self) -> list[Held]:
        """What is held back, by whom it was sent, where it begins, how much it is, and why."""
        found = []
        session, agreed = self.session, self._agreed
        for client, lane in ((True, self._client), (False, self._server)):
            octets = len(lane.held) + (len(self.hello) if client else 0)
            if octets:
                reason = TLS_WAITS if agreed else self._reason(session, client)
                found.append((client, lane.base, octets, reason))
        return found

    def _reason(self, session: Session | None, client: bool) -> str:
        if client and self.hello:
            return HELLO_WAITS
        if session is None:
            return HALF_HEADER if client else HALF_GREETING
        reader = session.client if client else session.server
        if client and self._chunks:
            return CHUNK_WAITS
        if reader.held_size:
            waits = next((exchange.verb for exchange in session.pending), "")
            return f"they came before the reply to {waits or 'a command'}, which tells how to read them"
        if reader.in_body:
            return BODY_WAITS
        return LISTING if not client and session.server.offset > self._server.base else HALF_LINE

    def lapse(self) -> bool:
        """It has taken long: what waits for what it is goes on, and judges are asked first; TLS that nobody has agreed on, and
        that no judge can read, ends the flow.  True where something changes."""
        arrival, session = self.arrival, self.session
        if self.closing is not None or self._agreed:
            return False
        if arrival is not None and arrival.waiting and not arrival.lapsed:
            arrival.lapsed = True
            return True
        if session is not None and self._judged and session.client.half_read[:2] == _HELLO:
            self.closing = Close()
        return self.closing is not None

    def pass_hello(self) -> bytes:
        """Nobody says whether TLS begins: it is not ours to begin any more.  Gives what the client has sent of it."""
        hello, self.hello = self.hello, b""
        self.policy, self.starttls = PASS, None
        return hello

    def _asked(self, session: Session) -> bool:
        """Whether the command waits for its reply."""
        return self.starttls is not None and bool(session.pending) and session.pending[-1].verb == self.starttls.verb

    @property
    def breached(self) -> str:
        """Who has sent clear text with the command or with its reply: `client`, `server` or nobody."""
        if self._client.held:
            return "client"
        return "server" if len(self._server.held) > max(0, self._reply[1] - self._server.base) else ""

    def renew(self, policy: Policy) -> None:
        """The session goes on in TLS: other streams, of which nothing has come."""
        session = self.session
        assert session is not None
        self.policy, self._agreed, self.hello = policy, False, b""
        for lane, reader in ((self._client, session.client), (self._server, session.server)):
            lane.held.clear()
            lane.base = reader.offset
        self._reply = (session.server.offset, session.server.offset)


def _whole(pdu: PDU, line: bytes) -> tuple[int, int] | None:
    """Where the secret of a PDU stands in its line, of which it may have the head alone."""
    if pdu.secret is None:
        return None
    first, last = pdu.secret
    return first, last if len(line) == len(pdu.raw) else line_end(line)
