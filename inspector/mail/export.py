"""Every message of the sources into a store, as it crossed.

Knows letters and stores.  Must not know how files are laid out, or options read.
"""

from __future__ import annotations

from typing import Final

from inspector.mail import envelope
from inspector.mail.folder import Draft
from inspector.mail.letter import Letter
from inspector.mail.lines import LineFeeds
from inspector.mail.store import Store
from inspector.pdu import Sink

NO: Final = ""
HEADERS: Final = "headers"
JSON: Final = "json"


class Exporter:
    """Takes letters; counts what it does with them."""

    def __init__(self, store: Store, how: str, incomplete: bool, unix: bool) -> None:
        """`how`: `NO` envelope, as `HEADERS`, as `JSON`.  `unix`: with LF for each CRLF."""
        self._store = store
        self._how = how
        self._incomplete = incomplete
        self._unix = unix
        self._drafts: dict[Letter, Draft] = {}
        self.exported = 0
        self.flawed = 0
        """Messages that are not whole."""

    def take(self, letter: Letter) -> Sink:
        """A sink for a message that begins."""
        draft = self._drafts[letter] = self._store.draft()
        return _Incoming(draft, LineFeeds() if self._unix else None)

    def done(self, letter: Letter) -> None:
        """A message is over."""
        draft = self._drafts.pop(letter)
        if not letter.asked:
            draft.discard()
            return
        self.flawed += not letter.complete
        if not letter.complete and not self._incomplete:
            draft.discard()
            return
        try:
            self._store.keep(letter, draft, self._prefix(letter), envelope.described(letter) if self._how == JSON else None)
        except BaseException:
            draft.discard()
            raise
        self.exported += 1

    def _prefix(self, letter: Letter) -> bytes:
        """Header fields of ours; the lines end like those of the message."""
        prefix = envelope.fields(letter) if self._how == HEADERS else b""
        if not letter.complete:
            prefix += envelope.field("Incomplete", letter.flaw)
        plain = self._unix or (b"\n" in letter.head and b"\r\n" not in letter.head)
        return prefix.replace(b"\r\n", b"\n") if plain else prefix

    def finish(self) -> None:
        """The sources are over.  Raises OSError."""
        self._store.finish()

    def abandon(self) -> None:
        """Something failed: nothing half-written stays."""
        for draft in self._drafts.values():
            draft.discard()
        self._drafts.clear()
        self._store.abandon()


class _Incoming:
    """The sink of one message."""

    __slots__ = ("_draft", "_filter")

    def __init__(self, draft: Draft, line_feeds: LineFeeds | None) -> None:
        self._draft = draft
        self._filter = line_feeds

    def feed(self, data: bytes) -> None:
        """Takes octets of the message.  Raises OSError."""
        self._draft.write(self._filter.feed(data) if self._filter is not None else data)

    def close(self, complete: bool) -> None:
        """The message is over.  Raises OSError."""
        if self._filter is not None and (rest := self._filter.finish()):
            self._draft.write(rest)
