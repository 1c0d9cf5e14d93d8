"""The most frequent of many names in bounded memory.

Rules.  Space-Saving (Metwally, Agrawal and El Abbadi, ICDT 2005): with `room` counters, a name that is more frequent than one in
`room` is among them, and its count is too high by `error` at most.  Up to `room` different names all counts are exact.

Knows names.  Must not know what they name.
"""

from __future__ import annotations

from typing import Final, NamedTuple

ROOM: Final = 1_000
"""Names that are counted at a time."""
LONGEST: Final = 320
"""Characters of a name that are kept: an address has as many at most (RFC 5321 §4.5.3.1)."""


class Count(NamedTuple):
    """A name and how often it came."""

    name: str
    times: int
    error: int
    """By how much the count may be too high."""


class Top:
    """Names, counted."""

    __slots__ = ("_counts", "_errors", "_room")

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._counts: dict[str, int] = {}
        self._errors: dict[str, int] = {}

    def add(self, name: str) -> None:
        """Counts a name."""
        name = name[:LONGEST]
        counts = self._counts
        if name in counts:
            counts[name] += 1
        elif len(counts) < self._room:
            counts[name] = 1
        else:
            rarest = min(counts, key=counts.__getitem__)
            error = counts.pop(rarest)
            self._errors.pop(rarest, None)
            counts[name] = error + 1
            self._errors[name] = error

    def most(self, number: int) -> list[Count]:
        """The most frequent, the most frequent first; those as frequent by name."""
        ranked = sorted(self._counts.items(), key=lambda pair: (-pair[1], pair[0]))[:number]
        return [Count(name, count, self._errors.get(name, 0)) for name, count in ranked]

    def __len__(self) -> int:
        return len(self._counts)
