"""The file that a capture is written to: opened with care, mended, and kept whole when the disk is full.

Knows the file system and where pcapng blocks end.  Must not know what is in the packets.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time as clock
from collections.abc import Callable
from struct import Struct
from typing import BinaryIO, Final

from inspector.errors import CaptureError
from inspector.formats import frame, pcapng
from inspector.place import doubts, doubts_beside, fate, open_file, open_folder

RETRY: Final = 1_000_000
"""Microseconds between attempts to write to a full disk."""
LONGEST_TEAR: Final = 1 << 20
"""Octets after the last whole block that are cut off as a torn write; our blocks are 0.2 MiB at most."""

_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK
# O_NONBLOCK: a pipe that nobody reads must not stop us; for a regular file it means nothing.
_HEAD: Final = {">": Struct(">II"), "<": Struct("<II")}
_ORDERS: Final = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_SECTION_KIND: Final = pcapng.SECTION.to_bytes(4, "big")

Piece = bytes | memoryview
Alarm = Callable[[str], None]

MOST_PIECES: Final = 1_024
"""Pieces that one call can write (IOV_MAX of Linux)."""


class CaptureFile:
    """A pcapng file open for appending, positioned after its last whole block."""

    __slots__ = ("_alarm", "_end", "_fd", "_gathered", "_lost", "_octets", "_time", "_tried", "failing", "gathering", "path")

    def __init__(self, path: str, application: str, alarm: Alarm) -> None:
        """Opens or creates `path` (a file, or a folder: then a new file in it) and begins a section.

        Raises CaptureError where that cannot be; tells `alarm` what is odd but no obstacle.
        """
        self._alarm = alarm
        self._lost = 0
        self._tried = 0
        self._gathered: list[Piece] = []
        self._octets = 0
        self._time = 0
        self.gathering = False
        """Records wait for `flush`, so that one call writes several."""
        self.failing = False
        """Whether the latest write failed: nothing is being recorded."""
        self.path, self._fd = _open(path)
        try:
            self._end = self._mended()
            self._begin(pcapng.section(application) + pcapng.interface(frame.RAW_LINK, "mailspy"))
        except OSError as error:
            os.close(self._fd)
            raise CaptureError(f"{self.path}: cannot be written: {error.strerror}") from error
        except BaseException:
            os.close(self._fd)
            raise

    def lost(self) -> str:
        """What others have done to the file so that nobody finds in it what is written; nothing while all is well."""
        if self._fd < 0:
            return ""
        self.flush()
        return fate(self.path, self._fd) or ("was emptied" if os.fstat(self._fd).st_size < self._end else "")

    def anew(self, application: str) -> CaptureFile:
        """The file at the same path, opened as at the start.  What was written to an emptied one since has no beginning and goes
        too.  Raises CaptureError."""
        try:
            if fate(self.path, self._fd):
                os.close(open_folder(os.path.dirname(self.path) or os.curdir, make=True))
                if os.path.isdir(self.path):
                    raise CaptureError(f"{self.path}: is a folder now")
            else:
                os.ftruncate(self._fd, 0)
                fcntl.flock(self._fd, fcntl.LOCK_UN)
        except OSError as error:
            raise CaptureError(f"{self.path}: {error.strerror}") from error
        begun = CaptureFile(self.path, application, self._alarm)
        begun.gathering = self.gathering
        return begun

    def write(self, record: bytes, octets: int, time: int) -> bool:
        """Appends whole blocks that carry that many octets of payload; False when they could not be written.

        Never raises; `time` is that of the traffic.  While records are gathered it only keeps them for `flush`.
        """
        if self.gathering and not self.failing:
            self._gathered.append(record)
            self._octets += octets
            self._time = time
            return True
        return self._write(record, octets, time)

    def flush(self) -> None:
        """Writes what was gathered."""
        gathered = self._gathered
        if gathered:
            octets, self._gathered, self._octets = self._octets, [], 0
            if len(gathered) == 1 and isinstance(gathered[0], bytes):
                self._write(gathered[0], octets, self._time)
            elif len(gathered) <= MOST_PIECES:
                self._write_pieces(gathered, octets, self._time)
            else:
                self._write(b"".join(gathered), octets, self._time)

    def _write(self, record: bytes, octets: int, time: int) -> bool:
        try:
            written = os.write(self._fd, record)
        except OSError as error:
            return self._failed(error.strerror or str(error), octets, time)
        if written != len(record) or self.failing:
            return self._settled(written, len(record), octets, time)
        self._end += written
        return True

    def write_pieces(self, pieces: list[Piece], octets: int, time: int) -> bool:
        """`write` for blocks in up to `MOST_PIECES` pieces, which are not joined: better from some KiB on."""
        if self.gathering and not self.failing:
            self._gathered += pieces
            self._octets += octets
            self._time = time
            return True
        return self._write_pieces(pieces, octets, time)

    def _write_pieces(self, pieces: list[Piece], octets: int, time: int) -> bool:
        try:
            written = os.writev(self._fd, pieces)
        except OSError as error:
            return self._failed(error.strerror or str(error), octets, time)
        return self._settled(written, sum(map(len, pieces)), octets, time)

    def _settled(self, written: int, wanted: int, octets: int, time: int) -> bool:
        if written != wanted:
            return self._failed(os.strerror(errno.ENOSPC), octets, time)
        self._end += written
        if self.failing:
            self._resumed()
        return True

    def ready(self, time: int) -> bool:
        """Whether to write at all: not on a full disk that was tried less than `RETRY` ago.

        A clock set back is no obstacle.
        """
        if not self.failing:
            return True
        if 0 <= time - self._tried < RETRY:
            return False
        self._tried = time
        return self._cut()

    def lose(self, octets: int) -> None:
        """Counts octets that were not written because the file was not ready."""
        self._lost += octets

    @property
    def gap(self) -> tuple[str, ...]:
        """What the first packet after a failure says of it; nothing while all is well."""
        if not self.failing:
            return ()
        return (f"mailspy: the capture could not be written before this: {self._lost} octets of all flows are missing",)

    def close(self) -> None:
        """Closes the file; says so if its end is missing."""
        if self._fd < 0:
            return
        self.flush()
        if self.failing:
            self._alarm(f"capture incomplete: {self.path}: the last {self._lost} octets of traffic are missing in it")
        os.close(self._fd)
        self._fd = -1

    def _failed(self, reason: str, octets: int, time: int) -> bool:
        self._lost += octets
        self._tried = time
        self._cut()
        if not self.failing:
            self.failing = True
            self._alarm(
                f"CAPTURE STOPPED: {self.path}: {reason}. Traffic goes on and is NOT being recorded. "
                "Make room on the disk: recording then resumes by itself, and the gap is marked."
            )
        return False

    def _resumed(self) -> None:
        self._alarm(f"capture resumed: {self.path}: {self._lost} octets of traffic are missing in it")
        self.failing = False
        self._lost = 0

    def _cut(self) -> bool:
        """Cuts off what a failed write left after the last whole block; False where even that fails."""
        try:
            if os.fstat(self._fd).st_size > self._end:
                os.ftruncate(self._fd, self._end)
        except OSError:
            return False
        return True

    def _begin(self, header: bytes) -> None:
        written = os.write(self._fd, header)
        if written != len(header):
            self._cut()
            raise CaptureError(f"{self.path}: cannot be written: the disk is full; make room or name another place")
        self._end += written

    def _mended(self) -> int:
        """The size of the file, after a torn tail was cut off."""
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            raise CaptureError(f"{self.path}: is not a regular file; name another place for the capture")
        self._lock()
        state = os.fstat(self._fd)
        with open(os.dup(self._fd), "rb", buffering=1 << 20) as stream:
            end = last_whole_block(stream, state.st_size, self.path)
        if end < state.st_size:
            os.ftruncate(self._fd, end)
            self._alarm(f"{self.path}: its end was torn, {state.st_size - end} octets were cut off; appending to it")
        for doubt in [*doubts(self._fd, self.path), *doubts_beside(self.path)]:
            self._alarm(doubt)
        return end

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CaptureError(f"{self.path}: another mailspy is writing to it; name another file") from error
        except OSError:
            return  # a file system without locks


def last_whole_block(stream: BinaryIO, size: int, path: str) -> int:
    """The offset after the last whole block of a pcapng file of `size` octets.

    Raises CaptureError where the file is none, or is damaged in a way that a torn write does not explain.
    """
    at = 0
    order = ""
    while at < size:
        stream.seek(at)
        head = stream.read(12)
        if head[:4] == _SECTION_KIND and len(head) == 12:
            order = _ORDERS.get(head[8:], "")
        length = _HEAD[order].unpack_from(head)[1] if order and len(head) >= 8 else 0
        whole = length >= pcapng.SMALLEST and length % 4 == 0 and at + length <= size
        if whole:
            stream.seek(at + length - 4)
            whole = stream.read(4) == head[4:8]
        if not whole:
            return _torn(stream, at, length, size, path)
        at += length
    return at


def _torn(stream: BinaryIO, at: int, length: int, size: int, path: str) -> int:
    """`at`, the end of the last whole block, if what follows is what a broken write leaves: too little, or zeros."""
    stream.seek(at)
    rest = stream.read(LONGEST_TEAR + 1)
    if at == 0 and not _SECTION_KIND.startswith(rest[:4]):
        raise CaptureError(f"{path}: exists and is not a pcapng file; name another file for the capture")
    written = len(rest.rstrip(b"\0"))
    impossible = length > LONGEST_TEAR or length % 4 or (len(rest) >= pcapng.SMALLEST and written >= length)
    if len(rest) > LONGEST_TEAR or (written and impossible):
        raise CaptureError(
            f"{path}: damaged at octet {at}, {size - at} octets before its end; nothing is appended to it: "
            "name another file for the capture"
        )
    return at


def _open(path: str) -> tuple[str, int]:
    try:
        if path.endswith("/") or os.path.isdir(path):
            os.close(open_folder(path, make=True))
            return _fresh(path)
        return path, open_file(path, _FLAGS)
    except OSError as error:
        raise CaptureError(f"{path}: the capture cannot be written there: {error.strerror}") from error


def _fresh(folder: str) -> tuple[str, int]:
    """A file that did not exist before, named after the time of the machine."""
    stem = os.path.join(folder, clock.strftime("mailspy-%Y%m%d-%H%M%S"))
    number = 1
    while True:
        path = f"{stem}.pcapng" if number == 1 else f"{stem}-{number}.pcapng"
        try:
            return path, open_file(path, _FLAGS | os.O_EXCL)
        except FileExistsError:
            number += 1
