"""The time of day that never steps: read from the monotonic clock, anchored once to the wall clock.

Knows clocks.  Must not know what is timed.
"""

from __future__ import annotations

import time

_ANCHOR = time.time_ns() - time.monotonic_ns()
STEP = 1_000_000
"""Microseconds by which the wall clock may drift off before it is worth telling."""


def now() -> int:
    """Microseconds since the epoch; never goes back, whatever is done to the wall clock."""
    return (time.monotonic_ns() + _ANCHOR) // 1000


def step() -> int:
    """Microseconds by which the wall clock has been moved since the start; 0 while it runs true."""
    moved = (time.time_ns() - time.monotonic_ns() - _ANCHOR) // 1000
    return moved if abs(moved) > STEP else 0
