"""What captures of others can hold, made by scapy: link types, tags, tunnels, orders of octets and of packets.

Our reading and that of tshark are compared with what was sent, in the same test.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from struct import pack

import pytest
from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop
from scapy.layers.l2 import GRE, CookedLinux, CookedLinuxV2, Dot1AD, Dot1Q, Ether, Loopback
from scapy.layers.ppp import PPP
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from inspector.capture.reader import read
from inspector.cli import main
from inspector.pdu import C2S
from inspector.segment import Gap, Segment

pytestmark = [pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"), pytest.mark.slow]

SERVER = [b"220 mx ready\r\n", b"250-mx\r\n250 8BITMIME\r\n", b"221 bye\r\n"]
CLIENT = [b"EHLO client.example\r\n", b"NOOP " + b"x" * 300 + b"\r\n", b"QUIT\r\n"]
UP, DOWN = b"".join(CLIENT), b"".join(SERVER)
Frames = list[bytes]


def v4(up: bool) -> Packet:
    return IP(src="192.0.2.1", dst="192.0.2.2") if up else IP(src="192.0.2.2", dst="192.0.2.1")


def optioned(up: bool) -> Packet:
    packet = v4(up)
    packet.options = [b"\x01\x01\x01\x00"]
    return packet


def v6(up: bool) -> Packet:
    return IPv6(src="2001:db8::1", dst="2001:db8::2") if up else IPv6(src="2001:db8::2", dst="2001:db8::1")


def talk(below: Callable[[bool], Packet] = v4, first: int = 1000, other: int = 5000, port: int = 25) -> list[Packet]:
    """A short session over whatever is below TCP."""
    numbers = {True: first, False: other}
    packets = []

    def add(up: bool, flags: str, octets: bytes = b"") -> None:
        ports = {"sport": 40_000, "dport": port} if up else {"sport": port, "dport": 40_000}
        segment = TCP(**ports, seq=numbers[up], ack=numbers[not up] if "A" in flags else 0, flags=flags)
        packets.append(below(up) / segment / Raw(octets) if octets else below(up) / segment)
        numbers[up] = (numbers[up] + len(octets) + ("S" in flags or "F" in flags)) % (1 << 32)

    add(True, "S")
    add(False, "SA")
    add(True, "A")
    for server, client in zip(SERVER, [*CLIENT, b""], strict=False):
        add(False, "PA", server)
        if client:
            add(True, "PA", client)
    add(True, "FA")
    add(False, "FA")
    add(True, "A")
    return packets


def ethernet(packets: list[Packet]) -> Frames:
    return [bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet) for packet in packets]


def shuffled(packets: list[Packet], reach: int) -> list[Packet]:
    """Data packets, each as much as `reach` places late."""
    dice = random.Random(5)
    order = sorted(range(len(packets)), key=lambda place: place + (dice.randrange(reach) if 3 <= place < len(packets) - 3 else 0))
    return [packets[place] for place in order]


def pcap(frames: Frames, link: int, order: str = "<", magic: int = 0xA1B2C3D4, unit: int = 1_000_000) -> bytes:
    head = pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65_535, link)
    return head + b"".join(pack(order + "IIII", 1_700_000_000 + place // 50, place % 50 * (unit // 50), len(frame), len(frame))
                           + frame for place, frame in enumerate(frames))


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return pack(order + "II", kind, len(body) + 12) + body + pack(order + "I", len(body) + 12)


def pcapng(frames: Frames, link: int, order: str, resolution: int = 6, simple: bool = False) -> bytes:
    """Two sections; in each a second interface that the packets are on, with a resolution of its own."""
    unit = 2 ** (resolution & 127) if resolution & 128 else 10 ** resolution
    out, half = b"", len(frames) // 2
    for part in (frames[:half], frames[half:]):
        out += block(order, 0x0A0D0D0A, pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
        described = pack(order + "HHI", link, 0, 0) + pack(order + "HHBxxxHH", 9, 1, resolution, 0, 0)
        out += described and block(order, 1, described) + block(order, 1, described)
        for place, frame in enumerate(part):
            time = 1_700_000_000 * unit + place * max(1, unit // 100)
            if simple:
                out += block(order, 3, pack(order + "I", len(frame)) + frame)
            else:
                out += block(order, 6, pack(order + "IIIII", 1, time >> 32, time & 0xFFFFFFFF, len(frame), len(frame)) + frame)
    return out


PLAIN = ethernet(talk())

CAPTURES: dict[str, bytes] = {
    "Ethernet": pcap(PLAIN, 1),
    "big-endian": pcap(PLAIN, 1, ">"),
    "nanoseconds": pcap(PLAIN, 1, "<", 0xA1B23C4D, 1_000_000_000),
    "big-endian nanoseconds": pcap(PLAIN, 1, ">", 0xA1B23C4D, 1_000_000_000),
    "pcapng": pcapng(PLAIN, 1, "<"),
    "pcapng big-endian": pcapng(PLAIN, 1, ">"),
    "pcapng nanoseconds": pcapng(PLAIN, 1, "<", 9),
    "pcapng powers of two": pcapng(PLAIN, 1, ">", 0x80 | 20),
    "pcapng simple packets": pcapng(PLAIN, 1, "<", 6, True),
    "padding and frame check": pcap([frame + bytes(max(0, 60 - len(frame))) + b"FCS!" for frame in PLAIN], 1),
    "VLAN": pcap([bytes(Ether() / Dot1Q(vlan=7) / one) for one in talk()], 1),
    "QinQ": pcap([bytes(Ether(type=0x88A8) / Dot1AD(vlan=7) / Dot1Q(vlan=8) / one) for one in talk()], 1),
    "Linux cooked": pcap([bytes(CookedLinux(proto=0x0800) / one) for one in talk()], 113),
    "Linux cooked 2": pcap([bytes(CookedLinuxV2(proto=0x0800) / one) for one in talk()], 276),
    "BSD null": pcap([bytes(Loopback(type=2) / one) for one in talk()], 0),
    "raw": pcap(list(map(bytes, talk())), 101),
    "raw IPv6": pcap(list(map(bytes, talk(v6))), 101),
    "PPP": pcap([b"\xff\x03" + bytes(PPP(proto=0x21) / one) for one in talk()], 9),
    "IPv4 options": pcap(ethernet(talk(optioned)), 1),
    "IPv6 extension headers": pcap(ethernet(talk(lambda up: v6(up) / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt())), 1),
    "GRE": pcap(ethernet(talk(lambda up: IP(src="198.51.100.1", dst="198.51.100.2") / GRE() / v4(up))), 1),
    "IP in IP": pcap(ethernet(talk(lambda up: IP(src="198.51.100.1", dst="198.51.100.2") / v4(up))), 1),
    "6in4": pcap(ethernet(talk(lambda up: IP(src="198.51.100.1", dst="198.51.100.2", proto=41) / v6(up))), 1),
    "VXLAN": pcap(ethernet(talk(lambda up: IP(src="198.51.100.1", dst="198.51.100.2") / UDP(sport=5, dport=4789) / VXLAN(vni=3)
                                / Ether() / v4(up))), 1),
    "fragments": pcap(ethernet([piece for one in talk() for piece in fragment(one, 64)]), 1),
    "sequence numbers wrap": pcap(ethernet(talk(first=(1 << 32) - 20, other=(1 << 32) - 5)), 1),
    "reordered": pcap(ethernet(shuffled(talk(), 4)), 1),
    "each packet twice": pcap(ethernet([again for one in talk() for again in (one, one)]), 1),
    "retransmitted later": pcap(ethernet([*talk()[:8], *talk()[3:7], *talk()[8:]]), 1),
}


def ours(path: Path) -> tuple[bytes, bytes]:
    up = down = b""
    for event in read(str(path)):
        assert not isinstance(event, Gap)
        if isinstance(event, Segment):
            if event.direction is C2S:
                up += event.data
            else:
                down += event.data
    return up, down


def tsharks(path: Path) -> tuple[bytes, bytes]:
    done = subprocess.run(["tshark", "-n", "-o", "tcp.reassemble_out_of_order:TRUE", "-r", str(path), "-q", "-z",
                           "follow,tcp,raw,0"], capture_output=True, text=True, check=True)
    lines = done.stdout.split("=\n", 1)[1].splitlines() if "=\n" in done.stdout else []
    octets = [line for line in lines if line.strip() and all(letter in "0123456789abcdef" for letter in line.strip())]
    up = b"".join(bytes.fromhex(line) for line in octets if not line.startswith("\t"))
    down = b"".join(bytes.fromhex(line.strip()) for line in octets if line.startswith("\t"))
    return up, down




@pytest.mark.parametrize("name", CAPTURES)
def test_the_octets_are_those_that_were_sent(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.cap"
    path.write_bytes(CAPTURES[name])
    assert ours(path) == (UP, DOWN)
    assert tsharks(path) == (UP, DOWN)


def test_a_snap_length_leaves_gaps(tmp_path: Path) -> None:
    """Of each packet 100 octets: what is missing is told, octet by octet."""
    path = tmp_path / "x.cap"
    head = pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 100, 1)
    path.write_bytes(head + b"".join(pack("<IIII", 1, place, min(100, len(frame)), len(frame)) + frame[:100]
                                     for place, frame in enumerate(PLAIN)))
    found = [event for event in read(str(path)) if isinstance(event, Segment | Gap) and event.direction is C2S]
    assert sum(len(event.data) if isinstance(event, Segment) else event.size for event in found) == len(UP)
    assert [event.size for event in found if isinstance(event, Gap)] == [len(CLIENT[1]) - 46]


@pytest.mark.parametrize(("resolution", "ticks"), [(0xFF, 1 << 62), (6, (1 << 64) - 1), (0, (1 << 64) - 1), (9, 0)])
def test_any_time_is_one_that_a_calendar_has(resolution: int, ticks: int, tmp_path: Path,
                                             capfd: pytest.CaptureFixture[str]) -> None:
    """Hostile case N04: a resolution of 2 to the power of -127, and times in any year."""
    described = pack("<HHI", 1, 0, 0) + pack("<HHBxxxHH", 9, 1, resolution, 0, 0)
    octets = block("<", 0x0A0D0D0A, pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block("<", 1, described)
    for frame in PLAIN:
        octets += block("<", 6, pack("<IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame)) + frame)
    path = tmp_path / "x.cap"
    path.write_bytes(octets)
    for command in (["replay"], ["replay", "--json"], ["replay", "--verbose"], ["sessions"], ["stats"],
                    ["export", "--eve", "-"], ["export", "--zeek", str(tmp_path / "zeek")],
                    ["export", "--pcapng", str(tmp_path / "y.pcapng")],
                    ["export", "--report", "html", "--output", str(tmp_path / "r.html")]):
        assert main([*command, str(path)]) == 0, command
    assert "1 flow, 6 PDUs" in capfd.readouterr().err


def test_a_million_interfaces_are_too_many(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Hostile case N04: an error with its place, memory bounded."""
    path = tmp_path / "x.cap"
    begin = block("<", 0x0A0D0D0A, pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    path.write_bytes(begin + block("<", 1, pack("<HHI", 1, 0, 0)) * 1_000_000)
    assert main(["sessions", str(path)]) == 2
    assert "too many interfaces" in capfd.readouterr().err


def test_a_torn_file_is_read_up_to_the_tear(tmp_path: Path) -> None:
    """At every octet: no exception but the one that names the place, never a loop, and always a beginning of the whole."""
    from inspector.errors import CaptureError

    path = tmp_path / "x.cap"
    for name in ("Ethernet", "pcapng", "pcapng big-endian"):
        whole = CAPTURES[name]
        for size in range(0, len(whole), 7):
            path.write_bytes(whole[:size])
            down = b""
            try:
                for event in read(str(path)):
                    if isinstance(event, Segment) and event.direction is not C2S:
                        down += event.data
            except CaptureError as error:
                assert "octet" in str(error)  # noqa: PT017 - an error is one of two right outcomes
            assert DOWN.startswith(down)
