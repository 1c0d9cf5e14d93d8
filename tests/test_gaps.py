"""What is not in a capture: framing goes on at the next certain place, nothing is joined in silence."""

from __future__ import annotations

import random

import pytest
from dialogue import POP3, SMTP, Witness

from inspector.pdu import C2S, S2C, Address, Direction, Flow
from inspector.pipeline import Pipeline
from inspector.segment import Event, Gap, Opened, Segment

Step = tuple[Direction, bytes | int]
"""Octets, or how many are missing."""


def play(protocol: str, steps: list[Step], dice: random.Random | None = None) -> Witness:
    witness = Witness()
    pipeline = Pipeline(witness)
    pipeline.take(Opened(Flow(1, Address("192.0.2.1", 40000), Address("192.0.2.2", 25), 0, protocol)))
    for time, (direction, what) in enumerate(steps, start=1):
        for event in cut(direction, what, time, dice):
            pipeline.take(event)
    pipeline.finish()
    return witness


def cut(direction: Direction, what: bytes | int, time: int, dice: random.Random | None) -> list[Event]:
    if isinstance(what, int):
        return [Gap(1, direction, time, what)]
    size = dice.choice((1, 3, 9)) if dice else len(what)
    return [Segment(1, direction, time, what[at:at + size]) for at in range(0, len(what), size)]


def told(witness: Witness) -> list[str]:
    return [f"{pdu.direction} {pdu.kind} {pdu.verb} {pdu.status}".rstrip() for pdu in witness.pdus]


def names(witness: Witness) -> list[str]:
    return [name for name, _ in witness.anomalies]


HEL = b"Subject: x\r\n\r\nhel"
"""The beginning of a message."""
BYE: Step = (S2C, b"221 bye\r\n")
GREETED: list[Step] = [(S2C, b"220 mx\r\n"), (C2S, b"EHLO c\r\n"), (S2C, b"250 mx\r\n")]
OK: Step = (S2C, b"250 ok\r\n")
TO_DATA: list[Step] = [*GREETED, (C2S, b"MAIL FROM:<a@b>\r\n"), OK, (C2S, b"RCPT TO:<c@d>\r\n"), OK, (C2S, b"DATA\r\n"),
                       (S2C, b"354 go\r\n")]
LOGGED_IN: list[Step] = [(S2C, b"+OK\r\n"), (C2S, b"APOP a b\r\n"), (S2C, b"+OK\r\n")]

STORIES: dict[str, tuple[str, list[Step], list[str], list[bytes]]] = {
    "a whole command": (SMTP, [*GREETED, (C2S, 6), OK, (C2S, b"QUIT\r\n"), BYE],
                        ["S->C reply  250", "C->S command QUIT", "S->C reply QUIT 221"], []),
    "half a command": (SMTP, [*GREETED, (C2S, b"MAIL F"), (C2S, 7), (C2S, b"@b>\r\nQUIT\r\n"), (S2C, b"250 ok\r\n221 bye\r\n")],
                       ["C->S command", "C->S opaque", "C->S command QUIT", "S->C reply QUIT 250", "S->C reply  221"], []),
    "a whole reply": (SMTP, [*GREETED, (C2S, b"NOOP\r\n"), (S2C, 8), (C2S, b"QUIT\r\n"), BYE],
                      ["C->S command NOOP", "C->S command QUIT", "S->C reply QUIT 221"], []),
    "the end of a reply of several lines": (
        SMTP, [(S2C, b"220 mx\r\n"), (C2S, b"EHLO c\r\n"), (S2C, b"250-mx\r\n250-"), (S2C, 20), (S2C, b"ELP\r\n"),
               (C2S, b"QUIT\r\n"), BYE],
        ["S->C reply  250", "S->C opaque", "C->S command QUIT", "S->C reply QUIT 221"], []),
    "the middle of a message": (
        SMTP, [*TO_DATA, (C2S, HEL), (C2S, 99), (C2S, b"ld\r\n.\r\nQUIT\r\n"), (S2C, b"250 ok\r\n221 bye\r\n")],
        ["C->S body DATA", "C->S command QUIT", "S->C reply DATA 250", "S->C reply QUIT 221"], [b"Subject: x\r\n\r\nhelld\r\n"]),
    "the end of a message": (
        SMTP, [*TO_DATA, (C2S, HEL), (C2S, 9), OK, (C2S, b"QUIT\r\n"), BYE],
        ["C->S body DATA", "S->C reply DATA 250", "C->S command QUIT", "S->C reply QUIT 221"], [HEL]),
    "up to the dot": (SMTP, [*TO_DATA, (C2S, HEL), (C2S, 9), (C2S, b".\r\n"), OK],
                      ["C->S body DATA", "S->C reply DATA 250"], [HEL]),
    "the 354": (SMTP, [*TO_DATA[:-1], (S2C, 8), (C2S, b"Subject: x\r\n\r\nhello\r\n.\r\n"), OK],
                ["C->S body DATA", "S->C reply DATA 250"], [b"Subject: x\r\n\r\nhello\r\n"]),
    "within a chunk": (SMTP, [*GREETED, (C2S, b"BDAT 10 LAST\r\nhel"), (C2S, 4), (C2S, b"rldNOOP\r\n"), OK, OK],
                       ["C->S body BDAT", "C->S command NOOP", "S->C reply BDAT 250", "S->C reply NOOP 250"], [b"helrld"]),
    "more than a chunk": (SMTP, [*GREETED, (C2S, b"BDAT 10 LAST\r\nhel"), (C2S, 9), (C2S, b"P\r\nNOOP\r\n"),
                                 (S2C, b"250 ok\r\n250 ok\r\n")],
                          ["C->S body BDAT", "C->S opaque", "C->S command NOOP", "S->C reply BDAT 250", "S->C reply NOOP 250"],
                          [b"hel"]),
    "a retrieval": (POP3, [*LOGGED_IN, (C2S, b"RETR 1\r\n"), (S2C, b"+OK\r\n" + HEL), (S2C, 50), (S2C, b"d\r\n.\r\n"),
                           (C2S, b"QUIT\r\n"), (S2C, b"+OK\r\n")],
                    ["S->C reply RETR +OK", "S->C body RETR", "C->S command QUIT", "S->C reply QUIT +OK"],
                    [b"Subject: x\r\n\r\nheld\r\n"]),
    "the end of a retrieval": (POP3, [*LOGGED_IN, (C2S, b"RETR 1\r\n"), (S2C, b"+OK\r\n" + HEL), (S2C, 50),
                                      (C2S, b"QUIT\r\n"), (S2C, b"+OK\r\n")],
                               ["S->C reply RETR +OK", "S->C body RETR", "C->S command QUIT", "S->C reply QUIT +OK"],
                               [HEL]),
    "the beginning of a retrieval": (POP3, [*LOGGED_IN, (C2S, b"RETR 1\r\n"), (S2C, 30), (S2C, b"hello\r\nworld\r\n.\r\n"),
                                            (C2S, b"QUIT\r\n"), (S2C, b"+OK\r\n")],
                                     ["C->S command RETR", "S->C opaque", "C->S command QUIT", "S->C reply QUIT +OK"], []),
}


@pytest.mark.parametrize("story", STORIES)
def test_reading_goes_on_behind_a_gap(story: str) -> None:
    """The last PDUs, the messages, and the anomaly; whole and cut."""
    protocol, steps, wanted, messages = STORIES[story]
    for seed in range(4):
        witness = play(protocol, steps, random.Random(seed) if seed else None)
        found = told(witness)
        if seed:
            found = [line for number, line in enumerate(found) if not (line.endswith("opaque") and found[number - 1] == line)]
        assert found[-len(wanted):] == wanted
        assert names(witness).count("tcp_gap") == 1
        assert "parser_fault" not in names(witness)
        complete = story == "the 354"
        assert witness.messages == [(octets, complete) for octets in messages]


def test_gaps_anywhere_are_no_fault() -> None:
    """Whatever is missing, wherever."""
    for seed in range(600):
        dice = random.Random(seed)
        steps: list[Step] = []
        protocol, story, _, _ = dice.choice(list(STORIES.values()))
        for direction, what in story:
            if dice.random() < 0.3:
                steps.append((dice.choice((C2S, S2C)), dice.randint(1, 100)))
            steps.append((direction, what))
        witness = play(protocol, steps, dice)
        assert "parser_fault" not in names(witness)
