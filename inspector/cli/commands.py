"""What the commands do.

Knows each command's parts, and imports the heavy ones only when the command runs.  Must not know how options are read.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from typing import Any, Final

import click
from click.core import ParameterSource

from inspector import heap
from inspector.cli import usage
from inspector.cli.address import make_paths
from inspector.cli.ask import fields, sessions, stats
from inspector.cli.authority import authority
from inspector.cli.interception import interception, policies
from inspector.cli.mail import export, show
from inspector.cli.reading import files as captures
from inspector.cli.reading import reading
from inspector.cli.relaytest import relay_test
from inspector.cli.start import Run, Setup, say
from inspector.errors import OptionError
from inspector.host import Loaded

Values = dict[str, Any]


def live(setup: Setup, values: Values) -> int:
    """The proxy, until a signal."""
    if values["read"]:
        return _read(setup, values)
    if not values["listen"] and not values["upstream"]:
        return _nothing_to_do()
    paths = make_paths(values["listen"], values["upstream"], values["protocol"] or "", setup.protocols)
    from inspector.capture.writer import CaptureWriter
    from inspector.formats import checksum
    from inspector.live.service import Route, Settings, run

    seen = policies(values, paths, say)
    intercepted = interception(values, paths, seen)
    settings = Settings(connect_timeout=values["connect_timeout"], drain=values["drain"], max_sessions=values["max_sessions"],
                        drop_injected=values["starttls_injection"] == "drop", transport=values["transport"] or "")
    with Run(setup, values, live=True) as this:
        notice = this.outputs.notice
        capture = CaptureWriter(values["write"], alarm=notice) if values["write"] else None
        if capture is not None:
            checksum.prepare()
        routes = [Route(*path, policy) for path, policy in zip(paths, seen, strict=True)]
        return run(routes, this.pipeline, capture, values["keep_secrets"], settings, notice,
                   this.outputs, intercepted)


def _nothing_to_do() -> int:
    raise OptionError("nothing to watch: give --listen and --upstream, or a command such as `replay FILE` or `demo`; "
                      "`mailspy --help` shows how")


def _read(setup: Setup, values: Values) -> int:
    source = click.get_current_context().get_parameter_source
    for name in ("listen", "upstream", "write"):
        if values[name] and source(name) is ParameterSource.COMMANDLINE:
            raise OptionError(f"--{name} is for the live proxy and --read for a capture: leave one of the two out")
    return _replayed(setup, values, values["read"], setup.config.commands.get("replay", {}).get("speed", 0.0))


def replay(setup: Setup, values: Values) -> int:
    """Captures, through the same pipeline."""
    return _replayed(setup, values, values["files"], values["speed"])


def _replayed(setup: Setup, values: Values, files: tuple[str, ...], speed: float) -> int:
    from inspector.replay import replay as play

    paths = captures({**values, "files": files}, say)
    if values.get("engine"):
        from inspector.cli.cluster import replayed as on_cluster

        return on_cluster(setup, values, paths)
    if values.get("jobs", 1) > 1:
        from inspector.cli.parallel import replayed

        return replayed(setup, values, paths)
    screen = sys.stdout.isatty() and not (values["quiet"] and values["log"])
    with Run(setup, values) as this, reading(values, paths, screen, this.outputs.flush) as how:
        heap.calm(heap.GARBAGE_OFFLINE)
        with suppress(KeyboardInterrupt) if values.get("follow") else nullcontext():
            play(paths, this.pipeline, speed, this.outputs.notice, this.outputs, how)
    return 0


def demo(setup: Setup, values: Values) -> int:
    """Servers, a client and mail of our own."""
    from inspector.demo import play

    values = {**values, "local_domain": values.get("local_domain") or ("cnam.fr",)}
    with Run(setup, values, live=True, states=True) as this:
        output = this.outputs.stderr() if values["json"] else this.outputs.stdout()
        return play.run(this.pipeline, this.outputs, lambda line: output.write(f"{line}\n".encode()),
                        lang=values["lang"], serve=values["serve"], folder=values["keep"])


def phases(setup: Setup, values: Values) -> int:
    """The tables of the protocols, drawn."""
    from inspector import diagram

    tables = setup.tables()
    name = values["name"]
    if name is None and values["form"] != "text":
        raise OptionError(f"phases --format {values['form']}: name one table: {', '.join(tables)}")
    draw = diagram.FORMATS[values["form"]]
    click.echo("\n".join(draw(each, tables[each]) for each in ([name] if name else tables)), nl=False)
    return 0


def plugins(setup: Setup, values: Values) -> int:
    """What is loaded."""
    if values["json"]:
        import msgspec

        click.echo(b"".join(msgspec.json.encode(described(loaded)) + b"\n" for loaded in setup.host.loaded), nl=False)
        return 0
    from rich.console import Console

    width = None if sys.stdout.isatty() else 120
    Console(width=width, highlight=False, markup=False, emoji=False).print(_table(setup.host.loaded))
    return 0


def described(loaded: Loaded) -> dict[str, Any]:
    """A plugin as a JSON object."""
    return {"name": loaded.name, "origin": loaded.origin, "hooks": loaded.hooks,
            "options": [{"name": option.name, "type": option.type.__name__, "default": option.default,
                         "multiple": option.multiple, "help": option.help} for option in loaded.options]}


def _table(plugins: list[Loaded]) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from inspector.text import sanitise

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_lines=False)
    for heading in ("plugin", "from", "hooks", "options"):
        table.add_column(heading, overflow="fold")
    for loaded in plugins:
        options = "\n".join(f"{usage.names(option)}: {usage.explained(option)}" for option in loaded.options)
        table.add_row(Text(sanitise(loaded.name), style="bold"), Text(sanitise(loaded.origin)),
                      Text("\n".join(loaded.hooks)), Text(options + "\n"))
    return table


def completion(_: Setup, values: Values) -> int:
    """The script that a shell evaluates to complete our options; click's own."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(values["shell"])
    assert kind is not None
    click.echo(kind(click.Command("mailspy"), {}, "mailspy", "_MAILSPY_COMPLETE").source(), nl=False)
    return 0


def help_(setup: Setup, values: Values) -> int:
    """All options, or those of a command."""
    topic = values["topic"]
    root = click.get_current_context().find_root()
    if topic is None:
        click.echo(usage.everything(setup.options), nl=False)
        return 0
    assert isinstance(root.command, click.Group)
    _, command, _ = root.command.resolve_command(root, [topic])
    assert command is not None
    with click.Context(command, info_name=topic, parent=root, **command.context_settings) as context:
        click.echo(command.get_help(context))
    return 0


ACTIONS: Final[Mapping[str, Any]] = {
    "live": live, "replay": replay, "show": show, "export": export, "sessions": sessions,
    "stats": stats, "fields": fields, "relay-test": relay_test, "ca": authority, "demo": demo,
    "phases": phases, "plugins": plugins, "completion": completion, "help": help_,
}
