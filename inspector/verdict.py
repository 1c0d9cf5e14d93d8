"""What judges decide about a PDU or a message, and which of several decisions holds.

Knows the order Forward < Replace < Answer < Close, and how long a verdict can be.  Must not know how a verdict is carried out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

LONGEST_LINE: Final = 32_768
"""Octets that may take the place of a client's line: they stand in a comment of the capture."""
LONGEST_REPLY: Final = 65_536
"""Octets that may take the place of a server's reply, or be the last words to a client."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Let it pass as it is: what happens when no judge says anything."""

    rank = 0


@dataclass(frozen=True, slots=True)
class Replace:
    """Send these octets in its place.  For lines only: of a command one whole line with its CRLF, of a reply one whole reply.
    Anything else is a fault of the plugin and does not count."""

    raw: bytes
    rank = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """Keep a command from the server and answer it to the client: one whole reply with its CRLF.

    The answer takes its turn among the replies to the commands sent before it.
    """

    raw: bytes
    rank = 2


@dataclass(frozen=True, slots=True)
class Close:
    """End the flow on both sides; to the client go these octets first, if any."""

    farewell: bytes = b""
    rank = 3


Verdict = Forward | Replace | Answer | Close


def strictest(verdicts: Iterable[Verdict | None]) -> Verdict | None:
    """The strictest of them, whatever their order; between equals the first.  None when nobody judged."""
    chosen: Verdict | None = None
    for verdict in verdicts:
        if verdict is not None and (chosen is None or verdict.rank > chosen.rank):
            chosen = verdict
    return chosen
