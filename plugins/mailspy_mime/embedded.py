"""Files that are written into a text: uuencode and yEnc, each between two lines that say so.

    begin 644 cat.jpg               =ybegin line=128 size=123456 name=cat.jpg
    M...                            ...
    `                               =yend size=123456 crc32=abcdef12
    end

Knows those lines.  Must not know the encodings, or what is done with a file.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from mailspy_mime import needle
from mailspy_mime.limits import LINE
from mailspy_mime.uuencode import Uuencode, plausible
from mailspy_mime.yenc import YEnc

UUENCODED, YENC = "x-uuencode", "x-yenc"
_MARK: Final = b"begin "
_marked: Final = needle.make(_MARK)
_BEGIN: Final = re.compile(rb"begin [0-7]{3,4} ++([^\r\n]{1,1024}+)\r?\n([ -`]{0,86}+|end)\r?\n")
_YBEGIN: Final = re.compile(rb"=ybegin ([^\r\n]{0,2048}+)\r?\n")
_NAME: Final = re.compile(rb"(?:\A| )name=(.*)\Z", re.DOTALL)
_END: Final = {UUENCODED: b"end", YENC: b"=yend"}


class Piece(NamedTuple):
    """Something about a file: exactly one of its beginning, its octets and its end."""

    encoding: str = ""
    """At the beginning: UUENCODED or YENC."""
    name: bytes = b""
    """At the beginning: as it stands there."""
    octets: bytes = b""
    complete: bool | None = None
    """At the end: whether it is whole and right."""


class Embedded:
    """Finds files in a text as it streams; lines that are no file's are passed over at the speed of a search."""

    __slots__ = ("_carry", "_coder", "_end", "_final", "_midline")

    def __init__(self) -> None:
        self._carry: bytes | bytearray = b""
        """Octets from the beginning of a line on that cannot be interpreted yet."""
        self._coder: Uuencode | YEnc | None = None
        self._end = b""
        """What begins the last line of the file in hand."""
        self._midline = False
        """What comes next is not the beginning of a line."""
        self._final = False

    def feed(self, data: bytes) -> list[Piece]:
        """What is in the next octets of the text."""
        if self._coder is None and not self._carry and not _marked(data):
            self._remember(data, 0)
            return []
        if self._carry:
            if self._coder is not None and len(self._carry) + len(data) < LINE and data.find(b"\n") < 0 and not self._final:
                # Nothing can be told of an unfinished line; it is not copied for each octet that comes.
                if not isinstance(self._carry, bytearray):
                    self._carry = bytearray(self._carry)
                self._carry += data
                return []
            data = b"".join((self._carry, data))
            self._carry = b""
        pieces: list[Piece] = []
        place, end = 0, len(data)
        while place < end:
            place = self._seek(data, place, pieces) if self._coder is None else self._take(data, place, pieces)
        return pieces

    def finish(self) -> list[Piece]:
        """The text is over."""
        self._final = True
        pieces = self.feed(b"") if self._carry else []
        if self._coder is not None:
            pieces.append(Piece(complete=False))
            self._coder = None
        return pieces

    def _seek(self, data: bytes, place: int, pieces: list[Piece]) -> int:
        """Outside of files: up to the beginning of one."""
        found = data.find(_MARK, place)
        while found >= 0:
            start = found - 2 if data[max(found - 2, 0):found] == b"=y" else found
            if (data[start - 1] == 10) if start else not self._midline:
                match = (_BEGIN if start == found else _YBEGIN).match(data, start)
                if match is None and self._unclear(data, start):
                    self._carry, self._midline = data[start:], False
                    return len(data)
                if match is not None and (start < found or plausible(match[2])):
                    return self._open(match, start == found, pieces)
            found = data.find(_MARK, found + 1)
        self._remember(data, place)
        return len(data)

    def _unclear(self, data: bytes, start: int) -> bool:
        """Whether more octets can make a beginning of this."""
        if self._final or len(data) - start > 2 * LINE:
            return False
        line = data.find(b"\n", start)
        return line < 0 or (data[start] != 61 and data.find(b"\n", line + 1) < 0)

    def _open(self, match: re.Match[bytes], uuencoded: bool, pieces: list[Piece]) -> int:
        self._midline = False
        if uuencoded:
            self._coder = Uuencode()
            pieces.append(Piece(UUENCODED, match[1]))
            self._end = _END[UUENCODED]
            return match.start(2)
        name = _NAME.search(match[1])
        self._coder = YEnc()
        pieces.append(Piece(YENC, name[1].strip() if name else b""))
        self._end = _END[YENC]
        return match.end()

    def _remember(self, data: bytes, place: int) -> None:
        """Keeps the last line if it can be the beginning of a beginning."""
        start = data.rfind(b"\n", place) + 1
        if not start:
            if self._midline:
                return
            start = place
        tail = data[start:start + 9]
        if tail and len(tail) < 9 and not self._final and (_MARK.startswith(tail) or b"=ybegin ".startswith(tail)):
            self._carry, self._midline = tail, False
        else:
            self._midline = bool(tail)

    def _take(self, data: bytes, place: int, pieces: list[Piece]) -> int:
        """Within a file: up to its end, or all whole lines."""
        coder = self._coder
        assert coder is not None
        if self._midline:
            after = data.find(b"\n", place) + 1
            self._midline = not after
            after = after or len(data)
            self._give(coder.skip(data[place:after]), pieces)
            return after
        if data.startswith(self._end, place):
            return self._close(data, place, coder, pieces)
        found = data.find(b"\n" + self._end, place) + 1
        cut = found or len(data) if self._final else found or data.rfind(b"\n", place) + 1 or place
        if cut > place:
            self._give(coder.take(data[place:cut]), pieces)
        elif len(data) - place < LINE:
            self._carry = data[place:]
            return len(data)
        else:
            self._midline = True
        return cut

    def _close(self, data: bytes, place: int, coder: Uuencode | YEnc, pieces: list[Piece]) -> int:
        """At the last line of a file."""
        after = data.find(b"\n", place) + 1
        if not after:
            if not self._final and len(data) - place < LINE:
                self._carry = data[place:]
                return len(data)
            self._midline = True
            after = len(data)
        coder.check(data[place:min(after, place + LINE)])
        pieces.append(Piece(complete=not coder.broken))
        self._coder = None
        return after

    @staticmethod
    def _give(octets: bytes, pieces: list[Piece]) -> None:
        if octets:
            pieces.append(Piece(octets=octets))
