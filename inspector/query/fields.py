"""What can be asked for: one table, which the language, `mailspy fields` and the docs are made of.

Rules.  A field says for each event that has it how to get its value: `get(subject, session)` gives a value or, for a field that
can have several, a sequence of them.  Fields of a session are on every event of it.  Nothing secret is in any field.

Knows events and their members.  Must not know the language.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from inspector.pdu import C2S, PDU, S2C, Finding, Kind
from inspector.query.values import ADDRESS, DURATION, INSTANT, NUMBER, SEVERITY, SIZE, TEXT, TRUTH, Type

if TYPE_CHECKING:
    from inspector.anomaly import Anomaly
    from inspector.pdu import Flow
    from inspector.query.account import Account
    from inspector.session import Session

OPENED: Final = "flow_opened"
CLOSED: Final = "flow_closed"
PDUS: Final = "pdu"
ANOMALY: Final = "anomaly"
MESSAGE: Final = "message"
PART: Final = "part"
ATTACHMENT: Final = "attachment"
WARNING: Final = "attachment_warning"
POLICY: Final = "policy"
TLS: Final = "tls"
FAILED: Final = "tls_failed"
OTHER: Final = "finding"
"""An event of any other plugin."""

FLOWS: Final = (OPENED, CLOSED)
FINDINGS: Final = (MESSAGE, PART, ATTACHMENT, WARNING, POLICY, TLS, FAILED, OTHER)
EVENTS: Final = (*FLOWS, PDUS, ANOMALY, *FINDINGS)

Getter = Callable[[Any, Any], Any]
"""From the flow, PDU, anomaly or finding, and the session (None where an event has none), to the value."""


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that can be asked for."""

    name: str
    type: Type
    meaning: str
    """One line for people."""
    on: Mapping[str, Getter]
    """The events that have it, and how to get it."""
    several: bool = False
    """The getter gives a sequence of values."""
    whole: bool = False
    """It belongs to the session: every event of the session has it."""
    fixed: bool = False
    """It is known when the session begins, and does not change."""
    late: Callable[[Account], Any] | None = None
    """How to get what only the end of a session tells."""


def _of_flow(get: Callable[[Flow], Any]) -> dict[str, Getter]:
    """A getter of the flow's, for every event."""
    flow: dict[str, Getter] = dict.fromkeys(FLOWS, lambda subject, session: get(subject))
    return {**flow, **dict.fromkeys((PDUS, ANOMALY, *FINDINGS), lambda subject, session: get(session.flow))}


def _of_session(get: Callable[[Session], Any]) -> dict[str, Getter]:
    return dict.fromkeys((PDUS, ANOMALY, *FINDINGS), lambda subject, session: get(session))


def _member(name: str, kind: type = str) -> Getter:
    """A member of a finding, when it is what it should be: any plugin can report a finding under any name."""
    default = kind()

    def get(finding: Finding, session: object) -> Any:
        value = finding.fields.get(name)
        return value if isinstance(value, kind) else default

    return get


def _findings(name: str, *events: str) -> dict[str, Getter]:
    return dict.fromkeys(events, _member(name))


def _texts(*values: Any) -> list[str]:
    """The texts among some values and lists of them."""
    found: list[str] = []
    for value in values:
        found += [one for one in (value if isinstance(value, list | tuple) else (value,)) if isinstance(one, str) and one]
    return found


def _people(finding: Finding, *, envelope: str, fields: Sequence[str]) -> list[str]:
    """Addresses of a message: of its envelope, of its header fields, and these as they read."""
    members = finding.fields
    crossed, addresses = members.get("envelope"), members.get("addresses")
    found = _texts(crossed.get(envelope) if isinstance(crossed, dict) else None, members.get(envelope))
    for field in fields:
        listed = addresses.get(field) if isinstance(addresses, dict) else None
        found += _texts([one.get("address") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else None)
    return found


def _problems(finding: Finding, session: object) -> list[str]:
    """What is wrong with a certificate, by name."""
    found = finding.fields.get("problems")
    return _texts([one.get("name") for one in found if isinstance(one, dict)]) if isinstance(found, list) else []


def _path(verb: str) -> Getter:
    """The path of a MAIL or RCPT."""
    def get(pdu: PDU, session: object) -> Sequence[str]:
        return (pdu.details.get("path", ""),) if pdu.verb == verb and pdu.kind is Kind.COMMAND else ()

    return get


WAYS: Final[Mapping[Any, Sequence[str]]] = {C2S: (C2S.value, "client"), S2C: (S2C.value, "server")}
"""What a direction can be called."""
ANSWERS: Final = frozenset({Kind.REPLY, Kind.CONTINUATION})
CREDENTIALS: Final = frozenset({"AUTH", "PASS", "APOP"})
"""Commands whose final reply says whether somebody is logged in."""
LOGINS: Final = {"+": "accepted", "2": "accepted", "-": "failed", "4": "failed", "5": "failed"}
"""What the first character of a status says of a login."""


def login(pdu: PDU, session: object = None) -> str:
    """`accepted` or `failed` for the reply that ends a login; else empty."""
    if pdu.kind is Kind.REPLY and pdu.verb in CREDENTIALS:
        return LOGINS.get(pdu.status[:1], "")
    return ""


def _duration(pdu: PDU, session: object) -> int | None:
    """Microseconds from the command to this reply."""
    return pdu.time - pdu.command.time if pdu.command is not None and pdu.kind in ANSWERS else None


def _moment(finding: Finding, session: Session) -> int:
    return finding.time or session.time


def _severity(finding: Finding, session: object) -> str:
    return finding.severity


def _name_of(name: str) -> Getter:
    return lambda subject, session: name


_NAMES: Final[dict[str, Getter]] = {name: _name_of(name) for name in EVENTS}
_SIZES: Final[dict[str, Getter]] = dict.fromkeys((MESSAGE, PART, ATTACHMENT), _member("size", int))


def _table(*fields: Field) -> dict[str, Field]:
    return {field.name: field for field in fields}


def _pdu(get: Callable[[PDU], Any]) -> dict[str, Getter]:
    return {PDUS: lambda pdu, session: get(pdu)}


def _anomaly(get: Callable[[Anomaly], Any]) -> Getter:
    return lambda anomaly, session: get(anomaly)


def _late(name: str, kind: Type, meaning: str, get: Callable[[Account], Any]) -> Field:
    return Field(name, kind, meaning, {}, whole=True, late=get)


FIELDS: Final = _table(
    # The session
    Field("flow", NUMBER, "the number of the session", _of_flow(lambda flow: flow.number), whole=True, fixed=True),
    Field("client", ADDRESS, "who connected", _of_flow(lambda flow: flow.client), whole=True, fixed=True),
    Field("server", ADDRESS, "who was connected to", _of_flow(lambda flow: flow.server), whole=True, fixed=True),
    Field("port", NUMBER, "the port of the server", _of_flow(lambda flow: flow.server.port), whole=True, fixed=True),
    Field("protocol", TEXT, "pop3, smtp, lmtp, a plugin's", _of_flow(lambda flow: flow.protocol), whole=True),
    Field("user", TEXT, "who is logged in, where that crossed in the clear", _of_session(lambda session: session.user),
          whole=True),
    Field("tls", TRUTH, "TLS has been agreed on", _of_session(lambda session: session.tls), whole=True),
    _late("session.duration", DURATION, "from its first packet to its end", lambda account: account.duration),
    _late("session.size", SIZE, "octets of both directions", lambda account: account.sent + account.received),
    _late("session.pdus", NUMBER, "lines and contents that crossed", lambda account: account.pdus),
    _late("session.messages", NUMBER, "messages that crossed", lambda account: account.messages),
    _late("session.anomalies", NUMBER, "anomalies in it", lambda account: account.anomaly_count),
    _late("session.end", TEXT, "why it ended: client closed, server reset, observation ended, …", lambda account: account.reason),
    # Every event
    Field("event", TEXT, f"{', '.join(EVENTS[:-1])}, or another plugin's",
          {**_NAMES, OTHER: lambda finding, session: finding.event}),
    Field("time", INSTANT, "when it was seen",
          {OPENED: lambda flow, session: flow.opened, CLOSED: lambda flow, session: flow.closed or flow.opened,
           PDUS: lambda pdu, session: pdu.time, ANOMALY: lambda anomaly, session: anomaly.time,
           **dict.fromkeys(FINDINGS, _moment)}),
    Field("text", TEXT, "the line as it is shown; secrets are masked in it",
          {**_pdu(lambda pdu: pdu.text), ANOMALY: _anomaly(lambda anomaly: anomaly.detail),
           **dict.fromkeys(FINDINGS, lambda finding, session: finding.summary)}),
    # Lines
    Field("number", NUMBER, "of the line in its session", _pdu(lambda pdu: pdu.number)),
    Field("direction", TEXT, "who sent it: client (C->S) or server (S->C)", _pdu(lambda pdu: WAYS[pdu.direction]), several=True),
    Field("origin", TEXT, "whose words it is: peer, or mailspy in somebody's place", _pdu(lambda pdu: pdu.origin.value)),
    Field("kind", TEXT, f"{', '.join(kind.value for kind in Kind)}", _pdu(lambda pdu: pdu.kind.value)),
    Field("phase", TEXT, "the part of the session: see mailspy phases", _pdu(lambda pdu: pdu.phase)),
    Field("verb", TEXT, "the command; of a reply or a content, the command it belongs to; of a message, how it crossed",
          {**_pdu(lambda pdu: pdu.verb), MESSAGE: _member("verb")}),
    Field("status", TEXT, "of a reply: 250, +OK, -ERR",
          {**_pdu(lambda pdu: pdu.status), POLICY: _member("status")}),
    Field("enhanced", TEXT, "of a reply, the enhanced status code: 5.7.1", _pdu(lambda pdu: pdu.details.get("enhanced", ""))),
    Field("duration", DURATION, "of a reply: since its command", {PDUS: _duration}),
    Field("login", TEXT, "of a reply to AUTH, PASS or APOP: accepted or failed", {PDUS: login}),
    Field("transaction", NUMBER, "the SMTP transaction or POP3 retrieval, from 1 in its session",
          {**_pdu(lambda pdu: pdu.transaction or None), MESSAGE: _member("transaction", int)}),
    # Messages
    Field("size", SIZE, "of a line on the wire; of a message; of a part or attachment, decoded",
          {**_pdu(lambda pdu: pdu.size), **_SIZES}),
    Field("message.size", SIZE, "of a message", {MESSAGE: _SIZES[MESSAGE]}),
    Field("part.size", SIZE, "of a part or attachment, decoded", {PART: _SIZES[PART], ATTACHMENT: _SIZES[ATTACHMENT]}),
    Field("from", TEXT, "the sender: of MAIL, of the envelope, in From",
          {PDUS: _path("MAIL"), POLICY: lambda finding, session: _texts(finding.fields.get("sender")),
           MESSAGE: lambda finding, session: _people(finding, envelope="from", fields=("from",))}, several=True),
    Field("to", TEXT, "the recipients: of RCPT, of the envelope, in To and Cc",
          {PDUS: _path("RCPT"), POLICY: lambda finding, session: _texts(finding.fields.get("recipient")),
           MESSAGE: lambda finding, session: _people(finding, envelope="to", fields=("to", "cc"))}, several=True),
    Field("subject", TEXT, "decoded", _findings("subject", MESSAGE)),
    Field("message_id", TEXT, "as in the header", _findings("message_id", MESSAGE)),
    Field("content_type", TEXT, "as declared: application/zip", _findings("content_type", PART, ATTACHMENT)),
    Field("detected", TEXT, "the type that the first octets tell (with --attachments)", _findings("detected", ATTACHMENT)),
    Field("filename", TEXT, "as declared, decoded", _findings("filename", PART, ATTACHMENT, WARNING)),
    Field("disposition", TEXT, "attachment, inline, …", _findings("disposition", PART)),
    Field("encoding", TEXT, "the Content-Transfer-Encoding", _findings("encoding", PART)),
    Field("charset", TEXT, "as declared, in small letters", _findings("charset", PART)),
    Field("sha256", TEXT, "of the decoded octets, hexadecimal", _findings("sha256", PART, ATTACHMENT, WARNING)),
    Field("complete", TRUTH, "whether all of it was seen",
          dict.fromkeys((MESSAGE, PART, ATTACHMENT), _member("complete", bool))),
    # What was found
    Field("anomaly", TEXT, "the name of a deviation: bare_lf, truncated, …", {ANOMALY: _anomaly(lambda anomaly: anomaly.name)}),
    Field("severity", SEVERITY, "of an anomaly or a finding: info, low, medium, high, critical",
          {ANOMALY: _anomaly(lambda anomaly: anomaly.severity.value), **dict.fromkeys(FINDINGS, _severity)}),
    Field("warning", TEXT, "what is odd about a file: double_extension, … (with --attachments)", _findings("name", WARNING)),
    Field("verdict", TEXT, "what the server made of the relay policy: open_relay, refused_local, …",
          _findings("verdict", POLICY)),
    Field("tls.leg", TEXT, "of which side TLS is told: client or server", _findings("leg", TLS, FAILED)),
    Field("tls.version", TEXT, "what was agreed on: TLSv1.2, TLSv1.3", _findings("version", TLS)),
    Field("tls.cipher", TEXT, "the cipher suite, in OpenSSL's words", _findings("cipher", TLS)),
    Field("tls.sni", TEXT, "whom the client, or mailspy, has asked for", _findings("name", TLS)),
    Field("tls.problem", TEXT, "what is wrong with the server's certificate: expired, self_signed, wrong_name, …",
          {TLS: _problems, FAILED: _problems}, several=True),
    Field("decision", TEXT, "the relay policy's: local or relay", _findings("decision", POLICY)),
)


ALL: Final = "all"
WHOLE: Final = "session"


def events(field: Field) -> list[str]:
    """The events that have a field: their names, `all`, or `session` for what only a whole session has."""
    if field.late is not None:
        return [WHOLE]
    return [ALL] if field.whole or set(field.on) == set(EVENTS) else [kind for kind in EVENTS if kind in field.on]


def described() -> list[dict[str, Any]]:
    """The table as objects."""
    return [{"name": field.name, "type": field.type.name, "operators": list(field.type.operators), "events": events(field),
             "meaning": field.meaning} for field in FIELDS.values()]


def near(name: str, known: Iterable[str] = FIELDS) -> str:
    """The field that was perhaps meant; empty when none is near."""
    found = difflib.get_close_matches(name, list(known), 1) or [one for one in known if name in one.split(".")]
    return OTHERS.get(name) or (found[0] if found else "")


OTHERS: Final = {
    "ip.addr": "client", "ip": "client", "host": "client", "address": "client", "src": "client", "dst": "server",
    "src_ip": "client", "dst_ip": "server", "username": "user", "sender": "from", "recipient": "to", "rcpt": "to", "cc": "to",
    "command": "verb", "code": "status", "reply": "status", "response": "status", "mime": "content_type", "type": "content_type",
    "name": "filename", "file": "filename", "hash": "sha256", "length": "size", "octets": "size", "bytes": "size",
    "sni": "tls.sni", "cipher": "tls.cipher",
    "latency": "duration", "took": "duration", "mail": "message.size", "ssl": "tls", "state": "phase", "session": "flow",
}
"""Words of others for what we call otherwise."""
