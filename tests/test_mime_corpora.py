"""Messages that others wrote, read as others read them: how often mailspy agrees, and where it does not and why.

Needs the folder of corpora; skips where it is absent.
"""

from __future__ import annotations

from hashlib import sha256

import pytest
from corpora import SHARED, Ours, lines, mime4j, ours, references, stalwart

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the corpora of messages are not here")

UTF7 = "UTF-7 is shown as it stands: it is no character set of the Encoding Standard, and hides text from filters"
UU = "the file in the text is the part, as its encoding says; they leave it encoded"
JUNK = "base64 with junk or cut short: we skip the junk and go on, they stop"
BLANKS_END = "a boundary ends before blanks (RFC 2046 §5.1.1: it cannot end with one); they take the blanks for a part of it"
NO_FIELD = "a line that is no field: we go on to the blank line, as MIME-tools and reformime do; they end the header there"
OUTER = "the delimiter of an outer multipart ends the inner ones (RFC 2046 §5.1.2), as Dovecot and MIME-tools read it"
EMPTY = "parts without header and body count, as in Dovecot and MIME-tools"
TWICE = "two fields Content-Type, a multipart and a text: we take the multipart, in which parts may hide; they take the last"
FRAGMENT = "the message ends within base64: we decode the last half group, they drop it"

MIME4J = {
    "frag.msg": FRAGMENT, "multi-frag.msg": FRAGMENT,
    "malformedHeaderStartsBody-nocrlfcrlf.msg": NO_FIELD, "malformedHeaderStartsBody-noheader.msg": NO_FIELD,
    "very-long-boundary.msg": BLANKS_END, "very-very-long-boundary.msg": BLANKS_END, "weird-boundary.msg": BLANKS_END,
}
STALWART = {
    "legacy/001.eml": UTF7, "legacy/034.eml": UTF7, "legacy/017.eml": UU, "legacy/026.eml": UU,
    "malformed/000.eml": EMPTY, "malformed/014.eml": EMPTY, "malformed/012.eml": OUTER, "malformed/021.eml": TWICE,
    "thirdparty/002.eml": JUNK,
}
"""Where we read differently, and why."""


def agree(mine: list[Ours], theirs: list[bytes | str]) -> bool:
    """The same leaves in the same order, with the same octets or text."""
    return len(mine) == len(theirs) and all(map(same, mine, theirs))


def same(one: Ours, other: bytes | str) -> bool:
    """Text is compared without the last line ends; what was not decoded to it, by its octets."""
    if isinstance(other, bytes):
        return one.octets == other
    return lines(one.text) == lines(other) or lines(one.octets.decode("utf-8", "replace")) == lines(other)


def test_mime4j() -> None:
    """Trees and leaves exactly, but for those in the table."""
    different = {path.name for path, leaves in mime4j() if not agree(ours(path.read_bytes()), leaves)}
    assert different <= set(MIME4J)


def test_stalwart() -> None:
    """Leaves exactly, of each message as it is and with the line ends of the wire, but for those in the table."""
    different = {name.removesuffix(" CRLF") for name, message, leaves in stalwart() if not agree(ours(message), leaves)}
    assert different <= set(STALWART)


FLOORS = {
    "mime4j": (0.93, 0.94), "stalwart-mail-parser": (0.96, 0.98), "mikel-mail": (1.0, 1.0), "mimekit": (1.0, 1.0),
    "enmime": (1.0, 1.0), "rspamd": (1.0, 1.0),
}
"""How many messages have the leaves that at least one of three readers finds; and how many leaves that MIME-tools
decodes have the same octets, of messages with the same leaves."""


@pytest.mark.parametrize("corpus", FLOORS)
def test_three_readers(corpus: str) -> None:
    """MIME-tools, reformime and ripmime differ among each other: we are rarely alone."""
    alone, messages, right, leaves = [], 0, 0, 0
    for reference in references(corpus):
        mine = ours(reference.path.read_bytes())
        theirs = [part for part in (reference.readers["mime_tools"] or {}).get("parts", []) if "decoded_sha256" in part]
        types = [part["content-type"] for part in reference.readers["reformime"] or []
                 if not part["content-type"].startswith(("multipart/", "message/rfc822"))]
        messages += 1
        if len(mine) == len(theirs):
            leaves += len(mine)
            right += sum(part["decoded_sha256"] in hashes(one.octets) for one, part in zip(mine, theirs, strict=True))
        elif [one.content_type for one in mine] != types:
            alone.append(reference.path.name)
    structure, octets = FLOORS[corpus]
    print(f"{corpus}: {messages - len(alone)} of {messages} messages, {right} of {leaves} leaves; alone: {alone}")
    assert 1 - len(alone) / messages >= structure, alone
    assert right / leaves >= octets


def hashes(octets: bytes) -> set[str]:
    """MIME-tools ends a text with LF, whatever it ended with."""
    local = octets.replace(b"\r\n", b"\n")
    forms = (octets, octets.removesuffix(b"\r\n") + b"\n", local, local.rstrip(b"\n") + b"\n", local + b"\n")
    return {sha256(form).hexdigest() for form in forms}
