"""The way to the server: refused, silent, unknown; names, IPv6, several servers, ports that cannot be had."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from integration.harness import environment
from integration.servers import free_port

from .kit import Peers, Proxy, line, rest

SORRY = {"pop3": b"-ERR ", "smtp": b"421 ", "lmtp": b"421 "}

NAMES = '''
"""Names of this test's own."""
import socket
import time

_real = socket.getaddrinfo


def getaddrinfo(host, port, *more, **most):
    if host in ("slow.test", b"slow.test"):
        time.sleep(8)
    if host in ("two.test", b"two.test"):
        return _real("127.0.0.9", port, *more, **most) + _real("127.0.0.1", port, *more, **most)
    return _real(host, port, *more, **most)


socket.getaddrinfo = getaddrinfo
'''


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """A folder whose module gives names to addresses in every Python that starts."""
    (tmp_path / "names").mkdir()
    (tmp_path / "names" / "sitecustomize.py").write_text(NAMES)
    return tmp_path / "names"


def refused(peers: Peers, proxy: Proxy, scheme: str, within: float) -> bytes:
    """What a client that has already spoken gets: one line, then FIN."""
    client = peers.client(proxy.port)
    begun = time.monotonic()
    client.sendall(b"NOOP\r\n" * 10_000)
    said = rest(client)
    assert time.monotonic() - begun < within
    assert said.startswith(SORRY[scheme])
    assert said.endswith(b"\r\n")
    assert said.count(b"\n") == 1
    client.close()
    return said


@pytest.mark.parametrize("scheme", ["pop3", "smtp"])
def test_nobody_listens(tmp_path: Path, transport: str, scheme: str) -> None:
    """A refusal is told at once, in the client's protocol, with its reason."""
    with Peers() as peers, Proxy(tmp_path, "--transport", transport, upstreams=(f"{scheme}://127.0.0.1:{free_port()}",)) as proxy:
        for _ in range(3):
            assert b"connection refused" in refused(peers, proxy, scheme, 1).lower()


def test_a_black_hole(tmp_path: Path, transport: str) -> None:
    """A server that never answers the first packet is given up when the time is over; so is a name without an answer."""
    with socket.socket() as hole, Peers() as peers:
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        time.sleep(0.1)
        with Proxy(tmp_path, "--transport", transport, "--connect-timeout", "0.7",
                   upstreams=(f"smtp://127.0.0.1:{hole.getsockname()[1]}",)) as proxy:
            assert b"no answer in time" in refused(peers, proxy, "smtp", 1.5)
        for filler in fillers:
            filler.close()


def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    """An unknown name is told, with a reason."""
    with Peers() as peers, Proxy(tmp_path, "--connect-timeout", "5",
                                 upstreams=("pop3://unknown.invalid:110",)) as proxy:
        assert b"name" in refused(peers, proxy, "pop3", 6)


def test_a_name_that_takes_long(tmp_path: Path, transport: str, names: Path) -> None:
    """A resolver that hangs holds up neither the client beyond the timeout nor the end of the program."""
    with Peers() as peers, Proxy(tmp_path, "--transport", transport, "--connect-timeout", "0.5",
                                 upstreams=("pop3://slow.test:110",), python_path=names) as proxy:
        assert b"not resolved in time" in refused(peers, proxy, "pop3", 1.5)
        begun = time.monotonic()
        proxy.stop()
        assert time.monotonic() - begun < 3


def test_a_name_with_two_addresses(tmp_path: Path, transport: str, names: Path) -> None:
    """Where the first address refuses, the second one serves."""
    with Peers() as peers, Proxy(tmp_path, "--transport", transport, upstreams=(f"pop3://two.test:{peers.port}",),
                                 python_path=names) as proxy:
        client, server = peers.meet(proxy.port)
        server.sendall(b"+OK\r\n")
        assert line(client) == b"+OK\r\n"


def test_localhost_and_two_pairs(tmp_path: Path, transport: str) -> None:
    """Two listeners at once, each with its server, one of them named."""
    with Peers("pop3") as one, Peers("smtp") as two:
        upstreams = (f"pop3://localhost:{one.port}", two)
        with Proxy(tmp_path, "--transport", transport, "--json", upstreams=upstreams) as proxy:
            for peers, port, greeting in ((one, proxy.ports[0], b"+OK\r\n"), (two, proxy.ports[1], b"220 x\r\n")):
                client, server = peers.meet(port)
                server.sendall(greeting)
                assert line(client) == greeting
    assert [event["protocol"] for event in proxy.events("flow_opened")] == ["pop3", "smtp"]


def test_ipv6(tmp_path: Path, transport: str) -> None:
    """Listener and server of IPv6; the events have their addresses, the capture too."""
    with Peers("pop3", "::1") as peers, Proxy(tmp_path, "--transport", transport, "--json", "-w", "capture.pcapng",
                                              upstreams=(peers,), listen="[::1]:0") as proxy:
        client, server = peers.meet(proxy.port, "::1")
        server.sendall(b"+OK\r\n")
        assert line(client) == b"+OK\r\n"
        client.close()
        assert rest(server) == b""
        server.close()
    assert proxy.events() == proxy.replay()
    assert "::1" in str(proxy.events("flow_opened"))


def test_every_interface_warns(tmp_path: Path) -> None:
    """Who listens to the world is told so."""
    with Peers() as peers, Proxy(tmp_path, upstreams=(peers,), listen="0.0.0.0:0") as proxy:
        assert "can be reached from other machines" in proxy.stderr


def failed(folder: Path, *options: str, before: tuple[str, ...] = ()) -> str:
    """What mailspy says when it cannot start."""
    done = subprocess.run([*before, sys.executable, "-m", "inspector", *options], check=False, capture_output=True,
                          text=True, cwd=folder, env=environment(folder), timeout=20)
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_port_in_use(tmp_path: Path, transport: str) -> None:
    """The text says what is wrong and what to do."""
    with Peers() as peers:
        said = failed(tmp_path, "--transport", transport, "--listen", str(peers.port), "--upstream", "pop3://127.0.0.1:9")
    assert "another program has this port" in said


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv")
def test_a_privileged_port(tmp_path: Path, transport: str) -> None:
    """Without the permission for port 110, another port and the permission are named."""
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as start:
        if int(start.read()) <= 110:
            pytest.skip("every port may be used by everybody here")
    said = failed(tmp_path, "--transport", transport, "--listen", "110", "--upstream", "pop3://127.0.0.1:9",
                  before=("setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"))
    assert "--listen 1110" in said
    assert "setcap" in said
