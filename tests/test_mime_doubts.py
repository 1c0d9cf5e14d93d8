"""What readers take differently is told, whatever the cutting; what is right is not complained about."""

from __future__ import annotations

import pytest
from mime_kit import crlf, cuttings, read

STORIES = {
    "two types": ("Content-Type: text/plain\nContent-Type: text/html\n",
                  [("duplicate_field", "message 1: content-type: text/plain | text/html")]),
    "two senders": ("From: a@b\nX: y\nfrom: c@d\n", [("duplicate_field", "message 1: from: a@b | c@d")]),
    "two encodings": ("Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n",
                      [("duplicate_field", "message 1: content-transfer-encoding: 7bit | base64")]),
    "name and filename": ("Content-Type: text/plain; name=a.txt\nContent-Disposition: attachment; filename=b.exe\n",
                          [("ambiguous_filename", "message 1: b.exe | a.txt")]),
    "filename and filename*": ("Content-Disposition: attachment; filename=a.txt; filename*=utf-8''b.exe\n",
                               [("ambiguous_filename", "message 1: a.txt | b.exe")]),
    "an encoding of its own": ("Content-Transfer-Encoding: x-rot13\n", [("unknown_encoding", "message 1: x-rot13")]),
    "an encoded multipart": ("Content-Type: multipart/mixed; boundary=x\nContent-Transfer-Encoding: base64\n",
                             [("encoded_multipart", "message 1: multipart/mixed: base64")]),
    "no boundary": ("Content-Type: multipart/mixed\n", [("missing_boundary", "message 1: multipart/mixed")]),
    "one name, written twice": (
        "Content-Type: text/plain; name=\"=?utf-8?q?=C3=A9.txt?=\"\n"
        "Content-Disposition: attachment; filename*=utf-8''%C3%A9.txt\n", []),
    "nothing wrong": ("From: a@b\nTo: c@d\nContent-Type: text/plain; charset=utf-8\n"
                      "Content-Transfer-Encoding: quoted-printable\n", []),
}


@pytest.mark.parametrize("story", STORIES)
def test_a_doubt_is_told(story: str) -> None:
    """In the header of a message, and in that of a part."""
    header, doubts = STORIES[story]
    for pieces in cuttings(crlf(f"{header}\nhello\n")):
        assert read(pieces).doubts == doubts
    inside = "Content-Type: multipart/mixed; boundary=outer\n\n--outer\n" + header + "\nhello\n--outer--\n"
    for pieces in cuttings(crlf(inside)):
        assert read(pieces).doubts == doubts


def test_many_parts_do_not_flood() -> None:
    """Each anomaly is told once a message."""
    part = "--x\nContent-Transfer-Encoding: x-odd\n\n"
    message = read(crlf("Content-Type: multipart/mixed; boundary=x\n\n" + part * 500))
    assert message.doubts == [("unknown_encoding", "message 1: x-odd")]
    assert len(message.parts()) == 500


def test_what_is_told_can_be_shown() -> None:
    """Control characters of the wire do not reach a screen."""
    found = read(b"From: a\x1b[31m\r\nFrom: \xff\x00b\r\n\r\n").doubts
    assert [name for name, _ in found] == ["duplicate_field"]
    assert found[0][1].isprintable()
