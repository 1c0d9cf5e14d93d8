"""Reaching a server: its name resolved, its addresses tried in turn, all within one timeout.

Knows names and addresses.  Must not know what is said on the connection.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import Any, Final

from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from inspector.live.link import STARVED, Link, Plane
from inspector.pdu import Address
from inspector.reasons import STOPPED, UNREACHABLE, UNRESOLVED

SHARE: Final = 0.5
"""Of the time that is left, what one address may take while there are others to try."""
LOOKUPS: Final = 10
"""Names that are looked up at the same time."""

Failed = Callable[[Address, str, str], None]
"""Takes the last address tried, the reason for people, and the same in the words of `flow_closed`."""


class Target:
    """One server: its name, and its address where the name is one."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.address: Address | None = None
        with contextlib.suppress(ValueError):
            self.address = Address(str(ipaddress.ip_address(host)), port)


class Reaching:
    """One attempt to reach one server.  Whoever owns it calls `check` from time to time: there is no timer of its own."""

    __slots__ = ("_addresses", "_connected", "_deadline", "_failed", "_give_up", "_last", "_names", "_over", "_plane",
                 "_reactor", "_reason", "_starved", "_target", "_until", "_why")

    def __init__(self, reactor: Any, plane: Plane, names: Names, target: Target, timeout: float,
                 starved: Callable[[OSError], None]) -> None:
        """`starved` is told when the system has no descriptor for the connection; it is then tried again and again."""
        self._reactor = reactor
        self._names = names
        self._starved = starved
        self._plane = plane
        self._target = target
        self._deadline = self._until = reactor.seconds() + timeout
        self._addresses: list[str] = []
        self._last = target.address or Address(target.host, target.port)
        """The last address tried; the name of the server while it has none."""
        self._reason = "its name was not resolved in time"
        self._why = UNRESOLVED
        """The same in the words of `flow_closed`."""
        self._give_up: Callable[[], None] | None = None
        self._over = False
        self._connected: Callable[[Link], None] = _unwanted
        self._failed: Failed = _unheard

    def begin(self, connected: Callable[[Link], None], failed: Failed) -> None:
        """Starts; one of the two functions is called once, with the link, or with the last address tried and why."""
        self._connected, self._failed = connected, failed
        if self._target.address is not None:
            self._try(self._target.address)
        else:
            self._names.look_up(self._target, self.resolved)

    def resolved(self, addresses: list[str]) -> None:
        """The name has these addresses."""
        if not self._over:
            self._reason = "its name has no address"
            self._addresses = addresses
            self._next()

    def _next(self) -> None:
        if self._addresses:
            self._try(Address(self._addresses.pop(0), self._target.port))
        else:
            self._fail()

    def _try(self, address: Address) -> None:
        self._last = address
        self._reason, self._why = "no answer in time", UNREACHABLE
        if self._addresses:
            now = self._reactor.seconds()
            self._until = now + (self._deadline - now) * SHARE
        else:
            self._until = self._deadline
        self._give_up = None
        cancel = self._plane.connect(address, self._succeed, self._refused)
        if not self._over and self._last is address:
            self._give_up = cancel

    def _succeed(self, link: Link) -> None:
        if self._over:
            link.abort()
            return
        self._over = True
        connected, self._connected, self._failed, self._give_up = self._connected, _unwanted, _unheard, None
        connected(link)

    def _refused(self, error: OSError) -> None:
        if not self._over:
            self._reason = (error.strerror or str(error)).lower()
            self._give_up = None
            if error.errno in STARVED:
                self._starved(error)
                self._addresses.insert(0, self._last.host)
                self._until = self._reactor.seconds()
            elif self._addresses:
                self._next()
            else:
                self._fail()

    def check(self, now: float) -> None:
        """Goes on to the next address, or gives up, when the time is over."""
        if now < self._until or self._over:
            return
        self._abandon()
        if self._addresses and now < self._deadline:
            self._next()
        else:
            self._fail()

    def _abandon(self) -> None:
        give_up, self._give_up = self._give_up, None
        if give_up is not None:
            give_up()

    def _fail(self) -> None:
        if not self._over:
            self._over = True
            self._failed(self._last, self._reason, self._why)

    def cancel(self) -> None:
        """Stops trying, and tells the client so."""
        self._abandon()
        self._reason, self._why = "mailspy is stopping", STOPPED
        self._fail()


def _unwanted(link: Link) -> None:
    link.abort()


def _unheard(address: Address, reason: str, why: str) -> None:
    """Nobody is interested yet."""


class Names:
    """The addresses of names, looked up in threads that the end of the program does not wait for."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._pool: ThreadPool | None = None

    def look_up(self, target: Target, resolved: Callable[[list[str]], None]) -> None:
        """Gives the addresses in the order in which the system gives them; none when there are none."""
        if self._pool is None:
            self._pool = ThreadPool(0, LOOKUPS, "names")
            self._pool.threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment]
            self._pool.start()
        looked_up = deferToThreadPool(self._reactor, self._pool, addresses, target.host, target.port)
        looked_up.addCallback(resolved)


def addresses(host: str, port: int) -> list[str]:
    """The addresses of a name, each once; none where the system knows none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(address[0]).split("%")[0] for *_, address in found))
