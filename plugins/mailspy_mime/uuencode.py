"""One uuencoded file, from the line after `begin` to the one before `end` (POSIX.1-2017, uuencode).

Knows the encoding.  Must not know where in a text a file begins and ends.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

from pybase64 import b64decode

from mailspy_mime.limits import LINE, ODD_LINES

_FULL: Final = re.compile(rb"(?:M[ -`]{60}\r?\n)++")
"""Lines of 45 octets, which nearly all are: they are decoded at once."""
_BLANK: Final = re.compile(rb"[\r\n]++")
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_LETTERS: Final = bytes(_BASE64[(octet - 32) % 64] for octet in range(256))


class Uuencode:
    """The decoder: takes whole lines."""

    __slots__ = ("_odd", "broken")

    def __init__(self) -> None:
        self._odd = 0
        self.broken = False
        """Something in it is not of the encoding; it was skipped."""

    def take(self, lines: bytes) -> bytes:
        """The octets of whole lines."""
        octets: list[bytes] = []
        place, end = 0, len(lines)
        while place < end:
            full = _FULL.match(lines, place)
            if full is not None:
                octets.append(_bulk(full[0]))
                place = full.end()
                continue
            blank = _BLANK.match(lines, place)
            if blank is not None:
                place = blank.end()
                continue
            after = lines.find(b"\n", place) + 1 or end
            if self._odd == ODD_LINES or after - place > LINE:
                self.broken = True
            else:
                self._odd += 1
                octets.append(self._line(lines[place:after]))
            place = after
        return b"".join(octets)

    def check(self, _trailer: bytes) -> None:
        """The line `end` has nothing to check."""

    def _line(self, line: bytes) -> bytes:
        line = line.rstrip(b"\r\n")
        try:
            return binascii.a2b_uu(line)
        except binascii.Error:
            pass
        # Some encoders count the padding wrong: what is too much is cut off.
        wanted = 1 + ((line[0] - 32) % 64 + 2) // 3 * 4
        try:
            return binascii.a2b_uu(line[:wanted])
        except binascii.Error:
            self.broken = True
            return b""

    def skip(self, _piece: bytes) -> bytes:
        """A piece of a line that is longer than lines are."""
        self.broken = True
        return b""


def _bulk(lines: bytes) -> bytes:
    letters = lines.replace(b"\r", b"")[1:-1].replace(b"\nM", b"")
    return b64decode(letters.translate(_LETTERS))


def plausible(line: bytes) -> bool:
    """Whether this, without its end, can be the first line after `begin`."""
    if not line or line == b"end":
        return True
    wanted = (line[0] - 32) % 64
    return 0 <= len(line) - 1 <= (wanted + 2) // 3 * 4 + 2 and (len(line) > 1 or not wanted)
