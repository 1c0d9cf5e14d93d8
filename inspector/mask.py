"""Masking: a segment with its secrets replaced by stars of the same length, so that captures can be kept and replayed.

Rules.  A secret is masked before it is known to be whole: of `PASS mon` the last three octets are secret, whatever follows.
What a client sends before the answer to AUTH is secret, all of it: nobody can tell a password from a command there.

Knows a session's readers.  Must not know captures.
"""

from __future__ import annotations

from inspector.pdu import stars
from inspector.protocols.line import SECRET_WORDS, asks_on, line_end, partial_span
from inspector.session import Session


def masked(session: Session, data: bytes) -> bytes:
    """The segment that the client's reader took last, its secrets masked."""
    reader = session.client
    begin = reader.position - len(data)
    spans = list(session.hidden)
    half_read = reader.half_read
    if half_read and (span := session.partial_secret(half_read)):
        spans.append((reader.offset + span[0], reader.position if reader.long_head else reader.offset + span[1]))
    for first, last in spans:
        data = covered(data, first - begin, last - begin)
    if reader.held_size:
        held = reader.waiting
        hidden = masked_lines(held, everything=session.secret_held())
        kept = len(data) - len(held)
        data = data[:kept] + hidden if kept > 0 else hidden[-len(data):]
    return data


def covered(data: bytes, first: int, last: int) -> bytes:
    """The octets with those from `first` to `last` masked, the end of a line left out."""
    first, last = max(0, first), min(len(data), last)
    if last <= first:
        return data
    last = first + line_end(data[first:last]) if data[last - 1] == 10 else last
    return data[:first] + stars(last - first) + data[last:]


def masked_lines(data: bytes, everything: bool = False) -> bytes:
    """Lines whose meaning is not known yet: `everything` masks all of them, else only what looks secret, and all that comes after
    AUTH."""
    masked: list[bytes] = []
    for line in data.splitlines(keepends=True):
        masked.append(_masked_line(line, everything))
        everything = everything or asks_on(line)
    return b"".join(masked)


def _masked_line(line: bytes, everything: bool) -> bytes:
    if everything:
        return line if line.strip() == b"*" else covered(line, 0, line_end(line))
    span = partial_span(line, SECRET_WORDS)
    return line if span is None else covered(line, *span)
