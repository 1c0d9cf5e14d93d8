"""From settings to a pipeline: which plugins take part, what is configured, who is told.

Knows plugins, configuration, outputs and the pipeline.  Must not know click, nor what the commands do.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, NamedTuple

from inspector import config as configuration
from inspector import heap
from inspector.cli.options import COMMANDS, COMMON, LIVE, configurable
from inspector.config import Config
from inspector.console import Console
from inspector.errors import PluginError
from inspector.host import Hooks, Host
from inspector.jobs import Streams
from inspector.limits import DEFAULT, Limits
from inspector.options import Option, Options
from inspector.output import Outputs
from inspector.pipeline import BUILTIN_PROTOCOLS, Pipeline
from inspector.protocol import Protocol
from inspector.text import sanitise
from inspector.timing import Row, Watch, table

EARLY: Final = ("plugin", "disable", "config")
"""Options that are read before the others: they decide which options there are."""
RESERVED: Final = {"help", "help_all", "version", "phases", "plugins", "completion", "show", "export", "relay_test",
                   "sessions", "stats", "fields", *COMMANDS}
"""Names that no plugin's option can have, beside those of the program's own options."""


class Early(NamedTuple):
    """What stands on the command line of the options that are read first."""

    plugin: tuple[str, ...]
    disable: tuple[str, ...]
    config: tuple[str, ...]


def scan(arguments: Sequence[str]) -> Early:
    """Finds the early options, wherever they stand; what is wrong with them is told later, by the parser."""
    found: dict[str, list[str]] = {name: [] for name in EARLY}
    rest = list(arguments[:arguments.index("--")] if "--" in arguments else arguments)
    while rest:
        name, separator, value = rest.pop(0).partition("=")
        if not name.startswith("--") or name[2:] not in found:
            continue
        if separator:
            found[name[2:]].append(value)
        elif rest:
            found[name[2:]].append(rest.pop(0))
    return Early(*(tuple(found[name]) for name in EARLY))


@dataclass(slots=True)
class Setup:
    """What is known before the command line is read in full."""

    host: Host
    config: Config = field(default_factory=Config)
    options: list[Option] = field(default_factory=list)
    """Those of the plugins."""
    protocols: list[Protocol] = field(default_factory=lambda: list(BUILTIN_PROTOCOLS))

    def tables(self) -> dict[str, Any]:
        """Every table of states by the name that `mailspy phases` takes."""
        return {name: table for protocol in self.protocols for name, table in protocol.tables.items()}


def say(line: str) -> None:
    """Tells the person who runs the program something, before there are outputs."""
    print(f"mailspy: {sanitise(line)}", file=sys.stderr)


def prepare(arguments: Sequence[str], environ: Mapping[str, str] = os.environ,
            warn: Callable[[str], None] = say) -> Setup:
    """Loads the plugins and reads the configuration.  Raises PluginError or OptionError."""
    early = scan(arguments)
    named = early.config[-1] if early.config else environ.get("MAILSPY_CONFIG") or None
    name, tables = configuration.read_file(named)
    host = Host(warn)
    disabled = early.disable or _outside("disable", environ, tables)
    host.load_entry_points(disabled)
    for path in early.plugin or _outside("plugin", environ, tables):
        host.load_file(path)
    host.check_disabled(disabled)
    setup = Setup(host)
    setup.options = host.options()
    setup.protocols += host.protocols(protocol.name for protocol in BUILTIN_PROTOCOLS)
    _check_names(setup.options)
    common = configurable([*LIVE, *COMMON, *setup.options])
    own = {command: [*options, *configurable([*COMMON, *setup.options])] for command, options in COMMANDS.items()}
    setup.config = configuration.merged(configuration.from_file(name, tables, common, own),
                                        configuration.from_environment(environ, common, COMMANDS, warn))
    return setup


def limits(setup: Setup, values: Mapping[str, Any]) -> Limits:
    """The bounds of every flow, as the options or the configuration say."""
    return Limits(anomalies=values.get("anomalies", setup.config.common.get("anomalies", DEFAULT.anomalies)))


def _outside(name: str, environ: Mapping[str, str], tables: Mapping[str, Any]) -> tuple[str, ...]:
    """An early option in the environment or, failing that, in the file; what is wrong with it is told later."""
    if variable := environ.get(f"{configuration.PREFIX}{name.upper()}"):
        return tuple(variable.split())
    value = tables.get(name, ())
    values = [value] if isinstance(value, str) else value
    return tuple(one for one in values if isinstance(one, str)) if isinstance(values, list) else ()


def _check_names(options: Sequence[Option]) -> None:
    """Raises PluginError where a plugin's option has the name of one of the program's."""
    taken = {option.key for table in (LIVE, COMMON, *COMMANDS.values()) for option in table} | RESERVED
    for option in options:
        if option.key in taken:
            raise PluginError(f"plugin {option.plugin}: --{option.name} is an option of mailspy itself; "
                              f"leave the plugin out with --disable {option.plugin}")


def _watch(live: bool, timing: bool, notice: Callable[[str], None]) -> Watch | None:
    """What times the hooks: live, those that hold up the traffic are told."""
    return Watch(time.perf_counter_ns, notice if live else None, timing) if live or timing else None


class Run:
    """One run of the pipeline: plugins configured, outputs open; closes them at its end."""

    def __init__(self, setup: Setup, values: Mapping[str, Any], *, live: bool = False, states: bool = False,
                 streams: Streams | None = None) -> None:
        """`live`: there is traffic that no reader may hold up.  `states`: shows the client automaton beside the phase.
        `streams`: the outputs where this is a worker of another process.

        Raises OptionError.
        """
        heap.keep()
        self._live = live
        self.outputs: Any = streams if streams is not None else Outputs(live)
        self.console = Console(verbose=bool(values.get("verbose")), states=states,
                               filtered=values.get("filter") is not None, marks=streams is not None)
        self._timing = bool(values.get("plugin_timing"))
        self.watch = setup.host.watch = _watch(live, self._timing, self.outputs.notice)
        try:
            setup.host.alarm = self.outputs.notice
            setup.host.configure(Options({**values, "outputs": self.outputs, "console": self.console,
                                          "sieve": self._sieve(values.get("filter"))}))
            self.pipeline = self._pipeline(setup, limits(setup, values))
            if streams is not None:
                # Other processes have some of the sessions: what a server offered in them is not known here.
                self.pipeline.offers = None
        except BaseException:
            self.outputs.close()
            raise

    def counts(self) -> dict[str, Any]:
        """What was counted, for the process that adds it up."""
        summary = self.console.summary
        return {"flows": summary.flows, "pdus": summary.pdus, "findings": summary.findings, "anomalies": summary.anomalies,
                "left_out": self.pipeline.left_out, "timing": self.timing}

    @property
    def timing(self) -> list[Row]:
        """What each hook has cost, where that was asked for."""
        return self.watch.rows if self.watch is not None and self._timing else []

    def _sieve(self, text: str | None) -> Callable[[Any], Any] | None:
        """What makes a listener of one that hears only what the filter asks for; None without a filter."""
        if text is None:
            return None
        from inspector.query import Expression, sieve

        expression = Expression(text)
        return lambda listener: sieve(expression, listener, self.outputs.notice)

    def _pipeline(self, setup: Setup, bounds: Limits) -> Pipeline:
        from inspector.formats.tls import describe

        return Pipeline(Hooks(setup.host, describe), setup.protocols, bounds, self.outputs.notice)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self.watch is not None:
            self.watch.finish()
        self.outputs.flush()
        if self.timing:
            self.outputs.stderr().write(table(self.timing).encode())
        if error is None and self.console.summary.flows and (self._live or not self.outputs.broken):
            self.outputs.notice(self.console.summary.line())
        self.outputs.close()
