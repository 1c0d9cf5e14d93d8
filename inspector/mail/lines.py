"""Filters for streams that are made of lines, in pieces of any length.

Knows line feeds.  Must not know messages.
"""

from __future__ import annotations

import re
from typing import Final

MARKS: Final = 999
"""Quotation marks before `From ` that are counted; a line that begins with more is quoted whatever follows, so that the
memory for a line is bounded and what was quoted can be unquoted."""

QUOTED: Final = re.compile(rb"\n(?=>{0,%d}From |>{%d})" % (MARKS - 1, MARKS))
"""Before a line that must be quoted in a mailbox (the format `mboxrd`)."""
UNQUOTED: Final = re.compile(rb"\n>(?=>{0,%d}From |>{%d})" % (MARKS - 1, MARKS))
"""Before a line that was quoted, with its first mark."""
_LONGEST: Final = MARKS + 8
"""Octets after a line feed that the patterns may need to see."""


class Lines:
    """Replaces what a pattern finds at the beginning of lines, whatever the cutting."""

    __slots__ = ("_begun", "_carry", "_pattern", "_replacement")

    def __init__(self, pattern: re.Pattern[bytes], replacement: bytes) -> None:
        """`pattern` begins with the line feed before the line, and looks at no more than `MARKS` octets behind it."""
        self._pattern = pattern
        self._replacement = replacement
        self._carry = b"\n"
        self._begun = False

    def feed(self, data: bytes) -> bytes:
        """What can be told now."""
        data = self._carry + data
        cut = data.rfind(b"\n", max(0, len(data) - _LONGEST))
        if cut < 0:
            cut = len(data)
        self._carry = data[cut:]
        return self._replaced(data[:cut])

    def finish(self) -> bytes:
        """The rest."""
        rest, self._carry = self._carry, b""
        return self._replaced(rest)

    def _replaced(self, data: bytes) -> bytes:
        data = self._pattern.sub(self._replacement, data)
        if not self._begun and data:
            self._begun = True
            return data[1:]
        return data


def quoting() -> Lines:
    """Into a mailbox: lines that begin with `From `, whatever number of `>` before it, get one more `>`."""
    return Lines(QUOTED, b"\n>")


def unquoting() -> Lines:
    """Out of a mailbox: the opposite."""
    return Lines(UNQUOTED, b"\n")


class LineFeeds:
    """Turns each CRLF into LF, as Unix keeps its mail; every other octet stays."""

    __slots__ = ("_carry",)

    def __init__(self) -> None:
        self._carry = b""

    def feed(self, data: bytes) -> bytes:
        """What can be told now."""
        data = self._carry + data
        self._carry = b"\r" if data.endswith(b"\r") else b""
        return data[:len(data) - len(self._carry)].replace(b"\r\n", b"\n")

    def finish(self) -> bytes:
        """The rest."""
        rest, self._carry = self._carry, b""
        return rest
