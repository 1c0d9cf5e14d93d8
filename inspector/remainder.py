"""What follows a dot that may have been the end of a content.

A dot alone on its line ends a content, if both line ends are CRLF (RFC 5321 §4.1.1.4).  Some receivers end it at other dots, too;
which, only their replies tell.  So what follows such a dot is kept for a while: if the receiver answers the content as taken, it
was an end, and what follows are commands; if too much follows without a word, or the right end comes, it was none.

Rules.  Any cutting of the same octets keeps the same.  A dot among octets that are being kept begins nothing anew.

Knows octets and their times.  Must not know who reads them, nor any command.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from inspector.framing import unstuffed

_ALONE: Final = re.compile(rb"\.(?<=[\r\n]\.)(?:\r\n|\n|\r[^\r])")
"""A dot between ends of lines of any kind, as far as `DotContent` calls it ambiguous: not before CR CR."""
_END: Final = re.compile(rb"\.(?<=[\r\n]\.)(?:\r\n|\n|\r(?!\r))")
"""The same with the end of its line, where nothing more has come."""
LOOKED_AT: Final = 8
"""Dots among which the one is sought behind which commands begin; else it was the last."""


class Remainder:
    """The octets behind one such dot, itself included, in one content."""

    __slots__ = ("_after", "_before", "_bound", "_offset", "_size", "_withheld", "open", "pieces")

    def __init__(self, bound: int) -> None:
        self._bound = bound
        """Octets that are kept at most."""
        self.open = False
        """Something is kept."""
        self.pieces: list[tuple[int, bytes]] = []
        """What is kept, with the times when it came."""
        self._size = 0
        self._before = b""
        """The end of the line before the dot."""
        self._offset = 0
        """Where in the content the dot stands."""
        self._after = 0
        """From where on a dot may begin another."""
        self._withheld: list[bytes] = []
        """The content from the dot on as it is if that is no end, which has not been given out."""

    def feed(self, held: bytes, hidden: int, data: bytes, offset: int, time: int, pieces: list[bytes]) -> list[bytes]:
        """Takes the octets that the content has just taken, and what of it would be given out; gives what can be.

        `held`: what `DotContent` had held back of what came before, the first `hidden` octets not to be given out; `offset`:
        where in the content `data` begins.
        """
        out: list[bytes] = []
        if self.open:
            self.pieces.append((time, data))
            self._size += len(data)
            if self._size <= self._bound:
                self._withheld += pieces
                return out
            self._after = self._offset + self._bound
            out = self.close()
        base = offset - len(held)
        octets = held + data
        at = _first(octets, max(0, self._after - base))
        while at >= 0 and len(octets) - at > self._bound:
            self._after = base + at + self._bound
            at = _first(octets, self._after - base)
        if at < 0:
            return out + pieces
        self.open, self._offset, self._size = True, base + at, len(octets) - at
        self._before = octets[max(0, at - 2):at]
        self.pieces = [(time, octets[at:])]
        given = b"".join(pieces)
        size = len(unstuffed(octets[:at], hidden)) if given else 0
        self._withheld = [given[size:]]
        out.append(given[:size])
        return out

    def close(self) -> list[bytes]:
        """It was no end; gives the content that was withheld."""
        withheld, self._withheld = self._withheld, []
        self.pieces = []
        self.open = False
        return withheld

    def end(self, begins: Callable[[bytes], bool]) -> tuple[int, bool]:
        """Behind which of the octets kept the content ended, and whether nothing follows there, or something that `begins`."""
        octets = self._before + b"".join([piece for _, piece in self.pieces])
        last = 0
        for number, match in enumerate(_END.finditer(octets)):
            last = match.end()
            if number < LOOKED_AT:
                rest = octets[last:]
                if not rest or begins(rest[:rest.find(b"\n") + 1]):
                    return last - len(self._before), True
        return last - len(self._before), last == len(octets)

    def content(self, end: int) -> bytes:
        """The content from the first of the dots up to the one that ends there."""
        octets = b"".join([piece for _, piece in self.pieces])[:end]
        return unstuffed(self._before + octets[:octets.rindex(b".")], len(self._before))

    def behind(self, end: int) -> tuple[int, list[tuple[int, bytes]]]:
        """When the end had come; and what follows it, with its times."""
        at = 0
        ended = 0
        rest: list[tuple[int, bytes]] = []
        for time, piece in self.pieces:
            if at < end:
                ended = time
            if at + len(piece) > end:
                rest.append((time, piece[max(0, end - at):]))
            at += len(piece)
        return ended, rest


def _first(octets: bytes, start: int) -> int:
    """Where the first dot stands, from there on, that may be an end and is none by the standard; or -1."""
    for match in _ALONE.finditer(octets, start):
        at = match.start()
        if match[0] != b".\r\n" or at < 2 or octets[at - 2] != 13 or octets[at - 1] != 10:
            return at
    return -1
