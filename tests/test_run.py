"""Segments of a content that are read together: nobody can tell the difference, neither in what is told nor in when."""

from __future__ import annotations

import random
from base64 import encodebytes
from pathlib import Path

import pytest
from mailspy_attachments import AttachmentsPlugin
from mailspy_mime import MimePlugin

from inspector import OptionParser, Options
from inspector.host import Hooks, Host
from inspector.pdu import C2S, RUN, S2C, Address, Flow
from inspector.pipeline import Pipeline
from inspector.segment import Ended, Event, Opened, Segment

DATA = (b"EHLO c\r\n", b"250 mx\r\n", b"MAIL FROM:<a@b>\r\n", b"250 ok\r\n", b"RCPT TO:<c@d>\r\n", b"250 ok\r\n", b"DATA\r\n",
        b"354 go\r\n")


class Clerk:
    """A plugin that notes all that is told, and when."""

    def __init__(self) -> None:
        self.told: list[tuple] = []

    def note(self, session, *what) -> None:
        self.told.append((session.flow.number, session.time, *what))

    def pdu_seen(self, pdu, session) -> None:
        self.note(session, pdu.number, pdu.kind, pdu.size, pdu.time)

    def anomaly_found(self, anomaly, session) -> None:
        self.note(session, anomaly.name, anomaly.time)

    def finding(self, finding, session) -> None:
        self.note(session, finding.event, repr(finding.fields))


class Watched:
    """The hooks, with a clerk who hears all that is told, and a count of what sinks are fed."""

    exchange_completed = None
    judge = None

    def __init__(self, hooks: Hooks, clerk: Clerk, patient: bool) -> None:
        self.hooks, self.clerk, self.patient = hooks, clerk, patient
        self.fed = 0
        self.flow_opened, self.flow_closed = hooks.flow_opened, hooks.flow_closed
        self.phase_changed, self.open_part = hooks.phase_changed, hooks.open_part
        self.describe_record = hooks.describe_record

    def pdu_seen(self, pdu, session) -> None:
        self.clerk.pdu_seen(pdu, session)
        self.hooks.pdu_seen(pdu, session)

    def anomaly_found(self, anomaly, session) -> None:
        self.clerk.anomaly_found(anomaly, session)
        self.hooks.anomaly_found(anomaly, session)

    def finding(self, finding, session) -> None:
        self.clerk.finding(finding, session)
        self.hooks.finding(finding, session)

    def open_message(self, message, session) -> Counted:
        return Counted(self, self.hooks.open_message(message, session))


class Counted:
    """A sink that counts."""

    def __init__(self, watched: Watched, inner) -> None:
        self.watched, self.inner = watched, inner

    @property
    def patient(self) -> bool:
        return self.watched.patient and self.inner.patient

    def feed(self, data: bytes) -> None:
        self.watched.fed += 1
        self.inner.feed(data)

    def close(self, complete: bool) -> None:
        self.inner.close(complete)


def told(events: list[Event], folder: Path, patient: bool) -> tuple[list[tuple], int]:
    """What the plugins tell, and how many times the reader of a message was fed."""
    clerk = Clerk()
    host = Host(pytest.fail)
    mime, attachments = MimePlugin(), AttachmentsPlugin()
    parser = OptionParser("attachments")
    attachments.add_options(parser)
    folder.mkdir()
    attachments.configure(Options({option.name: None for option in parser.options} | {"attachments": str(folder)}))
    host.register("mime", mime)
    host.register("attachments", attachments)
    observer = Watched(Hooks(host, lambda head: ""), clerk, patient)
    pipeline = Pipeline(observer)
    pipeline.take_all([fresh(event) for event in events])
    pipeline.finish()
    return [(*entry[:3], *(str(one).replace(str(folder), "") for one in entry[3:])) for entry in clerk.told], observer.fed


def fresh(event: Event) -> Event:
    """The event; of a flow that begins one of its own, since a run changes it."""
    if isinstance(event, Opened):
        flow = event.flow
        return Opened(Flow(flow.number, flow.client, flow.server, flow.opened, flow.protocol))
    return event


def message(dice: random.Random) -> bytes:
    """Something with parts, large and small, and traps: boundaries that are none, dots, dashes."""
    parts = []
    for number in range(dice.randint(1, 4)):
        kind = dice.choice(("base64", "base64", "html", "enclosed"))
        if kind == "base64":
            body = encodebytes(dice.randbytes(dice.choice((0, 50, 5_000, 300_000)))).replace(b"\n", b"\r\n")
            head = b"Content-Type: application/x-data; name=f%d.bin\r\nContent-Transfer-Encoding: base64\r\n" % number
        elif kind == "html":
            body = b"".join(dice.choice((b"<p>word\r\n", b"--", b"\r\n--B", b"\r\n..", b"-", b"\r\n.x", b"\n", b"long " * 300))
                            for _ in range(dice.randint(0, 30)))
            head = b"Content-Type: text/html\r\n"
        else:
            inner = b"Content-Type: multipart/mixed; boundary=I\r\n\r\n--I\r\n\r\none\r\n--I\r\n\r\ntwo\r\n--I--\r\n"
            body = encodebytes(inner).replace(b"\n", b"\r\n")
            head = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n"
        parts.append(b"--B\r\n" + head + b"\r\n" + body + b"\r\n")
    return b"Subject: x\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n" + b"".join(parts) + b"--B--\r\n.\r\n"


def conversation(number: int, dice: random.Random) -> list[Event]:
    """One flow as events without times."""
    flow = Flow(number, Address("192.0.2.1", 40_000 + number), Address("192.0.2.2", 25), 0, "smtp")
    events: list[Event] = [Opened(flow), Segment(number, S2C, 0, b"220 mx\r\n")]
    for at, line in enumerate(DATA):
        events.append(Segment(number, S2C if at % 2 else C2S, 0, line))
    data = message(dice)
    while data:
        size = dice.choice((1, 7, 1_460, 1_460, 1_460, 1_460, 9_000))
        events.append(Segment(number, C2S, 0, data[:size]))
        data = data[size:]
        if dice.random() < 0.01:
            events.append(Segment(number, S2C, 0, b"421 too early\r\n"))
    events += [Segment(number, S2C, 0, b"250 ok\r\n")] * dice.randint(0, 1)
    return events + [Ended(number, way, 0) for way in (C2S, S2C)] * dice.randint(0, 1)


def mixed(dice: random.Random) -> list[Event]:
    """Some conversations at the same time, each event with a time of its own."""
    every = [conversation(number, dice) for number in range(1, dice.randint(2, 4))]
    events: list[Event] = []
    while every := [one for one in every if one]:
        one = dice.choice(every)
        size = dice.choice((1, 5, 200))
        events += one[:size]
        del one[:size]
    return [timed(event, time) for time, event in enumerate(events)]


def timed(event: Event, time: int) -> Event:
    if isinstance(event, Segment):
        return Segment(event.flow, event.direction, time, event.data)
    return Ended(event.flow, event.direction, time) if isinstance(event, Ended) else event


@pytest.mark.parametrize("seed", range(25))
def test_a_run_tells_what_its_segments_tell_one_by_one(seed: int, tmp_path: Path) -> None:
    events = mixed(random.Random(seed))
    one_by_one, _ = told(events, tmp_path / "one", False)
    together, _ = told(events, tmp_path / "all", True)
    assert together == one_by_one


def test_a_large_attachment_is_read_in_runs(tmp_path: Path) -> None:
    """300 segments: most of them wait for others, up to 64 KiB."""
    flow = Flow(1, Address("192.0.2.1", 40_000), Address("192.0.2.2", 25), 0, "smtp")
    head = b"Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    data = head + encodebytes(bytes(330_000)).replace(b"\n", b"\r\n") + b".\r\n"
    events: list[Event] = [Opened(flow), Segment(1, S2C, 1, b"220 mx\r\n")]
    events += [Segment(1, S2C if at % 2 else C2S, 2, line) for at, line in enumerate(DATA)]
    events += [Segment(1, C2S, 3 + at, data[at:at + 1_460]) for at in range(0, len(data), 1_460)]
    together, fed = told(events, tmp_path / "all", True)
    one_by_one, each = told(events, tmp_path / "one", False)
    assert together == one_by_one
    assert each > 300
    assert len(data) / RUN < fed < each / 3
