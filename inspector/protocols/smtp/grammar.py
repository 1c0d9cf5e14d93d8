"""The lines of SMTP and LMTP: commands, paths, ESMTP parameters, reply codes.

Sources: RFC 5321 §4.1.2 and §4.2, with 2033, 2034, 1985, 2920, 3030, 3207, 3461, 4954, 6152, 6531 and Postfix's XCLIENT.

Knows single lines.  Must not know the state of a session.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from inspector.pdu import FAILED, MORE, NOTHING, OK, Outcome
from inspector.protocols.foreign import speaks
from inspector.protocols.line import agreed, deviations, line_end, veil
from inspector.text import decode


class Command(NamedTuple):
    """An entry of the command table."""

    verb: str
    arguments: re.Pattern[bytes]
    """What may stand after the command word; matched whole."""
    reference: str
    line: int = 512
    """Octets of its longest line (RFC 5321 §4.5.3.1.4 and what extensions add)."""
    synchronises: bool = False
    """What the client sends next can be read only when the reply is known."""
    resets: bool = False
    """When it is accepted, the transaction in hand is over (RFC 5321 §4.1.1.1, §4.1.1.5; RFC 3207 §4.2)."""


_PATH: Final = rb"<(?:\"(?:\\.|[^\"\\])*\"|[^\">])*>"
_PARAMETERS: Final = rb"(?: +[A-Za-z0-9*][A-Za-z0-9*-]*(?:=[^ =]+(?:=[^ ]*)?)?)*"
"""Those that nobody knows are covered by stars, their names too."""
MAX_CHUNK: Final = 2**63
"""Octets that a BDAT may announce; more is no number that any server takes (RFC 3030 §2 sets no bound)."""


def _command(verb: str, arguments: bytes, reference: str, line: int = 512, *, synchronises: bool = False,
             resets: bool = False) -> Command:
    return Command(verb, re.compile(arguments, re.DOTALL | re.IGNORECASE), reference, line, synchronises, resets)


_COMMANDS: Final = (
    _command("EHLO", rb"\S+( .*)?", "RFC 5321 §4.1.1.1", resets=True),
    _command("HELO", rb"\S+( .*)?", "RFC 5321 §4.1.1.1", resets=True),
    _command("LHLO", rb"\S+( .*)?", "RFC 2033 §4.1", resets=True),
    _command("MAIL", rb"FROM:" + _PATH + _PARAMETERS, "RFC 5321 §4.1.1.2", 2_048),
    _command("RCPT", rb"TO:" + _PATH + _PARAMETERS, "RFC 5321 §4.1.1.3", 2_048),
    _command("DATA", rb"", "RFC 5321 §4.1.1.4", synchronises=True),
    _command("BDAT", rb"\d+( +LAST)?", "RFC 3030 §2"),
    _command("RSET", rb"", "RFC 5321 §4.1.1.5", resets=True),
    _command("VRFY", rb".+", "RFC 5321 §4.1.1.6"),
    _command("EXPN", rb".+", "RFC 5321 §4.1.1.7"),
    _command("HELP", rb".*", "RFC 5321 §4.1.1.8"),
    _command("NOOP", rb".*", "RFC 5321 §4.1.1.9"),
    _command("QUIT", rb"", "RFC 5321 §4.1.1.10"),
    _command("STARTTLS", rb"", "RFC 3207 §4", synchronises=True, resets=True),
    _command("AUTH", rb"\S+( \S+)?", "RFC 4954 §4", 12_288, synchronises=True),
    _command("ETRN", rb".+", "RFC 1985 §5"),
    _command("ATRN", rb".*", "RFC 2645 §5"),
    _command("TURN", rb"", "RFC 821 §3.8"),
    _command("SEND", rb"FROM:.*", "RFC 821 §3.4"),
    _command("SOML", rb"FROM:.*", "RFC 821 §3.4"),
    _command("SAML", rb"FROM:.*", "RFC 821 §3.4"),
    _command("XCLIENT", rb".+", "Postfix XCLIENT"),
    _command("XFORWARD", rb".+", "Postfix XFORWARD"),
)

COMMANDS: Final[dict[bytes, Command]] = {spelling: entry for entry in _COMMANDS
                   for spelling in (entry.verb.encode(), entry.verb.lower().encode())}
"""By command word, in capitals and in small letters; other mixtures are looked up by `find`."""

UNKNOWN: Final = _command("", rb".*", "RFC 5321 §4.2.4")
"""What stands for a command that no standard defines."""

BDAT_CHUNK: Final = COMMANDS[b"BDAT"]
BDAT_LAST: Final = BDAT_CHUNK._replace(verb="BDAT LAST")
END_OF_DATA: Final = _command("END OF DATA", rb"", "RFC 5321 §4.1.1.4")

CLEARTEXT_MECHANISMS: Final = frozenset({b"PLAIN", b"LOGIN", b"XOAUTH2", b"OAUTHBEARER", b"XOAUTH"})
"""SASL mechanisms whose responses hold the secret itself (RFC 4616, RFC 7628)."""


def find(word: bytes) -> Command | None:
    """The entry of a command word in any mixture of capitals and small letters."""
    return COMMANDS.get(word) or COMMANDS.get(word.upper())


_LENIENT_PATH: Final = re.compile(rb"\s*(?:FROM|TO)\s*:\s*(" + _PATH + rb"|[^ \t]*)(.*)", re.IGNORECASE | re.DOTALL)


class Path(NamedTuple):
    """The argument of MAIL or RCPT."""

    address: str
    """Without its angle brackets; a source route, if any, is kept (RFC 5321 appendix C)."""
    parameters: Mapping[str, str]
    """Names in capitals (RFC 5321 §4.1.1.11); a parameter without a value has an empty one."""


PARAMETERS_KEPT: Final = 32
"""ESMTP parameters of one command that are kept; all those registered together are fewer."""


def path(argument: bytes) -> Path:
    """Reads the argument of MAIL or RCPT, generously: brackets may be missing and blanks too many."""
    match = _LENIENT_PATH.fullmatch(argument)
    if match is None:
        return Path(argument.decode("utf-8", "backslashreplace"), NOTHING)
    address = match[1]
    if address[:1] == b"<":
        address = address[1:].removesuffix(b">")
    return Path(address.decode("utf-8", "backslashreplace"), parameters(match[2]) if match[2] else NOTHING)


def parameters(text: bytes) -> dict[str, str]:
    """ESMTP parameters: `SIZE=1000 BODY=8BITMIME` (RFC 5321 §4.1.2); what is covered is none."""
    found: dict[str, str] = {}
    for word in text.split()[:PARAMETERS_KEPT]:
        name, _, value = word.partition(b"=")
        if b"*" in name:
            break
        found[name.decode("ascii", "backslashreplace").upper()] = value.decode("utf-8", "backslashreplace")
    return found


def chunk(argument: bytes) -> tuple[int, bool] | None:
    """The octets that a BDAT announces and whether it is the last; None when it announces nothing that can be read."""
    if BDAT_CHUNK.arguments.fullmatch(argument) is None:
        return None
    digits, _, last = argument.partition(b" ")
    if len(digits) > 20 or int(digits) >= MAX_CHUNK:
        return None
    return int(digits), bool(last.strip())


_OUTCOMES: Final = {0x32: OK, 0x33: MORE, 0x34: FAILED, 0x35: FAILED}


def outcome(line: bytes) -> Outcome | None:
    """What a reply line means by its first digit; None for a line that does not begin with a reply code (RFC 5321 §4.2)."""
    if not line[:3].isdigit():
        return None
    return _OUTCOMES.get(line[0], FAILED)


_ENHANCED: Final = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}(?=[ \r\n])")


def enhanced(line: bytes) -> str:
    """The enhanced status code of a reply line, or an empty string (RFC 2034 §4, RFC 3463 §2)."""
    match = _ENHANCED.match(line, 4)
    return match[0].decode() if match else ""


class CommandLine(NamedTuple):
    """What a client's line says by itself, whatever the state of the session."""

    command: Command
    argument: bytes
    details: Mapping[str, str]
    """The path and parameters of MAIL and RCPT, the octets of BDAT."""
    octets: int
    """What a BDAT announces; -1 for everything else."""
    secret: tuple[int, int] | None
    """Where the secret stands in the line."""
    covered: bytes | None
    """The line with its secret covered, as a capture has it."""
    found: tuple[tuple[str, str], ...]
    """What is wrong with it: names of anomalies with their details."""
    text: str = ""
    """For people; of remembered lines only."""


class ReplyLine(NamedTuple):
    """What a reply of one line says by itself."""

    outcome: Outcome | None
    """None for a line that does not begin with a reply code."""
    status: str
    details: Mapping[str, str]
    found: tuple[tuple[str, str], ...]
    text: str = ""


UNENDED: Final = ("syntax_error", "the reply has no end of line")
"""What is told of a line that ends where the client has gone on."""
TAINTED: Final = CommandLine(UNKNOWN, b"", NOTHING, -1, None, None, (("unknown_command", ""),))
"""What stands for a line that may be a secret sent too early: it is not read."""
REPLY_LINE: Final = 512
"""Octets of a reply line (RFC 5321 §4.5.3.1.5)."""
SASL_LINE: Final = 12_288
"""Octets of a SASL response line (RFC 4954 §4.4)."""
REMEMBERED: Final = 96
"""Octets of the longest line whose reading is remembered."""
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
    verb = command.verb
    details: Mapping[str, str] = NOTHING
    octets = -1
    wrong = command.arguments.fullmatch(argument) is None
    if verb in ("MAIL", "RCPT"):
        way = path(argument)
        details = {"path": way.address, **way.parameters}
    elif verb == "BDAT":
        octets, last = chunk(argument) or (-1, False)
        wrong = octets < 0
        command = BDAT_LAST if last else command
        details = NOTHING if wrong else {"octets": str(octets)}
    if wrong:
        found.append(("syntax_error", f"{verb} with these arguments"))
    found += deviations(line, size, command.line)
    return CommandLine(command, argument, details, octets, secret, covered, tuple(found))


def _uncommon(content: bytes, found: list[tuple[str, str]]) -> tuple[Command, bytes, bytes]:
    """A word that is not in the table as it stands: odd capitals, odd blanks, or unknown."""
    stripped = content.strip(b" \t")
    word = stripped.split(b" ", 1)[0].split(b"\t", 1)[0]
    if command := COMMANDS.get(word.upper()):
        if stripped != content or stripped[len(word):len(word) + 1] == b"\t":
            found.append(("syntax_error", "blanks where none may stand"))
        return command, word, stripped[len(word) + 1:]
    if other := speaks(content):
        found.append(("cross_protocol", f"this is {other}"))
    found.append(("unknown_command", "" if word else "an empty line, which some servers pass over"))
    return UNKNOWN, word, b""


def reply_line(line: bytes, size: int) -> ReplyLine:
    """Reads a reply of one line."""
    reading = KNOWN_REPLIES.get(line)
    if reading is None:
        found = agreed(deviations(line, size, REPLY_LINE))
        meaning = outcome(line)
        if meaning is not None and line[3:4] not in (b" ", b"\r", b"\n"):
            found.append(("syntax_error", "no blank after the reply code"))
        if size == len(line) and line[-1:] != b"\n":
            found.append(UNENDED)
        reading = _read_reply(line, found, meaning)
        if size <= REMEMBERED and len(KNOWN_REPLIES) < READINGS:
            reading = KNOWN_REPLIES[line] = reading._replace(text=decode(line[:line_end(line)]))
    return reading


def reply_lines(lines: list[bytes], code: bytes) -> ReplyLine:
    """Reads a reply of several lines, the first of which has that code."""
    found: list[tuple[str, str]] = []
    for line in lines:
        found += agreed(deviations(line, len(line), REPLY_LINE))
        if line[:3] != code:
            found.append(("syntax_error", "the lines of a reply have different codes"))
    last = lines[-1]
    if last[-1:] != b"\n" and len(last) <= REPLY_LINE:  # else only its head may be here
        found.append(UNENDED)
    return _read_reply(last, list(dict.fromkeys(found)), outcome(last) or FAILED)


def _read_reply(line: bytes, found: list[tuple[str, str]], meaning: Outcome | None) -> ReplyLine:
    status = line[:3].decode("ascii") if meaning is not None else ""
    details: Mapping[str, str] = NOTHING
    if line[5:6] == b"." and (code := enhanced(line)):
        details = {"enhanced": code}
        if status and code[0] != status[0]:
            found.append(("syntax_error", "the enhanced status is of another class than the reply code"))
    if status and status[0] not in "2345":
        found.append(("syntax_error", "no such reply code"))
    return ReplyLine(meaning, status, details, tuple(found))
