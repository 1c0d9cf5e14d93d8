"""The types of fields, and how a value that a user types is compared with what events hold.

Rules.  The type of the field reads the value, so that `status == 250` compares texts and `size > 10MB` numbers.  Texts are
compared without regard to case.  Patterns are RE2's: their time is linear in the text, whatever a user and a peer think of.

Knows types and operators.  Must not know fields, nor where values come from.
"""

from __future__ import annotations

import ipaddress
import operator
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from inspector.anomaly import Severity
from inspector.pdu import Address

Test = Callable[[Any], bool]
"""Says of a field's value whether it is what was asked for."""

CONTAINS: Final = "contains"
MATCHES: Final = "matches"
EQUAL: Final = "=="
DIFFERENT: Final = "!="
ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_EQUALITY: Final = (EQUAL, DIFFERENT)

OCTETS: Final = {"": 1, "b": 1, "kb": 1_000, "mb": 1_000_000, "gb": 1_000_000_000,
                 "k": 1_000, "m": 1_000_000, "g": 1_000_000_000, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}
"""Units of sizes."""
MICROSECONDS: Final = {"us": 1, "µs": 1, "ms": 1_000, "s": 1_000_000, "sec": 1_000_000, "min": 60_000_000, "m": 60_000_000,
                       "h": 3_600_000_000, "d": 86_400_000_000, "": 1_000_000}
"""Units of durations."""
SEVERITIES: Final = {severity.value: rank for rank, severity in enumerate(Severity)}
_QUANTITY: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)([a-zµ]*)", re.IGNORECASE)
_TRUTH: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
MOST_PATTERN: Final = 1_000
"""Characters of a pattern."""


class Type(NamedTuple):
    """What values of a field are."""

    name: str
    expected: str
    """What can be typed, for people."""
    operators: tuple[str, ...]
    make: Callable[[str, str], Test]
    """From operator and typed value to the test.  Raises ValueError, its text saying why where there is more to say."""


def _text(sign: str, typed: str) -> Test:
    wanted = typed.casefold()
    if sign == CONTAINS:
        return lambda value: wanted in value.casefold()
    if sign == MATCHES:
        return _pattern(typed)
    return lambda value: bool(value.casefold() == wanted)


def _pattern(typed: str) -> Test:
    """RE2, not Python's: a pattern such as `(a+)+$` takes Python's time without bounds, on a text that a peer chooses."""
    import re2

    if len(typed) > MOST_PATTERN:
        raise ValueError(f"a pattern has at most {MOST_PATTERN} characters")
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    try:
        search = re2.compile(typed, options=options).search
    except re2.error as error:
        told = error.args[0] if error.args else ""
        raise ValueError(f"no pattern of RE2: {told.decode(errors='replace') if isinstance(told, bytes) else told}") from None

    def matches(value: str) -> bool:
        return search(value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")) is not None

    return matches


def _quantity(units: Mapping[str, int]) -> Callable[[str, str], Test]:
    def make(sign: str, typed: str) -> Test:
        match = _QUANTITY.fullmatch(typed)
        if match is None or match[2].lower() not in units:
            raise ValueError
        return _ordered(sign, float(match[1]) * units[match[2].lower()])

    return make


def _ordered(sign: str, wanted: Any) -> Test:
    if sign in ORDER:
        compare = ORDER[sign]
        return lambda value: compare(value, wanted)
    return lambda value: bool(value == wanted)


def _truth(sign: str, typed: str) -> Test:
    wanted = _TRUTH.get(typed.lower())
    if wanted is None:
        raise ValueError
    return lambda value: bool(value) is wanted


def _severity(sign: str, typed: str) -> Test:
    wanted = SEVERITIES.get(typed.lower())
    if wanted is None:
        raise ValueError
    test = _ordered(sign, wanted)
    return lambda value: value in SEVERITIES and test(SEVERITIES[value])


def _instant(sign: str, typed: str) -> Test:
    moment = datetime.fromisoformat(typed)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return _ordered(sign, round(moment.timestamp() * 1_000_000))


_WITH_PORT: Final = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]+)):(\d{1,5})")


def _address(sign: str, typed: str) -> Test:
    if match := _WITH_PORT.fullmatch(typed):
        host, port = ipaddress.ip_address(match[1] or match[2]), int(match[3])
        return lambda value: value.port == port and _ip(value) == host
    if "/" in typed:
        network = ipaddress.ip_network(typed, strict=False)
        return lambda value: _ip(value) in network
    wanted = ipaddress.ip_address(typed.strip("[]"))
    return lambda value: _ip(value) == wanted


_KNOWN: Final[dict[str, Any]] = {}
"""Addresses as objects: making one costs more than all else in a test."""


def _ip(address: Address) -> Any:
    known = _KNOWN.get(address.host)
    if known is None:
        if len(_KNOWN) >= 10_000:
            _KNOWN.clear()
        known = _KNOWN[address.host] = _read(address.host)
    return known


def _read(host: str) -> Any:
    """The address; one that is none is in no network and equals nothing that can be typed."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ipaddress.ip_address("::")
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


TEXT: Final = Type("text", "a word or a text in quotes", (*_EQUALITY, CONTAINS, MATCHES), _text)
NUMBER: Final = Type("number", "a number such as 3", (*_EQUALITY, *ORDER), _quantity({"": 1}))
SIZE: Final = Type("size", "octets such as 500, 64kB or 10MB", (*_EQUALITY, *ORDER), _quantity(OCTETS))
DURATION: Final = Type("duration", "a time such as 250ms, 1.5s or 2min", (*_EQUALITY, *ORDER), _quantity(MICROSECONDS))
INSTANT: Final = Type("instant", "a time such as 2026-11-23T14:05:00 (UTC unless it says otherwise)", (*_EQUALITY, *ORDER),
                      _instant)
ADDRESS: Final = Type("address", "an address such as 192.0.2.1, 192.0.2.1:25, 192.0.2.0/24 or 2001:db8::/32", _EQUALITY,
                      _address)
TRUTH: Final = Type("truth", "true or false", _EQUALITY, _truth)
SEVERITY: Final = Type("severity", f"one of {', '.join(SEVERITIES)}", (*_EQUALITY, *ORDER), _severity)
