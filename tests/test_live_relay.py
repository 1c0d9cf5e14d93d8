"""One flow between two links: exact octets, FIN as FIN, RST as RST, backpressure, captures written first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from dialogue import Witness
from links import Pair

from inspector.capture.reader import read
from inspector.capture.writer import CaptureWriter
from inspector.live import relay as relay_module
from inspector.pdu import Direction
from inspector.pipeline import Pipeline
from inspector.protocols.pop3 import POP3
from inspector.protocols.pop3.session import Pop3Session
from inspector.segment import Reset


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
def pair(witness: Witness) -> Pair:
    return Pair(Pipeline(witness), "pop3")


def test_octets_pass_exactly_whatever_they_are(pair: Pair) -> None:
    """Law 3: the parser's opinion does not matter."""
    noise = bytes(range(256)) * 3
    pair.c(noise)
    pair.s(noise[::-1])
    assert pair.server.sent == noise
    assert pair.client.sent == noise[::-1]


def test_a_half_close_is_passed_on_and_the_reply_still_comes(pair: Pair, witness: Witness) -> None:
    """Hostile case R03."""
    pair.s(b"+OK\r\n")
    pair.c(b"QUIT\r\n")
    pair.relay.ended(True)
    assert pair.server.fate == "ended"
    pair.s(b"+OK bye\r\n")
    assert pair.client.sent.endswith(b"+OK bye\r\n")
    assert pair.over == 0
    pair.relay.ended(False)
    assert (pair.client.fate, pair.server.fate, pair.over) == ("closed", "closed", 1)
    assert witness.told[-1] == ("closed", "client closed")


@pytest.mark.parametrize("client", [True, False])
def test_an_abort_is_passed_on_as_an_abort(pair: Pair, witness: Witness, client: bool) -> None:
    """Hostile case R04."""
    pair.s(b"+OK\r\n")
    pair.relay.broken(client)
    assert (pair.client.fate, pair.server.fate, pair.over) == ("aborted", "aborted", 1)
    assert witness.told[-1] == ("closed", "client reset" if client else "server reset")
    pair.relay.broken(not client)
    assert pair.over == 1


def test_a_reader_that_stops_stops_the_sender(pair: Pair) -> None:
    """Hostile case R01: at most one read waits."""
    pair.relay.start()
    pair.client.room = 10
    pair.s(b"+OK 123456789\r\n")
    assert not pair.server.reading
    assert pair.client.reading
    pair.client.drain()
    assert pair.server.reading


def test_the_last_octets_leave_before_the_links_close(pair: Pair) -> None:
    """FIN of both sides while the client still has to take something."""
    pair.client.room = 3
    pair.s(b"+OK bye\r\n")
    pair.relay.ended(True)
    pair.relay.ended(False)
    assert pair.over == 0
    pair.client.drain()
    assert pair.client.sent == b"+OK bye\r\n"
    assert pair.over == 1


def test_an_unreachable_server_is_told_in_the_clients_protocol(witness: Witness) -> None:
    """The client gets a reply and a clean close."""
    pair = Pair(Pipeline(witness), "smtp", server=False)
    pair.relay.refuse(b"421 4.4.1 mailspy: connection refused\r\n", "server unreachable")
    assert pair.client.sent == b"421 4.4.1 mailspy: connection refused\r\n"
    assert pair.client.fate == "ended"
    pair.relay.ended(True)
    assert (pair.client.fate, pair.over) == ("closed", 1)
    assert witness.told[-1] == ("closed", "server unreachable")


class Faulty(Pop3Session):
    """The injected fault."""

    def client_line(self, line: bytes, size: int) -> None:
        if self.flow.number == 1:
            raise RuntimeError("injected")
        super().client_line(line, size)


def test_a_fault_of_ours_makes_one_flow_a_raw_relay(witness: Witness) -> None:
    """The octets go on, the flow says so, and no other flow is touched."""
    alarms: list[str] = []
    pipeline = Pipeline(witness, [replace(POP3, session=Faulty)], alarm=alarms.append)
    broken, sound = Pair(pipeline, "pop3"), Pair(pipeline, "pop3", number=2)
    broken.s(b"+OK\r\n")
    broken.c(b"USER a\r\n")
    broken.c(b"PASS secret\r\n")
    sound.s(b"+OK\r\n")
    sound.c(b"USER a\r\n")
    assert broken.server.sent == b"USER a\r\nPASS secret\r\n"
    assert "parser_fault" in {name for name, _ in witness.anomalies}
    assert alarms[0].startswith("flow 1: a fault in reading it")
    assert witness.pdus[-1].verb == "USER"
    broken.relay.ended(True)
    broken.relay.ended(False)
    assert broken.over == 1
    assert "secret" not in str([pdu.text for pdu in witness.pdus])


def test_a_capture_is_written_before_the_octets_leave(witness: Witness, tmp_path: Path) -> None:
    """A byte that left the proxy is in the file, its secret masked, its PDUs in the comments."""
    path = tmp_path / "a.pcapng"
    pair = Pair(Pipeline(witness), "pop3", CaptureWriter(str(path), alarm=pytest.fail))
    saved_when_it_left: list[bytes] = []

    def leave(data: bytes) -> bool:
        saved_when_it_left.append(path.read_bytes())
        return False

    pair.client.send = pair.server.send = leave
    pair.s(b"+OK\r\n")
    pair.c(b"PASS secret\r\n")
    reply, password = saved_when_it_left
    assert (b"+OK\r\n" in reply, b"#1 S->C AUTHORIZATION +OK" in reply) == (True, True)
    assert (b"PASS ******\r\n" in password, b"#2 C->S AUTHORIZATION PASS ********" in password) == (True, True)
    assert b"secret" not in password
    pair.relay.broken(True)
    resets = [event for event in read(str(path)) if isinstance(event, Reset)]
    assert [event.direction for event in resets] == [Direction.CLIENT_TO_SERVER]


def test_time_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hostile case R07: a step of the wall clock changes no time stamp."""
    from inspector.live import clock

    before = clock.now()
    monkeypatch.setattr(clock.time, "time_ns", lambda: 0)
    assert clock.now() >= before
    assert clock.step() < 0
    assert relay_module.now is clock.now


@pytest.mark.parametrize(("protocol", "greeting", "noise"), [
    ("pop3", b"+OK\r\n", b"AUTH PLAIN\r\n"), ("smtp", b"220 x\r\n", b"AUTH PLAIN\r\n"), ("smtp", b"220 x\r\n", b"DATA\r\n.\r\n"),
    ("pop3", b"+OK\r\n", b"NOOP\r\n"), ("smtp", b"220 x\r\n", b"STARTTLS\r\n"), ("smtp", b"220 x\r\n", b"BDAT 1\r\nA"),
])
def test_a_client_that_never_waits_is_bounded_and_every_octet_counted(witness: Witness, protocol: str, greeting: bytes,
                                                                      noise: bytes) -> None:
    """2 MB of commands that no reply answers: no recursion, no fault, no copy of it all for each."""
    pair = Pair(Pipeline(witness), protocol)
    pair.s(greeting)
    octets = noise * (2_000_000 // len(noise))
    for at in range(0, len(octets), 200_000):
        pair.c(octets[at:at + 200_000])
    pair.relay.ended(True)
    pair.relay.ended(False)
    assert pair.server.sent == octets
    assert sum(pdu.size for pdu in witness.pdus if pdu.direction == "C->S") == len(octets)
    assert "parser_fault" not in {name for name, _ in witness.anomalies}
