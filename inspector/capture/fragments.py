"""IP fragments put together (RFC 791 §3.2, RFC 8200 §4.5), in bounded memory.

Rules.  The first copy of an octet counts.  A datagram that is not whole after `PATIENCE`, or too many of them at a time, are
forgotten, which is told.

Knows fragments.  Must not know what they carry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from inspector.capture.early import Early
from inspector.formats.packet import Fragment

PATIENCE: Final = 30_000_000
"""Microseconds of the capture (RFC 791 asks for 15 s at least, RFC 8200 for 60 s; Linux waits 30 s)."""
DATAGRAMS: Final = 1_000
"""Datagrams in the making at a time."""
KEPT: Final = 64 << 20
"""Octets of their fragments, all taken together; past it the oldest is forgotten."""
PIECES: Final = 2_048
"""Fragments of one datagram: 64 KiB in pieces of 32 octets."""
LARGEST: Final = 65_535
"""Octets of a datagram."""


class _Datagram:
    __slots__ = ("end", "fragments", "header", "pieces", "since")

    def __init__(self, since: int) -> None:
        self.since = since
        self.pieces = Early()
        self.fragments = 0
        self.end = -1
        """Where it ends, once the last fragment was seen."""
        self.header = b""


class Fragments:
    """Datagrams in the making."""

    __slots__ = ("_kept", "_open", "_warn")

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._open: dict[bytes, _Datagram] = {}
        self._kept = 0

    def add(self, fragment: Fragment, time: int) -> bytes:
        """An IP packet that is whole now, or nothing."""
        datagram = self._open.get(fragment.key)
        if datagram is not None and time - datagram.since > PATIENCE:
            self._forget(fragment.key)
            datagram = None
        if datagram is None:
            if len(self._open) >= DATAGRAMS:
                self._forget(next(iter(self._open)))
            datagram = self._open[fragment.key] = _Datagram(time)
        end = fragment.place + len(fragment.data)
        if end > LARGEST or datagram.fragments >= PIECES:
            self._forget(fragment.key)
            return b""
        datagram.fragments += 1
        before = datagram.pieces.cost
        datagram.pieces.add(fragment.place, fragment.data, -1, 0, 0)
        self._kept += datagram.pieces.cost - before
        if fragment.place == 0 and not datagram.header:
            datagram.header = fragment.header
        if not fragment.more and datagram.end < 0:
            datagram.end = end
        whole = _joined(datagram) if 0 <= datagram.end <= datagram.pieces.octets and datagram.header else b""
        if whole:
            self._remove(fragment.key)
        while self._kept > KEPT:
            self._forget(next(iter(self._open)))
        return whole

    def finish(self) -> None:
        """Nothing more comes."""
        if self._open:
            self._warn(f"{len(self._open)} fragmented packets are not whole")
            self._open.clear()
            self._kept = 0

    def _remove(self, key: bytes) -> None:
        self._kept -= self._open.pop(key).pieces.cost

    def _forget(self, key: bytes) -> None:
        self._remove(key)
        self._warn("fragmented packets are not whole")


def _joined(datagram: _Datagram) -> bytes:
    """The packet, or nothing while something is missing."""
    place = 0
    for piece in datagram.pieces.pieces:
        if piece.place != place:
            break
        place += len(piece.data)
    if place < datagram.end:
        return b""
    return datagram.header + b"".join(piece.data for piece in datagram.pieces.pieces)[:datagram.end]
