"""Every anomaly of the catalogue can be met, and says where its rule stands."""

from __future__ import annotations

import re

import pytest
from dialogue import POP3, SMTP, Step, Witness, everyway, play

from inspector.anomaly import CATALOGUE, Severity
from inspector.limits import Limits
from inspector.pdu import C2S, S2C

GREETED = [(S2C, b"220 mx\r\n"), (C2S, b"EHLO c\r\n"), (S2C, b"250 mx\r\n")]
TO_DATA = [*GREETED, (C2S, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"), (S2C, b"250 ok\r\n250 ok\r\n354 go\r\n")]

STORIES: dict[str, tuple[str, list[Step], Limits]] = {
    "bad_sequence": (SMTP, [*GREETED, (C2S, b"RCPT TO:<a@b>\r\n"), (S2C, b"503 no\r\n")], Limits()),
    "unknown_command": (SMTP, [*GREETED, (C2S, b"XYZZY\r\n"), (S2C, b"500 what\r\n")], Limits()),
    "syntax_error": (POP3, [(S2C, b"+OK\r\n"), (C2S, b"QUIT now\r\n"), (S2C, b"-ERR\r\n")], Limits()),
    "bare_lf": (SMTP, [*GREETED, (C2S, b"NOOP\n"), (S2C, b"250 ok\r\n")], Limits()),
    "bare_cr": (SMTP, [*GREETED, (C2S, b"NOOP a\rb\r\n"), (S2C, b"250 ok\r\n")], Limits()),
    "nul_octet": (SMTP, [*TO_DATA, (C2S, b"a\x00b\r\n.\r\n"), (S2C, b"250 ok\r\n")], Limits()),
    "line_too_long": (POP3, [(S2C, b"+OK\r\n"), (C2S, b"USER " + b"a" * 300 + b"\r\n"), (S2C, b"-ERR\r\n")], Limits()),
    "eight_bit_in_command": (SMTP, [*GREETED, (C2S, "VRFY é\r\n".encode()), (S2C, b"252 ok\r\n")], Limits()),
    "reply_without_command": (POP3, [(S2C, b"+OK\r\n+OK again\r\n")], Limits()),
    "reply_misplaced": (SMTP, [*GREETED, (C2S, b"NOOP\r\nQUIT\r\n"), (S2C, b"221 bye\r\n")], Limits()),
    "unexpected_reply": (SMTP, [*GREETED, (C2S, b"NOOP\r\n"), (S2C, b"354 go\r\n")], Limits()),
    "pipelining_not_offered": (SMTP, [(S2C, b"220 mx\r\n"), (C2S, b"EHLO c\r\nQUIT\r\n"), (S2C, b"250 mx\r\n221 bye\r\n")],
                               Limits()),
    "too_many_pipelined": (POP3, [(S2C, b"+OK\r\n"), (C2S, b"NOOP\r\n" * 9), (S2C, b"-ERR\r\n" * 9)], Limits(unanswered=5)),
    "greeting_skipped": (SMTP, [(S2C, b"220 mx\r\n"), (C2S, b"MAIL FROM:<a@b>\r\n"), (S2C, b"503 no\r\n")], Limits()),
    "early_talker": (SMTP, [(C2S, b"EHLO c\r\n"), (S2C, b"220 mx\r\n250 mx\r\n")], Limits()),
    "cleartext_credentials": (POP3, [(S2C, b"+OK\r\n"), (C2S, b"PASS x\r\n"), (S2C, b"-ERR\r\n")], Limits()),
    "plaintext_after_starttls": (SMTP, [*GREETED, (C2S, b"STARTTLS\r\nNOOP\r\n"), (S2C, b"220 go\r\n")], Limits()),
    "clear_after_starttls": (SMTP, [*GREETED, (C2S, b"STARTTLS\r\n"), (S2C, b"220 go\r\n"), (C2S, b"EHLO c\r\n")], Limits()),
    "starttls_refused": (SMTP, [*GREETED, (C2S, b"STARTTLS\r\n"), (S2C, b"454 no\r\n")], Limits()),
    "auth_offered_in_clear": (POP3, [(S2C, b"+OK\r\n"), (C2S, b"CAPA\r\n"), (S2C, b"+OK\r\nSASL CRAM-MD5 PLAIN\r\n.\r\n")],
                              Limits()),
    "unasked_login": (POP3, [(S2C, b"+OK\r\n"), (C2S, b"STAT\r\n"), (S2C, b"+OK 1 2\r\n")], Limits()),
    "capabilities_differ": (SMTP, [
        (S2C, b"220 mx\r\n"), (C2S, b"EHLO c\r\n"), (S2C, b"250-mx\r\n250-STARTTLS\r\n250-CHUNKING\r\n250 DSN\r\n"),
        (C2S, b"STARTTLS\r\n"), (S2C, b"220 go\r\n"), (C2S, b"EHLO c\r\n"), (S2C, b"250-mx\r\n250-AUTH PLAIN\r\n250 DSN\r\n")],
                            Limits()),
    "truncated": (SMTP, [*TO_DATA, (C2S, b"half a mess")], Limits()),
    "cross_protocol": (SMTP, [(S2C, b"220 mx\r\n"), (C2S, b"GET / HTTP/1.1\r\n"), (S2C, b"500 no\r\n")], Limits()),
    "ambiguous_end_of_data": (SMTP, [*TO_DATA, (C2S, b"a\n.\nb\r\n.\r\n"), (S2C, b"250 ok\r\n")], Limits()),
    "reply_too_long": (SMTP, [*GREETED, (C2S, b"HELP\r\n"), (S2C, b"214-x\r\n" * 50 + b"214 x\r\n")], Limits(reply=99)),
    "early_content": (SMTP, [*GREETED, (C2S, b"DATA\r\nSubject: x\r\n"), (S2C, b"503 no\r\n500 what\r\n")], Limits()),
    "unknown_protocol": ("", [(S2C, b"* OK IMAP4rev1\r\n"), (C2S, b"a NOOP\r\n")], Limits()),
}


TCP = {"tcp_gap", "tcp_overlap_conflict"}
"""Those of captures: their stories stand in test_gaps and test_tcp."""

LIVE = {"weak_tls", "starttls_withdrawn", "sealed"}
"""Those about TLS that is looked into, and of several sessions: their stories stand in test_starttls and test_unsealing."""

MIME = {"duplicate_field", "ambiguous_filename", "unknown_encoding", "encoded_multipart", "missing_boundary",
        "ambiguous_boundary", "long_boundary", "unclosed_multipart", "odd_encoding", "broken_encoding", "unknown_charset",
        "charset_lie", "nul_in_header", "bare_cr_in_header", "eight_bit_in_header", "malformed_header", "mime_limit"}
"""Those of a plugin: their stories stand in test_mime_doubts."""


@pytest.mark.parametrize("name", STORIES)
def test_an_anomaly_is_found_whatever_the_cutting(name: str) -> None:
    """One story each."""
    protocol, steps, limits = STORIES[name]
    witness: Witness = everyway(protocol, steps, limits) if protocol else play(protocol, steps)
    assert name in {found for found, _ in witness.anomalies}


def test_no_anomaly_is_without_a_story() -> None:
    """A fault of our own has its story in the tests of the relay."""
    assert set(STORIES) == set(CATALOGUE) - {"parser_fault"} - TCP - LIVE - MIME


def test_the_catalogue_says_where_each_rule_stands() -> None:
    """Name, severity, reference and a sentence."""
    for name, entry in CATALOGUE.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
        assert entry.severity in Severity
        assert re.match(r"RFC \d+ §|mailspy$", entry.reference)
        assert entry.meaning.endswith(".")


def test_a_flawless_session_has_no_anomaly() -> None:
    """What is right is not complained about."""
    witness = everyway(SMTP, [*TO_DATA, (C2S, b"Subject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n"), (S2C, b"250 ok\r\n221 bye\r\n")])
    assert witness.anomalies == []
