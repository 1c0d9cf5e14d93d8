"""What a reader holds, with its secrets covered, piece by piece as it comes: for captures.

Rules.  What comes while AUTH waits for its answer is secret, all of it.  What waits for the reply to DATA or BDAT counts as
content: of it only lines are covered that parse whole as AUTH with a mechanism and a response.  Of what else waits (STARTTLS, or
too many commands without replies) each line is covered as it will be when it is read; records of TLS are left.

Knows lines.  Must not know sessions: how a line changes what comes after it, those tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from inspector.harmless import LOOKED_AT, MECHANISMS, WHOLE, covered, unlike_length, veil
from inspector.pdu import PDU, Kind

LINES: Final = -1
"""Commands, as far as anybody knows."""
SECRET: Final = -2
CONTENT: Final = -3
"""How what comes is covered; a number of octets that is not negative: so many are content, then lines come."""

_LONE: Final = re.compile(rb"(?m)^[^*\r\n\0](?=\r?(?:\n|\Z))")
_MECHANISMS: Final = "|".join(map(re.escape, MECHANISMS)).encode()
_RESPONSE: Final = re.compile(rb"AUTH[ \t]+(?:" + _MECHANISMS + rb")[ \t]+([A-Z0-9+/]+=*)([ \t]*)\r?\n?", re.IGNORECASE)
_BEGINNING: Final = re.compile(rb"A(?:U(?:T(?:H(?:[ \t]+(?:[A-Z0-9_-]{1,24}(?:[ \t]+)?)?)?)?)?)?", re.IGNORECASE)
_REST: Final = re.compile(rb"([A-Z0-9+/]*=*)([ \t]*)\r?\n?", re.IGNORECASE)
_BLANKS: Final = re.compile(rb"()([ \t]*)\r?\n?")
_NEXT: Final = re.compile(rb"\n(?=[aA]|\Z)")
_LONGEST: Final = 64
"""Octets of a line before a response begins."""
_ASKS: Final = re.compile(rb"[ \t]*AUTH[ \t]+[^ \t\r\n]", re.IGNORECASE)
_HEADER: Final = 5
"""Octets before the content of a record of TLS: its type, a version, its length, 18,432 at most (RFC 5246 §6.2.3)."""
_BEGINS_TLS: Final = (b"STARTTLS", b"STLS")
LENGTH_AT: Final = 3
"""Where in it the length begins."""
_RECORD: Final = re.compile(rb"(?:[\x14-\x18](?:\x03(?:[\x00-\x04](?:[\x00-\x48].?)?)?)?)?", re.DOTALL)
_HELLO: Final = re.compile(rb"(?:\x16(?:\x03(?:[\x00-\x04](?:[\x00-\x48](?:.\x01?)?)?)?)?)?", re.DOTALL)
"""The same of the first, with the type of the handshake message that a client begins with (RFC 8446 §4): what is none of those
may be a secret behind a header that is forged."""


class Cover(NamedTuple):
    """What is shown in the place of a line of the client's."""

    offset: int
    """Where the line begins in the stream."""
    line: bytes
    size: int
    """Octets of the line; of what is longer than what was kept of it, all is a secret."""

    def moved(self, octets: int) -> Cover:
        """The same further on in the stream."""
        return self._replace(offset=self.offset + octets)


def cover_of(pdu: PDU) -> Cover:
    """What is shown in the place of a PDU that holds a secret."""
    raw = pdu.raw
    if pdu.veiled is not None:
        return Cover(pdu.offset, pdu.veiled, pdu.size)
    first, last = pdu.secret or (0, 0)
    if pdu.kind is Kind.COMMAND and (found := veil(raw)) is not None and found.first == first:
        return Cover(pdu.offset, found.line, pdu.size)
    shown = covered(raw[first:last]) if pdu.kind is Kind.SASL_RESPONSE else raw[first:last].translate(WHOLE)
    return Cover(pdu.offset, raw[:first] + shown + raw[last:], pdu.size)


def secret_lines(data: bytes) -> bytes:
    """Lines, or pieces of lines, that are secret, all of them; that a client gives up (`*`) is left."""
    shown = data.translate(WHOLE)
    if any(_LONE.finditer(data)):
        octets = bytearray(shown)
        for lone in _LONE.finditer(data):
            octets[lone.start()] = 120
        return bytes(octets)
    return shown


class Letters:
    """What counts as content: of lines that are AUTH with a response, the response is covered.

    Of such a line of which a part is still to come, that part decides nothing about those that have come: they are covered.
    """

    __slots__ = ("_line", "_responding")

    def __init__(self) -> None:
        self._line: bytes | None = b""
        """The line in hand so far; None when it is none of those, or its response has begun."""
        self._responding: re.Pattern[bytes] | None = None
        """What may come of it while all so far is AUTH with a response."""

    def feed(self, data: bytes) -> bytes:
        """The next octets as they are shown."""
        pieces: list[bytes] = []
        at = 0
        while at < len(data):
            if self._responding or self._line or (self._line is not None and data[at] in b"aA"):
                end = data.find(b"\n", at) + 1 or len(data)
                pieces.append(self._piece(data[at:end]))
            else:
                match = _NEXT.search(data, at)
                end = match.end() if match is not None else len(data)
                pieces.append(data[at:end])
                self._line = b"" if data[end - 1] == 10 else None
            at = end
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _piece(self, piece: bytes) -> bytes:
        """A piece of a line that may be AUTH, up to the end of the line or to what is still to come."""
        before = 0
        if self._responding is not None:
            match = self._responding.fullmatch(piece)
        else:
            assert self._line is not None
            before, line = len(self._line), self._line + piece
            match = _RESPONSE.fullmatch(line)
            self._line = line if match is None and len(line) <= _LONGEST and _BEGINNING.fullmatch(line) else None
        if match is not None:
            self._responding = _BLANKS if match[2] or self._responding is _BLANKS else _REST
        else:
            self._responding = None
        if piece[-1:] == b"\n":
            self._line, self._responding = b"", None
        if match is None:
            return piece
        first, last = max(0, match.start(1) - before), match.end(1) - before
        return piece[:first] + b"*" * (last - first) + piece[last:]


class Hold:
    """What a reader holds since it was paused."""

    __slots__ = ("_after", "_header", "_left", "_letters", "_line", "_records", "_secret", "begin", "mode", "size")

    def __init__(self, begin: int, mode: int, after: Callable[[bytes], int], secret: int = 0, records: bool = True) -> None:
        """`begin`: where in the stream it begins; `after`: what comes after a line; `secret`: so many octets are secret as AUTH
        waited for its answer when they came, and with them the rest of their last line; `records`: TLS may begin."""
        self.begin = begin
        self.size = 0
        self.mode = mode
        self._after = after
        self._secret = secret
        self._records = records
        self._left = 0
        """Octets of a record, or of a content whose size is known."""
        self._line = b""
        self._header = _HELLO
        self._letters = Letters()

    def feed(self, data: bytes) -> bytes:
        """The next octets as they are shown."""
        self.size += len(data)
        pieces: list[bytes] = []
        at = self._tainted(data, pieces) if self._secret else 0
        while at < len(data):
            if self._left:
                size = min(self._left, len(data) - at)
                self._left -= size
                pieces.append(self._letters.feed(data[at:at + size]) if self.mode >= 0 else data[at:at + size])
            elif self.mode == SECRET:
                pieces.append(secret_lines(data[at:]))
                size = len(data) - at
            elif self.mode == CONTENT:
                pieces.append(self._letters.feed(data[at:]))
                size = len(data) - at
            else:
                size = self._lines(data, at, pieces)
            at += size
        return b"".join(pieces)

    def _tainted(self, data: bytes, pieces: list[bytes]) -> int:
        """What came while AUTH waited, up to the end of a line.  Gives its octets."""
        end = data.find(b"\n", max(0, self._secret - 1)) + 1
        self._secret = 0 if end else max(1, self._secret - len(data))
        end = end or len(data)
        pieces.append(secret_lines(data[:end]))
        return end

    def _lines(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """A line, or a piece of one, or the header of a record of TLS.  Gives its octets."""
        self.mode = LINES
        before = self._line
        if self._records and len(before) <= _HEADER and (size := _record(self._header, before, data, at)) > 0:
            return self._begun(data[at:at + size], pieces)
        end = data.find(b"\n", at) + 1 or len(data)
        if len(before) >= LOOKED_AT:
            line = before
            pieces.append(data[at:end].translate(WHOLE))
        else:
            line = before + data[at:end]
            shown = veil(line)
            pieces.append((line if shown is None else shown.line)[len(before):])
        self._line = line
        if data[end - 1] == 10:
            self._line = b""
            self._records = self._records or line.strip().upper() in _BEGINS_TLS
            self.mode = self._after(line)
            self._left, self._letters = max(0, self.mode), Letters()
        return end - at

    def _begun(self, head: bytes, pieces: list[bytes]) -> int:
        """Octets of a header."""
        pieces.append(head)
        self._line += head
        if (left := _content(self._header, self._line)) >= 0:
            self._left, self._line, self._header = left, b"", _RECORD
        return len(head)


class Unread:
    """What nobody reads: all of it is secret, but records of TLS as long as nothing else has come, and the first words of a flow,
    by which it is known what it is."""

    __slots__ = ("_first", "_head", "_header", "_left", "_looked_at", "_records")

    def __init__(self, looked_at: int) -> None:
        """`looked_at`: octets that are covered line by line."""
        self._first = unread_lines()
        self._looked_at = looked_at
        self._head = b""
        self._header = _HELLO
        self._left = 0
        self._records = True

    def feed(self, data: bytes) -> bytes:
        """The next octets as they are shown."""
        at = 0
        unlike = False
        while self._records and at < len(data):
            if self._left:
                size = min(self._left, len(data) - at)
                self._left -= size
            elif (size := _record(self._header, self._head, data, at)) > 0:
                self._head += data[at:at + size]
                if (left := _content(self._header, self._head)) >= 0:
                    self._left, self._head, self._header = left, b"", _RECORD
            else:
                self._records, unlike = False, len(self._head) == LENGTH_AT
                break
            at += size
        first = self._first.feed(data[at:at + self._looked_at]) if self._looked_at else b""
        self._looked_at -= len(first)
        shown = first + data[at + len(first):].translate(WHOLE)
        return data[:at] + (unlike_length(shown) if unlike else shown)


def masked_lines(data: bytes, everything: bool = False) -> bytes:
    """Lines that nobody has read yet; `everything`: AUTH waits, and all of them are secret."""
    return unread_lines(everything).feed(data)


def unread_lines(everything: bool = False) -> Hold:
    """The same, for what comes piece by piece."""
    return Hold(0, SECRET if everything else LINES, _comes_after)


def _comes_after(line: bytes) -> int:
    return SECRET if _ASKS.match(line) is not None else LINES


def _record(header: re.Pattern[bytes], before: bytes, data: bytes, at: int) -> int:
    """How many more octets, from there on, may be the header of a record."""
    match = header.match(before + data[at:at + _HEADER + 1 - len(before)])
    return match.end() - len(before) if match is not None else 0


def _content(header: re.Pattern[bytes], head: bytes) -> int:
    """How many octets of the record follow its header; -1 where that is not whole."""
    if len(head) < _HEADER + (header is _HELLO):
        return -1
    return int.from_bytes(head[LENGTH_AT:_HEADER]) - (header is _HELLO)
