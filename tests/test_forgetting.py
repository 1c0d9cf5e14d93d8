"""What is kept of flows that are over or never were: it does not grow with their number, and all of them are told."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

import pytest

from inspector.capture import connections, embryo
from inspector.capture.reassembly import Reassembly
from inspector.formats.packet import ACK, FIN, RST, SYN, Packet
from inspector.hookspecs import hookimpl
from inspector.host import Hooks, Host
from inspector.pdu import Address, Flow
from inspector.pipeline import UNDECIDED, UNDECIDED_EVENTS, Pipeline

FRAMES = 1_000
"""Frames of the capture that pass between two packets here."""


class Sent(NamedTuple):
    """A packet of a flow whose sides begin at 0 and 1,000."""

    up: bool
    flags: int
    seq: int
    ack: int = 0
    payload: bytes = b""


CALL = Sent(up=True, flags=SYN, seq=0)
AGREED = Sent(up=False, flags=SYN | ACK, seq=1_000, ack=1)
MET = Sent(up=True, flags=ACK, seq=1, ack=1_001)
OPEN = (CALL, AGREED, MET)
GONE = Sent(up=True, flags=FIN | ACK, seq=1, ack=1_001)
SAID = Sent(up=True, flags=ACK, seq=1, ack=1_001, payload=b"ab")
GREETING = Sent(up=False, flags=ACK, seq=1_001, ack=1, payload=b"220 mx.example ESMTP\r\n")

NEVER = {
    "nobody answers": (CALL,),
    "asked again": (CALL, CALL),
    "half open": (CALL, AGREED),
    "only the answer": (AGREED,),
    "nobody speaks": OPEN,
    "keep-alives": (*OPEN, MET, MET),
}
"""Flows on which nobody says anything."""
OVER = {
    "refused": (CALL, Sent(up=False, flags=RST | ACK, seq=0, ack=1)),
    "reset at once": (*OPEN, Sent(up=True, flags=RST, seq=1)),
    "ended": (*OPEN, GONE, Sent(up=False, flags=FIN | ACK, seq=1_001, ack=2)),
    "reset after words": (*OPEN, GREETING, Sent(up=True, flags=RST, seq=1)),
}
"""Flows whose end is seen."""
OPENED = {
    "one end only": (*OPEN, GONE),
    "some octets": (*OPEN, SAID),
    "in its middle": (SAID,),
    "with a hole": (*OPEN, Sent(up=True, flags=ACK, seq=9, ack=1_001, payload=b"ij")),
    "no mail": (*OPEN, SAID._replace(payload=b"GET / HTTP/1.1\r\n\r\n")),
    "greeted": (*OPEN, GREETING),
}
"""Flows on which something is said, and whose end nobody sees."""
ALL = {**NEVER, **OVER, **OPENED}


class Counting:
    """A plugin that counts flows."""

    def __init__(self) -> None:
        self.opened: set[int] = set()
        self.closed: Counter[str] = Counter()

    @hookimpl
    def flow_opened(self, flow: Flow) -> None:
        assert flow.number not in self.opened
        self.opened.add(flow.number)

    @hookimpl
    def flow_closed(self, flow: Flow, reason: str) -> None:
        assert flow.number in self.opened
        self.closed[reason] += 1


class House:
    """Captured packets through reassembly and pipeline, and what both keep."""

    def __init__(self) -> None:
        host = Host(pytest.fail)
        self.counted = Counting()
        host.register("counting", self.counted)
        self.pipeline = Pipeline(Hooks(host, repr))
        self.reassembly = Reassembly(pytest.fail)
        self.turn = 0

    def feed(self, packets: Iterator[Packet], step: int = FRAMES) -> None:
        for packet in packets:
            self.turn += step
            self.reassembly.feed(packet, self.turn, self.turn)
            for _ in self.reassembly.expire(self.turn):
                pass
            self.pipeline.take_all(self.reassembly.taken())

    def finish(self) -> None:
        self.reassembly.finish()
        self.pipeline.take_all(self.reassembly.taken())
        self.pipeline.finish()

    @property
    def kept(self) -> dict[str, int]:
        known = self.reassembly._known
        return {"halves": len(known.halves), "live": len(known._live), "over": len(known._over), "ended": len(known._ended),
                "embryos": len(self.reassembly._embryos), "watched": sum(map(len, self.reassembly._embryos._due.values())),
                "newcomers": len(self.pipeline._newcomers), "inspectors": len(self.pipeline._inspectors)}


def packets(kind: Sequence[Sent], port: int = 25, same: bool = False) -> Iterator[Packet]:
    """The packets of flows of a kind, one flow after the other, without end."""
    for number in count():
        client = b"\x0a" + (0 if same else number).to_bytes(3, "big")
        up = client + b"\xc0\0\2\x0a" + b"\xc3\x50" + port.to_bytes(2, "big")
        down = up[4:8] + up[:4] + up[10:] + up[8:10]
        start = number * 7_919
        for sent in kind:
            yield Packet(up if sent.up else down, (sent.seq + start) % 2**32, (sent.ack + start) % 2**32 if sent.ack else 0,
                         sent.flags, sent.payload, 0, b"")


@pytest.mark.parametrize("port", [25, 995, 2_222])
@pytest.mark.parametrize("kind", [*NEVER, *OVER])
def test_what_is_kept_does_not_grow(kind: str, port: int) -> None:
    """Of flows on which nobody speaks, and of those that are over: so many as so many frames can open, on any port."""
    house = House()
    source = packets(ALL[kind], port)
    house.feed(islice(source, 3_000))
    before = house.kept
    house.feed(islice(source, 3_000))
    for name, number in house.kept.items():
        assert number <= before[name] + 5, name
        assert number <= 2 * embryo.PATIENCE // FRAMES, name


@pytest.mark.parametrize("kind", ALL)
def test_the_same_ends_again_and_again(kind: str) -> None:
    """A flood from one port to one port: each SYN of another number ends what was there before."""
    house = House()
    house.feed(islice(packets(ALL[kind], same=True), 3_000), 1)
    assert all(number <= 8 for name, number in house.kept.items() if name not in {"watched", "ended"}), house.kept
    assert house.kept["watched"] + house.kept["ended"] <= 3_010


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["in its middle"])
def test_flows_that_nobody_ends_are_bounded(kind: str) -> None:
    """Of those on which something was said, the one that was silent for longest is forgotten, and so is its session."""
    house = House()
    for source in [packets(ALL[kind])] * 2:
        house.feed(islice(source, len(ALL[kind]) * connections.CONNECTIONS * 6 // 10), 1)
    kept = house.kept
    assert kept["live"] == connections.CONNECTIONS
    assert kept["halves"] == 2 * connections.CONNECTIONS
    assert kept["newcomers"] + kept["inspectors"] <= connections.CONNECTIONS


def test_one_that_speaks_is_not_forgotten() -> None:
    """Many others do not push a session out of which something is heard now and then."""
    known = connections.Connections()
    for key in range(1, 6):
        pair = bytes([key]) * 12
        known.add(connections.Connection(Flow(key, *[end(key)] * 2, 0), False, 0, pair, bytes([key + 100]) * 12))
    first = known.by_age()[0]
    for one in known.by_age():
        one.moved()
    first.up.advance(5)
    assert known.silent().key == 2
    assert [one.key for one in known.by_age()] == [1, 2, 3, 4, 5]


def end(number: int) -> Address:
    return Address(f"192.0.2.{number}", number)


@pytest.mark.parametrize("kind", ALL)
def test_all_are_told(kind: str) -> None:
    """On a port of mail each flow is told once, opened and closed, whether it was forgotten or is there at the end."""
    house = House()
    flows = 700
    house.feed(islice(packets(ALL[kind]), flows * len(ALL[kind])))
    house.finish()
    told = flows if kind != "no mail" or house.counted.opened else 0
    assert sorted(house.counted.opened) == list(range(1, told + 1))
    assert sum(house.counted.closed.values()) == told
    assert not any(number for name, number in house.kept.items() if name not in {"over", "ended", "halves", "live", "watched"})


@pytest.mark.parametrize("kind", NEVER)
def test_what_comes_late_begins_another(kind: str) -> None:
    """As long as it is waited for, it is the same flow."""
    for frames, flows in ((embryo.PATIENCE - 1, 1), (embryo.PATIENCE * (embryo.COUNTED + 1), 2)):
        house = House()
        house.feed(islice(packets(ALL[kind]), len(ALL[kind])), 1)
        house.turn += frames
        for _ in house.reassembly.expire(house.turn):
            pass
        house.feed(iter([next(packets((GREETING,)))]), 1)
        house.finish()
        assert len(house.counted.opened) == flows


def test_octets_after_the_end_do_not_count_for_ever() -> None:
    """What waits in a connection that is over waits no more: else the room for all others would shrink with each."""
    house = House()
    beyond = Sent(up=True, flags=ACK, seq=50, ack=1_001, payload=b"x" * 500)
    house.feed(islice(packets((*OPEN, beyond, GONE, Sent(up=False, flags=FIN | ACK, seq=1_001, ack=2))), 600))
    assert house.reassembly._kept == 0


# In files


def capture(path: Path, kinds: Sequence[tuple[str, int]], port: int = 25, noise: int = 0) -> str:
    """A pcap file of flows of several kinds, and so many frames that are no IP after each kind."""
    time = 1_700_000_000
    written = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)]
    for number, (kind, flows) in enumerate(kinds):
        for packet in islice(packets(ALL[kind], port), flows * len(ALL[kind])):
            client, server, ports = packet.pair[:4], packet.pair[4:8], packet.pair[8:]
            segment = ports + struct.pack(">IIBBHHH", packet.seq, packet.ack, 0x50, packet.flags, 4_096, 0, 0) + packet.payload
            head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0, 64, 6, 0)
            # Each kind comes from a network of its own.
            client, server = (bytes([end[0] + number * (end[0] < 100)]) + end[1:] for end in (client, server))
            octets = b"\2" * 12 + b"\x08\0" + head + client + server + segment
            written.append(struct.pack("<IIII", time, 0, len(octets), len(octets)) + octets)
        written += [struct.pack("<IIII", time, 0, 60, 60) + bytes(60)] * noise
        time += 1
    path.write_bytes(b"".join(written))
    return str(path)


def replayed(*arguments: str) -> tuple[bytes, bytes]:
    done = subprocess.run([sys.executable, "-m", "inspector", "replay", *arguments], capture_output=True, check=True, timeout=120)
    return done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("port", [25, 2_222])
def test_several_processes_forget_the_same(tmp_path: Path, port: int) -> None:
    """Some are given up in the middle, some at the end of a file, some at the end of all: the output is that of one process."""
    noise = embryo.PATIENCE // 2
    files = ([("nobody answers", 300), ("greeted", 20), ("half open", 300)],
             [("some octets", 20), ("nobody speaks", 100), ("refused", 100), ("ended", 9)],
             [("one end only", 20), ("nobody answers", 100), ("only the answer", 9)])
    names = [capture(tmp_path / f"{number}.pcap", kinds, port, noise) for number, kinds in enumerate(files)]
    one = replayed("--json", *names)
    for jobs in ("2", "3"):
        assert replayed("--json", "--jobs", jobs, *names) == one
    assert one[0].count(b'"flow_opened"') == one[0].count(b'"flow_closed"') == (978 if port == 25 else 20)


# What waits


def test_captures_of_headers_alone() -> None:
    """Each packet is a gap; a flow of them waits for nothing for ever."""
    house = House()
    cut = list(islice(packets(OPEN), 3))
    cut += [Packet(cut[0].pair, (1 + 9 * number) % 2**32, 1_001, ACK, b"", 9, b"") for number in range(3 * UNDECIDED_EVENTS)]
    house.feed(iter(cut), 1)
    assert not house.pipeline._newcomers
    assert house.pipeline._waiting == 0
    house.finish()
    assert house.counted.opened == {1}


def test_what_waits_in_all_flows_together_is_bounded() -> None:
    """Flows that say too little to be known, and too much to be kept: the oldest are taken for what they seem to be."""
    flows = UNDECIDED // 60_000 + 50
    house = House()
    # Each packet of the same octets, so that the test itself keeps little.
    said = b"x" * 1_000
    kind = (*OPEN, *(SAID._replace(seq=1 + 1_000 * number, payload=said) for number in range(60)))
    house.feed(islice(packets(kind), flows * len(kind)), 1)
    assert sum(one.cost for one in house.pipeline._newcomers.values()) == house.pipeline._waiting <= UNDECIDED
    house.finish()
    assert len(house.counted.opened) == flows
    assert house.pipeline._waiting == 0


def test_fragments_that_never_are_whole() -> None:
    """However small they are: what all of them keep is bounded, and nothing is counted twice."""
    from inspector.capture.early import COST
    from inspector.capture.fragments import KEPT, PIECES, Fragments
    from inspector.formats.packet import Fragment

    told: list[str] = []
    fragments = Fragments(told.append)
    for datagram in range(KEPT // COST // PIECES + 20):
        for place in range(PIECES):
            assert not fragments.add(Fragment(b"%d" % datagram, 8 + 16 * place, True, b"", b"12345678"), 0)
    kept = sum(one.pieces.cost for one in fragments._open.values())
    assert fragments._kept == kept <= KEPT
    assert len(told) >= 20
    fragments.add(Fragment(b"whole", 8, False, b"", b"last"), 0)
    assert fragments.add(Fragment(b"whole", 0, True, b"HEAD", b"12345678"), 0) == b"HEAD12345678last"
    assert fragments._kept == kept
    fragments.finish()
    assert fragments._kept == 0
