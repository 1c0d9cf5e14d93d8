"""Where the path of a RCPT leads: every host that a server might send the mail on to, old tricks seen through.

Rules.  A source route names hosts on the way, which a server leaves out (RFC 5321 appendix C).  What stands before the last `@`
should mean nothing to others than its host (§2.3.11); yet servers were built that take `user%there@here`, `there!user@here` and
`user@there@here`, quoted or not, for a way: `here` passes the mail on to `there`.  So all these hosts are named, in that order.

Knows paths.  Must not know any policy.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from mailspy_relay.domains import comparable

HOSTS: Final = 16
"""Hosts that are told apart in one path; what is left past it counts as one more, which is nobody's."""

LONGEST: Final = 1_024
"""Characters of a path that is read, four times what a path may have (RFC 5321 §4.5.3.1.3); a longer one leads nowhere."""
NOWHERE: Final = "?"
"""A host that nobody has."""

_WAY: Final = re.compile(r"\s*(?:@(?:\[[^\]]*\]|[^,:@\[\]]*),?)+:")
_PLAIN: Final = re.compile(r"\\(.)|([^\"\\]+)", re.DOTALL)
"""What a quoted local part means: quotes and backslashes taken away (RFC 5321 §4.1.2)."""

SOURCE_ROUTE: Final = "source route"
QUOTED: Final = "quoted local part"
SECOND_AT: Final = "second @"
BANG_PATH: Final = "bang path"
PERCENT: Final = "percent hack"


class Route(NamedTuple):
    """What a path says."""

    local: str
    """The local part, quotes taken away."""
    hosts: tuple[str, ...]
    """The domain as it is compared, empty where there is none; then the hosts hidden in the local part, in order."""
    tricks: tuple[str, ...]
    """What was seen through: `source route`, `percent hack` …"""


def read(path: str) -> Route:
    """Reads a path as it stands between the angle brackets.  Nothing that is sent raises; time is linear."""
    if len(path) > LONGEST:
        return Route(path, (NOWHERE,), ())
    tricks: list[str] = []
    way = _WAY.match(path)
    if way is not None:
        path = path[way.end():]
        tricks.append(SOURCE_ROUTE)
    written, domain = _divided(path)
    local = "".join([quoted or plain for quoted, plain in _PLAIN.findall(written)])
    hosts = [comparable(domain)]
    rest = local
    while len(hosts) < HOSTS:
        rest, host, trick = _peeled(rest)
        if not trick:
            break
        if local != written and QUOTED not in tricks:
            tricks.append(QUOTED)
        if trick not in tricks:
            tricks.append(trick)
        hosts.append(comparable(host))
    else:
        hosts.append(NOWHERE)
    return Route(local, tuple(hosts), tuple(tricks))


def _divided(path: str) -> tuple[str, str]:
    """Local part and domain; an @ within quotes divides nothing."""
    local, at, domain = path.rpartition("@")
    return (local, domain) if at and '"' not in domain else (path, "")


def _peeled(local: str) -> tuple[str, str, str]:
    """What is left of a local part, the host that it names, and how; an empty how for a plain local part."""
    if "@" in local:
        rest, _, host = local.rpartition("@")
        return rest, host, SECOND_AT
    if "!" in local:
        host, _, rest = local.partition("!")
        return rest, host, BANG_PATH
    if "%" in local:
        rest, _, host = local.rpartition("%")
        return rest, host, PERCENT
    return local, "", ""
