"""The seam between the relay and whatever moves the bytes: what a connection is, and who hears of it.

There are two planes behind it: `plane` (own descriptors in an epoll of its own, nested in the Twisted reactor) and `transport`
(Twisted's transports, for systems without epoll).  Both pass the same tests.

Knows the words.  Must not know sockets or Twisted.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final, Protocol

from inspector.pdu import Address

STARVED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors that say that the system has nothing left for a new connection, for now."""


class Owner(Protocol):
    """Who hears of a connection.  `client` tells which of its two connections speaks."""

    def received(self, client: bool, data: bytes) -> None:
        """Octets came."""

    def ended(self, client: bool) -> None:
        """The peer sends nothing more (FIN); it may still receive."""

    def broken(self, client: bool) -> None:
        """The peer has aborted the connection (RST), or the network has."""

    def drained(self, client: bool) -> None:
        """Everything that was to be sent has been sent."""


class Link(Protocol):
    """One TCP connection."""

    peer: Address
    owner: Owner | None
    client: bool
    """Which of the owner's connections this is."""

    @property
    def local(self) -> Address:
        """Our end of it: where the peer has reached us."""

    @property
    def truncated(self) -> bool:
        """In TLS: the peer has ended without saying so, or somebody has cut it off."""

    @property
    def failure(self) -> str:
        """Why the connection is broken, where it was TLS that failed; else nothing."""

    @property
    def faulty(self) -> bool:
        """A fault of our own has ended the connection."""

    @property
    def backlog(self) -> int:
        """Octets that wait to be sent."""

    def send(self, data: bytes) -> bool:
        """Sends at once what the system takes, and keeps the rest.  True when something is kept."""

    def start(self) -> None:
        """Begins to read."""

    def pause(self) -> None:
        """Reads no more for now: the peer will feel it."""

    def resume(self) -> None:
        """Reads again."""

    def end(self, truncated: bool = False) -> None:
        """Half-close: sends what is kept, then FIN.  `truncated`: in TLS, the peer is to see that it was cut off."""

    def close(self) -> None:
        """Sends what is kept, then closes; the owner hears nothing more."""

    def abort(self) -> None:
        """Closes at once with RST; the owner hears nothing more."""


class Listening(Protocol):
    """A listening socket."""

    address: Address

    def pause(self) -> None:
        """Accepts no more for now."""

    def resume(self) -> None:
        """Accepts again."""

    def close(self) -> None:
        """Stops listening."""


class Plane(Protocol):
    """What moves the bytes."""

    turned: Callable[[], None] | None
    alarm: Callable[[Exception], None] | None
    """Is told of faults of our own, which end the session in which they are."""
    """Called after each turn, by a plane that reads several links in one; others read one and never call it."""
    gathers: bool
    """Whether it calls `turned`."""

    def listen(self, address: Address, accepted: Callable[[Link], None], starved: Callable[[OSError], None]) -> Listening:
        """Listens.  `starved` is told when the system has no descriptor for a new connection.  Raises OSError."""

    def connect(self, address: Address, connected: Callable[[Link], None],
                failed: Callable[[OSError], None]) -> Callable[[], None]:
        """Connects; the function returned gives up."""

    def close(self) -> None:
        """Frees what the plane itself holds."""
