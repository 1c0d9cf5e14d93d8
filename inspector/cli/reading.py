"""The captures of a command: which files, how they are read, and how far it is.

Knows the options of reading and the progress bar.  Must not know what the command does with what is read.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from inspector.capture.reader import Progress, Reading
from inspector.capture.source import STDIN, expanded
from inspector.errors import OptionError
from inspector.keylog import holds_keys

Values = dict[str, Any]

LONGEST_KEYLOG: Final = 256 << 20
"""Octets of a key log that are read: of a million sessions."""
LONG: Final = 0.5
"""Seconds after which a person wants to know how far it is."""


def files(values: Values, warn: Callable[[str], None]) -> list[str]:
    """The captures that are named, folders as what is in them.  Raises CaptureError, OptionError."""
    paths = expanded(values["files"], warn)
    if paths.count(STDIN) > 1:
        raise OptionError("-: standard input can be read once; leave the others out")
    if values.get("follow"):
        if len(paths) > 1:
            raise OptionError("--follow reads one file that grows: name one")
        if values.get("merge"):
            raise OptionError("--follow and --merge: leave one of the two out")
    if STDIN in paths and sys.stdin.isatty():
        raise OptionError("-: standard input is the keyboard; give a capture, as in `tcpdump -w - | mailspy replay -`")
    return paths


def keylog(values: Values) -> bytes:
    """The keys that the user has.  Raises OptionError."""
    path = values.get("keylog")
    if not path:
        return b""
    try:
        with open(path, "rb") as file:
            keys = file.read(LONGEST_KEYLOG)
    except OSError as error:
        raise OptionError(f"--keylog {path}: {error.strerror}") from error
    if keys and not holds_keys(keys):
        raise OptionError(f"--keylog {path}: no keys in it; expected the lines of an SSLKEYLOGFILE, such as CLIENT_RANDOM …")
    return keys


@contextmanager
def reading(values: Values, paths: list[str], screen: bool, idle: Callable[[], None] | None = None) -> Iterator[Reading]:
    """How captures are read.  `screen`: the command writes on the terminal meanwhile, so that no progress can be shown there."""
    how = Reading(bool(values.get("merge")), bool(values.get("checksums")), idle if values.get("follow") else None,
                  keylog=keylog(values))
    if screen or (idle is not None and values.get("follow")) or not sys.stderr.isatty():
        yield how
        return
    with _bar(paths) as tell:
        yield how._replace(progress=tell)


@contextmanager
def _bar(paths: list[str]) -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    size = sum(os.path.getsize(path) for path in paths if os.path.isfile(path)) or None
    bar = Bar(BarColumn(), DownloadColumn(), TransferSpeedColumn(), TextColumn("{task.fields[packets]:,} packets"),
              TimeRemainingColumn(), console=Console(stderr=True), transient=True)
    task = bar.add_task("", total=size, packets=0)
    due = time.monotonic() + LONG

    def tell(progress: Progress) -> None:
        bar.update(task, completed=progress.octets, packets=progress.packets)
        if not bar.live.is_started and time.monotonic() > due:
            bar.start()

    try:
        yield tell
    finally:
        if bar.live.is_started:
            bar.stop()


