"""How a message crossed: its envelope, as header fields of a copy and as JSON.

Knows letters.  Must not know files.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from inspector.mail.letter import Letter
from inspector.text import sanitise

LONGEST: Final = 900
"""Characters of a value in a header field; a line may have 998 (RFC 5322 §2.1.1)."""


def moment(time: int) -> str:
    """A time as RFC 3339 writes it; empty where it is not known."""
    if not time:
        return ""
    when = datetime.fromtimestamp(time // 1_000_000, UTC).replace(microsecond=time % 1_000_000)
    return when.isoformat(timespec="microseconds").replace("+00:00", "Z")


def sender(letter: Letter) -> str:
    """The reverse-path; of a message that was fetched, what Return-Path says of it."""
    told: Any = letter.fields.get("envelope")
    return letter.message.transaction.sender or (str(told.get("from", "")) if isinstance(told, dict) else "")


def described(letter: Letter) -> dict[str, Any]:
    """The envelope as a JSON object; text in it is sanitised."""
    message, flow = letter.message, letter.flow
    transaction = message.transaction
    return {
        "message": letter.number, "flow": flow.number, "protocol": flow.protocol, "verb": message.verb, "pdu": letter.pdu,
        "client": str(flow.client) if flow.client.host else "", "server": str(flow.server) if flow.server.host else "",
        "time": moment(message.time), "size": message.size, "complete": letter.complete, "flaw": letter.flaw,
        "mail_from": sanitise(sender(letter)),
        "parameters": {sanitise(name): sanitise(value) for name, value in transaction.parameters.items()},
        "rcpt_to": [{"address": sanitise(one.address), "accepted": one.accepted, "status": sanitise(one.status)}
                    for one in transaction.recipients],
    }


def fields(letter: Letter) -> bytes:
    """The envelope as header fields, each a line with CRLF, in ASCII: nothing from the wire can end a line."""
    transaction = letter.message.transaction
    rows = [("Mail-From", f"<{sender(letter)}>")]
    rows += [("Rcpt-Refused" if one.refused else "Rcpt-To", f"<{one.address}>" + (f" {one.status}" if one.refused else ""))
             for one in transaction.recipients]
    rows.append(("Flow", f"{letter.flow.number} {letter.flow.protocol} {letter.message.verb} pdu {letter.pdu}"))
    if letter.message.time:
        rows.append(("Time", moment(letter.message.time)))
    return b"".join(field(name, value) for name, value in rows)


def field(name: str, value: str) -> bytes:
    """One header field `X-Mailspy-…`."""
    return f"X-Mailspy-{name}: {sanitise(value)}"[:LONGEST].encode("ascii", "backslashreplace")[:LONGEST] + b"\r\n"
