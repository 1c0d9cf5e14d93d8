"""Where messages come from: captures and mail files, one after the other, into the same pipeline.

Knows kinds of files and the pipeline.  Must not know what is done with a message.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing

from inspector.capture.reader import read_all
from inspector.errors import CaptureError
from inspector.mail.mailfile import CAPTURE, FileSession, recognise
from inspector.pipeline import Pipeline
from inspector.segment import Opened


def play(paths: Sequence[str], pipeline: Pipeline, warn: Callable[[str], None]) -> Generator[None, None, None]:
    """Plays the files, flow numbers going on from one to the next; yields between pieces, so that one may stop.

    Raises CaptureError for a file that cannot be read; what comes before the damage has been played by then.
    """
    number = 1
    for path in paths:
        if recognise(path) == CAPTURE:
            number = yield from _capture(path, pipeline, warn, number)
        else:
            yield from _mail_file(path, pipeline, number)
            number += 1


def _capture(path: str, pipeline: Pipeline, warn: Callable[[str], None],
             number: int) -> Generator[None, None, int]:
    try:
        with closing(read_all([path], warn, number)) as events:
            for event in events:
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
