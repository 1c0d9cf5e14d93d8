"""The works: what is asked of a proxy, in which amounts, and which ratio to the peers is the target.

Knows amounts and targets.  Must not know how a load is made or a process is measured.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Literal

MEGABYTES_50: Final = 52_428_800
GIGABYTE: Final = 1_000_000_000
MESSAGE: Final = 30_000
SMALL: Final = 600

Cost = Literal["cpu", "session", "peak"]
"""CPU time a unit, RSS a session held, or growth of the peak RSS."""


@dataclass(frozen=True, slots=True)
class Load:
    """One call of the load generator."""

    name: str
    script: str
    """What the generator calls it: S, R, M, BS, BP or C."""
    side: Literal["pop", "smtp"]
    total: int
    """Connections in all."""
    at_a_time: int
    each: int = 1
    """Repetitions in one connection."""
    size: int = SMALL
    grows: Literal["total", "each", ""] = ""
    """Which amount `--scale` multiplies."""

    def scaled(self, factor: float) -> Load:
        """The same load, more or less of it."""
        if not self.grows:
            return self
        amount = max(1, round(getattr(self, self.grows) * factor))
        return replace(self, total=amount) if self.grows == "total" else replace(self, each=amount)

    @property
    def attachments(self) -> int:
        """How many attachments go through the proxy in one call."""
        return self.total * self.each if self.script in ("M", "BS", "BP") else 0


@dataclass(frozen=True, slots=True)
class Target:
    """The least ratio peer/mailspy, or the most memory, that the project asks of itself."""

    must: float
    aim: float | None = None

    def __str__(self) -> str:
        return f"{self.must:g}" + (f" (aim {self.aim:g})" if self.aim else "")


@dataclass(frozen=True, slots=True)
class Work:
    """One line of the table: loads that one freshly started proxy carries in turn."""

    name: str
    title: str
    unit: str
    loads: tuple[Load, ...]
    warm_up: Load
    cost: Cost = "cpu"
    capture: bool = False
    """mailspy also writes a capture (`-w`)."""
    targets: dict[str, Target] = field(default_factory=dict)
    """By peer; "mailspy" itself where the target is an amount of memory."""


def bulk(name: str, capture: bool, targets: dict[str, Target]) -> Work:
    """50 MB messages each way."""
    send = Load(f"{name}-DATA", "BS", "smtp", total=1, at_a_time=1, each=10, size=MEGABYTES_50, grows="each")
    fetch = Load(f"{name}-RETR", "BP", "pop", total=1, at_a_time=1, each=10, size=MEGABYTES_50, grows="each")
    title = "50 MB messages by DATA and RETR" + (", with -w" if capture else "")
    return Work(name, title, "message", (send, fetch), replace(send, each=1), capture=capture, targets=targets)


def idle(name: str, sessions: int) -> Work:
    """Sessions that were opened and say nothing."""
    hold = Load(name, "C", "pop", total=sessions, at_a_time=50)
    return Work(name, f"{sessions:,} idle sessions", "session", (hold,), replace(hold, total=50), cost="session",
                targets={"mailspy": Target(16)})


SESSIONS: Final = Load("S", "S", "pop", total=5_000, at_a_time=50, grows="total")
ROUND_TRIPS: Final = Load("R", "R", "pop", total=1, at_a_time=1, each=20_000, grows="each")
MESSAGES: Final = Load("M", "M", "smtp", total=200, at_a_time=10, each=20, size=MESSAGE, grows="total")
HUGE: Final = Load("G", "BS", "smtp", total=1, at_a_time=1, size=GIGABYTE)

WORKS: Final = {work.name: work for work in (
    Work("S", "POP3 sessions, 50 at a time", "session", (SESSIONS,), replace(SESSIONS, total=200), capture=True,
         targets={"forwarder": Target(0.8, 1.2), "mitmdump": Target(10)}),
    Work("R", "NOOP ping-pong", "round trip", (ROUND_TRIPS,), replace(ROUND_TRIPS, each=1_000), capture=True,
         targets={"forwarder": Target(0.8, 1.2), "mitmdump": Target(9)}),
    Work("M", "30 KB messages, 10 sessions at a time", "message", (MESSAGES,), replace(MESSAGES, total=10),
         capture=True, targets={"forwarder": Target(0.5, 0.8), "mitmdump": Target(8)}),
    bulk("B", False, {"forwarder": Target(0.4, 0.6), "mitmdump": Target(2)}),
    bulk("BW", True, {"forwarder": Target(0.25)}),
    idle("C2", 2_000),
    idle("C9", 9_000),
    Work("G", "one message of 1 GB by DATA", "message", (HUGE,), replace(HUGE, each=20, size=MESSAGE), cost="peak",
         targets={"mailspy": Target(32)}),
)}
