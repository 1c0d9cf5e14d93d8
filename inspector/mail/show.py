"""A message for people, and as JSON: its header, its tree, its texts.

Rules.  Everything from the wire is sanitised, line by line.  Colours and cutting to the width are for terminals; what is piped is
plain and whole.

Knows letters and rich.  Must not know where messages come from.
"""

from __future__ import annotations

import json
import re
from typing import IO, Any, Final

from mailspy_mime.words import text as words
from mailspy_mime.words import to_text
from rich.cells import set_cell_size
from rich.console import Console
from rich.rule import Rule
from rich.text import Text
from rich.tree import Tree

from inspector.mail import envelope, hypertext
from inspector.mail.letter import Leaf, Letter
from inspector.text import sanitise

MAIN: Final = ("From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Subject", "Date", "Message-ID", "In-Reply-To")
"""The header fields that are shown, in this order."""
VALUES: Final = 20
"""Fields of one name that are shown: a second one is worth seeing, a thousandth is not."""
VALUE: Final = 4_096
"""Characters of a field that are shown."""
WIDTH: Final = 100
"""Columns where there is no terminal."""
WHOLE: Final = 4_000
"""Columns for the tree where there is no terminal: what is piped is not cut."""
LEFT: Final = 12
"""Columns for the names of fields."""

_END: Final = re.compile(rb"\r?\n\r?\n")
_FIELD: Final = re.compile(rb"^([!-9;-~]{1,80})[ \t]*:[ \t]*([^\r\n]*+(?:\r?\n[ \t][^\r\n]*+)*+)", re.MULTILINE)
_FOLD: Final = re.compile(r"\r?\n[ \t]*")
_SHOWN: Final = {name.lower(): place for place, name in enumerate(MAIN)}


def headers(letter: Letter) -> list[tuple[str, str]]:
    """The main header fields, decoded and sanitised, duplicates included."""
    block = bytes(letter.head)
    end = _END.search(block)
    found: list[list[str]] = [[] for _ in MAIN]
    for match in _FIELD.finditer(block, 0, end.start() if end else len(block)):
        place = _SHOWN.get(match[1].decode("ascii").lower())
        if place is not None and len(found[place]) < VALUES:
            raw = match[2][:VALUE].decode("utf-8", "surrogateescape")
            found[place].append(sanitise(words(_FOLD.sub(" ", raw).strip())))
    return [(name, value) for name, values in zip(MAIN, found, strict=True) for value in values]


def readable(leaf: Leaf) -> str:
    """The text of a leaf, decoded, each line sanitised; HTML as text."""
    assert leaf.text is not None
    part = leaf.part
    text = to_text(bytes(leaf.text.data), part.charset)
    if part.content_type == "text/html":
        text = hypertext.to_text(text)
    lines = text.replace("\r\n", "\n").expandtabs().split("\n")
    return "\n".join(map(sanitise, lines)).rstrip("\n")


def texts(letter: Letter) -> list[Leaf]:
    """The leaves whose text was kept."""
    return [leaf for leaf in letter.leaves if leaf.text is not None]


def octets(size: int) -> str:
    """`1 octet`, `12,345 octets`."""
    return f"{size:,} octet{'' if size == 1 else 's'}"


# JSON


def as_json(letter: Letter) -> str:
    """The message as one line of JSON: envelope, header fields, tree, texts, anomalies."""
    return json.dumps({
        **envelope.described(letter),
        "headers": [{"name": name, "value": value} for name, value in headers(letter)],
        "hops": _plain(letter.fields.get("hops", [])),
        "tree": _branches(letter),
        "texts": [{"part": leaf.part.number, "content_type": sanitise(leaf.part.content_type), "text": readable(leaf),
                   "cut": leaf.text is not None and leaf.text.cut} for leaf in texts(letter)],
        "anomalies": [{"name": one.name, "severity": one.severity.value, "detail": sanitise(one.detail)}
                      for one in letter.anomalies],
    }, ensure_ascii=False)


def _branches(letter: Letter) -> list[dict[str, Any]]:
    """The tree as nested objects: containers have `parts`."""
    top: list[dict[str, Any]] = []
    for leaf in letter.leaves:
        level = top
        for number, kind in leaf.part.within:
            branch = {"part": number, "content_type": sanitise(kind)}
            if not level or not branch.items() <= level[-1].items():
                level.append(branch)
            level = level[-1].setdefault("parts", [])
        level.append({"part": leaf.part.number, **{name: _plain(value) for name, value in leaf.fields.items()
                                                   if name not in ("message", "part")}})
    return top


def _plain(value: Any) -> Any:
    """A member of an event with its text sanitised, however nested."""
    if isinstance(value, str):
        return sanitise(value)
    if isinstance(value, dict):
        return {sanitise(str(name)): _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


# For people


class Screen:
    """Prints messages for people."""

    def __init__(self, file: IO[str] | None = None) -> None:
        console = Console(file=file, highlight=False, markup=False, emoji=False)
        self._plain = not console.is_terminal
        self._console = Console(file=file, highlight=False, markup=False, emoji=False, width=WHOLE) if self._plain else console

    def _line(self, *parts: str | tuple[str, str]) -> None:
        self._console.print(Text.assemble(*parts), soft_wrap=self._plain)

    def message(self, letter: Letter) -> None:
        """All of one message."""
        self._head(letter)
        self._line("")
        self._console.print(_tree(letter))
        for anomaly in letter.anomalies:
            self._line(("  ! ", "bold red"), (f"{anomaly.severity.value:<8}", "red"),
                       sanitise(f" {anomaly.name}: {anomaly.detail}"))
        for leaf in texts(letter):
            self._text(leaf)

    def _head(self, letter: Letter) -> None:
        message, flow = letter.message, letter.flow
        parts: list[str | tuple[str, str]] = [
            (f"message {letter.number}", "bold"), f"   flow {flow.number} · {flow.protocol} {message.verb}",
            f" · PDU {letter.pdu}" if flow.server.host else "", f" · {octets(message.size)}"]
        if when := envelope.moment(message.time):
            parts.append(f" · {when[:19].replace('T', ' ')} UTC")
        self._line(*parts)
        if letter.flaw:
            self._line(("not whole".ljust(LEFT), "bold red"), letter.flaw)
        told = envelope.described(letter)
        if told["mail_from"] or told["rcpt_to"]:
            self._field("envelope", f"<{told['mail_from']}> → " + (", ".join(
                f"<{one['address']}>" + ("" if one["accepted"] else f" ({one['status']} refused)")
                for one in told["rcpt_to"][:VALUES]) or "?") + (" …" if len(told["rcpt_to"]) > VALUES else ""), "dim")
        for name, value in headers(letter):
            self._field(name, value, "bold" if name == "Subject" else "")
        for number, hop in enumerate(letter.fields.get("hops", [])):
            self._field("" if number else "Way", sanitise(_hop(hop)), "dim")

    def _field(self, name: str, value: str, style: str) -> None:
        self._line((f"{name:<{LEFT}}", "cyan"), (value, style))

    def _text(self, leaf: Leaf) -> None:
        part = leaf.part
        self._line("")
        title = Text(f"{part.number}  {sanitise(part.content_type)}", style="bold")
        self._console.print(Rule(title, align="left", style="dim"), width=WIDTH if self._plain else None)
        self._line(readable(leaf))
        if leaf.text is not None and leaf.text.cut:
            kept = f"of {octets(leaf.fields.get('size', 0))} the first {leaf.text.room:,} are shown" if leaf.text.room else (
                "not shown: the texts before it fill the room")
            self._line((f"[… {kept}; --raw prints all]", "yellow"))

    def row(self, letter: Letter) -> None:
        """One message in one line."""
        told = dict(reversed(headers(letter)))
        flow = letter.flow
        line = Text.assemble(
            (f"{letter.number:>4}", "bold"), f"  {flow.number:>4}  {letter.message.verb:<4}  {letter.message.size:>11,}  ",
            (set_cell_size(told.get("From", ""), 30), "cyan"), "  ", told.get("Subject", ""))
        if letter.flaw:
            line.append(f"  ({letter.flaw})", "red")
        self._console.print(line, soft_wrap=self._plain, no_wrap=not self._plain, overflow="ellipsis")

    def heading(self) -> None:
        """Above the rows."""
        self._line((f"{'N°':>4}  {'flow':>4}  {'verb':<4}  {'octets':>11}  {'from':<30}  subject", "dim"))


def _hop(hop: dict[str, Any]) -> str:
    """`alice.home → mx.example.org  ESMTPS  +2 s`."""
    ends = f"{hop.get('from') or hop.get('ip') or '?'} → {hop.get('by', '?')}"
    delay = f"{hop['delay']:+,} s" if hop.get("delay") is not None else ""
    return "  ".join(filter(None, (ends, hop.get("with", ""), delay)))


def _tree(letter: Letter) -> Tree:
    """The tree of a message, drawn."""
    root = Tree(Text("message", style="dim"), guide_style="dim")
    open_: list[tuple[tuple[str, str], Tree]] = []
    last: tuple[tuple[str, str], Tree] | None = None
    for leaf in letter.leaves:
        path = leaf.part.within
        common = 0
        while common < min(len(open_), len(path)) and open_[common][0] == path[common]:
            common += 1
        del open_[common:]
        for number, kind in path[common:]:
            if last is not None and last[0] == (number, kind):
                open_.append(last)  # a text with files in it
                continue
            place = open_[-1][1] if open_ else root
            open_.append(((number, kind), place.add(Text.assemble((f"{number} " if number else "", "bold"), sanitise(kind)))))
        node = (open_[-1][1] if open_ else root).add(_label(leaf))
        last = last if last is not None and last in open_ else ((leaf.part.number, leaf.part.content_type), node)
    return root


def _label(leaf: Leaf) -> Text:
    """`2  application/msword “publi.doc” · base64 · attachment · 130 octets · sha256 3f2a…`."""
    part, fields = leaf.part, leaf.fields
    label = Text.assemble((f"{part.number} ", "bold"), (sanitise(part.content_type), "green"))
    if part.filename:
        label.append(f" “{sanitise(part.filename)}”", "yellow")
    told = [part.charset, part.encoding, part.disposition]
    if fields:
        told += [octets(int(fields.get("size", 0))), f"sha256 {str(fields.get('sha256', ''))[:12]}"]
    label.append("".join(f" · {sanitise(one)}" for one in told if one), "dim")
    if not fields.get("complete", False):
        label.append(" · cut short", "red")
    if candidates := fields.get("candidates"):
        readings = "; ".join(f"{name.replace('_', ' ')} {' | '.join(values)}" for name, values in candidates.items())
        label.append(f" · ambiguous: {sanitise(readings)}"[:400], "red")
    return label

