"""Stories of peers that misbehave: they break off, speak out of turn, and send what they should not."""

from __future__ import annotations

import threading
import time

import pytest

from .conftest import Proxied
from .harness import STAND_IN, Run
from .shim import Faults, Line, ScriptedServer, Shim, call

GREETING = b"+OK ready\r\n"


def reasons(run: Run) -> list[str]:
    """How the flows ended, in the order of their numbers."""
    return [event["reason"] for event in sorted(run.events("flow_closed"), key=lambda event: event["flow"])]


def test_a_server_that_hangs_up_at_any_point(proxied: Proxied) -> None:
    """The server closes before, in or after a greeting, reply or body: the client gets what was said, and the end."""
    said = GREETING + b"+OK 2 octets\r\nab\r\n.\r\n"
    cuts = [0, 3, len(GREETING), len(GREETING) + 2, len(said) - 8, len(said) - 4, len(said) - 2, len(said)]

    def until(cut: int) -> object:
        def script(line: Line) -> None:
            line.say(said[:min(cut, len(GREETING))])
            if cut >= len(GREETING):
                assert line.line() == b"RETR 1\r\n"
                line.say(said[len(GREETING):cut])
            line.finish()
            assert line.ending() == "closed"

        return script

    with ScriptedServer("pop3", *(until(cut) for cut in cuts)) as server, proxied(server) as run:  # type: ignore[arg-type]
        for cut in cuts:
            with call(run.port) as line:
                if cut >= len(GREETING):
                    line.line()
                    line.say(b"RETR 1\r\n")
                assert line.rest() == said[len(GREETING) if cut >= len(GREETING) else 0:cut]
                line.finish()
                assert line.received == said[:cut]
    assert reasons(run) == ["server closed"] * len(cuts)
    assert "truncated" in run.anomalies()


@pytest.mark.parametrize("scheme", ["smtp", "lmtp"])
def test_a_server_that_hangs_up_in_the_message(proxied: Proxied, scheme: str) -> None:
    """The server closes when half of the message has come; the client is not left waiting."""
    gone = threading.Event()

    def script(line: Line) -> None:
        line.say(b"220 ready\r\n")
        for reply in (b"250 hello\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go on\r\n"):
            line.line()
            line.say(reply)
        assert line.exactly(20) == b"Subject: half a mail"
        line.close()
        gone.set()

    with ScriptedServer(scheme, script) as server, proxied(server) as run, call(run.port) as line:
        line.reply()
        hello = b"LHLO me\r\n" if scheme == "lmtp" else b"EHLO me\r\n"
        for command in (hello, b"MAIL FROM:<>\r\n", b"RCPT TO:<a@b>\r\n", b"DATA\r\n"):
            line.ask(command)
        line.say(b"Subject: half a mail")
        assert gone.wait(10)
        assert line.ending() == "closed"
    assert reasons(run) == ["server closed"]
    assert "truncated" in run.anomalies()


def test_an_abort_of_the_server_reaches_the_client(proxied: Proxied) -> None:
    """RST from the server becomes RST to the client, after all that the server had said."""
    heard = threading.Event()

    def script(line: Line) -> None:
        line.say(GREETING)
        line.line()
        line.say(b"+OK\r\nhalf a mes")
        assert heard.wait(10)
        line.abort()

    with ScriptedServer("pop3", script) as server, proxied(server) as run, call(run.port) as line:
        line.line()
        line.say(b"RETR 1\r\n")
        line.until(b"half a mes")
        heard.set()
        assert line.ending() == "reset"
    assert reasons(run) == ["server reset"]


def test_an_abort_of_the_client_reaches_the_server(proxied: Proxied) -> None:
    """RST from the client becomes RST to the server."""
    endings = []
    heard = threading.Event()

    def script(line: Line) -> None:
        line.say(GREETING)
        line.until(b"US")
        heard.set()
        endings.append(line.ending())

    with ScriptedServer("pop3", script) as server, proxied(server) as run:
        line = call(run.port)
        line.line()
        line.say(b"US")
        assert heard.wait(10)
        line.abort()
    assert endings == ["reset"]
    assert reasons(run) == ["client reset"]


def test_a_reply_that_comes_late(proxied: Proxied) -> None:
    """One side has long closed its sending side when the other speaks, slowly: nothing is lost, either way round."""

    def late(line: Line) -> None:
        line.say(GREETING)
        assert line.rest() == b"QUIT\r\n"
        time.sleep(0.3)
        line.say(b"+OK ", b"bye\r\n", pause=0.2)

    def first(line: Line) -> None:
        line.say(GREETING)
        line.finish()
        assert line.rest() == b"NOOP\r\nQUIT\r\n"

    with ScriptedServer("pop3", late, first) as server, proxied(server) as run:
        with call(run.port) as line:
            line.line()
            line.say(b"QUIT\r\n")
            line.finish()
            assert line.rest() == b"+OK bye\r\n"
        with call(run.port) as line:
            assert line.rest() == GREETING
            line.say(b"NOOP\r\n", b"QUIT\r\n", pause=0.2)
            line.finish()
    assert reasons(run) == ["client closed", "server closed"]
    assert run.pdus(flow=1)[-1]["text"] == "+OK bye"


def test_a_client_that_speaks_first(proxied: Proxied) -> None:
    """The client does not wait for the greeting: its octets reach the server at once, and it is noted."""

    def script(line: Line) -> None:
        assert line.line() == b"EHLO me\r\n"
        line.say(b"220 ready\r\n", b"250 hello\r\n")
        assert line.line() == b"QUIT\r\n"
        line.say(b"221 bye\r\n")

    with ScriptedServer("smtp", script) as server, proxied(server, dissected="smtp") as run, call(run.port) as line:
        line.say(b"EHLO me\r\n")
        assert line.line() == b"220 ready\r\n"
        assert line.line() == b"250 hello\r\n"
        assert line.ask(b"QUIT\r\n") == b"221 bye\r\n"
    assert "early_talker" in run.anomalies()


def test_a_network_that_drops_what_follows(proxied: Proxied) -> None:
    """Between proxy and server the network breaks at a random octet, by RST: both ends of the proxy learn of it."""

    def script(line: Line) -> None:
        line.say(GREETING)
        while line.line():
            line.say(b"+OK\r\n")

    def lost(line: Line) -> None:
        try:
            script(line)
        except (EOFError, OSError):
            return

    with ScriptedServer("pop3", lost) as server, \
            Shim("pop3", server.port, to_server=[Faults(limit=15, then="reset", delay=0.05)]) as network, \
            proxied(network) as run, call(run.port) as line:
        line.line()
        line.ask(b"NOOP\r\n")
        line.ask(b"NOOP\r\n")
        line.say(b"NOOP\r\n")
        assert line.ending() == "reset"
    assert reasons(run) == ["server reset"]


def test_text_hidden_behind_starttls(proxied: Proxied) -> None:
    """A command injected behind STARTTLS and a reply behind its 220 are named; the octets are not touched."""

    def script(line: Line) -> None:
        line.say(b"220 ready\r\n")
        line.line()
        line.say(b"250 STARTTLS\r\n")
        assert line.until(b"NOOP\r\n") == b"STARTTLS\r\nNOOP\r\n"
        line.say(b"220 go\r\n250 fake\r\n")
        line.rest()

    with ScriptedServer("smtp", script) as server, proxied(server, dissected="smtp") as run, call(run.port) as line:
        line.line()
        line.ask(b"EHLO me\r\n")
        line.say(b"STARTTLS\r\nNOOP\r\n")
        assert line.until(b"fake\r\n") == b"220 go\r\n250 fake\r\n"
    assert "plaintext_after_starttls" in run.anomalies()


HOSTILE = [b"\x1b]0;PWNED\x07", b"\x9b31m", b"\xe2\x80\xae", b"[/foo] [link=x]", b"\0", b"\xff" * 300, b"\r lone"]


def test_nothing_from_the_wire_reaches_the_screen_raw(proxied: Proxied) -> None:
    """Escape sequences and other poison go through to the other side, and are never written as they are."""

    def script(line: Line) -> None:
        line.say(b"+OK " + HOSTILE[0] + b"\r\n")
        for poison in HOSTILE:
            assert line.until(b"\r\n").endswith(poison + b"\r\n")
            line.say(b"+OK " + poison + b"\r\n")

    with ScriptedServer("pop3", script) as server, proxied(server) as run, call(run.port) as line:
        line.line()
        for poison in HOSTILE:
            line.say(b"USER " + poison + b"\r\n")
            assert line.until(b"\r\n") == b"+OK " + poison + b"\r\n"
    if STAND_IN:
        return
    for file in ("events.jsonl", "stderr.txt"):
        content = (run.folder / file).read_bytes()
        assert not set(content) & (set(range(32)) - {10} | {127}), file
        assert "\u202e" not in content.decode()
        assert not any("\x80" <= character <= "\x9f" for character in content.decode())
    texts = [pdu["text"] for pdu in run.pdus()]
    assert not any(ord(character) < 32 or character in "\x7f\u202e\x9b" for text in texts for character in text)


def test_long_lines(proxied: Proxied) -> None:
    """A command and a reply of a megabyte without an end go through, and what follows is read again."""
    long = b"x" * 1_000_000

    def script(line: Line) -> None:
        line.say(GREETING)
        assert line.line() == b"USER " + long + b"\r\n"
        line.say(b"+OK " + long + b"\r\n")
        assert line.line() == b"QUIT\r\n"
        line.say(b"+OK bye\r\n")

    with ScriptedServer("pop3", script) as server, proxied(server, dissected="pop") as run, call(run.port) as line:
        line.line()
        assert line.ask(b"USER " + long + b"\r\n") == b"+OK " + long + b"\r\n"
        assert line.ask(b"QUIT\r\n") == b"+OK bye\r\n"
    assert run.verbs() == ["USER", "QUIT"]
    assert "line_too_long" in run.anomalies()
    assert run.octets("C->S") == len(long) + 7 + 6
