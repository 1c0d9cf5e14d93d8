"""How a live run ends: by signals, the first of which lets sessions finish for the drain time, the second ends at once.

SIGHUP ends it where a terminal goes away with it; else it asks to look at once for files that were moved away, as programs that
rotate logs do.

Knows the reactor and the service.  Must not know links or flows.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ReactorNotRunning

if TYPE_CHECKING:
    from inspector.live.service import Service


class Ending:
    """How the run ends: by signals."""

    def __init__(self, service: Service, reactor: Any) -> None:
        self._service = service
        self._reactor = reactor
        self._asked = False
        service.enough = self.ask

    def handle(self) -> None:
        """Takes SIGINT and SIGTERM, and SIGHUP where it is not ignored (nohup)."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._reactor.callFromThread(self.ask))
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            hung_up = self.ask if any(map(os.isatty, (0, 1, 2))) else self._service.look
            signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(hung_up))

    def over(self) -> None:
        """Takes them no more: there is nothing left that they could end, and the exit code is to be ours."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def ask(self) -> None:
        """The first time sessions may finish; the second time they may not."""
        service = self._service
        if self._asked or not service.sessions:
            self._stop()
            return
        self._asked = True
        service.close_listening()
        if not service.sessions:
            self._stop()
            return
        service.notice(f"stopping: {service.sessions} open session{'s' * (service.sessions > 1)} may finish within "
                       f"{service.settings.drain:g} s; once more to end at once")
        service.idle = self._stop
        self._reactor.callLater(service.settings.drain, self._stop)

    def _stop(self) -> None:
        self._service.idle = None
        stop(self._reactor)


def stop(reactor: Any) -> None:
    """Stops the reactor, once."""
    with contextlib.suppress(ReactorNotRunning):
        reactor.stop()
