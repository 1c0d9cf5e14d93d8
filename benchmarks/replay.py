"""Replay tells what live told: random flows, cuttings, masks and judges, counted: `python benchmarks/replay.py 100000`.

Each flow goes through a relay and is captured; the capture is replayed, and every hook must be called with the same.  A flow
that is told differently is reduced to a small one and printed with its number, by which `python benchmarks/replay.py 1 NUMBER`
plays it again.

Knows `tests/telling.py`.  Must not know how flows are made.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from telling import difference, planned, reduced  # type: ignore[import-not-found]

SHOWN = 5
"""Flows that are printed."""


def main() -> int:
    """Plays so many flows from that number on.  0 where none is told differently."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    folder = Path(tempfile.mkdtemp(prefix="mailspy-replay-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    path = folder / "flow.pcapng"
    different: list[int] = []
    begun = time.process_time()
    for number in range(first, first + count):
        plan = planned(number)
        if difference(plan, path):
            different.append(number)
            if len(different) <= SHOWN:
                small = reduced(plan, path)
                print(f"\nflow {number}: {small}\n{difference(small, path)}", flush=True)
    path.unlink(missing_ok=True)
    folder.rmdir()
    print(f"{count:,} flows, {len(different):,} different, {time.process_time() - begun:.0f} s of CPU time"
          + (f": {', '.join(map(str, different[:50]))}" if different else ""))
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
