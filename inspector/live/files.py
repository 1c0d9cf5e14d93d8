"""What is written while the proxy runs, looked at from time to time: files that others have moved away, standard output that
nobody reads any more.

Rules.  A file that is no longer at its path is begun anew there.  Without a reader the proxy goes on as long as a capture or a
log is written; else there is nothing to go on for.

Knows the capture, the outputs and relays.  Must not know sockets, nor how the run ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from inspector.capture.writer import CaptureWriter
    from inspector.live.relay import Relay
    from inspector.output import Outputs

LOOK: Final = 1.0
"""Seconds between two looks."""


class Files:
    """The capture and the outputs of a run."""

    def __init__(self, capture: CaptureWriter | None, outputs: Outputs | None, notice: Callable[[str], None]) -> None:
        self._capture = capture
        self._outputs = outputs
        self._notice = notice
        self._due = 0.0
        self._unheard = False

    def tick(self, seconds: float, relays: Iterable[Relay]) -> bool:
        """Hands on what was gathered, and looks whether it is time to; True, once, when there is nothing left to go on for."""
        if self._outputs is not None:
            self._outputs.flush()
        if seconds >= self._due:
            self._due = seconds + LOOK
            self.look(relays)
        return self._outputs is not None and self._outputs.broken and not self._unheard and self._nobody_reads()

    def look(self, relays: Iterable[Relay]) -> None:
        """Begins anew what others have moved away; open flows go on there."""
        if self._outputs is not None:
            self._outputs.watch()
        if self._capture is not None and self._capture.watch():
            for relay in relays:
                relay.rejoin()

    def _nobody_reads(self) -> bool:
        self._unheard = True
        written = [log.name for log in self._outputs.logs] if self._outputs is not None else []
        if self._capture is not None:
            written.insert(0, self._capture.path)
        self._notice("standard output: its reader has gone; " + (
            f"{' and '.join(written)} {'go' if written[1:] else 'goes'} on" if written else
            "nothing else is written, so mailspy ends as at Ctrl-C"))
        return not written
