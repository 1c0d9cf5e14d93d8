"""Misbehaviour is data: every deviation that mailspy can name, with its severity and its RFC section.

Knows the catalogue.  Must not know how a deviation is detected.  An anomaly is never an exception.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple


class Severity(StrEnum):
    """How much an anomaly matters to whoever watches."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class AnomalyType(NamedTuple):
    """An entry of the catalogue."""

    name: str
    severity: Severity
    reference: str
    """Where the rule stands that is broken."""
    meaning: str
    """One sentence for people; `docs/anomalies` is made of these."""


class Anomaly(NamedTuple):
    """A named deviation, found in one PDU or in a flow as a whole."""

    type: AnomalyType
    pdu: int | None
    """The number of the PDU, or None when no single one is at fault."""
    detail: str
    """What was seen, in one line; sanitised where it is shown."""
    time: int
    """Microseconds since the epoch."""
    number: int = 1
    """How many it stands for: past `Limits.anomalies` of one name in a flow the rest are told as one, at its end."""

    @property
    def name(self) -> str:
        """Stable, snake_case."""
        return self.type.name

    @property
    def severity(self) -> Severity:
        """How much it matters."""
        return self.type.severity

    @property
    def reference(self) -> str:
        """The RFC section, or another source."""
        return self.type.reference


def _catalogue(*types: AnomalyType) -> dict[str, AnomalyType]:
    return {entry.name: entry for entry in types}


_I, _L, _M, _H, _C = Severity.INFO, Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL

CATALOGUE: Final = _catalogue(
    AnomalyType("bad_sequence", _M, "RFC 5321 §4.1.4, RFC 1939 §3",
                "A command that the present phase does not allow."),
    AnomalyType("unknown_command", _L, "RFC 5321 §4.2.4, RFC 1939 §3",
                "A command word that no standard known to mailspy defines; it is passed on."),
    AnomalyType("syntax_error", _L, "RFC 5321 §4.1.2, RFC 1939 §3",
                "A command or reply whose arguments or form the grammar does not derive."),
    AnomalyType("bare_lf", _M, "RFC 5321 §2.3.8",
                "A line ended by LF without CR; receivers disagree on it, which smuggling makes use of."),
    AnomalyType("bare_cr", _M, "RFC 5321 §2.3.8",
                "A CR that no LF follows."),
    AnomalyType("nul_octet", _M, "RFC 5321 §4.1.2, RFC 5322 §4",
                "An octet of value zero."),
    AnomalyType("line_too_long", _L, "RFC 5321 §4.5.3.1, RFC 2449 §4",
                "A line longer than its protocol allows."),
    AnomalyType("eight_bit_in_command", _L, "RFC 5321 §2.4, RFC 6531 §3.3",
                "An octet above 127 in a command or reply, without SMTPUTF8 or UTF8 agreed."),
    AnomalyType("reply_without_command", _M, "RFC 5321 §4.2, RFC 1939 §3",
                "A reply when no command waits for one."),
    AnomalyType("reply_misplaced", _M, "RFC 5321 §4.3.2, RFC 1939 §3",
                "A reply that the oldest unanswered command cannot have, and a later one can: those before it got none."),
    AnomalyType("unexpected_reply", _L, "RFC 5321 §4.3.2, RFC 1939 §5",
                "A reply that its command cannot have, and that no other command waits for."),
    AnomalyType("pipelining_not_offered", _L, "RFC 2920 §3.1",
                "A command sent before the reply to EHLO or HELO: until then the server has not offered that; some refuse it."),
    AnomalyType("too_many_pipelined", _M, "RFC 2920 §3.1, RFC 2449 §6.6",
                "More unanswered commands than mailspy keeps; the reader waits for replies."),
    AnomalyType("greeting_skipped", _L, "RFC 5321 §4.1.1.1",
                "A mail transaction begun without an accepted HELO, EHLO or LHLO."),
    AnomalyType("early_talker", _M, "RFC 5321 §3.1, RFC 1939 §4",
                "The client spoke before the server's greeting."),
    AnomalyType("cleartext_credentials", _H, "RFC 8314 §3, RFC 4954 §4, RFC 5034 §4",
                "A password, or what a password can be read from, crossed without TLS."),
    AnomalyType("plaintext_after_starttls", _C, "RFC 3207 §4.2, RFC 2595 §4",
                "Clear text after a STARTTLS or STLS that was accepted: an injection, or a broken peer."),
    AnomalyType("clear_after_starttls", _I, "RFC 3207 §4, RFC 2595 §4",
                "The client goes on in the clear after STARTTLS or STLS: the traffic was decrypted, or there is no TLS at all."),
    AnomalyType("starttls_refused", _M, "RFC 3207 §4, RFC 2595 §4",
                "The server has not agreed to STARTTLS or STLS, as 220 or +OK does; a client that goes on does so in the clear."),
    AnomalyType("starttls_withdrawn", _H, "RFC 3207 §6, RFC 8314 §5.1",
                "A server that has offered STARTTLS or STLS before offers it no more: perhaps somebody strips it."),
    AnomalyType("capabilities_differ", _L, "RFC 3207 §4.2, RFC 2595 §4",
                "The server's capabilities in TLS are others than before it: the first list came unprotected."),
    AnomalyType("auth_offered_in_clear", _L, "RFC 4954 §4, RFC 2595 §6",
                "A mechanism that gives the password away is offered where there is no TLS."),
    AnomalyType("unasked_login", _C, "RFC 1939 §4, RFC 9051 §7.1.4",
                "The server lets the client in without a login, as a PREAUTH greeting does: perhaps to keep it from TLS."),
    AnomalyType("weak_tls", _H, "RFC 9325 §3.1, §4.1",
                "A version of TLS or a cipher that is broken was agreed on."),
    AnomalyType("truncated", _M, "RFC 5321 §4.1.1.10, RFC 1939 §6",
                "The stream ended in the middle of a PDU or before a reply that was due."),
    AnomalyType("cross_protocol", _H, "RFC 9325 §3.7",
                "Another protocol on this port: HTTP, TLS, SSH, or the wrong mail protocol."),
    AnomalyType("ambiguous_end_of_data", _H, "RFC 5321 §4.1.1.4, CVE-2023-51764",
                "A dot alone on a line whose ends are not CRLF: some receivers end the message there."),
    AnomalyType("reply_too_long", _M, "RFC 5321 §4.5.3.1.5",
                "A reply of more lines or octets than mailspy keeps; the rest is counted, not kept."),
    AnomalyType("early_content", _L, "RFC 5321 §4.1.1.4",
                "Octets sent before the reply that says how to read them: after DATA, AUTH or STARTTLS."),
    AnomalyType("tcp_gap", _M, "mailspy",
                "Octets that were sent and are not in the capture; what they belong to is incomplete."),
    AnomalyType("tcp_overlap_conflict", _H, "RFC 9293 §3.10.7.4",
                "The same octets of a TCP stream came twice and differ: an evasion, or a broken device; the first copy is read."),
    AnomalyType("sealed", _M, "mailspy",
                "Records of TLS that do not open with the keys that there are; the rest of the flow is not read."),
    AnomalyType("parser_fault", _H, "mailspy",
                "A fault of mailspy's own in reading this flow; the rest of it is passed on unread."),
    AnomalyType("unknown_protocol", _L, "mailspy",
                "Neither the port nor the greeting tells the protocol; the flow is passed on unread."),
    AnomalyType("duplicate_field", _M, "RFC 5322 §3.6, RFC 2045 §3",
                "A header field that may stand once stands more often; readers disagree on which one counts."),
    AnomalyType("ambiguous_filename", _M, "RFC 2183 §2.3, RFC 2231 §4",
                "The file names that a part declares differ; readers disagree on which one counts."),
    AnomalyType("unknown_encoding", _L, "RFC 2045 §6.1",
                "A transfer encoding that mailspy does not know; the part is read as if it had none."),
    AnomalyType("encoded_multipart", _M, "RFC 2045 §6.4",
                "A multipart that claims to be encoded; its parts are read as they stand."),
    AnomalyType("missing_boundary", _M, "RFC 2046 §5.1.1",
                "A multipart without a boundary; it is read as one part."),
    AnomalyType("ambiguous_boundary", _M, "RFC 2046 §5.1.1",
                "A multipart with several boundaries; the parts are sought by all of them."),
    AnomalyType("long_boundary", _L, "RFC 2046 §5.1.1",
                "A boundary of more than 70 octets; readers cut it at different lengths."),
    AnomalyType("unclosed_multipart", _L, "RFC 2046 §5.1.1",
                "A multipart that ends without its closing delimiter; what came belongs to its last part."),
    AnomalyType("odd_encoding", _M, "RFC 2045 §6.1",
                "A transfer encoding that is quoted or commented; some readers do not know it in this form."),
    AnomalyType("broken_encoding", _M, "RFC 2045 §6.7, §6.8",
                "Octets that do not belong to the transfer encoding of a part; it is decoded as far as it goes."),
    AnomalyType("unknown_charset", _L, "RFC 2045 §5.1, RFC 2978",
                "A character set that mailspy does not know; the text is shown as UTF-8."),
    AnomalyType("charset_lie", _L, "RFC 2045 §5.1, RFC 2046 §4.1.2",
                "Octets that do not belong to the declared character set of a part."),
    AnomalyType("nul_in_header", _M, "RFC 5322 §2.2",
                "An octet of value zero in the header of a message or a part; some readers stop there."),
    AnomalyType("bare_cr_in_header", _M, "RFC 5322 §2.2",
                "A CR without LF in the header of a message or a part; some readers take it for a line end."),
    AnomalyType("eight_bit_in_header", _L, "RFC 5322 §2.2, RFC 6532 §3.2",
                "Octets above 127 in the header of a message or a part that are not UTF-8 either."),
    AnomalyType("malformed_header", _M, "RFC 5322 §2.2",
                "A line in a header that is no field; some readers end the header there, and others do not."),
    AnomalyType("mime_limit", _M, "mailspy",
                "A message goes beyond what mailspy takes apart; what lies past the limit is kept as it is."),
)
"""Every anomaly by its name."""
