"""Makes the pages that are drawn from the code: hooks, anomalies, phases, limits, command line, public names, rooms.

Rules.  What the code says is said once: here it is only put in order.  A name without a docstring stops the build.

Knows where things stand in the package.  Must not say anything about them itself.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]

import mailspy_mime

import inspector
from inspector import anomaly, diagram, hookspecs
from inspector.cli import options as cli_options
from inspector.cli import usage
from inspector.export import ladder
from inspector.export.exporter import Exporter
from inspector.export.pictures import Recording
from inspector.host import Hooks, Host
from inspector.machine import Row
from inspector.options import Option, Options
from inspector.pdu import Outcome
from inspector.pipeline import BUILTIN_PROTOCOLS, Pipeline
from inspector.replay import replay
from inspector.survey.sessions import MEMBERS

PLUGINS: Final = ("mailspy_attachments", "mailspy_logger", "mailspy_mime", "mailspy_relay")
ASKING: Final = frozenset({"add_options", "configure", "register_protocols", "judge_pdu", "judge_message", "open_message",
                           "open_part"})
"""Hooks that ask; all others tell."""


MARK: Final = "% Made from the code by docs/generate.py, at each build: do not edit."
"""The first line of every page that is made here."""


def pages() -> dict[str, str]:
    """All generated files by their names."""
    written = {"hooks": hooks(), "anomalies": anomalies(), "phases": phases(), "limits": limits(), "cli": cli(), "api": api(),
               "rooms": rooms(), "sessions": sessions()}
    made = {f"{name}.md": f"{MARK}\n\n{text}" for name, text in written.items()}
    for name, table in tables().items():
        made[f"{name}.svg"] = diagram.svg(name, table)
    made["ladder.svg"] = picture()
    return made


def picture() -> str:
    """A pipelined session as a ladder."""
    recording = Recording(1, 100)
    host = Host(print)
    host.register("mailspy_mime", mailspy_mime.plugin, "docs")
    host.register("exporter", Exporter([recording], None), "docs")
    host.configure(Options({option.key: option.default for option in host.options()}))
    replay([str(ROOT / "captures" / "smtp-pipelining.pcapng")], Pipeline(Hooks(host, lambda head: "")), 0.0, print)
    return ladder.svg(recording.records[0])


def write(folder: Path) -> None:
    """Writes the pages; leaves alone those that are up to date, so that Sphinx need not read them again."""
    folder.mkdir(exist_ok=True)
    made = pages()
    for name, text in made.items():
        file = folder / name
        if not file.is_file() or file.read_text("utf-8") != text:
            file.write_text(text, "utf-8")


# What the code says


def tables() -> dict[str, Any]:
    """The tables of states, by name."""
    return {name: table for protocol in BUILTIN_PROTOCOLS for name, table in protocol.tables.items()}


def specifications() -> list[tuple[str, Callable[..., Any]]]:
    """The hooks in the order in which they stand in the code."""
    return [(name, function) for name, function in vars(hookspecs).items()
            if inspect.isfunction(function) and hasattr(function, "mailspy_spec")]


def signature(name: str, function: Callable[..., Any]) -> str:
    """A hook as it stands in the code: `pdu_seen(pdu: PDU, session: Session) -> None`."""
    shown = inspect.signature(function)
    parameters = ", ".join(f"{one.name}: {one.annotation}" for one in shown.parameters.values())
    return f"{name}({parameters}) -> {shown.return_annotation}"


def paragraphs(thing: Any) -> str:
    """A docstring as Markdown: its lines are joined, indented trees become code."""
    text = inspect.getdoc(thing)
    if not text:
        raise SystemExit(f"{thing!r} has no docstring")
    parts = []
    for part in text.split("\n\n"):
        code = all(line.startswith("    ") for line in part.splitlines())
        parts.append(f"```text\n{inspect.cleandoc(part)}\n```" if code else " ".join(part.split()))
    return "\n\n".join(parts)


def attributes(tree: Sequence[ast.stmt]) -> Iterator[tuple[str, str, str, str]]:
    """Assignments with their annotations, values and the strings beneath: name, type, value, docstring."""
    for place, node in enumerate(tree):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name, kind = node.target.id, ast.unparse(node.annotation)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, kind = node.targets[0].id, ""
        else:
            continue
        after = tree[place + 1] if place + 1 < len(tree) else None
        told = ""
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            told = " ".join(after.value.value.split())
        yield name, kind, ast.unparse(node.value) if node.value is not None else "", told


def class_body(kind: type) -> list[ast.stmt]:
    """The statements of a class."""
    module = ast.parse(inspect.getsource(sys.modules[kind.__module__]))
    return next(node.body for node in module.body if isinstance(node, ast.ClassDef) and node.name == kind.__name__)


def constants(module: str) -> list[tuple[str, str, str]]:
    """The documented constants of a module: name, value, docstring."""
    tree = ast.parse(Path(inspect.getfile(importlib.import_module(module))).read_text("utf-8"))
    return [(name, value, told) for name, kind, value, told in attributes(tree.body)
            if told and kind.startswith("Final") and value.replace("_", "").replace(".", "").isdigit()]


def row(*cells: object) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    return "\n".join([row(*heads), row(*("---" for _ in heads)), *(row(*cells) for cells in rows)]) + "\n"


# Pages


def hooks() -> str:
    """The hooks, with their signatures."""
    parts = ["# Hooks\n", paragraphs(hookspecs).split("\n\n")[1] + "\n",
             "An argument that an implementation leaves out of its signature is not passed. Mark each implementation with "
             "`@hookimpl`; a misspelt name stops the program at the start. Where several plugins implement a hook, the one "
             "registered last is called first; `@hookimpl(tryfirst=True)` and `@hookimpl(trylast=True)` change that.\n",
             table(("hook", "kind", "arguments"),
                   [(f"[`{name}`](#{name})", kind(name), ", ".join(
                       f"`{one}`" for one in inspect.signature(function).parameters) or "none")
                    for name, function in specifications()])]
    for name, function in specifications():
        parts += [f"## `{name}`\n", f"```python\n{signature(name, function)}\n```\n",
                  f"*{kind(name).capitalize()}.* {paragraphs(function)}\n"]
    return "\n".join(parts)


def kind(name: str) -> str:
    """Whether a hook asks or tells."""
    return "asks" if name in ASKING else "tells"


def anomalies() -> str:
    """The catalogue."""
    names = [severity.value for severity in reversed(anomaly.Severity)]
    ordered = sorted(anomaly.CATALOGUE.values(), key=lambda entry: (names.index(entry.severity.value), entry.name))
    return "\n".join([
        "# Anomalies\n",
        "An anomaly is a deviation that mailspy can name. It is data, never an exception: the octets pass on as they came. "
        "Names are stable; a name keeps its meaning, new ones are added. Severities are "
        f"{', '.join(f'`{name}`' for name in names)}.\n",
        table(("name", "severity", "reference", "meaning"),
              [(f"`{entry.name}`", entry.severity.value, entry.reference, entry.meaning) for entry in ordered])])


def sessions() -> str:
    """What a row of `mailspy sessions` tells."""
    return "\n".join([
        "# Rows of mailspy sessions\n",
        "`mailspy sessions --json` prints one object a line for each session (`event`: `session`); `--csv` the same members "
        "as columns; `--sort` takes their names.\n",
        table(("member", "meaning"), [(f"`{member.name}`", member.meaning) for member in MEMBERS])])


OUTCOMES: Final = {Outcome.OK: "OK", Outcome.MORE: "more", Outcome.FAILED: "failed"}


def phases() -> str:
    """The tables of states, drawn and written out."""
    parts = [
        "# Phases\n",
        "Every protocol has a table: in a state, a verb with the outcome of its reply leads to another state. These tables "
        "are the ones that mailspy walks; the pictures are drawn from them, and `mailspy phases NAME --format svg` prints "
        "the same. A reply is folded to one of three outcomes: OK (`+OK`, 2yz), more (`+ `, 3yz), failed (`-ERR`, 4yz, 5yz).\n",
        "A verb that a state does not list is told as the anomaly `bad_sequence`, and the state stays. `GREETING` and "
        "`END OF DATA` never cross the wire: they stand for the opening of the connection and for the dot.\n"]
    for name, states in tables().items():
        parts += [f"## {name}\n", f"![The states of {name} and what leads from one to another]({name}.svg)\n",
                  table(("state", "verb", "leads to", "tagged", "reference"),
                        [(state, f"`{verb}`", leads(state, one), one.phase or state, one.reference)
                         for state, verbs in states.items() for verb, one in verbs.items()])]
    return "\n".join(parts)


def leads(state: str, one: Row) -> str:
    """Where a row leads, outcome by outcome."""
    moves = [f"{OUTCOMES[outcome]} → {target}" for outcome, target in one.next.items() if target != state]
    return "; ".join(moves) or "stays"


LIMITED: Final = (("The MIME reader", "mailspy_mime.limits"), ("Messages for people", "inspector.mail.letter"),
                  ("Saved attachments", "mailspy_attachments.limits"),
                  ("Reading captures", "inspector.capture.reassembly"),
                  ("Connections of a capture", "inspector.capture.connections"),
                  ("Connections on which nobody speaks", "inspector.capture.embryo"), ("Output", "inspector.output"),
                  ("The live proxy", "inspector.live.service"))


def limits() -> str:
    """The bounds of a flow, and those of the plugins and of replay."""
    entries = [(f"`{name}`", number(value), told) for name, _, value, told in attributes(class_body(inspector.Limits))]
    parts = ["# Limits\n", "Whatever a peer sends, mailspy keeps a bounded amount of it. Past a bound the octets still pass "
             "on: only what mailspy keeps, or reads, ends there.\n", "## A flow\n",
             "The fields of `Limits`:\n", table(("name", "value", "what it bounds, and what happens past it"), entries)]
    for title, module in LIMITED:
        parts += [f"## {title}\n", f"Constants of `{module}`:\n",
                  table(("name", "value", "what it bounds, and what happens past it"),
                        [(f"`{name}`", number(value), told) for name, value, told in constants(module)])]
    return "\n".join(parts)


def number(value: str) -> str:
    """A number as people read it."""
    return f"{int(value.replace('_', '')):,}" if value.replace("_", "").isdigit() else value


def plugin_options() -> list[Option]:
    """What the bundled plugins declare."""
    host = Host(lambda line: None)
    for name in PLUGINS:
        host.register(name, importlib.import_module(name).plugin)
    return sorted(host.options(), key=lambda option: (option.plugin, option.name))


def cli() -> str:
    """All options, as tables."""
    own = plugin_options()
    groups = [("The live proxy", "Without a command, `mailspy` is the live proxy.", cli_options.LIVE),
              ("The live proxy, replay and demo", "These may stand before or after the command's name.", cli_options.COMMON),
              ("`mailspy replay FILE…`", "The annotated view of captures.", cli_options.REPLAY),
              ("`mailspy show FILE`", "What is in a message, of a capture, an `.eml` file or a mailbox.", cli_options.SHOW),
              ("`mailspy export FILE…`", "The messages of captures, or of other mail files, as files.", cli_options.EXPORT),
              ("`mailspy relay-test HOST[:PORT]`", "Asks an SMTP server, in all classic forms, whether it would relay.",
               cli_options.RELAY_TEST),
              ("`mailspy demo`", "Servers, a client and mail of our own.", cli_options.DEMO)]
    groups += [(f"Plugin `{name}`", "For the live proxy, replay and demo.", [one for one in own if one.plugin == name])
               for name in PLUGINS if any(one.plugin == name for one in own)]
    parts = ["# Command line\n", "What `mailspy --help` says:\n", f"```text\n{usage.HELP}```\n", "## Commands\n",
             table(("command", "what it does"), [(f"`mailspy {name}`", told) for name, told in usage.COMMANDS]),
             "`mailspy help COMMAND` tells the options of one command, `mailspy --help-all` all of them.\n"]
    for title, told, given in groups:
        parts += [f"## {title}\n", f"{told}\n",
                  table(("option", "meaning", "in the environment"),
                        [(f"`{usage.names(one)}`", usage.explained(one), variable(one, title)) for one in given
                         if one.name not in cli_options.HIDDEN])]
    parts += ["## Exit codes\n", table(("code", "meaning"), [
        ("0", "done; for the live proxy, ended by a signal. Also where the reader of standard output has gone (`head`): a "
         "command then ends without a word; the live proxy goes on while it writes a capture or a log, else ends as at Ctrl-C, "
         "and says which"),
        ("1", "a fault of mailspy's own (`MAILSPY_DEBUG=1` shows where), or a disk that `export` could not write to; "
         "of `relay-test`: the server would relay against the policy"),
        ("2", "something that you can mend: one line on standard error says what, where and how"),
        ("130", "Ctrl-C where no proxy was running")])]
    return "\n".join(parts)


def variable(option: Option, title: str) -> str:
    """The variable that sets an option, if one does."""
    if option.name == "config":
        return "`MAILSPY_CONFIG`"
    if option.name in cli_options.NOT_IN_FILES:
        return "no"
    command = next((f"{name.upper()}_" for name in cli_options.COMMANDS if f"mailspy {name}" in title and "`" in title), "")
    return f"`MAILSPY_{command}{option.key.upper()}`"


def api() -> str:
    """The public names."""
    parts = ["# Public names\n", "Everything that a plugin may import, by `from inspector import …`. The bundled plugins "
             "import nothing else. Times are integers, microseconds since 1970-01-01 UTC.\n"]
    for name in inspector.__all__:
        thing = getattr(inspector, name)
        parts.append(f"## `{name}`\n")
        if inspect.isclass(thing):
            parts.append(class_page(name, thing))
        elif inspect.isfunction(thing):
            parts += [f"```python\n{name}{inspect.signature(thing)}\n```\n", paragraphs(thing) + "\n"]
        else:
            parts.append(OTHERS[name] + "\n")
    return "\n".join(parts)


OTHERS: Final = {
    "RUN": "65,536: octets that a `PatientSink` may get late, at most.",
    "CATALOGUE": "A dictionary: every `AnomalyType` by its name. See [the anomalies](anomalies.md).",
    "Table": "The type of a table of states: state → verb → `Row`. See [the phases](phases.md).",
    "Verdict": "What a judge returns: `Forward`, `Replace`, `Answer` or `Close`, from the mildest to the strictest.",
    "__version__": "The version of mailspy, a string.",
    "hookimpl": "The mark of a function that mailspy is to call: `@hookimpl`. See [the hooks](hooks.md).",
}


def class_page(name: str, thing: type) -> str:
    """A class: what it is, its fields, its public methods."""
    body = class_body(thing)
    parts = [paragraphs(thing) + "\n"]
    fields = [(f"`{field}`", f"`{shape}`" if shape else f"`{value}`", told or "")
              for field, shape, value, told in attributes(body) if not field.startswith("_")]
    if fields:
        parts.append(table(("field", "type or value", "meaning"), fields))
    methods = [(f"`{node.name}`", " ".join((ast.get_docstring(node) or "").split())) for node in body
               if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and ast.get_docstring(node)]
    if methods:
        parts.append(table(("method or property", "meaning"), methods))
    if issubclass(thing, inspector.Session):
        parts.append("Set by a session itself:\n\n" + table(("attribute", "meaning"), session_attributes()))
    return "\n".join(parts)


def session_attributes() -> list[tuple[str, str]]:
    """The documented attributes of a session."""
    body = class_body(inspector.Session)
    start = next(node for node in body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    found = []
    for place, node in enumerate(start.body[:-1]):
        after = start.body[place + 1]
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if (isinstance(target, ast.Attribute) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                and not target.attr.startswith("_")):
            found.append((f"`{target.attr}`", " ".join(str(after.value.value).split())))
    return found


# Rooms: who imports whom

ROOMS: Final = ("inspector", "plugins")


def rooms() -> str:
    """Every module with what it says it is and what it imports from this project and from others."""
    known = sorted(path for folder in ROOMS for path in (ROOT / folder).rglob("*.py")
                   if path.name != "__main__.py" and "__pycache__" not in path.parts)
    entries = []
    for path in known:
        tree = ast.parse(path.read_text("utf-8"))
        name = module_name(path)
        ours, others = imports(tree)
        ours.discard(name)
        told = (ast.get_docstring(tree) or "").split("\n\n")[0].split("\n")
        if told != [""]:
            entries.append((f"`{name}`", " ".join(told).rstrip("."), ", ".join(sorted(ours)) or "–",
                            ", ".join(sorted(others)) or "–"))
    return table(("module", "what it is", "imports of ours", "imports of others"), entries)


def graph() -> dict[str, set[str]]:
    """What each module of the core package imports of it when it runs."""
    found = {}
    for path in (ROOT / "inspector").rglob("*.py"):
        ours, _ = imports(ast.parse(path.read_text("utf-8")))
        found[module_name(path)] = {name for name in ours if not name.startswith("mailspy_")}
    return found


def module_name(path: Path) -> str:
    """`pdu`, `live.plane`, `mailspy_mime.scanner`."""
    parts = path.relative_to(ROOT).with_suffix("").parts[1:]
    return ".".join(part for part in parts if part != "__init__") or "inspector"


def is_module(name: str) -> bool:
    """Whether a dotted name is a module of this project."""
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def imports(tree: ast.Module) -> tuple[set[str], set[str]]:
    """What a module imports when it runs, from this project and from others; the standard library is left out."""
    ours, others = set(), set()
    guarded = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
               for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{one.name}" if is_module(f"{node.module}.{one.name}") else node.module for one in node.names]
        elif isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        else:
            continue
        for name in names:
            top = name.partition(".")[0]
            if top == "inspector":
                ours.add(name.removeprefix("inspector.").partition(" ")[0])
            elif top in PLUGINS:
                ours.add(name)
            elif top not in sys.stdlib_module_names:
                others.add(top)
    return ours, others


if __name__ == "__main__":
    write(Path(__file__).parent / "reference")
