"""What a form of export is, and where it is written.

Rules.  A file appears under its name when it is whole, for its owner alone; none is ever written over.

Knows files and events.  Must not know any form.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from inspector.anomaly import Anomaly
from inspector.errors import OptionError
from inspector.mail.folder import Draft, Folder
from inspector.pdu import PDU, Finding, Flow, Message
from inspector.session import Session

STDOUT: Final = "-"


class Sheet:
    """One file that is written from its beginning to its end, or standard output."""

    def __init__(self, path: str, option: str) -> None:
        """Raises OptionError where it cannot be made."""
        self.path = path
        self._draft: Draft | None = None
        if path == STDOUT:
            return
        folder, self._name = os.path.split(path)
        if not self._name or os.path.lexists(path):
            raise OptionError(f"--{option} {path}: {'exists already' if self._name else 'is a folder'}; name a new file")
        self._folder = Folder(folder or ".", f"--{option}")
        self._draft = self._folder.draft()

    def write(self, data: bytes) -> None:
        """Takes octets.  Raises OSError."""
        if self._draft is None:
            sys.stdout.buffer.write(data)
        else:
            self._draft.write(data)

    def finish(self) -> None:
        """It is whole.  Raises OSError."""
        if self._draft is None:
            sys.stdout.buffer.flush()
            return
        self._folder.publish(self._draft, *os.path.splitext(self._name))
        self._folder.close()

    def abandon(self) -> None:
        """It will not be whole: nothing of it stays."""
        if self._draft is not None:
            self._draft.discard()
            self._folder.close()


class Form:
    """What is told of each event.  A form overrides what it needs."""

    whole = True
    """A filter keeps whole sessions."""
    heads = False
    """Whether `message` is wanted: the header of each message."""

    def flow_opened(self, flow: Flow) -> None:
        """A flow begins."""

    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        """A PDU."""

    def anomaly_found(self, anomaly: Anomaly, session: Session) -> None:
        """A deviation."""

    def finding(self, finding: Finding, session: Session) -> None:
        """What a plugin found."""

    def message(self, message: Message, head: bytes, session: Session) -> None:
        """The beginning of a message with its header, told before the finding of its end."""

    def flow_closed(self, flow: Flow, reason: str) -> None:
        """A flow is over.  Where a filter leaves it out, `forget` is called in place of this."""

    def forget(self, flow: Flow) -> None:
        """The flow is not asked for: nothing of it is written."""

    def finish(self) -> None:
        """All is told.  Raises OSError."""

    def abandon(self) -> None:
        """Something failed: nothing half-written stays."""


class Kept(Form):
    """A form whose lines of a flow wait for its end, since only then it is known whether it is asked for."""

    def __init__(self) -> None:
        self._open: dict[int, list[tuple[Sheet, bytes]]] = {}

    def put(self, flow: Flow, sheet: Sheet, line: bytes) -> None:
        """A line of a flow."""
        self._open.setdefault(flow.number, []).append((sheet, line))

    def flow_closed(self, flow: Flow, reason: str) -> None:
        for sheet, line in self._open.pop(flow.number, ()):
            sheet.write(line)

    def forget(self, flow: Flow) -> None:
        self._open.pop(flow.number, None)
