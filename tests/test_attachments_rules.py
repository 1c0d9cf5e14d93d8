"""Which files are wanted, and sizes as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest
from mailspy_attachments.rules import Candidate, Rules
from mailspy_attachments.sizes import octets, shown
from mime_kit import Listener, a_message
from test_attachments import findings, listing, saver

from inspector import OptionError, Part

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(20)


@pytest.mark.parametrize(("text", "expected"), [
    ("7", 7), ("100M", 100_000_000), ("2.5 GB", 2_500_000_000), ("64Ki", 65_536), ("1kb", 1_000), ("0", 0), ("1Ti", 2**40),
    ("", None), ("x", None), ("1i", None), ("-1", None), ("1,5M", None), ("٣", None), ("1" * 16, None), ("M", None),
])
def test_sizes(text: str, expected: int | None) -> None:
    assert octets(text) == expected


def test_sizes_are_shown_round_or_exactly() -> None:
    assert [shown(size) for size in (100_000_000, 2_000_000_000, 1_500, 500_000, 7)] == [
        "100 MB", "2 GB", "1500 octets", "500 kB", "7 octets"]


@pytest.mark.parametrize(("rule", "wanted"), [
    ("type:application/pdf", True), ("type:APPLICATION/*", True), ("type:image/png", True), ("type:text/*", False),
    ("name:*.DOC", True), ("name:*.doc", True), ("name:other.*", True), ("name:*.pdf", False), ("name:a[bc].doc", True),
    ("size:>1k", True), ("size:>=2k", True), ("size:>2k", False), ("size:<2k", False), ("size:<=2k", True), ("size:=2000", True),
    ("size: 1k..3k", True), ("size:1k..1.9k", False), ("type:image/*,size:<1M", True), ("type:image/*, size:>1M", False),
    ("name:ab.doc,type:image/*,size:>1", True), ("name:a,b", False),
])
def test_rules(rule: str, wanted: bool) -> None:
    candidate = Candidate(["ab.doc", "Other.txt"], ["application/pdf", "image/png"], 2_000, True)
    assert Rules([rule]).allow(candidate) is wanted
    assert Rules(["size:>9G", rule]).allow(candidate) is wanted


def test_a_name_with_a_comma_is_no_second_condition() -> None:
    assert Rules(["name:a,b*"]).allow(Candidate(["a,b.doc"], [], 0, True))


@pytest.mark.parametrize(("rule", "possible"), [
    ("type:image/*", True), ("name:*.doc", True), ("name:*.pdf", False), ("size:>1M", True), ("size:<1k", False),
    ("size:<1M", True),
])
def test_what_is_not_whole_is_left_out_when_no_rule_can_hold(rule: str, possible: bool) -> None:
    assert Rules([rule]).allow(Candidate(["a.doc"], [], 2_000, False)) is possible


@pytest.mark.parametrize(("rule", "told"), [
    ("", "nothing: not a condition"), ("*.doc", "*.doc: not a condition"), ("kind:x", "kind:x: not a condition"),
    ("name:", "name:: not a condition"), ("size:big", "big: not a size; write >1M"), ("size:1M", "1M: not a size"),
    ("size:>", ">: not a size"), ("size:1..x", "1..x: not a size"), ("name:*,kind:x", "kind:x: not a condition"),
])
def test_what_is_no_rule_is_refused(rule: str, told: str) -> None:
    with pytest.raises(OptionError) as refused:
        Rules([rule])
    assert str(refused.value).startswith(f"--attachments-match {rule}: {told}")


def test_only_what_is_wanted_is_saved_and_told(tmp_path: Path) -> None:
    plugin = saver(tmp_path, attachments_match=("type:image/*,size:<1k", "name:*.txt"))
    assert [one.event for one in findings(plugin, "a.png", PNG, content_type="image/png")] == ["attachment"]
    assert findings(plugin, "b.png", PNG + bytes(1000), content_type="image/png") == []
    assert findings(plugin, "c.pdf", b"%PDF-1.4", content_type="application/pdf") == []
    assert [one.event for one in findings(plugin, "d.txt", b"text", content_type="text/plain")] == ["attachment"]
    assert len(listing(tmp_path)) == 4


def test_a_name_that_is_not_wanted_is_not_even_read(tmp_path: Path) -> None:
    plugin = saver(tmp_path, attachments_match=("name:*.pdf,size:>1k", "name:*.txt"))
    message = a_message(Listener())
    assert plugin.open_part(Part(message, "1", "image/png", filename="a.png"), message) is None
    assert plugin.open_part(Part(message, "2", "image/png", filename="a.pdf"), message) is not None


def test_what_is_too_large_and_not_wanted_is_not_told(tmp_path: Path) -> None:
    plugin = saver(tmp_path, attachments_match=("type:image/*",), attachments_max_size="1k")
    assert findings(plugin, "a.pdf", b"%PDF-1.4" + bytes(2000)) == []
    assert [one.event for one in findings(plugin, "a.png", PNG + bytes(2000), content_type="image/png")] == ["attachment"]


def test_the_detected_type_counts_too(tmp_path: Path) -> None:
    plugin = saver(tmp_path, attachments_match=("type:image/png",))
    assert findings(plugin, "a.pdf", PNG, content_type="application/pdf")[0].fields["detected"] == "image/png"


def test_what_cannot_be_wanted_any_more_is_not_written_on(tmp_path: Path) -> None:
    plugin = saver(tmp_path, attachments_match=("size:<300k",), attachments_max_total="600k")
    for _ in range(9):
        assert findings(plugin, "a.bin", *[b"x" * 100_000] * 4) == []
    assert listing(tmp_path) == []
    assert findings(plugin, "a.bin", b"x" * 290_000)[0].event == "attachment"
