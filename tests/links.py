"""Links without sockets, for tests of the relay."""

from __future__ import annotations

from inspector.live.relay import GatedRelay, Relay
from inspector.pdu import Address, Flow
from inspector.pipeline import Pipeline


class FakeLink:
    """Remembers what was done to it; takes at most `room` octets before it has a backlog."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.peer, self.local = Address("127.0.0.1", 4000), Address("127.0.0.1", 1110)
        self.owner = None
        self.client = False
        self.sent = b""
        self.kept = b""
        self.room = room
        self.reading = False
        self.fate = ""

    @property
    def backlog(self) -> int:
        return len(self.kept)

    def send(self, data: bytes) -> bool:
        taken = max(0, self.room - len(self.sent))
        self.sent += data[:taken]
        self.kept += data[taken:]
        return bool(self.kept)

    def drain(self) -> None:
        """The peer reads again."""
        self.room = 1 << 30
        self.sent, self.kept = self.sent + self.kept, b""
        self.owner.drained(self.client)

    def start(self) -> None:
        self.reading = True

    def pause(self) -> None:
        self.reading = False

    def resume(self) -> None:
        self.reading = True

    truncated = False
    failure = ""
    faulty = False

    def end(self, truncated: bool = False) -> None:
        self.fate = self.fate or "ended"
        if not self.kept:
            self.owner.drained(self.client)

    def close(self) -> None:
        self.fate = "closed"

    def abort(self) -> None:
        self.fate = "aborted"


class Pair:
    """A relay between two fake links."""

    def __init__(self, pipeline: Pipeline, protocol: str, capture=None, keep_secrets: bool = False, judged: bool = False,
                 number: int = 1, server: bool = True, time: int = 1_790_000_000_000_000) -> None:
        self.client, self.server = FakeLink(), FakeLink() if server else None
        self.over = 0
        flow = Flow(number, Address("127.0.0.1", 40000 + number), Address("127.0.0.1", 24110), time, protocol)
        make = GatedRelay if judged else Relay
        self.relay = make(pipeline.open(flow), self.client, self.server, capture, keep_secrets, self._over)

    def _over(self, relay: Relay) -> None:
        self.over += 1

    def c(self, data: bytes) -> None:
        """The client sends."""
        self.relay.received(True, data)

    def s(self, data: bytes) -> None:
        """The server sends."""
        self.relay.received(False, data)
