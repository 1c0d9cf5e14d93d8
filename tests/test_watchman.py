"""What is held back: a hello is never kept for ever, only the right reply agrees to TLS, and what is held for long is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from links import FakeLink
from told import listener, replayed

from inspector import hookimpl
from inspector.capture.writer import CaptureWriter
from inspector.gate import FlowGate
from inspector.live.relay import GatedRelay
from inspector.live.upgrade import Upgrade
from inspector.live.watchman import LONG, NOTICES, PATIENCE, Watchman
from inspector.pdu import Address, Flow
from inspector.protocols.pop3.starttls import STLS
from inspector.protocols.smtp.starttls import LMTP, SMTP
from inspector.starttls import FOLLOW, HIDE, PASS, SERVE, Policy

C, S = True, False
HELLO = b"\x16\x03\x01\x00\x05\x01ello"
MAIL = [(S, b"220 mx\r\n"), (C, b"EHLO c\r\n"), (S, b"250-mx\r\n250 STARTTLS\r\n"), (C, b"STARTTLS\r\n")]
BOX = [(S, b"+OK\r\n"), (C, b"STLS\r\n")]


class Silent:
    """A judge that says nothing."""

    @hookimpl
    def judge_pdu(self, pdu, session):
        return None


class Held:
    """A gated relay between two links, and a watchman whose clock the test moves."""

    def __init__(self, protocol: str, policy: Policy = FOLLOW, judged: bool = False,
                 capture: CaptureWriter | None = None) -> None:
        told, pipeline = listener(*[Silent()] if judged else [], detailed=True)
        self.told = told.told
        self.links = FakeLink(), FakeLink()
        self.notices: list[str] = []
        self.begun: list[FlowGate] = []
        flow = Flow(1, Address("127.0.0.1", 40001), Address("127.0.0.1", 24110), 1_790_000_000_000_000, protocol)
        self.watchman = Watchman(self.notices.append)
        self.relay = GatedRelay(pipeline.open(flow), *self.links, capture, False, self.watchman.forget, None, policy, judged,
                                lambda relay, gate: self.begun.append(gate))
        self.watchman.watch(self.relay)
        self.now = 0.0

    def play(self, *steps: tuple[bool, bytes]) -> Held:
        for client, data in steps:
            self.relay.received(client, data)
        return self

    def after(self, seconds: float) -> Held:
        for _ in range(int(seconds * 2) + 1):
            self.now += 0.5
            self.watchman.round(self.now)
        return self

    def end(self) -> None:
        self.relay.ended(True)
        self.relay.ended(False)


@pytest.mark.parametrize(("protocol", "steps", "replies"), [
    ("smtp", MAIL, [b"250 ok\r\n", b"200 ok\r\n", b"221 bye\r\n", b"454 no\r\n", b"334 go\r\n", b"500 what?\r\n", b"+OK\r\n"]),
    ("pop3", BOX, [b"-ERR no\r\n", b"220 go\r\n"])])
@pytest.mark.parametrize("eager", [True, False])
def test_only_the_right_reply_agrees(protocol: str, steps: list, replies: list[bytes], eager: bool, tmp_path: Path) -> None:
    """Whatever else comes, the hello goes on to the server, at the latest when it has waited for long, and it is told."""
    for number, reply in enumerate(replies):
        capture = CaptureWriter(str(tmp_path / f"{number}.pcapng"), alarm=pytest.fail)
        held = Held(protocol, capture=capture).play(*steps)
        held.play(*[(C, HELLO), (S, reply)] if eager else [(S, reply), (C, HELLO)]).after(PATIENCE)
        assert held.begun == []
        assert held.links[1].sent.endswith(HELLO), reply
        assert held.links[0].sent.endswith(reply)
        assert [line for line in held.told if line.split()[0] in ("low", "medium", "high")], reply
        held.end()
        capture.close()
        assert replayed(tmp_path / f"{number}.pcapng", detailed=True) == held.told


@pytest.mark.parametrize(("protocol", "steps", "reply"), [("smtp", MAIL, b"220 go\r\n"), ("pop3", BOX, b"+OK go\r\n")])
def test_the_right_reply_begins_tls(protocol: str, steps: list, reply: bytes) -> None:
    held = Held(protocol).play(*steps, (C, HELLO), (S, reply)).after(3 * LONG)
    assert [gate.hello for gate in held.begun] == [HELLO]
    assert not held.links[1].sent.endswith(HELLO)


@pytest.mark.parametrize("judged", [True, False])
@pytest.mark.parametrize("hello", [HELLO, HELLO[:1], HELLO[:3]])
def test_a_silent_server(hello: bytes, judged: bool, tmp_path: Path) -> None:
    """The hello, or half of it, goes on unread with a word why; what follows too."""
    capture = CaptureWriter(str(tmp_path / "c.pcapng"), alarm=pytest.fail)
    held = Held("smtp", judged=judged, capture=capture).play(*MAIL, (C, hello))
    assert held.links[1].sent.endswith(b"STARTTLS\r\n")
    held.after(PATIENCE).play((C, b"more"), (S, b"220 late\r\n"))
    assert held.links[1].sent.endswith(b"STARTTLS\r\n" + hello + b"more")
    assert held.links[0].sent.endswith(b"220 late\r\n")
    assert "flow 1: the client begins TLS" in held.notices[0]
    assert [line for line in held.told if line.startswith("tls_passed ")]
    held.end()
    capture.close()
    assert replayed(tmp_path / "c.pcapng", detailed=True) == held.told


def test_where_the_server_is_not_asked_the_session_is_ended() -> None:
    """Its own leg is to be in the clear: a hello is nothing for it."""
    held = Held("smtp", SERVE).play((S, b"220 mx\r\n"), (C, b"NOOP\r\nSTARTTLS\r\n"), (C, HELLO)).after(PATIENCE)
    assert held.links[1].fate == "aborted"
    assert b"hello" not in held.links[1].sent
    assert [line for line in held.told if line.startswith("tls_failed ")]


def test_a_hello_that_nobody_agreed_to_does_not_pass_a_judge() -> None:
    held = Held("smtp", judged=True).play(*MAIL, (S, b"454 no\r\n"), (C, HELLO)).after(PATIENCE)
    assert held.links[1].fate == "aborted"
    assert HELLO not in held.links[1].sent


@pytest.mark.parametrize("starttls", [SMTP, LMTP, STLS])
def test_a_server_that_is_asked_first(starttls) -> None:
    """`--upstream …+starttls://`: the same replies agree."""
    good, bad = (b"+OK\r\n", b"-ERR\r\n") if starttls is STLS else (b"220 go\r\n", b"250 go\r\n")
    for reply, agreed in ((good, True), (bad, False)):
        outcomes: list[str] = []
        link = FakeLink()
        upgrade = Upgrade(link, starttls, lambda refusal, theirs: outcomes.append(refusal))
        upgrade.received(False, b"+OK\r\n" if starttls is STLS else b"220 mx\r\n")
        if starttls.opening:
            upgrade.received(False, b"250 mx\r\n")
        upgrade.received(False, reply)
        assert (outcomes == [""]) is agreed
        assert agreed or reply.decode().strip() in outcomes[0]


HELD = {
    "half a line": ("smtp", PASS, True, [(S, b"220 mx\r\n"), (C, b"EHL")]),
    "octets after DATA": ("smtp", PASS, True, [(S, b"220 mx\r\n"), (C, b"DATA\r\n"), (C, b"x")]),
    "a listing": ("smtp", HIDE, False, [(S, b"220 mx\r\n"), (C, b"EHLO c\r\n"), (S, b"250-mx\r\n")]),
    "a half greeting after the client": ("smtp", PASS, True, [(C, b"EHLO c\r\n"), (S, b"220 m")]),
}


@pytest.mark.parametrize("name", HELD)
def test_what_is_held_for_long_is_told_once(name: str) -> None:
    protocol, policy, judged, steps = HELD[name]
    held = Held(protocol, policy, judged).play(*steps).after(LONG - 1)
    assert held.notices == []
    held.after(10 * LONG)
    assert len(held.notices) == held.watchman.alarms == 1
    assert held.notices[0].startswith("flow 1: ")
    assert " are held for 5 s: " in held.notices[0]


def test_half_a_greeting_goes_on() -> None:
    """A client that waits for it gets it, whoever judges; nobody can tell whether there is more."""
    for protocol in ("", "smtp"):
        held = Held(protocol, PASS, True).play((S, b"220 mx ready"))
        assert held.links[0].sent == b""
        held.after(PATIENCE)
        assert held.links[0].sent == b"220 mx ready"
        held.play((C, b"EHLO c\r\n"), (S, b"250 mx\r\n"))
        assert held.links[1].sent == b"EHLO c\r\n"


def test_many_alarms_are_counted() -> None:
    notices: list[str] = []
    watchman = Watchman(notices.append)
    for _ in range(NOTICES + 30):
        held = Held("smtp", PASS, True).play((S, b"220 mx\r\n"), (C, b"EHL"))
        watchman.watch(held.relay)
    for now in range(20):
        watchman.round(float(now))
    assert (len(notices), watchman.alarms) == (NOTICES, NOTICES + 30)
    watchman.close()
    assert notices[-1].startswith(f"octets of {NOTICES + 30} flows")


def test_nothing_held_is_no_alarm() -> None:
    held = Held("smtp", FOLLOW, True).play(*MAIL[:3]).after(20 * LONG)
    held.end()
    held.after(20 * LONG)
    assert held.notices == []
