"""The bare forwarder: Twisted's own `twisted.protocols.portforward`, unchanged, on the epoll reactor.

`forwarder.py LISTEN:BACKEND...`, ports on 127.0.0.1.  Knows Twisted; looks at no octet.
"""

from __future__ import annotations

import sys

from twisted.internet import epollreactor

epollreactor.install()

from twisted.internet import reactor  # noqa: E402
from twisted.protocols import portforward  # noqa: E402


def forward(pair: str) -> None:
    """Listens on the first port of the pair and connects on to the second."""
    listen, backend = map(int, pair.split(":"))
    factory = portforward.ProxyFactory("127.0.0.1", backend)
    factory.noisy = False
    reactor.listenTCP(listen, factory, backlog=4096, interface="127.0.0.1")


portforward.ProxyServer.clientProtocolFactory.noisy = False
for pair in sys.argv[1:]:
    forward(pair)
reactor.run()
