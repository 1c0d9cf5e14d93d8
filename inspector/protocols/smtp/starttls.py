"""STARTTLS in SMTP and LMTP (RFC 3207): the words, and the reply to EHLO.

Knows replies of several lines.  Must not know sessions.
"""

from __future__ import annotations

from typing import Final

from inspector.pdu import Kind
from inspector.starttls import StartTls

WORD: Final = b"STARTTLS"


def last(line: bytes) -> bool:
    """Whether a line ends its reply (RFC 5321 §4.2.1)."""
    return line[3:4] != b"-"


def capabilities(reply: bytes) -> list[str]:
    """The keywords of a reply to EHLO (RFC 5321 §4.1.1.1); its first line is the server's name."""
    words = (line[4:].split(maxsplit=1)[:1] for line in reply.splitlines()[1:])
    return [word[0].decode("ascii", "replace").upper() for word in words if word]


def edited(reply: bytes, offered: bool) -> bytes:
    """The reply to EHLO with STARTTLS, or without."""
    lines = reply.splitlines(keepends=True)
    kept = [line for line in lines[1:] if line[4:].strip().upper() != WORD]
    if offered:
        if len(kept) < len(lines) - 1:
            return reply
        kept.insert(0, lines[0][:3] + b" " + WORD + b"\r\n")
    whole = [lines[0], *kept]
    return b"".join(line[:3] + (b" " if number == len(whole) else b"-") + line[4:] for number, line in enumerate(whole, 1))


def _made(hello: bytes) -> StartTls:
    return StartTls("STARTTLS", frozenset({"EHLO", "LHLO"}), Kind.REPLY, b"220 2.0.0 Ready to start TLS\r\n",
                    b"454 4.7.0 TLS not available\r\n", b"2", b"220", hello + b" [127.0.0.1]\r\n", last, capabilities, edited)


SMTP: Final = _made(b"EHLO")
LMTP: Final = _made(b"LHLO")
