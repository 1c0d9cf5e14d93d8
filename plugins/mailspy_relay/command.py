"""The line of a RCPT, read so that no server finds another recipient in it.

Knows octets of lines.  Must not know addresses or policies.
"""

from __future__ import annotations

import re
from typing import Final

_RCPT: Final = re.compile(
    rb"\s*RCPT\s+TO\s*:[ \t]*"
    rb"(?:<((?:\"(?:\\.|[^\"\\])*\"|[^\"<>\r\n])*)>|([^\s<>\"]+))"
    rb"(?:[ \t]+[A-Za-z0-9*][A-Za-z0-9*-]*(?:=[^\s<>]*)?)*[ \t]*\r?\n?", re.IGNORECASE | re.DOTALL)
_BEGINS: Final = re.compile(rb"\s*RCPT\b", re.IGNORECASE)
_HIDDEN: Final = re.compile(rb"\r[^\S\r]*RCPT\b", re.IGNORECASE)


def recipient(line: bytes) -> str | None:
    """The path, blanks taken generously; None unless there is one path and then parameters only (RFC 5321 §4.1.1.3), which may be
    covered by stars."""
    match = _RCPT.fullmatch(line)
    return None if match is None else (match[1] or match[2] or b"").decode("utf-8", "backslashreplace")


def begins(line: bytes) -> bool:
    """Whether a server takes the line for a RCPT, also where mailspy takes it for a secret that came too early."""
    return _BEGINS.match(line) is not None


def hidden(line: bytes) -> bool:
    """Whether a bare CR stands before a RCPT: to a server that takes it for the end of a line, that is a command."""
    return b"\r" in line[:-2] and _HIDDEN.search(line) is not None
