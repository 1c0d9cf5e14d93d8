"""Replies find their commands, and find them again when the count has slipped (RFC 5321 §4.3.2, RFC 1939 §3)."""

from __future__ import annotations

import pytest
from dialogue import LMTP, POP3, SMTP, Step, Witness, everyway, play

from inspector.pdu import C2S, S2C, Exchange, Kind
from inspector.protocols.pop3 import grammar as pop3
from inspector.protocols.smtp import grammar, replies
from inspector.protocols.smtp.phases import END_OF_DATA, GREETING
from inspector.protocols.smtp.session import _EFFECTS

MARKS = frozenset({"reply_misplaced", "unexpected_reply", "reply_without_command"})
HELLO: list[Step] = [(S2C, b"220 mx\r\n"), (C2S, b"EHLO c\r\n"), (S2C, b"250-mx\r\n250-PIPELINING\r\n250 8BITMIME\r\n")]
LETTER = b"Subject: x\r\n\r\nhi\r\n.\r\n"


def lines(protocol: str, *said: bytes) -> list[Step]:
    """`C` or `S`, then what is said, its line end left away."""
    return [(C2S if line[:1] == b"C" else S2C, line[1:] + b"\r\n") for line in said]


def pairs(witness: Witness) -> list[str]:
    """Each reply: its code, and the line that it answers."""
    return [f"{pdu.status} {pdu.command.raw.strip().decode() if pdu.command else '-'}" for pdu in witness.pdus
            if pdu.kind in (Kind.REPLY, Kind.CONTINUATION, Kind.GREETING)]


def details(witness: Witness, name: str) -> list[str]:
    return [one[3] for one in witness.told if one[:2] == ("anomaly", name)]


# The table

def test_each_verb_has_its_row() -> None:
    """Nothing that is answered is without one, and each row says where it stands."""
    verbs = {entry.verb for entry in grammar.COMMANDS.values()} | {"", GREETING, END_OF_DATA, "BDAT LAST"}
    assert set(replies._OWN) == verbs >= set(_EFFECTS)
    for verb, (own, reference) in replies._OWN.items():
        assert reference.startswith(("RFC ", "Postfix "))
        assert all(code[0] in "23" for code in own.split()), verb


@pytest.mark.parametrize("verb", replies._OWN)
def test_any_command_may_be_refused(verb: str) -> None:
    """RFC 5321 §4.2.4, §4.3.2."""
    exchange = Exchange(verb, "")
    for code in ("421", "450", "454", "500", "501", "502", "503", "504", "550", "554"):
        assert replies.answers(exchange, code)
        assert not replies.excluded(exchange, code, False)


@pytest.mark.parametrize("code", sorted(replies.EXCLUSIVE))
@pytest.mark.parametrize("verb", replies._OWN)
def test_codes_that_say_what_they_answer(verb: str, code: str) -> None:
    """Each of the four excludes every command that it is not for."""
    assert replies.excluded(Exchange(verb, ""), code, False) == (code not in replies.ANSWERS[verb])


# As they were met

def test_an_empty_line_that_the_server_passes_over() -> None:
    """The list is for EHLO, 220 for STARTTLS: TLS begins (case 19; Haraka #1803)."""
    witness = everyway(SMTP, lines(SMTP, b"S220 mx", b"C", b"CEHLO c", b"S250-mx\r\n250 STARTTLS", b"CSTARTTLS", b"S220 go"))
    assert pairs(witness) == ["220 -", "250 EHLO c", "220 STARTTLS"]
    assert details(witness, "reply_misplaced") == ["250 is for EHLO: no reply came to an empty line"]
    assert "an empty line, which some servers pass over" in details(witness, "unknown_command")
    assert witness.pdus[-1].phase == "TLS"


@pytest.mark.parametrize("refused", [b"500 what", b"250 whatever"])
def test_an_empty_line_that_the_server_answers(refused: bytes) -> None:
    """As most do; what cannot be told from it is told."""
    witness = everyway(SMTP, lines(SMTP, b"S220 mx", b"C", b"S" + refused, b"CEHLO c", b"S250 mx"))
    assert pairs(witness) == ["220 -", f"{refused[:3].decode()} ", "250 EHLO c"]
    assert details(witness, "unexpected_reply") == (["250 to an empty line"] if refused[:1] == b"2" else [])
    assert not details(witness, "reply_misplaced")


DELIVERY = [b"S220 store", b"CLHLO c", b"S250-store\r\n250 PIPELINING", b"CMAIL FROM:<a@a.example>", b"S250 ok",
            b"CRCPT TO:<b@b.example>", b"S250 ok", b"CRCPT TO:<c@b.example>", b"S250 ok", b"CDATA", b"S354 go",
            b"C" + LETTER.removesuffix(b"\r\n"), b"S250 stored"]


def test_one_delivery_reply_for_two_recipients() -> None:
    """221 shows that RSET's reply was counted for the second recipient (case 23; RFC 2033 §4.2)."""
    witness = everyway(LMTP, lines(LMTP, *DELIVERY, b"CRSET", b"S250 ok", b"CQUIT", b"S221 bye"))
    assert pairs(witness)[-1] == "221 QUIT"
    assert details(witness, "reply_misplaced") == [
        "221 is for QUIT: no reply came to RSET; it seems that END OF DATA had none for <c@b.example>"]
    assert not details(witness, "truncated")


@pytest.mark.parametrize(("rest", "told"), [
    ([b"CQUIT", b"S221 bye"], ("reply_misplaced", "221 is for QUIT: no reply came to END OF DATA for <c@b.example>")),
    ([], ("truncated", "no reply came to END OF DATA for <c@b.example>")),
    ([b"CRSET"], ("truncated", "no reply came to END OF DATA for <c@b.example> and 1 more")),
    ([b"CRSET", b"S250 ok", b"CMAIL FROM:<d@a.example>", b"S250 ok", b"CRCPT TO:<e@b.example>", b"S250 ok", b"CDATA", b"S354 go"],
     ("reply_misplaced",
      "354 is for DATA: no reply came to RCPT; it seems that END OF DATA had none for <c@b.example>")),
])
def test_the_recipient_without_a_reply_is_named(rest: list[bytes], told: tuple[str, str]) -> None:
    """At the latest when a code shows the slide, or at the end."""
    witness = everyway(LMTP, lines(LMTP, *DELIVERY, *rest))
    assert details(witness, told[0]) == [told[1]]


def test_all_delivery_replies_are_there() -> None:
    """Nothing is odd about it, and a later slide is no fault of the delivery's."""
    again = [*DELIVERY, b"S550 not stored", b"CMAIL FROM:<d@a.example>", b"S250 ok", b"CRCPT TO:<e@b.example>", b"S250 ok",
             b"CDATA", b"S354 go", b"C.", b"S250 ok"]
    assert not MARKS & {name for name, _ in everyway(LMTP, lines(LMTP, *again, b"CQUIT", b"S221 bye")).anomalies}
    witness = everyway(LMTP, lines(LMTP, *again, b"CNOOP", b"CQUIT", b"S221 bye"))
    assert details(witness, "reply_misplaced") == ["221 is for QUIT: no reply came to NOOP"]


def test_a_reply_too_many_before_the_last_recipient_is_refused() -> None:
    """354 shows it: what was counted for DATA was the recipient's, and only one delivery is answered."""
    steps = [b"S220 store", b"CLHLO c", b"S250 store", b"CMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nDATA",
             b"S250 ok\r\n250 ok\r\n250 too many\r\n550 no\r\n354 go", b"C" + LETTER.removesuffix(b"\r\n"), b"S250 stored",
             b"CRSET", b"S250 reset", b"CQUIT", b"S221 bye"]
    witness = everyway(LMTP, lines(LMTP, *steps))
    assert pairs(witness)[-2:] == ["250 RSET", "221 QUIT"]
    assert details(witness, "reply_misplaced") == ["354 is for DATA: the reply before was not"]


def test_a_flow_that_ends_behind_replies_that_were_found_again() -> None:
    """Whatever has ended it: nothing waits, nothing is told twice, and the message that is half there is told so."""
    start = [*HELLO, (C2S, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nDATA\r\n"),
             (S2C, b"250 ok\r\n250 ok\r\n354 go\r\n")]
    whole = (LETTER.removesuffix(b".\r\n"), True)
    ends: list[tuple[list[Step], tuple[bytes, bool], list[str]]] = [
        ([], (b"", False), []),
        ([(C2S, b"Subject: x\r\n")], (b"Subject: x\r\n", False), ["truncated"] * 2),
        ([(C2S, LETTER)], whole, ["truncated"]),
        ([(C2S, LETTER), (S2C, b"250 queued\r\n")], whole, []),
        ([(C2S, LETTER + b"QUIT\r\n"), (S2C, b"221 bye\r\n")], whole, ["reply_misplaced"])]
    for rest, message, told in ends:
        witness = everyway(SMTP, [*start, *rest])
        assert witness.messages == [message], rest
        assert [name for name, _ in witness.anomalies] == ["reply_misplaced", *told], rest


def test_a_server_that_answers_what_is_no_command() -> None:
    """A header that nobody knows, with lines in it: each 500 has a command, or is told to have none."""
    witness = everyway(SMTP, [(S2C, b"220 mx\r\n"), (C2S, b"\r\n\r\n\x00\x00\r\nQUIT\n!abcdEHLO lb\r\n"),
                              (S2C, b"500 what\r\n"), *lines(SMTP, b"CEHLO lb", b"S250 mx", b"CMAIL FROM:<a@b>", b"S250 ok",
                                                             b"CRCPT TO:<c@d>", b"S250 ok", b"CDATA", b"S354 go"),
                              (C2S, LETTER), *lines(SMTP, b"S250 ok", b"CQUIT", b"S221 bye")])
    assert pairs(witness)[2:] == ["250 EHLO lb", "250 MAIL FROM:<a@b>", "250 RCPT TO:<c@d>", "354 DATA", pairs(witness)[6],
                                  "221 QUIT"]
    assert witness.messages == [(LETTER.removesuffix(b".\r\n"), True)]
    assert len(details(witness, "reply_misplaced")) == 1


def test_surplus_refusals_have_no_command() -> None:
    """As many as there are lines that it did not know, before the next command."""
    witness = everyway(SMTP, [*HELLO, (S2C, b"500 what\r\n" * 4), *lines(SMTP, b"CMAIL FROM:<a@b>", b"S250 ok")])
    assert pairs(witness)[-1] == "250 MAIL FROM:<a@b>"
    assert len(details(witness, "reply_without_command")) == 4


def test_a_command_that_was_passed_over_is_over() -> None:
    """Its exchange has no reply; the recipient may have been accepted, and the phases go on with the server."""
    completed: list[tuple[str, int]] = []

    class Asking(Witness):
        def exchange_completed(self, exchange, session) -> None:
            completed.append((exchange.verb, len(exchange.replies)))

    steps = [*HELLO, (C2S, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nDATA\r\n"),
             (S2C, b"250 ok\r\n250 ok\r\n354 go\r\n"), (C2S, LETTER), (S2C, b"250 queued\r\n")]
    witness = play(SMTP, steps, witness=Asking())
    assert completed == [("EHLO", 1), ("MAIL", 1), ("RCPT", 1), ("RCPT", 0), ("DATA", 1), (END_OF_DATA, 1)]
    assert [pdu.phase for pdu in witness.pdus][-3:] == ["DATA", "DATA", "DATA"]
    assert [one for one in witness.told if one[0] == "phase"] == [
        ("phase", "CONNECT", "HELLO"), ("phase", "HELLO", "MAIL"), ("phase", "MAIL", "RCPT"), ("phase", "RCPT", "DATA"),
        ("phase", "DATA", "HELLO")]


@pytest.mark.parametrize(("said", "right"), [
    ([b"CNOOP", b"CRSET", b"CQUIT", b"S221 bye"], "221 QUIT"),
    ([b"CNOOP", b"CAUTH LOGIN", b"S334 VXNlcjo="], "334 AUTH LOGIN"),
    ([b"CNOOP", b"CEHLO d", b"S250-mx\r\n250-SIZE 1000\r\n250 DSN"], "250 EHLO d"),
    ([b"CMAIL FROM:<a@b>", b"CQUIT", b"CXYZZY", b"S221 bye"], "221 QUIT"),
    ([b"CMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 1 LAST\r\nx", b"CQUIT", b"S250 ok", b"S221 bye"], "221 QUIT"),
    ([b"CMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA", b"S250 ok\r\n250 ok\r\n250 ok\r\n354 go"], "354 DATA"),
    ([b"CNOOP", b"CQUIT", b"S250 ok\r\n250 ok\r\n221 bye"], "221 QUIT"),
])
def test_a_code_finds_its_command(said: list[bytes], right: str) -> None:
    """Replies too few or too many before it: it is paired with the command that it is for, and told."""
    witness = everyway(SMTP, [*HELLO, *lines(SMTP, *said)])
    assert pairs(witness)[-1] == right
    assert details(witness, "reply_misplaced")


@pytest.mark.parametrize(("said", "told"), [
    ([b"CMAIL FROM:<a@b>", b"S354 go"], "354 to MAIL"),
    ([b"CNOOP", b"S221 bye"], "221 to NOOP"),
    ([b"CNOOP", b"S200 fine"], "200 to NOOP"),
    ([b"CQUIT", b"S250 bye"], "250 to QUIT"),
    ([b"CNOOP", b"CMAIL FROM:<a@b>", b"S200 fine", b"S250 ok"], "200 to NOOP"),
])
def test_a_code_that_nobody_can_have_is_told_and_the_pairing_stays(said: list[bytes], told: str) -> None:
    """It is counted for the oldest."""
    witness = everyway(SMTP, [*HELLO, *lines(SMTP, *said)])
    assert details(witness, "unexpected_reply") == [told]
    assert not details(witness, "reply_misplaced")


def test_commands_of_other_standards_may_be_answered_with_anything() -> None:
    """XEXCH50 gets 354, X-EXPS 334: no false alarm where nothing speaks against it."""
    witness = everyway(SMTP, [*HELLO, *lines(SMTP, b"CXEXCH50 1 2", b"S354 send", b"CX-EXPS NTLM", b"S334 yes", b"CXFOO",
                                             b"S250-a\r\n250 b")])
    assert not MARKS & {name for name, _ in witness.anomalies}


# POP3

LOGIN = [b"S+OK hello", b"CUSER a", b"S+OK", b"CPASS b", b"S+OK in"]


@pytest.mark.parametrize(("said", "right"), [
    ([b"C", b"CSTAT", b"S+OK 2 320"], ["+OK STAT"]),
    ([b"CNOOP", b"CLIST", b"S+OK 2 messages\r\n1 120\r\n2 200\r\n.", b"CDELE 1", b"S+OK"], ["+OK NOOP", "+OK DELE 1"]),
    ([b"CNOOP", b"CRETR 1", b"S+OK\r\nSubject: x\r\n\r\nhi\r\n.", b"CNOOP", b"S+OK"], ["+OK NOOP", "+OK NOOP"]),
    ([b"CSTAT", b"CDELE 1", b"S+OK deleted"], ["+OK DELE 1"]),
    ([b"CLIST 1", b"CNOOP", b"S+OK"], ["+OK NOOP"]),
    ([b"CUIDL 1", b"CSTAT", b"S+OK 2 320"], ["+OK UIDL 1"]),
])
def test_pop3_finds_its_command_by_status_and_shape(said: list[bytes], right: list[str]) -> None:
    """What cannot be the oldest's is the next's that can have it."""
    witness = everyway(POP3, lines(POP3, *LOGIN, *said))
    assert pairs(witness)[3:] == right
    assert bool(details(witness, "reply_misplaced")) == (said[0] != b"CUIDL 1")


def test_a_challenge_is_for_auth_alone() -> None:
    """RFC 5034 §4."""
    witness = everyway(POP3, lines(POP3, b"S+OK", b"CNOOP", b"CAUTH PLAIN", b"S+ ", b"CAGEAYg==", b"S+OK in", b"CSTAT",
                                   b"S+OK 0 0"))
    assert pairs(witness) == ["+OK -", "+ AUTH PLAIN", "+OK AUTH PLAIN", "+OK STAT"]
    assert details(witness, "reply_misplaced") == ["+ is for AUTH: no reply came to NOOP"]
    assert witness.pdus[-1].phase == "TRANSACTION"


def test_a_statistic_without_numbers_is_told() -> None:
    """RFC 1939 §5."""
    witness = everyway(POP3, lines(POP3, *LOGIN, b"CSTAT", b"S+OK none"))
    assert details(witness, "unexpected_reply") == ["+OK none to STAT"]


def test_each_pop3_command_may_succeed_as_its_standard_says() -> None:
    """No shape stands in the way of the examples of RFC 1939."""
    said = [b"CSTAT", b"S+OK 2 320", b"CLIST", b"S+OK\r\n1 120\r\n.", b"CLIST 2", b"S+OK 2 200", b"CUIDL 2", b"S+OK 2 QhdPYR",
            b"CUIDL", b"S+OK\r\n1 a\r\n.", b"CDELE 1", b"S+OK message 1 deleted", b"CRSET", b"S+OK maildrop has 2 messages",
            b"CQUIT", b"S+OK dewey POP3 server signing off"]
    assert not MARKS & {name for name, _ in everyway(POP3, lines(POP3, *LOGIN, *said)).anomalies}
    assert {entry.verb for entry in pop3.COMMANDS.values()} >= {"STAT", "LIST", "UIDL"}
