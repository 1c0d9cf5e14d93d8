"""The one sanitiser between wire data and any screen, log or file name.

Knows which characters may harm a terminal, a log or a reader's eyes.  Must not know what a PDU is.

Nothing that leaves here can move a cursor, ring a bell, change colours, reverse the reading
direction or end a line: control characters (C0, C1, DEL), format characters (category Cf, bidirectional
overrides among them), line and paragraph separators and lone surrogates come out as visible escapes.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

MASK: Final = "********"
"""What stands for a secret on a screen: always eight stars, so that its length is not told."""

_HARMFUL: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SHORT: Final = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
MARKS_IN_A_ROW: Final = 4
"""Combining marks kept on one character; more would climb over the neighbouring lines."""


def _escape(point: int) -> str:
    if short := _SHORT.get(chr(point)):
        return short
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


class _Visible(dict[int, str]):
    """What each character becomes; looked up once for each that occurs, so that noise costs no more than text."""

    def __missing__(self, point: int) -> str:
        harmful = unicodedata.category(chr(point)) in _HARMFUL
        visible = _escape(point) if harmful else chr(point)
        if len(self) < REMEMBERED:
            self[point] = visible
        return visible


REMEMBERED: Final = 20_000
"""Characters whose form is remembered: 2 MB at most."""
_VISIBLE: Final = _Visible()


_FAR: Final = re.compile(f"[\u0300-\U0010ffff]{{{MARKS_IN_A_ROW + 1},}}")
"""Where a pile of combining marks may be: the first of them is U+0300."""


def _unpile(run: re.Match[str]) -> str:
    """The marks of a pile that are too high come out as escapes."""
    shown: list[str] = []
    height = 0
    for mark in run[0]:
        height = height + 1 if unicodedata.category(mark)[0] == "M" else 0
        shown.append(mark if height <= MARKS_IN_A_ROW else _escape(ord(mark)))
    return "".join(shown)


def sanitise(text: str) -> str:
    """`text` with every character that could harm a reader or a terminal made visible.

    Plain text, the usual case, is returned as it is (0.1 µs a line).
    """
    if text.isascii():
        return text if text.isprintable() else text.translate(_VISIBLE)
    return _FAR.sub(_unpile, text.translate(_VISIBLE))


def decode(raw: bytes) -> str:
    """Wire octets as text for people: UTF-8 where it is valid, else each odd octet as `\\xhh`."""
    return sanitise(raw.decode("utf-8", "backslashreplace"))
