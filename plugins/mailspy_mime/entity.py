"""What the header of a MIME entity says of its body.

Knows the Content-* fields (RFC 2045, RFC 2183) and their defaults.  Must not know the tree or the stream.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from mailspy_mime.doubts import Doubts, names
from mailspy_mime.fields import Fields
from mailspy_mime.limits import BOUNDARY, TOKEN
from mailspy_mime.parameters import decoded, parse, plain
from mailspy_mime.words import text

IDENTITY: Final = frozenset({"", "7bit", "8bit", "binary"})
"""Encodings that change nothing: the only ones that a container may have (RFC 2045 §6.4)."""
MESSAGES: Final = frozenset({"message/rfc822", "message/global", "message/news"})
"""Types whose body is a message with a header of its own (RFC 2046 §5.2.1, RFC 6532 §3.7, RFC 5537 §4.1)."""
_ENCODINGS: Final = IDENTITY | {"base64", "quoted-printable"}
_REMEMBERED: Final = 64
"""Characters of a value whose reading is remembered: the same few types occur in nearly all mail."""


class ContentType(NamedTuple):
    """The field Content-Type."""

    name: str
    charset: str = ""
    filename: str = ""
    """What `name` says, which older mail has in place of the `filename` of Content-Disposition."""
    boundary: bytes = b""


class Entity(NamedTuple):
    """The header of a part, or of a message, as far as its body is concerned."""

    content_type: str
    charset: str
    encoding: str
    disposition: str
    filename: str
    boundary: bytes
    """Of a multipart; empty if there is none."""
    doubts: Doubts = ()
    """What readers may take differently."""

    @property
    def is_message(self) -> bool:
        """Whether the body is a message that can be read as it streams."""
        return self.content_type in MESSAGES and self.encoding in IDENTITY


def describe(fields: Fields, default: str, named: bool = False) -> Entity:
    """Reads the Content-* fields; `default` is the type of an entity without any (RFC 2046 §5.1.5).

    `named`: names that differ need not be told again, which costs as much as all the rest.
    """
    given = fields.get("content-type")
    if given is None:
        name, charset, filename, boundary = default, "", "", b""
    else:
        name, charset, filename, boundary = (_common if len(given) <= _REMEMBERED else _content_type)(given)
    encoding = fields.get("content-transfer-encoding", "")
    if encoding not in _ENCODINGS:
        encoding = _encoding(encoding)
    doubts: Doubts = ()
    disposition = fields.get("content-disposition", "")
    if disposition:
        token, parameters = parse(disposition)
        disposition = text(token[:TOKEN])
        doubts = names(parse(given)[1] if filename and given else {}, parameters) if parameters and not named else ()
        filename = decoded(parameters, "filename") or filename
    if encoding not in _ENCODINGS:
        doubts += (("unknown_encoding", encoding),)
    if name.startswith("multipart/"):
        if encoding not in IDENTITY:
            doubts += (("encoded_multipart", f"{name}: {encoding}"),)
        if not boundary:
            doubts += (("missing_boundary", name),)
    return Entity(name, charset, encoding, disposition, filename, boundary, doubts)


def _content_type(value: str) -> ContentType:
    """A type that is not `type/subtype` counts as text/plain (RFC 2045 §5.2)."""
    token, parameters = parse(value)
    name = text(token[:TOKEN]) if token.count("/") == 1 else "text/plain"
    if name.startswith("multipart/") and (boundary := plain(parameters, "boundary")[:BOUNDARY].rstrip()):
        return ContentType(name, boundary=boundary)
    return ContentType(name, decoded(parameters, "charset")[:TOKEN].lower(), decoded(parameters, "name"))


_common = lru_cache(maxsize=256)(_content_type)


def _encoding(value: str) -> str:
    return text(parse(value)[0].strip('"')[:TOKEN])
