"""IP fragments put together (RFC 791 §3.2, RFC 8200 §4.5), in bounded memory.

Rules.  The first copy of an octet counts.  A datagram that is not whole after `PATIENCE`, or too many of them at a time, are
forgotten, which is told.

Knows fragments.  Must not know what they carry.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from inspector.formats.packet import Fragment

PATIENCE: Final = 30_000_000
"""Microseconds of the capture (RFC 791 asks for 15 s at least, RFC 8200 for 60 s; Linux waits 30 s)."""
DATAGRAMS: Final = 1_000
"""Datagrams in the making at a time: with 64 KiB each some 64 MiB at most."""
PIECES: Final = 2_048
"""Fragments of one datagram: 64 KiB in pieces of 32 octets."""
LARGEST: Final = 65_535
"""Octets of a datagram."""


class _Datagram:
    __slots__ = ("end", "header", "pieces", "since")

    def __init__(self, since: int) -> None:
        self.since = since
        self.pieces: list[tuple[int, bytes]] = []
        self.end = -1
        """Where it ends, once the last fragment was seen."""
        self.header = b""


class Fragments:
    """Datagrams in the making."""

    __slots__ = ("_open", "_warn")

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._open: dict[bytes, _Datagram] = {}

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
        if end > LARGEST or len(datagram.pieces) >= PIECES:
            self._forget(fragment.key)
            return b""
        datagram.pieces.append((fragment.place, fragment.data))
        if fragment.place == 0 and not datagram.header:
            datagram.header = fragment.header
        if not fragment.more and datagram.end < 0:
            datagram.end = end
        whole = _joined(datagram) if datagram.end >= 0 and datagram.header else b""
        if whole:
            del self._open[fragment.key]
        return whole

    def finish(self) -> None:
        """Nothing more comes."""
        if self._open:
            self._warn(f"{len(self._open)} fragmented packets are not whole")
            self._open.clear()

    def _forget(self, key: bytes) -> None:
        del self._open[key]
        self._warn("fragmented packets are not whole")


def _joined(datagram: _Datagram) -> bytes:
    """The packet, or nothing while something is missing."""
    octets = bytearray(datagram.end)
    known = bytearray(datagram.end)
    for place, data in datagram.pieces:
        for at in _holes(known, place, min(datagram.end, place + len(data))):
            octets[at[0]:at[1]] = data[at[0] - place:at[1] - place]
            known[at[0]:at[1]] = b"\1" * (at[1] - at[0])
    return datagram.header + bytes(octets) if all(known) else b""


def _holes(known: bytearray, begin: int, end: int) -> list[tuple[int, int]]:
    """Where nothing is known yet between two places."""
    holes = []
    while begin < end:
        first = known.find(b"\0", begin, end)
        if first < 0:
            break
        after = known.find(b"\1", first, end)
        begin = after if after >= 0 else end
        holes.append((first, begin))
    return holes
