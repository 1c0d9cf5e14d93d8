"""Writes down what crosses: the annotated view for people, JSON lines for programs.

Rules.  Standard output has one of the two, alone; a log file has the one that its name asks for.  The JSON is a
contract (docs/json): names, order and meaning of the members stay.  Every text from the wire is sanitised; secrets are
masked before they come here.

Knows events and their two forms.  Must not know protocols, descriptors or how text is styled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from inspector import PDU, Anomaly, Finding, Flow, JsonRecord, Options, Session, Severity, hookimpl

JSON_NAMES: Final = (".json", ".jsonl", ".ndjson")
"""How the name of a log file ends that gets JSON lines."""
QUIET: Final = frozenset({Severity.INFO, Severity.LOW})
"""Anomalies that --quiet leaves out."""


class Record(Protocol):
    """One form of the events, going to one place."""

    def flow_opened(self, flow: Flow) -> None:
        """Writes that a flow begins."""

    def flow_closed(self, flow: Flow, reason: str) -> None:
        """Writes that a flow is over."""

    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        """Writes a PDU."""

    def anomaly_found(self, anomaly: Anomaly, session: Session) -> None:
        """Writes a deviation."""

    def finding(self, finding: Finding, session: Session) -> None:
        """Writes what a plugin found."""


class ViewRecord:
    """The annotated view."""

    def __init__(self, write: Callable[[bytes], None], view: Any) -> None:
        """`view` makes lines of events: what `options.console.view` returns."""
        self._write = write
        self._view = view
        self._line: Callable[[PDU, Session], str] = view.pdu

    def flow_opened(self, flow: Flow) -> None:
        """Writes that a flow begins."""
        self._write(self._view.flow_opened(flow).encode())

    def flow_closed(self, flow: Flow, reason: str) -> None:
        """Writes that a flow is over."""
        self._write(self._view.flow_closed(flow, reason).encode())

    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        """Writes a PDU."""
        self._write(self._line(pdu, session).encode())

    def anomaly_found(self, anomaly: Anomaly, session: Session) -> None:
        """Writes a deviation."""
        self._write(self._view.anomaly(anomaly, session).encode())

    def finding(self, finding: Finding, session: Session) -> None:
        """Writes what a plugin found."""
        self._write(self._view.finding(finding, session).encode())


class Quiet:
    """Of another record, only what matters: anomalies of medium severity and above, and findings."""

    def __init__(self, record: Record) -> None:
        self.finding = record.finding
        self._anomaly_found = record.anomaly_found

    def flow_opened(self, flow: Flow) -> None:
        """Nothing."""

    def flow_closed(self, flow: Flow, reason: str) -> None:
        """Nothing."""

    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        """Nothing."""

    def anomaly_found(self, anomaly: Anomaly, session: Session) -> None:
        """Writes a deviation that matters."""
        if anomaly.severity not in QUIET:
            self._anomaly_found(anomaly, session)


class LoggerPlugin:
    """The hooks; tells every record, and counts for the summary."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._tell_pdu: tuple[Callable[[PDU, Session], None], ...] = ()
        self._summary: Any = None

    @hookimpl
    def configure(self, options: Options) -> None:
        """Opens what is written to.  Raises OptionError when a log file cannot be opened."""
        self._summary = options.console.summary
        screen = make_record(options, options.outputs.stdout(), options.json)
        self._records = [Quiet(screen) if options.quiet else screen]
        if options.log:
            log = options.outputs.open(options.log)
            self._records.append(make_record(options, log, options.log.endswith(JSON_NAMES)))
        sieve = options.get("sieve")
        if sieve is not None:
            self._records = [sieve(record) for record in self._records]
        self._tell_pdu = tuple(record.pdu_seen for record in self._records if not isinstance(record, Quiet))

    @hookimpl(tryfirst=True)
    def flow_opened(self, flow: Flow) -> None:
        """Tells that a flow begins."""
        self._summary.flows += 1
        for record in self._records:
            record.flow_opened(flow)

    @hookimpl
    def flow_closed(self, flow: Flow, reason: str) -> None:
        """Tells that a flow is over."""
        for record in self._records:
            record.flow_closed(flow, reason)

    @hookimpl(tryfirst=True)
    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        """Tells a PDU: called for every line that crosses, so nothing else is done here."""
        self._summary.pdus += 1
        for tell in self._tell_pdu:
            tell(pdu, session)

    @hookimpl(tryfirst=True)
    def anomaly_found(self, anomaly: Anomaly, session: Session) -> None:
        """Tells a deviation."""
        counts = self._summary.anomalies
        counts[anomaly.severity.value] = counts.get(anomaly.severity.value, 0) + anomaly.number
        for record in self._records:
            record.anomaly_found(anomaly, session)

    @hookimpl(tryfirst=True)
    def finding(self, finding: Finding, session: Session) -> None:
        """Tells what a plugin found."""
        self._summary.findings += 1
        for record in self._records:
            record.finding(finding, session)


def make_record(options: Options, output: Any, json: bool) -> Record:
    """The record of one form for one output."""
    if not json:
        return ViewRecord(output.write, options.console.view(output))
    record = JsonRecord(output.write)
    output.fill = record.fill
    return record


plugin = LoggerPlugin
