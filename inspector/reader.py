"""Reading one direction of a flow: cutting its octets into lines, contents, records, whatever the session asks for next.

Rules.  A reader has one *step* at a time; the step consumes octets and tells the session, or asks for more.  The session
may change the step, or pause the reader when the next octets cannot be interpreted yet: they are then held, with their times,
until it resumes.  Any cutting of the same octets leads to the same calls.  What waits for more is neither copied nor searched
again with each segment, and what is held not with each reply: time stays linear whatever the cutting.

Knows lines, dots, counts and TLS records.  Must not know any protocol, nor what its session makes of what it cuts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from inspector.doubt import Ends, Padded
from inspector.framing import DotContent
from inspector.posing import Posing
from inspector.remainder import Remainder

if TYPE_CHECKING:
    from inspector.session import Session

MORE_NEEDED: Final = -1
"""What a step returns when it cannot go on without further octets."""
LINE_NEEDED: Final = -2
"""The same when it cannot go on before the end of a line, or more octets than a line may have."""

TLS_HELLO: Final = 22
"""The first octet of a TLS handshake record; no mail command begins with it."""
RECORD_HEADER: Final = 5
CLIENT_HELLO: Final = 1
"""What a client's first handshake message is: its type.  No text begins so."""
RECORD_TYPES: Final = range(20, 25)
UNASKED_TYPES: Final = range(21, 23)
"""What TLS begins with that nobody has agreed on: a handshake, or an alert."""
RECORD_MAX: Final = 16_384 + 2_048
"""TLS: header and longest record (RFC 5246 §6.2.3, RFC 8446 §5.2)."""

FEW: Final = 2
"""Pieces of a content that are handed on as they are; more, around many stuffed dots, are joined: each costs like a segment."""
HALVES: Final = 32
"""Places in one line into which the other side spoke that are kept."""
HELD_PIECES: Final = 4_096
"""Held segments kept apart, each with its time; past it a segment is joined to the one before and takes its own time along."""


Octets = bytes | bytearray
"""What may grow."""
Piece = bytes | bytearray | memoryview
"""A segment that is held; a view is the rest of one."""


class Reader:
    """One direction of a flow."""

    __slots__ = ("_broken", "_came", "_content", "_ends", "_head", "_kept", "_left", "_long", "_padded", "_remainder", "_wanting",
                 "buffer", "client", "divided", "held", "held_size", "hello_due", "offset", "paused", "posing", "said", "session",
                 "step")
    __deletable__ = ("session",)
    """For the compiled form: what `del` may take away."""

    def __init__(self, session: Session, client: bool) -> None:
        self.session = session
        self.client = client
        """True for client to server."""
        self.step: Callable[[Reader, bytes, int], int] = Reader.line
        self.buffer: Octets = b""
        """The beginning of something that is not whole yet."""
        self._wanting: Callable[[Reader, bytes, int], int] | None = None
        """The step that has left it there, if it wants the end of a line."""
        self.offset = 0
        """How many octets of the direction have been cut off so far."""
        self.paused = False
        self.said: list[tuple[int, int]] = []
        """Where in the direction's stream mailspy's own words stand (begin, end), those before the line in hand left out."""
        self.held: deque[tuple[int, Piece]] = deque()
        """What has come while it was paused; a piece without octets is a gap, its time the size."""
        self.held_size = 0
        self._content: DotContent | None = None
        self._remainder: Remainder | None = None
        """What follows a dot in the content in hand that may have been its end, once there was one."""
        self.hello_due = 0
        """Up to there only a handshake is a record of TLS: it came before anybody had agreed to that."""
        self._came = 0
        """When the last octet of `buffer` was seen."""
        self._broken: list[tuple[int, int]] = []
        """Where the other side spoke into a line that had not ended, and when what it had of it was seen; past `offset`: into the
        line in hand."""
        self.divided = -1
        """Where the last of those lines ended at which the other side spoke."""
        self._ends: Ends | None = None
        """Where somebody judges: what watches the content for ends that some server may see."""
        self._padded: Padded | None = None
        """The same for ends that few may see, and that honest people write."""
        self.posing: Posing | None = None
        """Where somebody judges: what watches octets of a message that some server may read as commands."""
        self._head: Octets = b""
        self._kept = 0
        self._left = 0
        self._long = 0

    def feed(self, data: bytes) -> None:
        """Takes the next octets of the direction."""
        if self.paused and self.client and self.session.doubtful is not None:
            self.session.goes_on()
        if self.paused:
            if self.client:
                self.session.spoke()
            self._hold(data)
        else:
            self._read(data)
        if self.held_size > self.session.limits.held:
            self._overflow()

    def _read(self, data: bytes, position: int = 0) -> None:
        """Takes steps until the octets are used up, more are needed, or a step pauses the reader."""
        if self.buffer:
            if (self.step is self._wanting and data.find(b"\n", position) < 0
                    and len(self.buffer) + len(data) - position <= self.session.limits.line):
                self.buffer = grown(self.buffer, data[position:] if position else data)
                self._came = self.session.time
                return
            data = b"".join((self.buffer, data[position:] if position else data))
            self.buffer = b""
            position = 0
        end = len(data)
        while position < end:
            following = self.step(self, data, position)
            if following < 0:
                self.buffer = data[position:] if position else data
                self._came = self.session.time
                self._wanting = self.step if following == LINE_NEEDED else None
                return
            position = following
            if self.paused:
                if position < end:
                    self.held_size += end - position
                    self.held.append((self.session.time, memoryview(data)[position:]))
                return
            if self.buffer:
                # What mailspy has said in between is not whole: what came goes on with it.
                data, self.buffer, position = b"".join((self.buffer, data[position:])), b"", 0
                end = len(data)

    def say(self, raw: bytes, own: bool = True) -> None:
        """Reads octets where the next PDU begins, before what has come; `own`: they are mailspy's."""
        if own and raw:
            self.said.append((self.offset, self.offset + len(raw)))
        rest, self.buffer = self.buffer, b""
        self._read(raw)
        if self.step is Reader.nothing:
            rest = b""
        self.buffer, self._wanting = grown(self.buffer, rest) if self.buffer else rest, None

    def says(self, begin: int, end: int) -> bool:
        """Whether the PDU that stands there is mailspy's own; forgets what it has said before."""
        said = self.said
        while said and said[0][1] < end:
            del said[0]
        return bool(said) and said[0][0] <= begin

    def withdraw(self, left: int) -> None:
        """What has come and not left never will: what was read past that offset is as if it had not come."""
        if self.position <= left:
            return
        kept = max(0, left - self.offset)
        self.buffer = self.buffer[:kept] if not self._long else b""
        if self.step is Reader.long_line or self.step is Reader.clear_rest:
            self._head, self._long = self._head[:kept], kept
            if not kept:
                self.step = Reader.line if self.step is Reader.long_line else Reader.record
        elif self.step is Reader.content and self._content is not None:
            ended = self._content.rest().partition(b".")[0] if left > self.offset else b""
            self._long = left - self.offset
            self._head = self._head[:self._long]
            self._content = DotContent(self._content.lenient)
            self._content.feed(ended, 0, None)

    def divide(self) -> None:
        """The line in hand ends here, as the other side spoke into it and what comes is another."""
        half, self.buffer = bytes(self.buffer), b""
        if half and self.step is Reader.line:
            session = self.session
            now, session.time = session.time, self._came
            self.offset += len(half)
            session.server_line(session.heard(half, len(half), self.offset - len(half)), len(half))
            session.time = now

    def put_back(self, lines: list[bytes]) -> None:
        """The last lines that were cut off are as if they had not been."""
        octets = b"".join(lines)
        self.offset -= len(octets)
        self.buffer = octets + bytes(self.buffer)

    def close(self) -> None:
        """What is half read is cut short, and what comes next begins anew."""
        self.finish()
        self.step = Reader.line

    def stop(self) -> None:
        """Nothing more is read: it crosses no more."""
        self.step = Reader.nothing

    def go_on(self) -> None:
        """What comes next is read again."""
        self.step = Reader.line

    def nothing(self, data: bytes, position: int) -> int:
        """Octets that do not cross."""
        return len(data)

    @property
    def position(self) -> int:
        """How many octets of the direction have been taken so far, cut off or not."""
        return self.offset + self._long + len(self.buffer) + self.held_size

    @property
    def safe(self) -> int:
        """Up to where the octets may be sent on while judges decide: what is read, less a dot that could be the end of a message.

        Of a line, however long, nothing leaves before its end.
        """
        if self.step is Reader.long_line or self.step is Reader.clear_rest:
            return self.offset
        rest = self._content.rest() if self.step is Reader.content and self._content is not None else b""
        dot = rest.find(b".")
        return self.offset + self._long - (len(rest) - dot if dot >= 0 else 0)

    @property
    def in_body(self) -> bool:
        """Whether the octets in hand are those of a body."""
        return self.step is Reader.content or self.step is Reader.octets

    @property
    def long_head(self) -> bytes:
        """The head of the over-long line that is being read, or nothing."""
        return bytes(self._head) if self.step is Reader.long_line or self.step is Reader.clear_rest else b""

    @property
    def half_read(self) -> bytes:
        """The beginning of the line that is being read, as far as it has come and is kept."""
        return self.long_head or bytes(self.buffer)

    def _hold(self, data: bytes) -> None:
        time = self.session.time
        held = self.held
        self.held_size += len(data)
        if held and (held[-1][0] == time or len(held) >= HELD_PIECES):
            last = held[-1][1]
            if last and not isinstance(last, memoryview):
                held[-1] = (time, grown(last, data))
                return
        held.append((time, data))

    @property
    def unread(self) -> bytes:
        """The first octets of those that nobody reads, as far as they are kept."""
        return bytes(self._head) if self.step is Reader.opaque else b""

    @property
    def waiting(self) -> bytes:
        """All that is held, gaps left out."""
        return b"".join([piece for _, piece in self.held])

    def resume(self) -> None:
        """Reads what was held, each piece with its own time."""
        if self.paused:
            self.paused = False
            self._reread()
            if self.held_size > self.session.limits.held:
                self._overflow()

    def _reread(self) -> None:
        """Up to where a step pauses the reader again: what comes after that is not touched."""
        held, size = self.held, self.held_size
        self.held, self.held_size = deque(), 0
        session = self.session
        now = session.time
        while held and not self.paused:
            time, piece = held.popleft()
            size -= len(piece)
            if not piece:
                self.gap(time)
                continue
            session.time = time
            if isinstance(piece, memoryview):
                whole = piece.obj
                assert isinstance(whole, bytes)
                self._read(whole, len(whole) - len(piece))
            else:
                self._read(bytes(piece))
        session.time = now
        if held:
            held.extendleft(reversed(self.held))
            self.held = held
            self.held_size += size

    def _overflow(self) -> None:
        """More is held than may be: the session says how to go on without the reply, as often as it takes."""
        while self.paused and self.held_size > self.session.limits.held:
            self.session.held_too_much(self)
            if not self.paused:
                self._reread()

    # Lines

    def line(self, data: bytes, position: int) -> int:
        """A line, its end included, whatever its end is made of."""
        if self.offset == 0 and data[position] in UNASKED_TYPES:
            following = self._unasked(data, position)
            if following is not None:
                return following
        end = data.find(b"\n", position) + 1
        limit = self.session.limits.line
        if not end:
            if len(data) - position <= limit:
                return LINE_NEEDED
            self._head = data[position:position + limit]
            self._long = len(data) - position
            self.step = Reader.long_line
            return len(data)
        now = came = self.session.time
        if self._broken:
            end, came = self._divided(data, position, end)
        size = end - position
        if not self.client and self.session.gate is not None:
            self.session.gate.take_turns()
            if self.step is not Reader.line or self.buffer:
                return len(data) if self.step is Reader.nothing else position
        self.offset += size
        line = data[position:end] if position or end != len(data) else data
        if size > limit:
            line = line[:limit]
        session = self.session
        if self.client:
            session.client_line(line, size)
        else:
            session.time = came
            if session.echo is not None and line not in session.echo.clean:
                line = session.heard(line, size, self.offset - size)
            session.server_line(line, size)
            session.time = now
        return end

    @property
    def spoken(self) -> list[int]:
        """How many octets of the line in hand had come each time that the other side spoke into it."""
        return [place - self.offset for place, _ in self._broken if place > self.offset] if self._broken else []

    def spoken_into(self) -> None:
        """The other side goes on as if the line in hand had ended."""
        place = (self.offset + len(self.buffer), self._came)
        if self.buffer and self._broken[-1:] != [place] and len(self._broken) < HALVES:
            self._broken.append(place)

    def _divided(self, data: bytes, position: int, end: int) -> tuple[int, int]:
        """Where a line ends that the other side has spoken into: at the first place where another begins; and when it came."""
        session = self.session
        for spoken, came in self._broken:
            place = position + spoken - self.offset
            if position < place < end and end - position <= session.limits.line and session.begins(self.client, data[place:end]):
                self.divided = self.offset + place - position
                return place, came
        self._broken.clear()
        return end, session.time

    def _unasked(self, data: bytes, position: int) -> int | None:
        """The first octet of the direction begins a record of TLS where a line was due; None for a line after all."""
        if not self.client:
            if not self.session.uncovered:
                return None
            self.step = Reader.record
            return position
        begins = begins_tls(data[position:position + RECORD_HEADER + 1])
        if begins is None:
            return MORE_NEEDED
        if not begins:
            return None
        self.session.unasked_tls()
        return position

    def long_line(self, data: bytes, position: int) -> int:
        """The rest of a line that is longer than what is kept of it."""
        end = data.find(b"\n", position) + 1
        self._long += (end or len(data)) - position
        if not end:
            return len(data)
        self._finish_long_line()
        return end

    def _finish_long_line(self) -> None:
        head, size = bytes(self._head), self._long
        self._head, self._long = b"", 0
        self.step = Reader.line
        self.offset += size
        session = self.session
        if self.client:
            session.client_line(head, size)
        else:
            session.server_line(head if session.echo is None else session.heard(head, size, self.offset - size), size)

    # Contents

    def expect_content(self, lenient: bool = False, keep: int = 0) -> None:
        """What follows is a content up to its dot; at least `keep` octets of it go into the PDU."""
        self._content = DotContent(lenient)
        judged = self.client and self.session.judged
        self._ends, self._padded = (Ends(), Padded()) if judged else (None, None)
        self._begin_body(Reader.content, keep)

    def reread(self, line: bytes) -> None:
        """The line just cut off was the first of the content that is expected now."""
        self.offset -= len(line)
        self.content(line, 0)

    def expect_octets(self, count: int) -> None:
        """What follows is a content of that many octets."""
        self._left = count
        self._begin_body(Reader.octets, 0)
        self.posing = self.session.posing()
        if count == 0:
            self._finish_body()

    def _begin_body(self, step: Callable[[Reader, bytes, int], int], keep: int) -> None:
        self._head = b""
        self._long = 0
        self._kept = keep or self.session.limits.head
        self.step = step

    def content(self, data: bytes, position: int) -> int:
        """A dot-ended content (RFC 5321 §4.5.2, RFC 1939 §3)."""
        content = self._content
        assert content is not None
        session = self.session
        pieces: list[bytes] | None = [] if session.sink is not None else None
        held, hidden = content.held, content.hidden
        end = content.feed(data, position, pieces)
        stop = end if end >= 0 else len(data)
        self._take(data, position, stop)
        if self._ends is not None and self._ends.seen(data, position, stop):
            self._ends = None
            session.doubtful_end()
        if self._padded is not None or self.posing is not None:
            self._pose(data[position:stop])
        if content.ambiguous or self.doubting:
            pieces = self._doubted(content, held, hidden, data[position:stop], pieces or [], end >= 0)
        if pieces:
            session.content(pieces if len(pieces) <= FEW else [b"".join(pieces)])
        if end >= 0:
            self._finish_body()
        return stop

    def _pose(self, octets: bytes) -> None:
        """Looks at what comes behind a dot that may be the end to few."""
        if self._padded is not None:
            behind = self._padded.seen(octets)
            if behind < 0:
                return
            self._padded, self.posing, octets = None, self.session.posing(), octets[behind:]
        if self.posing is not None:
            self.session.posed(self.posing, octets)

    def _doubted(self, content: DotContent, held: bytes, hidden: int, data: bytes, pieces: list[bytes],
                 ended: bool) -> list[bytes]:
        """The content holds a dot that may have been its end: what of it can be given out."""
        remainder = self._remainder
        if remainder is None:
            remainder = self._remainder = Remainder(self.session.limits.head)
        content.ambiguous = False
        if ended:
            return remainder.close() + pieces
        return remainder.feed(held, hidden, data, self._long - len(data), self.session.time, pieces)

    @property
    def doubting(self) -> bool:
        """Whether the content in hand may be over, and commands be what comes."""
        return self._remainder is not None and self._remainder.open

    def undoubted(self) -> None:
        """It is not over: gives out what was withheld of it."""
        if self._remainder is not None and self._remainder.open:
            withheld = self._remainder.close()
            if self.session.sink is not None:
                self.session.content(withheld)

    def taken(self, sure: bool) -> bool:
        """The receiver has answered the content in hand: it ended at a dot that is no end by the standard, and what follows is no
        content.  False where there is none; unless `sure`, nothing else than a command may follow the dot."""
        remainder, session = self._remainder, self.session
        if remainder is None or not remainder.open or self.step is not Reader.content:
            return False
        end, likely = remainder.end(lambda line: session.begins(True, line))
        if not (sure or likely):
            return False
        now = session.time
        session.time, rest = remainder.behind(end)
        if session.sink is not None:
            session.content([remainder.content(end)])
        remainder.close()
        size = sum([len(piece) for _, piece in rest])
        self._long -= size
        self._head = self._head[:self._long]
        self._finish_body()
        session.time = now
        if rest:
            waits, self.paused = self.paused, True
            self.held, self.held_size = deque(rest), size
            if not waits:
                self.resume()
        return True

    def octets(self, data: bytes, position: int) -> int:
        """A content of a known number of octets (RFC 3030 §2)."""
        stop = min(len(data), position + self._left)
        self._left -= stop - position
        self._take(data, position, stop)
        if self.posing is not None:
            self.session.posed(self.posing, data[position:stop])
        if self.session.sink is not None:
            self.session.content([data[position:stop]])
        if not self._left:
            self._finish_body()
        return stop

    def _take(self, data: bytes, position: int, stop: int) -> None:
        self._long += stop - position
        missing = self._kept - len(self._head)
        if missing > 0:
            more = data[position:min(stop, position + missing)]
            self._head = grown(self._head, more) if self._head else more

    def _finish_body(self) -> None:
        head, size, content = bytes(self._head), self._long, self._content
        ambiguous = content is not None and (content.ambiguous or self._remainder is not None)
        if content is not None or (self.posing is not None and not self.posing.unfinished):
            self.posing = None
        self._padded = None
        self._head, self._long, self._content, self._remainder = b"", 0, None, None
        self.step = Reader.line
        self.offset += size
        self.session.body_end(self, head, size, ambiguous)

    # Gaps

    def gap(self, size: int) -> None:
        """So many octets are missing: what is half read is cut short, or goes on without them."""
        if self.paused:
            self.held.append((size, b""))
        elif self.step is Reader.content:
            self._gap_in_content(size)
        elif self.step is Reader.octets and size <= self._left:
            self._left -= size
            self._long += size
            if not self._left:
                self._finish_body()
        elif self.step is Reader.record_rest and size < self._left:
            self._left -= size
            self._long += size
        elif self.step in (Reader.record, Reader.record_rest, Reader.clear_rest, Reader.opaque):
            self._long += size
            self.step = Reader.opaque
        else:
            self._gap_in_line(size)

    def _gap_in_content(self, size: int) -> None:
        content = self._content
        assert content is not None
        self.undoubted()
        rest = content.rest()
        if rest and self.session.sink is not None:
            self.session.content([rest])
        self._content = DotContent(content.lenient)
        self._long += size

    def _gap_in_line(self, size: int) -> None:
        rest, self.buffer = bytes(self.buffer), b""
        if self.step is Reader.long_line:
            self.session.truncated(self)
            self._finish_long_line()
        elif self.step is Reader.octets:
            size -= self._left
            self._cut_body()
        elif rest:
            self._cut_line(rest)
        self.offset += size
        self.step = Reader.after_gap

    def after_gap(self, data: bytes, position: int) -> int:
        """After a gap: what is before the first line that is certainly a whole one is not read."""
        stop = position
        while end := data.find(b"\n", stop) + 1:
            if self.session.begins(self.client, data[stop:end]):
                self.step = Reader.line
                break
            stop = end
        if not end and len(data) - stop > self.session.limits.line:
            stop = len(data)
        if stop == position:
            return position if end else LINE_NEEDED
        self._head, self._long = data[position:stop][:self.session.limits.head], stop - position
        self._emit_opaque(False)
        return stop

    def end_body(self) -> None:
        """The other side shows that the body in hand is over: its end was in a gap."""
        if self.in_body:
            self._cut_body()

    # TLS records, and octets that nobody reads

    def record(self, data: bytes, position: int) -> int:
        """A TLS record, or a line of clear text where a record was due."""
        octet = data[position]
        if octet not in RECORD_TYPES or (octet != TLS_HELLO and self.offset < self.hello_due):
            return self._clear_line(data, position)
        if len(data) - position < RECORD_HEADER:
            return MORE_NEEDED
        length = int.from_bytes(data[position + 3:position + 5])
        uncovered = self.session.uncovered
        record = data[position + 1] == 3 and data[position + 2] <= 4 and length <= RECORD_MAX
        if not record or (uncovered and not self.session.hides(octet, length)):
            if uncovered:
                return self._clear_line(data, position)
            self.step = Reader.opaque
            return position
        self._left = length + RECORD_HEADER
        self.hello_due = 0
        self._head = b""
        self._long = 0
        self._kept = self.session.limits.head
        self.step = Reader.record_rest
        return position

    def record_rest(self, data: bytes, position: int) -> int:
        """The octets of a record whose length is known."""
        stop = min(len(data), position + self._left)
        self._left -= stop - position
        self._take(data, position, stop)
        if not self._left:
            self.step = Reader.record
            self._emit_opaque(True)
        return stop

    def uncover(self) -> None:
        """What crosses is no TLS: the rest of what was taken for a record is read."""
        if self.step is Reader.record_rest:
            self.step = Reader.record
            self._emit_opaque(False)

    def _clear_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position) + 1
        limit = self.session.limits.line
        if not end:
            if len(data) - position <= limit:
                return LINE_NEEDED
            if self.session.uncovered:
                self.step = Reader.line
                return position
            self._head, self._long = data[position:position + limit], len(data) - position
            self.step = Reader.clear_rest
            return len(data)
        size = end - position
        if self.client and size <= limit and self.session.clear_again(data[position:end]):
            return position
        self._head, self._long = data[position:min(end, position + limit)], size
        self._emit_opaque(False)
        return end

    def clear_rest(self, data: bytes, position: int) -> int:
        """The rest of a line of clear text, longer than what is kept of it, where a record was due."""
        end = data.find(b"\n", position) + 1
        self._long += (end or len(data)) - position
        if not end:
            return len(data)
        self.step = Reader.record
        self._emit_opaque(False)
        return end

    def opaque(self, data: bytes, position: int) -> int:
        """Octets that are counted and not read; one PDU at the end of the flow."""
        self._kept = self.session.limits.head
        self._take(data, position, len(data))
        return len(data)

    def _emit_opaque(self, record: bool) -> None:
        head, size = bytes(self._head), self._long
        self._head, self._long = b"", 0
        self.offset += size
        self.session.opaque_seen(self, head, size, record)

    def give_up(self) -> None:
        """From here on nothing is read: what is half read, held or still to come becomes one opaque PDU."""
        self.undoubted()
        if self.step is not Reader.opaque:
            self.step = Reader.opaque
            self._kept = self.session.limits.head
            if self._long == 0:
                self._head = b""
        data = b"".join((self.buffer, self.waiting))
        self.buffer, self.held_size, self.paused = b"", 0, False
        self.held.clear()
        if data:
            self.opaque(data, 0)

    def renew(self) -> None:
        """What comes next is another stream, read line by line; nothing is left of the one before."""
        if self.step is not Reader.line or self.buffer or self.held:
            self.finish()
            self.step = Reader.line

    def finish(self) -> None:
        """The direction is over: whatever is half read becomes a PDU of its own, marked as cut short."""
        if self.step is Reader.clear_rest:
            self.step = Reader.record
        step, rest = self.step, bytes(self.buffer)
        self.paused = False
        self.buffer = b""
        if step is Reader.long_line:
            self.session.truncated(self)
            self._finish_long_line()
        elif step in (Reader.content, Reader.octets):
            self._cut_body()
        elif rest and (step is Reader.line or step is Reader.nothing):
            # Half a line that has left before nothing more was to cross.
            self._cut_line(rest)
        elif rest or self._long:
            self.session.truncated(self, silent=step is Reader.opaque)
            self._head, self._long = self._head + rest, self._long + len(rest)
            self._emit_opaque(step is Reader.record_rest)
        self._finish_held()

    def _cut_line(self, rest: bytes) -> None:
        """A line that has no end is over."""
        session, client = self.session, self.client
        session.truncated(self)
        # Whether all of it is secret depends on where it begins.
        secret = session.partial_secret(rest) if client else None
        heard = rest if client else session.heard_so_far(rest)
        self.offset += len(rest)
        session.partial_line(self, rest if client else heard, secret)

    def _finish_held(self) -> None:
        if self.held:
            data = self.waiting
            self.held.clear()
            self.held_size = 0
            self._head, self._long = data[:self.session.limits.head], len(data)
            self.session.truncated(self)
            self._emit_opaque(False)

    def _cut_body(self) -> None:
        content, session = self._content, self.session
        self.undoubted()
        if content is not None and session.sink is not None and (rest := content.rest()):
            session.content([rest])
        session.truncated(self)
        self._finish_body()


def grown(octets: Octets, more: Octets) -> bytearray:
    """The octets and some more; in place from the second time on, so that what comes octet by octet is not copied each time."""
    if not isinstance(octets, bytearray):
        octets = bytearray(octets)
    octets += more
    return octets


def begins_tls(head: bytes) -> bool | None:
    """Whether octets begin a handshake record with a ClientHello (RFC 8446 §5.1, §4); None while so few of them may."""
    if head[0] != TLS_HELLO or head[1:2] not in (b"", b"\x03") or (len(head) > 2 and head[2] > 4):
        return False
    if len(head) < RECORD_HEADER:
        return None
    if not 0 < int.from_bytes(head[3:5]) <= RECORD_MAX:
        return False
    return head[RECORD_HEADER] == CLIENT_HELLO if len(head) > RECORD_HEADER else None
