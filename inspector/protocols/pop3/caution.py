"""Which lines of a client mailspy lets past a judge: those that every POP3 server reads as it does itself.

Knows POP3's lines.  Must not know sessions or judges.
"""

from __future__ import annotations

import re
from typing import Final

from inspector import readings
from inspector.protocols.pop3 import grammar

REFUSAL: Final = b"-ERR mailspy: %s\r\n"
EARLY: Final = b"-ERR mailspy: wait for the reply to AUTH\r\n"

_VERBS: Final = tuple(word for word in grammar.COMMANDS if word.isupper())
_WORDS: Final = re.compile(rb"(?:" + rb"|".join(_VERBS) + rb")(?=[^A-Za-z0-9+/=]|\Z)", re.IGNORECASE)


def of_command(line: bytes, size: int, tainted: bool) -> tuple[bytes, list[bytes]]:
    """What is said to a command that is refused, or else what other servers could read.  `tainted`: it came before the answer to
    AUTH."""
    command = grammar.command_line(line, size).command
    if readings.plain(line) and not tainted and command is not grammar.UNKNOWN:
        return b"", []
    longest = grammar.SASL_LINE if command.verb == "AUTH" else readings.LONGEST
    if why := readings.several(line, size, longest, True):
        return REFUSAL % why.encode(), []
    if command is grammar.UNKNOWN and readings.disguised(line, _VERBS):
        return REFUSAL % readings.DISGUISED.encode(), []
    if tainted and command.synchronises:
        return EARLY, []
    others = readings.readings(line, _WORDS, True)
    if others is None:
        return REFUSAL % readings.TOO_LONG.encode(), []
    # What is read as a possible password is to the server what it says.
    return b"", [line, *others] if tainted and command is not grammar.UNKNOWN else others


def of_response(line: bytes, size: int) -> tuple[bytes, list[bytes]]:
    """The same of a line in a SASL exchange."""
    why = readings.several(line, size, grammar.SASL_LINE, True)
    return (REFUSAL % why.encode() if why else b""), []
