"""Which protocol a flow of somebody else's capture speaks, on any port; what is no mail is left alone."""

from __future__ import annotations

import random
from struct import pack

import pytest
from dialogue import Witness

from inspector.pdu import C2S, S2C, Address, Direction, Flow
from inspector.pipeline import Pipeline
from inspector.segment import Ended, Opened, Segment

C, S = C2S, S2C
Steps = list[tuple[Direction, bytes]]


def play(port: int, steps: Steps, dice: random.Random | None = None, joined: bool = False) -> tuple[Witness, Flow, list[str]]:
    witness, said = Witness(), []
    pipeline = Pipeline(witness, alarm=said.append)
    flow = Flow(1, Address("192.0.2.1", 40000), Address("192.0.2.2", port), 0)
    pipeline.take(Opened(flow, own=False, joined=joined))
    time = 0
    for direction, data in steps:
        at = 0
        while at < len(data):
            size = dice.choice((1, 2, 5, 30)) if dice else len(data)
            time += 1
            pipeline.take(Segment(1, direction, time, data[at:at + size]))
            at += size
    pipeline.take(Ended(1, C2S, time))
    pipeline.take(Ended(1, S2C, time))
    pipeline.finish()
    return witness, flow, said


def everyhow(port: int, steps: Steps, joined: bool = False) -> tuple[Witness, Flow, list[str]]:
    """Whole, octet by octet and cut at random: the same."""
    outcome = play(port, steps, joined=joined)
    expected = read(outcome[0])
    for seed in range(5):
        again = play(port, steps, random.Random(seed), joined)
        assert (read(again[0]), again[1].protocol, again[2]) == (expected, outcome[1].protocol, outcome[2])
    return outcome


def read(witness: Witness) -> list[tuple[str, str]]:
    return [(pdu.verb, pdu.text) for pdu in witness.pdus]


SMTP: Steps = [(S, b"220 mx ESMTP\r\n"), (C, b"EHLO c\r\n"), (S, b"250 mx\r\n"), (C, b"MAIL FROM:<a@b>\r\n"), (S, b"250 ok\r\n"),
               (C, b"QUIT\r\n"), (S, b"221 bye\r\n")]
POP3: Steps = [(S, b"+OK ready\r\n"), (C, b"USER a\r\n"), (S, b"+OK\r\n"), (C, b"QUIT\r\n"), (S, b"+OK\r\n")]

MAIL: dict[str, tuple[Steps, str]] = {
    "SMTP, by its greeting and EHLO": (SMTP, "smtp"),
    "SMTP without its name": ([(S, b"220 hello\r\n"), *SMTP[1:]], "smtp"),
    "SMTP that refuses": ([(S, b"554 5.7.1 go away\r\n")], "smtp"),
    "SMTP whose client goes at once": ([(S, b"220 mx ESMTP Postfix\r\n")], "smtp"),
    "SMTP, the client alone": ([(C, b"EHLO c\r\nMAIL FROM:<a@b>\r\n")], "smtp"),
    "SMTP, the server alone": ([(S, b"220 mx ESMTP\r\n250 ok\r\n")], "smtp"),
    "LMTP": ([(S, b"220 mail LMTP ready\r\n"), (C, b"LHLO c\r\n"), (S, b"250 ok\r\n")], "lmtp"),
    "LMTP without its name": ([(S, b"220 mail\r\n"), (C, b"LHLO c\r\n"), (S, b"250 ok\r\n")], "lmtp"),
    "POP3": (POP3, "pop3"),
    "POP3 with a bare greeting": ([(S, b"+OK\r\n"), *POP3[1:]], "pop3"),
    "POP3 that refuses": ([(S, b"-ERR too many\r\n")], "pop3"),
    "POP3, the client alone": ([(C, b"USER a\r\nPASS b\r\nSTAT\r\nQUIT\r\n")], ""),
    "IMAP": ([(S, b"* OK IMAP4rev1\r\n"), (C, b"a1 LOGIN a b\r\n"), (S, b"a1 OK\r\n")], "imap"),
    "IMAP, logged in already": ([(S, b"* PREAUTH hello\r\n"), (C, b"a1 LOGOUT\r\n")], "imap"),
}

OTHERS: dict[str, Steps] = {
    "HTTP": [(C, b"GET / HTTP/1.1\r\nHost: mail.example\r\n\r\n"), (S, b"HTTP/1.1 200 OK\r\n\r\n")],
    "HTTP, the server alone": [(S, b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n")],
    "TLS": [(C, b"\x16\x03\x01\x00\x04\x01\x00\x00\x00"), (S, b"\x16\x03\x03\x00\x04\x02\x00\x00\x00")],
    "SSH": [(S, b"SSH-2.0-OpenSSH_9\r\n"), (C, b"SSH-2.0-x\r\n")],
    "Redis": [(C, b"*1\r\n$4\r\nPING\r\n"), (S, b"+OK\r\n")],
    "Redis in a line": [(C, b"SET mail 1\r\n"), (S, b"+OK\r\n"), (C, b"GET mail\r\n"), (S, b"$1\r\n1\r\n")],
    "Redis, the server alone": [(S, b"+OK\r\n$5\r\nhello\r\n")],
    "FTP": [(S, b"220 ProFTPD Server\r\n"), (C, b"USER anonymous\r\n"), (S, b"331 password\r\n")],
    "NNTP": [(S, b"200 news.example ready\r\n"), (C, b"MODE READER\r\n"), (S, b"200 ok\r\n")],
    "DNS over TCP": [(C, b"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04mail\x07example\x00\x00\x0f\x00\x01")],
    "a database": [(S, b"J\x00\x00\x00\x0a5.7.1-mail\x00"), (C, b"\x01\x02\x03")],
    "nothing": [],
    "lines of text": [(C, b"Hello, mail!\r\n"), (S, b"Hello yourself\r\n")],
}


@pytest.mark.parametrize("name", MAIL)
def test_mail_is_recognised_on_any_port(name: str) -> None:
    steps, protocol = MAIL[name]
    witness, flow, said = everyhow(40_025, steps)
    assert flow.protocol == protocol
    assert bool(witness.pdus) is bool(protocol)
    assert said == ([] if protocol else ["1 flow that is not mail left out"])


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_mail_is_left_alone(name: str) -> None:
    witness, flow, said = everyhow(40_025, OTHERS[name])
    assert (witness.told, flow.protocol) == ([], "")
    assert said == ["1 flow that is not mail left out"]


@pytest.mark.parametrize("name", sorted(set(OTHERS) - {"nothing", "lines of text", "TLS", "NNTP", "FTP"}))
def test_what_is_no_mail_on_a_port_of_mail_is_told_and_not_read(name: str) -> None:
    witness, _, said = everyhow(25, OTHERS[name])
    assert {pdu.kind for pdu in witness.pdus} == {"opaque"}
    assert [found for found, _ in witness.anomalies] == ["cross_protocol"]
    assert said == []


def test_tls_on_a_clear_port_is_told_by_its_records() -> None:
    witness, flow, _ = everyhow(25, OTHERS["TLS"])
    assert (flow.protocol, [pdu.kind for pdu in witness.pdus]) == ("smtp", ["opaque", "opaque"])
    assert [found for found, _ in witness.anomalies] == ["cross_protocol"]


@pytest.mark.parametrize(("port", "protocol"), [(465, "smtps"), (993, "imaps"), (995, "pop3s")])
def test_tls_where_it_is_due_is_told_by_its_records(port: int, protocol: str) -> None:
    witness, flow, said = everyhow(port, OTHERS["TLS"])
    assert (flow.protocol, [pdu.text for pdu in witness.pdus]) == (protocol, ["TLS record 22, 9 octets"] * 2)
    assert (witness.anomalies, said) == ([], [])


def test_the_port_decides_where_nothing_else_does() -> None:
    for port, protocol in ((25, "smtp"), (110, "pop3"), (24, "lmtp")):
        witness, flow, _ = everyhow(port, [(C, b"QUIT\r\n")])
        assert (flow.protocol, [pdu.verb for pdu in witness.pdus]) == (protocol, ["QUIT"])


def test_a_greeting_refutes_the_port() -> None:
    assert everyhow(25, POP3)[1].protocol == "pop3"
    assert everyhow(110, SMTP)[1].protocol == "smtp"


# What wraps a session


def socks5(host: bytes, port: int, user: bytes = b"") -> tuple[Steps, bytes]:
    """RFC 1928 and 1929."""
    request = b"\x05\x01\x00\x03" + bytes([len(host)]) + host + pack(">H", port)
    login = [(C, b"\x01" + bytes([len(user)]) + user + b"\x06secret"), (S, b"\x01\x00")] if user else []
    method = b"\x02" if user else b"\x00"
    return [(C, b"\x05\x02\x00\x02"), (S, b"\x05" + method), *login, (C, request),
            (S, b"\x05\x00\x00\x01\x7f\x00\x00\x01\x10\x10")], request


WRAPPED: dict[str, tuple[int, Steps]] = {
    "SOCKS5": (1080, socks5(b"mx.example", 25)[0]),
    "SOCKS5 with a password": (1080, socks5(b"mx.example", 25, b"me")[0]),
    "SOCKS4": (1080, [(C, b"\x04\x01\x00\x19\xc0\x00\x02\x19me\x00"), (S, b"\x00\x5a\x00\x00\x00\x00\x00\x00")]),
    "SOCKS4a": (1080, [(C, b"\x04\x01\x00\x19\x00\x00\x00\x01me\x00mx.example\x00"), (S, b"\x00\x5a\x00\x00\x00\x00\x00\x00")]),
    "CONNECT": (8080, [(C, b"CONNECT mx.example:25 HTTP/1.1\r\nHost: mx.example:25\r\n\r\n"),
                       (S, b"HTTP/1.1 200 Connection established\r\n\r\n")]),
    "PROXY, version 1": (25, [(C, b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 25\r\n")]),
    "PROXY, version 2": (25, [(C, b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\xdc\x04\x00\x19")]),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_what_wraps_a_session_is_passed_over(name: str) -> None:
    """The greeting need not name SMTP: the port behind the proxy hints at it.  No octet is lost."""
    port, before = WRAPPED[name]
    steps = [*before, (S, b"220 hello\r\n"), *SMTP[1:]]
    witness, flow, _ = everyhow(port, steps)
    assert flow.protocol == "smtp"
    assert [pdu.verb for pdu in witness.pdus if pdu.kind != "opaque"] == [
        "", "EHLO", "EHLO", "MAIL", "MAIL", "QUIT", "QUIT"]
    assert witness.pdus[0].text.startswith(name.split(maxsplit=1)[0].rstrip(",a"))
    assert witness.anomalies == []
    for direction in (C2S, S2C):
        assert sum(pdu.size for pdu in witness.pdus if pdu.direction is direction) == sum(
            len(data) for sender, data in steps if sender is direction)


def test_the_password_of_a_proxy_is_secret() -> None:
    witness, _, _ = everyhow(1080, [*WRAPPED["SOCKS5 with a password"][1], *SMTP])
    (pdu,) = [pdu for pdu in witness.pdus if pdu.kind == "opaque" and pdu.direction is C2S]
    assert pdu.secret is not None
    assert pdu.raw[slice(*pdu.secret)] == b"secret"


def test_a_proxy_that_refuses_is_no_session() -> None:
    for steps in ([(C, b"\x05\x01\x00"), (S, b"\x05\xff")],
                  [(C, b"CONNECT mx.example:25 HTTP/1.1\r\n\r\n"), (S, b"HTTP/1.1 403 no\r\n\r\n")]):
        witness, _, said = everyhow(3128, steps)
        assert (witness.told, said) == ([], ["1 flow that is not mail left out"])


# Captures that begin in the middle


def test_a_session_joined_midway_is_read_from_the_first_certain_line() -> None:
    witness, flow, _ = everyhow(25, [
        (S, b"sted\r\n250 ok\r\n"), (C, b"x@y>\r\nRCPT TO:<c@d>\r\n"), (S, b"250 ok\r\n"), (C, b"DATA\r\n"), (S, b"354 go\r\n"),
        (C, b"a\r\n.\r\n"), (S, b"250 ok\r\n")], joined=True)
    assert flow.protocol == "smtp"
    assert [(pdu.kind, pdu.verb, pdu.phase) for pdu in witness.pdus if pdu.kind != "opaque"] == [
        ("reply", "", "CONNECT"), ("command", "RCPT", "RCPT"), ("reply", "RCPT", "RCPT"), ("command", "DATA", "DATA"),
        ("reply", "DATA", "DATA"), ("body", "DATA", "DATA"), ("reply", "DATA", "DATA")]
    assert witness.anomalies == []
    assert witness.messages == [(b"a\r\n", True)]


def test_a_mailbox_joined_midway() -> None:
    steps = [(C, b"RETR 1\r\n"), (S, b"+OK\r\na\r\n.\r\n"), (C, b"QUIT\r\n"), (S, b"+OK\r\n")]
    witness, flow, _ = everyhow(110, steps, joined=True)
    assert flow.protocol == "pop3"
    assert [(pdu.verb, pdu.phase) for pdu in witness.pdus] == [
        ("RETR", "TRANSACTION"), ("RETR", "TRANSACTION"), ("RETR", "TRANSACTION"), ("QUIT", "UPDATE"), ("QUIT", "UPDATE")]
    assert witness.anomalies == []
