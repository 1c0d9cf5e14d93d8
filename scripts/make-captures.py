#!/usr/bin/env python3
"""Makes captures/ anew: each story played through mailspy against a real server, and its golden event log beside it.

    sudo .venv/bin/python scripts/make-captures.py [NAME…]
    .venv/bin/python scripts/make-captures.py --events [NAME…]

Needs root, Dovecot and Postfix, which are started with private configurations on loopback, as the integration tests do.
With `--events` only the golden logs are written anew, from the captures that are there: that needs none of them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "plugins"), str(ROOT / "tests")]

from integration.servers import Dovecot, Postfix, certificate, free_port, listening, wait_until  # noqa: E402

from inspector.demo.letter import LETTER  # noqa: E402
from inspector.demo.telnet import MICHEL_TO_PIERRE, RELAY_ATTEMPT  # noqa: E402

CAPTURES = ROOT / "captures"
MAILSPY = [sys.executable, "-m", "inspector"]
OPTIONS = {"smtp-michel-pierre": ["--local-domain", "cnam.fr"], "smtp-relay-attempt": ["--local-domain", "cnam.fr"]}
"""Options of the replay that makes the golden log, beside --json."""

MIXTURE = "\r\n".join([
    "From: =?utf-8?Q?G=C3=A9rard?= <gerard@cnam.example>", "To: natkin@cnam.example",
    "Date: Sat, 02 Jun 2001 15:26:38 +0200", "Message-ID: <mixture@cnam.example>",
    "Subject: =?utf-8?B?UG91ciBsJ8OpdMOp?=", "MIME-Version: 1.0", 'Content-Type: multipart/mixed; boundary="outer"', "",
    "For readers without MIME.",
    "--outer", 'Content-Type: multipart/alternative; boundary="inner"', "",
    "--inner", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable", "",
    "Voil=C3=A0 l'image et le tableau.", ".", "La ligne pr=C3=A9c=C3=A9dente n'est qu'un point.",
    "--inner", 'Content-Type: multipart/related; boundary="innermost"', "",
    "--innermost", "Content-Type: text/html; charset=iso-8859-1", "Content-Transfer-Encoding: quoted-printable", "",
    "<p>Voil=E0 l'image <img src=3D\"cid:dot@cnam.example\"> et le tableau.</p>",
    "--innermost", "Content-Type: image/gif", "Content-ID: <dot@cnam.example>", "Content-Disposition: inline",
    "Content-Transfer-Encoding: base64", "", "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7",
    "--innermost--", "", "--inner--", "",
    "--outer", "Content-Type: text/csv; charset=utf-8", "Content-Transfer-Encoding: base64",
    "Content-Disposition: attachment; filename*=utf-8''tableau%20de%20l%27%C3%A9t%C3%A9.csv", "",
    b64encode("mois;lettres\r\njuin;18\r\njuillet;7\r\naoût;0\r\n".encode()).decode(),
    "--outer", "Content-Type: message/rfc822", "", "From: michel@cnam.example", "Subject: Bonjour", "", "Bonjour Gérard,",
    "--outer--", ""]).encode()
"""Parts in parts in parts, words in a header that are encoded, an attachment with a name that is."""


class Talk:
    """A client that sends octets and waits for whole replies."""

    def __init__(self, port: int) -> None:
        self.socket: Any = socket.create_connection(("127.0.0.1", port), 10)
        self.file = self.socket.makefile("rb")

    def line(self) -> bytes:
        line: bytes = self.file.readline()
        return line

    def smtp(self, sent: str = "", replies: int = 1) -> bytes:
        """Sends, and waits for that many replies of any number of lines."""
        if sent:
            self.socket.sendall(sent.encode() + b"\r\n")
        last = b""
        for _ in range(replies):
            while (last := self.line())[3:4] == b"-":
                pass
        return last

    def pop(self, sent: str = "", lines: bool = False) -> bytes:
        """Sends a command, and waits for its status line, and for its further lines."""
        if sent:
            self.socket.sendall(sent.encode() + b"\r\n")
        status = self.line()
        while lines and self.line() != b".\r\n":
            pass
        return status

    def close(self) -> None:
        while self.socket.recv(4096):
            pass
        self.socket.close()


@contextmanager
def watched(name: str, protocol: str, upstream: int) -> Iterator[int]:
    """mailspy in front of a server, writing the capture of that name; gives the port to connect to.

    In the end the golden log is written, and is what was said live.
    """
    path = CAPTURES / f"{name}.pcapng"
    path.unlink(missing_ok=True)
    port = free_port()
    line = [*MAILSPY, "--listen", str(port), "--upstream", f"{protocol}://127.0.0.1:{upstream}", "-w", str(path), "--json",
            *OPTIONS.get(name, [])]
    with tempfile.TemporaryFile() as live:
        proxy = subprocess.Popen(line, stdout=live, stderr=subprocess.DEVNULL, cwd=ROOT)
        try:
            wait_until(lambda: listening(port), "mailspy listening")
            yield port
            time.sleep(0.3)
            proxy.send_signal(signal.SIGTERM)
            assert proxy.wait(10) == 0
        finally:
            if proxy.poll() is None:
                proxy.kill()
        path.chmod(0o644)
        live.seek(0)
        said = live.read()
    golden(name)
    assert (CAPTURES / f"{name}.events").read_bytes() == said, f"{name}: the replay differs from what was said live"


@contextmanager
def embedded() -> Iterator[tuple[int, int]]:
    """The demo's servers, in a process of their own: their POP3 and SMTP ports."""
    code = ("from twisted.internet import reactor; from inspector.demo.servers import Servers; s = Servers(reactor); "
            "print(s.pop3, s.smtp, flush=True); reactor.run()")
    server = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT)
    assert server.stdout is not None
    pop3, smtp = map(int, server.stdout.readline().split())
    try:
        yield pop3, smtp
    finally:
        server.terminate()
        server.wait()


def sheet(port: int) -> None:
    """III.4: the eighteen PDUs."""
    talk = Talk(port)
    talk.pop()
    for password in ("monpacs", "monpass"):
        talk.pop("USER natkin")
        talk.pop(f"PASS {password}")
    talk.pop("STAT")
    talk.pop("RETR 1", lines=True)
    talk.pop("DELE 1")
    talk.pop("QUIT")
    talk.close()


def typed(lines: tuple[str, ...]) -> Callable[[int], None]:
    """A dialogue of the demo's."""
    def play(port: int) -> None:
        talk = Talk(port)
        talk.smtp()
        for line in lines:
            talk.smtp(line)
        talk.close()
    return play


def pipelining(port: int) -> None:
    """RFC 2920: an envelope in one segment, one recipient refused; then RSET and NOOP together."""
    talk = Talk(port)
    talk.smtp()
    talk.smtp("EHLO client.example")
    talk.smtp("MAIL FROM:<michel@cnam.example>\r\nRCPT TO:<pierre@cnam.example>\r\nRCPT TO:<nobody@elsewhere.example>\r\n"
              "RCPT TO:<gerard@cnam.example>\r\nDATA", 5)
    talk.smtp("Subject: three at once\r\n\r\nOne segment, five commands.\r\n..a line that began with a dot\r\n.")
    talk.smtp("RSET\r\nNOOP\r\nVRFY pierre\r\nQUIT", 4)
    talk.close()


def chunking(port: int) -> None:
    """RFC 3030: chunks that hold what looks like an end and a command; two transactions."""
    talk = Talk(port)
    talk.smtp()
    talk.smtp("EHLO client.example")
    talk.smtp("MAIL FROM:<michel@cnam.example> BODY=8BITMIME\r\nRCPT TO:<pierre@cnam.example>", 2)
    for chunk, last in (("Subject: chunks\r\n\r\n", ""), ("a dot alone:\r\n.\r\nQUIT\r\n", ""), ("the end\r\n", " LAST")):
        talk.smtp(f"BDAT {len(chunk)}{last}\r\n{chunk}"[:-2])
    talk.smtp("MAIL FROM:<michel@cnam.example>\r\nRCPT TO:<gerard@cnam.example>", 2)
    talk.smtp("BDAT 22 LAST\r\nSubject: once\r\n\r\nall\r\n"[:-2])
    talk.smtp("QUIT")
    talk.close()


def retrieval(port: int) -> None:
    """RFC 1939's optional commands: APOP, UIDL, TOP."""
    talk = Talk(port)
    banner = talk.pop()
    stamp = re.search(rb"<[^>]+>", banner)
    assert stamp is not None, banner
    digest = hashlib.md5(stamp[0] + b"monpass", usedforsecurity=False).hexdigest()
    talk.pop("CAPA", lines=True)
    talk.pop(f"APOP natkin {digest}")
    talk.pop("STAT")
    talk.pop("UIDL", lines=True)
    talk.pop("UIDL 2")
    talk.pop("LIST", lines=True)
    talk.pop("LIST 1")
    talk.pop("TOP 2 1", lines=True)
    talk.pop("RETR 1", lines=True)
    talk.pop("RETR 9")
    talk.pop("DELE 1")
    talk.pop("RSET")
    talk.pop("NOOP")
    talk.pop("QUIT")
    talk.close()


def nested(port: int) -> None:
    """A message of several parts in one another, with an attachment."""
    talk = Talk(port)
    talk.pop()
    talk.pop("USER gerard")
    talk.pop("PASS pl4nted-Secr3t")
    talk.pop("RETR 1", lines=True)
    talk.pop("QUIT")
    talk.close()


def authentication(port: int) -> None:
    """RFC 4954: a wrong and a right login; secrets are stars in the capture."""
    talk = Talk(port)
    talk.smtp()
    talk.smtp("EHLO client.example")
    talk.smtp("AUTH PLAIN AG5hdGtpbgBtb25wYWNz")
    talk.smtp("AUTH LOGIN")
    talk.smtp("bmF0a2lu")
    talk.smtp("bW9ucGFzcw==")
    talk.smtp("MAIL FROM:<natkin@cnam.example>")
    talk.smtp("RCPT TO:<someone@elsewhere.example>")
    talk.smtp("QUIT")
    talk.close()


def starttls(port: int) -> None:
    """RFC 3207: what follows is TLS, of which the records are seen."""
    talk = Talk(port)
    talk.smtp()
    talk.smtp("EHLO client.example")
    talk.smtp("STARTTLS")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    talk.socket = context.wrap_socket(talk.socket, server_hostname="mx.cnam.example")
    talk.socket.sendall(b"EHLO client.example\r\nQUIT\r\n")
    talk.close()


def local_delivery(port: int) -> None:
    """RFC 2033: one reply for each recipient at the end of data."""
    talk = Talk(port)
    talk.smtp()
    talk.smtp("LHLO mx.cnam.example")
    talk.smtp("MAIL FROM:<michel@cnam.example>")
    talk.smtp("RCPT TO:<natkin>")
    talk.smtp("RCPT TO:<nobody.of.that.name>")
    talk.smtp("RCPT TO:<gerard>")
    talk.smtp("DATA")
    talk.smtp("Subject: for two\r\n\r\nOne message, two replies.\r\n.", 2)
    talk.smtp("QUIT")
    talk.close()


def main(names: list[str]) -> None:
    """All captures, or those that are named."""
    if "--events" in names:
        names.remove("--events")
        for name in names or sorted(path.stem for path in CAPTURES.glob("*.pcapng")):
            golden(name)
            print(name)
        return
    os.environ["DOVECOT_HOSTNAME"] = "pop.example"  # else the stamp for APOP holds the name of this machine
    with ExitStack() as stack:
        ground = Path(tempfile.mkdtemp(prefix="mailspy-"))
        stack.callback(shutil.rmtree, ground, ignore_errors=True)
        ground.chmod(0o755)
        pair = certificate(ground)
        (ground / "dovecot").mkdir()
        (ground / "postfix").mkdir()
        dovecot = Dovecot(ground / "dovecot", pair)
        stack.callback(dovecot.daemon.stop)
        postfix = Postfix(ground / "postfix", pair, dovecot.sasl_port)
        stack.callback(postfix.daemon.stop)
        pop3, smtp = stack.enter_context(embedded())
        dovecot.maildrop("natkin", LETTER, b"From: michel@cnam.example\r\nSubject: deux\r\n\r\n.un point\r\nligne 2\r\n")
        dovecot.maildrop("gerard", MIXTURE)
        stories: dict[str, tuple[str, int, Callable[[int], None]]] = {
            "pop3-sheet": ("pop3", pop3, sheet),
            "smtp-michel-pierre": ("smtp", smtp, typed(MICHEL_TO_PIERRE)),
            "smtp-relay-attempt": ("smtp", smtp, typed(RELAY_ATTEMPT)),
            "smtp-pipelining": ("smtp", postfix.smtp.port, pipelining),
            "smtp-bdat": ("smtp", postfix.smtp.port, chunking),
            "smtp-auth": ("smtp", postfix.auth.port, authentication),
            "smtp-starttls": ("smtp", postfix.smtp.port, starttls),
            "pop3-apop-uidl-top": ("pop3", dovecot.pop3.port, retrieval),
            "pop3-mime": ("pop3", dovecot.pop3.port, nested),
            "lmtp-two-recipients": ("lmtp", dovecot.lmtp.port, local_delivery),
        }
        for name in names or stories:
            protocol, port, play = stories[name]
            with watched(name, protocol, port) as listen_port:
                play(listen_port)
            print(name, flush=True)


def golden(name: str) -> None:
    """Writes the event log that the tests hold a replay against."""
    replayed = subprocess.run([*MAILSPY, "replay", "--json", *OPTIONS.get(name, []), f"captures/{name}.pcapng"], cwd=ROOT,
                              capture_output=True, check=True)
    (CAPTURES / f"{name}.events").write_bytes(replayed.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
