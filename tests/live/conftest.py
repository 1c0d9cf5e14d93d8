"""One proxy for each transport, shared by the stories that need nothing special of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from .kit import TRANSPORTS, Peers, Proxy


class Shared(NamedTuple):
    """A proxy that lives longer than a test, and the server behind it."""

    proxy: Proxy
    peers: Peers


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    """What moves the octets in mailspy."""
    return request.param


@pytest.fixture(scope="session", params=TRANSPORTS)
def lasting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """The shared proxy and server themselves."""
    folder = tmp_path_factory.mktemp(request.param)
    with Peers() as peers, Proxy(folder, "--transport", request.param, "--quiet", upstreams=(peers,)) as proxy:
        yield Shared(proxy, peers)


@pytest.fixture
def shared(lasting: Shared) -> Iterator[Shared]:
    """The shared proxy; afterwards it must have let go of every connection."""
    yield lasting
    lasting.peers.part()
    end_of_sessions(lasting.proxy)


def end_of_sessions(proxy: Proxy) -> None:
    """Waits until the proxy has no socket but the one that it listens on."""
    from .kit import until

    until(lambda: proxy.sockets() <= BASE[len(proxy.ports)], f"no session left, {proxy.sockets()} sockets", 5)


BASE = {1: 3, 2: 4}
"""Sockets of an idle proxy by its number of listeners: those, and the two of Twisted's waker."""
