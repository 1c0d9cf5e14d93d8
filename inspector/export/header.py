"""Fields of a header as they stand in it, unfolded, for the forms that give them so.

Knows lines of a header (RFC 5322 §2.2).  Must not know what the fields mean.
"""

from __future__ import annotations

import re
from typing import Final

from inspector.text import decode

_FIELD: Final = re.compile(rb"^([!-9;-~]{1,200})[ \t]*:[ \t]*((?:[^\n]*)(?:\n[ \t][^\n]*)*)", re.MULTILINE)
_FOLD: Final = re.compile(rb"\r?\n[ \t]+")
MOST: Final = 1_000
"""Fields that are looked at."""


def fields(head: bytes) -> dict[str, list[str]]:
    """The values of each field, by its name in small letters."""
    found: dict[str, list[str]] = {}
    for count, match in enumerate(_FIELD.finditer(head)):
        if count >= MOST:
            break
        value = _FOLD.sub(b" ", match[2]).strip()
        found.setdefault(match[1].decode("ascii").lower(), []).append(decode(value))
    return found
