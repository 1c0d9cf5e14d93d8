"""What readers take differently, in a header or a body: every reading is told, none is hidden.

Knows which fields must not contradict each other, and how a doubt is written.  Must not know the tree or the stream.
"""

from __future__ import annotations

import re
from typing import Final

from mailspy_mime.fields import IN_DOUBT, Again
from mailspy_mime.limits import TOKEN
from mailspy_mime.words import text

Doubts = tuple[tuple[str, str], ...]
"""Names of anomalies, each with what was seen, not yet fit to be shown."""

Candidates = dict[str, tuple[str, ...]]
"""All readings of what readers take differently, ours first: `filename`, `content_type`, `encoding`, `disposition`,
`boundary`, `from`."""

NONE: Final[Candidates] = {}

_SHOWN: Final = 5
"""Candidates that a detail names."""

_STRANGE: Final = re.compile(rb"\n(?![!-9;-~]++[ \t]*+:|[ \t]|\r?(?:\n|\Z)|>?From )")
"""A line that is neither a field nor its continuation; the mark of a mailbox file before a message is no line of it."""


def repeated(again: Again) -> Doubts:
    """Fields that may stand once and stand more often (RFC 5322 §3.6, RFC 2045 §3); the first is the one we read."""
    return tuple(("duplicate_field", f"{name}: {listed(again[name])}") for name in IN_DOUBT if name in again)


def strange(block: bytes) -> Doubts:
    """What does not belong into a header (RFC 5322 §2.2); the block begins with a line feed."""
    doubts: Doubts = ()
    if b"\0" in block:
        doubts += (("nul_in_header", _around(block, block.find(b"\0"))),)
    breaks = block.count(b"\r")
    if breaks and breaks != block.count(b"\r\n") + block.endswith(b"\r"):
        doubts += (("bare_cr_in_header", _around(block, _BARE.search(block).start())),)  # type: ignore[union-attr]
    if not block.isascii() and not _is_utf8(block):
        doubts += (("eight_bit_in_header", "octets above 127 that are not UTF-8"),)
    line = _STRANGE.search(block)
    if line is not None:
        doubts += (("malformed_header", _around(block, line.end())),)
    return doubts


_BARE: Final = re.compile(rb"\r(?!\n)")


def _is_utf8(block: bytes) -> bool:
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True


def _around(block: bytes, place: int) -> str:
    """The line in which something stands."""
    begin = block.rfind(b"\n", 0, place) + 1
    end = block.find(b"\n", place)
    return block[begin:end if end > begin else len(block)][:TOKEN].decode("utf-8", "backslashreplace").rstrip()


def listed(values: tuple[str, ...] | list[str]) -> str:
    """Readings as one text."""
    return " | ".join(text(one[:TOKEN]) for one in values[:_SHOWN])
