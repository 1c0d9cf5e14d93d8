"""Ladders and the report as forms of export.

Knows records and files.  Must not know how a picture is made.
"""

from __future__ import annotations

import os
from typing import Final

from inspector.anomaly import Anomaly
from inspector.errors import OptionError
from inspector.export import ladder
from inspector.export.form import Form, Sheet
from inspector.export.page import page
from inspector.export.record import Record
from inspector.pdu import PDU, Finding, Flow
from inspector.session import Session
from inspector.survey.stats import Stats

SESSIONS: Final = 200
"""Sessions that are drawn unless more are asked for."""


class Recording(Form):
    """Remembers the sessions that are asked for, up to a number."""

    def __init__(self, sessions: int, lines: int) -> None:
        self._most = sessions
        self._lines = lines
        self._open: dict[int, Record] = {}
        self.records: list[Record] = []
        self.more = 0
        """Sessions past the number."""

    def flow_opened(self, flow: Flow) -> None:
        self._open[flow.number] = Record(flow, self._lines)

    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        self._open[session.flow.number].pdu_seen(pdu)

    def anomaly_found(self, anomaly: Anomaly, session: Session) -> None:
        self._open[session.flow.number].anomaly_found(anomaly, session)

    def finding(self, finding: Finding, session: Session) -> None:
        self._open[session.flow.number].finding(finding, session)

    def flow_closed(self, flow: Flow, reason: str) -> None:
        record = self._open.pop(flow.number)
        record.reason = reason
        if len(self.records) < self._most:
            self.records.append(record)
        else:
            self.more += 1

    def forget(self, flow: Flow) -> None:
        self._open.pop(flow.number, None)

    def sorted(self) -> list[Record]:
        """The records by the number of their flow."""
        return sorted(self.records, key=lambda record: record.flow.number)


class Ladders(Recording):
    """A picture of each session: one file, or one each in a folder."""

    def __init__(self, form: str, path: str, sessions: int = SESSIONS, lines: int = 400) -> None:
        """`form`: svg, html or mermaid.  Raises OptionError."""
        super().__init__(sessions, lines)
        self._form = form
        self._path = path
        self._sheet: Sheet | None = None
        self._folder = path.endswith("/") or os.path.isdir(path)
        if not self._folder:
            self._sheet = Sheet(path, "output")

    def finish(self) -> None:
        records = self.sorted()
        if self._form == "html":
            texts = {"ladders.html": page("Ladders", records, self.more)}
        else:
            draw = ladder.svg if self._form == "svg" else ladder.mermaid
            ending = {"svg": "svg", "mermaid": "mmd"}[self._form]
            texts = {f"flow-{record.flow.number}.{ending}": draw(record) for record in records}
        if self._sheet is None:
            for name, text in texts.items():
                sheet = Sheet(os.path.join(self._path, name), "output")
                sheet.write(text.encode())
                sheet.finish()
            return
        if len(texts) != 1:
            self._sheet.abandon()
            self._sheet = None
            raise OptionError(f"--ladder {self._form}: {len(texts) or 'no'} sessions to draw; name a folder by --output DIR/, or "
                              "choose one session by --filter 'flow == 1'; html has all in one page")
        self._sheet.write(next(iter(texts.values())).encode())
        self._sheet.finish()

    def abandon(self) -> None:
        if self._sheet is not None:
            self._sheet.abandon()


class Report(Recording):
    """A page about everything."""

    def __init__(self, path: str, sources: list[str], figures: bool, sessions: int = SESSIONS, lines: int = 400) -> None:
        """`figures`: with those of all sessions.  Raises OptionError."""
        super().__init__(sessions, lines)
        self._figures = figures
        self._sheet = Sheet(path, "output")
        self._sources = sources
        self._stats = Stats()

    def flow_opened(self, flow: Flow) -> None:
        super().flow_opened(flow)
        self._stats.flow_opened(flow)

    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        super().pdu_seen(pdu, session)
        self._stats.pdu_seen(pdu, session)

    def anomaly_found(self, anomaly: Anomaly, session: Session) -> None:
        super().anomaly_found(anomaly, session)
        self._stats.anomaly_found(anomaly, session)

    def finding(self, finding: Finding, session: Session) -> None:
        super().finding(finding, session)
        self._stats.finding(finding, session)

    def flow_closed(self, flow: Flow, reason: str) -> None:
        super().flow_closed(flow, reason)
        self._stats.flow_closed(flow, reason)

    def forget(self, flow: Flow) -> None:
        super().forget(flow)
        self._stats.flow_closed(flow, "")

    def finish(self) -> None:
        names = [os.path.basename(source) or source for source in self._sources]
        name = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if names[2:] else "")
        self._sheet.write(page(name, self.sorted(), self.more, self._stats.as_json() if self._figures else None).encode())
        self._sheet.finish()

    def abandon(self) -> None:
        self._sheet.abandon()
