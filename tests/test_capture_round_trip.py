"""What the reader gives back is what the writer was told: replay(capture(live)) == live."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.capture.conversation import Conversation
from inspector.capture.reader import read, read_all
from inspector.capture.writer import CaptureWriter
from inspector.formats.frame import LARGEST
from inspector.pdu import C2S, S2C, Address, Flow
from inspector.segment import Ended, Event, Opened, Reset, Segment

START = 1_700_000_000_000_000
POP = Flow(1, Address("192.0.2.7", 50_000), Address("127.0.0.1", 24_110), START, "pop3")


def silent(text: str) -> None:
    raise AssertionError(text)


def record(path: str, events: list[Event]) -> None:
    """Tells a writer of the events."""
    writer = CaptureWriter(path, alarm=silent)
    flows: dict[int, Flow] = {}
    for event in events:
        match event:
            case Opened(flow):
                flows[flow.number] = flow
                writer.open(flow)
            case Segment(flow=number, direction=direction, time=time, data=data):
                writer.segment(flows[number], direction, data, time, ["a comment"] if time % 2 else ())
            case Ended(flow=number, direction=direction, time=time):
                writer.end(flows[number], direction, time)
            case Reset(flow=number, direction=direction, time=time):
                writer.reset(flows[number], direction, time)
    writer.close()


def plain(events: Iterator[Event] | list[Event]) -> list[Any]:
    """Events as values that can be compared, segments cut as the writer cuts them."""
    found: list[Any] = []
    for event in events:
        if isinstance(event, Opened):
            flow = event.flow
            found.append((flow.number, flow.client, flow.server, flow.opened, flow.protocol))
        elif isinstance(event, Segment):
            data = event.data
            found += [Segment(event.flow, event.direction, event.time, data[at : at + LARGEST])
                      for at in range(0, len(data), LARGEST)]
        else:
            found.append(event)
    return found


def round_trip(events: list[Event]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "flows.pcapng")
        record(path, events)
        assert plain(read(path, silent)) == plain(events)


ports = st.integers(0, 65_535)
hosts = st.binary(min_size=4, max_size=4).map(lambda raw: inet_ntop(AF_INET, raw)) | st.binary(
    min_size=16, max_size=16
).map(lambda raw: inet_ntop(AF_INET6, raw))
# Few addresses, so that flows meet on the same path; the mapped one is a real address of a dual-stack socket.
few = st.sampled_from(["127.0.0.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1"])
addresses = st.builds(Address, few | hosts, st.sampled_from([25, 110, 5_000]) | ports)
data = st.binary(min_size=1, max_size=40) | st.sampled_from([b"x" * LARGEST, b"y" * (LARGEST + 1), b"z" * 200_001])


@st.composite
def stories(draw: st.DrawFn) -> list[Event]:
    """Random flows, interleaved at random."""
    events: list[Event] = []
    time = START
    active: dict[int, set[str]] = {}
    number = 0
    for _ in range(draw(st.integers(1, 30))):
        time += draw(st.integers(0, 10**6))
        deed = draw(st.sampled_from(["open", "segment", "segment", "segment", "end", "reset", "forget"]))
        if deed == "open" or not active:
            number += 1
            protocol = draw(st.sampled_from(["", "pop3", "smtp", "lmtp", "imap", "xmpp"]))
            client, server = draw(addresses), draw(addresses)
            events.append(Opened(Flow(number, client, server, time, protocol)))
            active[number] = {C2S, S2C}
            continue
        flow = draw(st.sampled_from(sorted(active)))
        direction = draw(st.sampled_from(sorted(active[flow])))
        way = C2S if direction == C2S else S2C
        if deed == "segment":
            events.append(Segment(flow, way, time, draw(data)))
        elif deed == "end":
            events.append(Ended(flow, way, time))
            active[flow].discard(direction)
            if not active[flow]:
                del active[flow]
        elif deed == "reset":
            events.append(Reset(flow, way, time))
            del active[flow]
    return events


@given(stories())
@settings(deadline=None)
def test_any_story(events: list[Event]) -> None:
    """Flows, addresses, octets, times and order come back exactly."""
    round_trip(events)


def test_a_long_segment_is_cut_and_kept() -> None:
    """A segment of several packets comes back as several segments of its time."""
    round_trip([Opened(POP), Segment(1, S2C, START + 1, bytes(range(256)) * 40_000), Ended(1, S2C, START + 2)])


def test_sequence_numbers_wrap() -> None:
    """A conversation that passes 2^32 in both directions goes on."""
    probe = Conversation(Flow(1, POP.client, POP.server, 0), set())
    base = (-probe.client.seq - 5) % 2**32
    flow = Flow(1, POP.client, POP.server, base, "pop3")
    assert Conversation(flow, set()).client.seq > 2**32 - 10
    events: list[Event] = [Opened(flow)]
    for at in range(10):
        events += [Segment(1, C2S, base + at, b"abc" * 3), Segment(1, S2C, base + at, b"de" * 999)]
    round_trip([*events, Ended(1, C2S, base + 99), Ended(1, S2C, base + 99)])


def test_the_same_path_twice() -> None:
    """Two flows that a capture could not tell apart by their ports are kept apart."""
    flows = [Flow(n, POP.client, Address("0.0.0.0", 24_110), START, "pop3") for n in (1, 2, 3, 4)]
    events: list[Event] = [Opened(flow) for flow in flows]
    events += [Segment(flow.number, C2S, START + 1, b"NOOP\r\n") for flow in flows]
    round_trip(events)


def test_addresses_that_packets_cannot_hold() -> None:
    """A name, a zone or nothing in place of an address is no obstacle."""
    with tempfile.TemporaryDirectory() as folder:
        for number, host in enumerate(["pop.example", "", "fe80::1%eth0", "/run/lmtp.sock", "\ud800", "a\0b"]):
            path = os.path.join(folder, f"{number}.pcapng")
            flow = Flow(1, Address(host, 99_999), Address(host, 110), START, "pop3")
            record(path, [Opened(flow), Segment(1, C2S, START, b"x")])
            assert len(list(read(path, silent))) == 2


def test_segments_of_other_types() -> None:
    """Octets may come as any bytes-like, or as a list of them."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "types.pcapng")
        writer = CaptureWriter(path, alarm=silent)
        writer.open(POP)
        kinds: tuple[Any, ...] = (bytearray(b"abc"), memoryview(b"abc"), [b"a", memoryview(b"bc")], [], b"")
        for octets in kinds:
            writer.segment(POP, C2S, octets, START)
        writer.close()
        assert [event.data for event in read(path) if isinstance(event, Segment)] == [b"abc"] * 3


def test_a_flow_that_was_never_opened() -> None:
    """Octets of an unknown flow are not lost: the flow is opened with them."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "late.pcapng")
        writer = CaptureWriter(path, alarm=silent)
        writer.end(POP, C2S, START)
        writer.reset(POP, C2S, START)
        writer.segment(POP, S2C, b"+OK\r\n", START + 5)
        writer.close()
        assert plain(read(path))[1:] == [Segment(1, S2C, START + 5, b"+OK\r\n")]


def test_read_all_goes_on_counting() -> None:
    """Flow numbers go on from file to file."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, f"{n}.pcapng") for n in range(3)]
        for path in paths:
            record(path, [Opened(POP), Segment(1, C2S, START, b"x")])
        assert [event.flow.number for event in read_all(paths) if isinstance(event, Opened)] == [1, 2, 3]
