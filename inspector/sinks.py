"""The sinks of several plugins as one.

Rules.  What one of them raises does not reach the others; it gets no more.

Knows sinks and whose they are.  Must not know what they are fed with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inspector.pdu import Sink
from inspector.timing import CLOSE, FEED, SLOW

if TYPE_CHECKING:
    from inspector.host import Host, Loaded


class GuardedSinks:
    """Several plugins' sinks as one: what one of them raises does not reach the others."""

    __slots__ = ("_hook", "_host", "_sinks", "_watch")

    def __init__(self, host: Host, hook: str, sinks: Sequence[tuple[Sink, Loaded]]) -> None:
        self._host = host
        self._hook = hook
        self._watch = host.watching
        self._sinks = tuple((host.sink(sink, owner, hook), owner) for sink, owner in sinks)

    @property
    def patient(self) -> bool:
        """Whether all of them are."""
        for sink, owner in self._sinks:
            try:
                if not getattr(sink, "patient", False):
                    return False
            except BaseException as error:
                self._drop(sink, owner, error)
        return True

    def feed(self, data: bytes) -> None:
        """Feeds them all."""
        watch = self._watch
        for sink, owner in self._sinks:
            begun, inner = (0, 0) if watch is None else (watch.clock(), watch.inner)
            try:
                sink.feed(data)
            except BaseException as error:
                self._drop(sink, owner, error)
            if watch is not None and (took := watch.clock() - begun) > SLOW:
                watch.took(owner.name, self._hook + FEED, begun, inner, took)

    def close(self, complete: bool) -> None:
        """Closes them all."""
        watch = self._watch
        for sink, owner in self._sinks:
            begun, inner = (0, 0) if watch is None else (watch.clock(), watch.inner)
            try:
                sink.close(complete)
            except BaseException as error:
                self._drop(sink, owner, error)
            if watch is not None and (took := watch.clock() - begun) > SLOW:
                watch.took(owner.name, self._hook + CLOSE, begun, inner, took)

    def _drop(self, sink: Sink, owner: Loaded, error: BaseException) -> None:
        """The sink gets no more; nor do others of a plugin that is switched off for it."""
        self._host.fault(owner, self._hook, error)
        self._sinks = tuple(pair for pair in self._sinks if pair[0] is not sink and not pair[1].disabled)
