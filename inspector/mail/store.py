"""Where exported messages go: a file each, a mailbox, a maildir.

    eml      DIR/0001-001-subject.eml
    mbox     FILE, in the format mboxrd; it appears when all is written
    maildir  DIR/new/…, by way of DIR/tmp

Knows the three layouts.  Must not know where messages come from.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final, Protocol

from inspector.errors import OptionError
from inspector.mail import envelope
from inspector.mail.folder import Draft, Folder
from inspector.mail.letter import Letter
from inspector.mail.lines import quoting

SLUG: Final = 48
"""Characters of a file name that come from the subject."""

_OUTSIDE: Final = re.compile(r"[^A-Za-z0-9]+")
_SENDER: Final = re.compile(r"[!-~]{1,320}")


class Store(Protocol):
    """What keeps messages."""

    def draft(self) -> Draft:
        """A file for a message that begins to cross."""

    def keep(self, letter: Letter, draft: Draft, prefix: bytes, facts: dict[str, Any] | None) -> None:
        """Keeps a message that is over; `prefix` are header fields of ours, `facts` the envelope for a JSON file."""

    def finish(self) -> None:
        """All messages were kept."""

    def abandon(self) -> None:
        """Something failed: removes what has no name yet."""


def slug(subject: str) -> str:
    """Letters and digits of ASCII, parted by dashes; `message` where there is none of them."""
    plain = unicodedata.normalize("NFKD", subject[:1024])
    plain = "".join(letter for letter in plain if unicodedata.category(letter)[0] != "M")
    return _OUTSIDE.sub("-", plain).strip("-")[:SLUG].rstrip("-").lower() or "message"


def prefixed(draft: Draft, prefix: bytes, fresh: Draft) -> Draft:
    """The draft with header fields before it: itself where there are none, else the fresh one."""
    if not prefix:
        return draft
    try:
        fresh.write(prefix)
        for piece in draft.pieces():
            fresh.write(piece)
    except OSError:
        fresh.discard()
        raise
    draft.discard()
    return fresh


def as_json(facts: dict[str, Any]) -> bytes:
    """One line of JSON, in ASCII."""
    return json.dumps(facts).encode("ascii") + b"\n"


class EmlStore:
    """A file each."""

    def __init__(self, path: str) -> None:
        self._folder = Folder(path, "--eml")

    def draft(self) -> Draft:
        return self._folder.draft()

    def keep(self, letter: Letter, draft: Draft, prefix: bytes, facts: dict[str, Any] | None) -> None:
        folder = self._folder
        stem = f"{letter.flow.number:04}-{letter.message.number:03}-{slug(letter.subject)}"
        ending = ".eml" if letter.complete else ".incomplete.eml"
        name = folder.publish(prefixed(draft, prefix, folder.draft()), stem, ending)
        folder.dated(name, letter.message.time)
        if facts is not None:
            beside = folder.draft()
            beside.write(as_json({"file": name, **facts}))
            folder.publish(beside, name, ".json")

    def finish(self) -> None:
        self._folder.close()

    abandon = finish


class MboxStore:
    """A mailbox, and beside it the envelopes, if they are wanted, as FILE.jsonl."""

    def __init__(self, path: str) -> None:
        folder, self._name = os.path.split(path)
        if not self._name or os.path.lexists(path):
            raise OptionError(f"--mbox {path}: {'exists already' if self._name else 'is a folder'}; name a new file")
        self._folder = Folder(folder or ".", "--mbox")
        self._mailbox = self._folder.draft()
        self._facts: Draft | None = None

    def draft(self) -> Draft:
        return self._folder.draft()

    def keep(self, letter: Letter, draft: Draft, prefix: bytes, facts: dict[str, Any] | None) -> None:
        write, quotes, last = self._mailbox.write, quoting(), b""
        write(separator(letter))
        for piece in _chain(prefix, draft):
            if quoted := quotes.feed(piece):
                write(quoted)
                last = quoted
        rest = quotes.finish()
        write(rest)
        write(b"\n" if (rest or last).endswith(b"\n") or not (rest or last) else b"\n\n")
        draft.discard()
        if facts is not None:
            self._facts = self._facts or self._folder.draft()
            self._facts.write(as_json(facts))

    def finish(self) -> None:
        self._folder.publish(self._mailbox, self._name)
        if self._facts is not None:
            self._folder.publish(self._facts, self._name, ".jsonl")
        self._folder.close()

    def abandon(self) -> None:
        self._mailbox.discard()
        if self._facts is not None:
            self._facts.discard()
        self._folder.close()


def _chain(prefix: bytes, draft: Draft) -> Iterator[bytes]:
    if prefix:
        yield prefix
    yield from draft.pieces()


def separator(letter: Letter) -> bytes:
    """The line `From …` of a mailbox (RFC 4155 appendix A)."""
    sender = envelope.sender(letter)
    if not _SENDER.fullmatch(sender):
        sender = "MAILER-DAEMON"
    when = datetime.fromtimestamp(letter.message.time // 1_000_000, UTC)
    return f"From {sender} {when:%a %b} {when.day:2} {when:%H:%M:%S %Y}\n".encode("ascii")


class MaildirStore:
    """A maildir; the envelopes, if they are wanted, in DIR/mailspy-envelopes.jsonl."""

    def __init__(self, path: str) -> None:
        root = Folder(path, "--maildir")
        present = set(os.listdir(path))
        if present and not present >= {"tmp", "new", "cur"}:
            raise OptionError(f"--maildir {path}: has files in it and is no maildir; name a new or empty folder, or a maildir")
        self._root = root
        self._tmp, self._new, self._cur = (Folder(os.path.join(path, name), "--maildir") for name in ("tmp", "new", "cur"))
        self._numbers = count(1)
        self._tail = f"{os.getpid()}.{_host()}"
        self._facts: Draft | None = None

    def draft(self) -> Draft:
        return self._tmp.draft()

    def keep(self, letter: Letter, draft: Draft, prefix: bytes, facts: dict[str, Any] | None) -> None:
        now = time.time_ns() // 1000
        name = f"{now // 1_000_000}.M{now % 1_000_000}Q{next(self._numbers)}P{self._tail}"
        whole = prefixed(draft, prefix, self._tmp.draft())
        whole.flush()
        self._tmp.dated(whole.name, letter.message.time)
        self._tmp.move(whole.name, self._new, name)
        whole.name = ""
        if facts is not None:
            self._facts = self._facts or self._root.draft()
            self._facts.write(as_json({"file": f"new/{name}", **facts}))

    def finish(self) -> None:
        if self._facts is not None:
            self._root.publish(self._facts, "mailspy-envelopes", ".jsonl")
        self.abandon()

    def abandon(self) -> None:
        if self._facts is not None:
            self._facts.discard()
        for folder in (self._tmp, self._new, self._cur, self._root):
            folder.close()


def _host() -> str:
    return socket.gethostname().replace("/", "\\057").replace(":", "\\072") or "localhost"


STORES: Final[dict[str, type[EmlStore] | type[MboxStore] | type[MaildirStore]]] = {
    "eml": EmlStore, "mbox": MboxStore, "maildir": MaildirStore}
"""By the option that asks for it."""
