"""Coverage-guided fuzzing of TCP reassembly against a model: `fuzz/run.sh 60 reassembly`.

An input says how two streams are cut into packets, which come twice, later or never, and whether a copy is forged.  The laws:
what is delivered, with the gaps, is what was sent, in order; an octet is lost only where a packet was dropped; the first copy
counts.

Knows packets and events.  Must not know how streams are put together.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["inspector.capture"]):
    from inspector.capture.reassembly import Reassembly

from inspector.formats.packet import ACK, FIN, SYN, Packet, reverse
from inspector.pdu import C2S, S2C
from inspector.segment import Gap, Segment

UP = bytes(range(8)) + b"\x10\x00\x00\x19"
WAYS = {C2S: UP, S2C: reverse(UP)}
PATTERN = bytes((place * 7 + place // 251) % 251 for place in range(4096))
"""Octets by their place: no shift of it is itself."""


def packets(data: atheris.FuzzedDataProvider) -> tuple[list[tuple[Packet, bool]], dict[object, int], bool]:
    """The packets of a connection as a tap sees them, how much each side has sent, and whether any was lost or forged."""
    start = {C2S: data.ConsumeIntInRange(0, 0xFFFFFFFF), S2C: data.ConsumeIntInRange(0, 0xFFFFFFFF)}
    sent = {C2S: 0, S2C: 0}
    line: list[tuple[int, Packet, bool]] = []
    spoiled = False

    def add(way: object, flags: int, place: int, payload: bytes, late: int, forged: bool = False) -> None:
        other = S2C if way is C2S else C2S
        ack = (start[other] + 1 + sent[other]) & 0xFFFFFFFF
        seq = (start[way] + (0 if flags & SYN else 1 + place)) & 0xFFFFFFFF
        line.append((len(line) + late, Packet(WAYS[way], seq, ack if flags & ACK else 0, flags, payload, 0, b""), forged))

    add(C2S, SYN, 0, b"", 0)
    add(S2C, SYN | ACK, 0, b"", 0)
    for _ in range(data.ConsumeIntInRange(0, 60)):
        way = C2S if data.ConsumeBool() else S2C
        size = data.ConsumeIntInRange(1, 40)
        place = sent[way]
        payload = PATTERN[place:place + size]
        act = data.ConsumeIntInRange(0, 9)
        if act == 0:
            spoiled = True
        else:
            add(way, ACK, place, payload, data.ConsumeIntInRange(0, 6) if act < 4 else 0)
        sent[way] += size
        if act in (5, 6) and place:
            back = data.ConsumeIntInRange(1, min(place, 60))
            again = PATTERN[place - back:place + size]
            forged = act == 6
            spoiled = spoiled or forged
            copy = bytes(255 - octet for octet in again) if forged else again
            add(way, ACK, place - back, copy, data.ConsumeIntInRange(0, 3), forged)
    for way in (C2S, S2C):
        if data.ConsumeBool():
            add(way, FIN | ACK, sent[way], b"", 0)
    line.sort(key=lambda entry: entry[0])
    return [(packet, forged) for _, packet, forged in line], sent, spoiled


def one(octets: bytes) -> None:
    """One input."""
    tapped, sent, spoiled = packets(atheris.FuzzedDataProvider(octets))
    reassembly = Reassembly(lambda text: None)
    for time, (packet, _) in enumerate(tapped):
        reassembly.feed(packet, time)
    reassembly.finish()
    place = {C2S: 0, S2C: 0}
    forged = any(fake for _, fake in tapped)
    before = 0
    for event in reassembly.events:
        if isinstance(event, Gap):
            assert spoiled, "a gap where nothing was lost"
            assert event.size > 0
            place[event.direction] += event.size
        elif isinstance(event, Segment):
            at = place[event.direction]
            assert event.data
            assert forged or event.data == PATTERN[at:at + len(event.data)], "other octets, or another place"
            place[event.direction] = at + len(event.data)
            assert event.time >= before, "time goes back"
            before = event.time
    for way in (C2S, S2C):
        assert place[way] <= sent[way], "more than was sent"
        assert spoiled or place[way] == sent[way], "less than was sent"


if __name__ == "__main__":
    Path("fuzz/corpus/reassembly").mkdir(parents=True, exist_ok=True)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
