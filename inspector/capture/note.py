"""What the live proxy writes into a capture beside the packets, as a comment: findings that no octet shows.

Knows the form of the comment.  Must not know packets.  What a capture claims is checked for its form, never trusted further.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from inspector.pdu import Finding

PREFIX: Final = b"mailspy-note "
"""How the comment begins; a JSON object follows."""
EVENTS: Final = frozenset({"tls", "tls_failed", "tls_edit", "tls_passed", "tls_policy", "tls_truncated"})
"""The findings that are noted; a capture can tell no others."""
LONGEST: Final = 65_000
"""Octets of a comment in pcapng, about."""
CUT: Final = 500
"""Characters that are left of a summary then."""
SEVERITIES: Final = frozenset({"info", "low", "medium", "high", "critical"})


class Note(msgspec.Struct):
    """The JSON object."""

    secured: bool
    findings: list[Told]


class Told(msgspec.Struct):
    """One finding."""

    event: str
    summary: str
    fields: dict[str, Any]
    severity: str


def pack(findings: Sequence[Finding], secured: bool) -> bytes:
    """The comment; of what would be longer than a comment can be, no more than that it was."""
    told = [Told(one.event, one.summary, one.fields, one.severity) for one in findings]
    octets = PREFIX + msgspec.json.encode(Note(secured, told))
    if len(octets) > LONGEST:
        short = [Told(one.event, one.summary[:CUT], {"leg": one.fields.get("leg", "")}, one.severity) for one in findings]
        octets = PREFIX + msgspec.json.encode(Note(secured, short))
    return octets


def unpack(comment: bytes) -> tuple[tuple[Finding, ...], bool] | None:
    """The findings, and whether what follows crossed in TLS; None where that is no such comment."""
    try:
        note = _decode(comment.removeprefix(PREFIX))
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    findings = tuple(Finding(one.event, one.summary, one.fields, one.severity) for one in note.findings
                     if one.event in EVENTS and one.severity in SEVERITIES)
    return findings, note.secured


_decode: Final = msgspec.json.Decoder(Note).decode
