"""Captures as events: the source of traffic for replay.

Knows how file, packets and connections follow each other.  Must not know any of them itself: files are
`blocks`, packets `formats.packet`, connections `reassembly`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Final

from inspector.capture.blocks import Frames
from inspector.capture.reassembly import Reassembly
from inspector.errors import CaptureError
from inspector.formats.packet import Packet, Skipped, dissect
from inspector.segment import Event

MOST_WARNINGS: Final = 100
"""Warnings passed on for one file: a hostile one could make millions."""

Warn = Callable[[str], None]


def _ignore(_text: str) -> None:
    return None


def read(path: str, warn: Warn = _ignore) -> Iterator[Event]:
    """The events of a capture file, pcapng or pcap, in the order of the file; flows are numbered from 1.

    Memory is bounded whatever the file holds.  `warn` is told, one text each, of a torn end, of octets missing in
    a flow, and once of each kind of packet that is not read.  Raises CaptureError, with path and offset, where the
    file cannot be opened, is no capture or is damaged; what came before the damage has been yielded by then.
    """
    return read_all([path], warn)


def read_all(paths: Iterable[str], warn: Warn = _ignore, number: int = 1) -> Generator[Event, None, None]:
    """The events of several captures, one file after the other, flow numbers going on from `number` from file to file."""
    for path in paths:
        limited = _Limited(path, warn)
        reassembly = Reassembly(limited.told, number)
        yield from _file(path, reassembly, limited)
        number = reassembly.number


def _file(path: str, reassembly: Reassembly, limited: _Limited) -> Iterator[Event]:
    try:
        stream = open(path, "rb", buffering=0)  # noqa: SIM115 - closed below; OSError is for the opening alone
    except OSError as error:
        raise CaptureError(f"{path}: cannot be opened: {error.strerror}") from error
    with stream:
        try:
            yield from _events(Frames(stream.read, path, limited.plain), reassembly, limited)
        except CaptureError:
            reassembly.finish()
            yield from reassembly.taken()
            raise
    reassembly.finish()
    yield from reassembly.taken()


def _events(frames: Frames, reassembly: Reassembly, limited: _Limited) -> Iterator[Event]:
    skipped: set[Skipped] = set()
    while batch := frames.batch():
        for frame in batch:
            packet = dissect(frame.link, frame.data)
            if isinstance(packet, Packet):
                reassembly.feed(packet, frame.time)
            elif packet not in skipped:
                skipped.add(packet)
                limited.told(f"{packet} are not read")
        yield from reassembly.taken()


class _Limited:
    """Passes warnings on, up to a number."""

    __slots__ = ("_count", "_path", "_warn")

    def __init__(self, path: str, warn: Warn) -> None:
        self._path = path
        self._warn = warn
        self._count = 0

    def told(self, text: str) -> None:
        """A warning about what is in the file."""
        self.plain(f"{self._path}: {text}")

    def plain(self, text: str) -> None:
        """A warning that names the file itself."""
        self._count += 1
        if self._count <= MOST_WARNINGS:
            self._warn(text)
        elif self._count == MOST_WARNINGS + 1:
            self._warn(f"{self._path}: more warnings are not shown")
