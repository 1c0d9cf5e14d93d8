"""One yEnc file, from the line after `=ybegin` to `=yend` (yEnc 1.3, <http://www.yenc.org/yenc-draft.1.3.txt>).

Knows the encoding.  Must not know where in a text a file begins and ends.
"""

from __future__ import annotations

import re
from typing import Final
from zlib import crc32

from mailspy_mime.limits import LINE

_ESCAPE: Final = re.compile(rb"=(.)", re.DOTALL)
_ESCAPED: Final = [bytes([(octet - 64) % 256]) for octet in range(256)]
_PLAIN: Final = bytes((octet - 42) % 256 for octet in range(256))
_SUM: Final = re.compile(rb" p?crc32=([0-9a-fA-F]{1,8})")
_SIZE: Final = re.compile(rb" size=([0-9]{1,18})")


class YEnc:
    """The decoder: takes lines, whole or in pieces."""

    __slots__ = ("_crc", "_escape", "_size", "_started", "broken")

    def __init__(self) -> None:
        self._crc = 0
        self._escape = b""
        self._size = 0
        self._started = False
        self.broken = False
        """The sum or the size at the end is another, or it has none."""

    def take(self, lines: bytes) -> bytes:
        """The octets of lines."""
        if not self._started:
            self._started = True
            if lines.startswith(b"=ypart ") and (end := lines.find(b"\n", 0, LINE)) >= 0:
                lines = lines[end + 1:]
        letters = self._escape + lines.translate(None, b"\r\n")
        self._escape = b""
        if (len(letters) - len(letters.rstrip(b"="))) % 2:
            letters, self._escape = letters[:-1], b"="
        if b"=" in letters:
            letters = _ESCAPE.sub(_escaped, letters)
        octets = letters.translate(_PLAIN)
        self._size += len(octets)
        self._crc = crc32(octets, self._crc)
        return octets

    def check(self, trailer: bytes) -> None:
        """Compares what the line `=yend` says; of both sums the first is that of the part."""
        size, total = _SIZE.search(trailer), _SUM.search(trailer)
        self.broken = size is None or int(size[1]) != self._size or (total is not None and int(total[1], 16) != self._crc)

    def skip(self, piece: bytes) -> bytes:
        """A piece of a line that is longer than lines are: it is like any other."""
        return self.take(piece)


def _escaped(match: re.Match[bytes]) -> bytes:
    return _ESCAPED[match[1][0]]
