"""Servers for the whole session; mailspy anew for each story."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from .harness import STAND_IN, Run, Story, assert_good, normalised
from .servers import Dovecot, Postfix, as_root, certificate, missing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test in this folder is an integration test."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(scope="session")
def ground() -> Iterator[Path]:
    """A folder that the servers' unprivileged processes can reach, its path short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="mailspy-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def pair(ground: Path) -> tuple[Path, Path]:
    """The servers' certificate and key."""
    return certificate(ground)


@pytest.fixture(scope="session")
def dovecot(ground: Path, pair: tuple[Path, Path]) -> Iterator[Dovecot]:
    """A Dovecot of our own."""
    as_root()
    folder = ground / "dovecot"
    folder.mkdir()
    server = Dovecot(folder, pair)
    yield server
    server.daemon.stop()


@pytest.fixture(scope="session")
def postfix(ground: Path, pair: tuple[Path, Path], dovecot: Dovecot) -> Iterator[Postfix]:
    """A Postfix of our own, which asks that Dovecot about passwords."""
    as_root()
    folder = ground / "postfix"
    folder.mkdir()
    server = Postfix(folder, pair, dovecot.sasl_port)
    yield server
    server.daemon.stop()


Proxied = Callable[..., AbstractContextManager[Run]]


@pytest.fixture
def proxied(tmp_path: Path) -> Proxied:
    """`with proxied(server) as run:` starts mailspy in front of a server.

    At the end of the block it is stopped by SIGTERM, and all that must be true of every run is checked: exit status 0,
    replay equal to live, tshark content, no secret anywhere.  `dissected` is the protocol that tshark has to find;
    `check=False` leaves all that to the test.
    """
    if not STAND_IN and importlib.util.find_spec("inspector.__main__") is None:
        missing("mailspy cannot be run: inspector/__main__.py is missing")
    numbers = itertools.count(1)

    @contextlib.contextmanager
    def start(upstream: object, *options: str, port: int | None = None, dissected: str = "",
              check: bool = True) -> Iterator[Run]:
        run = Run(upstream, tmp_path / f"run{next(numbers)}", *options, port=port)
        try:
            yield run
            if check:
                run.stop()
        finally:
            if run.process.poll() is None:
                run.kill()
        if check:
            assert_good(run, dissected)

    return start


BothWays = Callable[..., Run]


@pytest.fixture
def both_ways(proxied: Proxied) -> BothWays:
    """`both_ways(server, story)` plays a story directly and through mailspy, and compares them byte for byte.

    What the story returns, and what `after()` then finds on the server, must be the same; `before()` prepares each.
    """

    def play(server: Any, story: Story, *options: str, before: Callable[[], object] = lambda: None,
             after: Callable[[], Any] = lambda: None, dissected: str = "") -> Run:
        before()
        direct = normalised([story(server.port), after()])
        before()
        with proxied(server, *options, dissected=dissected) as run:
            through = normalised([story(run.port), after()])
            assert through == direct
        return run

    return play
