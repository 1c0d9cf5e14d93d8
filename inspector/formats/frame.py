"""A synthetic TCP packet in a pcapng block, its headers made by one `struct.pack`.

Knows the layouts of an enhanced packet block, IPv4, IPv6 and TCP as we write them.  Must not know
sequence numbers' meaning: it writes what it is given, with the right checksums.
"""

from __future__ import annotations

from struct import Struct
from typing import ClassVar, Final, Protocol

from inspector.formats.checksum import total
from inspector.formats.pcapng import ENHANCED_PACKET

RAW_LINK: Final = 101
"""LINKTYPE_RAW: a packet begins with its IPv4 or IPv6 header."""

_PLAIN: Final = 0x5000_FFFF
"""The fourth word of a TCP header without options: five words long, no flag, window 65,535."""
ACK: Final = _PLAIN | 0x10 << 16
PUSH: Final = _PLAIN | 0x18 << 16
FINISH: Final = _PLAIN | 0x11 << 16
RESET: Final = _PLAIN | 0x14 << 16
SYN: Final = _PLAIN | 0x02 << 16
SYN_ACK: Final = _PLAIN | 0x12 << 16
OPTION_WORD: Final = 1 << 28
"""Added to the fourth word for each four octets of options; the options then count as payload here."""

MSS: Final = b"\x02\x04\xff\xd7"
"""Maximum segment size 65,495: what fits in the largest IPv4 packet."""
WINDOW_SCALE: Final = b"\x03\x03\x0e"
"""The window counts 16 KiB (RFC 7323 §2.3): 1 GiB, never full."""
LARGEST: Final = 65_480
"""Octets of payload a packet: the most that both families take, in whole words."""

_BLOCK: Final = ENHANCED_PACKET << 32
_BOTH: Final = 0x1_0000_0001
"""A length twice: captured, and on the wire."""
_TRAILER: Final = Struct(">I").pack
_TCP: Final = 6


class Frame(Protocol):
    """One way of a connection: from one address and port to another."""

    headers: ClassVar[int]
    """Octets of the IP and TCP headers."""

    def head(self, time: int, seq: int, ack: int, word: int, sums: int, size: int, length: int) -> bytes:
        """The block header and the network headers before a payload of `size` octets.

        `time` in microseconds since the epoch; `word` one of the constants above; `sums` is
        `checksum.total(payload)`; `length` that of the whole block.
        """


class Frame4:
    """IPv4: `source` and `target` are 4 octets, the ports 16-bit numbers."""

    __slots__ = ("_header", "_path", "_segment")
    headers: ClassVar[int] = 40
    _pack = Struct(">QIQQ I6sH12s IIII").pack
    _fixed: Final = b"\0\0\x40\0\x40\x06"
    """Identification 0, don't fragment, 64 hops, TCP: an atomic datagram (RFC 6864)."""

    def __init__(self, source: bytes, target: bytes, source_port: int, target_port: int) -> None:
        addresses = source + target
        self._path = addresses + _TRAILER(source_port << 16 | target_port)
        self._header = (0x4500 + 40 + total(self._fixed) + total(addresses)) % 65_535
        self._segment = (total(self._path) + _TCP + 20) % 65_535

    def head(self, time: int, seq: int, ack: int, word: int, sums: int, size: int, length: int) -> bytes:
        """See `Frame.head`."""
        packet = size + 40
        return self._pack(
            _BLOCK | length,
            0,
            time,
            packet * _BOTH,
            0x4500_0000 | packet,
            self._fixed,
            -(self._header + size) % 65_535,
            self._path,
            seq,
            ack,
            word,
            -(self._segment + seq + ack + word + size + sums) % 65_535 << 16,
        )


class Frame6:
    """IPv6: `source` and `target` are 16 octets, the ports 16-bit numbers."""

    __slots__ = ("_path", "_segment")
    headers: ClassVar[int] = 60
    _pack = Struct(">QIQQ II36s IIII").pack

    def __init__(self, source: bytes, target: bytes, source_port: int, target_port: int) -> None:
        self._path = source + target + _TRAILER(source_port << 16 | target_port)
        self._segment = (total(self._path) + _TCP + 20) % 65_535

    def head(self, time: int, seq: int, ack: int, word: int, sums: int, size: int, length: int) -> bytes:
        """See `Frame.head`."""
        return self._pack(
            _BLOCK | length,
            0,
            time,
            (size + 60) * _BOTH,
            0x6000_0000,
            (size + 20) << 16 | _TCP << 8 | 64,
            self._path,
            seq,
            ack,
            word,
            -(self._segment + seq + ack + word + size + sums) % 65_535 << 16,
        )
