"""Somebody at a terminal: types a line, waits for the reply, types the next; the sheet's II.5 and II.6.

Knows the two dialogues.  Must not know what the proxy makes of them.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final

from twisted.internet import defer, protocol

from inspector.demo.wire import Wire

MICHEL_TO_PIERRE: Final = (
    "HELO cnam.fr",
    "MAIL FROM:<michel@cnam.fr>",
    "RCPT TO:<pierre@cnam.fr>",
    "DATA",
    "From: michel@cnam.fr\r\nTo: pierre@cnam.fr\r\nSubject: Bonjour\r\n\r\nBonjour Pierre,\r\n"
    "ce message est tape a la main avec telnet.\r\nMichel\r\n.",
    "QUIT",
)
"""II.5: michel, in the domain cnam.fr, writes to pierre, in the same domain."""

RELAY_ATTEMPT: Final = (
    "HELO ailleurs.example",
    "MAIL FROM:<quelqu.un@ailleurs.example>",
    "RCPT TO:<quelqu.autre@plus.loin.example>",
    "RCPT TO:<pierre@cnam.fr>",
    "RSET",
    "QUIT",
)
"""II.6: the commands name any sender and any recipient; whether the server relays is its own decision."""


@defer.inlineCallbacks
def play(reactor: Any, host: str, port: int, lines: Sequence[str]) -> Generator[Any, Any, list[str]]:
    """Types the lines, each after the whole reply to the one before; gives the last lines of the replies."""
    creator = protocol.ClientCreator(reactor, Wire)
    wire = yield creator.connectTCP(host, port, timeout=10)
    replies: list[str] = []
    try:
        replies.append((yield _reply(reactor, wire)))
        for line in lines:
            wire.send(line.encode() + b"\r\n")
            replies.append((yield _reply(reactor, wire)))
    finally:
        wire.close()
    return replies


@defer.inlineCallbacks
def _reply(reactor: Any, wire: Wire) -> Generator[Any, Any, str]:
    """A whole reply: the last of its lines has no hyphen after the code (RFC 5321 §4.2.1)."""
    while True:
        line: bytes = yield wire.line(reactor)
        if line[3:4] != b"-":
            return line.decode("utf-8", "backslashreplace")
