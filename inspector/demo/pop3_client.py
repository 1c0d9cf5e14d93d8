"""The five-state POP3 client of the sheet's question III.9, running on its table.

Each state really does what III.11 says: *connecting* resolves the name and connects, *authentication* and *transaction* send
commands and receive replies, *transaction* decodes the base64 part to a file, *update* says QUIT and closes.

Knows the automaton and the sheet's session.  Must not know what the proxy makes of it.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twisted.internet import defer, protocol

from inspector.demo.wire import Wire
from inspector.pdu import FAILED, OK, Outcome
from inspector.place import open_file
from inspector.protocols.pop3 import phases

NAME: Final = b"natkin"
PASSWORDS: Final = (b"monpacs", b"monpass")
"""The wrong one, which is refused, then the right one."""


@dataclass(frozen=True, slots=True)
class Transition:
    """The automaton goes from one state to another, or stays."""

    before: str
    event: str
    outcome: Outcome
    after: str


@dataclass(frozen=True, slots=True)
class Action:
    """A call of the sheet's list (III.10), in one state."""

    state: str
    call: str
    """`gethostbyname`, `connect`, `send`, `receive`, `convertbase64asciitobin`, `close`."""
    detail: str


Told = Callable[[Transition | Action], None]


class Pop3Client:
    """One session of the sheet's client."""

    def __init__(self, reactor: Any, host: str, port: int, folder: Path, told: Told) -> None:
        self.state: str = phases.WAITING
        self.saved: Path | None = None
        """The attachment, once it is decoded."""
        self._reactor = reactor
        self._host = host
        self._port = port
        self._folder = folder
        self._told = told
        self._wire: Any = None

    @defer.inlineCallbacks
    def run(self) -> Generator[Any, Any, None]:
        """The whole session.  Fails with the reason when the server cannot be reached, is silent or closes early."""
        try:
            self._move(phases.START, OK)
            yield self._connect()
            yield self._authenticate()
            yield self._transact()
            yield self._update()
        finally:
            if self._wire is not None:
                self._wire.close()

    def _move(self, event: str, outcome: Outcome) -> None:
        """One step of the automaton, by its table."""
        before = self.state
        row = phases.CLIENT[before][event]
        self.state = row.next.get(outcome, before)
        self._told(Transition(before, event, outcome, self.state))

    def _act(self, call: str, detail: str) -> None:
        self._told(Action(self.state, call, detail))

    @defer.inlineCallbacks
    def _connect(self) -> Generator[Any, Any, None]:
        """State 2: prepare, and open the TCP connection."""
        address = yield self._reactor.resolve(self._host)
        self._act("gethostbyname", f"{self._host} → {address}")
        creator = protocol.ClientCreator(self._reactor, Wire)
        self._wire = yield creator.connectTCP(address, self._port, timeout=10)
        self._act("connect", f"{address}:{self._port}")
        outcome = yield self._reply()
        self._move(phases.GREETING, outcome)

    @defer.inlineCallbacks
    def _authenticate(self) -> Generator[Any, Any, None]:
        """State 3: USER and PASS, until a password is right."""
        for password in PASSWORDS:
            yield self._command("USER", NAME)
            yield self._command("PASS", password, secret=True)
            if self.state == phases.CLIENT_TRANSACTION:
                return
        raise ValueError("no password was right")

    @defer.inlineCallbacks
    def _transact(self) -> Generator[Any, Any, None]:
        """State 4: receive the message, bring it into form, mark it for deletion."""
        yield self._command("STAT")
        outcome = yield self._command("RETR", b"1")
        if outcome is OK:
            lines = yield self._content()
            name, encoded = attachment(lines)
            self.saved = convert_base64_to_file(encoded, self._folder / name)
            self._act("convertbase64asciitobin", f"{self.saved} ({self.saved.stat().st_size} octets)")
        yield self._command("DELE", b"1")

    @defer.inlineCallbacks
    def _update(self) -> Generator[Any, Any, None]:
        """State 5: QUIT lets the server bring its archive up to date."""
        yield self._command("QUIT")
        self._wire.close()
        self._act("close", "")
        self._move("CLOSE", OK)

    @defer.inlineCallbacks
    def _command(self, verb: str, argument: bytes = b"", secret: bool = False) -> Generator[Any, Any, Outcome]:
        line = verb.encode() + (b" " + argument if argument else b"")
        self._wire.send(line + b"\r\n")
        self._act("send", f"{verb} ********" if secret else line.decode())
        outcome: Outcome = yield self._reply()
        self._move(verb, outcome)
        return outcome

    @defer.inlineCallbacks
    def _reply(self) -> Generator[Any, Any, Outcome]:
        line = yield self._wire.line(self._reactor)
        self._act("receive", line.decode("utf-8", "backslashreplace"))
        return OK if line.startswith(b"+OK") else FAILED

    @defer.inlineCallbacks
    def _content(self) -> Generator[Any, Any, list[bytes]]:
        """The multi-line part of a reply, up to its dot, without dot-stuffing (RFC 1939 §3)."""
        lines: list[bytes] = []
        while True:
            line = yield self._wire.line(self._reactor)
            if line == b".":
                self._act("receive", f"{len(lines)} lines")
                return lines
            lines.append(line[1:] if line.startswith(b".") else line)


def attachment(lines: list[bytes]) -> tuple[str, list[bytes]]:
    """The name and the base64 lines of the sheet's attachment.  The name is the sheet's, never the wire's."""
    head = next(number for number, line in enumerate(lines) if line.lower() == b"content-transfer-encoding: base64")
    begin = lines.index(b"", head) + 1
    return "publi.doc", lines[begin:lines.index(b"", begin)]


def convert_base64_to_file(lines: list[bytes], path: Path) -> Path:
    """The sheet's `convertbase64asciitobin`: decodes lines of base64 into a new private file."""
    descriptor = open_file(str(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64decode(b"".join(lines)))
    return path
