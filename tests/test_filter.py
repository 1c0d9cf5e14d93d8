"""--filter: ten daily questions, what each event has, what is wrong with an expression, and what waits for its session's end."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from dialogue import Witness
from test_cli import (
    _nobodys_settings,  # noqa: F401 - nobody's settings here either
)
from test_console import HARMFUL
from test_export import smtp

from inspector import Finding, hookimpl
from inspector.anomaly import CATALOGUE, Anomaly
from inspector.capture.reader import read_all
from inspector.capture.writer import CaptureWriter
from inspector.cli import main
from inspector.errors import ExpressionError
from inspector.host import Host
from inspector.pdu import C2S, S2C, Address, Flow
from inspector.pipeline import Pipeline
from inspector.query import Expression, sieve
from inspector.query.fields import EVENTS, FIELDS, FINDINGS, OTHER
from inspector.query.question import kind_of
from inspector.query.sieve import Holding
from inspector.segment import Ended, Opened, Segment

CAPTURES = sorted(map(str, (Path(__file__).parent.parent / "captures").glob("*.pcapng")))


def lines(capfd, expression: str, *more: str, files=CAPTURES) -> list[dict]:
    """The events that a filter keeps of the captures."""
    assert main(["replay", *files, "--json", "--filter", expression, *more]) == 0
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def told(events: list[dict]) -> list[tuple]:
    return [(event["flow"], event["event"], event["verb"]) for event in events]


# The ten questions


def test_commands_that_took_long(capfd) -> None:
    found = lines(capfd, "duration > 100ms")
    assert [(event["kind"], event["verb"], event["status"]) for event in found] == [("reply", "AUTH", "535")]


def test_failed_logins_and_their_sessions(capfd) -> None:
    assert told(lines(capfd, "login == failed")) == [(4, "pdu", "PASS"), (5, "pdu", "AUTH")]
    everything = lines(capfd, "flow in (4, 5)")
    sessions = lines(capfd, "session(login == failed)")
    assert {event["flow"] for event in sessions} == {4, 5}
    assert sessions == everything


def test_a_clients_session_is_kept_whole(capfd) -> None:
    everything = lines(capfd, "not event == never")
    client = next(event["client"] for event in everything if event["event"] == "flow_opened" and event["flow"] == 3)
    assert lines(capfd, f"client == {client}") == [event for event in everything if event["flow"] == 3]
    assert lines(capfd, "client == 127.0.0.0/8 and server in (::1, 127.0.0.1)") == everything


def test_what_only_the_login_tells_keeps_the_session_whole(capfd) -> None:
    everything = lines(capfd, "not event == never")
    assert lines(capfd, "user == natkin") == [event for event in everything if event["flow"] in (2, 4)]


def test_sessions_without_tls(capfd) -> None:
    everything = lines(capfd, "not event == never")
    veiled = {event["flow"] for event in lines(capfd, "tls")}
    assert veiled == {10}
    assert lines(capfd, "not tls") == lines(capfd, "tls == no") == [event for event in everything if event["flow"] not in veiled]


def test_messages_from_somebody(capfd) -> None:
    assert told(lines(capfd, "event == message and from == MICHEL@cnam.fr")) == [(7, "message", "DATA")]
    assert told(lines(capfd, "from contains gerard"))[0] == (2, "message", "RETR")


def test_a_subject_by_pattern(capfd) -> None:
    assert [event["subject"] for event in lines(capfd, "subject matches '^bon|three'")] == ["Bonjour", "three at once"]


def test_parts_of_a_type(capfd) -> None:
    found = lines(capfd, "content_type matches '^image/' or filename matches '\\.doc$'")
    assert [event["content_type"] for event in found] == ["application/msword", "image/gif", "application/msword"]


def test_anomalies_alone(capfd) -> None:
    assert {event["event"] for event in lines(capfd, "anomaly")} == {"anomaly"}
    assert {event["name"] for event in lines(capfd, "severity >= high")} == {"cleartext_credentials"}
    assert lines(capfd, "severity > high") == []


def test_who_relayed(capfd) -> None:
    found = lines(capfd, "verdict in (open_relay, relay_refused)", "--local-domain", "pop.example")
    assert {event["verdict"] for event in found} == {"open_relay", "relay_refused"}
    found = lines(capfd, "verdict == open_relay", "--local-domain", "pop.example")
    assert {event["verdict"] for event in found} == {"open_relay"}


def test_large_messages(capfd, tmp_path) -> None:
    file = str(tmp_path / "large.pcapng")
    smtp(file, b"Subject: large\r\n\r\n" + b"x" * 70 + b"\r\n", b"Subject: small\r\n\r\n")
    assert [event["subject"] for event in lines(capfd, "message.size > 50", files=[file])] == ["large"]
    assert {event["event"] for event in lines(capfd, "size >= 0.07kB", files=[file])} == {"pdu", "part", "message"}


# The table


class Seen:
    """A listener that asks every event for every field."""

    def __init__(self) -> None:
        self.found: set[tuple[str, str]] = set()
        self.empty: list[tuple[str, str]] = []

    def _look(self, kind: str, subject, session) -> None:
        for field in FIELDS.values():
            if get := field.on.get(kind):
                value = get(subject, session)
                if field.several:
                    assert all(isinstance(one, str) for one in value)
                if value not in (None, "", (), []):
                    self.found.add((field.name, kind))

    @hookimpl
    def flow_opened(self, flow): self._look("flow_opened", flow, None)

    @hookimpl
    def flow_closed(self, flow, reason): self._look("flow_closed", flow, None)

    @hookimpl
    def pdu_seen(self, pdu, session): self._look("pdu", pdu, session)

    @hookimpl
    def anomaly_found(self, anomaly, session): self._look("anomaly", anomaly, session)

    @hookimpl
    def finding(self, finding, session): self._look(kind_of(finding.event), finding, session)


LETTER = b"""From: <a@x.example>\r
To: b@y.example\r
Subject: s\r
Message-ID: <1@x.example>\r
Content-Type: application/octet-stream; name=a.pdf.exe; charset=utf-8\r
Content-Disposition: attachment\r
Content-Transfer-Encoding: base64\r
\r
JVBERi0xLjQK\r
"""


LEGS = [
    {"leg": "server", "name": "mx.example", "version": "TLSv1.2", "cipher": "AES128-SHA", "alpn": "", "alpn_offered": [],
     "names": ["=mx.example"], "certificate": "ab", "valid_until": "2026-01-01T00:00:00Z", "resumed": False, "duration_us": 1_500,
     "client_certificate_asked": True, "client_certificate": "",
     "problems": [{"name": "expired", "detail": "yesterday"}, {"name": "wrong_name", "detail": "for =mx.example"}]},
    {"leg": "client", "reason": "the client refuses: unknown ca", "alert": True, "farewell": "",
     "problems": [{"name": "invalid", "detail": "?"}]},
]


def secured(path: Path) -> str:
    """A capture of a session whose server is in TLS, and whose client has refused it."""
    writer = CaptureWriter(str(path), alarm=pytest.fail)
    flow = Flow(1, Address("192.0.2.1", 40000), Address("192.0.2.2", 465), 1_000_000_000_000_000, "smtp")
    writer.open(flow)
    writer.note(flow, [Finding(event, "told", leg, "high") for event, leg in zip(("tls", "tls_failed"), LEGS, strict=True)], True,
                flow.opened)
    writer.segment(flow, S2C, b"220 mx\r\n", flow.opened + 1000)
    writer.end(flow, S2C, flow.opened + 10**6)
    writer.end(flow, C2S, flow.opened + 10**6)
    writer.close()
    return str(path)


def test_what_is_asked_of_tls(tmp_path, capfd) -> None:
    file = secured(tmp_path / "c.pcapng")
    for expression, there in (("tls.version < 'TLSv1.3'", None), ("tls.version == TLSv1.2", 1), ("tls.version == TLSv1.3", 0),
                              ("tls.problem == wrong_name", 1), ("tls.problem == invalid", 1), ("tls.problem == self_signed", 0),
                              ("tls.sni == mx.example and tls.cipher matches 'SHA$'", 1), ("event == tls_failed", 1)):
        code = main(["sessions", file, "--json", "--filter", expression])
        assert (code, len(capfd.readouterr().out.splitlines())) == ((2, 0) if there is None else (0, there)), expression


def test_every_field_of_the_table_is_on_the_events_that_it_names(tmp_path, monkeypatch, capfd) -> None:
    """Otherwise a filter would be accepted that can never hold."""
    file = str(tmp_path / "letter.pcapng")
    smtp(file, LETTER)
    tls = secured(tmp_path / "tls.pcapng")
    seen = Seen()
    load = Host.load_entry_points

    def loading(host, disabled=()) -> None:
        load(host, disabled)
        host.register("seen", seen)

    monkeypatch.setattr(Host, "load_entry_points", loading)
    more = ["--quiet", "--local-domain", "x.example", "--attachments", str(tmp_path / "out")]
    assert main(["replay", *CAPTURES, file, tls, *more]) == 0
    capfd.readouterr()
    named = {(field.name, kind) for field in FIELDS.values() if not field.whole for kind in field.on if kind != OTHER}
    assert named - seen.found == set()
    assert {field.name for field in FIELDS.values() if field.late is None} == {name for name, _ in seen.found}


def test_every_event_has_its_name_and_its_session() -> None:
    for name in ("event", "time", "flow", "client", "server", "port", "protocol"):
        assert set(FIELDS[name].on) == set(EVENTS)


def test_a_finding_of_any_plugin_can_be_asked_for_and_a_false_one_does_no_harm() -> None:
    """A plugin may report anything under any name."""
    flow = Flow(1, Address("not an address", 0), Address("::1", 25), 0)

    class Session:
        user = ""
        tls = False
        time = 7

    Session.flow = flow
    odd = {"from": 3, "envelope": [], "addresses": {"from": [None, {"address": 4}]}, "size": "x", "complete": 1, "name": b"\xff"}
    for event in (*FINDINGS, "mine"):
        finding = Finding(event, "a summary", odd)
        for field in FIELDS.values():
            if kind_of(event) in field.on:
                field.on[kind_of(event)](finding, Session)
    mine = Expression("event == mine and text contains SUMMARY and not client == 192.0.2.0/24").of_event(OTHER)
    assert mine(Finding("mine", "a summary", {}), Session)


# What is wrong with an expression


@pytest.mark.parametrize(("expression", "says", "place"), [
    ("stauts == 250", "no such field: stauts; did you mean status?", "stauts"),
    ("verb == MAIL and ip.addr == ::1", "no such field: ip.addr; did you mean client?", "ip.addr"),
    ("zzzzz", "no such field: zzzzz; `mailspy fields` lists them", "zzzzz"),
    ("size > tall", "size is octets such as 500, 64kB or 10MB, not tall", "tall"),
    ("size > 10 MB", "unexpected MB; expected and or or", "MB"),
    ("duration > '1 week'", "duration is a time such as 250ms, 1.5s or 2min, not 1 week", "'1 week'"),
    ("client == 300.1.1.1", "client is an address such as", "300.1.1.1"),
    ("client contains 192", "client is address, which cannot be compared by contains; it can by ==, !=", "contains"),
    ("verb < MAIL", "verb is text, which cannot be compared by <", "<"),
    ("tls == perhaps", "tls is true or false, not perhaps", "perhaps"),
    ("severity > big", "severity is one of info, low, medium, high, critical, not big", "big"),
    ("time > yesterday", "time is a time such as", "yesterday"),
    ("subject matches '('", "subject: no pattern of RE2: missing ): (", "'('"),
    ("subject matches '(?=a)'", "subject: no pattern of RE2", "'(?=a)'"),
    ("subject == 'a", "a text that begins here has no end", "'"),
    ("(verb", "the expression ends too early", ""),
    ("verb == ", "the expression ends too early; expected a value", ""),
    ("verb)", "unexpected )", ")"),
    ("verb verb", "unexpected verb", "verb"),
    ("event(session.size > 3)", "session.size is of a whole session", "session.size"),
    ("event(session(tls))", "session( ) cannot stand within event( )", "session"),
    ("", "an empty expression", ""),
    ("(" * 60 + "tls" + ")" * 60, "more than 50 brackets", "("),
    ("verb == '" + "x" * 5000 + "'", "longer than 4000 characters", ""),
])
def test_what_is_wrong_is_said_with_its_place(expression: str, says: str, place: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Expression(expression)
    error = caught.value
    assert says in str(error)
    if place:
        assert expression[error.column:error.column + error.width] == place


def test_the_place_is_pointed_at(capfd) -> None:
    assert main(["replay", CAPTURES[0], "--filter", "verb == MAIL and stauts == 250"]) == 2
    assert capfd.readouterr().err == ("mailspy: error: --filter: no such field: stauts; did you mean status?\n"
                                      "  verb == MAIL and stauts == 250\n"
                                      "                   ^^^^^^\n")


@pytest.mark.parametrize("expression", ["é\x1b[2J == 3", "verb == '\x1b]0;x\x07' \x9b", "[/red] == [link=x]",
                                        "verb == 日本 and zz"])
def test_an_expression_cannot_harm_the_terminal(capfd, expression: str) -> None:
    """It may come from a file of somebody else's."""
    assert main(["replay", CAPTURES[0], "--filter", expression]) == 2
    assert not HARMFUL.search(capfd.readouterr().err)


def test_any_text_is_an_expression_or_an_error_with_its_place() -> None:
    dice = random.Random(4)
    words = ["verb", "==", "(", ")", "and", "or", "not", "in", "'x'", '"', "250", "tls", ",", "event", "!", "size", ">",
             "session", "é", "10MB", "matches", "\\", "\n", "&&", "session.size"]
    right, outside = 0, 0
    for _ in range(3000):
        text = " ".join(dice.choices(words, k=dice.randint(1, 9)))
        try:
            Expression(text)
            right += 1
        except ExpressionError as error:
            outside += not 0 <= error.column <= len(text)
    assert right > 50
    assert not outside


# How it is read


@pytest.mark.parametrize(("one", "other"), [
    ("verb = MAIL && !tls", "verb == MAIL and not tls"), ("verb ~ M", "verb matches M"), ("verb =~ 'M'", "verb matches 'M'"),
    ("NOT verb == a OR verb == b AND tls", "(not verb == a) or (verb == b and tls)"),
    ("verb in (a,b)", "verb in ( 'a' , \"b\" )"), ("verb not in (a)", "verb != a"),
])
def test_several_ways_to_write_the_same(capfd, one: str, other: str) -> None:
    assert lines(capfd, one) == lines(capfd, other)


class Line:
    """As much of a PDU as is asked for."""

    def __init__(self, **members) -> None:
        self.__dict__.update(members)


@pytest.mark.parametrize(("expression", "holds"), [
    ("status == 250", True), ("status != 250", False), ("status in (1, 250)", True), ("status not in (1, 250)", False),
    ("status != 550", True), ("verb != MAIL", False), ("not verb == MAIL", True), ("verb == ''", True), ("verb", False),
    ("status matches '^2..$'", True), ("status contains 5", True),
    ("size > 1.5kB", True), ("size == 2000", True), ("size < 1KiB", False),
    ("phase == mail", True), ("anomaly == x", False), ("not anomaly == x", True), ("anomaly != x", False),
    ("direction == server and direction == S->C", True), ("direction != client", True),
    ("subject matches '" + "(a+)+" * 20 + "$'", False), ("event(status == 250 and size > 3)", True),
])
def test_what_holds_for_a_line(expression: str, holds: bool) -> None:
    line = Line(status="250", verb="", size=2000, phase="MAIL", direction=S2C)
    test = Expression(expression).of_event("pdu")
    assert (test if isinstance(test, bool) else test(line, None)) is holds


def test_no_pattern_takes_long() -> None:
    """Python's own would take longer than the world is old."""
    line = Line(text="a" * 50_000 + "!")
    assert not Expression("text matches '(a|aa|a?a)+$'").of_event("pdu")(line, None)


# What waits for the end of a session


def conversation(number: int, *steps: str, client: str = "192.0.2.1") -> list:
    """Events of a flow: `C: …` and `S: …`."""
    flow = Flow(number, Address(client, 40000 + number), Address("192.0.2.25", 25), 1_000_000, "smtp")
    events: list = [Opened(flow)]
    for place, step in enumerate(steps):
        who, _, line = step.partition(": ")
        events.append(Segment(number, C2S if who == "C" else S2C, 1_000_000 + place, line.encode() + b"\r\n"))
    return [*events, Ended(number, C2S, 2_000_000), Ended(number, S2C, 2_000_000)]


class Heard(Witness):
    """Remembers lines, and who opened and closed."""

    def flow_opened(self, flow) -> None: self.lines.append(f"{flow.number} opened")

    def flow_closed(self, flow, reason) -> None: self.lines.append(f"{flow.number} closed")

    def pdu_seen(self, pdu, session) -> None: self.lines.append(f"{session.flow.number} {pdu.text}")

    def anomaly_found(self, anomaly, session) -> None: self.lines.append(f"{session.flow.number} ! {anomaly.name}")


class Through(Witness):
    """An observer that hands on through a sieve."""

    def __init__(self, listener) -> None:
        super().__init__()
        for name in ("flow_opened", "flow_closed", "pdu_seen", "anomaly_found", "finding"):
            setattr(self, name, getattr(listener, name))


def kept(expression: str, *flows: list) -> list[str]:
    heard = Heard()
    pipeline = Pipeline(Through(sieve(Expression(expression), heard, pytest.fail)))
    for step in zip(*flows, strict=True):
        for event in step:
            pipeline.take(event)
    pipeline.finish()
    return heard.lines


GOOD = ("S: 220 x", "C: EHLO a", "S: 250 x", "C: QUIT", "S: 221 x")
BAD = ("S: 220 x", "C: EHLO a", "S: 550 x", "C: QUIT", "S: 221 x")


def test_a_session_is_shown_from_its_beginning_as_soon_as_it_is_known_to_be_asked_for() -> None:
    assert kept("session(status == 550)", conversation(1, *GOOD), conversation(2, *BAD)) == [
        "2 opened", "2 220 x", "2 EHLO a", "2 550 x", "2 QUIT", "2 221 x", "2 closed"]


def test_what_did_not_happen_is_known_at_the_end() -> None:
    assert kept("not session(status == 550)", conversation(1, *GOOD), conversation(2, *BAD)) == [
        "1 opened", "1 220 x", "1 EHLO a", "1 250 x", "1 QUIT", "1 221 x", "1 closed"]


def test_lines_of_a_session() -> None:
    assert kept("session(status == 550) and verb == EHLO", conversation(1, *GOOD), conversation(2, *BAD)) == [
        "2 EHLO a", "2 550 x"]
    assert kept("session.pdus > 4 and kind == greeting", conversation(1, *GOOD)) == ["1 220 x"]


def test_in_a_session_each_comparison_is_of_some_event_and_event_binds_them() -> None:
    assert kept("session(verb == QUIT and status == 550)", conversation(2, *BAD)) != []
    assert kept("session(event(verb == QUIT and status == 550))", conversation(2, *BAD)) == []


def test_what_is_fixed_is_known_at_once_and_nothing_is_held() -> None:
    assert not Expression("client == 192.0.2.1 and port == 25").of_sessions
    assert kept("session(client == 192.0.2.9) or status == 221", conversation(1, *GOOD)) == ["1 221 x"]


def test_what_is_held_is_bounded_and_told() -> None:
    heard, alarms = Heard(), []
    holding = Holding(Expression("session(status == 888)"), heard, alarms.append, bound=6_000)
    pipeline = Pipeline(Through(holding))
    for event in conversation(1, "S: 220 x", "C: EHLO a", "S: 250 x", *["C: NOOP", "S: 250 x"] * 50, "C: QUIT", "S: 221 x"):
        pipeline.take(event)
    assert holding.forgotten > 80
    assert len(alarms) == 1
    assert "too long to be held back" in alarms[0]
    assert heard.lines == []


def test_a_long_session_that_is_asked_for_lacks_its_beginning() -> None:
    heard, alarms = Heard(), []
    pipeline = Pipeline(Through(Holding(Expression("session(status == 221)"), heard, alarms.append, bound=6_000)))
    for event in conversation(1, "S: 220 x", "C: EHLO a", "S: 250 x", *["C: NOOP", "S: 250 x"] * 50, "C: QUIT", "S: 221 x"):
        pipeline.take(event)
    assert heard.lines[-3:] == ["1 QUIT", "1 221 x", "1 closed"]
    assert 5 < len(heard.lines) < 15


def test_any_filter_of_a_session_keeps_what_the_same_question_says_of_its_events() -> None:
    """The order of what is kept is that of the events, whatever had to wait."""
    everything = kept("not event == never", conversation(1, *BAD))
    dice = random.Random(7)
    atoms = ["status == 550", "verb == QUIT", "session(status == 550)", "session(status == 551)", "session.pdus > 3", "tls",
             "kind == reply"]
    for _ in range(300):
        one, two, three = dice.choices(atoms, k=3)
        how, inner, outer = dice.choice(["", "not "]), dice.choice(["and", "or"]), dice.choice(["and", "or"])
        found = kept(f"{how}({one} {inner} not {two}) {outer} {three}", conversation(1, *BAD))
        assert [line for line in everything if line in found] == found


def test_the_log_has_what_the_screen_has(capfd, tmp_path) -> None:
    log = tmp_path / "log.json"
    shown = lines(capfd, "login", "--log", str(log))
    assert [json.loads(line) for line in log.read_text().splitlines()] == shown


def test_the_first_line_that_is_kept_has_heads_above_it(capfd) -> None:
    assert main(["replay", *CAPTURES, "--filter", "login == failed"]) == 0
    out = capfd.readouterr().out.splitlines()
    assert out[0].split() == ["flow", "N°", "dir", "phase", "PDU"]
    assert len(out) == 3


def test_a_filter_in_the_configuration(capfd, tmp_path) -> None:
    (tmp_path / "mailspy.toml").write_text("filter = 'login == failed'\n")
    assert main(["replay", *CAPTURES, "--json", "--config", str(tmp_path / "mailspy.toml")]) == 0
    assert len(capfd.readouterr().out.splitlines()) == 2


def test_an_anomaly_is_found_by_its_name() -> None:
    anomaly = Anomaly(CATALOGUE["bare_lf"], None, "x", 5)
    assert Expression("anomaly in (bare_cr, bare_lf) and severity == medium").of_event("anomaly")(anomaly, None)


def test_own_captures_are_read() -> None:
    assert len(CAPTURES) == 10
    assert sum(isinstance(event, Opened) for event in read_all(CAPTURES)) == 10
