"""Networks whose clients may relay.

Rules.  As in Postfix's `mynetworks`: CIDR or single addresses, v4 and v6; `!` before one excludes it; the first that holds a
client decides.

Knows addresses of clients.  Must not know recipients.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

from inspector import OptionError
from mailspy_relay.domains import address


class Networks:
    """The networks, in order."""

    __slots__ = ("_entries", "option")

    def __init__(self, option: str, given: Iterable[str] = ()) -> None:
        """Raises OptionError for what is no network."""
        self.option = option
        self._entries: list[tuple[IPv4Network | IPv6Network, bool, str]] = [
            (_network(option, one), not one.strip().startswith("!"), one.strip()) for one in given]

    def __bool__(self) -> bool:
        return bool(self._entries)

    def rule(self, client: str) -> str:
        """The rule by which a client may relay: `trusted-network 10.0.0.0/8`; empty if none does."""
        found = address(client)
        if found is None:
            return ""
        for network, allowed, given in self._entries:
            if found.version == network.version and found in network:
                return f"{self.option.removeprefix('--')} {given}" if allowed else ""
        return ""


def _network(option: str, given: str) -> IPv4Network | IPv6Network:
    text = given.strip().removeprefix("!").strip().replace("[", "").replace("]", "")
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        meant = f"; was {ip_network(text, strict=False)} meant?"
    except ValueError:
        meant = "; write 192.0.2.0/24, 192.0.2.7 or 2001:db8::/32"
    raise OptionError(f"{option} {given}: not a network{meant}")
