"""`--enforce-relay` cannot be got round: generated clients, against a server that is lenient in many ways at once.

The long form, with figures, is `python tests/enforcement.py`.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest
from enforcement import Dialogue, attacked, count, pipeline
from hostile_clients import BAD, GOOD, hostile, ordinary
from lenient import ENDS, STRICT, Server, Style, styles

MANY = 1_500
"""Dialogues, in two seconds and a half or so."""


def test_no_forbidden_recipient_arrives() -> None:
    """Whatever the client tries, and however the server reads."""
    pipe, told = pipeline(), Counter[str]()
    for seed in range(MANY):
        dialogue = attacked(pipe, seed)
        assert count(told, dialogue), f"seed {seed}: {dialogue.server.arrived}"
    assert told["recipients"] > MANY / 2
    assert told["letters"] > MANY / 4


@pytest.mark.parametrize("style", [STRICT, Style(smtputf8=True, dsn=True, auth="fail", starttls="454"),
                                   Style(lf=False, blank=True)])
def test_ordinary_dialogues_are_as_without_mailspy(style: Style) -> None:
    """What the server gets and what the client gets."""
    pipe = pipeline()
    for seed in range(MANY // 10):
        chance = random.Random(seed)
        writes, letters = ordinary(chance)
        alone = Server(style)
        said = alone.greeting() + b"".join(map(alone.feed, writes))
        dialogue = Dialogue(pipe, style, chance).play(writes, True)
        assert dialogue.server.queued == alone.queued == letters, seed
        assert dialogue.server.arrived == alone.arrived
        assert dialogue.pair.server.sent == b"".join(writes)
        assert dialogue.pair.client.sent == said


def test_the_search_finds_what_there_is_to_find() -> None:
    """Without mailspy forbidden recipients arrive in most dialogues: by each of the tricks."""
    arrived = 0
    for seed in range(MANY):
        chance = random.Random(seed)
        server = Server(styles(chance))
        for data in hostile(chance):
            server.feed(data)
        arrived += any(b"@victim" in one for one in server.arrived)
    assert arrived > MANY / 2


@pytest.mark.parametrize("end", ENDS)
def test_the_scripted_server_sees_each_end(end: bytes) -> None:
    """It is as lenient as it says."""
    server = Server(Style(ends=(end,)))
    server.feed(b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<" + GOOD + b">\r\nDATA\r\nx" + end)
    server.feed(b"MAIL FROM:<>\r\nRCPT TO:<" + BAD + b">\r\n")
    assert server.arrived == [GOOD, BAD]
