"""Capture files, pcapng and classic pcap, cut into frames; a chunk of them in memory at a time.

Knows both file formats.  Must not know what a frame holds, nor whose it is, which `formats.packet` tells.

Rules.  A file that ends in the middle of a block is torn: it is read up to there, and a warning says so.  Anything else that is
wrong is a CaptureError.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct, error
from typing import Final, NamedTuple

from inspector.capture import note
from inspector.errors import CaptureError
from inspector.formats import declared, pcap, pcapng
from inspector.formats.packet import owner_of
from inspector.formats.word import big, little

BUFFER: Final = 1 << 17
"""Octets read from the source at a time: what stays in the cache of a processor while it is cut; a MiB costs twice as much."""
MICROSECONDS: Final = 1_000_000
LATEST: Final = 253_402_300_799_999_999
"""The last microsecond of the year 9999: a file may hold any time, a calendar none after it."""
MOST_INTERFACES: Final = 65_536
"""Interfaces that a section may describe; more is an attempt to fill our memory."""
MOST_SECRETS: Final = 16 << 20
"""Octets of decryption secrets that are kept of a file: a hundred thousand TLS sessions."""

NOTED: Final = 100
"""Octets of a packet at most beside which something is noted: a SYN with all its options, over IPv6."""
LEAST_NOTE: Final = 32
"""Octets that follow a packet at least where something is noted."""

Warn = Callable[[str], None]
Take = Callable[[int], bytes]
"""Gives up to that many octets; none at the end of the source."""


class Frame:
    """One captured frame."""

    __slots__ = ("data", "link", "note", "time")

    def __init__(self, link: int, time: int, data: bytes) -> None:
        self.link = link
        """The link type."""
        self.time = time
        """Microseconds since the epoch."""
        self.data = data
        self.note = b""
        """What mailspy has written beside it, if that is its own capture."""


SECRETS: Final = -2
"""In place of a link type: not a packet, but a log of TLS keys."""
UNWANTED: Final = Frame(-1, 0, b"")
"""Stands for a frame that nobody wants."""


class Share(NamedTuple):
    """What this process takes of captures that several read."""

    place: int
    """Which it is of them, from 0."""
    processes: int


ALL: Final = Share(0, 1)


class _Interface:
    __slots__ = ("divisor", "link", "multiplier", "offset", "snaplen")

    def __init__(self, link: int, multiplier: int, divisor: int, offset: int, snaplen: int) -> None:
        self.link = link
        self.multiplier = multiplier
        self.divisor = divisor
        """Ticks times one, divided by the other, are microseconds."""
        self.offset = offset
        """Microseconds to be added."""
        self.snaplen = snaplen


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


class Frames:
    """A capture file, read in order; it knows its place for messages."""

    __slots__ = ("_at", "_base", "_data", "_divisor", "_failure", "_link", "_little", "_over", "_place", "_processes", "_secrets",
                 "_section", "_step", "_take", "_time", "_warn", "path")

    def __init__(self, take: Take, path: str, warn: Warn, share: Share = ALL) -> None:
        """`path` is for messages; what is seen at once to be another's comes as `UNWANTED`."""
        self._take = take
        self._warn = warn
        self._place, self._processes = share
        self.path = path
        self._data = b""
        self._at = 0
        """The place in `_data` of the block in hand."""
        self._base = 0
        """The place of `_data` in the file."""
        self._over = False
        self._failure: CaptureError | None = None
        self._step: Callable[[Frames, list[Frame]], None] = Frames._begin
        self._section = _Section(">")
        self._time = 0
        self._little = False
        self._divisor = 1
        self._link = 0
        self._secrets = 0
        """Octets of decryption secrets so far."""

    def batch(self) -> list[Frame]:
        """The next frames, some hundreds as a rule; none at the end of the file.

        Raises CaptureError, with path and offset, where the file is no capture or is damaged: after all frames before.
        """
        if self._failure is not None:
            raise self._failure
        frames: list[Frame] = []
        try:
            while not frames and not self._over:
                self._step(self, frames)
        except CaptureError as failure:
            if not frames:
                raise
            self._failure = failure
        return frames

    # The octets

    def _has(self, size: int) -> bool:
        """Whether so many octets are there from the place in hand on; reads more of the file if need be."""
        left = len(self._data) - self._at
        if left >= size:
            return True
        pieces = [self._data[self._at:]]
        while left < size:
            try:
                piece = self._take(max(BUFFER, size - left))
            except (OSError, EOFError) as failure:
                raise self._bad(f"cannot be read: {failure}") from failure
            if not piece:
                break
            pieces.append(piece)
            left += len(piece)
        self._base += self._at
        self._at = 0
        self._data = b"".join(pieces)
        return left >= size

    def _bad(self, reason: str) -> CaptureError:
        return CaptureError(f"{self.path}: {reason} at octet {self._base + self._at}")

    def _torn(self) -> None:
        """The file ends within a block."""
        self._over = True
        self._warn(f"{self.path}: ends in the middle of a block, at octet {self._base + self._at}; all before it was read")

    def _begin(self, frames: list[Frame]) -> None:
        if not self._has(4):
            return self._torn()
        magic = self._data[:4]
        if magic == _SECTION:
            self._step = Frames._blocks
        elif shape := pcap.SHAPES.get(magic):
            if not self._has(pcap.HEADER):
                return self._torn()
            self._link = declared.read_pcap_header(shape.order, self._data[:pcap.HEADER]).link
            self._little, self._divisor = shape.order == "<", shape.divisor
            self._at = pcap.HEADER
            self._step = Frames._records
        else:
            raise self._bad("neither pcapng nor pcap: unknown magic")
        return None

    # Classic pcap

    def _records(self, frames: list[Frame]) -> None:
        if not self._has(pcap.RECORD):
            return self._end()
        data, at, link, divisor, processes = self._data, self._at, self._link, self._divisor, self._processes
        end = len(data) - pcap.RECORD
        word = little if self._little else big
        while at <= end:
            captured = word(data, at + 8)
            self._at = at
            if captured > pcapng.LARGEST:
                raise self._bad(f"a packet of {captured} octets")
            stop = at + pcap.RECORD + captured
            if stop > len(data):
                if not frames and not self._has(pcap.RECORD + captured):
                    return self._torn()
                return None
            if processes > 1 and not self._is_ours(link, data, at + pcap.RECORD, stop):
                frames.append(UNWANTED)
            else:
                time = word(data, at) * MICROSECONDS + word(data, at + 4) // divisor
                frames.append(Frame(link, time, data[at + pcap.RECORD:stop]))
            at = stop
        self._at = at
        return None

    def _is_ours(self, link: int, data: bytes, at: int, end: int) -> bool:
        """Whether a frame is this process's, or cannot be told at once."""
        owner = owner_of(link, data, at, end, self._processes)
        return owner < 0 or owner == self._place

    def _end(self) -> None:
        if self._at < len(self._data):
            return self._torn()
        self._over = True
        return None

    # pcapng

    def _blocks(self, frames: list[Frame]) -> None:
        if not self._has(8):
            return self._end()
        data, section = self._data, self._section
        head = section.head.unpack_from
        end = len(data) - 8
        while self._at <= end:
            at = self._at
            kind, length = head(data, at)
            if kind == pcapng.SECTION:
                if len(data) - at < 12:
                    break
                section = self._section = _Section(self._order(data[at + 8:at + 12]))
                head = section.head.unpack_from
                kind, length = head(data, at)
            if length < pcapng.SMALLEST or length > pcapng.LARGEST or length % 4:
                if data[at:at + 8] == bytes(8) and self._only_zeros():
                    return self._torn()
                raise self._bad(f"a block with the impossible length {length}")
            stop = at + length
            if stop > len(data):
                break
            if data[stop - 4:stop] != data[at + 4:at + 8]:
                if not any(data[stop - 4:stop]) and self._only_zeros(stop):
                    return self._torn()
                raise self._bad("a block whose two lengths differ")
            self._block(kind, data, at + 8, stop - 4, frames)
            self._at = stop
        if not frames and self._at < len(self._data) and not self._has(self._needed()):
            return self._torn()
        return None

    def _needed(self) -> int:
        """Octets that the block in hand has, as far as its head tells."""
        left = len(self._data) - self._at
        if left < 12:
            return 12
        return max(12, int(self._section.head.unpack_from(self._data, self._at)[1]))

    def _order(self, magic: bytes) -> str:
        if magic not in _ORDERS:
            raise self._bad("a section without a byte-order magic")
        return _ORDERS[magic]

    def _only_zeros(self, place: int = -1) -> bool:
        """Whether nothing but zeros follows: what a power failure leaves at the end of a file."""
        octets = self._data[self._at if place < 0 else place:]
        while octets:
            if octets.strip(b"\0"):
                return False
            octets = self._take(BUFFER)
        return True

    def _block(self, kind: int, data: bytes, start: int, end: int, frames: list[Frame]) -> None:
        """A block, whose body stands there."""
        try:
            if kind == pcapng.ENHANCED_PACKET:
                number, high, low, captured, _original = self._section.enhanced.unpack_from(data, start)
                self._frame(number, high << 32 | low, data, start + 20, end, captured, frames)
            elif (read := _BLOCKS.get(kind)) is not None:
                read(self, data[start:end], frames)
        except (ValueError, error, IndexError) as failure:
            raise self._bad(f"a malformed block of type {kind:#x} ({str(failure).splitlines()[-1]})") from failure

    def _read_section(self, body: bytes, frames: list[Frame]) -> None:
        major = declared.read_section(self._section.order, body)
        if major != 1:
            raise ValueError(f"version {major}")

    def _read_interface(self, body: bytes, frames: list[Frame]) -> None:
        section = self._section
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

    def _read_obsolete(self, body: bytes, frames: list[Frame]) -> None:
        number, _drops, high, low, captured, _original = self._section.obsolete.unpack_from(body)
        self._frame(number, high << 32 | low, body, 20, len(body), captured, frames)

    def _read_simple(self, body: bytes, frames: list[Frame]) -> None:
        (original,) = self._section.word.unpack_from(body)
        snaplen = self._section.interfaces[0].snaplen
        self._frame(0, -1, body, 4, len(body), min(original, snaplen) if snaplen else original, frames)

    def _frame(self, number: int, ticks: int, data: bytes, at: int, end: int, captured: int, frames: list[Frame]) -> None:
        """A packet in a block that ends there; one that has no time (`ticks` below 0) has that of the packet before it."""
        if captured > end - at:
            raise ValueError(f"{captured} octets of packet where a block has {max(0, end - at)} left")
        interface = self._section.interfaces[number]
        if ticks >= 0:
            if interface.divisor != interface.multiplier:
                ticks = ticks * interface.multiplier // interface.divisor
            self._time = min(max(0, ticks + interface.offset), LATEST)
        if self._processes > 1 and not self._is_ours(interface.link, data, at, at + captured):
            frames.append(UNWANTED)
        else:
            frame = Frame(interface.link, self._time, data[at:at + captured])
            frames.append(frame)
            if captured <= NOTED and end - at - captured > LEAST_NOTE:
                self._note(frame, data, at + captured + (-captured & 3), end)

    def _note(self, frame: Frame, data: bytes, at: int, end: int) -> None:
        """A packet without payload, with a comment: perhaps one of ours."""
        if data[at:at + 2] == _COMMENT and data[at + 4:at + 4 + len(note.PREFIX)] == note.PREFIX:
            frame.note = data[at + 4:min(end, at + 4 + (data[at + 2] << 8 | data[at + 3]))]

    def _read_secrets(self, body: bytes, frames: list[Frame]) -> None:
        kind, length = Struct(self._section.order + "II").unpack_from(body)
        if kind == pcapng.TLS_KEYS and self._secrets + length <= MOST_SECRETS:
            self._secrets += length
            frames.append(Frame(SECRETS, self._time, body[8:8 + length]))


_SECTION: Final = pcapng.SECTION.to_bytes(4, "big")
_COMMENT: Final = b"\0\1"
"""The option of a comment; our captures are big-endian."""
_ORDERS: Final = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_BLOCKS: Final[dict[int, Callable[[Frames, bytes, list[Frame]], None]]] = {
    pcapng.SECTION: Frames._read_section,
    pcapng.INTERFACE: Frames._read_interface,
    pcapng.OBSOLETE_PACKET: Frames._read_obsolete,
    pcapng.SIMPLE_PACKET: Frames._read_simple,
    pcapng.SECRETS: Frames._read_secrets,
}
"""Block type → how it is read, but for the one that nearly all have; all others are skipped."""
