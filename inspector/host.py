"""Loading plugins, calling their hooks, containing their failures.

Rules.  Plugins are found by entry point in group `mailspy` and by file; a misspelt hook or a wrong argument stops the program at
the start.  An implementation that raises is named once per hook and never stops the others; a plugin that has raised three
times is switched off.  Order is pluggy's: the last registered is called first, `tryfirst` and `trylast` are honoured.

pluggy itself would let one plugin's exception stop the others, and takes 1 to 6 µs a call; so it registers and checks, and the
calls are made here.

Knows pluggy and the hook specifications.  Must not know any plugin by name, nor what the hooks mean.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import pluggy

from inspector import hookspecs
from inspector.errors import OptionError, PluginError
from inspector.options import Option, OptionParser, Options
from inspector.pdu import C2S, PDU, Message, Part, Sink
from inspector.protocol import Protocol
from inspector.session import Session
from inspector.verdict import Verdict, flaw, strictest

GROUP: Final = "mailspy"
"""The entry point group of plugins."""
STRIKES: Final = 3
"""Faults after which a plugin is switched off."""

Alarm = Callable[[str], None]
"""Takes one line for the person who runs the program."""


@dataclass(slots=True)
class Loaded:
    """One plugin that takes part."""

    name: str
    plugin: Any
    origin: str
    """Where it comes from: a distribution with its version, a file, or `given`."""
    hooks: list[str] = field(default_factory=list)
    options: list[Option] = field(default_factory=list)
    faults: int = 0
    disabled: bool = False
    named: set[str] = field(default_factory=set)
    """The hooks in which a fault of it has been told."""


class Implementation(NamedTuple):
    """One function of one plugin for one hook."""

    function: Callable[..., Any]
    """Takes all arguments of the hook."""
    owner: Loaded


class Host:
    """The plugins that take part, and the calls to their hooks."""

    def __init__(self, alarm: Alarm) -> None:
        self.alarm = alarm
        self.loaded: list[Loaded] = []
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._cells: dict[str, list[tuple[Implementation, ...]]] = {}

    # Loading

    def load_entry_points(self, disabled: Iterable[str] = ()) -> None:
        """Registers every plugin that an installed distribution offers.  Raises PluginError."""
        shut = {_plain(name) for name in disabled}
        points = sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: point.name)
        for point in points:
            if _plain(point.name) in shut:
                continue
            try:
                plugin = point.load()
            except Exception as error:
                raise PluginError(f"plugin {point.name}: cannot be loaded from {point.value}: {error}; "
                                  f"mend it, or leave it out with --disable {point.name}") from error
            dist = point.dist
            self.register(point.name, plugin, f"{dist.name} {dist.version}" if dist else point.value)

    def load_file(self, path: str) -> None:
        """Registers the plugin in a Python file.  Raises PluginError."""
        file = Path(path)
        if not file.is_file():
            raise PluginError(f"--plugin {path}: there is no such file")
        spec = importlib.util.spec_from_file_location(f"mailspy_plugin_{file.stem}", file)
        if spec is None or spec.loader is None:
            raise PluginError(f"--plugin {path}: a plugin is a Python file, its name ending in .py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module.__name__] = module
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            raise PluginError(f"--plugin {path}: cannot be loaded: {type(error).__name__}: {error}") from error
        self.register(file.stem, getattr(module, "plugin", module), str(file))

    def register(self, name: str, plugin: Any, origin: str = "given") -> None:
        """Registers a plugin: a module, an instance, or a class of which an instance is made.  Raises PluginError."""
        if any(loaded.name == name for loaded in self.loaded):
            raise PluginError(f"plugin {name}: there are two of that name; leave one out with --disable {name}")
        if inspect.isclass(plugin):
            plugin = plugin()
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(f"plugin {name}: {_one_line(error)}") from error
        hooks = [caller.name for caller in self._manager.get_hookcallers(plugin) or ()]
        if not hooks:
            raise PluginError(f"plugin {name} ({origin}): implements no hook; mark its functions with @hookimpl")
        self.loaded.append(Loaded(name, plugin, origin, sorted(hooks)))

    def check_disabled(self, disabled: Iterable[str]) -> None:
        """Raises PluginError when a name to be left out belongs to no plugin that is installed."""
        known = {_plain(point.name) for point in importlib.metadata.entry_points(group=GROUP)}
        known |= {_plain(loaded.name) for loaded in self.loaded}
        for name in disabled:
            if _plain(name) not in known:
                raise PluginError(f"--disable {name}: there is no plugin of that name; "
                                  "`mailspy plugins` lists them")

    # Starting

    def options(self) -> list[Option]:
        """The options that the plugins declare.  Raises PluginError when two declare the same."""
        found: list[Option] = []
        for implementation in self._implementations("add_options"):
            owner = implementation.owner
            parser = OptionParser(owner.name)
            self._strictly(implementation, parser)
            owner.options = parser.options
            for option in parser.options:
                if clash := next((other for other in found if other.name == option.name), None):
                    raise PluginError(f"plugins {clash.plugin} and {owner.name} both declare --{option.name}; "
                                      f"leave one out with --disable")
                found.append(option)
        return found

    def protocols(self) -> list[Protocol]:
        """The protocols that plugins add."""
        found: list[Protocol] = []
        for implementation in self._implementations("register_protocols"):
            found += self._strictly(implementation) or ()
        return found

    def configure(self, options: Options) -> None:
        """Gives the values of the options to every plugin.  Raises OptionError, or PluginError for a fault."""
        for implementation in self._implementations("configure"):
            self._strictly(implementation, options)

    def _strictly(self, implementation: Implementation, *arguments: Any) -> Any:
        """A call at the start, where a fault stops the program."""
        try:
            return implementation.function(*arguments)
        except (OptionError, PluginError):
            raise
        except Exception as error:
            raise PluginError(f"plugin {implementation.owner.name}: {type(error).__name__}: {error}") from error

    # Calling

    def implementations(self, hook: str) -> tuple[Implementation, ...]:
        """Who implements a hook, in the order of the calls, those switched off left out."""
        return self._cell(hook)[0]

    def _cell(self, hook: str) -> list[tuple[Implementation, ...]]:
        if hook not in self._cells:
            self._cells[hook] = [tuple(self._implementations(hook))]
        return self._cells[hook]

    def _implementations(self, hook: str) -> list[Implementation]:
        caller = getattr(self._manager.hook, hook)
        names = list(inspect.signature(getattr(hookspecs, hook)).parameters)
        owners = {id(loaded.plugin): loaded for loaded in self.loaded
                  if not loaded.disabled and not _idle(loaded.plugin, hook)}
        found: list[Implementation] = []
        for implementation in reversed(caller.get_hookimpls()):
            if implementation.hookwrapper or implementation.wrapper:
                raise PluginError(f"plugin {implementation.plugin_name}: {hook}: mailspy calls no hook wrappers")
            if owner := owners.get(id(implementation.plugin)):
                found.append(Implementation(_fit(implementation.function, implementation.argnames, names), owner))
        return found

    def teller(self, hook: str) -> Callable[..., None]:
        """A function that tells every implementation of a hook, whatever any of them does."""
        cell = self._cell(hook)
        fault = self.fault

        def tell(*arguments: Any) -> None:
            for function, owner in cell[0]:
                try:
                    function(*arguments)
                except (Exception, SystemExit) as error:
                    fault(owner, hook, error)

        def tell_two(first: Any, second: Any) -> None:
            for function, owner in cell[0]:
                try:
                    function(first, second)
                except (Exception, SystemExit) as error:
                    fault(owner, hook, error)

        two = len(inspect.signature(getattr(hookspecs, hook)).parameters) == 2
        return tell_two if two else tell

    def asker(self, hook: str) -> Callable[..., list[tuple[Any, Loaded]]]:
        """A function that asks every implementation of a hook and gives the answers that are not None."""
        cell = self._cell(hook)

        def ask(*arguments: Any) -> list[tuple[Any, Loaded]]:
            answers: list[tuple[Any, Loaded]] = []
            for implementation in cell[0]:
                try:
                    answer = implementation.function(*arguments)
                except (Exception, SystemExit) as error:
                    self.fault(implementation.owner, hook, error)
                    continue
                if answer is not None:
                    answers.append((answer, implementation.owner))
            return answers

        return ask

    def fault(self, owner: Loaded, hook: str, error: BaseException) -> None:
        """Counts a fault of a plugin, names it once per hook, and switches the plugin off at the third."""
        owner.faults += 1
        if hook not in owner.named:
            owner.named.add(hook)
            self.alarm(f"plugin {owner.name}: {hook}: {type(error).__name__}: {error}{_where(error)}")
        if owner.faults >= STRIKES and not owner.disabled:
            owner.disabled = True
            self.alarm(f"plugin {owner.name}: switched off after {STRIKES} faults")
            for cell in self._cells.values():
                cell[0] = tuple(one for one in cell[0] if one.owner is not owner)


class GuardedSinks:
    """Several plugins' sinks as one: what one of them raises does not reach the others."""

    __slots__ = ("_hook", "_host", "_sinks")

    def __init__(self, host: Host, hook: str, sinks: Sequence[tuple[Sink, Loaded]]) -> None:
        self._host = host
        self._hook = hook
        self._sinks = tuple(sinks)

    @property
    def patient(self) -> bool:
        """Whether all of them are."""
        for sink, owner in self._sinks:
            try:
                if not getattr(sink, "patient", False):
                    return False
            except (Exception, SystemExit) as error:
                self._drop(sink, owner, error)
        return True

    def feed(self, data: bytes) -> None:
        """Feeds them all."""
        for sink, owner in self._sinks:
            try:
                sink.feed(data)
            except (Exception, SystemExit) as error:
                self._drop(sink, owner, error)

    def close(self, complete: bool) -> None:
        """Closes them all."""
        for sink, owner in self._sinks:
            try:
                sink.close(complete)
            except (Exception, SystemExit) as error:
                self._drop(sink, owner, error)

    def _drop(self, sink: Sink, owner: Loaded, error: BaseException) -> None:
        self._sinks = tuple(pair for pair in self._sinks if pair[0] is not sink)
        self._host.fault(owner, self._hook, error)


class Hooks:
    """The observer that tells the plugins: what sessions and the pipeline call."""

    def __init__(self, host: Host, describe_record: Callable[[bytes], str]) -> None:
        self._host = host
        self.describe_record = describe_record
        self.flow_opened = host.teller("flow_opened")
        self.flow_closed = host.teller("flow_closed")
        self.pdu_seen = host.teller("pdu_seen")
        self.phase_changed = host.teller("phase_changed")
        self.anomaly_found = host.teller("anomaly_found")
        self.finding = host.teller("finding")
        self.exchange_completed: Callable[..., None] | None = (
            host.teller("exchange_completed") if self._asked("exchange_completed") else None)
        self._ask_message = host.asker("open_message")
        self._ask_part = host.asker("open_part")
        self._judge_pdu = host.asker("judge_pdu")
        self._judge_message = host.asker("judge_message")
        self.judging = self._asked("judge_pdu") or self._asked("judge_message")
        """Whether some plugin judges: then nothing is sent on before it was judged."""
        self.judge: Callable[[PDU | Message, Session], Verdict | None] | None = self._judge if self.judging else None

    def _asked(self, hook: str) -> bool:
        return bool(self._host.implementations(hook))

    def open_message(self, message: Message, session: Session) -> Sink | None:
        """One sink that feeds those of all plugins, or None when none wants the message."""
        sinks = self._ask_message(message, session)
        return GuardedSinks(self._host, "open_message", sinks) if sinks else None

    def open_part(self, part: Part, message: Message) -> Sink | None:
        """One sink that feeds those of all plugins, or None when none wants the part."""
        sinks = self._ask_part(part, message)
        return GuardedSinks(self._host, "open_part", sinks) if sinks else None

    def _judge(self, subject: PDU | Message, session: Session) -> Verdict | None:
        line = isinstance(subject, PDU)
        client = isinstance(subject, PDU) and subject.direction is C2S
        sound: list[Verdict] = []
        for answer, owner in (self._judge_pdu if line else self._judge_message)(subject, session):
            if wrong := flaw(answer, client):
                self._host.fault(owner, "judge_pdu" if line else "judge_message", PluginError(wrong))
            else:
                sound.append(answer)
        return strictest(sound)


def _idle(plugin: Any, hook: str) -> bool:
    """Whether a plugin has said that it has nothing to do, at all or in this hook."""
    idle = getattr(plugin, "idle", False)
    return hook in idle if isinstance(idle, frozenset) else bool(idle)


def _fit(function: Callable[..., Any], takes: Sequence[str], names: Sequence[str]) -> Callable[..., Any]:
    """The function as one that takes all arguments of the hook, in their order."""
    if list(takes) == list(names):
        return function
    places = [names.index(name) for name in takes]

    def fitted(*arguments: Any) -> Any:
        return function(*[arguments[place] for place in places])

    return fitted


def _plain(name: str) -> str:
    """`logger`, `mailspy-logger` and `mailspy_logger` are the same plugin."""
    return name.replace("-", "_").removeprefix("mailspy_")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _where(error: BaseException) -> str:
    """The file and line in the plugin where the error arose."""
    trace = error.__traceback__
    place = ""
    while trace is not None:
        place = f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})"
        trace = trace.tb_next
    return place


