"""winmail.dat opened: files in it are saved like others, and whatever is in it harms nobody."""

from __future__ import annotations

import base64
import json
import os
import struct
import sys
from pathlib import Path

import pytest
from mailspy_attachments import AttachmentsPlugin, containers
from mailspy_mime import MimePlugin
from mime_kit import Listener, a_message
from test_attachments import findings, saver

from inspector import PDU, Address, Direction, Finding, Flow, Kind, OptionError, Options, Part, hookimpl
from inspector.host import Hooks, Host
from inspector.pipeline import Pipeline

pytest.importorskip("tnefparse", reason="tnefparse is not installed: pip install tnefparse")

LINUX = Path("/proc/self/fd")


def thing(level: int, name: int, data: bytes, kind: int = 6) -> bytes:
    """An attribute ([MS-OXTNEF] 2.1.3.3)."""
    return struct.pack("<BHHI", level, name, kind, len(data)) + data + struct.pack("<H", sum(data) & 0xFFFF)


def winmail(*files: tuple[bytes, bytes]) -> bytes:
    """A winmail.dat with these files."""
    made = struct.pack("<IH", 0x223E9F78, 1) + thing(1, 0x9006, struct.pack("<I", 0x10000)) + thing(
        1, 0x9007, struct.pack("<II", 1252, 0))
    for name, data in files:
        made += thing(2, 0x9002, bytes(14)) + thing(2, 0x8010, name + b"\0", 1) + thing(2, 0x800F, data)
    return made


def opener(folder: Path, **options: object) -> AttachmentsPlugin:
    return saver(folder, open_tnef=True, **options)


def opened(plugin: AttachmentsPlugin, *contents: bytes) -> list[Finding]:
    """What is told of a flow with these containers when it is over."""
    session = Listener()
    message = a_message(session)
    for number, content in enumerate(contents, 2):
        sink = plugin.open_part(Part(message, str(number), "application/ms-tnef", filename="winmail.dat"), message)
        assert sink is not None
        sink.feed(content)
        sink.close(True)
    plugin.pdu_seen(PDU(7, Direction.CLIENT_TO_SERVER, Kind.BODY, "DATA", "DATA", "", b"", 0, 0, 0), session)
    session.found.clear()
    plugin.flow_closed(session.flow)
    return session.found


def test_files_of_a_container_are_saved_like_others(tmp_path: Path) -> None:
    found = opened(opener(tmp_path), winmail((b"report.doc", b"the report"), (b"..\\..\\x\x80.exe", b"MZ" + bytes(100))))
    told = [(one.fields["part"], one.fields["filename"]) for one in found if one.event == "attachment"]
    assert [part for part, _ in told] == ["2.1", "2.2"]
    assert told[0][1] == "report.doc"
    assert [one.fields["name"] for one in found if one.event == "attachment_warning"] == ["executable"]
    (saved,) = tmp_path.glob("*-report.doc")
    assert saved.read_bytes() == b"the report"
    facts = json.loads(Path(f"{saved}.json").read_text())
    assert (facts["part"], facts["pdus"], facts["complete"]) == ("2.1", [7], True)
    (program,) = tmp_path.glob("*.exe")
    assert program.parent == tmp_path
    assert not list(tmp_path.glob(".incoming*"))


def test_a_session_from_end_to_end(tmp_path: Path) -> None:
    """What was inside is told before the flow is."""
    told: list[str] = []

    class Ear:
        @hookimpl
        def finding(self, finding: Finding) -> None:
            told.append(f"{finding.event} {finding.fields.get('part', '')}")

        @hookimpl
        def flow_closed(self, reason: str) -> None:
            told.append(reason)

    host = Host(pytest.fail)
    for name, plugin in (("ear", Ear), ("mime", MimePlugin), ("attachments", AttachmentsPlugin)):
        host.register(name, plugin)
    host.configure(Options({"attachments": str(tmp_path), "open_tnef": True}))
    flow = Pipeline(Hooks(host, lambda head: "")).open(Flow(1, Address("192.0.2.1", 40000), Address("192.0.2.2", 25), 0, "smtp"))
    message = (b"Content-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\n"
               + base64.encodebytes(winmail((b"a.doc", b"a"))).replace(b"\n", b"\r\n") + b".\r\n")
    for client, line in [
        (False, b"220 mx\r\n"), (True, b"EHLO c\r\n"), (False, b"250 mx\r\n"), (True, b"MAIL FROM:<a@x>\r\n"),
        (False, b"250 ok\r\n"), (True, b"RCPT TO:<b@y>\r\n"), (False, b"250 ok\r\n"), (True, b"DATA\r\n"),
        (False, b"354 go\r\n"), (True, message),
        (False, b"250 ok\r\n"),
    ]:
        flow.feed(client, line, 1)
    flow.close("observation ended")
    assert told == ["attachment 1", "part 1", "message ", "attachment 1.1", "observation ended"]


def test_a_container_stays_closed_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert opened(saver(tmp_path), winmail((b"a.doc", b"a"))) == []
    assert len(list(tmp_path.iterdir())) == 2


def test_rules_hold_for_what_is_inside(tmp_path: Path) -> None:
    plugin = opener(tmp_path, attachments_match=("name:*.doc",))
    found = opened(plugin, winmail((b"a.doc", b"a"), (b"b.txt", b"b"), (b"large.doc", bytes(900_000))))
    assert [one.fields["filename"] for one in found] == ["a.doc", "large.doc"]
    assert len(list(tmp_path.iterdir())) == 4


def test_a_damaged_container_gives_what_it_has(tmp_path: Path) -> None:
    whole = winmail((b"a.doc", b"a" * 100), (b"b.doc", b"b" * 100))
    found = opened(opener(tmp_path), whole[:-150] + b"\xff" * 60)
    assert [one.fields["filename"] for one in found if one.event == "attachment"][:1] == ["a.doc"]
    found = opened(opener(tmp_path), winmail() + thing(2, 0x8010, b"a title without a file\0"))
    assert [(one.fields["name"], one.severity) for one in found] == [("container", "medium")]
    assert found[0].fields["detail"] == "not opened whole: it is damaged, or too large"


def test_what_comes_out_is_bounded(tmp_path: Path) -> None:
    found = opened(opener(tmp_path, attachments_max_size="1M"),
                   winmail(*((b"%d.bin" % number, os.urandom(100_000)) for number in range(9))) + bytes(10),
                   winmail(*((b"%d.bin" % number, bytes([number]) * 300_000) for number in range(3))))
    told = [one.fields["complete"] for one in found if one.event == "attachment"]
    assert told == [True] * 12
    found = opened(opener(tmp_path / "other", attachments_max_size="1M"),
                   winmail(*((b"%d.txt" % number, b"") for number in range(600))))
    assert len([one for one in found if one.event == "attachment"]) == 500
    assert found[-1].fields["name"] == "container"


@pytest.mark.parametrize("program", ["import time; time.sleep(600)", "import os; os.abort()"])
def test_a_process_that_does_not_end_is_killed_and_soon_none_is_begun(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    stuck = tmp_path / "stuck.py"
    stuck.write_text(program)
    monkeypatch.setattr(containers, "_UNWRAP", str(stuck))
    monkeypatch.setattr(containers, "PATIENCE", 0.01 if "sleep" in program else 60)
    plugin = opener(tmp_path / "folder")
    for _ in range(containers.STRIKES):
        (told,) = opened(plugin, winmail((b"a", b"a")))
        assert told.fields["detail"] == "not opened whole: it took too long, or crashed"
    assert opened(plugin, winmail((b"a", b"a"))) == []
    told = findings(plugin, "winmail.dat", winmail((b"b", b"b")))[-1]
    assert told.fields["detail"] == "not opened: 3 before it did not come to an end"


@pytest.mark.slow
def test_what_waits_is_bounded_and_no_descriptor_is_left(tmp_path: Path) -> None:
    if not LINUX.exists():
        pytest.skip("there is no /proc to count descriptors in")
    plugin = opener(tmp_path)
    before = len(list(LINUX.iterdir()))
    found = opened(plugin, *(winmail((b"%d.doc" % number, b"%d" % number)) for number in range(containers.WAITING + 3)))
    assert len(found) == containers.WAITING
    assert len(list(LINUX.iterdir())) == before


def test_where_no_process_can_be_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    (told,) = opened(opener(tmp_path / "folder"), winmail((b"a", b"a")))
    assert told.fields["name"] == "container"


def test_without_the_library_the_option_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"--open-tnef: the package tnefparse is missing; pip install tnefparse"):
        opener(tmp_path)
