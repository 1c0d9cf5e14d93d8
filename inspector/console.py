"""The one place that styles text for people: the annotated view of a session, one line a PDU.

Rules.  All text from the wire is sanitised before it is styled.  Colour and cutting to the width are for terminals
alone; what is piped is plain and whole.  Styles are a table of our own: thousands of lines a second pass here.

Knows flows, PDUs, anomalies and findings.  Must not know where lines go, nor any protocol's words.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from inspector.anomaly import Anomaly, Severity
from inspector.pdu import C2S, PDU, PEER, Finding, Flow, Kind
from inspector.text import sanitise

if TYPE_CHECKING:
    from inspector.output import Output
    from inspector.session import Session

PLAIN: Final = "\x1b[0m"
BOLD: Final = "\x1b[1m"
FAINT: Final = "\x1b[2m"
RED: Final = "\x1b[31m"
GREEN: Final = "\x1b[32m"
YELLOW: Final = "\x1b[33m"
BLUE: Final = "\x1b[34m"
MAGENTA: Final = "\x1b[35m"
CYAN: Final = "\x1b[36m"
ALARM: Final = "\x1b[1;31m"

ARROWS: Final = ("C→S", "S→C", "M→S", "M→C")
"""Who speaks to whom; the last two are mailspy's own words."""
ARROW_INK: Final = (CYAN, MAGENTA, YELLOW, YELLOW)
PHASE_INK: Final = {
    "AUTHORIZATION": YELLOW, "TRANSACTION": GREEN, "UPDATE": BLUE,
    "CONNECT": CYAN, "HELLO": CYAN, "TLS": MAGENTA, "AUTH": YELLOW, "MAIL": GREEN, "RCPT": GREEN, "DATA": GREEN,
    "QUIT": BLUE,
}
"""Phases that are not listed are not coloured."""
STATUS_INK: Final = {"+": GREEN, "2": GREEN, "3": YELLOW, "4": RED, "5": RED, "-": RED}
"""By the first character of the status."""
KIND_INK: Final = {Kind.BODY: FAINT, Kind.OPAQUE: FAINT, Kind.SASL_RESPONSE: FAINT}
SEVERITY_INK: Final = {"info": FAINT, "low": YELLOW, "medium": YELLOW, "high": RED, "critical": ALARM}

PHASE_WIDTH: Final = 13
STATE_WIDTH: Final = 14
TIME_WIDTH: Final = 15
JOINT: Final = " / "
"""What `PDU.text` puts between the lines of a reply."""
HEX_SHOWN: Final = 64
"""Octets of an opaque PDU shown in hexadecimal."""
MARK: Final = "\0"
"""Begins a line that is only decided on by another process; sanitised text has none."""
_MARKED: Final = MARK.encode()
LEAST_TEXT: Final = 20
"""Columns that the text has however narrow the terminal is."""
PADDED: Final = tuple(f"{number:4d}" for number in range(1000))
"""Numbers in their column: formatting them anew costs five times as much."""
DAY: Final = 86_400_000_000


@dataclass(slots=True)
class Summary:
    """What a run saw, counted by whoever watches it."""

    flows: int = 0
    pdus: int = 0
    findings: int = 0
    anomalies: dict[str, int] = field(default_factory=dict)
    """By severity."""

    def line(self) -> str:
        """One line for people."""
        total = sum(self.anomalies.values())
        by_severity = ", ".join(f"{self.anomalies[name]} {name}" for name in reversed(Severity)
                                if name in self.anomalies)
        return ", ".join((count(self.flows, "flow", "flows"), count(self.pdus, "PDU", "PDUs"),
                          count(total, "anomaly", "anomalies") + (f" ({by_severity})" if total else ""),
                          count(self.findings, "finding", "findings")))


def count(number: int, one: str, many: str) -> str:
    """`1 flow`, `2 flows`."""
    return f"{number} {one if number == 1 else many}"


class Heads:
    """Where the heads of the columns stand: above the first PDU of a flow, unless others are in the middle of theirs."""

    def __init__(self, filtered: bool = False) -> None:
        self._open = 0
        """Flows that have begun and are not over."""
        self._headed = False
        self.due = filtered
        """They must stand above the first line, whichever it is."""

    def opened(self, line: str) -> str:
        """The line of a flow that begins."""
        self._open += 1
        return line

    def closed(self, line: str) -> str:
        """The line of a flow that is over."""
        self._open -= 1
        return line

    def above(self, line: str, first: bool) -> str:
        """The heads, or nothing where they do not belong.  `first`: above the first PDU of a flow."""
        if (not first and not self.due) or (self._open > 1 and self._headed):
            return ""
        self._headed = True
        self.due = False
        return line


class Marks(Heads):
    """The same where only another process can know: it marks the lines, and `resolved` decides."""

    def opened(self, line: str) -> str:
        return f"{MARK}+{line}"

    def closed(self, line: str) -> str:
        return f"{MARK}-{line}"

    def above(self, line: str, first: bool) -> str:
        return f"{MARK}{'h' if first else 'a'}{line}"


def resolved(text: bytes, heads: Heads) -> bytes:
    """Lines with marks as they are shown."""
    if _MARKED not in text:
        return text
    return b"".join(_resolved(line, heads) if line.startswith(_MARKED) else line for line in text.splitlines(keepends=True))


def _resolved(line: bytes, heads: Heads) -> bytes:
    mark, rest = line[1:2], line[2:].decode()
    if mark == b"+":
        return heads.opened(rest).encode()
    return (heads.closed(rest) if mark == b"-" else heads.above(rest, mark == b"h")).encode()


class Console:
    """How this run speaks to people: makes the views for its outputs, and keeps its summary."""

    def __init__(self, *, verbose: bool = False, states: bool = False, filtered: bool = False, marks: bool = False,
                 environ: Mapping[str, str] | None = None) -> None:
        """`verbose`: times, octets, hexadecimal.  `states`: POP3's client automaton beside the phase.  `filtered`: the first
        line of a flow may be missing.  `marks`: another process decides where the heads of the columns stand."""
        self.verbose = verbose
        self._filtered = filtered
        self._marks = marks
        self.states = states or verbose
        self.environ = os.environ if environ is None else environ
        self.summary = Summary()

    def view(self, output: Output) -> View:
        """The view for an output: coloured and cut to its width when that is a terminal."""
        if not output.terminal:
            return View(verbose=self.verbose, states=self.states, heads=self.heads())
        colour = not self.environ.get("NO_COLOR") and self.environ.get("TERM") != "dumb"
        return View(colour=colour, measure=lambda: width_of(output.descriptor), verbose=self.verbose,
                    states=self.states, heads=self.heads())

    def heads(self) -> Heads:
        """What decides where the heads of the columns stand, for one view."""
        return Marks(self._filtered) if self._marks else Heads(self._filtered)


def width_of(descriptor: int) -> int:
    """Columns of a terminal; 0 when it does not tell."""
    try:
        return os.get_terminal_size(descriptor).columns
    except OSError:
        return 0


GRAVE: Final = frozenset({"high", "critical"})
"""Severities of what is not cut to the width of a terminal."""
WHOLE: Final = 600
"""Columns of that, all the same."""


class View:
    """The annotated view: makes lines, each with its end."""

    def __init__(self, *, colour: bool = False, measure: Callable[[], int] = lambda: 0, verbose: bool = False,
                 states: bool = False, heads: Heads | None = None) -> None:
        """`measure` tells the columns of the terminal; 0 for a view that is not cut."""
        self.colour = colour
        self.verbose = verbose
        self.states = states
        self._measure = measure
        self._room = 0
        """Columns for the text of a PDU; 0 for as many as it takes."""
        self._columns: tuple[dict[str, str], ...] = tuple({} for _ in ARROWS)
        """Arrow and phase, by arrow and by phase, made once for each."""
        self._where = heads or Heads()

    # Lines

    def flow_opened(self, flow: Flow) -> str:
        """A flow begins: who speaks to whom."""
        known = flow.protocol or "protocol to be told from the greeting"
        who = f"{flow.client} → {flow.server}, {known}{' in TLS' if flow.secure else ''}"
        return self._where.opened(self._ink(BOLD, f"flow {flow.number} opened: {sanitise(who)}") + "\n")

    def flow_closed(self, flow: Flow, reason: str) -> str:
        """A flow is over."""
        lasted = f", {seconds(flow.closed - flow.opened)}" if flow.closed else ""
        return self._where.closed(self._ink(BOLD, f"flow {flow.number} closed: {sanitise(reason)}{lasted}") + "\n")

    def pdu(self, pdu: PDU, session: Session) -> str:
        """One PDU: its number, direction, phase and text; above the first of a flow, the heads of the columns."""
        number = pdu.number
        heads = self._begin(pdu) if number == 1 or self._where.due else ""
        way = (pdu.direction is not C2S) + (0 if pdu.origin is PEER else 2)
        phase = pdu.phase
        middle = self._columns[way].get(phase) or self._middle(way, phase)
        text = pdu.text
        if self._room and (len(text) > self._room or not text.isascii()):
            text = cut(text, self._room)
        if self.colour and (ink := STATUS_INK.get(pdu.status[:1]) if pdu.status else KIND_INK.get(pdu.kind)):
            text = f"{ink}{text}{PLAIN}"
        flow = session.flow.number
        if self.states:
            return heads + self._full(pdu, flow, middle, text)
        column = PADDED[number] if number < 1000 else number
        return f"{heads}{PADDED[flow] if flow < 1000 else flow} {column}{middle}{text}\n"

    def anomaly(self, anomaly: Anomaly, session: Session) -> str:
        """A deviation, beneath the PDU that it stands in."""
        severity = anomaly.severity.value
        text = sanitise(f"{anomaly.name}: {anomaly.detail} ({anomaly.reference})")
        return self._beneath(session, anomaly.pdu, ("!", severity), text, SEVERITY_INK.get(severity, ""))

    def finding(self, finding: Finding, session: Session) -> str:
        """What a plugin reports.  What is grave, and what to do about it, is told whole, on several lines of the terminal if it
        takes them."""
        alarming = "" if finding.severity == "info" else sanitise(f" [{finding.severity}]")
        ink = SEVERITY_INK.get(finding.severity, "") if alarming else BLUE
        return self._beneath(session, None, ("*", sanitise(finding.event)), sanitise(finding.summary), ink, alarming,
                             finding.severity in GRAVE)

    # Columns

    def _begin(self, pdu: PDU) -> str:
        """The heads of the columns, unless other flows are in the middle of theirs."""
        columns = self._measure()
        heads = self._heads(bool(pdu.client_state))
        self._room = max(LEAST_TEXT, columns - len(heads) + len("PDU")) if columns else 0
        return self._where.above(self._ink(FAINT, heads) + "\n", pdu.number == 1)

    def _full(self, pdu: PDU, flow: int, middle: str, text: str) -> str:
        """The line with the client's state and, when verbose, time, octets, duration and hexadecimal."""
        state = f"{pdu.client_state:{STATE_WIDTH}}  " if pdu.client_state else ""
        if not self.verbose:
            return f"{flow:4d} {pdu.number:4d}{middle}{state}{text}\n"
        took = self._ink(FAINT, f"  ({seconds(pdu.time - pdu.command.time)})") if pdu.status and pdu.command else ""
        line = f"{flow:4d} {pdu.number:4d}  {time_of_day(pdu.time)}{middle}{state}{pdu.size:6d}  {text}{took}\n"
        if pdu.kind is Kind.OPAQUE:
            line += self._ink(FAINT, " " * (len(self._heads(bool(state))) - 3) + pdu.shown[:HEX_SHOWN].hex(" ")) + "\n"
        return line

    def _heads(self, states: bool) -> str:
        time = f"  {'time (UTC)':{TIME_WIDTH}}" if self.verbose else ""
        state = f"{'client':{STATE_WIDTH}}  " if states and self.states else ""
        size = "octets  " if self.verbose else ""
        return f"flow   N°{time}  dir  {'phase':{PHASE_WIDTH}}  {state}{size}PDU"

    def _middle(self, way: int, phase: str) -> str:
        arrow = self._ink(ARROW_INK[way], ARROWS[way])
        middle = self._columns[way][phase] = f"  {arrow}  {self._ink(PHASE_INK.get(phase, ''), f'{phase:{PHASE_WIDTH}}')}  "
        return middle

    def _beneath(self, session: Session, number: int | None, head: tuple[str, str], text: str, ink: str, tail: str = "",
                 whole: bool = False) -> str:
        """A line that is not a PDU, in the columns of the PDUs: a mark and a name in place of arrow and phase.  `tail`, and where
        it is to be `whole` the text, is not cut."""
        mark, name = head
        time = f"  {time_of_day(session.time)}" if self.verbose else ""
        before = f"{session.flow.number:4d} {number or '':>4}{time}   {mark}   "
        if self._room:
            text = cut(text, WHOLE if whole else max(LEAST_TEXT, self._measure() - len(before) - PHASE_WIDTH - 2 - len(tail)))
        return before + self._ink(ink, f"{name:{PHASE_WIDTH}}  {text}{tail}") + "\n"

    def _ink(self, ink: str, text: str) -> str:
        return f"{ink}{text}{PLAIN}" if self.colour and ink else text


def time_of_day(time: int) -> str:
    """Hours to microseconds, UTC, of a time in microseconds since the epoch: `07:04:12.000250`."""
    whole, micro = divmod(time % DAY, 1_000_000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{micro:06d}"


def seconds(duration: int) -> str:
    """A duration in microseconds, for people: `250 µs`, `1.5 ms`, `3.20 s`."""
    if abs(duration) < 1_000:
        return f"{duration} µs"
    return f"{duration / 1e3:.1f} ms" if abs(duration) < 1_000_000 else f"{duration / 1e6:.2f} s"


def cut(text: str, room: int) -> str:
    """Sanitised text in at most `room` columns; of several lines, as many whole ones as fit, and how many more."""
    if fitting(text, room) == len(text):
        return text
    lines = text.split(JOINT)
    kept = 0
    used = 0
    while kept < len(lines) - 1:
        used += columns_of(lines[kept][:room + 1]) + len(JOINT)
        if used + len(f"… +{len(lines) - 1 - kept}") > room:
            break
        kept += 1
    if kept:
        return JOINT.join(lines[:kept]) + f"{JOINT}… +{len(lines) - kept}"
    return text[:fitting(text, room - 1)] + "…"


def fitting(text: str, room: int) -> int:
    """How many characters of a text stand in `room` columns."""
    if text.isascii():
        return min(len(text), room)
    used = 0
    for place, character in enumerate(text):
        used += _columns(character)
        if used > room:
            return place
    return len(text)


def columns_of(text: str) -> int:
    """The columns that a text takes on a terminal."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    """2 for wide East Asian characters and emoji, 0 for marks that stand on the one before, else 1."""
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
