"""LMTP stories: mail is handed to Dovecot for final delivery, by test clients and by Postfix."""

from __future__ import annotations

import smtplib
from functools import partial
from pathlib import Path

import pytest

from .conftest import BothWays, Proxied
from .harness import STAND_IN, Run, client, normalised
from .mail import DOTS, LONG, SHEET
from .servers import HOME, HOP, Dovecot, Postfix
from .shim import Shim, call

MICHEL = f"michel@{HOME}"


@pytest.fixture
def delivers(both_ways: BothWays, dovecot: Dovecot) -> partial[Run]:
    """Plays a story against Dovecot's LMTP and compares what lies in two mailboxes afterwards."""

    def empty() -> None:
        dovecot.maildrop("natkin")
        dovecot.maildrop("gerard")

    return partial(both_ways, dovecot.lmtp, before=empty,
                   after=lambda: [dovecot.stored("natkin"), dovecot.stored("gerard")])


def test_smtplib_delivers_to_two_of_three(delivers: partial[Run], dovecot: Dovecot) -> None:
    """After the end of data there is one reply for each recipient that was accepted (RFC 2033)."""

    def session(port: int) -> object:
        with smtplib.LMTP("127.0.0.1", port, local_hostname="client.example") as lmtp:
            return lmtp.ehlo(), lmtp.sendmail(MICHEL, ["natkin@x.example", "nobody@x.example"], DOTS), lmtp.noop()

    run = delivers(session)
    assert len(dovecot.stored("natkin")) == 1
    assert run.verbs()[:4] == ["LHLO", "MAIL", "RCPT", "RCPT"]
    assert {event["protocol"] for event in run.events()} == {"lmtp"}


def test_a_reply_for_each_recipient(delivers: partial[Run], dovecot: Dovecot) -> None:
    """Two recipients, two final replies; the command sent right behind the dot gets the third."""

    def session(port: int) -> bytes:
        with call(port) as line:
            line.reply()
            line.say(b"LHLO client.example\r\n")
            line.reply()
            line.say(f"MAIL FROM:<{MICHEL}>\r\n".encode(),
                     b"RCPT TO:<natkin@x.example>\r\nRCPT TO:<gerard@x.example>\r\nDATA\r\n")
            for _ in range(4):
                line.reply()
            line.say(SHEET + b".\r\nNOOP\r\nQUIT\r\n")
            line.rest()
            return line.received

    run = delivers(session)
    assert len(dovecot.stored("natkin")) == len(dovecot.stored("gerard")) == 1
    assert [pdu["status"] for pdu in run.pdus(kind="reply")][-4:] == ["250", "250", "250", "221"]
    assert run.pdus(kind="reply", verb="NOOP")
    assert not run.anomalies()


def test_swaks_delivers(delivers: partial[Run], dovecot: Dovecot, tmp_path: Path) -> None:
    """swaks speaks LMTP."""
    letter = tmp_path / "letter"
    letter.write_bytes(SHEET)

    def session(port: int) -> bytes:
        done = client("swaks", "swaks", "--protocol", "LMTP", "--server", "127.0.0.1", "--port", port,
                      "--helo", "client.example", "--from", MICHEL, "--to", "natkin@x.example", "--data", f"@{letter}")
        return done.stdout

    run = delivers(session)
    assert len(dovecot.stored("natkin")) == 1
    assert run.verbs() == ["LHLO", "MAIL", "RCPT", "DATA", "QUIT"]


def test_postfix_hands_mail_on(proxied: Proxied, postfix: Postfix, dovecot: Dovecot) -> None:
    """Postfix takes mail for a domain and delivers it by LMTP, through mailspy, to Dovecot: unchanged."""

    def send() -> list[bytes]:
        for user in ("natkin", "gerard"):
            dovecot.maildrop(user)
        with smtplib.SMTP("127.0.0.1", postfix.smtp.port, local_hostname="client.example") as smtp:
            smtp.sendmail(MICHEL, [f"natkin@{HOP}", f"gerard@{HOP}"], SHEET)
            smtp.sendmail(MICHEL, [f"natkin@{HOP}"], LONG)
        postfix.settle()
        return [*sorted(dovecot.stored("natkin")), *dovecot.stored("gerard")]

    with Shim("lmtp", dovecot.lmtp.port, port=postfix.hop_port):
        direct = send()
    with proxied(dovecot.lmtp, port=postfix.hop_port) as run:
        through = send()
    assert len(through) == 3
    assert normalised(through) == normalised(direct)
    if STAND_IN:
        return
    assert len(run.pdus(kind="body")) == 2
    assert {event["protocol"] for event in run.events()} == {"lmtp"}
