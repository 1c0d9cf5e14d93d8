"""Verdicts carried out: what leaves, and when."""

from __future__ import annotations

from inspector import Answer, Close, Replace, hookimpl
from inspector.gate import FlowGate
from inspector.host import Hooks, Host
from inspector.pdu import Address, Flow, Kind
from inspector.pipeline import Pipeline

CLIENT, SERVER = True, False


class Judge:
    """Decides by a table: what a PDU begins with → verdict."""

    def __init__(self, verdicts, message=None) -> None:
        self.verdicts, self.message = verdicts, message
        self.texts: list[str] = []

    @hookimpl
    def judge_pdu(self, pdu, session):
        return next((verdict for head, verdict in self.verdicts.items() if pdu.raw.startswith(head)), None)

    @hookimpl
    def judge_message(self, message, session):
        return self.message

    @hookimpl
    def open_message(self, message, session):
        class Nothing:
            def feed(self, data): ...
            def close(self, complete): ...
        return Nothing()

    @hookimpl
    def pdu_seen(self, pdu, session):
        self.texts.append(f"{pdu.direction} {pdu.text}")


def wire(protocol: str, judge: Judge, *segments: tuple[bool, bytes]) -> tuple[bytes, bytes, FlowGate]:
    """What reaches the server and the client when the segments come one by one."""
    host = Host(print)
    host.register("judge", judge)
    pipeline = Pipeline(Hooks(host, lambda head: "TLS"))
    inspector = pipeline.open(Flow(1, Address("127.0.0.1", 1), Address("127.0.0.1", 2), 1, protocol))
    gate = FlowGate()
    inspector.judged_by(gate)
    to_server = to_client = b""
    for time, (client, data) in enumerate(segments, 2):
        gate.came(client, data)
        inspector.feed(client, data, time)
        gate.take_turns()
        to_server += gate.leaves(True)
        to_client += gate.leaves(False)
    return to_server, to_client, gate


def test_without_a_verdict_everything_leaves_as_it_came():
    """A judge that says nothing changes nothing."""
    to_server, to_client, _ = wire("pop3", Judge({}), (SERVER, b"+OK hi\r\n"), (CLIENT, b"USER a\r\nPA"), (CLIENT, b"SS b\r\n"),
                                   (SERVER, b"+OK\r\n+OK\r\n"), (CLIENT, b"RETR 1\r\n"), (SERVER, b"+OK\r\nx\r\n..y\r"),
                                   (SERVER, b"\n.\r\n"))
    assert to_server == b"USER a\r\nPASS b\r\nRETR 1\r\n"
    assert to_client == b"+OK hi\r\n+OK\r\n+OK\r\n+OK\r\nx\r\n..y\r\n.\r\n"


def test_half_a_line_waits_for_its_verdict():
    """What is not judged does not leave."""
    to_server, _, _ = wire("pop3", Judge({}), (SERVER, b"+OK hi\r\n"), (CLIENT, b"USER a\r\nPA"))
    assert to_server == b"USER a\r\n"


def test_a_replaced_command_is_what_the_server_gets():
    """And what the session reads: a judge's word stands in the place of the client's."""
    to_server, _, _ = wire("pop3", Judge({b"USER": Replace(b"USER guest\r\n")}), (SERVER, b"+OK hi\r\n"),
                           (CLIENT, b"USER root\r\nQUIT\r\n"))
    assert to_server == b"USER guest\r\nQUIT\r\n"


def test_an_answer_takes_its_turn_among_pipelined_replies():
    """The server never sees the command, and the client gets its replies in order."""
    judge = Judge({b"RCPT TO:<x@relay": Answer(b"550 5.7.1 no\r\n")})
    to_server, to_client, _ = wire(
        "smtp", judge, (SERVER, b"220 mx\r\n"), (CLIENT, b"EHLO c\r\n"), (SERVER, b"250 mx\r\n"),
        (CLIENT, b"MAIL FROM:<a@b>\r\nRCPT TO:<x@relay.example>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
        (SERVER, b"250 sender\r\n250 recipient\r\n354 go\r\n"), (CLIENT, b"hello\r\n.\r\n"), (SERVER, b"250 queued\r\n"))
    assert to_server == b"EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhello\r\n.\r\n"
    assert to_client == (b"220 mx\r\n250 mx\r\n250 sender\r\n550 5.7.1 no\r\n250 recipient\r\n354 go\r\n250 queued\r\n")


def test_an_answer_whose_turn_it_is_comes_at_once():
    """No server needs to speak first."""
    to_server, to_client, _ = wire("pop3", Judge({b"DELE": Answer(b"-ERR kept\r\n")}), (SERVER, b"+OK hi\r\n"),
                                   (CLIENT, b"DELE 1\r\nDELE 2\r\nNOOP\r\n"), (SERVER, b"+OK\r\n"))
    assert to_server == b"NOOP\r\n"
    assert to_client == b"+OK hi\r\n-ERR kept\r\n-ERR kept\r\n+OK\r\n"


def test_a_message_can_be_kept_from_its_end():
    """The server never sees the final dot of a message that a judge refuses."""
    to_server, _, gate = wire(
        "smtp", Judge({}, Answer(b"550 5.7.1 refused\r\n")), (SERVER, b"220 mx\r\n"), (CLIENT, b"EHLO c\r\n"),
        (SERVER, b"250 mx\r\n"), (CLIENT, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
        (SERVER, b"250 ok\r\n250 ok\r\n354 go\r\n"), (CLIENT, b"Subject: bad\r\n\r\n"), (CLIENT, b"text\r\n.\r\n"))
    assert gate.closing == Close(b"550 5.7.1 refused\r\n")
    assert b"\r\n.\r\n" not in to_server
    assert b"Subject: bad" in to_server


def test_the_strictest_of_several_judges_wins():
    """Forward < Replace < Answer < Close, whatever the order of the plugins."""
    from inspector.verdict import Forward, strictest

    verdicts = [Answer(b"550\r\n"), None, Close(b""), Forward(), Replace(b"x\r\n")]
    assert strictest(verdicts) == strictest(reversed(verdicts)) == Close(b"")
    assert strictest([None, None]) is None
    assert strictest([Forward(), Replace(b"x")]) == Replace(b"x")


def test_bodies_are_not_judged_as_lines():
    """A verdict on a body by mistake does nothing."""
    seen = []

    class Curious(Judge):
        @hookimpl
        def judge_pdu(self, pdu, session):
            seen.append(pdu.kind)
            return Replace(b"gone\r\n") if pdu.kind is Kind.BODY else None

    _, to_client, _ = wire("pop3", Curious({}), (SERVER, b"+OK\r\n"), (CLIENT, b"CAPA\r\n"),
                           (SERVER, b"+OK\r\nUSER\r\n.\r\n"))
    assert to_client == b"+OK\r\n+OK\r\nUSER\r\n.\r\n"
    assert Kind.BODY in seen
