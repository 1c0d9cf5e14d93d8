"""The annotated view: columns, colours, cutting, and nothing from the wire that could harm a terminal."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from inspector.anomaly import CATALOGUE, Anomaly
from inspector.console import Console, Summary, View, columns_of, cut, seconds, time_of_day
from inspector.pdu import C2S, PDU, S2C, Address, Direction, Finding, Flow, Kind

FLOW = Flow(1, Address("127.0.0.1", 40000), Address("::1", 110), 0, "pop3", 1_500_000)
SESSION: Any = SimpleNamespace(flow=FLOW, time=3_723_000_250)
SGR = re.compile(r"\x1b\[[0-9;]*m")

HOSTILE = [
    "\x1b]0;PWNED\x07", "\x1b[2J", "\x1b]52;c;aGk=\x07", "\x1bP1$r\x1b\\", "\x9b31m", "\x7f", "\x00", "\x08\x0b\x0c",
    "[/foo]", "[link=x]y[/link]", "[@click=app.quit]", ":smile:", "trailing \\", "\u202egnp.exe", "\u200b\u2066",
    "\ufeff",
    "a" + "\u0301" * 10_000, "漢字" * 40, "a\r\n2026-11-23 INFO forged", "\u2028\u2029\x85",
]
HARMFUL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def a_pdu(raw: bytes, direction: Direction = S2C, **fields: Any) -> PDU:
    values = {"number": 2, "kind": Kind.REPLY, "phase": "AUTHORIZATION", "verb": "USER", "status": "+OK", "offset": 0,
              "time": 3_723_000_250, "client_state": "authentication", "size": len(raw)}
    return PDU(direction=direction, raw=raw, **{**values, **fields})


def test_a_session_reads_as_a_table() -> None:
    view = View()
    command = a_pdu(b"USER natkin\r\n", C2S, number=1, status="", kind=Kind.COMMAND)
    lines = view.flow_opened(FLOW) + view.pdu(command, SESSION) + view.pdu(a_pdu(b"+OK\r\n", command=command), SESSION)
    lines += view.anomaly(Anomaly(CATALOGUE["bare_lf"], 2, "at the end", 0), SESSION)
    lines += view.finding(Finding("policy", "relayed", {}, "high"), SESSION) + view.flow_closed(FLOW, "client closed")
    assert lines.splitlines() == [
        "flow 1 opened: 127.0.0.1:40000 → [::1]:110, pop3",
        "flow   N°  dir  phase          PDU",
        "   1    1  C→S  AUTHORIZATION  USER natkin",
        "   1    2  S→C  AUTHORIZATION  +OK",
        "   1    2   !   medium         bare_lf: at the end (RFC 5321 §2.3.8)",
        "   1        *   policy         relayed [high]",
        "flow 1 closed: client closed, 1.50 s",
    ]


def test_teaching_shows_the_client_automaton() -> None:
    view = View(states=True)
    assert view.pdu(a_pdu(b"+OK\r\n", number=1), SESSION).splitlines() == [
        "flow   N°  dir  phase          client          PDU",
        "   1    1  S→C  AUTHORIZATION  authentication  +OK",
    ]
    assert "authentication" not in view.pdu(a_pdu(b"250\r\n", client_state=""), SESSION)


def test_verbose_shows_times_octets_and_durations() -> None:
    command = a_pdu(b"USER natkin\r\n", C2S, number=1, status="", kind=Kind.COMMAND, time=3_723_000_000)
    assert View(verbose=True, states=True).pdu(a_pdu(b"+OK\r\n", command=command), SESSION) == (
        "   1    2  01:02:03.000250  S→C  AUTHORIZATION  authentication       5  +OK  (250 µs)\n")


def test_verbose_shows_the_head_of_what_is_not_read() -> None:
    pdu = a_pdu(bytes(range(100)), kind=Kind.OPAQUE, status="", note="100 octets not read")
    head, tail = View(verbose=True, states=True).pdu(pdu, SESSION).splitlines()
    assert head.endswith("100 octets not read")
    assert tail.strip() == bytes(range(64)).hex(" ")


def test_a_masked_secret_stays_masked_in_hexadecimal() -> None:
    pdu = a_pdu(b"PASS monpass", kind=Kind.OPAQUE, status="", secret=(5, 12))
    assert b"monpass".hex(" ") not in View(verbose=True, states=True).pdu(pdu, SESSION)


@pytest.mark.parametrize(("status", "ink"), [("+OK", 32), ("250", 32), ("354", 33), ("-ERR", 31), ("550", 31),
                                             ("421", 31)])
def test_the_outcome_has_its_colour(status: str, ink: int) -> None:
    line = View(colour=True).pdu(a_pdu(f"{status} x\r\n".encode(), status=status), SESSION)
    assert f"\x1b[{ink}m{status} x\x1b[0m" in line


def test_the_heads_are_not_repeated_amid_other_flows() -> None:
    view = View()
    other = Flow(2, FLOW.client, FLOW.server, 0, "pop3")
    view.flow_opened(FLOW)
    assert "N°" in view.pdu(a_pdu(b"+OK\r\n", number=1), SESSION)
    view.flow_opened(other)
    assert "N°" not in view.pdu(a_pdu(b"+OK\r\n", number=1), SESSION)
    view.flow_closed(FLOW, "client closed")
    assert "N°" in view.pdu(a_pdu(b"+OK\r\n", number=1), SESSION)


@pytest.mark.parametrize("evil", HOSTILE)
@pytest.mark.parametrize("view", [View(), View(colour=True, measure=lambda: 60),
                                  View(verbose=True, states=True, colour=True)], ids=["plain", "terminal", "verbose"])
def test_nothing_from_the_wire_reaches_the_terminal(evil: str, view: View) -> None:
    raw = evil.encode("utf-8", "surrogateescape")
    lines = view.pdu(a_pdu(b"+OK " + raw + b"\r\n", number=1), SESSION)
    lines += view.pdu(a_pdu(b"+OK " + evil.encode("latin-1", "replace") + b"\r\n"), SESSION)
    lines += view.anomaly(Anomaly(CATALOGUE["bare_lf"], 1, evil, 0), SESSION)
    lines += view.finding(Finding(evil, evil, {}, "high"), SESSION) + view.flow_closed(FLOW, evil)
    clean = SGR.sub("", lines)
    assert not HARMFUL.search(clean)
    assert len(clean.splitlines()) == 6, "one event, one line, and the heads"


@pytest.mark.parametrize("evil", ["漢字" * 40, "a" * 200, "a" + "\u0301" * 300, "🙂" * 50])
def test_lines_keep_to_the_terminal(evil: str) -> None:
    view = View(colour=True, measure=lambda: 60)
    view.pdu(a_pdu(b"+OK\r\n", number=1), SESSION)
    lines = view.pdu(a_pdu(evil.encode()), SESSION)
    lines += view.anomaly(Anomaly(CATALOGUE["bare_lf"], 1, evil, 0), SESSION)
    assert all(columns_of(line) <= 60 for line in SGR.sub("", lines).splitlines())


def test_what_is_grave_is_told_whole() -> None:
    view = View(measure=lambda: 60)
    view.pdu(a_pdu(b"+OK\r\n", number=1), SESSION)
    words = "what is wrong, whose word it was, and in the end what there is to do about it"
    assert view.finding(Finding("tls_failed", words, {}, "high"), SESSION).endswith(f"  {words} [high]\n")
    assert view.finding(Finding("tls", words, {}, "low"), SESSION).endswith("… [low]\n")
    assert len(view.finding(Finding("tls", "x" * 10_000, {}, "critical"), SESSION)) < 700


@pytest.mark.parametrize(("text", "room", "shown"), [
    ("+OK", 10, "+OK"),
    ("a long line of words", 10, "a long li…"),
    ("250-a / 250-PIPELINING / 250-SIZE / 250 HELP", 30, "250-a / 250-PIPELINING / … +2"),
    ("250-a / 250-PIPELINING / 250-SIZE / 250 HELP", 44, "250-a / 250-PIPELINING / 250-SIZE / 250 HELP"),
    ("250-a / 250-PIPELINING", 14, "250-a / … +1"),
    ("250-a-name-too-long / 250 b", 10, "250-a-nam…"),
    ("漢字漢字", 5, "漢字…"),
])
def test_cutting_keeps_whole_lines_of_a_reply(text: str, room: int, shown: str) -> None:
    assert cut(text, room) == shown
    assert columns_of(cut(text, room)) <= room


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True),
                                                   ({"TERM": "dumb"}, False)])
def test_colour_is_for_terminals_that_want_it(environ: dict[str, str], coloured: bool) -> None:
    terminal: Any = SimpleNamespace(terminal=True, descriptor=-1)
    piped: Any = SimpleNamespace(terminal=False, descriptor=-1)
    console = Console(environ=environ)
    assert console.view(terminal).colour is coloured
    assert console.view(piped).colour is False


def test_durations_and_times() -> None:
    assert [seconds(value) for value in (7, 1_500, 3_200_000)] == ["7 µs", "1.5 ms", "3.20 s"]
    assert time_of_day(1_700_000_000_123_456) == "22:13:20.123456"


def test_the_summary_counts_in_words() -> None:
    assert Summary(1, 18, 0, {}).line() == "1 flow, 18 PDUs, 0 anomalies, 0 findings"
    assert Summary(2, 1, 1, {"low": 2, "high": 1}).line() == "2 flows, 1 PDU, 3 anomalies (1 high, 2 low), 1 finding"
