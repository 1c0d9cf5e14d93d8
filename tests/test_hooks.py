"""Every hook is documented, fired live and in replay, in the same order and with the same data."""

from __future__ import annotations

import inspect

import pytest
from links import Pair

from inspector import Finding, Forward, Part, hookimpl, hookspecs
from inspector.capture.reader import read
from inspector.capture.writer import CaptureWriter
from inspector.host import Hooks, Host
from inspector.pipeline import BUILTIN_PROTOCOLS, Pipeline

HOOKS = [name for name, function in vars(hookspecs).items()
         if inspect.isfunction(function) and hasattr(function, "mailspy_spec")]


class Recorder:
    """A plugin with every hook, which writes down what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []

    @hookimpl
    def add_options(self, parser): self.calls.append(("add_options",))

    @hookimpl
    def configure(self, options): self.calls.append(("configure",))

    @hookimpl
    def register_protocols(self):
        self.calls.append(("register_protocols",))
        return []

    @hookimpl
    def flow_opened(self, flow):
        self.calls.append(("flow_opened", flow.number, flow.client, flow.server, flow.opened, flow.protocol))

    @hookimpl
    def flow_closed(self, flow, reason): self.calls.append(("flow_closed", flow.number, reason, flow.closed))

    @hookimpl
    def judge_pdu(self, pdu, session):
        self.calls.append(("judge_pdu", pdu.number, pdu.text))
        return Forward()

    @hookimpl
    def judge_message(self, message, session): self.calls.append(("judge_message", message.number, message.size))

    @hookimpl
    def pdu_seen(self, pdu, session):
        self.calls.append(("pdu_seen", session.flow.number, pdu.number, pdu.time, pdu.direction, pdu.phase, pdu.text,
                           session.phase, session.user))

    @hookimpl
    def phase_changed(self, session, before): self.calls.append(("phase_changed", before, session.phase))

    @hookimpl
    def exchange_completed(self, exchange, session):
        self.calls.append(("exchange_completed", exchange.verb, exchange.duration, len(exchange.replies)))

    @hookimpl
    def anomaly_found(self, anomaly, session):
        self.calls.append(("anomaly_found", anomaly.name, anomaly.pdu, anomaly.detail, anomaly.time))

    @hookimpl
    def open_message(self, message, session):
        self.calls.append(("open_message", message.number))
        return Sink(self, message, session)

    @hookimpl
    def open_part(self, part, message): self.calls.append(("open_part", part.content_type))

    @hookimpl
    def finding(self, finding, session): self.calls.append(("finding", finding.summary))


class Sink:
    """Reports what it got, as the MIME plugin would."""

    def __init__(self, recorder, message, session) -> None:
        self.recorder, self.message, self.session, self.data = recorder, message, session, b""

    def feed(self, data: bytes) -> None:
        self.data += data

    def close(self, complete: bool) -> None:
        self.session.open_part(Part(self.message, "1", "text/plain"), self.message)
        self.session.report(Finding("message", f"{len(self.data)} octets, {complete}", {}))


def pipeline_of(recorder: Recorder) -> Pipeline:
    host = Host(pytest.fail)
    host.register("recorder", recorder)
    host.options()
    host.configure(None)
    return Pipeline(Hooks(host, lambda head: "TLS"), [*BUILTIN_PROTOCOLS, *host.protocols()])


def conversation(pipeline: Pipeline, capture: CaptureWriter) -> None:
    """Two flows at once: a POP3 session that is read to its end, and an SMTP session that is aborted."""
    pop = Pair(pipeline, "pop3", capture, judged=True, number=1)
    smtp = Pair(pipeline, "smtp", capture, judged=True, number=2)
    pop.s(b"+OK hi\r\n")
    smtp.s(b"220 mx\r\n")
    pop.c(b"USER a\r\nPA")
    smtp.c(b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")
    pop.c(b"SS secret\r\nRETR 1\r\n")
    pop.s(b"+OK\r\n+OK\r\n+OK\r\nSubject: x\r\n\r\nhel")
    smtp.s(b"250 mx\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    pop.s(b"lo\r\n.\r")
    smtp.c(b"Subject: y\r\n\r\nhello\r\n.\r\n")
    pop.s(b"\n")
    pop.c(b"WHAT\r\nQUIT\r\n")
    pop.s(b"-ERR\r\n+OK\r\n")
    pop.relay.ended(False)
    pop.relay.ended(True)
    smtp.relay.broken(True)


def test_every_hook_has_a_docstring_and_at_most_three_arguments() -> None:
    """The reference is made of them."""
    assert len(HOOKS) == 14
    for name in HOOKS:
        function = getattr(hookspecs, name)
        assert inspect.getdoc(function), name
        assert len(inspect.signature(function).parameters) <= 3


def test_every_hook_is_fired_live_and_in_replay_in_the_same_order(tmp_path) -> None:
    """`replay(capture(live)) == live`, for plugins."""
    live, again = Recorder(), Recorder()
    capture = CaptureWriter(str(tmp_path / "x.pcapng"), alarm=pytest.fail)
    conversation(pipeline_of(live), capture)
    capture.close()
    pipeline = pipeline_of(again)
    for event in read(capture.path, pytest.fail):
        pipeline.take(event)
    pipeline.finish()
    assert again.calls == live.calls
    assert {call[0] for call in live.calls} == set(HOOKS)
    assert b"secret" not in (tmp_path / "x.pcapng").read_bytes()
