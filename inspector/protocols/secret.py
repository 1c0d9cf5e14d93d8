"""Where secrets stand in command lines.

Knows blanks and ends of lines.  Must not know which commands carry secrets.
"""

from __future__ import annotations

from collections.abc import Iterable


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


def partial_span(rest: bytes, words: Iterable[bytes]) -> tuple[int, int] | None:
    """The span that must be taken for secret in the beginning of a line that starts with one of the words.

    The first argument of `PASS` is secret, and of `AUTH` and `APOP` the second.
    """
    head = rest[:64].lstrip(b" \t")[:4].upper()
    if head not in words:
        return None
    at = len(rest) - len(rest.lstrip(b" \t"))
    return argument_span(rest, rest[at:at + 4], 0 if head == b"PASS" else 1)
