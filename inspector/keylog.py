"""Keys of TLS sessions, as browsers, OpenSSL and captures write them (draft-ietf-tls-keylogfile): a line a secret.

Knows the form.  Must not know what the secrets open.
"""

from __future__ import annotations

import re
from typing import Final

MOST: Final = 200_000
"""Sessions whose secrets are kept; past it the oldest are forgotten."""
_LINE: Final = re.compile(rb"^([A-Z0-9_]{1,64}) ([0-9A-Fa-f]{64}) ([0-9A-Fa-f]{32,256})\s*$", re.MULTILINE)


def holds_keys(text: bytes) -> bool:
    """Whether there is a secret among lines."""
    return _LINE.search(text) is not None


class Keys:
    """The secrets of sessions, each under the random octets with which its client began."""

    __slots__ = ("_sessions",)

    def __init__(self) -> None:
        self._sessions: dict[bytes, dict[str, bytes]] = {}

    def add(self, text: bytes) -> None:
        """Takes lines; what is none is passed over."""
        for label, random, secret in _LINE.findall(text):
            if len(secret) % 2 == 0:
                self._sessions.setdefault(bytes.fromhex(random.decode()), {})[label.decode()] = bytes.fromhex(secret.decode())
        while len(self._sessions) > MOST:
            del self._sessions[next(iter(self._sessions))]

    def of(self, random: bytes) -> dict[str, bytes]:
        """The secrets of a session by their labels; none where it is not known."""
        return self._sessions.get(random, {})
