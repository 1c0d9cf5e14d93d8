"""Attachments on disk: names that stay in the folder, contents stored once, faults that stay with the file."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import stat
import subprocess
import sys
import threading
import tracemalloc
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailspy_attachments import AttachmentsPlugin, is_file, limits
from mailspy_mime import MimePlugin
from mime_kit import Listener, a_message
from test_attachments_names import PIECES

from inspector import PDU, Address, Direction, Finding, Flow, Kind, OptionError, OptionParser, Options, Part, hookimpl
from inspector.demo.letter import PUBLI
from inspector.host import Hooks, Host
from inspector.pipeline import Pipeline

PDF = b"%PDF-1.4 content"


def saver(folder: Path, **options: object) -> AttachmentsPlugin:
    plugin = AttachmentsPlugin()
    plugin.configure(Options({"attachments": str(folder), **options}))
    return plugin


def save(plugin: AttachmentsPlugin, name: str, *pieces: bytes, complete: bool = True,
         content_type: str = "application/pdf") -> dict[str, Any]:
    """The fields of the event about one part."""
    found = findings(plugin, name, *pieces, complete=complete, content_type=content_type)
    (fields,) = (finding.fields for finding in found if finding.event == "attachment")
    return fields


def findings(plugin: AttachmentsPlugin, name: str, *pieces: bytes, complete: bool = True,
             content_type: str = "application/pdf") -> list[Finding]:
    """What is told of one part of a message, which is then over."""
    session = Listener()
    message = a_message(session)
    message.time = 1_795_424_400_000_001
    sink = plugin.open_part(Part(message, "2", content_type, "", "base64", "attachment", name), message)
    assert sink is not None
    for piece in pieces:
        sink.feed(piece)
    sink.close(complete)
    plugin.pdu_seen(PDU(7, Direction.CLIENT_TO_SERVER, Kind.BODY, "DATA", "DATA", "", b"", 0, 0, 0), session)
    return session.found


def listing(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_file_is_saved_with_its_description(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    fields = save(saver(folder), "Résumé 2026.pdf", PDF[:5], PDF[5:])
    digest = sha256(PDF).hexdigest()
    path = folder / f"{digest[:16]}-Resume-2026.pdf"
    assert fields == {"filename": "Résumé 2026.pdf", "path": str(path), "size": len(PDF), "sha256": digest,
                      "content_type": "application/pdf", "complete": True, "message": 1, "part": "2",
                      "detected": "application/pdf", "md5": md5(PDF).hexdigest()}
    assert path.read_bytes() == PDF
    facts = json.loads(Path(f"{path}.json").read_text())
    assert facts == {
        "filename": "Résumé 2026.pdf", "names": ["Résumé 2026.pdf"], "content_type": "application/pdf",
        "detected": "application/pdf", "disposition": "attachment", "size": len(PDF), "sha256": digest,
        "md5": md5(PDF).hexdigest(), "complete": True, "warnings": [], "message": 1, "part": "2", "flow": 1, "protocol": "smtp",
        "client": "192.0.2.1:40000", "server": "192.0.2.2:25", "pdus": [7], "time": "2026-11-23T09:00:00.000001Z"}
    assert listing(folder) == [path.name, f"{path.name}.json"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_one_content_is_stored_once(tmp_path: Path) -> None:
    plugin = saver(tmp_path)
    first = save(plugin, "a.pdf", PDF)
    assert save(plugin, "b.pdf", PDF)["path"] == first["path"]
    assert save(saver(tmp_path), "a.pdf", PDF)["path"] == first["path"]
    large = os.urandom(limits.BUFFER + 1)
    assert save(plugin, "l", large)["path"] == save(plugin, "m", large)["path"]
    assert len(listing(tmp_path)) == 4


def test_one_that_was_cut_short_says_so(tmp_path: Path) -> None:
    fields = save(saver(tmp_path), "a.pdf", PDF, complete=False)
    assert fields["path"].endswith("-a.pdf.incomplete")
    assert fields["complete"] is False


def test_an_empty_one(tmp_path: Path) -> None:
    assert Path(save(saver(tmp_path), "empty.bin")["path"]).read_bytes() == b""


@given(st.lists(st.text() | st.text("./\\ \u202e．／~-\x00"), max_size=5))
def test_names_stay_in_the_folder(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    outside = tmp_path_factory.mktemp("outside")
    plugin = saver(outside / "inside")
    for number, name in enumerate(names):
        fields = save(plugin, name, b"%d" % number)
        assert Path(fields["path"]).parent == outside / "inside"
    assert listing(outside) == ["inside"]
    assert len(listing(outside / "inside")) == 2 * len(names)


def test_a_link_of_the_expected_name_is_not_followed(tmp_path: Path) -> None:
    folder, target = tmp_path / "folder", tmp_path / "target"
    folder.mkdir()
    target.write_bytes(b"precious")
    digest = sha256(PDF).hexdigest()
    (folder / f"{digest[:16]}-a.pdf").symlink_to(target)
    (folder / f"{digest}-a.pdf.json").symlink_to(target)
    fields = save(saver(folder), "a.pdf", PDF)
    assert fields["path"] == str(folder / f"{digest}-a.pdf")
    assert target.read_bytes() == b"precious"
    os.unlink(fields["path"])
    os.link(target, fields["path"])
    assert save(saver(folder), "a.pdf", PDF)["reason"] == "disk: its names are taken by other files"
    assert target.read_bytes() == b"precious"
    assert not [name for name in listing(folder) if name.startswith(".incoming")]


def test_the_folder_is_the_one_that_was_opened(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    plugin = saver(folder)
    folder.rename(tmp_path / "moved")
    elsewhere.mkdir()
    folder.symlink_to(elsewhere)
    save(plugin, "a.pdf", PDF)
    assert listing(elsewhere) == []
    assert len(listing(tmp_path / "moved")) == 2


def test_an_endless_file_costs_no_memory_and_no_disk(tmp_path: Path) -> None:
    """F06: past 100 MB nothing is left of it, and what follows is only counted."""
    piece = bytes(1 << 20)
    plugin = saver(tmp_path)
    save(plugin, "first.bin", piece[:1 << 19])
    tracemalloc.start()
    fields = save(plugin, "endless.bin", *[piece] * 300)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (fields["reason"], fields["size"]) == ("quota: larger than 100 MB; see --attachments-max-size", 300 << 20)
    assert peak < 8 << 20
    assert len(listing(tmp_path)) == 2


@pytest.mark.parametrize("octet", [300, 90, 1])
def test_a_file_past_the_quota_is_removed(tmp_path: Path, octet: int) -> None:
    fields = save(saver(tmp_path, attachments_max_size="1k"), "a.pdf", *[b"x" * octet] * (1080 // octet + 1))
    assert fields["reason"] == "quota: larger than 1 kB; see --attachments-max-size"
    assert (fields["path"], fields["sha256"], fields["md5"], fields["size"] > 1080) == ("", "", "", True)
    assert listing(tmp_path) == []


def test_a_large_file_past_the_quota_of_the_run_leaves_nothing(tmp_path: Path) -> None:
    plugin = saver(tmp_path, attachments_max_total="400k")
    pieces = [b"x" * 100_000] * 7
    told = findings(plugin, "a.bin", *pieces, content_type="application/octet-stream")
    assert [finding.event for finding in told] == ["attachment_warning", "attachment"]
    assert told[1].fields["reason"] == "quota: 400 kB of one run are reached; see --attachments-max-total"
    assert listing(tmp_path) == []
    assert "reason" not in save(plugin, "b.bin", b"x" * 399_999)


@pytest.mark.parametrize(("option", "reason"), [
    ({"attachments_max_files": 1}, "quota: 1 files of one run are reached; see --attachments-max-files"),
    ({"attachments_max_total": str(len(PDF))}, "quota: 16 octets of one run are reached; see --attachments-max-total"),
])
def test_the_quota_of_a_run(tmp_path: Path, option: dict[str, Any], reason: str) -> None:
    plugin = saver(tmp_path, **option)
    assert "reason" not in save(plugin, "a.pdf", PDF)
    told = findings(plugin, "b.pdf", PDF + b"2")
    assert told[0].fields["reason"] == reason
    assert [(finding.fields["name"], finding.severity) for finding in told[1:]] == [("quota_reached", "medium")]
    told = findings(plugin, "c.pdf", PDF + b"3")
    assert [(finding.event, finding.fields["reason"]) for finding in told] == [("attachment", reason)]
    assert "reason" not in save(plugin, "again.pdf", PDF)
    assert len(listing(tmp_path)) == 2


@pytest.mark.parametrize(("options", "told"), [
    ({"attachments_max_size": "much"}, "--attachments-max-size much: not a size; write 500k, 100M or 2G"),
    ({"attachments_max_total": "0"}, "--attachments-max-total 0: not a size"),
    ({"attachments_max_files": 0}, "--attachments-max-files 0: must be at least 1"),
    ({"attachments": None, "attachments_max_files": 9}, "--attachments-max-files: there is nothing to save in"),
    ({"attachments": None, "attachments_match": ("name:*",)}, "--attachments-match: there is nothing to save in"),
])
def test_options_that_cannot_be(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError) as refused:
        saver(tmp_path, **options)
    assert str(refused.value).startswith(told)


@pytest.mark.parametrize("function", ["write", "link", "open"])
def test_a_full_disk_costs_the_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    def full(*arguments: object, **named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    plugin = saver(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, function, full)
        fields = save(plugin, "a.pdf", PDF, b"more")
    assert fields["reason"] == "disk: No space left on device"
    assert fields["path"] == ""
    assert listing(tmp_path) == []
    assert Path(save(plugin, "a.pdf", PDF)["path"]).read_bytes() == PDF


def test_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*arguments: object, **named: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    plugin = saver(tmp_path)
    path = save(plugin, "a.pdf", PDF)["path"]
    assert Path(path).read_bytes() == PDF
    assert save(saver(tmp_path), "a.pdf", PDF)["path"] == path
    assert len(listing(tmp_path)) == 2


@pytest.mark.parametrize(("content_type", "disposition", "filename", "expected"), [
    ("text/plain", "", "", False), ("text/html", "inline", "", False), ("text/plain", "attachment", "", True),
    ("text/plain", "inline", "a.txt", True), ("image/png", "inline", "", True), ("multipart/mixed", "", "", True),
])
def test_what_is_a_file(content_type: str, disposition: str, filename: str, expected: bool) -> None:
    assert is_file(Part(a_message(Listener()), "1", content_type, "", "", disposition, filename)) is expected


def test_without_the_option_nothing_is_saved() -> None:
    plugin = AttachmentsPlugin()
    parser = OptionParser("attachments")
    plugin.add_options(parser)
    assert [option.name for option in parser.options] == [
        "attachments", "attachments-match", "attachments-max-size", "attachments-max-total", "attachments-max-files",
        "open-tnef"]
    plugin.configure(Options({"attachments": None}))
    message = a_message(Listener())
    assert plugin.open_part(Part(message, "1", "image/png"), message) is None


def test_a_folder_that_cannot_be_had_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(OptionError, match="name a folder"):
        saver(file)
    with pytest.raises(OptionError, match="name a folder"):
        saver(file / "below")


def test_a_session_from_end_to_end(tmp_path: Path) -> None:
    told: list[Finding] = []

    class Ear:
        @hookimpl
        def finding(self, finding: Finding) -> None:
            told.append(finding)

    host = Host(pytest.fail)
    for name, given_plugin in (("mime", MimePlugin), ("attachments", AttachmentsPlugin), ("ear", Ear)):
        host.register(name, given_plugin)
    host.configure(Options({"attachments": str(tmp_path)}))
    flow = Flow(1, Address("192.0.2.1", 40000), Address("192.0.2.2", 25), 0, "smtp")
    inspector = Pipeline(Hooks(host, lambda head: "")).open(flow)
    message = (b"Subject: x\r\nContent-Type: application/zip\r\n"
               b"Content-Disposition: attachment; filename=../x.zip\r\n\r\n"
               b"..zip\r\n.\r\n")
    for client, line in [
        (False, b"220 mx\r\n"), (True, b"EHLO c\r\n"), (False, b"250 mx\r\n"),
        (True, b"MAIL FROM:<a@x>\r\n"), (False, b"250 ok\r\n"), (True, b"RCPT TO:<b@y>\r\n"), (False, b"250 ok\r\n"),
        (True, b"DATA\r\n"), (False, b"354 go\r\n"), (True, message), (False, b"250 ok\r\n"),
    ]:
        inspector.feed(client, line, 1)
    assert [finding.event for finding in told] == ["attachment", "part", "message"]
    assert Path(str(told[0].fields["path"])).read_bytes() == b".zip\r\n"
    assert told[2].fields["envelope"] == {"from": "a@x", "to": ["b@y"]}
    assert told[2].fields["size"] == len(message) - 4


# Where a file crossed


def chunk(number: int) -> PDU:
    return PDU(number, Direction.CLIENT_TO_SERVER, Kind.BODY, "DATA", "BDAT", "", b"", 0, 0, 0)


def test_a_file_in_several_chunks_names_them_all(tmp_path: Path) -> None:
    plugin = saver(tmp_path)
    session = Listener()
    message = a_message(session, "BDAT")
    session.message = message
    plugin.pdu_seen(chunk(8), session)
    sink = plugin.open_part(Part(message, "1", "application/pdf"), message)
    assert sink is not None
    sink.feed(PDF[:3])
    plugin.pdu_seen(chunk(10), session)
    sink.feed(PDF[3:])
    sink.close(True)
    assert len(listing(tmp_path)) == 1
    plugin.pdu_seen(chunk(12), session)
    (described,) = tmp_path.glob("*.json")
    assert json.loads(described.read_text())["pdus"] == [10, 12]


def test_a_message_cut_between_two_chunks_is_described_at_the_end_of_the_flow(tmp_path: Path) -> None:
    plugin = saver(tmp_path)
    session = Listener()
    message = a_message(session, "BDAT")
    session.message = message
    sink = plugin.open_part(Part(message, "1", "application/pdf"), message)
    assert sink is not None
    sink.feed(PDF)
    plugin.pdu_seen(chunk(10), session)
    sink.close(False)
    plugin.flow_closed(session.flow)
    (described,) = tmp_path.glob("*.incomplete.json")
    facts = json.loads(described.read_text())
    assert (facts["pdus"], facts["complete"]) == ([10], False)


def test_the_files_of_a_message_are_bounded(tmp_path: Path) -> None:
    """F06: many tiny ones."""
    plugin = saver(tmp_path)
    session = Listener()
    message = a_message(session)
    sinks = [plugin.open_part(Part(message, str(number), "a/b"), message) for number in range(limits.MESSAGE + 50)]
    for sink in sinks:
        if sink is not None:
            sink.close(True)
    assert sinks[limits.MESSAGE:] == [None] * 50
    told = [finding.fields["detail"] for finding in session.found if finding.event == "attachment_warning"]
    assert told == ["500 files of one message are reached"]
    assert plugin.open_part(Part(a_message(session), "1", "a/b"), a_message(session)) is not None


def test_what_waits_for_its_description_is_bounded(tmp_path: Path) -> None:
    plugin = saver(tmp_path)
    session = Listener()
    message = a_message(session)
    for number in range(limits.AWAITING + 2):
        sink = plugin.open_part(Part(message, "1", "application/pdf"), message)
        assert sink is not None
        sink.feed(b"%d" % number)
        sink.close(True)
    assert len(list(tmp_path.glob("*.json"))) == limits.AWAITING
    plugin.pdu_seen(chunk(4), session)
    assert len(list(tmp_path.glob("*.json"))) == limits.AWAITING + 2


# The other rows of the hostile cases


@pytest.mark.slow
def test_thousands_of_hostile_names_stay_in_the_folder(tmp_path: Path) -> None:
    """F01: real saves, many of them."""
    dice = random.Random(1)
    plugin = saver(tmp_path / "in" / "side")
    for number in range(3_000):
        name = "".join(dice.choices(PIECES, k=5))
        path = save(plugin, name, b"%d" % number, content_type="text/plain")["path"]
        assert Path(path).parent == tmp_path / "in" / "side"
    assert [path.name for path in tmp_path.rglob("*") if path.parent != tmp_path / "in" / "side"] == ["in", "side"]
    assert len(listing(tmp_path / "in" / "side")) == 6_000


@pytest.mark.slow
def test_one_name_for_many_contents(tmp_path: Path) -> None:
    """F05: names do not collide, cases do not, MD5 alone decides nothing."""
    plugin = saver(tmp_path)
    paths = {save(plugin, name, b"%d" % number)["path"] for number in range(1_000) for name in ("a.pdf", "A.PDF")}
    assert len(paths) == 1_000
    assert len({path.lower() for path in paths}) == 1_000


def test_two_contents_of_one_md5_are_both_kept(tmp_path: Path) -> None:
    """F05: the pair of Wang and Yu (2004), 128 octets each."""
    one = bytes.fromhex(
        "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a085125e8f7cdc99fd91dbdf2"
        "80373c5bd8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0e99f33420f577ee8ce54b67080a80d1ec69821bcb6a88393"
        "96f9652b6ff72a70")
    other = bytearray(one)
    for place in (19, 45, 59, 83, 109, 123):
        other[place] ^= 0x80
    plugin = saver(tmp_path)
    first, second = save(plugin, "a", one), save(plugin, "a", bytes(other))
    assert first["md5"] == second["md5"]
    assert first["path"] != second["path"]
    assert (Path(first["path"]).read_bytes(), Path(second["path"]).read_bytes()) == (one, bytes(other))


@pytest.mark.slow
def test_a_race_for_the_names_is_never_won(tmp_path: Path) -> None:
    """F04: while files are saved, somebody puts links where they will stand, and takes them away."""
    folder, target = tmp_path / "folder", tmp_path / "target"
    folder.mkdir()
    target.write_bytes(b"precious")
    contents = [b"content %d" % number for number in range(5)]
    names = [folder / f"{sha256(content).hexdigest()[:16]}-a.txt" for content in contents]
    over = threading.Event()

    def plant() -> None:
        while not over.is_set():
            for name in names:
                for path in (name, Path(f"{name}.json")):
                    with contextlib.suppress(OSError):
                        os.unlink(path)
                    with contextlib.suppress(OSError):
                        os.symlink(target, path)

    adversary = threading.Thread(target=plant)
    adversary.start()
    try:
        for number in range(10_000):
            if number % 500 == 0:
                plugin = saver(folder)
            save(plugin, "a.txt", contents[number % len(contents)])
    finally:
        over.set()
        adversary.join()
    assert target.read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path)) == ["folder", "target"]


def test_nothing_is_opened_outside_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F07: by the descriptor of the folder, exclusively, without following, for the user only."""
    opened: list[tuple[Any, ...]] = []
    real = os.open

    def watched(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        opened.append((path, flags, mode, dir_fd))
        return real(path, flags, mode, dir_fd=dir_fd)

    plugin = saver(tmp_path)
    monkeypatch.setattr(os, "open", watched)
    save(plugin, "../../x.sh", b"#!/bin/sh", content_type="application/x-sh")
    assert len(opened) == 2
    for path, flags, mode, descriptor in opened:
        assert "/" not in path
        assert flags & (os.O_EXCL | os.O_CREAT | os.O_NOFOLLOW) == os.O_EXCL | os.O_CREAT | os.O_NOFOLLOW
        assert mode == 0o600
        assert descriptor is not None


def test_the_file_of_the_sheet_comes_out_as_it_was(tmp_path: Path) -> None:
    """publi.doc, of 130 octets, as the sheet prints it in base64."""
    captures = Path(__file__).parent.parent / "captures"
    command = ["replay", "--quiet", "--attachments", str(tmp_path), str(captures / "pop3-sheet.pcapng")]
    ran = subprocess.run([sys.executable, "-m", "inspector", *command], capture_output=True, check=False)
    assert (ran.returncode, ran.stdout.count("attachment “publi.doc” saved as ".encode())) == (0, 1), ran.stderr
    (saved,) = tmp_path.glob("*-publi.doc")
    assert saved.read_bytes() == PUBLI
    facts = json.loads(Path(f"{saved}.json").read_text())
    assert (facts["filename"], facts["content_type"], facts["size"], facts["protocol"], facts["pdus"]) == (
        "publi.doc", "application/msword", 130, "pop3", [14])
