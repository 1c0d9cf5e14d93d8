"""What the live proxy writes into a capture beside the packets, as a comment: findings that no octet shows, whose the words are
that come next, why a flow is ended, what a server is called that was never resolved.

Knows the form of the comment.  Must not know packets.  What a capture claims is checked for its form, never trusted further.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from inspector.pdu import Finding, is_host_name
from inspector.reasons import OWN
from inspector.segment import SILENT, Words

PREFIX: Final = b"mailspy-note "
"""How the comment begins; a JSON object follows."""
EVENTS: Final = frozenset({"tls", "tls_failed", "tls_edit", "tls_passed", "tls_policy", "tls_truncated"})
"""The findings that are noted; a capture can tell no others."""
LONGEST: Final = 65_000
"""Octets of a comment in pcapng, about."""
CUT: Final = 500
"""Characters that are left of a summary then."""
SEVERITIES: Final = frozenset({"info", "low", "medium", "high", "critical"})


SAID: Final = 1_000
"""Places of mailspy's own words that one comment tells."""


class Note(msgspec.Struct, omit_defaults=True):
    """The JSON object."""

    secured: bool
    findings: list[Told]
    said: list[tuple[Place, Place]] = []
    instead: list[tuple[Place, bytes]] = []
    """The lines in base64."""
    withheld: bytes = b""
    injected: tuple[Place, Place] = (0, 0)
    heard: bytes | None = None
    closing: bool = False
    divided: bool = False
    reason: str = ""
    server: str = ""


Place = Annotated[int, msgspec.Meta(ge=0, le=1 << 60)]
"""A number of octets or of a PDU."""


class Told(msgspec.Struct):
    """One finding."""

    event: str
    summary: str
    fields: dict[str, Any]
    severity: str


class Comment(NamedTuple):
    """What a comment says."""

    findings: tuple[Finding, ...]
    secured: bool
    """What follows crossed in TLS."""
    words: Words
    server: str
    """The name of a server without an address; else empty."""


def named(server: str) -> bytes:
    """The comment that says what a server is called."""
    return PREFIX + msgspec.json.encode(Note(False, [], server=server))


def pack(findings: Sequence[Finding], secured: bool, words: Words = SILENT) -> Iterator[bytes]:
    """The comments; of a finding that would be longer than a comment can be, no more than that it was."""
    if words.heard is not None:
        yield PREFIX + msgspec.json.encode(Note(False, [], heard=words.heard))
    if words.closing or words.divided or words.injected != (0, 0):
        yield PREFIX + msgspec.json.encode(Note(False, [], withheld=words.withheld, injected=words.injected,
                                                closing=words.closing, divided=words.divided))
    for place in range(0, len(words.said), SAID):
        yield PREFIX + msgspec.json.encode(Note(False, [], said=list(words.said[place:place + SAID])))
    for line in words.instead:
        yield PREFIX + msgspec.json.encode(Note(False, [], instead=[line]))
    if words.reason:
        yield PREFIX + msgspec.json.encode(Note(False, [], reason=words.reason))
    if findings or secured:
        yield _findings(findings, secured)


def _findings(findings: Sequence[Finding], secured: bool) -> bytes:
    told = [Told(one.event, one.summary, one.fields, one.severity) for one in findings]
    octets = PREFIX + msgspec.json.encode(Note(secured, told))
    if len(octets) > LONGEST:
        short = [Told(one.event, one.summary[:CUT], {"leg": one.fields.get("leg", "")}, one.severity) for one in findings]
        octets = PREFIX + msgspec.json.encode(Note(secured, short))
    return octets


def unpack(comment: bytes) -> Comment | None:
    """What the comment says, as far as it can be so; None where it is none of ours."""
    try:
        note = _decode(comment.removeprefix(PREFIX))
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    findings = tuple(Finding(one.event, one.summary, one.fields, one.severity) for one in note.findings
                     if one.event in EVENTS and one.severity in SEVERITIES)
    words = Words(tuple(note.said), tuple(note.instead), note.withheld, note.injected, note.heard, note.closing,
                  note.divided, note.reason if note.reason in OWN else "")
    return Comment(findings, note.secured, words, note.server if is_host_name(note.server) else "")


_decode: Final = msgspec.json.Decoder(Note).decode
