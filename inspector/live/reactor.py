"""The reactor, made ready: epoll where there is one, timers on the monotonic clock, signals ours.

Knows Twisted's reactor.  Must not know what runs on it.
"""

from __future__ import annotations

import resource
import sys
import time
from typing import Any


def install() -> Any:
    """The reactor of this process, the best that the system has.

    `reactor.seconds` is the wall clock otherwise, and a step of that would fire or starve every timer.
    """
    if "twisted.internet.reactor" not in sys.modules:
        try:
            from twisted.internet import epollreactor

            epollreactor.install()  # type: ignore[no-untyped-call]
        except ImportError:
            pass
    from twisted.internet import reactor

    vars(reactor)["seconds"] = time.monotonic
    return reactor


def raise_descriptor_limit() -> int:
    """Allows as many open files as the system lets us; returns how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard or hard == resource.RLIM_INFINITY:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError):
            pass
    return soft
