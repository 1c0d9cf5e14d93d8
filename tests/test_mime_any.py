"""Any octets in any cutting give the same findings; well-formed mail is read as the standard library reads it."""

from __future__ import annotations

import email
import email.policy
import random
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mime_kit import cut, cuttings, read

ATOMS = [
    b"\r\n", b"\n", b"\r", b"-", b"--", b"--b", b"--bb", b"--b--", b"--bb--", b"\r\n\r\n", b"=", b"==", b"QUJD", b"Q",
    b"=41", b" ", b"\x00", b"\xff", b": ", b"=\r\n", b"A=", b"Subject: x", b"=?utf-8?q?=41?=",
    b"Content-Type: multipart/mixed; boundary=b\r\n", b"Content-Type: multipart/digest; boundary=bb\r\n",
    b"Content-Type: message/rfc822\r\n", b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"Content-Disposition: attachment; filename*0=a; filename*1*=%41\r\n",
    b"Content-Type: multipart/mixed; boundary=b; boundary=bb\r\n", b"Content-Type: text/plain; charset=utf-8\r\n",
    b"Content-Transfer-Encoding: x-uuencode\r\n", b"Content-Transfer-Encoding: \"base64\"\r\n", b"begin 644 x\r\n", b"#86)C\r\n",
    b"`\r\nend\r\n", b"=ybegin line=1 name=a\r\n", b"=yend size=1\r\n", b"From: a@b\r\n", b"Received: by a; b\r\n",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(ATOMS) | st.binary(max_size=4), max_size=60), st.booleans(), st.randoms())
def test_the_cutting_does_not_matter(atoms: list[bytes], complete: bool, dice: random.Random) -> None:
    data = b"".join(atoms)
    first, *others = [read(pieces, complete=complete) for pieces in (*cuttings(data), cut(data, dice))]
    for other in others:
        assert other.everything() == first.everything()


LINES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=60)
TEXTS = st.lists(LINES, max_size=8).map(lambda lines: "\n".join(lines) + "\n")
FILES = st.tuples(st.binary(max_size=2000), st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1,
                                                   max_size=30))


@st.composite
def messages(draw: st.DrawFn, depth: int = 2) -> EmailMessage:
    """Messages as honest programs write them."""
    message = EmailMessage(email.policy.SMTP)
    message["Subject"] = draw(LINES).strip()
    message["From"] = "alice@example.org"
    message.set_content(draw(TEXTS), cte=draw(st.sampled_from(["8bit", "base64", "quoted-printable"])))
    if draw(st.booleans()):
        message.add_alternative(f"<p>{draw(LINES)}</p>\n", subtype="html")
    for content, name in draw(st.lists(FILES, max_size=3)):
        message.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    if depth and draw(st.booleans()):
        message.add_attachment(draw(messages(depth - 1)))
    return message


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(messages(), st.randoms())
def test_well_formed_messages_are_read_as_the_standard_library_reads_them(message: EmailMessage,
                                                                          dice: random.Random) -> None:
    data = message.as_bytes()
    seen = read(cut(data, dice))
    parsed = email.message_from_bytes(data, policy=email.policy.default)
    leaves = [part for part in parsed.walk() if not part.is_multipart()]
    assert [sink.data for sink in seen.sinks.values()] == [leaf.get_payload(decode=True) for leaf in leaves]
    assert [part["content_type"] for part in seen.parts()] == [leaf.get_content_type() for leaf in leaves]
    assert [part["filename"] for part in seen.parts()] == [leaf.get_filename() or "" for leaf in leaves]
    assert all(part["complete"] for part in seen.parts())
    assert seen.told()["subject"] == parsed["Subject"]
