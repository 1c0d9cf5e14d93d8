"""Phase tables drawn: all three forms say all of it, and say it well-formed."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from inspector import diagram
from inspector.machine import Row, stay
from inspector.pdu import FAILED, MORE, OK
from inspector.pipeline import BUILTIN_PROTOCOLS

TABLES = {name: table for protocol in BUILTIN_PROTOCOLS for name, table in protocol.tables.items()}
HOSTILE = {
    'a "quoted": <state>; end': {"X&Y": Row("RFC 1 §2", {OK: "note", MORE: "note"}), "-->": stay("<ref>")},
    "note": {"Q": Row("RFC 1", {OK: 'a "quoted": <state>; end', FAILED: "note"})},
}


@pytest.mark.parametrize("form", diagram.FORMATS)
@pytest.mark.parametrize("name", TABLES)
def test_every_state_and_verb_is_drawn(name: str, form: str) -> None:
    drawn = diagram.FORMATS[form](name, TABLES[name])
    for state, verbs in TABLES[name].items():
        assert state in drawn
        assert all(verb in drawn for verb in verbs)


@pytest.mark.parametrize("name", TABLES)
def test_the_text_names_every_reference(name: str) -> None:
    drawn = diagram.text(name, TABLES[name])
    assert all(row.reference in drawn for verbs in TABLES[name].values() for row in verbs.values())
    assert max(map(len, drawn.splitlines())) <= diagram.TEXT_WIDTH


def test_rows_with_one_target_share_an_arrow() -> None:
    assert diagram.arrows(TABLES["pop3"]) == [
        diagram.Arrow("AUTHORIZATION", "TRANSACTION", ("PASS, APOP, AUTH: OK",), ("RFC 1939 §7", "RFC 5034 §4")),
        diagram.Arrow("TRANSACTION", "UPDATE", ("QUIT",), ("RFC 1939 §6",)),
    ]


def test_the_sheets_automaton_as_text() -> None:
    lines = [line.split() for line in diagram.text("pop3-client", TABLES["pop3-client"]).splitlines()]
    assert ["GREETING", "OK", "→", "authentication;", "failed", "→", "waiting", "sheet", "III.9"] in lines


def test_mermaid_has_a_line_an_arrow_and_ids_of_its_own() -> None:
    drawn = diagram.mermaid("hostile", HOSTILE)
    assert drawn.splitlines()[3:] == [
        "stateDiagram-v2",
        '    state "a #34;quoted#34;#58; #60;state#62;#59; end" as s0',
        '    state "note" as s1',
        "    [*] --> s0",
        "    s0 --> s0 : --#62;",
        "    s0 --> s1 : X#38;Y#58; OK, more",
        "    s1 --> s0 : Q#58; OK",
    ]


@pytest.mark.parametrize(("name", "table"), [*TABLES.items(), ("<&>", HOSTILE)])
def test_the_picture_is_well_formed_and_on_its_page(name: str, table) -> None:
    root = ElementTree.fromstring(diagram.svg(name, table))
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    namespace = "{http://www.w3.org/2000/svg}"
    for box in root.iter(f"{namespace}rect"):
        x, y = float(box.get("x", 0)), float(box.get("y", 0))
        assert x >= 0
        assert x + float(box.get("width", 0)) <= width
        assert y >= 0
        assert y + float(box.get("height", 0)) <= height
    for words in root.iter(f"{namespace}text"):
        length = len(words.text or "") * diagram.CHARACTER
        x, style = float(words.get("x", 0)), words.get("class", "")
        assert x - (length if "left" in style else 0) >= 0
        assert x + (0 if style in ("state", "stay") or "left" in style else length * 0.95) <= width


def test_the_picture_needs_nothing_else() -> None:
    drawn = diagram.svg("pop3", TABLES["pop3"])
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|<script|href", drawn)
    assert "prefers-color-scheme:dark" in drawn


@pytest.mark.parametrize("name", TABLES)
def test_boxes_do_not_touch(name: str) -> None:
    root = ElementTree.fromstring(diagram.svg(name, TABLES[name]))
    boxes = sorted((float(box.get("y", 0)), float(box.get("height", 0)))
                   for box in root.iter("{http://www.w3.org/2000/svg}rect") if box.get("class") == "box")
    assert len(boxes) == len(TABLES[name])
    assert all(y + height + 10 < following for (y, height), (following, _) in pairwise(boxes))
