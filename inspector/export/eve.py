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
from inspector.pdu import C2S, PDU, Finding, Flow, Kind, Message
from inspector.session import Session
from inspector.text import sanitise

PROTOCOLS: Final = {"lmtp": "smtp"}
"""Protocols that have another name there."""
MOST: Final = 1_000
"""Recipients, files and octets of a state that a peer can make many of."""
REASONS: Final = {"observation ended": "shutdown", "client reset": "tcp_reset", "server reset": "tcp_reset"}


class _State:
    """What is known of a flow."""

    def __init__(self) -> None:
        self.octets = [0, 0]
        self.helo = ""
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
        if pdu.kind is Kind.COMMAND and pdu.verb in ("EHLO", "HELO", "LHLO"):
            state.helo = pdu.text[len(pdu.verb):].strip()
        elif flow.protocol == "pop3" and pdu.kind is Kind.REPLY and pdu.command is not None:
            self._pop3(pdu, pdu.command, flow, state)

    def _pop3(self, pdu: PDU, command: PDU, flow: Flow, state: _State) -> None:
        status, _, header = pdu.text.partition(" ")
        self._write(flow, pdu.time, "pop3", state, {"pop3": {
            "request": {"command": command.verb, "args": command.text.split()[1:]},
            "response": {"success": pdu.status == "+OK", "status": status.lstrip("+-"), "header": header, "data": []}}})
        state.count += 1

    def message(self, message: Message, head: bytes, session: Session) -> None:
        self._states[session.flow.number].header = fields(head)

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
        smtp = self._smtp(state, told) if flow.protocol in ("smtp", "lmtp") else None
        members: dict[str, Any] = {"email": email} if smtp is None else {"smtp": smtp, "email": email}
        if smtp is not None:
            self._write(flow, time, "smtp", state, members)
        for file in files:
            self._write(flow, time, "fileinfo", state, {
                **members, "app_proto": _protocol(flow), "fileinfo": _fileinfo(file, state.count)}, flow.protocol == "pop3")
        state.count += smtp is not None

    def _smtp(self, state: _State, told: dict[str, Any]) -> dict[str, Any]:
        envelope = told.get("envelope") or {}
        return {"helo": state.helo, "mail_from": f"<{envelope.get('from', '')}>",
                "rcpt_to": [f"<{one}>" for one in envelope.get("to", [])[:MOST]]}

    def anomaly_found(self, anomaly: Anomaly, session: Session) -> None:
        state = self._states[session.flow.number]
        state.anomalies += 1
        if state.anomalies <= MOST:
            self._write(session.flow, anomaly.time, "anomaly", state, {"anomaly": {
                "app_proto": _protocol(session.flow), "type": "applayer", "event": anomaly.name, "layer": "proto_parser"}})

    def flow_closed(self, flow: Flow, reason: str) -> None:
        state = self._states.pop(flow.number)
        closed = flow.closed or flow.opened
        self._write(flow, closed, "flow", None, {"app_proto": _protocol(flow), "flow": {
            "bytes_toserver": state.octets[0], "bytes_toclient": state.octets[1], "start": stamp(flow.opened),
            "end": stamp(closed), "age": max(0, closed - flow.opened) // 1_000_000,
            "state": "established" if reason == "observation ended" else "closed",
            "reason": REASONS.get(reason, "tcp_fin"), "alerted": False}})
        super().flow_closed(flow, reason)

    def forget(self, flow: Flow) -> None:
        self._states.pop(flow.number, None)
        super().forget(flow)

    def _write(self, flow: Flow, time: int, kind: str, state: _State | None, members: dict[str, Any],
               swapped: bool = False) -> None:
        ends = (flow.server, flow.client) if swapped else (flow.client, flow.server)
        record: dict[str, Any] = {
            "timestamp": stamp(time), "flow_id": digest(flow) >> 75, "event_type": kind, "src_ip": ends[0].host,
            "src_port": ends[0].port, "dest_ip": ends[1].host, "dest_port": ends[1].port, "proto": "TCP"}
        if state is not None and kind != "anomaly":
            record["tx_id"] = state.count
        self.put(flow, self._sheet, json.dumps(clean({**record, **members}), ensure_ascii=False, separators=(",", ":")).encode()
                 + b"\n")

    def finish(self) -> None:
        self._sheet.finish()

    def abandon(self) -> None:
        self._sheet.abandon()


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
