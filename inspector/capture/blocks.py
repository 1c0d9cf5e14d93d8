"""Capture files, pcapng and classic pcap, cut into frames; one block in memory at a time.

Knows both file formats.  Must not know what a frame holds.  A file that ends in the middle of a block is
torn: it is read up to there, and a warning says so.  Anything else that is wrong is a CaptureError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct, error
from typing import BinaryIO, Final, NamedTuple

from inspector.errors import CaptureError
from inspector.formats import declared, pcap, pcapng

MICROSECONDS: Final = 1_000_000
MOST_INTERFACES: Final = 65_536
"""Interfaces that a section may describe; more is an attempt to fill our memory."""

Warn = Callable[[str], None]


class Frame(NamedTuple):
    """One captured frame."""

    link: int
    """The link type."""
    time: int
    """Microseconds since the epoch."""
    data: bytes


class _Interface(NamedTuple):
    link: int
    multiplier: int
    divisor: int
    """Ticks times one, divided by the other, are microseconds."""
    offset: int
    """Microseconds to be added."""
    snaplen: int


class _Source:
    """A file read in order, which knows its place for messages."""

    __slots__ = ("_stream", "_warn", "at", "path")

    def __init__(self, stream: BinaryIO, path: str, warn: Warn) -> None:
        self._stream = stream
        self._warn = warn
        self.path = path
        self.at = 0
        """The offset of the block in hand."""

    def take(self, size: int) -> bytes:
        """The next octets; fewer at the end of the file."""
        try:
            return self._stream.read(size)
        except OSError as failure:
            raise CaptureError(f"{self.path}: cannot be read at octet {self.at}: {failure.strerror}") from failure

    def bad(self, reason: str) -> CaptureError:
        return CaptureError(f"{self.path}: {reason} at octet {self.at}")

    def torn(self) -> None:
        self._warn(f"{self.path}: ends in the middle of a block, at octet {self.at}; all before it was read")


def frames(stream: BinaryIO, path: str, warn: Warn) -> Iterator[Frame]:
    """The frames of an open capture file; `path` is for messages.

    Raises CaptureError, with path and offset, where the file is no capture or is damaged.
    """
    source = _Source(stream, path, warn)
    magic = source.take(4)
    if len(magic) < 4:
        source.torn()
    elif magic == _SECTION:
        yield from _pcapng(source, magic)
    elif shape := pcap.SHAPES.get(magic):
        yield from _pcap(source, shape, magic)
    else:
        raise source.bad("neither pcapng nor pcap: unknown magic")


# --- classic pcap ---


def _pcap(source: _Source, shape: pcap.Shape, magic: bytes) -> Iterator[Frame]:
    header = magic + source.take(pcap.HEADER - 4)
    if len(header) < pcap.HEADER:
        return source.torn()
    link = declared.read_pcap_header(shape.order, header).link
    source.at = pcap.HEADER
    record, divisor = shape.record, shape.divisor
    while head := source.take(pcap.RECORD):
        if len(head) < pcap.RECORD:
            return source.torn()
        seconds, fraction, captured, _original = record.unpack(head)
        if captured > pcapng.LARGEST:
            raise source.bad(f"a packet of {captured} octets")
        data = source.take(captured)
        if len(data) < captured:
            return source.torn()
        yield Frame(link, seconds * MICROSECONDS + fraction // divisor, data)
        source.at += pcap.RECORD + captured
    return None


# --- pcapng ---

_SECTION: Final = pcapng.SECTION.to_bytes(4, "big")
_ORDERS: Final = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_TIME_LATER: Final = -1
"""The time of a packet block that has none: that of the packet before it."""


class _Section:
    """What the blocks of a section are read with: byte order and interfaces."""

    __slots__ = ("enhanced", "head", "interfaces", "obsolete", "order", "word")

    def __init__(self, order: str) -> None:
        self.order = order
        self.head = Struct(order + "II")
        self.word = Struct(order + "I")
        self.enhanced = Struct(order + "IIIII")
        self.obsolete = Struct(order + "HHIIII")
        self.interfaces: list[_Interface] = []


def _pcapng(source: _Source, magic: bytes) -> Iterator[Frame]:
    section = _Section(">")
    time = 0
    head = magic + source.take(4)
    while head:
        if len(head) < 8:
            return source.torn()
        start = b""
        if head[:4] == _SECTION:
            start = source.take(4)
            if len(start) < 4:
                return source.torn()
            if start not in _ORDERS:
                raise source.bad("a section without a byte-order magic")
            section = _Section(_ORDERS[start])
        kind, length = section.head.unpack(head)
        if length < pcapng.SMALLEST + len(start) or length > pcapng.LARGEST or length % 4:
            if head == bytes(8) and _only_zeros(source):
                return source.torn()
            raise source.bad(f"a block with the impossible length {length}")
        rest = source.take(length - 8 - len(start))
        if len(rest) < length - 8 - len(start):
            return source.torn()
        if rest[-4:] != head[4:]:
            if not any(rest[-4:]) and _only_zeros(source):
                return source.torn()
            raise source.bad("a block whose two lengths differ")
        read = _BLOCKS.get(kind)
        if read is not None:
            try:
                frame = read(section, start + rest[:-4])
            except (ValueError, error, IndexError) as failure:
                raise source.bad(f"a malformed block of type {kind:#x} ({str(failure).splitlines()[-1]})") from failure
            if frame is not None:
                time = time if frame.time == _TIME_LATER else frame.time
                yield frame if frame.time == time else frame._replace(time=time)
        source.at += length
        head = source.take(8)
    return None


def _only_zeros(source: _Source) -> bool:
    """Whether nothing but zeros follows: what a power failure leaves at the end of a file."""
    while octets := source.take(1 << 16):
        if octets.strip(b"\0"):
            return False
    return True


def _read_section(section: _Section, body: bytes) -> None:
    major = declared.read_section(section.order, body)
    if major != 1:
        raise ValueError(f"version {major}")


def _read_interface(section: _Section, body: bytes) -> None:
    if len(section.interfaces) >= MOST_INTERFACES:
        raise ValueError("too many interfaces")
    fixed = declared.read_interface(section.order, body)
    ticks, offset = MICROSECONDS, 0
    for code, value in pcapng.options(body, 8, section.order):
        if code == pcapng.RESOLUTION and value:
            ticks = 2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
        elif code == pcapng.OFFSET and len(value) == 8:
            offset = Struct(section.order + "q").unpack(value)[0] * MICROSECONDS
    section.interfaces.append(_Interface(fixed.link, MICROSECONDS, ticks, offset, fixed.snaplen))


def _read_enhanced(section: _Section, body: bytes) -> Frame:
    number, high, low, captured, _original = section.enhanced.unpack_from(body)
    return _frame(section, number, high << 32 | low, body, at=20, captured=captured)


def _read_obsolete(section: _Section, body: bytes) -> Frame:
    number, _drops, high, low, captured, _original = section.obsolete.unpack_from(body)
    return _frame(section, number, high << 32 | low, body, at=20, captured=captured)


def _read_simple(section: _Section, body: bytes) -> Frame:
    (original,) = section.word.unpack_from(body)
    snaplen = section.interfaces[0].snaplen
    captured = min(original, snaplen) if snaplen else original
    return _frame(section, 0, None, body, at=4, captured=captured)


def _frame(section: _Section, number: int, ticks: int | None, body: bytes, *, at: int, captured: int) -> Frame:
    if captured > len(body) - at:
        raise ValueError(f"{captured} octets of packet in a block of {len(body)}")
    link, multiplier, divisor, offset, _snaplen = section.interfaces[number]
    data = body[at : at + captured]
    if ticks is None:
        return Frame(link, _TIME_LATER, data)
    time = ticks if divisor == multiplier else ticks * multiplier // divisor
    return Frame(link, max(0, time + offset), data)


_BLOCKS: Final[dict[int, Callable[[_Section, bytes], Frame | None]]] = {
    pcapng.SECTION: _read_section,
    pcapng.INTERFACE: _read_interface,
    pcapng.OBSOLETE_PACKET: _read_obsolete,
    pcapng.SIMPLE_PACKET: _read_simple,
    pcapng.ENHANCED_PACKET: _read_enhanced,
}
"""Block type → how it is read; all others are skipped."""
