"""What becomes of memory that was freed.

glibc gives freed memory at the top of its heap back to the system at once, and takes it anew for the next segment: every
page of it is then faulted in and cleared again.  For 50 MB messages that costs more than reading them.

Knows glibc's `mallopt` and Python's garbage collector.  Must not know who allocates what.
"""

from __future__ import annotations

import ctypes
import gc
from typing import Final

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
"""Parameters of mallopt(3)."""
KEPT: Final = 8 * 1024 * 1024
"""Octets at the top of the heap that are kept, free, for what comes next."""
LARGE: Final = 1024 * 1024
"""Octets from which on an allocation is a mapping of its own: above all that one segment needs."""


def keep() -> None:
    """Keeps freed memory for what comes next.  Another C library than glibc is left as it is."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_TRIM_THRESHOLD, KEPT)
    mallopt(_MMAP_THRESHOLD, LARGE)


GARBAGE: Final = 20_000
"""Objects made and not freed before the collector looks for cycles: 2 to 4 MB."""
GARBAGE_OFFLINE: Final = 200_000
"""The same where nobody waits for an answer: 20 to 40 MB."""


def calm(garbage: int = GARBAGE) -> None:
    """Spares the garbage collector what will live as long as the program, and lets it come less often.

    Flows free themselves when they end; only what refers to itself by mistake waits for the collector.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(garbage, 20, 50)
