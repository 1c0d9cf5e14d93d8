"""Who sends to whom, as it stands in the headers of a packet, as a flow.

Knows pairs: both addresses, both ports.  Must not know connections.
"""

from __future__ import annotations

from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Final

from inspector.capture.conversation import MAPPED
from inspector.formats.marker import Marker
from inspector.pdu import Address, Flow

ALIKE: Final = 4_096
"""Ends that are kept to be used again: of the flows of a capture most have one in common."""


def flow(number: int, up: bytes, opened: int, told: Marker | None = None) -> Flow:
    """The flow of a pair, client to server; `told` is what our own captures say beside it."""
    size = (len(up) - 4) // 2
    client, server = up[:size], up[size:2 * size]
    if told is None:
        return Flow(number, _address(client, up[-4:-2]), _address(server, up[-2:]), opened)
    return Flow(number, _address(client, up[-4:-2], told.client_mapped),
                Address(_address(server, up[-2:], told.server_mapped).host, told.port), opened, told.protocol,
                secure=told.secure, sealed=told.sealed)


def ports(pair: bytes) -> tuple[int, int]:
    """The sender's and the receiver's."""
    return int.from_bytes(pair[-4:-2], "big"), int.from_bytes(pair[-2:], "big")


@lru_cache(maxsize=ALIKE)
def _address(host: bytes, port: bytes, mapped: bool = False) -> Address:
    if mapped and host.startswith(MAPPED):
        host = host[len(MAPPED):]
    return Address(inet_ntop(AF_INET if len(host) == 4 else AF_INET6, host), int.from_bytes(port, "big"))
