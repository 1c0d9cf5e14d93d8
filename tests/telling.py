"""Random flows, live and replayed: what a plugin with every hook is told of both.

A flow is a list of steps: octets of one side, or an end.  Live it goes through a relay between two links without sockets, past
judges that decide by what they see, and is captured; then the capture is replayed, and both must tell the same.

Knows the public hooks, relays and captures.  Must not know what is right: only that both are the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from links import FakeLink

from inspector import Answer, Close, Finding, Forward, Replace, hookimpl
from inspector.capture.reader import read_batches
from inspector.capture.writer import CaptureWriter
from inspector.hold import Letters
from inspector.host import Hooks, Host
from inspector.limits import DEFAULT, Limits
from inspector.live.relay import GatedRelay, Relay
from inspector.pdu import PDU, Address, Flow, Kind
from inspector.pipeline import Pipeline
from inspector.starttls import FOLLOW, HIDE, PASS, REFUSE, SERVE

OPENED = 1_790_000_000_000_000
SMALL = Limits(line=300, reply=400, head=64, listing=64, held=500, unanswered=5, undecided=200)
LEGS = [Finding("tls", f"{leg} leg: TLSv1.3", {"leg": leg}) for leg in ("server", "client")]
NO_TLS = [Finding("tls_failed", "server leg: no TLS", {"leg": "server", "injected": 0}, "high")]
ENDS = ("client ends", "server ends", "client breaks", "server breaks", "stop")


class Listener:
    """A plugin that writes down what every hook is told, all of it."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    @hookimpl
    def flow_opened(self, flow):
        self.told.append(("opened", flow.number, flow.client, flow.server, flow.opened, flow.protocol))

    @hookimpl
    def flow_closed(self, flow, reason):
        self.told.append(("closed", flow.number, reason, flow.closed, flow.protocol))

    @hookimpl
    def pdu_seen(self, pdu, session):
        self.told.append(("pdu", session.flow.number, *member(pdu), *state(session)))

    @hookimpl
    def phase_changed(self, session, before):
        self.told.append(("phase", session.flow.number, before, session.phase))

    @hookimpl
    def exchange_completed(self, exchange, session):
        self.told.append(("exchange", session.flow.number, exchange.verb, exchange.phase, exchange.client_state,
                          exchange.duration, exchange.command.number, [reply.number for reply in exchange.replies]))

    @hookimpl
    def anomaly_found(self, anomaly, session):
        self.told.append(("anomaly", session.flow.number, anomaly.name, anomaly.pdu, anomaly.detail, anomaly.time))

    @hookimpl
    def open_message(self, message, session):
        self.told.append(("message", session.flow.number, message.number, message.verb, message.opened,
                          repr(message.transaction)))
        return Content(self.told, message)

    @hookimpl
    def finding(self, finding, session):
        self.told.append(("finding", session.flow.number, finding, session.time))


class Content:
    """Remembers the octets of a message."""

    def __init__(self, told: list[tuple[Any, ...]], message: Any) -> None:
        self.told, self.message, self.data = told, message, b""

    def feed(self, data: bytes) -> None:
        self.data += data

    def close(self, complete: bool) -> None:
        message = self.message
        self.told.append(("content", message.session.flow.number, message.number, letter(self.data), message.size, complete,
                          message.time))


def letter(octets: bytes) -> bytes:
    """A content as a masked capture may show it: plugins get it as it crosses, a capture may mask what a refused DATA or BDAT
    would make a command (docs/security.md)."""
    return Letters().feed(octets)


def member(pdu: PDU) -> tuple[Any, ...]:
    """Every member of a PDU; of what is secret its place alone."""
    shown = letter(pdu.shown) if pdu.kind is Kind.BODY else pdu.shown
    return (pdu.number, pdu.direction, pdu.kind, pdu.phase, pdu.verb, pdu.status, shown, pdu.size, pdu.offset, pdu.time,
            pdu.client_state, pdu.transaction, pdu.secret, pdu.command and pdu.command.number, dict(pdu.details), pdu.text,
            pdu.origin)


def state(session: Any) -> tuple[Any, ...]:
    """What a plugin can ask a session for."""
    return (session.phase, session.client_state, session.user, session.authenticated, repr(session.transaction),
            repr(session.opening), session.tls, session.flow.protocol)


class Judge:
    """Decides by what it is shown, and nothing else."""

    def __init__(self, seed: int, share: int) -> None:
        self.seed, self.share = seed, share

    @hookimpl
    def judge_pdu(self, pdu, session):
        return self._decide(f"{pdu.direction}{pdu.kind}{pdu.raw!r}", pdu)

    @hookimpl
    def judge_message(self, message, session):
        return self._decide(f"{message.verb}{message.size}{message.number}", message)

    def _decide(self, seen: str, subject: Any) -> Any:
        dice = random.Random(crc32(f"{self.seed}{seen}".encode()))
        return None if dice.randrange(self.share) else dice.choice(VERDICTS)(dice, subject)


def _line(dice: random.Random, subject: Any) -> bytes:
    """Something to say in somebody's place."""
    client = isinstance(subject, PDU) and subject.direction == "C->S"
    return dice.choice(COMMANDS if client else REPLIES)


def _raise(dice: random.Random, subject: Any) -> Any:
    raise ValueError("a judge that fails")


VERDICTS: Sequence[Callable[[random.Random, Any], Any]] = (
    lambda dice, subject: Forward(),
    lambda dice, subject: Replace(_line(dice, subject)),
    lambda dice, subject: Replace(_line(dice, subject)),
    lambda dice, subject: Answer(dice.choice(REPLIES)),
    lambda dice, subject: Answer(dice.choice(REPLIES)),
    lambda dice, subject: Close(dice.choice((b"", b"421 bye\r\n", b"-ERR bye\r\n", b"421-bye\r\n421 bye\r\n", b"half"))),
    lambda dice, subject: Replace(dice.choice((b"", b"no line end", b"two\r\nlines\r\n", b"\x00\xff\r\n"))),
    lambda dice, subject: dice.choice(("junk", 7, b"x", [Forward()])),
    _raise,
)

ADDRESSES = (b"<a@b>", b"<c@d.example>", b"<>", b"<x@relay.example>", b"a@b", b"<postmaster>")
COMMANDS = (b"EHLO c\r\n", b"HELO c\r\n", b"LHLO c\r\n", b"MAIL FROM:<a@b>\r\n", b"MAIL FROM:<a@b> SIZE=9 BODY=8BITMIME\r\n",
            b"RCPT TO:<c@d>\r\n", b"RCPT TO:<x@relay.example>\r\n", b"DATA\r\n", b"BDAT 5\r\n", b"BDAT 5 LAST\r\n",
            b"BDAT 0 LAST\r\n", b"RSET\r\n", b"NOOP\r\n", b"QUIT\r\n", b"STARTTLS\r\n", b"STLS\r\n", b"AUTH PLAIN\r\n",
            b"AUTH PLAIN AGEAYg==\r\n", b"AUTH LOGIN\r\n", b"AUTH LOGIN bmF0\r\n", b"USER a\r\n", b"PASS secret\r\n",
            b"APOP a c4c9334bac560ecc979e58001b3e22fb\r\n", b"STAT\r\n", b"LIST\r\n", b"LIST 1\r\n", b"RETR 1\r\n",
            b"TOP 1 0\r\n", b"DELE 1\r\n", b"UIDL\r\n", b"CAPA\r\n", b"WHAT now\r\n", b"XCLIENT ADDR=1.2.3.4\r\n",
            b"VRFY a\r\n", b"AGEAYg==\r\n", b"*\r\n", b"\r\n", b"UTF8\r\n", b"mail from:<e@f>\n", b"STAT")
CONTENT = (b"Subject: x\r\n\r\nhello\r\n.\r\n", b"x\r\n..y\r\n.\r\n", b".\r\n", b"x\n.\ny\r\n.\r\n",
           b"a" * 400 + b"\r\n.\r\n", b"Author: me\r\nPass the salt\r\n.\r\n", b"5char", b"no end")
REPLIES = (b"220 mx\r\n", b"250 ok\r\n", b"250-mx\r\n250-SIZE\r\n250 STARTTLS\r\n", b"250-mx\r\n250 PIPELINING\r\n",
           b"354 go\r\n", b"235 in\r\n", b"334 \r\n", b"334 VXNlcg==\r\n", b"221 bye\r\n", b"550 5.1.1 no\r\n",
           b"535 no\r\n", b"421 gone\r\n", b"451 later\r\n", b"503 no\r\n", b"+OK\r\n", b"+OK hi <1@x>\r\n", b"-ERR no\r\n",
           b"+ \r\n", b"+OK\r\nUSER\r\nSTLS\r\n.\r\n", b"+OK\r\nSubject: x\r\n\r\nhel\r\n.\r\n", b"1 5\r\n.\r\n", b".\r\n",
           b"250 ok\n", b"what\r\n", b"250-mx\r\n", b"+OK")
NOISE = (b"\r", b"\n", b"\x00", b"\xff", b" ", b".", b"\x16\x03\x01\x00\x05\x01ello", b"\x17\x03\x03\x00\x02ab", b"\x16\x03",
         b"\r\n.\r\n", b"a" * 700 + b"\r\n", b"GET / HTTP/1.1\r\n", b"PASS", b"AUTH ", b"* OK hi\r\n", b"\x16\r\n")
GOOD = {"smtp": (b"220 mx\r\n", b"250 ok\r\n", b"250-mx\r\n250 STARTTLS\r\n", b"354 go\r\n", b"235 in\r\n", b"334 \r\n"),
        "pop3": (b"+OK hi\r\n", b"+OK\r\n", b"+OK\r\nUSER\r\nSTLS\r\n.\r\n", b"+OK\r\nx\r\n.\r\n", b"+ \r\n", b"-ERR\r\n")}


class Plan(NamedTuple):
    """A flow as it is to be."""

    protocol: str
    steps: Sequence[tuple[bool, bytes] | str]
    """`True` for the client; or one of `ENDS`."""
    judge: tuple[int, int] | None
    """The seed of its judge, and of how many one verdict is another than none."""
    policy: Any
    small: bool
    keeps: bool
    """Secrets are kept in the capture."""
    tls: str
    """What becomes of TLS that is agreed on: `begins`, `fails`, `waits`."""


def planned(seed: int) -> Plan:
    """The flow of that number."""
    dice = random.Random(seed)
    protocol = dice.choice(("smtp", "smtp", "smtp", "lmtp", "pop3", "pop3", "pop3", "", "imap"))
    judge = (dice.randrange(1 << 30), dice.choice((3, 6, 20))) if dice.random() < .6 else None
    policy = dice.choice((PASS, PASS, FOLLOW, HIDE, REFUSE, SERVE))
    steps: list[tuple[bool, bytes] | str] = list(cut(dice, script(dice, protocol)))
    for _ in range(dice.choice((0, 1, 1, 2))):
        steps.insert(dice.randint(len(steps) // 2, len(steps)), dice.choice(ENDS))
    return Plan(protocol, steps, judge, policy, dice.random() < .3, dice.random() < .2,
                dice.choice(("begins", "begins", "fails", "waits")))


def script(dice: random.Random, protocol: str) -> Iterable[tuple[bool, bytes]]:
    """What is said, in turns; sometimes many at a time, early, late or nonsense."""
    good = GOOD.get("pop3" if protocol == "pop3" else "smtp", ())
    odd = dice.choice((0, .1, .4))
    yield False, good[0] if dice.random() > odd else dice.choice(REPLIES)
    for _ in range(dice.randint(1, 14)):
        said = [dice.choice(COMMANDS) for _ in range(dice.choice((1, 1, 2, 4)))]
        if dice.random() < odd:
            said.insert(dice.randrange(len(said) + 1), dice.choice(NOISE + CONTENT))
        yield True, b"".join(said)
        if dice.random() < odd:
            continue
        for line in said:
            yield False, dice.choice(REPLIES + NOISE) if dice.random() < odd else dice.choice(good)
            if line == b"DATA\r\n" or dice.random() < odd:
                yield True, dice.choice(CONTENT)


def cut(dice: random.Random, said: Iterable[tuple[bool, bytes]]) -> Iterable[tuple[bool, bytes]]:
    """The same in segments: whole, in pieces, or several of one side together."""
    how = dice.choice(("whole", "whole", "pieces", "octets", "joined"))
    waiting: tuple[bool, bytes] | None = None
    for client, data in said:
        if how == "joined" and dice.random() < .6 and (waiting is None or waiting[0] is client):
            waiting = (client, data if waiting is None else waiting[1] + data)
            continue
        if waiting is not None:
            yield waiting
            waiting = None
        size = len(data) if how in ("whole", "joined") else 1 if how == "octets" and len(data) < 60 else dice.randint(1, 40)
        yield from ((client, data[at:at + size]) for at in range(0, len(data), size or 1))
    if waiting is not None:
        yield waiting


def pipeline_of(listener: Listener, plan: Plan, problems: list[str]) -> Pipeline:
    """What a flow of that plan is read by."""
    host = Host(lambda line: None if "judge" in line else problems.append(line))
    host.register("listener", listener)
    if plan.judge is not None:
        host.register("judge", Judge(*plan.judge))
    return Pipeline(Hooks(host, lambda head: f"record {head[:1].hex()}"), limits=SMALL if plan.small else DEFAULT,
                    alarm=problems.append)


class Run:
    """A flow of a plan between two links."""

    def __init__(self, plan: Plan, pipeline: Pipeline, capture: CaptureWriter) -> None:
        self.plan = plan
        self.client, self.server = FakeLink(), FakeLink()
        flow = Flow(1, Address("127.0.0.1", 40001), Address("127.0.0.1", 24110), OPENED, plan.protocol)
        inspector = pipeline.open(flow)
        over = self._over
        if plan.judge is not None or plan.policy != PASS:
            self.relay: Relay = GatedRelay(inspector, self.client, self.server, capture, plan.keeps, over, None, plan.policy,
                                           plan.judge is not None, self._begin_tls)
        else:
            self.relay = Relay(inspector, self.client, self.server, capture, plan.keeps, over, None)
        self.relay.start()
        self.over = False
        self.ended: set[bool] = set()
        self.securing = False

    def _over(self, relay: Relay) -> None:
        self.over = True

    def _begin_tls(self, relay: GatedRelay, gate: Any) -> None:
        breached, both = gate.breached, gate.policy.answer is None
        if breached or self.plan.tls == "fails":
            relay.abandon(NO_TLS, b"-ERR no TLS\r\n" if self.plan.protocol == "pop3" else b"454 no TLS\r\n")
        elif self.plan.tls == "waits":
            self.securing = True
        else:
            self.client.send(gate.reply)
            client, server = FakeLink(), FakeLink() if both else relay.server
            relay.secured(client, server, LEGS[not both:], PASS if both else HIDE)
            self.client, self.server = client, server

    def play(self) -> None:
        """All its steps; what cannot be any more is left out."""
        for step in self.plan.steps:
            if self.over:
                return
            if isinstance(step, str):
                self._end(step)
            elif step[0] not in self.ended and not self.securing and (step[0] or self.relay.server is not None):
                self.relay.received(*step)
        if not self.over:
            self.relay.stop()

    def _end(self, how: str) -> None:
        client = how.startswith("client")
        if how == "stop":
            self.relay.stop()
        elif not client and self.relay.server is None:
            return
        elif "breaks" in how:
            self.relay.broken(client)
        elif client not in self.ended:
            self.ended.add(client)
            self.relay.ended(client)


def told(plan: Plan, path: Path) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], list[str]]:
    """What live and replay tell of a flow, and what was wrong beside."""
    problems: list[str] = []
    live, again = Listener(), Listener()
    path.unlink(missing_ok=True)
    capture = CaptureWriter(str(path), alarm=problems.append)
    Run(plan, pipeline_of(live, plan, problems), capture).play()
    capture.close()
    pipeline = pipeline_of(again, plan, problems)
    for events in read_batches([str(path)], problems.append):
        pipeline.take_all(events)
    pipeline.finish()
    return live.told, again.told, problems


def difference(plan: Plan, path: Path) -> str:
    """The first that live and replay tell differently, or what was wrong; empty where all is well."""
    live, again, problems = told(plan, path)
    for one, other in zip_longest(live, again):
        if one != other:
            return f"live:   {one}\nreplay: {other}"
    return "; ".join(problems)


def reduced(plan: Plan, path: Path) -> Plan:
    """A flow with fewer and shorter steps that is still told differently."""
    smaller = True
    while smaller:
        smaller = False
        for candidate in _simpler(plan):
            if difference(candidate, path):
                plan, smaller = candidate, True
                break
    return plan


def _simpler(plan: Plan) -> Iterable[Plan]:
    steps = list(plan.steps)
    for size in (8, 4, 2, 1):
        for at in range(0, len(steps), size):
            yield plan._replace(steps=steps[:at] + steps[at + size:])
    if plan.judge is not None:
        yield plan._replace(judge=None)
    if plan.policy != PASS:
        yield plan._replace(policy=PASS)
    if plan.small:
        yield plan._replace(small=False)
    for at in range(len(steps) - 1):
        one, two = steps[at], steps[at + 1]
        if not isinstance(one, str) and not isinstance(two, str) and one[0] == two[0]:
            yield plan._replace(steps=[*steps[:at], (one[0], one[1] + two[1]), *steps[at + 2:]])
    for at, step in enumerate(steps):
        if isinstance(step, str):
            continue
        lines = step[1].splitlines(keepends=True)
        for place in range(len(lines) if len(lines) > 1 else 0):
            yield plan._replace(steps=[*steps[:at], (step[0], b"".join(lines[:place] + lines[place + 1:])), *steps[at + 1:]])
