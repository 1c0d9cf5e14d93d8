"""POP3 stories: real clients read their mail from Dovecot, with and without mailspy between them."""

from __future__ import annotations

import hashlib
import poplib
import re
import ssl
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from .conftest import BothWays, Proxied
from .harness import Run, assert_no_secret, client, normalised, readings
from .mail import DOTS, MAILDROP, SHEET, message
from .servers import CERTIFIED, USERS, WRONG_PASSWORD, Dovecot
from .shim import CUTS, Shim, call
from .terminal import telnet

PASSWORD = USERS["natkin"]


@pytest.fixture
def reads_mail(both_ways: BothWays, dovecot: Dovecot) -> partial[Run]:
    """Plays a story against natkin's mailbox, filled anew each time, and compares what is left in it."""
    return partial(both_ways, dovecot.pop3, before=lambda: dovecot.maildrop("natkin", *MAILDROP),
                   after=lambda: dovecot.stored("natkin"), dissected="pop")


def test_the_sheet_typed_by_hand(both_ways: BothWays, dovecot: Dovecot) -> None:
    """The session of the exercise sheet, typed into telnet: one wrong password, one message read and deleted."""

    def typed(port: int) -> bytes:
        with telnet(port) as terminal:
            terminal.expect(b"+OK pop.example ready")
            terminal.type("USER natkin", b"+OK")
            terminal.type(f"PASS {WRONG_PASSWORD}", b"-ERR")
            terminal.type("USER natkin", b"+OK")
            terminal.type(f"PASS {PASSWORD}", b"+OK Logged in.")
            terminal.type("STAT", b"+OK 1 ")
            terminal.type("RETR 1", b"\r\n.\r\n")
            terminal.type("DELE 1", b"+OK")
            terminal.type("QUIT", b"+OK Logging out")
            return terminal.rest()

    run = both_ways(dovecot.pop3, typed, before=lambda: dovecot.maildrop("natkin", SHEET),
                    after=lambda: dovecot.stored("natkin"), dissected="pop")
    assert dovecot.stored("natkin") == []
    assert len(run.pdus()) == 18
    assert [pdu["phase"] for pdu in run.pdus()] == ["AUTHORIZATION"] * 9 + ["TRANSACTION"] * 7 + ["UPDATE"] * 2
    assert run.pdus(number=14)[0]["kind"] == "body"
    assert "cleartext_credentials" in run.anomalies()


def test_poplib_reads_lists_and_deletes(reads_mail: partial[Run]) -> None:
    """Python's client logs in with USER and PASS, looks at everything, deletes two messages and takes one back."""

    def session(port: int) -> object:
        pop = poplib.POP3("127.0.0.1", port, timeout=10)
        seen = [pop.getwelcome(), pop.capa(), pop.user("natkin"), pop.pass_(PASSWORD), pop.stat(), pop.list(),
                pop.list(2), pop.uidl(), pop.uidl(3), pop.top(1, 3), pop.top(4, 0)]
        seen += [pop.retr(number) for number in range(1, len(MAILDROP) + 1)]
        seen += [pop.dele(1), pop.rset(), pop.dele(2), pop.dele(4), pop.noop(), pop.quit()]
        assert b"\r\n".join(pop_lines(seen[12])) + b"\r\n" == DOTS
        return seen

    run = reads_mail(session)
    assert run.verbs() == ["CAPA", "USER", "PASS", "STAT", "LIST", "LIST", "UIDL", "UIDL", "TOP", "TOP", *["RETR"] * 5,
                           "DELE", "RSET", "DELE", "DELE", "NOOP", "QUIT"]
    assert {pdu["phase"] for pdu in run.pdus(verb="QUIT")} == {"UPDATE"}


def pop_lines(retrieved: object) -> list[bytes]:
    """The lines of what poplib's `retr` gives."""
    assert isinstance(retrieved, tuple)
    return list(retrieved[1])


def test_poplib_logs_in_by_apop(reads_mail: partial[Run]) -> None:
    """APOP: the digest is worth a password to whoever can guess, and is masked like one."""
    digests = []

    def session(port: int) -> object:
        pop = poplib.POP3("127.0.0.1", port, timeout=10)
        stamp = re.search(rb"<.*>", pop.getwelcome())
        assert stamp
        digests.append(hashlib.md5(stamp[0] + PASSWORD.encode()).hexdigest().encode())
        return [pop.apop("natkin", PASSWORD), pop.retr(1), pop.quit()]

    run = reads_mail(session)
    assert run.verbs() == ["APOP", "RETR", "QUIT"]
    assert_no_secret(run, digests)


def test_curl_fetches(reads_mail: partial[Run]) -> None:
    """curl lists the mailbox and fetches a message, by each way to log in that it knows."""

    def fetch(port: int, what: str, login: str) -> list[object]:
        done = client("curl", "curl", "-sv", f"pop3://127.0.0.1:{port}/{what}", "--user", f"natkin:{PASSWORD}",
                      "--login-options", f"AUTH={login}")
        return [done.stdout, [line for line in done.stderr.splitlines() if line.startswith(b"<")]]

    def session(port: int) -> object:
        seen = [[fetch(port, what, login) for what in ("", "2")] for login in ("+APOP", "CRAM-MD5", "PLAIN", "LOGIN")]
        assert all(fetched == DOTS for _, (fetched, _) in seen)
        return seen

    run = reads_mail(session)
    assert [run.verbs().count(verb) for verb in ("APOP", "AUTH", "LIST", "RETR", "QUIT")] == [2, 6, 4, 4, 8]
    assert {event["protocol"] for event in run.events()} == {"pop3"}
    assert [event["flow"] for event in run.events("flow_opened")] == list(range(1, 9))


def test_poplib_goes_over_to_tls(reads_mail: partial[Run], pair: tuple[Path, Path]) -> None:
    """After STLS the client still sees the server's own certificate, and mailspy only TLS records."""

    def session(port: int) -> object:
        pop = poplib.POP3("127.0.0.1", port, timeout=10)
        context = ssl.create_default_context(cafile=str(pair[0]))
        seen = [pop.stls(context)]
        assert isinstance(pop.sock, ssl.SSLSocket)
        return [*seen, pop.user("natkin"), pop.pass_(PASSWORD), pop.retr(2), pop.quit()]

    run = reads_mail(session)
    assert run.verbs() == ["CAPA", "STLS"]
    assert {pdu["kind"] for pdu in run.pdus()} == {"greeting", "command", "reply", "body", "opaque"}
    assert not run.anomalies() & {"parser_fault", "plaintext_after_starttls"}


def test_the_name_asked_for_in_tls_is_seen(reads_mail: partial[Run]) -> None:
    """openssl s_client names the server that it wants (SNI): the name and the version of TLS stand in the events."""

    def session(port: int) -> object:
        done = client("openssl", "openssl", "s_client", "-quiet", "-starttls", "pop3", "-connect", f"127.0.0.1:{port}",
                      "-servername", CERTIFIED, stdin=f"USER natkin\r\nPASS {PASSWORD}\r\nSTAT\r\nQUIT\r\n".encode())
        assert b"+OK Logging out" in done.stdout
        return done.stdout

    run = reads_mail(session)
    said = " ".join(pdu["text"] for pdu in run.pdus(kind="opaque"))
    assert CERTIFIED in said
    assert "1.3" in said


def test_commands_in_one_segment(reads_mail: partial[Run]) -> None:
    """A pipelining client (RFC 2449) sends a whole session at once; every octet is in exactly one PDU."""
    sizes = []

    def session(port: int) -> object:
        with call(port) as line:
            line.line()
            line.ask(b"USER natkin\r\n")
            line.ask(f"PASS {PASSWORD}\r\n".encode())
            line.say(b"STAT\r\nLIST\r\nUIDL 9\r\nRETR 1\r\nRETR 9\r\nTOP 2 1\r\nretr 4\r\nDELE 3\r\nXYZZY\r\nQUIT\r\n")
            line.rest()
            sizes.append((line.sent, len(line.received)))
            return line.received

    run = reads_mail(session)
    assert (run.octets("C->S"), run.octets("S->C")) == sizes[-1]
    assert run.verbs() == ["USER", "PASS", "STAT", "LIST", "UIDL", "RETR", "RETR", "TOP", "RETR", "DELE", "",
                           "QUIT"]
    assert "unknown_command" in run.anomalies()


def test_a_thousand_commands_before_the_first_answer(reads_mail: partial[Run]) -> None:
    """Replies find their commands however many are under way."""

    def session(port: int) -> object:
        with call(port) as line:
            line.line()
            line.ask(b"USER natkin\r\n")
            line.ask(f"PASS {PASSWORD}\r\n".encode())
            line.say(b"RETR 2\r\nNOOP\r\n" * 500 + b"QUIT\r\n")
            return line.rest()

    run = reads_mail(session)
    assert len(run.pdus(kind="body", verb="RETR")) == 500
    assert len(run.pdus(kind="reply", verb="NOOP")) == 500
    assert len(run.pdus(kind="reply", verb="QUIT")) == 1


def test_however_the_network_cuts(proxied: Proxied, dovecot: Dovecot) -> None:
    """Octets that arrive one by one, or anyhow, from either side, give the same PDUs as whole segments."""
    dovecot.maildrop("natkin", SHEET, DOTS)

    def session(port: int) -> bytes:
        with call(port) as line:
            line.line()
            for command in (b"USER natkin", b"PASS " + PASSWORD.encode(), b"STAT"):
                line.ask(command + b"\r\n")
            line.say(b"RETR 1\r\nRETR 2\r\nLIST\r\nQUIT\r\n")
            line.rest()
            return line.received

    with Shim("pop3", dovecot.pop3.port, to_server=CUTS, to_client=CUTS) as behind, \
            proxied(behind, dissected="pop") as run, Shim("pop3", run.port, to_server=CUTS) as before:
        whole, *received = [normalised(session(before.port)) for _ in CUTS]
    assert received == [whole] * len(received)
    for direction in ("C->S", "S->C"):
        uncut, *cut = [readings(run, flow, direction) for flow in range(1, len(CUTS) + 1)]
        assert cut == [uncut] * len(cut)


def test_a_client_that_has_said_all(reads_mail: partial[Run]) -> None:
    """The client closes its sending side right behind QUIT, and still gets the last reply."""

    def session(port: int) -> object:
        with call(port) as line:
            line.line()
            line.ask(b"USER natkin\r\n")
            line.ask(f"PASS {PASSWORD}\r\n".encode())
            line.say(b"RETR 4\r\nQUIT\r\n")
            line.finish()
            line.rest()
            assert line.received.endswith(b"\r\n.\r\n+OK Logging out.\r\n")
            return line.received

    run = reads_mail(session)
    assert run.pdus(verb="QUIT", kind="reply")
    assert "truncated" not in run.anomalies()


def test_fifty_clients_at_once(proxied: Proxied, dovecot: Dovecot) -> None:
    """Fifty people read their mail at the same time; each gets his own, and each flow is whole."""
    letters = {f"user{number:02}": message(f"letter {number}", *[f"line {number}"] * number) for number in range(50)}
    for user, letter in letters.items():
        dovecot.maildrop(user, letter)

    def session(user: str) -> bytes:
        pop = poplib.POP3("127.0.0.1", run.port, timeout=30)
        pop.user(user)
        pop.pass_(USERS[user])
        lines = pop.retr(1)[1]
        pop.quit()
        return b"".join(line + b"\r\n" for line in lines)

    with proxied(dovecot.pop3, dissected="pop") as run, ThreadPoolExecutor(50) as people:
        assert list(people.map(session, letters)) == list(letters.values())
    assert len(run.events("flow_opened")) == len(run.events("flow_closed")) == 50
    assert len(run.pdus(kind="body")) == 50
    assert not run.anomalies() - {"cleartext_credentials"}
