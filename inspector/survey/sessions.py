"""The rows of `mailspy sessions`: one for each session, as a table, JSON lines or CSV.

Rules.  One table says what a row tells, whatever its form.  Nothing from the wire can be a formula of a spreadsheet.  Unsorted
JSON and CSV are written as sessions end, in memory that does not grow with them.

Knows accounts and rows.  Must not know where sessions come from.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, Final, NamedTuple

from inspector.anomaly import Anomaly
from inspector.console import SEVERITY_INK
from inspector.hookspecs import hookimpl
from inspector.pdu import PDU, Finding, Flow
from inspector.query.account import Account
from inspector.query.fields import ANOMALY, CLOSED, OPENED, PDUS
from inspector.query.question import Question, State, kind_of
from inspector.query.values import SEVERITIES
from inspector.session import Session
from inspector.survey.table import Cell, Column, Screen, lasting, natural, octets, stamp, total
from inspector.text import sanitise


class Member(NamedTuple):
    """One thing that a row tells."""

    name: str
    get: Callable[[Account], Any]
    meaning: str


MEMBERS: Final = (
    Member("flow", lambda one: one.flow.number, "the number of the session"),
    Member("time", lambda one: stamp(one.flow.opened), "when it began: RFC 3339, UTC, microseconds"),
    Member("protocol", lambda one: one.flow.protocol, "`pop3`, `smtp`, `lmtp`, a plugin's; empty where nothing tells it"),
    Member("client", lambda one: str(one.flow.client), "address and port"),
    Member("server", lambda one: str(one.flow.server), "address and port"),
    Member("users", lambda one: one.users, "who logged in, where that crossed in the clear"),
    Member("tls", lambda one: one.tls, "whether TLS was agreed on"),
    Member("phases", lambda one: one.phases, "the phases that were reached, in that order"),
    Member("messages", lambda one: one.messages, "messages that crossed"),
    Member("pdus", lambda one: one.pdus, "lines and contents that crossed"),
    Member("sent", lambda one: one.sent, "octets from the client"),
    Member("received", lambda one: one.received, "octets from the server"),
    Member("octets", lambda one: one.sent + one.received, "both"),
    Member("duration", lambda one: one.duration / 1e6, "seconds, from its first packet to its end"),
    Member("anomalies", lambda one: one.anomalies, "how often each was found"),
    Member("severity", lambda one: one.worst, "the highest among them; empty without any"),
    Member("end", lambda one: one.reason, "why it ended, as in `flow_closed`"),
    Member("legs", lambda one: one.legs, "how each leg is in TLS where that was looked into, or why not: the events `tls`, "
           "`tls_failed`, `tls_truncated` with their members; as JSON in CSV too"),
)
"""What a row tells, in this order."""
NAMES: Final = tuple(member.name for member in MEMBERS)
_GET: Final = {member.name: member.get for member in MEMBERS}
KEYS: Final[Mapping[str, Callable[[Account], Any]]] = {
    **_GET,
    "client": lambda one: (one.flow.client.host, one.flow.client.port),
    "server": lambda one: (one.flow.server.host, one.flow.server.port),
    "anomalies": lambda one: one.anomaly_count,
    "legs": lambda one: [str(leg.get("version", "")) for leg in one.legs],
    "severity": lambda one: SEVERITIES.get(one.worst, -1),
}
"""By what rows are sorted."""


class Accounts:
    """The plugin of the command: an account of each session, handed over at its end."""

    def __init__(self, done: Callable[[Account], None], question: Question | None = None) -> None:
        self._done = done
        self._question = question
        self._open: dict[int, tuple[Account, State]] = {}
        self.trouble: Exception | None = None
        """What went wrong on our side."""
        self.seen = 0

    def _tell(self, kind: str, number: int, subject: Any, session: Session | None) -> Account | None:
        known = self._open.get(number)
        if known is None:
            return None
        if self._question is not None:
            self._question.tell(known[1], kind, subject, session)
        return known[0]

    @hookimpl
    def flow_opened(self, flow: Flow) -> None:
        """An account is opened."""
        self.seen += 1
        self._open[flow.number] = (Account(flow), self._question.begin() if self._question is not None else [])
        self._tell(OPENED, flow.number, flow, None)

    @hookimpl
    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        """A PDU is counted."""
        if account := self._tell(PDUS, session.flow.number, pdu, session):
            account.pdu_seen(pdu, session)

    @hookimpl
    def anomaly_found(self, anomaly: Anomaly, session: Session) -> None:
        """A deviation is counted."""
        if account := self._tell(ANOMALY, session.flow.number, anomaly, session):
            account.anomaly_found(anomaly, session)

    @hookimpl
    def finding(self, finding: Finding, session: Session) -> None:
        """A message is counted."""
        if account := self._tell(kind_of(finding.event), session.flow.number, finding, session):
            account.finding(finding, session)

    @hookimpl
    def flow_closed(self, flow: Flow, reason: str) -> None:
        """The account is closed, and handed over if it is asked for."""
        self._tell(CLOSED, flow.number, flow, None)
        account, state = self._open.pop(flow.number)
        account.flow_closed(flow, reason)
        if self._question is not None:
            self._question.end(state, account)
            if not self._question.truth(state):
                return
        try:
            self._done(account)
        except Exception as error:  # hooks contain exceptions: the command raises it
            self.trouble = self.trouble or error


# JSON and CSV


def as_json(account: Account) -> str:
    """A row as one line of JSON."""
    return json.dumps({"event": "session", **{member.name: plain(member.get(account)) for member in MEMBERS}}, ensure_ascii=False)


def plain(value: Any) -> Any:
    """A value with its texts sanitised."""
    if isinstance(value, str):
        return sanitise(value)
    if isinstance(value, list):
        return [plain(one) for one in value]
    return {plain(name): plain(one) for name, one in value.items()} if isinstance(value, dict) else value


FORMULAS: Final = ("=", "+", "-", "@", "|", "%")
"""How a cell begins that a spreadsheet may take for a formula or a command."""


def harmless(cell: Any) -> Any:
    """A cell that no spreadsheet calculates: a text that looks like a formula gets an apostrophe before it."""
    if isinstance(cell, list) and any(isinstance(one, dict) for one in cell):
        cell = json.dumps(plain(cell), ensure_ascii=False)
    elif isinstance(cell, list | dict):
        cell = " ".join(f"{name}:{cell[name]}" for name in cell) if isinstance(cell, dict) else " ".join(map(str, cell))
    if not isinstance(cell, str):
        return {True: "true", False: "false"}[cell] if isinstance(cell, bool) else cell
    text = sanitise(cell)
    return f"'{text}" if text.lstrip().startswith(FORMULAS) else text


class Csv:
    """Rows as CSV (RFC 4180, lines ended by LF), its head first."""

    def __init__(self, file: IO[str]) -> None:
        self._write = csv.writer(file, lineterminator="\n").writerow
        self._write(NAMES)

    def row(self, account: Account) -> None:
        """One session."""
        self._write([harmless(member.get(account)) for member in MEMBERS])


# The table


def _time(account: Account) -> str:
    return stamp(account.flow.opened)[:19].replace("T", " ")


def _anomalies(account: Account) -> Cell:
    return Cell(f"{account.anomaly_count} {account.worst}" if account.anomaly_count else "", SEVERITY_INK.get(account.worst, ""))


def _users(account: Account) -> Cell:
    return Cell(" ".join(account.users))


def _phases(account: Account) -> Cell:
    return Cell(" ".join(account.phases))


def _letters(account: Account) -> Cell:
    """The first letters: `CHMRDQ`."""
    return Cell("".join(phase[:1] for phase in account.phases))


def _who(account: Account) -> Cell:
    return Cell(f"{account.flow.client.host}→{account.flow.server.host}")


Shown = tuple[Column, Callable[[Account], "Cell | str"]]

_FLOW: Final[Shown] = (Column("flow", right=True), lambda one: str(one.flow.number))
_NUMBER: Final[Shown] = (Column("N°", right=True), lambda one: str(one.flow.number))
_BEGAN: Final[Shown] = (Column("began (UTC)"), _time)
_CLIENT: Final[Shown] = (Column("client", least=15), lambda one: str(one.flow.client))
_SERVER: Final[Shown] = (Column("server", least=15), lambda one: str(one.flow.server))
_BOTH: Final[Shown] = (Column("client→server", least=13), _who)
_PROTOCOL: Final[Shown] = (Column("proto", least=4), lambda one: one.flow.protocol + ("+tls" if one.tls else ""))
_PLAIN: Final[Shown] = (Column("proto", least=4), lambda one: one.flow.protocol)
_USER: Final[Shown] = (Column("user", least=8), _users)
_PHASES: Final[Shown] = (Column("phases", least=6), _phases)
_LETTERS: Final[Shown] = (Column("phases", least=6), _letters)
_MESSAGES: Final[Shown] = (Column("mail", right=True), lambda one: str(one.messages or ""))
_SENT: Final[Shown] = (Column("C→S", right=True), lambda one: octets(one.sent))
_RECEIVED: Final[Shown] = (Column("S→C", right=True), lambda one: octets(one.received))
_OCTETS: Final[Shown] = (Column("octets", right=True), lambda one: octets(one.sent + one.received))
_LASTED: Final[Shown] = (Column("lasted", right=True), lambda one: lasting(one.duration))
_ANOMALIES: Final[Shown] = (Column("anomalies", least=6), _anomalies)
_FLAWS: Final[Shown] = (Column("anom.", least=6), _anomalies)

LAYOUTS: Final[Sequence[Sequence[Shown]]] = (
    (_FLOW, _BEGAN, _CLIENT, _SERVER, _PROTOCOL, _USER, _PHASES, _MESSAGES, _SENT, _RECEIVED, _LASTED, _ANOMALIES),
    (_FLOW, _CLIENT, _SERVER, _PROTOCOL, _USER, _PHASES, _MESSAGES, _SENT, _RECEIVED, _LASTED, _ANOMALIES),
    (_FLOW, _CLIENT, _SERVER, _PROTOCOL, _USER, _LETTERS, _MESSAGES, _SENT, _RECEIVED, _LASTED, _ANOMALIES),
    (_NUMBER, _BOTH, _PLAIN, _USER, _LETTERS, _MESSAGES, _OCTETS, _LASTED, _FLAWS),
    (_NUMBER, _BOTH, _PLAIN, _MESSAGES, _OCTETS, _LASTED, _FLAWS),
)
"""From wide to narrow: the first that fits is taken."""


def show(accounts: Sequence[Account], screen: Screen) -> None:
    """The table."""
    for layout in LAYOUTS if screen.width else LAYOUTS[:1]:
        columns = [column for column, _ in layout]
        rows = [[_cell(get(account)) for _, get in layout] for account in accounts]
        if not screen.width or total(natural(columns, rows)) <= screen.width:
            break
    screen.table(columns, rows)


def _cell(value: Cell | str) -> Cell:
    return value if isinstance(value, Cell) else Cell(value)
