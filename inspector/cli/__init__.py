"""The command line: `main` is what the `mailspy` program calls.

Rules.  A user's mistake is one line on standard error, what, where and how to mend it, and exit code 2; never a
traceback.  What is heavy is imported by the command that needs it: `mailspy --help` answers at once.

    options      the tables of options
    usage        the help texts
    address      --listen and --upstream
    start        plugins, configuration, pipeline
    tree         all of it as click's commands
    commands     what they do; those about messages are in mail
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from inspector import interrupt
from inspector.errors import CaptureError, ExpressionError, MailspyError
from inspector.text import sanitise

if TYPE_CHECKING:
    import click

__all__ = ["main"]

MISTAKE = 2
"""Exit code for what the user can mend."""
FAULT = 1
"""Exit code for a fault of our own, and where a capture is damaged: what could be read was."""
INTERRUPTED = 130
"""Exit code after Ctrl-C where no proxy was running."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the program; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with interrupt.heard():
            code = _run(given) if completing() else _answer(given)
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        return _nobody_reads()
    except SystemExit as ending:
        # rich ends the program itself when nobody reads, with another code.
        if isinstance(ending.__context__, BrokenPipeError):
            return _nobody_reads()
        raise
    except ExpressionError as error:
        return FAULT if completing() else _mistake(f"--filter: {error}", _pointed(error))
    except CaptureError as error:
        return FAULT if completing() or (_mistake(str(error)) and error.damaged) else MISTAKE
    except MailspyError as error:
        return FAULT if completing() else _mistake(str(error))
    except Exception as error:
        return _other(error)


def completing() -> bool:
    """Whether a shell asks for completions."""
    return "_MAILSPY_COMPLETE" in os.environ


def _answer(given: list[str]) -> int:
    """Answers the plainest questions before anything is loaded."""
    if given == ["--version"]:
        from inspector import __version__

        print(f"mailspy {__version__}")
        return 0
    if given in (["--help"], ["-h"]):
        return _short_help()
    return _run(given)


def _short_help() -> int:
    from inspector.cli.usage import HELP

    print(HELP, end="")
    return 0


def _run(given: list[str]) -> int:
    from inspector.cli.commands import ACTIONS
    from inspector.cli.start import prepare
    from inspector.cli.tree import build, default_map

    setup = prepare(given, os.environ, *([lambda _: None] if completing() else []))
    if not given and not setup.config.common.keys() & {"listen", "upstream"} and not completing():
        return _short_help()
    code = _clicked(build(setup, ACTIONS), given, default_map(setup))
    return code if isinstance(code, int) else 0


def _clicked(command: click.Command, given: list[str], defaults: dict[str, Any]) -> Any:
    """What click's own `main` does, but for ending the program when nobody reads."""
    from click.exceptions import Exit

    if completing():
        return command.main(given, prog_name="mailspy", standalone_mode=False, default_map=defaults)
    try:
        with command.make_context("mailspy", given, default_map=defaults) as context:
            return command.invoke(context)
    except Exit as ending:
        return ending.exit_code


def _mistake(text: str, more: str = "") -> int:
    print(f"mailspy: error: {sanitise(' '.join(text.split()))}{more}", file=sys.stderr)
    return MISTAKE


WIDEST: Final = 100
"""Columns of a filter that are shown where something is wrong in it."""


def _pointed(error: ExpressionError) -> str:
    """The expression, and under it a mark at the place that is wrong."""
    from inspector.console import columns_of

    text = error.expression
    start = max(0, error.column - WIDEST // 2) if len(text) > WIDEST else 0
    before, wrong = text[start:error.column], text[error.column:error.column + error.width]
    after = text[error.column + error.width:start + WIDEST]
    indent = " " * columns_of(sanitise(before))
    return f"\n  {sanitise(before + wrong + after)}\n  {indent}{'^' * max(1, columns_of(sanitise(wrong)))}"


def _other(error: Exception) -> int:
    """click's own errors are the user's; the rest are ours."""
    import click

    if isinstance(error, click.Abort):
        return INTERRUPTED
    if isinstance(error, click.NoSuchOption):
        return _mistake(_no_such_option(error.option_name, error.possibilities or ()))
    if isinstance(error, click.ClickException):
        return _mistake(error.format_message())
    if os.environ.get("MAILSPY_DEBUG"):
        raise error
    told = sanitise(f"{type(error).__name__}: {error}")
    print(f"mailspy: internal error: {told}; MAILSPY_DEBUG=1 shows where; please report it", file=sys.stderr)
    return FAULT


def _no_such_option(flag: str, near: Sequence[str]) -> str:
    from inspector.cli.options import COMMANDS
    from inspector.config import hint

    for command, options in COMMANDS.items():
        if flag in (f"--{option.name}" for option in options):
            return f"{flag} is an option of `mailspy {command}`: write it after `{command}`"
    return f"no such option: {flag}{hint(flag, near)}"


def _nobody_reads() -> int:
    """The reader of standard output has gone, as in `| head`: no mistake.  Python must not complain about it at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0
