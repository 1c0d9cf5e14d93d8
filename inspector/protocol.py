"""What a protocol is to the rest of the house: a name, its ports, its greeting, its tables, its session.

Knows nothing of any one protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from inspector.limits import Limits
from inspector.machine import Table
from inspector.pdu import Flow
from inspector.session import Observer, Session
from inspector.starttls import StartTls


@dataclass(frozen=True, slots=True)
class Protocol:
    """One protocol that mailspy can read."""

    name: str
    """As in `--protocol` and in upstream URLs: `pop3`."""
    ports: tuple[int, ...]
    """TCP ports that tell it; the first is the one registered for it."""
    session: Callable[[Flow, Observer, Limits], Session]
    tables: Mapping[str, Table] = field(default_factory=dict)
    """What `mailspy phases` draws, by name; the first is the phase table."""
    greeting: bytes = b""
    """What the first line of a server begins with; empty when the greeting cannot tell."""
    unavailable: bytes = b""
    """The reply line to a client whose server cannot be reached, `%s` standing for the reason."""
    starttls: StartTls | None = None
    """How TLS begins in a session in the clear; None where it cannot."""
    plugin: str = ""
    """The plugin that adds it, filled in by mailspy; empty for its own."""


def by_name(protocols: Iterable[Protocol]) -> dict[str, Protocol]:
    """The protocols by their names."""
    return {protocol.name: protocol for protocol in protocols}


def by_port(protocols: Iterable[Protocol], port: int) -> str:
    """The name of the protocol that a server's port tells, or an empty string."""
    return next((protocol.name for protocol in protocols if port in protocol.ports), "")


def by_greeting(protocols: Iterable[Protocol], line: bytes) -> str:
    """The name of the protocol that a server's first line tells, or an empty string."""
    return next((protocol.name for protocol in protocols if protocol.greeting and line.startswith(protocol.greeting)), "")
