"""One connection to a server: a command out, its reply in, all octets told to whoever watches.

Rules.  Every wait ends: for a connection, and for each whole reply, however slowly it drips.  A reply is bounded.

Knows sockets and SMTP replies (RFC 5321 §4.2).  Must not know what is asked.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from inspector.pdu import Address
from inspector.text import decode

REPLY: Final = 65_536
"""Octets of a reply; RFC 5321 §4.5.3.1.5 allows 512 a line."""

Watch = Callable[[bool, bytes], None]
"""Is told what crosses: from the client or not, and the octets."""


class Lost(Exception):
    """The connection is of no use any more; the text says why, fit for people."""


class Reply(NamedTuple):
    """What a server says."""

    status: str
    """Three digits."""
    text: str
    """The rest, fit for people; several lines are joined by blanks."""

    @property
    def accepted(self) -> bool:
        """Whether it is positive (2yz)."""
        return self.status[0] == "2"


class Talk:
    """A connection; a context manager."""

    def __init__(self, host: str, port: int, seconds: float) -> None:
        """Connects.  Raises Lost."""
        try:
            self._socket = socket.create_connection((host, port), timeout=seconds)
        except OSError as error:
            raise Lost(_told(error, f"no connection within {seconds:g} s")) from error
        self._seconds = seconds
        self._buffer = b""
        self.watch: Watch = lambda client, data: None
        name: tuple[str, int] = self._socket.getsockname()[:2]
        peer: tuple[str, int] = self._socket.getpeername()[:2]
        self.client = Address(*name)
        self.server = Address(*peer)

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, line: str) -> Reply:
        """Sends a command and returns its reply.  Raises Lost."""
        data = line.encode() + b"\r\n"
        self.watch(True, data)
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise Lost(_told(error, "the server takes no command")) from error
        return self.reply()

    def reply(self) -> Reply:
        """The next reply.  Raises Lost."""
        deadline = time.monotonic() + self._seconds
        texts: list[str] = []
        size = 0
        while True:
            line = self._line(deadline, REPLY - size)
            size += len(line)
            if not line[:3].isdigit() or line[3:4] not in (b"-", b" ", b"\r", b"\n"):
                raise Lost(f"this is no SMTP reply: {decode(line.rstrip()[:80])}")
            texts.append(decode(line[4:].rstrip(b"\r\n")))
            if line[3:4] != b"-":
                return Reply(line[:3].decode("ascii"), " ".join(filter(None, texts)))

    def _line(self, deadline: float, most: int) -> bytes:
        while b"\n" not in self._buffer:
            if len(self._buffer) > most:
                raise Lost("a reply without end")
            self._buffer += self._received(deadline)
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line + b"\n"

    def _received(self, deadline: float) -> bytes:
        silence = f"no reply within {self._seconds:g} s"
        left = deadline - time.monotonic()
        if left <= 0:
            raise Lost(silence)
        self._socket.settimeout(left)
        try:
            data = self._socket.recv(4_096)
        except OSError as error:
            raise Lost(_told(error, silence)) from error
        if not data:
            raise Lost("the server has closed the connection")
        self.watch(False, data)
        return data


def _told(error: OSError, silence: str) -> str:
    return silence if isinstance(error, TimeoutError) else decode((error.strerror or str(error)).encode())
