"""Messages for the tests, with CRLF at the end of each line."""

from __future__ import annotations

from typing import Final


def message(subject: str, *lines: str | bytes, sender: str = "michel@cnam.example") -> bytes:
    """A message with that subject and these lines."""
    head = [f"From: {sender}", "To: pierre@cnam.example", "Date: Sat, 02 Jun 2001 15:26:38 +0200",
            f"Message-ID: <{subject.replace(' ', '.')}@cnam.example>", f"Subject: {subject}"]
    body = [line.encode() if isinstance(line, str) else line for line in lines]
    return b"".join(line + b"\r\n" for line in [*map(str.encode, head), b"", *body])


SHEET: Final = b"\r\n".join([
    b"X-Mailer: Microsoft Outlook Express Macintosh Edition - 4.5 (0410)",
    b"Date: Sat, 02 Jun 2001 15:26:38 +0200",
    b"Subject: Publi",
    b'From: "gerard" <gerard@cnam.fr>',
    b"To: natkin@cnam.fr",
    b"Mime-version: 1.0",
    b"X-Priority: 3",
    b"Content-type: multipart/mixed;",
    b' boundary="MS_Mac_OE_3074340399_15662732_MIME_Part"',
    b"",
    b"--MS_Mac_OE_3074340399_15662732_MIME_Part",
    b'Content-type: text/plain; charset="ISO-8859-1"',
    b"Content-transfer-encoding: quoted-printable",
    b"",
    b"Ci joint les publications.",
    b"--",
    b"G=E9rard Florin",
    b"--MS_Mac_OE_3074340399_15662732_MIME_Part",
    b'Content-type: application/msword; name="publi.doc";',
    b' x-mac-creator="4D535744";',
    b' x-mac-type="5738424E"',
    b"Content-disposition: attachment",
    b"Content-transfer-encoding: base64",
    b"",
    b"0M8R4KGxGuEAAAAAAAAAAAAAAAAAAAAAPgADAP7/CQAGAAAAAAAAAAAAAAAAABAAAARQAAAA",
    b"AAAAEAAARwAAAAEAAAD+////AAAAEQAAAD//////////////////////////////////////",
    b"--MS_Mac_OE_3074340399_15662732_MIME_Part--",
    b"",
])
"""The message of the exercise sheet, its line folding repaired."""

DOTS: Final = message("dots", ".", "..", ".x", "...", "", ". ", "a.", "From here on", ".")
"""Lines that begin with dots, and one that is a dot and ends the message."""

EIGHT_BIT: Final = message("eight bit", "Réponse à Gérard", b"\xe9t\xe9 \x80\x9b\xff")
"""UTF-8, and octets that are not."""

LONG: Final = message("long", *("x" * 990 for _ in range(200)))
"""200 kB in lines as long as they may be."""

EMPTY: Final = message("empty")
"""No line after the header."""

MAILDROP: Final = (SHEET, DOTS, EIGHT_BIT, LONG, EMPTY)
