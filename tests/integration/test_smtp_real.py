"""SMTP stories: real clients send mail to Postfix, with and without mailspy between them."""

from __future__ import annotations

import base64
import re
import smtplib
import ssl
import subprocess
from functools import partial
from pathlib import Path

import pytest

from .conftest import BothWays, Proxied
from .harness import Run, assert_no_secret, client, normalised, readings
from .mail import DOTS, EIGHT_BIT, LONG, SHEET, message
from .servers import CERTIFIED, HOME, USERS, Postfix, missing, program
from .shim import CUTS, Line, Shim, call
from .terminal import telnet

MICHEL = f"michel@{HOME}"
PIERRE = f"pierre@{HOME}"
ENVELOPE = f"MAIL FROM:<{MICHEL}>\r\nRCPT TO:<{PIERRE}>\r\n".encode()


@pytest.fixture
def sends_mail(both_ways: BothWays, postfix: Postfix) -> partial[Run]:
    """Plays a story against Postfix and compares what was delivered to pierre and to gerard."""
    return partial(both_ways, postfix.smtp, before=postfix.empty, dissected="smtp",
                   after=lambda: [postfix.stored("pierre"), postfix.stored("gerard")])


def hello(port: int) -> Line:
    """A raw client that has said EHLO."""
    line = call(port)
    line.reply()
    line.say(b"EHLO client.example\r\n")
    line.reply()
    return line


def stuffed(content: bytes) -> bytes:
    """The content as it crosses after DATA, with its final dot."""
    return re.sub(rb"(?m)^\.", b"..", content) + b".\r\n"


def body(content: bytes) -> bytes:
    """What comes after the header, as it is stored."""
    return content.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n")


def test_the_sheet_typed_by_hand(sends_mail: partial[Run], postfix: Postfix) -> None:
    """Question II.5 of the exercise sheet: michel writes to pierre with telnet, and all goes well."""

    def typed(port: int) -> bytes:
        with telnet(port) as terminal:
            terminal.expect(b"220 mx.cnam.example ESMTP")
            terminal.type(f"HELO {HOME}", b"250 mx.cnam.example")
            terminal.type(f"MAIL FROM:<{MICHEL}>", b"250 2.1.0 Ok")
            terminal.type(f"RCPT TO:<{PIERRE}>", b"250 2.1.5 Ok")
            terminal.type("DATA", b"354 ")
            for line in (f"From: {MICHEL}", f"To: {PIERRE}", "Subject: essai", "", "Bonjour"):
                terminal.type(line, b"")
            terminal.type(".", b"250 2.0.0 Ok: queued as ")
            terminal.type("QUIT", b"221 2.0.0 Bye")
            return terminal.rest()

    run = sends_mail(typed)
    assert postfix.stored("pierre")[0].endswith(b"\n\nBonjour\n")
    assert run.verbs() == ["HELO", "MAIL", "RCPT", "DATA", "QUIT"]
    phases = dict.fromkeys(pdu["phase"] for pdu in run.pdus())
    assert list(phases) == ["CONNECT", "HELLO", "MAIL", "RCPT", "DATA", "QUIT"]
    assert not run.anomalies()


def test_smtplib_sends_to_several(sends_mail: partial[Run], postfix: Postfix) -> None:
    """Python's client sends the sheet's message to two people, then 8-bit lines, then lines that begin with dots."""

    def session(port: int) -> object:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=10) as smtp:
            seen: list[object] = [smtp.ehlo(), smtp.verify("nobody")]
            seen += [smtp.sendmail(MICHEL, [PIERRE, f"gerard@{HOME}", f"nobody@{HOME}"], SHEET, ["SIZE=2000"])]
            seen += [smtp.sendmail(MICHEL, PIERRE, EIGHT_BIT, ["BODY=8BITMIME"]), smtp.rset(), smtp.noop()]
            seen += [smtp.sendmail("", PIERRE, DOTS)]
        return seen

    run = sends_mail(session)
    stored = [mail.partition(b"\n\n")[2] for mail in postfix.stored("pierre")]
    assert stored == sorted([body(SHEET), body(EIGHT_BIT), body(DOTS)])
    assert len(postfix.stored("gerard")) == 1
    assert len(run.pdus(kind="body", verb="DATA")) == 3
    refused = [pdu for pdu in run.pdus(kind="reply", verb="RCPT") if pdu["status"] == "550"]
    assert len(refused) == 1


def test_five_megabytes(sends_mail: partial[Run], postfix: Postfix) -> None:
    """A big message arrives whole."""
    big = message("big", *(f"{number:08} " + "a long way " * 8 for number in range(52_000)))

    def session(port: int) -> object:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=30) as smtp:
            return smtp.sendmail(MICHEL, PIERRE, big)

    run = sends_mail(session)
    assert len(big) > 5_000_000
    assert postfix.stored("pierre")[0].endswith(body(big))
    assert run.pdus(kind="body")[0]["size"] == len(big) + len(b".\r\n")


def test_commands_in_groups(sends_mail: partial[Run]) -> None:
    """A pipelining client (RFC 2920) sends two messages in as few segments as it may; PDUs tile both streams."""
    sizes = []

    def session(port: int) -> bytes:
        with hello(port) as line:
            line.say(ENVELOPE + b"RCPT TO:<nobody@cnam.example>\r\nDATA\r\n")
            for _ in range(4):
                line.reply()
            line.say(stuffed(DOTS) + b"MAIL FROM:<>\r\n" + f"RCPT TO:<{PIERRE}>\r\nDATA\r\n".encode())
            for _ in range(4):
                line.reply()
            line.say(stuffed(SHEET) + b"NOOP\r\nQUIT\r\n")
            line.rest()
            sizes.append((line.sent, len(line.received)))
            return line.received

    run = sends_mail(session)
    assert (run.octets("C->S"), run.octets("S->C")) == sizes[-1]
    assert run.verbs() == ["EHLO", "MAIL", "RCPT", "RCPT", "DATA", "MAIL", "RCPT", "DATA", "NOOP", "QUIT"]


@pytest.mark.parametrize("options", [[], ["--pipeline"]], ids=["plain", "pipelined"])
def test_swaks_sends(sends_mail: partial[Run], tmp_path: Path, options: list[str]) -> None:
    """swaks sends the sheet's message, with and without pipelining; its transcript is the same."""

    def session(port: int) -> bytes:
        return swaks(port, tmp_path, *options)

    run = sends_mail(session)
    assert run.verbs() == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


def swaks(port: int, folder: Path, *options: str) -> bytes:
    """What swaks has to say of sending the sheet's message."""
    letter = folder / "letter"
    letter.write_bytes(SHEET)
    return client("swaks", "swaks", "--server", "127.0.0.1", "--port", port, "--helo", "client.example",
                  "--from", MICHEL, "--to", PIERRE, "--data", f"@{letter}", *options).stdout


def test_swaks_goes_over_to_tls(sends_mail: partial[Run], tmp_path: Path) -> None:
    """swaks asks for STARTTLS: what follows are TLS records, and the mail arrives."""
    perl = [program("perl", "perl"), "-MNet::SSLeay", "-e", "1"]
    if subprocess.run(perl, capture_output=True, check=False).returncode:
        missing("swaks cannot speak TLS: Net::SSLeay is not installed (Debian: libnet-ssleay-perl)")

    def session(port: int) -> bytes:
        said = swaks(port, tmp_path, "--tls")
        assert b"TLS started" in said
        return said

    run = sends_mail(session)
    assert run.verbs() == ["EHLO", "STARTTLS"]
    assert run.pdus(kind="opaque")


def test_curl_sends(sends_mail: partial[Run], tmp_path: Path) -> None:
    """curl uploads a message with lines that begin with dots, to two recipients."""
    letter = tmp_path / "letter"
    letter.write_bytes(DOTS)

    def session(port: int) -> object:
        done = client("curl", "curl", "-sv", f"smtp://127.0.0.1:{port}/client.example", "--mail-from", MICHEL,
                      "--mail-rcpt", PIERRE, "--mail-rcpt", f"gerard@{HOME}", "--upload-file", letter)
        return [line for line in done.stderr.splitlines() if line.startswith(b"<")]

    run = sends_mail(session)
    assert run.verbs() == ["EHLO", "MAIL", "RCPT", "RCPT", "DATA", "QUIT"]


def test_chunks(sends_mail: partial[Run], postfix: Postfix) -> None:
    """BDAT (RFC 3030): the octets counted are content, whatever they look like; the next command follows at once."""
    first = message("chunks", "one")
    tricky = b"\r\n.\r\nQUIT\r\nSTARTTLS\r\n"

    def session(port: int) -> bytes:
        with hello(port) as line:
            line.say(ENVELOPE + b"BDAT %d\r\n" % len(first) + first + b"BDAT %d LAST\r\n" % len(tricky) + tricky
                     + ENVELOPE + b"BDAT 6\r\nS: x\r\n" + b"BDAT 0 LAST\r\nQUIT\r\n")
            return line.rest()

    run = sends_mail(session)
    assert len(postfix.stored("pierre")) == 2
    assert run.verbs() == ["EHLO", "MAIL", "RCPT", "BDAT", "BDAT", "MAIL", "RCPT", "BDAT", "BDAT", "QUIT"]


def test_a_chunk_that_nobody_wants(sends_mail: partial[Run]) -> None:
    """A chunk is content even where the server refuses it (no recipient): its octets are no commands."""

    def session(port: int) -> bytes:
        with hello(port) as line:
            line.say(b"BDAT 6 LAST\r\nRSET\r\nNOOP\r\nQUIT\r\n")
            return line.rest()

    run = sends_mail(session)
    assert run.verbs()[:2] == ["EHLO", "BDAT"]
    assert run.verbs()[-1] == "QUIT"


def test_content_that_nobody_asked_for(sends_mail: partial[Run]) -> None:
    """DATA is refused, and the client goes on: the server takes the content for commands, and so does mailspy."""

    def session(port: int) -> bytes:
        with hello(port) as line:
            line.say(b"DATA\r\nSubject: x\r\n\r\nNOOP\r\n.\r\nQUIT\r\n")
            return line.rest()

    run = sends_mail(session)
    assert "NOOP" in run.verbs()
    assert not run.pdus(kind="body")


AMBIGUOUS = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r"]
"""What some servers take for the end of data."""

INNOCENT = [b"\r\n.\r\r\n", b"\r\n\0.\r\n"]
"""What none of them does."""


def test_ends_that_servers_disagree_on(sends_mail: partial[Run]) -> None:
    """SMTP smuggling: every octet goes on as it came, and the ambiguity has a name."""
    smuggled = ENVELOPE + b"DATA\r\nSubject: smuggled\r\n\r\nboo"

    def smuggle(port: int, end: bytes) -> bytes:
        with hello(port) as line:
            line.say(ENVELOPE + b"DATA\r\n")
            for _ in range(3):
                line.reply()
            line.say(b"Subject: outer\r\n\r\nhello" + end + smuggled + b"\r\n.\r\nQUIT\r\n")
            return line.rest()

    run = sends_mail(lambda port: [smuggle(port, end) for end in AMBIGUOUS + INNOCENT])
    flows = {event["flow"] for event in run.events("anomaly") if event["name"] == "ambiguous_end_of_data"}
    assert flows >= {1, 2, 3, 4}
    assert 6 not in flows


def test_no_open_relay(sends_mail: partial[Run]) -> None:
    """Postfix refuses to relay, and the refusals are seen with their status and their recipient's command."""

    def session(port: int) -> bytes:
        with hello(port) as line:
            line.say(b"MAIL FROM:<michel@cnam.example>\r\nRCPT TO:<x@elsewhere.example>\r\n"
                     b"RCPT TO:<nobody@cnam.example>\r\nDATA\r\nQUIT\r\n")
            return line.rest()

    run = sends_mail(session)
    assert [pdu["status"] for pdu in run.pdus(kind="reply", verb="RCPT")] == ["554", "550"]


def test_smtplib_logs_in(both_ways: BothWays, postfix: Postfix) -> None:
    """AUTH by each mechanism that smtplib knows: no response of the client is ever shown."""
    responses = []

    def log_in(port: int, mechanism: str) -> object:
        with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=10) as smtp:
            smtp.user, smtp.password = "natkin", USERS["natkin"]
            smtp.ehlo()
            way = {"PLAIN": smtp.auth_plain, "LOGIN": smtp.auth_login,
                   "CRAM-MD5": smtp.auth_cram_md5}[mechanism]

            def respond(challenge: bytes | None = None) -> str:
                said: str = way(challenge)  # type: ignore[operator]
                if said is not None and said != "natkin":
                    responses.append(base64.b64encode(said.encode()))
                return said

            return smtp.auth(mechanism, respond, initial_response_ok=mechanism != "LOGIN")

    mechanisms = ["PLAIN", "LOGIN", "CRAM-MD5"]
    run = both_ways(postfix.auth, lambda port: [log_in(port, name) for name in mechanisms], dissected="smtp")
    assert len(run.pdus(kind="command", verb="AUTH")) == len(responses) / 2 == 3
    assert_no_secret(run, responses)


def test_the_name_asked_for_in_tls_is_seen(sends_mail: partial[Run]) -> None:
    """openssl s_client names the server that it wants (SNI): the name and the version of TLS stand in the events."""

    def session(port: int) -> bytes:
        done = client("openssl", "openssl", "s_client", "-quiet", "-starttls", "smtp", "-name", "client.example",
                      "-connect", f"127.0.0.1:{port}", "-servername", CERTIFIED,
                      stdin=b"EHLO client.example\r\nNOOP\r\nQUIT\r\n")
        assert b"221 2.0.0 Bye" in done.stdout
        return done.stdout

    run = sends_mail(session)
    assert run.verbs() == ["EHLO", "STARTTLS"]
    said = " ".join(pdu["text"] for pdu in run.pdus(kind="opaque"))
    assert CERTIFIED in said
    assert "1.3" in said


def test_smtplib_trusts_the_server_it_meant(sends_mail: partial[Run], postfix: Postfix,
                                            pair: tuple[Path, Path]) -> None:
    """A client that verifies certificates is content: nothing is broken open."""

    def session(port: int) -> object:
        context = ssl.create_default_context(cafile=str(pair[0]))
        with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=10) as smtp:
            smtp.starttls(context=context)
            return smtp.sendmail(MICHEL, PIERRE, LONG)

    run = sends_mail(session)
    assert postfix.stored("pierre")[0].endswith(body(LONG))
    assert not run.pdus(verb="MAIL")


def test_however_the_network_cuts(proxied: Proxied, postfix: Postfix) -> None:
    """Octets that arrive one by one, or anyhow, from either side, give the same PDUs as whole segments."""
    postfix.empty()

    def session(port: int) -> bytes:
        with hello(port) as line:
            line.say(ENVELOPE + b"DATA\r\n")
            for _ in range(3):
                line.reply()
            line.say(stuffed(SHEET) + b"RSET\r\n" + ENVELOPE
                     + b"BDAT 9\r\nS: 1\r\n\r\n.BDAT 5 LAST\r\n\r\n.\r\nQUIT\r\n")
            line.rest()
            return line.received

    with Shim("smtp", postfix.smtp.port, to_server=CUTS, to_client=CUTS) as behind, \
            proxied(behind, dissected="smtp") as run, Shim("smtp", run.port, to_server=CUTS) as before:
        whole, *received = [normalised(session(before.port)) for _ in CUTS]
    assert received == [whole] * len(received)
    assert len(postfix.stored("pierre")) == 2 * len(CUTS)
    for direction in ("C->S", "S->C"):
        uncut, *cut = [readings(run, flow, direction) for flow in range(1, len(CUTS) + 1)]
        assert cut == [uncut] * len(cut)


def test_a_client_that_has_said_all(sends_mail: partial[Run]) -> None:
    """The client closes its sending side right behind QUIT, and still gets the last replies."""

    def session(port: int) -> bytes:
        with hello(port) as line:
            line.say(ENVELOPE + b"DATA\r\n")
            for _ in range(3):
                line.reply()
            line.say(stuffed(LONG) + b"QUIT\r\n")
            line.finish()
            line.rest()
            assert line.received.endswith(b"221 2.0.0 Bye\r\n")
            return line.received

    run = sends_mail(session)
    assert run.pdus(verb="QUIT", kind="reply")
    assert "truncated" not in run.anomalies()
