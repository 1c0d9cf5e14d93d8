"""What is made of a client's line that not all servers read alike, where somebody judges: refused, or judged in every reading.

Knows sessions and verdicts.  Must not know any protocol, nor how a verdict is carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from inspector import readings
from inspector.pdu import C2S, PDU, Kind, Message
from inspector.verdict import Answer, Close, Forward, Replace, Verdict

if TYPE_CHECKING:
    from inspector.session import Session

Judge = Callable[[PDU | Message, "Session"], Verdict | None]
LINES: Final = frozenset({Kind.COMMAND, Kind.SASL_RESPONSE})
"""What servers may read differently."""


def verdicts(session: Session, pdu: PDU, judge: Judge) -> Iterator[Verdict | None]:
    """Mailspy's own verdict on a client's line, then the judges' on what else it could be."""
    refused, others = session.wary(pdu)
    if refused:
        # In the middle of a SASL exchange an answer would leave the server waiting.
        yield Close(refused) if pdu.kind is Kind.SASL_RESPONSE else Answer(refused)
    for raw in others:
        verdict = judge(_as_command(session, raw, pdu), session)
        # A reading is no line that could be replaced.
        yield Answer(session.refusal(readings.DISGUISED)) if isinstance(verdict, Replace) else verdict


def forbidden(session: Session, raw: bytes, judge: Judge) -> bool:
    """Whether the judges would not let a line pass that stands in a message, and that some server may read as a command."""
    body = PDU(session.number + 1, C2S, Kind.BODY, session.phase, "", "", raw, len(raw), session.client.offset, session.time,
               secret=(0, len(raw) - 2))
    verdict = judge(_as_command(session, raw, body), session)
    return verdict is not None and not isinstance(verdict, Forward)


def _as_command(session: Session, raw: bytes, pdu: PDU) -> PDU:
    """What else a PDU could be to some server."""
    verb, details = session.read_as(raw)
    secret = (0, len(raw) - 2) if pdu.secret is not None else None
    return PDU(pdu.number, C2S, Kind.COMMAND, pdu.phase, verb, "", raw, len(raw), pdu.offset, pdu.time, pdu.client_state,
               pdu.transaction, secret, None, details)
