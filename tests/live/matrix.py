"""The dialogues of the matrix: a scripted server for each protocol and order, and a client that writes down all that it gets.

Knows first words and sockets.  Must not import mailspy.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from struct import pack
from typing import Final

PATIENCE: Final = 8.0
"""Seconds in which each word must come."""
SILENCE: Final = 1.0
"""Seconds in which nothing may come where the server is silent."""

PROTOCOLS: Final = ("smtp", "lmtp", "pop3", "unknown")
PROXY1: Final = b"PROXY TCP4 198.51.100.7 192.0.2.25 56310 25\r\n"
PROXY2: Final = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x07\xc0\x00\x02\x19\xdb\xf6\x00\x19"
HEADERS: Final[dict[str, list[tuple[bytes, bytes]]]] = {
    "PROXY v1": [(PROXY1, b"")],
    "PROXY v2": [(PROXY2, b"")],
    "SOCKS4": [(b"\x04\x01\x00\x19\xc0\x00\x02\x19me\x00", b"\x00\x5a\x00\x00\x00\x00\x00\x00")],
    "SOCKS5": [(b"\x05\x01\x00", b"\x05\x00"),
               (b"\x05\x01\x00\x03\x0amx.example" + pack(">H", 25), b"\x05\x00\x00\x01\x7f\x00\x00\x01\x10\x10")],
    "CONNECT": [(b"CONNECT mx.example:25 HTTP/1.1\r\nHost: mx.example:25\r\n\r\n", b"HTTP/1.1 200 ok\r\n\r\n")],
}
"""What the client says before the session, and what it is answered."""
ORDERS: Final = ("server first", "client first", "TLS first", "silent", *HEADERS)

GREETINGS: Final = {"smtp": b"220 mx.example ESMTP\r\n", "lmtp": b"220 mx.example LMTP\r\n", "pop3": b"+OK ready\r\n",
                    "unknown": b"HELLO there\r\n"}
LISTINGS: Final = {"smtp": b"250-mx.example\r\n250-STARTTLS\r\n250 8BITMIME\r\n",
                   "lmtp": b"250-mx.example\r\n250-STARTTLS\r\n250 8BITMIME\r\n", "pop3": b"+OK\r\nSTLS\r\nUIDL\r\n.\r\n"}
STARTTLS: Final = {"smtp": (b"STARTTLS\r\n", b"220 go\r\n", b"454 4.7.0 TLS not available\r\n"),
                   "lmtp": (b"STARTTLS\r\n", b"220 go\r\n", b"454 4.7.0 TLS not available\r\n"),
                   "pop3": (b"STLS\r\n", b"+OK go\r\n", b"-ERR [SYS/TEMP] TLS not available\r\n")}
"""The command, and how it is taken and refused; mailspy refuses in these words."""
SCRIPTS: Final = {
    "smtp": [b"EHLO c\r\n", b"STARTTLS\r\n", b"EHLO c\r\n", b"MAIL FROM:<a@here.example>\r\n", b"RCPT TO:<b@here.example>\r\n",
             b"DATA\r\n", b"Subject: x\r\n\r\nhi\r\n.\r\n", b"QUIT\r\n"],
    "lmtp": [b"LHLO c\r\n", b"STARTTLS\r\n", b"LHLO c\r\n", b"MAIL FROM:<a@here.example>\r\n", b"RCPT TO:<b@here.example>\r\n",
             b"DATA\r\n", b"Subject: x\r\n\r\nhi\r\n.\r\n", b"QUIT\r\n"],
    "pop3": [b"CAPA\r\n", b"STLS\r\n", b"CAPA\r\n", b"USER a\r\n", b"PASS b\r\n", b"STAT\r\n", b"QUIT\r\n"],
    "unknown": [b"hello\r\n", b"how are you?\r\n", b"\x01\x02\x80\x00\n", b"bye\r\n"],
}


class Lines:
    """Lines of a socket."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self._kept = b""

    def line(self) -> bytes:
        """The next line, or what comes before the end."""
        while b"\n" not in self._kept:
            data = self.link.recv(65_536)
            if not data:
                break
            self._kept += data
        line, end, self._kept = self._kept.partition(b"\n")
        return line + end

    def exactly(self, size: int) -> bytes:
        """So many octets, or what comes before the end."""
        while len(self._kept) < size and (data := self.link.recv(65_536)):
            self._kept += data
        found, self._kept = self._kept[:size], self._kept[size:]
        return found

    def reply(self, listing: bool) -> bytes:
        """A whole reply; `listing`: of POP3, with lines up to a dot."""
        lines = [self.line()]
        while lines[-1][3:4] == b"-" and lines[-1][:3].isdigit():
            lines.append(self.line())
        while listing and lines[0].startswith(b"+OK") and lines[-1] not in (b".\r\n", b""):
            lines.append(self.line())
        return b"".join(lines)

    def begin_tls(self, context: ssl.SSLContext, server: bool) -> None:
        """Goes on in TLS; raises OSError where the peer has gone, which `wrap_socket` finds only when it has the descriptor."""
        self.link.getpeername()
        self.link = secure = context.wrap_socket(self.link, server_side=server, do_handshake_on_connect=False)
        secure.do_handshake()


class Server:
    """One server: a protocol, an order, and what it says of TLS."""

    def __init__(self, protocol: str, order: str, context: ssl.SSLContext, tls: str = "") -> None:
        """`tls`: nothing, `refuse`, or `strip`, where it does not offer it either."""
        self.protocol, self.order, self.tls = protocol, order, tls
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listens no more."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = self._listener.accept()
                link.settimeout(3 * PATIENCE)
                threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        peer = Lines(link)
        with contextlib.suppress(OSError):
            self._arrive(peer)
            while line := peer.line():
                self._answer(peer, line)
                if line in (b"QUIT\r\n", b"bye\r\n"):
                    break
        with contextlib.suppress(OSError):
            peer.link.close()

    def _arrive(self, peer: Lines) -> None:
        for header, answer in HEADERS.get(self.order, ()):
            if peer.exactly(len(header)) != header:
                raise OSError("the header did not come as it was sent")
            peer.link.sendall(answer)
        if self.order == "TLS first":
            peer.begin_tls(self._context, True)
        if self.order == "client first":
            line = peer.line()
            peer.link.sendall(GREETINGS[self.protocol])
            self._answer(peer, line)
        elif self.order != "silent":
            peer.link.sendall(GREETINGS[self.protocol])

    def _answer(self, peer: Lines, line: bytes) -> None:
        protocol = self.protocol
        if protocol == "unknown":
            peer.link.sendall(b"echo: " + line)
        elif line in (b"EHLO c\r\n", b"LHLO c\r\n", b"CAPA\r\n"):
            listing = LISTINGS[protocol]
            hides = self.tls == "strip" or isinstance(peer.link, ssl.SSLSocket)
            peer.link.sendall(listing.replace(b"250-STARTTLS\r\n", b"").replace(b"STLS\r\n", b"") if hides else listing)
        elif line == STARTTLS[protocol][0]:
            peer.link.sendall(STARTTLS[protocol][2 if self.tls else 1])
            if not self.tls:
                peer.begin_tls(self._context, True)
        elif line == b"DATA\r\n":
            peer.link.sendall(b"354 go\r\n")
            while peer.line() not in (b".\r\n", b""):
                pass
            peer.link.sendall(b"250 taken\r\n")
        else:
            peer.link.sendall(b"+OK\r\n" if protocol == "pop3" else b"221 bye\r\n" if line == b"QUIT\r\n" else b"250 ok\r\n")


Told = list[tuple[str, bytes]]
"""What a client got, word for word, and how it ended."""


def meet(port: int, protocol: str, order: str, certificate: bytes) -> Told:
    """The client's dialogue on a port.  `certificate`: the server's, to tell who shows one."""
    told: Told = []
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as link:
            peer = Lines(link)
            try:
                _talk(peer, protocol, order, certificate, told)
            finally:
                if peer.link is not link:
                    peer.link.close()
    except TimeoutError:
        told.append(("nothing came", b""))
    except ssl.SSLError:
        told.append(("no TLS", b""))
    except OSError as error:
        told.append(("broken", type(error).__name__.encode()))
    return told


def _talk(peer: Lines, protocol: str, order: str, certificate: bytes, told: Told) -> None:
    if order == "silent":
        _wait(peer, protocol, told)
        return
    for header, answer in HEADERS.get(order, ()):
        peer.link.sendall(header)
        told.append(("answer", peer.exactly(len(answer))))
    if order == "TLS first":
        _secure(peer, certificate, told)
    script = list(SCRIPTS[protocol])
    if order == "client first":
        peer.link.sendall(script[0])
    told.append(("greeting", peer.line()))
    for number, command in enumerate(script):
        if number or order != "client first":
            peer.link.sendall(command)
        reply = peer.reply(command == b"CAPA\r\n")
        told.append((command.decode("latin-1"), reply))
        if not reply or reply.startswith(b"421"):
            return
        if command in (b"STARTTLS\r\n", b"STLS\r\n") and reply == STARTTLS[protocol][1]:
            _secure(peer, certificate, told)
    told.append(("the end", peer.line()))


def _wait(peer: Lines, protocol: str, told: Told) -> None:
    """The server says nothing until it is asked."""
    peer.link.settimeout(SILENCE)
    with contextlib.suppress(TimeoutError):
        told.append(("unasked", peer.link.recv(1000)))
    peer.link.settimeout(PATIENCE)
    command = SCRIPTS[protocol][-1]
    peer.link.sendall(command)
    told.append((command.decode(), peer.line()))


def _secure(peer: Lines, certificate: bytes, told: Told) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    peer.begin_tls(context, False)
    assert isinstance(peer.link, ssl.SSLSocket)
    told.append(("TLS with", b"the server" if peer.link.getpeercert(True) == certificate else b"mailspy"))
