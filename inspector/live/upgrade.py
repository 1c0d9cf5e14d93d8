"""A server is asked for TLS in its protocol, before anybody else speaks to it.

Rules.  What the server says is bounded.  Clear text that comes with its last word is nobody's: there is no session then, or,
where the user wants that, it is thrown away.

Knows links and `StartTls`.  Must not know any one protocol, nor TLS itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from inspector.text import sanitise

if TYPE_CHECKING:
    from inspector.live.link import Link
    from inspector.starttls import StartTls

INJECTED: Final = "clear text came with the server's reply to the command that begins TLS: somebody injects it"
MOST: Final = 65_536
"""Octets of the server's words."""


class Upgrade:
    """The dialogue with one server."""

    def __init__(self, server: Link, starttls: StartTls, done: Callable[[str, bool], None], drops: bool = False) -> None:
        """`done` is told how it went: nothing, or why there is no TLS, and whether that is the server's own word.  `drops`: clear
        text that comes with its last word goes nowhere, and TLS begins."""
        self.greeting = b""
        """The first reply."""
        self._server = server
        self._starttls = starttls
        self._done = done
        self._drops = drops
        self.injected = 0
        """Octets in the clear that came with the server's last word."""
        self._over = False
        self._buffer = b""
        self._commands: Iterator[bytes] = iter([command for command in (
            starttls.opening, starttls.verb.encode() + b"\r\n") if command])
        self._asked = "its greeting"
        server.owner, server.client = self, False
        server.start()

    def received(self, _: bool, data: bytes) -> None:
        """What the server says."""
        self._buffer += data
        while not self._over and (reply := self._reply()):
            self._answered(reply)
        if not self._over and len(self._buffer) > MOST:
            self._finish("the server talks without end", False)

    def _reply(self) -> bytes:
        """The next whole reply, or nothing."""
        start = 0
        while end := self._buffer.find(b"\n", start) + 1:
            if self._starttls.last(self._buffer[start:end]):
                reply, self._buffer = self._buffer[:end], self._buffer[end:]
                return reply
            start = end
        return b""

    def _answered(self, reply: bytes) -> None:
        asked = self._asked == self._starttls.verb
        if not reply.startswith(self._starttls.agrees if asked else self._starttls.positive):
            shown = sanitise(reply.decode("utf-8", "replace").strip())[:200]
            self._finish(f"the server has no TLS for us: to {self._asked} it says: {shown}; "
                         "--upstream SCHEME+plain://… does without")
            return
        self.greeting = self.greeting or reply
        command = next(self._commands, b"")
        if command:
            self._asked = command.split()[0].decode()
            self._server.send(command)
        else:
            self.injected, self._buffer = len(self._buffer), b""
            refused = self.injected and not self._drops
            self._finish(INJECTED if refused else "", False)

    def _finish(self, refusal: str, theirs: bool = True) -> None:
        if not self._over:
            self._over = True
            self._server.owner = None
            self._done(refusal, theirs)

    def ended(self, _: bool) -> None:
        """FIN."""
        self._finish(f"the server has closed the connection after {self._asked}", False)

    broken = ended

    def drained(self, _: bool) -> None:
        """Nothing waits for that."""


