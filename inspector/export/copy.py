"""A capture of what was read: sessions whole, in the clear, each packet with what mailspy makes of it as its comment.

Rules.  Secrets are masked at equal length unless they are wanted.  What was missing is missing again.

Knows inspectors and the capture writer.  Must not know where the events come from.
"""

from __future__ import annotations

from collections.abc import Sequence

from inspector.capture.writer import CaptureWriter
from inspector.export.form import Form
from inspector.pdu import C2S, S2C, Direction, Finding, Flow
from inspector.pipeline import Inspector
from inspector.segment import Words


class Wanted(Form):
    """The numbers of the sessions that are asked for."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()

    def flow_closed(self, flow: Flow, reason: str) -> None:
        self.numbers.add(flow.number)


class Copy:
    """What the pipeline tells of each flow as it takes it."""

    def __init__(self, writer: CaptureWriter, keep_secrets: bool, wanted: set[int] | None) -> None:
        """`wanted`: the numbers of the flows to copy; None for all."""
        self._writer = writer
        self._keep_secrets = keep_secrets
        self._wanted = wanted
        self.flows = 0

    def _wants(self, flow: Flow) -> bool:
        return self._wanted is None or flow.number in self._wanted

    def opened(self, flow: Flow) -> None:
        """A flow begins."""
        if self._wants(flow):
            self.flows += 1
            self._writer.open(flow)

    def segment(self, inspector: Inspector, client: bool, data: bytes, time: int) -> None:
        """A segment was read."""
        if self._wants(inspector.flow):
            shown = data if self._keep_secrets else inspector.masked(data) if client else inspector.heard(data)
            self._writer.segment(inspector.flow, C2S if client else S2C, shown, time, inspector.comments())

    def gap(self, flow: Flow, client: bool, size: int) -> None:
        """Octets are missing."""
        if self._wants(flow):
            self._writer.gap(flow, C2S if client else S2C, size)

    def noted(self, flow: Flow, findings: Sequence[Finding], secured: bool, time: int, words: Words) -> None:
        """What the live proxy has written down."""
        if self._wants(flow):
            self._writer.note(flow, findings, secured, time, words)

    def ended(self, flow: Flow, direction: Direction, time: int) -> None:
        """A direction is over."""
        if self._wants(flow):
            self._writer.end(flow, direction, time)

    def reset(self, flow: Flow, direction: Direction, time: int) -> None:
        """A side has aborted the connection."""
        if self._wants(flow):
            self._writer.reset(flow, direction, time)

    def forgotten(self, flow: Flow) -> None:
        """Nothing more comes of it."""
        if self._wants(flow):
            self._writer.forget(flow)
