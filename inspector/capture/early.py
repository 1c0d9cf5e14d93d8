"""Octets of one direction that cannot be delivered yet, in their order and without overlaps.

Knows places in a stream.  Must not know packets, connections or time.  Of octets that come twice the first copy counts,
as in Linux and in Suricata's default for it.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

COST: Final = 128
"""Octets that a kept piece counts for beside its own."""


class Piece:
    """Octets that stand together."""

    __slots__ = ("ack", "arrived", "data", "place", "time")

    def __init__(self, place: int, data: bytes, ack: int, arrived: int, time: int) -> None:
        self.place = place
        self.data = data
        self.ack = ack
        """Up to where their sender had received the other direction; below 0 if that is not known."""
        self.arrived = arrived
        """When they came, counted in packets."""
        self.time = time
        """The same in microseconds since the epoch."""


class Conflict:
    """Two contents of the same octets."""

    __slots__ = ("first", "place", "second")

    def __init__(self, place: int, first: bytes, second: bytes) -> None:
        self.place = place
        self.first = first
        """What counts."""
        self.second = second


class Early:
    """Pieces sorted by place."""

    __slots__ = ("_places", "cost", "pieces")

    def __init__(self) -> None:
        self._places: list[int] = []
        self.pieces: list[Piece] = []
        self.cost = 0
        """What the pieces cost in memory, in octets."""

    def add(self, place: int, data: bytes, ack: int, arrived: int, time: int) -> Conflict | None:
        """Keeps what of `data` is not there yet.  The result: the first octets that are there with another content."""
        conflict: Conflict | None = None
        end = place + len(data)
        at = max(0, bisect_right(self._places, place) - 1)
        begin = place
        while at < len(self.pieces) and self.pieces[at].place < end:
            known = self.pieces[at]
            stop = known.place + len(known.data)
            if stop > begin:
                if known.place > begin:
                    self._insert(at, Piece(begin, data[begin - place:known.place - place], ack, arrived, time))
                    at += 1
                low, high = max(begin, known.place), min(end, stop)
                if conflict is None:
                    conflict = differing(low, known.data[low - known.place:high - known.place], data[low - place:high - place])
                begin = high
            at += 1
        if begin < end:
            self._insert(bisect_right(self._places, begin), Piece(begin, data[begin - place:], ack, arrived, time))
        return conflict

    @property
    def octets(self) -> int:
        """Of all pieces together."""
        return self.cost - COST * len(self.pieces)

    def pop(self) -> Piece:
        """Takes the first piece away."""
        piece = self.pieces.pop(0)
        del self._places[0]
        self.cost -= len(piece.data) + COST
        return piece

    def _insert(self, at: int, piece: Piece) -> None:
        self.pieces.insert(at, piece)
        self._places.insert(at, piece.place)
        self.cost += len(piece.data) + COST


NOTHING: Final = Early()
"""Where nothing waits: most directions never have anything that does."""


def differing(place: int, first: bytes, second: bytes) -> Conflict | None:
    """The conflict between two copies of the octets at a place, if they differ."""
    return Conflict(place, first, second) if first != second else None
