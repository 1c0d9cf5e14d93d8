"""Lines that servers read differently: which are refused where somebody judges, and what else the judges are asked about.

Rules.  What goes past a judge must have one reading, or each of its readings is judged and the strictest verdict counts.  A line
that some server takes for several, or for another command than mailspy does, has no reading that counts: it is refused.  So a
server's replies stay in step with the commands as mailspy counts them, which everything else rests on.

| octets | what servers make of them | here |
|---|---|---|
| bare CR, NUL, other control octets | an end of line, an end of the string, a blank, nothing | refused |
| above 127, UTF-8 not agreed on | themselves, nothing, the same less the top bit | judged; refused where control octets result |
| NEL, LS, PS of Unicode | themselves, an end of line | refused |
| a word in front of which something stands, words of three letters too, or that goes on | a command, or none | refused |
| more than 512 octets | one line, or a command behind the first 512, 1,000 … | judged from each word on; refused past the limit |
| LF alone | an end of line, or none | leaves as CRLF |

Knows lines and words.  Must not know what a word means, nor who judges.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

SHORTEST: Final = 250
"""Octets in front of which no server ends a command line: half of what every server must take (RFC 5321 §4.5.3.1.4)."""
LONGEST: Final = 512
"""Octets of a line that no server cuts."""
TAILS: Final = 16
"""Words in an over-long line from which on it is judged again; with more it is refused."""

_PLAIN: Final = re.compile(rb"[ -~]{1,510}\r?\n")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2\x85|\xe2\x80[\xa8\xa9]")
_STRIPPED_CONTROL: Final = re.compile(rb"[\x80-\x88\x8a-\x9f\xff]")
_WORD: Final = re.compile(rb"[A-Za-z]+")
WORD: Final = 4
"""Letters of a word behind which no server looks for a command."""
_HIGH: Final = bytes(range(128, 256))
_LOW: Final = bytes(range(128)) * 2

CONTROL: Final = "a line with control octets, which servers read in different ways"
EIGHT_BIT: Final = "octets above 127, which servers read in different ways"
TOO_LONG: Final = "a line too long"
DISGUISED: Final = "a command that servers read in different ways"


def plain(line: bytes) -> bool:
    """Whether every server reads the line as one, and all of it."""
    return _PLAIN.fullmatch(line) is not None


def utf8(line: bytes) -> bool:
    """Whether the line is UTF-8, for servers that have agreed on it."""
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _content(line: bytes) -> bytes:
    """Without the end of the line."""
    return line.removesuffix(b"\n").removesuffix(b"\r")


def several(line: bytes, size: int, longest: int, agreed: bool) -> str:
    """Why some server could take the line for several, or for another; empty where none does.  `longest`: octets that it may
    have; `agreed`: on UTF-8."""
    content = _content(line)
    if size > longest:
        return TOO_LONG
    if _CONTROL.search(content) is not None:
        return CONTROL
    if not content.isascii() and not (agreed and utf8(content)) and _STRIPPED_CONTROL.search(content) is not None:
        return EIGHT_BIT
    return ""


def disguised(line: bytes, words: Iterable[bytes]) -> bool:
    """Whether a line that is no command begins, to some server, with one of these words, given in capitals."""
    if not line.isascii():
        return True
    begins = tuple(words)
    for match in _WORD.finditer(line):
        if match[0].upper().startswith(begins):
            return True
        if len(match[0]) >= WORD:
            return False
    return False


def readings(line: bytes, words: re.Pattern[bytes], agreed: bool) -> list[bytes] | None:
    """The line as other servers read it; None where there are too many.  `words`: where a command may begin."""
    content, ending = _content(line), b"\r\n"
    found: list[bytes] = []
    if content[:1] in (b" ", b"\t") or b"\t" in content:
        found.append(content.replace(b"\t", b" ").lstrip(b" ") + ending)
    if not content.isascii() and not (agreed and utf8(content)):
        found += [content.translate(None, _HIGH) + ending, content.translate(_LOW) + ending]
    if len(line) > LONGEST:
        found.append(content[:LONGEST - 2] + ending)
        tails = [match.start() for match in words.finditer(content, SHORTEST)]
        if len(tails) > TAILS:
            return None
        found += [content[tail:] + ending for tail in tails]
    return found
