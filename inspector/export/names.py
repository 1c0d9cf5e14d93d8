"""Identifiers that other programs would have drawn at random: here the same capture gives the same ones.

Knows flows and digests.  Must not know what they name.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from inspector.pdu import Flow

_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def digest(flow: Flow, *more: object) -> int:
    """A number for a flow, or for something of it."""
    text = "|".join(map(str, (flow.number, flow.client, flow.server, flow.opened, *more)))
    return int.from_bytes(sha256(text.encode("utf-8", "backslashreplace")).digest()[:16])


def word(number: int, size: int = 17) -> str:
    """A number in letters and digits."""
    letters = []
    for _ in range(size):
        number, rest = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[rest])
    return "".join(letters)
