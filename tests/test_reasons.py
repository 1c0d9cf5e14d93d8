"""Why a flow ends, and when: every reason live and in replay, names without addresses, times of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from dialogue import Witness
from hypothesis import given
from hypothesis import strategies as st
from links import Pair
from test_capture_reader import UP, down, up

from inspector import reasons
from inspector.capture.note import PREFIX, unpack
from inspector.capture.reader import read
from inspector.capture.reassembly import Reassembly
from inspector.capture.writer import CaptureWriter
from inspector.formats.packet import FIN, SYN
from inspector.limits import Limits
from inspector.pdu import Address, Flow
from inspector.pipeline import Pipeline
from inspector.segment import Noted, Opened, Words
from inspector.verdict import Close

START = 1_700_000_000_000_000


def replayed(path: Path) -> list[object]:
    witness = Witness()
    pipeline = Pipeline(witness)
    pipeline.take_all(list(read(str(path))))
    pipeline.finish()
    return witness.told


class Judging(Witness):
    """Closes at the first MAIL."""

    judging = True

    def judge(self, subject, session):
        if getattr(subject, "verb", "") == "MAIL" and session.gate is not None:
            session.gate.rule(subject, Close(b"421 no\r\n"))


ENDS = {
    "client closed": lambda pair: (pair.relay.ended(True), pair.relay.ended(False)),
    "server closed": lambda pair: (pair.relay.ended(False), pair.relay.ended(True)),
    "client reset": lambda pair: pair.relay.broken(True),
    "server reset": lambda pair: pair.relay.broken(False),
    reasons.STOPPED: lambda pair: pair.relay.stop(),
    reasons.UNREACHABLE: lambda pair: (pair.relay.refuse(b"421 no\r\n", reasons.UNREACHABLE), pair.relay.ended(True)),
    reasons.UNRESOLVED: lambda pair: (pair.relay.refuse(b"", reasons.UNRESOLVED), pair.relay.stop()),
    reasons.FAULT: lambda pair: (setattr(pair.server, "faulty", True), pair.relay.broken(False)),
    reasons.TLS_FAILED: lambda pair: pair.relay.abandon((), reason=reasons.TLS_FAILED),
}
"""How each comes to be."""


@pytest.mark.parametrize("reason", ENDS)
@pytest.mark.parametrize("spoken", [False, True])
def test_every_end_is_told_truly_live_and_in_replay(tmp_path: Path, reason: str, spoken: bool) -> None:
    """Whether anything was said before or not; and the first reason counts."""
    witness = Witness()
    capture = CaptureWriter(str(tmp_path / "a.pcapng"), alarm=print)
    pair = Pair(Pipeline(witness), "smtp", capture)
    if spoken:
        pair.s(b"220 x\r\n")
        pair.c(b"EHLO a\r\nMA")
    ENDS[reason](pair)
    pair.relay.stop()
    capture.close()
    assert witness.told[-1] == ("closed", reason)
    assert replayed(tmp_path / "a.pcapng") == witness.told


def test_what_a_gate_ends_is_not_the_servers_doing(tmp_path: Path) -> None:
    """A judge's Close, and more held than is allowed: then the client closes, which changes nothing."""
    for number, (said, reason) in enumerate([(b"MAIL FROM:<a@b>\r\n", reasons.PLUGIN), (b"x" * 100, reasons.TOO_MUCH_HELD)]):
        witness = Judging()
        path = tmp_path / f"{number}.pcapng"
        capture = CaptureWriter(str(path), alarm=print)
        pair = Pair(Pipeline(witness, limits=Limits(held=10)), "smtp", capture, judged=True)
        pair.s(b"220 x\r\n")
        pair.c(said)
        assert pair.server.fate == "aborted"
        pair.relay.ended(True)
        capture.close()
        assert witness.told[-1] == ("closed", reason)
        assert replayed(path)[-1] == ("closed", reason)


def test_every_reason_stands_in_the_contract() -> None:
    """The table of docs/reference/json.md is that of the code."""
    page = (Path(__file__).parent.parent / "docs/reference/json.md").read_text()
    table = page[page.index("## flow_closed"):page.index("## Events of other plugins")]
    rows = dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", table, re.MULTILINE))
    rows.pop("reason")
    assert rows == {**reasons.SHOWN, **reasons.OWN}


# Servers without an address


@pytest.mark.parametrize("client", ["192.0.2.1", "2001:db8::1"])
@pytest.mark.parametrize("name", ["pop.example", "x", "a" * 253, "postfach.müller.example"])
def test_a_name_without_an_address_is_told_as_a_name(tmp_path: Path, client: str, name: str) -> None:
    path = str(tmp_path / "a.pcapng")
    capture = CaptureWriter(path, alarm=print)
    flow = Flow(1, Address(client, 4000), Address(name, 1110), START, "pop3")
    capture.open(flow)
    capture.note(flow, (), False, START + 5, Words(reason=reasons.UNRESOLVED))
    capture.close()
    opened, noted = read(path)
    assert isinstance(opened, Opened)
    assert opened.flow.server == Address(name, 1110)
    assert opened.flow.client == Address(client, 4000)
    assert noted == Noted(1, START + 5, (), False, Words(reason=reasons.UNRESOLVED))


@given(st.text(max_size=300), st.text(max_size=300))
def test_a_capture_cannot_claim_any_reason_or_name(reason: str, name: str) -> None:
    """What stands in a note is of the table, or of the form of a name, or nothing."""
    told = unpack(PREFIX + json.dumps({"secured": False, "findings": [], "reason": reason, "server": name}).encode())
    assert told is not None
    assert told.words.reason in ("", *reasons.OWN)
    assert told.server == "" or (told.server == name and name.isprintable() and not re.search(r"[\s/@:\[\]\\%]", name))


def test_a_forged_note_beside_another_packet_names_nobody() -> None:
    reassembly = Reassembly(print)
    reassembly.feed(up(0, flags=SYN), 1)
    reassembly.noted(up(0, flags=SYN), PREFIX + b'{"secured":false,"findings":[],"server":"evil.example"}', 1)
    reassembly.feed(up(1, b"HELO x\r\n"), 2)
    opened, _ = reassembly.taken()
    assert opened.flow.server.host != "evil.example"  # the SYN has no marker: it is not our own


# Times


@pytest.mark.parametrize("left", [
    [],
    [up(1, b"NOOP\r\n")],
    [up(7, b"late")],
    [up(7, b"", flags=FIN)],
    [up(1, b"NOOP\r\n"), up(17, b"late", flags=FIN)],
    [down(1009, b"late", ack=7)],
], ids=["nothing", "a line", "waits", "its end waits", "both", "a reply waits"])
def test_a_flow_open_at_the_end_has_its_own_time(left: list) -> None:
    """Another flow goes on for an hour: what is delivered of this one at the end of the capture has this one's time."""
    reassembly = Reassembly(print)
    for time, packet in enumerate([up(0, flags=SYN), down(1000, flags=SYN, ack=1), *left], START):
        reassembly.feed(packet, time)
    other = UP[:-4] + b"\x12\x34" + UP[-2:]
    for number, packet in enumerate([up(0, flags=SYN), up(1, b"HELO x\r\n"), up(9, b"QUIT\r\n")]):
        packet.pair = other
        reassembly.feed(packet, START + 3_600_000_000 + number)
    reassembly.finish()
    events = reassembly.taken()
    mine = [event.time for event in events if not isinstance(event, Opened) and event.flow == 1]
    assert all(time <= START + 5 for time in mine)
