"""Every hook × every way to fail × live and replay: contained, named, told once; octets and other plugins do not notice."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from links import Pair

import inspector.pdu
from inspector import Answer, Close, Finding, Forward, Part, Protocol, Replace, Session, hookimpl, hookspecs, interrupt
from inspector.capture.reader import read
from inspector.capture.writer import CaptureWriter
from inspector.cli import main
from inspector.host import STRIKES, Hooks, Host
from inspector.pipeline import Pipeline

CAPTURES = Path(__file__).parent.parent / "captures"
SPECS = {name: list(inspect.signature(function).parameters) for name, function in vars(hookspecs).items()
         if inspect.isfunction(function) and hasattr(function, "mailspy_spec")}
START = ("add_options", "configure", "register_protocols")
TRAFFIC = [name for name in SPECS if name not in START]
SINK = ("feed", "close", "patient")
JUDGES = ("judge_pdu", "judge_message")
OPENERS = ("open_message", "open_part")


# Ways to fail


class Speechless(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise ZeroDivisionError("no text")


class Wordless(Exception):
    """Its text is none."""

    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # noqa: PLE0307


HOSTILE = "\x1b]0;PWNED\x07\x1b[2J\r\nmailspy: forged line \u202e\x9b31m" + "x" * 10_000


def deep(level: int = 0) -> int:
    return deep(level + 1) + 1


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object) -> None:
        raise error

    return fail


RAISES: dict[str, Callable[..., Any]] = {
    "Exception": raising(RuntimeError("on purpose")),
    "BaseException": raising(BaseException("on purpose")),
    "KeyboardInterrupt": raising(KeyboardInterrupt()),
    "SystemExit": raising(SystemExit(3)),
    "GeneratorExit": raising(GeneratorExit()),
    "CancelledError": raising(asyncio.CancelledError()),
    "StopIteration": raising(StopIteration(1)),
    "MemoryError": raising(MemoryError()),
    "RecursionError": lambda *_: deep(),
    "group": raising(BaseExceptionGroup("several", [KeyboardInterrupt(), ValueError("x")])),
    "speechless": raising(Speechless()),
    "wordless": raising(Wordless()),
    "hostile": raising(ValueError(HOSTILE)),
    "hostile name": raising(type("Evil\x1b[2J\r\n", (Exception,), {})("x")),
}
"""What a hook may do instead of returning."""


class Loud(Replace):
    """A verdict of a class of one's own, which makes itself the strictest."""

    rank = 99


class Odd(Close):
    rank = None  # type: ignore[assignment]


class Trap:
    """Everything asked of it raises."""

    def __getattr__(self, name: str) -> Any:
        raise KeyboardInterrupt(name)

    def __bool__(self) -> bool:
        raise SystemExit

    def __eq__(self, other: object) -> bool:
        raise MemoryError

    __hash__ = object.__hash__


JUNK: dict[str, Callable[[], Any]] = {
    "0": lambda: 0, "True": lambda: True, "text": lambda: "550 no\r\n", "octets": lambda: b"550 no\r\n",
    "list": lambda: [Forward()], "object": object, "class": lambda: Replace, "trap": Trap,
    "generator": lambda: (one for one in ()),
}
"""What no hook takes."""
NO_VERDICTS: dict[str, Callable[[], Any]] = {
    **JUNK,
    "Replace of text": lambda: Replace("NOOP\r\n"),  # type: ignore[arg-type]
    "Replace of None": lambda: Replace(None),  # type: ignore[arg-type]
    "Replace of a bytearray": lambda: Replace(bytearray(b"NOOP\r\n")),  # type: ignore[arg-type]
    "Answer of text": lambda: Answer("250 ok\r\n"),  # type: ignore[arg-type]
    "Close with text": lambda: Close("bye"),  # type: ignore[arg-type]
    **{f"Replace {raw!r}": lambda raw=raw: Replace(raw) for raw in (b"", b"NOOP", b"NOOP\n", b"\nNOOP\r\n", b"NO\rOP\r\n")},
    **{f"Answer {raw!r}": lambda raw=raw: Answer(raw) for raw in (
        b"", b"250 ok", b"250 ok\n", b"250-ok\r\n", b"250 a\r\n250 b\r\n", b"250-a\r\n251 b\r\n", b"hello\r\n", b"250ok\r\n",
        b"250 a\rb\r\n")},
    "a class of one's own": lambda: Loud(b"two\r\nlines\r\n"),
}
"""What no judge may answer to a line of SMTP."""


# A house with one plugin that fails and one that does not


class Witness:
    """Hears everything."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.octets = b""
        for name in TRAFFIC:
            arguments = ", ".join(SPECS[name])
            scope: dict[str, Any] = {"tell": self._tell}
            exec(f"def {name}({arguments}):\n    return tell({name!r}, {arguments})\n", scope)
            setattr(self, name, hookimpl(scope[name]))

    def _tell(self, name: str, *arguments: Any) -> Any:
        self.heard.append(name)
        if name == "open_message":
            self.message, self.session = arguments
            return self
        return Forward() if name in JUDGES else None

    def feed(self, data: bytes) -> None:
        self.octets += data

    def close(self, complete: bool) -> None:
        # As the MIME plugin does.
        if sink := self.session.open_part(Part(self.message, "1", "text/plain"), self.message):
            sink.feed(b"part")
            sink.close(complete)
        self.session.report(Finding("message", "one", {}))


class Failing:
    """Implements one hook; what `fail` gives it returns."""

    def __init__(self, hook: str, fail: Callable[..., Any]) -> None:
        self.calls = 0

        def count(*arguments: Any) -> Any:
            self.calls += 1
            return fail(*arguments)

        scope: dict[str, Any] = {"fail": count}
        arguments = ", ".join(SPECS[hook])
        exec(f"def {hook}({arguments}):\n    return fail({arguments})\n", scope)
        setattr(self, hook, hookimpl(scope[hook]))


class FailingSink:
    """A sink that fails in one of its members."""

    def __init__(self, member: str, fail: Callable[..., Any]) -> None:
        self.member, self.fail = member, fail

    def feed(self, data: bytes) -> None:
        if self.member == "feed":
            self.fail()

    def close(self, complete: bool) -> None:
        if self.member == "close":
            self.fail()

    @property
    def patient(self) -> bool:
        return bool(self.member == "patient" and self.fail())


DIALOGUE = [
    (False, b"220 mx\r\n"), (True, b"EHLO c\r\n"), (False, b"250 mx\r\n"),
    *[(True, b"MAIL FROM:<a@b>\r\n"), (False, b"250 ok\r\n"), (True, b"RCPT TO:<c@d>\r\n"), (False, b"250 ok\r\n"),
      (True, b"DATA\r\n"), (False, b"354 go\r\n"), (True, b"Subject: x\r\n\r\nhi\nbare\r\n.\r\n"),
      (False, b"250 ok\r\n")] * STRIKES,
    (True, b"WHAT\r\n"), (False, b"500 no\r\n"), (True, b"QUIT\r\n"), (False, b"221 bye\r\n"),
]
SAID = {client: b"".join(data for sender, data in DIALOGUE if sender is client) for client in (True, False)}


@pytest.fixture(autouse=True)
def no_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """What says which form is tested is no option of mailspy, which would tell so."""
    monkeypatch.delenv("MAILSPY_FORM", raising=False)


class House:
    """A pipeline with both plugins; the one that fails is called first."""

    def __init__(self, culprit: Any) -> None:
        self.alarms: list[str] = []
        self.host = Host(self.alarms.append)
        self.witness = Witness()
        self.host.register("witness", self.witness)
        self.host.register("culprit", culprit)
        self.pipeline = Pipeline(Hooks(self.host, lambda head: "TLS"), alarm=pytest.fail)

    def live(self, capture: CaptureWriter | None = None) -> Pair:
        pair = Pair(self.pipeline, "smtp", capture, judged=True)
        for client, data in DIALOGUE:
            pair.relay.received(client, data)
        pair.relay.ended(True)
        pair.relay.ended(False)
        return pair

    def replay(self, path: Path) -> None:
        for event in read(str(path)):
            self.pipeline.take(event)
        self.pipeline.finish()

    def check(self, hook: str, calls: int) -> None:
        """Named, told once and in one harmless line, switched off at the third."""
        assert all(line.isprintable() and len(line) < 600 and "\x1b" not in line for line in self.alarms)
        faults = [line for line in self.alarms if line.startswith(f"plugin culprit: {hook}: ")]
        off = "plugin culprit: switched off after 3 faults"
        assert len(faults) == 1
        assert (off in self.alarms) is (calls >= STRIKES)
        assert self.alarms == [*faults, *([off] if calls >= STRIKES else [])]
        assert all(owner.name == "witness" for _, owner in self.host.implementations(hook)) or calls < STRIKES


@pytest.fixture(scope="module")
def peace(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], list[str]]:
    """A capture of the dialogue, and what is heard of it where nobody fails, live and in replay."""
    path = tmp_path_factory.mktemp("peace") / "all.pcapng"
    live, saved = House(Failing("finding", lambda *_: None)), House(Failing("finding", lambda *_: None))
    writer = CaptureWriter(str(path), alarm=pytest.fail)
    live.live(writer)
    writer.close()
    saved.replay(path)
    assert set(TRAFFIC) <= set(live.witness.heard)
    return path, live.witness.heard, saved.witness.heard


def tried(house: House, culprit: Any, hook: str, peace: tuple[Path, list[str], list[str]], live: bool) -> None:
    """Nothing changes for anybody else."""
    path, heard_live, heard_saved = peace
    if live:
        pair = house.live()
        assert (pair.server.sent, pair.client.sent) == (SAID[True], SAID[False])
        assert house.witness.heard == heard_live
    else:
        house.replay(path)
        assert house.witness.heard == heard_saved
    assert house.witness.octets == b"Subject: x\r\n\r\nhi\nbare\r\n" * STRIKES
    house.check(hook, culprit.calls)


@pytest.mark.parametrize("live", [True, False], ids=["live", "replay"])
@pytest.mark.parametrize("way", RAISES)
@pytest.mark.parametrize("hook", TRAFFIC)
def test_what_raises(hook: str, way: str, live: bool, peace: tuple[Path, list[str], list[str]]) -> None:
    culprit = Failing(hook, RAISES[way])
    tried(House(culprit), culprit, hook, peace, live)
    assert 1 <= culprit.calls <= STRIKES


@pytest.mark.slow
@pytest.mark.parametrize("live", [True, False], ids=["live", "replay"])
@pytest.mark.parametrize("way", RAISES)
@pytest.mark.parametrize("member", SINK)
@pytest.mark.parametrize("hook", OPENERS)
def test_sinks_that_raise(hook: str, member: str, way: str, live: bool, peace: tuple[Path, list[str], list[str]]) -> None:
    culprit = Failing(hook, lambda *_: FailingSink(member, RAISES[way]))
    if member == "patient":  # asked offline only
        House(culprit).live()
        return
    tried(House(culprit), culprit, hook, peace, live)


@pytest.mark.parametrize("live", [True, False], ids=["live", "replay"])
@pytest.mark.parametrize("junk", NO_VERDICTS)
@pytest.mark.parametrize("hook", JUDGES)
def test_what_is_no_verdict(hook: str, junk: str, live: bool, peace: tuple[Path, list[str], list[str]]) -> None:
    """It does not count; three times, and nobody judges any more, and octets go on."""
    culprit = Failing(hook, lambda *_: NO_VERDICTS[junk]())
    house = House(culprit)
    if hook == "judge_pdu" and junk.startswith(("Replace b", "Answer b", "a class")):
        # On the lines of the server and on contents some of them are right, or have no effect: only commands are judged here.
        culprit = Failing(hook, lambda pdu, session: NO_VERDICTS[junk]() if pdu.kind.value == "command" else None)
        house = House(culprit)
        house.live()
        assert house.witness.octets
        assert "does not count" in house.alarms[0]
        assert len(house.alarms) == 2
        return
    if hook == "judge_message" and junk.startswith(("Replace b", "a class")):
        pytest.skip("Replace has no effect on a message")
    tried(house, culprit, hook, peace, live)
    assert "does not count" in house.alarms[0] or junk == "trap"


@pytest.mark.parametrize("live", [True, False], ids=["live", "replay"])
@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("hook", OPENERS)
def test_what_is_no_sink(hook: str, junk: str, live: bool, peace: tuple[Path, list[str], list[str]]) -> None:
    culprit = Failing(hook, lambda *_: JUNK[junk]())
    tried(House(culprit), culprit, hook, peace, live)


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize("hook", [name for name in TRAFFIC if name not in JUDGES + OPENERS])
def test_what_nobody_asked_for(hook: str, junk: str, peace: tuple[Path, list[str], list[str]]) -> None:
    """A hook that is told may return anything."""
    house = House(Failing(hook, lambda *_: JUNK[junk]()))
    house.live()
    assert house.alarms == []
    assert house.witness.heard == peace[1]


PURE = str(inspector.pdu.__file__).endswith(".py")
CHANGES: dict[str, Callable[[Any, Any], object]] = {
    "the octets": lambda pdu, session: setattr(pdu, "raw", b"QUIT\r\n"),
    "no octets": lambda pdu, session: delattr(pdu, "raw"),
    "the size": lambda pdu, session: setattr(pdu, "size", -1),
    "the place": lambda pdu, session: setattr(pdu, "offset", 1 << 40),
    "the kind": lambda pdu, session: setattr(pdu, "kind", None),
    "the verb": lambda pdu, session: setattr(pdu, "verb", "DATA" if pdu.verb != "DATA" else "NOOP"),
    "the details": lambda pdu, session: setattr(pdu, "details", {}),
    "in the details": lambda pdu, session: pdu.details.update(path="x"),
    "the text": lambda pdu, session: setattr(pdu, "note", pdu.text + "!"),
    "what waits": lambda pdu, session: session.pending.append("x"),
    "that anything waits": lambda pdu, session: delattr(session, "pending"),
    "the machine": lambda pdu, session: setattr(session, "machine", None),
    "a reader": lambda pdu, session: setattr(session, "client", session.server),
    "who is told": lambda pdu, session: setattr(session, "observer", None),
    "the numbers": lambda pdu, session: setattr(session, "number", session.number + 1),
    "the time": lambda pdu, session: setattr(session, "time", -1),
    "the flow": lambda pdu, session: setattr(session.flow, "protocol", "pop3"),
    "that it is read": lambda pdu, session: session.give_up(),
}
"""What plugins are given is not theirs."""
LAST = "that it is read"
"""What cannot be undone."""


@pytest.mark.parametrize("live", [True, False], ids=["live", "replay"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("hook", ["judge_pdu", "pdu_seen"])
def test_what_a_plugin_changes_is_put_back(hook: str, change: str, live: bool, peace: tuple[Path, list[str], list[str]]) -> None:
    """Nobody else sees it, and the plugin is named."""
    when = ("QUIT", "reply") if change == LAST else ("RCPT", "command")

    def fail(pdu: Any, session: Session) -> None:
        if (pdu.verb, pdu.kind.value) == when:
            CHANGES[change](pdu, session)

    house = House(Failing(hook, fail))
    path, heard_live, heard_saved = peace
    if live:
        pair = house.live()
        assert (pair.server.sent, pair.client.sent) == (SAID[True], SAID[False])
    else:
        house.replay(path)
    assert change == LAST or house.witness.heard == (heard_live if live else heard_saved)
    # A compiled object refuses what is not of its type, or is to be deleted.
    told = house.alarms[0].removeprefix(f"plugin culprit: {hook}: ")
    assert told.startswith(("changed ", "TypeError: ", "AttributeError: ") if not PURE else "changed ")
    assert house.alarms[1:] == ([] if change == LAST else ["plugin culprit: switched off after 3 faults"])


def test_a_fault_that_uses_up_the_stack_is_named_too() -> None:
    """Where there is room for it."""
    for fail in (lambda pdu, session: session.observer.pdu_seen(pdu, session),
                 lambda pdu, session: session.report(Finding("message", "x", {}))):
        hook = "pdu_seen" if fail.__code__.co_names[0] == "observer" else "finding"
        house = House(Failing(hook, (lambda finding, session: session.report(finding)) if hook == "finding" else fail))
        pair = house.live()
        assert (pair.server.sent, pair.client.sent) == (SAID[True], SAID[False])
        assert house.alarms[0].startswith(f"plugin culprit: {hook}: RecursionError")


async def _later() -> None: ...


class Broken(Replace):
    """A verdict whose octets cannot be had."""

    def __getattribute__(self, name: str) -> Any:
        if name == "raw":
            raise SystemExit("no octets")
        return super().__getattribute__(name)


class Lying(bytes):
    """Octets that say that they are few."""

    def __len__(self) -> int:
        return 3


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("make", [_later, lambda: Broken(b"NOOP\r\n"), lambda: Answer(Lying(b"250 " + b"x" * 100_000 + b"\r\n")),
                                  lambda: Replace(b"NOOP " + b"x" * 100_000 + b"\r\n"), lambda: Replace(b"no line")])
def test_odd_answers_of_judges(make: Callable[[], Any]) -> None:
    """Coroutines are closed, not left behind."""
    house = House(Failing("judge_pdu", lambda pdu, session: make() if pdu.kind.value == "command" else None))
    pair = house.live()
    assert (pair.server.sent, pair.client.sent) == (SAID[True], SAID[False])
    assert len(house.alarms) == 2
    assert house.alarms[0].startswith("plugin culprit: judge_pdu: ")


def test_a_class_of_ones_own_is_a_verdict() -> None:
    """What it says is what its base says, whatever it makes of itself."""
    house = House(Failing("judge_pdu", lambda pdu, session: Loud(b"NOOP\r\n") if pdu.raw.startswith(b"WHAT") else None))
    pair = house.live()
    assert pair.server.sent == SAID[True].replace(b"WHAT\r\n", b"NOOP\r\n")
    odd = House(Failing("judge_pdu", lambda pdu, session: Odd(b"421 bye\r\n") if pdu.verb == "QUIT" else None))
    assert odd.live().client.sent.endswith(b"421 bye\r\n")
    assert house.alarms == odd.alarms == []


@pytest.mark.parametrize("raw", [b"250 ok\r\n", b"250\r\n", b"250-a\r\n250 b\r\n", b"550-5.7.1 a\r\n550-b\r\n550 c\r\n"])
def test_whole_replies(raw: bytes) -> None:
    house = House(Failing("judge_pdu", lambda pdu, session: Answer(raw) if pdu.raw.startswith(b"WHAT") else None))
    house.live()
    assert house.alarms == []


def test_secrets_do_not_come_with_the_text_of_an_exception() -> None:
    """What a plugin raises may repeat the line that it was given."""
    def fail(pdu: Any, session: Session) -> None:
        if pdu.raw.startswith((b"AUTH", b"PASS", b"XYZ")):
            raise ValueError(f"cannot read {pdu.raw!r}")

    for line in (b"AUTH PLAIN AGEAaHVudGVyMg==\r\n", b"XYZZY hunter2 hunter2\r\n"):
        house = House(Failing("pdu_seen", fail))
        pair = Pair(house.pipeline, "smtp", judged=True)
        pair.s(b"220 mx\r\n")
        pair.c(line)
        assert len(house.alarms) == 1
        assert "hunter2" not in house.alarms[0]
        assert "AGEAaHVudGVyMg" not in house.alarms[0]
        assert re.search(r"ValueError: its text may hold a secret .*\(test_plugin_faults.py:\d+\)", house.alarms[0])


# At the start


def plugin_file(folder: Path, source: str) -> str:
    path = folder / "culprit.py"
    path.write_text(f"import asyncio\nfrom inspector import *\nfrom inspector import hookimpl\n{source}\n")
    return str(path)


FAULTS = {
    "Exception": "raise RuntimeError('on purpose')", "BaseException": "raise BaseException('on purpose')",
    "KeyboardInterrupt": "raise KeyboardInterrupt", "SystemExit": "raise SystemExit(0)", "GeneratorExit": "raise GeneratorExit",
    "CancelledError": "raise asyncio.CancelledError", "MemoryError": "raise MemoryError",
    "RecursionError": "deep = lambda: deep()\n        deep()",
    "hostile": "raise ValueError('\\x1b[2J\\r\\nmailspy: forged')",
    "speechless": "raise type('Speechless', (Exception,), {'__str__': lambda self: 1 // 0})()",
}
HOOKED = "\n    @hookimpl\n    def flow_opened(self, flow): ...\n"
PLACES = {
    "import": "if True:\n    if True:\n        FAULT",
    "__init__": f"class plugin:\n    def __init__(self):\n        FAULT{HOOKED}",
    "__getattr__": f"class Plugin:\n    def __getattr__(self, name):\n        FAULT{HOOKED}plugin = Plugin()",
    "idle": f"class Plugin:\n    @property\n    def idle(self):\n        FAULT{HOOKED}plugin = Plugin()",
    **{hook: f"class plugin:\n    @hookimpl\n    def {hook}(self{''.join(f', {one}' for one in SPECS[hook])}):\n        FAULT"
       for hook in START},
}


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which the program does not start."""
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("mailspy: error: ")
    assert "culprit" in line
    assert line.isprintable()
    return line


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("place", PLACES)
def test_what_fails_at_the_start(place: str, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, and a line that names the plugin."""
    if place == "__getattr__" and fault == "RecursionError":
        pytest.skip("`__getattr__` is what finds `deep` there")
    path = plugin_file(tmp_path, PLACES[place].replace("FAULT", FAULTS[fault]))
    refused(["replay", "--plugin", path, str(CAPTURES / "pop3-sheet.pcapng")], capsys)


ODD_STARTS = {
    "a number for protocols": ("register_protocols", "return 5"),
    "a text for protocols": ("register_protocols", "return 'pop3'"),
    "a list of junk": ("register_protocols", "return [object()]"),
    "one alone": ("register_protocols", "return Protocol('x', (9,), Session)"),
    "a name that is taken": ("register_protocols", "return [Protocol('pop3', (9,), Session)]"),
    "a name twice": ("register_protocols", "return [Protocol('x', (9,), Session), Protocol('x', (8,), Session)]"),
    "a name that is none": ("register_protocols", "return [Protocol('x\\x1b', (9,), Session)]"),
    "a name of another type": ("register_protocols", "return [Protocol(5, (9,), Session)]"),
    "ports that are none": ("register_protocols", "return [Protocol('x', 'ports', Session)]"),
    "a session that is none": ("register_protocols", "return [Protocol('x', (9,), None)]"),
    "a greeting of text": ("register_protocols", "return [Protocol('x', (9,), Session, {}, 'hi')]"),
    "STARTTLS of text": ("register_protocols", "return [Protocol('x', (9,), Session, starttls='yes')]"),
    "half a generator": ("register_protocols", "yield Protocol('x', (9,), Session)\n        raise KeyboardInterrupt"),
    "an option without a name": ("add_options", "parser.add(5, help='x')"),
    "an option with an odd name": ("add_options", "parser.add('a b\\x1b', help='x')"),
    "an option of no type": ("add_options", "parser.add('ab', help='x', type=list)"),
    "an option of half a type": ("add_options", "parser.add('ab', help='x', type=5)"),
    "an option with an odd default": ("add_options", "parser.add('ab', help='x', type=int, default='x')"),
    "an option without help": ("add_options", "parser.add('ab', help=None)"),
    "an option twice": ("add_options", "parser.add('ab', help='x')\n        parser.add('ab', help='x')"),
    "options that are none": ("add_options", "parser.options.append('x')"),
    "options that are no list": ("add_options", "parser.options = None"),
    "an option of mailspy's": ("add_options", "parser.add('jobs', help='x')"),
    "an async hook": ("pdu_seen", "await asyncio.sleep(0)"),
    "a hook that yields": ("judge_pdu", "yield Forward()"),
}


@pytest.mark.parametrize("case", ODD_STARTS)
def test_what_is_odd_at_the_start(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hook, body = ODD_STARTS[case]
    word = "async def" if "await" in body else "def"
    source = f"class plugin:\n    @hookimpl\n    {word} {hook}(self{''.join(f', {one}' for one in SPECS[hook])}):\n        {body}"
    refused(["replay", "--plugin", plugin_file(tmp_path, source), str(CAPTURES / "pop3-sheet.pcapng")], capsys)


@pytest.mark.parametrize("idle", ["'judge_pdu'", "['judge_pdu']", "{'judge_pdu'}", "5"])
def test_idle_is_one_of_three(idle: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = f"class plugin:\n    idle = {idle}\n    @hookimpl\n    def judge_pdu(self, pdu): ..."
    assert "idle" in refused(["replay", "--plugin", plugin_file(tmp_path, source), str(CAPTURES / "pop3-sheet.pcapng")], capsys)


MADE = "def __init__(self, flow, observer, limits):\n        super().__init__(flow, observer, limits, Machine({'': {}}, ''))\n"
SESSIONS = {
    "raises as it is made": "def __init__(self, flow, observer, limits):\n        FAULT",
    "is none": "def __new__(cls, flow, observer, limits):\n        return 5",
    "raises at a line": MADE +
                        "    def client_line(self, line, size):\n        FAULT\n    def server_line(self, line, size): ...",
    "raises at the end": MADE +
                         "    def client_line(self, line, size): ...\n    def server_line(self, line, size): ...\n"
                         "    def finish(self, time):\n        FAULT",
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("case", SESSIONS)
def test_sessions_of_plugins_that_fail(case: str, fault: str, tmp_path: Path) -> None:
    """The flow goes on unread, and says so; other flows, and the judges of other flows, do not notice."""
    source = f"class Odd(Session):\n    {SESSIONS[case].replace('FAULT', FAULTS[fault])}\n"
    scope: dict[str, Any] = {}
    exec(f"import asyncio\nfrom inspector import Machine, Session\n{source}", scope)
    alarms: list[str] = []
    host = Host(pytest.fail)
    witness = Witness()
    host.register("witness", witness)
    host.register("culprit", Failing("register_protocols", lambda: [Protocol("odd", (9,), scope["Odd"])]))
    pipeline = Pipeline(Hooks(host, lambda head: "TLS"), [*Pipeline(Hooks(host, repr)).protocols.values(), *host.protocols()],
                        alarm=alarms.append)
    pair, other = Pair(pipeline, "odd", judged=True), Pair(pipeline, "smtp", judged=True, number=2)
    other.s(b"220 mx\r\n")
    for line in (b"one\r\n", b"two\r\n"):
        pair.c(line)
        pair.s(line)
    pair.relay.ended(True)
    pair.relay.ended(False)
    before = witness.heard.count("judge_pdu")
    other.c(b"NOOP\r\n")
    assert pair.server.sent == pair.client.sent == b"one\r\ntwo\r\n"
    assert other.server.sent == b"NOOP\r\n"
    assert witness.heard.count("judge_pdu") == before + 1
    assert "anomaly_found" in witness.heard
    assert len(alarms) == 1
    assert "by plugin culprit" in alarms[0]
    assert alarms[0].isprintable()
    assert "on purpose" not in alarms[0], "its text may be what crossed"


# The signal of a person


def started(tmp_path: Path, body: str) -> subprocess.Popen[str]:
    path = plugin_file(tmp_path, "import sys, time\n@hookimpl\ndef pdu_seen(pdu):\n"
                                 f"    print('now', file=sys.stderr, flush=True)\n{body}")
    return subprocess.Popen([sys.executable, "-m", "inspector", "replay", "--json", "--plugin", path,
                             str(CAPTURES / "pop3-sheet.pcapng")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("body", [
    "    time.sleep(30)",
    "    try:\n        time.sleep(30)\n    except BaseException:\n        pass",
    "    try:\n        time.sleep(30)\n    except KeyboardInterrupt:\n        raise ValueError('mine')",
], ids=["waits", "swallows it", "makes another of it"])
def test_a_real_interrupt_ends_the_program(tmp_path: Path, body: str) -> None:
    with started(tmp_path, body) as process:
        assert process.stderr is not None
        assert "now\n" in iter(process.stderr.readline, "")
        os.kill(process.pid, signal.SIGINT)
        begun = time.monotonic()
        process.communicate(timeout=25)
    assert process.returncode == 130
    assert time.monotonic() - begun < 25


@pytest.mark.slow
def test_an_interrupt_of_a_plugins_own_does_not(tmp_path: Path) -> None:
    with started(tmp_path, "    raise KeyboardInterrupt") as process:
        _, said = process.communicate(timeout=25)
    assert process.returncode == 0
    assert "plugin culprit: pdu_seen: KeyboardInterrupt (culprit.py:" in said
    assert "switched off after 3 faults" in said


def test_an_ignored_interrupt_stays_ignored() -> None:
    """As in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupt.heard():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with interrupt.heard():
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            assert interrupt.came()
        assert not interrupt.came()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
