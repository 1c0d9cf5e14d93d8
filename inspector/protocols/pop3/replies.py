"""Which replies may answer which command, and for whom a reply is that cannot answer the oldest.

Rules.  Replies answer commands in order, `+OK` or `-ERR`, and `-ERR` may answer any.  `+` answers AUTH alone (RFC 5034 §4).  What
follows `+OK` to STAT, and to LIST and UIDL with a number, has a form (RFC 1939 §5, §7); an empty line cannot succeed.

Knows commands and status lines.  Must not know the state of a session.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from inspector.pdu import Exchange

LOOKED_AT: Final = 32
"""Unanswered commands behind the oldest among which the one is sought that a reply is for, beside the last of all."""
SHAPED: Final = frozenset({"STAT", "LIST", "UIDL", ""})
"""Verbs that not every `+OK` can answer."""
_SCAN: Final = re.compile(rb"\+OK +\d+ +\d+\s", re.IGNORECASE)
_UNIQUE: Final = re.compile(rb"\+OK +\d+ +[!-~]+\s", re.IGNORECASE)
_LINES: Final[Mapping[str, re.Pattern[bytes]]] = {
    "LIST": re.compile(rb"\d+ +\d+\s"),
    "UIDL": re.compile(rb"\d+ +[!-~]+\s"),
    "CAPA": re.compile(rb"[!-~]+\s"),
    "RETR": re.compile(rb"[!-9;-~]+:"),
    "TOP": re.compile(rb"[!-9;-~]+:"),
}
"""How the first line of a reply of several begins."""


def excluded(exchange: Exchange, line: bytes) -> bool:
    """Whether a line that begins with `+OK` cannot be the answer to the command."""
    verb, command = exchange.verb, exchange.command
    if verb == "":
        return command is not None and not command.shown.strip()
    if verb == "STAT":
        return _SCAN.match(line) is None
    if verb not in SHAPED or exchange.entry.multiline:
        return False
    return (_SCAN if verb == "LIST" else _UNIQUE).match(line) is None


def claimant(pending: Sequence[Exchange], line: bytes) -> int:
    """The place of the first command behind the oldest that the status line can be for; 0 when there is none."""
    for place in _behind(pending):
        if not excluded(pending[place], line):
            return place
    return 0


def owner(pending: Sequence[Exchange], line: bytes) -> int:
    """The place of the first unanswered command to whose successful reply the line, which has no status, can belong; or -1."""
    for place in [0, *_behind(pending)]:
        exchange = pending[place]
        shape = _LINES.get(exchange.verb)
        if shape is not None and exchange.entry.multiline and shape.match(line):
            return place
    return -1


def _behind(pending: Sequence[Exchange]) -> list[int]:
    last = len(pending) - 1
    return [*range(1, min(last, LOOKED_AT)), last] if last > 0 else []
