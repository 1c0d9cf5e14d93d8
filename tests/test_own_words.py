"""What mailspy says in somebody's place is told as mailspy's, live and in replay; and nothing is told that did not cross."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from links import FakeLink, Pair

from inspector import Answer, Close, Finding, Replace, hookimpl
from inspector.capture.reader import read_all
from inspector.capture.writer import CaptureWriter
from inspector.console import Console
from inspector.host import Hooks, Host
from inspector.lines import JsonRecord
from inspector.live.relay import GatedRelay, Relay
from inspector.pdu import Address, Flow
from inspector.pipeline import Pipeline
from inspector.segment import Segment
from inspector.starttls import FOLLOW


class Told:
    """A plugin that writes down the screen and the JSON."""

    def __init__(self) -> None:
        self.screen: list[str] = []
        self.view = Console().view
        self.json: list[dict] = []
        self.record = JsonRecord(lambda lines: self.json.extend(map(json.loads, lines.splitlines())))
        self.pdus: list[tuple[str, str]] = []
        self.reason = ""

    @hookimpl
    def pdu_seen(self, pdu, session) -> None:
        self.pdus.append((pdu.way, pdu.text))
        self.record.pdu_seen(pdu, session)

    @hookimpl
    def flow_closed(self, flow, reason) -> None:
        self.reason = reason
        self.record.fill()


class Judge:
    """Decides by a table: what a PDU begins with → verdict."""

    def __init__(self, verdicts, message=None) -> None:
        self.verdicts, self.message = verdicts, message

    @hookimpl
    def judge_pdu(self, pdu, session):
        return next((verdict for head, verdict in self.verdicts.items() if pdu.raw.startswith(head)), None)

    @hookimpl
    def judge_message(self, message, session):
        return self.message


def listener(*judges: Judge) -> tuple[Told, Pipeline]:
    host, told = Host(pytest.fail), Told()
    host.register("told", told)
    for judge in judges:
        host.register("judge", judge)
    return told, Pipeline(Hooks(host, lambda head: "TLS"), alarm=pytest.fail)


def replayed(path: Path) -> Told:
    told, pipeline = listener()
    pipeline.take_all(list(read_all([str(path)])))
    pipeline.finish()
    return told


def played(tmp_path: Path, protocol: str, judge: Judge, *said: bytes) -> tuple[Told, Pair, Path]:
    """`C…` and `S…`, each a segment; the capture is compared with what was told."""
    told, pipeline = listener(judge)
    path = tmp_path / "c.pcapng"
    capture = CaptureWriter(str(path), alarm=pytest.fail)
    pair = Pair(pipeline, protocol, capture, judged=True)
    for line in said:
        (pair.c if line[:1] == b"C" else pair.s)(line[1:])
    pair.relay.stop()
    capture.close()
    again = replayed(path)
    assert (again.pdus, again.json, again.reason) == (told.pdus, told.json, told.reason)
    got = b"".join(event.data for event in read_all([str(path)]) if isinstance(event, Segment) and event.direction == "S->C")
    assert got == pair.client.sent, "the capture holds what the client got"
    return told, pair, path


GREETED = (b"S220 mx\r\n", b"CEHLO c\r\n", b"S250 mx\r\n")


def test_an_answer_is_mailspy_s(tmp_path: Path) -> None:
    """Case: a plugin refuses one of several pipelined recipients; the session stays in step."""
    told, pair, _ = played(tmp_path, "smtp", Judge({b"RCPT TO:<x": Answer(b"451 4.3.0 later\r\n")}), *GREETED,
                           b"CMAIL FROM:<a@b>\r\nRCPT TO:<x@y>\r\nRCPT TO:<c@d>\r\n", b"S250 ok\r\n250 ok\r\n")
    assert told.pdus[-3:] == [("S->C", "250 ok"), ("M->C", "451 4.3.0 later"), ("S->C", "250 ok")]
    assert [event.get("origin") for event in told.json][-3:] == [None, "mailspy", None]
    assert b"x@y" not in pair.server.sent


def test_a_replaced_line_is_mailspy_s_either_way(tmp_path: Path) -> None:
    """The line as it left, in the direction in which it left."""
    verdicts = {b"USER a": Replace(b"USER guest\r\n"), b"+OK hi": Replace(b"+OK ho\r\n")}
    told, pair, path = played(tmp_path, "pop3", Judge(verdicts), b"S+OK hi\r\n", b"CUSER alice\r\nPA", b"CSS secret\r\n",
                              b"S+OK\r\n+OK\r\n")
    assert told.pdus[:3] == [("M->C", "+OK ho"), ("M->S", "USER guest"), ("C->S", "PASS ********")]
    assert pair.server.sent == b"USER guest\r\nPASS secret\r\n"
    assert b"secret" not in path.read_bytes()
    assert b"USER alice" in path.read_bytes(), "what the client sent is in the capture"


def test_the_secret_in_a_replacement_is_masked(tmp_path: Path) -> None:
    """It stands in a comment of the capture."""
    _, pair, path = played(tmp_path, "pop3", Judge({b"PASS": Replace(b"PASS another-secret\r\n")}), b"S+OK\r\n",
                           b"CUSER a\r\nPASS mine\r\n", b"S+OK\r\n+OK\r\n")
    assert pair.server.sent.endswith(b"PASS another-secret\r\n")
    octets = path.read_bytes()
    assert b"another-secret" not in octets
    assert b"UEFTUyBhbm90aGVyLXNlY3JldA" not in octets
    assert b"mine" not in octets


@pytest.mark.parametrize("verdict", [Answer(b"554 5.7.1 no\r\n"), Close(b"554 5.7.1 no\r\n")])
def test_a_refused_message_is_refused_once(verdict, tmp_path: Path) -> None:
    """What comes after the farewell is told as the client's; nothing more is said to it."""
    told, pair, _ = played(
        tmp_path, "smtp", Judge({}, verdict), *GREETED, b"CMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
        b"S250 ok\r\n250 ok\r\n354 go\r\n", b"Chi\r\n.\r\nQUIT\r\n", b"CNOOP\r\n")
    assert pair.client.sent.count(b"554") == 1
    assert [line for line in told.pdus if line[0] == "M->C"] == [("M->C", "554 5.7.1 no")]
    assert not pair.server.sent.endswith(b".\r\n")


def test_a_reply_that_is_closed_at_is_not_told(tmp_path: Path) -> None:
    """The client did not get it, nor what came behind it."""
    told, pair, _ = played(tmp_path, "smtp", Judge({b"250 secret": Close(b"421 bye\r\n")}), *GREETED,
                           b"CNOOP\r\nNOOP\r\nNOOP\r\n", b"S250 ok\r\n250 secret\r\n250 ok\r\n")
    assert pair.client.sent.endswith(b"250 ok\r\n421 bye\r\n")
    assert not any("secret" in text for _, text in told.pdus)
    assert told.pdus[-1] == ("M->C", "421 bye")


def test_a_server_that_cannot_be_reached(tmp_path: Path) -> None:
    """What is said in its place is not its own."""
    told, pipeline = listener()
    capture = CaptureWriter(str(tmp_path / "c.pcapng"), alarm=pytest.fail)
    client = FakeLink()
    flow = Flow(1, Address("127.0.0.1", 40001), Address("127.0.0.1", 25), 1_790_000_000_000_000, "smtp")
    relay = Relay(pipeline.open(flow), client, None, capture, False, lambda relay: None)
    relay.refuse(b"421 4.3.0 no server\r\n", "server unreachable")
    relay.stop()
    capture.close()
    assert client.sent == b"421 4.3.0 no server\r\n"
    assert told.pdus == [("M->C", "421 4.3.0 no server")]
    assert replayed(tmp_path / "c.pcapng").json == told.json


@pytest.mark.parametrize(("protocol", "said", "farewell"), [
    ("pop3", (b"S+OK\r\n", b"CSTLS\r\n", b"S+OK Begin TLS\r\n"), b"-ERR no TLS\r\n"),
    ("smtp", (*GREETED, b"CSTARTTLS\r\n", b"S220 Begin TLS\r\n"), b"421 no TLS\r\n")])
def test_the_client_s_reply_where_tls_fails_with_the_server(protocol: str, said, farewell: bytes, tmp_path: Path) -> None:
    """The server has agreed and then fails: its agreement never crossed, mailspy's refusal did."""
    told, pipeline = listener()
    path = tmp_path / "c.pcapng"
    capture = CaptureWriter(str(path), alarm=pytest.fail)
    client, server = FakeLink(), FakeLink()
    flow = Flow(1, Address("127.0.0.1", 40001), Address("127.0.0.1", 25), 1_790_000_000_000_000, protocol)

    def fails(relay: GatedRelay, gate: object) -> None:
        relay.abandon([Finding("tls_failed", "server leg: no", {"leg": "server", "injected": 0}, "high")], farewell)

    relay = GatedRelay(pipeline.open(flow), client, server, capture, False, lambda relay: None, None, FOLLOW, False, fails)
    for line in said:
        relay.received(line[:1] == b"C", line[1:])
    capture.close()
    assert client.sent.endswith(farewell)
    assert b"Begin" not in client.sent
    assert not any("Begin" in text for _, text in told.pdus)
    assert told.pdus[-1] == ("M->C", farewell.decode().strip())
    assert b"Begin" not in path.read_bytes()
    assert replayed(path).json == told.json
