"""Lines in the octets of a message that are commands to a server which does not take them for a message.

Rules.  A server that refuses BDAT may read its chunk as commands (RFC 3030 §2 forbids it); one that sees the end of a content
where there is none does so with what follows.  As such a server reads them, whatever it passes over, so are such lines found, in
any cutting: a command at the beginning of a line, behind what is no word of four letters, and the words of an envelope farther
behind in a line that servers cut or read in several ways.

Knows octets, and the words that it is given.  Must not know what a word means, nor who judges.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from inspector.doubt import ANY_BREAKS
from inspector.readings import SHORTEST

LONGEST: Final = 8_192
"""Octets of a line that are kept until its end comes; of a longer one its last `KEPT`."""
KEPT: Final = 1_024
ENVELOPE: Final = b"RCPT"
"""The word that is looked for everywhere in a line that servers read in several ways: it names a recipient."""

_ODD: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\xff]")
_RUNS: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xff]{2,}")
_END: Final = re.compile(rb"[\r\n]|\Z")
_PASSED_OVER: Final = rb"[\x00-\x08\x0b-\x1f\x7f-\xff]*"
_CONTROLS: Final = rb"[\x00-\x08\x0b-\x1f\x7f-\x9f\xff]*"
_BREAK: Final = re.compile(rb"[\r" + re.escape(ANY_BREAKS) + rb"]")
"""What ends a line to some server."""


def _recipient(bits: tuple[int, ...], passed: bytes) -> bytes:
    """What finds the word and an address behind it; `bits`: what may be set in each octet, `passed`: what may stand between two.

    So much of it that random octets are next to never taken for it: once in some GiB.
    """
    def one_of(octets: bytes) -> bytes:
        return b"[" + re.escape(bytes(sorted({octet | bit for octet in octets for bit in bits}))) + b"]" + passed

    letters = bytes([*range(65, 91), *range(97, 123)])
    named = letters + b"0123456789._-+\"\\%!,()<>"
    to, blanks = one_of(b"Tt") + one_of(b"Oo"), rb"(?:" + one_of(b" :<") + rb"|\t)"
    bare = rb"(?:" + to + blanks + rb"+)?(?:" + one_of(named) + rb"){1,64}?"
    whole = to + rb"(?:" + one_of(b" ") + rb"|\t)*" + one_of(b":") + rb"(?:" + one_of(named + b" :") + rb"|\t){1,64}?"
    return (b"".join(one_of(bytes([letter, letter | 32])) for letter in ENVELOPE) + rb"(?:" + one_of(letters) + rb"){0,4}?"
            + blanks + rb"+(?:" + bare + rb"|" + whole + rb")" + one_of(b"@") + one_of(letters + b"0123456789[("))


_EVERYWHERE: Final = re.compile(_recipient((0,), _PASSED_OVER) + b"|" + _recipient((0, 128), _CONTROLS))
_ENDS: Final = bytes(octet if octet != 13 else 10 for octet in range(256))
"""For `bytes.translate`, where lines end to somebody."""
_CAPITALS: Final = bytes(range(256)).upper()
_FOLDS: Final = (
    (_CAPITALS, bytes([*range(9), *range(11, 32), *range(127, 256)])),
    (_CAPITALS[:128] * 2, bytes([*range(9), *range(11, 32), *range(127, 160), 255])))
"""For `bytes.translate`, what servers make of octets, and which they pass over: the two readings of `_EVERYWHERE`."""


def _named(octets: bytes) -> bool:
    """Whether the word is anywhere in them: nearly never, and this is told much faster than what comes with it."""
    return any(octets.translate(*fold).find(ENVELOPE) >= 0 for fold in _FOLDS)


def beginnings(words: Iterable[bytes]) -> re.Pattern[bytes]:
    """What finds one of these words, as a group, where a line of commands may begin with it, behind LF."""
    words = [ENVELOPE + rb"[A-Z]{0,4}" if word == ENVELOPE else word for word in words]
    first = bytes(sorted({word[0] for word in words}))
    # One octet at its beginning is what `re` searches for fast.
    return re.compile(rb"\n(?:[^A-Za-z\n]++|[A-Za-z]{1,3}+(?![A-Za-z]))*+(?=[" + first + rb"])((?:" + rb"|".join(words)
                      + rb")(?![A-Za-z0-9+/=]))", re.IGNORECASE)


class Posing:
    """Watches the octets of one chunk or of what follows a doubtful end."""

    __slots__ = ("_long", "_tail", "_words", "disguised")

    def __init__(self, words: re.Pattern[bytes]) -> None:
        """`words`: see `beginnings`."""
        self._words = words
        self._tail = bytearray()
        self._long = False
        self.disguised = False
        """Somewhere a recipient may be named in a line that servers read in several ways."""

    @property
    def unfinished(self) -> bool:
        """Whether the last line has no end yet."""
        return bool(self._tail)

    def seen(self, data: bytes) -> list[bytes]:
        """Takes octets.  Gives the lines whose ends are among them and that may be commands, from the word on, with CRLF."""
        end = data.rfind(b"\n") + 1
        lines: list[bytes] = []
        if end:
            lines = self._looked_at(b"".join((b"\n", self._tail, data[:end])))
            self._long, self._tail = False, bytearray()
        rest = data[end:]
        if _BREAK.search(rest) is not None:
            # To some server this much is a line.
            lines += self._looked_at(b"".join((b"\n", self._tail, rest)))
        return lines + self._longer(rest)

    def joined(self, line: bytes) -> list[bytes]:
        """The same of a line behind them, which is not kept."""
        return self._looked_at(b"".join((b"\n", self._tail, line)))

    def _longer(self, data: bytes) -> list[bytes]:
        self._tail += data
        if len(self._tail) <= LONGEST:
            return []
        lines = self._looked_at(b"\n" + self._tail)
        self._long, self._tail = True, bytearray(_RUNS.sub(b"\0", self._tail)[-KEPT:])
        return lines

    def _looked_at(self, octets: bytes) -> list[bytes]:
        """Of lines, with an end of a line before them."""
        bare = octets.count(b"\r") > octets.count(b"\r\n")
        ended = octets.translate(_ENDS) if bare else octets
        lines = [self._from(octets, match.start(1)) for match in self._words.finditer(ended)]
        at = begin = 1
        if not _named(octets):
            return lines
        while (match := _EVERYWHERE.search(octets, at)) is not None:
            place = match.start()
            begin = max(begin, octets.rfind(b"\n", at, place) + 1, octets.rfind(b"\r", at, place) + 1)
            at = match.end()
            line = self._from(octets, place)
            odd = _ODD.search(octets, begin, max(at, place + len(line) - 2)) is not None or b"\r" in octets[place:at]
            if odd or place - begin >= SHORTEST or (self._long and begin == 1):
                at = max(at, place + len(line) - 2)
                lines.append(line)
                self.disguised = self.disguised or odd
        return lines

    def _from(self, octets: bytes, begin: int) -> bytes:
        end = _END.search(octets, begin)
        assert end is not None
        return octets[begin:end.start()] + b"\r\n"
