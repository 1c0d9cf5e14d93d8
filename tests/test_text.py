"""One sanitiser between the wire and every screen, log and file name."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.text import MARKS_IN_A_ROW, decode, sanitise


@pytest.mark.parametrize(("given_text", "shown"), [
    ("plain", "plain"),
    ("tab\there", "tab\\there"),
    ("\x1b]0;PWNED\x07", "\\x1b]0;PWNED\\x07"),
    ("\x9b31m\x7f", "\\x9b31m\\x7f"),
    ("invoice\u202excod.exe", "invoice\\u202excod.exe"),
    ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
    ("\u2028line\u2029", "\\u2028line\\u2029"),
    ("lone \udc80", "lone \\udc80"),
    ("tag \U000e0041", "tag \\U000e0041"),
    ("café – 日本語 😀", "café – 日本語 😀"),
    ("[/foo] :smile: trailing\\", "[/foo] :smile: trailing\\"),
])
def test_what_could_harm_becomes_visible(given_text: str, shown: str) -> None:
    """Hostile cases U01 to U03."""
    assert sanitise(given_text) == shown


def test_a_pile_of_marks_is_cut_down() -> None:
    """It would climb over the neighbouring lines."""
    piled = sanitise("z" + "\u0301" * 10_000)
    assert piled.startswith("z" + "\u0301" * MARKS_IN_A_ROW + "\\u0301")
    assert "\u0301" * (MARKS_IN_A_ROW + 1) not in piled


@given(st.text())
def test_nothing_harmful_is_left(text: str) -> None:
    """Whatever comes in; and a second time changes nothing."""
    shown = sanitise(text)
    assert not any(unicodedata.category(one) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for one in shown)
    assert sanitise(shown) == shown


@given(st.binary())
def test_octets_come_out_as_safe_text(raw: bytes) -> None:
    """Octets that are no UTF-8 are shown one by one."""
    assert decode(raw) == sanitise(raw.decode("utf-8", "backslashreplace"))
