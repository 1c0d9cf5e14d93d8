"""Whether the checksums of a packet are right: of IPv4's header, and of TCP (RFC 791 §3.1, RFC 9293 §3.1, RFC 8200 §8.1).

Rules.  Only what can be told is told: a packet that is cut, or whose sum a network card was to make, is taken for right.

Knows the layouts of IP and TCP headers.  Must not know connections.
"""

from __future__ import annotations

from typing import Final

from inspector.formats.checksum import total
from inspector.formats.packet import EXTENSIONS, LINKS, TCP

_WORDS: Final = 65_535


def sound(link: int, frame: bytes) -> bool:
    """Whether no checksum of the outermost IP packet in a frame, and of TCP in it, is wrong."""
    find = LINKS.get(link)
    at = find(frame) if find is not None else -1
    if at < 0 or at + 20 > len(frame):
        return True
    return _ipv4(frame, at) if frame[at] >> 4 == 4 else _ipv6(frame, at)


def _ipv4(frame: bytes, at: int) -> bool:
    start = at + (frame[at] & 15) * 4
    if total(frame[at:start]) % _WORDS:
        return False
    end = at + int.from_bytes(frame[at + 2:at + 4])
    if frame[at + 9] != TCP or int.from_bytes(frame[at + 6:at + 8]) & 0x3FFF:
        return True
    return _tcp(frame, start, end, frame[at + 12:at + 20])


def _ipv6(frame: bytes, at: int) -> bool:
    end = at + 40 + int.from_bytes(frame[at + 4:at + 6])
    following, place = frame[at + 6] if at + 40 <= len(frame) else 0, at + 40
    while following in EXTENSIONS and place + 2 <= len(frame):
        following, place = frame[place], place + 8 + frame[place + 1] * 8
    return following != TCP or _tcp(frame, place, end, frame[at + 8:at + 40])


def _tcp(frame: bytes, start: int, end: int, addresses: bytes) -> bool:
    if end > len(frame) or start + 20 > end:
        return True
    pseudo = total(addresses) + TCP + end - start
    rest = (pseudo + total(frame[start:end])) % _WORDS
    # A card that makes the sum itself is given that of the pseudo-header, not complemented.
    return rest == 0 or int.from_bytes(frame[start + 16:start + 18]) % _WORDS == pseudo % _WORDS
