"""`replay` with several processes.

Knows runs, workers and outputs.  Must not know what is written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from inspector import heap
from inspector.capture.blocks import Share
from inspector.capture.reader import Reading, Round, read_rounds
from inspector.capture.source import STDIN
from inspector.cli.reading import keylog, reading
from inspector.cli.start import Run, Setup
from inspector.console import Heads, Summary
from inspector.errors import OptionError
from inspector.jobs import Jobs, Streams
from inspector.output import Outputs
from inspector.pipeline import left_out
from inspector.timing import added, table


def replayed(setup: Setup, values: Mapping[str, Any], paths: list[str]) -> int:
    """The captures played by `--jobs` workers."""
    if values["speed"] > 0:
        raise OptionError("--speed and --jobs: leave one of the two out; what is played in time needs no haste")
    if values["follow"]:
        raise OptionError("--follow and --jobs: leave one of the two out; what grows is read as it comes")

    keys = keylog(dict(values))

    def make(streams: Streams) -> Run:
        heap.calm(heap.GARBAGE_OFFLINE)
        return Run(setup, values, streams=streams)

    def read(share: Share) -> Iterator[Round]:
        return read_rounds(paths, Reading(bool(values["merge"]), bool(values["checksums"]), keylog=keys, share=share))

    with closing(Jobs(make, values["jobs"], read, STDIN in paths)) as jobs:
        outputs = Outputs()
        try:
            if values["log"]:
                outputs.open(values["log"])
            screen = sys.stdout.isatty() and not (values["quiet"] and values["log"])
            with reading(dict(values), paths, screen) as how:
                jobs.write_all(outputs, lambda: Heads(values["filter"] is not None), how.progress)
            sum_up(jobs.counts, outputs)
        finally:
            outputs.close()
    return 0


def sum_up(counts: list[dict[str, Any]], outputs: Outputs) -> None:
    """What the workers counted, as one process says it."""
    if timing := added(count["timing"] for count in counts):
        outputs.stderr().write(table(timing).encode())
    summary = Summary()
    for count in counts:
        summary.flows += count["flows"]
        summary.pdus += count["pdus"]
        summary.findings += count["findings"]
        for severity, number in count["anomalies"].items():
            summary.anomalies[severity] = summary.anomalies.get(severity, 0) + number
    if others := sum(count["left_out"] for count in counts):
        outputs.notice(left_out(others))
    if summary.flows and not outputs.broken:
        outputs.notice(summary.line())
