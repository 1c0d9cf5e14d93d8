"""Where a content ends, by a definition that is slow and plain; and that the search for it costs the same whatever the octets."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tally import Tally

from inspector.framing import JOINED, DotContent

ALPHABET = (b"\r", b"\n", b".", b"x")
UNITS = [b"".join(symbols) for size in (1, 2, 3) for symbols in product(ALPHABET, repeat=size)]
STREAMS = st.lists(st.sampled_from([*ALPHABET, b"\r\n", b"\r\n.", b"\n.", b"\r."]), max_size=60).map(b"".join)


def defined(stream: bytes, lenient: bool) -> tuple[int, bytes, bool]:
    """Where the content ends (-1: not yet), what it is without its stuffing, whether a dot is ambiguous."""
    text, content, begin, ambiguous = b"\r\n" + stream, b"", 2, False
    for dot in range(2, len(text)):
        before, after = text[dot - 2:dot], text[dot + 1:dot + 3]
        if text[dot] != 46 or before[1] not in b"\r\n":
            continue
        if after in (b"", b"\r"):
            break
        if (before == after == b"\r\n") or (lenient and before[1] == after[0] == 10):
            return dot + (0 if after[0] == 10 else 1), content + text[begin:dot], ambiguous
        ambiguous = ambiguous or (after[0] in b"\r\n" and after != b"\r\r")
        if before == b"\r\n":
            content, begin = content + text[begin:dot], dot + 1
    return -1, content + text[begin:], ambiguous


def read(stream: bytes, cuts: list[int], lenient: bool) -> tuple[int, bytes, bool]:
    """The same by the real one, in segments."""
    reader, pieces, at = DotContent(lenient), [], 0
    for stop in [*cuts, len(stream)]:
        end = reader.feed(stream[at:stop], 0, pieces)
        if end >= 0:
            return at + end, b"".join(pieces), reader.ambiguous
        assert 0 <= reader.waiting <= 4
        at = stop
    return -1, b"".join(pieces) + reader.rest(), reader.ambiguous


@given(STREAMS, st.booleans(), st.data())
def test_a_content_ends_where_it_is_defined_to(stream: bytes, lenient: bool, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    assert read(stream, cuts, lenient) == defined(stream, lenient)


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("before", [b"", b"." * 40, b"x" * (JOINED - 1), b"x." * JOINED])
def test_the_same_after_many_dots_and_many_octets(before: bytes, lenient: bool) -> None:
    """Where another search takes over."""
    for unit in UNITS:
        stream = before + unit * 9 + b"\n.x\r\n.y\r\n.\r\nNOOP"
        wanted = defined(stream, lenient)
        assert read(stream, [], lenient) == wanted, unit
        assert read(stream, [len(before) + 5], lenient) == wanted, unit
        assert read(stream, list(range(max(len(before) - 3, 0), len(stream))), lenient) == wanted, unit


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("segment", [1, 7, 1_400, 60_000])
def test_no_octets_are_searched_or_copied_often(segment: int, lenient: bool) -> None:
    """A body of `\\r.` was once searched to its end at each dot: 48 seconds a MiB."""
    for unit in UNITS:
        stream = unit * (min(4_096, 1_024 * segment) // len(unit))
        reader, Tally.octets, held = DotContent(lenient), 0, 0
        for at in range(0, len(stream), segment):
            piece = Tally(stream[at:at + segment])
            held += reader.waiting
            if reader.feed(piece, 0, []) >= 0:
                break
        assert Tally.octets <= 20 * len(stream) + held, unit


def test_short_contents_in_one_segment_do_not_copy_what_follows() -> None:
    """Thousands of listings in a segment of a server: each once copied all that came after it."""
    octets = []
    for count in (2_000, 4_000):
        stream, at, Tally.octets = Tally(b"x\r\n.\r\n" * count), 0, 0
        while at < len(stream):
            at = DotContent().feed(stream, at, [])
        octets.append(Tally.octets)
    assert octets[1] <= 2.1 * octets[0]
