"""Masking: a segment with its secrets replaced by stars of the same length, so that captures can be kept and replayed.

Rules.  Deny by default: what a client sends is shown where somebody has read it as harmless (`harmless`), or as a
content.  A secret is masked before it is known to be whole: of `PASS mon` the last three octets are secret, whatever follows.
What is not read is masked, all of it.

Knows a session's readers.  Must not know captures.
"""

from __future__ import annotations

from typing import Final

from inspector.echo import COMPARED, Echo
from inspector.harmless import LOOKED_AT as LINE
from inspector.harmless import WHOLE, lines_of, veil
from inspector.hold import Cover, Hold, Letters, Unread, masked_lines, secret_lines
from inspector.pdu import C2S
from inspector.reader import RECORD_TYPES, Reader
from inspector.recognition import LOOKED_AT
from inspector.session import Session

__all__ = ["Mask", "covered", "masked_lines"]


ECHOED: Final = 4_096
"""Octets of a server that nobody reads that may say again what its client has just said."""


NOWHERE: Final = -2
"""Where in a stream no line begins."""

TAIL: Final = 1_024
"""Octets of a client that nobody reads in which words are looked for."""


class Mask:
    """What is remembered of a flow to mask what its client sends next."""

    __slots__ = ("_answer", "_chunks", "_due", "_early", "_echo", "_half", "_heard", "_hold", "_octets", "_tail", "_until")

    def __init__(self) -> None:
        self._hold: Hold | None = None
        """What the reader holds."""
        self._chunks: Letters | None = None
        """BDAT chunks of which no segment was missed."""
        self._echo: Echo | None = None
        """Of what it has said that nobody has read."""
        self._tail = b""
        """What the client has said last that nobody has read."""
        self._heard = b""
        """What the server has said last of which the same is true."""
        self._due = 0
        """Octets of a server that nobody reads that are still compared with what its client has said last."""
        self._early: Echo | None = None
        """The secrets in its whole lines while it is not known what the flow is."""
        self._half = b""
        """The line that it has begun then."""
        self._answer = b""
        """The same of the server."""
        self._octets: Unread | None = None
        """What is not read."""
        self._until = 0
        """Where in the stream they have come to."""

    def masked(self, session: Session, data: bytes) -> bytes:
        """The segment that the client's reader took last, its secrets masked."""
        reader = session.client
        begin = reader.position - len(data)
        shown = self._content(session, data, begin)
        for offset, line, size in session.hidden:
            shown = _laid(shown, offset - begin, line)
            shown = _hidden(shown, offset + len(line) - begin, offset + size - begin)
        if reader.step is Reader.opaque:
            shown = self._unread(session, shown, max(0, reader.offset - begin))
        elif reader.step is not Reader.record and begin >= reader.offset + LINE and (reader.buffer or reader.long_head):
            shown = _hidden(shown, 0, len(data) - reader.held_size)
        elif (half_read := bytes(reader.buffer[:LINE]) or reader.long_head[:LINE]) and not _begins_record(reader):
            shown = _laid(shown, reader.offset - begin, shown_part(session, half_read))
            shown = _hidden(shown, reader.offset + LINE - begin, len(data) - reader.held_size)
        if reader.held_size:
            return self._held(session, shown)
        self._hold = None
        return shown

    def faulty(self, session: Session, data: bytes) -> None:
        """Reading the segment that the client's reader took last has failed: what of it no PDU has, nobody has read."""
        begin, end = session.client.position - len(data), session.client.offset
        told = [pdu.offset + pdu.size for pdu in session.seen or () if pdu.direction is C2S]
        begin, before = max([begin, *told]), begin
        if begin < end:
            unread = data[begin - before:end - before]
            session.hidden.append(Cover(begin, unread.translate(WHOLE), len(unread)))
            self.said(unread)

    def heard(self, session: Session, data: bytes, end: int) -> bytes:
        """Octets of the server without what comes back of the client's secrets; `end`: where in its stream they end."""
        reader = session.server
        begin = end - len(data)
        shown = data
        for offset, line, size in session.echo.covers if session.echo is not None else ():
            shown = _laid(shown, offset - begin, line)
            shown = _hidden(shown, offset + len(line) - begin, offset + size - begin)
        if reader.step is Reader.opaque:
            return self.unread(shown)
        if session.client.step is Reader.opaque:
            # mailspy ends the flow; its own words are no server's.
            theirs = max(0, reader.said[0][0] - begin) if reader.said else len(shown)
            return self.unread(shown[:theirs]) + shown[theirs:]
        half_read = reader.half_read[:LINE + 1]
        heard = session.heard_so_far(half_read, True)
        if heard != half_read:
            shown = _laid(shown, reader.offset - begin, heard)
            # Of what is longer than what is kept of it, too.
            shown = _hidden(shown, reader.offset + len(heard) - begin, len(shown))
        return shown

    def said(self, data: bytes, words: bytes | None = None) -> None:
        """The client has said what nobody has read; `words`: all of it so far that may be secret, where it is known."""
        self._tail = (self._tail + data if words is None else words)[-TAIL:]
        self._echo = Echo()
        self._echo.remember(self._tail, 0)
        self._due = ECHOED

    def said_early(self, data: bytes, words: bytes | None) -> None:
        """The same before it is known what the flow is."""
        self.said(data, words)
        self._answer = b""
        lines = lines_of(self._half + data)
        self._half = lines.pop()[:LINE] if lines and lines[-1][-1:] != b"\n" else b""
        for line in lines if words is None else ():
            if (found := veil(line)) is not None:
                self._early = self._early or Echo()
                self._early.remember(line, found.first)

    def heard_early(self, data: bytes) -> bytes:
        """What the server says then: of whole lines, as who reads the flow will tell it."""
        if self._early is not None:
            shown: list[bytes] = []
            for piece in lines_of(data):
                line = self._answer + piece
                shown.append(self._early.veiled(line, NOWHERE)[len(self._answer):])
                self._answer = b"" if piece[-1:] == b"\n" else line[:LINE]
            data = b"".join(shown)
        return self.unread(data)

    def bare(self, data: bytes) -> bytes:
        """The server's first octets without what its client has said before that nobody has read."""
        return data if self._echo is None else self._echo.without(data)

    def unread(self, data: bytes) -> bytes:
        """Octets of a server that nobody has read, without what comes back of what its client has said last."""
        size = min(len(data), self._due)
        self._due -= size
        if not size or self._echo is None:
            return data
        before, joined = len(self._heard), self._heard + data[:size]
        self._heard = joined[-COMPARED:]
        return self._echo.without(joined)[before:] + data[size:]

    def _unread(self, session: Session, shown: bytes, at: int) -> bytes:
        """The same, what is not read covered, from `at` on."""
        reader = session.client
        unread, begin = self._octets, reader.position - len(shown) + at
        if unread is None:
            unread = self._octets = Unread(LOOKED_AT if reader.offset == session.headed else 0)
            before = reader.unread[:begin - reader.offset]
            unread.feed(before)
            self._tail = before or self._tail
        self.said(shown[at:])
        return shown[:at] + unread.feed(shown[at:])

    def _held(self, session: Session, shown: bytes) -> bytes:
        """The same, what is held covered."""
        reader = session.client
        begin = reader.position - reader.held_size
        hold = self._hold
        if hold is None or hold.begin != begin or reader.held_size - hold.size > len(shown):
            hold = self._hold = Hold(begin, session.holds(), session.comes_after, max(0, session.taint - begin),
                                     session.asks_for_tls)
        new = reader.held_size - hold.size
        if new <= len(shown):
            return shown[:len(shown) - new] + hold.feed(shown[len(shown) - new:])
        return hold.feed(reader.waiting)[-len(shown):]

    def _content(self, session: Session, data: bytes, begin: int) -> bytes:
        """Of BDAT chunks that nobody has agreed to yet, lines that are AUTH."""
        if not session.chunked:
            self._chunks = None
            return data
        session.chunked = session.client.step is Reader.octets
        if self._chunks is None or self._until != begin:
            self._chunks = Letters()
        self._until = begin + len(data)
        return self._chunks.feed(data)


def covered(line: bytes, first: int, last: int) -> bytes:
    """A client's line with its secret covered."""
    found = veil(line)
    return found.line if found is not None and found.first == first else _hidden(line, first, last)


def shown_part(session: Session, rest: bytes) -> bytes:
    """The same of a line of which the end is still to come."""
    span = session.partial_secret(rest)
    if span is None:
        return rest
    if not session.secretive and (found := veil(rest)) is not None and found.first == span[0]:
        return found.line
    return rest[:span[0]] + secret_lines(rest[span[0]:span[1]]) + rest[span[1]:]


def _begins_record(reader: Reader) -> bool:
    """Whether what is half read may become a record of TLS: five octets tell."""
    return reader.step is Reader.record and reader.buffer[0] in RECORD_TYPES


def _laid(data: bytes, at: int, shown: bytes) -> bytes:
    """The segment with that in its place, as far as it is in the segment."""
    if at < 0:
        shown, at = shown[-at:], 0
    shown = shown[:max(0, len(data) - at)]
    return data[:at] + shown + data[at + len(shown):]


def _hidden(data: bytes, first: int, last: int) -> bytes:
    first, last = max(0, first), min(len(data), last)
    return data[:first] + data[first:last].translate(WHOLE) + data[last:] if first < last else data
