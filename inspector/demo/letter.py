"""The sheet's message to natkin, with publi.doc, as the sheet prints it (III.4).

The sheet's page layout has broken its lines and escaped its underscores; both are undone here.  Its base64 is an excerpt of a
Word file: 174 characters, which `==` completes.

Knows one message.  Must not know who sends it.
"""

from __future__ import annotations

import base64
from typing import Final

BOUNDARY: Final = "MS_Mac_OE_3074340399_15662732_MIME_Part"

PUBLI_BASE64: Final = (
    "0M8R4KGxGuEAAAAAAAAAAAAAAAAAAAAAPgADAP7/CQAGAAAAAAAAAAAAAAAAABAAAARQAAAA",
    "AAAAEAAARwAAAAEAAAD+////AAAAEQAAAD//////////////////////////////////////",
    "//////////////////////////////==",
)
"""The attachment on the wire: 72 characters a line, as the sheet's Outlook Express wrote them."""

PUBLI: Final = base64.b64decode("".join(PUBLI_BASE64))
"""publi.doc: 130 octets, beginning with the signature of an OLE file, D0 CF 11 E0 A1 B1 1A E1."""

_LINES: Final = (
    "X-Mailer: Microsoft Outlook Express Macintosh Edition - 4.5",
    " (0410)",
    "Date: Sat, 02 Jun 2001 15:26:38 +0200",
    "Subject: Publi",
    'From: "gerard" <gerard@cnam.fr>',
    "To: natkin@cnam.fr",
    "Mime-version: 1.0",
    "X-Priority: 3",
    "Content-type: multipart/mixed;",
    f' boundary="{BOUNDARY}"',
    "",
    f"--{BOUNDARY}",
    'Content-type: text/plain; charset="ISO-8859-1"',
    "Content-transfer-encoding: quoted-printable",
    "",
    "Ci joint les publications.",
    "--",
    "G=E9rard Florin",
    "",
    f"--{BOUNDARY}",
    'Content-type: application/msword; name="publi.doc";',
    ' x-mac-creator="4D535744";',
    ' x-mac-type="5738424E"',
    "Content-disposition: attachment",
    "Content-transfer-encoding: base64",
    "",
    *PUBLI_BASE64,
    "",
    f"--{BOUNDARY}--",
)

LETTER: Final = "".join(f"{line}\r\n" for line in _LINES).encode("ascii")
"""The message as it crosses, before dot-stuffing."""

STATED_OCTETS: Final = 600
"""What the sheet's server says that the message measures.  It is longer; no count decides anything in mailspy."""
