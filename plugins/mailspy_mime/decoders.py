"""Content transfer encodings, decoded as they stream (RFC 2045 §6).

A decoder is fed segments of any length and gives the same octets whatever the cutting.  Nothing is refused: what does
not belong to an encoding is skipped (base64) or kept as it is (quoted-printable).  An encoding that is not in the
table is taken for none.

Knows encodings.  Must not know parts or headers.
"""

from __future__ import annotations

import binascii
import re
from typing import Final, Protocol

from pybase64 import b64decode

from mailspy_mime.embedded import Embedded, Piece
from mailspy_mime.limits import LINE, STREAMS


class Decoder(Protocol):
    """What turns an encoded stream into octets."""

    broken: bool
    """Something in the stream is not of the encoding; it is decoded as far as it goes."""
    name: bytes
    """The file name that stands in the stream, if the encoding has one."""

    def feed(self, data: bytes) -> bytes:
        """The octets that can be told now."""

    def finish(self) -> bytes:
        """The octets that waited for more."""


_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_JUNK: Final = bytes(octet for octet in range(256) if octet not in _ALPHABET)
_HONEST: Final = _ALPHABET + b" \t\r\n"


def lenient_base64(encoded: bytes) -> bytes:
    """Base64 as far as it goes: up to the first padding, junk skipped, a lone last character dropped."""
    letters = encoded.translate(None, _JUNK).partition(b"=")[0]
    return _quanta(letters)


def _quanta(letters: bytes) -> bytes:
    over = len(letters) % 4
    if over == 1:
        letters = letters[:-1]
    elif over:
        letters += b"==" if over == 2 else b"="
    return b64decode(letters)


class Base64:
    """Base64.  After a padding a new stream may begin, as when two encoded files are joined."""

    __slots__ = ("_carry", "_streams", "broken", "name")

    def __init__(self) -> None:
        self.broken = False
        self.name = b""
        self._carry: bytes | bytearray = b""
        """What is not decoded yet: an unfinished line, or the letters of an unfinished group of four."""
        self._streams = 0

    def feed(self, data: bytes) -> bytes:
        """The octets of all whole lines.  Lines nearly always hold whole groups, so they are decoded as they are."""
        if self._carry:
            if len(self._carry) + len(data) < LINE and data.find(b"\n") < 0 and data.find(b"=") < 0:
                # Nothing can be told of an unfinished line; it is not copied for each octet that comes.
                if not isinstance(self._carry, bytearray):
                    self._carry = bytearray(self._carry)
                self._carry += data
                return b""
            data = b"".join((self._carry, data))
        padding = data.find(b"=")
        cut = data.rfind(b"\n", 0, padding if padding >= 0 else len(data)) + 1
        octets = b""
        if cut:
            try:
                octets = b64decode(memoryview(data)[:cut])
            except binascii.Error:
                return self._carefully(data)
            if not self.broken and len(octets) * 4 // 3 + _line_ends(data, cut) < cut:
                self._judge(data[:cut])
            self.broken = self.broken or self._streams > 0
            data = data[cut:]
        if len(data) < LINE:
            self._carry = data
            return octets
        return octets + self._carefully(data)

    def finish(self) -> bytes:
        """The octets of the last line, which need not be padded."""
        data, self._carry = bytes(self._carry), b""
        if self._streams and data.strip():
            self.broken = True
        try:
            return b64decode(data.strip(), validate=True)
        except binascii.Error:
            octets = self._carefully(data)
            if not self._carry:
                return octets
            self.broken = True
            return octets + _quanta(bytes(self._carry))

    def _carefully(self, data: bytes) -> bytes:
        """The octets of all whole groups, wherever lines, paddings and junk stand."""
        if not self.broken:
            self._judge(data)
        letters = data.translate(None, _JUNK)
        streams = letters.split(b"=", STREAMS - self._streams)
        if (self._streams and letters.strip(b"=")) or any(streams[1:]):
            self.broken = True
        self._streams += len(streams) - 1
        last = streams.pop()
        if self._streams == STREAMS:
            last = last.replace(b"=", b"")
        whole = len(last) & ~3
        self._carry = last[whole:]
        octets = b64decode(last[:whole])
        return b"".join([*map(_quanta, streams), octets]) if streams else octets


    def _judge(self, data: bytes) -> None:
        self.broken = bool(data.translate(None, _HONEST))


_WRONG: Final = re.compile(rb"=(?:[^0-9A-Fa-f \t\r\n]|[0-9A-Fa-f][^0-9A-Fa-f]|\r[^\n])")
"""An escape that is none; one at a cut is whole, as it is not cut."""
def _line_ends(data: bytes, end: int) -> int:
    """Octets of line ends up to one.  Lines are nearly always equally long, which is seen faster than they are counted."""
    length = data.find(b"\n") + 1
    lines = end // length
    if lines * length == end and data[length - 1:end:length] == b"\n" * lines:
        before = data[max(length - 2, 0):end:length] if length > 1 else b""
        if before == b"\r" * lines:
            return 2 * lines
        if b"\r" not in before and data.find(b"\r", 0, length) < 0:
            return lines
    return data.count(b"\n", 0, end) + data.count(b"\r", 0, end)


_SOFT_BREAK: Final = re.compile(rb"(?<!=)(?:==)*+=\r")


class QuotedPrintable:
    """Quoted-printable, with `binascii.a2b_qp` as the judge of what becomes of what is wrong in it."""

    __slots__ = ("_carry", "_skipping", "broken", "name")

    def __init__(self) -> None:
        self.broken = False
        self.name = b""
        self._carry = b""
        self._skipping = False
        """In a soft line break, whose rest is dropped up to the line feed."""

    def feed(self, data: bytes) -> bytes:
        """The octets of all whole escapes."""
        if self._skipping:
            end = data.find(b"\n")
            if end != 0:
                self.broken = True
            if end < 0:
                return b""
            self._skipping = False
            data = data[end + 1:]
        if self._carry:
            data = self._carry + data
        soft = _SOFT_BREAK.search(data, data.rfind(b"\n") + 1)
        if soft is not None:
            self._skipping, self._carry = True, b""
            if soft.end() < len(data):
                self.broken = True
            return self._decode(data[:soft.end()])
        cut = len(data) - _unfinished(data)
        self._carry = data[cut:]
        return self._decode(data[:cut])

    def finish(self) -> bytes:
        """The rest: an escape that was cut short is kept as it is, a soft break at the end dropped."""
        return self._decode(self._carry)

    def _decode(self, data: bytes) -> bytes:
        if not self.broken and _WRONG.search(data) is not None:
            self.broken = True
        return binascii.a2b_qp(data)


def _unfinished(data: bytes) -> int:
    """How many octets at the end belong to an escape that is not complete: 0, 1 or 2.  `==` is no escape."""
    if data[-1:] == b"=":
        return (len(data) - len(data.rstrip(b"="))) % 2
    if data[-2:-1] == b"=":
        before = data[:-1]
        return (len(before) - len(before.rstrip(b"="))) % 2 * 2
    return 0


class Enclosed:
    """A file between lines that say where it begins and ends: uuencode, yEnc.  What stands around it is dropped."""

    __slots__ = ("_embedded", "broken", "name")

    def __init__(self) -> None:
        self._embedded = Embedded()
        self.broken = True
        self.name = b""

    def feed(self, data: bytes) -> bytes:
        """The octets of all whole lines."""
        return self._octets(self._embedded.feed(data))

    def finish(self) -> bytes:
        """The rest of a file that has no end."""
        return self._octets(self._embedded.finish())

    def _octets(self, pieces: list[Piece]) -> bytes:
        for piece in pieces:
            if piece.complete is not None:
                self.broken = not piece.complete
            elif piece.encoding:
                self.broken = True
                self.name = self.name or piece.name
        return b"".join([piece.octets for piece in pieces])


AnyDecoder = Base64 | QuotedPrintable | Enclosed

DECODERS: Final[dict[str, type[Base64] | type[QuotedPrintable] | type[Enclosed]]] = {
    "base64": Base64,
    "quoted-printable": QuotedPrintable,
    "x-uuencode": Enclosed,
    "x-uue": Enclosed,
    "uuencode": Enclosed,
    "uue": Enclosed,
    "x-yenc": Enclosed,
}
"""By the name in Content-Transfer-Encoding; `7bit`, `8bit`, `binary` and unknown ones need none."""
