"""Whether a server has asked for a certificate, and was shown one: seen in the messages of the handshake.

Rules.  Python's own `ssl` tells of it by a callback alone, which it calls for every record: after the handshake it is silenced.
On a Python without that callback nobody seems to be asked.

Knows `ssl` and the messages of a handshake (RFC 8446 §4, RFC 5246 §7.4).  Must not know connections.
"""

from __future__ import annotations

import ssl
from typing import Any, Final

_HANDSHAKE: Final = 22
_CERTIFICATE, _REQUEST = 11, 13
_EMPTY: Final = 8
"""Octets of a message with no certificate, at most: type, length, an empty context (TLS 1.3), an empty list."""


class Watched(ssl.SSLObject):
    """One end of TLS, and what was asked of it."""

    asked = False
    """The server wants a certificate."""
    shown = False
    """It got one."""


def watch(context: ssl.SSLContext) -> None:
    """Has the ends that are made of a context watched."""
    context.sslobject_class = Watched
    source: Any = context
    if hasattr(context, "_msg_callback"):
        source._msg_callback = _told


def is_asked(end: ssl.SSLObject) -> tuple[bool, bool]:
    """Whether the server has asked, and got one; after the handshake, or after it has failed.  Watches no more."""
    if not isinstance(end, Watched):
        return False, False
    end.context = _SILENT
    return end.asked, end.shown


_SILENT: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""An end that has this for a context calls nobody; what it has agreed on stays."""


def _told(end: Watched, direction: str, _version: int, content: int, message: int, octets: bytes) -> None:
    if content != _HANDSHAKE:
        return
    if message == _REQUEST and direction == "read":
        end.asked = True
    elif message == _CERTIFICATE and direction == "write":
        end.shown = len(octets) > _EMPTY
