"""What the server did with a recipient, held against what the policy says.

Knows decisions and reply codes.  Must not know where either comes from.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from mailspy_relay.policy import Decision


class Outcome(NamedTuple):
    """The verdict on a reply to RCPT."""

    verdict: str
    severity: str


LOCAL_ACCEPTED: Final = Outcome("local_accepted", "info")
RELAY_ALLOWED: Final = Outcome("relay_allowed", "info")
RELAY_REFUSED: Final = Outcome("relay_refused", "info")
"""As it should be."""
OPEN_RELAY: Final = Outcome("open_relay", "high")
"""The server accepted what the policy forbids."""
REFUSED: Final = Outcome("refused_local", "low")
"""The server refused what the policy allows."""
REFUSED_FOR_A_REASON: Final = Outcome("refused_local", "info")
"""The same, where the reply says that the policy is not why: a full mailbox, an unknown user, later perhaps."""
NOT_JUDGED: Final = Outcome("not_judged", "info")
"""A refusal without a transaction: after a refused MAIL, RSET or EHLO it says nothing about the recipient."""

_REASONS: Final = ("5.1.", "5.2.", "5.3.", "5.5.")
"""Enhanced status codes about the address, the mailbox, the system, the protocol (RFC 3463 §3)."""
_SYNTAX: Final = frozenset({"500", "501", "502", "503", "504", "552", "553"})
"""Reply codes about the command, the size, the name (RFC 5321 §4.2.3)."""


def outcome(decision: Decision, status: str, enhanced: str, transaction: bool) -> Outcome:
    """The verdict on a reply code and an enhanced status, which may be empty.  `transaction`: one was in force."""
    if status[:1] == "2":
        if not decision.allowed:
            return OPEN_RELAY
        return LOCAL_ACCEPTED if decision.local else RELAY_ALLOWED
    if not transaction:
        return NOT_JUDGED
    if not decision.allowed:
        return RELAY_REFUSED
    reason = status[:1] == "4" or status in _SYNTAX or enhanced.startswith(_REASONS)
    return REFUSED_FOR_A_REASON if reason else REFUSED
