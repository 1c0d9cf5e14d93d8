"""Events as JSON lines.

Rules.  The JSON is a contract (docs/json): names, order and meaning of the members stay.  Every text from the wire is sanitised;
secrets are masked before they come here.

Knows events.  Must not know protocols, descriptors or how text is styled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET

from inspector.anomaly import Anomaly
from inspector.pdu import PDU, PEER, Direction, Finding, Flow
from inspector.session import Session
from inspector.shape import PduRecord
from inspector.text import decode, sanitise

C2S: Final = Direction.CLIENT_TO_SERVER
DEPTH: Final = 8
"""Levels of a finding's fields that are written; past it a value is written as text."""
FLAT: Final = 4
"""Levels of an event's fields that are looked at before it is encoded as it is."""
DIGITS: Final = tuple(f"{number:03d}" for number in range(1000))
"""Three digits each: formatting them anew costs three times as much."""
HELD: Final = 256
"""Events held back at most; with the heads of bodies some 1 MiB."""
COMMON: Final = frozenset({"event", "flow", "time", "protocol"})
"""Members of every object."""
PLAIN: Final = frozenset({str, int, float, bool, type(None)})
"""What JSON holds as it is."""
BEYOND: Final = 16
"""Octets beyond one a character in a line that is not looked at closely."""

encode: Final = msgspec.json.Encoder().encode


class JsonRecord:
    """JSON lines.

    Events are held back, up to `HELD` of them, and encoded together when the output is flushed: one by one, between all that
    a proxy does, each would cost several times as much.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        """`write` takes whole lines."""
        self._write = write
        self._held: list[tuple[int, str, PDU | tuple[str, int, Mapping[str, object]]]] = []
        self._second = -1
        self._day = ""
        self._time = -1
        self._stamp = ""

    def flow_opened(self, flow: Flow) -> None:
        """Writes that a flow begins."""
        ends: dict[str, object] = {"client": str(flow.client), "server": str(flow.server)}
        self._object("flow_opened", flow, flow.opened, {**ends, "tls": True} if flow.secure else ends)

    def flow_closed(self, flow: Flow, reason: str) -> None:
        """Writes that a flow is over."""
        self._object("flow_closed", flow, flow.closed or flow.opened, {"reason": reason})

    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        """Writes a PDU."""
        flow = session.flow
        held = self._held
        held.append((flow.number, flow.protocol, pdu))
        if len(held) >= HELD:
            self.fill()

    def fill(self) -> None:
        """Writes the lines of all that was held back."""
        if not self._held:
            return
        held, self._held = self._held, []
        lines = [self._pdu(flow, protocol, event) if isinstance(event, PDU) else self._line(flow, protocol, *event)
                 for flow, protocol, event in held]
        self._write(b"\n".join([*lines, b""]))

    def _pdu(self, flow: int, protocol: str, pdu: PDU) -> bytes:
        time = pdu.time
        details = pdu.details
        return encode(PduRecord(
            "pdu", flow, self._stamp if time == self._time else self.stamp(time), protocol, pdu.number,
            "C->S" if pdu.direction is C2S else "S->C", pdu.phase, pdu.client_state or UNSET, pdu.kind,
            pdu.verb, pdu.status, pdu.size, pdu.text, pdu.transaction,
            {sanitise(name): sanitise(value) for name, value in details.items()} if details else None,
            "" if pdu.origin is PEER else "mailspy"))

    def anomaly_found(self, anomaly: Anomaly, session: Session) -> None:
        """Writes a deviation."""
        fields: dict[str, object] = {
            "name": anomaly.name, "severity": anomaly.severity.value, "reference": anomaly.reference,
            "pdu": anomaly.pdu, "detail": anomaly.detail}
        if anomaly.number != 1:
            fields["count"] = anomaly.number
        self._object("anomaly", session.flow, anomaly.time, fields)

    def finding(self, finding: Finding, session: Session) -> None:
        """Writes what a plugin found; its fields cannot replace the members that every object has."""
        fields = {**finding.fields, "summary": finding.summary}
        self._object(finding.event, session.flow, finding.time or session.time, fields)

    def _object(self, event: str, flow: Flow, time: int, fields: Mapping[str, object]) -> None:
        self._held.append((flow.number, flow.protocol, (event, time, fields)))
        if len(self._held) >= HELD:
            self.fill()

    def _line(self, flow: int, protocol: str, event: str, time: int, fields: Mapping[str, object]) -> bytes:
        common = {"event": sanitise(event), "flow": flow, "time": self.stamp(time), "protocol": protocol}
        line = encode({**common, **fields}) if plain(fields) else b""
        if not harmless(line):
            line = encode({**common, **clean(fields, common)})
        return line

    def stamp(self, time: int) -> str:
        """Microseconds since the epoch as RFC 3339 writes them, in UTC."""
        second, micro = divmod(time, 1_000_000)
        if second != self._second:
            self._second = second
            self._day = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        self._time = time
        self._stamp = f"{self._day}{DIGITS[micro // 1000]}{DIGITS[micro % 1000]}Z"
        return self._stamp


def plain(fields: Mapping[str, object]) -> bool:
    """Whether an event's own members can be encoded as they are, and none has a name that every object has."""
    return COMMON.isdisjoint(fields) and flat(fields.values(), FLAT)


def flat(values: Iterable[object], depth: int) -> bool:
    """Whether the values are plain, with lists and objects of plain values to that depth."""
    for value in values:
        kind = type(value)
        if kind in PLAIN:
            continue
        if not depth or not (flat(value.values(), depth - 1) if kind is dict  # type: ignore[attr-defined]
                             else kind is list and flat(value, depth - 1)):  # type: ignore[arg-type]
            return False
    return True


def harmless(line: bytes) -> bool:
    """Whether an encoded object needs no sanitising: nothing had to be escaped but quotes and backslashes, nothing is invisible,
    and no combining marks are piled up."""
    if line and line.isascii() and b"\\" not in line and b"\x7f" not in line:
        return True
    text = line.decode()
    if not line or not text.isprintable():
        return False
    if "\\" in text and "\\" in text.replace("\\\\", "").replace('\\"', ""):
        return False
    return len(line) - len(text) <= BEYOND or sanitise(text) == text


def clean(fields: Mapping[Any, object], taken: Mapping[str, object]) -> dict[str, object]:
    """An event's own members, sanitised, without those whose names are taken.  A plugin may have names that are no text."""
    return {sanitise(str(name)): scrub(value, DEPTH) for name, value in fields.items() if name not in taken}


def scrub(value: object, depth: int) -> object:
    """A value as JSON can hold it, its texts sanitised."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return decode(value)
    if isinstance(value, dict) and depth:
        return {sanitise(str(name)): scrub(inner, depth - 1) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth:
        return [scrub(inner, depth - 1) for inner in value]
    return sanitise(str(value))
