"""The watchman: octets that the proxy holds back for long are told, by flow, number and reason; some of them go on then.

Rules.  What a clock finds is a notice for people and a counter, no event of a flow: replay tells what live told.  Each flow is
told of once.  Passive flows hold nothing, and are not asked.

Knows relays that can say what they hold.  Must not know protocols, nor how time is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from inspector.live.relay import GatedRelay

EVERY: Final = 0.5
"""Seconds between two rounds."""
PATIENCE: Final = 2.0
"""Seconds that the beginning of a flow, or of TLS, may wait for what tells what it is."""
LONG: Final = 5.0
"""Seconds after which octets that are held are an alarm."""
NOTICES: Final = 20
"""Alarms that are told one by one; those after it are counted, and told together."""

Place = tuple[bool, int]
"""Whose octets are held, and where in the stream they begin."""


class Watchman:
    """Goes round the relays that can hold something."""

    def __init__(self, notice: Callable[[str], None]) -> None:
        self.alarms = 0
        """In how many flows something was held for long."""
        self._notice = notice
        self._next = 0.0
        self._since: dict[GatedRelay, dict[Place, float]] = {}
        self._told: set[GatedRelay] = set()

    def watch(self, relay: GatedRelay) -> None:
        """A flow that may hold something begins."""
        self._since[relay] = {}

    def forget(self, relay: GatedRelay) -> None:
        """It is over, or holds nothing any more."""
        self._since.pop(relay, None)
        self._told.discard(relay)

    def round(self, now: float) -> None:
        """Looks after all of them; `now` in seconds, of a clock that never goes back."""
        if now < self._next:
            return
        self._next = now + EVERY
        for relay in list(self._since):
            self._look(relay, now)

    def _look(self, relay: GatedRelay, now: float) -> None:
        held = relay.holding()
        before = self._since.get(relay)
        if before is None or (not held and not before):
            return
        since = {(client, at): before.get((client, at), now) for client, at, _, _ in held}
        self._since[relay] = since
        if any(now - begun >= PATIENCE for begun in since.values()) and (word := relay.lapse()):
            self._notice(f"flow {relay.inspector.flow.number}: {word}")
            return
        for client, at, octets, reason in held:
            if now - since[client, at] >= LONG and relay not in self._told:
                self._told.add(relay)
                whose = "client" if client else "server"
                self._alarm(f"flow {relay.inspector.flow.number}: {octets:,} octets of the {whose} are held for {LONG:g} s: "
                            f"{reason}")

    def _alarm(self, line: str) -> None:
        self.alarms += 1
        if self.alarms <= NOTICES:
            self._notice(line)

    def close(self) -> None:
        """Tells of those that were not told one by one."""
        if self.alarms > NOTICES:
            self._notice(f"octets of {self.alarms:,} flows were held for {LONG:g} s and longer")

