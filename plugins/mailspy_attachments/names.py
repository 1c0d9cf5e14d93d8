"""Names on disk: the part of a file's name that comes from the wire.

Knows which characters no file system minds.  Must not know files.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from mailspy_attachments.limits import EXTENSION, NAME, SLUG

_OUTSIDE: Final = re.compile(r"[^A-Za-z0-9_]+")
_EXTENSIONS: Final = {
    "application/gzip": "gz", "application/json": "json", "application/msword": "doc", "application/pdf": "pdf",
    "application/zip": "zip", "image/gif": "gif", "image/jpeg": "jpg", "image/png": "png", "message/rfc822": "eml",
    "text/calendar": "ics", "text/csv": "csv", "text/html": "html", "text/plain": "txt",
}
"""For parts that declare no name."""


def slug(filename: str, content_type: str) -> str:
    """The part of a file name that comes from the wire: letters of ASCII, digits, dashes, underscores and one dot at most.

    Normalised first, so that no wide or composed character turns into something else afterwards (hostile case F03).
    The SHA-256 before it keeps it from beginning with a dot or being a device name of Windows.
    """
    if filename.isascii() and filename.isprintable():
        plain = filename[:NAME].rstrip(" .").replace("\\", "/").rpartition("/")[2]
    else:
        plain = _visible(unicodedata.normalize("NFKC", filename[:NAME])).rstrip(" .")
        plain = _visible(unicodedata.normalize("NFKD", plain.replace("\\", "/").rpartition("/")[2]))
    stem, dot, extension = plain.rpartition(".")
    extension = extension.strip()
    if not dot or not 0 < len(extension) <= EXTENSION or not (extension.isascii() and extension.isalnum()):
        stem, extension = plain, "" if plain else _EXTENSIONS.get(content_type, "bin")
    stem = _OUTSIDE.sub("-", stem).strip("-")[:SLUG].rstrip("-") or "unnamed"
    return f"{stem}.{extension}" if extension else stem


def _visible(text: str) -> str:
    """Without control characters, format characters, surrogates and combining marks."""
    return "".join(letter for letter in text if unicodedata.category(letter)[0] not in "CM")
