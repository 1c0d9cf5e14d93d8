"""Telling that somebody speaks another protocol: HTTP, SSH, TLS, or a mail protocol on the wrong port.

Knows a few first words.  Must not know the protocol that was expected.
"""

from __future__ import annotations

from typing import Final

_HTTP: Final = frozenset({b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"CONNECT", b"PATCH", b"TRACE", b"PRI"})
_SMTP: Final = frozenset({b"EHLO", b"HELO", b"LHLO", b"MAIL", b"RCPT", b"STARTTLS"})
_POP3: Final = frozenset({b"USER", b"PASS", b"APOP", b"STAT", b"RETR", b"UIDL", b"CAPA", b"STLS"})
_IMAP: Final = frozenset({b"LOGIN", b"CAPABILITY", b"SELECT", b"AUTHENTICATE", b"LOGOUT"})


def speaks(line: bytes) -> str:
    """The protocol that the line of a client belongs to: `HTTP`, `SSH`, `SMTP`, `POP3`, `IMAP`; or an empty string."""
    words = line[:64].upper().split()
    if not words:
        return ""
    first = words[0]
    if first in _HTTP and len(words) > 1:
        return "HTTP"
    if first.startswith(b"SSH-"):
        return "SSH"
    if first in _SMTP:
        return "SMTP"
    if first in _POP3:
        return "POP3"
    return "IMAP" if len(words) > 1 and words[1] in _IMAP else ""
