"""Messages as transcripts, each in five cuttings, against the parts and hashes expected."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

import pytest
from mailspy_mime import limits
from mime_kit import Listener, crlf, cuttings, read

PLAIN = crlf("""\
Return-Path: <bounce@example.org>
Message-ID: <1@example.org>
Date: Mon, 23 Nov 2026 10:00:00 +0100
From: Alice <alice@example.org>
To: Bob <bob@example.net>,
 Carol <carol@example.net>
Subject: =?utf-8?q?d=C3=A9j=C3=A0?= =?utf-8?q?_vu?=

Hello.
""")

MIXED = crlf("""\
From: alice@example.org
Subject: Report
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="=_b (1)"

This preamble is for nobody.
--=_b (1)
Content-Type: text/plain; charset=ISO-8859-1
Content-Transfer-Encoding: quoted-printable

caf=E9 =
noir
--=_b (1)BLANK
Content-Type: application/pdf; name=old.pdf
Content-Disposition: attachment;
\tfilename*0*=utf-8'fr'r%C3%A9su;
\tfilename*1="m\\"e.pdf"
Content-Transfer-Encoding: BASE64

JVBERi0xLjQKJeLjz9MK
JVBERi0=
--=_b (1)--
This epilogue neither.
--=_b (1)
Not a part.
""").replace(b"BLANK", b" \t")

NESTED = crlf("""\
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: multipart/alternative; boundary=bb

--bb

plain
--bb
Content-Type: text/html

<p>html</p>
--bb--
--b
Content-Type: message/rfc822

Subject: inner
Content-Type: multipart/digest; boundary=d

--d

From: one

first
--d
Content-Type: text/plain

second
--b
Content-Type: message/rfc822
Content-Disposition: inline

Subject: single

alone
--b--
""")


def pdf() -> bytes:
    return b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n%PDF-"


def in_all_cuttings(data: bytes, verb: str = "DATA", complete: bool = True) -> Listener:
    first, *others = [read(pieces, verb, complete) for pieces in cuttings(data)]
    for other in others:
        assert other.everything() == first.everything()
    return first


def test_a_message_without_mime_is_one_part() -> None:
    seen = in_all_cuttings(PLAIN)
    assert seen.parts() == [{
        "message": 1, "part": "1", "content_type": "text/plain", "filename": "", "disposition": "", "encoding": "",
        "charset": "", "size": 8, "sha256": sha256(b"Hello.\r\n").hexdigest(), "complete": True,
    }]
    assert seen.sinks["1"].data == b"Hello.\r\n"
    assert seen.told() == {
        "number": 1, "transaction": 1, "verb": "DATA", "size": len(PLAIN), "complete": True,
        "envelope": {"from": "alice@example.org", "to": ["bob@example.net"]},
        "subject": "déjà vu", "message_id": "<1@example.org>", "from": "Alice <alice@example.org>",
        "to": "Bob <bob@example.net>, Carol <carol@example.net>", "date": "Mon, 23 Nov 2026 10:00:00 +0100",
        "date_utc": "2026-11-23T09:00:00Z", "in_reply_to": [], "references": [], "hops": [],
        "addresses": {"from": [{"name": "Alice", "address": "alice@example.org"}],
                      "to": [{"name": "Bob", "address": "bob@example.net"}, {"name": "Carol", "address": "carol@example.net"}]},
    }


def test_a_retrieved_message_has_the_envelope_that_its_header_kept() -> None:
    assert in_all_cuttings(PLAIN, "RETR").told()["envelope"] == {"from": "bounce@example.org", "to": []}


def test_parts_are_decoded_and_named() -> None:
    seen = in_all_cuttings(MIXED)
    text, file = seen.parts()
    assert (text["part"], text["charset"], text["encoding"]) == ("1", "iso-8859-1", "quoted-printable")
    assert seen.sinks["1"].data == b"caf\xe9 noir"
    assert (file["content_type"], file["disposition"], file["encoding"]) == ("application/pdf", "attachment", "base64")
    assert file["filename"] == 'résum"e.pdf'
    assert (file["size"], file["sha256"]) == (len(pdf()), sha256(pdf()).hexdigest())
    assert seen.sinks["2"].data == pdf()


def test_parts_are_numbered_as_imap_does_and_told_as_they_close() -> None:
    seen = in_all_cuttings(NESTED)
    assert [(part["part"], part["content_type"]) for part in seen.parts()] == [
        ("1.1", "text/plain"), ("1.2", "text/html"), ("2.1.1", "text/plain"), ("2.2", "text/plain"),
        ("3.1", "text/plain"),
    ]
    assert [sink.data for sink in seen.sinks.values()] == [b"plain", b"<p>html</p>", b"first", b"second", b"alone"]
    assert seen.told()["subject"] == ""


def test_a_message_cut_short_is_not_complete() -> None:
    seen = in_all_cuttings(MIXED[:MIXED.index(b"JVBERi0=")], complete=False)
    assert [part["complete"] for part in seen.parts()] == [True, False]
    assert seen.told()["complete"] is False
    assert seen.sinks["2"].complete is False
    assert pdf().startswith(seen.sinks["2"].data)


def test_what_top_leaves_open_is_not_complete() -> None:
    seen = in_all_cuttings(MIXED[:MIXED.index(b"JVBERi0=")], "TOP")
    assert [part["complete"] for part in seen.parts()] == [True, False]


@pytest.mark.parametrize("data", [b"", b"\r\n", b"Subject: x", b"Subject: x\r\n", b"Subject: x\r\n\r\n"])
def test_a_message_without_a_body_has_one_empty_part(data: bytes) -> None:
    seen = in_all_cuttings(data)
    assert [part["size"] for part in seen.parts()] == [0]
    assert seen.told()["subject"] == ("x" if data.startswith(b"S") else "")


def test_lines_may_end_in_lf_alone() -> None:
    seen = in_all_cuttings(MIXED.replace(b"\r\n", b"\n"))
    assert [sink.data for sink in seen.sinks.values()] == [b"caf\xe9 noir", pdf()]


@pytest.mark.parametrize(("outer", "inner"), [("b", "bb"), ("bb", "b"), ("b", "b--"), ("x" * 70, "x" * 69)])
def test_the_longest_boundary_that_begins_a_line_counts(outer: str, inner: str) -> None:
    seen = in_all_cuttings(crlf(f"""\
Content-Type: multipart/mixed; boundary="{outer}"

--{outer}
Content-Type: multipart/mixed; boundary="{inner}"

--{inner}

one
--{inner}

two
--{inner}--
--{outer}

three
--{outer}--
"""))
    assert [sink.data for sink in seen.sinks.values()] == [b"one", b"two", b"three"]


def test_a_header_may_end_at_a_delimiter() -> None:
    seen = in_all_cuttings(crlf("""\
Content-Type: multipart/mixed; boundary=b

--b
--b
Content-Type: text/html
--b

third
--b--"""))
    assert [(part["content_type"], part["size"]) for part in seen.parts()] == [
        ("text/plain", 0), ("text/html", 0), ("text/plain", 5)]


INNER = crlf("""\
Subject: inner
Content-Type: multipart/mixed; boundary=i

--i

one
--i
Content-Type: message/rfc822
Content-Transfer-Encoding: quoted-printable

Content-Type: text/html

<p>tw=6F</p>
--i--
""")


def test_an_encoded_message_is_opened() -> None:
    """Its parts are numbered like those of one that is not encoded; its header is not that of the message."""
    header = b"Subject: outer\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n\r\nfirst\r\n--o\r\n"
    header += b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    seen = in_all_cuttings(header + b64encode(INNER) + b"\r\n--o--\r\n")
    assert [(part["part"], part["content_type"]) for part in seen.parts()] == [
        ("1", "text/plain"), ("2.1", "text/plain"), ("2.2.1", "text/html")]
    assert seen.sinks["2.2.1"].data == b"<p>two</p>"
    assert seen.told()["subject"] == "outer"


def test_encoded_messages_within_each_other_are_opened_to_a_depth() -> None:
    data = b"hello"
    for _ in range(2 * limits.ENCLOSED):
        data = (b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
                + data.replace(b"=", b"=3D"))
    seen = in_all_cuttings(data)
    (part,) = seen.parts()
    assert part["content_type"] == "message/rfc822"
    assert part["part"].count(".") == limits.ENCLOSED
    assert [name for name, _ in seen.doubts] == ["mime_limit"]


def test_a_multipart_without_boundary_is_a_leaf() -> None:
    seen = in_all_cuttings(b"Content-Type: multipart/mixed\r\n\r\n--x\r\n")
    assert [(part["content_type"], part["size"]) for part in seen.parts()] == [("multipart/mixed", 5)]


def test_dashes_that_are_no_delimiter_stay_in_the_body() -> None:
    body = b"-- \r\n--\r\n--bo\r\n-\r\n--\r\r\n--bound"
    seen = in_all_cuttings(b"Content-Type: multipart/x; boundary=boundary\r\n\r\n--boundary\r\n\r\n" + body
                           + b"\r\n--boundary--\r\n")
    assert seen.sinks["1"].data == body
