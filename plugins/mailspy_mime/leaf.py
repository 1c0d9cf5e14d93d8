"""A leaf of the MIME tree: its octets decoded, counted, hashed, handed to whoever asked, and told at the end.

Knows one part.  Must not know where in the stream it begins and ends.
"""

from __future__ import annotations

from hashlib import sha256

from inspector import Finding, Message, Part, Session
from mailspy_mime.decoders import DECODERS
from mailspy_mime.entity import Entity


class Leaf:
    """A part whose octets are crossing now."""

    __slots__ = ("_decoder", "_digest", "_part", "_session", "_sink", "_size")

    def __init__(self, entity: Entity, number: str, within: tuple[tuple[str, str], ...], message: Message,
                 session: Session) -> None:
        content_type, charset, encoding, disposition, filename, _, _ = entity
        self._session = session
        self._part = Part(message, number, content_type, charset, encoding, disposition, filename, within)
        self._sink = session.open_part(self._part, message)
        decoder = DECODERS.get(encoding)
        self._decoder = decoder() if decoder else None
        self._digest = sha256()
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Takes encoded octets."""
        if self._decoder is not None:
            data = self._decoder.feed(data)
        if data:
            self._take(data)

    def _take(self, data: bytes) -> None:
        self._size += len(data)
        self._digest.update(data)
        if self._sink is not None:
            self._sink.feed(data)

    def close(self, complete: bool) -> None:
        """The part is over: tells it."""
        if self._decoder is not None and (rest := self._decoder.finish()):
            self._take(rest)
        if self._sink is not None:
            self._sink.close(complete)
        part, size = self._part, self._size
        name = f" “{part.filename}”" if part.filename else ""
        cut = "" if complete else ", cut short"
        self._session.report(Finding(
            "part",
            f"part {part.number}: {part.content_type}{name}, {size} octets{cut}",
            {
                "message": part.message.number,
                "part": part.number,
                "content_type": part.content_type,
                "filename": part.filename,
                "disposition": part.disposition,
                "encoding": part.encoding,
                "charset": part.charset,
                "size": size,
                "sha256": self._digest.hexdigest(),
                "complete": complete,
            }))
