"""The table of a benchmark: medians of rounds, and each peer's cost over mailspy's beside its target.

`summary.py FILE.jsonl...` prints it as Markdown.  Knows records.  Must not know how they were measured.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from works import WORKS, Target, Work

Record = dict[str, Any]
HEAD: Final = ("work", "peer", "rate", "cost", "ratio peer/mailspy", "target", "verdict")
UNITS: Final = {"cpu": "µs", "session": "KiB", "peak": "MiB"}


def read(paths: Iterable[Path]) -> list[Record]:
    """The records of several files."""
    return [json.loads(line) for path in paths for line in path.read_text().splitlines() if line.strip()]


def spread(values: list[float]) -> str:
    """The median, with least and most in brackets."""
    if not values:
        return "–"
    middle = number(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))}–{number(max(values))})"


def number(value: float) -> str:
    """Three digits, or whole thousands with commas."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def rate(record: Record) -> str:
    """Units a second."""
    return number(record["units"] / record["wall"]) + "/s"


def cost(record: Record) -> str:
    """What a unit costs, if there was a proxy."""
    return f"{number(record['cost'])} {UNITS[work_of(record['work']).cost]}" if "cost" in record else "–"


def work_of(name: str) -> Work:
    """The work a record belongs to: `B` for `B-DATA` too."""
    return WORKS[name.partition("-")[0]]


def ratios(peer: list[Record], own: list[Record]) -> list[float]:
    """Cost of the peer over mailspy's, round by round."""
    costs = {(record["run"], record["round"]): record["cost"] for record in own if record.get("cost")}
    return [record["cost"] / costs[record["run"], record["round"]] for record in peer
            if "cost" in record and (record["run"], record["round"]) in costs]


def verdict(value: float, target: Target, most: bool) -> str:
    """Whether the target is reached; `most` when less is better."""
    if most:
        return "met" if value <= target.must else "MISSED"
    if value < target.must:
        return "MISSED"
    return "aim met" if target.aim and value >= target.aim else "met"


def line(name: str, peer: str, records: list[Record], own: list[Record]) -> tuple[str, ...]:
    """One line of the table."""
    work = work_of(name)
    good = [record for record in records if "error" not in record]
    if not good:
        return name, peer, f"ERROR: {records[0]['error']}", "", "", "", ""
    rates = spread([record["units"] / record["wall"] for record in good]) + "/s"
    costs = [record["cost"] for record in good if "cost" in record]
    cost_of_all = f"{spread(costs)} {UNITS[work.cost]}" if costs else "–"
    failed = len(records) - len(good)
    note = f" ({failed} of {len(records)} rounds FAILED)" if failed else ""
    return name, peer + note, rates, cost_of_all, *against_target(work, name, peer, costs, ratios(good, own))


def against_target(work: Work, name: str, peer: str, costs: list[float], found: list[float]) -> tuple[str, str, str]:
    """The ratio, the target and whether it is met."""
    ratio = spread(found) if found and work.cost == "cpu" and peer != "mailspy" else ""
    target = work.targets.get(peer) if name == work.name else None
    if not target:
        return ratio, "", ""
    if peer == "mailspy":
        return "", f"at most {target} {UNITS[work.cost]}", verdict(statistics.median(costs), target, most=True)
    return ratio, f"at least {target}", verdict(statistics.median(found), target, most=False) if found else ""


def lines(records: list[Record]) -> Iterator[tuple[str, ...]]:
    """All lines, in the order of the records."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record["work"], record["peer"]), []).append(record)
    for name in sorted({work for work, _ in groups}, key=place):
        for (work, peer), group in groups.items():
            if work == name:
                yield line(name, peer, group, groups.get((name, "mailspy"), []))


def place(name: str) -> tuple[int, str]:
    """Where a work stands in the table."""
    return list(WORKS).index(work_of(name).name), name


def table(records: list[Record]) -> str:
    """The whole table in Markdown, with what its letters mean."""
    rows = [HEAD, ("---",) * len(HEAD), *lines(records)]
    body = "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows)
    named = dict.fromkeys(work_of(record["work"]).name for record in records)
    key = "; ".join(f"{name}: {WORKS[name].title}, cost a {WORKS[name].unit}" for name in WORKS if name in named)
    return f"{body}\n\n{key}."


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Prints the table of one or more runs of live.py.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.jsonl")
    print(table(read(parser.parse_args().files)))


if __name__ == "__main__":
    main()
