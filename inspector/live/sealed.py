"""A capture of the records that a client's leg carries in TLS, with their keys, in place of the clear text.

Rules.  It stands where the capture stands for its relay.  Keys come before the records that they open.  What came in is written
when the relay has read it, at the same time, and what the relay has never read is not; what goes out is written before it leaves.
Nothing in it can be masked.

Knows the capture and a link in TLS.  Must not know relays.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from inspector.pdu import C2S, S2C
from inspector.segment import SILENT
from inspector.unsealing import DATA, HEADER

if TYPE_CHECKING:
    from inspector.capture.writer import CaptureWriter, Octets
    from inspector.live.secure import SecureLink
    from inspector.pdu import Direction, Finding, Flow
    from inspector.segment import Words

MOST: Final = 1 << 20
"""Octets of keys that are taken at a time."""


class Keylog:
    """The file to which OpenSSL writes keys, read as it grows."""

    def __init__(self, path: str, ours: bool) -> None:
        """`path`: a file that exists; `ours`: nobody else wants what is in it."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._ours = ours
        self._place = os.fstat(self._descriptor).st_size

    def take(self) -> bytes:
        """Whole lines that are new."""
        data = os.pread(self._descriptor, MOST, self._place)
        lines = data[:data.rfind(b"\n") + 1]
        self._place += len(lines)
        if self._ours and lines == data:
            os.ftruncate(self._descriptor, 0)
            self._place = 0
        return lines


def finished(records: bytes, version: str) -> int:
    """How many octets of the client's last flight are of the handshake: in TLS 1.3 up to the end of its first sealed record,
    which is Finished (RFC 8446 §4.4.4), in older versions up to the first data."""
    at = 0
    while at + HEADER <= len(records):
        size = HEADER + int.from_bytes(records[at + 3:at + HEADER], "big")
        if records[at] == DATA:
            return at + size if version == "TLSv1.3" else at
        at += size
    return len(records)


class SealedCapture:
    """The capture of one flow."""

    def __init__(self, capture: CaptureWriter, flow: Flow, link: SecureLink, keylog: Keylog, time: int) -> None:
        """Writes the keys and what the handshake was."""
        self._capture = capture
        self._flow = flow
        self._time = time
        self._came = b""
        self._comments: Sequence[str] = ()
        self._over = False
        capture.secrets(keylog.take(), time)
        records = link.records or []
        # The client's last octets of the handshake may have its first command behind them, which is read later.
        last = max((place for place, record in enumerate(records) if not record[0]), default=-1)
        for place, (sent, data, when) in enumerate(records):
            size = finished(data, link.secured.version if link.secured is not None else "") if place == last else len(data)
            capture.segment(flow, S2C if sent else C2S, data[:size], when)
            self._came += data[size:]
        link.records, link.tap = None, self.tapped

    def tapped(self, sent: bool, data: bytes) -> None:
        """Records come, or are about to leave."""
        if not sent:
            self._came += data
            return
        self._write_what_came()
        if not self._over:
            self._capture.segment(self._flow, S2C, data, self._time, self._comments)
            self._comments = ()
            self._capture.flush()

    def _write_what_came(self, comments: Sequence[str] = ()) -> None:
        if self._came:
            came, self._came = self._came, b""
            self._capture.segment(self._flow, C2S, came, self._time, comments)
            self._capture.flush()

    # What a relay calls

    def segment(self, flow: Flow, direction: Direction, data: Octets | Sequence[Octets], time: int,
                comments: Sequence[str] = ()) -> None:
        """The relay has read what was in the records of the client, or is about to send some."""
        self._time = time
        if direction is C2S:
            self._write_what_came(comments)
        else:
            self._comments = comments

    def note(self, flow: Flow, findings: Sequence[Finding], secured: bool, time: int, words: Words = SILENT) -> None:
        """What no octet shows; what follows does not stand in the clear."""
        self._capture.note(flow, findings, False, time, words)

    def rejoin(self, flow: Flow, time: int, secure: bool, unread: bool) -> None:
        """The file was begun in the middle of the flow: records without those before them open for nobody."""
        self._capture.rejoin(flow, time, True, True)

    def end(self, flow: Flow, direction: Direction, time: int) -> None:
        """FIN."""
        self._time = time
        self._write_what_came()
        self._over = self._over or direction is S2C
        self._capture.end(flow, direction, time)

    def reset(self, flow: Flow, direction: Direction, time: int) -> None:
        """RST."""
        self._over = True
        self._capture.reset(flow, direction, time)

    def forget(self, flow: Flow) -> None:
        """Nothing more will come of this flow."""
        self._over = True
        self._capture.forget(flow)
