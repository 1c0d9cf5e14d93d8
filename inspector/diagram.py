"""Phase tables drawn: as text, as a Mermaid state diagram, as SVG.

Rules.  All three say the same: a state, the verbs that stay in it, and an arrow for each state that can follow.  Rows
with one target share one arrow; an outcome that is not drawn leaves the state as it is.

Knows tables.  Must not know any protocol.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Final, NamedTuple

from inspector.machine import Row, Table
from inspector.pdu import FAILED, MORE, OK, Outcome

WORDS: Final[Mapping[Outcome, str]] = {OK: "OK", MORE: "more", FAILED: "failed"}
NOTE: Final = "An outcome that is not drawn leaves the state as it is."


class Arrow(NamedTuple):
    """From one state to another, with everything that leads there."""

    source: str
    target: str
    labels: tuple[str, ...]
    """`PASS, APOP: OK`: verbs that go there by the same outcomes; an empty outcome stands for any."""
    references: tuple[str, ...]


def arrows(table: Table) -> list[Arrow]:
    """All arrows of a table, in its order; none from a state to itself."""
    found: list[Arrow] = []
    for state, verbs in table.items():
        targets: dict[str, dict[str, list[str]]] = {}
        sources: dict[str, list[str]] = {}
        for verb, row in verbs.items():
            for target in dict.fromkeys(row.next.values()):
                if target != state:
                    targets.setdefault(target, {}).setdefault(condition(row, target), []).append(verb)
                    sources.setdefault(target, []).append(row.reference)
        for target, groups in targets.items():
            labels = tuple(", ".join(names) + (f": {outcome}" if outcome else "") for outcome, names in groups.items())
            found.append(Arrow(state, target, labels, tuple(dict.fromkeys(sources[target]))))
    return found


def condition(row: Row, target: str) -> str:
    """The outcomes that lead to a target: `OK`; empty when success and failure both do."""
    outcomes = [outcome for outcome in WORDS if row.next.get(outcome) == target]
    if OK in outcomes and FAILED in outcomes:
        return ""
    return ", ".join(WORDS[outcome] for outcome in outcomes)


def staying(table: Table, state: str) -> list[str]:
    """The verbs that never leave a state."""
    return [verb for verb, row in table[state].items() if all(target == state for target in row.next.values())]


# As text

TEXT_WIDTH: Final = 100


def text(name: str, table: Table) -> str:
    """An aligned list: each state with its verbs, where they lead, and where that stands."""
    lines = [f"{name}: {len(table)} states, beginning in {next(iter(table))}", ""]
    rows = {state: _text_rows(state, verbs) for state, verbs in table.items()}
    verbs_wide = max((len(verb) for group in rows.values() for verb, _, _ in group), default=0)
    leads_wide = max((len(leads) for group in rows.values() for _, leads, _ in group), default=0)
    for state, group in rows.items():
        lines.append(state)
        for verb, leads, reference in group:
            lines.append(f"  {verb:{verbs_wide}}  {leads:{leads_wide}}  {reference}")
        lines.append("")
    lines.append(f"· stays in the state.  {NOTE}")
    return "\n".join(lines) + "\n"


def _text_rows(state: str, verbs: Mapping[str, Row]) -> list[tuple[str, str, str]]:
    """Verbs, where they lead, reference; verbs that share the other two stand in one row."""
    groups: dict[tuple[str, str], list[str]] = {}
    for verb, row in verbs.items():
        groups.setdefault((_leads(state, row), row.reference), []).append(verb)
    return [(", ".join(names), leads, reference) for (leads, reference), names in groups.items()]


def _leads(state: str, row: Row) -> str:
    """`OK → TRANSACTION`, or a dot for nowhere."""
    ways = [f"{condition(row, target) or 'always'} → {target}"
            for target in dict.fromkeys(row.next.values()) if target != state]
    return "; ".join(ways) or "·"


# As Mermaid

_MERMAID: Final = re.compile(r"[^\w .,()/+=*'→-]")


def mermaid(name: str, table: Table) -> str:
    """A `stateDiagram-v2`; states get ids of their own, so that none can be a word of Mermaid's."""
    ids = {state: f"s{number}" for number, state in enumerate(table)}
    lines = ["---", f"title: {_quoted(name)}", "---", "stateDiagram-v2"]
    lines += [f'    state "{_quoted(state)}" as {ids[state]}' for state in table]
    lines.append(f"    [*] --> {ids[next(iter(table))]}")
    for state in table:
        if stays := staying(table, state):
            lines.append(f"    {ids[state]} --> {ids[state]} : {_quoted(', '.join(stays))}")
        lines += [f"    {ids[state]} --> {ids[arrow.target]} : {_quoted('; '.join(arrow.labels))}"
                  for arrow in arrows(table) if arrow.source == state]
    return "\n".join(lines) + "\n"


def _quoted(words: str) -> str:
    """Text with what has a meaning in Mermaid as its entity codes."""
    return _MERMAID.sub(lambda match: f"#{ord(match[0])};", words)


# As SVG: states in one column, arrows to the next state straight down, others in lanes beside: forward at the right,
# backward at the left.  All arrows with one target share one lane: lanes never cross boxes, heads never meet.

CHARACTER: Final = 6.7
"""Width of a character of 12 px, about."""
LINE: Final = 15
BOX: Final = 250
LABEL: Final = 30
"""Characters in a line of a label."""
HARD: Final = "\N{NO-BREAK SPACE}"
LANE: Final = 22
GAP: Final = 26
MARGIN: Final = 24
TITLE: Final = 44

STYLE: Final = """
svg{--ink:#1f2933;--faint:#667380;--line:#3d6fb4;--back:#b0622a;--box:#f1f5fa;--edge:#9fb3c8;--page:#ffffff}
@media(prefers-color-scheme:dark){svg{--ink:#e6edf3;--faint:#9aa7b4;--line:#7fb0f0;--back:#e8a36b;--box:#1c2733;--edge:#4a5b6d;
--page:#0f1620}}
text{font:12px ui-sans-serif,system-ui,"Segoe UI","DejaVu Sans",sans-serif;fill:var(--ink)}
.page{fill:var(--page)} .title{font-size:15px;font-weight:600} .state{font-size:14px;font-weight:600;text-anchor:middle}
.stay,.note{fill:var(--faint);font-size:11.5px} .stay{text-anchor:middle}
.box{fill:var(--box);stroke:var(--edge);stroke-width:1.3}
.end{fill:none;stroke:var(--edge)} .way{fill:none;stroke:var(--line);stroke-width:1.5} .way.back{stroke:var(--back)}
.head{fill:var(--line)} .head.back{fill:var(--back)} .left{text-anchor:end}
.halo{paint-order:stroke;stroke:var(--page);stroke-width:4}
"""
PALETTE: Final = re.compile(r"--(\w+):(#\w+)")


@dataclass(slots=True)
class Port:
    """Where an arrow leaves a box at its side."""

    arrow: Arrow
    lines: list[str]
    y: float = 0


@dataclass(slots=True)
class Box:
    """A state in the drawing."""

    state: str
    stays: list[str]
    left: list[Port] = field(default_factory=list)
    right: list[Port] = field(default_factory=list)
    down: Arrow | None = None
    """The arrow to the next box."""
    enters_left: bool = False
    enters_right: bool = False
    y: float = 0
    height: float = 0

    def measure(self) -> None:
        """Makes room for the names and for the ports of both sides."""
        inner = 34 + LINE * len(self.stays)
        sides = [sum(LINE * len(port.lines) + 8 for port in ports) + (18 if entered else 0) + 10
                 for ports, entered in ((self.left, self.enters_left), (self.right, self.enters_right))]
        self.height = max(inner, *sides, 44)

    def place(self, y: float) -> None:
        """Sets the box and its ports below each other; entries come first, on top."""
        self.y = y
        for ports, entered in ((self.left, self.enters_left), (self.right, self.enters_right)):
            at = y + (18 if entered else 0) + 4
            for port in ports:
                at += LINE * len(port.lines) + 4
                port.y = at
                at += 4


def svg(name: str, table: Table) -> str:
    """A self-contained picture, for light and dark pages."""
    boxes = _boxes(table)
    lanes = [_lanes(boxes, left) for left in (True, False)]
    sides = [_label_width(boxes, left) for left in (True, False)]
    x = MARGIN + LANE * len(lanes[0]) + sides[0] + 12
    width = x + BOX + sides[1] + 12 + LANE * len(lanes[1]) + MARGIN
    down = max((len(line) for box in boxes if box.down for line in _down_label(box)), default=0)
    needed = width
    width = max(width, x + BOX / 2 + CHARACTER * down + 9 + MARGIN, MARGIN * 2 + CHARACTER * (len(NOTE) + 14))
    x += (width - needed) / 2
    bottom = _stack(boxes)
    height = bottom + 40
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
            f'height="{height:.0f}" role="img" aria-label="{escape(name)}: states and transitions">')
    parts = [head, f"<style>{_style()}</style>", f'<rect class="page" width="{width:.0f}" height="{height:.0f}"/>',
             _words(MARGIN, 30, f"{name}: states and what leads from one to another", "title")]
    pen = Pen(x, lanes[0], lanes[1], sides[0], sides[1])
    for number, box in enumerate(boxes):
        parts += pen.ways(box, {other.state: other for other in boxes})
        if box.down is not None:
            parts += pen.step(box, boxes[number + 1])
    parts += [part for box in boxes for part in pen.box(box, final=not _leaves(box))]
    parts += pen.start(boxes[0])
    parts += [_words(MARGIN, height - 16, NOTE, "note"), "</svg>"]
    return "\n".join(parts) + "\n"


def _style() -> str:
    """The style, its light colours written out too for viewers that know no variables."""
    colours = dict(PALETTE.findall(STYLE[:STYLE.index("@media")]))
    plain = re.sub(r"([\w-]+):var\(--(\w+)\)", lambda match: f"{match[1]}:{colours[match[2]]};{match[0]}", STYLE)
    return plain.strip()


def _leaves(box: Box) -> bool:
    return bool(box.left or box.right or box.down)


def _boxes(table: Table) -> list[Box]:
    states = list(table)
    inside = int(BOX / CHARACTER) - 2
    boxes = {state: Box(state, textwrap.wrap(", ".join(staying(table, state)), inside)) for state in states}
    for arrow in arrows(table):
        box, target = boxes[arrow.source], boxes[arrow.target]
        distance = states.index(arrow.target) - states.index(arrow.source)
        if distance == 1:
            box.down = arrow
            continue
        port = Port(arrow, wrapped(arrow, LABEL))
        (box.right if distance > 0 else box.left).append(port)
        if distance > 0:
            target.enters_right = True
        else:
            target.enters_left = True
    return list(boxes.values())


def _lanes(boxes: Sequence[Box], left: bool) -> list[str]:
    """The targets that have a lane at that side, the innermost lane first: the shorter the way, the further in."""
    order = [box.state for box in boxes]
    spans: dict[str, int] = {}
    for box in boxes:
        for port in box.left if left else box.right:
            target = port.arrow.target
            spans[target] = max(spans.get(target, 0), abs(order.index(target) - order.index(box.state)))
    return sorted(spans, key=lambda target: spans[target])


def _label_width(boxes: Sequence[Box], left: bool) -> float:
    lengths = [len(line) for box in boxes for port in (box.left if left else box.right) for line in port.lines]
    return max(lengths, default=0) * CHARACTER + (16 if lengths else 0)


def _stack(boxes: Sequence[Box]) -> float:
    """Places the boxes below each other; returns where the last one ends."""
    y = float(TITLE + 26)
    for box in boxes:
        box.measure()
        box.place(y)
        y += box.height + GAP + (LINE * len(_down_label(box)) if box.down else 0)
    return boxes[-1].y + boxes[-1].height


def _down_label(box: Box) -> list[str]:
    assert box.down is not None
    return wrapped(box.down, LABEL + 10)


def wrapped(arrow: Arrow, width: int) -> list[str]:
    """The labels of an arrow in lines, broken between verbs alone."""
    whole = [label.replace(" ", HARD).replace("," + HARD, ", ") for label in arrow.labels]
    return [line.replace(HARD, " ") for label in whole for line in textwrap.wrap(label, width)]


class Pen:
    """Draws boxes and arrows at known places."""

    def __init__(self, x: float, left: list[str], right: list[str], left_label: float, right_label: float) -> None:
        self.x = x
        self.middle = x + BOX / 2
        self._lane_x = {(True, target): x - left_label - 12 - LANE * number for number, target in enumerate(left)}
        edge = x + BOX + right_label + 12
        self._lane_x |= {(False, target): edge + LANE * number for number, target in enumerate(right)}

    def box(self, box: Box, final: bool) -> list[str]:
        """A state with the verbs that stay in it; with a second edge where nothing leaves it."""
        parts = [_rect(self.x, box.y, BOX, box.height, "box")]
        if final:
            parts.append(_rect(self.x + 4, box.y + 4, BOX - 8, box.height - 8, "end"))
        top = box.y + (box.height - LINE * len(box.stays)) / 2 + 5
        parts.append(_words(self.middle, top, box.state, "state"))
        parts += [_words(self.middle, top + LINE * place + 1, line, "stay") for place, line in enumerate(box.stays, 1)]
        return parts

    def start(self, box: Box) -> list[str]:
        """The dot from which the first state is entered."""
        top = box.y - 24
        return [f'<circle class="head" cx="{self.middle:.1f}" cy="{top:.1f}" r="5"/>',
                f'<path class="way" d="M{self.middle:.1f} {top:.1f}V{box.y - 7:.1f}"/>', self._head_down(box.y)]

    def step(self, box: Box, following: Box) -> list[str]:
        """The arrow to the next state."""
        assert box.down is not None
        top, bottom = box.y + box.height, following.y
        lines = _down_label(box)
        first = (top + bottom) / 2 - LINE * (len(lines) - 1) / 2 + 1
        words = [_words(self.middle + 9, first + LINE * number, line, "halo") for number, line in enumerate(lines)]
        return [_group(box.down, [f'<path class="way" d="M{self.middle:.1f} {top:.1f}V{bottom - 7:.1f}"/>',
                                  self._head_down(bottom), *words])]

    def _head_down(self, y: float) -> str:
        return f'<path class="head" d="M{self.middle:.1f} {y:.1f}l-4.5 -9h9z"/>'

    def ways(self, box: Box, boxes: Mapping[str, Box]) -> list[str]:
        """The arrows that leave a state at its sides."""
        return [self._way(port, boxes[port.arrow.target], left)
                for ports, left in ((box.left, True), (box.right, False)) for port in ports]

    def _way(self, port: Port, target: Box, left: bool) -> str:
        lane = self._lane_x[left, port.arrow.target]
        edge = self.x if left else self.x + BOX
        out = -1 if left else 1
        end = target.y + 14
        bend = 8 if end > port.y else -8
        style = "way back" if left else "way"
        near = f"{lane - out * 8:.1f}"
        path = (f'<path class="{style}" d="M{edge:.1f} {port.y:.1f}H{near}Q{lane:.1f} {port.y:.1f} {lane:.1f} '
                f'{port.y + bend:.1f}V{end - bend:.1f}Q{lane:.1f} {end:.1f} {near} {end:.1f}H{edge + out * 8:.1f}"/>')
        head = f'<path class="head{" back" if left else ""}" d="M{edge:.1f} {end:.1f}l{out * 9} -4.5v9z"/>'
        first = port.y - 5 - LINE * (len(port.lines) - 1)
        words = [_words(edge + out * 12, first + LINE * number, line, "halo left" if left else "halo")
                 for number, line in enumerate(port.lines)]
        return _group(port.arrow, [path, head, *words])


def _group(arrow: Arrow, parts: Sequence[str]) -> str:
    title = f"{arrow.source} → {arrow.target}: {'; '.join(arrow.labels)} ({', '.join(arrow.references)})"
    return f"<g><title>{escape(title)}</title>{''.join(parts)}</g>"


def _rect(x: float, y: float, width: float, height: float, style: str) -> str:
    return f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="8"/>'


def _words(x: float, y: float, words: str, style: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'


Draw = Callable[[str, Table], str]

FORMATS: Final[Mapping[str, Draw]] = {"text": text, "mermaid": mermaid, "svg": svg}
"""How a table can be drawn, by the name of the format."""
