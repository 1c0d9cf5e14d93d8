"""TCP as attackers and networks make it: hostile cases N01 to N03, and what a capture lacks."""

from __future__ import annotations

import random
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st
from test_capture_reader import UP, down, gaps, reassembled, sent, up

from inspector.capture.reassembly import PATIENCE
from inspector.formats.packet import ACK, FIN, RST, SYN, Packet, reverse
from inspector.pdu import C2S, S2C
from inspector.segment import Ended, Event, Opened, Remark, Reset, Segment

HELLO = (up(0, flags=SYN), down(1000, flags=SYN, ack=1), up(1, ack=1001))


def remarks(events: list[Event]) -> list[str]:
    return [event.name for event in events if isinstance(event, Remark)]


def order(events: list[Event]) -> list[bytes]:
    return [event.data for event in events if isinstance(event, Segment)]


# N01: the same octets, twice and different


def test_the_first_copy_counts_when_both_wait() -> None:
    for first, second in ((b"GOOD", b"EVIL"), (b"EVIL", b"GOOD")):
        events, _ = reassembled(*HELLO, up(5, first), up(5, second), up(1, b"1234"))
        assert sent(events) == b"1234" + first
        assert remarks(events) == ["tcp_overlap_conflict"]


def test_the_first_copy_counts_when_it_was_delivered() -> None:
    events, _ = reassembled(*HELLO, up(1, b"RCPT TO:<a@b>\r\n"), up(1, b"RCPT TO:<x@y>\r\n"), up(16, b"DATA\r\n"))
    assert sent(events) == b"RCPT TO:<a@b>\r\nDATA\r\n"
    assert remarks(events) == ["tcp_overlap_conflict"]
    (remark,) = [event for event in events if isinstance(event, Remark)]
    assert sha256(b"RCPT TO:<a@b>\r\n").hexdigest()[:16] in remark.detail
    assert sha256(b"RCPT TO:<x@y>\r\n").hexdigest()[:16] in remark.detail


def test_the_first_copy_counts_though_a_later_one_begins_before_it() -> None:
    events, _ = reassembled(*HELLO, up(5, b"efgh"), up(3, b"cdXX"), up(1, b"ab"))
    assert sent(events) == b"abcdefgh"
    assert remarks(events) == ["tcp_overlap_conflict"]


def test_equal_copies_are_no_conflict() -> None:
    events, _ = reassembled(*HELLO, up(5, b"efgh"), up(3, b"cdef"), up(1, b"abcdefghij"), up(1, b"abc"))
    assert sent(events) == b"abcdefghij"
    assert remarks(events) == []


def test_keep_alives_are_no_conflict() -> None:
    """One old octet of any value (RFC 9293 §3.8.4)."""
    events, _ = reassembled(*HELLO, up(1, b"NOOP\r\n"), up(6, b"\0"), up(7, b"QUIT\r\n"))
    assert sent(events) == b"NOOP\r\nQUIT\r\n"
    assert remarks(events) == []


def test_conflicts_are_told_up_to_a_number() -> None:
    events, _ = reassembled(*HELLO, up(1, b"abcd"), *(up(1, bytes([n]) * 4) for n in range(100)))
    assert len(remarks(events)) == 10


# N02: order, holes, wrap


def test_a_reply_waits_for_its_command() -> None:
    """The capture has them swapped; the acknowledgement says which came first."""
    events, _ = reassembled(*HELLO, down(1001, b"+OK\r\n", ack=7), up(1, b"NOOP\r\n", ack=1001))
    assert order(events) == [b"NOOP\r\n", b"+OK\r\n"]
    assert gaps(events) == []


def test_replies_of_a_whole_dialogue_swapped_in_pairs() -> None:
    packets, wanted = [], []
    a, b = 1, 1001
    for number in range(20):
        command, reply = b"NOOP %d\r\n" % number, b"+OK %d\r\n" % number
        packets += [down(b, reply, ack=a + len(command)), up(a, command, ack=b)]
        wanted += [command, reply]
        a, b = a + len(command), b + len(reply)
    assert order(reassembled(*HELLO, *packets)[0]) == wanted


def test_what_was_acknowledged_and_does_not_come_is_a_gap() -> None:
    """After some patience, not only at the end."""
    more = [up(20 + n, b"x", ack=1001) for n in range(PATIENCE + 2)]
    events, _ = reassembled(*HELLO, up(1, b"abcd", ack=1001), down(1001, ack=20), up(10, b"0123456789", ack=1001),
                            down(1001, ack=20), *more[:2], down(1001, ack=22), *more[2:])
    assert gaps(events) == [5]
    assert sent(events) == b"abcd0123456789" + b"x" * len(more)
    first = next(n for n, event in enumerate(events) if isinstance(event, Segment) and event.data == b"0123456789")
    assert len(events) > first + 10


def test_what_was_not_acknowledged_is_waited_for() -> None:
    """A lost packet is sent again after many others."""
    others = [up(5 + 4 * n, b"%04d" % n, ack=1001) for n in range(200)]
    events, _ = reassembled(*HELLO, *others, up(1, b"abcd", ack=1001))
    assert gaps(events) == []
    assert sent(events) == b"abcd" + b"".join(b"%04d" % n for n in range(200))


def test_one_direction_alone() -> None:
    """Nothing is waited for that the other side never sends; what it must have sent is told."""
    events, _ = reassembled(down(500, b"+OK\r\n", ack=77), down(505, b"+OK\r\n", ack=99))
    assert order(events) == [b"+OK\r\n", b"+OK\r\n"]
    assert gaps(events) == [22]


def test_a_lost_command_does_not_stop_its_replies() -> None:
    """The replies show that it was there: a gap, and they go on."""
    packets = [down(1001 + 5 * n, b"+OK\r\n", ack=7 * (n + 1)) for n in range(3 * PATIENCE)]
    events, _ = reassembled(*HELLO, *packets)
    assert b"".join(order(events)) == b"+OK\r\n" * len(packets)
    assert sum(gaps(events)) == 7 * len(packets) - 1


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(min_size=1, max_size=300), st.randoms())
def test_any_disorder_gives_the_same_octets(start: int, other: int, data: bytes, dice: random.Random) -> None:
    """Cut anywhere, repeated and swapped within the patience, across the end of the sequence numbers."""
    pieces, at = [], 0
    while at < len(data):
        size = dice.randint(1, 30)
        pieces.append(up(start + 1 + at, data[at:at + size], ack=(other + 1) % 2**32))
        at += size
    packets = [piece for piece in pieces for _ in range(dice.choice((1, 1, 2)))]
    for number in range(len(packets)):
        swapped = min(len(packets) - 1, number + dice.randint(0, 5))
        packets[number], packets[swapped] = packets[swapped], packets[number]
    events, _ = reassembled(up(start, flags=SYN), down(other, flags=SYN, ack=(start + 1) % 2**32), *packets,
                            up(start + 1 + len(data), flags=FIN, ack=(other + 1) % 2**32))
    assert sent(events) == data
    assert gaps(events) == []
    assert remarks(events) == []
    assert isinstance(events[-1], Ended)


# N03: packets that are none of the connection's


def test_a_reset_far_away_is_not_believed() -> None:
    events, _ = reassembled(*HELLO, up(1, b"NOOP\r\n"), up(2**31 - 9, flags=RST), down(2**30, flags=RST), up(7, b"QUIT\r\n"))
    assert sent(events) == b"NOOP\r\nQUIT\r\n"
    assert not [event for event in events if isinstance(event, Reset)]


def test_a_reset_in_place_is_believed() -> None:
    events, _ = reassembled(*HELLO, up(1, b"NOOP\r\n"), down(1001, flags=RST), up(7, b"QUIT\r\n"))
    assert sent(events) == b"NOOP\r\n"
    assert Reset(1, S2C, 4) in events


def test_the_last_octets_come_with_the_end() -> None:
    events, _ = reassembled(*HELLO, up(7, b"QUIT\r\n", FIN, ack=1001), up(1, b"NOOP\r\n", ack=1001), up(13, b"late", ack=1001))
    assert sent(events) == b"NOOP\r\nQUIT\r\n"
    assert events[-1] == Ended(1, C2S, 4)


def test_octets_in_a_syn() -> None:
    """TCP Fast Open (RFC 7413): they come again when the server has not taken them."""
    events, _ = reassembled(up(0, b"EHLO a\r\n", SYN), down(1000, flags=SYN, ack=1), up(1, b"EHLO a\r\n", ack=1001),
                            up(9, b"NOOP\r\n", ack=1001))
    assert sent(events) == b"EHLO a\r\nNOOP\r\n"


def test_a_port_used_again() -> None:
    """A SYN of another number opens another flow; a repeated one does not."""
    events, _ = reassembled(*HELLO, up(1, b"one"), up(0, flags=SYN), up(9000, flags=SYN), up(9001, b"two"))
    assert [event.flow.number for event in events if isinstance(event, Opened)] == [1, 2]
    assert [(event.flow, event.data) for event in events if isinstance(event, Segment)] == [(1, b"one"), (2, b"two")]


def test_ended_connections_are_forgotten_in_time() -> None:
    """A late copy of a packet opens nothing for a while; memory does not grow with the file."""
    from inspector.capture.connections import LINGER
    from inspector.capture.reassembly import Reassembly

    reassembly = Reassembly(lambda text: None)
    time = 0
    for port in range(2_000):
        pair = UP[:8] + port.to_bytes(2, "big") + UP[-2:]
        back = reverse(pair)
        for flags, way, seq in ((SYN, pair, 0), (SYN | ACK, back, 0), (FIN | ACK, pair, 1), (FIN | ACK, back, 1)):
            reassembly.feed(Packet(way, seq, 1, flags, b"", 0, b""), time)
        reassembly.feed(Packet(pair, 1, 1, ACK, b"late", 0, b""), time)
        time += LINGER // 10
    assert reassembly.number == 2_001
    assert len(reassembly._halves) < 100
    assert not [event for event in reassembly.taken() if isinstance(event, Segment)]


def test_the_server_is_told_by_its_words() -> None:
    """Neither a SYN nor a known port: the greeting."""
    pair = UP[:8] + b"\x27\x10\x27\x11"
    for words in (b"220 mx ESMTP\r\n", b"+OK ready\r\n", b"* OK IMAP\r\n"):
        events, _ = reassembled(Packet(pair, 1, 1, ACK, words, 0, b""))
        assert isinstance(events[0], Opened)
        assert events[0].flow.client.port == 0x2711
        assert sent(events, S2C) == words


def test_a_server_that_has_not_spoken_yet_is_no_reason_for_haste() -> None:
    """Found by fuzzing: packets of the client are swapped before the first of the server."""
    events, _ = reassembled(*HELLO, up(1, b"one", ack=1001), up(7, b"three", ack=1001), down(1001, b"+OK\r\n", ack=12),
                            up(4, b"two", ack=1001))
    assert gaps(events) == []
    assert order(events) == [b"one", b"two", b"three", b"+OK\r\n"]


def test_what_comes_behind_an_end_is_not_waited_for() -> None:
    """Found by fuzzing: octets far behind the FIN, and a reset."""
    events, _ = reassembled(*HELLO, up(1, b"QUIT\r\n", FIN | ACK, ack=1001), up(90, b"more", ack=1001), down(1001, b"x", ack=95))
    assert order(events) == [b"QUIT\r\n", b"x"]
    assert gaps(events) == []
