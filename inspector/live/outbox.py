"""Octets that wait for their capture: all that came in one turn of the loop is saved by one write, then sent.

Rules.  Nothing leaves before it is in the file.  A turn is short: what waits is never more than `MOST` and one read.

Knows relays and the capture.  Must not know sockets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from inspector.capture.writer import CaptureWriter
    from inspector.live.relay import Relay

MOST: Final = 1_048_576
"""Octets that wait at most before they are saved and sent within the turn."""


class Outbox:
    """What is to be sent when the capture has been written."""

    __slots__ = ("_capture", "_size", "_waiting")

    def __init__(self, capture: CaptureWriter) -> None:
        self._capture = capture
        self._waiting: list[tuple[Relay, bool, bytes]] = []
        self._size = 0
        capture.gather()

    def add(self, relay: Relay, client: bool, data: bytes) -> None:
        """Octets from one side of a flow, already inspected and recorded."""
        self._waiting.append((relay, client, data))
        self._size += len(data)
        if self._size > MOST:
            self.flush()

    def flush(self) -> None:
        """Writes the capture, then sends all that waits."""
        self._capture.flush()
        if self._waiting:
            waiting, self._waiting, self._size = self._waiting, [], 0
            for relay, client, data in waiting:
                relay.send(client, data)
