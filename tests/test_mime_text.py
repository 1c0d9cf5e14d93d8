"""Text parts as text, whatever the cutting."""

from __future__ import annotations

import pytest
from mailspy_mime import TextSink
from mailspy_mime.words import to_text
from mime_kit import cuttings

TEXTS = {
    "utf-8": ("utf-8", "Où est l'été ? 🙂\r\n".encode(), "Où est l'été ? 🙂\r\n"),
    "iso-8859-1": ("ISO-8859-1", b"l'\xe9t\xe9", "l'été"),
    "shift_jis": ("Shift_JIS", "日本語".encode("shift_jis"), "日本語"),
    "iso-2022-jp": ("iso-2022-jp", "日本語 a".encode("iso-2022-jp"), "日本語 a"),
    "utf-16": ("utf-16le", "été🙂".encode("utf-16-le"), "été🙂"),
    "what does not belong": ("utf-8", b"a\xffb", "a\ufffdb"),
    "half a character": ("utf-8", b"a\xc3", "a\ufffd"),
    "an unknown set": ("x-none", b"\xc3\xa9\xff", "é\\xff"),
    "no set": ("", b"\xc3\xa9\xff", "é\\xff"),
    "a codec of Python that is no character set": ("unicode_escape", b"\\x41", "\\x41"),
    "UTF-7": ("utf-7", b"+ADw-script", "+ADw-script"),
    "nothing": ("utf-8", b"", ""),
}


@pytest.mark.parametrize("story", TEXTS)
def test_octets_become_text(story: str) -> None:
    charset, octets, text = TEXTS[story]
    assert to_text(octets, charset) == text
    for pieces in cuttings(octets):
        told: list[str] = []
        sink = TextSink(charset, told.append)
        for piece in pieces:
            sink.feed(piece)
        sink.close(True)
        assert "".join(told) == text
        assert all(told)
