"""The event that tells a message: its envelope and what its header says to people and to servers.

Knows which fields those are.  Must not know the body.
"""

from __future__ import annotations

import re
from typing import Final

from inspector import Finding, Message
from mailspy_mime.addresses import Mailbox, mailboxes
from mailspy_mime.dates import seconds, utc
from mailspy_mime.doubts import Doubts
from mailspy_mime.fields import Again, Fields, unfold
from mailspy_mime.limits import ADDRESSES, HOPS, REFERENCES, TEXT, VALUE
from mailspy_mime.received import hops
from mailspy_mime.words import text

RETRIEVALS: Final = frozenset({"RETR", "TOP"})
"""Verbs of messages that cross without an envelope: what is left of it stands in Return-Path (RFC 5321 §4.4)."""
_ADDRESSED: Final = (("from", "from"), ("to", "to"), ("cc", "cc"), ("reply-to", "reply_to"))
_ID: Final = re.compile(r"<[^<>\s]++>")


class Summary:
    """What the header of a message says."""

    __slots__ = ("_again", "_fields", "_received")

    def __init__(self, fields: Fields, again: Again, received: list[str]) -> None:
        self._fields = fields
        self._again = again
        self._received = received

    def finding(self, message: Message, complete: bool) -> tuple[Finding, Doubts]:
        """The event `message`, and limits that were met."""
        transaction, size = message.transaction, message.size
        envelope: dict[str, object]
        if message.verb in RETRIEVALS:
            envelope = {"from": self._shown("return-path").removeprefix("<").removesuffix(">"), "to": []}
        else:
            envelope = {"from": transaction.sender, "to": [one.address for one in transaction.recipients if not one.refused]}
        subject = self._shown("subject")
        addresses, doubts = self._addresses()
        date = self._fields.get("date", "")
        sent = seconds(unfold(date[:TEXT])) if date else None
        if len(self._received) > HOPS:
            doubts += (("mime_limit", f"more than {HOPS} Received fields"),)
        fields: dict[str, object] = {
            "number": message.number,
            "transaction": transaction.number,
            "verb": message.verb,
            "envelope": envelope,
            "size": size,
            "subject": subject,
            "message_id": self._shown("message-id"),
            "from": self._shown("from"),
            "to": self._shown("to"),
            "date": self._shown("date"),
            "date_utc": utc(sent),
            "addresses": addresses,
            "in_reply_to": self._ids("in-reply-to"),
            "references": self._ids("references"),
            "hops": hops(self._received, sent) if self._received else [],
            "complete": complete,
        }
        if "from" in self._again:
            fields["candidates"] = {"from": [text(unfold(one[:TEXT])) for one in self._again["from"]]}
        return Finding("message", f"message {message.number}: “{subject}”, {size} octets{'' if complete else ', cut short'}",
                       fields), doubts

    def _shown(self, name: str) -> str:
        value = self._fields.get(name, "")
        if len(value) > TEXT or "\n" in value or value[-1:] == " ":
            value = unfold(value[:TEXT])
        return text(value)

    def _addresses(self) -> tuple[dict[str, list[Mailbox]], Doubts]:
        found: dict[str, list[Mailbox]] = {}
        doubts: Doubts = ()
        for name, key in _ADDRESSED:
            value = self._fields.get(name)
            if value:
                found[key], more = mailboxes(unfold(value))
                if more:
                    doubts = (("mime_limit", f"more than {ADDRESSES} addresses: {name}"),)
        return found, doubts

    def _ids(self, name: str) -> list[str]:
        value = self._fields.get(name)
        return [text(one) for one in _ID.findall(value[:VALUE])[:REFERENCES]] if value else []
