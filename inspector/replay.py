"""Saved captures through the same pipeline as live traffic, at once or in time.

Knows capture files and the pipeline.  Must not know what the plugins make of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final, Protocol

from inspector.capture.reader import PLAINLY, Reading, read_batches
from inspector.segment import Event, Opened

if TYPE_CHECKING:
    from inspector.output import Outputs

class Taker(Protocol):
    """What events are played to: the pipeline, here or in other processes."""

    def take_all(self, events: Sequence[Event]) -> None:
        """Takes events in their order."""

    def finish(self) -> None:
        """Nothing more comes."""


LONGEST_PAUSE: Final = 60.0
"""Seconds that a replay in time waits at most between two events: nobody watches a night of silence."""


def replay(paths: Sequence[str], pipeline: Taker, speed: float, warn: Callable[[str], None],
           outputs: Outputs | None = None, how: Reading = PLAINLY) -> None:
    """Plays the captures one after the other, flow numbers going on.

    `speed` 0 plays at once; 1 in the time that it took, 2 in half of it.  Raises CaptureError for a file that cannot be
    read; what comes before the damage has been played by then.
    """
    batches: Iterable[Sequence[Event]] = read_batches(paths, warn, how=how)
    if speed > 0:
        batches = ([event] for event in _in_time(chain.from_iterable(batches), speed, outputs))
    try:
        for batch in batches:
            pipeline.take_all(batch)
            if outputs is not None and outputs.broken:
                return
    finally:
        pipeline.finish()
        if outputs is not None:
            outputs.flush()


def _in_time(events: Iterable[Event], speed: float, outputs: Outputs | None) -> Iterator[Event]:
    """The same events, each when its time has come."""
    before: int | None = None
    for event in events:
        when = event.flow.opened if isinstance(event, Opened) else event.time
        if before is not None and when > before:
            if outputs is not None:
                outputs.flush()
            time.sleep(min((when - before) / 1e6 / speed, LONGEST_PAUSE))
        before = when
        yield event
