"""Places in a content where some server may see its end, and mailspy does not.

Rules.  The end of a content is CRLF, a dot, CRLF (RFC 5321 §4.1.1.4).  Servers were built that take LF or CR alone for the end of
a line, or pass over NUL and other control octets: to them a dot that stands alone between such is the end too, and what follows
are commands.  A dot among blanks, or between octets that end a line to few, is written by honest people too: it makes what
follows suspicious, no more.  Any cutting of the same octets finds the same.

Knows octets.  Must not know who sends the content, or who asks.
"""

from __future__ import annotations

import re
from typing import Final

_NOTHING: Final = rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xff]*"
"""Octets that a server may pass over, with their top bit or without; not blanks, which no server is known to pass over, and which
people write."""
_BARE: Final = re.compile(rb"\.(?<=[\x00-\x08\x0a-\x1f\x7f-\x9f\xff]\.)[\x00-\x08\x0a-\x1f\x7f-\x9f\xff]")
"""What each of those holds, and nearly no text: it begins with one octet, which `re` looks for fast."""
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
        at = 0 if _BARE.search(octets) is not None else len(octets)
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


_BLANKS: Final = bytes([*range(10), 11, 12, *range(14, 33), *range(127, 161), 255])
"""What may stand about a dot alone: the octets of `_NOTHING`, and blanks."""
_BREAKS: Final = b"\0\x0b\x0c\x1c\x1d\x1e\x85\x8a\x8d"
"""What ends a line to some, and is no end of one; CR and LF with their top bit, too."""
ANY_BREAKS: Final = _BREAKS + b"\x80\x8b\x8c\x9c\x9d\x9e"
"""The same, all of them also with their top bit: not behind a dot that ends its line, as letters in UTF-8 end so."""
_DOTS: Final = b".\xae"
"""A dot, and one with its top bit."""
_ALONE_AMONG: Final = (rb"(?<=[\r\n" + re.escape(_BLANKS) + rb"][.\xae])[" + re.escape(_BLANKS) + rb"]*(?:[\r\n]|(?<=["
                       + re.escape(ANY_BREAKS) + rb"]))")
_DOT: Final = re.compile(rb"[.\xae]" + _ALONE_AMONG)
_PLAIN_DOT: Final = re.compile(rb"\." + _ALONE_AMONG)
"""The same where no dot has its top bit: what begins with one octet is looked for fast."""


class Padded:
    """Watches one content for a dot that is alone on its line but for blanks, or between octets that end a line to some."""

    __slots__ = ("_before",)

    def __init__(self) -> None:
        self._before = b"\n"
        """What stands for all that has come: the beginning of a line, perhaps behind a break of any kind, or anything else; and a
        dot."""

    def seen(self, data: bytes) -> int:
        """Takes octets.  Gives where they go on behind such a dot and the end of its line; -1 when there is none."""
        octets = self._before + data
        at = 0
        for match in (_DOT if b"\xae" in octets else _PLAIN_DOT).finditer(octets):
            breaks = ANY_BREAKS if any(octet in ANY_BREAKS for octet in match[0]) else _BREAKS
            before = b"x" + octets[at:match.start()] if at else octets[:match.start()]
            if _begins(before, breaks):
                return match.end() - len(self._before)
            at = match.start() + 1
        # Behind a dot that is none of those, what stands about it counts.
        rest = b"x" + octets[at:] if at else octets
        kept = rest.rstrip(_BLANKS)
        dotted = bool(kept) and kept[-1] in _DOTS and _begins(kept[:-1], ANY_BREAKS)
        begun, dot = (kept[:-1], b".") if dotted else (rest, b"")
        self._before = (b"\n" if _begins(begun) else b"x\x80" if _begins(begun, ANY_BREAKS) else b"x") + dot
        return -1


def _begins(octets: bytes, breaks: bytes = _BREAKS) -> bool:
    """Whether a line has begun, perhaps behind one of the breaks, and nothing is in it but what may stand about a dot."""
    kept = octets.rstrip(_BLANKS)
    return not kept or kept[-1:] in (b"\r", b"\n") or any(octet in breaks for octet in octets[len(kept):])
