"""What fuzzing found, each once."""

from __future__ import annotations

import base64

import pytest
from mime_kit import cuttings, read

FILES = b"\r\nbegin 644 a\r\n#04)#\r\n`\r\nend\r\nbegin 644 b\r\n#04)#\r\n`\r\nend\r\n"
FINDS = {
    "a label of a character set that is no text": b'Content-Type: text/plain; name="=?u\xff-8?q?=41?="\r\n\r\n',
    "an escape that is none before a soft break": b"Content-Transfer-Encoding: quoted-printable\r\n\r\n=ZZ=\rx\nb",
    "what looks like an escape in what a soft break drops":
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=\rdropped=:\nb",
    "files in a text that is read in two ways": b"Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        + base64.encodebytes(FILES) + FILES,
    "two encodings, one unknown": b"Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: x-odd\r\n\r\n" + FILES,
    "a soft break at a CR alone": b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=\rdropped\nb",
    "the same as a parameter": b'Content-Type: text/plain; charset="\xff"\r\n\r\n',
}


@pytest.mark.parametrize("find", FINDS)
def test_nothing_raises_and_the_cutting_does_not_matter(find: str) -> None:
    """Whole, byte by byte, and at random."""
    first, *others = [read(pieces) for pieces in cuttings(FINDS[find])]
    for other in others:
        assert other.everything() == first.everything()
