"""Stories of mailspy's own life: no server, orders to stop, a sudden death, many sessions."""

from __future__ import annotations

import signal
import socket
import threading

import pytest

from .conftest import Proxied
from .harness import STAND_IN, Run, assert_no_secret, assert_tshark_is_content, parsed, replay, tshark
from .servers import USERS, Dovecot, free_port, listening, wait_until
from .shim import Line, ScriptedServer, call

SORRY = {"pop3": b"-ERR ", "smtp": b"421 ", "lmtp": b"421 "}


@pytest.mark.parametrize("scheme", SORRY)
def test_no_server(proxied: Proxied, scheme: str) -> None:
    """Where nobody listens, the client gets a refusal in its own protocol, and a clean end."""
    with proxied(f"{scheme}://127.0.0.1:{free_port()}") as run:
        for _ in range(3):
            with call(run.port) as line:
                said = line.rest()
                assert said.startswith(SORRY[scheme])
                assert said.endswith(b"\r\n")
                assert said.count(b"\n") == 1


def test_asked_to_stop_it_lets_sessions_end(proxied: Proxied, dovecot: Dovecot) -> None:
    """SIGTERM in mid-session: no new ones, this one goes on to its end, then a summary and exit status 0."""
    dovecot.maildrop("natkin", b"Subject: x\r\n\r\ny\r\n")
    with proxied(dovecot.pop3, dissected="pop") as run:
        with call(run.port) as line:
            line.line()
            line.ask(b"USER natkin\r\n")
            run.process.send_signal(signal.SIGTERM)
            wait_until(lambda: not listening(run.port), "mailspy no longer listening")
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", run.port), timeout=5)
            assert line.ask(f"PASS {USERS['natkin']}\r\n".encode()).startswith(b"+OK")
            line.say(b"RETR 1\r\nQUIT\r\n")
            assert line.rest().endswith(b"+OK Logging out.\r\n")
        assert run.process.wait(15) == 0
    assert run.stderr.strip(), "no summary"
    assert run.verbs() == ["USER", "PASS", "RETR", "QUIT"]


def test_told_twice_it_stops_at_once(proxied: Proxied) -> None:
    """A second signal ends it although a session is open; events and capture are whole all the same."""

    def script(line: Line) -> None:
        line.say(b"+OK ready\r\n")
        line.ending()

    with ScriptedServer("pop3", script) as server, proxied(server) as run, call(run.port) as line:
        line.line()
        run.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not listening(run.port), "mailspy no longer listening")
        run.process.send_signal(signal.SIGTERM)
        run.process.wait(5)
    assert len(run.events("flow_closed")) == 1


def test_killed_it_has_already_written_what_it_passed_on(proxied: Proxied) -> None:
    """`kill -9`: every octet that the client has received is in the capture, which tshark and replay read."""
    greeting = b"+OK a greeting to be found again\r\n"

    def script(line: Line) -> None:
        line.say(greeting)
        line.ending()

    with ScriptedServer("pop3", script) as server, proxied(server, check=False) as run, call(run.port) as line:
        assert line.line() == greeting
        run.kill()
        line.ending()
    if STAND_IN:
        return
    with replay(run) as replayed, tshark(run) as table:
        events = parsed(replayed.communicate(timeout=30)[0].decode())
        assert replayed.returncode == 0
        assert_tshark_is_content(table.communicate(timeout=30)[0].decode(), "pop")
    assert [event["text"] for event in events if event["event"] == "pdu"] == [greeting.decode().strip()]


def test_a_slow_reader_holds_the_sender_back(proxied: Proxied) -> None:
    """A client that does not read makes the server wait, not mailspy grow; what it reads later is complete."""
    size = 20 * 1024 * 1024
    piece = (b"x" * 78 + b"\r\n") * 1024
    done = threading.Event()

    def script(line: Line) -> None:
        line.say(b"+OK ready\r\n")
        line.line()
        line.say(b"+OK\r\n")
        for _ in range(size // len(piece)):
            line.say(piece)
        line.say(b".\r\n")
        done.set()
        line.ending()

    with ScriptedServer("pop3", script) as server, proxied(server) as run, call(run.port) as line:
        line.line()
        line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        before = resident(run)
        line.say(b"RETR 1\r\n")
        assert not done.wait(1)
        assert resident(run) - before < 16 * 1024 * 1024
        total = line.socket.recv_into(bytearray(5), 5)
        buffer = bytearray(1 << 20)
        while total < len(b"+OK\r\n") + size // len(piece) * len(piece) + 3:
            got = line.socket.recv_into(buffer)
            assert got
            total += got
        assert resident(run) - before < 16 * 1024 * 1024
    assert run.octets("S->C") == total + len(b"+OK ready\r\n")


def resident(run: Run) -> int:
    """Octets of memory that the process has now."""
    with open(f"/proc/{run.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


def test_a_password_in_two_pieces(proxied: Proxied, dovecot: Dovecot) -> None:
    """A password is written nowhere, at whichever octet the network has cut its command."""
    dovecot.maildrop("natkin")
    password = USERS["natkin"].encode()
    with proxied(dovecot.pop3, dissected="pop") as run:
        for cut in range(1, len(password) + 7):
            with call(run.port) as line:
                line.line()
                line.ask(b"USER natkin\r\n")
                command = b"PASS " + password + b"\r\n"
                line.ask(command[:cut], command[cut:])
                line.ask(b"QUIT\r\n")
    sizes = range(4, len(password))
    assert_no_secret(run, [password[:size] for size in sizes] + [password[-size:] for size in sizes])
