"""A message as it streams: where headers end, where parts begin and end.

One pass over whole segments, by searches for a line feed with what must follow it; never a loop over lines, never
recursion. What is found does not depend on how the stream was cut: octets are held back (a few, or one line up to the
length of a delimiter) until it is clear what they are.

    headers ──blank line──▶ body ──delimiter──▶ line ──its end──▶ headers (of the next part), or body (an epilogue)

Every step begins at the line feed before its first line, so that "at the beginning of a line" is always "after a line
feed".

Knows the layout of MIME (RFC 2046 §5.1.1).  Must not know encodings, parameters, or what is done with a part.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from inspector import Message, Session, sanitise
from mailspy_mime import fields
from mailspy_mime.decoders import DECODERS, AnyDecoder
from mailspy_mime.doubts import Doubts, repeated, strange
from mailspy_mime.entity import IDENTITY, Entity, describe
from mailspy_mime.leaf import Leaf, Readings, leaf_of
from mailspy_mime.limits import CANDIDATES, DEPTH, HEADER, PARTS
from mailspy_mime.summary import Summary
from mailspy_mime.tree import Tree

_BLANK: Final = re.compile(rb"\n\r?\n")
_LF, _CR, _DASH = b"\n\r-"
USUAL: Final = 512
"""Octets of a part's header that is remembered: most parts of most mail are headed by the same few."""


class Scanner:
    """The sink that reads one message: the one that crosses, or one that stands encoded in a part of it."""

    __slots__ = ("_ambiguous", "_blank", "_block", "_final", "_fresh", "_hit", "_inner", "_leaf",
                 "_message", "_next", "_rest", "_session", "_step", "_summary", "_told", "_tree")

    def __init__(self, message: Message, session: Session, around: Scanner | None = None, content_type: str = "") -> None:
        """`around`: what reads the message in whose part in hand this one stands, encoded."""
        self._message = message
        self._session = session
        self._inner = around is not None
        self._tree: Tree = Tree(around._tree, content_type) if around is not None else Tree()
        self._leaf: Leaf | Readings | Enclosure | None = None
        """The part in hand; None in a header, a preamble or an epilogue."""
        self._summary: Summary | None = None
        """Of the message itself."""
        self._step: Step = Scanner._headers
        self._next: Step = Scanner._headers
        """The step after the line of a delimiter."""
        self._rest = b"\n"
        """Octets that cannot be interpreted yet.  A message begins like a line."""
        self._block: bytearray | None = None
        """The header in hand, when it came in several segments."""
        self._blank = -1
        """Where in the data in hand the next blank line is known to be, if that is not behind us."""
        self._fresh = False
        """The line feed before a body, which is not part of it, is still to come."""
        self._final = False
        """Nothing more will come."""
        self._told: set[str] = around._told if around is not None else set()
        """Anomalies told of this message: each once, so that many parts cannot flood."""
        self._ambiguous = 0
        """Parts with several readings."""
        self._hit = b""
        """The delimiter that was found; empty while it is not clear whether it is one."""

    @property
    def patient(self) -> bool:
        """Whether what comes without a dash only lengthens the part in hand."""
        leaf = self._leaf
        return self._step is Scanner._body and (leaf is None or leaf.patient)

    def feed(self, data: bytes) -> None:
        """Takes the next octets of the message."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        self._blank = -1
        place, end = 0, len(data)
        while place < end:
            place = self._step(self, data, place)

    def close(self, complete: bool) -> None:
        """The message is over: tells the part in hand, then the message."""
        self._final = True
        if self._rest:
            self.feed(b"")
        while self._step is Scanner._headers:
            self._begin(b"")
        # TOP asks for the beginning of a message: what it leaves open is never whole (RFC 1939 §7).
        whole = complete and self._message.verb != "TOP"
        self._end_leaf(whole)
        if self._tree.left_open or (whole and self._tree.has_open):
            self._doubt((("unclosed_multipart", "a multipart has no closing delimiter"),))
        if not self._inner:
            finding, doubts = (self._summary or Summary({}, {}, [])).finding(self._message, complete)
            self._doubt(doubts)
            self._session.report(finding)

    # The steps: each takes what it can from `place` and returns where to go on

    def _headers(self, data: bytes, place: int) -> int:
        """A header block, up to a blank line, a delimiter or the limit."""
        if self._blank < place:
            blank = _BLANK.search(data, place)
            self._blank = blank.start() if blank else len(data)
        end = self._blank
        found = data.find(b"\n--", place, end) if self._tree.delimiters else -1
        if found >= 0:
            found = self._hunt(data, found, end)
        if found >= 0:
            end = found
        elif end == len(data) and not self._final:
            end = _settled(data, place)
        room = HEADER - len(self._block) if self._block else HEADER
        if end - place > room:
            self._doubt((("mime_limit", f"a header of more than {HEADER} octets"),))
            self._begin(data[place:place + room])
            self._fresh = False
            return place + room
        if found >= 0 and self._hit:
            self._begin(data[place:end])
            return self._delimit(data, end) if self._tree.delimiters else end
        if found < 0 and end == self._blank < len(data):
            self._begin(data[place:end])
            return end + (2 if data[end + 1] == _CR else 1)
        self._block = self._block or bytearray()
        self._block += data[place:end]
        self._rest = data[end:]
        return len(data)

    def _body(self, data: bytes, place: int) -> int:
        """The body of a part, a preamble or an epilogue, up to a delimiter if any can come."""
        start, end = place + self._fresh, len(data)
        found = -1
        if self._tree.delimiters:
            found = self._hunt(data, place, end)
            if found >= 0:
                end = found - 1 if found > start and data[found - 1] == _CR else found
            elif not self._final:
                end = _settled(data, place)
        if start < end and self._leaf is not None:
            self._leaf.feed(data[start:end])
        if found >= 0 and self._hit:
            return self._delimit(data, found)
        if end > place:
            self._fresh = False
        self._rest = data[end:]
        return len(data)

    def _line(self, data: bytes, place: int) -> int:
        """What follows a delimiter on its line: nothing that counts."""
        end = data.find(b"\n", place)
        if end < 0:
            return len(data)
        self._step = self._next
        return end

    # What the steps need

    def _hunt(self, data: bytes, place: int, stop: int) -> int:
        """Where the line feed before a delimiter is, -1 if there is none.

        Sets `_hit` to the longest delimiter that begins the line, or to nothing when more octets must come to tell.
        """
        # One octet is sought at ten times the speed of three, and base64 holds no dash.
        dash = data.find(_DASH, place, stop)
        if dash < 0:
            return -1
        delimiters, longest = self._tree.delimiters, self._tree.longest + 2
        found = data.find(b"\n--", dash - 1 if dash > place else place, stop)
        while found >= 0:
            line = found + 1
            if len(data) - line < longest and not self._final and data.find(b"\n", line) < 0:
                self._hit = b""
                return found
            if data.startswith(delimiters, line):
                self._hit = delimiters[0] if len(delimiters) == 1 else _longest(delimiters, data, line)
                return found
            found = data.find(b"\n--", line, stop)
        return -1

    def _delimit(self, data: bytes, found: int) -> int:
        """A delimiter: the entity in hand is over."""
        after = found + 1 + len(self._hit)
        closing = data.startswith(b"--", after)
        self._end_leaf(True)
        self._tree.next(self._hit, closing)
        self._next = Scanner._body if closing else Scanner._headers
        self._step = Scanner._line
        self._fresh = False
        return self._line(data, after)

    def _begin(self, block: bytes) -> None:
        """A header is complete, of which this is the last piece: what follows depends on it."""
        if self._block is not None:
            block = bytes(self._block + block)
            self._block = None
        tree = self._tree
        if self._summary is None and not self._inner:
            found = fields.pairs(block)
            first = fields.first(found)
            again = fields.again(found, first)
            self._summary = Summary(first, again, again.pop("received", []))
            entity = describe(first, tree.default, again)
            self._doubt(repeated(again) + strange(block))
        else:
            entity = (_usual if len(block) <= USUAL else _entity)(block, tree.default, self._ambiguous > CANDIDATES)
        if entity.doubts:
            self._ambiguous += 1
            self._doubt(entity.doubts)
        self._step = Scanner._body
        self._fresh = True
        self._leaf = self._open(entity, tree)

    def _open(self, entity: Entity, tree: Tree) -> Leaf | Readings | Enclosure | None:
        """What takes the body of an entity; None when entities of its own do."""
        if not tree.begin():
            tree.close_delimiters()
            self._doubt((("mime_limit", f"more than {PARTS} parts"),))
        elif entity.boundaries:
            if tree.enter_multipart(entity.boundaries, entity.content_type):
                return None
            self._doubt((("mime_limit", f"more than {DEPTH} containers within each other"),))
        elif entity.is_message:
            if entity.encoding not in IDENTITY and tree.can_enclose:
                return Enclosure(entity.encoding, Scanner(self._message, self._session, self, entity.content_type))
            if entity.encoding in IDENTITY and tree.enter_message(entity.content_type):
                self._step = Scanner._headers
                return None
            self._doubt((("mime_limit", "too many messages within each other"),))
        return leaf_of(entity, self._message, self._session, tree)

    def _doubt(self, doubts: Doubts) -> None:
        for name, detail in doubts:
            if name not in self._told:
                self._told.add(name)
                self._session.anomaly(name, sanitise(f"message {self._message.number}: {detail}"))

    def _end_leaf(self, complete: bool) -> None:
        leaf, self._leaf = self._leaf, None
        if leaf is not None:
            doubts = leaf.close(complete)
            if doubts:
                self._doubt(doubts)


class Enclosure:
    """A message that stands encoded in a part: decoded as it streams, and read like any other."""

    __slots__ = ("_decoder", "_encoding", "_scanner")
    patient: Final = False
    """Its encoded octets do not show where its parts end."""

    def __init__(self, encoding: str, scanner: Scanner) -> None:
        self._encoding = encoding
        self._decoder: AnyDecoder = DECODERS[encoding]()
        self._scanner = scanner

    def feed(self, data: bytes) -> None:
        """Takes encoded octets."""
        octets = self._decoder.feed(data)
        if octets:
            self._scanner.feed(octets)

    def close(self, complete: bool) -> Doubts:
        """The part is over."""
        octets = self._decoder.finish()
        if octets:
            self._scanner.feed(octets)
        self._scanner.close(complete)
        return (("broken_encoding", f"an enclosed message: {self._encoding}"),) if self._decoder.broken else ()


Step = Callable[[Scanner, bytes, int], int]


def _entity(block: bytes, default: str, quiet: bool) -> Entity:
    """What the header of a part says of its body; `quiet`: contradictions need not be told again."""
    found = fields.pairs(block)
    first = fields.first(found)
    if quiet:
        return describe(first, default, quiet=True)
    again = fields.again(found, first)
    entity = describe(first, default, again)
    more = repeated(again) + strange(block)
    return entity._replace(doubts=more + entity.doubts) if more else entity


_usual = lru_cache(maxsize=512)(_entity)


def _longest(delimiters: tuple[bytes, ...], data: bytes, line: int) -> bytes:
    """The longest delimiter that begins the line: an inner boundary can begin like an outer one."""
    return max((one for one in delimiters if data.startswith(one, line)), key=len)


def _settled(data: bytes, place: int) -> int:
    """Where the octets begin that must wait: a line end, alone or with one dash, can belong to a delimiter or a blank
    line."""
    end = len(data)
    last = data[end - 1]
    if last == _LF:
        start = end - 1
    elif last in (_CR, _DASH) and end > 1 and data[end - 2] == _LF:
        start = end - 2
    elif last == _CR:
        return max(place, end - 1)
    else:
        return end
    if start > place and data[start - 1] == _CR:
        start -= 1
    return max(start, place)
