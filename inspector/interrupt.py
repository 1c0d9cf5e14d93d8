"""Whether a person has asked the program to end (SIGINT), as opposed to code that raises KeyboardInterrupt itself.

Knows one signal.  Must not know what the program does.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_CAME: Final[list[bool]] = [False]


@contextmanager
def heard() -> Iterator[None]:
    """Within it the signal is noted, and raises KeyboardInterrupt as Python's own handler does.

    Where it is ignored, or somebody else handles it, that stays so.
    """
    _CAME[0] = False
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _take)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is _take:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        _CAME[0] = False


def _take(_number: int, _frame: FrameType | None) -> None:
    _CAME[0] = True
    raise KeyboardInterrupt


def came() -> bool:
    """Whether the signal has come."""
    return _CAME[0]


def check() -> None:
    """Raises KeyboardInterrupt where the signal has come: for whoever contains exceptions, and for long loops."""
    if _CAME[0]:
        raise KeyboardInterrupt
