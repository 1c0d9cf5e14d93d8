"""What the header of a MIME entity says of its body.

Knows the Content-* fields (RFC 2045, RFC 2183) and their defaults.  Must not know the tree or the stream.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from mailspy_mime.doubts import NONE, Candidates, Doubts, listed
from mailspy_mime.fields import Again, Fields
from mailspy_mime.limits import PARAMETERS, READINGS, TOKEN
from mailspy_mime.parameters import boundaries, decoded, parse, readings
from mailspy_mime.words import lookup, text

IDENTITY: Final = frozenset({"", "7bit", "8bit", "binary"})
"""Encodings that change nothing: the only ones that a container may have (RFC 2045 §6.4)."""
MESSAGES: Final = frozenset({"message/rfc822", "message/global", "message/news"})
"""Types whose body is a message with a header of its own (RFC 2046 §5.2.1, RFC 6532 §3.7, RFC 5537 §4.1)."""
UUENCODE: Final = frozenset({"x-uuencode", "x-uue", "uuencode", "uue"})
"""Names of an encoding that never got one."""
DECODED: Final = frozenset({"base64", "quoted-printable", "x-yenc"}) | UUENCODE
ENCODINGS: Final = IDENTITY | DECODED
"""Those that we read."""
_REMEMBERED: Final = 64
"""Characters of a value whose reading is remembered: the same few types occur in nearly all mail."""
_BOUNDARY: Final = 70
"""Octets of a boundary that are allowed (RFC 2046 §5.1.1)."""


class ContentType(NamedTuple):
    """The field Content-Type."""

    name: str
    charset: str = ""
    names: tuple[str, ...] = ()
    """What `name` says, which older mail has in place of the `filename` of Content-Disposition; every reading."""
    boundaries: tuple[bytes, ...] = ()
    """Of a multipart: every reading."""
    doubts: Doubts = ()


class Entity(NamedTuple):
    """The header of a part, or of a message, as far as its body is concerned."""

    content_type: str
    charset: str
    encoding: str
    disposition: str
    filename: str
    boundaries: tuple[bytes, ...] = ()
    """Of a multipart: nearly always one; several where readers may take different ones; empty if there is none."""
    others: tuple[str, ...] = ()
    """Encodings that other readers may take."""
    doubts: Doubts = ()
    """What readers may take differently."""
    candidates: Candidates = NONE

    @property
    def is_message(self) -> bool:
        """Whether the body is a message that can be read as it streams, decoded if need be."""
        return self.content_type in MESSAGES and self.encoding in ENCODINGS


def describe(fields: Fields, default: str, again: Again | None = None, quiet: bool = False) -> Entity:
    """Reads the Content-* fields; `default` is the type of an entity without any (RFC 2046 §5.1.5).

    `again`: fields that stand more than once; of each the first is taken, but a multipart is preferred, so that no part
    stays unread.  `quiet`: other readings of names need not be sought, which costs as much as all the rest.
    """
    given = fields.get("content-type")
    kind = ContentType(default) if given is None else read_type(given)
    encoding = fields.get("content-transfer-encoding", "")
    written, doubts = "", kind.doubts
    if encoding not in ENCODINGS:
        encoding, written, more = _encoding(encoding)
        doubts += more
    names = kind.names
    disposition = fields.get("content-disposition", "")
    if disposition:
        disposition, said = _disposition(disposition, quiet)
        if said != names:
            names = tuple(dict.fromkeys(said + names)) if names and not (quiet and said) else said
    if not again and not written and len(names) < 2 and (
            (len(kind.boundaries) == 1 and encoding in IDENTITY) or not kind.name.startswith("multipart/")):
        return Entity(kind.name, kind.charset, encoding, disposition, names[0] if names else "", kind.boundaries, (), doubts)
    entity = Entity(kind.name, kind.charset, encoding, disposition, "", (), (), doubts,
                    {"encoding": (encoding, written)} if written else {})
    return _doubtful(entity, kind, names, again or {})


def read_type(value: str) -> ContentType:
    """The field Content-Type."""
    return (_common if len(value) <= _REMEMBERED else _content_type)(value)


def _doubtful(entity: Entity, kind: ContentType, names: tuple[str, ...], again: Again) -> Entity:
    """An entity that needs a second look: a multipart, or one whose fields contradict each other."""
    encoding, doubts, candidates = entity.encoding, entity.doubts, entity.candidates
    others: tuple[str, ...] = ()
    if again:
        kind = _every_type(again, kind, candidates)
        others = _every_encoding(again, encoding, candidates)
        dispositions = [_disposition(value, False) for value in again.get("content-disposition", ())]
        _keep(candidates, "disposition", [name for name, _ in dispositions])
        names = tuple(dict.fromkeys([*names, *(one for _, said in dispositions for one in said), *kind.names]))
    if len(names) > 1:
        doubts += (("ambiguous_filename", listed(names)),)
        _keep(candidates, "filename", names)
    if kind.name.startswith("multipart/"):
        if encoding not in IDENTITY:
            doubts += (("encoded_multipart", f"{kind.name}: {encoding}"),)
        if not kind.boundaries:
            doubts += (("missing_boundary", kind.name),)
        elif len(kind.boundaries) > 1:
            shown = tuple(one.decode("utf-8", "backslashreplace") for one in kind.boundaries)
            doubts += (("ambiguous_boundary", listed(shown)),)
            _keep(candidates, "boundary", shown)
    return entity._replace(content_type=kind.name, charset=kind.charset, filename=names[0] if names else "",
                           boundaries=kind.boundaries, others=others, doubts=doubts, candidates=candidates or NONE)


def _every_type(again: Again, kind: ContentType, candidates: Candidates) -> ContentType:
    """The type to go by: of several the first multipart, with the boundaries of all."""
    if "content-type" not in again:
        return kind
    kinds = [read_type(value) for value in again["content-type"][:READINGS]]
    _keep(candidates, "content_type", [one.name for one in kinds])
    chosen = next((one for one in kinds if one.boundaries), kind)
    every = tuple(dict.fromkeys(boundary for one in kinds for boundary in one.boundaries))
    names = tuple(dict.fromkeys(name for one in kinds for name in one.names))
    return chosen._replace(boundaries=every, names=names)


def _every_encoding(again: Again, encoding: str, candidates: Candidates) -> tuple[str, ...]:
    """Encodings besides the one to go by."""
    values = again.get("content-transfer-encoding", ())
    every = [value if value in ENCODINGS else _encoding(value)[0] for value in values[:READINGS]]
    _keep(candidates, "encoding", every)
    ours = encoding if encoding in DECODED else ""
    different = dict.fromkeys(one if one in DECODED else "" for one in every)
    return tuple(one for one in different if one != ours)


def _keep(candidates: Candidates, name: str, readings: tuple[str, ...] | list[str]) -> None:
    different = tuple(dict.fromkeys(readings))
    if len(different) > 1:
        candidates[name] = different


def _content_type(value: str) -> ContentType:
    """A type that is not `type/subtype` counts as text/plain (RFC 2045 §5.2)."""
    structured = parse(value)
    token = structured.token
    name = text(token[:TOKEN]) if token.count("/") == 1 else "text/plain"
    doubts: Doubts = (("mime_limit", f"more than {PARAMETERS - 1} parameters: {name}"),) if structured.cut else ()
    if name.startswith("multipart/"):
        every = boundaries(structured)
        if every and len(every[0]) > _BOUNDARY:
            doubts += (("long_boundary", f"{len(every[0])} octets: {every[0][:_BOUNDARY].decode('ascii', 'replace')}…"),)
        return ContentType(name, boundaries=every, doubts=doubts)
    charset = decoded(structured.parameters, "charset")[:TOKEN].lower()
    if charset and lookup(charset) is None:
        doubts += (("unknown_charset", charset),)
    return ContentType(name, charset, readings(structured, "name"), doubts=doubts)


_common = lru_cache(maxsize=256)(_content_type)


def _disposition(value: str, quiet: bool) -> tuple[str, tuple[str, ...]]:
    """The token of Content-Disposition, and every reading of the file name."""
    structured = parse(value)
    if not structured.parameters:
        names: tuple[str, ...] = ()
    elif quiet:
        name = decoded(structured.parameters, "filename")
        names = (name,) if name else ()
    else:
        names = readings(structured, "filename")
    return text(structured.token[:TOKEN]), names


def _encoding(value: str) -> tuple[str, str, Doubts]:
    """An encoding that is not plainly written, how it was written if readers may stumble over that, and doubts."""
    token = parse(value).token
    name = text(token.strip('"')[:TOKEN])
    if name not in ENCODINGS:
        return name, "", (("unknown_encoding", name),)
    if value.strip().lower() == name:
        return name, "", ()
    written = text(value[:TOKEN])
    return name, written, (("odd_encoding", written),)
