"""Rows as text, in columns, as wide as there is room.

Rules.  What comes from the wire is sanitised here.  On a terminal a row is a line and is cut to the width, the columns that can
be short first; colours are for terminals alone; what is piped is plain and whole.

Knows columns and terminals.  Must not know what the rows tell.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Final, NamedTuple

from inspector.console import BOLD, FAINT, PLAIN, columns_of, fitting, width_of
from inspector.mail.envelope import moment
from inspector.text import sanitise

GAP: Final = "  "


class Column(NamedTuple):
    """How a column looks."""

    title: str
    right: bool = False
    least: int = 0
    """Columns of the screen that it keeps when there is too little room; 0 for one that is never cut."""


class Cell(NamedTuple):
    """What stands in a row, with its colour."""

    text: str
    ink: str = ""


@dataclass(frozen=True, slots=True)
class Screen:
    """Where tables are written to."""

    file: IO[str]
    width: int = 0
    """0: as wide as it takes."""
    colour: bool = False

    @classmethod
    def of(cls, file: IO[str], environ: Mapping[str, str] = os.environ) -> Screen:
        """Coloured and as wide as it is for a terminal; plain and whole for everything else."""
        if not file.isatty():
            return cls(file)
        return cls(file, width_of(file.fileno()), not environ.get("NO_COLOR") and environ.get("TERM") != "dumb")

    def line(self, text: str = "", ink: str = "") -> None:
        """Writes a line, cut to the width."""
        shown = sanitise(text)
        if self.width:
            shown = shortened(shown, self.width)
        self.file.write(f"{ink}{shown}{PLAIN}\n" if self.colour and ink and shown else f"{shown}\n")

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[str | Cell]]) -> None:
        """Writes rows under the heads of their columns."""
        cells = [[clean(one) for one in row] for row in rows]
        widths = fitted(columns, natural(columns, cells), self.width)
        self._row(columns, [Cell(column.title, FAINT) for column in columns], widths)
        for row in cells:
            self._row(columns, row, widths)

    def _row(self, columns: Sequence[Column], row: Sequence[Cell], widths: Sequence[int]) -> None:
        parts = []
        for column, cell, width in zip(columns, row, widths, strict=True):
            text = shortened(cell.text, width)
            blank = " " * (width - columns_of(text))
            inked = f"{cell.ink}{text}{PLAIN}" if self.colour and cell.ink and text else text
            parts.append(blank + inked if column.right else inked + blank)
        self.file.write(GAP.join(parts).rstrip() + "\n")

    def heading(self, text: str) -> None:
        """Writes a heading, an empty line before it."""
        self.file.write("\n")
        self.line(text, BOLD)


def clean(cell: str | Cell) -> Cell:
    """A cell that can harm nobody."""
    return Cell(sanitise(cell)) if isinstance(cell, str) else Cell(sanitise(cell.text), cell.ink)


def natural(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> list[int]:
    """The columns of the screen that each takes when nothing is cut."""
    widths = [columns_of(column.title) for column in columns]
    for row in rows:
        for place, cell in enumerate(row):
            widths[place] = max(widths[place], columns_of(cell.text))
    return widths


def total(widths: Sequence[int]) -> int:
    """The width of a row."""
    return sum(widths) + len(GAP) * (len(widths) - 1)


def fitted(columns: Sequence[Column], widths: list[int], room: int) -> list[int]:
    """The widths, the widest of those that can be cut made narrower one by one until the row fits; a room of 0 is any."""
    widths = list(widths)
    while room and total(widths) > room:
        shrinkable = [place for place, column in enumerate(columns) if column.least and widths[place] > column.least]
        if not shrinkable:
            break
        widest = max(shrinkable, key=widths.__getitem__)
        widths[widest] -= 1
    return widths


def shortened(text: str, room: int) -> str:
    """Sanitised text in at most `room` columns."""
    if columns_of(text) <= room:
        return text
    return text[:fitting(text, room - 1)] + "…" if room else ""


def stamp(time: int) -> str:
    """A time as RFC 3339 writes it; empty where there is none, or none that a calendar has: a capture may hold any number."""
    try:
        return moment(time)
    except (ValueError, OverflowError, OSError):
        return ""


def octets(number: int) -> str:
    """`935`, `12.3 kB`, `4.5 MB`: of three digits at most."""
    if number < 1_000:
        return str(number)
    value = float(number)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1_000
        if value < 999.5 or unit == "TB":
            break
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"


def lasting(duration: int) -> str:
    """A duration in microseconds, for people: `250 µs`, `1.5 ms`, `3.20 s`, `4 min 5 s`, `3 h 20 min`."""
    if abs(duration) < 1_000:
        return f"{duration} µs"
    if abs(duration) < 1_000_000:
        return f"{duration / 1e3:.{1 if abs(duration) < 99_950 else 0}f} ms"
    if abs(duration) < 60_000_000:
        return f"{duration / 1e6:.{2 if abs(duration) < 9_995_000 else 1}f} s"
    seconds = round(duration / 1e6)
    if seconds < 3_600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3_600} h {seconds // 60 % 60} min"
