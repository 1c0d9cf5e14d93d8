"""TLS from the first octet, on either leg or both: Dovecot behind, Python's poplib, curl and openssl in front."""

from __future__ import annotations

import json
import os
import poplib
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from .harness import client, command, environment, parsed
from .mail import message
from .servers import USERS, Dovecot, free_port, listening, wait_until

USER, SECRET = next(iter(USERS.items()))
LETTER = message("in TLS", "one", ".two", "three")


class Proxy:
    """One mailspy with an authority of its own."""

    def __init__(self, folder: Path, listen: str, upstream: object, *options: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.ca = folder / "ca" / "ca.pem"
        where = environment(folder)
        subprocess.run([*command(), "ca", "create", "--ca-dir", str(folder / "ca")], check=True, capture_output=True, env=where)
        with (folder / "events").open("wb") as out, (folder / "said").open("wb") as said:
            self.process = subprocess.Popen(
                [*command(), "--listen", f"{listen}://127.0.0.1:{self.port}", "--upstream", str(upstream), "--json", "-w",
                 str(folder / "capture.pcapng"), "--ca-dir", str(folder / "ca"), *options],
                stdin=subprocess.DEVNULL, stdout=out, stderr=said, env=where, cwd=folder)
        wait_until(lambda: listening(self.port) or self.process.poll() is not None, "mailspy listening", 20)

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def events(self, name: str = "") -> list[dict]:
        return [event for event in parsed((self.folder / "events").read_text()) if name in ("", event["event"])]


@contextmanager
def proxy(folder: Path, listen: str, upstream: object, *options: str) -> Iterator[Proxy]:
    run = Proxy(folder, listen, upstream, *options)
    try:
        yield run
    finally:
        run.process.send_signal(signal.SIGTERM)
        assert run.process.wait(20) == 0, run.said
    assert "Traceback" not in run.said


def fetch(port: int, trusted: Path | None) -> list[object]:
    """What poplib gets, in TLS where an authority is trusted."""
    if trusted is None:
        box: poplib.POP3 = poplib.POP3("127.0.0.1", port, timeout=20)
    else:
        box = poplib.POP3_SSL("127.0.0.1", port, timeout=20, context=ssl.create_default_context(cafile=str(trusted)))
    box.user(USER)
    box.pass_(SECRET)
    return [box.stat(), box.retr(1)[1], box.quit()]


LEGS = [(True, True), (True, False), (False, True)]


@pytest.mark.parametrize(("client_tls", "server_tls"), LEGS)
def test_each_leg_is_in_tls_or_not(dovecot: Dovecot, pair: tuple[Path, Path], tmp_path: Path, client_tls: bool,
                                   server_tls: bool) -> None:
    dovecot.maildrop(USER, LETTER)
    direct = fetch(dovecot.pop3s.port, pair[0])
    dovecot.maildrop(USER, LETTER)
    more = ("--upstream-ca", str(pair[0])) if server_tls else ()
    server = dovecot.pop3s if server_tls else dovecot.pop3
    with proxy(tmp_path, "pop3s" if client_tls else "pop3", server, *more) as run:
        assert fetch(run.port, run.ca if client_tls else None) == direct
    told = run.events("tls")
    assert {event["leg"] for event in told} == {
        name for name, there in (("client", client_tls), ("server", server_tls)) if there}
    assert all(event["version"] == "TLSv1.3" and event["problems"] == [] for event in told)
    verbs = [event["verb"] for event in run.events("pdu") if event["kind"] == "command"]
    assert verbs == ["USER", "PASS", "STAT", "RETR", "QUIT"]
    (opened,) = run.events("flow_opened")
    assert opened.get("tls", False) is (client_tls and server_tls)
    clear = {event["name"] for event in run.events("anomaly")}
    assert ("cleartext_credentials" in clear) is not (client_tls and server_tls)
    capture = (tmp_path / "capture.pcapng").read_bytes()
    assert SECRET.encode() not in capture
    assert b"three" in capture
    replayed = subprocess.run([*command(), "replay", "--json", str(tmp_path / "capture.pcapng")], check=True, capture_output=True,
                              env=environment(tmp_path)).stdout
    live = [event for event in run.events() if event["event"] != "tls"]
    assert [json.loads(line) for line in replayed.splitlines()] == live


def test_a_certificate_that_nobody_has_signed(dovecot: Dovecot, tmp_path: Path) -> None:
    """Refused, and said why; with warn the session goes on, and the finding tells."""
    with proxy(tmp_path, "pop3s", dovecot.pop3s) as run, pytest.raises((ssl.SSLError, OSError)):
        fetch(run.port, run.ca)
    assert "self_signed" in run.said
    assert "--upstream-ca" in run.said
    assert not run.events("pdu")
    (tmp_path / "warn").mkdir()
    dovecot.maildrop(USER, LETTER)
    with proxy(tmp_path / "warn", "pop3s", dovecot.pop3s, "--upstream-verify", "warn") as run:
        fetch(run.port, run.ca)
    (server,) = [event for event in run.events("tls") if event["leg"] == "server"]
    assert [problem["name"] for problem in server["problems"]] == ["self_signed"]


def test_a_client_that_does_not_trust(dovecot: Dovecot, pair: tuple[Path, Path], tmp_path: Path) -> None:
    with proxy(tmp_path, "pop3s", dovecot.pop3s, "--upstream-ca", str(pair[0])) as run, pytest.raises(ssl.SSLError):
        fetch(run.port, pair[0])
    assert not [event for event in run.events("pdu") if event["kind"] == "command"]


def test_curl_and_openssl(dovecot: Dovecot, pair: tuple[Path, Path], tmp_path: Path) -> None:
    dovecot.maildrop(USER, LETTER)
    with proxy(tmp_path, "pop3s", dovecot.pop3s, "--upstream-ca", str(pair[0])) as run:
        got = client("curl", "curl", "--cacert", run.ca, "--user", f"{USER}:{SECRET}", f"pop3s://127.0.0.1:{run.port}/1")
        assert b"three" in (got.stdout if isinstance(got.stdout, bytes) else got.stdout.encode())
        said = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{run.port}", "-CAfile", str(run.ca), "-quiet",
                               "-verify_return_error", "-verify_ip", "127.0.0.1"], input=b"QUIT\r\n", capture_output=True,
                              timeout=30, check=False)
        assert b"+OK" in said.stdout, said.stderr
    assert len(run.events("flow_closed")) == 2


def test_what_is_not_tls(dovecot: Dovecot, pair: tuple[Path, Path], tmp_path: Path) -> None:
    """A server in the clear where TLS was asked for, and a client: neither is ever spoken to in the clear."""
    with proxy(tmp_path, "pop3s", f"pop3s://127.0.0.1:{dovecot.pop3.port}", "--upstream-ca", str(pair[0])) as run, pytest.raises(
            (ssl.SSLError, OSError)):
        fetch(run.port, run.ca)
    assert "does it speak TLS on this port?" in run.said
    (tmp_path / "clear").mkdir()
    with proxy(tmp_path / "clear", "pop3s", dovecot.pop3s, "--upstream-ca", str(pair[0]), "--connect-timeout", "2") as run:
        for said in (b"USER natkin\r\n", b""):
            with socket.create_connection(("127.0.0.1", run.port), 20) as connection:
                connection.sendall(said)
                with suppress(ConnectionResetError):
                    while octets := connection.recv(100):
                        assert octets[:1] == b"\x15", "something else than an alert"
    assert "no TLS with the client" in run.said
    assert "no handshake within 2 s" in run.said
    assert not run.events("pdu")


def test_a_missing_authority_is_a_mistake(dovecot: Dovecot, tmp_path: Path) -> None:
    for arguments, expected in ((["--listen", "pop3s://:0", "--upstream", str(dovecot.pop3s)], b"mailspy ca create"),
                                (["--listen", ":0", "--upstream", str(dovecot.pop3), "--tls-legacy"], b"no leg is in TLS"),
                                (["--listen", "smtp://:0", "--upstream", str(dovecot.pop3)], b"two protocols")):
        done = subprocess.run([*command(), *arguments], capture_output=True, timeout=30, check=False,
                              env=environment(tmp_path) | {"XDG_DATA_HOME": str(tmp_path)})
        assert done.returncode == 2
        assert expected in done.stderr
    assert os.listdir(tmp_path) == []
