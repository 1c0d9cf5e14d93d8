"""Why a flow is over: the words of `flow_closed`, one table for live traffic, replay, exports and docs.

Two kinds.  The packets show who has closed or aborted a connection, and whether the observation ended before it did.  What
mailspy itself has done no packet shows: the live proxy notes it in the capture, and replay reads it there.

Knows the words.  Must not know who says them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CLIENT_CLOSED: Final = "client closed"
SERVER_CLOSED: Final = "server closed"
CLIENT_RESET: Final = "client reset"
SERVER_RESET: Final = "server reset"
OBSERVATION_ENDED: Final = "observation ended"
TLS_FAILED: Final = "tls failed"
UNREACHABLE: Final = "server unreachable"
UNRESOLVED: Final = "server name not resolved"
PLUGIN: Final = "ended by a plugin"
TOO_MUCH_HELD: Final = "too much held"
STOPPED: Final = "mailspy stopped"
FAULT: Final = "internal fault"

SHOWN: Final[Mapping[str, str]] = {
    CLIENT_CLOSED: "both sides have closed the connection (FIN), the client first",
    SERVER_CLOSED: "both sides have closed it, the server first",
    CLIENT_RESET: "the client has aborted it (RST)",
    SERVER_RESET: "the server has aborted it",
    OBSERVATION_ENDED: "it was open where the capture ends, or when mailspy was killed",
}
"""What the packets show."""
OWN: Final[Mapping[str, str]] = {
    TLS_FAILED: "mailspy has ended it, for want of TLS; `tls_failed` says why",
    UNREACHABLE: "there was no server: it refused the connection, or did not answer in time (`--connect-timeout`)",
    UNRESOLVED: "there was no server: its name has no address, or was not resolved in time",
    PLUGIN: "a plugin that judges has ended it (`Close`, or `Answer` to a message)",
    TOO_MUCH_HELD: "mailspy has ended it: more was waiting to be judged than is held",
    STOPPED: "mailspy has ended it: it was stopped, and the time to drain was over",
    FAULT: "mailspy has ended it: a fault of its own in passing octets on",
}
"""What only mailspy knows, because it has ended the flow itself or there never was a server."""
