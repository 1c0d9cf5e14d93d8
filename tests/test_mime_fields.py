"""Values of header fields: parameters, encoded words, names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailspy_mime import limits
from mailspy_mime.entity import describe
from mailspy_mime.fields import read, unfold
from mailspy_mime.parameters import decoded, parse
from mailspy_mime.words import text


def name_of(disposition: str, content_type: str = "application/octet-stream") -> str:
    return describe({"content-disposition": disposition, "content-type": content_type}, "text/plain").filename


@pytest.mark.parametrize(("value", "name"), [
    ("attachment; filename=a.pdf", "a.pdf"),
    ('attachment; filename="a b.pdf"', "a b.pdf"),
    ("attachment; filename=a b.pdf ; size=3", "a b.pdf"),
    ('attachment; filename="a;b.pdf"; x=y', "a;b.pdf"),
    (r'attachment; filename="C:\dir\a \"b\".pdf"', r'C:\dir\a "b".pdf'),
    ("attachment;filename = a.pdf", "a.pdf"),
    ("attachment; FileName=a.pdf", "a.pdf"),
    ("attachment; filename=report(1).pdf", "report(1).pdf"),
    ('attachment (a comment; filename=no) ; filename="(kept).pdf"', "(kept).pdf"),
    ('attachment; (nested (twice) \\) "x) filename=a.pdf', "a.pdf"),
    ('attachment; filename="unclosed.pdf', "unclosed.pdf"),
    ("attachment; filename*=utf-8''%e2%82%ac%20rates.pdf", "€ rates.pdf"),
    ("attachment; filename=fallback.pdf; filename*=iso-8859-1'en'%A3.pdf", "£.pdf"),
    ("attachment; filename*0*=us-ascii'en'a%20; filename*1=b%20; filename*2*=c%21.pdf", "a b%20c!.pdf"),
    ("attachment; filename*0=a; filename*1=b; filename*3=d", "ab"),
    ("attachment; filename*=%41.pdf", "A.pdf"),
    ("attachment; filename*=nonsense'x'%ff.pdf", "\\xff.pdf"),
    ('attachment; filename="=?utf-8?b?w6k=?=.pdf"', "é.pdf"),
    ("attachment; filename=", ""),
    ("attachment", ""),
])
def test_file_names(value: str, name: str) -> None:
    assert name_of(value) == name


def test_the_name_of_the_content_type_stands_in() -> None:
    assert name_of("inline", 'image/png; name="=?iso-8859-1?q?=E9t=E9?=.png"') == "été.png"
    assert name_of("inline; filename=b", "image/png; name=a") == "b"


def test_raw_eight_bit_names() -> None:
    block = b'\nContent-Disposition: attachment; filename="\xc3\xa9.pdf"\r\nContent-Type: a/b; name="\xe9"'
    assert describe(read(block), "text/plain").filename == "é.pdf"
    assert describe(read(b'\nContent-Type: a/b; name="\xe9"'), "text/plain").filename == "\\xe9"


@pytest.mark.parametrize(("value", "shown"), [
    ("plain", "plain"),
    ("=?utf-8?q?a_b?= =?utf-8?q?c?=", "a bc"),
    ("=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),
    ("a =?utf-8?q?b?= c", "a b c"),
    ("=?utf-8?q?a?= x =?utf-8?q?b?=", "a x b"),
    ("=?iso-8859-1?q?=E9?= =?utf-8?q?=C3=A9?=", "éé"),
    ("=?utf-8*fr?q?a?=", "a"),
    ("=?UTF-7?q?+AGE-?=", "+AGE-"),
    ("=?idna?q?xn--a?=", "xn--a"),
    ("=?utf-8?b?!!!?=", ""),
    ("=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
    ("=?utf-8?q?unterminated", "=?utf-8?q?unterminated"),
    ("=?", "=?"),
    ("=?shift_jis?b?k/qWew==?=", "日本"),
])
def test_encoded_words(value: str, shown: str) -> None:
    assert text(value) == shown


@pytest.mark.parametrize(("value", "content_type"), [
    ("Text/HTML", "text/html"), ("text/plain; charset=x", "text/plain"), ("nonsense", "text/plain"),
    ("", "text/plain"), ("a/b/c", "text/plain"), ("text/html (comment)", "text/html"),
])
def test_content_types(value: str, content_type: str) -> None:
    assert describe({"content-type": value}, "text/plain").content_type == content_type


@pytest.mark.parametrize("value", ["base64", "BASE64", '"base64"', "base64 (x)", " base64 ", "base64;x"])
def test_encodings(value: str) -> None:
    assert describe({"content-transfer-encoding": value}, "text/plain").encoding == "base64"


def test_of_fields_and_parameters_given_twice_the_first_counts() -> None:
    assert read(b"\nSubject: a\r\nsubject: b") == {"subject": "a"}
    assert parse("a; x=1; X=2")[1] == {"x": "1"}


def test_folded_fields_are_unfolded() -> None:
    assert unfold(read(b"\nSubject: a\r\n b\r\n\tc\r\nX: y")["subject"]) == "a b\tc"


def test_values_are_bounded() -> None:
    assert len(name_of(f"attachment; filename={'a' * 5000}")) == limits.NAME
    assert len(parse("a" + "".join(f"; p{n}=x" for n in range(5000)))[1]) == limits.PARAMETERS


@given(st.text() | st.from_regex(r'[a;=*"()\\0-9\' %?q]+'))
def test_nothing_raises(value: str) -> None:
    value = value.encode("utf-8", "replace").decode()
    describe({"content-type": "multipart/" + value, "content-disposition": value,
              "content-transfer-encoding": value}, "text/plain")
    text(value)
    decoded(parse(value)[1], "a")
    for word in ("=?utf-8?q?" + value, "=?" + value + "?b?" + value + "?="):
        text(word)
