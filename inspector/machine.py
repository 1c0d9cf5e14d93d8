"""Walking any phase table: where a session is, where it will be when its commands succeed.

Rules.  A table is a nested literal: state → verb → `Row`, and a row maps the outcome of the reply to the next state.  The
machine observes and never enforces: a verb that a state does not list leaves the state as it is.  Under pipelining a
command is judged by the state expected when all commands before it succeed; a reply that dashes that hope makes the
expectation anew from the commands still unanswered.

Knows outcomes and tables.  Must not know any protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from inspector.pdu import FAILED, MORE, OK, Outcome


class Row(NamedTuple):
    """What one verb does in one state."""

    reference: str
    """Where it stands: RFC and section."""
    next: Mapping[Outcome, str]
    """The state after a reply with that outcome; an outcome that is not listed changes nothing."""
    phase: str = ""
    """The phase that the command and its replies belong to, where that is not the state itself."""

    def success(self) -> str:
        """The state hoped for: after OK, or after MORE where no OK is listed."""
        following = self.next
        return following.get(OK) or following.get(MORE) or following[FAILED]


Table = Mapping[str, Mapping[str, Row]]

_STAY: Final[Mapping[Outcome, str]] = {}


class Machine:
    """A walk through one table."""

    __slots__ = ("expected", "stale", "state", "table")

    def __init__(self, table: Table, start: str) -> None:
        self.table = table
        self.state = start
        """Where the replies seen so far have led."""
        self.expected = start
        """Where the session will be when every unanswered command succeeds; not to be used while `stale`."""
        self.stale = False
        """A reply was not the one hoped for: `hope` must make the expectation anew before the next command."""

    def announce(self, verb: str) -> Row | None:
        """A command was sent: its row in the expected state, or None when that state does not list it."""
        row = self.table[self.expected].get(verb)
        if row is not None and row.next:
            self.expected = row.success()
        return row

    def settle(self, verb: str, outcome: Outcome) -> bool:
        """A reply to `verb` has come.  True when the state has changed."""
        before = self.state
        row = self.table[before].get(verb)
        if row is None or not row.next:
            return False
        self.state = row.next.get(outcome, before)
        if self.state != row.success():
            self.stale = True
        return self.state != before

    def hope(self, unanswered: Iterable[str]) -> None:
        """Makes the expectation anew from the verbs still unanswered: once for any number of replies."""
        self.stale = False
        self.expected = self.state
        for verb in unanswered:
            self.announce(verb)


def rows(table: Table) -> Iterable[tuple[str, str, Row]]:
    """Every (state, verb, row) of a table, in its order."""
    for state, verbs in table.items():
        for verb, row in verbs.items():
            yield state, verb, row


def moving(table: Table) -> frozenset[str]:
    """The verbs that move the machine somewhere in the table."""
    return frozenset(verb for _, verb, row in rows(table) if row.next)


def stay(reference: str, phase: str = "") -> Row:
    """A row that no reply moves."""
    return Row(reference, _STAY, phase)
