"""What hooks may answer: verdicts, sinks, protocols; everything else is a plugin's fault, and named.

Rules.  A verdict is taken for what its class says, whatever a class derived from it changes.  What would leave in somebody's
place is whole: a line, or a reply as the protocol has them, so that no answer can be two.

Knows the contract of the hooks.  Must not know plugins, nor what is done with an answer.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from inspector.fault import Misuse, name_of
from inspector.pdu import C2S, PDU, Kind, Message, Sink
from inspector.protocol import Protocol
from inspector.session import Session
from inspector.starttls import StartTls
from inspector.verdict import LONGEST_LINE, LONGEST_REPLY, Answer, Close, Forward, Replace, Verdict

_LINES: Final = re.compile(rb"(?:[^\r\n]*\r\n)+", re.DOTALL)
_LINE: Final = re.compile(rb"[^\r\n]*\r\n")
_POP3: Final = re.compile(rb"-ERR(?:[ \t][^\r\n]*)?\r\n|\+[ \t][^\r\n]*\r\n|"
                          rb"\+OK(?:[ \t][^\r\n]*)?\r\n(?:(?:(?!\.\r\n)[^\r\n]*\r\n)*\.\r\n)?")
_SMTP: Final = re.compile(rb"([2-5]\d\d)(?:-[^\r\n]*\r\n\1)*(?:[ \t][^\r\n]*)?\r\n")
_REPLIES: Final[Mapping[str, re.Pattern[bytes]]] = {"pop3": _POP3, "smtp": _SMTP, "lmtp": _SMTP}
"""What one whole reply is; of other protocols nobody knows more than that it is lines."""
_NAME: Final = re.compile(r"[a-z][a-z0-9+.-]*")
_UNLINED: Final = frozenset({Kind.BODY, Kind.OPAQUE})
"""PDUs whose verdict has no effect but for `Close`."""


def verdict(answer: object, subject: PDU | Message, session: Session) -> Verdict:
    """The verdict that an answer is, in one of the four classes.  Raises Misuse."""
    if isinstance(answer, Forward):
        return Forward()
    if isinstance(answer, Close):
        return Close(octets(answer, "farewell", answer.farewell))
    if isinstance(answer, Replace):
        raw = octets(answer, "raw", answer.raw, LONGEST_LINE if _is_line(subject) else LONGEST_REPLY)
        if not (_LINE if _is_line(subject) else _LINES).fullmatch(raw) and not _without_effect(subject):
            raise Misuse(f"{name_of(answer)} of something that is not one whole line with its CRLF; it does not count")
        return Replace(raw)
    if isinstance(answer, Answer):
        raw = octets(answer, "raw", answer.raw)
        if not _REPLIES.get(session.flow.protocol, _LINES).fullmatch(raw) and not _without_effect(subject):
            raise Misuse(f"{name_of(answer)} of something that is not one whole reply with its CRLF; it does not count")
        return Answer(raw)
    if inspect.iscoroutine(answer):
        answer.close()
    raise Misuse(f"answered {name_of(answer)}, which is no verdict; it does not count")


def _is_line(subject: PDU | Message) -> bool:
    """Whether one line stands there; a server's reply may be several."""
    return isinstance(subject, PDU) and subject.direction is C2S


def _without_effect(subject: PDU | Message) -> bool:
    return isinstance(subject, PDU) and subject.kind in _UNLINED


def octets(answer: object, name: str, value: object, most: int = LONGEST_REPLY) -> bytes:
    """The octets that a verdict carries.  Raises Misuse."""
    if not isinstance(value, bytes):
        raise Misuse(f"{name_of(answer)} whose `{name}` is {name_of(value)}, not bytes; it does not count")
    raw = b"".join((value,))  # whatever a class derived from it says
    if len(raw) > most:
        raise Misuse(f"{name_of(answer)} of {len(raw):,} octets, {most:,} can be; it does not count")
    return raw


def sink(answer: Any) -> Sink:
    """The sink that an answer is.  Raises Misuse."""
    for method in ("feed", "close"):
        if not callable(getattr(answer, method, None)):
            raise Misuse(f"answered {name_of(answer)}, which is no sink: it has no `{method}`; it gets nothing")
    return answer  # type: ignore[no-any-return]


def protocols(answer: object, taken: Iterable[str], plugin: str) -> list[Protocol]:
    """The protocols that a plugin's `register_protocols` has answered; `taken` are names of others.  Raises Misuse."""
    if answer is None:
        return []
    if isinstance(answer, str | bytes | Mapping) or not isinstance(answer, Iterable):
        raise Misuse(f"register_protocols answered {name_of(answer)}, not a list of Protocol")
    names, found = set(taken), []
    for one in answer:
        if not isinstance(one, Protocol):
            raise Misuse(f"register_protocols answered a list with {name_of(one)} in it, not of Protocol")
        _check(one)
        if one.name in names:
            raise Misuse(f"there is a protocol {one.name} already: give this one another name")
        names.add(one.name)
        found.append(replace(one, plugin=plugin))
    return found


def _check(protocol: Protocol) -> None:
    """Raises Misuse for a member that is not what it should be."""
    name = protocol.name
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Misuse("a Protocol whose `name` is not made of small letters, digits, `+`, `.` and `-`")
    told = {
        "ports": isinstance(protocol.ports, tuple) and all(type(port) is int and 0 <= port <= 0xFFFF for port in protocol.ports),
        "session": callable(protocol.session),
        "tables": isinstance(protocol.tables, Mapping) and all(isinstance(key, str) for key in protocol.tables),
        "greeting": isinstance(protocol.greeting, bytes),
        "unavailable": isinstance(protocol.unavailable, bytes),
        "starttls": protocol.starttls is None or isinstance(protocol.starttls, StartTls),
    }
    for member, right in told.items():
        if not right:
            raise Misuse(f"the Protocol {name} has `{member}` wrong; see Protocol in the reference of the public names")

