"""The servers and clients of the soak: each knows all mails, made from one seed, and believes nothing that it has not compared.

`serve` answers SMTP, LMTP and POP3; `drive` plays sessions for so many seconds.  A thread a connection; sending, receiving and
hashing happen outside the interpreter's lock.  Each prints one JSON object at its end.

Knows the three protocols as far as the soak speaks them.  Must not know mailspy.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import signal
import socket
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

SIZES: Final = (1_000, 4_000, 30_000, 300_000, 3_000_000, 12_000_000, 32_000_000)
"""Octets of mails, about."""
WEIGHTS: Final = (20, 20, 20, 10, 10, 6, 8)
"""How often each is sent: most octets are in the large ones."""
BUFFER: Final = 1 << 20
FORBIDDEN: Final = b"elsewhere.example"
"""A domain for which mailspy refuses to relay."""
PATIENCE: Final = 60.0


class Mail(NamedTuple):
    """A mail as it crosses."""

    body: bytes
    """As BDAT carries it."""
    wire: bytes
    """As DATA and RETR do: dots stuffed, and the end."""
    body_hash: bytes
    wire_hash: bytes


def mails(seed: int) -> list[Mail]:
    """One of each size: text with lines that begin with dots, and a file in base64."""
    chance = random.Random(seed)
    made = []
    for number, size in enumerate(SIZES):
        noise = base64.encodebytes(chance.randbytes(max(0, size - 700) * 3 // 4)).replace(b"\n", b"\r\n")
        head = "\r\n".join((
            "From: <a@soak.example>", "To: <b@local.example>", f"Subject: soak {number}", "MIME-Version: 1.0",
            "Content-Type: multipart/mixed; boundary=soak", "", "--soak", "", ".", "..two", ".three dots", "From here", "--soak",
            "Content-Type: application/octet-stream", "Content-Transfer-Encoding: base64",
            f"Content-Disposition: attachment; filename=soak-{number}.bin", "", "")).encode()
        body = head + noise + b"--soak--\r\n"
        wire = head.replace(b"\r\n.", b"\r\n..") + noise + b"--soak--\r\n.\r\n"
        made.append(Mail(body, wire, hashlib.sha256(body).digest(), hashlib.sha256(wire).digest()))
    return made


class Wrong(Exception):
    """Something else came than was sent."""


class Stream:
    """A connection, read by lines and by counts."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = connection
        self._rest = b""
        self._room = bytearray(BUFFER)

    def line(self) -> bytes:
        """The next line, without its end; nothing at the end of the stream."""
        while b"\n" not in self._rest:
            data = self.connection.recv(65_536)
            if not data:
                if self._rest:
                    raise Wrong(f"the stream ends in a line: {self._rest[:60]!r}")
                return b""
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        if line[-1:] != b"\r":
            raise Wrong(f"a line ends with LF: {line[:60]!r}")
        return line[:-1]

    def content(self, size: int) -> bytes:
        """The SHA-256 of the next octets."""
        here, self._rest = self._rest[:size], self._rest[size:]
        digest = hashlib.sha256(here)
        size -= len(here)
        view = memoryview(self._room)
        while size:
            count = self.connection.recv_into(view, min(size, BUFFER))
            if not count:
                raise Wrong(f"the stream ends {size} octets too early")
            digest.update(view[:count])
            size -= count
        return digest.digest()

    def send(self, data: bytes) -> None:
        """Sends all."""
        self.connection.sendall(data)

    def ask(self, line: bytes, answer: bytes) -> None:
        """Sends a line and compares the reply, which is one line."""
        self.send(line + b"\r\n")
        self.expect(answer)

    def expect(self, answer: bytes) -> None:
        """Compares the next line."""
        if (said := self.line()) != answer:
            raise Wrong(f"{answer[:60]!r} was sent, {said[:100]!r} came")

    def secure(self, context: ssl.SSLContext, server: bool) -> None:
        """TLS from here on."""
        if self._rest:
            raise Wrong("octets in the clear after the agreement to TLS")
        name = None if server else "localhost"
        self.connection = context.wrap_socket(self.connection, server_side=server, server_hostname=name)
        self.connection.settimeout(PATIENCE)

    def close(self) -> None:
        """Ends it, and waits until the other side has."""
        try:
            if isinstance(self.connection, ssl.SSLSocket):
                self.connection = self.connection.unwrap()
            self.connection.shutdown(socket.SHUT_WR)
            while self.connection.recv(4096):
                pass
        except OSError:
            pass
        self.connection.close()


class Counts:
    """What all threads count, and what went wrong."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.faults: list[str] = []

    def add(self, **counts: int) -> None:
        """Counts."""
        with self._lock:
            self._counts.update(counts)

    def kind(self, name: str) -> None:
        """Counts how a mail crossed."""
        with self._lock:
            self.kinds[name] += 1

    def fault(self, what: str) -> None:
        """Something was not as it must be."""
        with self._lock:
            if len(self.faults) < 100:
                self.faults.append(what)

    def told(self, *names: str) -> str:
        """All as JSON; those names even if they are 0."""
        return json.dumps({**dict.fromkeys(names, 0), **self._counts, "kinds": dict(self.kinds), "faults": self.faults})


# Servers


def submission(stream: Stream, letters: list[Mail], counts: Counts, context: ssl.SSLContext, lmtp: bool) -> None:
    """A server of SMTP or LMTP: of each recipient the local part is the number of the mail, of LMTP two are expected."""
    stream.send(b"220 soak ready\r\n")
    number = recipients = 0
    while line := stream.line():
        verb = line[:4].upper()
        if verb in (b"EHLO", b"LHLO"):
            stream.send(b"250-soak\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-STARTTLS\r\n250 8BITMIME\r\n")
        elif verb == b"STAR":
            stream.send(b"220 go ahead\r\n")
            stream.secure(context, True)
        elif verb == b"MAIL":
            number, recipients = int(line.partition(b"<m")[2].partition(b"@")[0]), 0
            stream.send(b"250 sender " + line[10:] + b"\r\n")
        elif verb == b"RCPT":
            counts.add(forbidden=FORBIDDEN in line)
            recipients += 1
            stream.send(b"250 recipient " + line[8:] + b"\r\n")
        elif verb in (b"DATA", b"BDAT"):
            letter = letters[number]
            if verb == b"DATA":
                stream.send(b"354 go on\r\n")
                right = stream.content(len(letter.wire)) == letter.wire_hash
            else:
                size = int(line.split()[1])
                right = size == len(letter.body) and stream.content(size) == letter.body_hash
            if not right:
                raise Wrong(f"mail {number} by {verb.decode()} is another than was sent")
            counts.add(mails=1)
            stream.send(b"250 taken\r\n" * (recipients if lmtp else 1))
        elif verb == b"QUIT":
            stream.send(b"221 bye\r\n")
            return
        else:
            raise Wrong(f"no such command was sent: {line[:60]!r}")


def maildrop(stream: Stream, letters: list[Mail], counts: Counts, context: ssl.SSLContext) -> None:
    """A server of POP3."""
    stream.send(b"+OK soak ready\r\n")
    while line := stream.line():
        verb = line[:4].upper()
        if verb == b"STLS":
            stream.send(b"+OK go ahead\r\n")
            stream.secure(context, True)
        elif verb == b"CAPA":
            stream.send(b"+OK\r\nUSER\r\nSTLS\r\n.\r\n")
        elif verb == b"RETR":
            stream.send(b"+OK here it is\r\n")
            stream.send(letters[int(line.split()[1]) - 1].wire)
        elif verb in (b"USER", b"PASS", b"QUIT"):
            stream.send(b"+OK " + line + b"\r\n" if verb != b"PASS" else b"+OK in\r\n")
            if verb == b"QUIT":
                return
        else:
            raise Wrong(f"no such command was sent: {line[:60]!r}")


def served(connection: socket.socket, serve: Callable[[Stream], None], counts: Counts) -> None:
    """One connection of a server, to its end."""
    stream = Stream(connection)
    try:
        serve(stream)
    except (Wrong, OSError, ValueError, IndexError) as fault:
        counts.fault(f"server: {type(fault).__name__}: {fault}")
    stream.close()


def listen(port: int, serve: Callable[[Stream], None], counts: Counts) -> None:
    """Serves all that come."""
    listener = socket.create_server(("127.0.0.1", port), backlog=256)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=served, args=(connection, serve, counts), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def certificate(folder: Path) -> ssl.SSLContext:
    """A context with a certificate of the servers' own."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=2))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(key, hashes.SHA256()))
    path = folder / "server.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + made.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def serve(seed: int, folder: Path, ports: list[int]) -> None:
    """The three servers, until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    letters, counts, context = mails(seed), Counts(), certificate(folder)
    listen(ports[3], lambda stream: submission(stream, letters, counts, context, False), counts)
    listen(ports[4], lambda stream: submission(stream, letters, counts, context, True), counts)
    listen(ports[5], lambda stream: maildrop(stream, letters, counts, context), counts)
    print("ready", flush=True)
    signal.sigwait({signal.SIGTERM})
    print(counts.told("forbidden", "mails"))


# Clients


class Client:
    """One client: session after session, until the time is over."""

    def __init__(self, chance: random.Random, letters: list[Mail], ports: list[int], tls: float, counts: Counts) -> None:
        self._chance = chance
        self._letters = letters
        self._ports = ports
        self._tls = tls
        self._counts = counts
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    def work(self, end: float) -> None:
        """Plays sessions."""
        sessions = (self._smtp, self._lmtp, self._pop3)
        while time.monotonic() < end and not self._counts.faults:
            place = self._chance.choices((0, 1, 2), (4, 2, 5))[0]
            secure = self._chance.random() < self._tls
            stream = Stream(socket.create_connection(("127.0.0.1", self._ports[place]), PATIENCE))
            self._counts.add(sessions=1, tls=secure)
            try:
                sessions[place](stream, secure)
            except (Wrong, OSError) as fault:
                self._counts.fault(f"client of {sessions[place].__name__}: {type(fault).__name__}: {fault}")
            stream.close()

    def _mails(self) -> list[int]:
        """Numbers of the mails of a session."""
        return self._chance.choices(range(len(SIZES)), WEIGHTS, k=self._chance.randrange(1, 8))

    def _smtp(self, stream: Stream, secure: bool) -> None:
        self._submit(stream, secure, False)

    def _lmtp(self, stream: Stream, secure: bool) -> None:
        self._submit(stream, secure, True)

    def _submit(self, stream: Stream, secure: bool, lmtp: bool) -> None:
        stream.expect(b"220 soak ready")
        self._hello(stream, lmtp)
        if secure:
            stream.ask(b"STARTTLS", b"220 go ahead")
            stream.secure(self._context, False)
            self._hello(stream, lmtp)
        for number in self._mails():
            self._deliver(stream, number, lmtp)
        stream.ask(b"QUIT", b"221 bye")

    def _hello(self, stream: Stream, lmtp: bool) -> None:
        stream.send(b"LHLO soak\r\n" if lmtp else b"EHLO soak\r\n")
        while (line := stream.line())[:4] == b"250-":
            pass
        if line[:4] != b"250 ":
            raise Wrong(f"the answer to EHLO: {line[:100]!r}")

    def _deliver(self, stream: Stream, number: int, lmtp: bool) -> None:
        letter, chance, counts = self._letters[number], self._chance, self._counts
        sender, recipients = b"<m%d@soak.example>" % number, [b"<b@local.example>"]
        if chance.random() < 0.5:
            recipients.append(b"<c@partner.example>")
        stream.ask(b"MAIL FROM:" + sender, b"250 sender " + sender)
        if chance.random() < 0.3:
            stream.send(b"RCPT TO:<x@" + FORBIDDEN + b">\r\n")
            if (said := stream.line())[:3] != b"550":
                raise Wrong(f"a forbidden recipient: {said[:100]!r}")
            counts.add(refusals=1)
        stream.send(b"".join(b"RCPT TO:" + one + b"\r\n" for one in recipients))
        for one in recipients:
            stream.expect(b"250 recipient " + one)
        if chance.random() < 0.5:
            stream.ask(b"DATA", b"354 go on")
            stream.send(letter.wire)
            sent, kind = len(letter.wire), "DATA"
        else:
            stream.send(b"BDAT %d LAST\r\n" % len(letter.body))
            stream.send(letter.body)
            sent, kind = len(letter.body), "BDAT"
        for _ in recipients if lmtp else (1,):
            stream.expect(b"250 taken")
        counts.add(mails=1, octets=sent)
        counts.kind(kind)

    def _pop3(self, stream: Stream, secure: bool) -> None:
        stream.expect(b"+OK soak ready")
        if secure:
            stream.ask(b"STLS", b"+OK go ahead")
            stream.secure(self._context, False)
        stream.ask(b"USER bob", b"+OK USER bob")
        stream.ask(b"PASS secret", b"+OK in")
        for number in self._mails():
            stream.ask(b"RETR %d" % (number + 1), b"+OK here it is")
            letter = self._letters[number]
            if stream.content(len(letter.wire)) != letter.wire_hash:
                raise Wrong(f"mail {number} by RETR is another than was sent")
            self._counts.add(mails=1, octets=len(letter.wire))
            self._counts.kind("RETR")
        stream.ask(b"QUIT", b"+OK QUIT")


def drive(seed: int, ports: list[int], seconds: float, clients: int, tls: float) -> None:
    """So many clients at a time."""
    letters, counts = mails(seed), Counts()
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=Client(random.Random(seed * 1000 + number), letters, ports, tls, counts).work, args=(end,))
               for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(counts.told("sessions", "tls", "mails", "octets", "refusals"))


def main(words: list[str]) -> None:
    """`serve SEED FOLDER PORTS` or `drive SEED FOLDER PORTS SECONDS CLIENTS TLS`: six ports, ours and the servers'."""
    role, seed, folder, ports, rest = words[0], int(words[1]), Path(words[2]), list(map(int, words[3:9])), words[9:]
    if role == "serve":
        serve(seed, folder, ports)
    else:
        drive(seed, ports, float(rest[0]), int(rest[1]), float(rest[2]))


if __name__ == "__main__":
    main(sys.argv[1:])
