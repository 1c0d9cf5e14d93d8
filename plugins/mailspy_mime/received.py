"""The way a message went: the chain of its Received fields as hops with delays (RFC 5321 §4.4).

Knows that field.  Must not know the others.
"""

from __future__ import annotations

import re
from typing import Final

from mailspy_mime.dates import seconds, utc
from mailspy_mime.fields import unfold
from mailspy_mime.limits import HOPS, TEXT, TOKEN
from mailspy_mime.words import text

Hop = dict[str, object]
"""`from`, `ip`, `by`, `with`, `id`, `for`, those that are there; `date` (RFC 3339, UTC), `delay` (seconds since the hop
before, for the first since the field Date; None where a date is missing)."""

_CLAUSES: Final = frozenset({"from", "by", "with", "id", "for"})
_WORDS: Final = 500
"""Words of one field that are looked at; honest ones have forty."""
_LITERAL: Final = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f.:]{3,45})\]")


def hops(values: list[str], sent: int | None) -> list[Hop]:
    """The hops, the oldest first, of values with the newest first, of which HOPS are read.

    `sent`: what the field Date says, in seconds.
    """
    found: list[Hop] = []
    for value in values[HOPS - 1::-1]:
        hop, moment = _hop(unfold(value[:TEXT]))
        hop["delay"] = moment - sent if moment is not None and sent is not None else None
        found.append(hop)
        sent = moment
    return found


def _hop(value: str) -> tuple[Hop, int | None]:
    clauses, _, date = value.rpartition(";")
    moment = seconds(date)
    if moment is None:
        clauses = value
    hop: Hop = {}
    depth, clause = 0, ""
    for word in clauses.split(None, _WORDS)[:_WORDS]:
        said = word
        if depth or "(" in word:
            said = "" if depth else word.partition("(")[0]
            depth = max(0, depth + word.count("(") - word.count(")"))
        if clause and said:
            hop.setdefault(clause, text(said[:TOKEN].rstrip(";")))
            clause = ""
        elif said and (name := said.lower()) in _CLAUSES:
            clause = name
    literal = _LITERAL.search(clauses)
    if literal is not None:
        hop["ip"] = literal[1]
    hop["date"] = utc(moment)
    return hop, moment
