"""The plugin of `mailspy export`: tells every form what crosses, and which sessions a filter asks for.

Rules.  What goes wrong in a form is kept as `trouble` for the command to raise, since hooks contain exceptions.

Knows hooks, forms and filters.  Must not know what a form writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from inspector.anomaly import Anomaly
from inspector.export.form import Form
from inspector.hookspecs import hookimpl
from inspector.pdu import PDU, Finding, Flow, Message
from inspector.query.account import Account
from inspector.query.fields import ANOMALY, CLOSED, OPENED, PDUS
from inspector.query.question import Question, State, kind_of
from inspector.session import Session

HEAD: Final = 65_536
"""Octets of the header of a message that are kept."""


class Exporter:
    """The plugin."""

    def __init__(self, forms: Sequence[Form], question: Question | None) -> None:
        self._forms = forms
        self._question = question
        self._open: dict[int, tuple[State, Account]] = {}
        self._heads: dict[Message, tuple[_Head, Session]] = {}
        self.trouble: Exception | None = None
        """What went wrong on our side."""
        self.flows = 0
        """Sessions that were exported."""

    @hookimpl
    def flow_opened(self, flow: Flow) -> None:
        """Tells the forms."""
        if self._question is not None:
            self._open[flow.number] = self._question.begin(), Account(flow)
        self._ask(OPENED, flow, flow, None)
        self._tell(lambda form: form.flow_opened(flow))

    @hookimpl
    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        """Tells the forms."""
        self._ask(PDUS, session.flow, pdu, session)
        self._tell(lambda form: form.pdu_seen(pdu, session))

    @hookimpl
    def anomaly_found(self, anomaly: Anomaly, session: Session) -> None:
        """Tells the forms."""
        self._ask(ANOMALY, session.flow, anomaly, session)
        self._tell(lambda form: form.anomaly_found(anomaly, session))

    @hookimpl
    def open_message(self, message: Message, session: Session) -> _Head | None:
        """Keeps the header for the forms that want it."""
        if not any(form.heads for form in self._forms):
            return None
        head = _Head()
        self._heads[message] = head, session
        return head

    @hookimpl
    def finding(self, finding: Finding, session: Session) -> None:
        """Tells the forms; of a message, its header first."""
        message = session.message
        if finding.event == "message" and message is not None and (kept := self._heads.pop(message, None)):
            self._tell(lambda form: form.message(message, kept[0].header(), session))
        self._ask(kind_of(finding.event), session.flow, finding, session)
        self._tell(lambda form: form.finding(finding, session))

    @hookimpl
    def flow_closed(self, flow: Flow, reason: str) -> None:
        """Tells the forms, or makes them forget what a filter leaves out."""
        for message in [message for message, (_, session) in self._heads.items() if session.flow is flow]:
            del self._heads[message]
        self._ask(CLOSED, flow, flow, None)
        asked = self._asked(flow, reason)
        self.flows += asked
        self._tell(lambda form: form.flow_closed(flow, reason) if asked or not form.whole else form.forget(flow))

    def _ask(self, kind: str, flow: Flow, subject: Any, session: Session | None) -> None:
        known = self._open.get(flow.number)
        if known is None or self._question is None:
            return
        state, account = known
        self._question.tell(state, kind, subject, session)
        if session is not None:
            tell: Callable[[Any, Session], None] = (
                account.pdu_seen if kind == PDUS else account.anomaly_found if kind == ANOMALY else account.finding)
            tell(subject, session)

    def _asked(self, flow: Flow, reason: str) -> bool:
        if self._question is None:
            return True
        state, account = self._open.pop(flow.number)
        account.flow_closed(flow, reason)
        self._question.end(state, account)
        return bool(self._question.truth(state))

    def _tell(self, tell: Callable[[Form], None]) -> None:
        if self.trouble is not None:
            return
        try:
            for form in self._forms:
                tell(form)
        except Exception as error:
            self.trouble = error


class _Head:
    """A sink that keeps the first octets of a message."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> None:
        """Takes octets."""
        if len(self._data) < HEAD:
            self._data += data[:HEAD - len(self._data)]

    def close(self, complete: bool) -> None:
        """Nothing to do."""

    def header(self) -> bytes:
        """The header, without the empty line."""
        data = bytes(self._data)
        ends = [end for end in (data.find(b"\r\n\r\n"), data.find(b"\n\n")) if end >= 0]
        return data[:min(ends)] if ends else data
