"""Faults on purpose: a client and a server that say exactly what a test makes them say, and a relay that does harm.

Knows sockets and threads.  Must not know mail or mailspy.
"""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Self

PATIENCE: Final = 15.0
"""Seconds after which a peer that says nothing has failed the test."""

_ABORT: Final = struct.pack("ii", 1, 0)


class Line:
    """One end of a connection, and all that was received on it."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connection
        self.received = b""
        """Everything, from the beginning."""
        self.sent = 0
        """How many octets were sent."""
        self._read = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def say(self, *pieces: bytes, pause: float = 0.002) -> None:
        """Sends each piece by itself."""
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(pause)
            self.socket.sendall(piece)
            self.sent += len(piece)

    def until(self, end: bytes) -> bytes:
        """What comes next, up to and with `end`."""
        while (at := self.received.find(end, self._read)) < 0:
            self._receive()
        return self._take(at + len(end))

    def line(self) -> bytes:
        """The next line."""
        return self.until(b"\n")

    def exactly(self, size: int) -> bytes:
        """The next `size` octets."""
        while len(self.received) < self._read + size:
            self._receive()
        return self._take(self._read + size)

    def reply(self) -> bytes:
        """The next SMTP reply, with all its lines."""
        lines = [self.line()]
        while lines[-1][3:4] == b"-":
            lines.append(self.line())
        return b"".join(lines)

    def rest(self) -> bytes:
        """All up to the end of the stream."""
        with contextlib.suppress(EOFError):
            while True:
                self._receive()
        return self._take(len(self.received))

    def ask(self, *pieces: bytes) -> bytes:
        """Sends a line, and gives the line that answers it."""
        self.say(*pieces)
        return self.line()

    def finish(self) -> None:
        """Says that nothing more will be sent (FIN); goes on listening."""
        self.socket.shutdown(socket.SHUT_WR)

    def abort(self) -> None:
        """Breaks the connection off (RST)."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        self.socket.close()

    def close(self) -> None:
        """Closes; without effect when it is closed."""
        self.socket.close()

    def ending(self) -> str:
        """How the other side ended the connection: `closed` or `reset`."""
        try:
            self.rest()
        except ConnectionResetError:
            return "reset"
        return "closed"

    def _receive(self) -> None:
        data = self.socket.recv(65_536)
        if not data:
            raise EOFError(f"the peer has closed; it said {self.received[-200:]!r}")
        self.received += data

    def _take(self, end: int) -> bytes:
        taken = self.received[self._read:end]
        self._read = end
        return taken


def call(port: int) -> Line:
    """A raw client of the server on that port."""
    return Line(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE))


Script = Callable[[Line], None]
"""What a scripted server does with a connection; the connection is closed after it."""


class _Listener:
    """Something that listens, on a free port unless told otherwise, with one thread for each connection."""

    def __init__(self, port: int = 0) -> None:
        self._socket = socket.create_server(("127.0.0.1", port), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._faults: list[BaseException] = []
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
        self._socket.close()
        if self._faults and kind is None:
            raise self._faults[0]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._guarded, args=(connection, len(self._threads) - 1))
            self._threads.append(thread)
            thread.start()

    def _guarded(self, connection: socket.socket, number: int) -> None:
        with connection:
            try:
                self.serve(connection, number)
            except BaseException as fault:
                self._faults.append(fault)

    def serve(self, connection: socket.socket, number: int) -> None:
        """Does what there is to do with connection `number`, from 0."""
        raise NotImplementedError


class ScriptedServer(_Listener):
    """A server whose connections follow the scripts, one each, the last one again and again.

    What goes wrong in a script fails the test that leaves the server's `with`.
    """

    def __init__(self, scheme: str, *scripts: Script) -> None:
        self.scheme = scheme
        self._scripts = scripts
        super().__init__()

    def __str__(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def serve(self, connection: socket.socket, number: int) -> None:
        self._scripts[min(number, len(self._scripts) - 1)](Line(connection))


Cut = Callable[[bytes], Iterator[bytes]]
"""How the relay cuts what it has read."""


def whole(data: bytes) -> Iterator[bytes]:
    """As it was read."""
    yield data


def single_bytes(data: bytes) -> Iterator[bytes]:
    """Octet by octet."""
    for octet in data:
        yield bytes((octet,))


def random_cuts(seed: int) -> Cut:
    """Pieces of one to forty octets, the same ones for the same seed and octets."""

    def cut(data: bytes) -> Iterator[bytes]:
        chance = random.Random(seed + len(data))
        while data:
            size = chance.randrange(1, 40)
            yield data[:size]
            data = data[size:]

    return cut


@dataclass(frozen=True)
class Faults:
    """What the relay does to one direction."""

    cut: Cut = whole
    delay: float = 0.0
    """Seconds between two pieces."""
    limit: int | None = None
    """Octets after which it does `then`."""
    then: str = "close"
    """`close` both sides, `reset` both sides, `finish` (this direction only), or `drop` (all that follows is lost)."""


HARMLESS: Final = Faults()
CUTS: Final = [HARMLESS, Faults(cut=single_bytes), *(Faults(cut=random_cuts(seed)) for seed in range(4))]
"""Ways to cut, the first one none at all, that must make no difference."""


class Shim(_Listener):
    """A relay in front of a server that does harm: put it between client and proxy, or between proxy and server."""

    def __init__(self, scheme: str, target: int, *, to_server: Sequence[Faults] = (HARMLESS,),
                 to_client: Sequence[Faults] = (HARMLESS,), port: int = 0) -> None:
        """The faults of each direction, one for each connection, the last one again and again."""
        self.scheme = scheme
        self._target = target
        self._to_server = to_server
        self._to_client = to_client
        super().__init__(port)

    def __str__(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def serve(self, connection: socket.socket, number: int) -> None:
        with socket.create_connection(("127.0.0.1", self._target), timeout=PATIENCE) as server:
            for end in (connection, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                end.settimeout(PATIENCE)
            plans = (self._to_server, self._to_client)
            _relay(connection, server, *(plan[min(number, len(plan) - 1)] for plan in plans))


def _relay(client: socket.socket, server: socket.socket, to_server: Faults, to_client: Faults) -> None:
    left = {client: to_server.limit, server: to_client.limit}
    with selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ, (server, to_server))
        selector.register(server, selectors.EVENT_READ, (client, to_client))
        while selector.get_map():
            for key, _ in selector.select(PATIENCE):
                source: socket.socket = key.fileobj  # type: ignore[assignment]
                target, faults = key.data
                try:
                    data = source.recv(65_536)
                except ConnectionResetError:
                    _break(target)
                    return
                limit = left[source]
                kept = data if limit is None else data[:limit]
                if not data:
                    selector.unregister(source)
                    with contextlib.suppress(OSError):
                        target.shutdown(socket.SHUT_WR)
                    continue
                for piece in faults.cut(kept):
                    try:
                        target.sendall(piece)
                    except (BrokenPipeError, ConnectionResetError):
                        _break(source)
                        return
                    time.sleep(faults.delay)
                if limit is None:
                    continue
                left[source] = rest = limit - len(kept)
                if rest > 0 or faults.then == "drop":
                    continue
                if faults.then == "finish":
                    selector.unregister(source)
                    target.shutdown(socket.SHUT_WR)
                    continue
                if faults.then == "reset":
                    _break(client)
                    _break(server)
                return


def _break(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    end.close()
