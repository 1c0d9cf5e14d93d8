"""What exists on the wire: flows, segments, PDUs, exchanges, transactions, messages.

Knows the vocabulary (docs/glossary.md) and nothing else: no protocol, no plugin, no socket, no clock.
Times are integers, microseconds since 1970-01-01 UTC, and always come from outside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from inspector.text import MASK, decode

if TYPE_CHECKING:
    from inspector.session import Session


class Direction(StrEnum):
    """Which way octets travel."""

    CLIENT_TO_SERVER = "C->S"
    SERVER_TO_CLIENT = "S->C"


C2S: Final = Direction.CLIENT_TO_SERVER
S2C: Final = Direction.SERVER_TO_CLIENT


class Kind(StrEnum):
    """What a PDU is in the grammar of its protocol."""

    GREETING = "greeting"
    COMMAND = "command"
    REPLY = "reply"
    CONTINUATION = "continuation"
    """The server asks for more in the middle of an exchange: `334`, `+ `."""
    SASL_RESPONSE = "sasl_response"
    BODY = "body"
    """A content with its end: a message, a BDAT chunk, the lines of a multi-line reply."""
    OPAQUE = "opaque"
    """Octets that are passed on but not understood: TLS records, a flow after a parser fault."""


class Origin(StrEnum):
    """Whose words the octets of a PDU are."""

    PEER = "peer"
    MAILSPY = "mailspy"
    """mailspy has said them in somebody's place: an answer, a farewell, what a judge has put in the place of a line."""


PEER: Final = Origin.PEER
MAILSPY: Final = Origin.MAILSPY


class Outcome(StrEnum):
    """A reply folded to what it means for the session, the same for every protocol."""

    OK = "OK"
    MORE = "MORE"
    FAILED = "FAILED"


OK: Final = Outcome.OK
MORE: Final = Outcome.MORE
FAILED: Final = Outcome.FAILED


NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
"""No details."""


class Address(NamedTuple):
    """An IP address and a TCP port; of a server whose name was never resolved, that name."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


_HOST_NAME: Final = re.compile(r"[^\s/@?#:\[\]\\%\x00-\x20\x7f]{1,253}")


def is_host_name(text: str) -> bool:
    """Whether a host can be called so: 253 characters at most (RFC 1035 §2.3.4), none that an address or a URL would need."""
    return _HOST_NAME.fullmatch(text) is not None and text.isprintable()


@dataclass(slots=True, eq=False)
class Flow:
    """One proxied connection, client to server."""

    number: int
    """From 1, in the order in which the flows were opened."""
    client: Address
    server: Address
    opened: int
    """Microseconds since the epoch."""
    protocol: str = ""
    """`pop3`, `smtp`, `lmtp` …; empty until it is known from the greeting."""
    closed: int = 0
    """When it was over, in microseconds since the epoch; 0 while it is open."""
    missing: int = 0
    """Octets so far that crossed and are not in the capture that is read."""
    secure: bool = False
    """It crosses in TLS on both sides, from its first octet, and is seen in the clear."""
    sealed: bool = False
    """The client's leg is in TLS from its first octet, and the capture has its records."""


class PDU:
    """The smallest unit that the grammar of a protocol knows."""

    __slots__ = ("client_state", "command", "details", "direction", "kind", "note", "number", "offset", "origin", "phase",
                 "raw", "secret", "size", "status", "time", "transaction", "veiled", "verb")

    number: int
    """From 1, in the flow, both directions counted together, in order of completion."""
    direction: Direction
    kind: Kind
    phase: str
    """The part of the session that it belongs to; a reply belongs to the phase of its command."""
    verb: str
    """The command, in capitals; for a reply or a body, the command that it answers or belongs to."""
    status: str
    """Of a reply: `+OK`, `-ERR`, `250`; else empty."""
    raw: bytes
    """The exact octets.  Of a body, an over-long line or an opaque PDU, the first `Limits.head` octets at least:
    whoever wants all of a message takes a sink from `open_message`."""
    size: int
    """Octets on the wire, the end of line or the final dot included."""
    offset: int
    """Where it begins in the byte stream of its direction.  The PDUs of a direction tile its stream."""
    time: int
    """When its last octet was seen, in microseconds since the epoch."""
    client_state: str
    """POP3: the state of the client automaton (the exercise sheet's question III.9)."""
    transaction: int
    """The number, in the flow, of the SMTP transaction or POP3 retrieval that it belongs to; 0 for none."""
    secret: tuple[int, int] | None
    """Where in `raw` a secret stands (start, end), or None."""
    command: PDU | None
    """Of a reply, continuation or body: the command that it answers."""
    details: Mapping[str, str]
    """What the grammar read in it: the path and the ESMTP parameters of MAIL and RCPT, the enhanced status of a reply."""
    note: str
    """What `text` says, once it is known."""
    origin: Origin
    """Who has said it: the peer whose direction it is, or mailspy in its place."""
    veiled: bytes | None
    """What a capture has in place of `raw`, where a command, a header or a server's words hold a secret; or None."""

    def __init__(self, number: int, direction: Direction, kind: Kind, phase: str, verb: str, status: str, raw: bytes, size: int,
                 offset: int, time: int, client_state: str = "", transaction: int = 0, secret: tuple[int, int] | None = None,
                 command: PDU | None = None, details: Mapping[str, str] = NOTHING, note: str = "") -> None:
        self.number = number
        self.direction = direction
        self.kind = kind
        self.phase = phase
        self.verb = verb
        self.status = status
        self.raw = raw
        self.size = size
        self.offset = offset
        self.time = time
        self.client_state = client_state
        self.transaction = transaction
        self.secret = secret
        self.command = command
        self.details = details
        self.note = note
        self.origin = PEER
        self.veiled = None

    @property
    def text(self) -> str:
        """One line for people: sanitised, secrets masked, the end of line left out.

        Of a body, `message content, 600 octets`, or the lines of a listing.
        """
        if not self.note:
            self.note = self._text()
        return self.note

    def _text(self) -> str:
        raw = self.raw
        if self.kind is Kind.BODY:
            return " / ".join(decode(line) for line in raw.removesuffix(b".\r\n").split(b"\r\n") if line) or "(empty)"
        end = len(raw) - 2 if raw[-2:] == b"\r\n" else len(raw) - (raw[-1:] == b"\n")
        if self.secret is None:
            line = raw[:end]
            return decode(line) if b"\n" not in line else " / ".join(map(decode, line.splitlines()))
        first, last = self.secret
        return decode(raw[:first]) + (MASK if last > first else "") + (decode(raw[last:end]) if end > last else "")

    @property
    def way(self) -> str:
        """Who says it to whom: `C->S`, `S->C`, or in somebody's place `M->S`, `M->C`."""
        if self.origin is PEER:
            return "C->S" if self.direction is C2S else "S->C"
        return "M->S" if self.direction is C2S else "M->C"

    @property
    def shown(self) -> bytes:
        """`raw` with the secret, if any, replaced by stars of the same length."""
        if self.secret is None:
            return self.raw if self.veiled is None else self.veiled
        first, last = self.secret
        return self.raw[:first] + stars(last - first) + self.raw[last:]


def stars(length: int) -> bytes:
    """A mask of that many octets.  A lone `*` would read as a cancelled SASL exchange (RFC 4954 §4, RFC 5034 §4)."""
    return b"x" if length == 1 else b"*" * length


class Exchange:
    """One command and all its replies."""

    __slots__ = ("client_state", "command", "due", "entry", "hoped", "phase", "replies", "transaction", "verb")

    verb: str
    phase: str
    """What the command and its replies belong to."""
    client_state: str
    transaction: Transaction | None
    command: PDU | None
    """The command, or the body whose end is answered; None for the greeting, which answers the connection."""
    entry: Any
    """The command's entry in the grammar of its protocol."""
    due: int
    """Final replies still to come: several after an LMTP end of data (RFC 2033 §4.2)."""
    replies: Sequence[PDU]
    """Filled for `exchange_completed` only."""

    def __init__(self, verb: str, phase: str, client_state: str = "", transaction: Transaction | None = None,
                 command: PDU | None = None, entry: Any = None, due: int = 1, replies: Sequence[PDU] = ()) -> None:
        self.verb = verb
        self.phase = phase
        self.client_state = client_state
        self.transaction = transaction
        self.command = command
        self.entry = entry
        self.due = due
        self.replies = replies
        self.hoped: list[str] | None = None
        """The states that the machines were expected in before it, when that was last made anew."""

    @property
    def duration(self) -> int:
        """Microseconds from the command to its last reply."""
        if self.command is None or not self.replies:
            return 0
        return self.replies[-1].time - self.command.time


class Recipient(NamedTuple):
    """One RCPT and what the server said of it."""

    address: str
    accepted: bool
    status: str
    """Of the reply; empty before it, and where it is not in the capture or never came."""

    @property
    def refused(self) -> bool:
        """Whether the server has said no: where its reply is unknown, the message may have been for the recipient."""
        return not self.accepted and self.status != ""


@dataclass(slots=True, eq=False)
class Transaction:
    """SMTP: MAIL to the reply to the end of data.  POP3: one RETR or TOP."""

    number: int
    """From 1, in the flow."""
    verb: str
    """The command that opened it: `MAIL`, `RETR`, `TOP`."""
    sender: str = ""
    """The reverse-path of MAIL, without its angle brackets; empty for `<>`."""
    parameters: dict[str, str] = field(default_factory=dict)
    """The ESMTP parameters of MAIL, names in capitals (RFC 5321 §4.1.1.11)."""
    recipients: list[Recipient] = field(default_factory=list)
    """At most `Limits.recipients` of them, in their order, from their commands on: without a status until they are answered."""
    answered: int = 0
    """How many recipients the server has answered."""
    accepted: int = 0
    """How many recipients the server accepted."""
    argument: str = ""
    """POP3: the argument of RETR or TOP."""


class Message:
    """An RFC 5322 message seen crossing: its octets go to the sinks that `open_message` returned."""

    __slots__ = ("number", "opened", "session", "size", "time", "transaction", "verb")

    number: int
    """From 1, in the flow."""
    transaction: Transaction
    verb: str
    """How it crossed: `DATA`, `BDAT`, `RETR`, `TOP`."""
    session: Session
    opened: int
    """When its first octet could cross, in microseconds since the epoch."""
    size: int
    """Octets of content so far, dot-stuffing and the final dot taken away."""
    time: int
    """When its latest octets were seen."""

    def __init__(self, number: int, transaction: Transaction, verb: str, session: Session, opened: int, size: int = 0,
                 time: int = 0) -> None:
        self.number = number
        self.transaction = transaction
        self.verb = verb
        self.session = session
        self.opened = opened
        self.size = size
        self.time = time


RUN: Final = 1 << 16
"""Octets that a patient sink may get late, at most."""


class Sink(Protocol):
    """What takes a stream: the octets in order, in whole segments, then the end."""

    def feed(self, data: bytes) -> None:
        """Takes the next octets, of any length."""

    def close(self, complete: bool) -> None:
        """The stream is over; `complete` is False when it was cut short."""


class PatientSink(Sink, Protocol):
    """A sink that says when it can wait: offline, what comes then is gathered and fed in fewer and longer pieces."""

    patient: bool
    """True while nothing is told of the next octets before a dash or a dot comes among them, or the end; at most `RUN` wait for
    that.  Read after each `feed`."""


@dataclass(slots=True, eq=False)
class Part:
    """A MIME entity in a message, as the MIME plugin reads it."""

    message: Message
    number: str
    """Its place in the tree as IMAP writes it: `1`, `2.1`."""
    content_type: str
    """Type and subtype in small letters: `application/msword`."""
    charset: str = ""
    encoding: str = ""
    """The Content-Transfer-Encoding in small letters; empty where none is declared."""
    disposition: str = ""
    """`inline`, `attachment`, … in small letters; empty where none is declared."""
    filename: str = ""
    """The declared name, decoded, not made safe."""
    within: tuple[tuple[str, str], ...] = ()
    """The containers around it, outermost first: number and content type of each.  A multipart that is the whole of a message
    has no number of its own."""
    candidates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Where readers take the header of the part differently, all their readings, ours first: `filename`, `content_type`,
    `encoding`, `disposition`, `boundary`."""


class Finding(NamedTuple):
    """A plugin's result for people and programs: a message read, a file saved, a policy breach."""

    event: str
    """The name of the JSON event: `message`, `part`, `attachment`, `policy` …"""
    summary: str
    """One line for people; it is sanitised where it is shown."""
    fields: dict[str, object]
    """The other members of the JSON object; text in it is sanitised where it is written."""
    severity: str = "info"
    """`info`, `low`, `medium`, `high` or `critical`."""
    time: int = 0
    """Microseconds since the epoch; 0 for the time of the segment in hand."""
