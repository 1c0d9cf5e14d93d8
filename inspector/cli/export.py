"""`mailspy export` where it writes other things than messages.

Knows options and the forms of `inspector.export`.  Must not know how a form is written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from inspector.cli.ask import filtered, play
from inspector.cli.start import Setup, say
from inspector.errors import OptionError
from inspector.export.form import Form

Values = dict[str, Any]

FORMS: Final = ("jsonl", "eve", "zeek", "ladder", "report", "pcapng")
"""The options that ask for a form."""


def asked(values: Values) -> bool:
    """Whether a form is asked for."""
    return any(values[name] for name in FORMS)


def export(setup: Setup, values: Values) -> int:
    """Everything that is asked for, in one pass; exit code 1 where the disk refuses."""
    from inspector.export.exporter import Exporter

    expression = filtered(values)
    forms: list[Form] = []
    wanted = None
    if values["pcapng"]:
        from inspector.cli.copying import check
        from inspector.export.copy import Wanted

        check(values["pcapng"])
        if "-" in values["files"]:
            raise OptionError("--pcapng reads the captures twice, and standard input can be read once: save it first")
        if expression is not None:
            wanted = Wanted()
            forms.append(wanted)
    try:
        for name in FORMS:
            if values[name] and name in MAKERS:
                forms.append(MAKERS[name](values, expression))  # noqa: PERF401 - those made before are abandoned
        exporter = Exporter(forms, expression.of_session() if expression else None)
        error = play(setup, values, exporter)
        if exporter.trouble is not None:
            raise exporter.trouble
        for form in forms:
            form.finish()
    except BrokenPipeError:
        _abandon(forms)
        raise
    except OSError as trouble:
        _abandon(forms)
        say(f"error: {trouble.filename or 'export'}: {trouble.strerror or trouble}")
        return 1
    except BaseException:
        _abandon(forms)
        raise
    if values["pcapng"]:
        from inspector.cli.copying import copied

        copied(setup, values, wanted.numbers if wanted is not None else None)
    say(f"{exporter.flows:,} session{'' if exporter.flows == 1 else 's'} exported")
    if error is not None:
        raise error
    return 0


def _abandon(forms: list[Form]) -> None:
    for form in forms:
        form.abandon()


def _jsonl(values: Values, expression: Any) -> Form:
    from inspector.export.jsonlines import JsonLines

    return JsonLines(values["jsonl"], expression)


def _eve(values: Values, _: Any) -> Form:
    from inspector.export.eve import Eve

    return Eve(values["eve"])


def _zeek(values: Values, _: Any) -> Form:
    from inspector.export.zeek import Zeek

    return Zeek(values["zeek"])


def _output(values: Values, option: str) -> str:
    if not values["output"]:
        raise OptionError(f"--{option} {values[option]}: where to? Give --output FILE, a folder for several files, or - ")
    if values["ladder"] and values["report"]:
        raise OptionError("--ladder and --report: each needs an --output of its own; make them in two calls")
    return str(values["output"])


def _ladder(values: Values, _: Any) -> Form:
    from inspector.export.pictures import Ladders

    return Ladders(values["ladder"], _output(values, "ladder"), values["sessions"], values["lines"])


def _report(values: Values, expression: Any) -> Form:
    from inspector.export.pictures import Report

    return Report(_output(values, "report"), list(values["files"]), expression is None, values["sessions"], values["lines"])


MAKERS: Final[dict[str, Callable[[Values, Any], Form]]] = {
    "jsonl": _jsonl, "eve": _eve, "zeek": _zeek, "ladder": _ladder, "report": _report}
"""The form of each option."""
