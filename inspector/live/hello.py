"""What a client says first in TLS, read before TLS begins: it tells which certificate to show.

Rules.  Nothing is answered here, and nothing kept beyond `LONGEST`.  What is no hello, or too long for one, is handed on as it
is: TLS itself says what is wrong with it.

Knows links.  Must not know certificates, nor what TLS makes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from inspector.formats.tls import TlsHello, peek

if TYPE_CHECKING:
    from inspector.live.link import Link

LONGEST: Final = 1 << 16
"""Octets of a hello."""
RECORDS: Final = 16
"""Records that it may be in."""
_HEADER: Final = 5
"""Octets before a record's own."""


class Hello:
    """The client's first octets on one link."""

    def __init__(self, link: Link, came: Callable[[bytes, TlsHello | None], None], gone: Callable[[str], None],
                 early: bytes = b"") -> None:
        """`came` is told of the octets, and of what they say if they are a hello; `gone` why there are none.  `early`: those that
        came before now."""
        self._link = link
        self._came: Callable[[bytes, TlsHello | None], None] | None = came
        self._gone = gone
        self._octets = b""
        self._whole = 0
        """Where the last whole record ends."""
        self._records = 0
        link.owner = self
        if early:
            self.received(True, early)
        if self._came is not None:
            link.resume()
            link.start()

    def received(self, _: bool, data: bytes) -> None:
        """Octets of the client."""
        came = self._came
        if came is None:
            return
        self._octets += data
        if self._is_over():
            self._came = None
            self._link.pause()
            came(self._octets, self._read())

    def _is_over(self) -> bool:
        octets, before = self._octets, self._records
        if octets[:2] != b"\x16\x03"[:len(octets)] or len(octets) > LONGEST:
            return True
        while len(octets) >= self._whole + _HEADER:
            end = self._whole + _HEADER + int.from_bytes(octets[self._whole + 3:self._whole + _HEADER], "big")
            if end > len(octets):
                break
            self._whole, self._records = end, self._records + 1
        if self._records == before:
            return False
        hello = self._read()
        return hello is None or hello.complete or self._records >= RECORDS

    def _read(self) -> TlsHello | None:
        hello = peek(self._octets)
        return hello if hello is not None and hello.client else None

    def ended(self, _: bool) -> None:
        """FIN."""
        self._lost("closed")

    def broken(self, _: bool) -> None:
        """RST."""
        self._lost("aborted")

    def _lost(self, how: str) -> None:
        if self._came is not None:
            self._came = None
            self._gone(f"the connection was {how} in the middle of the handshake")

    def drained(self, _: bool) -> None:
        """Nothing waits for that."""
