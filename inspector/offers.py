"""What servers say that they can do: whether one offers TLS no more, and what an attacker may have taken out of a list.

Knows lists of capabilities.  Must not know any protocol, nor who is told.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final

from inspector.pdu import Address

SERVERS: Final = 10_000
"""Servers that are remembered."""
BY_TLS: Final = frozenset({"AUTH", "AUTH=LOGIN", "SASL", "USER", "REQUIRETLS", "LOGINDISABLED", "STARTTLS", "STLS"})
"""Capabilities that differ for good reasons before TLS and in it."""
OLD_VERSIONS: Final = re.compile(r"SSL|TLSv?1$|TLSv1\.[01]$|TLS 1\.[01]$")
WEAK_CIPHERS: Final = re.compile(r"RC4|DES|NULL|EXP|MD5|ADH|AECDH|anon|PSK-NULL")
_IN_THE_CLEAR: Final = re.compile(rb"^(?:\d{3}[ -])?(?:AUTH[ =]|SASL ).*\b(PLAIN|LOGIN|XOAUTH2|OAUTHBEARER)\b",
                                  re.IGNORECASE | re.MULTILINE)


class Offers:
    """Which servers have offered TLS in the sessions so far."""

    __slots__ = ("_servers",)

    def __init__(self) -> None:
        self._servers: OrderedDict[Address, bool] = OrderedDict()

    def withdrawn(self, server: Address, offered: bool) -> bool:
        """Whether a server offers it no more; remembers that it does."""
        if offered:
            self._servers[server] = True
            if len(self._servers) > SERVERS:
                self._servers.popitem(last=False)
            return False
        return server in self._servers


def in_the_clear(listing: bytes) -> str:
    """A mechanism in a list that gives the password, or what is as good; empty if there is none."""
    found = _IN_THE_CLEAR.search(listing)
    return found[1].decode("ascii").upper() if found is not None else ""


def differing(before: frozenset[str], after: frozenset[str]) -> str:
    """How the lists before TLS and in it differ beyond what TLS explains; empty if they do not."""
    told = [f"only {where}: {' '.join(sorted(some)[:10])}" for where, some in (
        ("before TLS", before - after - BY_TLS), ("in TLS", after - before - BY_TLS)) if some]
    return "; ".join(told)


def weak(version: str, cipher: str) -> str:
    """What is weak about what was agreed on; empty if nothing is."""
    found = [version] if OLD_VERSIONS.match(version) else []
    return ", ".join([*found, cipher] if WEAK_CIPHERS.search(cipher) else found)
