"""Disks that are full, readers that have gone or do not read: the traffic goes on."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .kit import MIB, Peers, Proxy, exactly, line, rest, until


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of one MiB."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=False,
                                           capture_output=True).returncode:
        pytest.skip("needs root, to mount a small disk")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def chat(peers: Peers, port: int, size: int) -> None:
    """A session that fetches a mail of about that size, exact at both ends."""
    client, server = peers.meet(port)
    server.sendall(b"+OK\r\n")
    assert line(client) == b"+OK\r\n"
    client.sendall(b"RETR 1\r\n")
    assert line(server) == b"RETR 1\r\n"
    body = b"+OK\r\n" + (b"y" * 78 + b"\r\n") * (size // 80) + b".\r\n"
    server.sendall(body)
    assert exactly(client, len(body)) == body
    client.close()
    assert rest(server) == b""
    server.close()


def test_a_full_disk(tmp_path: Path, transport: str, small: Path) -> None:
    """Capture and log stop with one loud notice each, the traffic goes on; with room again they go on, whole."""
    ballast = small / "ballast"
    options = ("--transport", transport, "--quiet", "-w", str(small / "c.pcapng"), "--log", str(small / "log.json"))
    with Peers() as peers, Proxy(tmp_path / "run", *options, upstreams=(peers,)) as proxy:
        chat(peers, proxy.port, 10_000)
        ballast.write_bytes(bytes(700_000))
        for _ in range(30):
            chat(peers, proxy.port, 60_000)
        until(lambda: "CAPTURE STOPPED" in proxy.stderr, "the notice", 1)
        with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1000))
        for _ in range(60):
            chat(peers, proxy.port, 1000)
        until(lambda: "no room" in proxy.stderr, "the notice", 2)
        ballast.unlink()
        time.sleep(1.1)
        chat(peers, proxy.port, 10_000)
        until(lambda: "capture resumed" in proxy.stderr, "the notice", 2)
    proxy.capture = small / "c.pcapng"
    assert proxy.stderr.count("CAPTURE STOPPED") == 1
    assert proxy.stderr.count("no room") == 1
    assert len(proxy.replay()) > 10
    proxy.events_path = small / "log.json"
    assert proxy.events()


def test_a_reader_that_has_gone(tmp_path: Path, transport: str) -> None:
    """`mailspy --json | head -1`: it ends by itself, without a fuss."""
    reading, writing = os.pipe()
    with Peers() as peers, Proxy(tmp_path, "--transport", transport, "--json", upstreams=(peers,), stdout=writing) as proxy:
        os.close(writing)
        os.close(reading)
        chat(peers, proxy.port, 1000)
        assert proxy.wait(3) == 0
    assert "Traceback" not in proxy.stderr


def test_a_reader_that_does_not_read(tmp_path: Path, transport: str) -> None:
    """A pipe that nobody empties does not stop the traffic, nor the end; memory is bounded."""
    reading, writing = os.pipe()
    with Peers() as peers, Proxy(tmp_path, "--transport", transport, "--json", upstreams=(peers,), stdout=writing) as proxy:
        os.close(writing)
        chat(peers, proxy.port, 1000)
        before = proxy.reset_peak()
        client, server = peers.meet(proxy.port)
        server.sendall(b"+OK\r\n")
        line(client)
        for _ in range(20):
            client.sendall(b"NOOP\r\n" * 1000)
            exactly(server, 6000)
            server.sendall(b"+OK\r\n" * 1000)
            exactly(client, 5000)
        assert proxy.status("VmHWM") - before < 24 * MIB
        proxy.stop()
    os.close(reading)
    assert "reader does not read" in proxy.stderr
    assert "lines were dropped" in proxy.stderr
