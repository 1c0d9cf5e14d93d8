"""A leaf of the MIME tree: its octets decoded, counted, hashed, handed to whoever asked, and told at the end.

Knows one part.  Must not know where in the stream it begins and ends.
"""

from __future__ import annotations

import codecs
from hashlib import sha256

from inspector import Finding, Message, Part, Session
from mailspy_mime.decoders import DECODERS, AnyDecoder
from mailspy_mime.doubts import Doubts
from mailspy_mime.embedded import Embedded, Piece
from mailspy_mime.entity import Entity
from mailspy_mime.fields import decode
from mailspy_mime.limits import NAME
from mailspy_mime.tree import Tree
from mailspy_mime.words import text

_ASCII = frozenset({"us-ascii", "ascii"})
_UTF8 = frozenset({"utf-8", "utf8"})


class Leaf:
    """A part whose octets are crossing now."""

    __slots__ = ("_checked", "_decoder", "_digest", "_embedded", "_file", "_files", "_part", "_session", "_sink", "_size",
                 "_tree", "_utf8", "_wrong")

    def __init__(self, part: Part, session: Session, tree: Tree, decoder: type[AnyDecoder] | None, first: bool) -> None:
        """`first` is the reading in which files are looked for: in all of them their order would depend on the cutting."""
        content_type, charset = part.content_type, part.charset
        self._part = part
        self._session = session
        self._tree = tree
        self._sink = session.open_part(part, part.message)
        self._decoder: AnyDecoder | None = decoder() if decoder is not None else None
        self._digest = sha256()
        self._size = 0
        self._checked = content_type.startswith("text/") and (charset in _ASCII or charset in _UTF8)
        """Whether the octets may still turn out not to be of the declared character set."""
        self._utf8: codecs.IncrementalDecoder | None = None
        self._wrong = ""
        self._embedded: Embedded | None = Embedded() if first and content_type == "text/plain" else None
        self._file: Leaf | None = None
        """The file in hand that is written into the text."""
        self._files = 0

    @property
    def patient(self) -> bool:
        """Whether nothing is told before its end, whatever comes."""
        return self._embedded is None and (self._sink is None or getattr(self._sink, "patient", False))

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
        if self._checked and not (self._utf8 is None and data.isascii()):
            self._check(data, False)
        if self._embedded is not None:
            pieces = self._embedded.feed(data)
            if pieces:
                self._write(pieces)

    def close(self, complete: bool) -> Doubts:
        """The part is over: tells it.  The result: what is wrong with it."""
        doubts: Doubts = ()
        decoder = self._decoder
        if decoder is not None:
            if rest := decoder.finish():
                self._take(rest)
            if decoder.name and not self._part.filename:
                self._part.filename = text(decode(decoder.name))[:NAME]
        if self._embedded is not None and (pieces := self._embedded.finish()):
            self._write(pieces)
        if self._utf8 is not None:
            self._check(b"", True)
        if self._sink is not None:
            self._sink.close(complete)
        self._tell(complete)
        # What was cut short is not wrong for it.
        if decoder is not None and decoder.broken and complete:
            doubts = (("broken_encoding", f"part {self._part.number}: {self._part.encoding}"),)
        if self._wrong:
            doubts += (("charset_lie", f"part {self._part.number}: {self._wrong}"),)
        return doubts

    def _tell(self, complete: bool) -> None:
        part, size = self._part, self._size
        name = f" “{part.filename}”" if part.filename else ""
        cut = "" if complete else ", cut short"
        fields: dict[str, object] = {
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
        }
        if part.candidates:
            fields["candidates"] = part.candidates
        self._session.report(Finding(
            "part", f"part {part.number}: {part.content_type}{name}, {size} octets{cut}", fields))

    def _check(self, data: bytes, final: bool) -> None:
        """Whether octets above 127 are of the declared character set."""
        charset = self._part.charset
        if charset in _ASCII:
            self._wrong = f"{charset}, but octets above 127"
            self._checked = False
            return
        if self._utf8 is None:
            self._utf8 = codecs.getincrementaldecoder("utf-8")()
        try:
            self._utf8.decode(data, final)
        except UnicodeDecodeError:
            self._wrong = f"{charset}, but octets that are not"
            self._checked = False
            self._utf8 = None

    def _write(self, pieces: list[Piece]) -> None:
        """Files within the text are parts of their own, numbered like entities of a container."""
        for piece in pieces:
            if piece.encoding:
                self._file = self._new_file(piece) if self._tree.count() else None
            elif self._file is not None and piece.complete is not None:
                self._file.close(piece.complete)
                self._file = None
            elif self._file is not None:
                self._file.feed(piece.octets)

    def _new_file(self, piece: Piece) -> Leaf:
        part = self._part
        self._files += 1
        name = text(decode(piece.name[:4 * NAME]))[:NAME]
        within = (*part.within, (part.number, part.content_type))
        return Leaf(Part(part.message, f"{part.number}.{self._files}", "application/octet-stream", "", piece.encoding, "",
                         name, within), self._session, self._tree, None, True)


class Readings:
    """A part that readers decode differently: every reading of it is told."""

    __slots__ = ("_leaves",)

    def __init__(self, leaves: list[Leaf]) -> None:
        self._leaves = leaves

    @property
    def patient(self) -> bool:
        """Whether nothing is told before its end, in any reading."""
        return all(leaf.patient for leaf in self._leaves)

    def feed(self, data: bytes) -> None:
        """Takes encoded octets."""
        for leaf in self._leaves:
            leaf.feed(data)

    def close(self, complete: bool) -> Doubts:
        """The part is over.  That an encoding is broken which is not ours says nothing."""
        doubts = [leaf.close(complete) for leaf in self._leaves]
        return doubts[0]


def leaf_of(entity: Entity, message: Message, session: Session, tree: Tree) -> Leaf | Readings:
    """What takes the body of the entity in hand."""
    leaf = _reading(entity, entity.encoding, tree.number, message, session, tree, True)
    if not entity.others:
        return leaf
    return Readings([leaf, *[_reading(entity, encoding, f"{tree.number}/{encoding or 'plain'}", message, session, tree, False)
                             for encoding in entity.others]])


def _reading(entity: Entity, encoding: str, number: str, message: Message, session: Session, tree: Tree, first: bool) -> Leaf:
    part = Part(message, number, entity.content_type, entity.charset, encoding, entity.disposition, entity.filename,
                tree.path, entity.candidates)
    return Leaf(part, session, tree, DECODERS.get(encoding), first)
