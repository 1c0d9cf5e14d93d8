"""The headers of classic pcap files.

Knows the four magics and the record header (draft-ietf-opsawg-pcap).  Must not know files.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

HEADER: Final = 24
RECORD: Final = 16
"""Octets of the file header and of a record header."""


class Shape(NamedTuple):
    """What the first four octets tell."""

    order: str
    """`<` or `>`, as `struct` and construct write it."""
    divisor: int
    """What the fraction of a second is divided by to make microseconds."""

    @property
    def record(self) -> Struct:
        """Seconds, fraction, captured length, length on the wire."""
        return Struct(self.order + "IIII")


SHAPES: Final = {
    b"\xa1\xb2\xc3\xd4": Shape(">", 1),
    b"\xd4\xc3\xb2\xa1": Shape("<", 1),
    b"\xa1\xb2\x3c\x4d": Shape(">", 1_000),
    b"\x4d\x3c\xb2\xa1": Shape("<", 1_000),
}
