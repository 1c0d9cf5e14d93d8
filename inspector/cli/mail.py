"""The commands about messages: `show` and `export`.

Knows options, and the parts of `inspector.mail`.  Must not know how messages are read, shown or stored.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from typing import IO, TYPE_CHECKING, Any, Final

from inspector.cli import export as forms
from inspector.cli.ask import filtered
from inspector.cli.folders import tell_doubts
from inspector.cli.reading import files, reading
from inspector.cli.start import Setup, say
from inspector.errors import OptionError
from inspector.host import Hooks, Host
from inspector.limits import Limits
from inspector.options import Options
from inspector.pipeline import Pipeline

if TYPE_CHECKING:
    from inspector.anomaly import Anomaly
    from inspector.mail.letter import Collector, Letter
    from inspector.pdu import Finding
    from inspector.session import Session

READER: Final = "mailspy_mime"
"""The plugin that reads messages."""
SPOOL: Final = 1 << 20
"""Octets of a message that wait in memory until it is known that it is the only one."""

Values = dict[str, Any]


def pipeline(setup: Setup, collector: Collector) -> Pipeline:
    """A pipeline with the MIME plugin and the collector alone: nothing is logged or saved.  Raises OptionError."""
    reader = next((loaded for loaded in setup.host.loaded if loaded.name == READER), None)
    if reader is None:
        raise OptionError(f"show and export need the plugin {READER}: leave out --disable {READER}, or install mailspy")
    host = Host(say)
    host.register(reader.name, reader.plugin, reader.origin)
    host.register("collector", collector)
    given = setup.config.common
    host.configure(Options({option.key: given.get(option.key, option.default) for option in reader.options}))
    # A message is found by its deviations, the last like the first.
    return Pipeline(Hooks(host, lambda head: ""), setup.protocols, Limits(anomalies=sys.maxsize), say)


def _asks(values: Values) -> Callable[[Anomaly | Finding, Session], bool] | None:
    """What `--filter` asks of each event of a message.  Raises OptionError."""
    expression = filtered(values)
    if expression is None:
        return None
    from inspector.query.letters import Letters

    return Letters(expression).asks


def run(setup: Setup, collector: Collector, values: Values, each: Callable[[], bool], screen: bool = False) -> None:
    """Plays the files until `each`, which is called between pieces, says that it is enough.  `screen`: it writes meanwhile."""
    from inspector.mail.source import play

    paths = files(values, say)
    with reading(values, paths, screen) as how, closing(play(paths, pipeline(setup, collector), say, how)) as playing:
        for _ in playing:
            if collector.trouble is not None:
                raise collector.trouble
            if each():
                return
    if collector.trouble is not None:
        raise collector.trouble
    each()


def show(setup: Setup, values: Values) -> int:
    """A message with its header, tree and texts; or a list of the messages."""
    if values["message"] is not None and values["filter"]:
        raise OptionError("--message and --filter: each chooses messages; leave one of the two out")
    if values["raw"] and values["filter"]:
        raise OptionError("--raw and --filter: which message it is, is known at its end; give its number by --message N")
    if values["raw"] and values["json"]:
        raise OptionError("--raw prints octets and --json objects: leave one of the two out")
    asked: int | None = values["message"]
    if asked is not None and asked < 1:
        raise OptionError(f"--message {asked}: messages are numbered from 1; without --message they are listed")
    showing = _Raw(values["file"], asked) if values["raw"] else _Showing(asked, values["json"], values["filter"] is not None)
    from inspector.mail.letter import Collector

    collector = Collector(showing.take, showing.done, showing.reads, _asks(values))
    with closing(showing):
        run(setup, collector, {**values, "files": (values["file"],)}, showing.each, True)
        showing.finish()
    if asked is not None and not showing.found:
        raise OptionError(f"{values['file']}: --message {asked}: there is no such message; it has {showing.seen or 'none'}")
    if not showing.seen:
        say(f"{values['file']}: no message in it" + (" that is asked for" if values["filter"] else ""))
    return 0


class _Showing:
    """What `show` does with letters: prints the one asked for, the only one, or a line for each."""

    def __init__(self, asked: int | None, as_json: bool, chosen: bool = False) -> None:
        """`chosen`: a filter decides which letters come here."""
        self._asked = asked
        self._json = as_json
        self._chosen = chosen
        self._over: list[Letter] = []
        self._first: Letter | None = None
        self._screen: Any = None
        self.seen = 0
        self.found = False

    def take(self, letter: Letter) -> None:
        """No octets are wanted."""

    def reads(self, letter: Letter) -> bool:
        """Whether the texts of a letter may be shown."""
        return letter.number == (self._asked or 1) or (self._asked is None and (self._json or self._chosen))

    def done(self, letter: Letter) -> None:
        """Keeps a letter until the plugins are out of the way."""
        if not letter.asked:
            return
        self.seen += 1
        self._over.append(letter)

    def each(self) -> bool:
        """Prints what is over; True when nothing more is wanted."""
        for letter in self._over:
            if self._asked is None:
                self._one_of_all(letter)
            elif letter.number == self._asked:
                self.found = True
                self._print(letter)
        self._over.clear()
        return self.found

    def _one_of_all(self, letter: Letter) -> None:
        if self._json:
            self._print(letter)
        elif self.seen == 1:
            self._first = letter
        else:
            if self._first is not None:
                self._rows().heading()
                self._rows().row(self._first)
                self._first = None
            self._rows().row(letter)

    def _rows(self) -> Any:
        if self._screen is None:
            from inspector.mail.show import Screen

            self._screen = Screen()
        return self._screen

    def _print(self, letter: Letter) -> None:
        if not self._json:
            self._rows().message(letter)
            return
        from inspector.mail.show import as_json

        sys.stdout.write(as_json(letter) + "\n")

    def finish(self) -> None:
        """The file is over: if there was only one message, it is shown."""
        if self._first is not None:
            self._print(self._first)

    def close(self) -> None:
        """Lets go of everything."""


class _Raw(_Showing):
    """`show --raw`: the octets of one message."""

    def __init__(self, path: str, asked: int | None) -> None:
        super().__init__(asked, False)
        self._path = path
        self._spool: IO[bytes] | None = None if asked else tempfile.SpooledTemporaryFile(SPOOL)  # noqa: SIM115

    def take(self, letter: Letter) -> Any:
        """The sink for the message that is printed."""
        if self._asked is None and letter.number > 1:
            raise OptionError(f"{self._path}: has several messages; --message N chooses one, and without --raw they are listed")
        return _Output(self._spool or sys.stdout.buffer) if letter.number == (self._asked or 1) else None

    def reads(self, letter: Letter) -> bool:
        """No text is decoded."""
        return False

    def each(self) -> bool:
        """Says what is missing; True when the message was printed."""
        for letter in self._over:
            if letter.number == (self._asked or 1):
                self.found = self._asked is not None
                if letter.flaw:
                    say(f"message {letter.number} is not whole: {letter.flaw}")
        self._over.clear()
        return self.found

    def finish(self) -> None:
        """The only message is printed now."""
        if self._spool is not None:
            self._spool.seek(0)
            while piece := self._spool.read(SPOOL):
                sys.stdout.buffer.write(piece)

    def close(self) -> None:
        """Lets go of the message."""
        if self._spool is not None:
            self._spool.close()


class _Output:
    """A sink into a stream."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def feed(self, data: bytes) -> None:
        """Writes octets.  Raises OSError."""
        self._stream.write(data)

    def close(self, complete: bool) -> None:
        """Nothing to do."""


def export(setup: Setup, values: Values) -> int:
    """The messages into files; exit code 1 where the disk refuses."""
    from inspector.mail.export import Exporter
    from inspector.mail.letter import Collector
    from inspector.mail.store import STORES

    tell_doubts(values, say)
    chosen = [name for name in STORES if values[name]]
    if len(chosen) > 1 or (not chosen and not forms.asked(values)):
        raise OptionError("export: where to? Give one of --eml DIR, --mbox FILE and --maildir DIR, or forms such as --jsonl "
                          "FILE, --eve FILE, --zeek DIR, --pcapng FILE, --ladder svg, --report html")
    if not chosen:
        return forms.export(setup, values)
    if forms.asked(values):
        raise OptionError(f"export: --{chosen[0]} writes messages and the others events: two calls, please")
    name, path = chosen[0], str(values[chosen[0]])
    exporter = Exporter(STORES[name](path), values["envelope"] or "", values["incomplete"], values["lf"])
    collector = Collector(exporter.take, exporter.done, lambda letter: False, _asks(values))
    try:
        run(setup, collector, values, lambda: False)
        exporter.finish()
    except OSError as error:
        exporter.abandon()
        kept = "" if name == "mbox" else f"; {exporter.exported} exported before"
        say(f"error: {path}: {error.strerror or error}{kept}")
        return 1
    except BaseException:
        exporter.abandon()
        raise
    say(_summary(exporter.exported, exporter.flawed, values["incomplete"], path))
    return 0


def _summary(exported: int, flawed: int, incomplete: bool, path: str) -> str:
    told = f"{exported} message{'' if exported == 1 else 's'} exported to {path}"
    if flawed:
        told += f", {flawed} of them incomplete" if incomplete else f"; {flawed} incomplete left out: --incomplete exports them"
    return told
