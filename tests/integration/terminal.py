"""telnet at a terminal, typed into by a test."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Iterator

import pytest

from .servers import program


class Terminal:
    """What stands on the screen, and the keyboard."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._screen = b""
        self._read = 0

    def expect(self, text: bytes) -> None:
        """Waits until that text comes, behind all that was waited for before."""
        end = time.monotonic() + 15
        while (at := self._screen.find(text, self._read)) < 0:
            if time.monotonic() > end or not self._receive(0.2):
                pytest.fail(f"{text!r} never came; on the screen: {self._screen!r}")
        self._read = at + len(text)

    def type(self, line: str, answer: bytes) -> None:
        """Types a line, and waits for its answer."""
        os.write(self._descriptor, line.encode() + b"\n")
        self.expect(answer)

    def rest(self) -> bytes:
        """The whole screen, once the connection is closed."""
        end = time.monotonic() + 15
        while self._receive(0.2) and time.monotonic() < end:
            pass
        return self._screen

    def _receive(self, seconds: float) -> bool:
        """False when the program has gone."""
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self._descriptor, 65_536)
        except OSError:
            return False
        self._screen += data
        return bool(data)


@contextlib.contextmanager
def telnet(port: int) -> Iterator[Terminal]:
    """telnet, connected to that port, at a terminal that does not echo."""
    master, slave = pty.openpty()
    mode = termios.tcgetattr(slave)
    mode[1] &= ~termios.OPOST
    mode[3] &= ~(termios.ECHO | termios.ECHONL)
    termios.tcsetattr(slave, termios.TCSANOW, mode)
    process = subprocess.Popen([program("telnet", "telnet"), "127.0.0.1", str(port)], stdin=slave, stdout=slave,
                               stderr=slave, start_new_session=True)
    os.close(slave)
    try:
        yield Terminal(master)
    finally:
        process.kill()
        process.wait()
        os.close(master)
