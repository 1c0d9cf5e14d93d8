"""Where lines for people and programs go: standard output, standard error, log files.

Rules.  Writers hand over whole lines.  Live, a reader that does not read (Ctrl-S, a full pipe) never stops the traffic:
a thread writes, a bounded queue waits, and past its bound lines are dropped, counted and told.  Offline there is no
traffic to hold up, so writing waits for the reader and nothing is dropped.  A reader that has gone, or a full disk, is
never an exception.

Knows descriptors.  Must not know what is written on them.
"""

from __future__ import annotations

import errno
import os
import select
import stat
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from inspector.errors import OptionError
from inspector.place import doubts, doubts_beside, fate, open_file, open_folder
from inspector.text import sanitise

BLOCK: Final = 65_536
"""Octets gathered before they are written; a pipe of Linux holds as many."""
QUEUE: Final = 8 * 1024 * 1024
"""Octets that wait for a reader, live: some 40,000 lines.  Past it lines are dropped and counted."""
PATIENCE: Final = 2.0
"""Seconds that the end of the program waits for a reader that does not read."""

Alarm = Callable[[str], None]
"""Takes one line for the person who runs the program."""


class Device(Protocol):
    """What takes the blocks of an output."""

    @property
    def broken(self) -> bool:
        """Nobody reads any more."""

    def send(self, block: bytes) -> None:
        """Takes whole lines; never raises for what the other side does."""

    def close(self) -> bool:
        """Sends what is left; False when some of it still waits for its reader."""


class Direct:
    """Writes at once: regular files always, everything when there is no traffic to hold up."""

    def __init__(self, descriptor: int, name: str, alarm: Alarm) -> None:
        self.broken = False
        self.lost = 0
        """Lines that there was no room for."""
        self.written = 0
        """Octets."""
        self._descriptor = descriptor
        self._name = name
        self._alarm = alarm
        self._tail = b""
        """The rest of a line that was torn when the disk became full."""

    def send(self, block: bytes) -> None:
        """Writes a block whole, or counts the lines that did not fit."""
        if self.broken:
            return
        pending, self._tail = self._tail, b""
        data = pending + block
        try:
            rest = write_all(self._descriptor, data)
        except OSError as error:
            self.broken = True
            self._alarm(f"{self._name}: {error.strerror}; nothing more is written there")
            return
        if rest is None:
            self.broken = True
            return
        written = len(data) - len(rest)
        self.written += written
        if rest:
            self._no_room(rest, data[written - 1:written] != b"\n" if written else bool(pending))

    def _no_room(self, rest: bytes, torn: bool) -> None:
        """Keeps the rest of a line that was begun, so that the file has whole lines when there is room again."""
        if torn:
            self._tail = rest[:rest.find(b"\n") + 1]
        if not self.lost:
            self._alarm(f"{self._name}: no room: lines are lost until there is some; the traffic goes on")
        self.lost += rest.count(b"\n", len(self._tail))

    def renew(self) -> None:
        """Another file has come in the place of the descriptor's."""
        self.broken, self._tail = False, b""

    def close(self) -> bool:
        """Completes a torn line, if there is room again; says what was lost."""
        if self._tail:
            self.send(b"")
        if self.lost:
            self._alarm(f"{self._name}: {self.lost} lines were lost for want of room")
        return True


class Background:
    """Writes in a thread of its own: pipes and terminals, live."""

    def __init__(self, descriptor: int, name: str, alarm: Alarm, bound: int = QUEUE) -> None:
        self.dropped = 0
        """Lines dropped because nobody read."""
        self._device = Direct(descriptor, name, alarm)
        self._name = name
        self._alarm = alarm
        self._bound = bound
        self._blocks: deque[bytes] = deque()
        self._waiting = 0
        self._closing = False
        self._change = threading.Condition()
        self._worker: threading.Thread | None = None

    @property
    def broken(self) -> bool:
        """Nobody reads any more."""
        return self._device.broken

    def send(self, block: bytes) -> None:
        """Queues a block, or drops its lines when the queue is full."""
        if self._device.broken:
            return
        if self._waiting + len(block) > self._bound:
            if not self.dropped:
                self._alarm(f"{self._name}: its reader does not read; lines are dropped until it does, the traffic "
                            "goes on")
            self.dropped += block.count(b"\n")
            return
        with self._change:
            self._blocks.append(block)
            self._waiting += len(block)
            self._change.notify()
        if self._worker is None:
            self._worker = threading.Thread(target=self._work, name=f"write {self._name}", daemon=True)
            self._worker.start()

    def _work(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._blocks or self._closing)
                if not self._blocks:
                    return
                block = self._blocks.popleft()
            self._device.send(block)
            with self._change:
                self._waiting -= len(block)

    def close(self) -> bool:
        """Waits for the reader, but no longer than `PATIENCE`; says what was dropped."""
        with self._change:
            self._closing = True
            self._change.notify()
        if self._worker is not None:
            self._worker.join(PATIENCE)
        stuck = self._worker is not None and self._worker.is_alive()
        if stuck:
            self.dropped += sum(block.count(b"\n") for block in list(self._blocks))
        if self.dropped:
            self._alarm(f"{self._name}: {self.dropped} lines were dropped: the reader did not read them in time")
        return not stuck


def write_all(descriptor: int, data: bytes) -> bytes | None:
    """Writes `data`; returns what there was no room for, or None when nobody reads.  Raises OSError otherwise."""
    view = memoryview(data)
    while view:
        try:
            written = os.write(descriptor, view)
            view = view[written:]
        except BlockingIOError:
            select.select([], [descriptor], [])
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.EBADF):
                return None
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                return bytes(view)
            raise
    return b""


class Output:
    """One place that lines are written to; gathers them into blocks."""

    __slots__ = ("_buffer", "_device", "descriptor", "fill", "name")

    def __init__(self, descriptor: int, name: str, device: Device) -> None:
        self.descriptor = descriptor
        self.name = name
        self._device = device
        self._buffer = bytearray()
        self.fill: Callable[[], None] | None = None
        """Called before what was gathered is handed on: a writer that holds events back writes their lines now."""

    @property
    def terminal(self) -> bool:
        """Whether a person looks at it."""
        try:
            return os.isatty(self.descriptor)
        except OSError:
            return False

    @property
    def broken(self) -> bool:
        """Nobody reads any more: what is written is thrown away."""
        return self._device.broken

    def write(self, lines: bytes) -> None:
        """Takes whole lines, with their ends."""
        buffer = self._buffer
        buffer += lines
        if len(buffer) >= BLOCK:
            self._send()

    def flush(self) -> None:
        """Hands on what was gathered."""
        if self.fill is not None:
            self.fill()
        self._send()

    def _send(self) -> None:
        if self._buffer:
            block = bytes(self._buffer)
            self._buffer.clear()
            self._device.send(block)

    def close(self) -> bool:
        """Writes everything that is left; False when its descriptor is still being written to."""
        self.flush()
        return self._device.close()


class LogFile(Output):
    """A regular file that others may move away, remove or empty while it is written."""

    __slots__ = ("_alarm", "_before", "_direct", "_trouble")

    def __init__(self, descriptor: int, path: str, alarm: Alarm) -> None:
        self._direct = Direct(descriptor, path, alarm)
        super().__init__(descriptor, path, self._direct)
        self._alarm = alarm
        self._before = os.fstat(descriptor).st_size
        """Octets in the file that are not ours; less than none of them were taken away."""
        self._trouble = ""

    def watch(self) -> None:
        """Begins the file anew at its path where it is no longer there.  Call it from time to time."""
        self.flush()
        if lost := fate(self.name, self.descriptor):
            self._begin(lost)
        elif (others := os.fstat(self.descriptor).st_size - self._direct.written) < self._before:
            self._before = others
            self._alarm(f"{self.name}: was emptied; lines go on in it")

    def _begin(self, lost: str) -> None:
        try:
            os.close(open_folder(os.path.dirname(self.name) or os.curdir, make=True))
            descriptor = open_private(self.name)
        except (OptionError, OSError) as error:
            if self._trouble != str(error):
                self._trouble = str(error)
                self._alarm(f"{self.name}: {lost}, and cannot be begun anew: {error}; until it can, lines go where the open file "
                            "is; it is tried again every second")
            return
        os.dup2(descriptor, self.descriptor, inheritable=False)
        os.close(descriptor)
        self._direct.renew()
        self._before, self._trouble = os.fstat(self.descriptor).st_size - self._direct.written, ""
        self._alarm(f"{self.name}: {lost}; begun anew")


class Outputs:
    """All outputs of a run."""

    def __init__(self, live: bool = False) -> None:
        """`live`: there is traffic that no reader may hold up."""
        self._live = live
        self._outputs: dict[str, Output] = {}
        self._main: Output | None = None
        self._speaking = threading.Lock()

    @property
    def broken(self) -> bool:
        """Nobody reads standard output any more."""
        return self._main is not None and self._main.broken

    @property
    def logs(self) -> list[LogFile]:
        """Files that are still being written."""
        return [output for output in self._outputs.values() if isinstance(output, LogFile) and not output.broken]

    def watch(self) -> None:
        """Begins files anew that others have moved away or removed."""
        for output in list(self._outputs.values()):
            if isinstance(output, LogFile):
                output.watch()

    def stdout(self) -> Output:
        """Standard output."""
        if self._main is None:
            self._main = self._standard(1, "standard output", self.notice)
        return self._main

    def stderr(self) -> Output:
        """Standard error, for people."""
        return self._standard(2, "standard error", lambda line: None)

    def _standard(self, descriptor: int, name: str, alarm: Alarm) -> Output:
        if name not in self._outputs:
            self._outputs[name] = self._output(descriptor, name, alarm)
        return self._outputs[name]

    def open(self, path: str) -> Output:
        """A file that lines are added to; made readable by its owner alone.  Raises OptionError.

        The same path twice is the same output.
        """
        key = f"file {path}"
        if key not in self._outputs:
            descriptor = open_private(path)
            for doubt in [*doubts(descriptor, path), *doubts_beside(path)]:
                self.notice(doubt)
            self._outputs[key] = (LogFile(descriptor, path, self.notice) if stat.S_ISREG(os.fstat(descriptor).st_mode) else
                                  self._output(descriptor, path, self.notice))
        return self._outputs[key]

    def _output(self, descriptor: int, name: str, alarm: Alarm) -> Output:
        waits = self._live and not regular(descriptor)
        return Output(descriptor, name, (Background if waits else Direct)(descriptor, name, alarm))

    def notice(self, line: str) -> None:
        """Tells the person who runs the program something, on standard error, at once."""
        with self._speaking:
            output = self.stderr()
            output.write(f"mailspy: {sanitise(line)}\n".encode())
            output.flush()

    def flush(self) -> None:
        """Hands on everything that was gathered."""
        for output in self._outputs.values():
            output.flush()

    def close(self) -> None:
        """Writes everything, files first and what is for people last, and closes the files."""
        for output in sorted(self._outputs.values(), key=lambda output: -output.descriptor):
            if output.descriptor != 2 and output.close() and output.descriptor > 2:
                os.close(output.descriptor)
        self.stderr().close()
        self._outputs.clear()
        self._main = None


def regular(descriptor: int) -> bool:
    """Whether it is a regular file, which never keeps its writer waiting; so does a descriptor that is closed."""
    try:
        return stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        return True


def open_private(path: str) -> int:
    """A descriptor to append to a file, made with mode 0600.  Raises OptionError, saying the way out."""
    try:
        descriptor = open_file(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK)
    except OSError as error:
        raise OptionError(f"{path}: cannot be written: {_REASONS.get(error.errno or 0, error.strerror)}") from error
    os.set_blocking(descriptor, True)
    return descriptor


_REASONS: Final = {
    errno.ENOENT: "its folder does not exist",
    errno.EISDIR: "it is a folder; name a file in it",
    errno.ENXIO: "it is a named pipe that nobody reads; start its reader first",
}
