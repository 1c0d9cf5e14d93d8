"""What every source of traffic yields, live or saved: the only thing that the pipeline takes.

Knows four events of a TCP connection.  Must not know where they come from.
"""

from __future__ import annotations

from typing import NamedTuple

from inspector.pdu import Direction, Flow


class Opened(NamedTuple):
    """A connection exists; `flow.opened` is the time of its first packet."""

    flow: Flow


class Segment(NamedTuple):
    """Octets read from one direction at one instant: never empty."""

    flow: int
    direction: Direction
    time: int
    """Microseconds since the epoch."""
    data: bytes


class Ended(NamedTuple):
    """That direction will carry nothing more (FIN); the other may."""

    flow: int
    direction: Direction
    time: int


class Reset(NamedTuple):
    """The sender of that direction has aborted the connection (RST)."""

    flow: int
    direction: Direction
    time: int


Event = Opened | Segment | Ended | Reset
