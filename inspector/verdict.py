"""What judges decide about a PDU or a message, and which of several decisions holds.

Knows the order Forward < Replace < Answer < Close.  Must not know how a verdict is carried out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Forward:
    """Let it pass as it is: what happens when no judge says anything."""

    rank = 0


@dataclass(frozen=True, slots=True)
class Replace:
    """Send these octets in its place.  For lines only: the replacement must be one whole line with its CRLF."""

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
