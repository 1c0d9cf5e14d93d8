"""Disks that are full, readers that have gone or do not read: the traffic goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
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


def unheard(tmp_path: Path, peers: Peers, *options: str) -> Proxy:
    """A proxy whose standard output nobody reads any more."""
    reading, writing = os.pipe()
    proxy = Proxy(tmp_path, "--json", *options, upstreams=(peers,), stdout=writing)
    os.close(writing)
    os.close(reading)
    return proxy


def test_a_reader_that_has_gone(tmp_path: Path, transport: str) -> None:
    """`mailspy --json | head -1`: it says so, and ends as at SIGINT: the session that is open may finish."""
    with Peers() as peers, unheard(tmp_path, peers, "--transport", transport) as proxy:
        client, server = peers.meet(proxy.port)
        server.sendall(b"+OK\r\n")
        assert line(client) == b"+OK\r\n"
        until(lambda: "stopping: 1 open session may finish" in proxy.stderr, "the notice", 3)
        assert "standard output: its reader has gone; nothing else is written, so mailspy ends as at Ctrl-C" in proxy.stderr
        client.sendall(b"QUIT\r\n")
        assert line(server) == b"QUIT\r\n"
        server.sendall(b"+OK bye\r\n")
        assert line(client) == b"+OK bye\r\n"
        client.close()
        assert rest(server) == b""
        server.close()
        assert proxy.wait(3) == 0
    assert "1 flow" in proxy.stderr
    assert "Traceback" not in proxy.stderr


@pytest.mark.parametrize("written", [("-w", "capture.pcapng"), ("--log", "a.json"), ("-w", "capture.pcapng", "--log", "a.json")])
def test_a_reader_that_has_gone_while_files_are_written(tmp_path: Path, transport: str, written: tuple[str, ...]) -> None:
    """The capture and the log go on, and say so, once."""
    with Peers() as peers, unheard(tmp_path, peers, "--transport", transport, *written) as proxy:
        for _ in range(5):
            chat(peers, proxy.port, 1000)
            time.sleep(0.2)
        assert proxy.process.poll() is None
        assert proxy.stderr.count("standard output: its reader has gone") == 1
        assert f"{' and '.join(written[1::2])} go" in proxy.stderr
    if "-w" in written:
        assert sum(event["event"] == "flow_closed" for event in proxy.replay()) == 5
    if "--log" in written:
        proxy.events_path = tmp_path / "a.json"
        assert len(proxy.events("flow_closed")) == 5


ROTATIONS = ["moved", "removed", "emptied", "folder"]


@pytest.mark.parametrize("how", ROTATIONS)
def test_files_that_are_moved_away_are_begun_anew(tmp_path: Path, transport: str, how: str) -> None:
    """Within two seconds, while a session is open: what follows stands in the new files, which can be read by themselves."""
    place = tmp_path / "place"
    place.mkdir(mode=0o700)
    capture, log = place / "c.pcapng", place / "log.json"
    options = ("--transport", transport, "--quiet", "-w", str(capture), "--log", str(log))
    with Peers() as peers, Proxy(tmp_path / "run", *options, upstreams=(peers,)) as proxy:
        chat(peers, proxy.port, 1000)
        client, server = peers.meet(proxy.port)
        server.sendall(b"+OK\r\n")
        assert line(client) == b"+OK\r\n"
        for turn in range(1, 3):
            until(lambda: log.stat().st_size, "lines in the log", 3)
            if how == "folder":
                shutil.rmtree(place)
            for path in (capture, log) if how != "folder" else ():
                if how == "emptied":
                    shutil.copy(path, path.with_suffix(f".{turn}"))
                    os.truncate(path, 0)
                elif how == "moved":
                    path.rename(path.with_suffix(f".{turn}"))
                else:
                    path.unlink()
            if how == "moved" and turn == 2:
                proxy.signal(signal.SIGHUP)
            until(lambda turn=turn: proxy.stderr.count("c.pcapng was") >= turn, "the notice about the capture", 2.5)
            until(lambda turn=turn: proxy.stderr.count("log.json: was") >= turn, "the notice about the log", 2.5)
            client.sendall(b"NOOP\r\n")
            assert line(server) == b"NOOP\r\n"
            server.sendall(b"+OK again\r\n")
            assert line(client) == b"+OK again\r\n"
            chat(peers, proxy.port, 2000)
    proxy.capture, proxy.events_path = capture, log
    assert [event["verb"] for event in proxy.events("pdu") if event["kind"] == "command"] == ["NOOP", "RETR"]
    replayed = [event for event in proxy.replay() if event["event"] == "pdu" and event["kind"] == "command"]
    assert [event["verb"] for event in replayed] == ["NOOP", "RETR"]
    assert "Traceback" not in proxy.stderr


def test_files_on_a_full_disk_begin_anew_when_there_is_room(tmp_path: Path, transport: str, small: Path) -> None:
    """Moved away, and no room for the new file: told once; the session goes on; with room the file begins."""
    capture = small / "c.pcapng"
    options = ("--transport", transport, "--quiet", "-w", str(capture))
    with Peers() as peers, Proxy(tmp_path / "run", *options, upstreams=(peers,)) as proxy:
        chat(peers, proxy.port, 1000)
        with (small / "ballast").open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1000))
        capture.rename(small / "c.1")
        until(lambda: "cannot be begun anew" in proxy.stderr, "the notice", 2.5)
        chat(peers, proxy.port, 1000)
        time.sleep(1.2)
        assert proxy.stderr.count("cannot be begun anew") == 1
        (small / "ballast").unlink()
        until(lambda: ": begun anew" in proxy.stderr, "the notice", 2.5)
        chat(peers, proxy.port, 1000)
    proxy.capture = capture
    assert [event["event"] for event in proxy.replay()].count("flow_closed") == 1


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
