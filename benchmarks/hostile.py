"""Looks for octets that cost too much, or more than twice as much when there are twice as many: `python benchmarks/hostile.py`.

A search, not a list: every kind of input (`kinds.py`) is made of every unit of up to three symbols of a small alphabet, and of
a thousand random ones of four to eight, repeated to 64 and to 128 KiB, in segments of 1, 1,400 and 60,000 octets.  All that takes
a day; so each kind is screened at a small size first, and only the worst of it is measured at full (`--full` measures all).

Cost is CPU time a MiB, less an allowance for segments and PDUs; growth is the time for twice the octets over the time for them.
The exit code is 1 where either is over its bound.  What is measured is the mailspy of the Python that runs this: a compiled one,
for the bound.

Knows kinds and a reading.  Must not know how anything is read.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import multiprocessing
import random
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from kinds import KINDS, SYMBOLS, Input
from nowhere import Reading, Told, attachments, forget_nothing

MEBIBYTE: Final = 1 << 20
COST: Final = 0.5
"""Seconds a MiB."""
A_SEGMENT: Final = 2e-6
A_PDU: Final = 5e-6
"""Seconds that each may take besides."""
GROWTH: Final = 2.3
SIZES: Final = (65_536, 131_072)
SEGMENTS: Final = (1, 1_400, 60_000)
RANDOM: Final = 1_000
CERTAIN: Final = 0.002
"""Seconds below which a growth says nothing."""


class Measure(NamedTuple):
    """What one unit costs in one kind of input."""

    cost: float
    growth: float
    kind: str
    unit: bytes
    segment: int

    @property
    def over(self) -> bool:
        """Whether it is over a bound."""
        return self.cost > COST or self.growth > GROWTH

    def line(self) -> str:
        """For people."""
        marks = f"{'  COST' if self.cost > COST else ''}{'  GROWTH' if self.growth > GROWTH else ''}"
        return f"{self.cost:8.3f} s/MiB  {self.growth:5.2f}  in {self.segment:>6,}  {self.kind:<36} {self.unit!r}{marks}"


def units(some: int, seed: int) -> list[bytes]:
    """All units that are searched, or so many of them, the shortest always among them."""
    chance = random.Random(seed)
    short = [b"".join(symbols) for size in (1, 2) for symbols in itertools.product(SYMBOLS, repeat=size)]
    longer = [b"".join(symbols) for symbols in itertools.product(SYMBOLS, repeat=3)]
    longer += [b"".join(chance.choices(SYMBOLS, k=chance.randint(4, 8))) for _ in range(RANDOM)]
    if not some:
        return short + longer
    return short[:some] + chance.sample(longer, min(len(longer), max(some - len(short), 0)))


def seconds(reading: Reading, given: Input, segment: int, rounds: int) -> tuple[float, Told]:
    """The least CPU time of so many rounds."""
    least, told = 0.0, Told(0, 0, 0, 0)
    for number in range(rounds):
        gc.collect(0)
        begun = time.process_time()
        told = reading.read(given, segment)
        spent = time.process_time() - begun
        least = min(least, spent) if number else spent
    return least, told


def measure(reading: Reading, kind: str, unit: bytes, sizes: tuple[int, int], segment: int, rounds: int = 1) -> Measure:
    """One unit in one kind of input, in segments of one size."""
    small, large = (KINDS[kind](unit, size) for size in sizes)
    first, _ = seconds(reading, small, segment, rounds)
    second, told = seconds(reading, large, segment, rounds)
    allowed = told.segments * A_SEGMENT + told.pdus * A_PDU
    cost = max(second - allowed, 0.0) * MEBIBYTE / max(len(large.octets), 1)
    return Measure(cost, second / first if first > CERTAIN else 0.0, kind, unit, segment)


def searched(kind: str, asked: argparse.Namespace) -> list[Measure]:
    """The worst of one kind, measured at full size."""
    with attachments(asked.attachments) as folder:
        reading = Reading(folder, asked.capture)
        forget_nothing()
        every = units(asked.units, asked.seed)
        pairs = list(itertools.product(every, asked.segments))
        if not asked.full:
            sizes = (asked.screen, 2 * asked.screen)
            screened = [measure(reading, kind, unit, sizes, segment) for unit, segment in pairs]
            pairs = [(one.unit, one.segment) for one in _worst(screened, asked.keep)]
        return [measure(reading, kind, unit, asked.sizes, segment, asked.rounds) for unit, segment in pairs]


def _worst(measured: Iterable[Measure], count: int) -> list[Measure]:
    """The worst by cost and the worst by growth, each once."""
    every = list(measured)
    by_cost = sorted(every, reverse=True)[:count]
    by_growth = sorted(every, key=lambda one: one.growth, reverse=True)[:count]
    return list(dict.fromkeys([*by_cost, *by_growth]))


def _all(kinds: list[str], asked: argparse.Namespace) -> Iterator[list[Measure]]:
    if asked.jobs == 1:
        yield from (searched(kind, asked) for kind in kinds)
        return
    with multiprocessing.Pool(asked.jobs) as pool:
        yield from pool.imap_unordered(_searched, [(kind, asked) for kind in kinds])


def _searched(given: tuple[str, argparse.Namespace]) -> list[Measure]:
    return searched(*given)


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", default="", metavar="WORDS",
                        help="kinds whose name has one of these words, with commas between")
    parser.add_argument("--units", type=int, default=200, metavar="N", help="so many units of each kind; 0 for all (default 200)")
    parser.add_argument("--segments", default=",".join(map(str, SEGMENTS)), metavar="N,…", help="sizes of segments")
    parser.add_argument("--screen", type=int, default=4_096, metavar="OCTETS",
                        help="the size that units are screened at, and twice that")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), metavar="N,2N", help="what is measured at full size")
    parser.add_argument("--keep", type=int, default=4, metavar="N", help="of each kind, the worst by cost and by growth that are "
                        "measured at full size")
    parser.add_argument("--full", action="store_true", help="measure all at full size: a day")
    parser.add_argument("--rounds", type=int, default=3, help="the least of so many counts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--worst", type=int, default=10, metavar="N", help="how many are printed")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes, a kind each")
    parser.add_argument("--capture", action="store_true", help="also write a capture, masked, to nowhere")
    parser.add_argument("--attachments", action="store_true", help="also save attachments")
    asked = parser.parse_args()
    asked.segments = [int(size) for size in asked.segments.split(",")]
    asked.sizes = tuple(int(size) for size in asked.sizes.split(","))
    return asked


def main() -> int:
    """Prints the worst by cost and by growth; the exit code is 1 if one is over a bound."""
    asked = arguments()
    words = asked.kinds.split(",")
    kinds = [kind for kind in KINDS if any(word in kind for word in words)]
    if not kinds:
        print(f"no kind has {asked.kinds} in its name; there are: {'; '.join(KINDS)}", file=sys.stderr)
        return 2
    measured: list[Measure] = []
    for number, found in enumerate(_all(kinds, asked), 1):
        measured += found
        print(f"\r{number}/{len(kinds)} kinds ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(f"the worst by cost (bound {COST} s a MiB, besides {A_SEGMENT * 1e6:.0f} µs a segment and {A_PDU * 1e6:.0f} µs a PDU):")
    for one in sorted(measured, reverse=True)[:asked.worst]:
        print(one.line())
    print(f"the worst by growth from {asked.sizes[0]:,} to {asked.sizes[1]:,} octets (bound {GROWTH}):")
    for one in sorted(measured, key=lambda one: one.growth, reverse=True)[:asked.worst]:
        print(one.line())
    return 1 if any(one.over for one in measured) else 0


if __name__ == "__main__":
    sys.exit(main())
