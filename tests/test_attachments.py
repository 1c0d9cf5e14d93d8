"""Attachments on disk: names that stay in the folder, contents stored once, faults that stay with the file."""

from __future__ import annotations

import errno
import json
import os
import stat
from hashlib import sha256
from pathlib import Path
from typing import Any

import mailspy_attachments
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailspy_attachments import AttachmentsPlugin, is_file, slug
from mailspy_mime import MimePlugin
from mime_kit import Listener, a_message

from inspector import Address, Finding, Flow, OptionError, OptionParser, Options, Part, hookimpl
from inspector.host import Hooks, Host
from inspector.pipeline import Pipeline

PDF = b"%PDF-1.4 content"


def saver(folder: Path) -> AttachmentsPlugin:
    plugin = AttachmentsPlugin()
    plugin.configure(Options({"attachments": str(folder)}))
    return plugin


def save(plugin: AttachmentsPlugin, name: str, *pieces: bytes, complete: bool = True,
         content_type: str = "application/pdf") -> dict[str, Any]:
    """The fields of the finding about one part."""
    session = Listener()
    message = a_message(session)
    message.time = 1_795_424_400_000_001
    sink = plugin.open_part(Part(message, "2", content_type, "", "base64", "attachment", name), message)
    assert sink is not None
    for piece in pieces:
        sink.feed(piece)
    sink.close(complete)
    (finding,) = session.found
    assert finding.event == "attachment"
    return finding.fields


def listing(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_file_is_saved_with_its_description(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    fields = save(saver(folder), "Résumé 2026.pdf", PDF[:5], PDF[5:])
    digest = sha256(PDF).hexdigest()
    path = folder / f"{digest[:16]}-Resume-2026.pdf"
    assert fields == {"filename": "Résumé 2026.pdf", "path": str(path), "size": len(PDF), "sha256": digest,
                      "content_type": "application/pdf", "complete": True, "message": 1, "part": "2"}
    assert path.read_bytes() == PDF
    facts = json.loads(Path(f"{path}.json").read_text())
    assert facts["filename"] == "Résumé 2026.pdf"
    assert (facts["size"], facts["sha256"], facts["flow"], facts["message"]) == (len(PDF), digest, 1, 1)
    assert facts["time"] == "2026-11-23T09:00:00.000001Z"
    assert listing(folder) == [path.name, f"{path.name}.json"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_one_content_is_stored_once(tmp_path: Path) -> None:
    plugin = saver(tmp_path)
    first = save(plugin, "a.pdf", PDF)
    assert save(plugin, "b.pdf", PDF)["path"] == first["path"]
    assert save(saver(tmp_path), "a.pdf", PDF)["path"] == first["path"]
    large = os.urandom(mailspy_attachments.BUFFER + 1)
    assert save(plugin, "l", large)["path"] == save(plugin, "m", large)["path"]
    assert len(listing(tmp_path)) == 4


def test_one_that_was_cut_short_says_so(tmp_path: Path) -> None:
    fields = save(saver(tmp_path), "a.pdf", PDF, complete=False)
    assert fields["path"].endswith("-a.pdf.incomplete")
    assert fields["complete"] is False


def test_an_empty_one(tmp_path: Path) -> None:
    assert Path(save(saver(tmp_path), "empty.bin")["path"]).read_bytes() == b""


@pytest.mark.parametrize(("name", "expected"), [
    ("../../etc/cron.d/x", "x"), ("/etc/passwd", "passwd"), (r"..\..\x.exe", "x.exe"), ("\x00", "unnamed.pdf"),
    (".", "unnamed.pdf"), ("..", "unnamed.pdf"), ("~", "unnamed"), ("-rf", "rf"), (".bashrc", "unnamed.bashrc"),
    ("CON", "CON"), ("aux.txt", "aux.txt"), ("a:b", "a-b"), ("foo. ", "foo"), ("a" * 300, "a" * 64),
    ("a" * 300 + ".pdf", "a" * 64 + ".pdf"), ("invoice\u202excod.exe", "invoicexcod.exe"),
    ("a\u200bb.pdf", "ab.pdf"), ("．．／x", "x"), ("a.pdf      .exe", "a-pdf.exe"), ("a.pdf\u202e", "a.pdf"),
    ("ｅｘｅ．ｅｘｅ", "exe.exe"), ("été.pdf", "ete.pdf"), ("日本.doc", "unnamed.doc"), ("a.tar.gz", "a-tar.gz"),
    ("a.\u2029b", "a.b"), ("a.日本", "a"), ("a.b c", "a-b-c"), ("a\r\nb.txt", "ab.txt"), ("\x1b[2J.txt", "2J.txt"),
    ("", "unnamed.pdf"), ("a" * 63 + " b.pdf", "a" * 63 + ".pdf"),
])
def test_slugs(name: str, expected: str) -> None:
    assert slug(name, "application/pdf") == expected


@given(st.text() | st.text("./\\ \u202e．／~-\x00aA1:"), st.text(max_size=5))
def test_a_slug_is_harmless(name: str, content_type: str) -> None:
    made = slug(name, content_type)
    assert made.isascii()
    assert 0 < len(made) <= mailspy_attachments.SLUG + 1 + mailspy_attachments.EXTENSION
    assert made.replace(".", "", 1).replace("-", "").replace("_", "").isalnum() or set(made) <= set("-_.")
    assert not made.startswith((".", "-"))
    assert not made.endswith((".", "-"))


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


def test_a_file_past_the_quota_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailspy_attachments, "FILE", 1000)
    monkeypatch.setattr(mailspy_attachments, "BUFFER", 100)
    fields = save(saver(tmp_path), "a.pdf", *[b"x" * 90] * 12)
    assert fields["reason"].startswith("quota: larger than")
    assert (fields["path"], fields["sha256"], fields["size"]) == ("", "", 1080)
    assert listing(tmp_path) == []


@pytest.mark.parametrize("limit", ["TOTAL", "FILES"])
def test_the_quota_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(mailspy_attachments, limit, 1 if limit == "FILES" else len(PDF))
    plugin = saver(tmp_path)
    assert "reason" not in save(plugin, "a.pdf", PDF)
    assert save(plugin, "b.pdf", PDF + b"2")["reason"].startswith("quota: the quota")
    assert "reason" not in save(plugin, "again.pdf", PDF)
    assert len(listing(tmp_path)) == 2


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
    assert [option.name for option in parser.options] == ["attachments"]
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
