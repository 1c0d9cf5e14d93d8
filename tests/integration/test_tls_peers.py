"""TLS that goes wrong, and clients of every kind: swaks, openssl, curl, Python's ssl; a wall that holds against real peers."""

from __future__ import annotations

import contextlib
import hashlib
import re
import smtplib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness import client, command, environment
from .servers import Dovecot, Postfix, free_port, listening, program, wait_until
from .test_tls_real import LETTER, SECRET, USER, Proxy, assert_replay_is_live, fetch, odd, proxy


@pytest.fixture
def tls(dovecot: Dovecot, pair: tuple[Path, Path], tmp_path: Path) -> Iterator[Proxy]:
    """POP3 with STLS."""
    dovecot.maildrop(USER, LETTER)
    with proxy(tmp_path, "pop3", dovecot.pop3, "--upstream-ca", str(pair[0])) as run:
        yield run


def talk(port: int, *lines: bytes, until: float = 5) -> bytes:
    """What a server says to raw lines, each sent when something has come, up to its end or a pause."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), until) as connection:
        for line in (b"", *lines):
            with contextlib.suppress(ConnectionError):
                connection.sendall(line)
                said += connection.recv(65_536)
        connection.settimeout(0.5)
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while data := connection.recv(65_536):
                said += data
    return said


@pytest.mark.parametrize("transport", ["epoll", "twisted"])
def test_every_transport_goes_over(dovecot: Dovecot, pair: tuple[Path, Path], tmp_path: Path, transport: str) -> None:
    dovecot.maildrop(USER, LETTER)
    with proxy(tmp_path, "pop3", dovecot.pop3, "--upstream-ca", str(pair[0]), "--transport", transport) as run:
        assert fetch(run.port, "starttls", run.ca)[3]
    assert [event["leg"] for event in run.events("tls")] == ["server", "client"]


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
def test_swaks_sends(postfix: Postfix, pair: tuple[Path, Path], tmp_path: Path, mode: str) -> None:
    postfix.empty()
    server = f"smtps://127.0.0.1:{postfix.smtps.port}" if mode == "implicit" else postfix.smtp
    with proxy(tmp_path, "smtps" if mode == "implicit" else "smtp", server, "--upstream-ca", str(pair[0])) as run:
        said = client("swaks", "swaks", "--server", "127.0.0.1", "--port", run.port, "--from", "michel@cnam.example", "--to",
                      "pierre@cnam.example", "--tls" if mode == "starttls" else "--tls-on-connect", "--tls-verify",
                      "--tls-ca-path", run.ca, "--header", "Subject: by swaks").stdout
        assert b"=== TLS started with cipher TLSv1.3" in said
    assert [event["subject"] for event in run.events("message")] == ["by swaks"]
    assert len(postfix.stored("pierre")) == 1
    assert not odd(run)
    assert_replay_is_live(run)


@pytest.mark.parametrize("protocol", ["pop3", "smtp"])
def test_openssl_goes_over(dovecot: Dovecot, postfix: Postfix, pair: tuple[Path, Path], tmp_path: Path, protocol: str) -> None:
    """Also with TLS 1.2, where nobody may renegotiate."""
    server = dovecot.pop3 if protocol == "pop3" else postfix.smtp
    with proxy(tmp_path, protocol, server, "--upstream-ca", str(pair[0])) as run:
        for version in ("-tls1_2", "-tls1_3"):
            said = subprocess.run(["openssl", "s_client", "-starttls", protocol, version, "-connect", f"127.0.0.1:{run.port}",
                                   "-CAfile", str(run.ca), "-verify_return_error", "-verify_ip", "127.0.0.1", "-crlf"],
                                  input=b"QUIT\r\n", capture_output=True, timeout=30, check=False).stdout
            assert b"Verification: OK" in said
        asked = subprocess.Popen(["openssl", "s_client", "-starttls", protocol, "-tls1_2", "-connect", f"127.0.0.1:{run.port}"],
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert asked.stdin is not None
        time.sleep(1)
        with contextlib.suppress(BrokenPipeError):
            asked.stdin.write(b"R\n")
            asked.stdin.flush()
            time.sleep(0.5)
        said = asked.communicate(timeout=20)[0]
        assert b"no renegotiation" in said
    assert [event["version"] for event in run.events("tls") if event["leg"] == "client"] == ["TLSv1.2", "TLSv1.3", "TLSv1.2"]


def test_what_is_injected_goes_nowhere(tls: Proxy) -> None:
    """T01 on a real server: the session ends, on both legs."""
    said = talk(tls.port, b"STLS\r\nUSER natkin\r\n")
    assert said.startswith(b"+OK pop.example ready")
    assert b"-ERR" in said
    assert b"Begin TLS" not in said
    tls.process.terminate()
    tls.process.wait(20)
    assert "plaintext_after_starttls" in odd(tls)
    (failed,) = tls.events("tls_failed")
    assert failed["leg"] == "client"
    assert failed["farewell"]
    assert not tls.events("tls")
    assert_replay_is_live(tls)


def test_an_eager_client_is_served(tls: Proxy) -> None:
    """T03: STLS and the ClientHello in one segment."""
    context = ssl.create_default_context(cafile=str(tls.ca))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    end = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with contextlib.suppress(ssl.SSLWantReadError):
        end.do_handshake()
    with socket.create_connection(("127.0.0.1", tls.port), 10) as connection:
        assert connection.recv(1_000).startswith(b"+OK")
        connection.sendall(b"STLS\r\n" + outgoing.read())
        got = b""
        while not got.endswith(b"\n"):
            got += connection.recv(1)
        assert got.startswith(b"+OK")
        while True:
            try:
                end.do_handshake()
                break
            except ssl.SSLWantReadError:
                incoming.write(connection.recv(65_536))
        connection.sendall(outgoing.read())
        end.write(b"QUIT\r\n")
        connection.sendall(outgoing.read())
        said = b""
        while b"+OK" not in said:
            incoming.write(connection.recv(65_536))
            with contextlib.suppress(ssl.SSLWantReadError):
                said += end.read()
    tls.process.terminate()
    tls.process.wait(20)
    assert not odd(tls)
    assert_replay_is_live(tls)


class Liar:
    """A server that says what it is told to, whatever it is asked."""

    def __init__(self, *replies: bytes) -> None:
        self.heard = b""
        self._replies = replies
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(20)
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Waits for its client to go."""
        self._thread.join(20)

    def _serve(self) -> None:
        with contextlib.suppress(OSError), self._listening, self._listening.accept()[0] as connection:
            connection.settimeout(10)
            for number, reply in enumerate(self._replies):
                if number:
                    self.heard += connection.recv(65_536)
                connection.sendall(reply)
            while data := connection.recv(65_536):
                self.heard += data


def test_a_server_that_injects(tmp_path: Path) -> None:
    """T02: what comes with its reply never gets to the client (CVE-2021-22947, CVE-2021-29969)."""
    liar = Liar(b"220 mx\r\n", b"250-mx\r\n250 STARTTLS\r\n", b"220 go\r\n250 fake\r\n")
    with contextlib.closing(liar), proxy(tmp_path, "smtp", f"smtp://127.0.0.1:{liar.port}") as run:
        said = talk(run.port, b"EHLO a\r\n", b"STARTTLS\r\n")
    assert b"fake" not in said
    assert b"220 go" not in said
    assert b"421 4.4.1 mailspy" in said
    assert "plaintext_after_starttls" in odd(run)
    assert [event["leg"] for event in run.events("tls_failed")] == ["server"]


class Slow(threading.Thread):
    """A POP3 server that agrees to STLS, and takes its time before it begins."""

    def __init__(self, pair: tuple[Path, Path]) -> None:
        super().__init__(daemon=True)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(*pair)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(20)
        self.port = self._listening.getsockname()[1]
        self.agreed, self.go_on = threading.Event(), threading.Event()
        self.heard = b""
        self.start()

    def run(self) -> None:
        with contextlib.suppress(OSError), self._listening, self._listening.accept()[0] as connection:
            connection.settimeout(10)
            connection.sendall(b"+OK ready\r\n")
            assert connection.recv(100) == b"STLS\r\n"
            connection.sendall(b"+OK go\r\n")
            self.agreed.set()
            self.go_on.wait(10)
            with self._context.wrap_socket(connection, server_side=True) as end:
                while data := end.recv(1_000):
                    self.heard += data
                    end.sendall(b"+OK\r\n")


@pytest.mark.parametrize("transport", ["epoll", "twisted"])
@pytest.mark.parametrize("eager", [True, False])
def test_what_a_client_says_while_the_servers_handshake_is_under_way(pair: tuple[Path, Path], tmp_path: Path, eager: bool,
                                                                     transport: str) -> None:
    """T01, T03: its hello is for TLS, whenever it comes; clear text is for nobody, and ends the session."""
    server = Slow(pair)
    with proxy(tmp_path, "pop3", f"pop3://127.0.0.1:{server.port}", "--upstream-ca", str(pair[0]), "--transport",
               transport) as run, socket.create_connection(("127.0.0.1", run.port), 10) as connection:
        assert connection.recv(100) == b"+OK ready\r\n"
        connection.sendall(b"STLS\r\n")
        server.agreed.wait(10)
        time.sleep(0.2)  # until mailspy has read what the server says, of which nothing is seen outside
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        end = ssl.create_default_context(cafile=str(run.ca)).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
        connection.sendall(outgoing.read() if eager else b"USER natkin\r\n")
        time.sleep(0.2)
        server.go_on.set()
        assert connection.recv(8) == b"+OK go\r\n"
        if eager:
            while True:
                try:
                    end.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    incoming.write(connection.recv(65_536))
            end.write(b"NOOP\r\n")
            connection.sendall(outgoing.read())
            assert connection.recv(1_000)
        else:
            with contextlib.suppress(ConnectionResetError):
                while data := connection.recv(1_000):
                    assert data[:1] == b"\x15", "something else than an alert"
    server.join(10)
    assert server.heard == (b"NOOP\r\n" if eager else b"")
    assert bool(run.events("tls_failed")) is not eager
    assert_replay_is_live(run)


class Vanishing(threading.Thread):
    """An SMTP server that aborts its first connection while nobody looks, and greets the second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(20)
        self.port = self._listening.getsockname()[1]
        self.gone = threading.Event()
        self.start()

    def run(self) -> None:
        with contextlib.suppress(OSError), self._listening:
            first = self._listening.accept()[0]
            time.sleep(0.2)
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            first.close()
            self.gone.set()
            with self._listening.accept()[0] as second:
                second.sendall(b"220 mx\r\n")
                second.recv(100)


@pytest.mark.parametrize("transport", ["epoll", "twisted"])
def test_a_server_that_is_gone_when_the_client_is_in_tls(tmp_path: Path, transport: str) -> None:
    """T08: its session ends, and others go on."""
    server = Vanishing()
    with proxy(tmp_path, "smtps", f"smtp+plain://127.0.0.1:{server.port}", "--transport", transport) as run:
        context = ssl.create_default_context(cafile=str(run.ca))
        with socket.create_connection(("127.0.0.1", run.port), 10) as connection:
            server.gone.wait(10)
            time.sleep(0.2)
            with contextlib.suppress(OSError), context.wrap_socket(connection, server_hostname="127.0.0.1") as end:
                assert end.recv(100) == b""
        with socket.create_connection(("127.0.0.1", run.port), 10) as connection, context.wrap_socket(
                connection, server_hostname="127.0.0.1") as end:
            assert end.recv(100) == b"220 mx\r\n"
    assert len(run.events("flow_closed")) == 2
    assert "fault of our own" not in run.said
    assert_replay_is_live(run)


class Alone(threading.Thread):
    """A POP3S server for one client."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(daemon=True)
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(20)
        self.port = self._listening.getsockname()[1]
        self.start()

    def run(self) -> None:
        with contextlib.suppress(OSError), self._listening, self._context.wrap_socket(
                self._listening.accept()[0], server_side=True) as end:
            end.sendall(b"+OK ready\r\n")
            self.serve(end)

    def serve(self, end: ssl.SSLSocket) -> None:
        """After the greeting."""
        raise NotImplementedError


class Ending(Alone):
    """It ends in the middle of a message: with close_notify or cut off, as somebody on the way might do."""

    def __init__(self, pair: tuple[Path, Path], notify: bool) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*pair)
        self._notify = notify
        super().__init__(context)

    def serve(self, end: ssl.SSLSocket) -> None:
        end.recv(1_000)
        end.sendall(b"+OK\r\nSubject: half\r\n\r\na")
        if self._notify:
            end.settimeout(1)
            end.unwrap()


@pytest.mark.parametrize("notify", [True, False])
def test_ends_with_a_word_and_without(pair: tuple[Path, Path], tmp_path: Path, notify: bool) -> None:
    """T10: an end that TLS vouches for is passed on as one; a cut is told, and the client can see that it is one."""
    with proxy(tmp_path, "pop3s", f"pop3s://127.0.0.1:{Ending(pair, notify).port}", "--upstream-ca", str(pair[0])) as run:
        context = ssl.create_default_context(cafile=str(run.ca))
        with socket.create_connection(("127.0.0.1", run.port), 10) as connection, context.wrap_socket(
                connection, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as end:
            assert end.recv(100) == b"+OK ready\r\n"
            end.sendall(b"RETR 1\r\n")
            got = b""
            with contextlib.nullcontext() if notify else pytest.raises(ssl.SSLEOFError):
                while data := end.recv(100):
                    got += data
    assert got == b"+OK\r\nSubject: half\r\n\r\na"
    assert [event["leg"] for event in run.events("tls_truncated")] == ([] if notify else ["server"])
    (message,) = run.events("message")
    assert message["complete"] is False
    assert_replay_is_live(run)


class Strict(Alone):
    """It serves whom a certificate proves, and nobody else."""

    def __init__(self, pair: tuple[Path, Path], version: ssl.TLSVersion) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pair[0]))
        context.load_cert_chain(*pair)
        context.verify_mode = ssl.CERT_REQUIRED
        context.maximum_version = version
        super().__init__(context)

    def serve(self, end: ssl.SSLSocket) -> None:
        while end.recv(1_000):
            end.sendall(b"+OK\r\n")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("has", [True, False])
def test_a_server_that_wants_a_certificate(pair: tuple[Path, Path], tmp_path: Path, has: bool, version: ssl.TLSVersion) -> None:
    """It gets the one of `--client-cert`; without, the server's refusal is told with what to do, in TLS 1.3 as well, where it
    comes after the handshake."""
    (tmp_path / "own.pem").write_bytes(pair[0].read_bytes() + pair[1].read_bytes())
    options = ("--client-cert", str(tmp_path / "own.pem")) if has else ()
    with proxy(tmp_path, "pop3+plain", f"pop3s://127.0.0.1:{Strict(pair, version).port}", "--upstream-ca", str(pair[0]),
               *options) as run:
        said = talk(run.port, b"QUIT\r\n")
    told = run.events("tls")
    assert [event["client_certificate_asked"] for event in told] == ([True] if told else [])
    if has:
        assert said == b"+OK ready\r\n+OK\r\n"
        assert [event["client_certificate"] for event in told] == [
            hashlib.sha256(ssl.PEM_cert_to_DER_cert(pair[0].read_text())).hexdigest()]
        assert not run.events("tls_failed")
    else:
        (failed,) = run.events("tls_failed")
        assert failed["leg"] == "server"
        assert failed["alert"]
        assert failed["reason"].endswith("it has asked for a client's certificate: --client-cert FILE")
        assert b"ready" not in said
    assert_replay_is_live(run)


@pytest.mark.parametrize("listening", ["smtp", "smtp+starttls", "smtps", "smtp+plain"])
def test_a_server_that_refuses_is_not_spoken_to(tmp_path: Path, listening: str) -> None:
    """A leg that is to be in TLS never falls back."""
    liar = Liar(b"220 mx\r\n", b"250 mx\r\n", b"454 4.7.0 not now\r\n")
    with contextlib.closing(liar), proxy(tmp_path, listening, f"smtp+starttls://127.0.0.1:{liar.port}") as run:
        if listening == "smtps":
            with pytest.raises(OSError, match=r"EOF|reset|closed"), socket.create_connection(("127.0.0.1", run.port), 5) as end:
                ssl.create_default_context(cafile=str(run.ca)).wrap_socket(end, server_hostname="127.0.0.1")
        else:
            assert b"421 4.4.1 mailspy: no TLS with the server" in talk(run.port)
    assert liar.heard.startswith(b"EHLO")
    assert b"MAIL" not in liar.heard
    (failed,) = run.events("tls_failed")
    assert "454 4.7.0 not now" in failed["reason"]
    assert failed["alert"]


def test_a_certificate_that_nobody_has_signed_ends_the_session(dovecot: Dovecot, tmp_path: Path) -> None:
    """T08: the client is told, in the clear, and never sent on."""
    with proxy(tmp_path, "pop3", dovecot.pop3) as run:
        said = talk(run.port, b"STLS\r\n")
    assert b"-ERR [SYS/TEMP] mailspy: no TLS with the server" in said
    (failed,) = run.events("tls_failed")
    assert failed["leg"] == "server"
    assert failed["problems"][0]["name"] == "self_signed"
    assert "--upstream-ca" in run.said
    assert_replay_is_live(run)


def test_a_client_that_does_not_know_the_authority(tls: Proxy) -> None:
    said = subprocess.run([program("curl", "curl"), "-s", "--ssl-reqd", "--user", f"{USER}:{SECRET}",
                           f"pop3://127.0.0.1:{tls.port}/1"], capture_output=True, timeout=30, check=False)
    assert said.returncode == 60
    tls.process.terminate()
    tls.process.wait(20)
    (failed,) = tls.events("tls_failed")
    assert failed["leg"] == "client"
    assert failed["alert"]
    assert "mailspy ca install-help" in tls.said
    assert_replay_is_live(tls)


@pytest.mark.parametrize("how", ["stall", "leave", "abort"])
def test_a_client_that_leaves_in_the_middle(tls: Proxy, how: str) -> None:
    """T08: none of them leaves anything behind."""
    left = []
    for _ in range(5):
        connection = socket.create_connection(("127.0.0.1", tls.port), 10)
        left.append(connection)
        connection.recv(1_000)
        connection.sendall(b"STLS\r\n")
        connection.recv(1_000)
        connection.sendall(b"\x16\x03\x01\x02\x00\x01")
        if how == "abort":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if how != "stall":
            connection.close()
    assert fetch(tls.port, "starttls", tls.ca)[3]
    tls.process.terminate()
    assert tls.process.wait(20) == 0
    for connection in left:
        connection.close()
    assert len(tls.events("flow_closed")) == 6


@pytest.mark.parametrize(("option", "expected"), [("--strip-starttls", False), ("--tls=refuse", True)])
def test_what_a_client_does_without_tls(dovecot: Dovecot, tmp_path: Path, option: str, expected: bool) -> None:
    """T04: the list of capabilities tells it or hides it; the command is refused in either case, and never gets to the server."""
    with proxy(tmp_path, "pop3", dovecot.pop3, option) as run:
        said = talk(run.port, b"CAPA\r\n", b"STLS\r\n", b"QUIT\r\n")
        done = subprocess.run([program("curl", "curl"), "-s", "--ssl-reqd", "--user", f"{USER}:{SECRET}",
                               f"pop3://127.0.0.1:{run.port}/1"], capture_output=True, timeout=30, check=False)
    assert (b"\r\nSTLS\r\n" in said) is expected
    assert b"-ERR [SYS/TEMP] TLS not available" in said
    assert done.returncode == 64
    assert ("WARNING: --strip-starttls" in run.said) is not expected
    assert not run.events("tls")
    assert_replay_is_live(run)


@pytest.mark.parametrize(("option", "says"), [("--strip-starttls", b"Host did not advertise STARTTLS"),
                                              ("--tls=refuse", b"TLS not available")])
def test_what_swaks_does_without_tls(postfix: Postfix, tmp_path: Path, option: str, says: bytes) -> None:
    """T04: it is told that there is none, or not now, and gives up; nothing reaches the server in its place."""
    with proxy(tmp_path, "smtp", postfix.smtp, option) as run:
        done = subprocess.run([program("swaks", "swaks"), "--server", "127.0.0.1", "--port", str(run.port), "--from",
                               "michel@cnam.example", "--to", "pierre@cnam.example", "--tls"], capture_output=True, timeout=30,
                              check=False)
    assert done.returncode == 29
    assert says in done.stdout + done.stderr
    assert "MAIL" not in [event["verb"] for event in run.events("pdu")]
    assert bool(run.events("tls_edit")) is (option == "--strip-starttls")
    assert_replay_is_live(run)


def test_it_is_passed_unseen(dovecot: Dovecot, pair: tuple[Path, Path], tmp_path: Path) -> None:
    dovecot.maildrop(USER, LETTER)
    with proxy(tmp_path, "pop3", dovecot.pop3, "--tls", "pass") as run:
        assert fetch(run.port, "starttls", pair[0])[3]
    assert not run.events("tls")
    assert any("ClientHello" in event["text"] for event in run.events("pdu"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed(dovecot: Dovecot, pair: tuple[Path, Path], tmp_path: Path, version: ssl.TLSVersion) -> None:
    """T11: with the same server, and told."""
    with proxy(tmp_path, "pop3s", dovecot.pop3s, "--upstream-ca", str(pair[0])) as run:
        context = ssl.create_default_context(cafile=str(run.ca))
        context.maximum_version = version
        kept = None
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", run.port), 10) as connection:
                end = context.wrap_socket(connection, server_hostname="127.0.0.1", session=kept)
                assert end.recv(100).startswith(b"+OK")
                kept = end.session
                end.sendall(b"QUIT\r\n")
                end.recv(100)
                end.close()
    assert [event["resumed"] for event in run.events("tls") if event["leg"] == "client"] == [False, True]


def test_a_thousand_handshakes_do_not_grow(dovecot: Dovecot, pair: tuple[Path, Path], tmp_path: Path) -> None:
    with proxy(tmp_path, "pop3s", dovecot.pop3s, "--upstream-ca", str(pair[0])) as run:
        context = ssl.create_default_context(cafile=str(run.ca))

        def greet(count: int) -> None:
            for _ in range(count):
                with socket.create_connection(("127.0.0.1", run.port), 10) as connection, context.wrap_socket(
                        connection, server_hostname="127.0.0.1") as end:
                    assert end.recv(100).startswith(b"+OK")

        def resident() -> int:
            return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{run.process.pid}/status").read_text())[1])

        greet(200)
        before = resident()
        greet(1_000)
        assert resident() - before < 3_000, "KiB more after 1,000 handshakes"
    assert len(run.events("tls")) == 2_400


def test_mistakes(tmp_path: Path, dovecot: Dovecot) -> None:
    for arguments, expected in (
            (["--listen", "0", "--upstream", str(dovecot.pop3), "--tls", "intercept"], b"mailspy ca create"),
            (["--listen", "pop3s://:0", "--upstream", str(dovecot.pop3), "--tls", "pass"], b"leave one out"),
            (["--listen", "0", "--upstream", f"pop3+tls://127.0.0.1:{free_port()}"], b"after the + stands starttls or plain"),
            (["--listen", "0", "--upstream", str(dovecot.pop3), "--keylog", "k"], b"no leg is in TLS"),
            (["--listen", "0", "--upstream", str(dovecot.pop3), "--capture-encrypted"], b"--keep-secrets"),
            (["replay", "--keylog", str(tmp_path / "none"), "x.pcap"], b"--keylog"),
            (["replay", "--keylog", __file__, __file__], b"no keys in it"),
            (["--listen", "0", "--upstream", str(dovecot.pop3), "--tls", "maybe"], b"'intercept', 'pass', 'refuse'")):
        done = subprocess.run([*command(), *arguments], capture_output=True, timeout=30, check=False, cwd=tmp_path,
                              env=environment(tmp_path) | {"XDG_DATA_HOME": str(tmp_path)})
        assert done.returncode == 2, arguments
        assert expected in done.stderr, done.stderr
        assert b"Traceback" not in done.stderr


class Careless(threading.Thread):
    """A POP3 server that goes on through its buffer after STLS, as many did (CVE-2011-0411): what it took for said in TLS."""

    def __init__(self, pair: tuple[Path, Path], also: bytes = b"") -> None:
        super().__init__(daemon=True)
        self.in_tls: list[bytes] = []
        self._also = also
        """What somebody injects behind its reply to STLS."""
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(*pair)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(20)
        self.port = self._listening.getsockname()[1]
        self.start()

    def run(self) -> None:
        with contextlib.suppress(OSError), self._listening:
            for _ in range(2):
                self._serve(self._listening.accept()[0])

    def _serve(self, connection: socket.socket) -> None:
        buffer, secure = b"", False
        connection.settimeout(10)
        try:
            connection.sendall(b"+OK ready\r\n")
            while data := connection.recv(65_536):
                buffer += data
                while b"\n" in buffer:
                    line, _, buffer = buffer.partition(b"\n")
                    if secure:
                        self.in_tls.append(line.strip())
                    if line.startswith(b"STLS"):
                        connection.sendall(b"+OK go\r\n" + self._also)
                        connection = self._context.wrap_socket(connection, server_side=True)
                        secure = True
                    else:
                        connection.sendall(b"+OK " + line.strip()[:4] + b"\r\n")
        except OSError:
            pass
        finally:
            connection.close()


def careless_client(port: int, trusted: Path, stls: bytes) -> list[bytes]:
    """A client that goes on through its buffer too: what it takes for said in TLS."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        assert connection.recv(1_000) == b"+OK ready\r\n"
        connection.sendall(stls)
        buffer = connection.recv(1_000)
        line, _, buffer = buffer.partition(b"\n")
        assert line == b"+OK go\r"
        context = ssl.create_default_context(cafile=str(trusted))
        with context.wrap_socket(connection, server_hostname="127.0.0.1") as end:
            end.sendall(b"NOOP\r\n")
            while not buffer.endswith(b"NOOP\r\n"):
                data = end.recv(1_000)
                assert data
                buffer += data
    return buffer.split(b"\r\n")[:-1]


@pytest.mark.parametrize("guilty", ["client", "server"])
def test_careless_peers_are_saved(pair: tuple[Path, Path], tmp_path: Path, guilty: str) -> None:
    """T01, T02: the attack works without us, and does not with us."""
    said = b"STLS\r\nDELE 1\r\n" if guilty == "client" else b"STLS\r\n"
    server = Careless(pair, b"+OK fake\r\n" if guilty == "server" else b"")
    heard = careless_client(server.port, pair[0], said)
    assert (b"+OK fake" in heard, b"DELE 1" in server.in_tls) == (guilty == "server", guilty == "client"), "the peers are careful"
    server.in_tls.clear()
    with proxy(tmp_path, "pop3", f"pop3://127.0.0.1:{server.port}", "--upstream-ca", str(pair[0]), "--starttls-injection",
               "drop") as run:
        heard = careless_client(run.port, run.ca, said)
    assert heard == [b"+OK NOOP"]
    assert server.in_tls == [b"NOOP"]
    assert odd(run) - {"bad_sequence", "truncated"} == {"plaintext_after_starttls"}
    assert_replay_is_live(run)


def test_lmtp_goes_over(dovecot: Dovecot, pair: tuple[Path, Path], tmp_path: Path) -> None:
    with proxy(tmp_path, "lmtp+starttls", f"lmtp+plain://127.0.0.1:{dovecot.lmtp.port}") as run, smtplib.LMTP(
            "127.0.0.1", run.port, "client.example") as server:
        server.ehlo()
        server.starttls(context=ssl.create_default_context(cafile=str(run.ca)))
        server.ehlo()
        assert server.sendmail("michel@cnam.example", [f"{USER}@pop.example"], LETTER) == {}
    assert [event["verb"] for event in run.events("pdu") if event["kind"] == "command"][:3] == ["LHLO", "STARTTLS", "LHLO"]
    assert [event["subject"] for event in run.events("message")] == ["in TLS"]
    assert_replay_is_live(run)


def test_an_old_version_is_refused_and_told(dovecot: Dovecot, pair: tuple[Path, Path], tmp_path: Path) -> None:
    """T08."""
    with proxy(tmp_path, "pop3s", dovecot.pop3s, "--upstream-ca", str(pair[0])) as run:
        subprocess.run(["openssl", "s_client", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-connect", f"127.0.0.1:{run.port}"],
                       input=b"", capture_output=True, timeout=30, check=False)
    (failed,) = run.events("tls_failed")
    assert failed["leg"] == "client"
    assert "protocol" in failed["reason"]


class Old:
    """An openssl s_server that speaks TLS 1.1 and nothing newer, and greets as a POP3 server."""

    def __init__(self, pair: tuple[Path, Path]) -> None:
        self.port = free_port()
        self._process = subprocess.Popen(
            [program("openssl", "openssl"), "s_server", "-accept", f"127.0.0.1:{self.port}", "-cert", str(pair[0]), "-key",
             str(pair[1]), "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-quiet"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        wait_until(lambda: listening(self.port), "openssl s_server listening")

    def hear(self) -> bytes:
        """What a client has said; it is answered."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        heard = self._process.stdout.readline()
        self._process.stdin.write(b"+OK good bye\r\n")
        self._process.stdin.flush()
        return heard

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.mark.parametrize("legacy", [True, False])
def test_old_servers_and_clients(pair: tuple[Path, Path], tmp_path: Path, legacy: bool) -> None:
    """TLS 1.1 on both legs: only where it is asked for, and told as weak."""
    server = Old(pair)
    with contextlib.closing(server), proxy(tmp_path, "pop3s", f"pop3s://127.0.0.1:{server.port}", "--upstream-ca", str(pair[0]),
                                           *(("--tls-legacy",) if legacy else ())) as run:
        end = subprocess.Popen(
            ["openssl", "s_client", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-connect", f"127.0.0.1:{run.port}", "-quiet",
             "-CAfile", str(run.ca)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert end.stdin is not None
        assert end.stdout is not None
        end.stdin.write(b"QUIT\r\n")
        end.stdin.flush()
        if legacy:
            assert server.hear() == b"QUIT\r\n"
            assert end.stdout.readline() == b"+OK good bye\r\n"
            end.kill()
        end.communicate(timeout=20)
    if legacy:
        assert [(event["leg"], event["version"]) for event in run.events("tls")] == [("server", "TLSv1.1"), ("client", "TLSv1.1")]
        assert "weak_tls" in odd(run)
    else:
        (failed,) = run.events("tls_failed")
        assert failed["leg"] == "server"
        assert "version" in failed["reason"] or "protocol" in failed["reason"]
