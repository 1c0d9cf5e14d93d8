"""The pages: they build, they name everything, their examples run, and the commands in them print what they say."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import inspector as public
from inspector import CATALOGUE, Limits, Options, hookimpl
from inspector.host import Hooks, Host
from inspector.pdu import Address, Flow
from inspector.pipeline import Pipeline

if os.environ.get("MAILSPY_FORM") == "compiled":
    pytest.skip("the docs are made from the sources, and tested with them", allow_module_level=True)

DOCS = Path(__file__).parent.parent / "docs"
CI = bool(os.environ.get("CI"))


def module(name: str):
    """A module of the documentation's own."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made


generate, samples, consoles = module("generate"), module("samples"), module("consoles")
PAGES = {str(page.relative_to(DOCS)): page.read_text("utf-8") for page in consoles.sources()}
MADE = generate.pages()
STEPS = [step for page in consoles.sources() for step in consoles.steps(page)]
FILES = consoles.files(DOCS / "writing-plugins.md")
PLUGINS = [name for name in FILES if name.endswith(".py") and not name.startswith("test_")]


# The generated pages


@pytest.mark.parametrize(("name", "function"), generate.specifications())
def test_every_hook_is_in_the_reference_with_its_signature(name: str, function) -> None:
    parameters = ", ".join(f"{one.name}: {one.annotation}" for one in inspect.signature(function).parameters.values())
    returned = inspect.signature(function).return_annotation
    assert f"\n## `{name}`\n\n```python\n{name}({parameters}) -> {returned}\n```\n" in MADE["hooks.md"]
    assert " ".join(inspect.getdoc(function).split("\n\n")[0].split()) in MADE["hooks.md"]


def test_the_hooks_that_ask_are_known() -> None:
    """Every hook that returns something is said to ask."""
    returning = {name for name, function in generate.specifications()
                 if inspect.signature(function).return_annotation != "None"}
    assert returning <= generate.ASKING
    assert {name for name, _ in generate.specifications()} >= generate.ASKING


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=list(CATALOGUE))
def test_every_anomaly_is_in_the_catalogue(entry) -> None:
    assert f"| `{entry.name}` | {entry.severity.value} | {entry.reference} | {entry.meaning} |" in MADE["anomalies.md"]


@pytest.mark.parametrize("name", Limits.__dataclass_fields__)
def test_every_limit_is_listed_with_its_value_and_meaning(name: str) -> None:
    row = next(line for line in MADE["limits.md"].splitlines() if line.startswith(f"| `{name}` "))
    _, _, value, told, _ = row.split("|")
    assert value.strip() == f"{getattr(Limits(), name):,}"
    assert told.strip()


@pytest.mark.parametrize("name", public.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    assert f"\n## `{name}`\n" in MADE["api.md"]


def test_every_row_of_every_table_is_written_out() -> None:
    for name, states in generate.tables().items():
        section = MADE["phases.md"].split(f"\n## {name}\n")[1].split("\n## ")[0]
        for state, verbs in states.items():
            for verb, row in verbs.items():
                assert re.search(rf"\| {state} \| `{verb}` \| .* \| {re.escape(row.reference)} \|", section), (state, verb)
        assert MADE[f"{name}.svg"].startswith("<svg")


def test_every_option_is_listed() -> None:
    from inspector.cli import options, usage

    for option in [*options.LIVE, *options.COMMON, *options.REPLAY, *options.DEMO, *generate.plugin_options()]:
        assert (f"| `{usage.names(option)}` |" in MADE["cli.md"]) is (option.name not in options.HIDDEN), option.name


def test_every_module_has_its_room() -> None:
    for path in (DOCS.parent / "inspector").rglob("*.py"):
        if path.name != "__main__.py":
            assert f"| `{generate.module_name(path)}` |" in MADE["rooms.md"]


LAYERS = (
    ("cli", "demo", "__main__"),
    ("survey", "export", "jobs"),
    ("live", "replay", "output", "console", "config", "diagram", "heap", "mail", "relaytest", "query",
     "tls"),
    ("host", "answers", "intact", "sinks"),
    ("pipeline", "gate", "arrival", "mask", "lines", "shape"),
    ("protocols",),
    ("protocol", "newcomer", "recognition"),
    ("session", "reader", "remainder", "run", "wary"),
    ("capture",),
    ("segment", "formats"),
    ("framing", "doubt", "posing", "readings", "machine", "verdict", "options", "hookspecs", "offers", "starttls", "keylog",
     "unsealing", "wrapping", "fault", "timing"),
    ("echo", "hold", "harmless"),
    ("pdu", "anomaly", "limits", "text", "errors", "interrupt", "reasons", "place"),
)
"""What the page on architecture says, from the top down."""


def test_no_module_imports_from_a_layer_above() -> None:
    floor = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    for name, imported in generate.graph().items():
        if name == "inspector":
            continue
        for other in imported - {"inspector"}:
            if name.startswith("cli") and other.startswith("cli"):
                continue
            above, below = (floor[one.partition(".")[0]] for one in (name, other))
            assert above <= below, f"{name} imports {other}"


# The pages that people write


def test_the_vocabulary_is_complete() -> None:
    """The terms by which the house is planned."""
    for term in ("Flow", "Direction", "Segment", "PDU", "Phase", "Outcome", "Exchange", "Transaction", "Message", "Part",
                 "Session", "Anomaly", "Verdict", "Action"):
        assert f"\n{term}\n  " in PAGES["glossary.md"]


def test_nothing_of_one_machine_stands_in_a_page() -> None:
    for name, text in {**PAGES, **MADE}.items():
        assert not re.search(r"/(?:work|opt|home|root)/|/tmp/|site-packages", text), name


def test_the_files_that_pages_name_exist() -> None:
    for name, text in PAGES.items():
        for path in re.findall(r"`((?:tests|inspector|plugins|docs|benchmarks|scripts)/[\w./-]+)`", text):
            assert (DOCS.parent / path).exists(), f"{name}: {path}"


def test_both_languages_answer_the_same_questions() -> None:
    """The sheet's questions, and the same commands in both."""
    english, french = PAGES["sheet.md"], PAGES["sheet.fr.md"]
    for heading in (r"^\*\*(I+\.\d+) ", r"^### (I+\.\d+) "):
        numbers = re.findall(heading, english, re.MULTILINE)
        assert numbers == re.findall(heading, french, re.MULTILINE)
        assert numbers
    asked = {f"I.{n}" for n in range(1, 7)} | {f"II.{n}" for n in range(1, 7)} | {f"III.{n}" for n in range(1, 12)}
    assert set(re.findall(r"^(?:\*\*|### )(I+\.\d+) ", english, re.MULTILINE)) == asked


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands of the pages run."""
    place = tmp_path_factory.mktemp("pages")
    consoles.prepare(place)
    return place


def programs(command: str) -> list[str]:
    """The programs that a command needs beside mailspy and those that every system has."""
    return [name for name in ("tshark", "jq") if re.search(rf"\b{name}\b", command)]


@pytest.mark.parametrize("step", STEPS, ids=[f"{step.page}-{number}" for number, step in enumerate(STEPS)])
def test_the_commands_print_what_the_pages_say(step, folder: Path) -> None:
    if not [point for point in entry_points(group="mailspy") if point.name == "mailspy_mime"]:
        pytest.skip("mailspy is not installed, so its plugins are not found: pip install -e .")
    for name in programs(step.command):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    printed = consoles.run(step.command, folder)
    assert consoles.agrees(printed, step.printed), f"{step.page}:{step.line}: {step.command}\n{printed}"


def test_promises_are_compared_line_by_line() -> None:
    """The comparison itself."""
    assert consoles.agrees("a\nb\nc\n", "a\n…\nc\n")
    assert consoles.agrees("port 123 open\n", "port … open\n")
    assert not consoles.agrees("a\nb\n", "a\n")
    assert not consoles.agrees("", "a\n")
    assert consoles.agrees("", "")


def test_the_session_of_the_tutorial(folder: Path) -> None:
    """A server, mailspy in front of it, a client: live, then replayed, as the page shows it."""
    if not [point for point in entry_points(group="mailspy") if point.name == "mailspy_mime"]:
        pytest.skip("mailspy is not installed, so its plugins are not found: pip install -e .")
    page = PAGES["tutorial.md"]
    shown = re.search(r"^```text\n(flow 1 opened.*?)^```$", page, re.MULTILINE | re.DOTALL)[1]
    promise = re.sub(r":(PORT|\d{5})\b", ":…", re.sub(r"[\d.]+ ms$", "…", shown, flags=re.MULTILINE))
    with Program(folder, "demo --serve") as server:
        port = server.until(r"telnet 127\.0\.0\.1 (\d+)")
        with Program(folder, f"--listen 0 --upstream 127.0.0.1:{port} -w first.pcapng") as proxy:
            own = proxy.until(r"listening on 127\.0\.0\.1:(\d+)")
            client = consoles.files(DOCS / "tutorial.md")["client.py"].replace("1110", own)
            done = subprocess.run([sys.executable, "-c", client], capture_output=True, text=True, timeout=30, check=False)
            assert done.stdout == "b'+OK'\n", done.stderr
            proxy.until(r"(flow 1 closed)")
    live = proxy.said.replace("client closed", "server closed")  # both close at the end: either may be seen first
    summary = re.search(r"^mailspy: 1 flow.*\n", live, re.MULTILINE)[0]
    assert summary in page
    assert consoles.agrees("".join(re.findall(r"^(?!mailspy:).*\n", live, re.MULTILINE)), promise), live
    replayed = consoles.run("mailspy replay first.pcapng", folder)
    assert re.findall(r"^ .*$", replayed, re.MULTILINE) == re.findall(r"^ .*$", live, re.MULTILINE)


class Program:
    """mailspy in the background, until a Ctrl-C; what it says is read as it comes."""

    def __init__(self, folder: Path, arguments: str) -> None:
        self.said = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "inspector", *arguments.split()], cwd=folder, env=consoles.environment(folder),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def __enter__(self) -> Program:
        return self

    def until(self, pattern: str) -> str:
        """Reads on until a line matches; its first group."""
        while line := self._process.stdout.readline().decode():
            self.said += line
            if match := re.search(pattern, line):
                return match[1]
        pytest.fail(f"it never said {pattern}: {self.said}")

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self.said += self._process.communicate(timeout=20)[0].decode()
        finally:
            self._process.kill()
            self._process.wait()


# The JSON contract

TYPES = {"string": str, "number": int, "boolean": bool, "object": dict, "list of strings": list, "list of objects": list,
         "number or null": (int, type(None))}


def members(section: str) -> dict[str, type]:
    """The members that a section of the page lists, with their types."""
    return {name: TYPES[kind] for name, kind in re.findall(r"^\| `(\w+)` \| ([\w ]+) \|", section, re.MULTILINE)
            if kind in TYPES}


@pytest.fixture(scope="session")
def objects(folder: Path) -> list[dict]:
    """What the sample captures tell as JSON."""
    command = "mailspy replay --json --local-domain cnam.fr --attachments saved samples/{}.pcapng 2>/dev/null"
    return [json.loads(line) for name in samples.SAMPLES for line in consoles.run(command.format(name), folder).splitlines()]


def test_the_json_page_lists_every_member_of_every_event(objects: list[dict]) -> None:
    if not any(one["event"] == "message" for one in objects):
        pytest.skip("mailspy is not installed, so its plugins are not found: pip install -e .")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", PAGES["reference/json.md"], re.MULTILINE | re.DOTALL))
    common = members(PAGES["reference/json.md"].split("## Members of every object")[1].split("\n## ")[0])
    seen = set()
    for one in objects:
        seen.add(one["event"])
        listed = {**common, **members(sections[one["event"]])}
        assert set(one) <= set(listed), one
        for name, value in one.items():
            assert isinstance(value, listed[name]), (name, value)
            assert not (isinstance(value, bool) and listed[name] is int)
        optional = {"client_state", "transaction", "details", "reason", "candidates", "tls", "count", "origin"}
        assert set(listed) - set(one) <= optional, one
    assert seen == {"flow_opened", "pdu", "anomaly", "part", "message", "attachment", "policy", "flow_closed"}
    for example in re.findall(r"^```json\n(.*?)\n```", PAGES["reference/json.md"], re.MULTILINE | re.DOTALL):
        told = json.loads(example)
        assert any({**one, "sha256": "…"} == told if "sha256" in one else one == told for one in objects), example


# Writing plugins


def pipeline_with(plugin: object, **options: object) -> tuple[Pipeline, list[str]]:
    """A pipeline with one plugin, and the list of what it will report."""
    heard: list[str] = []

    class Ear:
        @hookimpl
        def finding(self, finding) -> None:
            alarming = "" if finding.severity == "info" else f" [{finding.severity}]"
            heard.append(f"{finding.event}: {finding.summary}{alarming}")

    host = Host(pytest.fail)
    host.register("plugin", plugin)
    host.register("ear", Ear())
    given = {option.name: option.default for option in host.options()}
    host.configure(Options({**given, **options}))
    return Pipeline(Hooks(host, lambda head: "")), heard


def load(folder: Path, name: str):
    """The plugin in a file of the page, found as mailspy finds it."""
    host = Host(pytest.fail)
    host.load_file(str(folder / name))
    return host.loaded[0].plugin


def play(pipeline: Pipeline, script: tuple[str, ...]) -> None:
    """A dialogue of the sample captures, by hand."""
    inspector = pipeline.open(Flow(1, Address("192.0.2.10", 40000), Address("192.0.2.25", 25), 0, "smtp"))
    for time, line in enumerate(script, 1):
        inspector.feed(line.startswith("C"), line[3:].encode() + b"\r\n", time)
    inspector.close("client closed")


def promised(plugin: str, *words: str) -> list[str]:
    """The findings that the page says a plugin reports, as `event: summary`."""
    step = next(step for step in STEPS if plugin in step.command and all(word in step.command for word in words))
    told = [line.split("*", 1)[1].strip() for line in step.printed.splitlines() if "   *   " in line]
    return [": ".join(re.split(r" {2,}", line)) for line in told]


@pytest.mark.parametrize(("name", "words", "options"), [
    ("first_plugin.py", (), {}), ("second_plugin.py", (), {}),
    ("count_domains.py", ("--rcpt-alarm 1",), {"rcpt-alarm": 1}),
])
def test_the_plugins_of_the_page_report_what_it_says(name: str, words, options, folder: Path) -> None:
    pipeline, heard = pipeline_with(load(folder, name), **options)
    play(pipeline, samples.RELAY)
    assert heard == promised(name, *words)
    assert heard


def test_the_counter_forgets_flows_and_bounds_domains(folder: Path) -> None:
    """What the page says about memory."""
    plugin = load(folder, "count_domains.py")
    pipeline, heard = pipeline_with(plugin)
    many = [line for n in range(1_010) for line in (f"C: RCPT TO:<a@d{n}.example>", "S: 250 ok")]
    play(pipeline, ("S: 220 mx", "C: EHLO c", "S: 250 mx", "C: MAIL FROM:<>", "S: 250 ok", *many))
    assert heard[-1] == "recipients: (others): 10 so far, this one accepted"
    assert plugin.flows == {}


def test_the_judge_of_the_page_refuses(folder: Path) -> None:
    """Its answer reaches the client, its command never the server."""
    from links import Pair

    pipeline, _ = pipeline_with(load(folder, "refuse_relay.py"))
    pair = Pair(pipeline, "smtp", judged=True)
    pair.s(b"220 mx\r\n")
    pair.c(b"EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@y.example>\r\nRCPT TO:<pierre@cnam.fr>\r\n")
    pair.s(b"250 mx\r\n250 ok\r\n250 ok\r\n")
    assert b"x@y.example" not in pair.server.sent
    refusal = b"550 5.7.1 this proxy passes on mail for cnam.fr only\r\n"
    assert pair.client.sent == b"220 mx\r\n250 mx\r\n250 ok\r\n" + refusal + b"250 ok\r\n"


def test_the_protocol_of_the_page_is_read(folder: Path) -> None:
    """In every cutting, with phases and anomalies."""
    from dialogue import Witness

    from inspector.pdu import C2S, S2C

    host = Host(pytest.fail)
    host.load_file(str(folder / "ask_protocol.py"))
    stream = ((True, b"ASK why\r\nBYE\r\nASK again\r\n"), (False, b"OK because\r\nOK\r\nNO\r\nOK?\r\n"))
    for step in (1, 5, 100):
        witness = Witness()
        inspector = Pipeline(witness, host.protocols()).open(
            Flow(1, Address("192.0.2.1", 4000), Address("192.0.2.2", 7007), 0, "ask"))
        for client, data in stream:
            for at in range(0, len(data), step):
                inspector.feed(client, data[at:at + step], 1)
        inspector.end(C2S, 2)
        inspector.end(S2C, 2)
        assert [(pdu.phase, pdu.verb, pdu.status) for pdu in witness.pdus] == [
            ("OPEN", "ASK", ""), ("OPEN", "BYE", ""), ("OVER", "ASK", ""),
            ("OPEN", "ASK", "OK"), ("OPEN", "BYE", "OK"), ("OVER", "ASK", "NO"), ("OVER", "", "OK")]
        assert witness.anomalies == [("bad_sequence", 3), ("reply_without_command", 7)]


def test_the_test_of_the_page_passes(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", ".",
                           "test_count_domains.py"], cwd=folder, env=consoles.environment(folder), capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", PLUGINS)
def test_plugins_import_only_what_is_public(name: str) -> None:
    imported = re.findall(r"^from inspector(\S*) import (.+)$", FILES[name], re.MULTILINE)
    assert imported
    for where, names in imported:
        assert where == ""
        assert set(names.split(", ")) <= set(public.__all__)


# The build


def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    """Internal links are checked by it; nothing of the web is loaded by what it makes."""
    missing = [name for name in ("sphinx", "myst_parser", "furo") if importlib.util.find_spec(name) is None]
    if missing:
        if CI:
            pytest.fail(f"CI must build the pages: {', '.join(missing)} not installed")
        pytest.skip(f"{', '.join(missing)} not installed: pip install sphinx myst-parser furo")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", str(tmp_path / "trees"),
               str(DOCS), str(tmp_path / "html")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for page in (tmp_path / "html").rglob("*.html"):
        text = page.read_text("utf-8")
        assert not re.search(r"<(?:script|img|iframe)[^>]*\ssrc=\"(?:https?:)?//", text), page
        assert not re.search(r"<link[^>]*rel=\"(?:stylesheet|preload|preconnect|icon)\"[^>]*href=\"(?:https?:)?//", text), page
    for sheet in (tmp_path / "html").rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//|@import", sheet.read_text("utf-8")), sheet
