"""Live traffic into a pcapng file: one call and one system call a segment, before the segment is forwarded.

Knows which packets each event becomes.  Must not know sockets, and reads no clock but to name a file: times are given.

What it writes, `reader.read` gives back event for event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from inspector.capture.conversation import Conversation, Half, Path
from inspector.capture.file import CaptureFile, Piece
from inspector.capture.note import pack
from inspector.errors import CaptureError
from inspector.formats import frame, pcapng
from inspector.formats.frame import LARGEST
from inspector.pdu import C2S, Direction, Finding, Flow
from inspector.segment import SILENT, Words

BATCH: Final = 128 * LARGEST
"""Octets handed to one system call, so that their packets are less than the 1,024 pieces that Linux takes."""
WHOLE: Final = 8_192
"""Octets up to which joining the pieces of a packet costs less than handing them over."""

Octets = bytes | bytearray | memoryview


class CaptureWriter:
    """A capture being written; see docs for what other programs show of it."""

    __slots__ = ("_alarm", "_application", "_conversations", "_file", "_paths", "_trouble")

    def __init__(self, path: str, *, application: str = "mailspy", alarm: Callable[[str], None]) -> None:
        """`path`: a file, created or appended to, or a folder (existing, or with `/` at its end) for a file of its own.

        Raises CaptureError where nothing can be written there.  `alarm` takes what a person must know, one text each:
        a torn file mended, a file that others may read, a disk that is full.
        """
        self._application = application
        self._alarm = alarm
        self._file = CaptureFile(path, application, alarm)
        self._trouble = ""
        """Why the file cannot be begun anew, once that is told."""
        self._conversations: dict[int, Conversation] = {}
        self._paths: set[Path] = set()

    @property
    def path(self) -> str:
        """The file that is written."""
        return self._file.path

    def open(self, flow: Flow) -> None:
        """Writes the handshake, at the time `flow.opened`."""
        self.forget(flow)
        self._control(self._begin(flow), b"", flow.opened)

    def segment(
        self, flow: Flow, direction: Direction, data: Octets | Sequence[Octets], time: int, comments: Sequence[str] = ()
    ) -> None:
        """Writes octets sent at `time` (microseconds); when it returns the kernel has them.

        Never raises for a full disk: it counts, alarms once, and tries again when `time` is a second later.
        `comments` go to the (last) packet of the segment.  A flow that was never opened is opened first.
        """
        conversation = self._conversations.get(flow.number) or self._begin(flow)
        octets = data if isinstance(data, bytes) else _joined(data)
        size = len(octets)
        if size > WHOLE or self._file.failing or conversation.pending:
            self._segment(conversation, direction, octets, time, comments)
        elif size:
            half = conversation.client if direction == C2S else conversation.server
            pieces = half.data(octets, time, comments)
            if self._file.gathering:
                self._file.write_pieces(pieces, size, time)
            else:
                self._file.write(b"".join(pieces), size, time)

    def gap(self, flow: Flow, direction: Direction, size: int) -> None:
        """Leaves out octets that were sent and are not known: what comes next has the place that it has had."""
        conversation = self._conversations.get(flow.number) or self._begin(flow)
        conversation.half(direction).advance(size)

    def note(self, flow: Flow, findings: Sequence[Finding], secured: bool, time: int, words: Words = SILENT) -> None:
        """Writes down what no octet shows; `secured`: from here on what crosses in TLS stands in the clear; `words`: what mailspy
        says itself in what comes next."""
        conversation = self._conversations.get(flow.number) or self._begin(flow)
        for comment in pack(findings, secured, words):
            self._control(conversation, conversation.client.note(comment, time), time)

    def secrets(self, keylog: bytes, time: int) -> None:
        """Writes keys of TLS sessions whose records come next."""
        if keylog and self._file.ready(time):
            self._file.write(pcapng.secrets(keylog), 0, time)

    def end(self, flow: Flow, direction: Direction, time: int) -> None:
        """Writes the FIN of that direction's sender, which the next packet of the other side acknowledges.

        After both FINs, and an acknowledgement of the second, the flow is forgotten.
        """
        conversation = self._conversations.get(flow.number)
        if conversation is None or (half := conversation.half(direction)).ended:
            return
        half.ended = True
        finish = half.packet(frame.FINISH, time, comments=self._file.gap)
        half.advance(1)
        if half.peer.ended:
            self._control(conversation, finish + half.peer.packet(frame.ACK, time), time)
            self.forget(flow)
        else:
            self._control(conversation, finish, time)

    def reset(self, flow: Flow, direction: Direction, time: int) -> None:
        """Writes the RST of that direction's sender and forgets the flow."""
        conversation = self._conversations.get(flow.number)
        if conversation is not None:
            abort = conversation.half(direction).packet(frame.RESET, time, comments=self._file.gap)
            self._control(conversation, abort, time)
            self.forget(flow)

    def watch(self) -> bool:
        """Begins the file anew where others have moved, removed, replaced or emptied it; else goes on in what is open.  True when
        it was begun: each open flow is then to be told by `rejoin`.  Call it from time to time."""
        lost = self._file.lost()
        if not lost:
            self._trouble = ""
            return False
        try:
            begun = self._file.anew(self._application)
        except CaptureError as error:
            if self._trouble != str(error):
                self._trouble = str(error)
                self._alarm(f"CAPTURE LOST: {self.path} {lost}, and cannot be begun anew: {error}. Until it can, all goes where "
                            "the open file is; mailspy tries again every second")
            return False
        self._file.close()
        self._file, self._trouble = begun, ""
        number = len(self._conversations)
        self._alarm(f"{self.path} {lost}: begun anew" + (
            f", {number} open session{'s go' if number > 1 else ' goes'} on in the new file" if number else ""))
        return True

    def rejoin(self, flow: Flow, time: int, secure: bool, unread: bool) -> None:
        """The flow goes on in a file that was begun in its middle.  `secure`: what stands there crossed in TLS; `unread`: nothing
        of it can be read."""
        if (conversation := self._conversations.get(flow.number)) is not None:
            conversation.rejoin(flow, time, secure, unread)
            self._control(conversation, b"", time)

    def forget(self, flow: Flow) -> None:
        """Nothing more will come of this flow."""
        conversation = self._conversations.pop(flow.number, None)
        if conversation is not None:
            self._paths.discard(conversation.path)

    def gather(self) -> None:
        """From here on records wait for `flush`, which whoever sends octets on calls before: one write for several."""
        self._file.gathering = True

    def flush(self) -> None:
        """Writes what was gathered: when it returns the kernel has it."""
        self._file.flush()

    def close(self) -> None:
        """Closes the file; whatever was written is in it already."""
        self._file.close()

    def _begin(self, flow: Flow) -> Conversation:
        conversation = Conversation(flow, self._paths)
        self._conversations[flow.number] = conversation
        self._paths.add(conversation.path)
        return conversation

    def _control(self, conversation: Conversation, packets: bytes, time: int) -> None:
        """Writes packets without payload, after the handshake if that is still to be written."""
        if self._file.ready(time) and self._file.write(conversation.pending + packets, 0, time):
            conversation.pending = b""

    def _segment(
        self, conversation: Conversation, direction: Direction, data: bytes, time: int, comments: Sequence[str]
    ) -> None:
        """The careful way: for large data, a handshake still to be written, a disk that is or was full."""
        half = conversation.half(direction)
        comments = [*self._file.gap, *comments]
        for start in range(0, len(data), BATCH):
            batch = memoryview(data)[start : start + BATCH]
            last = start + BATCH >= len(data)
            if not self._file.ready(time):
                half.advance(len(batch))
                self._file.lose(len(batch))
                continue
            pieces = self._pieces(conversation, half, batch, time, comments if last else ())
            if self._file.write_pieces(pieces, len(batch), time):
                conversation.pending = b""

    def _pieces(
        self, conversation: Conversation, half: Half, batch: memoryview, time: int, comments: Sequence[str]
    ) -> list[Piece]:
        pieces: list[Piece] = [conversation.pending] if conversation.pending else []
        for start in range(0, len(batch), LARGEST):
            chunk = batch[start : start + LARGEST]
            pieces += half.data(chunk, time, comments if start + LARGEST >= len(batch) else ())
        return pieces


def _joined(data: Octets | Sequence[Octets]) -> bytes:
    return bytes(data) if isinstance(data, bytearray | memoryview) else b"".join(data)  # type: ignore[arg-type]
