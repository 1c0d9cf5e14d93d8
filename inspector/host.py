"""Loading plugins, calling their hooks, containing their failures.

Rules.  Plugins are found by entry point in group `mailspy` and by file; a misspelt hook or a wrong argument stops the program at
the start.  An implementation that raises anything, or answers what its hook cannot take, is named once per hook and kind of
fault, and never stops the others; a plugin that has done so three times is switched off.  Only the signal of a person gets
through.  Order is pluggy's: the last registered is called first, `tryfirst` and `trylast` are honoured.

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

from inspector import answers, hookspecs
from inspector.errors import OptionError, PluginError
from inspector.fault import described, name_of, text_of
from inspector.intact import guarded
from inspector.interrupt import check
from inspector.options import Option, OptionParser, Options
from inspector.pdu import PDU, Message, Part, Sink
from inspector.protocol import Protocol
from inspector.session import Session
from inspector.sinks import GuardedSinks
from inspector.timing import SLOW, TimedSink, Watch
from inspector.verdict import Verdict, strictest

GROUP: Final = "mailspy"
"""The entry point group of plugins."""
STRIKES: Final = 3
"""Faults after which a plugin is switched off."""

BUNDLED: Final = "mailspy"
"""The distribution of the plugins that come along."""
AT_THE_START: Final = frozenset({"add_options", "configure", "register_protocols"})
"""Hooks that are called before there is traffic."""

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
    """The faults of it that have been told, by hook and kind."""
    bundled: bool = False
    """It comes with mailspy."""


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
        self.watch: Watch | None = None
        """Times the hooks that are asked for from then on; see `watching` for those of plugins that come along."""
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
            dist = point.dist
            origin = f"{dist.name} {dist.version}" if dist else point.value
            try:
                plugin = point.load()
                self.register(point.name, plugin, origin, bundled=dist is not None and dist.name == BUNDLED)
            except PluginError:
                raise
            except BaseException as error:
                check()
                raise PluginError(f"plugin {point.name}: cannot be loaded from {point.value}: {described(error)}; "
                                  f"mend it, or leave it out with --disable {point.name}") from error

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
            plugin = getattr(module, "plugin", module)
        except BaseException as error:
            check()
            raise PluginError(f"--plugin {path}: cannot be loaded: {described(error)}") from error
        self.register(file.stem, plugin, str(file))

    def register(self, name: str, plugin: Any, origin: str = "given", bundled: bool = False) -> None:
        """Registers a plugin: a module, an instance, or a class of which an instance is made.  Raises PluginError."""
        if any(loaded.name == name for loaded in self.loaded):
            raise PluginError(f"plugin {name}: there are two of that name; leave one out with --disable {name}")
        try:
            if inspect.isclass(plugin):
                plugin = plugin()
            self._manager.register(plugin, name)
            self._manager.check_pending()
            callers = self._manager.get_hookcallers(plugin) or ()
            hooks = sorted(caller.name for caller in callers)
            asked = [one for caller in callers for one in caller.get_hookimpls() if one.plugin is plugin]
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(f"plugin {name}: {text_of(error)}") from error
        except BaseException as error:
            check()
            raise PluginError(f"plugin {name} ({origin}): cannot be registered: {described(error)}") from error
        if not hooks:
            raise PluginError(f"plugin {name} ({origin}): implements no hook; mark its functions with @hookimpl")
        for one in asked:
            if inspect.iscoroutinefunction(one.function) or inspect.isasyncgenfunction(one.function) or (
                    inspect.isgeneratorfunction(one.function) and one.function.__name__ not in AT_THE_START):
                raise PluginError(f"plugin {name} ({origin}): {one.function.__name__}: hooks are plain functions, "
                                  "neither `async` nor with `yield`: nobody would run it")
        self.loaded.append(Loaded(name, plugin, origin, hooks, bundled=bundled))

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
            if not isinstance(parser.options, list) or not all(isinstance(option, Option) for option in parser.options):
                raise PluginError(f"plugin {owner.name}: add_options: declare options with `parser.add(name, help=…)` only")
            owner.options = parser.options
            for option in parser.options:
                if clash := next((other for other in found if other.name == option.name), None):
                    raise PluginError(f"plugins {clash.plugin} and {owner.name} both declare --{option.name}; "
                                      f"leave one out with --disable")
                found.append(option)
        return found

    def protocols(self, taken: Iterable[str] = ()) -> list[Protocol]:
        """The protocols that plugins add; `taken` are the names of others.  Raises PluginError."""
        found: list[Protocol] = []
        names = [*taken]
        for implementation in self._implementations("register_protocols"):
            added = self._strictly(implementation._replace(function=_protocols_of), implementation, names)
            names += [protocol.name for protocol in added]
            found += added
        return found

    def configure(self, options: Options) -> None:
        """Gives the values of the options to every plugin.  Raises OptionError, or PluginError for a fault."""
        for implementation in self._implementations("configure"):
            self._strictly(implementation, options)

    def _strictly(self, implementation: Implementation, *arguments: Any) -> Any:
        """A call at the start, where a fault stops the program."""
        try:
            return implementation.function(*arguments)
        except (OptionError, PluginError) as error:
            raise (OptionError if isinstance(error, OptionError) else PluginError)(text_of(error)) from error
        except BaseException as error:
            check()
            raise PluginError(f"plugin {implementation.owner.name}: {described(error)}") from error

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
                  if not loaded.disabled and not _idle(loaded, hook)}
        found: list[Implementation] = []
        for implementation in reversed(caller.get_hookimpls()):
            if implementation.hookwrapper or implementation.wrapper:
                raise PluginError(f"plugin {implementation.plugin_name}: {hook}: mailspy calls no hook wrappers")
            if owner := owners.get(id(implementation.plugin)):
                function = _fit(implementation.function, implementation.argnames, names)
                if not owner.bundled and hook not in AT_THE_START:
                    function = guarded(function)
                if self._times(owner) and hook not in AT_THE_START:
                    assert self.watch is not None
                    function = self.watch.timed(function, owner.name, hook)
                found.append(Implementation(function, owner))
        return found

    def _times(self, owner: Loaded) -> bool:
        return self.watch is not None and (self.watch.everything or not owner.bundled)

    def sink(self, sink: Sink, owner: Loaded, hook: str) -> Sink:
        """The sink as it is fed: timed where its owner is."""
        return TimedSink(self.watch, sink, owner.name, hook) if self.watch is not None and self._times(owner) else sink

    @property
    def watching(self) -> Watch | None:
        """What is told where a call ends: there is traffic, and what comes along is not timed otherwise."""
        return None if self.watch is None or self.watch.everything else self.watch

    def teller(self, hook: str) -> Callable[..., None]:
        """A function that tells every implementation of a hook, whatever any of them does."""
        cell = self._cell(hook)
        fault = self.fault

        def tell(*arguments: Any) -> None:
            for function, owner in cell[0]:
                try:
                    function(*arguments)
                except BaseException as error:
                    fault(owner, hook, error, arguments)

        def tell_two(first: Any, second: Any) -> None:
            for function, owner in cell[0]:
                try:
                    function(first, second)
                except BaseException as error:
                    fault(owner, hook, error, (first, second))

        two = len(inspect.signature(getattr(hookspecs, hook)).parameters) == 2
        watch = self.watching
        return (tell_two if two else tell) if watch is None else self._watched(hook, cell, watch)

    def _watched(self, hook: str, cell: list[tuple[Implementation, ...]], watch: Watch) -> Callable[..., None]:
        fault, clock = self.fault, watch.clock

        def tell(*arguments: Any) -> None:
            begun = clock()
            for function, owner in cell[0]:
                inner = watch.inner
                try:
                    function(*arguments)
                except BaseException as error:
                    fault(owner, hook, error, arguments)
                now = clock()
                if now - begun > SLOW:
                    watch.took(owner.name, hook, begun, inner, now - begun)
                begun = now

        def tell_two(first: Any, second: Any) -> None:
            begun = clock()
            for function, owner in cell[0]:
                inner = watch.inner
                try:
                    function(first, second)
                except BaseException as error:
                    fault(owner, hook, error, (first, second))
                now = clock()
                if now - begun > SLOW:
                    watch.took(owner.name, hook, begun, inner, now - begun)
                begun = now

        two = len(inspect.signature(getattr(hookspecs, hook)).parameters) == 2
        return tell_two if two else tell

    def asker(self, hook: str, check: Callable[..., Any]) -> Callable[..., list[tuple[Any, Loaded]]]:
        """A function that asks every implementation of a hook and gives the answers that are not None.

        `check` gives an answer, with the hook's arguments, as it is to be taken, or raises `fault.Misuse`.
        """
        cell, watch = self._cell(hook), self.watching

        def ask(*arguments: Any) -> list[tuple[Any, Loaded]]:
            found: list[tuple[Any, Loaded]] = []
            for function, owner in cell[0]:
                begun, inner = (0, 0) if watch is None else (watch.clock(), watch.inner)
                try:
                    answer = function(*arguments)
                    if answer is not None:
                        found.append((check(answer, *arguments), owner))
                except BaseException as error:
                    self.fault(owner, hook, error, arguments)
                if watch is not None and (took := watch.clock() - begun) > SLOW:
                    watch.took(owner.name, hook, begun, inner, took)
            return found

        return ask

    def fault(self, owner: Loaded, hook: str, error: BaseException, arguments: tuple[Any, ...] = ()) -> None:
        """Counts a fault of a plugin, names it once per hook and kind, and switches the plugin off at the third.

        Raises KeyboardInterrupt where a person has asked the program to end.
        """
        check()
        kind = f"{hook} {name_of(error)}"
        if kind not in owner.named and not owner.disabled:
            # Where the stack is used up this raises itself, and whoever called has room to say it.
            self.alarm(f"plugin {owner.name}: {hook}: {described(error, arguments)}")
            owner.named.add(kind)
        owner.faults += 1
        if owner.faults >= STRIKES and not owner.disabled:
            owner.disabled = True
            self.alarm(f"plugin {owner.name}: switched off after {STRIKES} faults")
            for cell in self._cells.values():
                cell[0] = tuple(one for one in cell[0] if one.owner is not owner)


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
        self._ask_message = host.asker("open_message", _sink)
        self._ask_part = host.asker("open_part", _sink)
        self._judge_pdu = host.asker("judge_pdu", answers.verdict)
        self._judge_message = host.asker("judge_message", answers.verdict)
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
        ask = self._judge_pdu if isinstance(subject, PDU) else self._judge_message
        return strictest(answer for answer, _ in ask(subject, session))


def _protocols_of(implementation: Implementation, taken: Sequence[str]) -> list[Protocol]:
    return answers.protocols(implementation.function(), taken, implementation.owner.name)


def _sink(answer: Any, *_arguments: Any) -> Sink:
    return answers.sink(answer)


def _idle(loaded: Loaded, hook: str) -> bool:
    """Whether a plugin has said that it has nothing to do, at all or in this hook.  Raises PluginError."""
    try:
        idle = getattr(loaded.plugin, "idle", False)
        if isinstance(idle, bool):
            return idle
        if isinstance(idle, frozenset):
            return hook in idle
    except BaseException as error:
        check()
        raise PluginError(f"plugin {loaded.name}: idle: {described(error)}") from error
    raise PluginError(f"plugin {loaded.name}: idle: {name_of(idle)}; it is True, False, or a frozenset of names of hooks")


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
