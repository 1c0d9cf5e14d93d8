"""What leaves past a judge has one reading: lines that servers read differently, chunks, ends of contents, records of nobody."""

from __future__ import annotations

import random

import pytest
from dialogue import LMTP, POP3, SMTP, Step, check_tiles, everyway, pieces
from hypothesis import given, settings
from hypothesis import strategies as st
from links import Pair
from test_replaced import Judging, judged

from inspector import Answer, Close, Replace, Verdict
from inspector.doubt import Ends, Padded
from inspector.gate import FlowGate
from inspector.pdu import C2S, PDU, S2C, Address, Flow, Kind, Message
from inspector.pipeline import Pipeline
from inspector.posing import Posing
from inspector.protocols.smtp import caution
from inspector.readings import CONTROL, DISGUISED, EIGHT_BIT, TOO_LONG
from inspector.session import Session

CUTS = [("whole", 0), ("octets", 0), ("random", 1), ("random", 2)]
GREETING: Step = (S2C, b"220 mx\r\n")
HELLO: list[Step] = [GREETING, (C2S, b"EHLO c\r\n"), (S2C, b"250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n")]
PLAIN: list[Step] = [GREETING, (C2S, b"EHLO c\r\n"), (S2C, b"250 mx\r\n")]
ENVELOPE: list[Step] = [(C2S, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"), (S2C, b"250 ok\r\n250 ok\r\n")]


def crossed(steps: list[Step], verdicts: dict[bytes, Verdict] | None = None, protocol: str = SMTP) -> tuple[bytes, bytes]:
    """What reached the server and the client, the same in every cutting."""
    found = {judged(protocol, steps, verdicts or {}, cut, seed)[2:] for cut, seed in CUTS}
    assert len(found) == 1, found
    return found.pop()


# Lines

REFUSED: dict[bytes, str] = {
    b"NOOP\rRCPT TO:<x@y>\r\n": CONTROL,
    b"NOOP\r\0RCPT TO:<x@y>\r\n": CONTROL,
    b"\rNOOP\r\n": CONTROL,
    b"NOOP\r\r\n": CONTROL,
    b"NOOP\0\r\n": CONTROL,
    b"\0\r\n": CONTROL,
    b"\x16\r\n": CONTROL,
    b"R\x01CPT TO:<x@y>\r\n": CONTROL,
    b"RCPT\x0bTO:<x@y>\r\n": CONTROL,
    b"NOOP \x7f\r\n": CONTROL,
    b"NOOP \xe2\x80\xa8RCPT TO:<x@y>\r\n": CONTROL,
    b"NOOP \xc2\x85RCPT TO:<x@y>\r\n": CONTROL,
    b"NOOP \x8d\x8aRCPT TO:<x@y>\r\n": EIGHT_BIT,
    b"\xef\xbb\xbfRCPT TO:<x@y>\r\n": DISGUISED,
    b"\xe9RCPT TO:<x@y>\r\n": DISGUISED,
    b"\xd2\xc3\xd0\xd4 TO:<x@y>\r\n": DISGUISED,
    b";RCPT TO:<x@y>\r\n": DISGUISED,
    b"RCPTTO:<x@y>\r\n": DISGUISED,
    b"DATAX\r\n": DISGUISED,
    b"ab RCPT TO:<x@y>\r\n": DISGUISED,
    b"> re: 1. RCPT TO:<x@y>\r\n": DISGUISED,
    b"NOOP " + b"x" * 600 + b"RCPT TO:<x@y>\r\n": TOO_LONG,
    b"WHAT " + b" " * 1_000 + b"DATA\r\n": TOO_LONG,
    b"RCPT TO:<x@y>" + b" " * 70_000 + b"\r\n": TOO_LONG,
    b"a" * 200_000 + b"\r\n": TOO_LONG,
}


@pytest.mark.parametrize("line", REFUSED, ids=lambda line: repr(line[:24]))
def test_what_servers_read_differently_is_refused(line: bytes) -> None:
    """In its turn, with a reason, and the server never sees it."""
    to_server, to_client = crossed([*PLAIN, (C2S, b"NOOP\r\n" + line + b"RSET\r\n"), (S2C, b"250 ok\r\n250 reset\r\n")])
    assert to_server == b"EHLO c\r\nNOOP\r\nRSET\r\n"
    assert to_client == b"220 mx\r\n250 mx\r\n250 ok\r\n" + caution.REFUSAL % REFUSED[line].encode() + b"250 reset\r\n"


@pytest.mark.parametrize("line", [
    b"\r\n", b"WHAT\r\n", b"what of RCPT\r\n", b" NOOP\r\n", b"NOOP\t\r\n", b"XFOO bar;baz\r\n", b"NOOP " + b"x" * 500 + b"\r\n",
    b"HELO caf\xc3\xa9\r\n", b"RCPT TO:<j\xc3\xb6rg@d>\r\n", b"VRFY \xe9\r\n"])
def test_other_odd_lines_pass(line: bytes) -> None:
    """Where no server reads them otherwise."""
    to_server, _ = crossed([*PLAIN, (C2S, line)])
    assert to_server == b"EHLO c\r\n" + line


def test_long_lines_pass_where_the_server_has_said_so() -> None:
    """Extensions lengthen MAIL, RCPT and AUTH; what could be a command far behind is judged."""
    hello = [GREETING, (C2S, b"EHLO c\r\n"), (S2C, b"250-mx\r\n250-DSN\r\n250 AUTH PLAIN\r\n")]
    token = b"AUTH PLAIN " + b"a" * 3_000 + b"\r\n"
    assert crossed([*hello, (C2S, token)])[0].endswith(token)
    line = b"RCPT TO:<c@d> ORCPT=rfc822;" + b"a" * 600 + b"RCPT TO:<x@y>\r\n"
    assert crossed([*hello, (C2S, line)])[0].endswith(line)
    assert crossed([*hello, (C2S, line)], {b"RCPT TO:<x@y>\r\n": Answer(b"550 no\r\n")}) == (
        b"EHLO c\r\n", b"220 mx\r\n250-mx\r\n250-DSN\r\n250 AUTH PLAIN\r\n550 no\r\n")
    opening = b"RCPT TO:<c@d> ORCPT=rfc822;" + b"a" * 600 + b" DATA\r\n"
    assert crossed([*hello, (C2S, opening)])[1].endswith(caution.REFUSAL % DISGUISED.encode())


def test_utf8_is_read_as_such_where_it_is_agreed_on() -> None:
    """Else each reading of it is judged: without the octets above 127, and without their top bit."""
    line = b"RCPT TO:<x\xc3\xa9@y>\r\n"
    for reading in (line, b"RCPT TO:<x@y>\r\n", b"RCPT TO:<xC)@y>\r\n"):
        assert crossed([*PLAIN, (C2S, line)], {reading: Answer(b"550 no\r\n")})[0] == b"EHLO c\r\n"
    agreed = [GREETING, (C2S, b"EHLO c\r\n"), (S2C, b"250-mx\r\n250 SMTPUTF8\r\n")]
    assert crossed([*agreed, (C2S, line)], {b"RCPT TO:<x@y>\r\n": Answer(b"550 no\r\n")})[0].endswith(line)


def test_a_reading_that_is_to_be_replaced_is_refused() -> None:
    """It is no line that could be."""
    assert crossed([*PLAIN, (C2S, b" \tNOOP\r\n")], {b"NOOP\r\n": Replace(b"RSET\r\n")}) == (
        b"EHLO c\r\n", b"220 mx\r\n250 mx\r\n" + caution.REFUSAL % DISGUISED.encode())


def test_the_end_of_a_line_is_one_to_every_server() -> None:
    """LF alone leaves as CRLF; the session and the capture have what the client sent."""
    steps: list[Step] = [*PLAIN, (C2S, b"NOOP\nRSET\n"), (S2C, b"250 ok\r\n250 ok\r\n")]
    assert crossed(steps)[0] == b"EHLO c\r\nNOOP\r\nRSET\r\n"
    witness, *_ = judged(SMTP, steps, {})
    assert [name for name, _ in witness.anomalies] == ["bare_lf", "bare_lf"]
    check_tiles(witness, C2S, b"EHLO c\r\nNOOP\nRSET\n")


@pytest.mark.parametrize("line", [b"AGE\0AYg==\r\n", b"AGE\rRCPT TO:<x@y>\r\n", b"a" * 13_000 + b"\r\n"])
def test_in_a_sasl_exchange_a_refusal_ends_the_flow(line: bytes) -> None:
    """The server would wait for a response for ever."""
    steps: list[Step] = [*PLAIN, (C2S, b"AUTH PLAIN\r\n"), (S2C, b"334 \r\n"), (C2S, line)]
    for cut, seed in CUTS:
        *_, to_server, _ = judged(SMTP, steps, {}, cut, seed)
        assert to_server == b"EHLO c\r\nAUTH PLAIN\r\n"


def test_a_response_that_is_no_base64_is_judged_as_a_command() -> None:
    steps: list[Step] = [*PLAIN, (C2S, b"AUTH PLAIN\r\n"), (S2C, b"334 \r\n"), (C2S, b"RCPT TO:<x@y>\r\n")]

    class OfCommands(Judging):
        def judge(self, subject: PDU | Message, session: Session) -> Verdict | None:
            return Close() if isinstance(subject, PDU) and subject.kind is Kind.COMMAND and subject.verb == "RCPT" else None

    witness = OfCommands({})
    assert played(witness, steps)[0] == b"EHLO c\r\nAUTH PLAIN\r\n"


def played(witness: Judging, steps: list[Step]) -> tuple[bytes, FlowGate]:
    """What reached the server, with that witness for a judge."""
    inspector = Pipeline(witness).open(Flow(1, Address("127.0.0.1", 1), Address("127.0.0.1", 2), 1, SMTP))
    gate = FlowGate()
    inspector.judged_by(gate)
    left = b""
    for way, data in steps:
        gate.came(way is C2S, data)
        inspector.feed(way is C2S, data, 2)
        gate.take_turns()
        left += gate.leaves(True)
        gate.leaves(False)
    return left, gate


@pytest.mark.parametrize("word", [b"DATA", b"BDAT 3 LAST", b"AUTH PLAIN", b"STARTTLS", b"xclient name=x"])
def test_what_opens_something_waits_for_the_answer_to_a_login(word: bytes) -> None:
    """It is not read as what it is: it could be a password."""
    to_server, to_client = crossed([*HELLO, (C2S, b"AUTH PLAIN AGEAYg==\r\n" + word + b"\r\nNOOP\r\n"),
                                    (S2C, b"535 no\r\n250 ok\r\n")])
    assert to_server == b"EHLO c\r\nAUTH PLAIN AGEAYg==\r\nNOOP\r\n"
    assert to_client.endswith(b"535 no\r\n" + caution.EARLY + b"250 ok\r\n")


def test_pop3_lines_too() -> None:
    """With POP3's words."""
    to_server, to_client = crossed([(S2C, b"+OK\r\n"), (C2S, b"NOOP\rDELE 1\r\nPASS p\xe4ss w\xf6rd\r\n"), (S2C, b"+OK\r\n")],
                                   protocol=POP3)
    assert to_server == b"PASS p\xe4ss w\xf6rd\r\n"
    assert to_client.startswith(b"+OK\r\n-ERR mailspy: ")


def test_without_a_judge_nothing_is_touched() -> None:
    """Whatever the lines are."""
    steps: list[Step] = [*PLAIN, *((C2S, line) for line in REFUSED)]
    pair = Pair(Pipeline(everyway(SMTP, PLAIN)), SMTP)
    for way, data in steps:
        pair.c(data) if way is C2S else pair.s(data)
    assert pair.server.sent == b"EHLO c\r\n" + b"".join(REFUSED)


# Chunks

CHUNK = b"BDAT 23 LAST\r\nRCPT TO:<x@y> is text\r\n"


def test_a_chunk_passes_with_its_command() -> None:
    """Offered, and with a recipient."""
    to_server, _ = crossed([*HELLO, *ENVELOPE, (C2S, CHUNK + b"NOOP\r\n"), (S2C, b"250 taken\r\n")])
    assert to_server.endswith(CHUNK + b"NOOP\r\n")


def test_a_chunk_waits_for_the_replies_before_it() -> None:
    """They tell whether the server takes it; nobody waits for anything else."""
    steps: list[Step] = [*HELLO, (C2S, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n" + CHUNK + b"NOOP\r\n")]
    assert crossed(steps)[0] == b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
    assert crossed([*steps, (S2C, b"250 ok\r\n250 ok\r\n")])[0].endswith(CHUNK + b"NOOP\r\n")
    to_server, to_client = crossed([*steps, (S2C, b"250 ok\r\n550 no\r\n250 ok\r\n")])
    assert to_server == b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nNOOP\r\n"
    assert to_client.endswith(b"250 ok\r\n550 no\r\n" + caution.NO_RECIPIENTS + b"250 ok\r\n")


@pytest.mark.parametrize("steps", [PLAIN, [GREETING], [*HELLO, (C2S, b"HELO c\r\n"), (S2C, b"250 mx\r\n")],
                                   [*HELLO, (C2S, b"EHLO c\r\n"), (S2C, b"250 mx\r\n")]])
def test_a_chunk_that_no_server_has_offered_to_take(steps: list[Step]) -> None:
    """It goes nowhere: the server would read commands."""
    to_server, to_client = crossed([*steps, *ENVELOPE, (C2S, CHUNK + b"NOOP\r\n"), (S2C, b"250 ok\r\n")])
    assert b"BDAT" not in to_server
    assert b"x@y" not in to_server
    assert to_server.endswith(b"NOOP\r\n")
    assert to_client.endswith(b"250 ok\r\n250 ok\r\n" + caution.NO_CHUNKS + b"250 ok\r\n")


@pytest.mark.parametrize("command", [
    b"BDAT 23 LAST extra", b"BDAT +23 LAST", b"BDAT 0x17 LAST", b"BDAT 23LAST", b"BDAT", b"BDAT LAST", b"BDAT -1", b"BDAT 23 ",
    b"BDAT 99999999999999999999 LAST", b"BDAT 1,0"])
def test_a_chunk_of_which_nobody_knows_the_size(command: bytes) -> None:
    """What follows is read as the server reads it that has got no BDAT: as commands."""
    to_server, to_client = crossed([*HELLO, *ENVELOPE, (C2S, command + b"\r\nRCPT TO:<x@y>\r\nNOOP\r\n"), (S2C, b"250 ok\r\n")],
                                   {b"RCPT TO:<x@y>\r\n": Answer(b"550 no\r\n")})
    assert to_server.endswith(b"RCPT TO:<c@d>\r\nNOOP\r\n")
    assert to_client.endswith(caution.BAD_CHUNK + b"550 no\r\n250 ok\r\n")


@pytest.mark.parametrize("command", [
    b"BDAT 23  LAST", b"BDAT\t23", b"bdat\t23 LAST", b" BDAT 23 LAST", b"BDAT 023", b"BDAT 23 LAST\n"])
def test_a_chunk_whose_size_servers_read_differently(command: bytes) -> None:
    """It goes where its command goes: nowhere."""
    end = b"" if command.endswith(b"\n") else b"\r\n"
    to_server, to_client = crossed([*HELLO, *ENVELOPE, (C2S, command + end + b"RCPT TO:<x@y> is text\r\nNOOP\r\n"),
                                    (S2C, b"250 ok\r\n")])
    assert to_server.endswith(b"RCPT TO:<c@d>\r\nNOOP\r\n")
    assert to_client.endswith(caution.BAD_CHUNK + b"250 ok\r\n")


@pytest.mark.parametrize("protocol", [SMTP, LMTP])
def test_an_answer_covers_the_chunk(protocol: str) -> None:
    """A judge's answer to the command: its octets go nowhere, and the replies stay in order."""
    hello = [(way, data.replace(b"EHLO", b"LHLO") if protocol == LMTP else data) for way, data in HELLO]
    to_server, to_client = crossed([*hello, *ENVELOPE, (C2S, CHUNK + b"NOOP\r\nRSET\r\n"), (S2C, b"250 ok\r\n250 reset\r\n")],
                                   {b"BDAT 23 LAST\r\n": Answer(b"554 no\r\n")}, protocol)
    assert to_server.endswith(b"RCPT TO:<c@d>\r\nNOOP\r\nRSET\r\n")
    assert to_client.endswith(b"554 no\r\n250 ok\r\n250 reset\r\n")


def test_no_chunk_passes_behind_a_refused_one() -> None:
    """The transaction has failed (RFC 3030 §2)."""
    to_server, to_client = crossed([*HELLO, *ENVELOPE, (C2S, b"BDAT 2\r\nab"), (S2C, b"552 full\r\n"),
                                    (C2S, b"BDAT 2 LAST\r\ncd"), *ENVELOPE, (C2S, b"BDAT 2 LAST\r\nef"), (S2C, b"250 ok\r\n")])
    assert to_server.endswith(b"BDAT 2\r\nabMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 2 LAST\r\nef")
    assert caution.NO_RECIPIENTS in to_client


def test_a_server_that_refuses_a_chunk_before_it_has_come() -> None:
    """It may take the rest for commands: the judges are asked about what nobody reads so."""
    steps: list[Step] = [*HELLO, *ENVELOPE, (C2S, b"BDAT 23 LAST\r\n"), (S2C, b"554 no\r\n"), (C2S, b"RCPT TO:<x@y>\r\n        ")]

    class OfTheUnread(Judging):
        def judge(self, subject: PDU | Message, session: Session) -> Verdict | None:
            return Close() if isinstance(subject, PDU) and subject.kind is Kind.OPAQUE else None

    left, gate = played(OfTheUnread({}), steps)
    assert left.endswith(b"BDAT 23 LAST\r\n")
    assert gate.closing is not None


REFUSING: list[Step] = [*HELLO, *ENVELOPE]
"""A server that has offered CHUNKING and accepted a recipient, and will refuse the chunk and read commands."""
HIDDEN = [
    b"RCPT TO:<x@y>\r\n", b"rcpt to:x@y\r\n", b"text\r\n\r\nRCPT TO:<x@y>\r\ntext\r\n", b"text\rRCPT TO:<x@y>\r",
    b"text\nRCPT TO:<x@y>\n",
    b"> re: RCPT TO:<x@y>\r\n", b"RCPTX TO:<x@y>\r\n", b"RCPTTO:<x@y>\r\n", b"R\0C\0P\0T\0 TO:<x@y>\r\n", b"RCPT\x01TO:<x@y>\r\n",
    b"\xd2\xc3\xd0\xd4\xa0\xd4\xcf\xba\xbc\xf8\xc0\xf9\xbe\x8d\x8a\n", b"\xef\xbb\xbfRCPT TO:<x@y>\r\n",
    b"caf\xc3\xa9\x85RCPT TO:<x@y>\r\n", b"R\x17C\x17P\x17T\x17 TO:(x)<x@y>\r\n", b"RC\r\0PT TO:<x@y>\r\n",
    b"x" * 600 + b"RCPT TO:<x@y>\r\n", b"x" * 9_000 + b" RCPT TO:<x@y>\r\n", b"R" + b"\0" * 9_000 + b"CPT TO:<x@y>\r\n"]


def unseen(octets: bytes, steps: list[Step], verdicts: dict[bytes, Verdict] | None = None) -> list[bytes]:
    """What reached the client, for each cutting: the octets never reached the server."""
    said = []
    for cut, seed in CUTS:
        pair, chance = Pair(Pipeline(Judging(verdicts or {})), SMTP, judged=True), random.Random(seed)
        for way, data in steps:
            for piece in pieces(data, cut, chance):
                if not pair.over and not pair.client.fate:
                    pair.c(piece) if way is C2S else pair.s(piece)
        assert octets not in pair.server.sent
        said.append(pair.client.sent)
    return said


@pytest.mark.parametrize("chunk", HIDDEN, ids=lambda chunk: repr(chunk[-24:]))
def test_a_chunk_is_judged_as_a_server_reads_it_that_refuses_it(chunk: bytes) -> None:
    """A forbidden line in it does not arrive, whatever such a server passes over."""
    no = {b"RCPT TO:<x@y>\r\n": Answer(b"550 no\r\n"), b"rcpt to:x@y\r\n": Answer(b"550 no\r\n")}
    for to_client in unseen(chunk, [*REFUSING, (C2S, b"BDAT %d LAST\r\n" % len(chunk) + chunk), (S2C, b"500 what\r\n")], no):
        assert to_client.endswith(caution.POSING)


@pytest.mark.parametrize("cut", [600, 2_000])
def test_a_response_that_is_no_base64_and_that_a_server_would_cut(cut: int) -> None:
    """What stands behind the cut is a command to it."""
    response = b"\t" * cut + b"RCPT TO:<x@y>\r\n"
    unseen(b"RCPT TO:<x@y>", [*PLAIN, (C2S, b"AUTH PLAIN\r\n"), (S2C, b"334 \r\n"), (C2S, response)])
    passes = b"A" * cut + b"\r\n"
    assert crossed([*PLAIN, (C2S, b"AUTH PLAIN\r\n"), (S2C, b"334 \r\n"), (C2S, passes)])[0].endswith(passes)


@pytest.mark.parametrize("broken", [b"RCPT TO:<x@y.c\xc2\x85", b"RCPT TO:<x@y.c\x0b", b"text\r\nRCPT TO:<x@y.c\r",
                                    b"RCPT TO:<x@y.c\0"])
def test_a_line_of_a_chunk_ends_where_any_server_ends_it(broken: bytes) -> None:
    """Before the rest of it is there."""
    steps = [*REFUSING, (C2S, b"BDAT 90 LAST\r\n" + broken), (C2S, b"d>\r\n")]
    for to_client in unseen(broken, steps, {b"RCPT TO:<x@y.c\r\n": Answer(b"550 no\r\n")}):
        assert to_client.endswith(caution.POSING)


@pytest.mark.parametrize("extra", [b"250 ok\r\n", b"250 ok\r\n250 ok\r\n354 go\r\n"])
def test_a_server_that_answers_the_lines_of_a_refused_chunk(extra: bytes) -> None:
    """No reply is the one that it seems to be any more: what mailspy takes for a letter could be commands."""
    chunk = b"NOOP\r\nNOOP\r\n"
    steps = [*REFUSING, (C2S, b"BDAT 12 LAST\r\n" + chunk + b"DATA\r\n"), (S2C, b"500 what\r\n" + extra),
             (C2S, b"DATA\r\nRCPT TO:<x@y>\r\n.\r\n")]
    for to_client in unseen(b"RCPT TO:<x@y>", steps):
        assert to_client.endswith(caution.CHUNK_READ)
    refused = [*REFUSING, (C2S, b"BDAT 12 LAST\r\n" + chunk + b"NOOP\r\n"), (S2C, b"554 no\r\n250 ok\r\n")]
    assert crossed(refused)[1].endswith(b"554 no\r\n250 ok\r\n")


@pytest.mark.parametrize("after", [b"PT TO:<x@y>\r\n", b"\r\n", b"BDAT 5 LAST\r\nhello"])
def test_a_line_that_goes_on_behind_a_chunk(after: bytes) -> None:
    """To such a server it is one with the next command."""
    chunk = b"text\r\nRC" if after[:1] == b"P" else b"text\r\nRCPT TO:<x@y>"
    unseen(chunk + after, [*REFUSING, (C2S, b"BDAT %d\r\n" % len(chunk) + chunk), (C2S, after), (S2C, b"500 what\r\n")],
           {b"RCPT TO:<x@y>\r\n": Close(), b"RCPT TO:<x@y>BDAT 5 LAST\r\n": Close()})


@pytest.mark.parametrize("chunk", [
    b"RCPT TO:<c@d>\r\n", b"the RCPT command, RCPT TO:<x@y>\r\n", b"Mail me at x@y,\r\nData, help\r\n", b"RCPT\r\n",
    b"caf\xc3\xa9\r\n" * 9,
    bytes(range(256)) * 40,
    b"Sender: <x@y>\r\nMailing-List: x@y\r\n", b"UkNQVCBUTzo8eEB5Pg==\r\n" * 99])
def test_chunks_that_no_server_could_mistake_pass(chunk: bytes) -> None:
    """Mail is full of words that are commands."""
    chunk += b"end"
    line = b"BDAT %d LAST\r\n" % len(chunk)
    to_server, to_client = crossed([*REFUSING, (C2S, line + chunk + b"QUIT\r\n"), (S2C, b"250 taken\r\n221 bye\r\n")],
                                   {b"RCPT TO:<x@y>\r\n": Answer(b"550 no\r\n")})
    assert to_server.endswith(line + chunk + b"QUIT\r\n")
    assert to_client.endswith(b"250 taken\r\n221 bye\r\n")


@pytest.mark.parametrize("opening", [b"DATA", b"data x", b"BDAT 90 LAST", b"AUTH LOGIN", b"STARTTLS"])
@pytest.mark.parametrize("reply", [b"250 taken\r\n", b"554 no\r\n"])
def test_a_refused_chunk_with_a_line_that_opens_something(opening: bytes, reply: bytes) -> None:
    """The server may read anything as anything now: the judges are asked.  Where it has taken the chunk, nothing happens."""
    chunk = b"Subject: x\r\n\r\n" + opening + b"\r\n.\r\n"

    class OfTheUnread(Judging):
        def judge(self, subject: PDU | Message, session: Session) -> Verdict | None:
            return Close() if isinstance(subject, PDU) and subject.kind is Kind.OPAQUE else None

    left, gate = played(OfTheUnread({}), [*REFUSING, (C2S, b"BDAT %d LAST\r\n" % len(chunk) + chunk), (S2C, reply)])
    assert left.endswith(chunk)
    assert (gate.closing is not None) is (reply[:1] == b"5")


# Answers

@pytest.mark.parametrize(("command", "answer"), [
    (b"DATA\r\n", b"354 go\r\n"), (b"AUTH LOGIN\r\n", b"334 VXNlcg==\r\n"), (b"STARTTLS\r\n", b"220 go\r\n"),
    (b"NOOP\r\n", b"354 x\r\n")])
def test_an_answer_that_asks_for_more_ends_the_flow(command: bytes, answer: bytes) -> None:
    """The server never saw the command, and would take for commands what follows."""
    steps: list[Step] = [*HELLO, *ENVELOPE, (C2S, command + b"RCPT TO:<x@y>\r\n"), (C2S, b"RCPT TO:<x@y>\r\n.\r\n")]
    for cut, seed in CUTS:
        *_, to_server, to_client = judged(SMTP, steps, {command: Answer(answer)}, cut, seed)
        assert to_server == b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
        assert answer not in to_client


@pytest.mark.parametrize("command", [b"DATA\r\n", b"AUTH PLAIN AGEAYg==\r\n", b"STARTTLS\r\n", b"EHLO d\r\n"])
def test_what_follows_an_answered_command_is_judged(command: bytes) -> None:
    """The client may go on as if it had been accepted."""
    to_server, to_client = crossed(
        [*HELLO, *ENVELOPE, (C2S, command + b"Subject: x\r\n\r\nRCPT TO:<x@y>\r\n.\r\nNOOP\r\n"),
         (S2C, b"500 what\r\n500 what\r\n500 what\r\n250 ok\r\n")],
        {command: Answer(b"554-5.7.1 no,\r\n554 5.7.1 never\r\n"), b"RCPT TO:<x@y>\r\n": Answer(b"550 no\r\n")})
    assert to_server.endswith(b"RCPT TO:<c@d>\r\nSubject: x\r\n\r\n.\r\nNOOP\r\n")
    assert to_client.endswith(b"554-5.7.1 no,\r\n554 5.7.1 never\r\n500 what\r\n500 what\r\n550 no\r\n500 what\r\n250 ok\r\n")


# Ends of contents

DOUBTFUL = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\n.\r\r\n", b"\n.\r", b"\r.\n",
            b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\n\x01.\x02\r"]
DATA: list[Step] = [*ENVELOPE, (C2S, b"DATA\r\n"), (S2C, b"354 go\r\n")]


@pytest.mark.parametrize("end", DOUBTFUL)
def test_a_content_that_may_be_over_to_some_server(end: bytes) -> None:
    """What could be its end does not leave, nor anything behind it."""
    content = b"Subject: x\r\n\r\ntext" + end + b"MAIL FROM:<>\r\nRCPT TO:<x@y>\r\n.\r\n"
    for cut, seed in CUTS:
        *_, to_server, _ = judged(SMTP, [*PLAIN, *DATA, (C2S, content)], {}, cut, seed)
        assert b"x@y" not in to_server
        assert to_server.find(b"text" + end) < 0
    *_, to_server, _ = judged(SMTP, [*PLAIN, *DATA, (C2S, b"text" + end + b"x\r\n.\r\n")], {})
    assert b"text" not in to_server


@pytest.mark.parametrize("content", [b"\r\n..\r\n", b"\r\n.x\r\n", b"a\nb.\nc\r\n", b" .\r\n. \r\n\t.\r\n", b"\r\n\r\n",
                                     b"\xc3\xa9.\r\n.\xc3\xa9\r\n"])
def test_contents_with_one_end_pass(content: bytes) -> None:
    """As they are."""
    to_server, _ = crossed([*PLAIN, *DATA, (C2S, content + b"\r\n.\r\nQUIT\r\n")])
    assert to_server.endswith(content + b"\r\n.\r\nQUIT\r\n")


PADDED = [b"\r\n. \r\n", b"\r\n .\r\n", b"\r\n\t.\t\r\n", b"\n .\n", b"\r\n\0 .\r\n", b"\0.\r\n", b"\0.\0", b"\x0b.\r\n",
          b"\r\n.\x0c",
          b"\x85.\x85", b"\r\n \xa0 .\r\n", b"\x80.\x80", b"\x8b.\x9c",
          b"\r\n\xae\r\n", b"\r\n" + b" " * 600 + b"." + b"\t" * 600 + b"\r\n", b"\x8d\x8a.\x8d\x8a"]


@pytest.mark.parametrize("end", PADDED, ids=lambda end: repr(end[-16:]))
@pytest.mark.parametrize("line", [b"RCPT TO:<x@y>", b"DATA", b"BDAT 900 LAST", b"R\x01CPT TO:<x@y>", b"AUTH PLAIN AGEAYg=="])
def test_what_follows_a_dot_among_blanks_is_judged_as_commands_too(end: bytes, line: bytes) -> None:
    """Few servers see an end there, and people write so: what could not follow a message passes."""
    no = {b"RCPT TO:<x@y>\r\n": Answer(b"550 no\r\n")}
    content = b"Subject: x\r\n\r\ntext" + end + b"MAIL FROM:<>\r\n" + line + b"\r\n"
    for to_client in unseen(b"MAIL FROM:<>\r\n" + line + b"\r\n", [*PLAIN, *DATA, (C2S, content)], no):
        assert to_client.endswith(caution.POSING)
    before, _, _ = content.partition(end)
    other = before + b"\r\n" + line + end + b"MAIL FROM:<>\r\nRCPT TO:<c@d>\r\nRCPT\r\n.\r\n"
    assert crossed([*PLAIN, *DATA, (C2S, other)], no)[0].endswith(other)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from([b"\r", b"\n", b".", b" ", b"a", b"\0", b"\x80", b"\x85", b"\xae"]), max_size=12),
       st.integers(0, 2**32))
def test_dots_among_blanks_are_found_in_every_cutting(octets: list[bytes], seed: int) -> None:
    data = b"".join(octets)

    def found(cut: str) -> bool:
        padded = Padded()
        return any(padded.seen(piece) >= 0 for piece in pieces(data, cut, random.Random(seed)))

    assert found("whole") == found("octets") == found("random")


WORDS = [b"RCPT", b"R", b"CPT TO:<x@y>", b"\r", b"\n", b" ", b"ab", b"\0", b"\xd2", b"@", b"DATA", b"x" * 260]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=10), st.integers(0, 2**32))
def test_commands_in_a_message_are_found_in_every_cutting(octets: list[bytes], seed: int) -> None:
    data = b"".join(octets) + b"\n"

    def found(cut: str) -> tuple[set[bytes], bool]:
        posing = Posing(caution.COMMANDS)
        lines = [line for piece in pieces(data, cut, random.Random(seed)) for line in posing.seen(piece)]
        return set(lines), posing.disguised

    whole, disguised = found("whole")
    for cut in ("octets", "random"):
        # Where a break comes last, what stands before it is a line to some server.
        lines, odd = found(cut)
        assert whole <= lines
        assert odd == disguised


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from([b"\r", b"\n", b".", b"a", b"\0", b"\x80"]), max_size=12), st.integers(0, 2**32))
def test_where_a_content_may_end_is_the_same_in_every_cutting(octets: list[bytes], seed: int) -> None:
    data = b"".join(octets)

    def found(cut: str) -> bool:
        ends = Ends()
        return any(ends.seen(piece, 0, len(piece)) for piece in pieces(data, cut, random.Random(seed)))

    assert found("whole") == found("octets") == found("random")


# TLS that nobody has agreed to

LEADS = [b"\x16\r\n", b"\x16\x03\x01\x00\x05\x01ello", b"\x16\x03\x01\x00\x05\x01ello", b"\x16\x03\x01\x00\x05\x01ello\r\n",
         b"\x16\x03\x09\r\n", b"\x14\r\n", b"\x15\r\n", b"\x17\x03\x03\r\n",
         b"\x18\r\n", b"\x80\x2e\x01\x03\x01\r\n", b"\x16\x03\x01\xff\xff\r\n"]
CLEAR = b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<x@y>\r\n"


@pytest.mark.parametrize("lead", LEADS)
def test_a_record_does_not_hide_what_follows(lead: bytes) -> None:
    """Lines are lines again when they are: without a judge they are told."""
    witness = everyway(SMTP, [GREETING, (C2S, lead + CLEAR), (S2C, b"250 mx\r\n250 ok\r\n250 ok\r\n")])
    assert [pdu.verb for pdu in witness.pdus if pdu.direction is C2S][-3:] == ["EHLO", "MAIL", "RCPT"]


@pytest.mark.parametrize("lead", LEADS)
def test_no_judge_is_got_round_by_it(lead: bytes) -> None:
    """With one they are judged."""
    steps: list[Step] = [GREETING, (C2S, lead + CLEAR)]
    for cut, seed in CUTS:
        *_, to_server, _ = judged(SMTP, steps, {b"RCPT TO:<x@y>\r\n": Answer(b"550 no\r\n")}, cut, seed)
        assert b"x@y" not in to_server


def test_a_server_that_answers_in_the_clear_reads_no_records() -> None:
    """What else looks like one hides nothing either."""
    hidden = b"\x17\x03\x03\x40\x00\r\n" + CLEAR
    witness = everyway(SMTP, [GREETING, (C2S, b"\x16\x03\x01\x00\x05\x01ello"), (S2C, b"500 what\r\n"), (C2S, hidden)])
    assert [pdu.verb for pdu in witness.pdus if pdu.direction is C2S][-3:] == ["EHLO", "MAIL", "RCPT"]


def test_a_server_s_record_hides_nothing_of_the_client() -> None:
    """It may say what it likes."""
    witness = everyway(SMTP, [(S2C, b"\x16\x03\x03\x00\x04\x02\x00\x00\n"), (C2S, CLEAR)])
    assert [pdu.verb for pdu in witness.pdus if pdu.direction is C2S] == ["EHLO", "MAIL", "RCPT"]


def test_a_record_later_in_a_session() -> None:
    """A line like any other, refused under a judge; also where STARTTLS was refused."""
    steps: list[Step] = [*PLAIN, (C2S, b"STARTTLS\r\n"), (S2C, b"454 not now\r\n"),
                         (C2S, b"\x16\x03\x01\x00\x05\x01ello\r\n" + CLEAR)]
    to_server, _ = crossed(steps, {b"RCPT TO:<x@y>\r\n": Answer(b"550 no\r\n")})
    assert to_server == b"EHLO c\r\nSTARTTLS\r\nEHLO c\r\nMAIL FROM:<a@b>\r\n"
    witness = everyway(SMTP, steps)
    assert [pdu.verb for pdu in witness.pdus if pdu.direction is C2S][-3:] == ["EHLO", "MAIL", "RCPT"]


def test_tls_from_the_first_octet_stays_tls() -> None:
    """Where the server answers with records, those of both sides are told."""
    witness = everyway(SMTP, [(C2S, b"\x16\x03\x01\x00\x05\x01hell"), (S2C, b"\x16\x03\x03\x00\x04\x02\x00\x00\x00"),
                              (C2S, b"\x17\x03\x03\x00\x03abc"), (S2C, b"\x17\x03\x03\x00\x02hi\x15\x03\x03\x00\x02\x01\x00")])
    assert {pdu.kind for pdu in witness.pdus} == {Kind.OPAQUE}
    assert [name for name, _ in witness.anomalies] == ["cross_protocol"]
    assert len(witness.pdus) == 5


def test_what_comes_before_the_greeting_is_held_like_all_else() -> None:
    """Until the reply to DATA is there nobody knows how to read what follows."""
    to_server, _ = crossed([(C2S, b"EHLO c\r\nDATA\r\nRCPT TO:<x@y>\r\n.\r\n")])
    assert to_server == b"EHLO c\r\nDATA\r\n"


def test_a_judge_sees_what_may_be_a_password_as_the_command_that_it_is_too() -> None:
    """To the server it is one."""
    class OfRecipients(Judging):
        def judge(self, subject: PDU | Message, session: Session) -> Verdict | None:
            return Answer(b"550 no\r\n") if isinstance(subject, PDU) and subject.details.get("path") == "x@y" else None

    steps: list[Step] = [*PLAIN, (C2S, b"AUTH PLAIN AGEAYg==\r\nRCPT TO:<x@y>\r\nRCPT TO:<c@d>\r\n"), (S2C, b"535 no\r\n")]
    assert played(OfRecipients({}), steps)[0] == b"EHLO c\r\nAUTH PLAIN AGEAYg==\r\nRCPT TO:<c@d>\r\n"


def test_a_client_that_sends_a_large_chunk_at_once_is_read_no_further_until_its_envelope_is_known() -> None:
    """It waits in bounded memory, and all of it arrives."""
    pair = Pair(Pipeline(Judging({})), SMTP, judged=True)
    for way, data in HELLO:
        pair.c(data) if way is C2S else pair.s(data)
    pair.c(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 1500000 LAST\r\n")
    pair.relay.start()
    sent = 0
    while pair.client.reading:
        pair.c(b"x" * 50_000)
        sent += 50_000
    assert 1_000_000 < sent < 1_200_000
    pair.s(b"250 ok\r\n250 ok\r\n")
    assert pair.client.reading
    pair.c(b"x" * (1_500_000 - sent))
    assert pair.server.sent.endswith(b"BDAT 1500000 LAST\r\n" + b"x" * 1_500_000)


def test_a_client_that_ends_behind_a_chunk_loses_nothing() -> None:
    """Its end is passed on when the chunk was."""
    pair = Pair(Pipeline(Judging({})), SMTP, judged=True)
    for way, data in HELLO:
        pair.c(data) if way is C2S else pair.s(data)
    pair.c(b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 2 LAST\r\nab")
    pair.relay.ended(True)
    assert pair.server.fate == ""
    pair.s(b"250 ok\r\n250 ok\r\n")
    assert pair.server.sent.endswith(b"BDAT 2 LAST\r\nab")
    assert pair.server.fate == "ended"
