"""The plain alternative to the byte plane: Twisted's own transports behind the same seam.

For systems without epoll, and to measure against.

Knows Twisted.  Must not know flows or protocols.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

from twisted.internet import error, interfaces, protocol
from zope.interface import implementer

from inspector.live.link import STARVED, Owner
from inspector.pdu import Address

_NOW: Final = struct.pack("ii", 1, 0)


class TwistedPlane:
    """Twisted's reactor as a plane."""

    gathers = False

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.turned: Callable[[], None] | None = None
        self.alarm: Callable[[Exception], None] | None = None

    def listen(self, address: Address, accepted: Callable[[TwistedLink], None],
               starved: Callable[[OSError], None]) -> TwistedListening:
        """Listens on an address.  Raises OSError."""
        factory = protocol.Factory.forProtocol(lambda: TwistedLink(accepted))
        factory.noisy = False
        try:
            port = self._reactor.listenTCP(address.port, factory, backlog=1024, interface=address.host)
        except error.CannotListenError as failure:
            cause = failure.socketError
            raise OSError(getattr(cause, "errno", 0), getattr(cause, "strerror", str(cause))) from failure
        return TwistedListening(port, starved)

    def connect(self, address: Address, connected: Callable[[TwistedLink], None],
                failed: Callable[[OSError], None]) -> Callable[[], None]:
        """Connects to an address; the function returned gives up."""
        factory = _Connecting(connected, failed)
        connector = self._reactor.connectTCP(address.host, address.port, factory, timeout=None)

        def give_up() -> None:
            factory.failed = lambda reason: None
            connector.disconnect()

        return give_up

    def close(self) -> None:
        """Nothing of its own to free."""


class _Connecting(protocol.ClientFactory):
    noisy = False

    def __init__(self, connected: Callable[[TwistedLink], None], failed: Callable[[OSError], None]) -> None:
        self.connected = connected
        self.failed = failed

    def buildProtocol(self, addr: Any) -> TwistedLink:
        return TwistedLink(self.connected)

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        code = getattr(reason.value, "osError", None)
        self.failed(OSError(code, os.strerror(code)) if isinstance(code, int) else OSError(0, reason.getErrorMessage()))


class TwistedListening:
    """A listening port of Twisted's.  It stands before the port's socket: Twisted itself accepts on although it was paused,
    and drops the clients for whom there is no descriptor."""

    def __init__(self, port: Any, starved: Callable[[OSError], None]) -> None:
        self._port = port
        self._socket = port.socket
        self._starved = starved
        self._paused = False
        host = port.getHost()
        self.address = Address(host.host, host.port)
        port.socket = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def accept(self) -> Any:
        """As a socket does, unless it is not to accept now."""
        if self._paused:
            raise BlockingIOError(errno.EAGAIN, "accepting is paused")
        try:
            return self._socket.accept()
        except OSError as failure:
            if failure.errno in STARVED:
                self._starved(failure)
                raise BlockingIOError(errno.EAGAIN, "no descriptor") from failure
            raise

    def pause(self) -> None:
        """Accepts no more for now."""
        self._paused = True
        self._port.stopReading()

    def resume(self) -> None:
        """Accepts again."""
        self._paused = False
        self._port.startReading()

    def close(self) -> None:
        """Stops listening."""
        self._port.stopListening()


@implementer(interfaces.IHalfCloseableProtocol, interfaces.IPullProducer)
class TwistedLink(protocol.Protocol):
    """One TCP connection of Twisted's."""

    def __init__(self, ready: Callable[[TwistedLink], None]) -> None:
        self._ready = ready
        self._ended = False
        self._ending = False
        """FIN is to be sent after what is kept."""
        self._waiting = False
        self._lost = False
        """The connection was lost while nobody owned it."""
        self.backlog = 0
        self.truncated = False
        self.failure = ""
        self.faulty = False
        self.peer = Address("0.0.0.0", 0)
        self.owner: Owner | None = None
        self.client = False

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        transport.pauseProducing()
        host = transport.getPeer()
        self.peer = Address(host.host, host.port)
        self._ready(self)

    @property
    def local(self) -> Address:
        """Our end of it."""
        transport: Any = self.transport
        host = transport.getHost()
        return Address(host.host, host.port)

    def dataReceived(self, data: bytes) -> None:
        if self.owner is not None:
            self.owner.received(self.client, data)

    def readConnectionLost(self) -> None:
        self._ended = True
        if self.owner is not None:
            self.owner.ended(self.client)

    def writeConnectionLost(self) -> None:
        if self.owner is not None:
            self.owner.drained(self.client)

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        owner, self.owner = self.owner, None
        if owner is None:
            self._lost = True
            return
        if reason.check(error.ConnectionDone):
            if not self._ended:
                self._ended = True
                owner.ended(self.client)
        else:
            self.faulty = not issubclass(reason.type, (error.ConnectionClosed, OSError))
            owner.broken(self.client)

    def send(self, data: bytes) -> bool:
        """Hands the octets to the transport, which sends at the next turn of the loop."""
        transport: Any = self.transport
        transport.write(data)
        if not self._waiting:
            transport.registerProducer(self, False)  # which asks for more at once
            self._waiting = True
            self.backlog = len(data)
        else:
            self.backlog += len(data)
        return True

    def resumeProducing(self) -> None:
        """The transport has sent everything."""
        transport: Any = self.transport
        if self._waiting:
            self._waiting = False
            self.backlog = 0
            transport.unregisterProducer()
            if self._ending:
                transport.loseWriteConnection()
            elif self.owner is not None:
                self.owner.drained(self.client)

    def stopProducing(self) -> None:
        """The connection is gone."""
        self._waiting = False

    def start(self) -> None:
        """Begins to read.  Who has come to own it since the connection was lost is told so."""
        owner = self.owner
        if self._lost and owner is not None:
            self.owner = None
            owner.broken(self.client)
        else:
            self.resume()

    def pause(self) -> None:
        """Reads no more for now."""
        transport: Any = self.transport
        transport.pauseProducing()

    def resume(self) -> None:
        """Reads again."""
        transport: Any = self.transport
        if not self._ended and transport.connected and not transport.disconnecting:
            transport.resumeProducing()

    def end(self, truncated: bool = False) -> None:
        """Half-close: sends what is kept, then FIN.  A transport with a producer would forget the FIN."""
        self._ending = True
        if not self._waiting:
            transport: Any = self.transport
            transport.loseWriteConnection()

    def close(self) -> None:
        """Sends what is kept, then closes."""
        self.owner = None
        transport: Any = self.transport
        transport.loseConnection()

    def abort(self) -> None:
        """Closes at once with RST, also when the reactor has no further turn for it."""
        self.owner = None
        transport: Any = self.transport
        if transport.connected:
            transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NOW)
        transport.abortConnection()
