"""A client's end of a connection, as deferred lines: what both demo clients speak through.

Knows lines and time limits.  Must not know any protocol.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from twisted.internet import defer, protocol
from twisted.protocols.basic import LineReceiver

PATIENCE: Final = 10.0
"""Seconds that a client waits for a line."""


class Wire(LineReceiver):
    """Lines come by `line`, octets go by `send`."""

    MAX_LENGTH = 65_536
    transport: Any

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._waiting: defer.Deferred[bytes] | None = None
        self._lost: Any = None

    def lineReceived(self, line: bytes) -> None:
        """Hands the line to whoever waits, or keeps it."""
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.callback(line)
        else:
            self._lines.append(line)

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        """Nobody waits in vain."""
        self._lost = reason
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.errback(reason)

    def line(self, reactor: Any) -> defer.Deferred[bytes]:
        """The next line, without its end; fails when the connection is lost, or with TimeoutError."""
        if self._lines:
            return defer.succeed(self._lines.popleft())
        if self._lost is not None:
            return defer.fail(self._lost)
        self._waiting = defer.Deferred()
        return self._waiting.addTimeout(PATIENCE, reactor)

    def send(self, data: bytes) -> None:
        """Sends octets."""
        self.transport.write(data)

    def close(self) -> None:
        """Closes the connection."""
        self.transport.loseConnection()
