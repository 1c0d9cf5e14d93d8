"""The command line as click sees it: built from the option tables and those of the plugins.

Knows click.  Must not know what the commands do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import click
from click.core import ParameterSource

from inspector.cli import usage
from inspector.cli.ask import READERS
from inspector.cli.options import (
    AUTHORITY,
    CHOICES,
    COMMON,
    DEMO,
    EXPORT,
    HIDDEN,
    LEAST,
    LIVE,
    READING,
    RELAY_TEST,
    REPLAY,
    SESSIONS,
    SHORT,
    SHOW,
)
from inspector.cli.options import COMMANDS as RUNNING
from inspector.cli.start import Setup
from inspector.config import hint
from inspector.options import Option

FILES: Final = ("FILE", "FILE.py", "DIR")
"""Metavariables that a shell completes with the names of files."""
FORMATS: Final = ("text", "mermaid", "svg")
SHELLS: Final = ("bash", "zsh", "fish")

Values = dict[str, Any]
Action = Callable[[Setup, Values], int]
"""What a command does; returns the exit code."""


class Tree(click.Group):
    """The program: the live proxy without a command, else the command."""

    def resolve_command(self, ctx: click.Context,
                        args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command, or says which one was perhaps meant."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            near = hint(args[0], self.commands) or f"; the commands are {', '.join(self.commands)}"
            raise click.UsageError(f"no such command: {args[0]}{near}", ctx)
        return super().resolve_command(ctx, args)


def build(setup: Setup, actions: Mapping[str, Action]) -> click.Group:
    """The whole command line.  `actions` has one for each command, the live proxy being `live`."""
    shared = [*COMMON, *setup.options]

    def live(**_: Any) -> int:
        context = click.get_current_context()
        return 0 if context.invoked_subcommand else actions["live"](setup, dict(context.params))

    def command(name: str, text: str, parameters: Iterable[click.Parameter]) -> click.Command:
        def run(**_: Any) -> int:
            return actions[name](setup, together(click.get_current_context()))

        return click.Command(name, params=list(parameters), callback=run, help=text,
                             context_settings={"help_option_names": ["-h", "--help"]})

    group = Tree("mailspy", params=[*_informing(setup), *map(parameter, [*LIVE, *shared])], callback=live,
                 invoke_without_command=True, add_help_option=False)
    for name, text, own in COMMANDS:
        taken = shared if name in RUNNING else [option for option in COMMON if option.name in _LOADING[name]]
        group.add_command(command(name, text, [*own(setup), *map(parameter, taken)]))
    return group


def _informing(setup: Setup) -> list[click.Parameter]:
    def telling(text: Callable[[], str]) -> Callable[[click.Context, click.Parameter, bool], None]:
        def tell(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
            if asked and not ctx.resilient_parsing:
                click.echo(text(), nl=False)
                ctx.exit()
        return tell

    from inspector import __version__

    texts = ((("-h", "--help"), lambda: usage.HELP), (("--help-all",), lambda: usage.everything(setup.options)),
             (("--version",), lambda: f"mailspy {__version__}\n"))
    return [click.Option(list(flags), is_flag=True, is_eager=True, expose_value=False, callback=telling(text))
            for flags, text in texts]


def parameter(option: Option) -> click.Option:
    """An option of ours as one of click's."""
    flags = [f"--{option.name}", option.key]
    if option.name in SHORT and not option.plugin:
        flags.insert(0, SHORT[option.name])
    if option.type is bool:
        return click.Option(flags, is_flag=True, default=bool(option.default), help=usage.explained(option))
    kind: Any = option.type
    if option.name in CHOICES and not option.plugin:
        kind = click.Choice(CHOICES[option.name])
    elif option.metavar in FILES:
        kind = click.Path()
    default = tuple(option.default or ()) if option.multiple else option.default
    return click.Option(flags, type=kind, default=default, multiple=option.multiple, metavar=usage.metavar(option),
                        help=usage.explained(option), callback=_least(option), hidden=option.name in HIDDEN)


def _least(option: Option) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A check that a number is not below what makes sense."""
    def check(ctx: click.Context, _: click.Parameter, value: Any) -> Any:
        least = None if option.plugin else LEAST.get(option.name)
        if least is not None and value is not None and not (least <= value and math.isfinite(value)):
            raise click.UsageError(f"--{option.name} {value:g}: expected a number from {least:g} up", ctx)
        return value
    return check


def together(context: click.Context) -> Values:
    """The values of a command with those given before its name.  Raises UsageError for what it does not take."""
    parent = context.parent
    assert parent is not None
    values = {**parent.params, **context.params}
    for name, value in parent.params.items():
        if parent.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        flag = f"--{name.replace('_', '-')}"
        if name not in context.params:
            raise click.UsageError(f"{flag} is not an option of `mailspy {context.info_name}`; leave one of the two "
                                   "out: it belongs to the live proxy", context)
        own = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if own and isinstance(value, tuple):
            values[name] = value + context.params[name]
        elif not own:
            values[name] = value
    return values


def default_map(setup: Setup) -> dict[str, Any]:
    """The configuration as click takes it: of a command, what is common and then what is its own."""
    common = setup.config.common
    own = setup.config.commands
    return {**common, **{name: {**common, **own.get(name, {})} for name, _, _ in COMMANDS if name != "help"}}


def _replay(_: Setup) -> list[click.Parameter]:
    files = click.Argument(["files"], nargs=-1, required=True, type=click.Path(), metavar="FILE...")
    return [files, *map(parameter, REPLAY)]


def _show(_: Setup) -> list[click.Parameter]:
    return [click.Argument(["file"], required=True, type=click.Path(), metavar="FILE"), *map(parameter, SHOW)]


def _export(setup: Setup) -> list[click.Parameter]:
    files = click.Argument(["files"], nargs=-1, required=True, type=click.Path(), metavar="FILE...")
    return [files, *map(parameter, EXPORT), *(parameter(option) for option in setup.options if option.plugin in READERS)]


def _sessions(setup: Setup) -> list[click.Parameter]:
    return [*_stats(setup), *map(parameter, SESSIONS)]


def _stats(setup: Setup) -> list[click.Parameter]:
    files = click.Argument(["files"], nargs=-1, required=True, type=click.Path(), metavar="FILE...")
    return [files, *(parameter(option) for option in setup.options if option.plugin in READERS), *map(parameter, READING)]


def _relay_test(_: Setup) -> list[click.Parameter]:
    return [click.Argument(["server"], required=True, metavar="HOST[:PORT]"), *map(parameter, RELAY_TEST)]


def _demo(_: Setup) -> list[click.Parameter]:
    return list(map(parameter, DEMO))


def _phases(setup: Setup) -> list[click.Parameter]:
    tables = list(setup.tables())

    def known(ctx: click.Context, _: click.Parameter, name: str | None) -> str | None:
        if name is not None and name not in tables:
            raise click.UsageError(f"phases {name}: no such table{hint(name, tables)}; there are {', '.join(tables)}",
                                   ctx)
        return name

    argument = click.Argument(["name"], required=False, metavar=f"[{'|'.join(tables)}]", callback=known)
    form = click.Option(["--format", "form"], type=click.Choice(FORMATS), default="text", help="how it is drawn")
    return [argument, form]


def _authority(_: Setup) -> list[click.Parameter]:
    from inspector.cli.authority import ACTIONS, FORMATS

    action = click.Argument(["action"], type=click.Choice(ACTIONS), metavar=f"[{'|'.join(ACTIONS)}]")
    target = click.Argument(["target"], required=False, metavar="[PROGRAM]")
    form = click.Option(["--format", "form"], type=click.Choice(FORMATS), default=None, help="how `export` writes it")
    return [action, target, *map(parameter, AUTHORITY), form]


def _completion(_: Setup) -> list[click.Parameter]:
    return [click.Argument(["shell"], type=click.Choice(SHELLS), metavar=f"[{'|'.join(SHELLS)}]")]


def _help(_: Setup) -> list[click.Parameter]:
    return [click.Argument(["topic"], required=False, metavar="[COMMAND]")]


def _nothing(_: Setup) -> list[click.Parameter]:
    return []


_LOADING: Final = {"show": ("plugin", "disable", "config", "json", "filter"),
                   "export": ("plugin", "disable", "config", "filter", "anomalies"),
                   "sessions": ("plugin", "disable", "config", "json", "filter"),
                   "stats": ("plugin", "disable", "config", "json", "filter"), "fields": ("config", "json"),
                   "relay-test": ("plugin", "disable", "config", "json"), "ca": ("config", "json"),
                   "phases": ("plugin", "disable", "config"), "plugins": ("plugin", "disable", "config", "json"),
                   "completion": ("config",), "help": ("plugin", "disable", "config")}
"""Which common options the commands take that run no pipeline."""

COMMANDS: Final[tuple[tuple[str, str, Callable[[Setup], list[click.Parameter]]], ...]] = (
    ("replay", "The annotated view of captures: pcapng or pcap, from any program.", _replay),
    ("show", "What is in a message, of a capture, an .eml file or a mailbox: header, tree, texts.", _show),
    ("export", "Messages as files, mailbox or maildir; events for other programs; diagrams and a report for people.", _export),
    ("sessions", "A line for each session of captures: who, what, how much, how long, what is odd.", _sessions),
    ("stats", "Figures over captures: commands, replies and times, phases, sizes, the most frequent names.", _stats),
    ("fields", "What --filter can ask for.", _nothing),
    ("relay-test", "Asks an SMTP server that you run, in all classic forms, whether it would relay; sends no mail.", _relay_test),
    ("ca", "The certificate authority for looking into TLS: create, show, export, install-help, rotate.", _authority),
    ("demo", "Servers, a client and mail of our own: everything, with nothing else needed.", _demo),
    ("phases", "The phases of a protocol, as text or as a diagram.", _phases),
    ("plugins", "What is loaded: each plugin with its origin, hooks and options.", _nothing),
    ("completion", 'What completes options in your shell: eval "$(mailspy completion bash)"', _completion),
    ("help", "All options, or those of a command.", _help),
)
