"""Keeps of a stream of events those that a filter asks for.

Rules.  What one event tells is decided at once.  Where a whole session must tell, its events are held back until it has, in
order, and then shown or forgotten.  What is held is bounded: past the bound the oldest of that session are forgotten, which is
told.

Knows expressions and events.  Must not know how events are shown.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from inspector.anomaly import Anomaly
from inspector.pdu import PDU, Finding, Flow
from inspector.query.account import Account
from inspector.query.fields import ANOMALY, CLOSED, FINDINGS, OPENED, PDUS
from inspector.query.question import Expression, Predicate, State, kind_of
from inspector.session import Session

BOUND: Final = 64 * 1024 * 1024
"""Octets, about, that are held back in all."""
EACH: Final = 600
"""Octets, about, that an event takes beside its own."""

Alarm = Callable[[str], None]


class Listener(Protocol):
    """Who gets the events."""

    def flow_opened(self, flow: Flow) -> None:
        """A flow begins."""

    def flow_closed(self, flow: Flow, reason: str) -> None:
        """A flow is over."""

    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        """A PDU."""

    def anomaly_found(self, anomaly: Anomaly, session: Session) -> None:
        """A deviation."""

    def finding(self, finding: Finding, session: Session) -> None:
        """What a plugin found."""


def sieve(expression: Expression, listener: Listener, alarm: Alarm) -> Listener:
    """A listener that hands on what the expression asks for; `alarm` is told when something had to be forgotten."""
    return Holding(expression, listener, alarm) if expression.of_sessions else Sieve(expression, listener)


class Sieve:
    """Where each event tells by itself."""

    def __init__(self, expression: Expression, listener: Listener) -> None:
        self.pdu_seen = _filtered(expression.of_event(PDUS), listener.pdu_seen)
        self.anomaly_found = _filtered(expression.of_event(ANOMALY), listener.anomaly_found)
        self._finding = {kind: _filtered(expression.of_event(kind), listener.finding) for kind in FINDINGS}
        opened, closed = expression.of_event(OPENED), expression.of_event(CLOSED)
        self._opened: Predicate = opened if callable(opened) else lambda flow, session: bool(opened)
        self._closed: Predicate = closed if callable(closed) else lambda flow, session: bool(closed)
        self._listener = listener

    def flow_opened(self, flow: Flow) -> None:
        """A flow begins."""
        if self._opened(flow, None):
            self._listener.flow_opened(flow)

    def flow_closed(self, flow: Flow, reason: str) -> None:
        """A flow is over."""
        if self._closed(flow, None):
            self._listener.flow_closed(flow, reason)

    def finding(self, finding: Finding, session: Session) -> None:
        """What a plugin found."""
        self._finding[kind_of(finding.event)](finding, session)


def _filtered(test: Predicate | bool, tell: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    if isinstance(test, bool):
        return tell if test else _nothing

    def filtered(subject: Any, session: Any) -> None:
        if test(subject, session):
            tell(subject, session)

    return filtered


def _nothing(subject: object, session: object) -> None:
    return None


class Held(NamedTuple):
    """An event that waits."""

    tell: Callable[..., None]
    arguments: tuple[Any, ...]
    told: Sequence[bool]
    """What the event itself tells."""
    octets: int


class Waiting:
    """A session that has not told yet."""

    __slots__ = ("account", "answers", "events", "octets", "states")

    def __init__(self, flow: Flow, states: list[State]) -> None:
        self.account = Account(flow)
        self.states = states
        self.answers: list[bool | None] = [None] * len(states)
        self.events: deque[Held] = deque()
        self.octets = 0


class Holding:
    """Where sessions tell."""

    def __init__(self, expression: Expression, listener: Listener, alarm: Alarm, bound: int = BOUND) -> None:
        self._split = split = expression.split()
        self._tests = {kind: split.predicates(kind) for kind in (OPENED, CLOSED, PDUS, ANOMALY, *FINDINGS)}
        self._counts = any(question.late for question in split.sessions)
        self._listener = listener
        self._alarm = alarm
        self._flows: dict[int, Waiting] = {}
        self._octets = 0
        self._bound = bound
        self.forgotten = 0
        """Events for which there was no room."""

    def flow_opened(self, flow: Flow) -> None:
        """A flow begins."""
        waiting = self._flows[flow.number] = Waiting(flow, [question.begin() for question in self._split.sessions])
        self._event(waiting, OPENED, (flow,), None, self._listener.flow_opened)

    def flow_closed(self, flow: Flow, reason: str) -> None:
        """A flow is over: all of it is decided."""
        waiting = self._flows.pop(flow.number, None)
        if waiting is None:
            return
        waiting.account.flow_closed(flow, reason)
        for place, question in enumerate(self._split.sessions):
            question.tell(waiting.states[place], CLOSED, flow, None)
            question.end(waiting.states[place], waiting.account)
            waiting.answers[place] = question.truth(waiting.states[place])
        self._release(waiting)
        self._event(waiting, CLOSED, (flow, reason), None, self._listener.flow_closed)

    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        """A PDU."""
        waiting = self._flows.get(session.flow.number)
        if waiting is not None:
            if self._counts:
                waiting.account.pdu_seen(pdu, session)
            self._event(waiting, PDUS, (pdu, session), session, self._listener.pdu_seen, len(pdu.raw))

    def anomaly_found(self, anomaly: Anomaly, session: Session) -> None:
        """A deviation."""
        waiting = self._flows.get(session.flow.number)
        if waiting is not None:
            waiting.account.anomaly_found(anomaly, session)
            self._event(waiting, ANOMALY, (anomaly, session), session, self._listener.anomaly_found)

    def finding(self, finding: Finding, session: Session) -> None:
        """What a plugin found; it keeps the time at which it was told."""
        waiting = self._flows.get(session.flow.number)
        if waiting is not None:
            waiting.account.finding(finding, session)
            timed = finding._replace(time=finding.time or session.time)
            self._event(waiting, kind_of(finding.event), (timed, session), session, self._listener.finding)

    def _event(self, waiting: Waiting, kind: str, arguments: tuple[Any, ...], session: Session | None,
               tell: Callable[..., None], size: int = 0) -> None:
        subject = arguments[0]
        changed = False
        for place, question in enumerate(self._split.sessions):
            if waiting.answers[place] is None and question.tell(waiting.states[place], kind, subject, session):
                waiting.answers[place] = question.truth(waiting.states[place])
                changed = True
        if changed:
            self._release(waiting)
        told = [test(subject, session) for test in self._tests[kind]]
        answer = self._split.truth(told, waiting.answers)
        if answer is False:
            return
        if answer is None or waiting.events:
            self._hold(waiting, Held(tell, arguments, told, EACH + size))
        else:
            tell(*arguments)

    def _hold(self, waiting: Waiting, event: Held) -> None:
        waiting.events.append(event)
        waiting.octets += event.octets
        self._octets += event.octets
        while self._octets > self._bound and waiting.events:
            self._drop(waiting)
            if not self.forgotten:
                self._alarm("--filter: a session is too long to be held back until it is known whether it is asked for; what "
                            "comes first in it is not shown")
            self.forgotten += 1

    def _drop(self, waiting: Waiting) -> Held:
        event = waiting.events.popleft()
        waiting.octets -= event.octets
        self._octets -= event.octets
        return event

    def _release(self, waiting: Waiting) -> None:
        """Decides what can be decided now, in order."""
        while waiting.events:
            answer = self._split.truth(waiting.events[0].told, waiting.answers)
            if answer is None:
                return
            event = self._drop(waiting)
            if answer:
                event.tell(*event.arguments)
