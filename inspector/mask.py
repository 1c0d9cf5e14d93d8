"""Masking: a segment with its secrets replaced by stars of the same length, so that captures can be kept and replayed.

Rules.  A secret is masked before it is known to be whole: of `PASS mon` the last three octets are secret, whatever follows.
Where the reader waits to learn what the client's octets mean, and they may be a SASL response, every line that is not a known
command is taken for secret.

Knows a session's readers.  Must not know captures.
"""

from __future__ import annotations

from inspector.pdu import C2S, stars
from inspector.protocols import foreign
from inspector.protocols.pop3 import grammar as pop3
from inspector.protocols.line import line_end, partial_span
from inspector.protocols.smtp import grammar as smtp
from inspector.session import Session

WORDS = (b"PASS", b"APOP", b"AUTH")
"""Commands that carry secrets, in any protocol."""


def masked(session: Session, data: bytes) -> bytes:
    """The segment that the client's reader took last, its secrets masked."""
    reader = session.client
    begin = reader.position - len(data)
    spans = [(pdu.offset + pdu.secret[0], pdu.offset + pdu.secret[1])
             for pdu in session.seen or () if pdu.secret is not None and pdu.direction is C2S]
    half_read = reader.buffer or reader.long_head
    if half_read and (span := session.partial_secret(half_read)):
        spans.append((reader.offset + span[0], reader.position if reader.long_head else reader.offset + span[1]))
    for first, last in spans:
        data = _cover(data, first - begin, last - begin)
    if reader.held_size and session.secret_held():
        at = max(0, len(data) - reader.held_size)
        data = data[:at] + masked_lines(data[at:], everything=True)
    return data


def _cover(data: bytes, first: int, last: int) -> bytes:
    first, last = max(0, first), min(len(data), last)
    return data[:first] + stars(last - first) + data[last:] if last > first else data


def masked_lines(data: bytes, everything: bool = False) -> bytes:
    """Lines whose meaning is not known yet: `everything` masks all but known commands, else only what looks secret."""
    return b"".join(_masked_line(line, everything) for line in data.splitlines(keepends=True))


def _masked_line(line: bytes, everything: bool) -> bytes:
    span = partial_span(line, WORDS)
    if span is None and everything and not _known(line):
        span = (0, line_end(line))
    return line if span is None else _cover(line, *span)


def _known(line: bytes) -> bool:
    words = line.split(maxsplit=1)
    return bool(words) and (words[0] == b"*" or pop3.find(words[0]) is not None or smtp.find(words[0]) is not None
                            or bool(foreign.speaks(line)))
