"""POP3, the Post Office Protocol, version 3 (RFC 1939)."""

from inspector.protocol import Protocol
from inspector.protocols.pop3.phases import CLIENT, PHASES
from inspector.protocols.pop3.session import Pop3Session
from inspector.protocols.pop3.starttls import STLS

POP3 = Protocol("pop3", (110, 1110), Pop3Session, {"pop3": PHASES, "pop3-client": CLIENT}, b"+OK",
                b"-ERR [SYS/TEMP] mailspy: %s\r\n", STLS)

__all__ = ["POP3"]
