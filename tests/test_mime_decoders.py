"""Decoders in any cutting, against the standard library on all that is well formed."""

from __future__ import annotations

import base64
import binascii
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailspy_mime.decoders import Base64, Decoder, QuotedPrintable
from mime_kit import cut, cuttings


def decode(make: Callable[[], Decoder], pieces: list[bytes]) -> bytes:
    decoder = make()
    return b"".join([*map(decoder.feed, pieces), decoder.finish()])


@given(st.binary(max_size=5000), st.integers(1, 200), st.sampled_from([b"\r\n", b"\n", b"", b"\r\n \t"]), st.randoms())
def test_base64_gives_back_what_was_encoded(data: bytes, width: int, end: bytes, dice: random.Random) -> None:
    text = base64.b64encode(data)
    lines = b"".join(text[place:place + width] + end for place in range(0, len(text), width))
    assert decode(Base64, cut(lines, dice)) == data
    assert decode(Base64, cut(lines.replace(b"=", b""), dice)) == data


@given(st.lists(st.sampled_from([b"QUJD", b"Q", b"QQ", b"=", b"==", b"\r\n", b"-", b"\xff", b" ", b"QUJDQUJD\r\n"])),
       st.randoms())
def test_base64_does_not_depend_on_the_cutting(atoms: list[bytes], dice: random.Random) -> None:
    data = b"".join(atoms)
    first, *others = [decode(Base64, pieces) for pieces in (*cuttings(data), cut(data, dice))]
    assert all(other == first for other in others)


@pytest.mark.parametrize(("text", "octets"), [
    (b"QUJD", b"ABC"), (b"QUI=", b"AB"), (b"QUI", b"AB"), (b"QQ==QQ==", b"AA"), (b"QUI=QUJD", b"ABABC"),
    (b"Q", b""), (b"====", b""), (b"QU-JD", b"ABC"), (b"QUJD=QUJD", b"ABCABC"), (b"Q=QUJD", b"ABC"),
])
def test_base64_that_is_not_well_formed(text: bytes, octets: bytes) -> None:
    for pieces in cuttings(text):
        assert decode(Base64, pieces) == octets


@given(st.binary(max_size=3000), st.randoms())
def test_quoted_printable_gives_back_what_was_encoded(data: bytes, dice: random.Random) -> None:
    data = data.replace(b"\r", b"").replace(b"\n", b"\r\n")
    text = binascii.b2a_qp(data, istext=True)
    assert decode(QuotedPrintable, cut(text, dice)) == data


@given(st.lists(st.sampled_from([b"=", b"==", b"\r", b"\n", b"\r\n", b"=41", b"=4", b"A", b" ", b"=\r\n", b"=zz"])),
       st.randoms())
def test_quoted_printable_is_read_as_the_standard_library_does(atoms: list[bytes], dice: random.Random) -> None:
    data = b"".join(atoms)
    for pieces in (*cuttings(data), cut(data, dice)):
        assert decode(QuotedPrintable, pieces) == binascii.a2b_qp(data)
