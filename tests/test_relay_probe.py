"""`mailspy relay-test` against servers that relay, that do not, and that are odd; all of them in this process."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from integration.harness import environment

from inspector.cli import main
from inspector.relaytest.forms import FORMS, Names, domain_in, filled
from inspector.relaytest.talk import Lost, Talk

NAMES = Names("user", "there.example", "here.example", "[192.0.2.25]", "a@b.example")


class Server:
    """A server of few lines: `answer` says what a command gets; it remembers what it was asked."""

    def __init__(self, answer: Callable[[str], str], greeting: str = "220 mx.example ready") -> None:
        self.answer, self.greeting = answer, greeting
        self.asked: list[str] = []
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                one, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with suppress(OSError), one, one.makefile("rwb") as stream:
                self._talk(stream)

    def _talk(self, stream) -> None:
        def say(text: str) -> None:
            stream.write(text.encode("utf-8", "surrogateescape") + b"\r\n")
            stream.flush()

        if self.greeting:
            say(self.greeting)
        for line in stream:
            command = line.decode().rstrip()
            self.asked.append(command)
            reply = self.answer(command)
            if reply:
                say(reply)
            if not reply or reply.startswith(("221", "421")):
                return


@contextmanager
def server(answer: Callable[[str], str], **options: str) -> Iterator[Server]:
    one = Server(answer, **options)
    try:
        yield one
    finally:
        one.listener.shutdown(socket.SHUT_RDWR)
        one.listener.close()


def open_relay(command: str) -> str:
    return "250 anything you like"


def strict(command: str) -> str:
    return "554 5.7.1 Relay access denied" if command.startswith("RCPT") else "250 ok"


def careless(command: str) -> str:
    """Does not relay, but for the percent hack."""
    return "250 ok" if not command.startswith("RCPT") or "%" in command else "550 no"


def results(capfd, *arguments: object, code: int) -> tuple[list[dict], str]:
    """The lines of JSON and what was said to people."""
    assert main(["relay-test", "--json", *map(str, arguments)]) == code
    out, err = capfd.readouterr()
    return [json.loads(line) for line in out.splitlines()], err


def test_an_open_relay(capfd) -> None:
    with server(open_relay) as one:
        found, said = results(capfd, f"127.0.0.1:{one.port}", code=1)
    assert [row["form"] for row in found] == [form.name for form in FORMS]
    assert {(row["verdict"], row["accepted"], row["status"]) for row in found} == {("open_relay", True, "250")}
    assert "test only servers that you run yourself" in said
    assert f"127.0.0.1:{one.port}: 19 forms, 19 accepted, 19 against the policy" in said
    verbs = [command.split(" ")[0] for command in one.asked]
    assert set(verbs) == {"EHLO", "MAIL", "RCPT", "RSET", "QUIT"}, "never DATA"
    assert verbs == ["EHLO", *["MAIL", "RCPT", "RSET"] * len(FORMS), "QUIT"]
    assert one.asked[0] == "EHLO [127.0.0.1]"
    assert "RCPT TO:<relay-test%example.org@mx.example>" in one.asked
    assert "RCPT TO:<relay-test%example.org@[127.0.0.1]>" in one.asked


def test_a_server_that_does_not_relay(capfd) -> None:
    with server(strict) as one:
        found, said = results(capfd, f"smtp://127.0.0.1:{one.port}", "--helo", "client.example", "--recipient", "x@y.example",
                              "--sender", "s@z.example", code=0)
    assert {row["verdict"] for row in found} == {"relay_refused"}
    assert found[0] == {
        "event": "relay_test", "server": f"127.0.0.1:{one.port}", "form": "stranger to stranger", "sender": "s@z.example",
        "recipient": "x@y.example", "asked": True, "accepted": False, "status": "554", "reply": "5.7.1 Relay access denied",
        "verdict": "relay_refused", "rule": "no local-domain matches", "tricks": []}
    assert one.asked[0] == "EHLO client.example"
    assert "0 accepted, none against the policy" in said


def test_a_careless_server(capfd) -> None:
    with server(careless) as one:
        found, _ = results(capfd, f"127.0.0.1:{one.port}", code=1)
    assert [row["form"] for row in found if row["verdict"] == "open_relay"] == [
        "percent hack", "percent hack by address", "percent hack without domain", "quoted percent hack"]


def test_a_policy_from_a_file(capfd, tmp_path: Path) -> None:
    """What it allows is no breach; its first domain is the server's own."""
    policy = tmp_path / "policy.toml"
    policy.write_text('local-domain = [".below.example", "home.example"]\ntrusted-network = ["127.0.0.0/8"]\n')
    with server(open_relay) as one:
        found, _ = results(capfd, f"127.0.0.1:{one.port}", "--policy", policy, code=0)
    assert {row["rule"] for row in found} == {"trusted-network 127.0.0.0/8"}
    assert "MAIL FROM:<postmaster@home.example>" in one.asked
    policy.write_text('local-domain = "home.example"\n')
    with server(open_relay) as one:
        assert len(results(capfd, f"127.0.0.1:{one.port}", "--policy", policy, code=1)[0]) == len(FORMS)


def test_senders_that_are_refused(capfd) -> None:
    with server(lambda command: "550 no such sender" if command.startswith("MAIL") else "250 ok") as one:
        found, _ = results(capfd, f"127.0.0.1:{one.port}", code=0)
    assert {(row["verdict"], row["asked"], row["accepted"]) for row in found} == {("sender_refused", False, False)}
    assert not any(command.startswith("RCPT") for command in one.asked)


def test_a_server_that_hangs_up_after_some_errors(capfd) -> None:
    """It is called again, and every form gets its answer."""
    errors = iter(range(1_000))

    def tired(command: str) -> str:
        if not command.startswith("RCPT"):
            return "250 ok"
        return "421 too many errors" if next(errors) % 5 == 4 else "550 no"

    with server(tired) as one:
        found, _ = results(capfd, f"127.0.0.1:{one.port}", code=0)
    assert {row["verdict"] for row in found} == {"relay_refused"}
    assert one.connections == 5


def test_forms_without_a_reply_are_no_all_clear(capfd) -> None:
    with server(lambda command: "" if "!" in command else "550 no" if command.startswith("RCPT") else "250 ok") as one:
        found, said = results(capfd, f"127.0.0.1:{one.port}", code=2)
    silent = [row for row in found if row["verdict"] == "no_reply"]
    assert [row["form"] for row in silent] == ["bang path", "bang path at the server", "bang path by address"]
    assert silent[0]["reply"] == "the server has closed the connection"
    assert "3 without a reply" in said


def test_only_helo(capfd) -> None:
    with server(lambda command: "502 what" if command.startswith("EHLO") else strict(command), greeting="220-\r\n220 hi") as one:
        found, _ = results(capfd, f"127.0.0.1:{one.port}", code=0)
    assert one.asked[:2] == ["EHLO [127.0.0.1]", "HELO [127.0.0.1]"]
    assert found[5]["recipient"] == "relay-test%example.org@[127.0.0.1]", "it has not said its name"


def test_the_table(capfd) -> None:
    """What a server says reaches no terminal as it is."""
    with server(lambda command: "550 \x1b[2J\u202e[bold]no[/foo]" if command.startswith("RCPT") else "250 ok") as one:
        assert main(["relay-test", f"127.0.0.1:{one.port}"]) == 0
    out, _ = capfd.readouterr()
    assert "\x1b[2J" not in out
    assert "\u202e" not in out
    assert "550 \\x1b[2J\\u202e[bold]no[/foo]" in out
    assert out.count("relay_refused") == len(FORMS)


@pytest.mark.parametrize(("answer", "greeting", "told"), [
    (strict, "554 5.3.2 go away", "the server does not want to talk: 554 5.3.2 go away"),
    (strict, "* OK IMAP4 ready", "this is no SMTP reply: * OK IMAP4 ready"),
    (strict, "", "no reply within 0.3 s"),
    (lambda command: "500 never", "220 x", "the server accepts neither EHLO nor HELO: 500 never"),
    (lambda command: "", "220 x", "the server has closed the connection"),
    (strict, "220-" + "x" * 70_000, "a reply without end"),
    (strict, "220-x\r\n" * 10_000, "a reply without end"),
])
def test_what_is_no_server_to_test(capfd, answer, greeting: str, told: str) -> None:
    with server(answer, greeting=greeting) as one:
        assert main(["relay-test", f"127.0.0.1:{one.port}", "--timeout", "0.3" if not greeting else "20"]) == 2
    out, err = capfd.readouterr()
    assert f"mailspy: error: relay-test 127.0.0.1:{one.port}: {told}" in err
    assert out == ""


def test_nobody_listens(capfd) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        assert main(["relay-test", f"127.0.0.1:{silent.getsockname()[1]}"]) == 2
    assert "Connection refused" in capfd.readouterr().err


@pytest.mark.parametrize(("arguments", "told"), [
    (["192.0.2.0/24"], "expected [SCHEME://]HOST[:PORT]"),
    (["a.example,b.example:x"], "is no port"),
    (["pop3://127.0.0.1"], "only SMTP servers relay"),
    (["127.0.0.1:99999"], "is no port"),
    (["127.0.0.1:1", "--recipient", "x"], "--recipient x: expected a plain address"),
    (["127.0.0.1:1", "--recipient", "x@y>\r\nDATA"], "expected a plain address"),
    (["127.0.0.1:1", "--sender", "x@y@z"], "--sender x@y@z: expected a plain address"),
    (["127.0.0.1:1", "--helo", "x\r\nDATA"], "expected a host name"),
    (["127.0.0.1:1", "--policy", "/nonexistent"], "--policy /nonexistent: there is no such file"),
    (["127.0.0.1:1", "--timeout", "0"], "expected a number from 0.001 up"),
    (["--disable", "mailspy_relay", "127.0.0.1:1"], "relay-test needs the plugin mailspy_relay"),
    ([], "Missing argument"),
])
def test_mistakes(capfd, arguments: list[str], told: str) -> None:
    assert main(["relay-test", *arguments]) == 2
    assert told in capfd.readouterr().err


@pytest.mark.parametrize(("text", "told"), [
    ("", "no policy in it"), ('lokal-domain = "x"', "lokal-domain: no such option; did you mean local_domain?"),
    ("local-domain = 3", "expected text or a list of texts"), ('local-domain = "a b"', "not a domain"),
    ("no-auth-relay = true", "which policy"),
])
def test_mistakes_in_the_policy(capfd, tmp_path: Path, text: str, told: str) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(text)
    assert main(["relay-test", "127.0.0.1:1", "--policy", str(policy)]) == 2
    assert told in capfd.readouterr().err


def test_the_forms_are_filled() -> None:
    for form in FORMS:
        real = filled(form, NAMES)
        assert "{" not in real.sender + real.recipient
        assert "there.example" in real.recipient
    assert len({(form.sender, form.recipient) for form in FORMS}) == len({form.name for form in FORMS}) == len(FORMS)


@pytest.mark.parametrize(("greeting", "domain"), [("mx.example ESMTP", "mx.example"), ("mx ESMTP", ""), ("", ""), ("x>\ry.z", ""),
                                                  ("a." + "b." * 200 + "c", "")])
def test_the_name_in_a_greeting(greeting: str, domain: str) -> None:
    assert domain_in(greeting) == domain


def test_a_reply_that_drips_is_not_awaited_for_ever() -> None:
    """Each octet comes in time, the reply never does."""
    with socket.create_server(("127.0.0.1", 0)) as listener, Talk(*listener.getsockname(), 0.5) as talk:
        one, _ = listener.accept()
        threading.Thread(target=drip, args=(one,), daemon=True).start()
        with pytest.raises(Lost, match="no reply within"):
            talk.reply()


def drip(one: socket.socket) -> None:
    """Sends a line a moment, as long as somebody listens."""
    with one:
        try:
            while True:
                one.sendall(b"220-x\r\n")
                time.sleep(0.02)
        except OSError:
            return


@pytest.mark.parametrize(("relays", "code"), [(True, 1), (False, 0)])
def test_a_server_of_twisteds(tmp_path: Path, relays: bool, code: int) -> None:
    """The demo's server, as it is and made to relay, as a process of its own; the program as a process, too."""
    script = tmp_path / "relaying.py"
    script.write_text(TWISTED.replace("RELAYS", str(relays)))
    surroundings = environment(tmp_path)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=surroundings) as process:
        try:
            port = int(process.stdout.readline())
            done = subprocess.run([sys.executable, "-m", "inspector", "relay-test", f"localhost:{port}"], capture_output=True,
                                  text=True, env=surroundings, cwd=tmp_path, timeout=60, check=False)
        finally:
            process.kill()
    assert done.returncode == code, done.stderr
    assert ("open_relay" in done.stdout) is relays
    assert "Traceback" not in done.stderr


TWISTED = """
from twisted.internet import reactor
from inspector.demo import servers

if RELAYS:
    servers.Delivery.validateTo = lambda self, user: lambda: servers.Letter(self._kept)

print(servers.Servers(reactor).smtp, flush=True)
reactor.run()
"""
