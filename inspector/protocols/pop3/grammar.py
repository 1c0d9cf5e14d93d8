"""The lines of POP3: its commands, what each may be followed by, and what a status line says.

RFC 1939 §9 and RFC 2449 §8 give the grammar; the exercise sheet's BNF (III.4) derives a subset, with one generosity: it lets
`STAT` be followed by a string, so that is no syntax error here.

Knows single lines.  Must not know the state of a session.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final, NamedTuple

from inspector.pdu import FAILED, MORE, OK, Outcome


class Multiline(Enum):
    """When a successful reply to a command has further lines, up to the dot (RFC 1939 §3): never by octet counts."""

    NEVER = auto()
    ALWAYS = auto()
    WITHOUT_ARGUMENT = auto()


class Command(NamedTuple):
    """An entry of the command table."""

    verb: str
    arguments: re.Pattern[bytes]
    """What may stand after the command word and its blank; matched whole."""
    reference: str
    multiline: Multiline = Multiline.NEVER
    message: bool = False
    """Its multi-line reply is an RFC 5322 message."""
    synchronises: bool = False
    """What the client sends next can be read only when the reply is known."""
    secret: int | None = None
    """Which argument, counted from 0, begins the secret; it goes on to the end of the line."""


def _command(verb: str, arguments: bytes, reference: str, multiline: Multiline = Multiline.NEVER, *,
             message: bool = False, synchronises: bool = False, secret: int | None = None) -> Command:
    return Command(verb, re.compile(arguments, re.DOTALL), reference, multiline, message, synchronises, secret)


_NONE: Final = rb""
_NUMBER: Final = rb"\d{1,10}"
_OPTIONAL_NUMBER: Final = rb"(\d{1,10})?"

_COMMANDS: Final = (
    _command("USER", rb".+", "RFC 1939 §7"),
    _command("PASS", rb".+", "RFC 1939 §7", secret=0),
    _command("APOP", rb"\S+ [0-9a-fA-F]{32}", "RFC 1939 §7", secret=1),
    _command("STAT", rb"([^ \t]+)?", "RFC 1939 §5"),
    _command("LIST", _OPTIONAL_NUMBER, "RFC 1939 §5", Multiline.WITHOUT_ARGUMENT),
    _command("RETR", _NUMBER, "RFC 1939 §5", Multiline.ALWAYS, message=True),
    _command("DELE", _NUMBER, "RFC 1939 §5"),
    _command("NOOP", _NONE, "RFC 1939 §5"),
    _command("RSET", _NONE, "RFC 1939 §5"),
    _command("QUIT", _NONE, "RFC 1939 §5"),
    _command("TOP", rb"\d{1,10} \d{1,10}", "RFC 1939 §7", Multiline.ALWAYS, message=True),
    _command("UIDL", _OPTIONAL_NUMBER, "RFC 1939 §7", Multiline.WITHOUT_ARGUMENT),
    _command("CAPA", _NONE, "RFC 2449 §5", Multiline.ALWAYS),
    _command("AUTH", rb"(\S+( \S+)?)?", "RFC 5034 §4", synchronises=True, secret=1),
    _command("STLS", _NONE, "RFC 2595 §4", synchronises=True),
    _command("UTF8", rb"(USER)?", "RFC 6856 §2"),
    _command("LANG", rb"(\S+)?", "RFC 6856 §3", Multiline.WITHOUT_ARGUMENT),
)

AUTH_LIST: Final = _command("AUTH LIST", _NONE, "RFC 1734 §2", Multiline.ALWAYS)
"""AUTH without a mechanism, by which old clients ask for the list of mechanisms."""

COMMANDS: Final = {spelling: entry for entry in _COMMANDS
                   for spelling in (entry.verb.encode(), entry.verb.lower().encode())}
"""By command word, in capitals and in small letters; other mixtures are looked up by `find`."""

UNKNOWN: Final = _command("", rb".*", "RFC 1939 §3")
"""What stands for a command that no standard defines."""

_GLUED: Final = re.compile(rb"(USER|PASS|RETR|DELE)(?=[^ A-Za-z]|[a-z])", re.IGNORECASE)
"""The sheet's BNF writes no blank between a command and its argument: `RETR1` is what it derives."""


def find(word: bytes) -> Command | None:
    """The entry of a command word in any mixture of capitals and small letters."""
    return COMMANDS.get(word) or COMMANDS.get(word.upper())


def split_glued(content: bytes) -> tuple[bytes, bytes] | None:
    """The command word and the argument of a line that has no blank between them, or None."""
    match = _GLUED.match(content)
    return (content[:4], content[4:]) if match else None


SECRET_WORDS: Final = (b"PASS", b"APOP", b"AUTH")


def status(line: bytes) -> tuple[str, Outcome | None]:
    """The status indicator of a reply line and what it means; (``""``, None) for a line that has none."""
    if line.startswith(b"+OK"):
        return "+OK", OK
    if line.startswith(b"-ERR"):
        return "-ERR", FAILED
    if line[:2] == b"+ " or line in (b"+\r\n", b"+\n"):
        return "+", MORE
    head = line[:4].upper()
    if head[:3] == b"+OK":
        return "+OK", OK
    return ("-ERR", FAILED) if head == b"-ERR" else ("", None)


CLEARTEXT_MECHANISMS: Final = frozenset({b"PLAIN", b"LOGIN", b"XOAUTH2", b"OAUTHBEARER", b"XOAUTH"})
"""SASL mechanisms whose responses hold the secret itself (RFC 4616, RFC 7628)."""
