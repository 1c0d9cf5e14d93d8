"""The lines of POP3: its commands, what each may be followed by, and what a status line says.

RFC 1939 §9 and RFC 2449 §8 give the grammar; the exercise sheet's BNF (III.4) derives a subset, with one generosity: it lets
`STAT` be followed by a string, so that is no syntax error here.

Knows single lines.  Must not know the state of a session.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from inspector.pdu import FAILED, MORE, OK, Outcome
from inspector.protocols.foreign import speaks
from inspector.protocols.line import deviations, line_end, veil
from inspector.text import decode


class Command(NamedTuple):
    """An entry of the command table."""

    verb: str
    arguments: re.Pattern[bytes]
    """What may stand after the command word and its blank; matched whole."""
    reference: str
    multiline: bool = False
    """A successful reply has further lines, up to the dot (RFC 1939 §3): never by octet counts."""
    message: bool = False
    """Its multi-line reply is an RFC 5322 message."""
    synchronises: bool = False
    """What the client sends next can be read only when the reply is known."""
    secret: int | None = None
    """Which argument, counted from 0, begins the secret; it goes on to the end of the line."""
    credentials: bool = False
    """Tells who logs in."""


def _command(verb: str, arguments: bytes, reference: str, multiline: bool = False, *,
             message: bool = False, synchronises: bool = False, secret: int | None = None) -> Command:
    credentials = verb in ("USER", "PASS", "APOP", "AUTH")
    return Command(verb, re.compile(arguments, re.DOTALL), reference, multiline, message, synchronises, secret, credentials)


_NONE: Final = rb""
_NUMBER: Final = rb"\d{1,10}"
_OPTIONAL_NUMBER: Final = rb"(\d{1,10})?"

_COMMANDS: Final = (
    _command("USER", rb".+", "RFC 1939 §7"),
    _command("PASS", rb".+", "RFC 1939 §7", secret=0),
    _command("APOP", rb"\S+ \S+", "RFC 1939 §7", secret=1),
    _command("STAT", rb"([^ \t]+)?", "RFC 1939 §5"),
    _command("LIST", _OPTIONAL_NUMBER, "RFC 1939 §5", multiline=True),
    _command("RETR", _NUMBER, "RFC 1939 §5", multiline=True, message=True),
    _command("DELE", _NUMBER, "RFC 1939 §5"),
    _command("NOOP", _NONE, "RFC 1939 §5"),
    _command("RSET", _NONE, "RFC 1939 §5"),
    _command("QUIT", _NONE, "RFC 1939 §5"),
    _command("TOP", rb"\d{1,10} \d{1,10}", "RFC 1939 §7", multiline=True, message=True),
    _command("UIDL", _OPTIONAL_NUMBER, "RFC 1939 §7", multiline=True),
    _command("CAPA", _NONE, "RFC 2449 §5", multiline=True),
    _command("AUTH", rb"(\S+( \S+)?)?", "RFC 5034 §4", synchronises=True, secret=1),
    _command("STLS", _NONE, "RFC 2595 §4", synchronises=True),
    _command("UTF8", rb"(USER)?", "RFC 6856 §2"),
    _command("LANG", rb"(\S+)?", "RFC 6856 §3", multiline=True),
)

AUTH_LIST: Final = _command("AUTH LIST", _NONE, "RFC 1734 §2", multiline=True)
"""AUTH without a mechanism, by which old clients ask for the list of mechanisms."""

ONE_LINE: Final = {entry.verb: entry._replace(multiline=False) for entry in _COMMANDS if entry.verb in ("LIST", "UIDL", "LANG")}
"""Commands which with an argument have a reply of one line."""

COMMANDS: Final[dict[bytes, Command]] = {spelling: entry for entry in _COMMANDS
                   for spelling in (entry.verb.encode(), entry.verb.lower().encode())}
"""By command word, in capitals and in small letters; other mixtures are looked up by `find`."""

UNKNOWN: Final = _command("", rb".*", "RFC 1939 §3")
"""What stands for a command that no standard defines."""

_GLUED: Final = re.compile(rb"(USER|PASS|RETR|DELE)(?=[^ A-Za-z]|[a-z])", re.IGNORECASE)
"""The sheet's BNF writes no blank between a command and its argument: `RETR1` is what it derives."""


def find(word: bytes) -> Command | None:
    """The entry of a command word in any mixture of capitals and small letters."""
    return COMMANDS.get(word) or COMMANDS.get(word.upper())


class CommandLine(NamedTuple):
    """What a client's line says by itself, whatever the state of the session."""

    command: Command
    argument: bytes
    secret: tuple[int, int] | None
    """Where the secret stands in the line."""
    covered: bytes | None
    """The line with its secret covered, as a capture has it."""
    found: tuple[tuple[str, str], ...]
    """What is wrong with it: names of anomalies with their details."""
    text: str = ""
    """For people; of remembered lines only."""


class ReplyLine(NamedTuple):
    """What a server's line says by itself."""

    status: str
    """`+OK`, `-ERR`, `+`, or empty for a line that has no status indicator."""
    outcome: Outcome | None
    found: tuple[tuple[str, str], ...]
    text: str = ""


TAINTED: Final = CommandLine(UNKNOWN, b"", None, None, (("unknown_command", ""),))
"""What stands for a line that may be a secret sent too early: it is not read."""
COMMAND_LINE: Final = 255
"""Octets of a command line (RFC 2449 §4)."""
SASL_LINE: Final = 12_288
"""Octets of a line that carries a SASL response (RFC 4954 §4.4, for want of one in RFC 5034)."""
REPLY_LINE: Final = 512
"""Octets of a status line (RFC 1939 §3)."""

REMEMBERED: Final = 64
"""Octets of the longest line whose reading is remembered; most lines of most sessions are `NOOP`, `+OK` and the like."""
READINGS: Final = 2_048
"""Readings remembered, of each direction.  Lines with secrets never are."""

KNOWN_COMMANDS: Final[dict[bytes, CommandLine]] = {}
"""What `command_line` remembers: looked into before it is called."""
KNOWN_REPLIES: Final[dict[bytes, ReplyLine]] = {}
"""What `reply_line` remembers."""


def command_line(line: bytes, size: int) -> CommandLine:
    """Reads a client's line; `size` is larger than the line when only its head was kept."""
    reading = KNOWN_COMMANDS.get(line)
    if reading is None:
        reading = _read_command(line, size)
        if size <= REMEMBERED and reading.secret is None and len(KNOWN_COMMANDS) < READINGS:
            reading = KNOWN_COMMANDS[line] = reading._replace(text=decode(line[:line_end(line)]))
    return reading


def _read_command(line: bytes, size: int) -> CommandLine:
    """Reads the line as it is shown: a capture, in which it is masked, tells the same."""
    secret = covered = None
    if (found_secret := veil(line)) is not None:
        secret, line = (found_secret.first, line_end(line)), found_secret.line
        covered = line
    content = line[:line_end(line)] if line[-1:] == b"\n" else line
    word, _, argument = content.partition(b" ")
    found: list[tuple[str, str]] = []
    command = COMMANDS.get(word)
    if command is None:
        command, word, argument = _uncommon(content, found)
    if command.verb == "AUTH" and not argument:
        command = AUTH_LIST
    if command.multiline and argument.strip():
        command = ONE_LINE.get(command.verb, command)
    if command.arguments.fullmatch(argument) is None:
        found.append(("syntax_error", f"{command.verb} with these arguments"))
    found += deviations(line, size, SASL_LINE if command.verb == "AUTH" else COMMAND_LINE)
    return CommandLine(command, argument, secret, covered, tuple(found))


def _uncommon(content: bytes, found: list[tuple[str, str]]) -> tuple[Command, bytes, bytes]:
    """A word that is not in the table as it stands: odd capitals, odd blanks, or unknown."""
    stripped = content.strip(b" \t")
    word = stripped.split(b" ", 1)[0].split(b"\t", 1)[0]
    if command := COMMANDS.get(word.upper()):
        if stripped != content or stripped[len(word):len(word) + 1] == b"\t":
            found.append(("syntax_error", "blanks where none may stand"))
        return command, word, stripped[len(word) + 1:]
    if _GLUED.match(stripped):
        found.append(("syntax_error", "no blank after the command"))
        return COMMANDS[stripped[:4].upper()], stripped[:4], stripped[4:]
    if other := speaks(content):
        found.append(("cross_protocol", f"this is {other}"))
    found.append(("unknown_command", "" if word else "an empty line, which some servers pass over"))
    return UNKNOWN, word, b""


def reply_line(line: bytes, size: int) -> ReplyLine:
    """Reads a server's line."""
    reading = KNOWN_REPLIES.get(line)
    if reading is None:
        found = deviations(line, size, REPLY_LINE)
        if size == len(line) and line[-1:] != b"\n":
            found.append(("syntax_error", "the reply has no end of line"))
        reading = ReplyLine(*status(line), tuple(found))
        if size <= REMEMBERED and len(KNOWN_REPLIES) < READINGS:
            reading = KNOWN_REPLIES[line] = reading._replace(text=decode(line[:line_end(line)]))
    return reading


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
