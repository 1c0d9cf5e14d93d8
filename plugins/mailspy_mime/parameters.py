"""Structured values: `attachment; filename*=UTF-8''a%20b` (RFC 2045 §5.1, RFC 2183, RFC 2231).

Read generously: quotes may be missing around blanks, comments may stand anywhere, a value may end early.

Knows the syntax of parameters.  Must not know which fields have which.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final
from urllib.parse import unquote_to_bytes

from mailspy_mime.fields import BLANKS, octets, unfold
from mailspy_mime.limits import NAME, PARAMETERS, VALUE
from mailspy_mime.words import text, to_text

Parameters = dict[str, str]
"""Values by name in small letters, the marks of RFC 2231 still in both; of those given twice, the first."""

_PARAMETER: Final = re.compile(r';\s*+([^\s=;"]++)\s*+=\s*+(?:"((?:[^"\\]++|\\.)*+)"?+|([^;]*+))', re.DOTALL | re.ASCII)
_ESCAPED: Final = re.compile(r'\\(["\\])')
_COMMENT_OR_QUOTED: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?+|(?:(?<=[\s;])|\A)\(', re.DOTALL | re.ASCII)
_IN_COMMENT: Final = re.compile(r"\\.|[()]", re.DOTALL)


def parse(value: str) -> tuple[str, Parameters]:
    """The token at the beginning, in small letters, and the parameters."""
    value = unfold(value[:VALUE])
    if "(" in value:
        value = _without_comments(value)
    token, semicolon, _ = value.partition(";")
    parameters = _parameters(value, len(token)) if semicolon else {}
    return token.strip(BLANKS).lower(), parameters


def _parameters(value: str, place: int) -> Parameters:
    found: Parameters = {}
    for match in islice(_PARAMETER.finditer(value, place), PARAMETERS):
        name, quoted, plain = match.groups()
        if quoted is None:
            quoted = plain.rstrip(BLANKS)
        elif "\\" in quoted:
            quoted = _ESCAPED.sub(r"\1", quoted)
        found.setdefault(name.lower(), quoted)
    return found


def _without_comments(value: str) -> str:
    """A comment begins after a blank or a semicolon; glued to a word, `(1)` is taken for a part of the word."""
    kept: list[str] = []
    place = begin = 0
    while match := _COMMENT_OR_QUOTED.search(value, place):
        place = match.end()
        if match[0] != "(":
            continue
        end = _end_of_comment(value, place)
        if end < 0:
            break
        kept.append(value[begin:match.start()])
        place = begin = end
    kept.append(value[begin:])
    return " ".join(kept)


def _end_of_comment(value: str, place: int) -> int:
    """Where the comment that was just opened is over, those nested in it too; -1 if it is not."""
    depth = 1
    for token in _IN_COMMENT.finditer(value, place):
        if token[0] == "(":
            depth += 1
        elif token[0] == ")":
            depth -= 1
            if not depth:
                return token.end()
    return -1


def plain(parameters: Parameters, name: str) -> bytes:
    """The value of a parameter as octets, such as a boundary; empty if there is none."""
    if (value := parameters.get(name)) is not None:
        return octets(value)
    return _written(parameters, name)[0]


def decoded(parameters: Parameters, name: str) -> str:
    """The value of a parameter as text, the form of RFC 2231 preferred; empty if there is none."""
    if not parameters:
        return ""
    if len(parameters) > 1 or name not in parameters:
        value, charset = _written(parameters, name)
        if charset is not None:
            return to_text(value[:4 * NAME], charset)[:NAME]
    return text(parameters.get(name, "")[:4 * NAME])[:NAME]


def _written(parameters: Parameters, name: str) -> tuple[bytes, str | None]:
    """The value of a parameter written as RFC 2231 has it, and its character set; None if it is not so written."""
    if (extended := parameters.get(name + "*")) is not None:
        return _extended(extended)
    if name + "*0" in parameters or name + "*0*" in parameters:
        return _continued(parameters, name)
    return b"", None


def _extended(value: str) -> tuple[bytes, str]:
    """`charset'language'percent-encoded` (RFC 2231 §4)."""
    charset, quote, rest = value.partition("'")
    _, second, encoded = rest.partition("'")
    return (unquote_to_bytes(octets(encoded)), charset) if quote and second else (unquote_to_bytes(octets(value)), "")


def _continued(parameters: Parameters, name: str) -> tuple[bytes, str]:
    """`name*0`, `name*1*` …, joined up to the first that is missing (RFC 2231 §3)."""
    pieces: list[bytes] = []
    charset = ""
    for number in range(PARAMETERS):
        key = f"{name}*{number}"
        if (value := parameters.get(key)) is not None:
            pieces.append(octets(value))
        elif (value := parameters.get(key + "*")) is None:
            break
        elif number:
            pieces.append(unquote_to_bytes(octets(value)))
        else:
            piece, charset = _extended(value)
            pieces.append(piece)
    return b"".join(pieces), charset
