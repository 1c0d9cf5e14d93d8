"""IP fragments and checksums, in packets that scapy has made."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import GRE, Dot1Q, Ether
from scapy.packet import Packet, Raw

from inspector.capture.checksums import sound
from inspector.capture.fragments import DATAGRAMS, PATIENCE, PIECES, Fragments
from inspector.formats import packet as formats
from inspector.formats.packet import Fragment, dissect

pytestmark = pytest.mark.slow

RAW, ETHERNET = 101, 1
BODY = bytes(range(256)) * 6
"""What a packet carries: no two octets of it can be swapped unseen."""


def ipv4(**fields) -> Packet:
    return IP(src="192.0.2.1", dst="192.0.2.2", id=77, **fields) / TCP(sport=4000, dport=25, seq=9, ack=5, flags="PA") / Raw(BODY)


def ipv6() -> Packet:
    return (IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrFragment(id=99)
            / TCP(sport=4000, dport=25, seq=9, ack=5, flags="PA") / Raw(BODY))


def pieces(packet: Packet, size: int = 256) -> list[bytes]:
    return [bytes(piece) for piece in (fragment6(packet, size) if IPv6 in packet else fragment(packet, size))]


def wholes(frames: list[bytes], link: int = RAW) -> Iterator[formats.Packet]:
    told: list[str] = []
    fragments = Fragments(told.append)
    for frame in frames:
        piece = dissect(link, frame)
        assert isinstance(piece, Fragment)
        if whole := fragments.add(piece, 0):
            found = dissect(RAW, whole)
            assert isinstance(found, formats.Packet)
            yield found


@pytest.mark.parametrize("packet", [ipv4(), ipv4(options=[b"\x01\x01\x01\x00"]), ipv6()], ids=["IPv4", "options", "IPv6"])
def test_fragments_in_any_order_are_the_packet(packet: Packet) -> None:
    frames = pieces(packet)
    assert len(frames) > 3
    for seed in range(10):
        random.Random(seed).shuffle(frames)
        again = [*frames, *frames[:2]]
        (found, *_) = list(wholes(again))
        assert (found.payload, found.seq, found.ack) == (BODY, 9, 5)


def test_fragments_behind_tags_and_in_tunnels() -> None:
    ethernet = [bytes(Ether() / Dot1Q(vlan=7) / piece) for piece in fragment(ipv4(), 256)]
    assert [found.payload for found in wholes(ethernet, ETHERNET)] == [BODY]
    tunnel = IP(src="198.51.100.1", dst="198.51.100.2", id=5) / GRE() / ipv4()
    assert [found.payload for found in wholes(pieces(tunnel))] == [BODY]


def test_of_two_copies_the_first_counts() -> None:
    frames = pieces(ipv4())
    forged = frames[1][:-8] + b"EVILEVIL"
    (found,) = wholes([frames[0], frames[1], forged, *frames[2:]])
    assert found.payload == BODY
    (found,) = wholes([frames[0], forged, *frames[1:]])
    assert found.payload != BODY


def test_a_packet_that_never_becomes_whole_is_forgotten() -> None:
    told: list[str] = []
    fragments = Fragments(told.append)
    frames = [dissect(RAW, frame) for frame in pieces(ipv4())]
    assert fragments.add(frames[0], 0) == b""
    for frame in frames[1:]:
        assert fragments.add(frame, PATIENCE + 1) == b""
    fragments.finish()
    assert told == ["fragmented packets are not whole", "1 fragmented packets are not whole"]


def test_memory_is_bounded() -> None:
    told: list[str] = []
    fragments = Fragments(told.append)
    for number in range(DATAGRAMS + 5):
        fragments.add(Fragment(b"%d" % number, 0, True, b"h" * 20, b"x"), 0)
    assert len(told) == 5
    for number in range(PIECES + 1):
        fragments.add(Fragment(b"many", number * 8, True, b"h" * 20, b"12345678"), 0)
    assert fragments.add(Fragment(b"large", 65_528, False, b"h" * 20, b"x" * 100), 0) == b""


# Checksums


SOUND = {
    "IPv4": (RAW, ipv4()), "IPv6": (RAW, IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(dport=25) / Raw(b"odd")),
    "IPv6 with options": (RAW, IPv6() / IPv6ExtHdrDestOpt() / TCP(dport=25) / Raw(b"even")),
    "Ethernet with padding": (ETHERNET, Ether() / IP() / TCP(dport=25) / Raw(b"x")),
    "large": (RAW, IP() / TCP() / Raw(bytes(random.Random(1).randbytes(9001)))),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_wrong_octet_is_seen(name: str) -> None:
    link, packet = SOUND[name]
    frame = bytes(packet)
    assert sound(link, frame)
    assert sound(link, frame + bytes(6)) == (link == ETHERNET or sound(link, frame))
    for at in (len(frame) - 1, len(frame) - 12):
        assert not sound(link, frame[:at] + bytes([frame[at] ^ 4]) + frame[at + 1:])


def test_what_nobody_can_tell_is_taken_for_right() -> None:
    """A cut packet, UDP, a fragment, and a sum that the network card was to make."""
    frame = bytes(ipv4())
    assert sound(RAW, frame[:-9])
    assert sound(RAW, bytes(IP() / UDP(chksum=1) / Raw(b"x")))
    assert sound(RAW, pieces(ipv4())[1])
    for at in range(60):
        assert isinstance(sound(RAW, frame[:at]), bool)
    pseudo = 0
    packet = IP(frame)
    for words in (packet.getlayer(IP).src, packet.dst):
        first = [int(part) for part in words.split(".")]
        pseudo += (first[0] << 8 | first[1]) + (first[2] << 8 | first[3])
    pseudo += 6 + len(frame) - 20
    offloaded = frame[:36] + (pseudo % 65_535).to_bytes(2) + frame[38:]
    assert sound(RAW, offloaded)
    assert not sound(RAW, frame[:36] + b"\x12\x34" + frame[38:])


def test_a_wrong_header_is_seen() -> None:
    frame = bytes(ipv4())
    assert not sound(RAW, frame[:8] + b"\x01" + frame[9:])
