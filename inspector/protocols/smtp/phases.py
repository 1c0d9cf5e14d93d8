"""The phases of SMTP and LMTP, as tables (RFC 5321 §4.1.4, RFC 2033 §4).

Nothing but data: phase → verb → outcome → next phase.  Two verbs never cross the wire: `GREETING` stands for the opening of
the connection, `END OF DATA` for the dot, so that the greeting and the last reply answer something like all others.
"""

from __future__ import annotations

from typing import Final

from inspector.machine import Row, Table, stay
from inspector.pdu import FAILED, MORE, OK

CONNECT: Final = "CONNECT"
HELLO: Final = "HELLO"
TLS: Final = "TLS"
AUTH: Final = "AUTH"
MAIL: Final = "MAIL"
RCPT: Final = "RCPT"
DATA: Final = "DATA"
QUIT: Final = "QUIT"

GREETING: Final = "GREETING"
END_OF_DATA: Final = "END OF DATA"
BDAT_LAST: Final = "BDAT LAST"

_ANYWHERE: Final = {
    "NOOP": stay("RFC 5321 §4.1.1.9"),
    "HELP": stay("RFC 5321 §4.1.1.8"),
    "VRFY": stay("RFC 5321 §4.1.1.6"),
    "EXPN": stay("RFC 5321 §4.1.1.7"),
    "QUIT": Row("RFC 5321 §4.1.1.10", {OK: QUIT}, QUIT),
}
_RESET: Final = {
    "EHLO": Row("RFC 5321 §4.1.4", {OK: HELLO}, HELLO),
    "HELO": Row("RFC 5321 §4.1.4", {OK: HELLO}, HELLO),
    "RSET": Row("RFC 5321 §4.1.1.5", {OK: HELLO}),
}
_XCLIENT: Final = {
    "XCLIENT": Row("Postfix XCLIENT", {OK: CONNECT}),
    "XFORWARD": stay("Postfix XFORWARD"),
}

PHASES: Final[Table] = {
    CONNECT: {
        GREETING: stay("RFC 5321 §3.1"),
        **_ANYWHERE,
        **_RESET,
        "RSET": stay("RFC 5321 §4.1.1.5"),
    },
    HELLO: {
        **_ANYWHERE,
        **_RESET,
        **_XCLIENT,
        "STARTTLS": Row("RFC 3207 §4", {OK: TLS}, TLS),
        "AUTH": Row("RFC 4954 §4", {OK: HELLO, MORE: AUTH, FAILED: HELLO}, AUTH),
        "ETRN": stay("RFC 1985 §5"),
        "MAIL": Row("RFC 5321 §4.1.1.2", {OK: MAIL}, MAIL),
    },
    TLS: {
        **_ANYWHERE,
        **_RESET,
    },
    AUTH: {
        "AUTH": Row("RFC 4954 §4", {OK: HELLO, MORE: AUTH, FAILED: HELLO}),
    },
    MAIL: {
        **_ANYWHERE,
        **_RESET,
        "RCPT": Row("RFC 5321 §4.1.1.3", {OK: RCPT}, RCPT),
    },
    RCPT: {
        **_ANYWHERE,
        **_RESET,
        "RCPT": stay("RFC 5321 §4.1.1.3", RCPT),
        "DATA": Row("RFC 5321 §4.1.1.4", {MORE: DATA}, DATA),
        "BDAT": Row("RFC 3030 §2", {OK: DATA}, DATA),
        BDAT_LAST: Row("RFC 3030 §2", {OK: HELLO}, DATA),
    },
    DATA: {
        END_OF_DATA: Row("RFC 5321 §4.1.1.4", {OK: HELLO, FAILED: HELLO}),
        "BDAT": stay("RFC 3030 §2", DATA),
        BDAT_LAST: Row("RFC 3030 §2", {OK: HELLO, FAILED: HELLO}, DATA),
        "RSET": Row("RFC 3030 §2", {OK: HELLO}),
        "NOOP": stay("RFC 5321 §4.1.1.9"),
        "QUIT": Row("RFC 5321 §4.1.1.10", {OK: QUIT}, QUIT),
    },
    QUIT: {
        "QUIT": stay("RFC 5321 §4.1.1.10"),
    },
}


def _lmtp(verb: str) -> str:
    return "LHLO" if verb == "EHLO" else verb


LMTP_PHASES: Final[Table] = {
    phase: {_lmtp(verb): row for verb, row in verbs.items() if verb != "HELO"} for phase, verbs in PHASES.items()
}
"""LMTP is SMTP with LHLO in place of EHLO and HELO, and a reply for each recipient at the end of data (RFC 2033 §4.1, §4.2)."""

HOME: Final = {"EHLO": HELLO, "HELO": HELLO, "LHLO": HELLO, "STARTTLS": TLS, "AUTH": AUTH, "MAIL": MAIL, "RCPT": RCPT,
               "DATA": DATA, "BDAT": DATA, BDAT_LAST: DATA, END_OF_DATA: DATA, "QUIT": QUIT}
"""The phase that a verb belongs to where the present phase does not list it."""

SHOWN: Final = {END_OF_DATA: "DATA", BDAT_LAST: "BDAT"}
"""The command that a pseudo-verb belongs to, for people and programs."""
