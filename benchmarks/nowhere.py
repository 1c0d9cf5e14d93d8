"""A pipeline whose events are written as JSON to nowhere, and counted.

Knows how the program puts itself together.  Must not know what is read.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from kinds import Input

from inspector.capture.writer import CaptureWriter
from inspector.console import Console
from inspector.export.copy import Copy
from inspector.formats.tls import describe
from inspector.host import Hooks, Host
from inspector.limits import DEFAULT, Limits
from inspector.options import Options
from inspector.pdu import C2S, S2C, Address, Flow
from inspector.pipeline import BUILTIN_PROTOCOLS, Inspector, Pipeline
from inspector.protocols.pop3 import grammar as pop3
from inspector.protocols.smtp import grammar as smtp

CLIENT, SERVER = Address("192.0.2.1", 40_000), Address("192.0.2.2", 2_525)
MILLISECOND = 1_000


class Nowhere:
    """An output that counts octets."""

    def __init__(self) -> None:
        self.octets = 0
        self.fill: Any = lambda: None

    def write(self, data: bytes) -> None:
        """Takes whole lines."""
        self.octets += len(data)

    def stdout(self) -> Nowhere:
        """What the logger writes to."""
        return self


class Told(NamedTuple):
    """What came of one input."""

    pdus: int
    segments: int
    octets: int
    """Of JSON."""
    findings: int
    """Of plugins: messages, parts."""


class Reading:
    """The program as it reads a capture, with all bundled plugins."""

    def __init__(self, folder: str = "", capture: bool = False, limits: Limits = DEFAULT) -> None:
        """`folder`: where attachments are saved, if they are.  `capture`: what is read is also written, masked, to nowhere."""
        self.output = Nowhere()
        self._console = Console()
        host = Host(print)
        host.load_entry_points()
        options = {option.key: () if option.multiple and option.default is None else option.default for option in host.options()}
        host.configure(Options({**options, "attachments": folder or None, "json": True, "quiet": False, "log": None,
                                "outputs": self.output, "console": self._console, "sieve": None}))
        self.pipeline = Pipeline(Hooks(host, describe), BUILTIN_PROTOCOLS, limits, print)
        if capture:
            self.pipeline.copy = Copy(CaptureWriter("/dev/null", alarm=print), False, None)
        self._number = 0

    def read(self, given: Input, segment: int, wrap: type[bytes] = bytes) -> Told:
        """One session, its hostile octets in segments of that size, each made by `wrap`."""
        self._number += 1
        summary = self._console.summary
        pdus, findings = summary.pdus, summary.findings
        flow = Flow(self._number, CLIENT, SERVER, 1_000_000_000 + self._number * 1_000_000, given.protocol)
        inspector = self.pipeline.open(flow)
        time, segments = flow.opened, 0
        for client, data in given.before:
            inspector.feed(client, data, time)
        for at in range(0, len(given.octets), segment):
            piece = wrap(given.octets[at:at + segment])
            time += MILLISECOND
            segments += 1
            inspector.feed(given.sender, piece, time)
            if given.answer and (lines := piece.count(b"\n")):
                segments += 1
                inspector.feed(not given.sender, given.answer * lines, time)
        for client, data in given.after:
            inspector.feed(client, data, time + MILLISECOND)
        self._end(inspector, time + MILLISECOND)
        return Told(summary.pdus - pdus, segments + len(given.before) + len(given.after), self.output.octets,
                    summary.findings - findings)

    def _end(self, inspector: Inspector, time: int) -> None:
        inspector.end(C2S, time)
        inspector.end(S2C, time)
        self.output.fill()


def forget_nothing() -> None:
    """Fills what is remembered of lines: a peer who wants to can do so first."""
    for number in range(max(smtp.READINGS, pop3.READINGS) + 1):
        for table in (smtp, pop3):
            table.command_line(b"X%d\r\n" % number, 8)
            table.reply_line(b"299 %d\r\n" % number, 12)


@contextmanager
def attachments(wanted: bool) -> Iterator[str]:
    """A folder for attachments that is gone afterwards; an empty name where none is wanted."""
    folder = tempfile.mkdtemp() if wanted else ""
    try:
        yield folder
    finally:
        if folder:
            shutil.rmtree(folder)
