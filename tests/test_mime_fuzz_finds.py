"""What fuzzing found, each once."""

from __future__ import annotations

import pytest
from mime_kit import cuttings, read

FINDS = {
    "a label of a character set that is no text": b'Content-Type: text/plain; name="=?u\xff-8?q?=41?="\r\n\r\n',
    "an escape that is none before a soft break": b"Content-Transfer-Encoding: quoted-printable\r\n\r\n=ZZ=\rx\nb",
    "what looks like an escape in what a soft break drops":
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=\rdropped=:\nb",
    "a soft break at a CR alone": b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=\rdropped\nb",
    "the same as a parameter": b'Content-Type: text/plain; charset="\xff"\r\n\r\n',
}


@pytest.mark.parametrize("find", FINDS)
def test_nothing_raises_and_the_cutting_does_not_matter(find: str) -> None:
    """Whole, byte by byte, and at random."""
    first, *others = [read(pieces) for pieces in cuttings(FINDS[find])]
    for other in others:
        assert other.everything() == first.everything()
