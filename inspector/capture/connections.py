"""The connections of a capture that are known: by their packets, by how long nothing was heard, and those that are over.

Rules.  A connection that is over is remembered for so much time or so many frames of the capture, whatever others there are, so
that late copies of its packets open no other.  Of those on which something was said there are no more than `CONNECTIONS`.

Knows pairs and connections.  Must not know packets or events.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

from inspector.capture.connection import Connection, Half

CONNECTIONS: Final = 100_000
"""Connections on which something was said that are known at a time; beyond, one that has been silent for long is forgotten."""
LINGER: Final = 60_000_000
"""Microseconds of the capture for which an ended connection is known, so that late copies of its packets open no other."""
LINGERING: Final = 100_000
"""Frames of the capture for which it is known at most."""


class Over:
    """A connection that has ended: what is needed to know late copies of its packets."""

    __slots__ = ("pair", "time", "turn")

    def __init__(self, pair: bytes, time: int, turn: int) -> None:
        self.pair = pair
        self.time = time
        """When it ended, by the clock of the capture."""
        self.turn = turn
        """The number of the frame that ended it."""

    def lapsed(self, time: int, turn: int) -> bool:
        """Whether that was long ago."""
        return turn - self.turn > LINGERING or time - self.time > LINGER


class Connections:
    """Those that are open, and those that were."""

    __slots__ = ("_ended", "_live", "_over", "halves")

    def __init__(self) -> None:
        self.halves: dict[bytes, Half] = {}
        """By who sends to whom."""
        self._live: OrderedDict[int, Connection] = OrderedDict()
        """The connections of these halves by key; those looked at last come last."""
        self._over: dict[bytes, Over] = {}
        """By the lesser of both pairs."""
        self._ended: deque[Over] = deque()

    @property
    def full(self) -> bool:
        """Whether there is room for no more."""
        return len(self._live) >= CONNECTIONS

    def add(self, connection: Connection) -> None:
        """One more."""
        self.halves[connection.up.pair] = connection.up
        self.halves[connection.down.pair] = connection.down
        self._live[connection.key] = connection

    def remove(self, connection: Connection) -> None:
        """It is known no more."""
        del self._live[connection.key]
        # A forged packet may come from where it goes to; then the two keys are one.
        self.halves.pop(connection.up.pair, None)
        self.halves.pop(connection.down.pair, None)

    def by_age(self) -> list[Connection]:
        """Those that are open, in the order in which they were opened."""
        return sorted(self._live.values(), key=_age)

    def silent(self) -> Connection:
        """The first of which nothing was heard since it was last looked at; those that were go to the end of the line."""
        while True:
            connection = next(iter(self._live.values()))
            if not connection.moved():
                return connection
            self._live.move_to_end(connection.key)

    def ended(self, connection: Connection, time: int, turn: int) -> None:
        """Remembers one that is over."""
        over = Over(min(connection.up.pair, connection.down.pair), time, turn)
        self._over[over.pair] = over
        self._ended.append(over)

    def over(self, pair: bytes, back: bytes, time: int, turn: int) -> bool:
        """Whether a packet is of one that is over, and not for long."""
        over = self._over.get(min(pair, back))
        return over is not None and not over.lapsed(time, turn)

    def expire(self, time: int, turn: int) -> None:
        """Forgets those that were over long ago."""
        while self._ended and self._ended[0].lapsed(time, turn):
            over = self._ended.popleft()
            if self._over.get(over.pair) is over:
                del self._over[over.pair]


def _age(connection: Connection) -> int:
    """Numbers for the time being go down."""
    return abs(connection.key)
