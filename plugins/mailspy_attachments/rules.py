"""Which of the files are wanted: `--attachments-match type:image/*,size:>1M`.

A rule is one or more conditions, separated by commas, that must all hold; a file is wanted when a rule holds, or when
there is none.

Knows patterns.  Must not know how a file is saved.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from typing import Final, NamedTuple

from inspector import OptionError
from mailspy_attachments.sizes import octets

HELP: Final = "write type:image/*, name:*.doc or size:>1M, several that must all hold with commas between them"


class Candidate(NamedTuple):
    """What is known of a file, whole or not yet."""

    names: Sequence[str]
    types: Sequence[str]
    """Declared and detected, in small letters; without the detected one while it can still come."""
    size: int
    whole: bool
    """Nothing more will come: names, types and size are final."""


Condition = Callable[[Candidate], bool]
"""Whether a file is wanted, or can still become it."""


class Rules:
    """All rules.  Raises OptionError for what is none."""

    __slots__ = ("_rules",)

    def __init__(self, written: Sequence[str]) -> None:
        self._rules = tuple(_rule(text) for text in written)

    def allow(self, candidate: Candidate) -> bool:
        """Whether the file is wanted, or, while it is not whole, can still become it."""
        return not self._rules or any(all(holds(candidate) for holds in rule) for rule in self._rules)


def _rule(text: str) -> tuple[Condition, ...]:
    return tuple(_condition(text, one) for one in re.split(r",(?=\s*\w+\s*:)", text))


def _condition(rule: str, text: str) -> Condition:
    key, _, value = text.partition(":")
    make = _CONDITIONS.get(key.strip().lower())
    value = value.strip()
    if make is None or not value:
        raise OptionError(f"--attachments-match {rule}: {text.strip() or 'nothing'}: not a condition; {HELP}")
    condition = make(value)
    if condition is None:
        raise OptionError(f"--attachments-match {rule}: {value}: not a size; write >1M, <=64Ki or 10k..2M")
    return condition


def _type(value: str) -> Condition:
    matches = re.compile(translate(value.lower())).fullmatch

    def holds(candidate: Candidate) -> bool:
        return not candidate.whole or any(matches(one) for one in candidate.types)

    return holds


def _name(value: str) -> Condition:
    matches = re.compile(translate(value.lower())).fullmatch

    def holds(candidate: Candidate) -> bool:
        return any(matches(one.lower()) for one in candidate.names)

    return holds


def _size(value: str) -> Condition | None:
    bounds = _bounds(value)
    if bounds is None:
        return None
    least, most = bounds

    def holds(candidate: Candidate) -> bool:
        return (most is None or candidate.size <= most) and (not candidate.whole or candidate.size >= least)

    return holds


def _bounds(value: str) -> tuple[int, int | None] | None:
    """The least and the most octets of `>1M`, `>=1M`, `<1M`, `<=1M`, `1M..2M`, `=100`."""
    if ".." in value:
        low, _, high = value.partition("..")
        least, most = octets(low), octets(high)
        return None if least is None or most is None else (least, most)
    sign = value[:2] if value[1:2] == "=" else value[:1]
    size = octets(value.removeprefix(sign)) if sign in _SIGNS else None
    return None if size is None else _SIGNS[sign](size)


_SIGNS: Final[dict[str, Callable[[int], tuple[int, int | None]]]] = {
    ">": lambda size: (size + 1, None), ">=": lambda size: (size, None),
    "<": lambda size: (0, size - 1), "<=": lambda size: (0, size), "=": lambda size: (size, size),
}
_CONDITIONS: Final[dict[str, Callable[[str], Condition | None]]] = {"type": _type, "name": _name, "size": _size}
