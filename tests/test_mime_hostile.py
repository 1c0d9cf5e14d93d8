"""The rows of the hostile cases that are about MIME, M01 to M14: one test each, beside those of every module."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from itertools import repeat
from pathlib import Path
from random import Random

import pytest
from mailspy_mime import limits
from mime_kit import MIME, Listener, a_message, crlf, cut, cuttings, read

from inspector import Message, Part


def content_types(session: Listener) -> list[str]:
    return [str(part["content_type"]) for part in session.parts()]


def octets(session: Listener) -> list[bytes]:
    return [sink.data for _, sink in sorted(session.sinks.items())]


class Deaf(Listener):
    """One that takes no part."""

    def open_part(self, part: Part, message: Message) -> None:  # type: ignore[override]
        """Nobody."""


def stream(pieces: Iterable[bytes], session: Listener) -> None:
    sink = MIME.open_message(a_message(session), session)  # type: ignore[arg-type]
    for piece in pieces:
        sink.feed(piece)
    sink.close(True)


def anomalies(session: Listener) -> set[str]:
    return {name for name, _ in session.doubts}


TWICE = {
    "Content-Type": ("Content-Type: text/plain\nContent-Type: text/html\n\nhello\n", "content_type", ["text/plain", "text/html"]),
    "Content-Transfer-Encoding": ("Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: 7bit\n\nQUJD\n", "encoding",
                                  ["base64", "7bit"]),
    "Content-Disposition": ("Content-Disposition: inline\nContent-Disposition: attachment; filename=b.exe\n\nMZ\n", "disposition",
                            ["inline", "attachment"]),
}


@pytest.mark.parametrize("field", TWICE)
def test_m01_two_fields_that_disagree(field: str) -> None:
    """The union of all readings, and a flag."""
    written, member, readings = TWICE[field]
    for pieces in cuttings(crlf(written)):
        session = read(pieces)
        assert "duplicate_field" in anomalies(session)
        assert list(session.parts()[0]["candidates"][member]) == readings


BOUNDARIES = {
    "inner extends outer": ("b", """\
--b
Content-Type: multipart/mixed; boundary=bb

--bb

one
--bb--
--b

two
--b--
"""),
    "outer extends inner": ("bb", """\
--bb
Content-Type: multipart/mixed; boundary=b

--b

one
--b--
--bb

two
--bb--
"""),
    "garbage behind": ("b", "--b garbage\n\none\n--b\tx\n\ntwo\n--b-- garbage\nepilogue\n"),
    "trailing dashes": ("b", "--b\n\none\n--b-\n\ntwo\n--b---\nepilogue\n"),
    "a boundary of dashes": ("--", "----\n\none\n----\n\ntwo\n------\nepilogue\n"),
}


@pytest.mark.parametrize("story", BOUNDARIES)
def test_m02_boundaries_that_begin_alike(story: str) -> None:
    """The longest that begins a line."""
    boundary, body = BOUNDARIES[story]
    for pieces in cuttings(crlf(f'Content-Type: multipart/mixed; boundary="{boundary}"\n\n{body}')):
        assert octets(read(pieces)) == [b"one", b"two"]


STRANGE = {
    "empty": ('boundary=""', "", {"missing_boundary"}, ["multipart/mixed"]),
    "of 2 KB": (f'boundary="{"x" * 2000}"', "x" * 2000, {"long_boundary"}, ["text/plain", "text/html"]),
    "of 3 KB, its end unseen as by Postfix": (f'boundary="{"x" * 3000}"', "x" * 3000, {"long_boundary", "unclosed_multipart"},
                                              ["text/plain", "text/html", "text/plain"]),
    "with a blank": ('boundary="a b"', "a b", set(), ["text/plain", "text/html"]),
    "with a comment": ("boundary=a (comment)", "a", set(), ["text/plain", "text/html"]),
    "of RFC 2231": ("boundary*=us-ascii''a%62", "ab", set(), ["text/plain", "text/html"]),
    "in sections": ("boundary*0=a; boundary*1=b", "ab", set(), ["text/plain", "text/html"]),
    "two": ("boundary=a; boundary=b", "b", {"ambiguous_boundary"}, ["text/plain", "text/html"]),
    "never closed": ("boundary=a", "a", {"unclosed_multipart"}, ["text/plain", "text/html"]),
}


@pytest.mark.parametrize("story", STRANGE)
def test_m03_strange_boundaries(story: str) -> None:
    """No loop, a flag, and parts wherever any reader finds them."""
    parameter, boundary, told, found = STRANGE[story]
    end = "" if story == "never closed" else f"--{boundary}--\n"
    body = f"--{boundary}\n\none\n--{boundary}\nContent-Type: text/html\n\ntwo\n{end}"
    for pieces in cuttings(crlf(f"Content-Type: multipart/mixed; {parameter}\n\n{body}")):
        session = read(pieces)
        assert anomalies(session) == told
        assert content_types(session) == found


@pytest.mark.slow
@pytest.mark.parametrize("levels", [100, 1_000, 100_000])
@pytest.mark.parametrize("kind", ["multipart", "message/rfc822"])
@pytest.mark.timeout(60)
def test_m04_nested_a_hundred_thousand_deep(kind: str, levels: int) -> None:
    """The limit is told, what lies past it is one part, raw."""
    level = b"Content-Type: message/rfc822\r\n\r\n"
    if kind == "multipart":
        level = b"Content-Type: multipart/mixed; boundary=b%d.\r\n\r\n--b%d.\r\n"
    data = b"".join(level % (depth, depth) if b"%d" in level else level for depth in range(levels)) + b"\r\nend"
    (part,) = read(data).parts()
    session = read(cut(data, Random(1)) if levels == 1_000 else data)
    assert session.parts() == [part]
    assert ("mime_limit" in anomalies(session)) is (levels > limits.DEPTH)
    assert octets(session)[0].endswith(b"end")


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_m05_a_million_empty_parts() -> None:
    data = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n" * 1_000_000
    session = read(data)
    assert len(session.parts()) < limits.PARTS
    assert "mime_limit" in anomalies(session)


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_m05_nine_hundred_levels_and_thirty_thousand_parts() -> None:
    data = b"".join(b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(900))
    session = read(data + b"--89\r\n\r\nx\r\n" * 30_000)
    assert len(session.parts()) < limits.PARTS
    assert "mime_limit" in anomalies(session)


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_m06_a_group_of_a_quarter_million() -> None:
    """Members are told up to the limit."""
    session = read(b"To: everybody: " + b"a@b," * 250_000 + b";\r\n\r\nhello")
    assert len(session.told()["addresses"]["to"]) <= limits.ADDRESSES
    assert session.parts()[0]["size"] == 5


MEGABYTES = {
    "header lines": b"X: y\r\n" * 700_000 + b"\r\nhello",
    "one field": b"Subject: " + b"x" * 50_000_000 + b"\r\n\r\nhello",
    "blank lines of a report": (b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status"
                                b"\r\n\r\n" + b"\r\n" * 262_144 + b"--b--\r\n"),
}


@pytest.mark.slow
@pytest.mark.parametrize("story", MEGABYTES)
@pytest.mark.timeout(60)
def test_m07_headers_without_end(story: str) -> None:
    data = MEGABYTES[story]
    session = Deaf()
    stream([data[place:place + 65_536] for place in range(0, len(data), 65_536)], session)
    assert len(session.parts()) == 1
    assert ("mime_limit" in anomalies(session)) is (story != "blank lines of a report")


PARAMETERS = {
    "star star": ("filename*0*=utf-8''%C3%A9; filename*1=.txt", "é.txt", []),
    "a large section": ("filename*999999999=x.exe", "x.exe", []),
    "a gap": ("filename*0=a; filename*2=c", "a", ["a", "ac"]),
    "out of order": ("filename*1=b; filename*0=a", "ab", []),
    "all at once": ("filename=a.txt; filename*=utf-8''b.exe\nContent-Type: a/b; name=c.pdf", "b.exe",
                    ["b.exe", "a.txt", "c.pdf"]),
    "folded": ("\n\tfilename=\n \"a.txt\"", "a.txt", []),
    "a hundred thousand": ("x=y; " * 100_000 + "filename=late.exe", "", []),
}


@pytest.mark.parametrize("story", PARAMETERS)
def test_m08_parameters(story: str) -> None:
    """Every candidate is kept, one is chosen."""
    written, name, candidates = PARAMETERS[story]
    session = read(crlf(f"Content-Disposition: attachment; {written}\n\nx"))
    (part,) = session.parts()
    assert part["filename"] == name
    assert list(part.get("candidates", {}).get("filename", ())) == candidates


WORDS = {
    "=?utf-8?b?Li4vLi4v?=": "../../",
    "=?x?q?=0d=0aBcc:_e?=": "\r\nBcc: e",
    "=?utf-8?q?=00?=": "\0",
    "=?utf-8?q?a?= =?utf-8?q?b?=": "ab",
    "=?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3F=3D?=": "=?utf-8?q?x?=",
    "=?x-none?q?=E9?=": "\\xe9",
}


@pytest.mark.parametrize("word", WORDS)
def test_m09_words_that_hide_something(word: str) -> None:
    """Decoded for the plugins; on its way to people and programs nothing of it ends a line."""
    from inspector import sanitise

    session = read(f"Subject: {word}\r\n\r\nhello".encode())
    assert session.told()["subject"] == WORDS[word]
    assert sanitise(WORDS[word]).isprintable()
    assert not session.told()["addresses"]


@pytest.mark.timeout(60)
def test_m09_words_that_never_end() -> None:
    session = read(b"Subject: " + b"=?utf-8?q?" * 60_000 + b"\r\n\r\nhello")
    assert len(session.told()["subject"]) <= limits.TEXT


ENCODED = {
    "padding in the middle": ("base64", "QQ==QUJD", b"AABC"),
    "junk": ("base64", "Q*U#J$D", b"ABC"),
    "no padding": ("base64", "QUI", b"AB"),
    "two streams": ("base64", "QUI=\r\nQUJD", b"ABABC"),
    "no hexadecimal": ("quoted-printable", "=ZZ", b"=ZZ"),
    "a soft break at the end": ("quoted-printable", "a=", b"a"),
}


@pytest.mark.parametrize("story", ENCODED)
def test_m10_broken_encodings(story: str) -> None:
    encoding, written, decoded = ENCODED[story]
    for pieces in cuttings(f"Content-Transfer-Encoding: {encoding}\r\n\r\n{written}".encode()):
        assert octets(read(pieces)) == [decoded]


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "x-uuencode", "7bit"])
@pytest.mark.timeout(60)
def test_m10_fifty_megabytes_on_a_line(encoding: str) -> None:
    """Taken as it comes, nothing is kept of it."""
    session = Deaf()
    stream([f"Content-Transfer-Encoding: {encoding}\r\n\r\n".encode(), *repeat(b"QUJD" * 16_384, 800)], session)
    (part,) = session.parts()
    if encoding != "x-uuencode":
        assert part["size"] == 800 * 65_536 * 3 // 4 if encoding == "base64" else 800 * 65_536


ENCODINGS = {
    '"base64"': ("QUJD", [b"ABC"], "odd_encoding"),
    "base64 (x)": ("QUJD", [b"ABC"], "odd_encoding"),
    "x-uuencode": ("begin 644 a\r\n#04)#\r\n`\r\nend\r\n", [b"ABC"], ""),
    "x-none": ("QUJD", [b"QUJD"], "unknown_encoding"),
}


@pytest.mark.parametrize("written", ENCODINGS)
def test_m11_encodings_as_few_write_them(written: str) -> None:
    body, decoded, told = ENCODINGS[written]
    session = read(f"Content-Transfer-Encoding: {written}\r\n\r\n{body}".encode())
    assert octets(session) == decoded
    assert anomalies(session) == ({told} if told else set())


def test_m11_a_multipart_that_claims_to_be_encoded() -> None:
    session = read(crlf("Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: base64\n\n--b\n\none\n--b--\n"))
    assert octets(session) == [b"one"]
    assert anomalies(session) == {"encoded_multipart"}


@pytest.mark.parametrize("charset", ["utf-7", "idna", "unicode_escape", "zlib_codec", "rot13", "punycode"])
def test_m12_only_character_sets_are_decoded(charset: str) -> None:
    """What Python has codecs for beside them is not."""
    session = read(f"Subject: =?{charset}?q?+ADw-\\x41xn--?=\r\nContent-Type: text/plain; charset={charset}\r\n\r\nx".encode())
    assert session.told()["subject"] == "+ADw-\\x41xn--"
    assert anomalies(session) == {"unknown_charset"}


@pytest.mark.timeout(30)
def test_m12_the_quadratic_one() -> None:
    assert read(b"Subject: =?idna?q?" + b"x" * 60_000 + b"?=\r\n\r\n").told()["subject"]


@pytest.mark.parametrize("line", ["Parse: x", "__class__: x", "__init__: x", "no colon", " \t ", ": x", "a b: x", "x\ry: z"])
def test_m13_names_of_fields_are_data(line: str) -> None:
    """Nothing is called by them, and what follows is read."""
    for pieces in cuttings(f"From: a@b\r\n{line}\r\nSubject: hello\r\n\r\nbody".encode()):
        session = read(pieces)
        assert session.told()["subject"] == "hello"
        assert octets(session) == [b"body"]


CONTAINERS = {
    "uuencode": b"\r\nbegin 644 ../../x\r\n#04)#\r\n`\r\nend\r\n",
    "external": b"Content-Type: message/external-body; access-type=url; URL=\"http://192.0.2.1/x\"\r\n\r\n\r\n",
    "external file": b"Content-Type: message/external-body; access-type=local-file; name=\"/etc/passwd\"\r\n\r\n\r\n",
    "zip": b"Content-Type: application/zip; name=x.zip\r\nContent-Transfer-Encoding: base64\r\n\r\nUEsDBAoAAAAA\r\n",
    "gzip": b"Content-Type: application/gzip; name=x.gz\r\nContent-Transfer-Encoding: base64\r\n\r\nH4sIAAAAAAAA\r\n",
    "tnef": b"Content-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\neJ8+IgAA\r\n",
}

AUDITED = """
import sys
seen = []
WATCHED = ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.system")
def audit(event, arguments):
    if event in WATCHED or event == "open" and ("etc/passwd" in str(arguments[0]) or arguments[1] not in (None, "r", "rb")):
        seen.append((event, str(arguments)))
from mime_kit import read
import mailspy_mime.scanner
data = sys.stdin.buffer.read()
read(data)
sys.addaudithook(audit)
session = read(data)
print(len(session.parts()), seen)
"""


@pytest.mark.parametrize("story", CONTAINERS)
def test_m14_nothing_is_unpacked_or_fetched(story: str) -> None:
    """No file is written, no name resolved, no connection made, no process begun."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), *sys.path])
    run = subprocess.run([sys.executable, "-c", AUDITED], input=CONTAINERS[story], capture_output=True, check=False,
                         env={**os.environ, "PYTHONPATH": path})
    assert run.returncode == 0, run.stderr.decode()
    count, _, seen = run.stdout.decode().strip().partition(" ")
    assert int(count) >= 1
    assert seen == "[]"
