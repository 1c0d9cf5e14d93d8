"""Much of everything: long messages, endless lines, pipelines, too many clients."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

import pytest

from .kit import MIB, Peers, Proxy, doing, ending, exactly, line, rest

EVERYTHING = ("--json", "--local-domain", "cnam.example")


def dialogue(client: socket.socket, server: socket.socket, *turns: tuple[bytes, bytes]) -> None:
    """Commands of the client, each with its answer."""
    for asked, answer in turns:
        client.sendall(asked)
        assert exactly(server, len(asked)) == asked
        server.sendall(answer)
        assert exactly(client, len(answer)) == answer


ENVELOPE = ((b"", b"220 ready\r\n"), (b"HELO c\r\n", b"250 s\r\n"), (b"MAIL FROM:<a@b.example>\r\n", b"250 ok\r\n"),
            (b"RCPT TO:<a@cnam.example>\r\n", b"250 ok\r\n"), (b"DATA\r\n", b"354 go\r\n"))


def test_a_message_of_300_mb(tmp_path: Path, transport: str) -> None:
    """With all plugins at work on it, an attachment of 300 MB costs no memory."""
    begin = (b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
             b"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=x.bin\r\n\r\n")
    piece = (b"QUJD" * 19 + b"\r\n") * 16_384
    pieces = 300_000_000 // len(piece)
    with Peers("smtp") as peers, Proxy(tmp_path, "--transport", transport, "--quiet", *EVERYTHING,
                                       upstreams=(peers,)) as proxy:
        client, server = peers.meet(proxy.port)
        dialogue(client, server, *ENVELOPE, (begin, b""))
        before = proxy.reset_peak()
        total = [0]

        def receive() -> None:
            buffer = bytearray(MIB)
            while total[0] < pieces * len(piece):
                total[0] += server.recv_into(buffer)

        with doing(receive):
            for _ in range(pieces):
                client.sendall(piece)
        dialogue(client, server, (b".\r\n", b"250 ok\r\n"))
        assert proxy.status("VmHWM") - before <= 32 * MIB
    assert proxy.events("message")[0]["complete"]
    assert proxy.events("part")[0]["size"] == pieces * 57 * 16_384


@pytest.mark.parametrize("by_client", [True, False])
def test_a_line_of_64_mib(tmp_path: Path, transport: str, by_client: bool) -> None:
    """A line without an end, as command or as reply, passes exactly and costs no memory; what comes after is read."""
    size = 64 * MIB
    with Peers() as peers, Proxy(tmp_path, "--transport", transport, "--json", upstreams=(peers,)) as proxy:
        client, server = peers.meet(proxy.port)
        dialogue(client, server, (b"", b"+OK ready\r\n"))
        sender, reader = (client, server) if by_client else (server, client)
        if not by_client:
            client.sendall(b"NOOP\r\n")
            line(server)
            sender.sendall(b"+OK ")
            exactly(reader, 4)
        before = proxy.reset_peak()
        with doing(lambda: [sender.sendall(b"a" * MIB) for _ in range(64)]):
            for _ in range(64):
                assert exactly(reader, MIB) == b"a" * MIB
        assert proxy.status("VmHWM") - before <= 4 * MIB
        sender.sendall(b"\r\n")
        assert exactly(reader, 2) == b"\r\n"
        if by_client:
            dialogue(client, server, (b"", b"-ERR\r\n"))
        dialogue(client, server, (b"QUIT\r\n", b"+OK bye\r\n"))
    assert [pdu["size"] for pdu in proxy.events("pdu")][1:3].count(size + (2 if by_client else 6)) == 1 or not by_client
    assert [pdu["verb"] for pdu in proxy.events("pdu")][-2:] == ["QUIT", "QUIT"]


def commands(proxy: Proxy) -> tuple[int, int]:
    """How many commands and replies there were."""
    text = proxy.events_path.read_text()
    return text.count('"kind":"command"'), text.count('"kind":"reply"')


@pytest.mark.parametrize(("command", "count"), [(b"NOOP\r\n", 100_000), (b"MAIL FROM:<a@b.example>\r\nRSET\r\n", 10_000)])
def test_many_commands_in_one_session(tmp_path: Path, transport: str, command: bytes, count: int) -> None:
    """Up to 100,000 commands, a hundred at a time: each is read and answered, memory stays, time is linear."""
    batch = 100
    lines = command.count(b"\n")
    with Peers("smtp") as peers, Proxy(tmp_path, "--transport", transport, "--json", upstreams=(peers,)) as proxy:
        client, server = peers.meet(proxy.port)
        dialogue(client, server, (b"", b"220 ready\r\n"), (b"HELO c\r\n", b"250 s\r\n"))

        def talk(batches: int) -> float:
            begun = proxy.cpu()
            for _ in range(batches):
                client.sendall(command * batch)
                exactly(server, len(command) * batch)
                server.sendall(b"250 ok\r\n" * lines * batch)
                exactly(client, 8 * lines * batch)
            return proxy.cpu() - begun

        first = talk(count // batch // 5)
        before = proxy.reset_peak()
        assert talk(count // batch // 5 * 4) < first * 4 * 1.5 + 0.3
        assert proxy.status("VmHWM") - before <= 8 * MIB
    assert commands(proxy) == (count * lines + 1, count * lines + 1)


def test_max_sessions(tmp_path: Path, transport: str) -> None:
    """Of ten clients at once three are served; the others wait, and each is served when one has gone."""
    with Peers() as peers, Proxy(tmp_path, "--transport", transport, "--max-sessions", "3", upstreams=(peers,)) as proxy:
        clients = [peers.client(proxy.port) for _ in range(10)]
        servers = [peers.accept() for _ in range(3)]
        peers.listener.settimeout(0.3)
        with pytest.raises(TimeoutError):
            peers.accept()
        peers.listener.settimeout(5)
        for client in clients:
            server = servers.pop(0)
            server.sendall(b"+OK\r\n")
            assert line(client) == b"+OK\r\n"
            client.close()
            assert rest(server) == b""
            server.close()
            if client in clients[:7]:
                servers.append(peers.accept())


@pytest.mark.parametrize("descriptors", [39, 40])
def test_no_descriptor_left(tmp_path: Path, transport: str, descriptors: int) -> None:
    """Out of descriptors: one notice, new clients wait without a busy loop, open sessions live; then all are served."""
    with Peers() as peers, Proxy(tmp_path, "--transport", transport, descriptors=descriptors, upstreams=(peers,)) as proxy:
        clients = [peers.client(proxy.port) for _ in range(30)]
        servers = [peers.accept()]
        peers.listener.settimeout(0.4)
        with contextlib.suppress(TimeoutError):
            while True:
                servers.append(peers.accept())
        served = len(servers)
        assert 5 <= served < 30
        begun = proxy.cpu()
        time.sleep(1)
        assert proxy.cpu() - begun < 0.2
        peers.listener.settimeout(5)
        assert proxy.stderr.count("accepting pauses") == 1
        for number, server in enumerate(servers):
            server.sendall(b"+OK %d\r\n" % number)
            assert line(clients[number]) == b"+OK %d\r\n" % number
        for client, server in zip(clients, servers, strict=False):
            client.close()
            assert ending(server) == "closed"
            server.close()
        for client in clients[served:]:
            server = peers.accept()
            server.sendall(b"+OK later\r\n")
            assert line(client) == b"+OK later\r\n"
            client.close()
            assert rest(server) == b""
            server.close()
