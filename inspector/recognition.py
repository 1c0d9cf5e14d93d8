"""Which protocol a flow speaks, by what its two sides say first; the port is a hint that they can refute.

Rules.  Nothing is guessed while the next octets can still tell.  A flow that is not mail is told from one that is not read: web
servers, key-value stores and TLS are left alone.  Live, where nothing may wait for that, a server's first line and a client's
commands decide.

Knows first words.  Must not know sessions, files or how a flow is shown.
"""

from __future__ import annotations

import re
from typing import Final

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
_POP3: Final = re.compile(rb"(?:CAPA|STLS|UIDL(?: \d+)?|STAT|APOP \S+ [0-9a-f*]{32}|TOP \d+ \d+|RETR \d+|DELE \d+)\r?\n",
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


# Where nothing may wait: the words of one side alone

SMTP_FAMILY: Final = ("smtp", "lmtp")
"""They greet alike."""
_GREETS_SMTP: Final = re.compile(rb"(?:220|421|554)(?:[ -]|\r?\n)")
_GREETINGS: Final = (b"220", b"421", b"554", b"+OK", b"-ERR", b"* OK", b"* PREAUTH", b"* BYE")
_LAST: Final = re.compile(rb"^\d\d\d(?!-)[^\n]*\n", re.MULTILINE)
"""The last line of a reply of several."""
_FTP: Final = re.compile(rb"(?:USER|PASS|ACCT|FEAT|SYST|OPTS|CLNT|HOST|AUTH (?:TLS|SSL))(?: |\r?\n)", re.IGNORECASE)
"""What a client of FTP (RFC 959, 2228, 2389, 7151) says first, and none of SMTP."""
_VERBS: Final = (
    b"EHLO", b"HELO", b"LHLO", b"MAIL", b"RCPT", b"DATA", b"BDAT", b"STARTTLS", b"XCLIENT", b"XFORWARD", b"VRFY", b"EXPN",
    b"ETRN",
    b"SEND", b"SOML", b"SAML", b"TURN", b"AUTH", b"RSET", b"HELP", b"NOOP", b"QUIT", b"CAPA", b"STLS", b"UIDL", b"STAT", b"APOP",
    b"TOP", b"RETR", b"DELE", b"USER", b"PASS", b"LIST", b"UTF8", b"LANG")
_BEFORE: Final = bytes(range(33))
"""Octets before a verb that some servers pass over."""


def first_line(octets: bytes, plugins: tuple[bytes, ...] = ()) -> bytes:
    """What a server's first octets tell by: its first line, of a reply of several all (RFC 5321 §4.2.1), or all octets where they
    begin no greeting, `plugins` with those of other protocols; nothing while the line goes on."""
    end = octets.find(b"\n") + 1
    if end and octets[3:4] == b"-" and octets[:3].isdigit():
        last = _LAST.search(octets, end)
        end = last.end() if last is not None else 0
    if end:
        return octets[:end]
    begins = any(octets.startswith(word) or word.startswith(octets) for word in (*_GREETINGS, *plugins))
    return b"" if begins and len(octets) < LOOKED_AT else octets[:LOOKED_AT]


def greeted(line: bytes) -> str:
    """Whose greeting a server's first line is: a protocol, or `NOT_MAIL`."""
    if _GREETS_POP3.match(line):
        return "pop3"
    if _GREETS_IMAP.match(line):
        return "imap"
    if not _GREETS_SMTP.match(line):
        return NOT_MAIL
    return "lmtp" if _NAMES_LMTP.search(line) else "smtp"


def commanded(octets: bytes) -> str:
    """The protocol to which the first command of a client belongs that only one has; empty where there is none."""
    for line in octets[:octets.rfind(b"\n") + 1].splitlines(keepends=True):
        command = line.lstrip(_BEFORE)
        for pattern, name in _BY_CLIENT[:3]:
            if pattern.match(command):
                return name
    return ""


def may_command(octets: bytes) -> bool:
    """Whether the beginning of a client's line may become a command of mail."""
    word = octets.lstrip(_BEFORE)[:16].upper()
    return any(word.startswith(verb) or verb.startswith(word) for verb in _VERBS)


def blank(octets: bytes) -> bool:
    """Whether there is nothing in a line but what some servers pass over."""
    return not octets.lstrip(_BEFORE)


def speaks_ftp(greeting: bytes, octets: bytes) -> bool:
    """Whether the client's first line refutes that a server's `220` was SMTP's."""
    return not _NAMES_SMTP.search(greeting) and bool(_FTP.match(octets))
