"""Captures as events: the source of traffic for replay.

Knows how file, packets and connections follow each other.  Must not know any of them itself: files are
`blocks`, packets `formats.packet`, connections `reassembly`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from heapq import merge
from itertools import chain, islice
from typing import Final, NamedTuple

from inspector.capture.blocks import ALL, SECRETS, UNWANTED, Frame, Frames, Share
from inspector.capture.checksums import sound
from inspector.capture.embryo import STEP
from inspector.capture.fragments import Fragments
from inspector.capture.reassembly import Reassembly
from inspector.capture.source import Idle, Source, opened
from inspector.errors import CaptureError
from inspector.formats.packet import Fragment, Packet, Skipped, dissect, owner_of_pair
from inspector.pdu import Flow
from inspector.segment import Event, Opened, Secrets

RAW_IP: Final = 101
"""The link type of packets that are IP from their first octet."""
MERGED: Final = 512
"""Frames of merged files that are handed on together."""
ROUND: Final = 1_024
"""Frames that several processes take before they tell each other what they have found."""
MOST_WARNINGS: Final = 100
"""Warnings passed on for one file: a hostile one could make millions."""

Warn = Callable[[str], None]


def _ignore(_text: str) -> None:
    return None


class Progress(NamedTuple):
    """How far a reading is."""

    octets: int
    """Of the files themselves, so far."""
    packets: int


class Round:
    """What comes of frames that follow each other, in one of several processes."""

    __slots__ = ("events", "marks", "opened", "progress", "size", "told", "warnings")

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.marks: list[tuple[int, Flow | None, int]] = []
        """The number of a frame, or at the end of a file the flow that is flushed, and how many events there were by then."""
        self.opened: list[tuple[int, int]] = []
        """The flows that begin: the number of the frame, and the key by which the flow is known until it has a number."""
        self.told: list[Opened] = []
        """Those that are told, which may have begun long before."""
        self.size = 0
        """Octets of the frames that were taken."""
        self.warnings: list[str] = []
        self.progress: Progress | None = None

    def mark(self, turn: int, flow: Flow | None = None) -> None:
        """The last events came of that frame."""
        self.marks.append((turn, flow, len(self.events)))

    def begun(self, turn: int, reassembly: Reassembly) -> None:
        """The same for the flows that it has opened, and for those that are told."""
        self.opened += [(turn, key) for key in reassembly.opened]
        self.told += reassembly.told
        reassembly.opened.clear()
        reassembly.told.clear()

    def closing(self, turn: int, flows: Iterable[Flow], reassembly: Reassembly) -> None:
        """The same, flow by flow, of what comes of none of its packets."""
        for flow in flows:
            self.mark(turn, flow)
        self.begun(turn, reassembly)


class Reading(NamedTuple):
    """How captures are read."""

    merge: bool = False
    """All files together, their packets sorted by time: connections may go from file to file."""
    checksums: bool = False
    """Packets whose checksums are wrong are left out."""
    idle: Idle | None = None
    """The files may grow: what is called while nothing new comes."""
    progress: Callable[[Progress], None] | None = None
    """Is told, now and then, how far it is."""
    keylog: bytes = b""
    """Keys of TLS sessions, beside those in the captures."""
    share: Share | None = None
    """Only some flows are taken; the numbers of flows are not known then."""

    @property
    def seen_at_once(self) -> Share:
        """Which frames need not be cut out: none where they are sorted or checked first."""
        return self.share if self.share is not None and not self.merge and not self.checksums else ALL


PLAINLY: Final = Reading()


def read(path: str, warn: Warn = _ignore) -> Iterator[Event]:
    """The events of one capture, connections numbered from 1.

    Raises CaptureError with path and offset where the file is damaged; what comes before the damage has been yielded by then.
    """
    return read_all([path], warn)


def read_all(paths: Iterable[str], warn: Warn = _ignore, number: int = 1) -> Generator[Event, None, None]:
    """The events of several captures, one file after the other, flow numbers going on from `number` from file to file."""
    for batch in read_batches(paths, warn, number):
        yield from batch


def read_batches(paths: Iterable[str], warn: Warn = _ignore, number: int = 1, how: Reading = PLAINLY) -> Iterator[list[Event]]:
    """The same, some hundreds of them at a time.

    Raises CaptureError after all that can be read of all files has been yielded.
    """
    flaws: list[CaptureError] = []
    turn = 0
    before: Reassembly | None = None
    for batches, limited in _files(paths, warn, how, flaws):
        turn += 1
        if before is not None:
            yield from _in_batches(before, before.abandon())
        reassembly = before = Reassembly(limited.told, number)
        dissection = _Dissection(reassembly, limited, how, turn)
        for batch in batches:
            dissection.take(batch)
            yield reassembly.taken()
        turn = dissection.turn + 1
        yield from _in_batches(reassembly, dissection.remaining())
        number = reassembly.number
    for flaw in flaws[:-1]:
        warn(f"error: {flaw}")
    if flaws:
        raise flaws[-1]


def _in_batches(reassembly: Reassembly, flows: Iterable[Flow]) -> Iterator[list[Event]]:
    """The events that come flow by flow."""
    for _ in flows:
        if len(reassembly.events) > MERGED:
            yield reassembly.taken()
    yield reassembly.taken()


def read_rounds(paths: Iterable[str], how: Reading) -> Iterator[Round]:
    """The same for one of several processes that read the same: of each round its events.  All have the same rounds.

    Flows have numbers below 0, for the time being.  Only the first process warns.
    """
    share = how.share
    assert share is not None
    current = Round()

    def tell(text: str) -> None:
        if share.place == 0:
            current.warnings.append(text)

    def note(progress: Progress) -> None:
        current.progress = progress

    flaws: list[CaptureError] = []
    turn, number = 0, -1
    before: Reassembly | None = None
    for batches, limited in _files(paths, tell, how._replace(progress=note), flaws):
        turn += 1
        if before is not None:
            before.events = current.events
            current.closing(turn, before.abandon(), before)
        reassembly = before = Reassembly(limited.told, number)
        reassembly.events = current.events
        known = len(current.events)
        dissection = _Dissection(reassembly, limited, how, turn)
        if len(current.events) > known:
            current.mark(turn)
        for batch in batches:
            done = 0
            while done < len(batch):
                some = batch[done:done + ROUND - turn % ROUND]
                dissection.take_some(some, current)
                turn = dissection.turn
                done += len(some)
                if turn % ROUND == 0:
                    yield current
                    current = Round()
                    reassembly.events = current.events
        turn += 1
        current.closing(turn, dissection.remaining(), reassembly)
        number = reassembly.number
    for flaw in flaws[:-1]:
        tell(f"error: {flaw}")
    yield current
    if flaws:
        raise flaws[-1]


def _files(paths: Iterable[str], warn: Warn, how: Reading,
           flaws: list[CaptureError]) -> Iterator[tuple[Iterator[list[Frame]], _Limited]]:
    """The frames of each file, or of all together, and who is told what is odd about them."""
    told = _Told(how.progress)
    names = list(paths)
    if how.merge and len(names) > 1:
        files = [_batches(path, _Limited(path, warn).plain, how, told, flaws) for path in names]
        yield _merged(files), _Limited("the merged captures", warn)
        return
    for path in names:
        limited = _Limited(path, warn)
        yield _batches(path, limited.plain, how, told, flaws), limited


def _batches(path: str, warn: Warn, how: Reading, told: _Told, flaws: list[CaptureError]) -> Iterator[list[Frame]]:
    """The frames of a file; what is wrong with it comes after them, among the flaws."""
    begun = False
    try:
        with opened(path, how.idle) as source:
            frames = Frames(source.take, path, warn, how.seen_at_once)
            while batch := frames.batch():
                begun = True
                yield batch
                told.took(len(batch), source)
            told.took(0, source)
    except CaptureError as flaw:
        flaw.damaged = begun
        flaws.append(flaw)


def _merged(files: list[Iterator[list[Frame]]]) -> Iterator[list[Frame]]:
    """The frames of all files by time; one file's own order stays."""
    frames = merge(*map(chain.from_iterable, files), key=_time)
    while batch := list(islice(frames, MERGED)):
        yield batch


def _time(frame: Frame) -> int:
    return frame.time


class _Told:
    """Adds up how far the files are read."""

    def __init__(self, tell: Callable[[Progress], None] | None) -> None:
        self._tell = tell
        self._packets = 0
        self._places: dict[int, int] = {}
        self._sum = 0

    def took(self, packets: int, source: Source) -> None:
        """So many packets more of that source."""
        if self._tell is not None:
            self._packets += packets
            self._sum += source.place - self._places.get(id(source), 0)
            self._places = {**self._places, id(source): source.place} if packets else {
                other: place for other, place in self._places.items() if other != id(source)}
            self._tell(Progress(self._sum, self._packets))


class _Dissection:
    """From frames to the reassembly."""

    def __init__(self, reassembly: Reassembly, limited: _Limited, how: Reading = PLAINLY, turn: int = 0) -> None:
        """`turn`: frames that were counted before."""
        self._reassembly = reassembly
        self._limited = limited
        self._checksums = how.checksums
        self._share = how.share
        self.turn = turn
        """The number of the last frame."""
        self._skipped: set[Skipped] = set()
        self._fragments = Fragments(limited.told)
        self._unsound = 0
        if how.keylog:
            self._secrets(how.keylog, 0)

    def take(self, batch: list[Frame]) -> None:
        """Takes frames in their order."""
        reassembly = self._reassembly
        turn = self.turn
        for frame in batch:
            turn += 1
            if not self._checksums or self._sound(frame):
                packet = dissect(frame.link, frame.data)
                if isinstance(packet, Packet):
                    reassembly.feed(packet, frame.time, turn)
                    if frame.note:
                        reassembly.noted(packet, frame.note, frame.time)
                elif frame.link == SECRETS:
                    self._secrets(frame.data, frame.time)
                else:
                    self.turn = turn
                    self._other(packet, frame.time)
            if not turn % STEP:
                for _ in reassembly.expire(turn):
                    pass
        self.turn = turn

    def take_some(self, frames: list[Frame], current: Round) -> None:
        """Takes those whose flows are this process's."""
        reassembly = self._reassembly
        known = len(current.events)
        for frame in frames:
            self.turn += 1
            if frame is not UNWANTED and (not self._checksums or self._sound(frame)):
                current.size += len(frame.data)
                self._take_one(frame)
                if len(current.events) > known:
                    current.mark(self.turn)
                    known = len(current.events)
                if reassembly.opened:
                    current.begun(self.turn, reassembly)
            if not self.turn % STEP:
                current.closing(self.turn, reassembly.expire(self.turn), reassembly)
                known = len(current.events)

    def _take_one(self, frame: Frame) -> None:
        packet = dissect(frame.link, frame.data)
        if isinstance(packet, Packet):
            self._feed(packet, frame.time)
            if frame.note:
                self._reassembly.noted(packet, frame.note, frame.time)
        elif frame.link == SECRETS:
            self._secrets(frame.data, frame.time)
        else:
            self._other(packet, frame.time)

    def _feed(self, packet: Packet, time: int) -> None:
        share = self._share
        if share is None or owner_of_pair(packet.pair, share.processes) == share.place:
            self._reassembly.feed(packet, time, self.turn)

    def _secrets(self, keylog: bytes, time: int) -> None:
        self._reassembly.events.append(Secrets(0, time, keylog))

    def _other(self, packet: Fragment | Skipped, time: int) -> None:
        if isinstance(packet, Fragment):
            if whole := self._fragments.add(packet, time):
                found = dissect(RAW_IP, whole)
                if isinstance(found, Packet):
                    self._feed(found, time)
                elif found is not packet:
                    self._other(found, time)
        elif packet not in self._skipped:
            self._skipped.add(packet)
            self._limited.told(f"{packet} are not read")

    def _sound(self, frame: Frame) -> bool:
        if sound(frame.link, frame.data):
            return True
        self._unsound += 1
        return False

    def finish(self) -> None:
        """Nothing more comes."""
        for _ in self.remaining():
            pass

    def remaining(self) -> Iterator[Flow]:
        """The same, flow by flow."""
        self._fragments.finish()
        if self._unsound:
            self._limited.told(f"{self._unsound:,} packets with wrong checksums left out")
        yield from self._reassembly.remaining()


class _Limited:
    """Passes warnings on, up to a number."""

    __slots__ = ("_count", "_path", "_warn")

    def __init__(self, path: str, warn: Warn) -> None:
        self._path = path
        self._warn = warn
        self._count = 0

    def told(self, text: str) -> None:
        """A warning about what is in the file."""
        self.plain(f"{self._path}: {text}")

    def plain(self, text: str) -> None:
        """A warning that names the file itself."""
        self._count += 1
        if self._count <= MOST_WARNINGS:
            self._warn(text)
        elif self._count == MOST_WARNINGS + 1:
            self._warn(f"{self._path}: more warnings are not shown")
