"""The demo's chapter on TLS: authorities for this run alone, a POP3 server that offers STLS, and a client that goes over to TLS.

Knows the words of RFC 2595 §4.  Must not know what the proxy makes of them.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.internet import defer, protocol, ssl

from inspector.demo.servers import Pop3Server
from inspector.demo.wire import Wire
from inspector.live.handshakes import Interception
from inspector.place import open_file
from inspector.tls.authority import Authority, make, pem
from inspector.tls.contexts import Serving, reaching
from inspector.tls.leaf import Leaves
from inspector.tls.verification import Store

HOST: Final = "localhost"
NATKIN_IN_TLS: Final = ("STLS", "USER natkin", "PASS monpass", "STAT", "QUIT")


class SecurePop3Server(Pop3Server):
    """The same server, which goes over to TLS when it is asked to."""

    def listCapabilities(self) -> list[bytes]:
        """STLS only where there is no TLS yet."""
        return [*super().listCapabilities(), *([] if self.transport.TLS else [b"STLS"])]

    def lineReceived(self, line: bytes) -> None:
        """STLS, or what the server takes otherwise."""
        if line.strip().upper() != b"STLS" or self.transport.TLS:
            super().lineReceived(line)
            return
        self._buffer = b""  # what came in the clear is not read as if it had come in TLS
        self.successResponse(b"begin TLS")
        self.transport.startTLS(self.factory.context)


class Secure:
    """What a run of the demo needs for it."""

    def __init__(self, folder: Path) -> None:
        """Both authorities' certificates are put into the folder, for other clients."""
        self._ours, theirs = make(), make()
        self.ours_path, self._theirs_path = folder / "demo-ca.pem", folder / "demo-server-ca.pem"
        for path, authority in ((self.ours_path, self._ours), (self._theirs_path, theirs)):
            with os.fdopen(open_file(str(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
                file.write(pem(authority))
        self.context = _certificate(theirs).options()

    def interception(self) -> Interception:
        """With what the proxy looks into it."""
        return Interception(Serving(Leaves(self._ours)), reaching(), Store(str(self._theirs_path)))

    @defer.inlineCallbacks
    def play(self, reactor: Any, address: str, port: int) -> Generator[Any, Any, list[str]]:
        """natkin asks for his mail, in TLS; gives the replies."""
        creator = protocol.ClientCreator(reactor, Wire)
        wire = yield creator.connectTCP(address, port, timeout=10)
        trusted = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(pem(self._ours))])
        replies: list[str] = []
        try:
            replies.append((yield wire.line(reactor)).decode())
            for line in NATKIN_IN_TLS:
                wire.send(line.encode() + b"\r\n")
                replies.append((yield wire.line(reactor)).decode())
                if line == "STLS":
                    wire.transport.startTLS(ssl.optionsForClientTLS(HOST, trusted))
        finally:
            wire.close()
        return replies


def _certificate(authority: Authority) -> ssl.PrivateCertificate:
    """The server's."""
    leaves = Leaves(authority)
    key = leaves.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    shown: ssl.PrivateCertificate = ssl.PrivateCertificate.loadPEM(leaves.of(None, HOST).public_bytes(Encoding.PEM) + key)
    return shown
