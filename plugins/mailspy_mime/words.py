"""Text in header fields: encoded words and 8-bit text made readable (RFC 2047, RFC 6532).

Only the character sets of the WHATWG Encoding Standard are decoded, by `webencodings`: no UTF-7, no Python codec that
is not a character set.  What cannot be decoded is kept visible as `\\xhh`.  The result can hold any character: it is
sanitised where it is shown.

Knows encoded words and labels of character sets.  Must not know fields.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

import webencodings  # type: ignore[import-untyped]

from mailspy_mime.decoders import lenient_base64
from mailspy_mime.fields import octets

_WORD: Final = re.compile(r"=\?([^?\s*]++)(?:\*[^?\s]*+)?\?([bq])\?([^?]*+)\?=", re.IGNORECASE | re.ASCII)
_LABEL: Final = 40
"""Characters of the longest name of a character set (RFC 2978 §2.3)."""


def text(value: str) -> str:
    """A field value for people.  The caller bounds its length."""
    if "=?" in value:
        return _with_words(value)
    return value if value.isascii() else _visible(value)


def to_text(encoded: bytes, charset: str) -> str:
    """Octets as text in a named character set; as UTF-8 if there is no such set."""
    encoding = lookup(charset)
    if encoding is None:
        return encoded.decode("utf-8", "backslashreplace")
    try:
        return str(encoding.codec_info.decode(encoded, "replace")[0])
    except (ValueError, LookupError):
        return encoded.decode("latin-1")


def lookup(charset: str) -> webencodings.Encoding | None:
    """The character set of a label, whatever it holds; None if there is none."""
    return webencodings.lookup(charset) if 0 < len(charset) <= _LABEL and charset.isascii() else None


def _visible(value: str) -> str:
    return octets(value).decode("utf-8", "backslashreplace")


def _with_words(value: str) -> str:
    """Blanks between two encoded words are dropped, and words of one set joined before decoding (RFC 2047 §6.2)."""
    out: list[str] = []
    run: list[bytes] = []
    charset = ""
    place = 0
    for word in _WORD.finditer(value):
        between = value[place:word.start()]
        if not run or word[1].lower() != charset or not (between == "" or between.isspace()):
            out.append(to_text(b"".join(run), charset))
            if not run or not (between == "" or between.isspace()):
                out.append(_visible(between))
            run, charset = [], word[1].lower()
        run.append(_octets(word[2], word[3]))
        place = word.end()
    out += to_text(b"".join(run), charset), _visible(value[place:])
    return "".join(out)


def _octets(encoding: str, encoded: str) -> bytes:
    raw = octets(encoded)
    return lenient_base64(raw) if encoding in "bB" else binascii.a2b_qp(raw, header=True)
