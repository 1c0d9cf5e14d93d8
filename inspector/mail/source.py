"""Where messages come from: captures and mail files, one after the other, into the same pipeline.

Knows kinds of files and the pipeline.  Must not know what is done with a message.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import chain

from inspector.capture.reader import PLAINLY, Reading, read_batches
from inspector.errors import CaptureError
from inspector.mail.mailfile import CAPTURE, FileSession, recognise
from inspector.pipeline import Pipeline
from inspector.segment import Opened


def play(paths: Sequence[str], pipeline: Pipeline, warn: Callable[[str], None],
         how: Reading = PLAINLY) -> Generator[None, None, None]:
    """Plays the files, flow numbers going on from one to the next; yields between pieces, so that one may stop.

    Raises CaptureError for a file that cannot be read; what comes before the damage has been played by then.
    """
    number = 1
    if how.merge and all(recognise(path) == CAPTURE for path in paths):
        yield from _captures(paths, pipeline, warn, number, how)
        return
    for path in paths:
        if recognise(path) == CAPTURE:
            number = yield from _captures([path], pipeline, warn, number, how)
        else:
            yield from _mail_file(path, pipeline, number)
            number += 1


def _captures(paths: Sequence[str], pipeline: Pipeline, warn: Callable[[str], None], number: int,
              how: Reading) -> Generator[None, None, int]:
    try:
        for event in chain.from_iterable(read_batches(paths, warn, number, how)):
            if isinstance(event, Opened):
                number = event.flow.number + 1
            pipeline.take(event)
            yield
    finally:
        pipeline.finish()
    yield
    return number


def _mail_file(path: str, pipeline: Pipeline, number: int) -> Iterator[None]:
    session = FileSession(number, recognise(path), pipeline.observer)
    pipeline.observer.flow_opened(session.flow)
    try:
        with open(path, "rb") as stream:
            yield from session.read(stream, path)
    except OSError as error:
        raise CaptureError(f"{path}: cannot be opened: {error.strerror}") from error
    finally:
        pipeline.observer.flow_closed(session.flow, "observation ended")
        session.release()
