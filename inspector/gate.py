"""Carrying verdicts out: which octets of a flow may leave, and what leaves in their place.

Rules.  Only in use when some plugin judges.  A line leaves when it was judged; a body streams, but for the few octets of its end,
which wait for the verdict on its message.  What is no longer read is judged once, before it leaves.  An answer in the server's
place takes its turn among the server's replies, and the session reads it as if the server had sent it: what the session sees is
what the client sees.

Knows a session and its readers.  Must not know sockets or plugins.
"""

from __future__ import annotations

from typing import Final

from inspector.pdu import C2S, PDU, Kind, Message
from inspector.session import Session
from inspector.verdict import Answer, Close, Forward, Replace, Verdict

_LINES: Final = frozenset({Kind.GREETING, Kind.COMMAND, Kind.REPLY, Kind.CONTINUATION, Kind.SASL_RESPONSE})


HELD: Final = 2
"""A lane holds so many times `Limits.held`: what its reader holds, and a line without end.  Past it the flow is ended."""


class Lane:
    """The octets of one direction between their coming and their leaving."""

    __slots__ = ("base", "held", "leaving")

    def __init__(self) -> None:
        self.base = 0
        """Where in the session's stream the held octets begin."""
        self.held = bytearray()
        self.leaving: list[bytes] = []

    def release(self, offset: int) -> None:
        """Lets everything before that offset leave."""
        if (count := offset - self.base) > 0:
            self.leaving.append(bytes(self.held[:count]))
            self.drop(count)

    def drop(self, count: int) -> None:
        """Takes octets away."""
        del self.held[:count]
        self.base += count

    def insert(self, raw: bytes) -> None:
        """Lets octets leave that did not come."""
        self.leaving.append(raw)

    def take(self) -> bytes:
        """What leaves now."""
        data, self.leaving = b"".join(self.leaving), []
        return data


class FlowGate:
    """The gate of one flow."""

    __slots__ = ("_answers", "_client", "_server", "closing", "session")

    def __init__(self) -> None:
        self.session: Session | None = None
        self.closing: Close | None = None
        """The flow is to be ended, with this farewell."""
        self._client = Lane()
        self._server = Lane()
        self._answers: dict[int, bytes] = {}
        """Answers that wait for their turn, by the number of the command's PDU."""

    def came(self, client: bool, data: bytes) -> None:
        """Octets have come; the session reads them next."""
        (self._client if client else self._server).held += data

    def leaves(self, client: bool) -> bytes:
        """What may leave in one direction, after the session has read."""
        lane = self._client if client else self._server
        session = self.session
        if session is not None and self.closing is None:
            lane.release((session.client if client else session.server).safe)
            if len(lane.held) > HELD * session.limits.held:
                self.closing = Close()
        return lane.take()

    def forget(self) -> None:
        """The flow is closing: what has come from the server and not left never will.  The session reads the farewell next."""
        if self.session is not None:
            self.session.server.buffer = b""

    def rule(self, subject: PDU | Message, verdict: Verdict) -> None:
        """A judge has spoken about the PDU or the message in hand."""
        if isinstance(verdict, Close):
            self.closing = self.closing or verdict
        elif isinstance(subject, Message):
            if isinstance(verdict, Answer):
                self.closing = self.closing or Close(verdict.raw)
        elif subject.kind in _LINES and not isinstance(verdict, Forward):
            self._rule_line(subject, verdict)

    def _rule_line(self, pdu: PDU, verdict: Replace | Answer) -> None:
        client = pdu.direction is C2S
        lane = self._client if client else self._server
        lane.release(pdu.offset)
        lane.drop(pdu.size)
        if isinstance(verdict, Replace) or not client:
            lane.insert(verdict.raw)
        else:
            self._answers[pdu.number] = verdict.raw

    def take_turns(self) -> None:
        """Gives the answers whose turn has come: called before each line of the server is read, and after each feed."""
        session = self.session
        while self._answers and session is not None and session.pending:
            command = session.pending[0].command
            raw = self._answers.pop(command.number, None) if command is not None else None
            if raw is None:
                return
            reader, lane = session.server, self._server
            lane.release(reader.offset)
            lane.insert(raw)
            lane.base += len(raw)
            reader.offset += len(raw)
            session.server_line(raw, len(raw))
