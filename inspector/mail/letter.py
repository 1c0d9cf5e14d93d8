"""One message with all that the plugins told of it, and the plugin that collects it.

Rules.  Texts are decoded only for whoever asks, and bounded.  What fails in here while a message streams (a full disk, a reader
that has gone) is kept as `trouble`, for the command to raise: hooks contain exceptions.

Knows hooks and messages.  Must not know how a letter is shown or stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from inspector.anomaly import Anomaly
from inspector.hookspecs import hookimpl
from inspector.pdu import Finding, Flow, Message, Part, Sink
from inspector.session import Session

HEAD: Final = 65_536
"""Octets of a header that are kept for people."""
TEXT: Final = 262_144
"""Octets of one text that are kept; past it the text is cut, with a notice."""
TEXTS: Final = 1_048_576
"""Octets of all texts of one message that are kept; the texts past it are left out, with a notice."""
ANOMALIES: Final = 100
"""Anomalies kept of one message."""

_TEXTUAL: Final = frozenset({"message/delivery-status", "message/disposition-notification", "message/global-delivery-status"})
"""Types beside `text/*` that people can read."""


class TextSink:
    """Keeps the beginning of a part."""

    __slots__ = ("cut", "data", "room")

    def __init__(self, room: int) -> None:
        self.data = bytearray()
        self.room = room
        self.cut = False

    def feed(self, data: bytes) -> None:
        """Takes decoded octets."""
        left = self.room - len(self.data)
        if len(data) > left:
            self.cut = True
            data = data[:left]
        self.data += data

    def close(self, complete: bool) -> None:
        """Nothing to do."""


@dataclass(slots=True, eq=False)
class Leaf:
    """A part, as far as it was told."""

    part: Part
    text: TextSink | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    """Those of the event `part`; empty until the part is over."""


@dataclass(slots=True, eq=False)
class Letter:
    """A message seen crossing."""

    number: int
    """From 1, in the run, in the order in which they began."""
    message: Message
    flow: Flow
    missing: int
    """What the capture lacked of the flow when the message began."""
    head: bytearray = field(default_factory=bytearray)
    """Its first octets, at most `HEAD`."""
    leaves: list[Leaf] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    """Those of the event `message`."""
    anomalies: list[Anomaly] = field(default_factory=list)
    pdu: int = 0
    """The number of the PDU that its end completes."""
    flaw: str = "not over yet"
    """Why it is not the whole message; empty when it is."""
    room: int = TEXTS
    asked: bool = True
    """Whether a filter asks for it, as far as is known."""

    @property
    def complete(self) -> bool:
        """Whether all of the message was seen."""
        return not self.flaw

    @property
    def subject(self) -> str:
        """The subject, decoded, not sanitised."""
        return str(self.fields.get("subject", ""))

    def find(self, number: str) -> Leaf | None:
        """The latest leaf of that number."""
        return next((leaf for leaf in reversed(self.leaves) if leaf.part.number == number), None)


class Collector:
    """The plugin of the commands: makes a letter of each message, and hands it over at its end."""

    def __init__(self, take: Callable[[Letter], Sink | None], done: Callable[[Letter], None],
                 reads: Callable[[Letter], bool], asks: Callable[[Anomaly | Finding, Session], bool] | None = None) -> None:
        """`take` is asked for a sink for the octets, `reads` whether the texts are wanted; `done` gets the letter when it is
        over and its sink was closed.  `asks`: whether an event makes the message one that is asked for; all are without it."""
        self._take = take
        self._done = done
        self._reads = reads
        self._asks = asks
        self._letters: dict[Message, Letter] = {}
        self._count = 0
        self.trouble: Exception | None = None
        """What went wrong on our side."""

    @hookimpl(trylast=True)
    def open_message(self, message: Message, session: Session) -> Sink:
        """A letter; last of all plugins, so that at its end the others have told what they found."""
        self._count += 1
        letter = self._letters[message] = Letter(
            self._count, message, session.flow, session.flow.missing, asked=self._asks is None)
        return _Incoming(self, letter, self.guarded(lambda: self._take(letter)))

    @hookimpl
    def open_part(self, part: Part, message: Message) -> Sink | None:
        """Remembers the part; takes its octets if it is a text that is wanted."""
        letter = self._letters.get(message)
        if letter is None:
            return None
        leaf = Leaf(part)
        letter.leaves.append(leaf)
        if is_text(part) and self._reads(letter):
            leaf.text = TextSink(min(TEXT, letter.room))
            letter.room -= leaf.text.room
        return leaf.text

    @hookimpl
    def finding(self, finding: Finding, session: Session) -> None:
        """What the MIME plugin says of a part or of the message."""
        letter = self._letters.get(session.message) if session.message is not None else None
        if letter is None:
            return
        self._ask(letter, finding, session)
        if finding.event == "message":
            letter.fields = finding.fields
        elif finding.event == "part" and (leaf := letter.find(str(finding.fields.get("part")))) is not None:
            leaf.fields = finding.fields
            if leaf.text is not None:
                letter.room += leaf.text.room - len(leaf.text.data)

    @hookimpl
    def anomaly_found(self, anomaly: Anomaly, session: Session) -> None:
        """A deviation in the message in hand."""
        letter = self._letters.get(session.message) if session.message is not None else None
        if letter is not None:
            self._ask(letter, anomaly, session)
            if len(letter.anomalies) < ANOMALIES:
                letter.anomalies.append(anomaly)

    def _ask(self, letter: Letter, event: Anomaly | Finding, session: Session) -> None:
        if not letter.asked and self._asks is not None:
            letter.asked = self._asks(event, session)

    def finished(self, letter: Letter, complete: bool) -> None:
        """The message is over."""
        message = letter.message
        del self._letters[message]
        letter.pdu = message.session.number + 1
        letter.flaw = flaw(letter, complete)

    def over(self, letter: Letter) -> None:
        """Its sink is closed too."""
        self.guarded(lambda: self._done(letter))

    def guarded(self, action: Callable[[], Sink | None]) -> Sink | None:
        """Does what can fail on our side; the first failure ends all."""
        if self.trouble is None:
            try:
                return action()
            except Exception as error:
                self.trouble = error
        return None


class _Incoming:
    """The sink of one letter: keeps its head, and hands the octets on."""

    __slots__ = ("_collector", "_letter", "_sink")

    def __init__(self, collector: Collector, letter: Letter, sink: Sink | None) -> None:
        self._collector = collector
        self._letter = letter
        self._sink = sink

    def feed(self, data: bytes) -> None:
        """Takes octets of the message."""
        head = self._letter.head
        if len(head) < HEAD:
            head += data[:HEAD - len(head)]
        sink = self._sink
        if sink is not None:
            self._collector.guarded(lambda: sink.feed(data))

    def close(self, complete: bool) -> None:
        """The message is over."""
        self._collector.finished(self._letter, complete)
        sink, whole = self._sink, self._letter.complete
        if sink is not None:
            self._collector.guarded(lambda: sink.close(whole))
        self._collector.over(self._letter)


def is_text(part: Part) -> bool:
    """Whether people can read the part, and the sender did not call it a file."""
    kind = part.content_type
    return (kind.startswith("text/") or kind in _TEXTUAL) and part.disposition != "attachment"


def flaw(letter: Letter, complete: bool) -> str:
    """Why a message is not whole; empty when it is."""
    message, lacking = letter.message, letter.flow.missing - letter.missing
    if lacking:
        return f"{lacking} octets of its flow are not in the capture"
    if not complete:
        return "cut short"
    if message.verb == "TOP":
        return "only its beginning was asked for (TOP)"
    return ""
