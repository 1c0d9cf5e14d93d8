"""How it ends: by signals, by death, with a clock that jumps."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import time
from pathlib import Path

import pytest

from .kit import MIB, Peers, Proxy, doing, ending, line, noise, rest, until

CLOCK = '''
"""A clock that jumps when a file says so."""
import os
import time

_time, _time_ns = time.time, time.time_ns


def _shift():
    try:
        with open(os.environ["SHIFT"]) as file:
            return int(file.read() or 0)
    except (KeyError, OSError):
        return 0


time.time = lambda: _time() + _shift()
time.time_ns = lambda: _time_ns() + _shift() * 1_000_000_000
'''


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_lets_sessions_finish(tmp_path: Path, transport: str, number: int) -> None:
    """No new clients, the open session goes on to its end; then a summary, a whole capture and exit code 0."""
    options = ("--transport", transport, "--json", "-w", "capture.pcapng", "--drain", "10")
    with Peers() as peers, Proxy(tmp_path, *options, upstreams=(peers,)) as proxy:
        client, server = peers.meet(proxy.port)
        port = proxy.port
        proxy.signal(number)
        until(lambda: "stopping: 1 open session may finish" in proxy.stderr, "draining", 3)
        with pytest.raises(ConnectionRefusedError):
            peers.client(port)
        server.sendall(b"+OK\r\n")
        assert line(client) == b"+OK\r\n"
        client.close()
        assert rest(server) == b""
        server.close()
        assert proxy.wait(3) == 0
    assert "1 flow" in proxy.stderr
    assert proxy.events() == proxy.replay()
    assert proxy.events("flow_closed")[0]["reason"] == "client closed"


@pytest.mark.parametrize("how", ["twice", "drain"])
def test_a_stuck_client_does_not_hold_it_up(tmp_path: Path, transport: str, how: str) -> None:
    """A client that does not read is cut off by the second signal, or when the drain time is over."""
    options = ("--transport", transport, "--json", "-w", "capture.pcapng", "--drain", "0.5" if how == "drain" else "30")
    with Peers() as peers, Proxy(tmp_path, *options, upstreams=(peers,)) as proxy:
        client, server = peers.meet(proxy.port)
        server.sendall(b"+OK\r\n")
        client.sendall(b"RETR 1\r\n")
        line(server)
        server.setblocking(False)
        for _ in range(200):
            try:
                server.send(b"+OK\r\n" + (b"x" * 78 + b"\r\n") * 1000)
            except BlockingIOError:
                time.sleep(0.002)
        proxy.signal(signal.SIGTERM)
        until(lambda: "stopping" in proxy.stderr, "draining", 3)
        if how == "twice":
            proxy.signal(signal.SIGTERM)
        assert proxy.wait(2) == 0
        assert ending(client) == "reset"
    assert "Traceback" not in proxy.stderr
    assert proxy.events("flow_closed")[0]["reason"] == "mailspy stopped"
    assert proxy.events() == proxy.replay()


def test_a_sudden_death_loses_nothing(tmp_path: Path, transport: str) -> None:
    """`kill -9` under traffic: whatever a client or server has received stands in the capture, which can be read."""
    sent = noise(40 * MIB, 7).replace(b"\n", b"-").replace(b"\r", b"-")
    for number in range(2):
        with Peers() as peers, Proxy(tmp_path / str(number), "--transport", transport, "--quiet", "--keep-secrets", "-w",
                                     "capture.pcapng", upstreams=(peers,)) as proxy:
            client, server = peers.meet(proxy.port)
            server.sendall(b"+OK\r\n")
            line(client)
            got = {"client": bytearray(), "server": bytearray()}

            def receive(name: str, one: socket.socket, got: dict[str, bytearray] = got) -> None:
                with contextlib.suppress(ConnectionResetError):
                    while data := one.recv(65_536):
                        got[name] += data

            def send(one: socket.socket) -> None:
                with contextlib.suppress(OSError):
                    one.sendall(sent)

            with doing(lambda: receive("server", server), lambda: receive("client", client), lambda: send(client),
                       lambda: send(server)):
                until(lambda got=got: all(got.values()), "octets", 5)
                time.sleep(random.Random(number).uniform(0, 0.01))
                proxy.kill()
        saved = streams(proxy)
        assert saved["S->C"][5:5 + len(got["client"])] == got["client"]
        assert saved["C->S"][:len(got["server"])] == got["server"]
        assert 0 < len(got["server"]) < len(sent)


def streams(proxy: Proxy) -> dict[str, bytes]:
    """The octets of both directions in its capture."""
    from inspector.capture.reader import read
    from inspector.segment import Segment

    found: dict[str, list[bytes]] = {"C->S": [], "S->C": []}
    for event in read(str(proxy.capture)):
        if isinstance(event, Segment):
            found[str(event.direction)].append(event.data)
    return {direction: b"".join(pieces) for direction, pieces in found.items()}


@pytest.mark.parametrize("shift", [315_360_000, -315_360_000])
def test_a_clock_that_jumps(tmp_path: Path, transport: str, monkeypatch: pytest.MonkeyPatch, shift: int) -> None:
    """Ten years forth or back: no timer fires for it, time stamps go on evenly, and it is told once."""
    folder = tmp_path / "clock"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(CLOCK)
    monkeypatch.setenv("SHIFT", str(folder / "shift"))
    options = ("--transport", transport, "--json", "--drain", "20")
    with Peers() as peers, Proxy(tmp_path / "run", *options, upstreams=(peers,), python_path=folder) as proxy:
        client, server = peers.meet(proxy.port)
        server.sendall(b"+OK\r\n")
        line(client)
        proxy.signal(signal.SIGTERM)
        (folder / "shift").write_text(str(shift))
        until(lambda: "the wall clock was moved" in proxy.stderr, "the notice", 3)
        client.sendall(b"NOOP\r\n")
        line(server)
        server.sendall(b"+OK\r\n")
        line(client)
        time.sleep(0.3)
        assert proxy.process.poll() is None
        client.close()
        assert rest(server) == b""
        server.close()
        assert proxy.wait(3) == 0
    assert len({event["time"][:4] for event in proxy.events()}) == 1
    assert proxy.stderr.count("the wall clock was moved") == 1
