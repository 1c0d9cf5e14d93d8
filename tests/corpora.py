"""Messages that others wrote, with what other readers make of them: leaves as (where, octets or text).

Looks for the folder in MAILSPY_SHARED, or beside the repository.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from mailspy_mime.words import to_text
from mime_kit import Listener, read

SHARED = Path(os.environ.get("MAILSPY_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data" / "mime"


class Ours(NamedTuple):
    """A leaf as mailspy reads it."""

    number: str
    content_type: str
    charset: str
    filename: str
    octets: bytes

    @property
    def text(self) -> str:
        return to_text(self.octets, self.charset)


def ours(message: bytes) -> list[Ours]:
    """The leaves of a message in their order; second readings of the same octets are not among them."""
    session: Listener = read(message)
    return [Ours(part["part"], part["content_type"], part["charset"], part["filename"],
                 session.sinks[part["part"]].data)
            for part in session.parts() if "/" not in part["part"] and not _embedded(part)]


def _embedded(part: dict[str, Any]) -> bool:
    """A file within a text, which most readers do not look for."""
    return part["encoding"] in {"x-uuencode", "x-yenc"} and part["content_type"] == "application/octet-stream"


def lines(text: str) -> list[str]:
    """A text without its line ends and the empty lines at its end, on which readers differ."""
    return "\n".join(text.splitlines()).rstrip().split("\n")


# mime4j: X_decoded.xml is the tree, with a file for each leaf

def mime4j() -> Iterator[tuple[Path, list[bytes | str]]]:
    for path in sorted((SHARED / "mime4j").glob("*/*_decoded.xml")):
        leaves: list[bytes | str] = []
        for element in ElementTree.parse(path).iter():
            if element.tag in {"text-body", "binary-body"}:
                body = (path.parent / element.attrib["name"]).read_bytes()
                leaves.append(body if element.tag == "binary-body" else body.decode("utf-8", "replace"))
        yield path.with_name(path.name.removesuffix("_decoded.xml") + ".msg"), leaves


# stalwart: N.json for the message as it is, N.crlf.json for the same with CRLF

def stalwart() -> Iterator[tuple[str, bytes, list[bytes | str]]]:
    for path in sorted((SHARED / "stalwart-mail-parser").glob("*/*.eml")):
        message = path.read_bytes()
        name = f"{path.parent.name}/{path.name}"
        yield name, message, list(_stalwart(json.loads(path.with_suffix(".json").read_bytes())))
        wire = message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        yield f"{name} CRLF", wire, list(_stalwart(json.loads(path.with_suffix(".crlf.json").read_bytes())))


def _stalwart(message: dict[str, Any]) -> Iterator[bytes | str]:
    for part in message["parts"]:
        (kind, body), = part["body"].items()
        if kind == "Message":
            yield from _stalwart(body)
        elif kind in {"Binary", "InlineBinary"}:
            yield bytes(body)
        elif kind in {"Text", "Html"}:
            yield body


# The others: three readers

class Reference(NamedTuple):
    """What MIME-tools, reformime and ripmime find in one message."""

    path: Path
    readers: dict[str, Any]


def references(corpus: str) -> Iterator[Reference]:
    for path in sorted((SHARED / corpus).glob("reference*.json")):
        for entry in json.loads(path.read_bytes()):
            yield Reference(SHARED.parent / entry["file"], entry)
