"""A session as a sequence diagram: two life lines, phases as bands, times in the margin.

Rules.  Pure functions from a record to text.  Nothing is fetched from anywhere, nothing runs; all text is escaped.

Knows records, SVG and Mermaid.  Must not know where a record comes from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from typing import Final, NamedTuple

from inspector.console import columns_of, fitting, seconds
from inspector.export.record import Record, Step

ROW: Final = 26
"""Height of a line."""
HEAD: Final = 76
"""Height of the heads of the life lines."""
WIDTH: Final = 960
LEFT: Final = 250
RIGHT: Final = 838
"""Where the life lines are."""
MARGIN: Final = 118
"""Where the times end."""
BAND: Final = 132
"""Where the bands begin."""
TEXT: Final = 72
"""Columns of text on an arrow."""
NOTE: Final = 66
PAUSE: Final = 1_000_000
"""Microseconds without a line that are marked."""

HUES: Final = {
    "AUTHORIZATION": "amber", "TRANSACTION": "green", "UPDATE": "blue", "CONNECT": "grey", "HELLO": "blue", "TLS": "violet",
    "AUTH": "amber", "MAIL": "teal", "RCPT": "teal", "DATA": "green", "QUIT": "grey"}
"""The colours of the phases."""
TONES: Final = {"+": "good", "2": "good", "3": "more", "4": "late", "5": "bad", "-": "bad"}
"""The colours of replies, by the first character of their status."""

STYLE: Final = """
.ladder{--paper:#fff;--ink:#1f2430;--faint:#737b8c;--line:#c9ced8;--good:#1a7f4b;--more:#8a6100;--late:#b4530a;--bad:#c0262d;
--client:#2457a6;--note:#f6f3ea;--noteline:#d9d0b4;--amber:#b7791f;--green:#2f855a;--blue:#2b6cb0;--grey:#8a93a3;--violet:#7b4fc9;
--teal:#1d8a8a;font:13px/1.3 ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
@media (prefers-color-scheme:dark){.ladder{--paper:#14171e;--ink:#e3e7ef;--faint:#8c95a6;--line:#3a4150;--good:#57c98a;
--more:#e0b252;--late:#f0975a;--bad:#ff7b7b;--client:#7fb0ff;--note:#242422;--noteline:#4c483a;--amber:#d9a441;--green:#5bbd87;
--blue:#6aa8ea;--grey:#8a93a3;--violet:#b394f0;--teal:#54c1c1}}
@media print{.ladder{--paper:#fff;--ink:#000;--faint:#555;--line:#aaa;--note:#fff}}
.ladder .paper{fill:var(--paper)}.ladder text{fill:var(--ink)}.ladder .faint{fill:var(--faint);font-size:11px}
.ladder .mono{font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
.ladder .life{stroke:var(--line);stroke-width:1.5}.ladder .box{fill:var(--paper);stroke:var(--line);stroke-width:1.5}
.ladder .who{font-weight:600}.ladder .right{text-anchor:end}.ladder .middle{text-anchor:middle}
.ladder .arrow{stroke:var(--tone);stroke-width:1.4;fill:none}.ladder .bulk{stroke-width:5;stroke-opacity:.45}
.ladder .tip{fill:var(--tone)}.ladder .note{fill:var(--note);stroke:var(--tone,var(--noteline))}
.ladder .client{--tone:var(--client)}.ladder .server{--tone:var(--faint)}.ladder .good{--tone:var(--good)}
.ladder .more{--tone:var(--more)}.ladder .late{--tone:var(--late)}.ladder .bad{--tone:var(--bad)}
.ladder .amber{--hue:var(--amber)}.ladder .green{--hue:var(--green)}.ladder .blue{--hue:var(--blue)}
.ladder .grey{--hue:var(--grey)}
.ladder .violet{--hue:var(--violet)}.ladder .teal{--hue:var(--teal)}
.ladder .band{fill:var(--hue);fill-opacity:.09}.ladder .edge{fill:var(--hue)}.ladder .phase{fill:var(--hue);font-size:11px;
font-weight:600;letter-spacing:.04em}
.ladder .plate{fill:var(--paper);fill-opacity:.86}
""".replace("\n", "")
"""The looks of a ladder, light, dark and printed."""


def title(record: Record) -> str:
    """One line about a session."""
    flow = record.flow
    return f"flow {flow.number}: {flow.protocol or 'unknown'}, {flow.client} to {flow.server}, {moment(flow.opened)}"


def moment(time: int) -> str:
    """Date and time in UTC, to the second; empty where no calendar has it."""
    try:
        return datetime.fromtimestamp(time // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return ""


def since(time: int) -> str:
    """Microseconds since the begin of a session, in seconds: `0.002 646`."""
    whole, micro = divmod(max(0, time), 1_000_000)
    return f"{whole}.{micro // 1000:03d} {micro % 1000:03d}"


def cut(text: str, room: int) -> str:
    """A text in so many columns."""
    return text if columns_of(text) <= room else text[:fitting(text, room - 1)] + "…"


# SVG


class _Band(NamedTuple):
    phase: str
    first: int
    last: int


def svg(record: Record, *, style: bool = True) -> str:
    """The picture.  `style`: with the looks; a page that holds several has them once."""
    steps = record.steps
    height = HEAD + ROW * (len(steps) + 1) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ladder" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-labelledby="t{record.flow.number}">', f'<title id="t{record.flow.number}">{_safe(title(record))}</title>']
    if style:
        parts.append(f"<style>{STYLE}</style>")
    parts.append(f'<rect class="paper" width="{WIDTH}" height="{height}"/>')
    parts += _bands(steps)
    bottom = HEAD + ROW * (len(steps) + 1) - 6
    parts += [f'<line class="life" x1="{x}" y1="{HEAD - 16}" x2="{x}" y2="{bottom}"/>' for x in (LEFT, RIGHT)]
    parts += _heads(record)
    parts += _rows(record, steps)
    if record.reason:
        lasted = f", {seconds(record.flow.closed - record.flow.opened)}" if record.flow.closed else ""
        middle = (LEFT + RIGHT) // 2
        parts.append(f'<text class="faint middle" x="{middle}" y="{bottom + 22}">{_safe(record.reason + lasted)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _safe(text: str) -> str:
    return escape(text, quote=True)


def _bands(steps: list[Step]) -> Iterator[str]:
    bands: list[_Band] = []
    for row, step in enumerate(steps):
        if bands and bands[-1].phase == step.phase:
            bands[-1] = bands[-1]._replace(last=row)
        else:
            bands.append(_Band(step.phase, row, row))
    for band in bands:
        hue = HUES.get(band.phase, "grey")
        top, tall = HEAD + ROW * band.first, ROW * (band.last - band.first + 1)
        yield f'<rect class="band {hue}" x="{BAND}" y="{top}" width="{WIDTH - BAND - 14}" height="{tall}"/>'
        yield f'<rect class="edge {hue}" x="{BAND}" y="{top}" width="3" height="{tall}"/>'
        yield f'<text class="phase {hue}" x="{BAND + 10}" y="{top + 17}">{_safe(cut(band.phase, 14))}</text>'


def _heads(record: Record) -> Iterator[str]:
    flow = record.flow
    server = f"{flow.protocol} server".strip()
    for x, who, address in ((LEFT, "client", str(flow.client)), (RIGHT, server, str(flow.server))):
        yield f'<rect class="box" x="{x - 105}" y="14" width="210" height="44" rx="6"/>'
        yield f'<text class="who middle" x="{x}" y="33">{_safe(who)}</text>'
        yield f'<text class="faint middle" x="{x}" y="49">{_safe(cut(address, 34))}</text>'
    middle = (LEFT + RIGHT) // 2
    yield f'<text class="middle" x="{middle}" y="33">flow {flow.number}</text>'
    yield f'<text class="faint middle" x="{middle}" y="49">{moment(flow.opened)}</text>'


def _rows(record: Record, steps: list[Step]) -> Iterator[str]:
    before = None
    last = record.flow.opened
    for row, step in enumerate(steps):
        y = HEAD + ROW * row + 17
        time = since(step.time - record.flow.opened)
        if time != before and step.kind != "left out":
            paused = step.time - last >= PAUSE
            yield f'<text class="faint right" x="{MARGIN}" y="{y}">{"⋯ " if paused else ""}{time}</text>'
        before, last = time, max(last, step.time)
        yield from _ROWS[step.kind](step, y)


def _arrow(step: Step, y: int) -> Iterator[str]:
    to_server = step.kind == "client"
    tone = TONES.get(step.status[:1], step.kind) if step.status else step.kind
    begin, end, back = (LEFT, RIGHT, -9) if to_server else (RIGHT, LEFT, 9)
    line = y + 5
    kind = "arrow bulk" if step.bulk else "arrow"
    yield f'<g class="{tone}"><line class="{kind}" x1="{begin}" y1="{line}" x2="{end + back}" y2="{line}"/>'
    yield f'<path class="tip" d="M{end},{line}l{back},-4.5v9z"/>'
    text = cut(step.text, TEXT)
    yield f'<text class="mono middle" x="{(LEFT + RIGHT) // 2}" y="{y}">{_safe(text)}</text></g>'


def _note(step: Step, y: int) -> Iterator[str]:
    tone = {"critical": "bad", "high": "bad", "medium": "late", "low": "more"}.get(step.status, "")
    text = cut(told(step), NOTE)
    yield f'<g class="{tone}"><rect class="note" x="{LEFT + 24}" y="{y - 14}" width="{RIGHT - LEFT - 48}" height="20" rx="4"/>'
    yield f'<text class="middle" x="{(LEFT + RIGHT) // 2}" y="{y}">{_safe(text)}</text></g>'


def told(step: Step) -> str:
    """What a note says."""
    return step.text if not step.name or step.text.startswith(step.name) else f"{step.name}: {step.text}"


def _left_out(step: Step, y: int) -> Iterator[str]:
    yield f'<text class="faint middle" x="{(LEFT + RIGHT) // 2}" y="{y}">⋮ {_safe(step.text)} ⋮</text>'


_ROWS: Final = {"client": _arrow, "server": _arrow, "note": _note, "left out": _left_out}


# Mermaid


_ODD: Final = re.compile(r"[^\w .,!?*/()@=+'|-]", re.ASCII)
TINTS: Final = {"amber": "183,121,31", "green": "47,133,90", "blue": "43,108,176", "grey": "138,147,163", "violet": "123,79,201",
                "teal": "29,138,138"}


def mermaid(record: Record) -> str:
    """The same for pages that draw Mermaid (mermaid.js.org, sequenceDiagram)."""
    flow = record.flow
    lines = ["sequenceDiagram", f"    participant C as client {_mild(str(flow.client))}",
             f"    participant S as {_mild(flow.protocol or 'the')} server {_mild(str(flow.server))}"]
    phase = ""
    for step in record.steps:
        if step.phase != phase:
            lines += [*(["    end"] if phase else []), f"    rect rgba({TINTS[HUES.get(step.phase, 'grey')]},0.10)",
                      f"    Note left of C: {_mild(step.phase) or 'session'}"]
            phase = step.phase or " "
        lines.append(f"    {_mermaid_line(step)}")
    return "\n".join([*lines, *(["    end"] if phase else []), ""])


def _mermaid_line(step: Step) -> str:
    if step.kind in ("client", "server"):
        text = _mild(cut(step.text, TEXT)) or "(empty line)"
        return f"C->>S: {text}" if step.kind == "client" else f"S-->>C: {text}"
    return f"Note over C,S: {_mild(cut(told(step), NOTE))}"


def _mild(text: str) -> str:
    """A text that cannot be taken for Mermaid's own signs: entities for all but letters, digits and a few."""
    return _ODD.sub(lambda match: f"#{ord(match[0])};", text).strip()
