"""Lines as lines: where they end, where an argument stands, what is wrong with them whatever they say.

Knows blanks, ends of lines and forbidden octets.  Must not know any command.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from inspector.text import sanitise

SHOWN: Final = 32
"""Octets of the word of an unknown command that are shown."""


def line_end(line: bytes) -> int:
    """The index at which the end of the line begins."""
    if line[-2:] == b"\r\n":
        return len(line) - 2
    return len(line) - (line[-1:] in (b"\n", b"\r"))


def argument_span(line: bytes, word: bytes, number: int) -> tuple[int, int] | None:
    """The span from the argument of that number, counted from 0, to the end of the line; None when it is not there."""
    end = line_end(line)
    at = line.find(word) + len(word)
    while True:
        while at < end and line[at] in b" \t":
            at += 1
        if number == 0:
            return (at, end) if at < end else None
        number -= 1
        while at < end and line[at] not in b" \t":
            at += 1


def word_shown(line: bytes) -> str:
    """The first word of a line whose command nobody knows, in capitals, fit for people; what is no ASCII as `\\xhh`."""
    word = line[:SHOWN].split(maxsplit=1)
    return sanitise(word[0].upper().decode("ascii", "backslashreplace")) if word else ""


def partial_span(rest: bytes, words: Iterable[bytes]) -> tuple[int, int] | None:
    """The span that must be taken for secret in the beginning of a line that starts with one of the words.

    The first argument of `PASS` is secret, and of `AUTH` and `APOP` the second.
    """
    head = rest[:64].lstrip(b" \t")[:4].upper()
    if head not in words:
        return None
    at = len(rest) - len(rest.lstrip(b" \t"))
    return argument_span(rest, rest[at:at + 4], 0 if head == b"PASS" else 1)


SECRET_WORDS: Final = (b"PASS", b"APOP", b"AUTH")
"""Commands that carry secrets, in any protocol."""


def asks_on(line: bytes) -> bool:
    """Whether a line begins a dialogue in which every line that comes may be secret (AUTH)."""
    return line[:64].lstrip(b" \t")[:4].upper() == b"AUTH"


def secret_from(data: bytes) -> tuple[int, int] | None:
    """The span from the first secret in some lines to their end, for what was not read line by line."""
    at = 0
    for line in data.splitlines(keepends=True):
        if (span := partial_span(line, SECRET_WORDS)) is not None:
            return at + span[0], line_end(data)
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
