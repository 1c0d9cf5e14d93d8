"""`replay` on a cluster of others: a task for each capture, on the workers of an existing Dask scheduler.

Rules.  The output is that of one process, file after file in the order given: a first round of tasks counts the connections of
each capture, so that every flow has its number.  A task whose worker dies is done again by another; nothing is written before
its task is done.  The workers read the captures under the names given: they must see them.

Knows Dask and runs.  Must not know what is written.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, Final, NamedTuple

from inspector.capture.reader import Reading, read_batches
from inspector.cli.parallel import sum_up
from inspector.cli.start import Run, Setup, prepare
from inspector.console import Heads, resolved
from inspector.errors import CaptureError, MailspyError, OptionError
from inspector.jobs import MAIN, NOTICES, Line, Streams
from inspector.output import Outputs
from inspector.segment import Opened

SCHEME: Final = "dask://"
PATIENCE: Final = 15
"""Seconds to reach the scheduler."""
RETRIES: Final = 5
"""How often a task is tried again."""

_alone = threading.Lock()
"""Plugins are objects of the process: a worker with several threads does one task after the other."""


class Outcome(NamedTuple):
    """What comes of one capture."""

    lines: list[Line]
    counts: dict[str, Any]
    flaw: str
    """What is wrong with the capture; empty when nothing is."""
    damaged: bool


def replayed(setup: Setup, values: Mapping[str, Any], paths: list[str]) -> int:
    """The captures played by the workers of a cluster.  Raises OptionError, CaptureError."""
    _check(values, paths)
    plain = {name: value for name, value in values.items() if isinstance(value, str | int | float | tuple | type(None))}
    outputs = Outputs()
    try:
        if values["log"]:
            outputs.open(values["log"])
        with _client(values["engine"]) as client:
            flaws = _play(client, plain, paths, outputs)
    finally:
        outputs.close()
    if flaws:
        raise flaws[-1]
    return 0


def _check(values: Mapping[str, Any], paths: Sequence[str]) -> None:
    address = values["engine"]
    if not address.startswith(SCHEME) or ":" not in address[len(SCHEME):]:
        raise OptionError(f"--engine {address}: expected dask://HOST:PORT, where the scheduler listens")
    for name in ("follow", "merge"):
        if values[name]:
            raise OptionError(f"--engine and --{name}: leave one of the two out; the cluster reads file by file")
    if values["plugin_timing"]:
        raise OptionError("--plugin-timing and --engine: leave one of the two out; what hooks cost is measured on this machine")
    if values["speed"] > 0 or values["jobs"] > 1 or "-" in paths:
        raise OptionError("--engine reads files, at once, on the cluster: leave out --speed, --jobs and -")


@contextmanager
def _client(address: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError as error:
        raise OptionError("--engine needs Dask: pip install 'mailspy[dist]'") from error
    try:
        client: Any = Client(f"tcp://{address[len(SCHEME):]}", timeout=PATIENCE, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        raise OptionError(f"--engine {address}: no scheduler answers there: {error}") from error
    with client:
        yield client


def _play(client: Any, values: dict[str, Any], paths: list[str], outputs: Outputs) -> list[CaptureError]:
    """Runs the tasks; writes what comes of them in the order of the files."""
    counts = client.gather(client.map(connections, paths, [values["checksums"]] * len(paths), pure=False, retries=RETRIES))
    numbers = [1, *(1 + total for total in accumulate(counts))]
    futures = [client.submit(inspect, values, path, number, pure=False, retries=RETRIES)
               for path, number in zip(paths, numbers, strict=False)]
    heads: dict[str, Heads] = {}
    told: list[dict[str, Any]] = []
    flaws: list[CaptureError] = []
    for place, future in enumerate(futures):
        try:
            outcome = Outcome(*future.result())
        except MailspyError:
            raise
        except Exception as error:
            raise MailspyError(f"{paths[place]}: the cluster could not do it: {type(error).__name__}: {error}") from error
        futures[place] = None
        _write(outcome.lines, outputs, heads, values["filter"] is not None)
        told.append(outcome.counts)
        if outcome.flaw:
            flaws.append(CaptureError(outcome.flaw))
            flaws[-1].damaged = outcome.damaged
    for flaw in flaws[:-1]:
        outputs.notice(f"error: {flaw}")
    sum_up(told, outputs)
    return flaws


def _write(lines: Sequence[Line], outputs: Outputs, heads: dict[str, Heads], filtered: bool) -> None:
    for _, stream, text in lines:
        if stream == NOTICES:
            for line in text.decode().splitlines():
                outputs.notice(line)
            continue
        output = outputs.stdout() if stream == MAIN else outputs.open(stream)
        output.write(resolved(text, heads.setdefault(stream, Heads(filtered))))


# What runs on a worker


def connections(path: str, checksums: bool) -> int:
    """How many connections a capture has, as far as it can be read."""
    count = 0
    try:
        for batch in read_batches([path], _nobody, how=Reading(checksums=checksums)):
            count += sum(isinstance(event, Opened) for event in batch)
    except CaptureError:
        pass
    return count


def inspect(values: dict[str, Any], path: str, number: int) -> tuple[Any, ...]:
    """All that a run writes about one capture whose first flow has that number."""
    early = [part for name in ("plugin", "disable", "config") for one in _several(values.get(name))
             for part in (f"--{name}", one)]
    streams = Streams()
    flaw, damaged = "", False
    with _alone:
        run = Run(prepare(early, warn=streams.notice), values, streams=streams)
        try:
            for batch in read_batches([path], streams.notice, number, Reading(checksums=values["checksums"])):
                run.pipeline.take_all(batch)
                streams.mark(0)
        except CaptureError as error:
            flaw, damaged = str(error), error.damaged
        run.pipeline.finish()
        streams.mark(0)
        return tuple(Outcome(streams.lines, {**run.counts(), "left_out": 0}, flaw, damaged))


def _several(value: Any) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,) if value else ()


def _nobody(line: str) -> None:
    """It is told when the capture is inspected."""
