"""The event that tells a message: its envelope and the header fields that people look for.

Knows which fields those are.  Must not know the body.
"""

from __future__ import annotations

from typing import Final

from inspector import Finding, Message
from mailspy_mime.fields import Fields, unfold
from mailspy_mime.limits import TEXT
from mailspy_mime.words import text

RETRIEVALS: Final = frozenset({"RETR", "TOP"})
"""Verbs of messages that cross without an envelope: what is left of it stands in Return-Path (RFC 5321 §4.4)."""


def summarise(message: Message, fields: Fields, complete: bool) -> Finding:
    """The event `message`."""
    transaction, size = message.transaction, message.size
    envelope: dict[str, object]
    if message.verb in RETRIEVALS:
        envelope = {"from": _shown(fields, "return-path").removeprefix("<").removesuffix(">"), "to": []}
    else:
        envelope = {"from": transaction.sender, "to": [one.address for one in transaction.recipients if one.accepted]}
    subject = _shown(fields, "subject")
    return Finding(
        "message",
        f"message {message.number}: “{subject}”, {size} octets{'' if complete else ', cut short'}",
        {
            "number": message.number,
            "transaction": transaction.number,
            "verb": message.verb,
            "envelope": envelope,
            "size": size,
            "subject": subject,
            "message_id": _shown(fields, "message-id"),
            "from": _shown(fields, "from"),
            "to": _shown(fields, "to"),
            "date": _shown(fields, "date"),
            "complete": complete,
        })


def _shown(fields: Fields, name: str) -> str:
    value = fields.get(name, "")
    if len(value) > TEXT or "\n" in value or value[-1:] == " ":
        value = unfold(value[:TEXT])
    return text(value)
