"""From a captured frame to a TCP packet: link, tunnel, IP and TCP headers.

Knows their layouts (RFC 791, RFC 8200, RFC 9293, the link types of tcpdump.org) and what wraps an IP packet in another.
Must not know connections.  Never raises on hostile octets: what is no TCP packet comes out as the reason why.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from struct import Struct
from typing import Final

from inspector.formats.word import big

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
ACK: Final = 0x10


class Skipped(StrEnum):
    """Why a frame was not read."""

    LINK = "packets of an unknown link type"
    NOT_IP = "frames that are not IP"
    NOT_TCP = "packets that are not TCP"
    MALFORMED = "packets with malformed or cut headers"


class Packet:
    """A TCP packet as captured."""

    __slots__ = ("ack", "flags", "missing", "options", "pair", "payload", "seq")

    def __init__(self, pair: bytes, seq: int, ack: int, flags: int, payload: bytes, missing: int, options: bytes) -> None:
        self.pair = pair
        """Who sends to whom as it stands in the headers: both addresses (4 or 16 octets each), both ports."""
        self.seq = seq
        self.ack = ack
        self.flags = flags
        self.payload = payload
        self.missing = missing
        """Octets of payload that were on the wire and not captured."""
        self.options = options
        """Those of a SYN; empty for other packets."""


class Fragment:
    """A fragment of an IP packet."""

    __slots__ = ("data", "header", "key", "more", "place")

    def __init__(self, key: bytes, place: int, more: bool, header: bytes, data: bytes) -> None:
        self.key = key
        """Which packet it is of: addresses, protocol, identification."""
        self.place = place
        """Of its first octet in what the packet carries."""
        self.more = more
        """Others follow."""
        self.header = header
        """An IP header for the whole packet; it gives no length, so that the packet ends where its octets do."""
        self.data = data


def reverse(pair: bytes) -> bytes:
    """The pair of the packets that go the other way."""
    size = (len(pair) - 4) // 2
    return pair[size:2 * size] + pair[:size] + pair[-2:] + pair[-4:-2]


_IPV4: Final = Struct(">BxHxxHxB")
_IPV6: Final = Struct(">xxxxHB")
_TCP: Final = Struct(">IIBB")
_TYPE: Final = Struct(">H")

_IP_TYPES: Final = frozenset({0x0800, 0x86DD})
_TAGS: Final = frozenset({0x8100, 0x88A8, 0x9100, 0x9200})
_LABELS: Final = frozenset({0x8847, 0x8848})
_PPPOE: Final = 0x8864
EXTENSIONS: Final = frozenset({0, 43, 60, 135, 139, 140})
"""Hop-by-hop options, routing, destination options, mobility, HIP, Shim6: skipped over."""
_AUTHENTICATION: Final = 51
_FRAGMENT: Final = 44
TCP: Final = 6
_UDP_NUMBER: Final = 17
_GRE_NUMBER: Final = 47
_IP_IN_IP: Final = frozenset({4, 41})
_VXLAN_PORTS: Final = frozenset({4789, 8472})
_MOST_NESTED: Final = 8
"""Tags, labels, extension headers or tunnels within each other that are looked through."""

_NOWHERE: Final = -1


def dissect(link: int, frame: bytes) -> Packet | Fragment | Skipped:
    """The TCP packet in a frame of that link type."""
    if link == 1 and len(frame) >= 54 and frame[12] == 8 and frame[13] == 0 and frame[14] == 0x45 and frame[23] == TCP:
        flags = frame[47]
        start = 34 + (frame[46] >> 4) * 4
        end = 14 + (frame[16] << 8 | frame[17])
        if not frame[20] & 0x3F and not frame[21] and 54 <= start <= end <= len(frame) and not flags & SYN:
            return Packet(frame[26:38], big(frame, 38), big(frame, 42), flags, frame[start:end], 0, b"")
    find = LINKS.get(link)
    if find is None:
        return Skipped.LINK
    return network(frame, find(frame), _MOST_NESTED)


def owner_of(link: int, data: bytes, at: int, end: int, count: int) -> int:
    """Which of so many processes has the flow of the frame that stands there, where that is seen at once; else -1."""
    if (link == 1 and end - at >= 54 and data[at + 12] == 8 and data[at + 13] == 0 and data[at + 14] == 0x45
            and data[at + 23] == TCP and not data[at + 20] & 0x3F and not data[at + 21]):
        ends = data[at + 29] + data[at + 33] + data[at + 35] + data[at + 37]
        return _owner(ends + 131 * (data[at + 34] + data[at + 36]), count)
    return -1


def owner_of_pair(pair: bytes, count: int) -> int:
    """The same for a packet: one and the same for both directions."""
    size = (len(pair) - 4) // 2
    return _owner(pair[size - 1] + pair[2 * size - 1] + pair[-3] + pair[-1] + 131 * (pair[-4] + pair[-2]), count)


def _owner(mixed: int, count: int) -> int:
    return (mixed * 40_503 >> 8 & 0xFFFF) % count


def network(frame: bytes, at: int, nested: int) -> Packet | Fragment | Skipped:
    """The TCP packet in what should be an IP packet at that place; `nested` is how many tunnels may still come."""
    if at < 0 or at >= len(frame):
        return Skipped.NOT_IP
    version = frame[at] >> 4
    if version == 4:
        return _ipv4(frame, at, nested)
    return _ipv6(frame, at, nested) if version == 6 else Skipped.NOT_IP


# Where IP begins


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
        if kind in _LABELS:
            return _labelled(frame, header)
        if kind == _PPPOE:
            return header + 8  # RFC 2516 §4: six octets, and two that name what PPP carries
        if kind not in _TAGS:
            return _NOWHERE
        at, header = header + 2, header + 4
    return _NOWHERE


def _labelled(frame: bytes, at: int) -> int:
    """Where IP begins behind MPLS labels: the last has the bottom-of-stack bit (RFC 3032 §2.1)."""
    for _ in range(_MOST_NESTED):
        if at + 4 > len(frame):
            return _NOWHERE
        at += 4
        if frame[at - 2] & 1:
            return at
    return _NOWHERE


def _ethernet(frame: bytes) -> int:
    return _typed(frame, 12, 14)


def _cooked(frame: bytes) -> int:
    return _typed(frame, 14, 16)


def _cooked2(frame: bytes) -> int:
    return _typed(frame, 0, 20)


def _ppp(frame: bytes) -> int:
    return 4 if frame[:2] == b"\xff\x03" else 2


LINKS: Final[dict[int, Callable[[bytes], int]]] = {
    0: _loopback,
    1: _ethernet,
    9: _ppp,
    12: _raw,
    14: _raw,
    50: _ppp,
    101: _raw,
    108: _loopback,
    113: _cooked,
    228: _raw,
    229: _raw,
    276: _cooked2,
}
"""Link type → a function that says where IP begins, or -1 (tcpdump.org/linktypes.html)."""


# IP, and what it carries


def _ipv4(frame: bytes, at: int, nested: int) -> Packet | Fragment | Skipped:
    if at + 20 > len(frame):
        return Skipped.MALFORMED
    first, total, fragment, protocol = _IPV4.unpack_from(frame, at)
    header = (first & 15) * 4
    # A length of 0 is what a network card that cuts segments itself leaves in the packets of its own machine.
    end = at + total if total else len(frame)
    if header < 20:
        return Skipped.MALFORMED
    if fragment & 0x3FFF:
        if end > len(frame) or at + header > end:
            return Skipped.MALFORMED
        addresses = frame[at + 12:at + 20]
        return Fragment(addresses + frame[at + 4:at + 6] + bytes([protocol]), (fragment & 0x1FFF) * 8, fragment & 0x2000 != 0,
                        bytes([0x45]) + bytes(8) + bytes([protocol]) + bytes(2) + addresses, frame[at + header:end])
    if protocol == TCP:
        return _tcp(frame, at + header, end, frame[at + 12:at + 20])
    return _carried(frame, at + header, protocol, nested)


def _ipv6(frame: bytes, at: int, nested: int) -> Packet | Fragment | Skipped:
    if at + 40 > len(frame):
        return Skipped.MALFORMED
    length, following = _IPV6.unpack_from(frame, at)
    end = at + 40 + length if length else len(frame)
    place = at + 40
    for _ in range(_MOST_NESTED):
        if place + 2 > len(frame):
            break
        if following in EXTENSIONS:
            following, place = frame[place], place + 8 + frame[place + 1] * 8
        elif following == _AUTHENTICATION:
            following, place = frame[place], place + 8 + frame[place + 1] * 4
        else:
            break
    if following == _FRAGMENT:
        return _ipv6_fragment(frame, at, place, end)
    if following == TCP:
        return _tcp(frame, place, end, frame[at + 8:at + 40])
    return _carried(frame, place, following, nested)


def _ipv6_fragment(frame: bytes, at: int, place: int, end: int) -> Fragment | Skipped:
    if place + 8 > end or end > len(frame):
        return Skipped.MALFORMED
    addresses, following = frame[at + 8:at + 40], frame[place]
    (offset,) = _TYPE.unpack_from(frame, place + 2)
    return Fragment(addresses + frame[place + 4:place + 8], offset & 0xFFF8, offset & 1 != 0,
                    b"\x60" + bytes(5) + bytes([following, 0]) + addresses, frame[place + 8:end])


def _tcp(frame: bytes, at: int, end: int, addresses: bytes) -> Packet | Fragment | Skipped:
    if at + 20 > len(frame):
        return Skipped.MALFORMED
    seq, ack, offset, flags = _TCP.unpack_from(frame, at + 4)
    start = at + (offset >> 4) * 4
    if start < at + 20 or start > end:
        return Skipped.MALFORMED
    return Packet(addresses + frame[at:at + 4], seq, ack, flags, frame[start:end], max(0, end - max(start, len(frame))),
                  frame[at + 20:start] if flags & SYN else b"")


def _carried(frame: bytes, at: int, protocol: int, nested: int) -> Packet | Fragment | Skipped:
    """A packet within another: IP in IP (RFC 2003, RFC 4213), GRE (RFC 2784), VXLAN (RFC 7348)."""
    if nested <= 0:
        return Skipped.NOT_TCP
    if protocol in _IP_IN_IP:
        return network(frame, at, nested - 1)
    if protocol == _GRE_NUMBER:
        return _gre(frame, at, nested - 1)
    if protocol == _UDP_NUMBER and at + 16 <= len(frame):
        (port,) = _TYPE.unpack_from(frame, at + 2)
        if port in _VXLAN_PORTS and frame[at + 8] & 0x08:
            return network(frame, _typed(frame, at + 28, at + 30), nested - 1)
    return Skipped.NOT_TCP


def _gre(frame: bytes, at: int, nested: int) -> Packet | Fragment | Skipped:
    """Behind a GRE header: four octets, and four for each of checksum, key and sequence number that its bits name."""
    if at + 4 > len(frame):
        return Skipped.MALFORMED
    bits = frame[at]
    (kind,) = _TYPE.unpack_from(frame, at + 2)
    start = at + 4 + 4 * ((bits >> 7 & 1) + (bits >> 5 & 1) + (bits >> 4 & 1))
    if kind in _IP_TYPES:
        return network(frame, start, nested)
    if kind == 0x6558:
        return network(frame, _typed(frame, start + 12, start + 14), nested)
    return Skipped.NOT_TCP
