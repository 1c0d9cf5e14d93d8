"""TCP packets back into events: who speaks with whom, which octets, in which order.

Knows sequence numbers and connections.  Must not know files or block formats.

Our own captures (their SYN carries a `marker`) have no lost, repeated or swapped packets, so a hole in one is
where the disk was full, and is passed over at once.  In foreign captures octets that come early are kept, up to
a bound, until those before them come; a hole that is never filled is passed over, with a warning.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Final

from inspector.capture.conversation import MAPPED
from inspector.formats import marker
from inspector.formats.packet import ACK, FIN, RST, SYN, Packet
from inspector.pdu import C2S, S2C, Address, Direction, Flow
from inspector.segment import Ended, Event, Opened, Reset, Segment

EARLY: Final = 1 << 20
"""Octets of one direction that are kept while others before them are missing."""
EARLY_TOTAL: Final = 64 << 20
"""The same for all directions together."""
COST: Final = 128
"""Octets that a kept packet counts for beside its own."""
CONNECTIONS: Final = 100_000
"""Connections known at a time, ended ones included; beyond, the oldest is forgotten."""

SERVICES: Final = {110: "pop3", 1110: "pop3", 25: "smtp", 587: "smtp", 2525: "smtp", 24: "lmtp", 143: "imap"}
"""What a foreign capture's server port says of the protocol."""

_WRAP: Final = 0xFFFF_FFFF
_HALF: Final = 1 << 31


class _Half:
    """What one end has sent, as far as it was delivered."""

    __slots__ = ("connection", "cost", "direction", "early", "ended", "fin", "next", "peer", "sender")
    peer: _Half

    def __init__(self, connection: _Connection, direction: Direction, sender: bytes) -> None:
        self.connection = connection
        self.direction = direction
        self.sender = sender
        self.next: int | None = None
        """The sequence number of the next octet to deliver; it grows beyond 32 bits instead of wrapping."""
        self.early: list[tuple[int, int, bytes]] = []
        """A heap of octets that came early: their place, an order of arrival, themselves."""
        self.cost = 0
        self.fin: int | None = None
        """Where the direction ends, once its FIN was seen."""
        self.ended = False


class _Connection:
    __slots__ = ("closed", "flow", "halves", "own", "start")

    def __init__(self, flow: Flow, own: bool, start: int | None, client: bytes, server: bytes) -> None:
        self.flow = flow
        self.own = own
        self.start = start
        """The sequence number of the SYN, by which a repeated one is known."""
        self.closed = False
        up, down = _Half(self, C2S, client), _Half(self, S2C, server)
        up.peer, down.peer = down, up
        self.halves = (up, down)


class Reassembly:
    """The connections of a capture; takes packets in the order of the file, gives events."""

    __slots__ = ("_arrivals", "_events", "_halves", "_kept", "_time", "_warn", "number")

    def __init__(self, warn: Callable[[str], None], number: int = 1) -> None:
        """`number` is that of the first flow."""
        self.number = number
        """The number of the next flow."""
        self._warn = warn
        self._halves: dict[bytes, _Half] = {}
        """By sender and receiver, addresses and ports."""
        self._events: list[Event] = []
        self._kept = 0
        self._arrivals = 0
        self._time = 0

    def feed(self, packet: Packet, time: int) -> list[Event]:
        """The events that a packet makes, usually one; `time` in microseconds since the epoch."""
        events: list[Event] = []
        self._events = events
        self._time = time
        flags = packet.flags
        half = self._halves.get(packet.source + packet.target)
        if flags & SYN:
            half = self._syn(packet, half)
        elif half is None:
            if not packet.payload:
                return events
            half = self._joined_late(packet)
        if half.connection.closed:
            return events
        if flags & RST:
            self._reset(half)
            return events
        seq = packet.seq + 1 if flags & SYN else packet.seq
        if packet.payload or flags & FIN:
            self._arrived(half, seq, packet)
        return events

    def finish(self) -> list[Event]:
        """The events that were waiting for packets that never came."""
        self._events = []
        for half in list(self._halves.values()):
            if not half.connection.closed:
                self._flush(half)
        return self._events

    # --- connections ---

    def _syn(self, packet: Packet, half: _Half | None) -> _Half:
        answer = packet.flags & ACK
        if half is None or (not answer and self._is_new(packet, half)):
            half = self._open(packet, bool(answer), packet.seq)
        if half.next is None:
            half.next = packet.seq + 1
        return half

    def _is_new(self, packet: Packet, half: _Half) -> bool:
        """Whether a SYN between known ends opens another connection: ours are never repeated."""
        connection = half.connection
        return connection.closed or connection.start != packet.seq or marker.find(packet.options) is not None

    def _joined_late(self, packet: Packet) -> _Half:
        """A connection whose SYN was not captured: the end with the better known port is the server."""
        source, target = _port(packet.source), _port(packet.target)
        from_server = target not in SERVICES and (source in SERVICES or source < target)
        return self._open(packet, from_server, None)

    def _open(self, packet: Packet, from_server: bool, start: int | None) -> _Half:
        client, server = (packet.target, packet.source) if from_server else (packet.source, packet.target)
        self._forget(self._halves.get(client + server))
        if len(self._halves) >= 2 * CONNECTIONS:
            self._forget(next(iter(self._halves.values())))
        described = None if from_server else marker.find(packet.options)
        flow = self._flow(client, server, described)
        connection = _Connection(flow, described is not None, start, client, server)
        up, down = connection.halves
        self._halves[client + server] = up
        self._halves[server + client] = down
        self._events.append(Opened(flow))
        return down if from_server else up

    def _flow(self, client: bytes, server: bytes, described: marker.Marker | None) -> Flow:
        number = self.number
        self.number += 1
        if described is None:
            name = SERVICES.get(_port(server), "")
            return Flow(number, _address(client), _address(server), self._time, name)
        return Flow(
            number,
            _address(client, described.client_mapped),
            Address(_address(server, described.server_mapped).host, described.port),
            self._time,
            described.protocol,
        )

    def _forget(self, half: _Half | None) -> None:
        if half is None:
            return
        if not half.connection.closed:
            self._flush(half)
            self._flush(half.peer)
        # A forged packet may come from where it goes to; then the two keys are one.
        self._halves.pop(half.sender + half.peer.sender, None)
        self._halves.pop(half.peer.sender + half.sender, None)

    def _reset(self, half: _Half) -> None:
        self._flush(half)
        self._flush(half.peer)
        self._events.append(Reset(half.connection.flow.number, half.direction, self._time))
        half.connection.closed = True

    # --- octets ---

    def _arrived(self, half: _Half, seq: int, packet: Packet) -> None:
        if half.next is None:
            half.next = seq
        ahead = (seq - half.next) & _WRAP
        if ahead >= _HALF:
            ahead -= 1 << 32
        if half.connection.own and ahead > 0:
            self._pass_over(half, half.next + ahead)
            ahead = 0
        place = half.next + ahead
        size = len(packet.payload)
        end = place + size + packet.missing
        if packet.flags & FIN and half.fin is None and end >= half.next:
            half.fin = end
        if ahead > 0:
            self._keep(half, place, packet.payload)
        elif -ahead < size or (size == 0 == ahead):
            self._deliver(half, packet.payload[-ahead:] if ahead else packet.payload)
            if packet.missing:
                self._pass_over(half, half.next + packet.missing)
        if half.early:
            self._drain(half)
        self._end(half)

    def _deliver(self, half: _Half, octets: bytes) -> None:
        if octets and half.next is not None and not half.ended:
            half.next += len(octets)
            self._events.append(Segment(half.connection.flow.number, half.direction, self._time, octets))

    def _keep(self, half: _Half, place: int, octets: bytes) -> None:
        if octets:
            self._arrivals += 1
            heappush(half.early, (place, self._arrivals, octets))
            half.cost += len(octets) + COST
            self._kept += len(octets) + COST

    def _drain(self, half: _Half) -> None:
        """Delivers what was kept as far as nothing is missing, or as there is no more room to wait."""
        while half.early and half.next is not None:
            place = half.early[0][0]
            if place > half.next:
                if half.cost <= EARLY and self._kept <= EARLY_TOTAL:
                    return
                self._pass_over(half, place)
            self._release(half)

    def _release(self, half: _Half) -> None:
        place, _arrival, octets = heappop(half.early)
        half.cost -= len(octets) + COST
        self._kept -= len(octets) + COST
        known = (half.next or 0) - place
        if known < len(octets):
            self._deliver(half, octets[known:])

    def _flush(self, half: _Half) -> None:
        """Delivers all that was kept, and the end if it was seen, whatever is missing."""
        while half.early and half.next is not None:
            if half.early[0][0] > half.next:
                self._pass_over(half, half.early[0][0])
            self._release(half)
        if half.fin is not None and half.next is not None and half.fin > half.next:
            self._pass_over(half, half.fin)
        self._end(half)

    def _pass_over(self, half: _Half, place: int) -> None:
        missing = place - (half.next or 0)
        flow = half.connection.flow
        flow.missing += missing
        self._warn(f"flow {flow.number} {half.direction}: {missing} octets are not in the capture")
        half.next = place

    def _end(self, half: _Half) -> None:
        if half.fin is None or half.ended or half.next is None or half.next < half.fin:
            return
        half.ended = True
        half.connection.closed = half.peer.ended
        self._events.append(Ended(half.connection.flow.number, half.direction, self._time))


def _port(end: bytes) -> int:
    return int.from_bytes(end[-2:], "big")


def _address(end: bytes, mapped: bool = False) -> Address:
    host = end[:-2]
    if mapped and host.startswith(MAPPED):
        host = host[len(MAPPED) :]
    return Address(inet_ntop(AF_INET if len(host) == 4 else AF_INET6, host), _port(end))
