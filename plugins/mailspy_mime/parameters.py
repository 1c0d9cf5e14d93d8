"""Structured values: `attachment; filename*=UTF-8''a%20b` (RFC 2045 §5.1, RFC 2183, RFC 2231).

Read generously: quotes may be missing around blanks, comments may stand anywhere, a value may end early.

Knows the syntax of parameters.  Must not know which fields have which.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from mailspy_mime.fields import BLANKS, octets, unfold
from mailspy_mime.limits import BOUNDARIES, BOUNDARY, NAME, PARAMETERS, VALUE
from mailspy_mime.words import text, to_text

Parameters = dict[str, str]
"""Values by name in small letters, the marks of RFC 2231 still in both; of those given twice, the first."""


class Structured(NamedTuple):
    """A value taken apart."""

    token: str
    """What stands at the beginning, in small letters."""
    parameters: Parameters
    again: tuple[tuple[str, str], ...] = ()
    """Names and values of parameters given again with another value."""
    cut: bool = False
    """There are more parameters than are looked at."""


_PARAMETER: Final = re.compile(r';\s*+([^\s=;"]++)\s*+=\s*+(?:"((?:[^"\\]++|\\.)*+)"?+|([^;]*+))', re.DOTALL | re.ASCII)
_ESCAPED: Final = re.compile(r'\\(["\\])')
_COMMENT_OR_QUOTED: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?+|(?:(?<=[\s;])|\A)\(', re.DOTALL | re.ASCII)
_IN_COMMENT: Final = re.compile(r"\\.|[()]", re.DOTALL)


def parse(value: str) -> Structured:
    """The token at the beginning and the parameters."""
    value = unfold(value[:VALUE])
    if "(" in value:
        value = _without_comments(value)
    token, semicolon, _ = value.partition(";")
    name = token.strip(BLANKS).lower()
    if " " in name or "\t" in name:
        # The semicolon was forgotten: a token has no blanks.
        name = name.split(None, 1)[0]
        after = value.lower().find(name) + len(name)
        value, semicolon = f"{name};{value[after:]}", ";"
        token = name
    return _with_parameters(name, value, len(token)) if semicolon else Structured(name, {})


def _with_parameters(token: str, value: str, place: int) -> Structured:
    found: Parameters = {}
    again: list[tuple[str, str]] = []
    count = 0
    for match in islice(_PARAMETER.finditer(value, place), PARAMETERS):
        count += 1
        name, quoted, plain = match.groups()
        if quoted is None:
            quoted = plain.rstrip(BLANKS)
        elif "\\" in quoted:
            quoted = _ESCAPED.sub(r"\1", quoted)
        name = name.lower()
        if found.setdefault(name, quoted) != quoted:
            again.append((name, quoted))
    return Structured(token, found, tuple(again), count == PARAMETERS)


def _without_comments(value: str) -> str:
    """A comment begins after a blank or a semicolon; glued to a word, `(1)` is taken for a part of the word."""
    kept: list[str] = []
    place = begin = 0
    while match := _COMMENT_OR_QUOTED.search(value, place):
        place = match.end()
        if match[0] != "(":
            continue
        end = end_of_comment(value, place)
        if end < 0:
            break
        kept.append(value[begin:match.start()])
        place = begin = end
    kept.append(value[begin:])
    return " ".join(kept)


def end_of_comment(value: str, place: int) -> int:
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


def decoded(parameters: Parameters, name: str) -> str:
    """The value of a parameter as text, the form of RFC 2231 preferred; empty if there is none."""
    if not parameters:
        return ""
    if len(parameters) > 1 or name not in parameters:
        value, charset = _written(parameters, name)
        if charset is not None:
            return to_text(value[:4 * NAME], charset)[:NAME]
    return text(parameters.get(name, "")[:4 * NAME])[:NAME]


def readings(value: Structured, name: str) -> tuple[str, ...]:
    """All that readers may take for the value of a parameter, ours first: plain, extended, continued, given again."""
    parameters = value.parameters
    found = [decoded(parameters, name)]
    if any("*" in key for key in parameters):
        joined, charset = _joined(parameters, name)
        found.append(to_text(joined[:4 * NAME], charset)[:NAME])
    if len(parameters) > 1 or value.again:
        found.append(_short(parameters.get(name, "")))
        if name + "*" in parameters:
            joined, charset = _continued(parameters, name)
            found.append(to_text(joined[:4 * NAME], charset)[:NAME])
        found += [_short(other) for named, other in value.again if named == name]
    return tuple(dict.fromkeys(filter(None, found)))


def boundaries(value: Structured) -> tuple[bytes, ...]:
    """All that readers may take for the boundary, ours first; none is empty."""
    parameters = value.parameters
    found = [octets(parameters.get("boundary", "")), _written(parameters, "boundary")[0]]
    found += [octets(other) for name, other in value.again if name == "boundary"]
    return tuple(dict.fromkeys(filter(None, [one[:BOUNDARY].rstrip() for one in found])))[:BOUNDARIES]


def _short(value: str) -> str:
    return text(value[:4 * NAME])[:NAME]


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
    return (_unquoted(encoded), charset) if quote and second else (_unquoted(value), "")


def _unquoted(value: str) -> bytes:
    return unquote_to_bytes(octets(value)) if "%" in value else octets(value)


def _joined(parameters: Parameters, name: str) -> tuple[bytes, str]:
    """The sections that are there, in their order, as readers join them that do not mind a missing one."""
    pieces: list[tuple[int, bytes]] = []
    charset = ""
    for key, value in parameters.items():
        section = _SECTION.fullmatch(key)
        if section is None or section[1] != name:
            continue
        piece = octets(value)
        if section[3]:
            piece, label = _extended(value)
            charset = charset or label
        pieces.append((int(section[2]), piece))
    return b"".join([piece for _, piece in sorted(pieces)]), charset


_SECTION: Final = re.compile(r"([^*]++)\*(\d{1,9})(\*?)", re.ASCII)


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
            pieces.append(_unquoted(value))
        else:
            piece, charset = _extended(value)
            pieces.append(piece)
    return b"".join(pieces), charset
