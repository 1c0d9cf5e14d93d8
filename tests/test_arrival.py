"""How a flow arrives, live: who speaks first, what stands before the session, and that nothing waits for what is not known yet.

Every flow is played through a relay between two links, cut in several ways, and replayed from its capture.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from struct import pack

import pytest
from dialogue import pieces
from hypothesis import given
from hypothesis import strategies as st
from links import FakeLink
from told import listener, replayed

from inspector import Close, hookimpl
from inspector.arrival import LONGEST, Arrival
from inspector.capture.writer import CaptureWriter
from inspector.live.relay import GatedRelay, Relay
from inspector.pdu import Address, Flow, Kind
from inspector.recognition import LOOKED_AT
from inspector.starttls import FOLLOW, HIDE, PASS, REFUSE, Policy

C, S = True, False
Steps = list[tuple[bool, bytes]]

GREETINGS = {"smtp": b"220 mx ready\r\n", "lmtp": b"220 mx LMTP\r\n", "pop3": b"+OK ready\r\n"}
HELLOS = {"smtp": b"EHLO c\r\n", "lmtp": b"LHLO c\r\n", "pop3": b"CAPA\r\n"}
ANSWERS = {"smtp": b"250 mx\r\n", "lmtp": b"250 mx\r\n", "pop3": b"+OK\r\nUIDL\r\n.\r\n"}

PROXY1 = b"PROXY TCP4 198.51.100.7 192.0.2.25 56310 25\r\n"
PROXY2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc6\x33\x64\x07\xc0\x00\x02\x19\xdb\xf6\x00\x19"
SOCKS5 = [(C, b"\x05\x01\x00"), (S, b"\x05\x00"), (C, b"\x05\x01\x00\x03\x0amx.example\x00\x19"),
          (S, b"\x05\x00\x00\x01\x7f\x00\x00\x01\x10\x10")]
SOCKS5_LOGIN = [(C, b"\x05\x02\x00\x02"), (S, b"\x05\x02"), (C, b"\x01\x02me\x06secret"), (S, b"\x01\x00"), *SOCKS5[2:]]
SOCKS4 = [(C, b"\x04\x01\x00\x19\xc0\x00\x02\x19me\x00"), (S, b"\x00\x5a\x00\x00\x00\x00\x00\x00")]
CONNECT = [(C, b"CONNECT mx.example:25 HTTP/1.1\r\nHost: mx.example:25\r\nProxy-Authorization: Basic c2VjcmV0\r\n\r\n"),
           (S, b"HTTP/1.1 200 ok\r\n\r\n")]
WRAPPINGS: dict[str, tuple[Steps, str]] = {
    "PROXY, version 1": ([(C, PROXY1)], "PROXY 198.51.100.7:56310 to 192.0.2.25:25"),
    "PROXY, version 2": ([(C, PROXY2)], "PROXY 198.51.100.7:56310 to 192.0.2.25:25"),
    "SOCKS4": (SOCKS4, "SOCKS4 to 192.0.2.25:25"),
    "SOCKS5": (SOCKS5, "SOCKS5 to mx.example:25"),
    "SOCKS5 with a password": (SOCKS5_LOGIN, "SOCKS5 to mx.example:25"),
    "CONNECT": (CONNECT, "CONNECT to mx.example:25"),
}


class Watcher:
    """A judge that lets everything pass, or closes what it cannot read."""

    def __init__(self, closes: bool = False) -> None:
        self.closes = closes
        self.asked: list[str] = []

    @hookimpl
    def judge_pdu(self, pdu, session):
        self.asked.append("unread" if pdu.kind is Kind.OPAQUE and not pdu.size else pdu.text)
        return Close(b"421 unread\r\n") if self.closes and self.asked[-1] == "unread" else None


class Play:
    """A flow between two links."""

    def __init__(self, protocol: str, judge: Watcher | None = None, policy: Policy = PASS,
                 capture: CaptureWriter | None = None) -> None:
        told, pipeline = listener(*[judge] if judge is not None else [], detailed=True)
        self.told = told.told
        self.links = FakeLink(), FakeLink()
        flow = Flow(1, Address("127.0.0.1", 40001), Address("127.0.0.1", 24999), 1_790_000_000_000_000, protocol)
        inspector = pipeline.open(flow)
        if judge is not None or policy != PASS:
            self.relay: Relay = GatedRelay(inspector, *self.links, capture, False, lambda relay: None, None, policy,
                                           judge is not None, lambda relay, gate: None)
        else:
            self.relay = Relay(inspector, *self.links, capture, False, lambda relay: None)

    def play(self, steps: Steps, cut: str = "whole", seed: int = 0) -> Play:
        dice = random.Random(seed)
        for client, data in steps:
            for piece in pieces(data, cut, dice):
                if not (self.links[0].fate or self.links[1].fate):
                    self.relay.received(client, piece)
        return self

    @property
    def got(self) -> tuple[bytes, bytes]:
        """What the server and the client have got."""
        return self.links[1].sent, self.links[0].sent


def said(steps: Steps) -> tuple[bytes, bytes]:
    """What the server and the client get without mailspy."""
    return tuple(b"".join(data for client, data in steps if client is side) for side in (C, S))


def untimed(told: list[str]) -> list[str]:
    return [line.partition(" @")[0] for line in told]


WAYS = [("whole", 0), ("octets", 0), ("random", 1)]
HOW = {"nobody": (False, PASS), "intercept": (False, FOLLOW), "strip": (False, HIDE), "a judge, refuse": (True, REFUSE)}


def everyhow(protocol: str, steps: Steps, hows=tuple(HOW)) -> list[str]:
    """Plays a flow in every cutting with and without judge and policy: each step arrives before the next is made, all tell the
    same, and replay tells what live told.  Returns what is told."""
    first: list[str] = []
    for how in hows:
        judged, policy = HOW[how]
        for cut, seed in WAYS:
            with tempfile.TemporaryDirectory() as folder:
                capture = CaptureWriter(f"{folder}/c.pcapng", alarm=pytest.fail)
                play = Play(protocol, Watcher() if judged else None, policy, capture)
                for number in range(len(steps)):
                    play.play(steps[number:number + 1], cut, seed)
                    assert play.got == said(steps[:number + 1]), (how, cut, "withheld after", steps[number])
                play.relay.ended(True)
                play.relay.ended(False)
                capture.close()
                assert replayed(Path(f"{folder}/c.pcapng"), detailed=True) == play.told, (how, cut)
                told = [line for line in untimed(play.told) if not line.startswith("tls_policy")]
                first = first or told
                assert told == first, (how, cut)
    return first


@pytest.mark.parametrize("scheme", [True, False])
@pytest.mark.parametrize("protocol", GREETINGS)
def test_the_server_speaks_first(protocol: str, scheme: bool) -> None:
    """Case 30: the greeting reaches the client at once, and is told as a greeting."""
    told = everyhow(protocol if scheme else "", [(S, GREETINGS[protocol]), (C, HELLOS[protocol]), (S, ANSWERS[protocol])])
    assert told[0].startswith("S->C greeting ")
    assert told[1].startswith("C->S command ")
    assert not [line for line in told if line.startswith(("high", "medium", "low"))]


@pytest.mark.parametrize("scheme", [True, False])
@pytest.mark.parametrize("protocol", GREETINGS)
def test_the_client_speaks_first(protocol: str, scheme: bool) -> None:
    told = everyhow(protocol if scheme else "", [(C, HELLOS[protocol]), (S, GREETINGS[protocol]), (S, ANSWERS[protocol])])
    assert [line for line in told if "early_talker" in line]


UNKNOWN: dict[str, Steps] = {
    "a line of the server": [(S, b"HELLO there\r\n"), (C, b"hello\r\n"), (S, b"echo\r\n")],
    "the server without a line end": [(S, b"\x05\x00"), (C, b"ok"), (S, b"ok")],
    "words of the server without a line end": [(S, b"login: "), (C, b"me\r\n"), (S, b"password: ")],
    "a line of the client": [(C, b"hello\r\n"), (S, b"echo: hello\r\n"), (C, b"more\r\n")],
    "the client without a line end": [(C, b"hello"), (S, b"echo: hello")],
    "octets": [(C, b"\x01\x02\x03\n\x80"), (S, b"\x00\x00\n\x00\x00")],
    "HTTP": [(C, b"GET / HTTP/1.1\r\n\r\n"), (S, b"HTTP/1.1 200 ok\r\n\r\n")],
    "TLS": [(C, b"\x16\x03\x01\x00\x05\x01ello"), (S, b"\x16\x03\x03\x00\x05hello"), (C, b"\x17\x03\x03\x00\x05hello")],
    "IMAP": [(S, b"* OK IMAP4rev1\r\n"), (C, b"a1 LOGIN me secret\r\n"), (S, b"a1 OK\r\n")],
    "ManageSieve": [(S, b'"IMPLEMENTATION" "x"\r\nOK\r\n'), (C, b"LOGOUT\r\n")],
    "FTP": [(S, b"220 ProFTPD\r\n"), (C, b"USER anonymous\r\n"), (S, b"331 password\r\n"), (C, b"PASS x\r\n")],
    "NNTP": [(S, b"200 news\r\n"), (C, b"MODE READER\r\n"), (S, b"200 ok\r\n")],
    "a proxy that refuses": [(C, b"\x05\x01\x00"), (S, b"\x05\xff")],
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_nobody_knows_passes_and_judges_are_asked(name: str) -> None:
    steps = UNKNOWN[name]
    told = everyhow("", steps)
    assert [line for line in told if "unknown_protocol" in line], told
    assert not [line for line in told if "secret" in line]
    for cut, seed in WAYS:
        asked, closing = Watcher(), Watcher(closes=True)
        Play("", asked).play(steps, cut, seed)
        assert asked.asked.count("unread") == 1, (cut, asked.asked)
        play = Play("", closing).play(steps, cut, seed)
        assert play.links[1].fate == "aborted"
        assert play.got[1].endswith(b"421 unread\r\n")


@pytest.mark.parametrize("scheme", ["", "smtp"])
@pytest.mark.parametrize("name", WRAPPINGS)
def test_what_stands_before_a_session(name: str, scheme: str) -> None:
    """Cases 01 and 08: named, its address told, and the session behind it is read; no judge is asked about it as unread."""
    before, note = WRAPPINGS[name]
    steps = [*before, (S, b"220 hello\r\n"), (C, b"EHLO c\r\n"), (S, b"250 mx\r\n"), (C, b"QUIT\r\n"), (S, b"221 bye\r\n")]
    told = everyhow(scheme, steps)
    assert any(note in line for line in told), told
    assert [word for line in told for word in line.split() if word in ("EHLO", "QUIT")][:2] == ["EHLO", "EHLO"]
    assert not [line for line in told if line.startswith(("critical", "high", "medium", "low"))], told
    assert not [line for line in told if "secret" in line or "c2VjcmV0" in line]
    judge = Watcher()
    Play(scheme, judge).play(steps)
    assert "unread" not in judge.asked


@pytest.mark.parametrize("scheme", ["", "smtp"])
@pytest.mark.parametrize("header", [PROXY1, PROXY2], ids=["1", "2"])
def test_a_header_after_the_greeting(header: bytes, scheme: str) -> None:
    """The server does not know the PROXY protocol: it greets at once, and answers the header's lines."""
    told = everyhow(scheme, [(S, b"220 mx\r\n"), (C, header + b"EHLO c\r\n"), *[(S, b"500 what?\r\n")] * header.count(b"\n"),
                             (S, b"250 mx\r\n"), (C, b"QUIT\r\n"), (S, b"221 bye\r\n")])
    assert [line for line in told if "PROXY 198.51.100.7:56310" in line]
    answered = [line.split()[3] for line in told if line.startswith("S->C reply ")]
    assert answered == ["PROXY"] * header.count(b"\n") + ["EHLO", "QUIT"]
    assert not [line for line in told if line.split()[0] in ("low", "medium", "high")]


@pytest.mark.parametrize("steps", [
    [(C, b"\r\n"), (S, b"500 what?\r\n"), (C, b"EHLO c\r\n"), (S, b"250 mx\r\n")],
    [(C, b"\r\n\r\n"), (S, b"500 what?\r\n500 what?\r\n"), (C, b"EHLO c\r\n"), (S, b"250 mx\r\n")],
])
def test_empty_lines_are_no_header(steps: Steps) -> None:
    """They are how the header of the PROXY protocol begins."""
    told = everyhow("smtp", [(S, b"220 mx\r\n"), *steps])
    assert [line.split()[3] for line in told if line.startswith("S->C reply")][-1] == "EHLO"


@pytest.mark.parametrize(("scheme", "greeting", "word"), [
    ("pop3", b"* OK Gimap ready\r\n", "IMAP"), ("smtp", b"* OK Gimap ready\r\n", "IMAP"), ("smtp", b"+OK pop\r\n", "POP3"),
    ("lmtp", b"+OK pop\r\n", "POP3"), ("pop3", b"220 mx ESMTP\r\n", "SMTP"), ("pop3", b"421 busy\r\n", "SMTP")])
def test_the_port_of_another_protocol(scheme: str, greeting: bytes, word: str) -> None:
    """Case 17: told once, and nobody is said to have talked early."""
    told = everyhow(scheme, [(S, greeting), (C, HELLOS[scheme]), (S, b"-ERR 500 BAD what?\r\n")])
    found = [line for line in told if line.startswith("high cross_protocol")]
    assert len(found) == 1
    assert f"as {word} does" in found[0]
    assert not [line for line in told if "early_talker" in line]


def test_a_header_that_hides_a_command_is_not_passed_over_a_judge() -> None:
    """What a server that knows no PROXY would read as commands."""
    hidden = b"\nMAIL FROM:<a@b>\nRCPT TO:<c@d>\n"
    for header in (PROXY2[:14] + pack(">H", 12 + len(hidden)) + PROXY2[16:] + hidden, PROXY2[:16] + b"\nRCPT TO:<a"):
        judge = Watcher(closes=True)
        play = Play("smtp", judge).play([(S, b"220 mx\r\n"), (C, header + b"@evil.example>\r\n")])
        assert play.got[0] == b""
        assert play.links[1].fate == "aborted"


@pytest.mark.parametrize("line", [b"\x01\x02\x80\x00\n", b"\xef\xbb\xbfQUIT\r\n", b"NOOP\rQUIT\r\n"])
@pytest.mark.parametrize(("scheme", "farewell"), [("smtp", b"421 4.7.0 mailspy: "), ("pop3", b"-ERR mailspy: ")])
def test_a_refusal_whose_turn_never_comes_ends_the_flow(scheme: str, farewell: bytes, line: bytes) -> None:
    """The server says no replies: nobody can tell after which of them a line could be answered in its place."""
    before: Steps = [(S, b"HELLO there\r\n"), (C, b"hello\r\n"), (S, b"echo: hello\r\n"), (C, b"and\r\n")]
    for steps in ([*before, (S, b"echo: and\r\n"), (C, line)], [*before, (C, line), (S, b"echo: and\r\n")]):
        for cut, seed in WAYS:
            play = Play(scheme, Watcher()).play(steps, cut, seed)
            assert farewell in play.got[1].splitlines()[-1]
            assert line.rstrip() not in play.got[0]


@pytest.mark.parametrize("rest", [
    [(C, b"hunter4 x\r\n"), (S, b" and hunter4\r\n")], [(C, b"hunter4 x")], [(C, b"hunter4 x"), (S, b" hunter4")],
    [(C, b"hunter4 x\r\n"), (C, b"hunter5 x\r\n"), (S, b" hunter5\r\n"), (S, b"500 hunter4\r\n")],
    [(C, b"hunter4 x\r\n"), (S, b" hunter4"), (C, b"hunter5\r\n"), (S, b" hunter5\r\nhunter4\r\n")]])
@pytest.mark.parametrize("scheme", ["smtp", "pop3"])
def test_what_was_said_before_repeats_nothing(tmp_path: Path, scheme: str, rest: Steps) -> None:
    """The server's half line stands in the capture as it came, before there was a secret: replay tells it as live told it."""
    for number, (cut, seed) in enumerate(WAYS):
        capture = CaptureWriter(f"{tmp_path}/{number}.pcapng", alarm=pytest.fail)
        play = Play(scheme, capture=capture).play([(S, GREETINGS[scheme]), (S, b"hunter4"), *rest], cut, seed)
        play.relay.ended(True)
        play.relay.ended(False)
        capture.close()
        assert replayed(tmp_path / f"{number}.pcapng", detailed=True) == play.told
        assert not [line for line in play.told if line.startswith("C->S") and "hunter4" in line]


@pytest.mark.parametrize("scheme", ["", "smtp", "pop3"])
def test_a_half_greeting_is_told_when_it_leaves(tmp_path: Path, scheme: str) -> None:
    """Held back to the end: the capture has it from then."""
    capture = CaptureWriter(f"{tmp_path}/c.pcapng", alarm=pytest.fail)
    play = Play(scheme, Watcher(), capture=capture).play([(S, b"220-mx\r\n")])
    play.relay.ended(True)
    play.relay.ended(False)
    capture.close()
    assert replayed(tmp_path / "c.pcapng", detailed=True) == play.told


PARTS = [b"220 mx ESMTP\r\n", b"220-mx\r\n", b"220 x\r\n", b"+OK\r\n", b"* OK\r\n", b"* PREAUTH\r\n", b"EHLO c\r\n",
         b"LHLO c\r\n", b"USER a\r\n", b"PASS secret\r\n", b"QUIT\r\n", b"\r\n", PROXY1, PROXY2, PROXY2[:9], PROXY1[:9],
         b"STARTTLS\r\n",
         b"500 what?\r\n", b"250 ok\r\n", b"\x16\x03\x01\x00\x05\x01ello", b"GET / HTTP/1.1\r\n\r\n", b"2", b"+", b"hello",
         b"\x05", b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n",
         *[data for steps in (SOCKS5, SOCKS5_LOGIN, SOCKS4, CONNECT) for _, data in steps]]
FLOWS = st.lists(st.tuples(st.booleans(), st.sampled_from(PARTS) | st.binary(max_size=6)), max_size=12)


@pytest.mark.parametrize("scheme", ["", "smtp", "pop3"])
@pytest.mark.parametrize("how", ["nobody", "a judge, refuse", "strip"])
def test_any_arrival(scheme: str, how: str) -> None:
    """Replay tells what live told; what leaves is what came, and of what is held back, no more than one line."""
    judged, policy = HOW[how]

    @given(FLOWS, st.integers(0, 2**16), st.sampled_from(["whole", "octets", "random"]))
    def hold(steps: Steps, seed: int, cut: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            capture = CaptureWriter(f"{folder}/c.pcapng", alarm=pytest.fail)
            play = Play(scheme, Watcher() if judged else None, policy, capture).play(steps, cut, seed)
            for came, left in zip(said(steps), play.got, strict=True):
                assert came.startswith(left) or policy != PASS
                assert came == left or policy != PASS or judged
            play.relay.ended(True)
            play.relay.ended(False)
            capture.close()
            assert replayed(Path(f"{folder}/c.pcapng"), detailed=True) == play.told
            assert said(steps)[1] == play.got[1] or policy != PASS, "what the server said has not arrived at the end"

    hold()


def test_what_a_capture_has_is_masked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until it is known what the flow is, line by line."""
    seen: list[int] = []
    monkeypatch.setattr("inspector.hold.veil", lambda line: seen.append(len(line)))
    flow = Arrival("", [], 65_536)
    for number in range(63):
        flow.take(True, b"x\n", number)
        flow.masked(2)
    for number in range(800):
        flow.take(True, b"x", number)
        flow.masked(1)
    assert len(seen) < 2_000


@pytest.mark.parametrize("unit", [b"\n", b"C", b"\r\n", b"a:\r\n", b"220-\r\n", b"\x05", b"PROXY ", b" "])
@pytest.mark.parametrize("head", [b"", b"CONNECT x:25 HTTP/1.1\r\n", b"\x05\x01\x00", PROXY2[:14] + b"\xff\xff", b"220-mx\r\n"])
def test_what_is_kept_of_an_arrival_is_bounded(head: bytes, unit: bytes) -> None:
    """Octet by octet, until it is known what it is."""
    for client in (True, False):
        flow = Arrival("", [], 65_536)
        for number, octet in enumerate(head + unit * (20_000 // len(unit))):
            flow.take(client, bytes([octet]), number)
            if flow.name():
                break
            flow.free(client, True)
        assert len(flow.client) <= LONGEST
        assert len(flow.server) <= LOOKED_AT
