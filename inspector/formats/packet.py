"""From a captured frame to a TCP packet: link, IP and TCP headers.

Knows their layouts (RFC 791, RFC 8200, RFC 9293, the link types of tcpdump.org).  Must not know connections.
Never raises on hostile octets: what is no TCP packet comes out as the reason why.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from struct import Struct
from typing import Final, NamedTuple

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
ACK: Final = 0x10


class Skipped(StrEnum):
    """Why a frame was not read."""

    LINK = "packets of an unknown link type"
    NOT_IP = "frames that are not IP"
    FRAGMENT = "IP fragments"
    NOT_TCP = "packets that are not TCP"
    MALFORMED = "packets with malformed or cut headers"


class Packet(NamedTuple):
    """A TCP packet as captured."""

    source: bytes
    """Address (4 or 16 octets) and port (2): the end that sent it."""
    target: bytes
    seq: int
    flags: int
    payload: bytes
    missing: int
    """Octets of payload that were on the wire and not captured."""
    options: bytes
    """Those of a SYN; empty for other packets."""


_IPV4: Final = Struct(">BxHxxHxB")
_IPV6: Final = Struct(">xxxxHB")
_TCP: Final = Struct(">2s2sI4xBB")
_TYPE: Final = Struct(">H")

_VLAN: Final = frozenset({0x8100, 0x88A8, 0x9100})
_IP_TYPES: Final = frozenset({0x0800, 0x86DD})
_EXTENSIONS: Final = frozenset({0, 43, 60})
"""Hop-by-hop options, routing, destination options: skipped over."""
_FRAGMENT: Final = 44
_TCP_NUMBER: Final = 6
_MOST_NESTED: Final = 8
"""VLAN tags or extension headers that are looked through."""

_NOWHERE: Final = -1


def dissect(link: int, frame: bytes) -> Packet | Skipped:
    """The TCP packet in a frame of that link type."""
    find = LINKS.get(link)
    if find is None:
        return Skipped.LINK
    at = find(frame)
    if at < 0 or at >= len(frame):
        return Skipped.NOT_IP
    version = _VERSIONS.get(frame[at] >> 4)
    return version(frame, at) if version else Skipped.NOT_IP


def _raw(_frame: bytes) -> int:
    return 0


def _loopback(_frame: bytes) -> int:
    # Four octets of address family, in the order of a machine that we cannot know: IP tells its version itself.
    return 4


def _typed(frame: bytes, at: int, header: int) -> int:
    """Where IP begins when the EtherType stands at `at` and `header` octets come before what it names."""
    for _ in range(_MOST_NESTED):
        if at + 2 > len(frame):
            return _NOWHERE
        (kind,) = _TYPE.unpack_from(frame, at)
        if kind in _IP_TYPES:
            return header
        if kind not in _VLAN:
            return _NOWHERE
        at, header = header + 2, header + 4
    return _NOWHERE


def _ethernet(frame: bytes) -> int:
    return _typed(frame, 12, 14)


def _cooked(frame: bytes) -> int:
    return _typed(frame, 14, 16)


def _cooked2(frame: bytes) -> int:
    return _typed(frame, 0, 20)


LINKS: Final[dict[int, Callable[[bytes], int]]] = {
    0: _loopback,
    1: _ethernet,
    101: _raw,
    108: _loopback,
    113: _cooked,
    228: _raw,
    229: _raw,
    276: _cooked2,
}
"""Link type → a function that says where IP begins, or -1 (tcpdump.org/linktypes.html)."""


def _ipv4(frame: bytes, at: int) -> Packet | Skipped:
    if at + 20 > len(frame):
        return Skipped.MALFORMED
    first, total, fragment, protocol = _IPV4.unpack_from(frame, at)
    if fragment & 0x3FFF:
        return Skipped.FRAGMENT
    if protocol != _TCP_NUMBER:
        return Skipped.NOT_TCP
    header = (first & 15) * 4
    # A length of 0 is what a network card that cuts segments itself leaves in the packets of its own machine.
    end = at + total if total else len(frame)
    if header < 20:
        return Skipped.MALFORMED
    return _tcp(frame, at + header, end, frame[at + 12 : at + 16], frame[at + 16 : at + 20])


def _ipv6(frame: bytes, at: int) -> Packet | Skipped:
    if at + 40 > len(frame):
        return Skipped.MALFORMED
    length, following = _IPV6.unpack_from(frame, at)
    end = at + 40 + length if length else len(frame)
    place = at + 40
    for _ in range(_MOST_NESTED):
        if following not in _EXTENSIONS or place + 2 > len(frame):
            break
        following, place = frame[place], place + 8 + frame[place + 1] * 8
    if following == _FRAGMENT:
        return Skipped.FRAGMENT
    if following != _TCP_NUMBER:
        return Skipped.NOT_TCP
    return _tcp(frame, place, end, frame[at + 8 : at + 24], frame[at + 24 : at + 40])


_VERSIONS: Final[dict[int, Callable[[bytes, int], Packet | Skipped]]] = {4: _ipv4, 6: _ipv6}


def _tcp(frame: bytes, at: int, end: int, source: bytes, target: bytes) -> Packet | Skipped:
    if at + 20 > len(frame):
        return Skipped.MALFORMED
    source_port, target_port, seq, offset, flags = _TCP.unpack_from(frame, at)
    start = at + (offset >> 4) * 4
    if start < at + 20 or start > end:
        return Skipped.MALFORMED
    return Packet(
        source + source_port,
        target + target_port,
        seq,
        flags,
        frame[start:end],
        max(0, end - max(start, len(frame))),
        frame[at + 20 : start] if flags & SYN else b"",
    )
