"""Places in a content where some server may see its end, and mailspy does not.

Rules.  The end of a content is CRLF, a dot, CRLF (RFC 5321 §4.1.1.4).  Servers were built that take LF or CR alone for the end of
a line, or pass over NUL and other control octets: to them a dot that stands alone between such is the end too, and what follows
are commands.  Any cutting of the same octets finds the same.

Knows octets.  Must not know who sends the content, or who asks.
"""

from __future__ import annotations

import re
from typing import Final

_NOTHING: Final = rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xff]*"
"""Octets that a server may pass over, with their top bit or without; not blanks, which no server is known to pass over, and which
people write."""
_ALONE: Final = re.compile(rb"[\r\n]" + _NOTHING + rb"\." + _NOTHING + rb"[\r\n]")
_OPEN: Final = re.compile(rb"[\r\n]" + _NOTHING + rb"(?:\." + _NOTHING + rb"\r?)?\Z")
_END: Final = b"\r\n.\r\n"
LONGEST: Final = 256
"""Octets between the ends of lines that are looked at with the next segment again; a longer run of such is no text."""


class Ends:
    """Watches one content."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\r\n"

    def seen(self, data: bytes, start: int, stop: int) -> bool:
        """Takes the octets between two indices; True when some server may have seen an end in them that is none."""
        octets = self._tail + data[start:stop]
        at = 0
        while (match := _ALONE.search(octets, at)) is not None:
            first, last = match.span()
            around = octets[max(0, first - 1):last + 1]
            if around != _END:
                if around == _END[:4] and last == len(octets):
                    break  # its LF may be still to come
                return True
            at = last - 1
        opened = _OPEN.search(octets, max(0, len(octets) - LONGEST - 2))
        begin = len(octets) if opened is None else max(0, opened.start() - 1)
        if len(octets) - begin > LONGEST:
            return True
        self._tail = octets[begin:]
        return False
