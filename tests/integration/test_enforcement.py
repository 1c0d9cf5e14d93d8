"""`--enforce-relay` in front of real servers that would relay for everybody: hostile clients get no recipient past it.

A few dozen dialogues a server here; `MAILSPY_DIALOGUES` says how many, for the long form.
"""

from __future__ import annotations

import os
import random
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from .conftest import Proxied
from .open_servers import Aiosmtpd, Exim, OpenPostfix, OpenServer
from .servers import as_root

sys.path.insert(0, str(Path(__file__).parents[1]))
from hostile_clients import hostile, ordinary

DIALOGUES: Final = int(os.environ.get("MAILSPY_DIALOGUES", "60"))
AT_ONCE: Final = 12
LONG: Final = 3.0
"""Seconds that a client waits for the end of its session at most."""


@pytest.fixture(params=["postfix", "exim", "aiosmtpd"])
def server(request: pytest.FixtureRequest, ground: Path) -> Iterator[OpenServer]:
    """Each of them."""
    name = request.param
    if name == "postfix":
        yield OpenPostfix(request.getfixturevalue("postfix"))
        return
    as_root()
    folder = ground / f"{name}{random.randrange(10**6)}"
    folder.mkdir()
    one = Exim(folder) if name == "exim" else Aiosmtpd(folder)
    yield one
    one.daemon.stop()


def attack(port: int, seed: int) -> None:
    """One client, to its end."""
    chance = random.Random(seed)
    writes = hostile(chance)
    patient = chance.random() < 0.5
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.settimeout(0.05)
        try:
            _heard(line)
            for data in writes:
                cut = chance.randrange(len(data) + 1) if chance.random() < 0.3 else len(data)
                for piece in filter(None, (data[:cut], data[cut:])):
                    line.sendall(piece)
                    if patient or chance.random() < 0.2:
                        _heard(line)
            line.shutdown(socket.SHUT_WR)
            end = time.monotonic() + LONG
            while time.monotonic() < end and _heard(line):
                pass
        except OSError:
            pass


def _heard(line: socket.socket) -> bool:
    """What has come is read; False at the end of the stream."""
    try:
        return bool(line.recv(65_536))
    except TimeoutError:
        return True


def honest(port: int, seed: int, chunks: bool) -> tuple[int, list[bytes]]:
    """A client that waits for each reply: the number of its letters, and the last lines of all replies."""
    writes, letters = ordinary(random.Random(seed), chunks)
    said = []
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        stream = line.makefile("rb")
        said.append(_reply(stream))
        for data in writes:
            line.sendall(data)
            said += [_reply(stream) for _ in range(_due(data, said))]
    return letters, said


def _due(data: bytes, said: list[bytes]) -> int:
    """How many replies a write gets: one a command, and one the end of a content."""
    if said[-1].startswith(b"354"):
        return 1
    head = data.partition(b"BDAT")[0]
    return head.count(b"\r\n") + (b"BDAT" in data)


def _reply(stream) -> bytes:
    while (line := stream.readline())[3:4] == b"-":
        pass
    return line


def play(port: int, first: int, many: int) -> None:
    """So many hostile clients, some at a time."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda seed: attack(port, seed), range(first, first + many)))


def forbidden(server: OpenServer) -> list[str]:
    """The lines in which a forbidden recipient stands."""
    time.sleep(0.3)
    return [line for line in server.recipients() if "@victim" in line.lower()]


def test_no_forbidden_recipient_reaches_a_real_server(server: OpenServer, proxied: Proxied) -> None:
    """Where the server itself refuses nothing."""
    play(server.smtp.port, 0, min(DIALOGUES, 60))
    assert forbidden(server), "without mailspy none arrived: the test would find nothing"
    options = ("--local-domain", "cnam.fr", "--local-domain", ".cnam.fr", "--enforce-relay", "--no-auth-relay")
    with proxied(server.smtp, *options, check=False) as run:
        play(run.port, 0, DIALOGUES)
        arrived = forbidden(server)
        sent = 0
        for seed in range(10):
            letters, said = honest(run.port, seed, not isinstance(server, Aiosmtpd))
            refused = [line for line in said if line[:1] in (b"4", b"5")]
            assert refused == [], (seed, said)
            sent += letters
        permitted = [line for line in server.recipients() if "b@cnam.fr" in line.lower()]
        run.stop()
    assert arrived == []
    assert len(permitted) >= sent > 0
    assert "a fault in reading" not in run.stderr
