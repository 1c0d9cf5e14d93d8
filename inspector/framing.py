"""Cutting contents out of a stream of octets: where a dot-ended content stops, what it is without its stuffing.

Rules.  Any cutting of the same octets gives the same end, the same content and the same remarks.  Octets are handled in whole
segments: the end is hunted by its dot, a one-octet search, and only the octets around a dot are looked at.  Whatever the octets,
none is searched or copied more than a few times.

Knows RFC 5321 §4.5.2 and RFC 1939 §3.  Must not know who sends the content or what is in it.
"""

from __future__ import annotations

import re
from typing import Final

_LINE_END_THEN_DOT: Final = re.compile(rb"(?:\r?\n|\r)(?:\.\r?)?\Z")
"""The end of a segment that cannot be judged without the octets that follow."""
LF: Final = 10
CR: Final = 13

DOTS_LOOKED_AT: Final = 32
"""Dots in one segment that are looked at one by one; in a text full of dots the two-octet search is faster from there on."""
JOINED: Final = 256
"""Octets of a segment that are joined to those held back before it: not all, for a segment may hold thousands of contents."""


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
        joined = JOINED
        while self._tail and start < len(data):
            shift = start - len(self._tail)
            end = self._look(self._tail + data[start:start + joined], 0, content)
            if end >= 0:
                return shift + end
            start += joined
            joined += joined
        return self._look(data, start, content) if start < len(data) else -1

    def _look(self, data: bytes, start: int, content: list[bytes] | None) -> int:
        """The same where nothing before `start` is held back."""
        begin = start + self._hidden
        self._hidden = 0
        looked = 0
        after_lf = after_cr = -1  # what was found counts until it is passed: `\r.` over and over costs no more than the rest
        at = start
        while True:
            if looked < DOTS_LOOKED_AT:
                looked += 1
                dot = data.find(b".", at)
            else:
                if after_lf < at:
                    after_lf = data.find(b"\n.", at - 1) + 1 or len(data)
                if after_cr < at:
                    after_cr = data.find(b"\r.", at - 1) + 1 or len(data)
                dot = after_lf if after_lf < after_cr else after_cr
            if dot < 0 or dot == len(data):
                break
            at = dot + 1
            before = data[dot - 1] if dot > start else 0
            if before not in (LF, CR):
                continue
            after = data[at:at + 2]
            if len(after) < 2 and after in b"\r":
                break
            after_crlf = before == LF and dot - 2 >= start and data[dot - 2] == CR
            following = after[0]
            if following in (LF, CR):
                if (after_crlf and after == b"\r\n") or (self.lenient and before == LF and following == LF):
                    if content is not None and dot > begin:
                        content.append(data[begin:dot])
                    return dot + (2 if following == LF else 3)
                if after != b"\r\r":  # `.CR CR LF` deceives nobody: bare CRs, no smuggling
                    self.ambiguous = True
            if after_crlf:
                if content is not None and dot > begin:
                    content.append(data[begin:dot])
                begin = at
        self._keep(data, start, begin, content)
        return -1

    def _keep(self, data: bytes, start: int, begin: int, content: list[bytes] | None) -> None:
        """Holds back the few octets at the end that could belong to the end of the content."""
        end = len(data)
        if data[-1:] in (b"\r", b"\n", b".") and (match := _LINE_END_THEN_DOT.search(data, max(start, end - 4))):
            end = match.start()
        self._tail = data[end:]
        self._hidden = max(0, begin - end)
        if content is not None and end > begin:
            content.append(data[begin:end] if begin or end != len(data) else data)

    @property
    def held(self) -> bytes:
        """What is held back, and before it what was given out already."""
        return self._tail

    @property
    def hidden(self) -> int:
        """How many octets of `held` were given out already, or are none of the content."""
        return self._hidden

    def start(self, hidden: int) -> None:
        """Makes it begin in the middle of a content; of what comes the first octets are known already."""
        self._tail, self._hidden = b"", hidden

    @property
    def waiting(self) -> int:
        """How many octets are held back."""
        return len(self._tail) - self._hidden

    def rest(self) -> bytes:
        """What was held back, when the stream is over before the content."""
        return self._tail[self._hidden:]


def unstuffed(octets: bytes, hidden: int) -> bytes:
    """The content in octets from the middle of one, the first `hidden` left out, which may be the end of the line before."""
    content = DotContent()
    content.start(hidden)
    pieces: list[bytes] = []
    content.feed(octets, 0, pieces)
    pieces.append(content.rest())
    return b"".join(pieces)
