"""What every source of traffic yields, live or saved: the only thing that the pipeline takes.

Knows the events of a TCP connection.  Must not know where they come from.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from inspector.pdu import Direction, Finding, Flow


class Opened(NamedTuple):
    """A connection exists; `flow.opened` is the time of its first packet."""

    flow: Flow
    own: bool = True
    """mailspy itself has seen it open; else it comes from somebody else's capture, and need not be mail."""
    joined: bool = False
    """The capture begins in its middle."""
    key: int = 0
    """By what the events that follow name the flow; 0 where that is its number."""
    unread: bool = False
    """Joined where nothing that comes can be read."""


class Segment:
    """Octets read from one direction at one instant: never empty.  Made once a packet, so it is a plain class."""

    __slots__ = ("data", "direction", "flow", "time")

    def __init__(self, flow: int, direction: Direction, time: int, data: bytes) -> None:
        self.flow = flow
        self.direction = direction
        self.time = time
        """Microseconds since the epoch."""
        self.data = data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Segment) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        return f"Segment{self._values()}"

    def _values(self) -> tuple[int, Direction, int, bytes]:
        return self.flow, self.direction, self.time, self.data


class Gap(NamedTuple):
    """Octets of that direction that were sent and are not in the capture."""

    flow: int
    direction: Direction
    time: int
    size: int
    """0 where nobody can tell how many."""


class Remark(NamedTuple):
    """Something odd about the connection itself."""

    flow: int
    direction: Direction
    time: int
    name: str
    """Of the anomaly."""
    detail: str


class Words(NamedTuple):
    """What mailspy has said in somebody's place in what comes next of a flow: no octet shows whose words it is made of."""

    said: tuple[tuple[int, int], ...] = ()
    """To the client: where in the stream that it got those octets stand (begin, end)."""
    instead: tuple[tuple[int, bytes], ...] = ()
    """To the server: by the number of the client's PDU the line that left in its place."""
    withheld: bytes = b""
    """The last octets of a content that the client did not get, since a judge has ended the flow at it."""
    injected: tuple[int, int] = (0, 0)
    """Octets in the clear that came with the client's wish for TLS and with the server's agreement, and went nowhere."""
    heard: bytes | None = None
    """The server's first octets, by which the protocol was told: the client got others."""
    closing: bool = False
    """What is half said to the client is never finished: the last words, if any, are mailspy's."""
    divided: bool = False
    """Half a line of the server's ended at one that waits, or goes nowhere."""
    reason: str = ""
    """Why mailspy ends the flow; empty while it does not."""


SILENT: Final = Words()


class Noted(NamedTuple):
    """What only the live proxy could know of a flow, and has written down: how its legs are in TLS, what it has changed
    or said."""

    flow: int
    time: int
    findings: tuple[Finding, ...]
    secured: bool = False
    """From here on what crosses in TLS is seen in the clear."""
    words: Words = SILENT


class Secrets(NamedTuple):
    """Keys of TLS sessions, which the capture brings along or the user has."""

    flow: int
    """0: of no flow, or of any."""
    time: int
    keylog: bytes


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


class Forgotten(NamedTuple):
    """Nobody has seen the end of the flow, and nothing more will be told of it: the source knows it no more."""

    flow: int
    time: int


Event = Opened | Segment | Gap | Remark | Noted | Secrets | Ended | Reset | Forgotten
