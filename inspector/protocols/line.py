"""Lines as lines: where they end, where an argument stands, what is wrong with them whatever they say.

Knows blanks, ends of lines and forbidden octets, and who knows what is harmless.  Must not know what a command means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from inspector.harmless import line_end, lines_of, veil
from inspector.text import sanitise

SHOWN: Final = 32
"""Octets of the word of an unknown command that are shown."""


def secret_span(line: bytes) -> tuple[int, int] | None:
    """Where the secret stands in a line, or in the beginning of one."""
    found = veil(line)
    return None if found is None else (found.first, line_end(line))


def word_shown(line: bytes, secret: tuple[int, int] | None = None) -> str:
    """The first word of a line whose command nobody knows, in capitals, fit for people; what is no ASCII as `\\xhh`.  Nothing
    where it is a secret, or a part of one."""
    word = line[:SHOWN].split(maxsplit=1)
    if not word or (secret is not None and secret[0] <= line.index(word[0]) + len(word[0])):
        return ""
    return sanitise(word[0].upper().decode("ascii", "backslashreplace"))


__all__ = ["agreed", "asks_by_name", "asks_on", "content_deviations", "deviations", "line_end", "secret_from", "secret_span",
           "veil", "word_shown"]

_ASKS: Final = re.compile(rb"[ \t]*AUTH(?:[ \t]|\r?\n?\Z)", re.IGNORECASE)
_NAMED: Final = re.compile(rb"[ \t]*AUTH[ \t]+[^ \t\r\n]", re.IGNORECASE)


def asks_on(line: bytes) -> bool:
    """Whether a line begins a dialogue in which every line that comes may be secret (AUTH)."""
    return _ASKS.match(line) is not None


def asks_by_name(line: bytes) -> bool:
    """The same where AUTH without a mechanism asks for a list (RFC 1734 §2)."""
    return _NAMED.match(line) is not None


def secret_from(data: bytes) -> tuple[int, int] | None:
    """The span from the first secret in some lines to their end, for what was not read line by line."""
    at = 0
    for line in lines_of(data):
        if (found := veil(line)) is not None:
            return at + found.first, line_end(data)
        at += len(line)
        if asks_on(line) and at < len(data):
            return at, line_end(data)
    return None


def deviations(line: bytes, size: int, limit: int) -> list[tuple[str, str]]:
    """What is wrong with a line as a line, whatever it says; empty for nearly all."""
    if size <= limit and line.isascii() and line[-2:] == b"\r\n" and line.count(b"\r") == 1 and 0 not in line:
        return []
    found: list[tuple[str, str]] = []
    whole = size == len(line)
    if size > limit:
        found.append(("line_too_long", f"{size} octets, {limit} allowed"))
    if whole and line[-1:] == b"\n" and line[-2:] != b"\r\n":
        found.append(("bare_lf", "the line ends with LF alone"))
    inner = line[:-2] if line[-2:] == b"\r\n" else line.removesuffix(b"\n")
    if b"\r" in inner:
        found.append(("bare_cr", f"at octet {inner.index(13) + 1}"))
    if 0 in line:
        found.append(("nul_octet", f"at octet {line.index(0) + 1}"))
    if not line.isascii():
        found.append(("eight_bit_in_command", f"at octet {next(i for i, octet in enumerate(line) if octet > 127) + 1}"))
    return found


def content_deviations(head: bytes, ambiguous: bool) -> list[tuple[str, str]]:
    """What is wrong with a content, as far as its head goes (`Limits.head`)."""
    found: list[tuple[str, str]] = []
    if ambiguous:
        found.append(("ambiguous_end_of_data", "a dot stands alone between line ends that are not both CRLF"))
    pairs = head.count(b"\r\n")
    if head.count(b"\n") != pairs:
        found.append(("bare_lf", "in the content"))
    if head.count(b"\r") - (head[-1:] == b"\r") > pairs:
        found.append(("bare_cr", "in the content"))
    if 0 in head:
        found.append(("nul_octet", "in the content"))
    return found


def agreed(found: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The deviations that are left when octets above 127 have been agreed on (RFC 6531, RFC 6856)."""
    return [entry for entry in found if entry[0] != "eight_bit_in_command"]
