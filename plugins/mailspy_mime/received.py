"""The way a message went: the chain of its Received fields as hops with delays (RFC 5321 §4.4).

Knows that field.  Must not know the others.
"""

from __future__ import annotations

import re
from typing import Final

from mailspy_mime.dates import seconds, utc
from mailspy_mime.fields import unfold
from mailspy_mime.limits import TEXT, TOKEN
from mailspy_mime.words import text

Hop = dict[str, object]
"""`from`, `ip`, `by`, `with`, `id`, `for`, those that are there; `date` (RFC 3339, UTC), `delay` (seconds since the hop
before, for the first since the field Date; None where a date is missing)."""

_COMMENT: Final = re.compile(r"\([^()]*+\)")
_DEEP: Final = 3
"""Comments within each other that are taken out."""
_CLAUSE: Final = re.compile(r"(?:\A|\s)(from|by|with|id|for)\s++([^\s;]++)", re.IGNORECASE | re.ASCII)
_LITERAL: Final = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f.:]{3,45})\]")


def hops(values: list[str], sent: int | None) -> list[Hop]:
    """The hops, the oldest first, of values with the newest first; `sent`: what the field Date says, in seconds."""
    found: list[Hop] = []
    for value in reversed(values):
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
    bare = clauses
    for _ in range(_DEEP):
        if "(" not in bare:
            break
        bare = _COMMENT.sub("", bare)
    hop: Hop = {}
    for name, said in _CLAUSE.findall(bare):
        hop.setdefault(name.lower(), text(said[:TOKEN]))
    literal = _LITERAL.search(clauses)
    if literal is not None:
        hop["ip"] = literal[1]
    hop["date"] = utc(moment)
    return hop, moment
