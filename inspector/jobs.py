"""Several processes for the same captures, each with some of the flows; the output is that of one process.

Rules.  Every worker reads all frames, which is cheap, and takes those of its flows: which they are, their addresses tell.  Frames
are counted, the same by all.  After each round of them the workers tell each other which frames have opened flows, so that all
know the number of each; and they return what they would have written, by the frames of which it came, for the parent to merge.
A worker reads some rounds ahead of what it inspects, so that nobody waits when work is uneven.

Knows events, processes and outputs.  Must not know files, nor what plugins write.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import signal
import sys
import threading
import traceback
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from multiprocessing import get_context
from multiprocessing.connection import Connection
from selectors import EVENT_READ, DefaultSelector
from typing import TYPE_CHECKING, Any, Final, Protocol

from inspector.capture.blocks import Share
from inspector.capture.reader import Progress, Round
from inspector.console import Heads, resolved
from inspector.errors import CaptureError, MailspyError, OptionError

if TYPE_CHECKING:
    from inspector.output import Outputs
    from inspector.pipeline import Pipeline

MAIN: Final = "1"
NOTICES: Final = "2"
"""Streams: standard output, what is said to the user; any other is a file by its path."""

AHEAD: Final = 64
"""Rounds that a worker has read and not inspected, at most."""
KEPT: Final = 32 << 20
"""Octets of frames in them, about."""
FLOWS: Final = 28
"""Bits of a number in the output that are for a flow, beside the frame."""
PUMPED: Final = 1 << 15
"""Octets of standard input that are passed on at a time: less than a pipe holds."""

Line = tuple[int, str, bytes]
"""A number that tells the place, the stream, and what stands there."""

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

    def taken(self) -> list[Line]:
        """The lines since the last call."""
        lines, self.lines = self.lines, []
        return lines

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """Nothing is open here."""


class Worker(Protocol):
    """What runs in each process."""

    pipeline: Pipeline

    def counts(self) -> Any:
        """What it has counted, as marshal takes it."""


def work(make: Callable[[Streams], Worker], rounds: Iterator[Round], ranks: Ranks, give: Callable[[Any], None]) -> None:
    """The life of a worker: what comes of each round, and at the end what it has counted and what is wrong with the captures."""
    streams = Streams()
    worker = make(streams)
    streams.mark(0)
    give([streams.taken(), None])
    waiting: deque[Round] = deque()
    numbers: dict[int, int] = {}
    flaw, damaged = "", False
    try:
        for one in rounds:
            ranks.tell([turn for turn, _ in one.opened])
            waiting.append(one)
            while len(waiting) > AHEAD or (waiting and sum(one.size for one in waiting) > KEPT):
                _inspect(waiting.popleft(), worker.pipeline, streams, ranks, numbers, give)
    except CaptureError as error:
        flaw, damaged = str(error), error.damaged
    while waiting:
        _inspect(waiting.popleft(), worker.pipeline, streams, ranks, numbers, give)
    worker.pipeline.finish(streams.mark)
    give((streams.taken(), worker.counts(), flaw, damaged))


def _inspect(one: Round, pipeline: Pipeline, streams: Streams, ranks: Ranks, numbers: dict[int, int],
             give: Callable[[Any], None]) -> None:
    """Gives what comes of a round, and how far the captures are read; `numbers` are those of flows that are not told yet."""
    for line in one.warnings:
        streams.notice(line)
    for number, (_, key) in zip(ranks.of_round(), one.opened, strict=True):
        numbers[key] = number
    for opened in one.told:
        opened.flow.number = numbers.pop(opened.key)
    start = 0
    for turn, flow, end in one.marks:
        pipeline.turn = number = (turn << FLOWS) + (flow.number if flow is not None else 0)
        for event in one.events[start:end]:
            pipeline.take(event)
        streams.mark(number)
        start = end
    give([streams.taken(), one.progress and tuple(one.progress)])


class Ranks:
    """The numbers of flows, which only all workers together know."""

    def __init__(self, index: int, inboxes: Sequence[Any]) -> None:
        """`inboxes`: a queue for each worker, this one's at `index`."""
        self._index = index
        self._inboxes = inboxes
        self._rounds = [deque[list[int]]() for _ in inboxes]
        """Of each worker the frames that have opened flows, a list for each round that is not done."""
        self._flows = 0

    def tell(self, turns: list[int]) -> None:
        """Which frames of the next round have opened flows of this worker."""
        self._rounds[self._index].append(turns)
        for index, inbox in enumerate(self._inboxes):
            if index != self._index:
                inbox.put((self._index, turns))

    def of_round(self) -> list[int]:
        """The numbers of this worker's flows in the oldest round that is not done; waits for the other workers."""
        while not all(self._rounds):
            index, turns = self._inboxes[self._index].get()
            self._rounds[index].append(turns)
        every = [rounds.popleft() for rounds in self._rounds]
        order = sorted(chain.from_iterable(every))
        first = self._flows + 1
        self._flows += len(order)
        return [first + bisect_left(order, turn) for turn in every[self._index]]

    def close(self) -> None:
        """Waits until the others have got all that was told."""
        for index, inbox in enumerate(self._inboxes):
            if index != self._index:
                inbox.close()
                inbox.join_thread()


# The parent


class Jobs:
    """The workers, seen from the process that writes."""

    def __init__(self, make: Callable[[Streams], Worker], count: int, read: Callable[[Share], Iterator[Round]],
                 pumped: bool) -> None:
        """Starts them: before there are outputs and threads.

        `read` gives a worker its rounds; `pumped`: each gets standard input.
        """
        context = get_context("fork")
        inboxes = [context.Queue() for _ in range(count)]
        self._pipes: list[Connection] = []
        self._pumps: list[int] = []
        self._processes = []
        self._said = [deque[Any]() for _ in range(count)]
        """What each worker has said and nobody has looked at: as far as it is ahead of the others, so many rounds."""
        self._hearing = DefaultSelector()
        self.counts: list[Any] = []
        """What each worker has counted; known after `write_all`."""
        for index in range(count):
            mine, give = context.Pipe(duplex=False)
            _widen(mine)
            source, pump = os.pipe() if pumped else (-1, -1)
            ours = [mine, *self._pipes]
            pumps = [*self._pumps, pump] if pumped else []
            process = context.Process(target=_begin, daemon=True, args=(
                make, read, Share(index, count), inboxes, give, source, ours, pumps))
            process.start()
            give.close()
            self._hearing.register(mine, EVENT_READ, index)
            self._pipes.append(mine)
            self._processes.append(process)
            if pumped:
                os.close(source)
                self._pumps.append(pump)

    def write_all(self, outputs: Outputs, heads: Callable[[], Heads], tell: Callable[[Progress], None] | None = None) -> None:
        """Writes what the workers return until they are done; tells how far the captures are read.

        Raises OptionError with what a worker could not begin with, CaptureError for what is wrong with the captures, MailspyError
        where a worker has died.
        """
        written: dict[str, Heads] = {}
        if self._pumps:
            threading.Thread(target=self._pump, daemon=True).start()
        while not outputs.broken:
            answers = self._answers()
            for answer in answers:
                if isinstance(answer, dict):
                    raise OptionError(answer["error"])
            if isinstance(answers[0], tuple):
                _write([line for answer in answers for line in answer[0]], outputs, written, heads)
                self.counts = [answer[1] for answer in answers]
                if answers[0][2]:
                    flaw = CaptureError(answers[0][2])
                    flaw.damaged = answers[0][3]
                    raise flaw
                return
            _write([line for lines, _ in answers for line in lines], outputs, written, heads)
            if tell is not None and answers[0][1] is not None:
                tell(Progress(*answers[0][1]))

    def close(self) -> None:
        """Ends the workers, whatever they do."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()
        self._hearing.close()
        for pipe in self._pipes:
            pipe.close()

    def _answers(self) -> list[Any]:
        """What each worker says next.  All are heard at once: one that has died keeps the others waiting for ever."""
        try:
            while not all(self._said):
                for key, _ in self._hearing.select():
                    answer = marshal.loads(self._pipes[key.data].recv_bytes())
                    self._said[key.data].append(answer)
                    if not isinstance(answer, list):  # its last
                        self._hearing.unregister(key.fileobj)
                    if isinstance(answer, dict):
                        return [answer]
            return [said.popleft() for said in self._said]
        except (EOFError, OSError) as error:
            raise MailspyError("a worker process has died, perhaps for lack of memory: fewer --jobs need less. What it had not "
                               "returned by then is missing in the output") from error

    def _pump(self) -> None:
        """Standard input, to each worker: a pipe holds more than is written at a time, so that nobody waits for another."""
        with suppress(OSError):
            while piece := os.read(0, PUMPED):
                for pump in self._pumps:
                    view = memoryview(piece)
                    while view:
                        written = os.write(pump, view)  # mypyc evaluates what stands in a slice twice
                        view = view[written:]
        for pump in self._pumps:
            os.close(pump)


def _write(lines: list[Line], outputs: Outputs, written: dict[str, Heads], heads: Callable[[], Heads]) -> None:
    lines.sort(key=_first)
    for _, stream, text in lines:
        if stream == NOTICES:
            for line in text.decode().splitlines():
                outputs.notice(line)
            continue
        head = written.get(stream) or written.setdefault(stream, heads())
        output = outputs.stdout() if stream == MAIN else outputs.open(stream)
        output.write(resolved(text, head))


def _first(line: Line) -> int:
    return line[0]


def _widen(end: Connection) -> None:
    """Lets a pipe hold what is sent at a time: each time that it is full, both processes are switched."""
    with suppress(OSError):
        fcntl.fcntl(end.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)


def _begin(make: Callable[[Streams], Worker], read: Callable[[Share], Iterator[Round]], share: Share, inboxes: Sequence[Any],
           give: Connection, source: int, ours: Sequence[Connection], pumps: Sequence[int]) -> None:
    """In the new process: only its own ends of the pipes stay open, so that it notices when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for pipe in ours:
        pipe.close()
    for pump in pumps:
        os.close(pump)
    if source >= 0:
        os.dup2(source, 0)
        os.close(source)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - multiprocessing has put another in its place
    ranks = Ranks(share.place, inboxes)
    try:
        work(make, read(share), ranks, lambda answer: give.send_bytes(marshal.dumps(answer)))
        ranks.close()
    except (EOFError, BrokenPipeError):
        pass
    except MailspyError as error:
        give.send_bytes(marshal.dumps({"error": str(error)}))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)
