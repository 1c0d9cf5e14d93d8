"""Cutting contents out of a stream of octets: where a dot-ended content stops, what it is without its stuffing.

Rules.  Any cutting of the same octets gives the same end, the same content and the same remarks.  Octets are handled in whole
segments: the end is hunted by its dot, a one-octet search, and only the octets around a dot are looked at.

Knows RFC 5321 §4.5.2 and RFC 1939 §3.  Must not know who sends the content or what is in it.
"""

from __future__ import annotations

import re
from typing import Final

_LINE_END_THEN_DOT: Final = re.compile(rb"(?:\r?\n|\r)(?:\.\r?)?\Z")
"""The end of a segment that cannot be judged without the octets that follow."""

DOTS_LOOKED_AT: Final = 32
"""Dots in one segment that are looked at one by one; in a text full of dots the two-octet search is faster from there on."""


class DotContent:
    """A content ended by a dot alone on its line.  Feed it the stream; `end` tells where it stopped."""

    __slots__ = ("_hidden", "_tail", "ambiguous", "lenient")

    def __init__(self, lenient: bool = False) -> None:
        self.lenient = lenient
        """The sender ends its lines by LF alone: a dot between two LF ends the content too."""
        self.ambiguous = False
        """A dot was seen alone between line ends that are not both CRLF."""
        self._tail = b"\r\n"
        self._hidden = 2
        """Octets at the head of the tail that are not to be given out: the CRLF of the line before the content."""

    def feed(self, data: bytes, start: int, content: list[bytes] | None) -> int:
        """Takes `data` from `start` on.  Appends pieces of the content, unstuffed, to `content` unless that is None.

        Returns the index in `data` after the end of the content, or -1 when the end is still to come.
        """
        tail = self._tail
        shift = start - len(tail)
        if tail:
            data = tail + data[start:]
            start = 0
        else:
            shift = 0
        begin = start + self._hidden
        self._hidden = 0
        at = start
        looked = 0
        while (dot := self._next_dot(data, at, looked)) >= 0:
            looked += 1
            at = dot + 1
            if dot == start or data[dot - 1] not in b"\r\n":
                continue
            after = data[dot + 1:dot + 3]
            if len(after) < 2 and after in b"\r":
                break
            after_crlf = data.endswith(b"\r\n", start, dot)
            if (after_crlf and after == b"\r\n") or self._ends_leniently(data, dot):
                if content is not None and dot > begin:
                    content.append(data[begin:dot])
                return shift + dot + (2 if after[:1] == b"\n" else 3)
            if after[0] in b"\r\n" and after != b"\r\r":  # `.CR CR LF` deceives nobody: bare CRs, no smuggling
                self.ambiguous = True
            if after_crlf:
                if content is not None and dot > begin:
                    content.append(data[begin:dot])
                begin = dot + 1
        self._keep(data, begin, content)
        return -1

    def _next_dot(self, data: bytes, at: int, looked: int) -> int:
        if looked < DOTS_LOOKED_AT:
            return data.find(b".", at)
        after_lf = data.find(b"\n.", max(at - 1, 0))
        after_cr = data.find(b"\r.", max(at - 1, 0), after_lf if after_lf >= 0 else len(data))
        found = after_cr if after_cr >= 0 else after_lf
        return found + 1 if found >= 0 else -1

    def _ends_leniently(self, data: bytes, dot: int) -> bool:
        return self.lenient and data[dot - 1] == 10 and data[dot + 1] == 10

    def _keep(self, data: bytes, begin: int, content: list[bytes] | None) -> None:
        """Holds back the few octets at the end that could belong to the end of the content."""
        end = len(data)
        if data[-1:] in (b"\r", b"\n", b".") and (match := _LINE_END_THEN_DOT.search(data, max(0, end - 4))):
            end = match.start()
        self._tail = data[end:]
        self._hidden = max(0, begin - end)
        if content is not None and end > begin:
            content.append(data[begin:end] if begin or end != len(data) else data)

    @property
    def waiting(self) -> int:
        """How many octets are held back."""
        return len(self._tail) - self._hidden

    def rest(self) -> bytes:
        """What was held back, when the stream is over before the content."""
        return self._tail[self._hidden:]
