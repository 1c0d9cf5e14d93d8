"""`--enforce-relay`: what the policy forbids is answered in its turn, and the server never sees it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from dialogue import pieces
from hypothesis import given, settings
from hypothesis import strategies as st
from mailspy_relay import BLIND, DENIED, HIDING, RelayPlugin
from mailspy_relay.command import hidden, recipient
from test_relay_sessions import Ear

from inspector import Address, Close, Flow, Options
from inspector.gate import FlowGate
from inspector.harmless import veil
from inspector.host import Hooks, Host
from inspector.limits import DEFAULT, Limits
from inspector.pipeline import Pipeline
from inspector.protocols.smtp import grammar
from inspector.protocols.smtp.caution import NO_CHUNKS, POSING

CLIENT, SERVER = True, False
Steps = list[tuple[bool, bytes]]
HELLO: Steps = [(SERVER, b"220 mx\r\n"), (CLIENT, b"EHLO c\r\n"), (SERVER, b"250-mx\r\n250 PIPELINING\r\n")]
GREETED = b"220 mx\r\n250-mx\r\n250 PIPELINING\r\n"
CHUNKING: Steps = [(CLIENT, b"EHLO c\r\n"), (SERVER, b"250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n")]
OFFERED = GREETED + b"250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n"


class Wire:
    """What reached the server and the client, and what was found."""

    def __init__(self, protocol: str = "smtp", limits: Limits = DEFAULT, **options: Any) -> None:
        host, self.ear = Host(pytest.fail), Ear()
        host.register("relay", RelayPlugin)
        host.register("ear", self.ear)
        host.configure(Options({"local-domain": ["cnam.fr"], "enforce-relay": True,
                                **{name.replace("_", "-"): value for name, value in options.items()}}))
        hooks = Hooks(host, lambda head: "")
        assert hooks.judging
        self.gate = FlowGate()
        self.inspector = Pipeline(hooks, limits=limits).open(
            Flow(1, Address("192.0.2.1", 40000), Address("192.0.2.2", 25), 0, protocol))
        self.inspector.judged_by(self.gate)
        self.server = self.client = b""

    def play(self, steps: Steps, cut: str = "whole", seed: int = 0) -> Wire:
        """Lets the steps come, cut as told."""
        chance = random.Random(seed)
        for client, data in steps:
            for piece in pieces(data, cut, chance):
                self.gate.came(client, piece)
                self.inspector.feed(client, piece, 1)
                self.gate.take_turns()
                self.server += self.gate.leaves(True)
                self.client += self.gate.leaves(False)
        return self

    def told(self) -> list[tuple[str, bool]]:
        """Verdicts, and whether mailspy gave them."""
        return [(one.fields["verdict"], one.fields["enforced"]) for one in self.ear.told]


def everyway(steps: Steps, **options: Any) -> Wire:
    """The same in every cutting."""
    whole = Wire(**options).play(HELLO + steps)
    for cut, seed in (("octets", 0), *(("random", seed) for seed in range(1, 6))):
        other = Wire(**options).play(HELLO + steps, cut, seed)
        assert (other.server, other.client, other.told()) == (whole.server, whole.client, whole.told()), cut
    return whole


def test_among_pipelined_recipients() -> None:
    """Two of four are answered here; every reply stands where it belongs; the letter goes to the others."""
    wire = everyway([
        (CLIENT, b"MAIL FROM:<a@x.example>\r\nRCPT TO:<1@victim.example>\r\nRCPT TO:<2@cnam.fr>\r\n"
                 b"rcpt to: <3%victim.example@cnam.fr> NOTIFY=NEVER\r\nRCPT TO:<4@cnam.fr>\r\nDATA\r\n"),
        (SERVER, b"250 sender\r\n250-two\r\n250 lines\r\n550 5.1.1 four\r\n354 go\r\n"),
        (CLIENT, b"Subject: x\r\n\r\nRCPT TO:<x@victim.example>\r\n.\r\nRCPT TO:<5@victim.example>\r\nQUIT\r\n"),
        (SERVER, b"250 queued\r\n221 bye\r\n")])
    assert wire.server == (b"EHLO c\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<2@cnam.fr>\r\nRCPT TO:<4@cnam.fr>\r\nDATA\r\n"
                           b"Subject: x\r\n\r\nRCPT TO:<x@victim.example>\r\n.\r\nQUIT\r\n")
    assert wire.client == (GREETED + b"250 sender\r\n" + DENIED + b"250-two\r\n250 lines\r\n" + DENIED
                           + b"550 5.1.1 four\r\n354 go\r\n250 queued\r\n" + DENIED + b"221 bye\r\n")
    assert wire.told() == [("relay_refused", True), ("local_accepted", False), ("relay_refused", True), ("refused_local", False),
                           ("relay_refused", True)]
    assert wire.ear.told[0].summary == "relay to 1@victim.example refused by mailspy (550)"


def test_what_may_relay_passes() -> None:
    """Exceptions and logins, by the sender that is hoped for while MAIL waits for its reply."""
    script: Steps = [
        (CLIENT, b"MAIL FROM:<boss@cnam.fr>\r\nRCPT TO:<1@victim.example>\r\nRSET\r\n"
                 b"MAIL FROM:<eve@cnam.fr>\r\nRCPT TO:<2@victim.example>\r\nAUTH CRAM-MD5\r\n"),
        (SERVER, b"250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n334 PDE+\r\n"), (CLIENT, b"YSBi\r\n"), (SERVER, b"235 ok\r\n"),
        (CLIENT, b"RCPT TO:<3@victim.example>\r\n"), (SERVER, b"250 ok\r\n")]
    wire = everyway(script, relay_sender=["boss@cnam.fr"])
    assert b"1@victim" in wire.server
    assert b"2@victim" not in wire.server
    assert b"3@victim" in wire.server
    assert wire.told() == [("relay_allowed", False), ("relay_refused", True), ("relay_allowed", False)]
    assert b"3@victim" not in everyway(script, no_auth_relay=True).server


def test_a_login_that_is_not_answered_yet_counts_for_nothing() -> None:
    """What comes before the answer to AUTH is read after it, and judged by it."""
    for answer, passes in ((b"235 ok\r\n", True), (b"535 no\r\n", False)):
        wire = everyway([(CLIENT, b"MAIL FROM:<a@cnam.fr>\r\n"), (SERVER, b"250 ok\r\n"),
                         (CLIENT, b"AUTH PLAIN AGEAYg==\r\n"), (SERVER, answer), (CLIENT, b"RCPT TO:<1@victim.example>\r\n")])
        assert (b"victim" in wire.server) is passes


@pytest.mark.parametrize(("answer", "passes"), [(b"235 ok\r\n", True), (b"535 no\r\n", False), (b"503 no\r\n", False)])
def test_what_came_before_the_answer_to_a_login_is_judged(answer: bytes, passes: bool) -> None:
    """It may be a password, so it is not shown; to the server it may be a recipient, so it is judged."""
    wire = everyway([
        (CLIENT, b"MAIL FROM:<a@cnam.fr>\r\nAUTH PLAIN AGEAYg==\r\nRCPT TO:<1@victim.example>\r\nRCPT TO:<2@cnam.fr>\r\n"),
        (SERVER, b"250 ok\r\n"), (SERVER, answer), (SERVER, b"250 ok\r\n")])
    assert (b"victim" in wire.server) is passes
    assert b"2@cnam.fr" in wire.server
    assert (DENIED in wire.client) is not passes
    assert wire.told() == []


def test_recipients_behind_a_chunk() -> None:
    """BDAT: octets that look like commands are content, and the commands behind them are judged."""
    wire = everyway([*CHUNKING,
        (CLIENT, b"MAIL FROM:<>\r\nRCPT TO:<1@victim.example>\r\nRCPT TO:<1@cnam.fr>\r\nBDAT 28 LAST\r\n"
                 b"DATA\r\nRCPT TO:<xx@cnam.fr>\r\nMAIL FROM:<>\r\nRCPT TO:<2@victim.example>\r\nRCPT TO:<3@cnam.fr>\r\n"),
        (SERVER, b"250 ok\r\n250 ok\r\n250 taken\r\n250 ok\r\n250 ok\r\n")])
    assert wire.server == (b"EHLO c\r\nEHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<1@cnam.fr>\r\nBDAT 28 LAST\r\n"
                           b"DATA\r\nRCPT TO:<xx@cnam.fr>\r\nMAIL FROM:<>\r\nRCPT TO:<3@cnam.fr>\r\n")
    assert wire.client == (OFFERED + b"250 ok\r\n" + DENIED + b"250 ok\r\n250 taken\r\n250 ok\r\n" + DENIED + b"250 ok\r\n")


def test_a_forbidden_recipient_in_a_chunk() -> None:
    """The server has offered CHUNKING, and may refuse the chunk all the same and read commands."""
    chunk = b"Subject: x\r\n\r\nRCPT TO:<x@victim.example>\r\n"
    steps = [*HELLO, *CHUNKING, (CLIENT, b"MAIL FROM:<>\r\nRCPT TO:<1@cnam.fr>\r\n"), (SERVER, b"250 ok\r\n250 ok\r\n"),
             (CLIENT, b"BDAT %d LAST\r\n" % len(chunk) + chunk), (SERVER, b"500 what\r\n" * 4)]
    for cut, seed in (("whole", 0), ("octets", 0), ("random", 1), ("random", 2)):
        wire = Wire().play(steps, cut, seed)
        assert not wire.server.endswith(b"victim.example>\r\n")
        assert wire.gate.closing == Close(POSING)


@pytest.mark.parametrize("line", [
    b"RCPT TO:<x@victim.example>\r\n", b"rcpt to:x@victim.example\r\n", b"RCPT TO: <x@victim.example>\r\n",
    b"RCPT  TO:<x@victim.example>\r\n", b" RCPT TO:<x@victim.example>\r\n", b"RCPT\tTO:<x@victim.example>\r\n",
    b"RcPt To:<x@victim.example>\n", b"RCPT TO:<@cnam.fr:x@victim.example>\r\n", b"RCPT TO:<\"x@victim.example\"@cnam.fr>\r\n",
    b"RCPT TO:<x@victim.example> \r\n", b"RCPT TO:<x@victim.example\r\n", b"RCPT TO:<cnam.fr> <x@victim.example>\r\n",
    b"RCPT <x@victim.example>\r\n", b"RCPT TO <x@victim.example>\r\n", b"RCPT TO:<" + b"x" * 9_000 + b"@victim.example>\r\n",
    b"RCPT TO:<x@victim.example\0@cnam.fr>\r\n", b"RCPT TO:<x@victim.example\r@cnam.fr>\r\n",
    b"RCPT TO:<<x@victim.example>>\r\n", b"RCPT TO:pierre <x@victim.example>\r\n", b"RCPT TO:<pierre>x@victim.example\r\n",
    b"RCPT TO:(x) <x@victim.example>\r\n", b"RCPT TO:<b@cnam.fr> , <x@victim.example>\r\n",
    b'RCPT TO: x="@victim.example\r\n', b"RCPT TO: x=@victim.example\r\n",
])
def test_no_spelling_gets_through(line: bytes) -> None:
    """What some server could read as a recipient elsewhere is not sent on."""
    wire = everyway([(CLIENT, b"MAIL FROM:<>\r\n" + line), (SERVER, b"250 ok\r\n")])
    assert b"victim" not in wire.server
    assert wire.client.endswith(DENIED)


@pytest.mark.parametrize("line", [b"NOOP\rRCPT TO:<x@victim.example>\r\n", b"AUTH PLAIN AGE\r rcpt to:<x@victim.example>\r\n",
                                  b"RCPT TO:<b@cnam.fr>\rRCPT TO:<x@victim.example>\r\n", b"\rRCPT TO:<x@victim.example>\r\n"])
def test_a_line_that_is_two_to_some_servers(line: bytes) -> None:
    """Nobody knows how many replies it would get: the flow is ended."""
    wire = Wire().play([*HELLO, (CLIENT, b"MAIL FROM:<>\r\n" + line)])
    assert b"victim" not in wire.server
    assert wire.gate.closing is not None
    assert wire.gate.closing.farewell == HIDING


def test_a_line_without_end() -> None:
    """It waits for its verdict in bounded memory; past it the flow is ended."""
    wire = Wire(limits=Limits(line=1_000, held=10_000)).play([*HELLO, (CLIENT, b"RCPT TO:<x@")])
    for _ in range(30):
        wire.play([(CLIENT, b"victim" * 100)])
    assert wire.server == b"EHLO c\r\n"
    wire.play([(CLIENT, b"victim" * 1_000)])
    assert wire.gate.closing is not None
    assert wire.server == b"EHLO c\r\n"


def test_everything_else_is_untouched() -> None:
    """Odd lines, and recipients that are allowed, leave octet by octet as they came; only LF alone becomes CRLF."""
    sent = (b"MAIL FROM:<a@x.example> SIZE=1\r\nRCPT TO:<b@cnam.fr>\r\nrcpt  to:<postmaster>\nVRFY x@victim.example\r\nWHAT?\r\n"
            b"\r\nHELP\r\nDATA\r\n")
    wire = everyway([(CLIENT, sent), (SERVER, b"250 ok\r\n250 ok\r\n250 ok\r\n252 ok\r\n500 what\r\n500 what\r\n214 help\r\n"
                                              b"354 go\r\n")])
    assert wire.server == b"EHLO c\r\n" + sent.replace(b"postmaster>\n", b"postmaster>\r\n")


def test_what_is_no_longer_read_is_ended() -> None:
    """A flood that makes mailspy give up reading must not carry recipients past it."""
    few = Limits(held=1_000)
    flood = b"AUTH PLAIN\r\n" + b"x" * 3_000 + b"\r\nMAIL FROM:<>\r\nRCPT TO:<x@victim.example>\r\n"
    wire = Wire(limits=few).play([*HELLO, (CLIENT, flood), (CLIENT, b"RCPT TO:<x@victim.example>\r\n")])
    assert b"victim" not in wire.server
    assert wire.gate.closing is not None
    assert wire.gate.closing.farewell == BLIND


def test_a_content_that_did_not_wait_is_not_guessed() -> None:
    """Until the answer to DATA is there, it could be commands."""
    flood = b"x\r\n" * 500 + b"RCPT TO:<x@victim.example>\r\n"
    wire = Wire(limits=Limits(held=1_000)).play([*HELLO, (CLIENT, b"DATA\r\n"), (CLIENT, flood), (SERVER, b"503 no\r\n")])
    assert wire.server == b"EHLO c\r\nDATA\r\n"
    assert wire.gate.closing is not None


def test_records_of_tls_pass() -> None:
    """They are not read, and cannot be judged."""
    wire = Wire().play([*HELLO, (CLIENT, b"STARTTLS\r\n"), (SERVER, b"220 go\r\n"), (CLIENT, b"\x16\x03\x01\x00\x02hi")])
    assert wire.server.endswith(b"\x16\x03\x01\x00\x02hi")
    assert wire.gate.closing is None


@settings(max_examples=200)
@given(st.lists(st.sampled_from([
    b"MAIL FROM:<a@x.example>", b"RCPT TO:<x@victim.example>", b"RCPT TO:<b@cnam.fr>", b"RSET", b"NOOP", b"DATA", b"WHAT",
    b"EHLO c", b"BDAT 3 LAST\r\nabc"]), max_size=12), st.integers(0, 2**32))
def test_replies_keep_their_order(commands: list[bytes], seed: int) -> None:
    """A server that answers every line it gets, whatever was sent and however it came: the client counts its replies."""
    wire = Wire().play(HELLO)
    chance = random.Random(seed)
    wanted = []
    for command in commands:
        wire.play([(CLIENT, command + b"\r\n" if not command.endswith(b"abc") else command)], "random", chance.randrange(99))
        refused = DENIED if b"victim" in command else NO_CHUNKS if command.endswith(b"abc") else b""
        wanted.append(refused or b"500 " + command[:4] + b"\r\n")
    got = wire.server.removeprefix(b"EHLO c\r\n")
    assert b"victim" not in got
    assert b"abc" not in got
    for line in got.splitlines():
        wire.play([(SERVER, b"500 " + line[:4] + b"\r\n")], "random", chance.randrange(99))
        while (now := wire.server.removeprefix(b"EHLO c\r\n")) != got:
            rest, got = now[len(got):], now
            for more in rest.splitlines():
                wire.play([(SERVER, b"500 " + more[:4] + b"\r\n")], "random", chance.randrange(99))
    assert wire.client.removeprefix(GREETED).splitlines() == [line.rstrip(b"\r\n") for line in wanted]


PIECES = [b"RCPT", b"TO", b"ORCPT=", b"a", b"cnam.fr", b"victim.example",
          *(bytes([octet]) for octet in b' \t:<>"\\@%,=()[]\r\0\xff')]


@settings(max_examples=500)
@given(st.lists(st.sampled_from(PIECES), max_size=14))
def test_what_is_judged_is_what_is_shown(pieces: list[bytes]) -> None:
    """A line that is read at all is read like the grammar of the session reads it, what is no secret of it."""
    line = b"RCPT TO:" + b"".join(pieces) + b"\r\n"
    veiled = veil(line)
    found = recipient(line if veiled is None else veiled.line)
    reading = grammar.command_line(line, len(line))
    if found is not None and reading.command.verb == "RCPT":
        assert found == reading.details["path"]


@pytest.mark.parametrize("line", [
    b"NOOP" + b"\r" * 10**6, b"NOOP" + b"\r " * 10**6, b"RCPT TO:<a>" + b" " * 10**6 + b"<",
    b"RCPT TO:<a>" + b" a=b" * 10**5 + b" <", b"RCPT TO:<" + b'"' * 10**6,
    b"RCPT TO:<" + b"\\" * 10**6, b" " * 10**6 + b"x", b"NOOP" + b"\rRCP" * 10**5])
def test_a_hostile_line_is_read_in_linear_time(line: bytes) -> None:
    """A quadratic reading would not end before the test does."""
    assert recipient(line) is None
    assert not hidden(line)
