"""Clients that do not wait, and replies without an end that they do not wait for (RFC 2920 §3.1)."""

from __future__ import annotations

import pytest
from dialogue import POP3, SMTP, Step, Witness, everyway

from inspector.pdu import C2S, S2C

OFFERING = b"250-mx\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
GROUP = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"


def details(witness: Witness, name: str) -> list[str]:
    return [one[3] for one in witness.told if one[:2] == ("anomaly", name)]


def pairs(witness: Witness) -> list[str]:
    return [f"{pdu.status} {pdu.command.raw.strip().decode() if pdu.command else '-'}" for pdu in witness.pdus if pdu.status]


# Pipelining that was not offered

@pytest.mark.parametrize(("steps", "told"), [
    ([(C2S, b"EHLO c\r\n" + GROUP), (S2C, OFFERING), (S2C, b"554 synchronization error\r\n")], ["before the reply to EHLO"]),
    ([(C2S, b"HELO c\r\n"), (C2S, GROUP), (S2C, b"250 mx\r\n503 no\r\n")], ["before the reply to HELO"]),
    ([(C2S, b"EHLO c\r\nSTARTTLS\r\n"), (S2C, b"250-mx\r\n250 STARTTLS\r\n554 no\r\n")], ["before the reply to EHLO"]),
    ([(C2S, b"EHLO c\r\n"), (S2C, OFFERING), (C2S, GROUP), (S2C, b"250 ok\r\n250 ok\r\n354 go\r\n")], []),
    ([(C2S, b"EHLO c\r\n"), (S2C, OFFERING), (C2S, b"RSET\r\nEHLO c\r\n"), (S2C, b"250 ok\r\n250 mx\r\n")], []),
    ([(C2S, b"\r\n"), (C2S, b"EHLO c\r\n"), (S2C, b"250 mx\r\n"), (C2S, b"QUIT\r\n"), (S2C, b"221 bye\r\n")], []),
])
def test_who_does_not_wait_for_the_reply_to_ehlo_is_named(steps: list[Step], told: list[str]) -> None:
    """From the order of lines alone nobody can tell whether the client has waited (case 27; testssl #218)."""
    assert details(everyway(SMTP, [(S2C, b"220 mx\r\n"), *steps]), "pipelining_not_offered") == told


# Replies without an end

@pytest.mark.parametrize(("protocol", "steps", "right"), [
    (SMTP, [(S2C, b"220 mx ESMTP"), (C2S, b"EHLO c\r\n"), (S2C, b"250-mx\r\n250 DSN\r\n"), (C2S, b"QUIT\r\n"),
            (S2C, b"221 bye\r\n")],
     ["220 -", "250 EHLO c", "221 QUIT"]),
    (SMTP, [(S2C, b"220 mx\r\n"), (C2S, b"EHLO c\r\n"), (S2C, b"250 mx"), (C2S, b"RSET\r\n"), (S2C, b"250 ok\r\n")],
     ["220 -", "250 EHLO c", "250 RSET"]),
    (SMTP, [(S2C, b"220 mx"), (C2S, b"EHLO c\r\n"), (S2C, b"250 mx"), (C2S, b"RSET\r\n"), (S2C, b"250 ok"), (C2S, b"QUIT\r\n"),
            (S2C, b"221 bye\r\n")],
     ["220 -", "250 EHLO c", "250 RSET", "221 QUIT"]),
    (POP3, [(S2C, b"+OK hi"), (C2S, b"USER a\r\n"), (S2C, b"+OK"), (C2S, b"PASS b\r\n"), (S2C, b"-ERR no"), (C2S, b"QUIT\r\n"),
            (S2C, b"+OK\r\n")],
     ["+OK -", "+OK USER a", "-ERR PASS b", "+OK QUIT"]),
    (POP3, [(S2C, b"+OK hi"), (C2S, b"USER a\r\n"), (S2C, b"+OK\r\n"), (C2S, b"QUIT\r\n"), (S2C, b"+OK\r\n")],
     ["+OK -", "+OK USER a", "+OK QUIT"]),
    (POP3, [(S2C, b"+OK hi\r\n"), (C2S, b"AUTH PLAIN\r\n"), (S2C, b"+ "), (C2S, b"AGEAYg==\r\n"), (S2C, b"-ERR no\r\n")],
     ["+OK -", "+ AUTH PLAIN", "-ERR AUTH PLAIN"]),
])
def test_a_reply_ends_where_the_client_has_taken_it_for_whole(protocol: str, steps: list[Step], right: list[str]) -> None:
    """The client waits for one reply, goes on before its line has ended, and another reply begins there."""
    witness = everyway(protocol, steps)
    assert pairs(witness) == right
    halves = sum(data[-1:] != b"\n" for way, data in steps if way is S2C and data != b"+ ")
    assert details(witness, "syntax_error") == ["the reply has no end of line"] * halves
    assert not details(witness, "truncated")


def test_the_content_after_a_reply_without_an_end() -> None:
    """354 without one: the client sends the letter all the same."""
    witness = everyway(SMTP, [(S2C, b"220 mx\r\n"), (C2S, b"HELO c\r\n"), (S2C, b"250 mx\r\n"), (C2S, b"MAIL FROM:<a@b>\r\n"),
                              (S2C, b"250 ok\r\n"), (C2S, b"RCPT TO:<c@d>\r\n"), (S2C, b"250 ok\r\n"), (C2S, b"DATA\r\n"),
                              (S2C, b"354 go"), (C2S, b"hi\r\n.\r\n"), (S2C, b"250 ok\r\n"), (C2S, b"QUIT\r\n"),
                              (S2C, b"221 bye\r\n")])
    assert witness.messages == [(b"hi\r\n", True)]
    assert pairs(witness)[-3:] == ["354 DATA", "250 hi\r\n.", "221 QUIT"]


def test_one_mail_is_read_behind_a_greeting_without_an_end() -> None:
    """The list that EHLO is answered with breaks off, too: the codes say where the replies belong."""
    said = [b"220 mx ESMTP", b"EHLO c\r\n", b"250-mx\r\n", b"MAIL FROM:<a@b.c>\r\n", b"250 ok\r\n", b"RCPT TO:<d@e.f>\r\n",
            b"250 ok\r\n", b"DATA\r\n", b"354 go\r\n", b"Subject: hi\r\n\r\nHello\r\n.\r\n", b"250 queued\r\n",
            b"QUIT\r\n", b"221 bye\r\n"]
    witness = everyway(SMTP, [(C2S if number % 2 else S2C, octets) for number, octets in enumerate(said)])
    assert witness.messages == [(b"Subject: hi\r\n\r\nHello\r\n", True)]
    assert pairs(witness)[-3:] == ["354 DATA", "250 Subject: hi\r\n\r\nHello\r\n.", "221 QUIT"]
    assert details(witness, "reply_misplaced")


@pytest.mark.parametrize("rest", [b" slow\r\n", b"\r\n", b"25", b"host 250 ok\r\n"])
def test_half_a_reply_is_only_half_come(rest: bytes) -> None:
    """Nothing is cut where no other reply begins."""
    witness = everyway(SMTP, [(S2C, b"220 mx\r\n"), (C2S, b"NOOP\r\n"), (S2C, b"250 o"), (C2S, b"QUIT\r\n"), (S2C, rest)])
    assert [pdu.raw for pdu in witness.pdus][-1] == b"250 o" + rest


def test_among_several_replies_nothing_is_cut() -> None:
    """Who pipelines may go on while the first reply comes."""
    witness = everyway(SMTP, [(S2C, b"220 mx\r\n"), (C2S, b"EHLO c\r\n"), (S2C, OFFERING), (C2S, b"NOOP\r\nNOOP\r\n"),
                              (S2C, b"250 mx.example says "), (C2S, b"QUIT\r\n"), (S2C, b"250 ok\r\n250 ok\r\n221 bye\r\n")])
    assert pairs(witness)[2:] == ["250 NOOP", "250 NOOP", "221 QUIT"]
    assert b"250 mx.example says 250 ok\r\n" in [pdu.raw for pdu in witness.pdus]
