"""Which lines of a client mailspy lets past a judge: those that every SMTP server reads as it does itself.

What opens something, DATA, BDAT, AUTH, STARTTLS, decides how the octets behind it are read.  So a line that a server could take
for one of these, and mailspy does not, is refused; and a chunk passes only where the server has said that it takes chunks.

Knows SMTP's lines and lists of capabilities.  Must not know sessions or judges.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from inspector import readings
from inspector.posing import beginnings
from inspector.protocols.smtp import grammar
from inspector.protocols.smtp.grammar import CommandLine

REFUSAL: Final = b"500 5.5.2 mailspy: %s\r\n"
EARLY: Final = b"503 5.5.1 mailspy: wait for the reply to AUTH\r\n"
NO_CHUNKS: Final = b"502 5.5.1 mailspy: the server has not offered CHUNKING\r\n"
NO_RECIPIENTS: Final = b"503 5.5.1 mailspy: BDAT without a recipient that the server has accepted\r\n"
BAD_CHUNK: Final = b"501 5.5.4 mailspy: BDAT and how many octets, then LAST or nothing\r\n"
DOUBTFUL_END: Final = b"554 5.6.0 mailspy: a dot alone between ends of lines that are not both CRLF could end the message\r\n"
CHUNK_READ: Final = b"554 5.5.0 mailspy: the server seems to have read a chunk that it has refused as commands\r\n"
POSING: Final = b"554 5.6.0 mailspy: a line of the message that a server could take for a command, and that is not allowed\r\n"
CLOSING: Final = b"421 4.7.0 mailspy: %s\r\n"

_CHUNK: Final = re.compile(rb"BDAT (?:0|[1-9][0-9]{0,17})(?: LAST)?\r\n", re.IGNORECASE)
_VERBS: Final = tuple(word for word in grammar.COMMANDS if word.isupper())
_WORDS: Final = re.compile(rb"(?:" + rb"|".join(_VERBS) + rb")(?=[^A-Za-z0-9+/=]|\Z)", re.IGNORECASE)
_GOES_ON: Final = re.compile(rb"RCPT[A-Za-z]+(?=[ \t:<])", re.IGNORECASE)
"""What some servers take for a command though the word goes on."""
_OPENING: Final = frozenset({"DATA", "BDAT", "BDAT LAST", "AUTH", "STARTTLS", "XCLIENT"})
_ENVELOPE: Final = frozenset({b"MAIL", b"RCPT", b"SEND", b"SOML", b"SAML"})
_HARMLESS: Final = frozenset({b"EHLO", b"HELO", b"LHLO", b"RSET", b"HELP", b"NOOP", b"QUIT"})
"""What servers answer, and that leads nowhere: letters begin so."""
COMMANDS: Final = beginnings(word for word in _VERBS if word not in _HARMLESS)
"""Finds what a server could take for a command in a message."""
_ADDRESS: Final = re.compile(rb"[@!%<]")
_LENGTHENING: Final = (b"DSN", b"AUTH", b"SMTPUTF8")
"""What makes lines longer than 512 octets (RFC 3461 §4, RFC 4954 §3, RFC 6531 §3.4)."""
_BASE64: Final = re.compile(rb"(?:\*|[A-Za-z0-9+/=]*)\r?\n")


class Caution(NamedTuple):
    """What is done with a line."""

    refused: bytes = b""
    """The answer in the server's place; empty where the line may pass."""
    readings: tuple[bytes, ...] = ()
    """What else a server could read."""


PASSES: Final = Caution()


def offers(listing: bytes, word: bytes) -> bool:
    """Whether the answer to EHLO lists a capability."""
    return re.search(rb"^250[ -]" + word + rb"(?=[ =\r\n])", listing, re.IGNORECASE | re.MULTILINE) is not None


def of_command(line: bytes, size: int, listing: bytes, tainted: bool) -> Caution:
    """Of a command.  `listing`: what the server has said to EHLO; `tainted`: it came before the answer to AUTH."""
    reading = grammar.command_line(line, size)
    command = reading.command
    if readings.plain(line) and not tainted and command is not grammar.UNKNOWN and reading.octets < 0 and command.verb != "BDAT":
        return PASSES
    agreed = offers(listing, b"SMTPUTF8")
    longest = command.line if any(offers(listing, word) for word in _LENGTHENING) else readings.LONGEST
    if why := readings.several(line, size, longest, agreed):
        return Caution(REFUSAL % why.encode())
    if command is grammar.UNKNOWN and readings.disguised(line, _VERBS):
        return Caution(REFUSAL % readings.DISGUISED.encode())
    if tainted and command.verb in _OPENING:
        return Caution(EARLY)
    if command.verb in ("BDAT", "BDAT LAST"):
        return _of_chunk(line, reading, listing)
    found = _judged(line, agreed)
    if tainted and command is not grammar.UNKNOWN and not found.refused:
        # Read as a possible password; to the server it is this.
        return Caution(b"", (line, *found.readings))
    return found


def _of_chunk(line: bytes, reading: CommandLine, listing: bytes) -> Caution:
    if reading.octets < 0 or _CHUNK.fullmatch(line) is None:
        return Caution(BAD_CHUNK)
    return PASSES if offers(listing, b"CHUNKING") else Caution(NO_CHUNKS)


def _judged(line: bytes, agreed: bool) -> Caution:
    """In other readings, if there are any: one that opens something is refused, whoever judges."""
    others = readings.readings(line, _WORDS, agreed)
    if others is None or (len(line) > readings.LONGEST and _GOES_ON.search(line, readings.SHORTEST) is not None):
        return Caution(REFUSAL % readings.TOO_LONG.encode())
    verb = grammar.command_line(line, len(line)).command.verb
    for other in others:
        read = grammar.command_line(other, len(other)).command.verb
        if read in _OPENING and read != verb:
            return Caution(REFUSAL % readings.DISGUISED.encode())
    return Caution(b"", tuple(others))


class Posing(NamedTuple):
    """What a line of a message would be as a command."""

    opens: bool
    """It decides how the octets behind it are read."""
    judged: bool
    """The judges are asked about it."""
    refused: bool = False
    """Whatever they say: to them it would be no command."""


def of_posing(line: bytes) -> Posing:
    """Of a line in a message that begins with the word of a command, perhaps only to people."""
    reading = grammar.command_line(line, len(line))
    verb = reading.command.verb
    if verb in _OPENING:
        return Posing(True, False)
    if line[:4].upper() in _ENVELOPE:
        leads = _ADDRESS.search(line) is not None
        return Posing(False, leads and bool(verb), leads and not verb)
    return Posing(False, bool(verb) and reading.command.arguments.fullmatch(reading.argument) is not None)


def of_response(line: bytes, size: int) -> Caution:
    """Of a line in a SASL exchange: what is no base64 could be a command to a server that waits for none."""
    encoded = _BASE64.fullmatch(line) is not None
    # A piece of it is base64, too, where a server cuts it.
    if why := readings.several(line, size, grammar.SASL_LINE if encoded else readings.LONGEST, False):
        return Caution(CLOSING % why.encode())
    return PASSES if encoded else Caution(b"", (line,))
