"""Keeps of the messages of a run those that a filter asks for.

Rules.  A message is asked for when its own event satisfies the expression, or that of one of its parts, or a deviation in it.

Knows expressions and events.  Must not know what is done with a message.
"""

from __future__ import annotations

from inspector.anomaly import Anomaly
from inspector.errors import OptionError
from inspector.pdu import Finding
from inspector.query.fields import ANOMALY, FINDINGS
from inspector.query.question import Expression, kind_of
from inspector.session import Session


class Letters:
    """What is asked of messages."""

    def __init__(self, expression: Expression) -> None:
        """Raises OptionError for what only a whole session tells."""
        if expression.of_sessions:
            raise OptionError("--filter: messages are chosen when they end, and this asks about whole sessions: ask about "
                              "messages, parts and deviations; `mailspy sessions` and the other exports take sessions too")
        self._tests = {kind: expression.of_event(kind) for kind in (ANOMALY, *FINDINGS)}

    def asks(self, event: Anomaly | Finding, session: Session) -> bool:
        """Whether the message in hand is asked for, as far as this event tells."""
        test = self._tests[ANOMALY if isinstance(event, Anomaly) else kind_of(event.event)]
        return test if isinstance(test, bool) else bool(test(event, session))
