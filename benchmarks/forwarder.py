"""The bare forwarder: Twisted's own `twisted.protocols.portforward`, unchanged, on the epoll reactor.

`forwarder.py LISTEN:BACKEND...`, ports on 127.0.0.1.  Knows Twisted; looks at no octet.
"""

from __future__ import annotations

import sys

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.protocols.portforward import ProxyFactory, ProxyServer


def forward(reactor: EPollReactor, pair: str) -> None:
    """Listens on the first port of the pair and connects on to the second."""
    listen, backend = map(int, pair.split(":"))
    factory = ProxyFactory("127.0.0.1", backend)
    factory.noisy = False
    reactor.listenTCP(listen, factory, backlog=4096, interface="127.0.0.1")


def main() -> None:
    """The command line."""
    reactor = EPollReactor()
    installReactor(reactor)
    ProxyServer.clientProtocolFactory.noisy = False
    for pair in sys.argv[1:]:
        forward(reactor, pair)
    reactor.run()


if __name__ == "__main__":
    main()
