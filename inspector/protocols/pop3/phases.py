"""The phases of POP3 and the five-state client, as tables (RFC 1939 §3; exercise sheet III.4 and III.9).

Nothing but data: state → verb → outcome → next state.
"""

from __future__ import annotations

from typing import Final

from inspector.machine import Row, Table, stay
from inspector.pdu import FAILED, MORE, OK

AUTHORIZATION: Final = "AUTHORIZATION"
TRANSACTION: Final = "TRANSACTION"
UPDATE: Final = "UPDATE"

GREETING: Final = "GREETING"
"""Not a command: stands for the opening of the connection, so that the greeting answers something."""

PHASES: Final[Table] = {
    AUTHORIZATION: {
        GREETING: stay("RFC 1939 §4"),
        "USER": stay("RFC 1939 §7"),
        "PASS": Row("RFC 1939 §7", {OK: TRANSACTION, FAILED: AUTHORIZATION}),
        "APOP": Row("RFC 1939 §7", {OK: TRANSACTION, FAILED: AUTHORIZATION}),
        "AUTH": Row("RFC 5034 §4", {OK: TRANSACTION, MORE: AUTHORIZATION, FAILED: AUTHORIZATION}),
        "AUTH LIST": stay("RFC 1734 §2"),
        "STLS": stay("RFC 2595 §4"),
        "CAPA": stay("RFC 2449 §5"),
        "LANG": stay("RFC 6856 §3"),
        "UTF8": stay("RFC 6856 §2"),
        "QUIT": stay("RFC 1939 §4"),
    },
    TRANSACTION: {
        "STAT": stay("RFC 1939 §5"),
        "LIST": stay("RFC 1939 §5"),
        "RETR": stay("RFC 1939 §5"),
        "DELE": stay("RFC 1939 §5"),
        "NOOP": stay("RFC 1939 §5"),
        "RSET": stay("RFC 1939 §5"),
        "TOP": stay("RFC 1939 §7"),
        "UIDL": stay("RFC 1939 §7"),
        "CAPA": stay("RFC 2449 §5"),
        "LANG": stay("RFC 6856 §3"),
        "QUIT": Row("RFC 1939 §6", {OK: UPDATE, FAILED: UPDATE}, UPDATE),
    },
    UPDATE: {
        "QUIT": stay("RFC 1939 §6"),
    },
}

WAITING: Final = "waiting"
CONNECTING: Final = "connecting"
AUTHENTICATION: Final = "authentication"
CLIENT_TRANSACTION: Final = "transaction"
CLIENT_UPDATE: Final = "update"
START: Final = "START"

_SHEET: Final = "sheet III.9"

CLIENT: Final[Table] = {
    WAITING: {
        START: Row(_SHEET, {OK: CONNECTING}),
    },
    CONNECTING: {
        GREETING: Row(_SHEET, {OK: AUTHENTICATION, FAILED: WAITING}),
    },
    AUTHENTICATION: {
        "USER": stay(_SHEET),
        "PASS": Row(_SHEET, {OK: CLIENT_TRANSACTION, FAILED: AUTHENTICATION}),
        "APOP": Row(_SHEET, {OK: CLIENT_TRANSACTION, FAILED: AUTHENTICATION}),
        "AUTH": Row(_SHEET, {OK: CLIENT_TRANSACTION, MORE: AUTHENTICATION, FAILED: AUTHENTICATION}),
        "QUIT": Row(_SHEET, {OK: WAITING, FAILED: WAITING}, AUTHENTICATION),
    },
    CLIENT_TRANSACTION: {
        "STAT": stay(_SHEET),
        "LIST": stay(_SHEET),
        "RETR": stay(_SHEET),
        "DELE": stay(_SHEET),
        "TOP": stay(_SHEET),
        "UIDL": stay(_SHEET),
        "NOOP": stay(_SHEET),
        "RSET": stay(_SHEET),
        "QUIT": Row(_SHEET, {OK: CLIENT_UPDATE, FAILED: CLIENT_UPDATE}, CLIENT_UPDATE),
    },
    CLIENT_UPDATE: {
        "CLOSE": Row(_SHEET, {OK: WAITING, FAILED: WAITING}),
    },
}
"""The sheet's client automaton.  `START` is the user's request, `CLOSE` the end of the connection."""
