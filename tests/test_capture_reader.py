"""Foreign captures, hostile ones, and TCP as it really arrives."""

from __future__ import annotations

import tempfile
from pathlib import Path
from struct import pack
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inspector.capture.reader import read
from inspector.capture.reassembly import EARLY, Reassembly
from inspector.capture.writer import CaptureWriter
from inspector.errors import CaptureError
from inspector.formats import frame, pcapng
from inspector.formats.checksum import total
from inspector.formats.packet import ACK, FIN, RST, SYN, Packet, reverse
from inspector.pdu import C2S, S2C, Address, Flow
from inspector.segment import Ended, Event, Forgotten, Gap, Opened, Remark, Reset, Segment

UP = b"\xc0\0\2\7\x7f\0\0\1\xc3\x50\0\x6e"
"""192.0.2.7:50000 to 127.0.0.1:110."""
LONG = 5_000


def up(seq: int, payload: bytes = b"", flags: int = 0, missing: int = 0, ack: int = -1) -> Packet:
    return Packet(UP, seq % 2**32, max(0, ack), flags | (ACK if ack >= 0 else 0), payload, missing, b"")


def down(seq: int, payload: bytes = b"", flags: int = 0, ack: int = -1) -> Packet:
    return Packet(reverse(UP), seq % 2**32, max(0, ack), flags | (ACK if ack >= 0 else 0), payload, 0, b"")


def reassembled(*packets: Packet) -> tuple[list[Event], list[str]]:
    warnings: list[str] = []
    reassembly = Reassembly(warnings.append)
    events: list[Event] = []
    for time, packet in enumerate(packets):
        reassembly.feed(packet, time)
        events += reassembly.taken()
    reassembly.finish()
    return events + reassembly.taken(), warnings


def gaps(events: list[Event]) -> list[int]:
    return [event.size for event in events if isinstance(event, Gap)]


def sent(events: list[Event], direction: str = C2S) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, Segment) and event.direction == direction)


# --- reassembly ---


def test_a_plain_connection() -> None:
    """Handshake, octets both ways, both ends: one flow."""
    events, warnings = reassembled(
        up(9, flags=SYN), down(99, flags=SYN | ACK), up(10), down(100, b"+OK\r\n"), up(10, b"QUIT\r\n", ACK | FIN),
        down(105, flags=FIN | ACK), up(17), down(106),
    )  # fmt: skip
    assert isinstance(events[0], Opened)
    flow = events[0].flow
    assert (flow.number, flow.client, flow.server) == (1, Address("192.0.2.7", 50_000), Address("127.0.0.1", 110))
    assert not events[0].own
    assert not events[0].joined
    assert events[1:] == [
        Segment(1, S2C, 3, b"+OK\r\n"), Segment(1, C2S, 4, b"QUIT\r\n"), Ended(1, C2S, 4), Ended(1, S2C, 5),
    ]  # fmt: skip
    assert warnings == []


def test_swapped_repeated_and_overlapping() -> None:
    """Each octet comes once, in order, whatever the network did."""
    start = 2**32 - 4
    events, warnings = reassembled(
        up(start - 1, flags=SYN), up(start - 1, flags=SYN), up(start + 6, b"ghi"), up(start + 3, b"def"),
        up(start, b"abc"),
        up(start, b"abc"), up(start + 1, b"bcdefghijk"), up(start + 8, b"i"), up(start + 11, b"l", FIN),
    )  # fmt: skip
    assert sent(events) == b"abcdefghijkl"
    assert isinstance(events[-1], Ended)
    assert warnings == []


def test_a_hole_that_is_never_filled() -> None:
    """What is missing is a gap at the end."""
    events, warnings = reassembled(up(0, flags=SYN), up(1, b"abc"), up(10, b"xyz"), up(20, b"", FIN))
    assert sent(events) == b"abcxyz"
    assert isinstance(events[-1], Ended)
    assert gaps(events) == [6, 7]
    assert warnings == []


def test_a_hole_is_waited_for_within_bounds() -> None:
    """At the bound the hole is given up, so that memory does not grow."""
    warnings: list[str] = []
    reassembly = Reassembly(warnings.append)
    reassembly.feed(up(0, flags=SYN), 0)
    count = 0
    while len(reassembly.events) < 2:
        reassembly.feed(up(2 + count * LONG, b"x" * LONG), 1)
        count += 1
    events = reassembly.taken()
    assert EARLY < count * (LONG + 200) < EARLY + 3 * LONG + 200 * count
    assert len(sent(events)) == count * LONG
    assert gaps(events) == [1]


def test_a_reset_gives_up_what_is_missing() -> None:
    """A reset ends the flow; what comes after it is not read, until another SYN."""
    events, _warnings = reassembled(
        up(0, flags=SYN), up(5, b"late"), down(1, flags=RST), up(9, b"after"), up(0, flags=SYN), up(1, b"again")
    )
    assert [type(event) for event in events] == [Opened, Gap, Segment, Reset, Opened, Segment]
    assert events[3] == Reset(1, S2C, 2)


def test_joined_late() -> None:
    """Without the handshake the end with the service port is the server."""
    for packets in ([down(7, b"+OK\r\n"), up(3, b"QUIT\r\n")], [up(3, b"QUIT\r\n"), down(7, b"+OK\r\n")]):
        events, _warnings = reassembled(*packets)
        assert isinstance(events[0], Opened)
        assert events[0].flow.server.port == 110
        assert (sent(events), sent(events, S2C)) == (b"QUIT\r\n", b"+OK\r\n")


def test_packets_cut_by_the_capture() -> None:
    """What a snap length cut off is passed over at once."""
    events, warnings = reassembled(up(0, flags=SYN), up(1, b"abc", missing=7), up(11, b"def"))
    assert sent(events) == b"abcdef"
    assert gaps(events) == [7]
    assert warnings == []


def test_stray_packets_open_nothing() -> None:
    """A lone ACK, FIN or RST is no flow."""
    assert reassembled(up(3), up(3, flags=FIN), up(3, flags=RST)) == ([], [])


def test_packets_from_where_they_go_to() -> None:
    """A forged packet with one end twice is no fault."""
    pair = UP[:4] * 2 + UP[-2:] * 2
    events, _warnings = reassembled(Packet(pair, 1, 0, SYN, b"x", 0, b""), Packet(pair, 9, 0, SYN, b"x", 0, b""),
                                    Packet(pair, 10, 0, ACK | FIN, b"x", 0, b""))
    assert isinstance(events[0], Opened)


def test_what_waits_is_not_lost_to_damage(tmp_path: Path) -> None:
    """Octets that wait for others are given before the damage is told."""
    path = tmp_path / "a"
    path.write_bytes(
        blocks_of(">") + enhanced(">", 1, frame_of(b"a", 1)) + enhanced(">", 1, frame_of(b"c", 3)) + b"x" * 8
    )
    events: list[Event] = []
    with pytest.raises(CaptureError):
        events.extend(read(str(path)))
    assert sent(events) == b"ac"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60), st.integers(0, 31), st.binary(max_size=9)), max_size=40))
def test_any_packets(packets: list[tuple[bool, int, int, bytes]]) -> None:
    """Any packets in any order: no fault, events of open flows only, nothing after the end of a direction or of a flow."""
    made = [(up if one else down)(seq, payload, flags) for one, seq, flags, payload in packets]
    events, _warnings = reassembled(*made)
    over: set[Any] = set()
    known: set[int] = set()
    for event in events:
        if isinstance(event, Opened):
            assert event.key not in known
            known.add(event.key)
            continue
        assert event.flow in known
        if isinstance(event, Forgotten):
            known.remove(event.flow)
            continue
        assert isinstance(event, Reset | Remark) or (event.flow, event.direction) not in over
        if isinstance(event, Ended):
            over.add((event.flow, event.direction))


# --- files ---


def blocks_of(order: str, options: bytes = b"", link: int = 101) -> bytes:
    section = pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)
    interface = pack(order + "HHI", link, 0, 0) + options
    return block(order, 0x0A0D0D0A, section) + block(order, 1, interface)


def block(order: str, kind: int, body: bytes) -> bytes:
    body += b"\0" * (-len(body) & 3)
    return pack(order + "II", kind, len(body) + 12) + body + pack(order + "I", len(body) + 12)


def frame_of(payload: bytes, seq: int = 1) -> bytes:
    shape = frame.Frame4(b"\xc0\0\2\7", b"\x7f\0\0\1", 50_000, 110)
    return shape.head(0, seq, 0, frame.PUSH, total(payload), len(payload), 0)[28:] + payload


def enhanced(order: str, ticks: int, data: bytes, interface: int = 0) -> bytes:
    head = pack(order + "IIIII", interface, ticks >> 32, ticks & 0xFFFF_FFFF, len(data), len(data))
    return block(order, 6, head + data)


@pytest.mark.parametrize("order", ["<", ">"])
def test_orders_resolutions_and_unknown_blocks(tmp_path: Path, order: str) -> None:
    """Both byte orders, any resolution, an offset, several interfaces, and blocks to be skipped."""

    def resolution(value: int) -> bytes:
        return pack(order + "HHBxxx", 9, 1, value)

    offset = pack(order + "HHq", 14, 8, 1_000)
    raw = blocks_of(order, resolution(9) + offset)
    raw += block(order, 1, pack(order + "HHI", 1, 0, 0) + resolution(0x80 | 10))
    raw += block(order, 0x4D0BAD, b"skipped")
    raw += enhanced(order, 5_000_000_000, frame_of(b"one"))
    raw += enhanced(order, 2_048, bytes(12) + b"\x08\x00" + frame_of(b"two", 4), 1)
    raw += block(order, 3, pack(order + "I", 45) + frame_of(b"three", 7))
    raw += block(order, 2, pack(order + "HHIIII", 0, 0, 0, 7_000, 44, 44) + frame_of(b"four", 12))
    raw += blocks_of("<" if order == ">" else ">")
    raw += enhanced("<" if order == ">" else ">", 9, frame_of(b"five", 16))
    path = tmp_path / "a"
    path.write_bytes(raw)
    found = [(event.time, event.data) for event in read(str(path), pytest.fail) if isinstance(event, Segment)]
    assert found == [
        (1_005_000_000, b"one"), (2_000_000, b"two"), (2_000_000, b"three"), (1_000_000_007, b"four"), (9, b"five"),
    ]  # fmt: skip


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "fraction"), [(0xA1B2C3D4, 7), (0xA1B23C4D, 7_999)])
def test_classic_pcap(tmp_path: Path, order: str, magic: int, fraction: int) -> None:
    """Classic pcap in both orders, micro- and nanoseconds; a torn end is the end."""
    data = frame_of(b"hello")
    raw = pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65_535, 0xF000_0065)
    raw += pack(order + "IIII", 3, fraction, len(data), len(data)) + data
    path = tmp_path / "a.pcap"
    path.write_bytes(raw + raw[24:50])
    warnings: list[str] = []
    events = list(read(str(path), warnings.append))
    assert events[1] == Segment(1, C2S, 3_000_007, b"hello")
    assert len(warnings) == 1
    assert "in the middle of a block" in warnings[0]


def test_other_packets_are_named_once(tmp_path: Path) -> None:
    """What is not TCP is skipped, with one warning of each kind."""
    udp = frame_of(b"x")[:9] + b"\x11" + frame_of(b"x")[10:]
    path = tmp_path / "a"
    path.write_bytes(blocks_of(">") + enhanced(">", 1, udp) * 3 + enhanced(">", 1, frame_of(b"x")))
    warnings: list[str] = []
    assert len(list(read(str(path), warnings.append))) == 2
    assert warnings == [f"{path}: packets that are not TCP are not read"]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\x7fELF and more", "neither pcapng nor pcap: unknown magic at octet 0"),
        (block(">", 0x0A0D0D0A, pack(">IHHq", 0x1A2B3C4C, 1, 0, -1)), "without a byte-order magic at octet 0"),
        (block(">", 0x0A0D0D0A, pack(">IHHq", 0x1A2B3C4D, 2, 0, -1)), "version 2"),
        (blocks_of(">") + pack(">II", 6, 8), "impossible length 8 at octet 48"),
        (blocks_of(">") + pack(">II", 6, 0xFFFF_FFFC), "impossible length 4294967292 at octet 48"),
        (blocks_of(">") + pack(">IIII", 6, 16, 0, 12), "two lengths differ at octet 48"),
        (blocks_of(">") + enhanced(">", 1, b"", 7), "malformed block of type 0x6"),
        (blocks_of(">") + block(">", 6, pack(">IIIII", 0, 0, 0, 999, 999)), "malformed block of type 0x6"),
        (blocks_of(">") + block(">", 1, b"abcd"), "malformed block of type 0x1"),
        (pack(">IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0, 101) + pack(">IIII", 0, 0, 2**31, 0), "a packet of 2147483648"),
    ],
)  # fmt: skip
def test_damaged_files(tmp_path: Path, raw: bytes, reason: str) -> None:
    """A damaged file is refused with its path, the place and the reason."""
    path = tmp_path / "a"
    path.write_bytes(raw)
    with pytest.raises(CaptureError) as caught:
        list(read(str(path)))
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)
    assert "at octet" in str(caught.value)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    """A missing file and a folder are refused by name."""
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(CaptureError, match=str(path)):
            list(read(str(path)))


def anything(raw: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(raw)
        file.flush()
        try:
            for event in read(file.name):
                assert not isinstance(event, Segment) or event.data
        except CaptureError:
            pass


starts = [
    b"",
    pcapng.section("x"),
    blocks_of("<"),
    blocks_of(">", link=1),
    pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0, 1),
]


@given(
    st.sampled_from(starts),
    st.lists(
        st.binary(max_size=80)
        | st.builds(block, st.sampled_from("<>"), st.sampled_from([1, 2, 3, 4, 6, 0x0A0D0D0A]), st.binary(max_size=80)),
        max_size=5,
    ),
)
@settings(deadline=None)
@example(b"", [b"\x0a\x0d\x0d\x0a"])
def test_any_file(start: bytes, tail: list[bytes]) -> None:
    """Whatever a file holds, CaptureError is all that comes of it."""
    anything(start + b"".join(tail))


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=20))
@settings(deadline=None)
def test_any_damage(changes: list[tuple[int, int]]) -> None:
    """A real capture with octets changed is no fault either."""
    raw = bytearray(REAL)
    for place, octet in changes:
        raw[place % len(raw)] = octet
    anything(bytes(raw))


def real() -> bytes:
    flow = Flow(1, Address("192.0.2.7", 50_000), Address("::1", 24_110), 10**15, "pop3")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.pcapng"
        writer = CaptureWriter(str(path), alarm=pytest.fail)
        writer.open(flow)
        for number in range(4):
            writer.segment(flow, S2C, b"+OK %d\r\n" % number, 10**15, ["a comment"])
            writer.segment(flow, C2S, b"NOOP\r\n", 10**15)
        writer.end(flow, C2S, 10**15)
        writer.end(flow, S2C, 10**15)
        writer.close()
        return path.read_bytes()


REAL = real()
