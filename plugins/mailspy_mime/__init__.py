"""mailspy_mime: reads every message that crosses, and tells what is in it.

One event `part` for each leaf of the MIME tree as it ends, one event `message` at the end; whoever wants the decoded
octets of a part takes a sink from the hook `open_part`; `TextSink` is one that makes text of them.  Messages are read as
they stream, in one pass, whatever the cutting.

Knows the hook and the reader.  Must not know how MIME is written (`scanner`, `fields`, `parameters`, `words`,
`decoders`).
"""

from __future__ import annotations

from inspector import Message, Session, Sink, hookimpl
from mailspy_mime.scanner import Scanner
from mailspy_mime.text import TextSink

__all__ = ["MimePlugin", "TextSink", "plugin"]


class MimePlugin:
    """The plugin.  Has no options and no state: what there is to remember belongs to one message."""

    __slots__ = ()

    @hookimpl
    def open_message(self, message: Message, session: Session) -> Sink:
        """A reader for the message."""
        return Scanner(message, session)


plugin = MimePlugin
