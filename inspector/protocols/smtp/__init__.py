"""SMTP, the Simple Mail Transfer Protocol (RFC 5321), and LMTP, its local cousin (RFC 2033)."""

from inspector.protocol import Protocol
from inspector.protocols.smtp import starttls
from inspector.protocols.smtp.phases import LMTP_PHASES, PHASES
from inspector.protocols.smtp.session import SmtpSession

SMTP = Protocol("smtp", (25, 587, 2525), SmtpSession, {"smtp": PHASES}, b"220", b"421 4.4.1 mailspy: %s\r\n", starttls.SMTP)
LMTP = Protocol("lmtp", (24,), SmtpSession, {"lmtp": LMTP_PHASES}, b"", b"421 4.4.1 mailspy: %s\r\n",
                starttls.LMTP)

__all__ = ["LMTP", "SMTP"]
