"""A TCP connection as a capture shows it: what each end has sent, as far as it was delivered.

Knows places in a stream and 32-bit sequence numbers.  Must not know packets, files or events.
"""

from __future__ import annotations

from typing import Final

from inspector.capture.early import NOTHING, Conflict, Early, differing
from inspector.pdu import C2S, S2C, Direction, Flow

WRAP: Final = 0xFFFF_FFFF
HALF_WAY: Final = 1 << 31
"""A sequence number less than so far ahead is ahead, else behind (RFC 9293 §3.4)."""

REMEMBERED: Final = 4_096
"""Octets of a direction that are remembered after they were delivered, to be compared with what comes again."""
MOST_REMEMBERED: Final = 8
"""Packets of them."""


class Half:
    """One direction."""

    __slots__ = ("_recent", "acked", "connection", "direction", "early", "ended", "fin", "known", "next", "pair", "peer", "seq",
                 "silent")
    peer: Half

    def __init__(self, connection: Connection, direction: Direction, pair: bytes) -> None:
        self.connection = connection
        self.direction = direction
        self.pair = pair
        self.known = False
        """Whether anything has told where the direction begins."""
        self.next = 0
        """The place of the next octet to deliver; it grows beyond 32 bits instead of wrapping."""
        self.seq = 0
        """The same as a sequence number."""
        self.acked = 0
        """Up to which place the other end has received it; kept while octets are missing."""
        self.early: Early = NOTHING
        """What waits; one of its own as soon as something does."""
        self.fin = -1
        """Where the direction ends, once its FIN was seen."""
        self.ended = False
        self.silent = False
        """Only what the other end acknowledges has told of it so far: perhaps none of it is in the capture."""
        self._recent: list[bytes] | None = None

    def begin(self, seq: int) -> None:
        """The next octet has that sequence number."""
        self.known = True
        self.next = self.seq = seq & WRAP

    def ahead(self, seq: int) -> int:
        """How far a sequence number is ahead of what was delivered; negative behind it."""
        distance = (seq - self.seq) & WRAP
        return distance - (WRAP + 1) if distance >= HALF_WAY else distance

    def advance(self, size: int) -> None:
        """So many octets have been delivered, or passed over."""
        self.next += size
        self.seq = (self.seq + size) & WRAP

    def remember(self, data: bytes) -> None:
        """Keeps the last octets delivered, to be compared with."""
        self.silent = False
        recent = self._recent
        if recent is None:
            self._recent = [data[-REMEMBERED:]]
            return
        if len(data) > REMEMBERED:
            recent.clear()
            data = data[-REMEMBERED:]
        elif len(recent) >= MOST_REMEMBERED or (recent and len(data) + len(recent[0]) > REMEMBERED // 2):
            del recent[:len(recent) // 2 + 1]
        recent.append(data)

    def forget(self) -> None:
        """A hole was passed over: what was before it does not join what comes."""
        self._recent = None

    def compare(self, place: int, data: bytes) -> Conflict | None:
        """The conflict between octets that come again and those that were delivered, as far as they are remembered."""
        end = self.next
        for known in reversed(self._recent or ()):
            begin = end - len(known)
            low, high = max(begin, place), min(end, place + len(data))
            if low < high:
                conflict = differing(low, known[low - begin:high - begin], data[low - place:high - place])
                if conflict is not None:
                    return conflict
            end = begin
        return None


class Connection:
    """Both directions."""

    __slots__ = ("_looked", "closed", "conflicts", "down", "flow", "key", "own", "seen", "start", "stuck", "time", "up")

    def __init__(self, flow: Flow, own: bool, start: int, pair: bytes, reverse: bytes) -> None:
        self.flow = flow
        self.key = flow.number
        """By what events name the flow, whose number may only be known later."""
        self.own = own
        """Whether mailspy has written it: then nothing is swapped or repeated."""
        self.start = start
        """The sequence number of the SYN, by which a repeated one is known; below 0 where it was not captured."""
        self.closed = False
        self.stuck = 0
        """Packets that came since others have to wait; 0 while none does."""
        self.conflicts = 0
        self.time = flow.opened
        """That of the last event: what had to wait has the time at which it came, or that of the event before it."""
        self.seen = flow.opened
        """That of the last packet that could not be delivered at once."""
        self.up, self.down = Half(self, C2S, pair), Half(self, S2C, reverse)
        self.up.peer, self.down.peer = self.down, self.up
        self._looked = 0
        """How far both directions were when `moved` was asked."""

    def moved(self) -> bool:
        """Whether octets have been delivered since this was last asked."""
        before, self._looked = self._looked, self.up.next + self.down.next
        return before != self._looked
