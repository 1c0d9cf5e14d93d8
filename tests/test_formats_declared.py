"""The layouts written with struct equal the construct declarations, octet for octet."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.formats import checksum, declared, frame, marker, pcapng, word
from inspector.formats.packet import Fragment, Packet, Skipped, dissect, owner_of, owner_of_pair, reverse

TIME = 1_700_000_000_123_456
SHAPES: dict[str, frame.Frame] = {
    "ipv4": frame.Frame4(b"\xc0\0\2\1", b"\x7f\0\0\1", 50_000, 110),
    "ipv6": frame.Frame6(bytes(15) + b"\1", bytes(14) + b"\2\3", 50_000, 25),
}


def declared_option(code: int, value: bytes) -> dict[str, Any]:
    return {"code": code, "value": value}


def declared_block(kind: int, body: bytes) -> bytes:
    return bytes(declared.block(">").build({"kind": kind, "body": body}))


def internet_sum(data: bytes) -> int:
    """The definition of RFC 1071 §1, word by word."""
    data += b"\0" * (len(data) & 1)
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return total ^ 0xFFFF


def declared_packet(name: str, payload: bytes, seq: int, ack: int) -> bytes:
    """The packet that `frame` writes, built from the declarations and with checksums by definition."""
    size = len(payload)
    tcp: dict[str, Any] = {
        "seq": seq,
        "ack": ack,
        "flags": 0x18,
        "window": 65_535,
        "checksum": 0,
        "urgent": 0,
        "source": 50_000,
    }
    tcp |= {"target": 110 if name == "ipv4" else 25, "offset": 0x50, "options": []}
    if name == "ipv4":
        source, target = b"\xc0\0\2\1", b"\x7f\0\0\1"
        header: dict[str, Any] = {"version_length": 0x45, "service": 0, "total": 40 + size, "identification": 0}
        header |= {"fragment": 0x4000, "hops": 64, "protocol": 6, "source": source, "target": target, "options": b""}
        header["checksum"] = internet_sum(declared.ipv4.build(header | {"checksum": 0}))
        ip = declared.ipv4.build(header)
    else:
        source, target = bytes(15) + b"\1", bytes(14) + b"\2\3"
        ip = declared.ipv6.build(
            {
                "version_class_label": 0x6000_0000,
                "length": 20 + size,
                "following": 6,
                "hops": 64,
                "source": source,
                "target": target,
            }
        )
    plain: bytes = declared.tcp.build(tcp) + payload
    pseudo = source + target + len(plain).to_bytes(4, "big") + b"\0\0\0\6"
    return bytes(ip) + plain[:16] + internet_sum(pseudo + plain).to_bytes(2, "big") + plain[18:]


def test_section() -> None:
    """The section header is what the declaration says."""
    body = declared.section(">").build({"major": 1, "minor": 0, "length": -1})
    body += declared.option(">").build(declared_option(pcapng.APPLICATION, b"mailspy 1"))
    body += declared.option(">").build(declared_option(0, b""))
    assert pcapng.section("mailspy 1") == declared_block(pcapng.SECTION, body)


def test_interface() -> None:
    """The interface description is what the declaration says."""
    body = declared.interface(">").build({"link": 101, "reserved": 0, "snaplen": 0})
    for code, value in ((2, b"mailspy"), (9, b"\6"), (0, b"")):
        body += declared.option(">").build(declared_option(code, value))
    assert pcapng.interface(101, "mailspy") == declared_block(pcapng.INTERFACE, body)


@pytest.mark.parametrize("name", SHAPES)
@given(
    payload=st.binary(max_size=70) | st.sampled_from([b"\xff\xfe\x01" * 420, b"ab" * 900]),
    comments=st.lists(st.text(max_size=20), max_size=3),
    seq=st.integers(0, 2**32 - 1),
    ack=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_packet_block(name: str, payload: bytes, comments: list[str], seq: int, ack: int) -> None:
    """A packet block of the hot path is what the declarations say, checksums included."""
    ending = pcapng.ending(pcapng.INBOUND)
    tail = pcapng.commented(len(payload), comments, ending) if comments else ending[len(payload) & 3]
    length = 32 + SHAPES[name].headers + len(payload) + len(tail)
    head = SHAPES[name].head(TIME, seq, ack, frame.PUSH, checksum.total(payload), len(payload), length)
    packet = declared_packet(name, payload, seq, ack)
    options = [declared_option(1, comment.encode("utf-8", "backslashreplace")) for comment in comments]
    options += [declared_option(2, b"\0\0\0\1"), declared_option(0, b"")]
    body = declared.packet(">").build(
        {
            "interface": 0,
            "time_high": TIME >> 32,
            "time_low": TIME & 0xFFFF_FFFF,
            "original": len(packet),
            "data": packet,
            "options": options,
        }
    )
    assert head + payload + tail + length.to_bytes(4, "big") == declared_block(pcapng.ENHANCED_PACKET, body)


def test_marker_option() -> None:
    """Our TCP option is what the declaration says, and is found among others."""
    found = marker.Marker(24_110, "pop3", server_mapped=True)
    raw = declared.marker_option.build({"flags": 2, "port": 24_110, "protocol": b"pop3"})
    assert marker.pack(found) == raw
    assert marker.find(frame.MSS + b"\1" + raw + b"\0") == found


@given(st.binary(max_size=60), st.sampled_from([b"", b"\xfd\x0dmspy", b"\xfd\xffmspy"]))
def test_any_options(tail: bytes, start: bytes) -> None:
    """Hostile TCP options are no fault."""
    marker.find(start + tail)


@given(st.binary(max_size=64))
def test_checksum(data: bytes) -> None:
    """The quick sum is the sum of RFC 1071, for even and odd lengths."""
    assert checksum.checksum(checksum.total(data)) == (internet_sum(data) if any(data) else 0)


@pytest.mark.parametrize("size", [1_281, 1_282, 1_283, 4_096, 65_479, 65_480])
def test_checksum_of_large_data(size: int) -> None:
    """numpy's sum and the plain one are the same."""
    data = bytes(at * 7 & 0xFF for at in range(size))
    assert checksum.checksum(checksum.total(data)) == checksum.checksum(checksum.plain(data)) == internet_sum(data)
    assert checksum.total(memoryview(data)[1:]) % 65_535 == checksum.plain(data[1:])


WITHOUT_NUMPY = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
from inspector.formats import checksum
checksum.prepare()
sys.exit(checksum.total(b"ab" * 5_000) != checksum.plain(b"ab" * 5_000))
"""


def test_checksum_without_numpy() -> None:
    """Where numpy is missing the sum is made without it."""
    assert subprocess.run([sys.executable, "-c", WITHOUT_NUMPY], check=False).returncode == 0


def test_the_writer_loads_neither_construct_nor_numpy() -> None:
    """Live traffic does not wait for imports."""
    program = "import sys, inspector.capture.writer as w; sys.exit(bool({'construct', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(
    ("link", "head"),
    [
        (101, b""),
        (0, b"\2\0\0\0"),
        (108, b"\0\0\0\2"),
        (1, bytes(12) + b"\x81\x00\x00\x07" + b"type"),
        (113, bytes(14) + b"type"),
        (276, b"type" + bytes(18)),
    ],
)
def test_dissect(name: str, link: int, head: bytes) -> None:
    """Behind every link header the same packet is found, its padding left out."""
    raw = declared_packet(name, b"USER\r\n", 7, 9)
    kind = b"\x08\x00" if name == "ipv4" else b"\x86\xdd"
    packet = dissect(link, head.replace(b"type", kind) + raw + b"\0" * 6)
    assert isinstance(packet, Packet)
    assert (packet.payload, packet.seq, packet.missing) == (b"USER\r\n", 7, 0)
    assert packet.pair[-4:-2] == b"\xc3\x50"


def test_dissect_cut_packet() -> None:
    """Octets that the capture left out are counted."""
    packet = dissect(101, declared_packet("ipv4", b"0123456789", 7, 9)[:-4])
    assert isinstance(packet, Packet)
    assert (packet.payload, packet.missing) == (b"012345", 4)


def test_skipped() -> None:
    """What is no TCP packet says why."""
    raw = declared_packet("ipv4", b"x", 7, 9)
    assert dissect(999, raw) is Skipped.LINK
    assert dissect(101, b"") is Skipped.NOT_IP
    assert isinstance(dissect(101, raw[:6] + b"\x20\0" + raw[8:]), Fragment)
    assert dissect(101, raw[:9] + b"\x11" + raw[10:]) is Skipped.NOT_TCP
    assert dissect(101, raw[:30]) is Skipped.MALFORMED


@given(
    st.sampled_from([0, 1, 101, 108, 113, 228, 229, 276]),
    st.binary(max_size=90),
    st.sampled_from([b"", b"\x45", b"\x60"]),
)
def test_any_frame(link: int, data: bytes, start: bytes) -> None:
    """No frame raises."""
    dissect(link, start + data)


ETHERNET = b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0"


@given(st.binary(min_size=12, max_size=12), st.integers(1, 9), st.binary(max_size=20), st.booleans())
def test_a_flow_has_one_owner(ends: bytes, processes: int, payload: bytes, plain: bool) -> None:
    """Seen at once or taken apart, and from either side."""
    tcp = ends[8:] + bytes(8) + b"\x50\x10" + bytes(6) + payload
    extra = b"" if plain else b"\1\1\1\0"  # an IP option: not seen at once
    size = 20 + len(extra) + len(tcp)
    data = ETHERNET + bytes([0x45 + len(extra) // 4, 0]) + size.to_bytes(2, "big") + bytes(5) + b"\6\0\0" + ends[:8] + extra + tcp
    packet = dissect(1, data)
    assert isinstance(packet, Packet)
    assert (packet.pair, packet.payload) == (ends, payload)
    owner = owner_of_pair(packet.pair, processes)
    assert 0 <= owner < processes
    assert owner_of_pair(reverse(packet.pair), processes) == owner
    shifted = b"xyz" + data + b"tail"
    assert owner_of(1, shifted, 3, 3 + len(data), processes) == (owner if plain else -1)


@given(st.integers(0, 0xFFFF_FFFF), st.binary(max_size=3))
def test_words(value: int, before: bytes) -> None:
    """As `struct` reads them."""
    assert word.big(before + value.to_bytes(4, "big"), len(before)) == value
    assert word.little(before + value.to_bytes(4, "little"), len(before)) == value
