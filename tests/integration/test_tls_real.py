"""TLS on either leg or both, by every mode: Dovecot and Postfix behind; poplib, smtplib, curl and openssl in front."""

from __future__ import annotations

import atexit
import json
import os
import poplib
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import pytest

from .harness import client, command, environment, parsed
from .mail import message
from .servers import USERS, Dovecot, Postfix, free_port, listening, wait_until

USER, SECRET = next(iter(USERS.items()))
LETTER = message("in TLS", "one", ".two", "three")


@cache
def authority() -> Path:
    """The folder of an authority that `mailspy ca create` has made, for all tests: it takes longer than to copy it."""
    folder = Path(tempfile.mkdtemp(prefix="mailspy-ca-"))
    atexit.register(shutil.rmtree, folder)
    subprocess.run([*command(), "ca", "create", "--ca-dir", str(folder / "ca")], check=True, capture_output=True,
                   env=environment(folder))
    return folder / "ca"


class Proxy:
    """One mailspy with an authority of its own."""

    def __init__(self, folder: Path, listen: str, upstream: object, *options: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.ca = folder / "ca" / "ca.pem"
        where = environment(folder)
        shutil.copytree(authority(), folder / "ca")
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


MODES = ("plain", "starttls", "implicit")
SCHEMES = {"plain": "{}+plain", "starttls": "{}+starttls", "implicit": "{}s"}


def scheme(protocol: str, mode: str) -> str:
    return SCHEMES[mode].format(protocol)


def fetch(port: int, mode: str, trusted: Path) -> list[object]:
    """What poplib gets, in TLS by that mode."""
    context = ssl.create_default_context(cafile=str(trusted)) if mode != "plain" else None
    if mode == "implicit":
        box: poplib.POP3 = poplib.POP3_SSL("127.0.0.1", port, timeout=20, context=context)
    else:
        box = poplib.POP3("127.0.0.1", port, timeout=20)
    if mode == "starttls":
        box.stls(context)  # asks for CAPA first
    offered = sorted(box.capa())
    box.user(USER)
    box.pass_(SECRET)
    return [offered, box.getwelcome().partition(b"<")[0], box.stat(), box.retr(1)[1], box.quit()]


def send(port: int, mode: str, trusted: Path) -> list[object]:
    """What smtplib is told, in TLS by that mode."""
    context = ssl.create_default_context(cafile=str(trusted)) if mode != "plain" else None
    if mode == "implicit":
        server: smtplib.SMTP = smtplib.SMTP_SSL("127.0.0.1", port, "client.example", timeout=20, context=context)
    else:
        server = smtplib.SMTP("127.0.0.1", port, "client.example", timeout=20)
    server.ehlo()
    if mode == "starttls":
        server.starttls(context=context)
        server.ehlo()
        assert not server.has_extn("starttls")
    extensions = sorted(server.esmtp_features)
    refused = server.sendmail("michel@cnam.example", ["pierre@cnam.example"], LETTER)
    return [extensions, refused, server.quit()[0]]


def assert_replay_is_live(run: Proxy) -> None:
    replayed = subprocess.run([*command(), "replay", "--json", str(run.folder / "capture.pcapng")], check=True,
                              capture_output=True, env=environment(run.folder)).stdout
    assert [json.loads(line) for line in replayed.splitlines()] == run.events()


def odd(run: Proxy) -> set[str]:
    """Anomalies, but for what the servers of these tests are made to do."""
    return {event["name"] for event in run.events("anomaly")} - {"auth_offered_in_clear"}


@pytest.mark.parametrize("protocol", ["pop3", "smtp"])
def test_the_session_before_across_and_after_the_switch(dovecot: Dovecot, postfix: Postfix, pair: tuple[Path, Path],
                                                        tmp_path: Path, protocol: str) -> None:
    """`--tls intercept` alone: what the client asks for is asked of the server."""
    server = f"127.0.0.1:{dovecot.pop3.port if protocol == 'pop3' else postfix.smtp.port}"
    dovecot.maildrop(USER, LETTER)
    use = fetch if protocol == "pop3" else send
    direct = use(int(server.rpartition(":")[2]), "starttls", pair[0])
    dovecot.maildrop(USER, LETTER)
    with proxy(tmp_path, protocol, f"{protocol}://{server}", "--upstream-ca", str(pair[0])) as run:
        assert use(run.port, "starttls", run.ca) == direct
    assert "STARTTLS is looked into" in run.said
    verbs = [event["verb"] for event in run.events("pdu") if event["kind"] == "command"]
    assert verbs == (["CAPA", "STLS", "CAPA", "USER", "PASS", "STAT", "RETR", "QUIT"] if protocol == "pop3" else
                     ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "DATA", "QUIT"])
    told = run.events("tls")
    assert [event["leg"] for event in told] == ["server", "client"]
    assert not odd(run)
    assert not run.events("tls_edit")
    assert_replay_is_live(run)


def replayed(run: Proxy, *options: str) -> list[dict]:
    said = subprocess.run([*command(), "replay", "--json", str(run.folder / "capture.pcapng"), *options], check=True,
                          capture_output=True, env=environment(run.folder)).stdout
    return [json.loads(line) for line in said.splitlines()]


@pytest.mark.parametrize(("client_mode", "server_mode", "version", "jobs"), [
    ("starttls", "starttls", "1.2", "1"), ("starttls", "starttls", "1.3", "2"), ("implicit", "implicit", "1.2", "2"),
    ("implicit", "implicit", "1.3", "1"), ("implicit", "plain", "1.3", "1"), ("plain", "implicit", "1.3", "1")])
def test_a_capture_of_the_records_and_their_keys(dovecot: Dovecot, pair: tuple[Path, Path], tmp_path: Path, client_mode: str,
                                                 server_mode: str, version: str, jobs: str) -> None:
    """Our own replay opens it and tells the same; so does tshark."""
    dovecot.maildrop(USER, LETTER)
    port = (dovecot.pop3s if server_mode == "implicit" else dovecot.pop3).port
    upstream = f"{'pop3' if server_mode == 'starttls' else scheme('pop3', server_mode)}://127.0.0.1:{port}"
    with proxy(tmp_path, "pop3" if client_mode == "starttls" else scheme("pop3", client_mode), upstream, "--capture-encrypted",
               "--keep-secrets", *(("--upstream-ca", str(pair[0])) if server_mode != "plain" else ())) as run:
        got = client("curl", "curl", "--cacert", run.ca, "--user", f"{USER}:{SECRET}", f"--tlsv{version}", "--tls-max", version,
                     *(("--ssl-reqd",) if client_mode == "starttls" else ()),
                     f"pop3{'s' if client_mode == 'implicit' else ''}://127.0.0.1:{run.port}/1")
        assert "three" in (got.stdout if isinstance(got.stdout, str) else got.stdout.decode())
    versions = [event["version"] for event in run.events("tls") if event["leg"] == "client"]
    assert versions == ([f"TLSv{version}"] if client_mode != "plain" else [])
    octets = (tmp_path / "capture.pcapng").read_bytes()
    assert (b"three" in octets) is (client_mode == "plain")
    assert replayed(run, "--jobs", jobs) == run.events()
    fields = subprocess.run(["tshark", "-r", str(tmp_path / "capture.pcapng"), "-Y", "pop", "-T", "fields", "-e",
                             "pop.request.command"], capture_output=True, text=True, check=True).stdout.split()
    assert fields[-2:] == ["RETR", "QUIT"]


def test_keys_of_both_legs(dovecot: Dovecot, pair: tuple[Path, Path], tmp_path: Path) -> None:
    """`--keylog` is for Wireshark on either side, private, and for a replay of a capture that has no keys."""
    dovecot.maildrop(USER, LETTER)
    keys = tmp_path / "keys"
    with proxy(tmp_path, "pop3s", dovecot.pop3s, "--upstream-ca", str(pair[0]), "--keylog", str(keys)) as run:
        fetch(run.port, "implicit", run.ca)
    assert keys.stat().st_mode & 0o777 == 0o600
    randoms = {line.split()[1] for line in keys.read_text().splitlines() if line.startswith("CLIENT_TRAFFIC_SECRET_0")}
    assert len(randoms) == 2
    keys.chmod(0o644)
    done = subprocess.run([*command(), "--listen", "pop3s://:0", "--upstream", str(dovecot.pop3s), "--keylog", str(keys),
                           "--ca-dir", str(tmp_path / "ca")], capture_output=True, timeout=30, check=False,
                          env=environment(tmp_path))
    assert done.returncode == 2
    assert b"others may read" in done.stderr


def test_a_certificate_that_nobody_has_signed(dovecot: Dovecot, tmp_path: Path) -> None:
    """Refused, and said why; with warn the session goes on, and the finding tells; with off nobody looks, which it tells too."""
    with proxy(tmp_path, "pop3s", dovecot.pop3s) as run, pytest.raises((ssl.SSLError, OSError)):
        fetch(run.port, "implicit", run.ca)
    assert "self_signed" in run.said
    assert "--upstream-ca" in run.said
    assert not run.events("pdu")
    for how, problems in (("warn", ["self_signed"]), ("off", [])):
        (tmp_path / how).mkdir()
        dovecot.maildrop(USER, LETTER)
        with proxy(tmp_path / how, "pop3s", dovecot.pop3s, "--upstream-verify", how) as run:
            fetch(run.port, "implicit", run.ca)
        server, client = run.events("tls")
        assert [problem["name"] for problem in server["problems"]] == problems
        assert (server["verify"], client["verify"]) == (how, "")
        assert ("not verified" in server["summary"]) is (how == "off")
        assert server["issuer"] == "CN=pop.example"
        assert client["issuer"].startswith("CN=mailspy CA ")


def test_a_client_that_does_not_trust(dovecot: Dovecot, pair: tuple[Path, Path], tmp_path: Path) -> None:
    with proxy(tmp_path, "pop3s", dovecot.pop3s, "--upstream-ca", str(pair[0])) as run, pytest.raises(ssl.SSLError):
        fetch(run.port, "implicit", pair[0])
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
        fetch(run.port, "implicit", run.ca)
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
