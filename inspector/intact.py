"""What a plugin is given stays as it was: what its hook has changed of it is put back, and is the plugin's fault.

Rules.  PDUs, messages and sessions are the session's, and are given to all plugins: what one changes, everybody else would read,
and traffic with it.  Looked at is what stands in them, not what hangs on that; the commands that wait for replies, while few do.

Knows what hooks are given.  Must not know plugins, nor what an attribute means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final

from inspector.fault import Misuse
from inspector.pdu import PDU, Exchange, Flow, Message, Part, Transaction
from inspector.session import Session

FEW: Final = 32
"""Waiting commands that are looked at one by one."""

_NAMES: Final[dict[type, tuple[str, ...]]] = {
    PDU: ("number", "direction", "kind", "phase", "verb", "status", "raw", "size", "offset", "time", "client_state",
          "transaction", "secret", "command", "details", "origin", "veiled"),
    Flow: ("number", "client", "server", "opened", "protocol", "closed", "missing", "secure", "sealed"),
    Message: ("number", "transaction", "verb", "session", "opened", "size", "time"),
    Exchange: ("verb", "phase", "client_state", "transaction", "command", "entry", "due", "replies"),
    Part: ("message", "number", "content_type", "charset", "encoding", "disposition", "filename", "within", "candidates"),
    Transaction: ("number", "verb", "sender", "parameters", "recipients", "answered", "accepted", "argument"),
    Session: ("pending", "flow", "observer", "limits", "machine", "client", "server", "number", "transaction", "opening",
              "message", "sink", "user", "authenticated", "tls", "unveiled", "taint", "gate", "seen", "echo", "time",
              "flow.number", "flow.client", "flow.server", "flow.protocol", "client.step", "client.offset", "client.paused",
              "client.held", "server.step", "server.offset"),
}
"""What is looked at, by what it is."""
_READ: Final = ("client.", "server.")
"""Where a session is in reading, which cannot be put back."""

Look = Callable[[Any], tuple[Any, ...]]
_LOOKS: Final[dict[type, Look]] = {kind: attrgetter(*names) for kind, names in _NAMES.items()}
Kept = tuple[Any, type, tuple[Any, ...], Any]
"""An argument: itself, what it is, its attributes, and what it holds: of a PDU text and details, of a session what waits."""


def taken(arguments: Sequence[Any]) -> list[Kept]:
    """What the arguments of a hook are before the call."""
    found: list[Kept] = []
    for one in arguments:
        if isinstance(one, PDU):
            details = one.details
            found.append((one, PDU, _LOOKS[PDU](one), (one.note, dict(details) if isinstance(details, dict) else None)))
        elif isinstance(one, Session):
            found.append((one, Session, _LOOKS[Session](one), list(one.pending) if len(one.pending) <= FEW else None))
        elif (look := _LOOKS.get(type(one))) is not None:
            found.append((one, type(one), look(one), None))
    return found


def put_back(before: Sequence[Kept]) -> list[str]:
    """Makes them what they were; gives the names of what had been changed."""
    changed: list[str] = []
    for one, kind, values, holds in before:
        if not _unchanged(one, kind, values):
            changed += _attributes_put_back(one, kind, values)
        if kind is PDU:
            changed += _text_put_back(one, *holds)
        elif holds is not None and one.pending != holds:
            one.pending[:] = holds
            changed.append("Session.pending")
    return changed


def _unchanged(one: Any, kind: type, values: tuple[Any, ...]) -> bool:
    try:
        return _LOOKS[kind](one) == values
    except Exception:
        return False  # one is not there, or has no equals


def _attributes_put_back(one: Any, kind: type, values: tuple[Any, ...]) -> list[str]:
    changed: list[str] = []
    for name, value in zip(_NAMES[kind], values, strict=True):
        owner, _, attribute = name.rpartition(".")
        holder = getattr(one, owner) if owner else one
        if getattr(holder, attribute, changed) is not value:
            changed.append(f"{kind.__name__}.{name}")
            if not name.startswith(_READ):
                setattr(holder, attribute, value)
    return changed


def _text_put_back(pdu: PDU, note: str, details: dict[str, str] | None) -> list[str]:
    changed = []
    if pdu.note is not note:
        pdu.note = note
        changed = ["PDU.note"] if note else []  # `text` keeps there what it has made
    if details is not None and pdu.details != details:
        given: Any = pdu.details
        given.clear()
        given.update(details)
        changed.append("PDU.details")
    return changed


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, which raises `Misuse` where it has changed what it was given."""
    def call(*arguments: Any) -> Any:
        before = taken(arguments)
        try:
            answer = function(*arguments)
        except BaseException:
            put_back(before)
            raise
        if changed := put_back(before):
            raise Misuse(f"changed {', '.join(dict.fromkeys(changed))}, which is not its own; what it answered does not count")
        return answer

    return call
