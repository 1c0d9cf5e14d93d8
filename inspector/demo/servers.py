"""The embedded servers of cnam.fr, on twisted.mail: POP3 with the sheet's very replies, SMTP that relays nothing.

Knows the sheet's users and words.  Must not know the proxy.
"""

from __future__ import annotations

import io
from hashlib import md5
from typing import Any, Final

from twisted.cred.error import UnauthorizedLogin
from twisted.internet import defer, protocol
from twisted.mail import pop3, smtp
from zope.interface import implementer

from inspector.demo.letter import LETTER, STATED_OCTETS

DOMAIN: Final = "cnam.fr"
USERS: Final = frozenset({"gerard", "michel", "natkin", "pierre"})
PASSWORDS: Final = {b"natkin": b"monpass"}
SIZE_LIMIT: Final = 10 * 1024 * 1024
"""Octets of the largest message that the SMTP server keeps."""


@implementer(pop3.IMailbox)
class Maildrop:
    """natkin's maildrop with its one message; every connection gets a new one."""

    def __init__(self) -> None:
        self._messages: list[bytes | None] = [LETTER]
        self._deleted: set[int] = set()

    def listMessages(self, index: int | None = None) -> Any:
        """The size of one message or of all, 0 for one that is deleted."""
        sizes = [0 if number in self._deleted else STATED_OCTETS for number in range(len(self._messages))]
        if index is None:
            return sizes
        if not 0 <= index < len(sizes):
            raise ValueError("no such message")
        return sizes[index]

    def getMessage(self, index: int) -> io.BytesIO:
        """The message, its lines ended by LF as twisted.mail wants them."""
        if not 0 <= index < len(self._messages):
            raise ValueError("no such message")
        return io.BytesIO(LETTER.replace(b"\r\n", b"\n"))

    def getUidl(self, index: int) -> bytes:
        """A name for the message that stays the same."""
        if not 0 <= index < len(self._messages) or index in self._deleted:
            raise ValueError("no such message")
        return md5(LETTER, usedforsecurity=False).hexdigest().encode()

    def deleteMessage(self, index: int) -> None:
        """Marks the message."""
        if not 0 <= index < len(self._messages) or index in self._deleted:
            raise ValueError("no such message")
        self._deleted.add(index)

    def undeleteMessages(self) -> None:
        """RSET."""
        self._deleted.clear()

    def sync(self) -> None:
        """QUIT: the maildrop goes with the connection."""


class Pop3Server(pop3.POP3):
    """POP3 in the words of the sheet (III.4)."""

    timeOut = None  # type: ignore[assignment]
    factory: Any
    transport: Any
    mbox: Any

    def connectionMade(self) -> None:
        """The sheet's greeting, which has no time stamp: so there is no APOP."""
        self.user = b""
        self.factory.open.add(self)
        self.successResponse(b"pop.cnam.fr server ready")

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        self.factory.open.discard(self)
        super().connectionLost(reason)

    def listCapabilities(self) -> list[bytes]:
        """What this server can do (RFC 2449 §6)."""
        return [b"USER", b"TOP", b"UIDL", b"PIPELINING"]

    def lineReceived(self, line: bytes) -> None:
        """One command; a word that is none, or that is too early, is an error and no more."""
        word = line.split(b" ")[0].upper()
        known = getattr(self, "do_" + word.decode("ascii", "replace"), None)
        if known is None or word in (b"APOP", b"AUTH", b"RPOP"):
            self.failResponse(b"unknown command")
        elif self.mbox is None and word not in self.AUTH_CMDS:
            self.failResponse(b"log in first")
        else:
            super().lineReceived(line)

    def state_COMMAND(self, line: bytes) -> None:
        """Dispatches; arguments that do not fit are the client's mistake."""
        try:
            self.processCommand(*line.split(b" "))
        except (TypeError, ValueError, pop3.POP3Error):
            self.failResponse(b"these arguments do not fit the command")

    def do_USER(self, user: bytes) -> None:
        """Takes any name: a server tells nobody which ones exist."""
        self._userIs = self.user = user
        self.successResponse(b"password required for " + user)

    def authenticateUserPASS(self, user: bytes, password: bytes) -> Any:
        """natkin's password is monpass."""
        if PASSWORDS.get(user) != password:
            return defer.fail(UnauthorizedLogin())
        return defer.succeed((pop3.IMailbox, Maildrop(), lambda: None))

    def _cbMailbox(self, result: Any, user: bytes) -> None:
        self.mbox = result[1]
        sizes = [size for size in self.mbox.listMessages() if size]
        self.successResponse(b"maildrop has %d messages (%d octets)" % (len(sizes), sum(sizes)))

    def _ebMailbox(self, failure: Any) -> None:
        failure.trap(UnauthorizedLogin)
        self.failResponse(b"password supplied for " + self.user + b" is incorrect")

    def _sendMessageContent(self, i: bytes, wrapper: Any, response: Any) -> Any:
        """RETR and TOP are answered by a bare `+OK`, as in the sheet."""
        return super()._sendMessageContent(i, wrapper, lambda size: b"")

    def successResponse(self, message: Any = b"") -> None:
        """A bare `+OK` has no blank behind it."""
        text = message if isinstance(message, bytes) else str(message).encode()
        self.sendLine(b"+OK" + (b" " + text if text else b""))

    def do_STAT(self) -> None:
        """What is left, without what is marked (RFC 1939 §5)."""
        sizes = [size for size in self.mbox.listMessages() if size]
        self.successResponse(b"%d %d" % (len(sizes), sum(sizes)))

    def do_DELE(self, i: bytes) -> None:
        """Marks a message as deleted."""
        try:
            self.mbox.deleteMessage(int(i) - 1)
        except ValueError:
            self.failResponse(b"no such message")
        else:
            self.successResponse()

    def do_NOOP(self) -> None:
        """Does nothing."""
        self.successResponse()

    def do_RSET(self) -> None:
        """Takes back what was deleted."""
        self.mbox.undeleteMessages()
        self.successResponse()

    def do_QUIT(self) -> None:
        """Ends the session."""
        if self.mbox is not None:
            self.mbox.sync()
        self.successResponse(b"pop.cnam.fr signing off")
        self.transport.loseConnection()


@implementer(smtp.IMessage)
class Letter:
    """A message that the SMTP server takes."""

    def __init__(self, kept: list[bytes]) -> None:
        self._kept = kept
        self._lines: list[bytes] = []
        self._size = 0

    def lineReceived(self, line: bytes) -> None:
        """One more line."""
        self._size += len(line) + 2
        if self._size <= SIZE_LIMIT:
            self._lines.append(line)

    def eomReceived(self) -> Any:
        """The message is whole."""
        if self._size > SIZE_LIMIT:
            return defer.fail(smtp.SMTPServerError(552, "message too large"))
        self._kept.append(b"\r\n".join([*self._lines, b""]))
        return defer.succeed(None)

    def connectionLost(self) -> None:
        """The message is lost."""
        self._lines.clear()


@implementer(smtp.IMessageDelivery)
class Delivery:
    """Takes mail for cnam.fr, and relays nothing."""

    def __init__(self, kept: list[bytes]) -> None:
        self._kept = kept

    def receivedHeader(self, helo: Any, origin: Any, recipients: Any) -> bytes:
        """The trace line (RFC 5321 §4.4)."""
        name = helo[0] if isinstance(helo[0], bytes) else str(helo[0]).encode()
        date: bytes = smtp.rfc822date()
        return b"Received: from " + name + b" by cnam.fr with SMTP; " + date

    def validateFrom(self, helo: Any, origin: Any) -> Any:
        """Any sender."""
        return origin

    def validateTo(self, user: Any) -> Any:
        """A user of cnam.fr; another domain would be relaying."""
        domain = user.dest.domain.decode("ascii", "replace").lower()
        if domain != DOMAIN:
            raise smtp.SMTPServerError(550, f"5.7.1 relaying denied: {DOMAIN} delivers to {DOMAIN} only")
        if user.dest.local.decode("ascii", "replace").lower() not in USERS:
            raise smtp.SMTPServerError(550, "5.1.1 no such user here")
        return lambda: Letter(self._kept)


class SmtpServer(smtp.ESMTP):
    """SMTP for cnam.fr, without jokes."""

    timeout = None  # type: ignore[assignment]
    factory: Any
    transport: Any

    def connectionMade(self) -> None:
        self.host = DOMAIN.encode()
        self.factory.open.add(self)
        self.delivery = Delivery(self.factory.kept)
        super().connectionMade()

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        self.factory.open.discard(self)
        super().connectionLost(reason)

    def greeting(self) -> bytes:
        """The opening line (RFC 5321 §3.1)."""
        return b"cnam.fr ESMTP ready"

    def do_HELO(self, rest: bytes) -> None:
        """Says hello (RFC 5321 §4.1.1.1)."""
        self._helo = (rest, self.transport.getPeer().host.encode())
        self._from = None
        self._to = []
        self.sendCode(250, b"cnam.fr")

    def do_EHLO(self, rest: bytes) -> None:
        """Says hello and what there is beside."""
        self._helo = (rest, self.transport.getPeer().host.encode())
        self._from = None
        self._to = []
        self.sendCode(250, b"cnam.fr\n8BITMIME")

    def do_RSET(self, rest: bytes) -> None:
        """Forgets the transaction (RFC 5321 §4.1.1.5)."""
        self._from = None
        self._to = []
        self.sendCode(250, b"2.0.0 reset")

    def do_QUIT(self, rest: bytes) -> None:
        """Ends the session."""
        self.sendCode(221, b"2.0.0 cnam.fr closing")
        self.transport.loseConnection()


class Servers:
    """All servers, listening."""

    def __init__(self, reactor: Any, host: str = "127.0.0.1") -> None:
        self._reactor, self._host = reactor, host
        self.kept: list[bytes] = []
        """The messages that the SMTP server has taken."""
        self._factories: list[Any] = []
        self._ports: list[Any] = []
        self.pop3, self.smtp = self.listen(Pop3Server), self.listen(SmtpServer)

    def listen(self, server: Any, context: Any = None) -> int:
        """One more; `context` is for one that speaks TLS.  Returns its port."""
        factory = self._factory(server)
        factory.context = context
        self._factories.append(factory)
        self._ports.append(self._reactor.listenTCP(0, factory, interface=self._host))
        port: int = self._ports[-1].getHost().port
        return port

    def _factory(self, server: Any) -> Any:
        factory: Any = protocol.Factory.forProtocol(server)
        factory.noisy = False
        factory.open = set()
        factory.kept = self.kept
        return factory

    def stop(self) -> None:
        """Listens no more and ends what is open."""
        for port in self._ports:
            port.stopListening()
        for factory in self._factories:
            for connection in list(factory.open):
                connection.transport.abortConnection()
