"""One capture, several processes: this one reads, each of the others has some of the flows; the output is that of one process.

Rules.  A flow belongs to one worker from its first event to its last.  What comes of an event stands in the output where one
process had put it: the events are numbered, the workers return what they would have written by those numbers, and a thread
merges it.  Both ways are pipes, so that nobody is ahead of the others by more than these hold.

Knows events, processes and outputs.  Must not know how captures are read, nor what plugins write.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain
from multiprocessing import get_context
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Protocol

from inspector.console import Heads, resolved
from inspector.errors import MailspyError, OptionError
from inspector.pdu import C2S, S2C, Address, Flow
from inspector.segment import Ended, Event, Gap, Opened, Remark, Reset, Segment

if TYPE_CHECKING:
    from inspector.output import Outputs
    from inspector.pipeline import Pipeline

MAIN: Final = "1"
NOTICES: Final = "2"
"""Streams: standard output, what is said to the user; any other is a file by its path."""

BATCH: Final = 1 << 18
"""Octets, about, that are sent to the workers at a time."""

Line = tuple[int, str, bytes]
"""The number of the event, the stream, and what comes of the event on it."""

# Events as marshal takes them

_SEGMENT, _SEGMENTS, _OPENED, _GAP, _REMARK, _ENDED, _RESET = range(7)


def packed(event: Event) -> tuple[Any, ...]:
    """An event that is no segment as a tuple of plain values."""
    if isinstance(event, Opened):
        flow = event.flow
        return (_OPENED, flow.number, (*flow.client, *flow.server), flow.opened, flow.protocol, event.own, event.joined)
    if isinstance(event, Gap):
        return _GAP, event.flow, event.direction is C2S, event.time, event.size
    if isinstance(event, Remark):
        return _REMARK, event.flow, event.direction is C2S, event.time, event.name, event.detail
    return _ENDED if isinstance(event, Ended) else _RESET, event.flow, event.direction is C2S, event.time


def unpacked(fields: tuple[Any, ...]) -> Event:
    """The event again."""
    kind, flow = fields[:2]
    if kind == _OPENED:
        _, _, (host, port, other, service), time, protocol, own, joined = fields
        return Opened(Flow(flow, Address(host, port), Address(other, service), time, protocol), own, joined)
    direction, time = C2S if fields[2] else S2C, fields[3]
    if kind == _GAP:
        return Gap(flow, direction, time, fields[4])
    if kind == _REMARK:
        return Remark(flow, direction, time, fields[4], fields[5])
    return (Ended if kind == _ENDED else Reset)(flow, direction, time)


def number_of(event: Event) -> int:
    """The flow that an event is of."""
    return event.flow.number if isinstance(event, Opened) else event.flow


# The worker


class Stream:
    """An output of a worker: what is written is told by the number of the event."""

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.descriptor = descriptor
        self.buffer = bytearray()
        self.fill: Callable[[], None] | None = None
        self.broken = False

    @property
    def terminal(self) -> bool:
        """Whether a person looks at it."""
        return self.descriptor >= 0 and os.isatty(self.descriptor)

    def write(self, lines: bytes) -> None:
        """Takes whole lines."""
        self.buffer += lines

    def flush(self) -> None:
        """Nothing waits here."""


class Streams:
    """The outputs of a worker, in place of `Outputs`."""

    broken = False

    def __init__(self) -> None:
        self._streams: dict[str, Stream] = {}
        self.lines: list[Line] = []

    def stdout(self) -> Stream:
        """Standard output."""
        return self._stream(MAIN, 1)

    def stderr(self) -> Stream:
        """Standard error."""
        return self._stream(NOTICES, 2)

    def open(self, path: str) -> Stream:
        """A file."""
        return self._stream(path, -1)

    def _stream(self, name: str, descriptor: int) -> Stream:
        if name not in self._streams:
            self._streams[name] = Stream(name, descriptor)
        return self._streams[name]

    def notice(self, line: str) -> None:
        """Tells the user something."""
        self._stream(NOTICES, 2).write(line.encode() + b"\n")

    def mark(self, number: int) -> None:
        """What was written until now came of that event."""
        for stream in self._streams.values():
            if stream.fill is not None:
                stream.fill()
            if stream.buffer:
                self.lines.append((number, stream.name, bytes(stream.buffer)))
                stream.buffer.clear()

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Nothing is open here."""


class Worker(Protocol):
    """What runs in each process."""

    pipeline: Pipeline

    def counts(self) -> Any:
        """What it has counted, as marshal takes it."""


def work(make: Callable[[Streams], Worker], take: Connection, give: Connection) -> None:
    """The life of a worker: batches of numbered events in, lines out, until an empty message."""
    streams = Streams()
    worker = make(streams)
    streams.mark(0)
    give.send_bytes(marshal.dumps(streams.lines))
    pipeline = worker.pipeline
    while message := take.recv_bytes():
        streams.lines = []
        for entry in marshal.loads(message):
            _take(pipeline, entry, streams.mark)
        give.send_bytes(marshal.dumps(streams.lines))
    streams.lines = []
    pipeline.finish(streams.mark)
    give.send_bytes(marshal.dumps((streams.lines, worker.counts())))


def _take(pipeline: Pipeline, entry: tuple[Any, ...], mark: Callable[[int], None]) -> None:
    """One entry of a batch: segments that follow each other, or another event."""
    if entry[0] == _SEGMENT:
        _, flow, client, number, time, data = entry
        pipeline.turn = number
        pipeline.take_segment(flow, client, data, time)
        mark(number)
        return
    if entry[0] == _SEGMENTS:
        _, flow, client, numbers, times, pieces = entry
        for number, time, data in zip(numbers, times, pieces, strict=True):
            pipeline.turn = number
            pipeline.take_segment(flow, client, data, time)
            mark(number)
        return
    number, fields = entry[1:]
    pipeline.turn = number
    pipeline.take(unpacked(fields))
    mark(number)


# The parent


class Jobs:
    """The workers, seen from the process that reads."""

    def __init__(self, make: Callable[[Streams], Worker], count: int) -> None:
        """Starts them: before there are outputs and threads."""
        context = get_context("fork")
        self._number = 0
        """Of the last event."""
        self._batches: list[list[tuple[Any, ...]]] = [[] for _ in range(count)]
        """What waits to be sent to each worker."""
        self._runs: dict[int, int] = {}
        """Of each flow the place in its batch of the segments that the next one may join."""
        self._size = 0
        self._pipes: list[tuple[Connection, Connection]] = []
        self._processes = []
        self._turns: SimpleQueue[bool] = SimpleQueue()
        """True for each batch that the workers have got, then False."""
        self._trouble: MailspyError | None = None
        self.counts: list[Any] = []
        """What each worker has counted; known after `finish`."""
        for _ in range(count):
            theirs, ours = context.Pipe(duplex=False)
            mine, give = context.Pipe(duplex=False)
            process = context.Process(target=_begin, args=(make, theirs, give, [ours, mine, *(
                end for pipe in self._pipes for end in pipe)]), daemon=True)
            for end in (ours, mine):
                _widen(end)
            process.start()
            theirs.close()
            give.close()
            self._pipes.append((ours, mine))
            self._processes.append(process)

    def start(self, outputs: Outputs, heads: Callable[[], Heads]) -> None:
        """From here on what the workers return is written.  Raises OptionError with what a worker could not begin with."""
        self._outputs, self._heads = outputs, heads
        self._of: dict[str, Heads] = {}
        for answer in self._answers():
            if isinstance(answer, dict):
                raise OptionError(answer["error"])
            self._write(answer)
        self._writer = threading.Thread(target=self._write_all, daemon=True)
        self._writer.start()

    def take_all(self, events: Sequence[Event]) -> None:
        """Hands events to the workers.  Raises MailspyError where one has died."""
        batches, runs = self._batches, self._runs
        count = len(batches)
        number = self._number
        for event in events:
            number += 1
            if isinstance(event, Segment):
                flow, client = event.flow, event.direction is C2S
                batch = batches[flow % count]
                at = runs.get(flow, -1)
                if at >= 0 and batch[at][2] is client:
                    _join(batch, at, number, event)
                else:
                    runs[flow] = len(batch)
                    batch.append((_SEGMENT, flow, client, number, event.time, event.data))
                self._size += len(event.data)
            else:
                flow = number_of(event)
                runs.pop(flow, None)
                batches[flow % count].append((_OPENED, number, packed(event)))
        self._number = number
        if self._size + 100 * sum(map(len, batches)) > BATCH:
            self._send()

    def _send(self) -> None:
        batches, self._batches, self._runs, self._size = self._batches, [[] for _ in self._pipes], {}, 0
        try:
            for (ours, _), batch in zip(self._pipes, batches, strict=True):
                ours.send_bytes(marshal.dumps(batch))
        except OSError as error:
            raise _dead() from error
        self._turns.put(True)

    def finish(self) -> None:
        """All is read: waits until all is written.  Raises MailspyError where a worker has died."""
        with suppress(OSError, MailspyError):
            self._send()
            for ours, _ in self._pipes:
                ours.send_bytes(b"")
        self._turns.put(False)
        self._writer.join()
        if self._trouble is not None:
            raise self._trouble

    def close(self) -> None:
        """Ends the workers, whatever they do."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
        for pipe in self._pipes:
            for end in pipe:
                end.close()

    def _answers(self) -> list[Any]:
        """What each worker says next."""
        try:
            return [marshal.loads(mine.recv_bytes()) for _, mine in self._pipes]
        except (EOFError, OSError) as error:
            raise _dead() from error

    def _write_all(self) -> None:
        """The life of the thread that writes."""
        try:
            while self._turns.get():
                self._write(list(chain.from_iterable(self._answers())))
            answers = self._answers()
            self._write([line for lines, _ in answers for line in lines])
            self.counts = [counts for _, counts in answers]
        except MailspyError as error:
            self._trouble = error
            for process in self._processes:  # so that nobody waits for the dead
                process.terminate()

    def _write(self, lines: list[Line]) -> None:
        lines.sort(key=_first)
        for _, stream, text in lines:
            if stream == NOTICES:
                for line in text.decode().splitlines():
                    self._outputs.notice(line)
                continue
            heads = self._of.get(stream) or self._of.setdefault(stream, self._heads())
            output = self._outputs.stdout() if stream == MAIN else self._outputs.open(stream)
            output.write(resolved(text, heads))


def _join(batch: list[tuple[Any, ...]], at: int, number: int, segment: Segment) -> None:
    """Adds a segment to the entry of the one before it."""
    entry = batch[at]
    if entry[0] == _SEGMENT:
        _, flow, client, first, time, data = entry
        batch[at] = _SEGMENTS, flow, client, [first, number], [time, segment.time], [data, segment.data]
    else:
        entry[3].append(number)
        entry[4].append(segment.time)
        entry[5].append(segment.data)


def _first(line: Line) -> int:
    return line[0]


def _widen(end: Connection) -> None:
    """Lets a pipe hold what is sent at a time: each time that it is full, both processes are switched."""
    with suppress(OSError):
        fcntl.fcntl(end.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)


def _dead() -> MailspyError:
    return MailspyError("a worker process has died, perhaps for lack of memory: fewer --jobs need less. What it had not "
                        "returned by then is missing in the output")


def _begin(make: Callable[[Streams], Worker], take: Connection, give: Connection, others: list[Connection]) -> None:
    """In the new process: only its own ends of the pipes stay open, so that it notices when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for end in others:
        end.close()
    try:
        work(make, take, give)
    except (EOFError, BrokenPipeError):
        pass
    except MailspyError as error:
        give.send_bytes(marshal.dumps({"error": str(error)}))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)
