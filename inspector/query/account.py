"""What is known of a session so far: the row of `mailspy sessions`.

Rules.  Memory is bounded: what a peer can make many of is counted, and kept up to a number.

Knows events of a session.  Must not know the language of filters, nor how a row is shown.
"""

from __future__ import annotations

from typing import Any, Final

from inspector.anomaly import Anomaly
from inspector.pdu import C2S, PDU, Finding, Flow
from inspector.query.values import SEVERITIES
from inspector.session import Session

MOST: Final = 20
"""Phases, users and names of anomalies that are kept of a session."""


LEGS: Final = frozenset({"tls", "tls_failed", "tls_truncated"})
"""Findings that tell of a leg."""


class Account:
    """One session, counted while it crosses."""

    __slots__ = ("anomalies", "anomaly_count", "closed", "flow", "legs", "messages", "pdus", "phases", "reason", "received",
                 "sent", "tls", "users", "worst")

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.closed = flow.opened
        """When its latest event was, in microseconds since the epoch."""
        self.reason = ""
        self.users: list[str] = []
        """Who logged in, in that order."""
        self.tls = False
        self.legs: list[dict[str, Any]] = []
        """How each leg is in TLS, or why it is not, where mailspy has looked into it: the events with their members."""
        self.phases: list[str] = []
        """The phases that were reached, in the order in which they were."""
        self.pdus = 0
        self.messages = 0
        self.sent = 0
        """Octets from the client."""
        self.received = 0
        """Octets from the server."""
        self.anomalies: dict[str, int] = {}
        """How often each was found."""
        self.anomaly_count = 0
        self.worst = ""
        """The highest severity among them."""

    @property
    def duration(self) -> int:
        """Microseconds."""
        return self.closed - self.flow.opened

    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        """Counts a PDU."""
        self.pdus += 1
        self.closed = pdu.time
        if pdu.direction is C2S:
            self.sent += pdu.size
        else:
            self.received += pdu.size
        if pdu.phase not in self.phases and len(self.phases) < MOST:
            self.phases.append(pdu.phase)
        if session.user and session.user not in self.users and len(self.users) < MOST:
            self.users.append(session.user)
        if session.tls:
            self.tls = True

    def anomaly_found(self, anomaly: Anomaly, session: Session) -> None:
        """Counts a deviation."""
        self.anomaly_count += anomaly.number
        if anomaly.name in self.anomalies or len(self.anomalies) < MOST:
            self.anomalies[anomaly.name] = self.anomalies.get(anomaly.name, 0) + anomaly.number
        if SEVERITIES[anomaly.severity.value] >= SEVERITIES.get(self.worst, -1):
            self.worst = anomaly.severity.value

    def finding(self, finding: Finding, session: Session) -> None:
        """Counts a message."""
        if finding.event == "message":
            self.messages += 1
        elif finding.event in LEGS and len(self.legs) < MOST:
            self.legs.append({"event": finding.event, **finding.fields})

    def flow_closed(self, flow: Flow, reason: str) -> None:
        """The session is over."""
        self.reason = reason
        self.closed = flow.closed or self.closed
