"""Files that hold files: winmail.dat (TNEF), opened in a process of its own when the user asks for it (`--open-tnef`).

The process begins when the container has crossed, and is asked for its result when the flow is over, so that what is told
stands at the same place live and in replay.  It reads a descriptor and writes into a file without a name; its time and memory
are bounded.  One that does not end is killed; after three of these, or of crashes, nothing is opened any more.

Knows processes and their output.  Must not know TNEF (`unwrap`) or how files are saved.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from inspector import OptionError, Part
from mailspy_attachments.folder import Folder
from mailspy_attachments.limits import BUFFER, CONTAINED, HEAD, PATIENCE, RUNNING, WAITING

SIGNATURE: Final = b"\x78\x9f\x3e\x22"
"""How a winmail.dat begins ([MS-OXTNEF] 2.1.3.1)."""
STRIKES: Final = 3
"""Processes that did not end by themselves, after which no more are begun."""
_UNWRAP: Final = str(Path(__file__).with_name("unwrap.py"))


class Container:
    """One that is being opened, or waits for it."""

    __slots__ = ("_output", "_process", "input", "part", "pdus")

    def __init__(self, part: Part, descriptor: int, pdus: list[int]) -> None:
        self.part = part
        self.pdus = pdus
        """Numbers of the PDUs in which it crossed, known when they are complete."""
        self.input = descriptor
        self._process: subprocess.Popen[bytes] | None = None
        self._output = -1

    def begin(self, output: int, most: int) -> None:
        """Begins the process, which writes into `output`.  Raises OSError."""
        self._output = output
        self._process = subprocess.Popen([sys.executable, "-I", _UNWRAP, str(most)], stdin=self.input, stdout=output,
                                         stderr=subprocess.DEVNULL)

    @property
    def begun(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    @property
    def running(self) -> bool:
        """Whether it is at work."""
        return self._process is not None and self._process.poll() is None

    def wait(self) -> bool:
        """Waits for the end, and kills what does not come to one; whether it ended by itself."""
        if self._process is None:
            return True
        try:
            return self._process.wait(PATIENCE) >= 0
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False

    def result(self) -> BinaryIO:
        """What was written; the caller closes it."""
        os.close(self.input)
        if self._output < 0:
            return BytesIO()
        os.lseek(self._output, 0, os.SEEK_SET)
        return os.fdopen(self._output, "rb")


class Contained(NamedTuple):
    """A file in a container; or, without a name, why the container could not be opened, or not whole."""

    container: Container
    name: str
    size: int = 0
    pieces: Iterator[bytes] = iter(())
    """The octets, to be taken before the next file; fewer than `size` when something went wrong."""
    trouble: str = ""


class Opener:
    """Opens containers.  Raises OptionError when the library is missing."""

    __slots__ = ("_flows", "_folder", "_strikes")

    def __init__(self, folder: Folder) -> None:
        if find_spec("tnefparse") is None:
            raise OptionError("--open-tnef: the package tnefparse is missing; pip install tnefparse")
        self._folder = folder
        self._flows: dict[int, list[Container]] = {}
        self._strikes = 0

    def take(self, part: Part, descriptor: int, pdus: list[int]) -> str:
        """Opens a container, to be read from the descriptor, which is the opener's from now on.

        Returns why it is not opened; nothing when it is.
        """
        waiting = sum(len(containers) for containers in self._flows.values())
        if self._strikes >= STRIKES or waiting >= WAITING:
            os.close(descriptor)
            return "too many at a time" if waiting >= WAITING else f"{STRIKES} before it did not come to an end"
        container = Container(part, descriptor, pdus)
        self._flows.setdefault(part.message.session.flow.number, []).append(container)
        if sum(one.running for containers in self._flows.values() for one in containers) < RUNNING:
            self._begin(container)
        return ""

    def _begin(self, container: Container) -> None:
        try:
            name, output = self._folder.temporary()
            self._folder.remove(name)
            container.begin(output, self._folder.quotas.file)
        except OSError:
            return

    def results(self, flow: int) -> Iterator[Contained]:
        """The files in all containers of a flow."""
        for container in self._flows.pop(flow, ()):
            if not container.begun:
                self._begin(container)
            ended = container.wait()
            self._strikes += not ended
            trouble = "it is damaged, or too large" if ended else "it took too long, or crashed"
            with container.result() as output:
                if not (yield from _files(container, output)):
                    yield Contained(container, "", trouble=trouble)


def _files(container: Container, output: BinaryIO) -> Generator[Contained, None, bool]:
    """The files that a process has written; whether they are all."""
    for _ in range(CONTAINED):
        head = _head(output)
        name, size = head.get("name"), head.get("size")
        if not isinstance(name, str) or not isinstance(size, int):
            return head.get("end") is True
        yield Contained(container, name or "unnamed", size, _pieces(output, size))
    return False


def _head(output: BinaryIO) -> dict[str, object]:
    """The line before a file; nothing for what is none."""
    try:
        head = json.loads(output.readline(HEAD))
    except ValueError:
        return {}
    return head if isinstance(head, dict) else {}


def _pieces(output: BinaryIO, size: int) -> Iterator[bytes]:
    """The octets of a file."""
    while size > 0 and (piece := output.read(min(size, BUFFER))):
        size -= len(piece)
        yield piece
