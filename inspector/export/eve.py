"""Suricata's EVE: `smtp`, `pop3`, `fileinfo`, `anomaly` and `flow` records (docs.suricata.io, EVE JSON format).

Rules.  Members have Suricata's names and forms.  What only a packet engine knows (packet counts, signatures) is left out rather
than made up.  Passwords are masked.

Knows events and EVE.  Must not know files.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, Final

from inspector.anomaly import Anomaly
from inspector.export.form import Kept, Sheet
from inspector.export.header import fields
from inspector.export.names import digest
from inspector.pdu import C2S, PDU, Finding, Flow, Kind, Message, Transaction
from inspector.reasons import CLIENT_CLOSED, OBSERVATION_ENDED, SERVER_CLOSED, STOPPED
from inspector.session import Session
from inspector.text import decode, sanitise
from inspector.tls.names import address_of

PROTOCOLS: Final = {"lmtp": "smtp"}
"""Protocols that have another name there."""
HELLOS: Final = frozenset({"EHLO", "HELO", "LHLO"})
SASL: Final = "<SASL DATA>"
"""Suricata's name for what a client sends in the middle of an AUTH."""
MOST: Final = 1_000
"""Recipients, files and octets of a state that a peer can make many of."""
REASONS: Final = {OBSERVATION_ENDED: "shutdown", STOPPED: "shutdown", CLIENT_CLOSED: "tcp_fin", SERVER_CLOSED: "tcp_fin"}


class _State:
    """What is known of a flow."""

    def __init__(self) -> None:
        self.octets = [0, 0]
        self.helo = ""
        """What the server has accepted."""
        self.transaction: Transaction | None = None
        """The transaction in force."""
        self.told: Transaction | None = None
        """The last that has a record."""
        self.asked: dict[int, tuple[str, list[str]]] = {}
        """POP3: commands that wait for a reply, each with its arguments, by number."""
        self.sasl = False
        """POP3: the client has answered a challenge."""
        self.answer: tuple[int, dict[str, Any]] | None = None
        """POP3: the last exchange, as long as lines of its reply may follow, and its time."""
        self.files: list[dict[str, Any]] = []
        self.header: dict[str, list[str]] = {}
        self.count = 0
        self.anomalies = 0


class Eve(Kept):
    """One JSON object a line."""

    heads = True

    def __init__(self, path: str) -> None:
        """Raises OptionError."""
        super().__init__()
        self._sheet = Sheet(path, "eve")
        self._states: dict[int, _State] = {}

    def flow_opened(self, flow: Flow) -> None:
        self._states[flow.number] = _State()

    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        flow = session.flow
        state = self._states[flow.number]
        state.octets[pdu.direction is not C2S] += pdu.size
        if flow.protocol == "pop3":
            self._pop3(pdu, flow, state)
            return
        if state.transaction is not session.transaction:
            self._left(flow, state, pdu.time)
            state.transaction = session.transaction
        if pdu.verb in HELLOS and pdu.status.startswith("2") and pdu.command is not None:
            state.helo = pdu.command.text[len(pdu.verb):].strip()

    def _left(self, flow: Flow, state: _State, time: int) -> None:
        """A transaction is over, perhaps without a message."""
        transaction = state.transaction
        if transaction is not None and transaction is not state.told:
            accepted = [one.address for one in transaction.recipients if not one.refused]
            self._write(flow, time, "smtp", state, {"smtp": _smtp(state.helo, transaction.sender, accepted)})
            state.count += 1

    def _pop3(self, pdu: PDU, flow: Flow, state: _State) -> None:
        kind = pdu.kind
        if kind is Kind.BODY:
            if state.answer is not None and pdu.verb not in ("RETR", "TOP"):
                lines = pdu.shown.split(b"\r\n", MOST)[:MOST]
                state.answer[1]["response"]["data"] = [decode(line) for line in lines if line not in (b"", b".")]
        elif kind is Kind.COMMAND and len(state.asked) < MOST:
            state.asked[pdu.number] = pdu.verb, pdu.text.split()[1:]
        elif kind is Kind.SASL_RESPONSE:
            state.sasl = True
        elif kind is Kind.REPLY or kind is Kind.CONTINUATION or (kind is Kind.GREETING and state.asked):
            self._answered(flow, state)
            number = pdu.command.number if pdu.command is not None else min(state.asked, default=0)
            asked = state.asked.pop(number, (pdu.verb, []))
            if state.sasl:
                asked = SASL, []
                state.sasl = False
            status, _, header = pdu.text.partition(" ")
            state.answer = pdu.time, {**_request(asked), "response": {
                "success": pdu.status != "-ERR", "status": status.lstrip("+-") or "OK", "header": header, "data": []}}

    def _answered(self, flow: Flow, state: _State) -> None:
        """The last exchange is complete."""
        answer, state.answer = state.answer, None
        if answer is not None:
            self._write(flow, answer[0], "pop3", state, {"pop3": answer[1]})
            state.count += 1

    def message(self, message: Message, head: bytes, session: Session) -> None:
        state = self._states[session.flow.number]
        state.header = fields(head)
        state.told = message.transaction

    def finding(self, finding: Finding, session: Session) -> None:
        state = self._states[session.flow.number]
        if finding.event == "part" and len(state.files) < MOST:
            state.files.append(dict(finding.fields))
        elif finding.event == "message":
            self._message(finding, session, state)

    def _message(self, finding: Finding, session: Session, state: _State) -> None:
        flow, told = session.flow, finding.fields
        time = finding.time or session.time
        files, state.files = [file for file in state.files if file.get("filename")], []
        header, state.header = state.header, {}
        email = _email(header, [file["filename"] for file in files])
        envelope: Any = told.get("envelope") or {}
        smtp = _smtp(state.helo, envelope.get("from", ""), envelope.get("to", [])) if flow.protocol in ("smtp", "lmtp") else None
        members: dict[str, Any] = {"email": email} if smtp is None else {"smtp": smtp, "email": email}
        if smtp is not None:
            self._write(flow, time, "smtp", state, members)
        for file in files:
            self._write(flow, time, "fileinfo", state, {
                **members, "app_proto": _protocol(flow), "fileinfo": _fileinfo(file, state.count)}, flow.protocol == "pop3")
        state.count += smtp is not None

    def anomaly_found(self, anomaly: Anomaly, session: Session) -> None:
        state = self._states[session.flow.number]
        state.anomalies += 1
        if state.anomalies <= MOST:
            self._write(session.flow, anomaly.time, "anomaly", state, {"anomaly": {
                "app_proto": _protocol(session.flow), "type": "applayer", "event": anomaly.name, "layer": "proto_parser"}})

    def flow_closed(self, flow: Flow, reason: str) -> None:
        state = self._states.pop(flow.number)
        closed = flow.closed or flow.opened
        self._left(flow, state, closed)
        self._answered(flow, state)
        for asked in state.asked.values():
            self._write(flow, closed, "pop3", state, {"pop3": _request(asked)})
            state.count += 1
        self._write(flow, closed, "flow", None, {"app_proto": _protocol(flow), "flow": {
            "bytes_toserver": state.octets[0], "bytes_toclient": state.octets[1], "start": stamp(flow.opened),
            "end": stamp(closed), "age": max(0, closed - flow.opened) // 1_000_000,
            "state": "established" if reason == OBSERVATION_ENDED else "closed",
            "reason": REASONS.get(reason, "tcp_reset"), "alerted": False}})
        super().flow_closed(flow, reason)

    def forget(self, flow: Flow) -> None:
        self._states.pop(flow.number, None)
        super().forget(flow)

    def _write(self, flow: Flow, time: int, kind: str, state: _State | None, members: dict[str, Any],
               swapped: bool = False) -> None:
        ends = (flow.server, flow.client) if swapped else (flow.client, flow.server)
        record: dict[str, Any] = {"timestamp": stamp(time), "flow_id": digest(flow) >> 75, "event_type": kind}
        for name, end in zip(("src", "dest"), ends, strict=True):
            record |= {f"{name}_ip": end.host, f"{name}_port": end.port} if address_of(end.host) else {f"{name}_port": end.port}
        record["proto"] = "TCP"
        if state is not None and kind != "anomaly":
            record["tx_id"] = state.count
        self.put(flow, self._sheet, json.dumps(clean({**record, **members}), ensure_ascii=False, separators=(",", ":")).encode()
                 + b"\n")

    def finish(self) -> None:
        self._sheet.finish()

    def abandon(self) -> None:
        self._sheet.abandon()


def _request(asked: tuple[str, list[str]]) -> dict[str, Any]:
    return {"request": {"command": asked[0], "args": asked[1]}}


def _smtp(helo: str, sender: str, recipients: list[str]) -> dict[str, Any]:
    smtp: dict[str, Any] = {"helo": helo, "mail_from": f"<{sender}>"}
    if recipients:
        smtp["rcpt_to"] = [f"<{one}>" for one in recipients[:MOST]]
    return smtp


def _protocol(flow: Flow) -> str:
    return PROTOCOLS.get(flow.protocol, flow.protocol) or "failed"


def _email(header: dict[str, list[str]], attachments: list[str]) -> dict[str, Any]:
    """The `email` object: what stands in the header, and the names of the files."""
    email: dict[str, Any] = {"status": "PARSE_DONE"}
    for name in ("from", "subject", "date", "message_id", "x_mailer", "user_agent"):
        if values := header.get(name.replace("_", "-")):
            email[name] = values[0]
    for name in ("to", "cc"):
        if values := header.get(name):
            email[name] = [one.strip() for one in values[0].split(",")[:MOST]]
    if received := header.get("received"):
        email["received"] = received[:MOST]
    if attachments:
        email["attachment"] = attachments
    return email


def _fileinfo(file: dict[str, Any], count: int) -> dict[str, Any]:
    whole = bool(file.get("complete"))
    info = {"filename": file["filename"], "gaps": not whole, "state": "CLOSED" if whole else "TRUNCATED"}
    if file.get("sha256"):
        info["sha256"] = file["sha256"]
    return {**info, "stored": False, "size": file.get("size", 0), "tx_id": count, "mimetype": file.get("content_type", "")}


def stamp(time: int) -> str:
    """Microseconds since the epoch as Suricata writes them, in UTC."""
    try:
        return datetime.fromtimestamp(time // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{time % 1_000_000:06d}+0000"
    except (ValueError, OverflowError, OSError):
        return "1970-01-01T00:00:00.000000+0000"


def clean(value: Any) -> Any:
    """A value with its texts sanitised."""
    if isinstance(value, str):
        return sanitise(value)
    if isinstance(value, dict):
        return {name: clean(one) for name, one in value.items()}
    return [clean(one) for one in value] if isinstance(value, list | tuple) else value
