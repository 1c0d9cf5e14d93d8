"""What crossed in the forms of others, and as pictures; whatever stands in it, nothing breaks and nothing runs."""

from __future__ import annotations

import json
import re
import stat
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from inspector.capture.writer import CaptureWriter
from inspector.cli import main
from inspector.pdu import C2S, S2C, Address, Flow

CAPTURES = Path(__file__).parent.parent / "captures"
ALL = [str(path) for path in sorted(CAPTURES.glob("*.pcapng"))]
MIME = str(CAPTURES / "pop3-mime.pcapng")
PIPELINED = str(CAPTURES / "smtp-pipelining.pcapng")
EVIL = '<script>alert(1)</script>"\'&\x1b[31m\x07\u202e]]>%s\t-#59;;end\nrect'
"""What a name can hold that a screen, a page, a diagram or a log must not take literally."""


def export(*arguments: str) -> int:
    return main(["export", *arguments])


@pytest.fixture
def evil(tmp_path: Path) -> str:
    """A session with hostile texts wherever a peer can put them."""
    path = str(tmp_path / "evil.pcapng")
    writer = CaptureWriter(path, alarm=print)
    flow = Flow(1, Address("192.0.2.1", 40000), Address("192.0.2.2", 25), 1_000_000, "smtp")
    writer.open(flow)
    bad = EVIL.replace("\n", " ").encode()
    header = b"Subject: " + bad + b"\r\nFrom: " + bad + b" <a@b>\r\nMIME-Version: 1.0\r\n" + (
        b"Content-Type: text/html; name*=utf-8''%3Cscript%3E%09x%2C.html\r\n\r\n<script>alert(2)</script>\r\n.\r\n")
    steps = [(S2C, b"220 " + bad + b"\r\n"), (C2S, b"EHLO " + bad + b"\r\n"), (S2C, b"250 ok\r\n"),
             (C2S, b"MAIL FROM:<a\t,-@b>\r\n"), (S2C, b"250 ok\r\n"), (C2S, b"RCPT TO:<" + bad + b">\r\n"), (S2C, b"250 ok\r\n"),
             (C2S, b"DATA\r\n"), (S2C, b"354 go\r\n"), (C2S, header), (S2C, b"250 " + bad + b"\r\n"), (C2S, bad + b"\r\n")]
    for time, (direction, octets) in enumerate(steps, start=2):
        writer.segment(flow, direction, octets, time * 1_000_000)
    writer.end(flow, C2S, 30_000_000)
    writer.end(flow, S2C, 30_000_000)
    writer.close()
    return path


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# Programs


def test_jsonl_is_what_replay_writes(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert export("--jsonl", str(tmp_path / "x.jsonl"), *ALL) == 0
    capfdbinary.readouterr()
    assert main(["replay", "--json", *ALL]) == 0
    assert (tmp_path / "x.jsonl").read_bytes() == capfdbinary.readouterr().out
    assert stat.S_IMODE((tmp_path / "x.jsonl").stat().st_mode) == 0o600


def test_a_filter_keeps_events_of_jsonl_and_sessions_of_the_others(tmp_path: Path) -> None:
    assert export("--filter", "verb == RETR", "--jsonl", str(tmp_path / "x"), "--eve", str(tmp_path / "y"), *ALL) == 0
    assert {line["verb"] for line in lines(tmp_path / "x")} == {"RETR"}
    eve = lines(tmp_path / "y")
    assert {line["event_type"] for line in eve} > {"pop3", "flow"}
    assert not [line for line in eve if line["event_type"] == "smtp"]


def test_eve_has_the_members_of_suricata(tmp_path: Path) -> None:
    assert export("--eve", str(tmp_path / "eve.json"), PIPELINED, MIME) == 0
    records = lines(tmp_path / "eve.json")
    (smtp,) = [one for one in records if one["event_type"] == "smtp"]
    assert smtp["smtp"] == {"helo": "client.example", "mail_from": "<michel@cnam.example>",
                            "rcpt_to": ["<pierre@cnam.example>", "<gerard@cnam.example>"]}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+0000", smtp["timestamp"])
    assert smtp["email"]["subject"] == "three at once"
    logins = [one["pop3"]["request"] for one in records if one["event_type"] == "pop3" and
              one["pop3"]["request"]["command"] == "PASS"]
    assert logins == [{"command": "PASS", "args": ["********"]}]
    files = [one for one in records if one["event_type"] == "fileinfo"]
    assert {one["fileinfo"]["filename"] for one in files} >= {"tableau de l'été.csv"}
    assert all(re.fullmatch("[0-9a-f]{64}", one["fileinfo"]["sha256"]) for one in files)
    assert {one["src_port"] for one in files} == {110} or len({one["dest_ip"] for one in files}) == 1
    flows = [one for one in records if one["event_type"] == "flow"]
    assert [one["app_proto"] for one in flows] == ["smtp", "pop3"]
    assert len({one["flow_id"] for one in records}) == 2


def log(path: Path) -> list[dict[str, str]]:
    """The lines of a Zeek log by the names of its fields."""
    text = path.read_text().splitlines()
    assert text[0] == "#separator \\x09"
    names = next(line for line in text if line.startswith("#fields")).split("\t")[1:]
    types = next(line for line in text if line.startswith("#types")).split("\t")[1:]
    assert len(names) == len(types)
    rows = [line.split("\t") for line in text if not line.startswith("#")]
    assert all(len(row) == len(names) for row in rows)
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_zeek_logs(tmp_path: Path) -> None:
    assert export("--zeek", str(tmp_path / "logs"), PIPELINED, MIME) == 0
    (smtp,) = log(tmp_path / "logs" / "smtp.log")
    assert (smtp["helo"], smtp["mailfrom"], smtp["rcptto"]) == (
        "client.example", "michel@cnam.example", "pierre@cnam.example,gerard@cnam.example")
    assert smtp["last_reply"].startswith("250 2.0.0 Ok: queued as")
    assert smtp["tls"] == "F"
    (pop3,) = log(tmp_path / "logs" / "pop3.log")
    assert (pop3["user"], pop3["authenticated"], pop3["messages"]) == ("gerard", "T", "1")
    files = log(tmp_path / "logs" / "files.log")
    assert set(smtp["fuids"].split(",")) | set(pop3["fuids"].split(",")) == {one["fuid"] for one in files}
    assert {one["uid"] for one in log(tmp_path / "logs" / "conn.log")} == {smtp["uid"], pop3["uid"]}


def test_the_same_capture_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("1", "2"):
        assert export("--zeek", str(tmp_path / f"zeek{name}"), "--eve", str(tmp_path / f"eve{name}"), *ALL) == 0
        assert export("--report", "html", "--output", str(tmp_path / f"report{name}"), *ALL) == 0
    for one in ("eve", "report", "zeek1/smtp.log", "zeek1/files.log"):
        first = tmp_path / (one if "/" in one else f"{one}1")
        second = tmp_path / (one.replace("1/", "2/") if "/" in one else f"{one}2")
        assert first.read_bytes() == second.read_bytes()


def test_hostile_texts_stay_in_their_place(evil: str, tmp_path: Path) -> None:
    assert export("--zeek", str(tmp_path / "zeek"), "--eve", str(tmp_path / "eve"), "--jsonl", str(tmp_path / "j"), evil) == 0
    for name in ("smtp", "files", "conn", "pop3"):
        log(tmp_path / "zeek" / f"{name}.log")
        assert "\x1b" not in (tmp_path / "zeek" / f"{name}.log").read_text()
    assert lines(tmp_path / "eve")
    for name in ("eve", "j"):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", (tmp_path / name).read_text())


# Captures


def events(capture: str, capfdbinary: pytest.CaptureFixture[bytes]) -> list[dict]:
    assert main(["replay", "--json", capture]) == 0
    return [{name: value for name, value in json.loads(line).items() if name != "flow"}
            for line in capfdbinary.readouterr().out.splitlines()]


def test_the_copy_of_a_capture_tells_the_same(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    for capture in ALL:
        copy = tmp_path / Path(capture).name
        assert export("--pcapng", str(copy), capture) == 0
        capfdbinary.readouterr()
        assert events(str(copy), capfdbinary) == events(capture, capfdbinary)


def test_a_copy_holds_the_sessions_that_a_filter_asks_for(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    copy = tmp_path / "some.pcapng"
    assert export("--pcapng", str(copy), "--filter", "protocol == lmtp or status == 535", *ALL) == 0
    capfdbinary.readouterr()
    assert {one["protocol"] for one in events(str(copy), capfdbinary)} == {"lmtp", "smtp"}
    assert b"535" in copy.read_bytes()


# People


class Page(HTMLParser):
    """What a browser would take for a tag, and what it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attributes:
            assert not name.startswith("on")
            if name in ("src", "href", "action", "data") and not (value or "").startswith("#"):
                self.fetched.append(value or "")


def test_a_report_fetches_nothing_and_runs_nothing(evil: str, tmp_path: Path) -> None:
    assert export("--report", "html", "--output", str(tmp_path / "r.html"), evil, *ALL) == 0
    text = (tmp_path / "r.html").read_text()
    page = Page(text)
    assert not page.tags & {"script", "iframe", "object", "embed", "img", "link", "form", "base"}
    assert page.fetched == []
    assert "default-src &#x27;none&#x27;" in text
    assert "&lt;script&gt;" in text
    assert "\x1b" not in text
    for subject in ("Publi", "three at once", "Pour l&#x27;été"):
        assert subject in text


@pytest.mark.parametrize("capture", ALL, ids=lambda path: Path(path).stem)
def test_every_line_is_on_the_ladder_in_its_phase(capture: str, tmp_path: Path,
                                                  capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["replay", "--json", capture]) == 0
    told = [json.loads(line) for line in capfdbinary.readouterr().out.splitlines()]
    assert export("--ladder", "svg", "--output", str(tmp_path / "x.svg"), capture) == 0
    tree = ElementTree.parse(tmp_path / "x.svg")
    name = "{http://www.w3.org/2000/svg}"
    texts = [text.text for text in tree.iter(f"{name}text") if "mono" in text.get("class", "")]
    pdus = [one for one in told if one["event"] == "pdu"]
    assert len(texts) == len(pdus)
    for text, pdu in zip(texts, pdus, strict=True):
        assert pdu["text"].startswith((text or "").rstrip("…")) or len(text or "") > 40
    phases = [text.text for text in tree.iter(f"{name}text") if "phase" in text.get("class", "")]
    assert phases == [pdu["phase"] for number, pdu in enumerate(pdus) if not number or pdus[number - 1]["phase"] != pdu["phase"]]


MERMAID = (r"    (participant [CS] as .*|rect rgba\([\d.,]+\)|end|Note (left of C|over C,S): .+|(C->>S|S-->>C): .+)")


@pytest.mark.parametrize("form", ["svg", "html", "mermaid"])
def test_a_hostile_session_on_a_ladder(form: str, evil: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert export("--ladder", form, "--output", str(path), evil) == 0
    text = path.read_text()
    assert "\x1b" not in text
    assert "<script" not in text
    if form == "svg":
        ElementTree.fromstring(text)
    if form == "mermaid":
        assert text.startswith("sequenceDiagram\n")
        assert text.count("\n    rect ") == text.count("\n    end")
        for line in text.splitlines()[1:]:
            assert re.fullmatch(MERMAID, line), line
            assert not re.search(r"[<>\";&]", re.sub(r"#\d+;", "", line.partition(": ")[2]))


def test_a_long_session_is_cut_in_its_middle(tmp_path: Path) -> None:
    assert export("--ladder", "mermaid", "--lines", "8", "--output", str(tmp_path / "x"), PIPELINED) == 0
    text = (tmp_path / "x").read_text()
    assert "220 mx.cnam.example ESMTP" in text
    assert "221 2.0.0 Bye" in text
    assert re.search(r"\d+ lines left out", text)


def test_several_sessions_go_into_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "ladders"
    folder.mkdir()
    assert export("--ladder", "svg", "--output", str(folder), *ALL) == 0
    assert len(list(folder.glob("flow-*.svg"))) == len(ALL)


@pytest.mark.parametrize(("arguments", "said"), [
    (["--ladder", "svg"], "where to?"), (["--report", "html"], "where to?"), ([], "where to?"),
    (["--ladder", "svg", "--output", "x.svg", *ALL], "sessions to draw"),
    (["--ladder", "svg", "--report", "html", "--output", "x"], "in two calls"), (["--ladder", "png", "--output", "x"], "png"),
    (["--eml", "x", "--jsonl", "y"], "two calls"), (["--jsonl", "there"], "exists already"),
    (["--pcapng", "there"], "exists already"), (["--zeek", "there"], "there"),
    (["--jsonl", "x", "--filter", "nonsense =="], "--filter"),
])
def test_mistakes(arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                  capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").write_text("kept")
    assert export(*arguments, MIME) == 2
    assert said in capsys.readouterr().err
    assert (tmp_path / "there").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "there") in ([], ["x"])
