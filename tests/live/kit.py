"""mailspy as a process, and the two peers that a test plays itself.

Knows the command line, sockets and what the kernel tells of a process.  Must not import mailspy.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Self

import pytest
from integration.harness import environment

PATIENCE: Final = 15.0
"""Seconds after which a peer that says nothing has failed the test."""
MIB: Final = 1 << 20
TRANSPORTS: Final = ("epoll", "twisted")

_ABORT: Final = struct.pack("ii", 1, 0)
_LISTENING: Final = re.compile(r"listening on (\S+):(\d+),")


class Proxy:
    """One mailspy process.  Without `listen` it takes a free port of its own, which `port` tells."""

    def __init__(self, folder: Path, *options: str, upstreams: tuple[object, ...], listen: str = "0",
                 descriptors: int = 0, stdout: int | None = None, before: tuple[str, ...] = (),
                 python_path: Path | None = None, wait: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.events_path = folder / "events.jsonl"
        self.capture = folder / "capture.pcapng"
        self._stderr = folder / "stderr.txt"
        if descriptors:
            before = ("prlimit", f"--nofile={descriptors}:{descriptors}", *before)
        line = [*before, sys.executable, "-m", "inspector"]
        for upstream in upstreams:
            line += ["--listen", listen, "--upstream", str(upstream)]
        surroundings = environment(folder)
        if python_path is not None:
            surroundings["PYTHONPATH"] = os.pathsep.join([str(python_path), *filter(None, [surroundings.get("PYTHONPATH")])])

        with self.events_path.open("wb") as out, self._stderr.open("wb") as err:
            self.process = subprocess.Popen([*line, *options], stdin=subprocess.DEVNULL, stdout=stdout or out,
                                            stderr=err, cwd=folder, env=surroundings)
        self.pid = self.process.pid
        if wait:
            until(lambda: len(self.ports) == len(upstreams) or self.process.poll() is not None, "mailspy listening", 20)
            if self.process.poll() is not None:
                pytest.fail(f"mailspy did not start:\n{self.stderr}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self.process.poll() is None:
            if kind is None:
                self.stop()
            else:
                self.kill()

    @property
    def stderr(self) -> str:
        """What it said to people."""
        return self._stderr.read_text(errors="replace")

    @property
    def ports(self) -> list[int]:
        """Where it listens, in the order of the command line."""
        return [int(port) for _, port in _LISTENING.findall(self.stderr)]

    @property
    def port(self) -> int:
        """The first of its ports."""
        return self.ports[0]

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        os.kill(self.pid, number)

    def wait(self, seconds: float = 20) -> int:
        """Waits for its end and returns its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"mailspy does not end within {seconds} s:\n{self.stderr}")

    def stop(self) -> None:
        """Ends it by signals, at once; it must end well."""
        self.signal(signal.SIGTERM)
        time.sleep(0.05)
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGTERM)
        assert self.wait() == 0, self.stderr
        assert "Traceback" not in self.stderr, self.stderr

    def kill(self) -> None:
        """Ends it at once, without a chance to do anything."""
        self.process.kill()
        self.process.wait()

    def status(self, name: str) -> int:
        """A size in octets from the kernel: VmRSS now, VmHWM at most so far."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{name}:\s+(\d+)", text)[1]) * 1024

    def reset_peak(self) -> int:
        """Lets the peak of its memory begin anew; returns what it has now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        return self.status("VmRSS")

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def sockets(self) -> int:
        """How many sockets it has open."""
        count = 0
        for name in os.listdir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                count += os.readlink(f"/proc/{self.pid}/fd/{name}").startswith("socket:")
        return count

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """Its JSON events so far, all or those of one name."""
        found = [json.loads(line) for line in self.events_path.read_text().splitlines()]
        return [event for event in found if name in ("", event["event"])]

    def replay(self) -> list[dict[str, Any]]:
        """What `mailspy replay --json` finds in its capture, which must be whole."""
        done = subprocess.run([sys.executable, "-m", "inspector", "replay", "--json", str(self.capture)], check=False,
                              capture_output=True, cwd=self.folder, env=environment(self.folder), timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]


class Peers:
    """A server that listens, and the clients that come through a proxy: each `meet` is one connection, both its ends."""

    def __init__(self, scheme: str = "pop3", host: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, port), family=family, backlog=512)
        self.listener.settimeout(PATIENCE)
        self.scheme = scheme
        self.host = f"[{host}]" if ":" in host else host
        self.port: int = self.listener.getsockname()[1]
        self._open: list[socket.socket] = []

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()
        self.part()

    def part(self) -> None:
        """Closes every connection that is still open."""
        for one in self._open:
            one.close()
        self._open.clear()

    def accept(self) -> socket.socket:
        """The server's end of the next connection."""
        return self._keep(self.listener.accept()[0])

    def client(self, port: int, host: str = "127.0.0.1") -> socket.socket:
        """A client's end."""
        return self._keep(socket.create_connection((host, port), timeout=PATIENCE))

    def meet(self, port: int, host: str = "127.0.0.1") -> tuple[socket.socket, socket.socket]:
        """A client and the server's end of its connection."""
        return self.client(port, host), self.accept()

    def _keep(self, one: socket.socket) -> socket.socket:
        one.settimeout(PATIENCE)
        self._open.append(one)
        return one


def until(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Waits for `condition`, or fails, saying what did not come."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{what}: not within {seconds:g} s")
        time.sleep(0.01)


def noise(size: int, seed: int) -> bytes:
    """Octets without any sense."""
    return random.Random(seed).randbytes(size)


def abort(one: socket.socket) -> None:
    """Closes with RST."""
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    one.close()


def exactly(one: socket.socket, size: int) -> bytes:
    """The next `size` octets."""
    pieces = []
    while size:
        data = one.recv(min(size, MIB))
        assert data, f"the stream ends {size} octets too early"
        pieces.append(data)
        size -= len(data)
    return b"".join(pieces)


def line(one: socket.socket) -> bytes:
    """The next line, octet by octet."""
    found = b""
    while not found.endswith(b"\n"):
        data = one.recv(1)
        assert data, f"the stream ends after {found!r}"
        found += data
    return found


def rest(one: socket.socket, pause: float = 0.0) -> bytes:
    """All up to the end of the stream."""
    pieces = []
    while data := one.recv(256 * 1024):
        pieces.append(data)
        time.sleep(pause)
    return b"".join(pieces)


def ending(one: socket.socket) -> str:
    """How the other side ends the connection: `closed` or `reset`."""
    try:
        while one.recv(MIB):
            pass
    except ConnectionResetError:
        return "reset"
    return "closed"


@contextlib.contextmanager
def doing(*works: Callable[[], object]) -> Iterator[None]:
    """Does something in threads meanwhile; what goes wrong there fails the test."""
    faults: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread does not end"
    if faults:
        raise faults[0]
