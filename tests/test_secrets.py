"""Nothing that a client says by mistake shows anywhere: secrets planted in hundreds of ways, looked for in all that leaves."""

from __future__ import annotations

import os
import random

import pytest
from dialogue import Witness, pieces
from planting import Plant, found_in, plants

from inspector.limits import Limits
from inspector.pdu import C2S, S2C, Address, Flow
from inspector.pipeline import Pipeline

PLANTS = plants()
LIMITS = Limits(held=300)
SHARES = {"whole": 0.15, "octets": 0.1, "random": float(os.environ.get("MAILSPY_PLANTS", "0.4"))}
"""Of all plants, how many are played so; by hand all of them: MAILSPY_PLANTS=1."""


def run(plant_steps, protocol: str, cut: str, seed: int) -> tuple[Witness, list, list[str]]:
    """Plays a dialogue as the live proxy does: what is told, what is saved, and the comments in the capture."""
    witness = Witness()
    inspector = Pipeline(witness, limits=LIMITS).open(Flow(1, Address("127.0.0.1", 1), Address("127.0.0.1", 2), 1, protocol))
    inspector.collect()
    chance, saved, comments = random.Random(seed), [], []
    for direction, data in plant_steps:
        for piece in pieces(data, cut, chance):
            inspector.feed(direction is C2S, piece, 2)
            saved.append((direction, inspector.masked(piece) if direction is C2S else inspector.heard(piece)))
            comments += inspector.comments()
    inspector.end(C2S, 3)
    inspector.end(S2C, 3)
    return witness, saved, comments


def told(witness: Witness) -> list[tuple]:
    """What was told, without the octets, which a mask may change."""
    return [entry[:11] + entry[12:] if entry[0] == "pdu" else entry for entry in witness.told]


def streams(saved) -> list[bytes]:
    """The octets of both directions."""
    return [b"".join(data for way, data in saved if way is direction) for direction in (C2S, S2C)]


def shows_no_more(one: bytes, other: bytes) -> bool:
    """Whether what is saved again is what was saved, but for what is masked now."""
    return len(one) == len(other) and all(first == last or first in b"*x" for first, last in zip(one, other, strict=True))


@pytest.mark.parametrize("cut", ["whole", "octets", "random"])
def test_no_planted_secret_shows_and_a_masked_capture_tells_the_same(cut: str) -> None:
    """On screens, in comments, in captures; whatever the cutting."""
    shown, differing, chosen = [], [], random.Random(cut)
    for number, plant in enumerate(PLANTS):
        if chosen.random() > SHARES[cut]:
            continue
        witness, saved, comments = run(plant.steps, plant.protocol, cut, number)
        assert [len(one) for one in streams(saved)] == [len(one) for one in streams(plant.steps)]
        texts = "\n".join([*map(str, told(witness)), *comments]).encode()
        if any(found_in(output, plant.secret) for output in (*streams(saved), texts)):
            shown.append(plant.name)
        again, twice, _ = run(saved, plant.protocol, "whole", 0)
        if told(again) != told(witness) or not all(map(shows_no_more, streams(twice), streams(saved))):
            differing.append(plant.name)
    assert not shown, (len(shown), shown[:10])
    assert not differing, (len(differing), differing[:10])


def test_the_finder_finds_what_is_not_masked() -> None:
    """Every secret is there to be found."""
    assert len(PLANTS) >= 120
    assert len({plant.secret for plant in PLANTS}) == len(PLANTS)
    for plant in PLANTS:
        assert found_in(streams(plant.steps)[0], plant.secret), plant.name


@pytest.mark.parametrize("plant", PLANTS[::97], ids=lambda plant: plant.name)
def test_whatever_the_cutting(plant: Plant) -> None:
    """Many cuttings of some."""
    whole = told(run(plant.steps, plant.protocol, "whole", 0)[0])
    for seed in range(15):
        witness, saved, comments = run(plant.steps, plant.protocol, "random", seed)
        assert told(witness) == whole
        assert not any(found_in(one, plant.secret) for one in (*streams(saved), "\n".join(comments).encode()))
