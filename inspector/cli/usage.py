"""What `mailspy --help` and `mailspy --help-all` say.

Knows the option tables.  Must not know click.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

from inspector.cli.options import AUTHORITY, COMMON, DEMO, EXPORT, HIDDEN, LIVE, RELAY_TEST, REPLAY, SESSIONS, SHORT, SHOW
from inspector.options import Option
from inspector.text import sanitise

HELP: Final = """\
mailspy stands between mail client and server and explains every step.

  mailspy --listen 1110 --upstream pop.example:110   watch live sessions
  mailspy replay FILE                                watch a capture, offline
  mailspy demo                                       see everything, no setup

Live:
  --listen [HOST:]PORT               where clients connect [127.0.0.1]
  --upstream [SCHEME://]HOST[:PORT]  the server behind it: pop3, pop3s, smtp …
  -w, --write FILE                   save the traffic as pcapng
Live, replay and demo:
  --json                             JSON lines in place of the annotated view
  -q, --quiet                        only what plugins find, and anomalies
  -v, --verbose                      also times, octets, hexadecimal
  --filter EXPR                      only what satisfies it: mailspy fields
  --log FILE                         also to a file; JSON if it ends in .json
  --plugin FILE.py, --disable NAME   load a plugin; leave one out
Commands: replay, sessions (a line each), stats (figures over captures),
  show (what is in a message), export (messages as files), fields (what a
  filter asks for), relay-test (is a server an open relay?), ca (our own
  certificates), demo, phases (diagrams), plugins, completion, help
Everything else, options of plugins too: mailspy --help-all
"""

LEFT: Final = 36
"""Columns for the names of options."""
WIDTH: Final = 100

COMMANDS: Final = (
    ("replay FILE…", "the annotated view of captures: pcapng or pcap, from any program"),
    ("show FILE", "what is in a message, of a capture, an .eml file or a mailbox: header, tree, texts"),
    ("export FILE…", "the messages of captures as .eml files, mailbox or maildir, exactly as they crossed"),
    ("sessions FILE…", "a line for each session of captures: who, what, how much, how long, what is odd"),
    ("stats FILE…", "figures over captures: commands, replies and times, phases, sizes, the most frequent names"),
    ("fields", "what --filter can ask for (--json)"),
    ("relay-test HOST[:PORT]", "asks an SMTP server that you run whether it would relay, in all classic forms; sends no letter"),
    ("ca ACTION", "the certificate authority for looking into TLS: create, show, export, install-help, rotate"),
    ("demo", "servers, a client and mail of our own, nothing else needed"),
    ("phases [NAME]", "the phases of a protocol, as text or as a diagram (--format text, mermaid, svg)"),
    ("plugins", "what is loaded: hooks and options of each plugin (--json)"),
    ("completion SHELL", "what completes options for bash, zsh or fish"),
    ("help [COMMAND]", "this text, or a command's"),
)


def everything(plugins: Iterable[Option]) -> str:
    """All options, grouped, those of plugins under their names."""
    parts = ["Usage: mailspy [OPTIONS] [COMMAND]\n\nWithout a command it is the live proxy.\n",
             _rows("Commands", COMMANDS), _group("Live", LIVE),
             _group("Live, replay and demo; before or after the command's name", COMMON),
             _group("replay", REPLAY), _group("show", SHOW), _group("export", EXPORT), _group("sessions", SESSIONS),
             _group("relay-test", RELAY_TEST), _group("ca", AUTHORITY), _group("demo", DEMO)]
    by_plugin: dict[str, list[Option]] = {}
    for option in plugins:
        by_plugin.setdefault(option.plugin, []).append(option)
    parts += [_group(f"Plugin {name}", options) for name, options in sorted(by_plugin.items())]
    parts.append("Also in the environment (MAILSPY_LISTEN, several values separated by blanks; MAILSPY_REPLAY_SPEED)\n"
                 "and in mailspy.toml (listen = [\"1110\"]; [replay] speed = 1).  The command line wins over the\n"
                 "environment, the environment over the file.\n")
    return "\n".join(parts)


def _group(title: str, options: Sequence[Option]) -> str:
    return _rows(title, [(names(option), explained(option)) for option in options if option.name not in HIDDEN])


def _rows(title: str, rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"{sanitise(title)}:"]
    for left, right in rows:
        body = textwrap.wrap(right, WIDTH - LEFT - 4) or [""]
        if len(left) > LEFT:
            lines.append(f"  {left}")
        head = left if len(left) <= LEFT else ""
        lines.append(f"  {head:{LEFT}}  {body[0]}".rstrip())
        lines += [" " * (LEFT + 4) + line for line in body[1:]]
    return "\n".join(lines) + "\n"


def names(option: Option) -> str:
    """`-w, --write FILE`."""
    short = f"{SHORT[option.name]}, " if option.name in SHORT and not option.plugin else ""
    return sanitise(f"{short}--{option.name} {metavar(option)}".rstrip())


def metavar(option: Option) -> str:
    """What stands for the value in a help text; empty for a flag."""
    if option.type is bool:
        return ""
    return option.metavar or {str: "TEXT", int: "N", float: "NUMBER"}[option.type]


def explained(option: Option) -> str:
    """The sentence, with the default and whether it may be given again."""
    told = []
    if option.multiple:
        told.append("may be given again")
    if option.default not in (None, False, "", (), []):
        default = f"{option.default:g}" if isinstance(option.default, float) else str(option.default)
        told.append(f"default {default}")
    return sanitise(option.help.rstrip(".") + (f" ({'; '.join(told)})" if told else ""))
