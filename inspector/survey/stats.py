"""The figures of `mailspy stats`: how often, how long, how large, who.

Rules.  Memory is bounded, whatever crosses: times and sizes are histograms whose quantiles are off by 1 % at most, the most
frequent names are kept with a bound of their error, and tables of what a peer can make up have a last row for the rest.

Knows events.  Must not know where they come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from inspector.anomaly import Anomaly
from inspector.console import FAINT, SEVERITY_INK
from inspector.hookspecs import hookimpl
from inspector.pdu import C2S, PDU, Finding, Flow, Kind
from inspector.query.fields import login
from inspector.session import Session
from inspector.survey.histogram import Histogram
from inspector.survey.table import Cell, Column, Screen, lasting, octets, stamp
from inspector.survey.top import Top

MOST: Final = 200
"""Rows of a table that peers can make up, such as verbs."""
STATUSES: Final = 50
"""Different statuses of a verb."""
REST: Final = "(others)"
SHOWN: Final = 10
"""Names that are shown of the most frequent."""
QUANTILES: Final = {"median": 0.5, "p95": 0.95, "p99": 0.99}
NAMED: Final = ("clients", "servers", "users", "sender domains", "recipient domains", "content types")
"""What is counted by name."""
REPLIES: Final = frozenset({Kind.REPLY, Kind.CONTINUATION})


class Verb:
    """A command: how often, with which replies, how long they took."""

    __slots__ = ("statuses", "times")

    def __init__(self) -> None:
        self.statuses: dict[str, int] = {}
        self.times = Histogram()


class Live:
    """A session in the middle."""

    __slots__ = ("octets", "phase", "since", "user")

    def __init__(self) -> None:
        self.octets = 0
        self.phase = ""
        self.since = 0
        self.user = ""


class Stats:
    """The plugin of the command: counts."""

    def __init__(self) -> None:
        self.sessions: dict[str, int] = {}
        """By protocol."""
        self.first = 0
        self.last = 0
        """When the first and the last event were."""
        self.pdus = 0
        self.octets = [0, 0]
        """From clients, from servers."""
        self.tls = 0
        self.logins = {"accepted": 0, "failed": 0}
        self.durations = Histogram()
        self.sizes = Histogram()
        """Octets of sessions."""
        self.verbs: dict[tuple[str, str], Verb] = {}
        self.phases: dict[tuple[str, str], Histogram] = {}
        self.messages = Histogram()
        """Octets of messages."""
        self.parts = Histogram()
        self.ends: dict[str, int] = {}
        self.anomalies: dict[tuple[str, str], int] = {}
        """By name and severity."""
        self.top = {name: Top() for name in NAMED}
        self._live: dict[int, Live] = {}
        self._veiled: set[int] = set()

    # What is told

    @hookimpl
    def flow_opened(self, flow: Flow) -> None:
        """A session begins."""
        self._seen(flow.opened)
        self._session(flow.number)
        self.top["clients"].add(flow.client.host)
        self.top["servers"].add(str(flow.server))

    @hookimpl
    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        """A PDU."""
        self.pdus += 1
        live = self._session(session.flow.number)
        live.octets += pdu.size
        self.octets[pdu.direction is not C2S] += pdu.size
        self._seen(pdu.time)
        protocol = session.flow.protocol
        if pdu.phase != live.phase:
            self._left(protocol, live, pdu.time)
            live.phase, live.since = pdu.phase, pdu.time
        if pdu.kind in REPLIES:
            self._reply(protocol, pdu)
        if session.user and session.user != live.user:
            live.user = session.user
            self.top["users"].add(session.user)
        if session.tls and session.flow.number not in self._veiled:
            self._veiled.add(session.flow.number)
            self.tls += 1

    @hookimpl
    def anomaly_found(self, anomaly: Anomaly, session: Session) -> None:
        """A deviation."""
        key = (anomaly.name, anomaly.severity.value)
        self.anomalies[key] = self.anomalies.get(key, 0) + anomaly.number

    @hookimpl
    def finding(self, finding: Finding, session: Session) -> None:
        """A message or a part."""
        size = finding.fields.get("size")
        if not isinstance(size, int):
            return
        if finding.event == "part":
            self.parts.add(size)
            self.top["content types"].add(str(finding.fields.get("content_type", "")))
        elif finding.event == "message":
            self.messages.add(size)
            self._domains(finding.fields.get("envelope"))

    @hookimpl
    def flow_closed(self, flow: Flow, reason: str) -> None:
        """A session is over."""
        live = self._live.pop(flow.number, None) or Live()
        self._veiled.discard(flow.number)
        closed = flow.closed or flow.opened
        self._left(flow.protocol, live, closed)
        self._seen(closed)
        count(self.sessions, flow.protocol or "(unknown)")
        count(self.ends, reason)
        self.durations.add(closed - flow.opened)
        self.sizes.add(live.octets)

    # Counting

    def _session(self, number: int) -> Live:
        live = self._live.get(number)
        if live is None:
            live = self._live[number] = Live()
        return live

    def _seen(self, time: int) -> None:
        self.first = min(self.first or time, time)
        self.last = max(self.last, time)

    def _left(self, protocol: str, live: Live, time: int) -> None:
        if live.phase:
            key = bounded(self.phases, (protocol, live.phase))
            self.phases.setdefault(key, Histogram()).add(time - live.since)

    def _reply(self, protocol: str, pdu: PDU) -> None:
        verb = self.verbs.setdefault(bounded(self.verbs, (protocol, pdu.verb or "(greeting)")), Verb())
        count(verb.statuses, pdu.status, STATUSES)
        if pdu.command is not None:
            verb.times.add(pdu.time - pdu.command.time)
        if told := login(pdu):
            self.logins[told] += 1

    def _domains(self, envelope: object) -> None:
        if not isinstance(envelope, dict):
            return
        recipients = envelope.get("to")
        for name, addresses in (("sender domains", [envelope.get("from")]),
                                ("recipient domains", recipients if isinstance(recipients, list) else [])):
            for address in addresses:
                if isinstance(address, str) and "@" in address:
                    self.top[name].add(address.rpartition("@")[2].lower())

    # What comes of it

    def as_json(self) -> dict[str, Any]:
        """All figures; times in seconds, sizes in octets."""
        return {
            "first": stamp(self.first), "last": stamp(self.last),
            "sessions": sum(self.sessions.values()), "protocols": self.sessions, "tls": self.tls, "logins": self.logins,
            "pdus": self.pdus, "sent": self.octets[0], "received": self.octets[1],
            "session_duration": seconds(self.durations), "session_octets": figures(self.sizes),
            "commands": [{"protocol": protocol, "verb": verb, "count": sum(one.statuses.values()),
                          "statuses": dict(sorted(one.statuses.items(), key=_fewer)), "duration": seconds(one.times)}
                         for (protocol, verb), one in ranked(self.verbs)],
            "phases": [{"protocol": protocol, "phase": phase, "duration": seconds(times)}
                       for (protocol, phase), times in self.phases.items()],
            "messages": figures(self.messages), "parts": figures(self.parts),
            "anomalies": [{"name": name, "severity": severity, "count": number}
                          for (name, severity), number in sorted(self.anomalies.items(), key=_fewer)],
            "ends": self.ends,
            "top": {name.replace(" ", "_"): [
                {"name": one.name, "count": one.times, "error": one.error} for one in top.most(SHOWN)]
                for name, top in self.top.items()},
        }

    def show(self, screen: Screen) -> None:
        """All figures, for people."""
        sessions = sum(self.sessions.values())
        by = ", ".join(f"{number:,} {name}" for name, number in sorted(self.sessions.items(), key=_fewer))
        screen.line(f"{sessions:,} sessions: {by or 'none'}")
        screen.line(f"{self.pdus:,} PDUs, {octets(sum(self.octets))}: C→S {octets(self.octets[0])}, S→C {octets(self.octets[1])}")
        if self.first:
            screen.line(f"{stamp(self.first)[:19].replace('T', ' ')} to {stamp(self.last)[:19].replace('T', ' ')} UTC, "
                        f"{lasting(self.last - self.first)}")
        screen.line(f"{self.tls:,} with TLS; {self.logins['accepted']:,} logins accepted, {self.logins['failed']:,} failed")
        self._tables(screen)

    def _tables(self, screen: Screen) -> None:
        quantiles = [Column(name, right=True) for name in (*QUANTILES, "longest")]
        if self.verbs:
            screen.heading("Commands, and how long their replies took")
            screen.table([Column("proto", least=4), Column("command", least=8), Column("count", right=True), *quantiles,
                          Column("replies", least=10)],
                         [[protocol, verb, f"{sum(one.statuses.values()):,}", *times(one.times), replies(one.statuses)]
                          for (protocol, verb), one in ranked(self.verbs)])
        if self.phases:
            screen.heading("Phases, and how long sessions stayed in them")
            screen.table([Column("proto", least=4), Column("phase", least=8), Column("times", right=True), *quantiles],
                         [[protocol, phase, f"{one.count:,}", *times(one)] for (protocol, phase), one in self.phases.items()])
        screen.heading("Sizes and durations")
        screen.table([Column("of"), Column("count", right=True), Column("sum", right=True),
                      *(Column(name, right=True) for name in (*QUANTILES, "most"))],
                     [[name, f"{one.count:,}", form(one.total) if one.count else "", *quantities(one, form)]
                      for name, one, form in (("messages", self.messages, octets), ("parts", self.parts, octets),
                                              ("sessions", self.sizes, octets), ("sessions", self.durations, lasting))])
        if self.anomalies:
            screen.heading("Anomalies")
            screen.table([Column("name"), Column("severity"), Column("count", right=True)],
                         [[name, Cell(severity, SEVERITY_INK.get(severity, "")), f"{number:,}"]
                          for (name, severity), number in sorted(self.anomalies.items(), key=_fewer)])
        self._most(screen)

    def _most(self, screen: Screen) -> None:
        rows = [(name, one) for name, top in self.top.items() for one in top.most(SHOWN)]
        if not rows:
            return
        screen.heading(f"The most frequent, {SHOWN} at most")
        before = ""
        shown: list[list[Cell | str]] = []
        for name, one in rows:
            shown.append([Cell("" if name == before else name, FAINT), f"{one.times:,}", f"±{one.error:,}" if one.error else "",
                          one.name or "(none)"])
            before = name
        screen.table([Column("of"), Column("count", right=True), Column(""), Column("name", least=10)], shown)


def bounded(table: Mapping[tuple[str, str], object], key: tuple[str, str]) -> tuple[str, str]:
    """The key, or that of the rest when the table is full."""
    return key if key in table or len(table) < MOST else (key[0], REST)


def count(table: dict[str, int], name: str, most: int = MOST) -> None:
    """Counts a name in a bounded table."""
    if name not in table and len(table) >= most:
        name = REST
    table[name] = table.get(name, 0) + 1


def _fewer(pair: tuple[Any, int]) -> int:
    """The key that sorts the most frequent first."""
    return -pair[1]


def ranked(verbs: Mapping[tuple[str, str], Verb]) -> list[tuple[tuple[str, str], Verb]]:
    """By protocol, the most frequent first."""
    return sorted(verbs.items(), key=lambda pair: (pair[0][0], -sum(pair[1].statuses.values()), pair[0][1]))


def figures(histogram: Histogram, unit: float = 1) -> dict[str, float]:
    """Count, sum, quantiles and most of a histogram."""
    one = {"sum": histogram.total, **{name: histogram.quantile(share) for name, share in QUANTILES.items()},
           "most": histogram.most}
    return {"count": histogram.count, **(one if unit == 1 else {name: value / unit for name, value in one.items()})}


def seconds(histogram: Histogram) -> dict[str, float]:
    """The figures of microseconds, in seconds."""
    return figures(histogram, 1e6)


def times(histogram: Histogram) -> Iterable[str]:
    """Quantiles and the longest, for people."""
    return quantities(histogram, lasting)


def quantities(histogram: Histogram, form: Any) -> Iterable[str]:
    """Quantiles and the most, for people; empty without any."""
    if not histogram.count:
        return [""] * (len(QUANTILES) + 1)
    return [form(histogram.quantile(share)) for share in QUANTILES.values()] + [form(histogram.most)]


def replies(statuses: Mapping[str, int]) -> str:
    """`250 ×12, 550 ×3`."""
    return ", ".join(f"{status or '(none)'} ×{number:,}" for status, number in sorted(statuses.items(), key=_fewer))
