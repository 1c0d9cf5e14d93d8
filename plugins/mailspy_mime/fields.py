"""Header blocks: which fields matter, and what stands in them.

Header text is held as `str` with octets that are not UTF-8 escaped as surrogates (PEP 383), so that it can be turned
back: `octets` does.

Knows lines, names and folding (RFC 5322 §2.2).  Must not know what any field means.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final

from mailspy_mime.limits import FIELDS

Fields = dict[str, str]
"""Values, still folded, by name in small letters; of fields given twice, the first."""

Again = dict[str, list[str]]
"""All values, in their order, of the fields that stand more than once, by name in small letters."""

Pairs = list[tuple[str, str]]
"""Names as written and values, still folded, the last first."""

IN_DOUBT: Final = ("content-type", "content-transfer-encoding", "content-disposition", "from")
"""Fields that may stand once, and that readers take differently when they stand more often."""

BLANKS: Final = " \t\r\n\v\f"
"""What may stand around a value."""

_FIELD: Final = re.compile(
    r"\n(content-(?:type|transfer-encoding|disposition)|subject|message-id|from|to|cc|reply-to|in-reply-to|references|date"
    r"|return-path|received)[ \t]*+:"
    r"[ \t]*+([^\r\n]*+(?:\r?\n[ \t][^\r\n]*+)*+)", re.IGNORECASE | re.ASCII)
_FOLD: Final = re.compile(r"\r?\n")
_SMALL: Final = 16_384
"""Octets of a block whose fields are fetched at once, which is faster; larger ones one by one, up to `FIELDS`."""


def read(block: bytes) -> Fields:
    """The fields of interest in a header block, each line of which follows a line feed."""
    return first(pairs(block))


def first(found: Pairs) -> Fields:
    """Of each field the first."""
    return {name.lower(): value for name, value in found}


def again(found: Pairs, fields: Fields) -> Again:
    """The fields among them that stand more than once; Received too if it stands once."""
    if len(found) == len(fields) and "received" not in fields:
        return {}
    values: Again = {}
    for name, value in reversed(found):
        values.setdefault(name.lower(), []).append(value)
    return {name: every for name, every in values.items() if len(every) > 1 or name == "received"}


def pairs(block: bytes) -> Pairs:
    """The fields of interest, all of them, the last first."""
    header = decode(block)
    if len(block) <= _SMALL:
        found: Pairs = _FIELD.findall(header)
    else:
        found = [(match[1], match[2]) for match in islice(_FIELD.finditer(header), FIELDS)]
    found.reverse()
    return found


def unfold(value: str) -> str:
    """A value as one line without blanks around it (RFC 5322 §2.2.3)."""
    return (_FOLD.sub("", value) if "\n" in value else value).strip(BLANKS)


def decode(block: bytes) -> str:
    """Octets of the wire as text that can be turned back."""
    return block.decode("utf-8", "surrogateescape")


def octets(value: str) -> bytes:
    """The octets that crossed the wire."""
    return value.encode("utf-8", "surrogateescape")
