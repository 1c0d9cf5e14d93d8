"""The JSON events of mailspy, as `replay --json` writes them (docs/reference/json.md).

Knows the record.  Must not know the events.
"""

from __future__ import annotations

from inspector.anomaly import Anomaly
from inspector.export.form import Form, Sheet
from inspector.lines import JsonRecord
from inspector.pdu import PDU, Finding, Flow
from inspector.query import Expression, Listener, sieve
from inspector.session import Session


class JsonLines(Form):
    """A line for each event; a filter keeps events, not sessions."""

    whole = False

    def __init__(self, path: str, expression: Expression | None, option: str = "jsonl") -> None:
        """Raises OptionError."""
        self._sheet = Sheet(path, option)
        self._record = JsonRecord(self._sheet.write)
        self._listener: Listener = sieve(expression, self._record, _nobody) if expression else self._record

    def flow_opened(self, flow: Flow) -> None:
        self._listener.flow_opened(flow)

    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        self._listener.pdu_seen(pdu, session)

    def anomaly_found(self, anomaly: Anomaly, session: Session) -> None:
        self._listener.anomaly_found(anomaly, session)

    def finding(self, finding: Finding, session: Session) -> None:
        self._listener.finding(finding, session)

    def flow_closed(self, flow: Flow, reason: str) -> None:
        self._listener.flow_closed(flow, reason)

    def finish(self) -> None:
        self._record.fill()
        self._sheet.finish()

    def abandon(self) -> None:
        self._sheet.abandon()


def _nobody(line: str) -> None:
    """Nobody is told."""
