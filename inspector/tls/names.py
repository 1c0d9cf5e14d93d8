"""Names of hosts that may be addresses.

Knows literal addresses.  Must not know certificates.
"""

from __future__ import annotations

import ipaddress


def address_of(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a name is, or None for what is a name."""
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
