"""Files that are written into texts: uuencode and yEnc, declared or not."""

from __future__ import annotations

import binascii
import random
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailspy_mime import needle
from mailspy_mime.embedded import Embedded
from mailspy_mime.limits import LINE, ODD_LINES
from mime_kit import crlf, cuttings, read

CAT = bytes(range(256)) * 3 + b"tail"


def uuencoded(data: bytes, name: str = "cat.jpg") -> bytes:
    lines = [binascii.b2a_uu(data[place:place + 45], backtick=True) for place in range(0, len(data), 45)]
    return f"begin 644 {name}\n".encode() + b"".join(lines) + b"`\nend\n"


def yencoded(data: bytes, name: str = "cat.jpg", part: str = "") -> bytes:
    letters = bytearray()
    lines = [b""]
    for octet in data:
        letter = (octet + 42) % 256
        lines[-1] += bytes([61, (letter + 64) % 256]) if letter in b"\0\r\n=." else bytes([letter])
        if len(lines[-1]) >= 128:
            lines.append(b"")
    del letters
    begin = f"=ybegin {part}line=128 size={len(data)} name={name}\r\n"
    begin += "=ypart begin=1 end=772\r\n" if part else ""
    end = f"\r\n=yend size={len(data)} {'p' if part else ''}crc32={crc32(data):08x}\r\n"
    return begin.encode() + b"\r\n".join(lines) + end.encode()


TEXTS = {
    "uuencode": (uuencoded(CAT).replace(b"\n", b"\r\n"), "x-uuencode"),
    "uuencode with LF": (uuencoded(CAT), "x-uuencode"),
    "uuencode with blanks": (uuencoded(CAT).replace(b"`", b" "), "x-uuencode"),
    "uuencode, blanks at the ends lost": (b"\n".join(
        line.replace(b"`", b" ").rstrip() for line in uuencoded(CAT).split(b"\n")), "x-uuencode"),
    "yEnc": (yencoded(CAT), "x-yenc"),
    "yEnc in parts": (yencoded(CAT, part="part=1 total=1 "), "x-yenc"),
}


@pytest.mark.parametrize("story", TEXTS)
def test_a_file_in_a_text_is_a_part(story: str) -> None:
    """The text stays as it is; the file is a part with its name, whatever the cutting."""
    encoded, encoding = TEXTS[story]
    text = b"Look:\r\n" + encoded + b"Nice, isn't it?\r\nbegin with this.\r\nbegin 1999\r\nend\r\n"
    for pieces in cuttings(b"Subject: x\r\n\r\n" + text):
        message = read(pieces)
        file, whole = message.parts()
        assert (file["part"], file["filename"], file["encoding"], file["complete"]) == ("1.1", "cat.jpg", encoding, True)
        assert message.sinks["1.1"].data == CAT
        assert (whole["part"], message.sinks["1"].data) == ("1", text)
        assert message.doubts == []


@pytest.mark.parametrize("story", TEXTS)
def test_a_declared_encoding_is_decoded(story: str) -> None:
    """The file is the part; what stands around it is not."""
    encoded, encoding = TEXTS[story]
    header = f"Content-Type: image/jpeg\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
    for pieces in cuttings(header + b"\r\n" + encoded):
        message = read(pieces)
        (part,) = message.parts()
        assert (part["filename"], part["size"]) == ("cat.jpg", len(CAT))
        assert message.sinks["1"].data == CAT
        assert message.doubts == []


def test_several_files_are_numbered() -> None:
    """In a part that is not the first."""
    data = crlf("Content-Type: multipart/mixed; boundary=x\n\n--x\n\none\n--x\n\n")
    data += uuencoded(b"a", "a") + uuencoded(b"bb", "=?utf-8?q?=C3=A9?=") + yencoded(b"c", "c") + b"\r\n--x--\r\n"
    for pieces in cuttings(data):
        message = read(pieces)
        assert [(part["part"], part["filename"], part["size"]) for part in message.parts()[1:4]] == [
            ("2.1", "a", 1), ("2.2", "é", 2), ("2.3", "c", 1)]


@pytest.mark.parametrize("text", [
    "begin 644 the work\nas soon as you can\n", "begin 644 x\n\x7f\n", "begin 64 x\nend\n", "begin  644 x\nend\n",
    "begin 644 \nend\n",
    "we begin 644 x\nend\n", ">begin 644 x\nend\n", "begin 644 x", "=ybegi", " =ybegin line=1 name=x\n", "=begin 644 x\nend\n",
    "begin",
])
def test_words_are_no_file(text: str) -> None:
    """A line that begins so is a beginning only when lines of the encoding follow."""
    for pieces in cuttings(b"\r\n" + text.encode() + b"end\r\n"):
        message = read(pieces)
        assert [part["part"] for part in message.parts()] == ["1"]


def test_what_is_broken_is_decoded_as_far_as_it_goes() -> None:
    """No end; a line of something else; a sum that is wrong."""
    no_end = uuencoded(CAT)[:-5]
    for pieces in cuttings(b"\r\n" + no_end):
        message = read(pieces)
        assert not message.parts()[0]["complete"]
        assert message.sinks["1.1"].data == CAT
    odd = uuencoded(b"a" * 45) .replace(b"`\n", b"\xff\xff\xff\n" + b"M" * (LINE + 10) + b"\n#86)C\n")
    for pieces in cuttings(b"Content-Transfer-Encoding: uuencode\r\n\r\n" + odd):
        message = read(pieces)
        assert [name for name, _ in message.doubts] == ["broken_encoding"]
        assert message.sinks["1"].data == b"a" * 45 + b"abc"
    wrong = yencoded(CAT).replace(f"{crc32(CAT):08x}".encode(), b"00000000")
    for pieces in cuttings(b"\r\n" + wrong):
        message = read(pieces)
        assert not message.parts()[0]["complete"]
        assert message.sinks["1.1"].data == CAT


def test_a_declared_encoding_without_a_file_is_broken() -> None:
    """Nothing is made up."""
    message = read(b"Content-Transfer-Encoding: x-uuencode\r\n\r\nhello\r\n")
    assert [name for name, _ in message.doubts] == ["broken_encoding"]
    assert message.sinks["1"].data == b""


def test_odd_lines_are_read_up_to_a_limit() -> None:
    """A hostile file of short lines costs a bounded time."""
    data = b"begin 644 x\n" + b"!80  \n" * (ODD_LINES + 10) + b"end\n"
    message = read(b"\r\n" + data)
    assert len(message.sinks["1.1"].data) == ODD_LINES
    assert not message.parts()[0]["complete"]


@given(st.lists(st.sampled_from([
    b"begin 644 x", b"begin ", b"=ybegin line=1 name=a", b"=ypart begin=1", b"=yend size=1 crc32=1", b"end", b"`",
    b"#86)C", b"\r\n", b"\n",
    b"=y", b"=", b"M" + b"A" * 60, b"b", b"A" * LINE, b"A" * (LINE - 1), b"x"])), st.randoms(use_true_random=False))
def test_the_cutting_does_not_matter(tokens: list[bytes], dice: object) -> None:
    """Whole, byte by byte, and in two."""
    data = b"".join(tokens)
    whole = pieces_of([data])
    assert pieces_of([data[place:place + 1] for place in range(len(data))]) == whole
    middle = dice.randrange(len(data) + 1)  # type: ignore[attr-defined]
    assert pieces_of([data[:middle], data[middle:]]) == whole


def pieces_of(feeds: list[bytes]) -> list[object]:
    """The files found, their octets joined."""
    embedded = Embedded()
    found: list[list[object]] = []
    pieces = [piece for data in feeds if data for piece in embedded.feed(data)] + embedded.finish()
    for piece in pieces:
        if piece.encoding:
            found.append([piece.encoding, piece.name, b"", None])
        elif piece.complete is None:
            found[-1][2] += piece.octets  # type: ignore[operator]
        else:
            found[-1][3] = piece.complete
    return list(found)


# The search for a beginning


@pytest.mark.parametrize("size", [0, 5, needle.LARGE - 1, needle.LARGE, 100_000])
def test_a_needle_is_found_wherever_it_is(size: int) -> None:
    """By the C library as by Python, whatever is around it, NUL octets too."""
    dice = random.Random(size)
    hay, holds = bytes(dice.choice(b"begin \0\n") for _ in range(size)).replace(b"begin ", b"begun "), needle.make(b"begin ")
    assert not holds(hay)
    for place in (0, size // 2, size):
        assert holds(hay[:place] + b"begin " + hay[place:])
    assert not holds(hay + b"begin")


def test_a_c_library_without_it(monkeypatch) -> None:
    def none(_: None) -> None:
        raise OSError

    monkeypatch.setattr(needle.ctypes, "CDLL", none)
    holds = needle.make(b"begin ")
    assert holds(b"x" * needle.LARGE + b"begin ")
    assert not holds(b"x" * needle.LARGE)
