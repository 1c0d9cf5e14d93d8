"""Both legs by every mode: plain, STARTTLS and implicit TLS, nine combinations for each protocol; Dovecot and Postfix behind,
every client that there is in front.  What a client gets, and what then lies on the server, is as without mailspy."""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from .harness import client, normalised
from .servers import Dovecot, Endpoint, Postfix, program
from .shim import call
from .test_tls_real import LETTER, MODES, SECRET, USER, Proxy, assert_replay_is_live, fetch, odd, proxy, scheme, send

COMBINATIONS: Final = [(client, server) for client in MODES for server in MODES]
SENDER, RECIPIENT = "michel@cnam.example", "pierre@cnam.example"
Client = Callable[[int, str, Path], Any]
"""Talks to a port, in TLS by that mode, with whom the file says to trust; gives all that it has got."""


# POP3


def fetched_by_curl(port: int, mode: str, trusted: Path) -> bytes:
    return client("curl", "curl", "--silent", "--cacert", trusted, "--user", f"{USER}:{SECRET}",
                  *(("--ssl-reqd",) if mode == "starttls" else ()),
                  f"pop3{'s' if mode == 'implicit' else ''}://127.0.0.1:{port}/1").stdout


def fetched_by_openssl(port: int, mode: str, trusted: Path) -> bytes:
    return said(port, mode, trusted, "pop3", [b"CAPA", b"USER " + USER.encode(), b"PASS " + SECRET.encode(), b"UIDL", b"RETR 1",
                                             b"QUIT"], ends=(b"\r\n.\r\n", b"\r\n", b"\r\n", b"\r\n.\r\n", b"\r\n.\r\n", b"\r\n"))


# SMTP and LMTP


def sent_by_curl(port: int, mode: str, trusted: Path) -> bytes:
    letter = trusted.parent / "letter.eml"
    letter.write_bytes(LETTER)
    return client("curl", "curl", "--silent", "--show-error", "--cacert", trusted, "--mail-from", SENDER, "--mail-rcpt",
                  RECIPIENT, "--upload-file", letter, *(("--ssl-reqd",) if mode == "starttls" else ()),
                  f"smtp{'s' if mode == 'implicit' else ''}://127.0.0.1:{port}/client.example").stdout


def sent_by_swaks(port: int, mode: str, trusted: Path, protocol: str = "ESMTP", recipient: str = RECIPIENT) -> bytes:
    """Of what it tells only the replies: the rest has times and certificates in it."""
    how = {"plain": (), "starttls": ("--tls",), "implicit": ("--tls-on-connect",)}[mode]
    told = client("swaks", "swaks", "--protocol", protocol, "--server", "127.0.0.1", "--port", port, "--helo", "client.example",
                  "--from", SENDER, "--to", recipient, *how, *(("--tls-verify", "--tls-ca-path", trusted) if how else ()),
                  "--header", "Date: Sat, 02 Jun 2001 15:26:38 +0200", "--header", "Message-Id: <1@cnam.example>",
                  "--header", "Subject: by swaks").stdout
    return b"".join(line[4:] for line in told.splitlines(keepends=True) if line.startswith((b"<-  ", b"<~  ", b"<** ", b"<~* ")))


def sent_by_openssl(port: int, mode: str, trusted: Path) -> bytes:
    return said(port, mode, trusted, "smtp", [b"EHLO client.example", b"NOOP", b"MAIL FROM:<" + SENDER.encode() + b">",
                                             b"RCPT TO:<" + RECIPIENT.encode() + b">", b"DATA", LETTER + b".", b"QUIT"])


def delivered_by_smtplib(port: int, mode: str, trusted: Path) -> list[Any]:
    with lmtp(port, mode, trusted) as server:
        return [sorted(server.esmtp_features), server.sendmail(SENDER, [f"{USER}@pop.example"], LETTER), server.noop()]


def lmtp(port: int, mode: str, trusted: Path) -> smtplib.LMTP:
    """Greeted, in TLS or not."""
    context = ssl.create_default_context(cafile=str(trusted))

    class Lmtps(smtplib.LMTP):
        """Which smtplib does not know."""

        def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
            return context.wrap_socket(socket.create_connection((host, port), 20), server_hostname=host)

    server = (Lmtps if mode == "implicit" else smtplib.LMTP)("127.0.0.1", port, "client.example")
    if mode == "starttls":
        server.starttls(context=context)
    server.ehlo()
    return server


def delivered_by_swaks(port: int, mode: str, trusted: Path) -> bytes:
    return sent_by_swaks(port, mode, trusted, "LMTP", f"{USER}@pop.example")


def said(port: int, mode: str, trusted: Path, protocol: str, lines: Sequence[bytes],
         ends: Sequence[bytes] = ()) -> bytes:
    """All that a server says to raw lines, each sent when the last one is answered; by openssl s_client where it is in TLS."""
    if mode == "plain":
        with call(port) as line:
            if protocol == "pop3":
                line.until(b"\r\n")
            else:
                line.reply()
            for text, end in zip(lines, ends or [b""] * len(lines), strict=True):
                line.say(text + b"\r\n")
                if end:
                    line.until(end)
                else:
                    line.reply()
            return line.received
    end = subprocess.Popen(
        [program("openssl", "openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", str(trusted), "-quiet", "-verify",
         "3", "-verify_return_error", "-verify_ip", "127.0.0.1", *(("-starttls", protocol) if mode == "starttls" else ())],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert end.stdin is not None
    assert end.stdout is not None
    received = b""

    def hear(until: bytes) -> None:
        nonlocal received
        begin = len(received)
        while not (received[begin:].endswith(until) if until else is_reply(received[begin:])):
            data = end.stdout.read1(65_536)  # type: ignore[union-attr]
            assert data, (received, end.communicate()[1])
            received += data

    with end:
        if mode == "implicit":
            hear(b"\r\n" if ends else b"")
        for text, until in zip(lines, ends or [b""] * len(lines), strict=True):
            end.stdin.write(text + b"\r\n")
            end.stdin.flush()
            hear(until)
        end.stdin.close()
    return received


def is_reply(text: bytes) -> bool:
    """Whether that is a whole reply of SMTP."""
    last = text.rstrip(b"\r\n").rpartition(b"\n")[2]
    return text.endswith(b"\r\n") and last[:3].isdigit() and last[3:4] in (b" ", b"")


# The combinations

CLIENTS: Final[Mapping[str, Sequence[Client]]] = {
    "pop3": (fetch, fetched_by_curl, fetched_by_openssl),
    "smtp": (send, sent_by_curl, sent_by_swaks, sent_by_openssl),
    "lmtp": (delivered_by_smtplib, delivered_by_swaks),
}


class Server:
    """A real server, its ports by mode, and what lies in a mailbox of it."""

    def __init__(self, protocol: str, dovecot: Dovecot, postfix: Postfix) -> None:
        self._dovecot, self._postfix, self._protocol = dovecot, postfix, protocol
        clear, implicit = {"pop3": (dovecot.pop3, dovecot.pop3s), "smtp": (postfix.auth, postfix.smtps),
                           "lmtp": (dovecot.lmtp, dovecot.lmtps)}[protocol]
        self._ports: dict[str, Endpoint] = {"plain": clear, "starttls": clear, "implicit": implicit}

    def port(self, mode: str) -> int:
        return self._ports[mode].port

    def prepare(self) -> None:
        if self._protocol == "smtp":
            self._postfix.empty()
        else:
            self._dovecot.maildrop(USER, *([LETTER] if self._protocol == "pop3" else []))

    def left(self) -> list[bytes]:
        return self._postfix.stored("pierre") if self._protocol == "smtp" else self._dovecot.stored(USER)

    def play(self, talk: Client, port: int, mode: str, trusted: Path) -> Any:
        """What a client gets, and leaves on the server; TLS itself is left out of what it is offered: each leg has it or not."""
        self.prepare()
        got = talk(port, mode, trusted)
        return plainly(normalised([got, self.left()]))


_LINES: Final = [(re.compile(pattern, re.MULTILINE), plain) for pattern, plain in (
    (rb"^STLS\r\n", b""), (rb"^250[ -]STARTTLS\r?\n", b""), (rb"^250-", b"250 "),
    (rb"^220 2\.0\.0 (?:Begin TLS negotiation now\.|Ready to start TLS)", b"220 go"))]


def plainly(value: Any) -> Any:
    if isinstance(value, bytes):
        for pattern, plain in _LINES:
            value = pattern.sub(plain, value)
        return value
    if isinstance(value, list | tuple):
        return [plainly(one) for one in value if one not in (b"starttls", b"STLS")]
    return value


_direct: dict[tuple[Client, str], Any] = {}


@pytest.mark.parametrize(("client_mode", "server_mode"), COMBINATIONS)
@pytest.mark.parametrize("protocol", list(CLIENTS))
def test_every_client_by_every_combination(dovecot: Dovecot, postfix: Postfix, pair: tuple[Path, Path], tmp_path: Path,
                                           protocol: str, client_mode: str, server_mode: str) -> None:
    server = Server(protocol, dovecot, postfix)
    for talk in CLIENTS[protocol]:
        if (talk, client_mode) not in _direct:
            _direct[talk, client_mode] = server.play(talk, server.port(client_mode), client_mode, pair[0])
    with proxy(tmp_path, scheme(protocol, client_mode), f"{scheme(protocol, server_mode)}://127.0.0.1:{server.port(server_mode)}",
               *(("--upstream-ca", str(pair[0])) if server_mode != "plain" else ())) as run:
        for talk in CLIENTS[protocol]:
            assert server.play(talk, run.port, client_mode, run.ca) == _direct[talk, client_mode], talk
    assert_legs(run, len(CLIENTS[protocol]), client_mode, server_mode)
    assert len(run.events("message")) == len(CLIENTS[protocol])
    assert_clear(run, client_mode, server_mode)
    assert_replay_is_live(run)


def assert_legs(run: Proxy, sessions: int, client_mode: str, server_mode: str) -> None:
    """Each leg that is to be in TLS is, and no other; what one leg has and the other has not is hidden or offered, and told."""
    wanted = [leg for leg, mode in (("server", server_mode), ("client", client_mode)) if mode != "plain"]
    assert [event["leg"] for event in run.events("tls")] == wanted * sessions
    assert not run.events("tls_failed")
    if len(wanted) == 2:
        assert {tuple(event["names"]) for event in run.events("tls")} == {("pop.example", "localhost", "127.0.0.1")}
    opened = run.events("flow_opened")
    assert len(opened) == sessions
    assert {event.get("tls", False) for event in opened} == {client_mode == "implicit" and server_mode != "plain"}
    edits = {event["offered"] for event in run.events("tls_edit")}
    assert edits == ({False} if server_mode == "plain" else {True} if client_mode == "starttls" else set())


def assert_clear(run: Proxy, client_mode: str, server_mode: str) -> None:
    """What has crossed in the clear on a leg is told, and nothing else is odd; the capture is of the clear text, masked."""
    pop3 = any(event["protocol"] == "pop3" for event in run.events("flow_opened"))
    clear = pop3 and "plain" in (client_mode, server_mode)
    assert odd(run) == ({"cleartext_credentials"} if clear else set())
    capture = (run.folder / "capture.pcapng").read_bytes()
    assert SECRET.encode() not in capture
    assert b"three" in capture
