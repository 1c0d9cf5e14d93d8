"""Zeek's logs: smtp.log, files.log, conn.log and, in the same manner, pop3.log (docs.zeek.org, Base Log Files).

Rules.  Fields have Zeek's names, types and order; escapes are Zeek's (`\\x09`); the identifiers are of its form, but the same
capture gives the same ones, and no line tells when it was written.  Passwords are masked.

Knows events and the layout of the logs.  Must not know where events come from.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from inspector.export.form import Kept, Sheet
from inspector.export.header import fields
from inspector.export.names import digest, word
from inspector.pdu import C2S, PDU, Finding, Flow, Kind, Message
from inspector.reasons import CLIENT_CLOSED, CLIENT_RESET, OBSERVATION_ENDED, SERVER_CLOSED, UNREACHABLE, UNRESOLVED
from inspector.session import Session
from inspector.text import sanitise
from inspector.tls.names import address_of

UNSET: Final = "-"
EMPTY: Final = "(empty)"
MOST: Final = 1_000
"""Files and recipients of one line."""
_ADDRESS: Final = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f.:]{2,45})\]|\((?:[^()]* )?\[?([0-9.]{7,15})\]?\)")
_ESCAPED: Final = re.compile(r"[\x00-\x1f\x7f\\]")


class Column(NamedTuple):
    """A field of a log."""

    name: str
    type: str


def _columns(text: str) -> tuple[Column, ...]:
    return tuple(Column(*field.split(":")) for field in text.split())


_ID: Final = "ts:time uid:string id.orig_h:addr id.orig_p:port id.resp_h:addr id.resp_p:port "
LOGS: Final = {
    "smtp": _columns(
        _ID + "trans_depth:count helo:string mailfrom:string rcptto:set[string] date:string from:string to:set[string] "
        "cc:set[string] reply_to:string msg_id:string in_reply_to:string subject:string x_originating_ip:addr "
        "first_received:string second_received:string last_reply:string path:vector[addr] user_agent:string tls:bool "
        "fuids:vector[string]"),
    "pop3": _columns(
        _ID + "user:string authenticated:bool messages:count octets:count tls:bool commands:vector[string] fuids:vector[string]"),
    "files": _columns(
        "ts:time fuid:string " + _ID.removeprefix("ts:time ") + "source:string depth:count analyzers:set[string] "
        "mime_type:string filename:string duration:interval local_orig:bool is_orig:bool seen_bytes:count total_bytes:count "
        "missing_bytes:count overflow_bytes:count timedout:bool parent_fuid:string md5:string sha1:string sha256:string"),
    "conn": _columns(
        _ID + "proto:enum service:string duration:interval orig_bytes:count resp_bytes:count conn_state:string "
        "missed_bytes:count"),
}
"""The logs and their fields."""
STATES: Final = {CLIENT_CLOSED: "SF", SERVER_CLOSED: "SF", CLIENT_RESET: "RSTO", OBSERVATION_ENDED: "S1", UNREACHABLE: "REJ",
                 UNRESOLVED: "REJ"}


class _State:
    def __init__(self) -> None:
        self.octets = [0, 0]
        self.helo = ""
        self.reply = ""
        self.depth = 0
        self.sender: str | None = None
        self.recipients: list[str] = []
        """Of a session without any message, as they were asked for."""
        self.waiting: dict[str, Any] | None = None
        """The line of the message whose last reply is still to come."""
        self.header: dict[str, list[str]] = {}
        self.fuids: list[str] = []
        self.all: list[str] = []
        self.commands: list[str] = []
        self.messages = 0
        self.user = ""
        self.accepted = False
        self.tls = False
        self.files = 0


class Zeek(Kept):
    """The logs of a folder."""

    heads = True

    def __init__(self, folder: str) -> None:
        """Raises OptionError."""
        super().__init__()
        self._sheets: dict[str, Sheet] = {}
        try:
            for name in LOGS:
                self._sheets[name] = Sheet(os.path.join(folder, f"{name}.log"), "zeek")
        except BaseException:
            self.abandon()
            raise
        for name, sheet in self._sheets.items():
            sheet.write(_heading(name))
        self._states: dict[int, _State] = {}

    def flow_opened(self, flow: Flow) -> None:
        self._states[flow.number] = _State()

    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        state = self._states[session.flow.number]
        state.octets[pdu.direction is not C2S] += pdu.size
        state.tls = state.tls or session.tls
        if session.user:
            state.user, state.accepted = session.user, True
        if pdu.kind is Kind.COMMAND:
            if pdu.verb in ("EHLO", "HELO", "LHLO"):
                state.helo = pdu.text[len(pdu.verb):].strip()
            elif pdu.verb == "MAIL":
                state.sender = pdu.details.get("path")
            elif pdu.verb == "RCPT" and len(state.recipients) < MOST:
                state.recipients.append(pdu.details.get("path", ""))
            if len(state.commands) < MOST:
                state.commands.append(pdu.verb or "?")
            self._flush(session.flow, state)
        elif pdu.kind is Kind.REPLY and session.flow.protocol in ("smtp", "lmtp"):
            state.reply = pdu.text
            if state.waiting is not None:
                state.waiting["last_reply"] = pdu.text

    def message(self, message: Message, head: bytes, session: Session) -> None:
        self._states[session.flow.number].header = fields(head)

    def finding(self, finding: Finding, session: Session) -> None:
        flow = session.flow
        state = self._states[flow.number]
        if finding.event == "part":
            self._file(finding, session, state)
        elif finding.event == "message":
            state.messages += 1
            if flow.protocol in ("smtp", "lmtp"):
                self._flush(flow, state)
                state.waiting = self._letter(finding, session, state)
            state.fuids = []

    def _file(self, finding: Finding, session: Session, state: _State) -> None:
        flow, told = session.flow, finding.fields
        if state.files >= MOST:
            return
        state.files += 1
        fuid = "F" + word(digest(flow, "file", state.files))
        state.fuids.append(fuid)
        state.all.append(fuid)
        size = told.get("size", 0)
        self._line(flow, "files", {
            **_ids(flow, finding.time or session.time), "fuid": fuid, "source": flow.protocol.upper(),
            "depth": state.messages + 1, "analyzers": ["SHA256"] if told.get("sha256") else [],
            "mime_type": told.get("content_type"),
            "filename": told.get("filename") or None, "is_orig": flow.protocol != "pop3", "seen_bytes": size,
            "missing_bytes": 0, "overflow_bytes": 0, "timedout": not told.get("complete"), "sha256": told.get("sha256") or None})

    def _letter(self, finding: Finding, session: Session, state: _State) -> dict[str, Any]:
        told, header = finding.fields, state.header
        envelope: Any = told.get("envelope") or {}
        received = header.get("received", [])
        state.depth += 1
        return {
            **_ids(session.flow, finding.time or session.time), "trans_depth": state.depth, "helo": state.helo or None,
            "mailfrom": envelope.get("from"), "rcptto": envelope.get("to", [])[:MOST] or None,
            "date": _one(header, "date"), "from": _one(header, "from"), "to": _several(header, "to"),
            "cc": _several(header, "cc"),
            "reply_to": _one(header, "reply-to"), "msg_id": _one(header, "message-id"),
            "in_reply_to": _one(header, "in-reply-to"), "subject": _one(header, "subject"),
            "x_originating_ip": (_one(header, "x-originating-ip") or "").strip("[]") or None,
            "first_received": received[0] if received else None, "second_received": received[1] if received[1:] else None,
            "last_reply": None, "path": _path(session.flow, received),
            "user_agent": _one(header, "user-agent") or _one(header, "x-mailer"), "tls": state.tls, "fuids": list(state.fuids)}

    def _flush(self, flow: Flow, state: _State) -> None:
        """Writes the line that waited for its last reply."""
        line, state.waiting = state.waiting, None
        if line is not None:
            self._line(flow, "smtp", line)

    def flow_closed(self, flow: Flow, reason: str) -> None:
        state = self._states.pop(flow.number)
        self._flush(flow, state)
        ids = _ids(flow, flow.opened)
        if flow.protocol in ("smtp", "lmtp") and not state.depth and (state.helo or state.commands):
            self._line(flow, "smtp", {
                **ids, "trans_depth": 1, "helo": state.helo or None, "mailfrom": state.sender, "rcptto": state.recipients or None,
                "last_reply": state.reply or None, "path": _path(flow, []), "tls": state.tls, "fuids": []})
        if flow.protocol == "pop3":
            self._line(flow, "pop3", {**ids, "user": state.user or None, "authenticated": state.accepted,
                                      "messages": state.messages, "octets": state.octets[1], "tls": state.tls,
                                      "commands": state.commands, "fuids": state.all})
        self._line(flow, "conn", {
            **ids, "proto": "tcp", "service": {"lmtp": "smtp"}.get(flow.protocol, flow.protocol) or None,
            "duration": f"{max(0, (flow.closed or flow.opened) - flow.opened) / 1e6:.6f}", "orig_bytes": state.octets[0],
            "resp_bytes": state.octets[1], "conn_state": STATES.get(reason, "RSTR"), "missed_bytes": flow.missing})
        super().flow_closed(flow, reason)

    def forget(self, flow: Flow) -> None:
        self._states.pop(flow.number, None)
        super().forget(flow)

    def _line(self, flow: Flow, log: str, values: dict[str, Any]) -> None:
        text = "\t".join(_shown(values.get(column.name), column.type) for column in LOGS[log])
        self.put(flow, self._sheets[log], f"{text}\n".encode())

    def finish(self) -> None:
        for sheet in self._sheets.values():
            sheet.finish()

    def abandon(self) -> None:
        for sheet in self._sheets.values():
            sheet.abandon()


def _heading(log: str) -> bytes:
    columns = LOGS[log]
    lines = ["#separator \\x09", "#set_separator\t,", "#empty_field\t(empty)", "#unset_field\t-", f"#path\t{log}",
             "\t".join(["#fields", *(column.name for column in columns)]),
             "\t".join(["#types", *(column.type for column in columns)])]
    return ("\n".join(lines) + "\n").encode()


def _ids(flow: Flow, time: int) -> dict[str, Any]:
    return {"ts": f"{time // 1_000_000}.{time % 1_000_000:06d}", "uid": "C" + word(digest(flow)), "id.orig_h": flow.client.host,
            "id.orig_p": flow.client.port, "id.resp_h": flow.server.host if address_of(flow.server.host) else None,
            "id.resp_p": flow.server.port}


def _one(header: dict[str, list[str]], name: str) -> str | None:
    return header[name][0] if name in header else None


def _several(header: dict[str, list[str]], name: str) -> list[str] | None:
    return [one.strip() for one in header[name][0].split(",")[:MOST]] if name in header else None


def _path(flow: Flow, received: Iterable[str]) -> list[str]:
    """The hosts that a message went through, the latest first, as Zeek finds them."""
    path = [host for host in (flow.server.host, flow.client.host) if address_of(host)]
    for line in received:
        match = _ADDRESS.search(line)
        host = match and (match[1] or match[2])
        if host and host not in path:
            path.append(host)
    return path[:MOST]


def _shown(value: Any, kind: str) -> str:
    """A value as Zeek's ASCII writer shows it."""
    if value is None:
        return UNSET
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, list):
        return ",".join(_text(one, ",") or EMPTY for one in value) or EMPTY
    return (_text(str(value), "") or EMPTY) if kind == "string" else str(value)


def _text(text: str, separator: str) -> str:
    """A text with what would break a line escaped; a lone `-` and `(empty)` too, as they mean something else."""
    text = _ESCAPED.sub(lambda match: f"\\x{ord(match[0]):02x}", sanitise(text))
    if separator:
        text = text.replace(separator, f"\\x{ord(separator):02x}")
    return {UNSET: "\\x2d", EMPTY: "\\x28empty)"}.get(text, text)
