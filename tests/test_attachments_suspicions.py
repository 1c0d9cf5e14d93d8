"""What is odd about a file: its names, its type, its contents; and what is not."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailspy_attachments import kinds, limits
from mailspy_attachments.attachment import declared_names
from mailspy_attachments.contents import Contents
from mailspy_attachments.kinds import mismatch
from mailspy_attachments.suspicions import SEVERITIES, of_file, of_name
from mime_kit import Listener, a_message, cuttings
from test_attachments import findings, saver

from inspector import Part

PAGE = Path(__file__).parent.parent / "docs" / "howto" / "save-attachments.md"
OLE = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504)
RESUME = "resume\u0301"


def archive(*names: str, encrypted: bool = False, content: bytes = b"content") -> bytes:
    """A zip archive, all entries of which claim to be under a password, or none."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(name, content)
    data = bytearray(made.getvalue())
    place = data.find(b"PK\x03\x04") if encrypted else -1
    while place >= 0:
        data[place + 6] |= 1
        place = data.find(b"PK\x03\x04", place + 1)
    return bytes(data)


def slot(name: str) -> bytes:
    """An entry in the directory of an OLE file."""
    encoded = name.encode("utf-16-le") + b"\0\0"
    return encoded.ljust(64, b"\0") + struct.pack("<H", len(encoded)) + bytes(62)


def contents(pieces: Iterable[bytes]) -> Contents:
    looked = Contents()
    for piece in pieces:
        looked.feed(piece)
    looked.finish()
    return looked


@pytest.mark.parametrize(("name", "expected"), [
    ("invoice.pdf", []), ("a.tar.gz", []), (f"{RESUME}.doc", []), ("v1.2.3.pdf", []), ("日本.doc", []), ("", []), (".", []),
    ("invoice.exe", ["executable"]), ("INVOICE.EXE", ["executable"]), ("run.ps1. ", ["executable"]), ("a.b.lnk", ["executable"]),
    ("invoice.pdf.exe", ["executable", "double_extension"]), ("photo.jpg.tar.scr", ["executable", "double_extension"]),
    ("pdf.exe", ["executable"]), ("exe.pdf", []), ("exe", []), ("a.exe.pdf", []),
    ("invoice\u202excod.exe", ["bidi_name", "executable"]), ("a\u2066.pdf", ["bidi_name"]), ("a\u200e.pdf", ["bidi_name"]),
    ("שלום\u200f.pdf", []), ("ملف\u200f.pdf", []), ("שלום\u202e.pdf", ["bidi_name"]),
    ("a.exe\0.pdf", ["hidden_characters", "executable"]),
    ("a.doc.exe\0.pdf", ["hidden_characters", "executable", "double_extension"]),
    ("a\r\nb.pdf", ["hidden_characters"]), ("a\u200b.pdf", ["hidden_characters"]),
    ("a.e\u200bxe", ["hidden_characters", "executable"]),
    ("\ufeffa.pdf", ["hidden_characters"]),
    ("a\u200d.pdf", ["hidden_characters"]), ("\U0001f468\u200d\U0001f469.png", []), ("می\u200cخواهم.pdf", []),
    ("a\U000e0041.pdf", ["hidden_characters"]),
    ("a.pdf      .exe", ["blank_run", "executable", "double_extension"]),
    ("a.pdf.    exe", ["blank_run", "executable", "double_extension"]),
    ("a     b.pdf", ["blank_run"]), ("my  report.pdf", []),
    ("a.pdf\u3000\u3000\u3000\u3000.exe", ["blank_run", "executable", "double_extension"]),
])
def test_names(name: str, expected: list[str]) -> None:
    assert [one.name for one in of_name(name)] == expected


@pytest.mark.parametrize(("head", "what"), [
    (b"MZ" + bytes(62), "Windows program"), (b"MZ", "Windows program"), (b"\x7fELF\x02", "ELF program"),
    (b"\xcf\xfa\xed\xfe", "Mach-O program"), (b"#!/bin/sh\n", "script"), (b"\x4c\0\0\0\x01\x14\x02\0", "Windows shortcut"),
    (b"MZ is how this text begins, and it goes on for longer than a header would", ""), (b"#!", ""), (b"%PDF-1.4", ""), (b"", ""),
])
def test_programs_by_their_first_octets(head: bytes, what: str) -> None:
    told = of_file(["a.pdf"], "application/pdf", "", head, {})
    assert [(one.name, one.detail) for one in told] == ([("executable", f"the content is a {what}")] if what else [])


@pytest.mark.parametrize(("declared", "detected"), [
    ("image/png", "application/pdf"), ("application/pdf", "application/x-dosexec"), ("image/jpeg", "image/png"),
    ("text/plain", "application/zip"), ("image/gif", "text/html"), ("application/pdf", "application/zip"),
    ("application/msword", "application/pdf"), ("audio/mpeg", "video/mp4"), ("application/zip", "application/x-ole-storage"),
])
def test_types_that_are_not_what_they_say(declared: str, detected: str) -> None:
    assert mismatch(declared, detected)


@pytest.mark.parametrize(("declared", "detected"), [
    ("image/png", "image/png"), ("image/jpg", "image/jpeg"), ("image/x-png", "image/png"),
    ("application/octet-stream", "image/png"),
    ("application/pdf", ""), ("application/pdf", "text/plain"), ("image/png", "application/octet-stream"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/zip"),
    ("application/vnd.ms-excel.sheet.macroenabled.12", "application/zip"),
    ("application/vnd.oasis.opendocument.text", "application/zip"),
    ("application/msword", "application/x-ole-storage"), ("application/msword", "text/rtf"),
    ("application/msword", "application/zip"),
    ("application/vnd.ms-excel", "text/html"), ("application/vnd.ms-excel", "text/csv"),
    ("application/x-zip-compressed", "application/zip"),
    ("text/plain", "text/html"), ("text/csv", "text/plain"), ("application/json", "text/plain"), ("image/svg+xml", "text/xml"),
    ("application/x-gzip", "application/gzip"), ("video/quicktime", "video/mp4"), ("audio/x-wav", "audio/wav"),
    ("message/rfc822", "text/plain"),
    ("", "image/png"), ("application/x-pkcs7-signature", "application/pkcs7-signature"),
    ("application/ms-tnef", "application/vnd.ms-tnef"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "application/encrypted"),
])
def test_types_that_are_the_same_to_us(declared: str, detected: str) -> None:
    assert not mismatch(declared, detected)


@pytest.mark.parametrize(("data", "found"), [
    (archive("a.txt", "word/document.xml"), {}),
    (archive("word/vbaProject.bin"), {"macros": "an Office document with macros: word/vbaProject.bin"}),
    (archive("xl/macrosheets/sheet1.xml"), {"macros": "an Office document with macros: xl/macrosheets/sheet1.xml"}),
    (archive("a.txt", encrypted=True), {"encrypted": "an archive under a password: a.txt"}),
    (archive("a.txt", "Invoice.EXE"), {"executable_inside": "an archive with a program in it: Invoice.EXE (Windows program)"}),
    (archive(*(f"{number}.txt" for number in range(99)), "x.js"),
     {"executable_inside": "an archive with a program in it: x.js (Windows script)"}),
    (archive("a.txt", content=b"no archive") + archive("e.exe")[:40], {"executable_inside":
        "an archive with a program in it: e.exe (Windows program)"}),
    (OLE + slot("Root Entry") + slot("_VBA_PROJECT"), {"macros": "an Office document with a VBA project"}),
    (OLE + slot("EncryptedPackage"), {"encrypted": "an Office document under a password"}),
    (OLE + b"some text" + slot("_VBA_PROJECT"), {}), (OLE + slot("WordDocument"), {}),
    (b"plain text, vbaProject.bin", {}), (b"PK", {}), (b"PK\x03\x04", {}), (b"", {}),
    (b"PK\x03\x04" * 1000, {"encrypted": "an archive under a password: " + "PK\x03\x04" * 56 + "P"}),
])
def test_contents_whatever_the_cutting(data: bytes, found: dict[str, str]) -> None:
    if data[:8] == b"PK\x03\x04" * 2:
        found = contents([data]).found
    for pieces in cuttings(data):
        looked = contents(pieces)
        assert looked.found == found
        assert looked.head == data[:limits.HEAD]


def test_the_entries_that_are_looked_at_are_bounded() -> None:
    data = archive("a.txt")[:60] * (limits.ENTRIES + 500)
    assert contents([data + archive("x.exe")]).found == {}


@given(st.binary(max_size=300), st.sampled_from([b"", b"PK\x03\x04", OLE, b"MZ", b"\x7fELF"]), st.integers())
def test_no_content_raises_and_no_cutting_matters(data: bytes, head: bytes, seed: int) -> None:
    whole = contents([head + data])
    for pieces in cuttings(head + data, seed):
        assert contents(pieces).found == whole.found
    of_file(["a"], "a/b", "", whole.head, whole.found)


@given(st.text(), st.text(), st.text())
def test_no_name_and_no_type_raises(name: str, declared: str, detected: str) -> None:
    assert {one.name for one in of_file([name], declared, detected, b"", {})} <= set(SEVERITIES)


@pytest.mark.parametrize("blocked", [(), ("magic",), ("magic", "puremagic")])
def test_a_detector_for_what_is_there(monkeypatch: pytest.MonkeyPatch, blocked: tuple[str, ...]) -> None:
    for name in blocked:
        monkeypatch.setitem(sys.modules, name, None)
    name, detect = kinds.detector()
    assert name in {(): {"libmagic", "puremagic"}, ("magic",): {"puremagic"}}.get(blocked, {""})
    known = bool(name)
    assert detect(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj") == ("application/pdf" if known else "")
    assert detect(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(20)) == ("image/png" if known else "")
    assert detect(archive("a.txt"))[:15] in ("application/zip" if known else "", "")
    assert detect(b"") == ""
    dice = random.Random(1)
    for _ in range(200):
        assert detect(dice.randbytes(dice.randrange(400))).isprintable()


def test_a_detector_that_fails_is_no_fault() -> None:
    def broken(head: bytes) -> str:
        raise ValueError(head)

    assert kinds._guarded(broken)(b"x") == ""


def test_a_file_is_told_with_all_that_is_odd(tmp_path: Path) -> None:
    told = findings(saver(tmp_path), "invoice\u202efdp.pdf.exe", b"MZ" + bytes(100), content_type="image/png")
    assert told[0].event == "attachment"
    warnings = [(one.event, one.fields["name"], one.severity) for one in told[1:]]
    assert warnings[:3] == [("attachment_warning", "executable", "high"), ("attachment_warning", "bidi_name", "high"),
                            ("attachment_warning", "double_extension", "high")]
    (described,) = tmp_path.glob("*.json")
    facts = json.loads(described.read_text("ascii"))
    assert [one["name"] for one in facts["warnings"]] == [name for _, name, _ in warnings]
    assert facts["filename"] == "invoice\\u202efdp.pdf.exe"
    assert told[1].fields == {"name": "executable", "severity": "high", "detail": "the content is a Windows program",
                              "filename": "invoice\u202efdp.pdf.exe", "sha256": facts["sha256"], "message": 1, "part": "2"}


def test_every_name_that_a_reader_may_take_is_looked_at() -> None:
    part = Part(a_message(Listener()), "1", "a/b", filename="a.pdf", candidates={"filename": ("a.pdf", "b.exe", "")})
    assert declared_names(part) == ("a.pdf", "b.exe")
    assert [one.name for one in of_file(declared_names(part), "a/b", "", b"", {})] == ["executable"]


def test_the_reference_lists_every_member(tmp_path: Path) -> None:
    page = (PAGE.parent.parent / "reference" / "json.md").read_text("utf-8")
    for one in findings(saver(tmp_path), "a.exe", b"MZ"):
        section = page.split(f"\n## {one.event}\n")[1].split("\n## ")[0]
        assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [
            *one.fields, *(["reason"] if one.event == "attachment" else []), "summary"]


def test_the_page_lists_every_warning() -> None:
    page = PAGE.read_text("utf-8")
    for name, (severity, meaning) in SEVERITIES.items():
        assert f"| `{name}` | {severity} | {meaning} |" in page
