"""Names on disk: whatever a sender calls a file, its name is harmless, and it stays in the folder (hostile cases F01 to F03)."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailspy_attachments import limits
from mailspy_attachments.names import slug

HARMLESS = re.compile(r"\w(?:[\w-]{0,62}\w)?(?:\.[A-Za-z0-9]{1,16})?", re.ASCII)
"""What every slug is."""


@pytest.mark.parametrize(("name", "expected"), [
    ("../../etc/cron.d/x", "x"), ("/etc/passwd", "passwd"), (r"..\..\x.exe", "x.exe"), ("\x00", "unnamed.pdf"),
    (".", "unnamed.pdf"), ("..", "unnamed.pdf"), ("~", "unnamed"), ("-rf", "rf"), (".bashrc", "unnamed.bashrc"),
    ("CON", "CON"), ("aux.txt", "aux.txt"), ("a:b", "a-b"), ("foo. ", "foo"), ("a" * 300, "a" * 64),
    ("a" * 300 + ".pdf", "a" * 64 + ".pdf"), ("invoice\u202excod.exe", "invoicexcod.exe"),
    ("a\u200bb.pdf", "ab.pdf"), ("．．／x", "x"), ("a.pdf      .exe", "a-pdf.exe"), ("a.pdf\u202e", "a.pdf"),
    ("ｅｘｅ．ｅｘｅ", "exe.exe"), ("été.pdf", "ete.pdf"), ("日本.doc", "unnamed.doc"), ("a.tar.gz", "a-tar.gz"),
    ("a.\u2029b", "a.b"), ("a.日本", "a"), ("a.b c", "a-b-c"), ("a\r\nb.txt", "ab.txt"), ("\x1b[2J.txt", "2J.txt"),
    ("", "unnamed.pdf"), ("a" * 63 + " b.pdf", "a" * 63 + ".pdf"),
])
def test_slugs(name: str, expected: str) -> None:
    assert slug(name, "application/pdf") == expected


@given(st.text() | st.text("./\\ \u202e．／~-\x00aA1:"), st.text(max_size=5))
def test_a_slug_is_harmless(name: str, content_type: str) -> None:
    made = slug(name, content_type)
    assert made.isascii()
    assert 0 < len(made) <= limits.SLUG + 1 + limits.EXTENSION
    assert made.replace(".", "", 1).replace("-", "").replace("_", "").isalnum() or set(made) <= set("-_.")
    assert not made.startswith((".", "-"))
    assert not made.endswith((".", "-"))


PIECES = ("..", "../", "..\\", "/", "\\", "\x00", ".", "~", "-", "-rf", " ", "\u202e", "\u200b", "\ufeff", "．．／",
          "\u2024", "\uff0e", "\uff0f", "\u2215", "\u29f5", "\ud800", "\udcff", "CON", "aux", "nul.txt", "a:b", "C:",
          "%2e%2e%2f", "etc/passwd", "authorized_keys", ".bashrc", "é", "e\u0301" * 9, "日本",
          "\U0001f468\u200d\U0001f469", "ﬁ", "\r\n", "\x1b[2J", "\x7f", "\x85", "$(id)", "`id`", "|", ";", "&", "*",
          "?", "\"", "'", "<", ">", "a" * 70, ".exe", ".pdf", ".tar.gz", "_", "x", "0", "…", "½", "\u2105", "\u00a0",
          "\u2028", "\U000e0041", "．exe", ".ｅｘｅ", "..exe", "www", "\t", ".json", "İ", "ß")
"""What hostile names are made of."""


@pytest.mark.slow
def test_a_million_names_are_harmless() -> None:
    dice = random.Random(20260923)
    choose, pick = dice.choices, dice.random
    for _ in range(1_000_000):
        name = "".join(choose(PIECES, k=1 + int(pick() * 4)))
        made = slug(name, "a/b")
        if not HARMLESS.fullmatch(made):
            pytest.fail(f"{name!r} became {made!r}")
