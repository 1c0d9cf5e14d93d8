"""The bare forwarder: Twisted's own `twisted.protocols.portforward`, unchanged, on the epoll reactor.

`forwarder.py [--tls PEM] LISTEN:BACKEND...`, ports on 127.0.0.1.  With a certificate and its key, both legs are in TLS by
Twisted's own layer, and the server's certificate is not looked at.  Knows Twisted; looks at no octet.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.protocols.portforward import ProxyFactory, ProxyServer


def forward(reactor: EPollReactor, pair: str, tls: str | None) -> None:
    """Listens on the first port of the pair and connects on to the second."""
    listen, backend = map(int, pair.split(":"))
    factory = ProxyFactory("127.0.0.1", backend)
    factory.noisy = False
    if tls is None:
        reactor.listenTCP(listen, factory, backlog=4096, interface="127.0.0.1")
        return
    from twisted.internet.ssl import DefaultOpenSSLContextFactory

    setattr(ProxyServer, "reactor", Connecting(reactor))  # noqa: B010 - it is declared as another type
    shown = DefaultOpenSSLContextFactory(tls, tls)
    reactor.listenSSL(listen, factory, shown, backlog=4096, interface="127.0.0.1")


class Connecting:
    """Connects in TLS where `portforward` connects in the clear."""

    def __init__(self, reactor: EPollReactor) -> None:
        from twisted.internet.ssl import CertificateOptions

        self._reactor = reactor
        self._options = CertificateOptions(verify=False)

    def connectTCP(self, host: str, port: int, factory: Any) -> None:
        """What `portforward` calls."""
        self._reactor.connectSSL(host, port, factory, self._options)


def main() -> None:
    """The command line."""
    reactor = EPollReactor()
    installReactor(reactor)
    ProxyServer.clientProtocolFactory.noisy = False
    arguments = sys.argv[1:]
    tls = arguments.pop(1) if arguments[:1] == ["--tls"] else None
    for pair in arguments[1:] if tls else arguments:
        forward(reactor, pair, tls)
    reactor.run()


if __name__ == "__main__":
    main()
