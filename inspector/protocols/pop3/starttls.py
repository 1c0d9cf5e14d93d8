"""STLS in POP3 (RFC 2595 §4): the words, and the answer to CAPA.

Knows the form of listings.  Must not know sessions.
"""

from __future__ import annotations

from typing import Final

from inspector.pdu import Kind
from inspector.starttls import StartTls

WORD: Final = b"STLS"


def capabilities(listing: bytes) -> list[str]:
    """The tags of a capability list (RFC 2449 §5)."""
    words = (line.split(maxsplit=1)[:1] for line in listing.splitlines())
    return [word[0].decode("ascii", "replace").upper() for word in words if word and word[0] != b"."]


def edited(listing: bytes, offered: bool) -> bytes:
    """The list with STLS, or without."""
    lines = listing.splitlines(keepends=True)
    kept = [line for line in lines if line.strip().upper() != WORD]
    if offered:
        return listing if len(kept) < len(lines) else WORD + b"\r\n" + listing
    return b"".join(kept)


STLS: Final = StartTls("STLS", frozenset({"CAPA"}), Kind.BODY, b"+OK Begin TLS negotiation\r\n",
                       b"-ERR [SYS/TEMP] TLS not available\r\n", b"+OK", b"+OK", capabilities=capabilities, edited=edited)
