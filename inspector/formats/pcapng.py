"""pcapng blocks with `struct`: what the writer writes, and the option lists that the reader reads.

Knows the block layouts of draft-ietf-opsawg-pcapng.  Must not know what the packets hold.

Our sections are big-endian (each section says which order it has): then a packet block's header and the
network headers in it are one order, and one `struct.pack` makes them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from struct import Struct
from typing import Final, NamedTuple

SECTION: Final = 0x0A0D0D0A
INTERFACE: Final = 1
OBSOLETE_PACKET: Final = 2
SIMPLE_PACKET: Final = 3
ENHANCED_PACKET: Final = 6
TLS_KEYS: Final = 0x544C534B
"""What is in a block of secrets: a TLS key log."""
SECRETS: Final = 10
MAGIC: Final = 0x1A2B3C4D
"""The byte-order magic of a section header."""

SMALLEST: Final = 12
"""Octets of a block with an empty body."""
LARGEST: Final = 128 << 20
"""Octets of the largest block that is read: a packet is 256 KiB at most, the rest is for large secrets or names."""

END_OF_OPTIONS: Final = 0
COMMENT: Final = 1
APPLICATION: Final = 4
PACKET_FLAGS: Final = 2
INTERFACE_NAME: Final = 2
RESOLUTION: Final = 9
OFFSET: Final = 14

INBOUND: Final = 1
OUTBOUND: Final = 2
"""The direction bits of `epb_flags`."""

LONGEST_COMMENT: Final = 1_000
MOST_COMMENTS: Final = 64

_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")
"""What follows a field of `length & 3` octets up to the next multiple of four."""
_OPTION: Final = Struct(">HH").pack
_BLOCK: Final = Struct(">II").pack
_LENGTH: Final = Struct(">I").pack
_SECTION: Final = Struct(">IHHq").pack
_INTERFACE: Final = Struct(">HHI").pack
_END: Final = _OPTION(END_OF_OPTIONS, 0)


class Option(NamedTuple):
    """One option of a block: its code and its value without the padding."""

    code: int
    value: bytes


def option(code: int, value: bytes) -> bytes:
    """An option as it stands in a block; `value` up to 65,535 octets."""
    return _OPTION(code, len(value)) + value + _PADDING[len(value) & 3]


def options(body: bytes, at: int, order: str) -> Iterator[Option]:
    """The options in `body` from octet `at` on, up to the end mark or to the first that does not fit."""
    head = Struct(order + "HH")
    while at + 4 <= len(body):
        code, length = head.unpack_from(body, at)
        at += 4
        if code == END_OF_OPTIONS or at + length > len(body):
            return
        yield Option(code, body[at : at + length])
        at += length + (-length & 3)


def block(kind: int, body: bytes) -> bytes:
    """A whole block; the length of `body` is a multiple of four."""
    length = len(body) + SMALLEST
    return _BLOCK(kind, length) + body + _LENGTH(length)


def section(application: str) -> bytes:
    """A section header of unknown length that names the program that wrote it."""
    return block(SECTION, _SECTION(MAGIC, 1, 0, -1) + option(APPLICATION, _text(application)) + _END)


def interface(link: int, name: str) -> bytes:
    """An interface of that link type, packets of any length, times in microseconds."""
    described = option(INTERFACE_NAME, _text(name)) + option(RESOLUTION, b"\6")
    return block(INTERFACE, _INTERFACE(link, 0, 0) + described + _END)


@cache
def ending(direction: int) -> tuple[bytes, bytes, bytes, bytes]:
    """What follows a packet of `length & 3` octets that has no comment: padding, `epb_flags`, end mark."""
    flags = option(PACKET_FLAGS, _LENGTH(direction)) + _END
    return _PADDING[0] + flags, _PADDING[1] + flags, _PADDING[2] + flags, _PADDING[3] + flags


def commented(size: int, comments: Sequence[str], endings: tuple[bytes, bytes, bytes, bytes]) -> bytes:
    """What follows a packet of `size` octets that has comments; `endings` is `ending(direction)`.

    At most `MOST_COMMENTS` comments of at most `LONGEST_COMMENT` octets are written, and one that counts the rest.
    """
    if len(comments) == 1:
        raw = comments[0].encode("utf-8", "backslashreplace")
        if (length := len(raw)) <= LONGEST_COMMENT:
            return _PADDING[size & 3] + _OPTION(COMMENT, length) + raw + endings[length & 3]
    if len(comments) > MOST_COMMENTS:
        comments = [*comments[:MOST_COMMENTS], f"and {len(comments) - MOST_COMMENTS} more, not written here"]
    out = _PADDING[size & 3]
    for comment in comments:
        raw = comment.encode("utf-8", "backslashreplace")
        length = len(raw)
        if length > LONGEST_COMMENT:
            raw = _shortened(raw)
            length = len(raw)
        out += _OPTION(COMMENT, length) + raw + _PADDING[length & 3]
    return out + endings[0]


def annotated(size: int, note: bytes, endings: tuple[bytes, bytes, bytes, bytes]) -> bytes:
    """The same for a packet with one comment that is not cut; `note` up to 65,535 octets."""
    return _PADDING[size & 3] + _OPTION(COMMENT, len(note)) + note + endings[len(note) & 3]


def secrets(keylog: bytes) -> bytes:
    """A Decryption Secrets Block with lines of a TLS key log."""
    return block(SECRETS, _BLOCK(TLS_KEYS, len(keylog)) + keylog + _PADDING[len(keylog) & 3])


def _text(text: str) -> bytes:
    raw = text.encode("utf-8", "backslashreplace")
    return raw if len(raw) <= LONGEST_COMMENT else _shortened(raw)


def _shortened(raw: bytes) -> bytes:
    """UTF-8 cut to `LONGEST_COMMENT` octets, between characters."""
    return raw[: LONGEST_COMMENT - 3].decode("utf-8", "ignore").encode() + "…".encode()
