"""The one sanitiser between wire data and any screen, log or file name.

Knows which characters may harm a terminal, a log or a reader's eyes.  Must not know what a PDU is.

Nothing that leaves here can move a cursor, ring a bell, change colours, reverse the reading
direction or end a line: control characters (C0, C1, DEL), format characters (category Cf, bidirectional
overrides among them), line and paragraph separators and lone surrogates come out as visible escapes.
"""

from __future__ import annotations

import unicodedata
from typing import Final

MASK: Final = "********"
"""What stands for a secret on a screen: always eight stars, so that its length is not told."""

_HARMFUL: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SHORT: Final = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
MARKS_IN_A_ROW: Final = 4
"""Combining marks kept on one character; more would climb over the neighbouring lines."""


def _escape(character: str) -> str:
    if short := _SHORT.get(character):
        return short
    point = ord(character)
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def sanitise(text: str) -> str:
    """`text` with every character that could harm a reader or a terminal made visible.

    Plain text, the usual case, is returned as it is (0.1 µs a line).
    """
    if text.isascii() and text.isprintable():
        return text
    out: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category[0] == "M" else 0
        harmful = category in _HARMFUL or marks > MARKS_IN_A_ROW
        out.append(_escape(character) if harmful else character)
    return "".join(out)


def decode(raw: bytes) -> str:
    """Wire octets as text for people: UTF-8 where it is valid, else each odd octet as `\\xhh`."""
    return sanitise(raw.decode("utf-8", "backslashreplace"))
