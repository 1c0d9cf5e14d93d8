"""One session remembered: what a picture of it needs.

Rules.  Memory is bounded: of a long session the first and the last lines are kept, the others counted.

Knows events.  Must not know pictures.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from inspector.anomaly import Anomaly
from inspector.pdu import C2S, PDU, PEER, Finding, Flow, Kind
from inspector.session import Session
from inspector.text import sanitise

LINES: Final = 400
"""Lines of a session that are kept unless more are asked for."""
TEXT: Final = 400
"""Characters of a line."""


class Step(NamedTuple):
    """A line of the picture."""

    kind: str
    """`client` or `server`: what crossed; `note`: what was found; `left out`."""
    time: int
    phase: str
    text: str
    status: str = ""
    """Of a reply; of a note its severity."""
    size: int = 0
    bulk: bool = False
    """A content, or octets that are not read."""
    name: str = ""
    """Of a note: of the anomaly, or the event."""


class Record:
    """One session."""

    def __init__(self, flow: Flow, most: int = LINES) -> None:
        self.flow = flow
        self.reason = ""
        self.left_out = 0
        """Lines between the first and the last that are not kept."""
        self._first: list[Step] = []
        self._last: deque[Step] = deque(maxlen=max(1, most // 4))
        self._room = max(1, most - most // 4)
        self._phase = ""
        """Of the last PDU: a note stands beneath it."""
        self.messages: list[Finding] = []
        self.parts: list[Finding] = []
        self.anomalies: list[Anomaly] = []

    @property
    def steps(self) -> list[Step]:
        """The lines, with one that tells of those left out."""
        gap = [Step("left out", self._last[0].time, self._last[0].phase,
                    f"{self.left_out:,} lines left out")] if self.left_out and self._last else []
        return [*self._first, *gap, *self._last]

    def pdu_seen(self, pdu: PDU) -> None:
        """A PDU."""
        self._phase = pdu.phase
        bulk = pdu.kind in (Kind.BODY, Kind.OPAQUE)
        text = pdu.text[:TEXT] if pdu.origin is PEER else f"mailspy: {pdu.text[:TEXT]}"
        self._add(Step("client" if pdu.direction is C2S else "server", pdu.time, pdu.phase, text, pdu.status, pdu.size, bulk))

    def anomaly_found(self, anomaly: Anomaly, session: Session) -> None:
        """A deviation."""
        if len(self.anomalies) < LINES or anomaly.number > 1:
            self.anomalies.append(anomaly)
        self._add(Step("note", anomaly.time, self._phase or session.phase, sanitise(anomaly.detail)[:TEXT],
                       anomaly.severity.value, 0, False, anomaly.name))

    def finding(self, finding: Finding, session: Session) -> None:
        """What a plugin found; parts are told by their message."""
        kept = {"message": self.messages, "part": self.parts}.get(finding.event)
        if kept is not None and len(kept) < LINES:
            kept.append(finding)
        if finding.event != "part":
            self._add(Step("note", finding.time or session.time, self._phase or session.phase, sanitise(finding.summary)[:TEXT],
                           finding.severity, 0, False, sanitise(finding.event)))

    def _add(self, step: Step) -> None:
        if len(self._first) < self._room:
            self._first.append(step)
            return
        if len(self._last) == self._last.maxlen:
            self.left_out += 1
        self._last.append(step)
