"""Reaching a server: its name resolved, its addresses tried in turn, all within one timeout.

Knows names and addresses.  Must not know what is said on the connection.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IResolutionReceiver
from zope.interface import implementer

from inspector.live.link import Link, Plane
from inspector.pdu import Address

SHARE = 0.5
"""Of the time that is left, what one address may take while there are others to try."""


class Reaching:
    """One attempt to reach one server."""

    def __init__(self, reactor: Any, plane: Plane, host: str, port: int, timeout: float) -> None:
        self._reactor = reactor
        self._plane = plane
        self._host = host
        self._port = port
        self._deadline = reactor.seconds() + timeout
        self._timeout = timeout
        self._addresses: list[str] = []
        self._last = Address("0.0.0.0", port)
        self._reason = "its name has no address"
        self._timer: Any = None
        self._give_up: Callable[[], None] | None = None
        self._over = False
        self._connected: Callable[[Link], None] = lambda link: link.abort()
        self._failed: Callable[[Address, str], None] = lambda address, reason: None

    def begin(self, connected: Callable[[Link], None], failed: Callable[[Address, str], None]) -> None:
        """Starts; one of the two functions is called once, with the link, or with the last address tried and a reason."""
        self._connected, self._failed = connected, failed
        try:
            self._addresses = [str(ipaddress.ip_address(self._host))]
        except ValueError:
            self._timer = self._reactor.callLater(self._timeout, self._expired, "its name was not resolved in time")
            self._reactor.nameResolver.resolveHostName(Resolution(self), self._host, self._port)
        else:
            self._next()

    def resolved(self, addresses: list[str]) -> None:
        """The name has these addresses."""
        self._stop_timer()
        if not self._over:
            self._addresses = addresses
            self._next()

    def _next(self) -> None:
        left = self._deadline - self._reactor.seconds()
        if not self._addresses or left <= 0:
            self._fail()
            return
        self._last = Address(self._addresses.pop(0), self._port)
        share = left * SHARE if self._addresses else left
        attempt = self._last
        self._give_up = None
        cancel = self._plane.connect(attempt, self._succeed, self._refused)
        if not self._over and self._last is attempt:
            self._give_up = cancel
            self._timer = self._reactor.callLater(share, self._expired, "no answer in time")

    def _succeed(self, link: Link) -> None:
        self._stop_timer()
        if self._over:
            link.abort()
            return
        self._over = True
        self._connected(link)

    def _refused(self, error: OSError) -> None:
        self._stop_timer()
        self._reason = (error.strerror or str(error)).lower()
        if not self._over:
            self._next()

    def _expired(self, reason: str) -> None:
        self._timer = None
        self._reason = reason
        if self._give_up is not None:
            self._give_up()
            self._give_up = None
        if self._addresses:
            self._next()
        else:
            self._fail()

    def _fail(self) -> None:
        if not self._over:
            self._over = True
            self._failed(self._last, self._reason)

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def cancel(self) -> None:
        """Stops trying, and tells the client so by closing."""
        self._stop_timer()
        if self._give_up is not None:
            self._give_up()
        self._reason = "mailspy is stopping"
        self._fail()


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
