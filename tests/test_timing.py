"""What hooks cost, by a clock that the test moves; which of them are told as slow."""

from __future__ import annotations

import inspect
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from inspector import hookimpl, hookspecs
from inspector.host import AT_THE_START, Host
from inspector.sinks import GuardedSinks
from inspector.timing import SLOW, TOLD, TimedSink, Watch, added, table

CAPTURES = Path(__file__).parent.parent / "captures"
MS = 1_000_000


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 5
        self.read = 0

    def __call__(self) -> int:
        self.read += 1
        return self.now


class Sleepy:
    """Takes as long as it is told."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.patient = True

    @hookimpl
    def pdu_seen(self, pdu: int) -> None:
        self.clock.now += pdu

    @hookimpl
    def open_message(self, message: int) -> Sleepy:
        return self

    def feed(self, data: int) -> None:
        self.clock.now += data

    def close(self, complete: bool) -> None:
        self.clock.now += 7


def watched(everything: bool = False, bundled: bool = False) -> tuple[Host, Clock, list[str], Watch]:
    told: list[str] = []
    clock, host = Clock(), Host(pytest.fail)
    host.register("sleepy", Sleepy(clock), bundled=bundled)
    watch = host.watch = Watch(clock, told.append, everything)
    return host, clock, told, watch


def test_a_slow_hook_is_told_at_most_once_a_minute() -> None:
    host, clock, told, watch = watched()
    tell = host.teller("pdu_seen")
    for took in (SLOW, SLOW + 1, 5_000 * MS, 3 * SLOW):
        tell(took, None)
    assert told == ["plugin sleepy: pdu_seen took longer than 100 ms once, 0.100 s at worst; nothing crosses meanwhile"]
    clock.now += TOLD
    tell(2 * SLOW, None)
    assert told[1:] == ["plugin sleepy: pdu_seen took longer than 100 ms 3 times, 5.000 s at worst; nothing crosses meanwhile"]
    tell(2 * SLOW, None)
    watch.finish()
    watch.finish()
    assert told[2:] == ["plugin sleepy: pdu_seen took longer than 100 ms once, 0.200 s at worst; nothing crosses meanwhile"]


def test_what_comes_along_is_told_where_it_is_slow_and_counted_only_in_a_table() -> None:
    """Two reads of the clock a call, and nothing is kept of one that is fast."""
    host, clock, told, watch = watched(bundled=True)
    tell = host.teller("pdu_seen")
    tell(SLOW, None)
    assert (clock.read, told, watch.rows, watch._costs) == (2, [], [], {})
    for _ in range(3):
        tell(10 * SLOW, None)
    watch.finish()
    assert told == [f"plugin sleepy: pdu_seen took longer than 100 ms {often}, 1.000 s at worst; nothing crosses meanwhile"
                    for often in ("once", "2 times")]
    host, clock, told, watch = watched(everything=True, bundled=True)
    host.teller("pdu_seen")(10 * SLOW, None)
    assert clock.read == 2
    assert watch.rows == [("sleepy", "pdu_seen", 1, 10 * SLOW, 10 * SLOW)]


@pytest.mark.parametrize("bundled", [True, False])
@pytest.mark.parametrize("hook", [name for name, spec in vars(hookspecs).items() if hasattr(spec, "mailspy_spec")
                                  and name not in AT_THE_START])
def test_any_slow_hook_of_any_plugin_is_told(hook: str, bundled: bool) -> None:
    """Those that answer, too, and faults: with its name."""
    told: list[str] = []
    clock, host = Clock(), Host(lambda line: None)
    names = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)

    def wait() -> None:
        clock.now += 2 * SLOW
        raise ValueError("by design")

    scope: dict[str, object] = {"wait": wait}
    exec(f"def {hook}({names}):\n    wait()\n", scope)
    plugin = type("Plugin", (), {hook: staticmethod(hookimpl(scope[hook]))})
    host.register("slow", plugin, bundled=bundled)
    host.watch = Watch(clock, told.append)
    arguments = [None] * len(names.split(", "))
    (host.asker(hook, lambda answer, *_: answer) if hook.startswith(("judge", "open")) else host.teller(hook))(*arguments)
    assert told == [f"plugin slow: {hook} took longer than 100 ms once, 0.200 s at worst; nothing crosses meanwhile"]


@pytest.mark.parametrize("bundled", [True, False])
def test_slow_sinks_are_told(bundled: bool) -> None:
    """Of plugins that come along, too."""
    host, clock, told, _ = watched(bundled=bundled)
    (owner,) = host.loaded

    class Slow:
        patient = True

        def feed(self, data: bytes) -> None:
            clock.now += 2 * SLOW

        def close(self, complete: bool) -> None:
            clock.now += SLOW

    sinks = GuardedSinks(host, "open_message", [(Slow(), owner)])
    sinks.feed(b"x")
    sinks.close(True)
    assert [line[:45] for line in told] == ["plugin sleepy: open_message, feed took longer"]


def test_what_a_hook_that_comes_along_spends_in_others_is_theirs() -> None:
    """Whichever of the two comes along."""
    for inner_bundled, outer_bundled in itertools.product((True, False), repeat=2):
        told: list[str] = []
        clock, host = Clock(), Host(pytest.fail)
        host.watch = Watch(clock, told.append)

        class Inner:
            @hookimpl
            def finding(self, finding: Clock) -> None:
                finding.now += 2 * SLOW

        class Outer:
            @hookimpl
            def pdu_seen(self, pdu: Clock, session: object) -> None:
                session(pdu, None)  # type: ignore[operator]
                pdu.now += SLOW

        host.register("inner", Inner(), bundled=inner_bundled)
        host.register("outer", Outer(), bundled=outer_bundled)
        host.teller("pdu_seen")(clock, host.teller("finding"))
        assert [line[:21] for line in told] == ["plugin inner: finding"], (inner_bundled, outer_bundled)


def test_sinks_are_timed_and_stay_patient() -> None:
    host, _, told, watch = watched()
    (owner,) = host.loaded
    sink = host.sink(owner.plugin, owner, "open_message")
    assert isinstance(sink, TimedSink)
    assert sink.patient
    sink.feed(2 * SLOW)  # type: ignore[arg-type]
    sink.close(True)
    assert [row[1:] for row in watch.rows] == [("open_message, feed", 1, 2 * SLOW, 2 * SLOW), ("open_message, close", 1, 7, 7)]
    assert "open_message, feed took longer" in told[0]


def test_what_a_hook_spends_in_others_is_theirs() -> None:
    _, clock, told, watch = watched()

    def inner(took: int) -> None:
        clock.now += took

    slow = watch.timed(inner, "inner", "finding")

    def outer() -> None:
        clock.now += 3
        slow(2 * SLOW)
        slow(5)

    watch.timed(outer, "outer", "pdu_seen")()
    assert watch.rows == [("inner", "finding", 2, 2 * SLOW + 5, 2 * SLOW), ("outer", "pdu_seen", 1, 3, 3)]
    assert len(told) == 1


def test_a_fault_is_timed_too() -> None:
    _, clock, _, watch = watched()

    def fail() -> None:
        clock.now += 9
        raise ValueError("by design")

    with pytest.raises(ValueError, match="by design"):
        watch.timed(fail, "p", "h")()
    assert watch.rows == [("p", "h", 1, 9, 9)]
    assert watch.inner == 9


def test_tables_of_several_processes_are_one() -> None:
    rows = added([[("a", "x", 2, 10, 7)], [("a", "x", 1, 20, 20), ("b", "y", 1, 5_000_000, 5_000_000)]])
    assert rows == [("b", "y", 1, 5_000_000, 5_000_000), ("a", "x", 3, 30, 20)]
    assert table(rows).splitlines() == [
        "plugin  hook  calls  total ms  mean µs  worst µs",
        "b       y         1       5.0  5,000.0   5,000.0",
        "a       x         3       0.0      0.0       0.0"]


@pytest.mark.slow
def test_the_table_of_a_replay(tmp_path: Path) -> None:
    """The same calls whether one process reads or two; the output itself stays as it is."""
    path = tmp_path / "counter.py"
    path.write_text("from inspector import hookimpl\n@hookimpl\ndef pdu_seen(pdu): ...\n")
    files = [str(one) for one in sorted(CAPTURES.glob("*.pcapng"))]
    seen = []
    for more in ([], ["--plugin-timing"], ["--plugin-timing", "--jobs", "2"]):
        done = subprocess.run([sys.executable, "-m", "inspector", "replay", "--json", "--plugin", str(path), *more, *files],
                              capture_output=True, text=True, check=True, timeout=120)
        rows = [re.split(" {2,}", line) for line in done.stderr.splitlines()
                if line.startswith(("counter", "mailspy_", "logger", "plugin "))]
        seen.append((done.stdout, {f"{plugin} {hook}": calls for plugin, hook, calls, *_ in rows}))
    assert seen[0] == (seen[1][0], {})
    assert seen[1] == seen[2]
    assert int(seen[1][1]["counter pdu_seen"]) == seen[0][0].count('"event":"pdu"')
    assert len(seen[1][1]) > 5


def test_the_table_and_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    from inspector.cli import main

    assert main(["replay", "--plugin-timing", "--engine", "dask://127.0.0.1:1", str(CAPTURES / "pop3-sheet.pcapng")]) == 2
    assert "--plugin-timing and --engine" in capsys.readouterr().err
