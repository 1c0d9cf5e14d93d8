"""Reaching a server: its name resolved, its addresses tried in turn, all within one timeout.

Knows names and addresses.  Must not know what is said on the connection.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IResolutionReceiver
from zope.interface import implementer

from inspector.live.link import Link, Plane
from inspector.pdu import Address

SHARE = 0.5
"""Of the time that is left, what one address may take while there are others to try."""


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

    __slots__ = ("_addresses", "_connected", "_deadline", "_failed", "_give_up", "_last", "_over", "_plane", "_reactor",
                 "_reason", "_started", "_target", "_until")

    def __init__(self, reactor: Any, plane: Plane, target: Target, timeout: float) -> None:
        self._reactor = reactor
        self._plane = plane
        self._target = target
        self._started = reactor.seconds()
        self._deadline = self._until = self._started + timeout
        self._addresses: list[str] = []
        self._last = target.address or Address("0.0.0.0", target.port)
        self._reason = "its name was not resolved in time"
        self._give_up: Callable[[], None] | None = None
        self._over = False
        self._connected: Callable[[Link], None] = _unwanted
        self._failed: Callable[[Address, str], None] = _unheard

    def begin(self, connected: Callable[[Link], None], failed: Callable[[Address, str], None]) -> None:
        """Starts; one of the two functions is called once, with the link, or with the last address tried and a reason."""
        self._connected, self._failed = connected, failed
        if self._target.address is not None:
            self._try(self._target.address)
        else:
            self._reactor.nameResolver.resolveHostName(Resolution(self), self._target.host, self._target.port)

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
        self._reason = "no answer in time"
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
            self._next() if self._addresses else self._fail()

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
            self._failed(self._last, self._reason)

    def cancel(self) -> None:
        """Stops trying, and tells the client so."""
        self._abandon()
        self._reason = "mailspy is stopping"
        self._fail()


def _unwanted(link: Link) -> None:
    link.abort()


def _unheard(address: Address, reason: str) -> None:
    """Nobody is interested yet."""


@implementer(IResolutionReceiver)
class Resolution:
    """Collects the addresses of a name, in the order in which the system gives them."""

    def __init__(self, reaching: Reaching) -> None:
        self._reaching = reaching
        self._addresses: list[str] = []

    def resolutionBegan(self, resolutionInProgress: Any) -> None:
        """Nothing to do yet."""

    def addressResolved(self, address: Any) -> None:
        """One more."""
        host = address.host.split("%")[0]
        if host not in self._addresses:
            self._addresses.append(host)

    def resolutionComplete(self) -> None:
        """That is all."""
        self._reaching.resolved(self._addresses)
