"""Which replies may answer which command, and for whom a reply is that cannot answer the oldest.

Rules.  Replies answer commands in order; a code that its command never has shows that the count has slipped.  Refusals (4yz,
5yz) may answer any command (RFC 5321 §4.2.4, §4.3.2).  220, 221, 334 and 354 answer one kind of command each and nothing else.

Knows verbs and codes.  Must not know the state of a session.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from inspector.pdu import Exchange
from inspector.protocols.smtp.phases import BDAT_LAST, END_OF_DATA, GREETING
from inspector.wrapping import HEADER

REFUSALS: Final = frozenset(str(code) for code in range(400, 600))
"""What any command may be answered with."""
EXCLUSIVE: Final = frozenset({"220", "221", "334", "354"})
"""Codes that say of themselves what they answer."""
LOOKED_AT: Final = 32
"""Unanswered commands behind the oldest among which the one is sought that a reply is for, beside the last of all."""

_OWN: Final[Mapping[str, tuple[str, str]]] = {
    GREETING: ("220", "RFC 5321 §4.3.2"),
    "EHLO": ("250", "RFC 5321 §4.3.2"),
    "HELO": ("250", "RFC 5321 §4.3.2"),
    "LHLO": ("250", "RFC 2033 §4.1"),
    "MAIL": ("250", "RFC 5321 §4.3.2"),
    "RCPT": ("250 251", "RFC 5321 §4.3.2"),
    "DATA": ("354", "RFC 5321 §4.3.2"),
    END_OF_DATA: ("250", "RFC 5321 §4.3.2, RFC 2033 §4.2"),
    "BDAT": ("250", "RFC 3030 §2"),
    BDAT_LAST: ("250", "RFC 3030 §2"),
    "RSET": ("250", "RFC 5321 §4.3.2"),
    "VRFY": ("250 251 252", "RFC 5321 §4.3.2"),
    "EXPN": ("250 252", "RFC 5321 §4.3.2"),
    "HELP": ("211 214", "RFC 5321 §4.3.2"),
    "NOOP": ("250", "RFC 5321 §4.3.2"),
    "QUIT": ("221", "RFC 5321 §4.3.2"),
    "STARTTLS": ("220", "RFC 3207 §4"),
    "AUTH": ("235 334", "RFC 4954 §4, §6"),
    "ETRN": ("250 251 252 253", "RFC 1985 §5"),
    "ATRN": ("250", "RFC 2645 §5"),
    "TURN": ("250", "RFC 821 §4.3"),
    "SEND": ("250", "RFC 821 §4.3"),
    "SOML": ("250", "RFC 821 §4.3"),
    "SAML": ("250", "RFC 821 §4.3"),
    "XCLIENT": ("220 250", "Postfix XCLIENT"),
    "XFORWARD": ("250", "Postfix XFORWARD"),
    "": ("", "RFC 5321 §4.2.4"),
}
"""By verb: the codes with which it succeeds or goes on, and where that stands.  Of an unknown command nobody can say."""

ANSWERS: Final[Mapping[str, frozenset[str]]] = {
    **{verb: REFUSALS.union(own.split()) for verb, (own, _) in _OWN.items()},
    HEADER: frozenset({"221", "500", "501", "502", "503", "504"})}
"""By verb: all codes that may answer it."""
_SELF_EVIDENT: Final = frozenset(verb for verb, (own, _) in _OWN.items() if own and EXCLUSIVE.issuperset(own.split()))
"""Verbs that succeed with a code of their own only: GREETING, DATA, QUIT, STARTTLS."""
_LISTENED: Final = frozenset({"EHLO", "LHLO", "HELO", "HELP", "VRFY", "EXPN"})
"""Verbs whose good reply may be a list."""
_KEYWORD: Final = re.compile(rb"\n250[ -](?:8BITMIME|AUTH|BINARYMIME|CHUNKING|DSN|ENHANCEDSTATUSCODES|ETRN|PIPELINING|SIZE"
                             rb"|SMTPUTF8|STARTTLS|XCLIENT|XFORWARD)[ =\r\n]", re.IGNORECASE)
"""A line that only the reply to EHLO or LHLO has (RFC 5321 §4.1.1.1)."""


def answers(exchange: Exchange, status: str) -> bool:
    """Whether a code is one of those that stand in the table of the command; any for an unknown one that is not empty."""
    return status in ANSWERS[exchange.verb] or (exchange.verb == "" and not _empty(exchange))


def excluded(exchange: Exchange, status: str, listing: bool) -> bool:
    """Whether the command cannot have been answered so: by the first digit, by a code that is another's, or by a list that is.

    An odd success (`200` to MAIL) is not excluded: servers send it.
    """
    verb = exchange.verb
    if listing and verb not in _LISTENED:
        return True
    if status in ANSWERS[verb]:
        return False
    if not verb:
        return status in EXCLUSIVE or _empty(exchange)
    return status in EXCLUSIVE or verb in _SELF_EVIDENT or status[:1] not in {code[0] for code in _OWN[verb][0].split()}


def claimant(pending: Sequence[Exchange], status: str, listing: bool) -> int:
    """The place of the first command behind the oldest that the reply can be for; 0 when there is none."""
    last: int = len(pending) - 1
    behind: list[int] = [*range(1, min(last, LOOKED_AT)), last] if last else []
    for place in behind:
        verb = pending[place].verb
        if (verb in ("EHLO", "LHLO")) if listing else status in ANSWERS[verb]:
            return place
    return 0


def lists(raw: bytes) -> bool:
    """Whether a reply of several lines tells what a server can do, as only EHLO and LHLO are answered."""
    return raw[:4] == b"250-" and _KEYWORD.search(raw) is not None


def succeeds(exchange: Exchange) -> bool:
    """Whether the command can succeed: servers pass over an empty line."""
    return exchange.verb != "" or not _empty(exchange)


def _empty(exchange: Exchange) -> bool:
    """Whether the command is a line without a word: it cannot succeed, and some servers pass over it without a reply."""
    return exchange.command is not None and not exchange.command.shown.strip()
