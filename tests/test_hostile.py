"""Every kind of hostile input, in steps: twice the octets take twice the calls, and are searched and copied no oftener.

The long form, which counts seconds and makes units of up to eight symbols, is `benchmarks/hostile.py`.
"""

from __future__ import annotations

import cProfile
import random
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from tally import Tally

import inspector.framing

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from hostile import GROWTH, units
from kinds import KINDS, Input
from nowhere import Reading, forget_nothing

PURE = str(inspector.framing.__file__).endswith(".py")
pytestmark = pytest.mark.skipif(not PURE, reason="steps of a compiled reader are not seen")

EVERY = units(0, 1)
CALLS = {"octet": 8, "segment": 200, "pdu": 350, "finding": 250}
"""Calls that each may take: of functions of Python and of its own."""
TOUCHES = {"octet": 40, "segment": 300, "pdu": 600, "finding": 600}
"""Octets that may be searched or copied for each."""
SLACK = 600
"""Calls that do not count in a growth: what is done once, and what is done until a bound is reached."""
WINDOW: Final = 1_024
"""Octets that may be gone through again with each segment, at the beginning of a flow, and with each PDU."""


class Steps(NamedTuple):
    """What one input takes."""

    calls: int
    touched: int
    octets: int
    segments: int
    pdus: int
    findings: int

    def less(self, other: Steps) -> Steps:
        """What it takes more than another."""
        return Steps(*(one - two for one, two in zip(self, other, strict=True)))


@pytest.fixture(scope="module")
def reading() -> Any:
    forget_nothing()
    return Reading()


def steps(reading: Any, given: Input, segment: int) -> Steps:
    """Counts calls and octets."""
    Tally.octets = 0
    profile = cProfile.Profile()
    profile.enable()
    told = reading.read(given, segment, Tally)
    profile.disable()
    return Steps(sum(entry.callcount for entry in profile.getstats()), Tally.octets, len(given.octets), told.segments, told.pdus,
                 told.findings)


def check(reading: Any, kind: str, unit: bytes, size: int, segment: int) -> None:
    none, once, twice = (steps(reading, KINDS[kind](unit, octets), segment) for octets in (1, size, 2 * size))
    first, second = once.less(none), twice.less(none)
    told = f"{kind}, {unit!r} in {segment}: {first}, {second}"
    window = min(second.segments, WINDOW) + second.pdus
    growth = GROWTH / 2 * second.octets / max(first.octets, 1)
    assert second.calls <= growth * first.calls + SLACK, told
    assert second.touched <= growth * first.touched + WINDOW * window, told
    for count, may, more in ((second.calls, CALLS, SLACK), (second.touched, TOUCHES, WINDOW * window)):
        assert count <= (may["octet"] * second.octets + may["segment"] * second.segments + may["pdu"] * max(second.pdus, 0)
                         + may["finding"] * second.findings + 20 * SLACK + more), told


@pytest.mark.parametrize("kind", KINDS)
def test_twice_the_octets_take_twice_the_steps(reading: Any, kind: str) -> None:
    """Short lines, in one segment and octet by octet."""
    chance = random.Random(kind)
    for unit in (b"\n", *chance.sample(EVERY, 2)):
        check(reading, kind, unit, 512, 60_000)
    check(reading, kind, chance.choice(EVERY), 256, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_whole_is_not_read_again(reading: Any, kind: str) -> None:
    """Long lines in many segments."""
    check(reading, kind, random.Random(kind).choice((b"a", b"=", b"\r", b"\0", b"-", b'"', b" ")), 16_384, 64)
