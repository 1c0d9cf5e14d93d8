"""Why flows end, with processes: each way to lose a session is told by its own name, live and by the capture alike."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from integration.servers import free_port

from .kit import Peers, Proxy, abort, ending, line, rest, until
from .test_upstream import NAMES

CLOSER = '''
from inspector import Close, hookimpl

class Closer:
    @hookimpl
    def judge_pdu(self, pdu, session):
        if pdu.verb == "NOOP":
            return Close(b"421 enough\\r\\n")

plugin = Closer
'''


def finish(peers: Peers, proxy: Proxy, first: bool) -> None:
    """One side closes, then the other."""
    ends = peers.meet(proxy.port)
    ends[1].sendall(b"220 x\r\n")
    line(ends[0])
    one, other = ends if first else ends[::-1]
    one.shutdown(socket.SHUT_WR)
    rest(other)
    other.close()


def cut(peers: Peers, proxy: Proxy, first: bool) -> None:
    """One side aborts."""
    ends = peers.meet(proxy.port)
    ends[1].sendall(b"220 x\r\n")
    line(ends[0])
    one, other = ends if first else ends[::-1]
    abort(one)
    with contextlib.suppress(ConnectionResetError):
        rest(other)


def refused(peers: Peers, proxy: Proxy) -> None:
    client = peers.client(proxy.port)
    assert rest(client).startswith(b"421 ")
    client.close()


def closed_by_plugin(peers: Peers, proxy: Proxy) -> None:
    client, server = peers.meet(proxy.port)
    server.sendall(b"220 x\r\n")
    line(client)
    client.sendall(b"NOOP\r\n")
    assert rest(client) == b"421 enough\r\n"
    client.close()
    assert ending(server) == "reset"


def stopped(peers: Peers, proxy: Proxy) -> None:
    client, server = peers.meet(proxy.port)
    server.sendall(b"220 x\r\n")
    line(client)
    proxy.signal(signal.SIGINT)
    assert proxy.wait() == 0
    assert ending(client) == "reset"


def stopped_before_it_reached(peers: Peers, proxy: Proxy) -> None:
    """The name is still being looked up."""
    before = proxy.sockets()
    client = peers.client(proxy.port)
    until(lambda: proxy.sockets() > before, "the client is there")
    proxy.signal(signal.SIGINT)
    with contextlib.suppress(ConnectionResetError):
        rest(client)
    assert proxy.wait() == 0


def no_tls(peers: Peers, proxy: Proxy) -> None:
    client, server = peers.meet(proxy.port)
    server.sendall(b"220 no TLS here\r\n")
    server.close()
    rest(client)
    client.close()


class Case(NamedTuple):
    reason: str
    play: Callable[[Peers, Proxy], None]
    options: tuple[str, ...] = ()
    upstream: str = ""


CASES = {
    "client closed": Case("client closed", lambda peers, proxy: finish(peers, proxy, True)),
    "server closed": Case("server closed", lambda peers, proxy: finish(peers, proxy, False)),
    "client reset": Case("client reset", lambda peers, proxy: cut(peers, proxy, True)),
    "server reset": Case("server reset", lambda peers, proxy: cut(peers, proxy, False)),
    "refused": Case("server unreachable", refused, (), "smtp://127.0.0.1:{free}"),
    "no answer": Case("server unreachable", refused, ("--connect-timeout", "0.5"), "smtp://127.0.0.1:{full}"),
    "unknown name": Case("server name not resolved", refused, (), "smtp://unknown.invalid:25"),
    "slow name": Case("server name not resolved", refused, ("--connect-timeout", "0.5"), "smtp://slow.test:25"),
    "plugin": Case("ended by a plugin", closed_by_plugin, ("--plugin", "closer.py")),
    "drained": Case("mailspy stopped", stopped, ("--drain", "0.2")),
    "stopped early": Case("mailspy stopped", stopped_before_it_reached, (), "smtp://slow.test:25"),
    "no tls": Case("tls failed", no_tls, ("--ca-dir", "ca", "--upstream-verify", "off"), "smtps://127.0.0.1:{peers}"),
}


@pytest.mark.parametrize("name", CASES)
def test_each_end_has_its_reason(tmp_path: Path, transport: str, name: str) -> None:
    """And a server that was never resolved is called by its name; replay tells the same."""
    case = CASES[name]
    (tmp_path / "closer.py").write_text(CLOSER)
    (tmp_path / "sitecustomize.py").write_text(NAMES)
    with Peers("smtp") as peers, black_hole() as full:
        upstream = case.upstream.format(free=free_port(), full=full, peers=peers.port) or str(peers)
        options = ("--transport", transport, "--json", "-w", "capture.pcapng", *case.options)
        if "--ca-dir" in case.options:
            make_authority(tmp_path)
        with Proxy(tmp_path, *options, upstreams=(upstream,), python_path=tmp_path,
                   listen="smtp+plain://:0" if "--ca-dir" in options else "0") as proxy:
            case.play(peers, proxy)
    (opened,) = proxy.events("flow_opened")
    (closed,) = proxy.events("flow_closed")
    assert closed["reason"] == case.reason
    assert "0.0.0.0" not in opened["server"]
    if "name" in name or name == "stopped early":
        assert opened["server"] == upstream.removeprefix("smtp://")
    assert proxy.replay() == proxy.events()


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port that never answers."""
    with contextlib.ExitStack() as stack:
        hole, *fillers = [stack.enter_context(socket.socket()) for _ in range(4)]
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        yield hole.getsockname()[1]


def make_authority(folder: Path) -> None:
    """One of this test's own."""
    import subprocess
    import sys

    from integration.harness import environment

    subprocess.run([sys.executable, "-m", "inspector", "ca", "create", "--ca-dir", str(folder / "ca")], check=True,
                   capture_output=True, env=environment(folder))
