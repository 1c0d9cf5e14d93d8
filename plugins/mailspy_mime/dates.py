"""Dates of header fields as seconds since the epoch, and as text for programs.

Knows RFC 5322 §3.3 and §4.3; what else can be read as a date is left to the standard library, on a short text.  Must not
know fields.
"""

from __future__ import annotations

import re
from calendar import timegm
from datetime import date
from email.utils import parsedate_tz
from time import gmtime, strftime
from typing import Final

_DATE: Final = re.compile(
    r"\s*(?:[A-Za-z]{3},)?\s*([0-9]{1,2})\s+([A-Za-z]{3})\s+([0-9]{4})\s+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?\s+"
    r"([+-])([0-9]{2})([0-9]{2})\b")
_MONTHS: Final = {name: number for number, name in enumerate(
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1)}
_EPOCH: Final = date(1970, 1, 1).toordinal()
_LENGTH: Final = 100
"""Characters of a date that are read; RFC 5322 needs 31."""


def seconds(value: str) -> int | None:
    """Seconds since the epoch, UTC; None where this is no date.  A zone that is not known counts as UTC (RFC 5322 §4.3)."""
    match = _DATE.match(value)
    if match is None:
        return _otherwise(value[:_LENGTH])
    day, name, year, hour, minute, second, sign, hours, minutes = match.groups()
    try:
        days = date(int(year), _MONTHS[name.lower()], int(day)).toordinal() - _EPOCH
    except (KeyError, ValueError):
        return None
    hour_, minute_ = int(hour), int(minute)
    if hour_ > 23 or minute_ > 59:
        return None
    offset = int(hours) * 3600 + int(minutes) * 60
    local = days * 86_400 + hour_ * 3600 + minute_ * 60 + int(second or 0)
    return _sane(local - offset if sign == "+" else local + offset)


def _otherwise(value: str) -> int | None:
    try:
        parsed = parsedate_tz(value)
        return None if parsed is None else _sane(timegm(parsed[:6]) - (parsed[9] or 0))
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _sane(moment: int) -> int | None:
    """Only years of four digits: others cannot be written as RFC 3339 has them."""
    return moment if -62135596800 <= moment <= 253402300799 else None


def utc(moment: int | None) -> str:
    """`2026-11-23T14:00:00Z` (RFC 3339); empty for no date."""
    return "" if moment is None else strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(moment)).rjust(20, "0")
