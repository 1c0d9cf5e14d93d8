"""The byte plane: descriptors of its own in an epoll of its own, nested in the Twisted reactor as one reader.

Twisted keeps timers, names, signals and everything else.  The plane exists for speed: a transport of Twisted's sends at the next
turn of the loop and costs more than reading the protocol does; here what was received is sent at once.

Rules.  A link reads once per event, so that none starves the others.  While traffic flows the plane waits a millisecond in its
own epoll before it returns to the reactor, and never stays longer than `STAY`, so that timers fire.

Knows sockets.  Must not know flows or protocols.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

from inspector.live.link import STARVED, Owner
from inspector.pdu import Address

READ_SMALL: Final = 65_536
READ_LARGE: Final = 262_144
"""Octets read at once: small until a read comes back full."""
EVENTS: Final = 256
STAY: Final = 0.010
"""Seconds in the plane's own epoll before the reactor gets its turn."""
LINGER: Final = 0.001
"""Seconds that the plane waits for more before it returns to the reactor."""
ACCEPTS: Final = 64
BACKLOG: Final = 1_024

_IN: Final = select.EPOLLIN
_OUT: Final = select.EPOLLOUT
_DONTWAIT: Final = socket.MSG_DONTWAIT
"""Spares the call that makes a socket non-blocking."""
_NOW: Final = struct.pack("ii", 1, 0)


@implementer(IReadDescriptor)
class EpollPlane:
    """The epoll, and what is registered with it."""

    gathers = True

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self.turned: Callable[[], None] | None = None
        """Called when all that was ready in one turn has been read."""
        self.alarm: Callable[[Exception], None] | None = None
        """Is told of faults of our own."""
        reactor.addReader(self)

    def fileno(self) -> int:
        """The epoll's own descriptor, readable when anything in it is ready."""
        return self._epoll.fileno()

    def logPrefix(self) -> str:
        """The name in Twisted's logs."""
        return "plane"

    def connectionLost(self, reason: object) -> None:
        """Nothing to do: links are closed by their owners."""

    def doRead(self) -> None:
        """Serves what is ready."""
        poll = self._epoll.poll
        handlers = self._handlers
        events = poll(0, EVENTS)
        leave = monotonic() + STAY
        while events:
            for descriptor, mask in events:
                handler = handlers.get(descriptor)
                if handler is not None:
                    try:
                        handler(mask)
                    except Exception as error:
                        self._fault(handler, error)
            if self.turned is not None:
                try:
                    self.turned()
                except Exception as error:
                    self._fault(self.turned, error)
            if monotonic() > leave:
                return
            events = poll(LINGER, EVENTS)

    def _fault(self, handler: object, error: Exception) -> None:
        """A fault of our own ends the session in which it is, and no other."""
        if self.alarm is not None:
            self.alarm(error)
        link = getattr(handler, "__self__", None)
        if isinstance(link, SocketLink):
            try:
                link.fail()
            except Exception:
                link.abort()

    def register(self, descriptor: int, mask: int, handler: Callable[[int], None]) -> None:
        """Begins to watch a descriptor."""
        self._handlers[descriptor] = handler
        self._epoll.register(descriptor, mask)

    def handle(self, descriptor: int, handler: Callable[[int], None]) -> None:
        """Another handler for a descriptor that is watched."""
        self._handlers[descriptor] = handler

    def modify(self, descriptor: int, mask: int) -> None:
        """Watches it for something else."""
        self._epoll.modify(descriptor, mask)

    def forget(self, descriptor: int) -> None:
        """Watches it no more."""
        if self._handlers.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    def drop(self, descriptor: int) -> None:
        """Forgets a descriptor that is about to be closed: closing takes it out of the epoll."""
        self._handlers.pop(descriptor, None)

    def listen(self, address: Address, accepted: Callable[[SocketLink], None],
               starved: Callable[[OSError], None]) -> SocketListening:
        """Listens on an address.  Raises OSError."""
        return SocketListening(self, address, accepted, starved)

    def connect(self, address: Address, connected: Callable[[SocketLink], None],
                failed: Callable[[OSError], None]) -> Callable[[], None]:
        """Connects to an address; the function returned gives up."""
        return Connecting(self, address, connected, failed).cancel

    def close(self) -> None:
        """Frees the epoll."""
        self._reactor.removeReader(self)
        self._epoll.close()


def family(host: str) -> socket.AddressFamily:
    """The address family of a literal address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class SocketListening:
    """A listening socket in the plane."""

    def __init__(self, plane: EpollPlane, address: Address, accepted: Callable[[SocketLink], None],
                 starved: Callable[[OSError], None]) -> None:
        self._plane = plane
        self._accepted = accepted
        self._starved = starved
        self._socket = socket.socket(family(address.host), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if ":" in address.host:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.bind(address)
            self._socket.listen(BACKLOG)
        except OSError:
            self._socket.close()
            raise
        self.address = Address(*self._socket.getsockname()[:2])
        self._descriptor = self._socket.fileno()
        self._watched = False
        self.resume()

    def _ready(self, mask: int) -> None:
        for _ in range(ACCEPTS):
            if not self._watched:
                return
            try:
                connection, address = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in STARVED:
                    self._starved(error)
                    return
                continue
            self._accepted(SocketLink(self._plane, connection, Address(address[0], address[1])))

    def pause(self) -> None:
        """Accepts no more for now."""
        if self._watched:
            self._watched = False
            self._plane.forget(self._descriptor)

    def resume(self) -> None:
        """Accepts again."""
        if not self._watched and self._socket.fileno() >= 0:
            self._watched = True
            self._plane.register(self._descriptor, _IN, self._ready)

    def close(self) -> None:
        """Stops listening."""
        self.pause()
        self._socket.close()


class Connecting:
    """A connection on its way."""

    def __init__(self, plane: EpollPlane, address: Address, connected: Callable[[SocketLink], None],
                 failed: Callable[[OSError], None]) -> None:
        self._plane = plane
        self._address = address
        self._connected = connected
        self._failed = failed
        self._socket: socket.socket | None = None
        try:
            self._socket = socket.socket(family(address.host), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            code = self._socket.connect_ex(address)
        except OSError as error:
            code = error.errno or errno.EINVAL
        if code == errno.EINPROGRESS and self._socket is not None:
            plane.register(self._socket.fileno(), _OUT, self._ready)
        else:
            self._finish(code)

    def _ready(self, mask: int) -> None:
        connecting = self._socket
        if connecting is not None:
            failed = mask != _OUT
            self._finish(connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) if failed else 0, _OUT)

    def _finish(self, code: int, watched: int = -1) -> None:
        done, self._socket = self._socket, None
        if code == 0 and done is not None:
            self._connected(SocketLink(self._plane, done, self._address, watched))
            return
        if done is not None:
            if watched >= 0:
                self._plane.forget(done.fileno())
            done.close()
        self._failed(OSError(code, os.strerror(code)))

    def cancel(self) -> None:
        """Gives up."""
        if self._socket is not None:
            self._plane.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None


class SocketLink:
    """One TCP connection in the plane."""

    __slots__ = ("_dead", "_descriptor", "_ended", "_ending", "_mask", "_out", "_plane", "_reading", "_receive", "_reset",
                 "_send", "_size", "_socket", "client", "faulty", "owner", "peer")

    def __init__(self, plane: EpollPlane, connection: socket.socket, peer: Address, watched: int = -1) -> None:
        """`watched`: what the plane watches the descriptor for already; -1 for nothing."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._plane = plane
        self._socket = connection
        self._receive = connection.recv
        self._send = connection.send
        self._descriptor = connection.fileno()
        if watched >= 0:
            plane.handle(self._descriptor, self._ready)
        self._mask = watched
        """What the epoll watches for; -1 while it does not know the link."""
        self._out: list[bytes | memoryview] = []
        self._size = READ_SMALL
        self._reading = False
        self._ended = False
        """The peer has sent FIN."""
        self._ending: Callable[[], None] | None = None
        """What is to be done when everything is sent."""
        self._dead = False
        """Nothing can be sent any more; what the peer sent before may still be read."""
        self._reset = False
        """Sending has failed by RST, which the system tells only once: to a reader it then looks like FIN."""
        self.peer = peer
        self.owner: Owner | None = None
        self.client = False
        self.faulty = False

    @property
    def local(self) -> Address:
        """Our end of it."""
        return Address(*self._socket.getsockname()[:2])

    @property
    def truncated(self) -> bool:
        """There is no TLS here."""
        return False

    @property
    def failure(self) -> str:
        """Nor can it fail."""
        return ""

    @property
    def backlog(self) -> int:
        """Octets that wait to be sent."""
        return sum(map(len, self._out)) if self._out else 0

    def _watch(self) -> None:
        mask = (_IN if self._reading and not self._ended else 0) | (_OUT if self._out else 0)
        if self._mask < 0:
            self._plane.register(self._descriptor, mask, self._ready)
        elif mask != self._mask:
            self._plane.modify(self._descriptor, mask)
        self._mask = mask

    def _ready(self, mask: int) -> None:
        if mask == _IN and self._reading:
            self._read()
            return
        if mask & _OUT:
            self._flush()
            if self._mask < 0:
                return
        if mask & ~_OUT:
            if self._reading and not self._ended:
                self._read()
            elif mask & (select.EPOLLERR | select.EPOLLHUP):
                self._hung(mask)

    def _read(self) -> None:
        try:
            data = self._receive(self._size, _DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            self._broken()
            return
        owner = self.owner
        if owner is None:
            return
        if data:
            if len(data) == self._size:
                self._size = READ_LARGE
            owner.received(self.client, data)
        elif self._reset:
            self._broken()
        else:
            self._ended = True
            owner.ended(self.client)
            if self._mask >= 0:
                self._watch()

    def _hung(self, mask: int) -> None:
        """An error or a hang-up while nothing is read.  After FIN both ways the owner is about to close."""
        if mask & select.EPOLLERR or not self._ended or self._dead:
            self._broken()
        else:
            self._plane.forget(self._descriptor)
            self._mask = -1

    def _broken(self) -> None:
        owner, self.owner = self.owner, None
        self._discard()
        if owner is not None:
            owner.broken(self.client)

    def fail(self) -> None:
        """A fault of our own: the connection is aborted, and its owner told that it is gone."""
        owner = self.owner
        self.faulty = True
        self.abort()
        if owner is not None:
            owner.broken(self.client)

    def send(self, data: bytes) -> bool:
        """Sends at once what the system takes, and keeps the rest.  True when something is kept."""
        if self._out:
            self._out.append(data)
            return True
        if self._dead:
            return False
        try:
            sent = self._send(data, _DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._fail(error)
            return False
        if sent == len(data):
            return False
        self._out.append(memoryview(data)[sent:])
        self._watch()
        return True

    def _fail(self, error: OSError) -> None:
        """The peer takes no more: what it sent before is still to be read, and reading will tell how it ended."""
        self._dead = True
        self._reset = error.errno == errno.ECONNRESET
        self._out.clear()
        if self._ended:
            self._broken()
        elif self._mask >= 0:
            self._reading = True
            self._watch()

    def _flush(self) -> None:
        out = self._out
        while out:
            try:
                sent = self._send(out[0], _DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                self._fail(error)
                break
            if sent < len(out[0]):
                out[0] = memoryview(out[0])[sent:]
                return
            del out[0]
        self._watch()
        if self._ending is not None:
            self._ending()
        elif self.owner is not None:
            self.owner.drained(self.client)

    def start(self) -> None:
        """Begins to read.  Who has come to own it since the connection broke is told so."""
        if self._descriptor >= 0:
            self._reading = True
            self._watch()
        elif self.owner is not None:
            self._broken()

    def pause(self) -> None:
        """Reads no more for now."""
        if self._reading:
            self._reading = False
            if self._mask >= 0:
                self._watch()

    def resume(self) -> None:
        """Reads again."""
        if not self._reading and self._descriptor >= 0:
            self._reading = True
            self._watch()

    def end(self, truncated: bool = False) -> None:
        """Half-close: sends what is kept, then FIN."""
        self._when_sent(self._shut)

    def close(self) -> None:
        """Sends what is kept, then closes."""
        self.owner = None
        self._reading = False
        self._when_sent(self._discard)

    def _when_sent(self, then: Callable[[], None]) -> None:
        if self._out:
            self._ending = then
        else:
            then()

    def _shut(self) -> None:
        self._ending = None
        if self._descriptor >= 0 and not self._dead:
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                self._dead = True
            if self.owner is not None:
                self.owner.drained(self.client)

    def abort(self) -> None:
        """Closes at once with RST."""
        self.owner = None
        if self._descriptor >= 0:
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NOW)
            finally:
                self._discard()

    def _discard(self) -> None:
        if self._descriptor >= 0:
            self._plane.drop(self._descriptor)
            self._mask = -1
            self._socket.close()
            self._descriptor = -1
            self.owner = None
            self._out = []
            self._ending = None
