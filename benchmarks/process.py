"""A process under measurement: started, its CPU time and memory read, ended by its id.

CPU time comes from the kernel's CPU clock of the process, which counts user and system time of all its threads, also of
those that have ended, in nanoseconds; children that were waited for are added from /proc in ticks.
Knows Linux's /proc.  Must not know what the process does.
"""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Final

TICK: Final = 1 / os.sysconf("SC_CLK_TCK")
RUN_CLOCK: Final = 2
"""CPUCLOCK_SCHED: the clock that `clock_getcpuclockid(3)` chooses."""


def prepare(pin: bool) -> None:
    """Allows this process all open files and, if asked, a single CPU; whatever it starts inherits both."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if pin:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def start(command: list[str], folder: Path, output: IO[bytes] | int, errors: IO[bytes] | int,
          environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Starts a program with nothing to read."""
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, cwd=folder,
                            env={**os.environ, **(environment or {})})


def stop(process: subprocess.Popen[bytes], patience: float = 15) -> None:
    """Asks it to end, then ends it."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def family(pid: int) -> Iterator[int]:
    """The process and its living descendants."""
    yield pid
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in listing.read_text().split():
            yield from family(int(child))


def reaped(pid: int) -> float:
    """CPU seconds of the children that have ended and were waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) * TICK


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children, ever since they started."""
    return sum(time.clock_gettime(~one << 3 | RUN_CLOCK) + reaped(one) for one in family(pid))


def settle(pid: int, limit: float = 3.0) -> float:
    """Waits until the process has hardly anything left to do; returns its CPU seconds."""
    before, end = cpu_seconds(pid), time.monotonic() + limit
    while time.monotonic() < end:
        time.sleep(0.1)
        after = cpu_seconds(pid)
        if after - before < 0.002:
            return after
        before = after
    return before


def stolen() -> tuple[int, int]:
    """Ticks that the host kept from this machine, and all ticks, of the CPUs in use."""
    cpus = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    ticks = [list(map(int, line.split()[1:9])) for line in Path("/proc/stat").read_text().splitlines()
             if line.split()[0] in cpus]
    return sum(one[7] for one in ticks), sum(map(sum, ticks))


def memory_kib(pid: int, key: str) -> int:
    """`VmRSS` or `VmHWM` of a process and its children."""
    return sum(int(line.split()[1]) for one in family(pid)
               for line in Path(f"/proc/{one}/status").read_text().splitlines() if line.startswith(key + ":"))


def forget_peak(pid: int) -> None:
    """Sets VmHWM back to VmRSS, so that the start-up is not taken for growth."""
    for one in family(pid):
        Path(f"/proc/{one}/clear_refs").write_text("5")
