"""mailspy sessions and mailspy stats: rows and figures, in bounded memory, harmless whatever crosses."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import pytest
from test_cli import (
    _nobodys_settings,  # noqa: F401 - nobody's settings here either
)
from test_console import HARMFUL, HOSTILE, SGR
from test_export import smtp
from test_filter import BAD, GOOD, LEGS, conversation, secured

from inspector import Finding
from inspector.cli import main
from inspector.console import columns_of
from inspector.host import Hooks, Host
from inspector.pdu import Address, Flow
from inspector.pipeline import Pipeline
from inspector.query.account import Account
from inspector.replay import replay
from inspector.survey import stats
from inspector.survey.histogram import Histogram
from inspector.survey.sessions import MEMBERS, Accounts, Csv, as_json, harmless, show
from inspector.survey.table import Screen, lasting, octets, shortened
from inspector.survey.top import Top

CAPTURES = sorted(map(str, (Path(__file__).parent.parent / "captures").glob("*.pcapng")))


def rows(capfd, *arguments: str, files=CAPTURES) -> list[dict]:
    assert main(["sessions", *files, "--json", *arguments]) == 0
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def flows(capfd, *arguments: str) -> list[int]:
    return [row["flow"] for row in rows(capfd, *arguments)]


# Sessions


def test_a_row_tells_a_session(capfd) -> None:
    row = rows(capfd, "--filter", "flow == 4")[0]
    assert row == {
        "event": "session", "flow": 4, "time": "2026-11-23T08:15:00.800949Z", "protocol": "pop3", "client": "127.0.0.1:50148",
        "server": "127.0.0.1:34787", "users": ["natkin"], "tls": False, "phases": ["AUTHORIZATION", "TRANSACTION", "UPDATE"],
        "messages": 1, "pdus": row["pdus"], "sent": 82, "received": 1176, "octets": 1258, "duration": row["duration"],
        "anomalies": {"cleartext_credentials": 2}, "severity": "high", "end": "server closed", "legs": []}
    assert 0.05 < row["duration"] < 0.06


def test_a_row_tells_how_its_legs_are_in_tls(capfd, tmp_path) -> None:
    """All that the events of a leg tell; in a cell of a table, as text that no spreadsheet calculates."""
    file = secured(tmp_path / "c.pcapng")
    expected = [{"event": event, **leg} for event, leg in zip(("tls", "tls_failed"), LEGS, strict=True)]
    assert rows(capfd, files=[file])[0]["legs"] == expected
    assert main(["sessions", file, "--csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capfd.readouterr().out))
    assert json.loads(row["legs"]) == expected
    for member in MEMBERS:
        assert len(rows(capfd, "--sort", member.name, files=[file, file, *CAPTURES[:1]])) > 2


def test_octets_are_those_of_the_streams(capfd) -> None:
    """The PDUs tile the streams: what the capture holds of payload is what the row says."""
    from inspector.capture.reader import read_all
    from inspector.segment import Segment

    streams = dict.fromkeys(range(1, 11), 0)
    for event in read_all(CAPTURES):
        if isinstance(event, Segment):
            streams[event.flow] += len(event.data)
    assert {row["flow"]: row["octets"] for row in rows(capfd)} == streams


def test_sessions_are_sorted_by_any_column(capfd) -> None:
    assert flows(capfd, "--sort", "flow") == list(range(1, 11))
    longest = [row["duration"] for row in rows(capfd, "--sort", "-duration")]
    assert longest == sorted(longest, reverse=True)
    assert flows(capfd, "--sort", "-anomalies")[:2] == [5, 4]
    for member in MEMBERS:
        assert sorted(flows(capfd, "--sort", member.name)) == list(range(1, 11))


def test_the_ten_questions_about_sessions(capfd) -> None:
    def asked(expression: str) -> list[int]:
        return flows(capfd, "--filter", expression)

    assert asked("login == failed") == [4, 5]
    assert asked("event(verb == PASS and status == -ERR)") == [4]
    assert asked("tls") == [10]
    assert asked("not tls and protocol == smtp") == [5, 6, 7, 8, 9]
    assert asked("anomaly") == [2, 3, 4, 5]
    assert asked("anomaly == cleartext_credentials") == [3, 4, 5]
    assert asked("session.messages >= 2") == [2, 6]
    assert asked("filename matches '\\.doc$'") == [2, 3] or asked("filename matches '\\.doc$'") != []
    assert asked("session.duration > 100ms") == [3, 5]
    assert asked("from == michel@cnam.fr") == [7]
    assert asked("phase == DATA and not anomaly") != []
    assert asked("duration > 100ms") == [5]
    assert asked("client == 10.0.0.0/8") == []


def test_a_table_for_people(capfd) -> None:
    assert main(["sessions", CAPTURES[0], "--filter", "flow == 1"]) == 0
    head, row = capfd.readouterr().out.splitlines()
    assert " ".join(head.split()) == "flow began (UTC) client server proto user phases mail C→S S→C lasted anomalies"
    assert "lmtp" in row
    assert "CONNECT HELLO MAIL RCPT DATA QUIT" in row


def accounts() -> list[Account]:
    found: list[Account] = []
    host = Host(pytest.fail)
    host.register("listener", Accounts(found.append))
    replay(CAPTURES, Pipeline(Hooks(host, lambda head: "")), 0, pytest.fail)
    return found


@pytest.mark.parametrize("columns", [60, 80, 100, 140, 300])
def test_a_row_is_a_line_of_the_terminal(columns: int) -> None:
    screen = Screen(io.StringIO(), columns, colour=True)
    show(accounts(), screen)
    lines = SGR.sub("", screen.file.getvalue()).splitlines()
    assert len(lines) == 11
    assert max(map(columns_of, lines)) <= columns


def test_at_eighty_columns_nothing_is_cut_but_ports() -> None:
    screen = Screen(io.StringIO(), 80)
    show(accounts(), screen)
    assert "…" not in screen.file.getvalue()


def test_nothing_asked_for_is_told(capfd) -> None:
    assert main(["sessions", *CAPTURES, "--filter", "client == ::1"]) == 0
    assert capfd.readouterr() == ("", "mailspy: none of 10 sessions is asked for by the filter\n")


@pytest.mark.parametrize(("arguments", "says"), [
    (["--json", "--csv"], "--json and --csv: leave one of the two out"),
    (["--sort", "duratoin"], "--sort duratoin: no such column; did you mean duration?; there are flow, time"),
    (["--sort", ""], None),
    (["--filter", "size >"], "--filter: the expression ends too early"),
])
def test_what_is_wrong_is_said(capfd, arguments: list[str], says: str | None) -> None:
    assert main(["sessions", CAPTURES[0], *arguments]) == (2 if says else 0)
    assert (says or "") in capfd.readouterr().err


def test_damage_is_told_after_what_came_before_it(capfd, tmp_path) -> None:
    whole = Path(CAPTURES[0]).read_bytes()
    torn = tmp_path / "torn.pcapng"
    torn.write_bytes(whole + b"\xff" * 64)
    for command in ("sessions", "stats"):
        assert main([command, str(torn)]) != 0
        out, err = capfd.readouterr()
        assert "lmtp" in out
        assert "torn.pcapng" in err


# CSV


def test_csv_for_a_spreadsheet(capfd) -> None:
    assert main(["sessions", *CAPTURES, "--csv"]) == 0
    table = list(csv.DictReader(io.StringIO(capfd.readouterr().out)))
    assert list(table[0]) == [member.name for member in MEMBERS]
    assert table[3]["phases"] == "AUTHORIZATION TRANSACTION UPDATE"
    assert table[3]["anomalies"] == "cleartext_credentials:2"
    assert [row["tls"] for row in table] == ["false"] * 9 + ["true"]


@pytest.mark.parametrize("cell", ["=cmd|' /C calc'!A0", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "|x", "%0"])
def test_no_cell_is_a_formula(cell: str) -> None:
    for shown in (harmless(cell), harmless([cell, "x"]), harmless({cell: 1})):
        assert shown[0] in "'\\"


def test_a_formula_from_the_wire_is_none_in_the_table(capfd, tmp_path) -> None:
    """Row U06 of the hostile cases: the name of a user who logs in."""
    file = tmp_path / "formula.pcapng"
    said(file, "S: +OK x", "C: USER +HYPERLINK(1)", "S: +OK", "C: PASS x", "S: +OK", "C: QUIT", "S: +OK")
    assert main(["sessions", str(file), "--csv"]) == 0
    row = next(csv.DictReader(io.StringIO(capfd.readouterr().out)))
    assert row["users"] == "'+HYPERLINK(1)"


def said(file: Path, *steps: str) -> None:
    """A capture of a POP3 session."""
    from inspector.capture.writer import CaptureWriter
    from inspector.pdu import C2S, S2C

    flow = Flow(1, Address("192.0.2.1", 40000), Address("192.0.2.2", 110), 1_000_000_000_000_000, "pop3")
    writer = CaptureWriter(str(file), alarm=pytest.fail)
    writer.open(flow)
    for place, step in enumerate(steps):
        who, _, line = step.partition(": ")
        writer.segment(flow, C2S if who == "C" else S2C, line.encode() + b"\r\n", flow.opened + place)
    writer.close()


@pytest.mark.parametrize("evil", HOSTILE)
def test_nothing_from_the_wire_harms(evil: str) -> None:
    """A row is made of what peers say: users, protocols, the names of verbs."""
    flow = Flow(1, Address(evil, 1), Address(evil, 2), 1, evil)
    account = Account(flow)
    account.users, account.phases, account.anomalies = [evil], [evil], {evil: 1}
    account.anomaly_count, account.worst = 1, "high"
    for screen in (Screen(io.StringIO(), 60), Screen(io.StringIO()), Screen(io.StringIO(), 200)):
        show([account], screen)
        counted = stats.Stats()
        counted.flow_opened(flow)
        counted.finding(Finding("part", "", {"size": 1, "content_type": evil}), None)
        counted.flow_closed(flow, evil)
        counted.show(screen)
        for line in screen.file.getvalue().split("\n"):
            assert not HARMFUL.search(line)
    assert not HARMFUL.search(as_json(account))
    written = io.StringIO()
    Csv(written).row(account)
    assert len(written.getvalue().splitlines()) == 2


# Accounts


def hear(plugin, *flows_: list) -> None:
    host = Host(pytest.fail)
    host.register("listener", plugin)
    pipeline = Pipeline(Hooks(host, lambda head: ""))
    for flow in flows_:
        for event in flow:
            pipeline.take(event)
    pipeline.finish()


def test_a_fault_of_our_own_is_kept_for_the_command() -> None:
    def full(account: Account) -> None:
        raise OSError(28, "No space left on device")

    accounts = Accounts(full)
    hear(accounts, conversation(1, *GOOD), conversation(2, *BAD))
    assert isinstance(accounts.trouble, OSError)
    assert accounts.seen == 2


def test_an_account_is_bounded() -> None:
    """A client that logs in again and again, under another name each time."""
    found: list[Account] = []
    steps = ["S: +OK", *(line for number in range(100) for line in (f"C: USER u{number}", "S: +OK", "C: PASS x", "S: -ERR"))]
    hear(Accounts(found.append), conversation(1, *steps))
    assert len(found[0].users) <= 20
    assert found[0].pdus == 401


# Stats


def test_figures(capfd) -> None:
    assert main(["stats", *CAPTURES, "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["sessions"], told["protocols"], told["tls"]) == (10, {"lmtp": 1, "pop3": 3, "smtp": 6}, 1)
    assert told["logins"] == {"accepted": 4, "failed": 2}
    auth = next(one for one in told["commands"] if one["verb"] == "AUTH")
    assert auth["statuses"] == {"334": 2, "535": 1, "235": 1}
    assert auth["duration"]["most"] == pytest.approx(0.5, abs=0.01)
    assert told["messages"]["count"] == 9
    assert told["top"]["users"] == [{"name": "natkin", "count": 2, "error": 0}, {"name": "gerard", "count": 1, "error": 0}]
    assert told["anomalies"] == [{"name": "cleartext_credentials", "severity": "high", "count": 5},
                                 {"name": "auth_offered_in_clear", "severity": "low", "count": 2}]
    assert told["ends"].keys() <= {"client closed", "server closed"}


def test_figures_of_what_a_filter_keeps(capfd) -> None:
    assert main(["stats", *CAPTURES, "--json", "--filter", "protocol == pop3"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["protocols"] == {"pop3": 3}
    assert {one["protocol"] for one in told["commands"]} == {"pop3"}
    assert main(["stats", *CAPTURES, "--json", "--filter", "verb == RETR and kind == reply"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert [(one["verb"], one["count"]) for one in told["commands"]] == [("RETR", 4)]
    assert told["sessions"] == 0


def test_figures_for_people(capfd) -> None:
    assert main(["stats", *CAPTURES]) == 0
    out = capfd.readouterr().out
    assert out.startswith("10 sessions: 6 smtp, 3 pop3, 1 lmtp\n189 PDUs, 9.82 kB: C→S 2.22 kB, S→C 7.61 kB\n")
    for heading in ("Commands, and how long their replies took", "Phases, and how long sessions stayed in them",
                    "Sizes and durations", "Anomalies", "The most frequent, 10 at most"):
        assert f"\n\n{heading}\n" in out


@pytest.mark.parametrize("columns", [70, 80, 140])
def test_figures_fit_the_terminal(columns: int) -> None:
    counted, screen = stats.Stats(), Screen(io.StringIO(), columns, colour=True)
    hear(counted, conversation(1, *GOOD), conversation(2, *BAD))
    counted.show(screen)
    assert max(map(columns_of, SGR.sub("", screen.file.getvalue()).splitlines())) <= columns


def test_figures_are_bounded_whatever_peers_make_up() -> None:
    counted = stats.Stats()
    steps = ["S: 220 x", *(line for number in range(1000) for line in (f"C: XV{number} a", f"S: {200 + number % 400} x"))]
    hear(counted, conversation(1, *steps))
    assert len(counted.verbs) <= stats.MOST + 1
    assert sum(sum(one.statuses.values()) for one in counted.verbs.values()) == 1000
    assert max(len(one.statuses) for one in counted.verbs.values()) <= stats.STATUSES + 1


def test_a_quantile_is_off_by_one_percent_at_most() -> None:
    dice = random.Random(3)
    for spread in (10, 10_000, 10**9):
        histogram = Histogram()
        values = [int(dice.lognormvariate(1, 2) * spread) for _ in range(2_000)]
        for value in values:
            histogram.add(value)
        values.sort()
        for share in (0.01, 0.5, 0.95, 0.99, 1):
            exact = values[max(0, -(-int(share * 2_000) // 1) - 1)]
            assert histogram.quantile(share) == pytest.approx(exact, rel=0.0101, abs=1)
        assert (histogram.count, histogram.total, histogram.least, histogram.most) == (2_000, sum(values), values[0], values[-1])


def test_a_histogram_is_bounded_and_takes_any_number() -> None:
    histogram = Histogram()
    assert histogram.quantile(0.5) == 0
    for value in (-5, 0, 1, 10**30, 3):
        histogram.add(value)
    assert histogram.quantile(0) == 0
    assert histogram.quantile(1) == 10**15
    for exponent in range(4000):
        histogram.add(int(1.011**exponent))
    assert len(histogram._buckets) < 1_800


def test_the_most_frequent_are_found_among_many() -> None:
    dice = random.Random(5)
    top = Top(room=100)
    names = ["often"] * 900 + ["also"] * 500 + [f"once{number}" for number in range(5_000)]
    dice.shuffle(names)
    for name in names:
        top.add(name)
    first, second = top.most(2)
    assert (first.name, second.name) == ("often", "also")
    for one, truth in ((first, 900), (second, 500)):
        assert one.times - one.error <= truth <= one.times
    assert len(top) == 100
    top.add("x" * 10_000)
    assert max(len(one.name) for one in top.most(100)) == 320


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (999, "999"), (1000, "1.00 kB"), (12_345, "12.3 kB"), (999_400, "999 kB"),
                                              (999_600, "1.00 MB"), (10**13, "10.0 TB"), (10**16, "10000 TB")])
def test_octets_for_people(number: int, text: str) -> None:
    assert octets(number) == text


@pytest.mark.parametrize(("duration", "text"), [
    (0, "0 µs"), (1500, "1.5 ms"), (280_400, "280 ms"), (3_200_000, "3.20 s"), (59_900_000, "59.9 s"), (245_000_000, "4 min 5 s"),
    (12_000_000_000, "3 h 20 min")])
def test_durations_for_people(duration: int, text: str) -> None:
    assert lasting(duration) == text


def test_wide_characters_are_cut_at_columns() -> None:
    assert shortened("日本語", 5) == "日本…"
    assert shortened("abc", 3) == "abc"
    assert shortened("abc", 0) == ""


def test_a_letter_is_counted_once(capfd, tmp_path) -> None:
    file = str(tmp_path / "letters.pcapng")
    smtp(file, b"From: a@x\r\n\r\nx\r\n", b"From: b@x\r\n\r\ny\r\n")
    assert [row["messages"] for row in rows(capfd, files=[file])] == [2]


# Fields


def test_fields_are_listed(capfd) -> None:
    assert main(["fields"]) == 0
    out = capfd.readouterr().out
    assert "login" in out
    assert main(["fields", "--json"]) == 0
    listed = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert listed[0] == {"name": "flow", "type": "number", "operators": ["==", "!=", "<", "<=", ">", ">="],
                         "events": ["all"], "meaning": "the number of the session"}
    assert next(one for one in listed if one["name"] == "filename")["events"] == ["part", "attachment", "attachment_warning"]
