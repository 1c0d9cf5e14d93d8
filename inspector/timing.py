"""What the hooks of plugins cost, and which of them holds up the traffic.

Rules.  The clock is read around a plugin's own function and nowhere else: what nobody times costs nothing.  Of the plugins that
come along only what is slow is kept live, at one read of the clock a call and one before the first; of others, and in a table,
all calls.  What a hook spends in others is theirs, if it is slow or timed.  A slow hook is told at most once a minute.

Knows a clock that it is given.  Must not know what the hooks do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from inspector.pdu import Sink

SLOW: Final = 100_000_000
"""Nanoseconds after which a hook holds up the traffic."""
TOLD: Final = 60_000_000_000
"""Nanoseconds between two notices about the same hook."""

FEED: Final = ", feed"
CLOSE: Final = ", close"
"""Of a sink, behind the hook that has given it."""

Row = tuple[str, str, int, int, int]
"""Plugin, hook, calls, nanoseconds in all, nanoseconds of the longest."""


class Cost:
    """One hook of one plugin."""

    __slots__ = ("calls", "hook", "plugin", "slow", "slowest", "told", "total", "worst")

    def __init__(self, plugin: str, hook: str) -> None:
        self.plugin = plugin
        self.hook = hook
        self.calls = 0
        self.total = 0
        """Nanoseconds."""
        self.worst = 0
        self.slow = 0
        """Calls since the last notice that were slow."""
        self.slowest = 0
        """Nanoseconds of the longest among them."""
        self.told: int | None = None
        """When the last notice was."""

    @property
    def row(self) -> Row:
        """What a table tells of it."""
        return self.plugin, self.hook, self.calls, self.total, self.worst


class Watch:
    """All of them."""

    def __init__(self, clock: Callable[[], int], notice: Callable[[str], None] | None = None, everything: bool = False) -> None:
        """`clock` gives nanoseconds; `notice` is told about slow hooks; `everything`: plugins of the house are timed too."""
        self.clock = clock
        self._notice = notice
        self.everything = everything
        self._costs: dict[tuple[str, str], Cost] = {}
        self.inner = 0
        """Nanoseconds that the call in hand, and those before it, have spent in others."""

    def timed(self, function: Callable[..., Any], plugin: str, hook: str) -> Callable[..., Any]:
        """The same function, timed."""
        cost = self._costs.setdefault((plugin, hook), Cost(plugin, hook))
        clock = self.clock

        def timed(*arguments: Any) -> Any:
            outer = self.inner
            begun = clock()
            try:
                return function(*arguments)
            finally:
                whole = clock() - begun
                own = whole - (self.inner - outer)
                self.inner = outer + whole
                cost.calls += 1
                cost.total += own
                cost.worst = max(cost.worst, own)
                if own > SLOW:
                    self._held_up(cost, own, begun + whole)

        return timed

    def took(self, plugin: str, hook: str, began: int, inner: int, whole: int) -> None:
        """A call that is not `timed` has taken so long, which is long; `inner` is what `inner` was before it."""
        own = whole - (self.inner - inner)
        self.inner = inner + whole
        if own > SLOW:
            self._held_up(self._costs.setdefault((plugin, hook), Cost(plugin, hook)), own, began + whole)

    @property
    def rows(self) -> list[Row]:
        """What each has cost, the dearest first."""
        return sorted((cost.row for cost in self._costs.values() if cost.calls), key=lambda row: -row[3])

    def finish(self) -> None:
        """Tells what was not told yet."""
        for cost in self._costs.values():
            if cost.slow:
                self._tell(cost)

    def _held_up(self, cost: Cost, took: int, now: int) -> None:
        if self._notice is None:
            return
        cost.slow += 1
        cost.slowest = max(cost.slowest, took)
        if cost.told is None or now - cost.told >= TOLD:
            cost.told = now
            self._tell(cost)

    def _tell(self, cost: Cost) -> None:
        often = "once" if cost.slow == 1 else f"{cost.slow:,} times"
        if self._notice is not None:
            self._notice(f"plugin {cost.plugin}: {cost.hook} took longer than {SLOW // 1_000_000} ms {often}, "
                         f"{cost.slowest / 1e9:.3f} s at worst; nothing crosses meanwhile")
        cost.slow = cost.slowest = 0


class TimedSink:
    """A sink whose `feed` and `close` are timed."""

    __slots__ = ("_sink", "close", "feed")

    def __init__(self, watch: Watch, sink: Sink, plugin: str, hook: str) -> None:
        self._sink = sink
        self.feed = watch.timed(sink.feed, plugin, hook + FEED)
        self.close = watch.timed(sink.close, plugin, hook + CLOSE)

    @property
    def patient(self) -> bool:
        """Whether it is."""
        return bool(getattr(self._sink, "patient", False))


def added(tables: Iterable[Sequence[Sequence[Any]]]) -> list[Row]:
    """The rows of several processes as those of one."""
    sums: dict[tuple[str, str], list[int]] = {}
    for table in tables:
        for plugin, hook, calls, total, worst in table:
            known = sums.setdefault((plugin, hook), [0, 0, 0])
            known[0] += calls
            known[1] += total
            known[2] = max(known[2], worst)
    return sorted(((*names, *numbers) for names, numbers in sums.items()), key=lambda row: -row[3])  # type: ignore[misc]


HEAD: Final = ("plugin", "hook", "calls", "total ms", "mean µs", "worst µs")


def table(rows: Sequence[Row]) -> str:
    """For people: one line a hook, the dearest first."""
    cells = [HEAD, *((plugin, hook, f"{calls:,}", f"{total / 1e6:,.1f}", f"{total / calls / 1e3:,.1f}", f"{worst / 1e3:,.1f}")
                     for plugin, hook, calls, total, worst in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) if column < 2 else cell.rjust(width)
                       for column, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip() for row in cells]
    return "\n".join(lines) + "\n"
