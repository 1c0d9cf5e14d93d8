"""A flow of somebody else's capture until it is known what it is.

Rules.  Everything waits; nothing is guessed while the next octets can still tell.  What is in TLS is opened where there are keys,
to see what is spoken in it.

Knows first words (`recognition`) and records that open.  Must not know sessions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from inspector.pdu import C2S, Direction
from inspector.recognition import LOOKED_AT, NOT_MAIL, recognised
from inspector.segment import Ended, Event, Gap, Opened, Reset, Segment
from inspector.unsealing import BROKEN, HOPELESS, Unsealing
from inspector.wrapping import Wrapping, unwrapped

if TYPE_CHECKING:
    from inspector.keylog import Keys


EACH: Final = 128
"""Octets that an event counts for beside its data."""


class Newcomer:
    """A flow of somebody else's capture until it is known what it is: everything waits."""

    __slots__ = ("_ended", "_inner_client", "_inner_server", "_opened", "_unsealing", "client", "events", "flow", "hint",
                 "joined", "key", "over", "server", "size", "wrapping")

    def __init__(self, opened: Opened, hint: str) -> None:
        self.flow = opened.flow
        self.key = opened.key or opened.flow.number
        """By what events name the flow."""
        self.joined = opened.joined
        self.hint = hint
        """The protocol that the server's port hints at."""
        self.events: list[Event] = []
        """What has come so far."""
        self.size = 0
        self.client = b""
        self.server = b""
        """The first octets of both directions; without what wraps the session, when that is known."""
        self.wrapping: Wrapping | None = None
        self.over = False
        """Nothing more will tell."""
        self._ended: Direction | None = None
        self._unsealing: Unsealing | None = None
        self._opened = 0
        """How many of the events it has opened."""
        self._inner_client = b""
        self._inner_server = b""
        """The first octets of both directions in TLS."""

    @property
    def cost(self) -> int:
        """What it keeps, in octets."""
        return self.size + EACH * len(self.events)

    @property
    def hello(self) -> bool:
        """Whether the client begins a TLS handshake, and everything from there on was captured."""
        return self.client[:1] == b"\x16" and not self.joined

    def take(self, event: Event) -> None:
        """Keeps an event."""
        self.events.append(event)
        if isinstance(event, Segment):
            self.size += len(event.data)
            if event.direction is C2S:
                self.client += event.data[:LOOKED_AT]
            else:
                self.server += event.data[:LOOKED_AT]
        elif isinstance(event, Gap):
            self.over = bool(self.client if event.direction is C2S else self.server)
        elif isinstance(event, Reset):
            self.over = True
        elif isinstance(event, Ended):
            self.over = self._ended is not None and self._ended is not event.direction
            self._ended = event.direction

    def unwrap(self) -> Wrapping | None:
        """Takes off what wraps the session, as soon as it is whole."""
        if self.wrapping is not None or self.joined:
            return None
        wrapping = unwrapped(self.client, self.server)
        if isinstance(wrapping, Wrapping):
            self.wrapping = wrapping
            self.client, self.server = self.client[wrapping.client:], self.server[wrapping.server:]
            return wrapping
        return None

    def name(self) -> str:
        """The protocol, `NOT_MAIL`, or an empty string while that may change."""
        if not self.over and self.wrapping is None and not self.joined and unwrapped(self.client, self.server) is True:
            return ""
        return recognised(self.client, self.server, self.hint, self.over)

    def inner(self, keys: Keys) -> str:
        """The same of what is said in TLS, where there are keys that open it."""
        unsealing = self._unsealing = self._unsealing or Unsealing(keys)
        for event in self.events[self._opened:]:
            if isinstance(event, Segment):
                client = event.direction is C2S
                clear = unsealing.feed(client, event.data, event.time)[:LOOKED_AT]
                if client:
                    self._inner_client += clear
                else:
                    self._inner_server += clear
        self._opened = len(self.events)
        if unsealing.state in (HOPELESS, BROKEN):
            return NOT_MAIL
        return recognised(self._inner_client, self._inner_server, self.hint, self.over)
