"""Sizes as people write them: `100M`, `2.5 GB`, `64Ki`.

Knows units.  Must not know what is measured.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_SIZE: Final = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([kKMGT]?)(i?)[bB]?\s*", re.ASCII)
_UNIT: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
                "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_UNITS: Final = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def octets(text: str) -> int | None:
    """The number of octets: `k`, `M`, `G`, `T` are powers of 1000, with an `i` of 1024.  None for what is no size."""
    found = _SIZE.fullmatch(text)
    if found is None:
        return None
    number, unit = found[1], found[2].upper() + found[3]
    return int(Decimal(number) * _UNIT[unit]) if unit in _UNIT else None


def shown(size: int) -> str:
    """A size as people read it: `100 MB`; exact, in octets, where it is not round."""
    for unit, name in _UNITS:
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} octets"
