"""Which protocol a flow speaks, by what its two sides say first; the port is a hint that they can refute.

Rules.  Nothing is guessed while the next octets can still tell.  A flow that is not mail is told from one that is not read: web
servers, key-value stores and TLS are left alone.  What wraps a session (SOCKS, CONNECT, the PROXY protocol) is passed over.

Knows first words.  Must not know sessions, files or how a flow is shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from struct import Struct
from typing import Final, NamedTuple

NOT_MAIL: Final = "-"
"""The answer for a flow that speaks something else."""
TLS: Final = "TLS"

TLS_PORTS: Final = {465: "smtps", 993: "imaps", 995: "pop3s"}
"""Ports on which TLS begins at once (RFC 8314 §3)."""
CLEAR_PORTS: Final = {143: "imap"}
"""Mail ports whose protocol has no session here."""

LOOKED_AT: Final = 1_024
"""Octets of each direction that tell."""
FIRST_WORD: Final = 12
"""Octets in which each greeting that is known can be told from others."""

_RECORD: Final = re.compile(rb"[\x14-\x17]\x03[\x00-\x04]")
_RESP: Final = re.compile(rb"\*\d{1,9}\r\n|\$\d{1,9}\r\n|(?:PING|INFO|SELECT \d+|GET \S+|SET \S+ .*)\r?\n", re.IGNORECASE)
"""Redis: arrays of the RESP protocol, and its commands in a line."""
_RESP_MORE: Final = re.compile(rb"\+OK\r\n(?:[*$:]-?\d|\+OK\r\n|\+PONG)")
"""How Redis answers where POP3 would not."""
_HTTP: Final = re.compile(rb"[A-Z]{3,10} \S+ HTTP/\d")
_WEB: Final = re.compile(rb"HTTP/\d\.\d \d\d\d")
_SSH: Final = re.compile(rb"SSH-\d")
_BINARY: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")

_SMTP: Final = re.compile(rb"(?:EHLO|HELO)(?: |\r?\n)|(?:MAIL FROM|RCPT TO):|STARTTLS\r?\n|(?:XCLIENT|XFORWARD|BDAT|VRFY|ETRN) ",
                          re.IGNORECASE)
_LMTP: Final = re.compile(rb"LHLO(?: |\r?\n)", re.IGNORECASE)
_POP3: Final = re.compile(rb"(?:CAPA|STLS|UIDL(?: \d+)?|STAT|APOP \S+ [0-9a-f]{32}|TOP \d+ \d+|RETR \d+|DELE \d+)\r?\n",
                          re.IGNORECASE)
_POP3_LOGIN: Final = re.compile(rb"(?:USER|AUTH|APOP|QUIT|PASS|NOOP|LIST)(?: |\r?\n)", re.IGNORECASE)
"""Commands that others have too."""
_IMAP: Final = re.compile(
    rb"[A-Za-z0-9.]+ (?:(?:LOGIN|SELECT|AUTHENTICATE|ID|EXAMINE|UID|LIST) |(?:CAPABILITY|STARTTLS|NOOP)\r?\n)", re.IGNORECASE)
_COMMON: Final = re.compile(rb"(?:AUTH|DATA|QUIT|NOOP|RSET|HELP|EXPN)(?: |\r?\n)", re.IGNORECASE)
"""Commands of SMTP that others have too."""

_GREETS_POP3: Final = re.compile(rb"(?:\+OK|-ERR)(?: |\r?\n)")
_GREETS_IMAP: Final = re.compile(rb"\* (?:OK|PREAUTH|BYE)[ \r\n]")
_REPLIES: Final = re.compile(rb"[2-5]\d\d(?:[ -]|\r?\n)")
_ENHANCED: Final = re.compile(rb"[245]\d\d[ -][245]\.\d{1,3}\.\d{1,3} ")
_NAMES_SMTP: Final = re.compile(rb"\bE?SMTP\b", re.IGNORECASE)
_NAMES_LMTP: Final = re.compile(rb"\bLMTP\b", re.IGNORECASE)


def recognised(client: bytes, server: bytes, hint: str, over: bool) -> str:
    """The protocol by what each side has said so far: its name, `NOT_MAIL`, or an empty string while that may change.

    `hint` is what the server's port says, or empty; `over`: nothing more will come.
    """
    client, server = client[:LOOKED_AT], server[:LOOKED_AT]
    over = over or len(client) == LOOKED_AT or len(server) == LOOKED_AT
    if foreign(client, server):
        return NOT_MAIL
    told = (_by_server(client, server, hint, over) if server else "") or (_by_client(client, hint, over) if client else "")
    if told or not over:
        return told
    return hint if hint and not _BINARY.search(client + server) else NOT_MAIL


def foreign(client: bytes, server: bytes) -> str:
    """What else the two speak: `TLS`, `HTTP`, `SSH`, `Redis`; or an empty string."""
    if _RECORD.match(client) or _RECORD.match(server):
        return TLS
    if _HTTP.match(client) or _WEB.match(server):
        return "HTTP"
    if _SSH.match(client) or _SSH.match(server):
        return "SSH"
    return "Redis" if _RESP.match(client) or _RESP_MORE.match(server) else ""


def _by_server(client: bytes, server: bytes, hint: str, over: bool) -> str:
    if _GREETS_POP3.match(server):
        if hint == "pop3" or server[3:4] == b" " or _POP3.match(client) or _POP3_LOGIN.match(client):
            return "pop3"
        return "pop3" if over and not client else ""
    if _GREETS_IMAP.match(server):
        return "imap"
    if not _REPLIES.match(server):
        return "" if len(server) < FIRST_WORD and b"\n" not in server and not over else _unlike(server, hint, over)
    if hint in ("smtp", "lmtp") or _ENHANCED.match(server):
        return hint or "smtp"
    return _by_reply(client, server, over)


def _by_reply(client: bytes, server: bytes, over: bool) -> str:
    """A reply with three digits may be of FTP or NNTP: what it says, or what the client says, decides."""
    named = "lmtp" if _NAMES_LMTP.search(server) else "smtp" if _NAMES_SMTP.search(server) else ""
    if _LMTP.match(client):
        return "lmtp"
    if _SMTP.match(client) or (named and b"\n" in client):
        return named or "smtp"
    if b"\n" in client and not _COMMON.match(client):
        return NOT_MAIL
    return named if over else ""


def _by_client(client: bytes, hint: str, over: bool) -> str:
    for pattern, name in _BY_CLIENT:
        if pattern.match(client):
            return name
    if b"\n" not in client and not over:
        return ""
    if hint:
        return "" if _BINARY.search(client) else hint
    return "" if _POP3_LOGIN.match(client) or _COMMON.match(client) else NOT_MAIL


_BY_CLIENT: Final = ((_SMTP, "smtp"), (_LMTP, "lmtp"), (_POP3, "pop3"), (_IMAP, "imap"))


def _unlike(server: bytes, hint: str, over: bool) -> str:
    """The server says what no mail server says first; it may be in the middle of something."""
    if hint:
        return hint if (b"\n" in server or over) and not _BINARY.search(server) else ""
    return NOT_MAIL


# What wraps a session


class Wrapping(NamedTuple):
    """What stands before a session in both directions."""

    client: int
    """Octets of it from the client."""
    server: int
    port: int
    """Of the server behind it; 0 where that is not told."""
    name: str
    """What it is, for people."""
    secret: tuple[int, int] | None = None
    """Where a password stands in the client's octets."""


Unwrap = Callable[[bytes, bytes], Wrapping | bool | None]
"""From what each side has said: what wraps the session, True while that is to come, None where it is something else."""

_PORT: Final = Struct(">H")
_CONNECT: Final = re.compile(rb"CONNECT (\S+?)(?::(\d{1,5}))? HTTP/1\.\d\r\n")
_CONNECTED: Final = re.compile(rb"HTTP/1\.\d 2\d\d[ \r]")
_PROXY: Final = re.compile(rb"PROXY (?:UNKNOWN[^\r\n]{0,90}|TCP[46] \S+ \S+ \d+ (\d+))\r\n")
_PROXY2: Final = b"\r\n\r\n\0\r\nQUIT\n"
_ADDRESS_SIZES: Final = {1: 4, 4: 16}


def unwrapped(client: bytes, server: bytes) -> Wrapping | bool | None:
    """What wraps the session, by the table of those that are known."""
    for first, unwrap in _WRAPPINGS:
        if client.startswith(first):
            return unwrap(client, server)
    return (bool(client) and any(first.startswith(client) for first, _ in _WRAPPINGS)) or None


def _socks5(client: bytes, server: bytes) -> Wrapping | bool | None:
    """RFC 1928; with a name and a password, RFC 1929."""
    if len(client) < 2 or not server:
        return len(client) < 2 or len(client) <= 2 + client[1]
    if server[0] != 5 or client[1] == 0:
        return None
    at, back, secret = 2 + client[1], 2, None
    if len(server) < 2:
        return True
    if server[1] == 2:
        if len(client) < at + 2 or len(client) < at + 3 + client[at + 1]:
            return True
        password = at + 2 + client[at + 1]
        secret = (password + 1, password + 1 + client[password])
        at, back = secret[1], 4
    elif server[1]:
        return None
    asked, answered = _socks5_end(client, at), _socks5_end(server, back)
    if not asked or not answered or (answered > 0 and server[back + 1]):
        return None
    if asked < 0 or answered < 0 or len(client) < asked or len(server) < answered:
        return True
    return Wrapping(asked, answered, _PORT.unpack_from(client, asked - 2)[0], "SOCKS5", secret)


def _socks5_end(octets: bytes, at: int) -> int:
    """Where a request or its answer ends; -1 while that is not known, 0 where it is neither."""
    if len(octets) < at + 5:
        return -1
    kind = octets[at + 3]
    if octets[at] != 5 or kind not in (1, 3, 4):
        return 0
    return at + 6 + (1 + octets[at + 4] if kind == 3 else _ADDRESS_SIZES[kind])


def _socks4(client: bytes, server: bytes) -> Wrapping | bool | None:
    end = client.find(b"\0", 8) + 1
    if end and client[4:7] == b"\0\0\0" and client[7]:
        end = client.find(b"\0", end) + 1
    if not end or len(server) < 8:
        return len(client) < 520
    return Wrapping(end, 8, _PORT.unpack_from(client, 2)[0], "SOCKS4") if server[:2] == b"\0\x5a" else None


def _connect(client: bytes, server: bytes) -> Wrapping | bool | None:
    """RFC 9110 §9.3.6."""
    end, back = client.find(b"\r\n\r\n") + 4, server.find(b"\r\n\r\n") + 4
    match = _CONNECT.match(client)
    if end < 4 or back < 4:
        return match is not None or b"\r\n" not in client
    if match is None or not _CONNECTED.match(server):
        return None
    return Wrapping(end, back, int(match[2] or 0) & 0xFFFF, "CONNECT")


def _proxy(client: bytes, server: bytes) -> Wrapping | bool | None:
    """The PROXY protocol of haproxy.org, version 1."""
    match = _PROXY.match(client)
    if match is None:
        return b"\n" not in client and len(client) < 108
    return Wrapping(match.end(), 0, 0, "PROXY")


def _proxy2(client: bytes, server: bytes) -> Wrapping | bool | None:
    if len(client) < 16:
        return True
    end = 16 + int(_PORT.unpack_from(client, 14)[0])
    return Wrapping(end, 0, 0, "PROXY") if len(client) >= end else True


_WRAPPINGS: Final[tuple[tuple[bytes, Unwrap], ...]] = (
    (b"\x05", _socks5), (b"\x04\x01", _socks4), (b"CONNECT ", _connect), (b"PROXY ", _proxy), (_PROXY2, _proxy2),
)
"""How the client begins → what reads it."""
