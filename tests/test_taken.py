"""A content that the server answers as taken was taken: it ended where the server says (RFC 5321 §4.1.1.4, CVE-2023-51764)."""

from __future__ import annotations

import random
import re

import pytest
from dialogue import SMTP, Step, Witness, check_tiles, everyway, play
from links import Pair
from test_replaced import Judging

from inspector import Replace
from inspector.limits import Limits
from inspector.pdu import C2S, S2C, Kind
from inspector.pipeline import Pipeline
from inspector.protocols.smtp.caution import DOUBTFUL_END

TO_DATA: list[Step] = [(S2C, b"220 mx\r\n"), (C2S, b"EHLO c\r\n"), (S2C, b"250 mx\r\n"),
                       (C2S, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"), (S2C, b"250 ok\r\n250 ok\r\n354 go\r\n")]
KINDS = [before + b"." + after for before in (b"\r\n", b"\n", b"\r") for after in (b"\r\n", b"\n", b"\r")
         if before + after != b"\r\n\r\n"]
"""Every end that some server somewhere takes for one, and the standard does not."""
LETTER = b"Subject: hi\n\nHello"


def names(witness: Witness) -> list[str]:
    return [name for name, _ in witness.anomalies]


def verbs(witness: Witness) -> list[str]:
    """What crossed after the content, from the content on."""
    shown = [f"{pdu.kind} {pdu.verb} {pdu.status}".strip() for pdu in witness.pdus]
    return shown[shown.index("body DATA"):]


def before(kind: bytes) -> bytes:
    return kind[:kind.index(b".")]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.endswith(b".\r")])
@pytest.mark.parametrize("waits", [True, False], ids=["waiting", "at once"])
def test_the_server_decides_where_the_content_ends(kind: bytes, waits: bool) -> None:
    """250 and 221: a whole message, told as ambiguous; what follows are commands, at their own times."""
    steps = [*TO_DATA, (C2S, LETTER + kind), *([(S2C, b"250 taken\r\n")] if waits else []), (C2S, b"QUIT\r\n"),
             *([] if waits else [(S2C, b"250 taken\r\n")]), (S2C, b"221 bye\r\n")]
    witness = everyway(SMTP, steps)
    assert witness.messages == [(LETTER + before(kind), True)]
    assert sorted(verbs(witness)) == sorted(["body DATA", "reply DATA 250", "command QUIT", "reply QUIT 221"])
    assert "ambiguous_end_of_data" in names(witness)
    assert not {"reply_without_command", "truncated", "reply_misplaced"} & set(names(witness))
    sent = next(number for number, step in enumerate(steps) if step[1] == b"QUIT\r\n")
    assert next(pdu.time for pdu in witness.pdus if pdu.verb == "QUIT") == 1_001_000 + sent * 1000


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.endswith(b".\r")])
def test_a_dot_before_a_bare_cr(kind: bytes) -> None:
    """It is one when something else than LF follows."""
    witness = everyway(SMTP, [*TO_DATA, (C2S, LETTER + kind), (C2S, b"QUIT\r\n"), (S2C, b"250 taken\r\n221 bye\r\n")])
    assert witness.messages == [(LETTER + before(kind), True)]
    assert verbs(witness) == ["body DATA", "command QUIT", "reply DATA 250", "reply QUIT 221"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_that_goes_on_decides_too(kind: bytes) -> None:
    """Strict servers say nothing before the right end."""
    said = LETTER + kind + b"x\r\n.\r\n"
    witness = everyway(SMTP, [*TO_DATA, (C2S, said), (S2C, b"250 taken\r\n"), (C2S, b"QUIT\r\n"), (S2C, b"221 bye\r\n")])
    content = said.removesuffix(b".\r\n")
    if kind.startswith(b"\r\n"):
        content = content.replace(b"\r\n.", b"\r\n", 1)  # stuffing, then
    assert witness.messages == [(content, True)]
    assert verbs(witness) == ["body DATA", "reply DATA 250", "command QUIT", "reply QUIT 221"]


def test_a_second_mail_behind_the_dot() -> None:
    """What smuggling does, and the server's replies say that it has worked: two messages."""
    witness = everyway(SMTP, [*TO_DATA, (C2S, b"one\r\n\n.\nMAIL FROM:<x@y>\nRCPT TO:<z@y>\nDATA\ntwo\r\n.\r\n"),
                              (S2C, b"250 taken\r\n250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n"), (C2S, b"QUIT\r\n"),
                              (S2C, b"221 bye\r\n")])
    assert witness.messages[-1] == (b"one\r\n\n.\nMAIL FROM:<x@y>\nRCPT TO:<z@y>\nDATA\ntwo\r\n", True)
    witness = everyway(SMTP, [*TO_DATA, (C2S, b"one\r\n\n.\nMAIL FROM:<x@y>\nRCPT TO:<z@y>\nDATA\n"),
                              (S2C, b"250 taken\r\n250 ok\r\n250 ok\r\n354 go\r\n"), (C2S, b"two\n.\n"), (S2C, b"250 taken\r\n"),
                              (C2S, b"QUIT\n"), (S2C, b"221 bye\r\n")])
    assert witness.messages == [(b"one\r\n\n", True), (b"two\n", True)]
    assert [pdu.transaction for pdu in witness.pdus if pdu.kind is Kind.BODY] == [1, 2]
    assert not {"reply_without_command", "truncated"} & set(names(witness))


def test_of_several_dots_it_is_the_one_behind_which_commands_begin() -> None:
    """Or nothing; else the last."""
    for text, content in ((b"a\n.\nb\n.\n", b"a\n.\nb\n"), (b"a\n.\nb\n.\nNOOP\n", b"a\n.\nb\n"), (b"a\n.\nNOOP\nb\n.\n", b"a\n"),
                          (b"a\n.\nb\n.\nc\n", b"a\n.\nb\n")):
        witness = everyway(SMTP, [*TO_DATA, (C2S, text), (S2C, b"250 taken\r\n")])
        assert witness.messages == [(content, True)], text


@pytest.mark.parametrize(("said", "reply"), [
    (b"a\n.\n", b"421 too long\r\n"), (b"a\n.\nb\n", b"452 full\r\n"), (b"a\nb\n", b"250 ok\r\n"), (b"a\r\n.", b"250 ok\r\n"),
    (b"a\n.\n", b"354 go\r\n"), (b"a\r\r\n.\r\r\n", b"250 ok\r\n"),
])
def test_what_is_no_word_about_the_content(said: bytes, reply: bytes) -> None:
    """It goes on, and the reply is told to have no command."""
    witness = everyway(SMTP, [*TO_DATA, (C2S, said), (S2C, reply), (C2S, b"c\r\n.\r\n"), (S2C, b"250 ok\r\n")])
    assert witness.messages == [((said + b"c\r\n").replace(b"\r\n.", b"\r\n"), True)]


def test_a_refusal_is_a_word_too_where_nothing_else_follows() -> None:
    """554 to LF . LF: the message crossed, and was refused."""
    witness = everyway(SMTP, [*TO_DATA, (C2S, b"a\n.\n"), (S2C, b"554 no\r\n"), (C2S, b"QUIT\n"), (S2C, b"221 bye\r\n")])
    assert witness.messages == [(b"a\n", True)]
    assert verbs(witness) == ["body DATA", "reply DATA 554", "command QUIT", "reply QUIT 221"]


def test_no_more_is_kept_than_the_bound() -> None:
    """Past it, it was content; the next dot may be an end again."""
    limits = Limits(head=50)
    long = b"a\n.\n" + b"b" * 100 + b"\n"
    witness = everyway(SMTP, [*TO_DATA, (C2S, long), (S2C, b"250 ok\r\n"), (C2S, b"\r\n.\r\n"), (S2C, b"250 ok\r\n")], limits)
    assert witness.messages == [(long + b"\r\n", True)]
    assert "reply_without_command" in names(witness)
    witness = everyway(SMTP, [*TO_DATA, (C2S, long + b".\nQUIT\n"), (S2C, b"250 ok\r\n221 bye\r\n")], limits)
    assert witness.messages == [(long, True)]
    assert verbs(witness)[-1] == "reply QUIT 221"


@pytest.mark.parametrize("seed", range(150))
def test_any_content_in_any_cutting_is_the_same(seed: int) -> None:
    """Texts full of dots and odd ends, in several segments, with a word of the server's at any place."""
    chance = random.Random(seed)
    symbols = [b"\r\n", b"\n", b"\r", b".", b"a", b"\n.\n", b"\r\n.\n", b"NOOP\n", b"DATA\r\n", b"QUIT\r\n", b"x" * 30]
    steps = list(TO_DATA)
    for _ in range(chance.randint(1, 6)):
        text = b"".join(chance.choice(symbols) for _ in range(chance.randint(1, 15)))
        steps.append((C2S, text))
        if chance.random() < 0.4:
            steps.append((S2C, chance.choice([b"250 ok\r\n", b"554 no\r\n", b"354 go\r\n", b"421 bye\r\n"])))
    for limits in (Limits(), Limits(head=20)):
        whole = play(SMTP, steps, limits=limits)
        for cut, number in (("octets", 0), ("random", seed), ("random", seed + 1)):
            other = play(SMTP, steps, cut, limits, number)
            assert other.told == whole.told
            assert other.messages == whole.messages
        for direction in (C2S, S2C):
            check_tiles(whole, direction, b"".join(data for way, data in steps if way is direction))
        assert "parser_fault" not in names(whole)


def test_without_a_word_of_the_server_s_a_content_is_what_the_standard_says() -> None:
    """Whatever was kept in between."""
    chance = random.Random(5)
    for _ in range(200):
        text = b"".join(chance.choice([b"\r\n", b"\n", b"\r", b".", b"a", b"\n.\n", b"b" * 30]) for _ in range(30))
        ends = re.search(rb"\r\n\.\r\n", b"\r\n" + text + b"\r\n.\r\n")
        assert ends is not None
        body = (b"\r\n" + text + b"\r\n")[2:ends.start() + 2]
        for cut in ("whole", "octets", "random"):
            witness = play(SMTP, [*TO_DATA, (C2S, text + b"\r\n.\r\n")], cut, Limits(head=20), 3)
            assert witness.messages[0] == ((b"\r\n" + body).replace(b"\r\n.", b"\r\n")[2:], True)


@pytest.mark.parametrize("kind", KINDS)
def test_where_somebody_judges_no_content_ends_so(kind: bytes) -> None:
    """Nor is there a 250 that a judge could replace: the server never sees that dot."""
    pair = Pair(Pipeline(Judging({b"250 taken\r\n": Replace(b"554 no\r\n")})), SMTP, judged=True)
    for way, data in [*TO_DATA, (C2S, LETTER + kind + b"QUIT\r\n"), (S2C, b"250 taken\r\n")]:
        if not pair.client.fate:
            pair.c(data) if way is C2S else pair.s(data)
    assert pair.server.sent.endswith(b"DATA\r\n")
    assert pair.client.sent.endswith(b"354 go\r\n" + DOUBTFUL_END)
