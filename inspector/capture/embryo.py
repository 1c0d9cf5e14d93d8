"""Connections on which nobody has said anything yet: what a handshake tells, and no more.

Rules.  Most of what scans and floods open never carries an octet, so such a connection is kept as a few numbers, and told when
somebody speaks or ends it.  One of which nothing is heard any more is given up after so many frames of the capture for each
packet that it has had: so no more are kept than so many frames can open, and they are the same however many processes read.

Knows pairs, sequence numbers and frames counted.  Must not know packets, events or time.
"""

from __future__ import annotations

from typing import Final

PATIENCE: Final = 150_000
"""Frames of the capture that a connection is waited for, for each packet that it has had."""
COUNTED: Final = 3
"""Packets of it that count so: a handshake."""
STEP: Final = 1_024
"""Frames between two looks at what is due."""


class Embryo:
    """One connection of which at most the handshake was captured."""

    __slots__ = ("down", "key", "opened", "packets", "pair", "start", "turn", "up")

    def __init__(self, key: int, pair: bytes, opened: int, start: int, turn: int) -> None:
        self.key = key
        """The number that its flow will have, or has for the time being."""
        self.pair = pair
        """Who sends to whom, client to server."""
        self.opened = opened
        self.start = start
        """The sequence number of its first packet, by which a repeated one is known."""
        self.up = -1
        """The sequence number of the client's first octet; below 0 while nothing has told it."""
        self.down = -1
        """The server's."""
        self.packets = 0
        self.turn = turn
        """The number of the last frame of it."""

    def heard(self, turn: int) -> None:
        """A packet of it has come, in that frame."""
        self.packets += 1
        self.turn = turn

    def begin(self, client: bool, seq: int, ack: int) -> None:
        """A SYN of that side tells where it begins, and with `ack`, unless below 0, where the other does; the first counts."""
        up, down = (seq, ack) if client else (ack, seq)
        if self.up < 0:
            self.up = up
        if self.down < 0:
            self.down = down

    @property
    def due(self) -> int:
        """The frame with which it is given up."""
        return self.turn + PATIENCE * min(self.packets, COUNTED)


class Embryos:
    """All of them."""

    __slots__ = ("_due", "_known", "next")

    def __init__(self) -> None:
        self._known: dict[bytes, Embryo] = {}
        self._due: dict[int, list[Embryo]] = {}
        """Whom to look at, by the step of frames in which they may be due."""
        self.next = STEP
        """The frame at which to look next."""

    def __len__(self) -> int:
        return len(self._known)

    def find(self, pair: bytes, back: bytes) -> Embryo | None:
        """The connection of a packet, by who sends to whom and by the reverse."""
        return self._known.get(pair) or self._known.get(back)

    def add(self, embryo: Embryo) -> None:
        """Keeps one of which the first packet has been heard."""
        self._known[embryo.pair] = embryo
        self._watch(embryo)

    def remove(self, embryo: Embryo) -> None:
        """It is none any more."""
        del self._known[embryo.pair]
        embryo.packets = 0

    def lapsed(self, turn: int) -> list[Embryo]:
        """Those that are given up by that frame, in their order, taken away; to be asked when `next` has come."""
        found: list[Embryo] = []
        while self.next <= turn:
            for embryo in self._due.pop(self.next // STEP, ()):
                if not embryo.packets:
                    continue
                if embryo.due <= self.next:
                    self.remove(embryo)
                    found.append(embryo)
                else:
                    self._watch(embryo)
            self.next += STEP
        return sorted(found, key=_age)

    def all(self) -> list[Embryo]:
        """All that are left, in their order, taken away."""
        left = sorted(self._known.values(), key=_age)
        self._known.clear()
        self._due.clear()
        return left

    def _watch(self, embryo: Embryo) -> None:
        self._due.setdefault(-(-embryo.due // STEP), []).append(embryo)


def _age(embryo: Embryo) -> int:
    """Numbers for the time being go down."""
    return abs(embryo.key)
