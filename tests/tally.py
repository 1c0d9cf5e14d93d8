"""A double of `bytes` that counts: how many octets are searched, compared and copied, by those who are given it.

What is cut out of it counts as well.  Counting works where the reader is Python; a compiled one gets round it, which makes counts
smaller and no test fail.
"""

from __future__ import annotations

from typing import Any


class Tally(bytes):
    """Octets that count what is done with them, in `Tally.octets`."""

    octets = 0

    @staticmethod
    def _count(octets: int) -> None:
        Tally.octets += max(octets, 0)

    def find(self, wanted: Any, start: Any = 0, end: Any = None) -> int:
        stop = len(self) if end is None else min(end, len(self))
        found = super().find(wanted, start, stop)
        self._count((found if found >= 0 else stop) - start)
        return found

    def rfind(self, wanted: Any, start: Any = 0, end: Any = None) -> int:
        stop = len(self) if end is None else min(end, len(self))
        found = super().rfind(wanted, start, stop)
        self._count(stop - max(found, start))
        return found

    def count(self, wanted: Any, start: Any = 0, end: Any = None) -> int:
        stop = len(self) if end is None else min(end, len(self))
        self._count(stop - start)
        return super().count(wanted, start, stop)

    def __contains__(self, wanted: Any) -> bool:
        self._count(len(self))
        return super().__contains__(wanted)

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        return self._cut(part) if isinstance(key, slice) else part

    def __add__(self, other: Any) -> Tally:
        return self._cut(bytes(self) + other)

    def __radd__(self, other: Any) -> Any:
        if isinstance(other, bytearray):
            self._count(len(self))
            return NotImplemented  # it grows in place
        return self._cut(bytes(other) + bytes(self))

    def split(self, *arguments: Any, **named: Any) -> Any:
        self._count(len(self))
        return super().split(*arguments, **named)

    def splitlines(self, *arguments: Any, **named: Any) -> Any:
        self._count(len(self))
        return [self._cut(line) for line in super().splitlines(*arguments, **named)]

    def isascii(self) -> bool:
        self._count(len(self))
        return super().isascii()

    def translate(self, *arguments: Any) -> Any:
        return self._cut(super().translate(*arguments))

    def replace(self, *arguments: Any) -> Any:
        return self._cut(super().replace(*arguments))

    def strip(self, *arguments: Any) -> Any:
        return self._cut(super().strip(*arguments))

    def lstrip(self, *arguments: Any) -> Any:
        return self._cut(super().lstrip(*arguments))

    def rstrip(self, *arguments: Any) -> Any:
        return self._cut(super().rstrip(*arguments))

    def upper(self) -> Any:
        return self._cut(super().upper())

    def lower(self) -> Any:
        return self._cut(super().lower())

    @staticmethod
    def _cut(octets: bytes) -> Tally:
        Tally._count(len(octets))
        return Tally(octets)
