"""The plane: links on sockets; a fault in one of them is that one's."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

import pytest

from inspector.pdu import Address

if not sys.platform.startswith("linux"):
    pytest.skip("the plane stands on epoll", allow_module_level=True)

from inspector.live.plane import EpollPlane, SocketLink


class Reactor:
    """Nobody runs: the test turns the plane itself."""

    def addReader(self, reader: object) -> None: ...

    def removeReader(self, reader: object) -> None: ...


class Owner:
    """Remembers what it is told; chokes on one word."""

    def __init__(self) -> None:
        self.told: list[bytes | str] = []

    def received(self, client: bool, data: bytes) -> None:
        if data == b"choke":
            raise KeyError("a fault of our own")
        self.told.append(data)

    def ended(self, client: bool) -> None:
        self.told.append("ended")

    def broken(self, client: bool) -> None:
        self.told.append("broken")

    def drained(self, client: bool) -> None: ...


@pytest.fixture
def plane() -> Iterator[EpollPlane]:
    made = EpollPlane(Reactor())
    yield made
    made.close()


def connection(plane: EpollPlane) -> tuple[socket.socket, SocketLink, Owner]:
    """A peer, and the link to it with its owner."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = socket.create_connection(listening.getsockname())
        link = SocketLink(plane, listening.accept()[0], Address("127.0.0.1", 1))
    owner = link.owner = Owner()
    return peer, link, owner


def test_a_fault_ends_its_session_alone(plane: EpollPlane) -> None:
    alarms: list[Exception] = []
    plane.alarm = alarms.append
    (bad, bad_link, bad_owner), (good, good_link, good_owner) = connection(plane), connection(plane)
    bad_link.start()
    good_link.start()
    bad.sendall(b"choke")
    good.sendall(b"one")
    plane.doRead()
    good.sendall(b"two")
    plane.doRead()
    assert [type(alarm) for alarm in alarms] == [KeyError]
    assert bad_owner.told == ["broken"]
    with pytest.raises(ConnectionResetError):
        bad.recv(10)
    assert b"".join(good_owner.told) == b"onetwo"
    good_link.abort()
    bad.close()
    good.close()


def test_who_comes_to_a_link_that_is_gone_is_told(plane: EpollPlane) -> None:
    """It was watched and not owned when the peer aborted."""
    peer, link, _ = connection(plane)
    link.start()
    link.owner = None
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.close()
    link.pause()
    plane.doRead()
    owner = link.owner = Owner()
    link.start()
    assert owner.told == ["broken"]
    link.start()
    assert owner.told == ["broken"]
