"""TCP packets back into events: who speaks with whom, which octets, in which order.

Knows connections and what their packets may do.  Must not know files or block formats.

Rules.  Each octet is delivered once, in order; of two copies that differ the first counts, and a remark tells it.  Octets wait
for those before them, and a reply for what its sender had received by then (its acknowledgement), so that packets swapped by
the network or by the capture come out right.  What is not in the capture is told as a gap: as soon as the other end has
acknowledged it and `PATIENCE` packets have not brought it, or as there is no more room to wait.  Packets that are none of the
connection's (a reset outside the window, octets far away) change nothing.

Our own captures (their SYN carries a `marker`) have no lost, repeated or swapped packets, so a hole in one is where the disk
was full, and is a gap at once.

What is forgotten is ended, so that whoever takes the events can let go of it too.  Somebody else's flow is told as soon as
anybody says something on it, or ends it; until then it is an `Embryo`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Final

from inspector.capture import ends
from inspector.capture.connection import HALF_WAY, WRAP, Connection, Half
from inspector.capture.connections import Connections
from inspector.capture.early import COST, NOTHING, Conflict, Early, Piece
from inspector.capture.embryo import Embryo, Embryos
from inspector.capture.note import unpack
from inspector.formats import marker
from inspector.formats.packet import ACK, FIN, RST, SYN, Packet, reverse
from inspector.pdu import Address, Flow
from inspector.segment import Ended, Event, Forgotten, Gap, Noted, Opened, Remark, Reset, Segment

EARLY: Final = 1 << 20
"""Octets of one direction that are kept while others before them are missing: what a sender has under way at 1 Gbit/s in 8 ms."""
EARLY_TOTAL: Final = 64 << 20
"""The same for all directions together."""
PATIENCE: Final = 32
"""Packets of a connection that may bring what the other end has acknowledged: captures swap neighbours, not more."""
WINDOW: Final = 1 << 20
"""How far from its place a reset is believed: the largest window that is common."""
MOST_CONFLICTS: Final = 10
"""Conflicting copies that are told of one connection."""

SERVICES: Final = frozenset({24, 25, 110, 143, 465, 587, 993, 995, 1110, 2525})
"""Ports of mail servers: where a capture begins in the middle of a connection, they tell the server."""

_ODD: Final = SYN | FIN | RST
_SERVER_SAYS: Final = re.compile(rb"\+OK|-ERR|\d\d\d[ -]|\* ")
"""How what a server says begins, and nothing that a client says."""


class Reassembly:
    """The connections of a capture; takes packets in the order of the file, gives events."""

    __slots__ = ("_embryos", "_halves", "_kept", "_known", "_step", "_time", "_turn", "_warn", "events", "number", "opened",
                 "told")

    def __init__(self, warn: Callable[[str], None], number: int = 1) -> None:
        """`number` is that of the first flow; one below 0 is only for the time being, and the next is lower still."""
        self.number = number
        """The number of the next flow."""
        self._step = 1 if number > 0 else -1
        self.events: list[Event] = []
        """What came of the packets so far, for whoever takes it away."""
        self.opened: list[int] = []
        """Keys of flows that have no number yet."""
        self.told: list[Opened] = []
        """Those of them that are told, now or some time after."""
        self._warn = warn
        self._known = Connections()
        self._halves = self._known.halves
        self._embryos = Embryos()
        self._kept = 0
        self._time = 0
        self._turn = 0

    def taken(self) -> list[Event]:
        """The events since the last call."""
        events, self.events = self.events, []
        return events

    def feed(self, packet: Packet, time: int, turn: int = 0) -> None:
        """Takes a packet; `time` in microseconds since the epoch, `turn` the number of its frame."""
        half = self._halves.get(packet.pair)
        if half is not None and not packet.flags & _ODD:
            connection = half.connection
            payload = packet.payload
            if half.seq == packet.seq and half.known and not connection.stuck:
                if not payload and not packet.missing:
                    return
                peer = half.peer
                distance = (packet.ack - peer.seq) & WRAP
                if peer.known and (distance <= 1 or distance >= HALF_WAY or connection.own) and not packet.missing and (
                        half.fin < 0):
                    connection.time = time
                    size = len(payload)
                    half.next += size
                    half.seq = (half.seq + size) & WRAP
                    half.remember(payload)
                    self.events.append(Segment(connection.key, half.direction, time, payload))
                    return
        self._time = time
        self._turn = turn
        self._take(packet, half)

    def noted(self, packet: Packet, text: bytes, time: int) -> None:
        """What mailspy has written beside a packet of its own capture."""
        half = self._halves.get(packet.pair)
        told = unpack(text)
        if half is None or told is None or not half.connection.own:
            return
        if told.server and packet.flags & SYN:
            flow = half.connection.flow
            flow.server = Address(told.server, flow.server.port)
        else:
            self.events.append(Noted(half.connection.key, time, told.findings, told.secured, told.words))

    def expire(self, turn: int) -> Iterator[Flow]:
        """After that frame: the flows that are given up because nothing was ever heard on them, told and ended one by one."""
        for embryo in self._embryos.lapsed(turn):
            yield self._stillborn(embryo)

    def finish(self) -> None:
        """Nothing more comes: what was waiting is delivered as it is."""
        for _ in self.remaining():
            pass

    def remaining(self) -> Iterator[Flow]:
        """The same, flow by flow."""
        for connection in self._known.by_age():
            self._finish(connection)
            yield connection.flow
        for embryo in self._embryos.all():
            yield self._stillborn(embryo)

    def abandon(self) -> Iterator[Flow]:
        """Ends what is still open, flow by flow: another capture follows, which knows nothing of it."""
        for connection in self._known.by_age():
            self._forget(connection)
            yield connection.flow

    # Connections

    def _take(self, packet: Packet, half: Half | None) -> None:
        flags = packet.flags
        if half is not None and flags & (SYN | ACK) == SYN and self._is_new(packet, half.connection.start):
            self._forget(half.connection)
            half = None
        if half is None:
            half = self._met(packet)
            if half is None:
                return
        if flags & SYN:
            _begin(half, packet)
        connection = half.connection
        connection.seen = self._time
        if flags & RST:
            if self._believed(half, packet):
                self._reset(half)
            return
        if connection.stuck:
            connection.stuck += 1
            self._acknowledged(half.peer, packet)
        seq = packet.seq + 1 if flags & SYN else packet.seq
        if packet.payload or packet.missing or flags & FIN:
            self._arrived(half, seq, packet)
        if connection.stuck:
            self._wait(connection)

    def _met(self, packet: Packet) -> Half | None:
        """The sender of a packet of which nothing but a handshake is known; None while it does not say more."""
        pair, back, flags = packet.pair, reverse(packet.pair), packet.flags
        embryo = self._embryos.find(pair, back)
        if embryo is None and flags & (SYN | ACK) != SYN and self._known.over(pair, back, self._time, self._turn):
            return None
        if embryo is not None and flags & (SYN | ACK) == SYN and self._is_new(packet, embryo.start):
            self._embryos.remove(embryo)
            self._stillborn(embryo)
            embryo = None
        if embryo is None:
            if not flags & SYN:
                return self._joined_late(packet) if packet.payload and not flags & RST else None
            told = None if flags & ACK else marker.find(packet.options)
            if told is not None:
                return self._open(ends.flow(self._new_key(), pair, self._time, told), told, packet.seq, pair, back).up
            embryo = Embryo(self._new_key(), back if flags & ACK else pair, self._time, packet.seq, self._turn)
            self._known.expire(self._time, self._turn)
            embryo.heard(self._turn)
            self._embryos.add(embryo)
        else:
            embryo.heard(self._turn)
        if flags & SYN:
            embryo.begin(pair == embryo.pair, packet.seq + 1 & WRAP, packet.ack if flags & ACK else -1)
        if packet.payload or packet.missing or flags & (FIN | RST):
            connection = self._born(embryo)
            return connection.up if pair == embryo.pair else connection.down
        return None

    def _is_new(self, packet: Packet, start: int) -> bool:
        """Whether a SYN between known ends opens another connection: ours are never repeated."""
        return start != packet.seq or marker.find(packet.options) is not None

    def _born(self, embryo: Embryo) -> Connection:
        """Somebody has said something, or ended it: from here on it is a connection."""
        self._embryos.remove(embryo)
        pair = embryo.pair
        connection = self._open(ends.flow(embryo.key, pair, embryo.opened), None, embryo.start, pair, reverse(pair))
        for half, seq in ((connection.up, embryo.up), (connection.down, embryo.down)):
            if seq >= 0:
                half.begin(seq)
        return connection

    def _stillborn(self, embryo: Embryo) -> Flow:
        """Nobody will say anything: it is told, and over.  It has been taken away."""
        flow = ends.flow(embryo.key, embryo.pair, embryo.opened)
        self._tell(Opened(flow, False, False, embryo.key))
        self.events.append(Forgotten(embryo.key, embryo.opened))
        return flow

    def _joined_late(self, packet: Packet) -> Half:
        """A connection whose SYN was not captured: a service's port tells the server, else what is said, else the lower port."""
        pair, back = packet.pair, reverse(packet.pair)
        source, target = ends.ports(pair)
        if target in SERVICES or source in SERVICES:
            from_server = target not in SERVICES
        else:
            from_server = _SERVER_SAYS.match(packet.payload) is not None or source < target
        up, down = (back, pair) if from_server else (pair, back)
        connection = self._open(ends.flow(self._new_key(), up, self._time), None, -1, up, down)
        return connection.down if from_server else connection.up

    def _open(self, flow: Flow, told: marker.Marker | None, start: int, up: bytes, down: bytes) -> Connection:
        """`told`: what our own captures say beside the SYN."""
        self._known.expire(self._time, self._turn)
        if self._known.full:
            self._forget(self._known.silent())
        connection = Connection(flow, told is not None, start, up, down)
        self._known.add(connection)
        joined = start < 0 if told is None else told.joined
        self._tell(Opened(flow, told is not None, joined, connection.key, told is not None and told.unread))
        return connection

    def _tell(self, opened: Opened) -> None:
        self.events.append(opened)
        if self._step < 0:
            self.told.append(opened)

    def _new_key(self) -> int:
        key = self.number
        self.number += self._step
        if self._step < 0:
            self.opened.append(key)
        return key

    def _forget(self, connection: Connection) -> None:
        """Nothing more will be told of it."""
        self._finish(connection)
        if not connection.closed:
            self.events.append(Forgotten(connection.key, connection.time))
            self._let_go(connection)

    def _let_go(self, connection: Connection) -> None:
        connection.closed = True
        self._known.remove(connection)
        for half in (connection.up, connection.down):
            self._kept -= half.early.cost
            half.early = NOTHING

    def _believed(self, half: Half, packet: Packet) -> bool:
        """Whether a reset is where the connection is (RFC 9293 §3.10.7.4); one that refuses it has the number 0."""
        return not half.known or -WINDOW <= half.ahead(packet.seq) <= WINDOW or (packet.seq == 0 and half.next == half.seq)

    def _reset(self, half: Half) -> None:
        connection = half.connection
        self._flush(connection)
        if not connection.closed:
            self.events.append(Reset(connection.key, half.direction, self._time))
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        """Both sides have ended it, or one has aborted it."""
        self._let_go(connection)
        self._known.ended(connection, self._time, self._turn)

    # Octets

    def _arrived(self, half: Half, seq: int, packet: Packet) -> None:
        """Takes the octets of a packet, now or later."""
        connection = half.connection
        if not half.known:
            half.begin(seq)
        ahead = half.ahead(seq)
        if connection.own and ahead > 0:
            self._gap(half, ahead)
            ahead = 0
        payload = packet.payload
        place = half.next + ahead
        end = place + len(payload) + packet.missing
        if packet.flags & FIN and half.fin < 0 and end >= half.next:
            half.fin = end
        ack = -1
        peer = half.peer
        if peer.known and not connection.own and packet.flags & ACK:
            ack = peer.next + peer.ahead(packet.ack)
        if not peer.known and packet.flags & ACK and payload:
            self._silent(peer, packet.ack)
            ack = peer.next
        if ahead < 0 and payload:
            payload = self._again(half, place, payload)
            place = half.next
        if payload:
            if place == half.next and not half.early.pieces and ack <= peer.next + 1:
                self._deliver(half, payload, self._time)
            else:
                if not connection.stuck:
                    connection.stuck = 1
                self._keep(half, place, payload, ack)
                self._acknowledged(peer, packet)
        if packet.missing and place + len(payload) == half.next and end > half.next:
            self._gap(half, end - half.next)
        if connection.stuck:
            self._drain(connection)
        self._end(half)

    def _silent(self, half: Half, ack: int) -> None:
        """The other end says up to where it has received a direction of which no packet was captured yet."""
        half.begin(ack)
        half.silent = True
        if half.connection.start >= 0:
            self._gap(half, 0)

    def _again(self, half: Half, place: int, payload: bytes) -> bytes:
        """Octets of which some were delivered before: the rest of them.  A keep-alive repeats one octet, whatever it is."""
        if len(payload) > 1:
            self._conflict(half, half.compare(place, payload))
        return payload[half.next - place:]

    def _deliver(self, half: Half, octets: bytes, time: int) -> None:
        half.advance(len(octets))
        if half.ended:
            return
        half.remember(octets)
        connection = half.connection
        connection.time = time = max(time, connection.time)
        self.events.append(Segment(connection.key, half.direction, time, octets))

    def _keep(self, half: Half, place: int, octets: bytes, ack: int) -> None:
        early = half.early = Early() if half.early is NOTHING else half.early
        before = early.cost
        self._conflict(half, early.add(place, octets, ack, half.connection.stuck, self._time))
        self._kept += early.cost - before

    def _acknowledged(self, half: Half, packet: Packet) -> None:
        """The other end says up to where it has received this direction."""
        if half.known and packet.flags & ACK:
            half.acked = max(half.acked, half.next + half.ahead(packet.ack))

    def _drain(self, connection: Connection) -> None:
        """Delivers what was kept, as far as nothing before it is missing."""
        halves = (connection.up, connection.down)
        moved = True
        while moved:
            moved = False
            for half in halves:
                while half.early.pieces:
                    first = half.early.pieces[0]
                    if first.place > half.next or first.ack > half.peer.next + 1:
                        break
                    self._release(half)
                    moved = True
        if not connection.up.early.pieces and not connection.down.early.pieces:
            connection.stuck = 0

    def _release(self, half: Half) -> None:
        piece = half.early.pop()
        self._kept -= len(piece.data) + COST
        if piece.place < half.next:
            self._conflict(half, half.compare(piece.place, piece.data))
        known = half.next - piece.place
        if known < len(piece.data):
            self._deliver(half, piece.data[known:], piece.time)
        self._end(half)

    def _wait(self, connection: Connection) -> None:
        """Gives up what is missing, when it cannot come any more or there is no more room to wait."""
        for half in (connection.up, connection.down):
            while half.early.pieces and (half.early.cost > EARLY or self._kept > EARLY_TOTAL or (
                    self._lost(half, half.early.pieces[0]))):
                self._give_up(half)
                self._drain(connection)

    def _lost(self, half: Half, first: Piece) -> bool:
        """Whether what the first kept piece waits for was received, so that it was sent, and is not in the capture."""
        missing = half if first.place > half.next else half.peer
        patience = 0 if missing.silent else PATIENCE
        return half.connection.stuck - first.arrived > patience and (first.place <= half.next or half.acked > half.next)

    def _give_up(self, half: Half) -> None:
        """Passes over what the first kept piece waits for: octets before it, or those that its sender had received."""
        first = half.early.pieces[0]
        if first.place > half.next:
            self._gap(half, first.place - half.next)
            return
        peer = half.peer
        before = peer.next
        self._not_sent(peer, first)
        if peer.next == before or not peer.early.pieces:
            first.ack = -1

    def _not_sent(self, peer: Half, piece: Piece) -> None:
        """Passes over what the sender of a piece had received before, and the capture does not have."""
        upto = piece.ack
        if peer.early.pieces:
            upto = min(upto, peer.early.pieces[0].place)
        if upto > peer.next + 1:
            self._gap(peer, upto - peer.next)

    def _flush(self, connection: Connection) -> None:
        """Delivers all that was kept, what came first before what came later, and the ends; whatever is missing."""
        up, down = connection.up, connection.down
        while up.early.pieces or down.early.pieces:
            self._give_up(_oldest(up, down))
            self._drain(connection)
        for half in (up, down):
            if half.fin > half.next and half.known:
                self._gap(half, half.fin - half.next)
            self._end(half)

    def _finish(self, connection: Connection) -> None:
        """The same for a connection of which nothing more comes: at the time of its own last packet, not of another's."""
        now, self._time = self._time, max(connection.time, connection.seen)
        self._flush(connection)
        self._time = now

    def _gap(self, half: Half, size: int) -> None:
        half.advance(size)
        half.forget()
        if half.ended:
            return
        self.events.append(Gap(half.connection.key, half.direction, max(half.connection.time, self._waited(half)), size))

    def _waited(self, half: Half) -> int:
        """Since when something waits for what is missing."""
        first = half.early.pieces[:1] or half.peer.early.pieces[:1]
        return first[0].time if first else self._time

    def _conflict(self, half: Half, conflict: Conflict | None) -> None:
        connection = half.connection
        if conflict is None or connection.conflicts >= MOST_CONFLICTS:
            return
        connection.conflicts += 1
        first, second = sha256(conflict.first).hexdigest(), sha256(conflict.second).hexdigest()
        self.events.append(Remark(
            connection.key, half.direction, self._time, "tcp_overlap_conflict",
            f"{half.direction}: {len(conflict.first)} octets came twice and differ: "
            f"sha256 {first[:16]} counts, {second[:16]} does not"))

    def _end(self, half: Half) -> None:
        if half.fin < 0 or half.ended or not half.known or half.next < half.fin:
            return
        half.ended = True
        self.events.append(Ended(half.connection.key, half.direction, self._time))
        if half.peer.ended:
            self._close(half.connection)


def _begin(half: Half, packet: Packet) -> None:
    """A SYN tells where a direction begins, or both."""
    if not half.known:
        half.begin(packet.seq + 1)
    if packet.flags & ACK and not half.peer.known:
        half.peer.begin(packet.ack)


def _oldest(up: Half, down: Half) -> Half:
    """Of two directions of which one at least has kept pieces, the one whose first came first."""
    if not up.early.pieces or not down.early.pieces:
        return up if up.early.pieces else down
    return up if up.early.pieces[0].arrived <= down.early.pieces[0].arrived else down
