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
                               [("ambiguous_filename", "message 1: b.exe | a.txt")]),
    "an encoding of its own": ("Content-Transfer-Encoding: x-rot13\n", [("unknown_encoding", "message 1: x-rot13")]),
    "an encoded multipart": ("Content-Type: multipart/mixed; boundary=x\nContent-Transfer-Encoding: base64\n",
                             [("encoded_multipart", "message 1: multipart/mixed: base64"),
                             ("unclosed_multipart", "message 1: a multipart has no closing delimiter")]),
    "no boundary": ("Content-Type: multipart/mixed\n", [("missing_boundary", "message 1: multipart/mixed")]),
    "two boundaries": ("Content-Type: multipart/mixed; boundary=x; boundary=y\n",
                       [("ambiguous_boundary", "message 1: x | y"),
                        ("unclosed_multipart", "message 1: a multipart has no closing delimiter")]),
    "a boundary in both forms": ("Content-Type: multipart/mixed; boundary=x; boundary*=us-ascii''y\n",
                                 [("ambiguous_boundary", "message 1: x | y"),
                                  ("unclosed_multipart", "message 1: a multipart has no closing delimiter")]),
    "a quoted encoding": ('Content-Transfer-Encoding: "7bit"\n', [("odd_encoding", 'message 1: "7bit"')]),
    "a commented encoding": ("Content-Transfer-Encoding: quoted-printable (really)\n",
                             [("odd_encoding", "message 1: quoted-printable (really)")]),
    "a long boundary": (f"Content-Type: multipart/mixed; boundary={'x' * 71}\n",
                        [("long_boundary", f"message 1: 71 octets: {'x' * 70}…"),
                         ("unclosed_multipart", "message 1: a multipart has no closing delimiter")]),
    "a set that is none": ("Content-Type: text/plain; charset=klingon\n", [("unknown_charset", "message 1: klingon")]),
    "a line that is no field": ("From: a@b\nwhat is this\nSubject: x\n",
                                [("malformed_header", "message 1: what is this")]),
    "many parameters": (f"Content-Type: text/plain{'; a=b' * 100}\n",
                        [("mime_limit", "message 1: more than 99 parameters: text/plain")]),
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
    message = read(crlf("Content-Type: multipart/mixed; boundary=x\n\n" + part * 500 + "--x--"))
    assert message.doubts == [("unknown_encoding", "message 1: x-odd")]
    assert len(message.parts()) == 500


def test_what_is_told_can_be_shown() -> None:
    """Control characters of the wire do not reach a screen."""
    found = read(b"From: a\x1b[31m\r\nFrom: \xff\x00b\r\n\r\n").doubts
    assert [name for name, _ in found] == ["duplicate_field", "nul_in_header", "eight_bit_in_header"]
    assert all(detail.isprintable() for _, detail in found)


BODIES = {
    "base64 with junk": (b"Content-Transfer-Encoding: base64\r\n\r\nQUJD*REVG\r\n", "broken_encoding", b"ABCDEF"),
    "base64 cut short": (b"Content-Transfer-Encoding: base64\r\n\r\nQUJDRE\r\n", "broken_encoding", b"ABCD"),
    "base64 twice": (b"Content-Transfer-Encoding: base64\r\n\r\nQUI=\r\nQUJD\r\n", "broken_encoding", b"ABABC"),
    "base64": (b"Content-Transfer-Encoding: base64\r\n\r\nQUJD\r\n QUI=\r\n\r\n", "", b"ABCAB"),
    "a bad escape": (b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=ZZ=41=\r\nb", "broken_encoding", b"a=ZZAb"),
    "half an escape": (b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=4g", "broken_encoding", b"a=4g"),
    "escapes": (b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=3D=c3=A9 =\r\nb=", "", b"a=\xc3\xa9 b"),
    "not ASCII": (b"Content-Type: text/plain; charset=us-ascii\r\n\r\n\xe9", "charset_lie", b"\xe9"),
    "not UTF-8": (b"Content-Type: text/html; charset=utf-8\r\n\r\n\xc3\xa9\xc3x", "charset_lie", b"\xc3\xa9\xc3x"),
    "half a character": (b"Content-Type: text/html; charset=utf-8\r\n\r\nx\xc3", "charset_lie", b"x\xc3"),
    "UTF-8": (b"Content-Type: text/html; charset=utf-8\r\n\r\n\xc3\xa9x", "", b"\xc3\xa9x"),
}


@pytest.mark.parametrize("story", BODIES)
def test_a_body_is_doubted(story: str) -> None:
    """Decoded as far as it goes, and told."""
    data, name, octets = BODIES[story]
    for pieces in cuttings(data):
        message = read(pieces)
        assert [found for found, _ in message.doubts] == ([name] if name else [])
        assert message.sinks["1"].data == octets


HEADERS = {
    "nul_in_header": b"From: a\0b\r\n\r\n",
    "bare_cr_in_header": b"From: a\rb\r\n\r\n",
    "eight_bit_in_header": b"From: \xe9\r\n\r\n",
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_is_doubted(name: str) -> None:
    """Octets that do not belong there; a line end that is cut in two is none of them."""
    for pieces in cuttings(HEADERS[name]):
        assert [found for found, _ in read(pieces).doubts] == [name]
    for pieces in cuttings("From: é\r\nA: b\r\n\r\n\r\r\n".encode()):
        assert read(pieces).doubts == []


UNION = crlf("""\
Content-Type: text/plain; name=a.txt
Content-Type: application/x-msdownload; name=b.exe
Content-Transfer-Encoding: 7bit
Content-Transfer-Encoding: base64

QUJD
""")


def test_every_reading_is_in_the_event() -> None:
    """What readers decode differently is decoded both ways, and all candidates are named."""
    for pieces in cuttings(UNION):
        message = read(pieces)
        first, second = message.parts()
        assert (first["part"], first["encoding"], message.sinks["1"].data) == ("1", "7bit", b"QUJD\r\n")
        assert (second["part"], second["encoding"], message.sinks["1/base64"].data) == ("1/base64", "base64", b"ABC")
        for part in (first, second):
            assert part["candidates"] == {"content_type": ("text/plain", "application/x-msdownload"),
                                          "encoding": ("7bit", "base64"), "filename": ("a.txt", "b.exe")}


def test_all_senders_are_in_the_event() -> None:
    """Two From fields."""
    told = read(crlf("From: a@b\nFrom: c@d\n\n")).told()
    assert told["candidates"] == {"from": ["a@b", "c@d"]}
    assert told["from"] == "a@b"


def test_parts_are_found_by_every_boundary() -> None:
    """A text for one reader, a multipart for the next: what is hidden in it is read."""
    data = crlf("""\
Content-Type: text/plain
Content-Type: multipart/mixed; boundary=x; boundary=y

--x

one
--y
Content-Type: application/zip

two
--x--
""")
    for pieces in cuttings(data):
        message = read(pieces)
        assert [(part["part"], part["content_type"]) for part in message.parts()] == [
            ("1", "text/plain"), ("2", "application/zip")]


def test_many_ambiguous_parts_are_listed_up_to_a_limit() -> None:
    """Past it the first reading is told alone."""
    part = "--x\nContent-Type: a/b; name=a%d\nContent-Disposition: attachment; filename=b\n\n"
    data = "Content-Type: multipart/mixed; boundary=x\n\n" + "".join(part % number for number in range(1100)) + "--x--"
    parts = read(crlf(data)).parts()
    assert len(parts) == 1100
    assert all(part["filename"] == "b" for part in parts)
    assert ["candidates" in part for part in parts] == [True] * 1001 + [False] * 99
