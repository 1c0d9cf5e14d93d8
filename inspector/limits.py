"""How much mailspy keeps, per flow: every bound with its derivation and what happens past it.

Knows numbers.  Must not know who keeps to them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one flow."""

    line: int = 65_536
    """Octets of a line that are kept and read.  The longest that a standard allows is 12,288 (SASL in SMTP, RFC 4954 §4.4).
    Past it the line is passed on, counted and marked `line_too_long`."""
    reply: int = 65_536
    """Octets of a multi-line reply that are kept (RFC 5321 §4.5.3.1.5 allows 512 a line).  Past it: `reply_too_long`."""
    head: int = 4_096
    """Octets of a body, and of an opaque PDU, that stand in its `raw`.  Bodies are checked for forbidden octets that far.
    So many are kept behind a dot that some servers take for the end of a content; past it, it was none."""
    listing: int = 65_536
    """Octets of a multi-line reply other than a message (LIST, CAPA) that stand in its `raw`."""
    held: int = 1_048_576
    """Octets held back from the reader until a reply tells how to read them.  Past it they are read as if the reply
    were the one hoped for."""
    unanswered: int = 4_096
    """Commands without a reply.  The longest honest pipeline seen is a mailbox of 1,000 messages fetched at once.
    Past it the reader waits: `too_many_pipelined`."""
    recipients: int = 10_000
    """Recipients of one transaction that are kept (RFC 5321 §4.5.3.1.8 asks for 100 at least).  Past it they are counted."""
    undecided: int = 65_536
    """Octets in both directions before the protocol is known.  Past it: `unknown_protocol`."""
    anomalies: int = 100
    """Deviations of one name in one flow that are told one by one (`--anomalies`).  Past it they are counted, and told once, with
    their number, at the end of the flow: a peer who deviates in every octet must not fill the disk."""


DEFAULT = Limits()
"""What applies unless told otherwise."""
