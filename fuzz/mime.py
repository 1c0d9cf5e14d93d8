"""Coverage-guided fuzzing of the MIME reader: `fuzz/run.sh 60`, or `python fuzz/mime.py -max_total_time=60 fuzz/corpus/mime`.

The first octet of an input chooses how the rest is cut.  The laws: nothing raises, any cutting gives the same parts, octets,
findings and anomalies, and a MiB costs a bounded time (libFuzzer's -timeout).

Knows the plugin as everybody does, by its hook.  Must not know how it reads.
"""

from __future__ import annotations

import random
import sys
from hashlib import sha256
from pathlib import Path
from unicodedata import category

import atheris

with atheris.instrument_imports(include=["mailspy_mime"]):
    import mailspy_mime

from inspector import Address, Finding, Flow, Limits, Machine, Message, Part, Session, Transaction


class Taken:
    """A sink that keeps a sum."""

    def __init__(self) -> None:
        self.digest = sha256()
        self.complete: bool | None = None

    def feed(self, data: bytes) -> None:
        """The next octets."""
        assert data, "an empty segment"
        assert self.complete is None, "octets after the end"
        self.digest.update(data)

    def close(self, complete: bool) -> None:
        """The end."""
        assert self.complete is None, "a second end"
        self.complete = complete


class Listener(Session):
    """A session that nobody observes."""

    def __init__(self) -> None:
        flow = Flow(1, Address("192.0.2.1", 40000), Address("192.0.2.2", 25), 0, "smtp")
        super().__init__(flow, None, Limits(), Machine({"": {}}, ""))
        self.told: list[object] = []
        self.sinks: dict[str, Taken] = {}

    def anomaly(self, name: str, detail: str, pdu: object = None) -> None:
        """Kept."""
        assert detail.isprintable() or all(mark.isprintable() or category(mark) == "Zs" for mark in detail), detail
        self.told.append((name, detail))

    def report(self, finding: Finding) -> None:
        """Kept."""
        self.told.append(finding)

    def open_part(self, part: Part, message: Message) -> Taken:
        """A sink for every part; no number comes twice."""
        assert part.number not in self.sinks, part.number
        sink = self.sinks[part.number] = Taken()
        return sink

    def everything(self) -> object:
        """What can be compared."""
        return self.told, {number: (sink.digest.hexdigest(), sink.complete) for number, sink in self.sinks.items()}


PLUGIN = mailspy_mime.plugin()


def read(pieces: list[bytes]) -> object:
    """What is found in a message that comes in these pieces."""
    session = Listener()
    message = Message(1, Transaction(1, "MAIL", "alice@example.org", {}, []), "DATA", session, 0)
    sink = PLUGIN.open_message(message, session)
    for piece in pieces:
        message.size += len(piece)
        sink.feed(piece)
    sink.close(True)
    assert all(taken.complete is not None for taken in session.sinks.values()), "a part without an end"
    return session.everything()


def cut(data: bytes, seed: int) -> list[bytes]:
    """One by one, in small pieces, or in two."""
    if seed == 0:
        return [data[place:place + 1] for place in range(len(data))]
    dice = random.Random(seed)
    pieces, place = [], 0
    while place < len(data):
        length = dice.choice((1, 2, 3, 40, 500)) if seed % 2 else dice.randrange(1, len(data) + 1)
        pieces.append(data[place:place + length])
        place += length
    return pieces


def one(data: bytes) -> None:
    """One input."""
    if not data:
        return
    message = data[1:]
    whole = read([message] if message else [])
    assert read(cut(message, data[0])) == whole, "the cutting matters"


if __name__ == "__main__":
    Path("fuzz/corpus/mime").mkdir(parents=True, exist_ok=True)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
