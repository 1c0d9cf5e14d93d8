"""The hooks: everything that a plugin can implement, and what it can count on.

Imperative names ask (you may answer); names in the past tense tell.  An implementation may leave out arguments that it does
not need.  Hooks are called live and in replay, in the same order, on the same data.

An implementation is a plain function, neither `async` nor with `yield`.  What it raises is contained, whatever it is.

Knows the signatures.  Must not know who calls them or who implements them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inspector.anomaly import Anomaly
    from inspector.options import OptionParser, Options
    from inspector.pdu import PDU, Exchange, Finding, Flow, Message, Part, Sink
    from inspector.protocol import Protocol
    from inspector.session import Session
    from inspector.verdict import Verdict

PROJECT: Final = "mailspy"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def add_options(parser: OptionParser) -> None:
    """Declares the plugin's options with `parser.add(name, help=…, type=…, default=…, multiple=…)`.

    Called once, before the command line is read.
    """


@hookspec
def configure(options: Options) -> None:
    """Takes the values of all options, once, before the first flow.

    Raise `OptionError` to refuse to start; its text is shown to the user, who gets exit code 2.  A plugin that has nothing
    to do with these options sets its attribute `idle` to True here, and none of its hooks is called any more; or to a frozenset
    of the names of those hooks that are not.  A plugin that judges only when it is asked to thus costs nothing else.
    """


@hookspec
def register_protocols() -> Iterable[Protocol]:
    """Adds protocols to those that mailspy reads.  Called once, before the command line is read."""


@hookspec
def flow_opened(flow: Flow) -> None:
    """A connection between a client and a server exists."""


@hookspec
def flow_closed(flow: Flow, reason: str) -> None:
    """The connection is over.  `reason` says who ended it and how: `client closed`, `server closed`, `client reset`,
    `server reset`, `observation ended` (the capture ends there), or what mailspy itself has done; `inspector.reasons` has all."""


@hookspec
def judge_pdu(pdu: PDU, session: Session) -> Verdict | None:
    """Decides about a command, a reply or another line before it is sent on: a `Verdict`, or None.

    The strictest verdict wins, whatever the order of the plugins.  Called before `pdu_seen`, for every PDU; a verdict on a body
    or an opaque PDU has no effect, but for `Close`.  When a flow can be read no further, live, an opaque PDU without octets is
    judged, before anything unread leaves.  In replay it is called too, and its verdict has no effect.
    """


@hookspec
def judge_message(message: Message, session: Session) -> Verdict | None:
    """Decides about a whole message at its end, before its last octets are sent on: a `Verdict`, or None.

    For SMTP and LMTP: with `Close`, or with `Answer`, whose octets the client gets, the server never sees the end of the
    message and both sides are closed.  `Replace` has no effect.
    """


@hookspec
def pdu_seen(pdu: PDU, session: Session) -> None:
    """A PDU is complete.  Of a body, this comes after the sinks of its message were closed."""


@hookspec
def phase_changed(session: Session, before: str) -> None:
    """A reply, or a command that needs none, has moved the session: `session.phase` is no longer `before`."""


@hookspec
def exchange_completed(exchange: Exchange, session: Session) -> None:
    """A command has its final reply; `exchange.duration` is the time between them, in microseconds.

    Without `exchange.replies`: none came, and later commands were answered (`reply_misplaced`)."""


@hookspec
def anomaly_found(anomaly: Anomaly, session: Session) -> None:
    """A deviation from the standards, after the `pdu_seen` of the PDU in which it was found.

    Of one name in one flow so many are told as `--anomalies` says, 100 by default; the rest as one, before `flow_closed`, whose
    `number` says how many.  Whoever counts deviations adds up `number`.
    """


@hookspec
def open_message(message: Message, session: Session) -> Sink | None:
    """A message begins: return a sink for its octets, or None.

    The sink gets the content in order, dot-stuffing taken away, in segments of any length, then `close(complete)`.  One that
    tells what it finds at its end only may have an attribute `patient`, True: offline it then gets fewer and longer segments,
    which is faster (`PatientSink` says what it promises).
    """


@hookspec
def open_part(part: Part, message: Message) -> Sink | None:
    """A MIME part begins: return a sink for its decoded octets, or None.  Fired by the MIME plugin.

    It may be `patient`, as in `open_message`.
    """


@hookspec
def finding(finding: Finding, session: Session) -> None:
    """A plugin reports something for people and programs, by `session.report(finding)`."""


def specifications() -> Any:
    """The module itself, as pluggy's `add_hookspecs` takes it."""
    import sys

    return sys.modules[__name__]
