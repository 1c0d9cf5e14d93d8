"""Mail files: single messages and mailboxes, read as a session in which messages cross.

What a file is, its first octets tell, not its name.  A mailbox is read as `mboxrd`: a message begins at a line `From …` that
follows an empty line, and a `>` is taken away where it quotes such a line; `Content-Length` is not believed.

Knows both kinds of file.  Must not know what is in a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO, Final

from inspector.capture.source import CAPTURES, GZIP, STDIN, ZSTD, is_capture
from inspector.errors import CaptureError
from inspector.limits import DEFAULT
from inspector.machine import Machine
from inspector.mail.lines import Lines, unquoting
from inspector.pdu import Address, Flow, Message, Transaction
from inspector.session import Observer, Session

CAPTURE: Final = "capture"
MESSAGE: Final = "eml"
MAILBOX: Final = "mbox"

BLOCK: Final = 262_144
"""Octets read at a time; a line of a mailbox that is longer is not looked at as a whole."""

_FIELD: Final = re.compile(rb"(?:\xef\xbb\xbf)?(?:\r?\n)?[!-9;-~]{1,998}[ \t]*:")
_SEPARATOR: Final = re.compile(rb"(?<![^\n])\r?\nFrom [^\n]*\n")
_ENVELOPE: Final = re.compile(r"From (\S*)\s+(?:\w{3},? )?(\w{3} +\d+ [\d:]{8})\s.*?(\d{4})", re.ASCII)
_NOWHERE: Final = Address("", 0)


def recognise(path: str) -> str:
    """`CAPTURE`, `MESSAGE` or `MAILBOX`.  Raises CaptureError for anything else, and where the file cannot be opened."""
    if path == STDIN:
        return CAPTURE
    try:
        with open(path, "rb") as stream:
            head = stream.read(1024)
    except OSError as error:
        raise CaptureError(f"{path}: cannot be opened: {error.strerror}") from error
    if head[:4] in CAPTURES or ((head[:2] == GZIP or head[:4] == ZSTD) and is_capture(path)):
        return CAPTURE
    if head.startswith(b"From "):
        return MAILBOX
    if _FIELD.match(head):
        return MESSAGE
    what = "is empty" if not head else "begins neither like a capture (pcapng, pcap) nor like a message or a mailbox"
    raise CaptureError(f"{path}: {what}; compressed mail files must be unpacked first")


class FileSession(Session):
    """A mail file as a flow: what stands in it crosses, one message after the other."""

    def __init__(self, number: int, form: str, observer: Observer) -> None:
        super().__init__(Flow(number, _NOWHERE, _NOWHERE, 0, form), observer, DEFAULT, Machine({"": {}}, ""))
        self.count = 0

    def begin(self, sender: str = "", time: int = 0) -> None:
        """A message begins; `time` is in microseconds since the epoch, 0 where the file does not tell it."""
        self.count += 1
        self.time = time
        verb = self.flow.protocol.upper()
        self.open_message(Message(self.count, Transaction(self.count, verb, sender), verb, self, time))

    def read(self, stream: BinaryIO, path: str) -> Iterator[None]:
        """Reads the file, a block between one yield and the next.  Raises CaptureError where the disk fails."""
        try:
            yield from (self._mailbox if self.flow.protocol == MAILBOX else self._message)(stream)
        except OSError as error:
            raise CaptureError(f"{path}: cannot be read: {error.strerror}") from error
        finally:
            self.close_message(False)

    def _message(self, stream: BinaryIO) -> Iterator[None]:
        self.begin()
        while block := stream.read(BLOCK):
            self.content([block])
            yield
        self.close_message(True)
        yield

    def _mailbox(self, stream: BinaryIO) -> Iterator[None]:
        quotes: Lines | None = None
        for piece, separator in mailbox(stream):
            if separator:
                self._end(quotes)
                yield
                quotes = unquoting()
                self.begin(*_envelope(piece))
            elif quotes is not None and (content := quotes.feed(piece)):
                self.content([content])
                yield
        self._end(quotes)
        yield

    def _end(self, quotes: Lines | None) -> None:
        if quotes is not None:
            if rest := quotes.finish():
                self.content([rest])
            self.close_message(True)


def mailbox(stream: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """The pieces of a mailbox, in order: a line `From …`, marked True, then the content of its message, still quoted.

    The empty line before a separator belongs to the mailbox, so it waits until it is known what follows.
    """
    yield stream.readline(BLOCK), True
    waiting = b""
    middle = False
    """Whether what comes next is the rest of a line too long to be looked at."""
    while block := stream.read(BLOCK):
        data = waiting + block
        end = data.rfind(b"\n") + 1
        if middle and not end:
            yield data, False
            waiting = b""
            continue
        place = data.find(b"\n") + 1 if middle else 0
        if place:
            yield data[:place], False
        for found in _SEPARATOR.finditer(data, place, end):
            if found.start() > place:
                yield data[place:found.start()], False
            yield found[0], True
            place = found.end()
        middle = len(data) - end >= BLOCK
        stop = len(data) if middle else end - _blank(data, place, end)
        if stop > place:
            yield data[place:stop], False
        waiting = data[stop:]
    if waiting.strip(b"\r\n"):
        yield waiting, False


def _blank(data: bytes, place: int, end: int) -> int:
    """The length of the empty line that ends the whole lines between two places, 0 if there is none."""
    for blank in (b"\r\n", b"\n"):
        start = end - len(blank)
        if start >= place and data[start:end] == blank and (start == place or data[start - 1:start] == b"\n"):
            return len(blank)
    return 0


def _envelope(line: bytes) -> tuple[str, int]:
    """What a line `From …` says: the sender, and when, in microseconds since the epoch (taken for UTC)."""
    text = line.strip().decode("latin-1")
    words = text.split(None, 2)
    sender = words[1] if len(words) > 1 else ""
    match = _ENVELOPE.match(text)
    if match is None:
        return sender, 0
    try:
        when = datetime.strptime(f"{match[2]} {match[3]}", "%b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    except ValueError:
        return sender, 0
    return sender, int(when.timestamp()) * 1_000_000
