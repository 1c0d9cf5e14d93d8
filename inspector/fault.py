"""What a plugin did wrong, in words that may be shown: on one line, short, sanitised, whatever the exception is.

Rules.  An exception of a plugin is as hostile as the wire: its text may be what crossed, its `__str__` may raise.  Where the hook
was given what holds a secret, or the text repeats what a client sent, the text is left out.

Knows exceptions and PDUs.  Must not know plugins.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

from inspector.pdu import C2S, PDU, Exchange
from inspector.text import sanitise

LONGEST: Final = 300
"""Characters of a text that are shown."""
WITHHELD: Final = "its text may hold a secret and is not shown; MAILSPY_DEBUG=1 shows it"
_WORD: Final = re.compile(rb"[^\s:<>=]{4,}")
"""What of a line would be known again."""


class Misuse(Exception):
    """A plugin has answered something that a hook cannot take; the text is ours."""


def text_of(error: BaseException) -> str:
    """What an exception says of itself, if it can."""
    try:
        text = " ".join(str.__str__(str(error)).split())
    except BaseException as worse:
        return f"(its text cannot be had: {name_of(worse)})"
    return shown(text)


def shown(text: str) -> str:
    """A text of somebody else's on one line."""
    return sanitise(text if len(text) <= LONGEST else f"{text[:LONGEST]} …")


def name_of(thing: object) -> str:
    """The name of its type."""
    return shown(type.__getattribute__(type(thing), "__name__"))


def described(error: BaseException, arguments: tuple[Any, ...] = ()) -> str:
    """Type, text and place; `arguments` are those of the hook that raised it."""
    if isinstance(error, Misuse):
        return text_of(error)
    text = text_of(error)
    if text and not os.environ.get("MAILSPY_DEBUG") and any(_tells(one, text) for one in arguments):
        text = WITHHELD
    return f"{name_of(error)}{text and ': '}{text}{place(error)}"


def silent(error: BaseException) -> str:
    """Type and place of what code raised that reads what crosses: its text may be anything of it."""
    if os.environ.get("MAILSPY_DEBUG"):
        return described(error)
    return name_of(error) + place(error)


def place(error: BaseException) -> str:
    """The file and line where it arose."""
    trace, found = error.__traceback__, ""
    while trace is not None:
        found = f" ({shown(Path(trace.tb_frame.f_code.co_filename).name)}:{trace.tb_lineno})"
        trace = trace.tb_next
    return found


def _tells(argument: object, text: str) -> bool:
    """Whether a text may repeat a secret."""
    if isinstance(argument, Exchange):
        argument = argument.command
    if not isinstance(argument, PDU):
        return False
    command = argument.command
    if argument.secret is not None or argument.veiled is not None or (command is not None and command.secret is not None):
        return True
    return argument.direction is C2S and any(word.decode("latin-1") in text for word in _WORD.findall(argument.raw))
