"""Where the octets of a capture come from: a file, standard input, either of them compressed, a file that still grows.

Rules.  What a source is, its first octets tell, not its name.  Nothing is unpacked ahead of what is read.

Knows files and compression.  Must not know what the octets mean.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from inspector.errors import CaptureError
from inspector.formats import pcap, pcapng

STDIN: Final = "-"
"""The name of standard input."""
GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
CAPTURES: Final = frozenset({pcapng.SECTION.to_bytes(4, "big"), *pcap.SHAPES})
"""How captures begin."""
HEAD: Final = 4
"""Octets that tell what a source is."""
WAIT: Final = 0.2
"""Seconds between two looks at a file that grows."""

Idle = Callable[[], None]
"""Is called when a growing file has nothing new."""


class Source:
    """Octets in order; knows how far it is."""

    def __init__(self, stream: Any, path: str, idle: Idle | None) -> None:
        """`stream` gives octets by `read`; `idle`: it may grow."""
        self._raw = stream
        self._idle = idle
        self._head = b""
        self.path = path
        self.place = 0
        """Octets of the file itself that were read: of a compressed one, compressed."""
        while len(self._head) < HEAD and (piece := self._read(HEAD - len(self._head))):
            self._head += piece
        self.head = self._head
        """The first octets, unpacked."""
        self._unpack: Callable[[int], bytes] | None = None
        if self._head[:2] == GZIP:
            self._unpack = gzip.GzipFile(fileobj=_Readable(self._give)).read1
        elif self._head == ZSTD:
            self._unpack = _zstd(_Readable(self._give))
        if self._unpack is not None:
            self.head = self._first = self.take(HEAD)

    _first = b""

    def take(self, size: int) -> bytes:
        """Up to that many octets; none at the end.  Raises OSError, EOFError."""
        if self._first:
            first, self._first = self._first, b""
            return first
        if self._unpack is None:
            return self._give(size)
        try:
            return self._unpack(size)
        except zlib.error as error:
            raise OSError(str(error)) from error
        except Exception as error:
            if type(error).__name__ == "ZstdError":
                raise OSError(str(error)) from error
            raise

    def _give(self, size: int) -> bytes:
        if self._head:
            head, self._head = self._head[:size], self._head[size:]
            return head
        return self._read(size)

    def _read(self, size: int) -> bytes:
        while True:
            piece: bytes = self._raw.read(size) or b""
            if piece or self._idle is None:
                self.place += len(piece)
                return piece
            self._idle()
            time.sleep(WAIT)


class _Readable(io.RawIOBase):
    """A function as a file, for libraries that want one."""

    def __init__(self, give: Callable[[int], bytes]) -> None:
        self._take = give

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._take(size if size >= 0 else 1 << 16)

    def readinto(self, buffer: Any) -> int:
        piece = self._take(len(buffer))
        buffer[:len(piece)] = piece
        return len(piece)


def _zstd(readable: _Readable) -> Callable[[int], bytes]:
    import zstandard

    # A window of 128 MiB is the largest that the command line makes without asking for more.
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    return decompressor.stream_reader(readable, read_across_frames=True).read  # type: ignore[arg-type]


@contextmanager
def opened(path: str, idle: Idle | None = None) -> Iterator[Source]:
    """A source, closed at the end.  Raises CaptureError."""
    try:
        descriptor: Any = sys.stdin.fileno() if path == STDIN else path
        stream: Any = open(descriptor, "rb", buffering=0, closefd=path != STDIN)  # noqa: SIM115 - closed below
    except OSError as error:
        raise CaptureError(f"{path}: cannot be opened: {error.strerror}") from error
    with stream:
        try:
            source = Source(stream, path, idle)
        except (OSError, EOFError) as error:
            raise CaptureError(f"{path}: cannot be read: {error}") from error
        yield source


def expanded(paths: tuple[str, ...] | list[str], warn: Callable[[str], None]) -> list[str]:
    """The files that are named, in their order: of a folder its captures, those of its folders too, sorted by name.

    Raises CaptureError for a folder without any.
    """
    files: list[str] = []
    for path in paths:
        if path == STDIN or not os.path.isdir(path):
            files.append(path)
            continue
        found = [os.path.join(folder, name) for folder, folders, names in _walked(path) for name in sorted(names)
                 if not name.startswith(".")]
        captures = [file for file in found if is_capture(file)]
        if not captures:
            raise CaptureError(f"{path}: no capture in this folder")
        if len(captures) < len(found):
            warn(f"{path}: {len(found) - len(captures)} files that are no captures left out")
        files += captures
    return files


def _walked(path: str) -> Iterator[tuple[str, list[str], list[str]]]:
    for folder, folders, names in os.walk(path):
        folders.sort()
        yield folder, folders, names


def is_capture(path: str) -> bool:
    """Whether a file begins like a capture, unpacked."""
    if not os.path.isfile(path):
        return False
    try:
        with opened(path) as source:
            return source.head[:HEAD] in CAPTURES
    except CaptureError:
        return False
