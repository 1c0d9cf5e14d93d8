"""The TCP option by which our captures carry what their headers cannot say.

Knows one layout.  Must not know why a port was put in place of another.

A capture names the plain service port, so that other programs dissect it, whatever port the server has;
the SYN then carries the real one, and the protocol, in a shared experimental option (RFC 6994): kind 253,
length, our experiment identifier, flags, port, name of the protocol in ASCII.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

KIND: Final = 253
IDENTIFIER: Final = b"mspy"
CLIENT_MAPPED: Final = 1
SERVER_MAPPED: Final = 2
"""Flags: the address is IPv4 and stands as `::ffff:a.b.c.d` only because the other one is IPv6."""
SECURE: Final = 4
"""Flag: what is in the capture crossed in TLS, on both sides."""
SEALED: Final = 8
"""Flag: it stands in the capture as records of TLS, from the first octet."""
JOINED: Final = 16
"""Flag: the file was begun in the middle of the flow."""
UNREAD: Final = 32
"""Flag: of what comes nothing can be read, such as records of TLS in their middle."""
_FLAGS: Final = (CLIENT_MAPPED, SERVER_MAPPED, SECURE, SEALED, JOINED, UNREAD)
LONGEST_NAME: Final = 22

_FIXED: Final = Struct(">BB4sBH")
_END_OF_LIST: Final = 0
_NO_OPERATION: Final = 1


class Marker(NamedTuple):
    """What the SYN of a recorded flow says of it."""

    port: int
    """The server's real port."""
    protocol: str
    """Empty where it was not known when the flow was opened."""
    client_mapped: bool = False
    server_mapped: bool = False
    secure: bool = False
    sealed: bool = False
    joined: bool = False
    unread: bool = False


def pack(marker: Marker) -> bytes:
    """The option, at most 31 octets: a name is cut at `LONGEST_NAME`."""
    name = marker.protocol.encode("ascii", "replace")[:LONGEST_NAME]
    flags = sum(flag for flag, given in zip(_FLAGS, marker[2:], strict=True) if given)
    return _FIXED.pack(KIND, _FIXED.size + len(name), IDENTIFIER, flags, marker.port & 0xFFFF) + name


def find(options: bytes) -> Marker | None:
    """Our option among the options of a TCP header, or None; never raises."""
    at = 0
    while at + 1 < len(options):
        kind, length = options[at], options[at + 1]
        if kind == _END_OF_LIST:
            return None
        if kind == _NO_OPERATION:
            at += 1
            continue
        if length < 2:
            return None
        if kind == KIND and options[at + 2 : at + 6] == IDENTIFIER and _FIXED.size <= length <= len(options) - at:
            return _unpack(options[at : at + length])
        at += length
    return None


def _unpack(raw: bytes) -> Marker:
    _kind, _length, _identifier, flags, port = _FIXED.unpack_from(raw)
    name = raw[_FIXED.size :].decode("ascii", "replace")
    protocol = name if name.isalnum() and name.isascii() else ""
    return Marker(port, protocol, *(bool(flags & flag) for flag in _FLAGS))
