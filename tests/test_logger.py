"""The logger: its JSON is a contract, its view is for people, and neither lets anything harmful through."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from mailspy_logger import LoggerPlugin
from test_console import HOSTILE

from inspector.anomaly import CATALOGUE, Anomaly
from inspector.console import Console
from inspector.limits import DEFAULT
from inspector.machine import Machine
from inspector.options import Options
from inspector.output import Outputs
from inspector.pdu import C2S, PDU, S2C, Address, Finding, Flow, Kind
from inspector.session import Session

OPENED = 1_700_000_000_000_001
FLOW = Flow(7, Address("127.0.0.1", 40000), Address("::1", 110), OPENED, "pop3")
SESSION = Session(FLOW, None, DEFAULT, Machine({"": {}}, ""))  # type: ignore[arg-type]
SESSION.time = OPENED + 1_000_000
COMMON = ["event", "flow", "time", "protocol"]
PDU_MEMBERS = [*COMMON, "number", "direction", "phase", "client_state", "kind", "verb", "status", "size", "text"]


class Bench:
    """A logger with its outputs, and what they got."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str], **options: Any) -> None:
        self.outputs = Outputs()
        self.console = Console(verbose=options.get("verbose", False))
        self.capfd = capfd
        values = {"json": False, "quiet": False, "log": None, **options}
        self.plugin = LoggerPlugin()
        self.plugin.configure(Options({**values, "outputs": self.outputs, "console": self.console}))

    def lines(self) -> list[str]:
        self.outputs.close()
        return self.capfd.readouterr().out.splitlines()

    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines()]


@pytest.fixture
def make(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    return lambda **options: Bench(tmp_path, capfd, **options)


def a_reply(**fields: Any) -> PDU:
    values = {"number": 3, "direction": S2C, "kind": Kind.REPLY, "phase": "AUTHORIZATION", "verb": "USER",
              "status": "+OK", "raw": b"+OK hello\r\n", "size": 11, "offset": 0, "time": OPENED + 1,
              "client_state": "authentication"}
    return PDU(**{**values, **fields})


def test_a_pdu_as_json(make) -> None:
    bench = make(json=True)
    bench.plugin.pdu_seen(a_reply(), SESSION)
    (line,) = bench.lines()
    assert line == (
        '{"event":"pdu","flow":7,"time":"2023-11-14T22:13:20.000002Z","protocol":"pop3","number":3,"direction":"S->C",'
        '"phase":"AUTHORIZATION","client_state":"authentication","kind":"reply","verb":"USER","status":"+OK","size":11,'
        '"text":"+OK hello"}')
    assert list(json.loads(line)) == PDU_MEMBERS


def test_members_that_are_not_always_there(make) -> None:
    bench = make(json=True)
    bench.plugin.pdu_seen(a_reply(client_state="", transaction=2, details={"path": "a\x1bb"}, direction=C2S), SESSION)
    (found,) = bench.objects()
    members = [name for name in PDU_MEMBERS if name != "client_state"]
    assert list(found) == [*members, "transaction", "details"]
    assert (found["direction"], found["transaction"], found["details"]) == ("C->S", 2, {"path": "a\\x1bb"})


def test_flows_and_anomalies_as_json(make) -> None:
    bench = make(json=True)
    bench.plugin.flow_opened(FLOW)
    bench.plugin.anomaly_found(Anomaly(CATALOGUE["bare_lf"], None, "x\n", OPENED), SESSION)
    FLOW.closed = OPENED + 999_999
    bench.plugin.flow_closed(FLOW, "client closed")
    opened, anomaly, closed = bench.objects()
    assert opened == {"event": "flow_opened", "flow": 7, "time": "2023-11-14T22:13:20.000001Z", "protocol": "pop3",
                      "client": "127.0.0.1:40000", "server": "[::1]:110"}
    assert list(anomaly) == [*COMMON, "name", "severity", "reference", "pdu", "detail"]
    assert [anomaly[name] for name in ("name", "severity", "pdu", "detail")] == ["bare_lf", "medium", None, "x\\n"]
    assert closed["time"] == "2023-11-14T22:13:21.000000Z"
    assert list(closed) == [*COMMON, "reason"]


def test_a_finding_as_json_keeps_the_common_members(make) -> None:
    bench = make(json=True)
    fields = {"filename": "a\x1b[2J", "size": 3, "flow": 99,
              "nested": {"l": ["\x07", b"\xff", None, 1.5, True, Path("p")]}, "summary": "lost", 5: "five"}
    bench.plugin.finding(Finding("attachment", "saved", fields), SESSION)
    (found,) = bench.objects()
    assert found == {"event": "attachment", "flow": 7, "time": "2023-11-14T22:13:21.000001Z", "protocol": "pop3",
                     "filename": "a\\x1b[2J", "size": 3, "nested": {"l": ["\\x07", "\\xff", None, 1.5, True, "p"]},
                     "summary": "saved", "5": "five"}


def test_a_finding_has_its_own_time(make) -> None:
    bench = make(json=True)
    bench.plugin.finding(Finding("policy", "x", {}, time=1), SESSION)
    assert bench.objects()[0]["time"] == "1970-01-01T00:00:00.000001Z"


def test_fields_without_a_bottom_end(make) -> None:
    endless: dict[str, object] = {}
    endless["again"] = endless
    bench = make(json=True)
    bench.plugin.finding(Finding("policy", "x", endless), SESSION)
    assert len(bench.objects()) == 1


@pytest.mark.parametrize("evil", HOSTILE)
@pytest.mark.parametrize("options", [{"json": True}, {}, {"verbose": True}], ids=["json", "view", "verbose"])
def test_one_event_is_one_harmless_line(make, tmp_path: Path, evil: str, options: dict[str, bool]) -> None:
    log = tmp_path / "log.jsonl"
    bench = make(log=str(log), **options)
    raw = evil.encode("utf-8", "surrogateescape")
    bench.plugin.pdu_seen(a_reply(raw=b"+OK " + raw + b"\r\n", details={evil: evil}), SESSION)
    bench.plugin.pdu_seen(a_reply(raw=evil.encode("latin-1", "replace")), SESSION)
    bench.plugin.anomaly_found(Anomaly(CATALOGUE["bare_lf"], 1, evil, 0), SESSION)
    bench.plugin.finding(Finding("policy", evil, {evil: evil}), SESSION)
    lines = bench.lines()
    assert len(lines) == 4
    assert len(log.read_text().splitlines()) == 4
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200b\u202e]", "".join(lines) + log.read_text().replace("\n", ""))


def test_json_stands_alone_on_standard_output(make) -> None:
    bench = make(json=True)
    for event in (lambda: bench.plugin.flow_opened(FLOW), lambda: bench.plugin.pdu_seen(a_reply(), SESSION)):
        event()
    assert all(line.startswith("{") for line in bench.lines())


def test_quiet_leaves_what_matters(make, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    bench = make(quiet=True, log=str(log))
    bench.plugin.flow_opened(FLOW)
    bench.plugin.pdu_seen(a_reply(), SESSION)
    for name in ("line_too_long", "bare_lf"):
        bench.plugin.anomaly_found(Anomaly(CATALOGUE[name], 3, "", 0), SESSION)
    bench.plugin.finding(Finding("policy", "relayed", {}), SESSION)
    bench.plugin.flow_closed(FLOW, "client closed")
    anomaly, finding = bench.lines()
    assert "bare_lf" in anomaly
    assert "relayed" in finding
    assert len(log.read_text().splitlines()) == 6, "the log has everything"
    assert bench.console.summary.line() == "1 flow, 1 PDU, 2 anomalies (1 medium, 1 low), 1 finding"


@pytest.mark.parametrize(("name", "first"), [("a.json", "{"), ("a.jsonl", "{"), ("a.ndjson", "{"), ("a.log", "f"),
                                             ("json", "f")])
def test_the_name_of_the_log_tells_its_form(make, tmp_path: Path, name: str, first: str) -> None:
    bench = make(log=str(tmp_path / name))
    bench.plugin.flow_opened(FLOW)
    bench.outputs.close()
    assert (tmp_path / name).read_text()[0] == first


def test_exchanges_are_not_asked_for() -> None:
    assert not hasattr(LoggerPlugin, "exchange_completed"), "the core builds exchanges only when somebody asks"


def test_only_the_public_names_are_used() -> None:
    import inspector

    sources = list(Path(str(__import__("mailspy_logger").__file__)).parent.glob("*.py"))
    assert sources
    for source in sources:
        for module, names in re.findall(r"^from (inspector\S*) import (.*)$", source.read_text(), re.MULTILINE):
            assert module == "inspector"
            assert set(names.split(", ")) <= set(inspector.__all__)
