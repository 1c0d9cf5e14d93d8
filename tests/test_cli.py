"""The command line: help that fits a screen, options wherever they may stand, mistakes in one line with exit code 2."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import text
from test_console import HARMFUL, HOSTILE, SGR

from inspector.capture.writer import CaptureWriter
from inspector.cli import main
from inspector.cli.address import parse_listen, parse_upstream
from inspector.errors import OptionError
from inspector.live import service
from inspector.pdu import C2S, S2C, Address, Flow
from inspector.pipeline import BUILTIN_PROTOCOLS

LIVE = "--listen 1110 --upstream pop.example:110"
PROGRAM = "import sys; from inspector.cli import main; sys.exit(main())"
PLUGIN = """
from inspector import hookimpl, Finding

@hookimpl
def add_options(parser):
    parser.add("colour-of-ink", help="What the pen is filled with", default="blue")
    parser.add("nib", help="A nib", type=int, multiple=True)

@hookimpl
def configure(options):
    print("INK", options.colour_of_ink, options.nib)
"""


@pytest.fixture(autouse=True)
def _nobodys_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MAILSPY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    (tmp_path / "pen.py").write_text(PLUGIN)
    return "pen.py"


@pytest.fixture
def capture(tmp_path: Path) -> str:
    path = str(tmp_path / "a.pcapng")
    writer = CaptureWriter(path, alarm=pytest.fail)
    flow = Flow(1, Address("127.0.0.1", 40000), Address("127.0.0.1", 110), 1_000_000, "pop3")
    writer.open(flow)
    for place, (direction, data) in enumerate([(S2C, b"+OK ready\r\n"), (C2S, b"USER natkin\r\n"), (S2C, b"+OK\r\n"),
                                               (C2S, b"QUIT\r\n"), (S2C, b"+OK bye\x1b[2J\r\n")]):
        writer.segment(flow, direction, data, 1_000_000 + place)
    writer.end(flow, C2S, 1_000_010)
    writer.end(flow, S2C, 1_000_010)
    writer.close()
    return path


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the live service was asked to do, instead of its doing it."""
    asked: dict[str, Any] = {}

    def run(*arguments: Any) -> int:
        asked.update(zip(("routes", "pipeline", "capture", "keep_secrets", "settings"), arguments, strict=False))
        return 0

    monkeypatch.setattr(service, "run", run)
    return asked


def mailspy(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True,
                          env={**os.environ, **environ}, check=False, timeout=60)


# Help

@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["--json", "--help"]])
def test_the_help_fits_a_screen(capfd, arguments: list[str]) -> None:
    assert main(arguments) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    first = "\n".join(lines[:6])
    examples = ("mailspy --listen 1110 --upstream pop.example:110", "mailspy replay FILE", "mailspy demo")
    assert all(line in first for line in examples)


@pytest.mark.parametrize("arguments", [["--help-all"], ["help"]])
def test_all_options_are_grouped_those_of_plugins_by_their_names(capfd, plugin: str, arguments: list[str]) -> None:
    assert main(["--plugin", plugin, *arguments]) == 0
    out = capfd.readouterr().out
    assert "Plugin pen:\n  --colour-of-ink TEXT" in out
    assert "What the pen is filled with (default blue)" in out
    assert "--transport" not in out
    assert max(map(len, out.splitlines())) <= 100


def test_a_command_has_its_own_help(capfd) -> None:
    assert main(["replay", "--help"]) == 0
    assert main(["help", "replay"]) == 0
    first, _, second = capfd.readouterr().out.partition("Usage: mailspy replay")[2].partition("Usage: mailspy replay")
    assert first.strip() == second.strip()
    assert "--speed" in first


def test_the_version(capfd) -> None:
    from inspector import __version__

    for arguments in (["--version"], ["-q", "--version"]):
        assert main(arguments) == 0
        assert capfd.readouterr().out == f"mailspy {__version__}\n"


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_what_is_heavy_is_not_loaded_for_nothing(arguments: list[str]) -> None:
    code = ("import sys; from inspector.cli import main; main(sys.argv[1:]); "
            "print(sorted({name.partition('.')[0] for name in sys.modules} & "
            "{'twisted', 'rich', 'construct', 'numpy', 'click', 'msgspec'}), file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.stderr == "[]\n"


def test_replay_does_not_load_twisted(capture: str) -> None:
    code = "import sys; from inspector.cli import main; main(sys.argv[1:]); sys.exit('twisted' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, "replay", capture], capture_output=True, check=False)
    assert done.returncode == 0


# The live proxy

def test_routes_pair_listeners_and_servers_in_their_order(served) -> None:
    assert main(["--listen", "1110", "--listen", "[::1]:2525",
                 "--upstream", "pop.example:110", "--upstream", "smtp://[2001:db8::1]"]) == 0
    assert [tuple(vars_of(route)) for route in served["routes"]] == [
        (Address("127.0.0.1", 1110), "pop.example", 110, "pop3"), (Address("::1", 2525), "2001:db8::1", 25, "smtp")]


def vars_of(route: Any) -> tuple[Any, ...]:
    return route.listen, route.host, route.port, route.protocol


@pytest.mark.parametrize(("listen", "address"), [
    ("1110", Address("127.0.0.1", 1110)), (":1110", Address("127.0.0.1", 1110)),
    ("localhost:1", Address("127.0.0.1", 1)),
    ("0.0.0.0:1110", Address("0.0.0.0", 1110)), ("[::1]:1110", Address("::1", 1110)), ("0", Address("127.0.0.1", 0)),
])
def test_listen_addresses(served, listen: str, address: Address) -> None:
    assert main(["--listen", listen, "--upstream", "pop.example:110"]) == 0
    assert served["routes"][0].listen == address


@pytest.mark.parametrize(("arguments", "told"), [
    ("--upstream pop.example:110", ("pop.example", 110, "pop3")),
    ("--upstream pop.example:12345", ("pop.example", 12345, "")),
    ("--upstream POP3://pop.example", ("pop.example", 110, "pop3")),
    ("--upstream smtp://mx.example/", ("mx.example", 25, "smtp")),
    ("--upstream lmtp://mx.example:25", ("mx.example", 25, "lmtp")),
    ("--upstream pop.example --protocol pop3", ("pop.example", 110, "pop3")),
    ("--upstream mx.example:25 --protocol lmtp", ("mx.example", 25, "lmtp")),
    ("--upstream [::1]:25", ("::1", 25, "smtp")),
])
def test_the_protocol_comes_from_scheme_port_or_option(served, arguments: str, told: tuple[str, int, str]) -> None:
    assert main(["--listen", "1110", *arguments.split()]) == 0
    assert vars_of(served["routes"][0])[1:] == told


def test_settings_reach_the_service(served, tmp_path: Path) -> None:
    options = "-w out.pcapng --keep-secrets --connect-timeout 3 --drain 0 --max-sessions 9 --transport twisted"
    assert main([*LIVE.split(), *options.split()]) == 0
    assert served["settings"] == service.Settings(connect_timeout=3.0, drain=0.0, max_sessions=9, transport="twisted")
    assert served["keep_secrets"] is True
    assert served["capture"].path == "out.pcapng"


@pytest.mark.parametrize(("arguments", "message"), [
    ("--listen 1110", "1 --listen and 0 --upstream: each listener needs its server, in the same order"),
    ("--listen 1 --listen 2 --upstream a:1", "2 --listen and 1 --upstream"),
    ("--upstream a:1", "0 --listen and 1 --upstream"),
    ("--listen x --upstream a:1", "--listen x: expected [HOST:]PORT, such as 1110, 0.0.0.0:1110 or [::1]:1110"),
    ("--listen ::1:1110 --upstream a:1", "--listen ::1:1110: expected [HOST:]PORT"),
    ("--listen 99999 --upstream a:1", "--listen 99999: 99999 is no port; a port is a number from 0 to 65535"),
    ("--listen a.example:1 --upstream a:1", "--listen a.example:1: a.example is no IP address; 127.0.0.1 is this"),
    ("--listen 1 --listen 1 --upstream a:1 --upstream a:2", "--listen 127.0.0.1:1: given twice"),
    ("--listen 1 --upstream imap://a", "--upstream imap://a: imap comes in a later version; mailspy reads pop3"),
    ("--listen 1 --upstream pop://a", "--upstream pop://a: unknown scheme pop; did you mean pop3?; mailspy reads pop3"),
    ("--listen 1 --upstream gopher://a", "--upstream gopher://a: unknown scheme gopher; mailspy reads pop3"),
    ("--listen 1 --upstream a", "--upstream a: which port? Write a:110, or pop3://a"),
    ("--listen 1 --upstream lmtps://a", "--upstream lmtps://a: which port? Write lmtps://a:PORT"),
    ("--listen lmtp+tls://:1 --upstream a:24", "after the + stands starttls or plain; TLS from the first octet is lmtps"),
    ("--listen 1 --upstream a:", "--upstream a:: nothing is no port; a port is a number from 1 to 65535"),
    ("--listen 1 --upstream a:0", "--upstream a:0: 0 is no port"),
    ("--listen 1 --upstream a:b", "--upstream a:b: b is no port"),
    ("--listen 1 --upstream user@a:110", "--upstream user@a:110: expected [SCHEME://]HOST[:PORT]"),
    ("--listen 1 --upstream ::1:110", "--upstream ::1:110: expected [SCHEME://]HOST[:PORT]"),
    ("--listen 1 --upstream [x]:110", "--upstream [x]:110: x is no IPv6 address"),
    ("--listen 1110 --upstream localhost:1110", "--upstream localhost:1110: that is our own --listen 127.0.0.1:1110"),
    ("--listen 0.0.0.0:1110 --upstream 127.0.0.7:1110", "that is our own --listen 0.0.0.0:1110"),
    ("--listen [::]:1110 --upstream [::1]:1110", "that is our own --listen [::]:1110"),
    ("--listen 1 --listen 2 --upstream a:110 --upstream 127.0.0.1:1", "that is our own --listen 127.0.0.1:1"),
    (f"{LIVE} --protocol pop", "--protocol pop: not known; did you mean pop3?; mailspy reads pop3, smtp, lmtp"),
    (f"{LIVE} --drain -1", "--drain -1: expected a number from 0 up"),
    (f"{LIVE} --connect-timeout nan", "--connect-timeout nan: expected a number from 0.001 up"),
    (f"{LIVE} --connect-timeout inf", "--connect-timeout inf: expected a number"),
    (f"{LIVE} --max-sessions -3", "--max-sessions -3: expected a number from 0 up"),
    (f"{LIVE} --max-sessions x", "'x' is not a valid integer"),
    (f"{LIVE} --transport carrier-pigeon", "'carrier-pigeon' is not one of"),
    (f"{LIVE} --log none/log", "none/log: cannot be written: its folder does not exist"),
    (f"{LIVE} --disable nothing", "--disable nothing: there is no plugin of that name"),
    (f"{LIVE} --plugin none.py", "--plugin none.py: there is no such file"),
    (f"{LIVE} --config none.toml", "--config none.toml: there is no such file"),
    ("--json", "nothing to watch: give --listen and --upstream"),
    ("--lisn 1", "no such option: --lisn; did you mean --listen?"),
    ("--speed 1 replay f", "--speed is an option of `mailspy replay`: write it after `replay`"),
    ("replya f", "no such command: replya; did you mean replay?"),
    ("xyzzy", "no such command: xyzzy; the commands are replay, show, export"),
    ("--listen 1 replay f", "--listen is not an option of `mailspy replay`; leave one of the two out"),
    ("-w f replay f", "--write is not an option of `mailspy replay`"),
    ("--log f phases", "--log is not an option of `mailspy phases`"),
    ("-r f --listen 1", "--listen is for the live proxy and --read for a capture"),
    ("replay", "Missing argument 'FILE...'"),
    ("replay none.pcap", "none.pcap: cannot be opened: No such file or directory"),
    ("replay f --speed -1", "--speed -1: expected a number from 0 up"),
    ("replay f --sped 1", "no such option: --sped; did you mean --speed?"),
    ("demo --lang de", "'de' is not one of 'en', 'fr'"),
    ("phases pop", "phases pop: no such table; did you mean pop3?; there are pop3, pop3-client, smtp, lmtp"),
    ("phases --format svg", "phases --format svg: name one table: pop3, pop3-client, smtp, lmtp"),
    ("completion tcsh", "'tcsh' is not one of 'bash', 'zsh', 'fish'"),
    ("help replya", "no such command: replya; did you mean replay?"),
])
def test_a_mistake_is_one_line_and_exit_code_2(capfd, served, arguments: str, message: str) -> None:
    assert main(arguments.split()) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("mailspy: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_mistake_cannot_harm_the_terminal(capfd) -> None:
    assert main(["replay", "\x1b]0;PWNED\x07\nmailspy: all is well"]) == 2
    err = capfd.readouterr().err
    assert "\x1b" not in err
    assert err.count("\n") == 1


def test_a_fault_of_ours_says_how_to_see_more(capfd, served, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> int:
        raise ValueError("odd")

    monkeypatch.setattr(service, "run", fail)
    assert main(LIVE.split()) == 1
    assert capfd.readouterr().err == (
        "mailspy: internal error: ValueError: odd; MAILSPY_DEBUG=1 shows where; please report it\n")
    monkeypatch.setenv("MAILSPY_DEBUG", "1")
    with pytest.raises(ValueError, match="odd"):
        main(LIVE.split())


@given(text())
def test_any_address_is_understood_or_refused(words: str) -> None:
    for parse in (parse_listen, lambda words: parse_upstream(words, BUILTIN_PROTOCOLS)):
        with contextlib.suppress(OptionError):
            parse(words)


# Replay

@pytest.mark.parametrize("arguments", [["replay", "{}"], ["-r", "{}"], ["--quiet", "replay", "{}"],
                                       ["replay", "-q", "{}"], ["replay", "--speed", "1000", "{}"]])
def test_replay_shows_the_view(capfd, capture: str, arguments: list[str]) -> None:
    assert main([one.format(capture) for one in arguments]) == 0
    out, err = capfd.readouterr()
    quiet = {"-q", "--quiet"} & set(arguments)
    assert out.splitlines()[2:4] == ([] if quiet else ["   1    1  S→C  AUTHORIZATION  +OK ready",
                                                       "   1    2  C→S  AUTHORIZATION  USER natkin"])
    assert "\x1b" not in out
    assert err.startswith("mailspy: 1 flow, 5 PDUs, ")


@pytest.mark.parametrize("arguments", [["--json", "replay", "{}"], ["replay", "{}", "--json"]])
def test_json_before_or_after_the_command(capfd, capture: str, arguments: list[str]) -> None:
    assert main([one.format(capture) for one in arguments]) == 0
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [event["event"] for event in events if event["event"] not in ("anomaly", "policy")] == [
        "flow_opened", "pdu", "pdu", "pdu", "pdu", "pdu", "flow_closed"]


def test_the_log_has_json_while_the_screen_has_the_view(capfd, capture: str, tmp_path: Path) -> None:
    assert main(["replay", capture, "--log", "log.jsonl"]) == 0
    assert capfd.readouterr().out.startswith("flow 1 opened")
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])["event"] == "flow_opened"


def test_a_reader_that_has_gone_is_no_error(capture: str) -> None:
    done = subprocess.run(["sh", "-c", '"$0" -c "$1" replay "$2" | true', sys.executable, PROGRAM, capture],
                          capture_output=True, text=True, check=False)
    assert done.stderr == "" or done.stderr.startswith("mailspy: 1 flow")


def test_nothing_from_the_wire_harms_a_terminal(tmp_path: Path) -> None:
    path = str(tmp_path / "evil.pcapng")
    writer = CaptureWriter(path, alarm=pytest.fail)
    flow = Flow(1, Address("127.0.0.1", 40000), Address("127.0.0.1", 110), 1_000_000, "pop3")
    for place, evil in enumerate(HOSTILE):
        writer.segment(flow, S2C if place % 2 else C2S, b"+OK " + evil.encode("utf-8", "surrogateescape") + b"\r\n",
                       1_000_000 + place)
    writer.close()
    shown = in_a_terminal("replay", "--verbose", path)
    assert "\x1b[" in shown, "coloured: it is a terminal"
    clean = SGR.sub("", shown).replace("\r\n", "\n")
    assert not HARMFUL.search(clean)


def in_a_terminal(*arguments: str) -> str:
    """What a person sees of a run."""
    terminal, screen = pty.openpty()
    environ = {**os.environ, "TERM": "xterm"}
    environ.pop("NO_COLOR", None)
    with subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], stdout=screen, stderr=screen, env=environ):
        os.close(screen)
        shown = b""
        with contextlib.suppress(OSError):
            while piece := os.read(terminal, 65_536):
                shown += piece
    os.close(terminal)
    return shown.decode()


# Plugins and configuration

def ink(out: str) -> str:
    return next(line for line in out.splitlines() if line.startswith("INK"))


@pytest.mark.parametrize("arguments", [
    "--plugin pen.py --colour-of-ink red replay {}", "--plugin=pen.py replay {} --colour-of-ink red",
    "replay --plugin pen.py --colour-of-ink red {}", "-r {} --plugin pen.py --colour-of-ink red",
])
def test_options_of_plugins_before_or_after_the_command(capfd, plugin: str, capture: str, arguments: str) -> None:
    assert main(arguments.format(capture).split()) == 0
    assert ink(capfd.readouterr().out) == "INK red ()"


def test_several_values_from_both_places_are_put_together(capfd, plugin: str, capture: str) -> None:
    assert main(["--plugin", plugin, "--nib", "1", "replay", "--nib", "2", capture]) == 0
    assert ink(capfd.readouterr().out) == "INK blue (1, 2)"


def test_command_line_over_environment_over_file(capfd, plugin: str, capture: str, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config" / "mailspy").mkdir(parents=True)
    file = tmp_path / "config" / "mailspy" / "mailspy.toml"
    file.write_text('plugin = "pen.py"\ncolour-of-ink = "file"\nnib = [1]')
    arguments = ["replay", capture]
    assert main(arguments) == 0
    assert ink(capfd.readouterr().out) == "INK file (1,)"
    file.write_text(file.read_text() + '\n[replay]\ncolour-of-ink = "table"')
    assert main(arguments) == 0
    assert ink(capfd.readouterr().out) == "INK table (1,)"
    monkeypatch.setenv("MAILSPY_NIB", "2 3")
    assert main(arguments) == 0
    assert ink(capfd.readouterr().out) == "INK table (2, 3)"
    assert main([*arguments, "--colour-of-ink", "line", "--nib", "4"]) == 0
    assert ink(capfd.readouterr().out) == "INK line (4,)"


def test_the_environment_starts_the_proxy(served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILSPY_LISTEN", "1110 2525")
    monkeypatch.setenv("MAILSPY_UPSTREAM", "pop.example:110 mx.example:25")
    assert main([]) == 0
    assert [route.protocol for route in served["routes"]] == ["pop3", "smtp"]


def test_an_unknown_variable_is_a_warning(capfd, capture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILSPY_LISEN", "1")
    assert main(["replay", capture]) == 0
    assert "mailspy: MAILSPY_LISEN: no such option; did you mean MAILSPY_LISTEN?" in capfd.readouterr().err


def test_settings_of_the_proxy_do_not_disturb_replay(capfd, capture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILSPY_LISTEN", "1110")
    assert main(["replay", capture]) == 0


@pytest.mark.parametrize(("text", "message"), [
    ("listen = 1", "listen: expected text or a list of texts, found a number"),
    ("config = 'x'", "config: no such option"),
    ("plugin = 3", "plugin: expected text or a list of texts, found a number"),
])
def test_a_mistake_in_the_file_stops_the_program(capfd, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    assert main(["--config", "mine.toml", "phases"]) == 2
    assert f"mailspy: error: mine.toml: {message}" in capfd.readouterr().err


def test_a_plugin_cannot_take_an_option_of_ours(capfd, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(PLUGIN.replace("colour-of-ink", "listen"))
    assert main(["--plugin", "bad.py", "phases"]) == 2
    assert "plugin bad: --listen is an option of mailspy itself; leave the plugin out with --disable bad" in (
        capfd.readouterr().err)


def test_plugins_are_listed(capfd, plugin: str) -> None:
    assert main(["--plugin", plugin, "plugins"]) == 0
    out = capfd.readouterr().out
    assert all(word in out for word in ("mailspy_logger", "pdu_seen", "pen.py", "--colour-of-ink TEXT"))


def test_plugins_as_json(capfd, plugin: str) -> None:
    assert main(["--plugin", plugin, "plugins", "--json"]) == 0
    found = {line["name"]: line for line in map(json.loads, capfd.readouterr().out.splitlines())}
    assert found["pen"]["hooks"] == ["add_options", "configure"]
    assert found["pen"]["options"][0] == {"name": "colour-of-ink", "type": "str", "default": "blue", "multiple": False,
                                          "help": "What the pen is filled with"}


def test_a_plugin_is_left_out(capfd) -> None:
    assert main(["--disable", "logger", "plugins", "--json"]) == 0
    assert "mailspy_logger" not in capfd.readouterr().out


# Other commands

def test_a_broken_plugin_does_not_disturb_completion(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1/0")
    done = mailspy(_MAILSPY_COMPLETE="bash_complete", COMP_WORDS="mailspy re", COMP_CWORD="1", MAILSPY_PLUGIN="broken.py")
    assert done.stderr == ""


@pytest.mark.parametrize(("form", "first"), [("text", "smtp: 8 states"), ("mermaid", "---"), ("svg", "<svg ")])
def test_phases_are_drawn(capfd, form: str, first: str) -> None:
    assert main(["phases", "smtp", "--format", form]) == 0
    assert capfd.readouterr().out.startswith(first)


def test_all_phases_as_text(capfd) -> None:
    assert main(["phases"]) == 0
    out = capfd.readouterr().out
    assert all(f"{name}: " in out for name in ("pop3", "pop3-client", "smtp", "lmtp"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str) -> None:
    done = mailspy("completion", shell)
    assert done.returncode == 0
    assert "_MAILSPY_COMPLETE" in done.stdout


@pytest.mark.parametrize(("words", "offered"), [
    ("mailspy re", "replay"), ("mailspy --lis", "--listen"), ("mailspy replay --sp", "--speed"),
    ("mailspy phases --format sv", "svg"),
])
def test_completions(words: str, offered: str) -> None:
    done = mailspy(_MAILSPY_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(len(words.split()) - 1))
    assert offered in done.stdout
    assert done.stderr == ""
