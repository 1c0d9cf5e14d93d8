"""The JSON object of a PDU.

Knows the contract (docs/json): names and order of the members.  Must not know where their values come from.
"""

from __future__ import annotations

import msgspec


class PduRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """The JSON object of a PDU; its members are written in this order."""

    event: str
    flow: int
    time: str
    protocol: str
    number: int
    direction: str
    phase: str
    client_state: str | msgspec.UnsetType
    kind: str
    verb: str
    status: str
    size: int
    text: str
    transaction: int = 0
    details: dict[str, str] | None = None
    origin: str = ""
