"""A session that only listens, and ways to cut a message: what the tests of the content plugins stand on."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

from mailspy_mime import plugin

from inspector import PDU, Address, Finding, Flow, Limits, Machine, Message, Part, Recipient, Session, Transaction
from inspector.anomaly import CATALOGUE

MIME = plugin()


class Collected:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.data = b""
        self.complete: bool | None = None

    def feed(self, data: bytes) -> None:
        assert data
        assert self.complete is None
        self.data += data

    def close(self, complete: bool) -> None:
        assert self.complete is None
        self.complete = complete


class Listener(Session):
    """A session that nobody observes."""

    def __init__(self) -> None:
        flow = Flow(1, Address("192.0.2.1", 40000), Address("192.0.2.2", 25), 0, "smtp")
        super().__init__(flow, None, Limits(), Machine({"": {}}, ""))  # type: ignore[arg-type]
        self.found: list[Finding] = []
        self.doubts: list[tuple[str, str]] = []
        self.sinks: dict[str, Collected] = {}

    def anomaly(self, name: str, detail: str, pdu: PDU | None = None) -> None:
        assert name in CATALOGUE
        self.doubts.append((name, detail))

    def report(self, finding: Finding) -> None:
        self.found.append(finding)

    def open_part(self, part: Part, message: Message) -> Collected:
        assert part.number not in self.sinks
        sink = self.sinks[part.number] = Collected()
        return sink

    def parts(self) -> list[dict[str, Any]]:
        return [finding.fields for finding in self.found if finding.event == "part"]

    def told(self) -> dict[str, Any]:
        last = self.found[-1]
        assert last.event == "message"
        return last.fields

    def everything(self) -> object:
        return self.found, self.doubts, {number: (sink.data, sink.complete) for number, sink in self.sinks.items()}


def a_message(session: Any, verb: str = "DATA") -> Message:
    recipients = [Recipient("bob@example.net", True, "250"), Recipient("eve@example.net", False, "550")]
    return Message(1, Transaction(1, "MAIL", "alice@example.org", {}, recipients), verb, session, 0)


def read(pieces: bytes | Iterable[bytes], verb: str = "DATA", complete: bool = True) -> Listener:
    """What the MIME plugin finds in a message that comes in these pieces."""
    session = Listener()
    message = a_message(session, verb)
    sink = MIME.open_message(message, session)  # type: ignore[arg-type]
    for piece in [pieces] if isinstance(pieces, bytes) else pieces:
        message.size += len(piece)
        sink.feed(piece)
    sink.close(complete)
    return session


def cuttings(data: bytes, seed: int = 0) -> Iterator[list[bytes]]:
    """Whole, byte by byte, and three ways at random."""
    yield [data]
    yield [data[place:place + 1] for place in range(len(data))]
    for number in range(3):
        yield cut(data, random.Random(seed * 3 + number))


def cut(data: bytes, dice: random.Random) -> list[bytes]:
    """Pieces of all lengths, many of them tiny."""
    pieces, place = [], 0
    while place < len(data):
        length = dice.choice((1, 1, 2, 3, 7, 40, 500))
        pieces.append(data[place:place + length])
        place += length
    return pieces


def crlf(text: str) -> bytes:
    """A message as it is written in a test, with the line ends of the wire."""
    return text.encode().replace(b"\n", b"\r\n")
