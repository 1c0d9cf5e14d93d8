"""Octets arrive as they were sent, in both directions, however the connection is used and ended."""

from __future__ import annotations

import hashlib
import random
import socket
import time
from pathlib import Path

import pytest

from .conftest import Shared
from .kit import MIB, Peers, Proxy, abort, doing, ending, exactly, line, noise, rest, until

C2S = noise(5 * MIB, 1)
S2C = noise(5 * MIB, 2)
READ = 100_000
"""Octets each way when findings about every one of them are written."""


def exchange(peers: Peers, port: int, size: int = 5 * MIB) -> None:
    """Octets without sense each way at once, then FIN from both."""
    client, server = peers.meet(port)
    arrived: dict[str, bytes] = {}

    def send(one: socket.socket, data: bytes) -> None:
        one.sendall(data)
        one.shutdown(socket.SHUT_WR)

    with doing(lambda: send(client, C2S[:size]), lambda: send(server, S2C[:size]),
               lambda: arrived.update(server=rest(server)), lambda: arrived.update(client=rest(client))):
        pass
    assert hashlib.sha256(arrived["server"]).digest() == hashlib.sha256(C2S[:size]).digest()
    assert hashlib.sha256(arrived["client"]).digest() == hashlib.sha256(S2C[:size]).digest()


def test_noise_both_ways_at_once(shared: Shared) -> None:
    """What makes no sense to any parser arrives unchanged."""
    exchange(shared.peers, shared.proxy.port)


@pytest.mark.parametrize("scheme", ["smtp", "pop3"])
def test_noise_with_everything_switched_on(tmp_path: Path, transport: str, scheme: str) -> None:
    """With all plugins, JSON, a log and a capture the octets are the same, and the capture holds them all."""
    options = ("--transport", transport, "--json", "--log", "log.json", "--attachments", "saved", "-w", "capture.pcapng")
    with Peers(scheme) as peers, Proxy(tmp_path, *options, upstreams=(peers,)) as proxy:
        exchange(peers, proxy.port, READ)
    replayed = [event for event in proxy.replay() if event["event"] == "pdu"]
    for pdus in (proxy.events("pdu"), replayed):
        assert sum(pdu["size"] for pdu in pdus if pdu["direction"] == "C->S") == READ
        assert sum(pdu["size"] for pdu in pdus if pdu["direction"] == "S->C") == READ


def ends(peers: Peers, port: int, by_client: bool) -> tuple[socket.socket, socket.socket]:
    """A connection, seen from the side that does something, then from the other."""
    client, server = peers.meet(port)
    return (client, server) if by_client else (server, client)


@pytest.mark.parametrize("by_client", [True, False])
def test_after_a_half_close_the_other_direction_delivers(shared: Shared, by_client: bool) -> None:
    """FIN from one side: the other still sends a MiB to it, and it arrives, although it is read slowly."""
    ender, other = ends(shared.peers, shared.proxy.port, by_client)
    ender.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    ender.sendall(b"the last words\r\n")
    ender.shutdown(socket.SHUT_WR)
    assert rest(other) == b"the last words\r\n"
    with doing(lambda: (time.sleep(0.2), other.sendall(C2S[:MIB]), other.shutdown(socket.SHUT_WR))):
        time.sleep(0.4)
        assert rest(ender, pause=0.002) == C2S[:MIB]


@pytest.mark.parametrize("by_client", [True, False])
def test_a_half_close_behind_octets_that_nobody_reads_yet(shared: Shared, by_client: bool) -> None:
    """Six MiB and FIN at once to a side that reads late: it gets all of them, then FIN, and its answer still arrives."""
    ender, other = ends(shared.peers, shared.proxy.port, by_client)
    other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    with doing(lambda: (ender.sendall(C2S), ender.shutdown(socket.SHUT_WR))):
        time.sleep(0.3)
        assert rest(other) == C2S
    other.sendall(b"all of it\r\n")
    other.close()
    assert rest(ender) == b"all of it\r\n"


@pytest.mark.parametrize("by_client", [True, False])
def test_an_abort_is_an_abort_at_once(shared: Shared, by_client: bool) -> None:
    """RST at any moment: the other side hears of an abort within a second."""
    chance = random.Random(3)
    for _ in range(20):
        breaker, other = ends(shared.peers, shared.proxy.port, by_client)
        for sender in random.Random(chance.random()).choices((breaker, other), k=chance.randrange(4)):
            sender.sendall(noise(chance.randrange(1, 50_000), 4))
        time.sleep(chance.random() * 0.02)
        before = time.monotonic()
        abort(breaker)
        assert ending(other) == "reset"
        assert time.monotonic() - before < 1


def test_an_abort_by_a_side_whose_peer_does_not_read(shared: Shared) -> None:
    """A server that aborts while its client is stuck: the proxy lets go of both within a second of the client's reading."""
    client, server = shared.peers.meet(shared.proxy.port)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    fill(server)
    abort(server)
    before = time.monotonic()
    assert ending(client) == "reset"
    assert time.monotonic() - before < 1


def fill(one: socket.socket) -> int:
    """Sends until nothing is taken for a third of a second; returns how many octets went."""
    sent = 0
    one.settimeout(0.3)
    piece = b"x" * 65_536
    while True:
        try:
            sent += one.send(piece)
        except TimeoutError:
            one.settimeout(15)
            return sent


@pytest.mark.parametrize("by_client", [True, False])
def test_a_reader_that_stops_stops_the_sender(tmp_path: Path, transport: str, by_client: bool) -> None:
    """A mail of 200 MB to a reader that does not read: mailspy stays small, others are served; in the end all arrives."""
    piece = (b"x" * 78 + b"\r\n") * 12_500
    pieces = 200
    with Peers("smtp" if by_client else "pop3") as peers, \
            Proxy(tmp_path, "--transport", transport, "--quiet", upstreams=(peers,)) as proxy:
        talk(peers, proxy.port, 1_000_000, by_client)
        sender, reader = talk(peers, proxy.port, 0, by_client)
        before = proxy.reset_peak()
        sent = []

        def send() -> None:
            for _ in range(pieces):
                sender.sendall(piece)
                sent.append(1)
            sender.shutdown(socket.SHUT_WR)

        with doing(send):
            time.sleep(0.6)
            stuck = len(sent)
            talk(peers, proxy.port, 1000, by_client)
            time.sleep(0.2)
            assert len(sent) == stuck < 40, "the sender is not held back"
            assert proxy.status("VmHWM") - before <= 4 * MIB
            total, digest = 0, hashlib.sha256()
            buffer = bytearray(MIB)
            while got := reader.recv_into(buffer):
                digest.update(memoryview(buffer)[:got])
                total += got
        expected = hashlib.sha256()
        for _ in range(pieces):
            expected.update(piece)
        assert total == len(piece) * pieces
        assert digest.digest() == expected.digest()
        assert proxy.status("VmHWM") - before <= 4 * MIB


def talk(peers: Peers, port: int, size: int, by_client: bool) -> tuple[socket.socket, socket.socket]:
    """A session up to the begin of a mail, and that many octets of it: returns who sends it and who gets it."""
    client, server = peers.meet(port)
    for asked, answer in ((b"", b"220 ready\r\n"), (b"DATA\r\n", b"354 go\r\n")) if by_client else (
            (b"", b"+OK ready\r\n"), (b"RETR 1\r\n", b"+OK\r\n")):
        client.sendall(asked)
        assert exactly(server, len(asked)) == asked
        server.sendall(answer)
        assert line(client) == answer
    sender, reader = (client, server) if by_client else (server, client)
    sender.sendall(b"x" * size)
    exactly(reader, size)
    return sender, reader


def test_what_was_sent_before_the_server_is_there_is_kept(shared: Shared) -> None:
    """A client that speaks at once, and ends at once, is heard in full."""
    client = shared.peers.client(shared.proxy.port)
    client.sendall(b"QUIT\r\n" * 1000)
    client.shutdown(socket.SHUT_WR)
    server = shared.peers.accept()
    assert rest(server) == b"QUIT\r\n" * 1000
    server.sendall(b"+OK bye\r\n")
    server.close()
    assert rest(client) == b"+OK bye\r\n"


def test_hundred_sessions_at_once(shared: Shared) -> None:
    """Each of a hundred clients gets its own server's answers and nobody else's."""
    proxy, peers = shared
    clients = [peers.client(proxy.port) for _ in range(100)]
    for number, client in enumerate(clients):
        client.sendall(b"%d\n" % number)
    servers = [peers.accept() for _ in clients]
    for server in servers:
        server.sendall(b"+OK " + line(server))
    for number, client in enumerate(clients):
        assert line(client) == b"+OK %d\n" % number
        client.shutdown(socket.SHUT_WR)
    for server in servers:
        assert exactly(server, 0) == rest(server) == b""
    until(lambda: proxy.process.poll() is None, "alive")
