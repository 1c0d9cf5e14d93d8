"""The commands that ask: `fields`, `sessions` and `stats`.

Knows options, and the parts of `inspector.query` and `inspector.survey`.  Must not know how sessions are read, counted or shown.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from inspector.cli.reading import files, reading
from inspector.cli.start import Setup, limits, say
from inspector.config import hint
from inspector.errors import CaptureError, OptionError
from inspector.hookspecs import hookimpl
from inspector.host import Hooks, Host
from inspector.options import Options
from inspector.pipeline import Pipeline

if TYPE_CHECKING:
    from inspector.anomaly import Anomaly
    from inspector.pdu import PDU, Finding, Flow
    from inspector.query import Expression, Listener
    from inspector.query.account import Account
    from inspector.session import Session

READERS: Final = ("mailspy_mime", "mailspy_relay")
"""The plugins whose findings are asked for; others may write somewhere, and nobody asked them to."""

Values = dict[str, Any]


def play(setup: Setup, values: Values, listener: Any, screen: bool = False) -> CaptureError | None:
    """Plays the files to a listener, beside the plugins that read messages.  What was played before damage counts: the error
    that tells of it is returned, for the command to raise when it has shown what there is.  `screen`: rows appear meanwhile."""
    from inspector.formats.tls import describe
    from inspector.replay import replay

    host = Host(say)
    options: Values = {}
    for loaded in setup.host.loaded:
        if loaded.name in READERS:
            host.register(loaded.name, loaded.plugin, loaded.origin)
            options |= {option.key: values.get(option.key, setup.config.common.get(option.key, option.default))
                        for option in loaded.options}
    host.register("listener", listener)
    host.configure(Options(options))
    paths = files(values, say)
    try:
        with reading(values, paths, screen) as how:
            replay(paths, Pipeline(Hooks(host, describe), setup.protocols, limits(setup, values), say), 0.0, say, how=how)
    except CaptureError as error:
        return error
    return None


def filtered(values: Values) -> Expression | None:
    """The filter, or None.  Raises ExpressionError."""
    if values["filter"] is None:
        return None
    from inspector.query import Expression

    return Expression(values["filter"])


def sessions(setup: Setup, values: Values) -> int:
    """A row for each session."""
    from inspector.survey import sessions as survey
    from inspector.survey.table import Screen

    if values["json"] and values["csv"]:
        raise OptionError("--json and --csv: leave one of the two out")
    key = values["sort"] or ""
    name = key.removeprefix("-")
    if key and name not in survey.KEYS:
        raise OptionError(f"--sort {key}: no such column{hint(name, survey.KEYS)}; there are {', '.join(survey.KEYS)}; "
                          "with - before it, the largest comes first")
    expression = filtered(values)
    rows: list[Account] = []
    write = _writer(values, survey)
    accounts = survey.Accounts(write if write and not key else rows.append, expression.of_session() if expression else None)
    error = play(setup, values, accounts, screen=write is not None and not key and sys.stdout.isatty())
    rows.sort(key=survey.KEYS[name or "flow"], reverse=key.startswith("-"))
    if write is not None:
        for row in rows:
            write(row)
    elif rows:
        survey.show(rows, Screen.of(sys.stdout))
    sys.stdout.flush()
    if accounts.trouble is not None:
        raise accounts.trouble
    if not accounts.seen and error is None:
        say("no session in it")
    elif accounts.seen and not rows and write is None:
        say(f"none of {accounts.seen} sessions is asked for by the filter")
    if error is not None:
        raise error
    return 0


def _writer(values: Values, survey: Any) -> Any:
    """What writes a row at once; None for the table, which needs them all."""
    if values["csv"]:
        return survey.Csv(sys.stdout).row
    return (lambda account: sys.stdout.write(survey.as_json(account) + "\n")) if values["json"] else None


def stats(setup: Setup, values: Values) -> int:
    """Figures over all sessions."""
    import json

    from inspector.query import sieve
    from inspector.survey.sessions import plain
    from inspector.survey.stats import Stats
    from inspector.survey.table import Screen

    expression = filtered(values)
    counted = Stats()
    error = play(setup, values, _Hooked(sieve(expression, counted, say)) if expression else counted)
    if values["json"]:
        sys.stdout.write(json.dumps(plain(counted.as_json()), ensure_ascii=False) + "\n")
    else:
        counted.show(Screen.of(sys.stdout))
    sys.stdout.flush()
    if error is not None:
        raise error
    return 0


class _Hooked:
    """A listener as a plugin."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    @hookimpl
    def flow_opened(self, flow: Flow) -> None:
        """A flow begins."""
        self._listener.flow_opened(flow)

    @hookimpl
    def flow_closed(self, flow: Flow, reason: str) -> None:
        """A flow is over."""
        self._listener.flow_closed(flow, reason)

    @hookimpl
    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        """A PDU."""
        self._listener.pdu_seen(pdu, session)

    @hookimpl
    def anomaly_found(self, anomaly: Anomaly, session: Session) -> None:
        """A deviation."""
        self._listener.anomaly_found(anomaly, session)

    @hookimpl
    def finding(self, finding: Finding, session: Session) -> None:
        """What a plugin found."""
        self._listener.finding(finding, session)


def fields(_: Setup, values: Values) -> int:
    """What a filter can ask for."""
    from inspector.query.fields import described

    rows = described()
    if values["json"]:
        import json

        for row in rows:
            sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
        return 0
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading, whole in (("field", True), ("type", True), ("meaning", False), ("events that have it", False)):
        table.add_column(heading, no_wrap=whole)
    for row in rows:
        table.add_row(Text(row["name"], style="bold"), Text(row["type"]), Text(row["meaning"]),
                      Text(" ".join(row["events"]), style="dim"))
    width = None if sys.stdout.isatty() else 120
    Console(width=width, highlight=False, markup=False, emoji=False).print(table)
    return 0
