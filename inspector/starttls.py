"""How TLS begins in a session that has begun in the clear, for any protocol: the words, and what listings of capabilities say.

Knows the form of what a protocol gives for it.  Must not know any one protocol, nor TLS itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from inspector.pdu import C2S, PDU, Kind


class Mode(StrEnum):
    """How one leg of a session is in TLS."""

    SAME = "same"
    """As the other leg: what the client asks for is asked of the server."""
    PLAIN = "plain"
    STARTTLS = "starttls"
    IMPLICIT = "implicit"
    """From its first octet."""


@dataclass(frozen=True, slots=True)
class StartTls:
    """What one protocol says for it."""

    verb: str
    """The command, which is the name of the capability too: `STLS`."""
    lists: frozenset[str]
    """Commands whose answers list capabilities."""
    listing: Kind
    """Which PDU of such an answer has the list."""
    accepted: bytes
    refused: bytes
    """What a server says to the command."""
    positive: bytes
    """How a good reply begins."""
    agrees: bytes
    """How the one reply begins after which TLS begins."""
    opening: bytes = b""
    """What a client says before the command; empty where the greeting is enough."""
    last: Callable[[bytes], bool] = lambda line: True
    """Whether a line is the last of its reply."""
    capabilities: Callable[[bytes], list[str]] = lambda listing: []
    """The capabilities in a list, in capitals, without their parameters."""
    edited: Callable[[bytes, bool], bytes] = lambda listing, offered: listing
    """The list with the capability, or without."""

    def may_begin(self, line: bytes) -> bool:
        """Whether a line that has begun so may be the command, blanks before and behind it included."""
        begun, verb = line[:256].lstrip().upper(), self.verb.encode()
        return begun.startswith(verb) or verb.startswith(begun)

    def in_list(self, pdu: PDU) -> bool:
        """Whether a PDU is a whole list of capabilities."""
        return (pdu.direction is not C2S and pdu.kind is self.listing and pdu.verb in self.lists and pdu.size == len(pdu.raw)
                and (pdu.kind is Kind.BODY or (pdu.raw.startswith(self.positive) and pdu.status.encode() == pdu.raw[:3])))


class Policy(NamedTuple):
    """What becomes of TLS that a client asks for in the clear."""

    offered: bool | None = None
    """What lists of capabilities say of it; None: what the server says."""
    answer: bool | None = None
    """What we answer in the server's place; None: the server answers."""
    seen: bool = False
    """We look into it."""


FOLLOW = Policy(seen=True)
"""The server is asked; if it agrees both legs are in TLS."""
SERVE = Policy(offered=True, answer=True, seen=True)
"""It is offered, and the client's leg alone is in TLS."""
HIDE = Policy(offered=False, answer=False)
"""As if there were none."""
REFUSE = Policy(answer=False)
"""There is none to be had now."""
PASS = Policy()
"""As the server answers, unseen."""
