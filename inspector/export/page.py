"""A self-contained page: sessions with their ladders, messages, anomalies, figures.

Rules.  Nothing is fetched and nothing runs: the page forbids it to itself (Content-Security-Policy).  Everything from the wire is
sanitised and escaped; no name in it is a link to anything but a place in the page.

Knows records and HTML.  Must not know files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from inspector.console import seconds
from inspector.export.ladder import STYLE, moment, svg
from inspector.export.record import Record
from inspector.survey.table import lasting, octets
from inspector.text import sanitise

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
SEVERITIES: Final = ("critical", "high", "medium", "low", "info")
LISTED: Final = 500
"""Anomalies and messages that are listed."""
OPEN: Final = 3
"""Sessions up to which their pictures are shown at once."""

LOOKS: Final = """
:root{--paper:#fff;--back:#f5f6f8;--ink:#1f2430;--faint:#667085;--line:#dfe3ea;--accent:#2457a6;--bad:#c0262d;--late:#b4530a;
--more:#8a6100;--mono:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
@media (prefers-color-scheme:dark){:root{--paper:#14171e;--back:#0e1116;--ink:#e3e7ef;--faint:#98a1b3;--line:#2c3340;
--accent:#7fb0ff;--bad:#ff7b7b;--late:#f0975a;--more:#e0b252}}
*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--ink);
font:15px/1.5 ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 20px 64px}h1{font-size:26px;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:18px;margin:36px 0 12px}h3{font-size:15px;margin:20px 0 6px}.faint{color:var(--faint)}
a{color:var(--accent);text-decoration:none}a:hover{text-decoration:underline}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:12px;margin-top:20px}
.card{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:12px 16px}
.card b{display:block;font-size:22px;font-variant-numeric:tabular-nums;white-space:nowrap}
.card span{color:var(--faint);font-size:13px}
.sheet{background:var(--paper);border:1px solid var(--line);border-radius:10px;overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th,td{text-align:left;padding:7px 12px;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}th{color:var(--faint);font-weight:600;font-size:12px;white-space:nowrap}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.m{font-family:var(--mono);font-size:12.5px;white-space:nowrap}td.w{overflow-wrap:anywhere;min-width:12em}
.tag{display:inline-block;border:1px solid currentColor;border-radius:99px;padding:0 9px;font-size:12px;color:var(--faint);
white-space:nowrap}.tag.critical,.tag.high{color:var(--bad)}.tag.medium{color:var(--late)}.tag.low{color:var(--more)}
details{background:var(--paper);border:1px solid var(--line);border-radius:10px;margin:0 0 12px}
summary{cursor:pointer;padding:10px 16px;font-weight:600}summary span{font-weight:400;color:var(--faint)}
.in{padding:0 16px 16px;overflow-x:auto}.in svg{display:block;min-width:760px;width:100%;height:auto}
@media (max-width:700px){table{min-width:700px}}@media print{body{background:#fff}details{break-inside:avoid}.in svg{min-width:0}}
""".replace("\n", "")


def page(name: str, records: Sequence[Record], more: int, figures: Mapping[str, Any] | None = None) -> str:
    """The page.  `more`: sessions that are not among the records; `figures`: those of `mailspy stats --json`."""
    title = f"mailspy: {name}" if name else "mailspy"
    return "".join([
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n',
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="referrer" content="no-referrer">\n',
        f"<title>{safe(title)}</title>\n<style>{LOOKS}{STYLE}</style>\n</head>\n<body>\n<main>\n",
        f"<h1>{safe(name or 'Sessions')}</h1>\n", *_summary(records, more, figures), *_anomalies(records), *_messages(records),
        *_sessions(records), *_figures(figures), *_each(records), "</main>\n</body>\n</html>\n"])


def safe(text: object) -> str:
    """A text that a page can hold."""
    return escape(sanitise(str(text)), quote=True)


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Rows of cells that are HTML; a head that begins with `#` has numbers, with `=` code, with `~` long texts, below it."""
    heads = list(heads)
    classes = [{"#": ' class="n"', "=": ' class="m"', "~": ' class="w"'}.get(head[:1], "") for head in heads]
    yield '<div class="sheet"><table>\n<tr>'
    yield "".join(f"<th{kind if head[:1] == '#' else ''}>{safe(head.lstrip('#=~'))}</th>"
                  for head, kind in zip(heads, classes, strict=True))
    yield "</tr>\n"
    for row in rows:
        yield "<tr>" + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row, classes, strict=True)) + "</tr>\n"
    yield "</table></div>\n"


def _summary(records: Sequence[Record], more: int, figures: Mapping[str, Any] | None) -> Iterator[str]:
    first = min((record.flow.opened for record in records), default=0)
    last = max((record.flow.closed or record.flow.opened for record in records), default=0)
    if records:
        yield f'<p class="faint">{moment(first)} to {moment(last)}</p>\n'
    sent = (figures["sent"] + figures["received"]) if figures else sum(step.size for record in records for step in record.steps)
    worst: Counter[str] = Counter()
    for record in records:
        for anomaly in record.anomalies:
            worst[anomaly.severity.value] += anomaly.number
    cards = [("sessions", f"{len(records) + more:,}"), ("messages", f"{sum(len(record.messages) for record in records):,}"),
             ("octets", octets(sent)), ("anomalies", f"{sum(worst.values()):,}"),
             ("lasted", lasting(last - first) if records else "–")]
    yield '<div class="cards">'
    for name, value in cards:
        yield f'<div class="card"><b>{safe(value)}</b><span>{name}</span></div>'
    yield "</div>\n"
    if more:
        yield (f'<p class="faint">The first {len(records):,} sessions are shown here, {more:,} more are counted. '
               "--sessions N shows more.</p>\n")


def _place(record: Record) -> str:
    return f'<a href="#flow-{record.flow.number}">{record.flow.number}</a>'


def _tag(severity: str) -> str:
    return f'<span class="tag {severity}">{severity}</span>'


def _anomalies(records: Sequence[Record]) -> Iterator[str]:
    found = [(record, anomaly) for record in records for anomaly in record.anomalies]
    if not found:
        return
    found.sort(key=lambda pair: SEVERITIES.index(pair[1].severity.value))
    yield "<h2>Anomalies</h2>\n"
    yield from table(("severity", "anomaly", "~what", "flow", "rule"), (
        (_tag(anomaly.severity.value), safe(anomaly.name), safe(anomaly.detail), _place(record), safe(anomaly.reference))
        for record, anomaly in found[:LISTED]))
    yield _rest(len(found))


def _rest(count: int) -> str:
    return f'<p class="faint">… and {count - LISTED:,} more</p>\n' if count > LISTED else ""


def _messages(records: Sequence[Record]) -> Iterator[str]:
    found = [(record, message) for record in records for message in record.messages]
    if not found:
        return
    yield "<h2>Messages</h2>\n"
    yield from table(("flow", "~subject", "~from", "~to", "#octets", "attachments"), (
        (_place(record), safe(told.get("subject") or "(none)"), safe(told.get("from") or _envelope(told)[0]),
         safe(told.get("to") or ", ".join(_envelope(told)[1])), f"{told.get('size', 0):,}",
         safe(", ".join(str(part.fields.get("filename")) for part in record.parts
                        if part.fields.get("filename") and part.fields.get("message") == told.get("number"))))
        for record, message in found[:LISTED] for told in (message.fields,)))
    yield _rest(len(found))


def _envelope(told: Mapping[str, Any]) -> tuple[str, list[str]]:
    envelope = told.get("envelope") or {}
    return str(envelope.get("from", "")), [str(one) for one in envelope.get("to", [])]


def _sessions(records: Sequence[Record]) -> Iterator[str]:
    if not records:
        return
    yield "<h2>Sessions</h2>\n"
    yield from table(("flow", "began", "protocol", "=client", "=server", "phases", "#messages", "#lasted", "anomalies", "end"), (
        (_place(record), safe(moment(record.flow.opened).removesuffix(" UTC")), safe(record.flow.protocol),
         safe(record.flow.client), safe(record.flow.server),
         safe(" ".join(dict.fromkeys(step.phase for step in record.steps if step.phase))),
         str(len(record.messages) or ""), safe(seconds(record.flow.closed - record.flow.opened) if record.flow.closed else ""),
         _worst(record), safe(record.reason)) for record in records))


def _worst(record: Record) -> str:
    found = {anomaly.severity.value for anomaly in record.anomalies}
    worst = next((severity for severity in SEVERITIES if severity in found), "")
    return f"{sum(anomaly.number for anomaly in record.anomalies)} {_tag(worst)}" if worst else ""


def _figures(figures: Mapping[str, Any] | None) -> Iterator[str]:
    if not figures or not figures["commands"]:
        return
    yield "<h2>Commands and their replies</h2>\n"
    yield from table(("protocol", "command", "#count", "#median", "#95 %", "#99 %", "replies"), (
        (safe(one["protocol"]), safe(one["verb"]), f"{one['count']:,}",
         *(safe(seconds(round(one["duration"][name] * 1e6))) for name in ("median", "p95", "p99")),
         safe(", ".join(f"{status or '(none)'} ×{number:,}" for status, number in one["statuses"].items())))
        for one in figures["commands"]))


def _each(records: Sequence[Record]) -> Iterator[str]:
    if records:
        yield "<h2>Each session</h2>\n"
    for record in records:
        flow = record.flow
        opened = " open" if len(records) <= OPEN else ""
        yield (f'<details id="flow-{flow.number}"{opened}><summary>flow {flow.number} <span>{safe(flow.protocol)} · '
               f"{safe(flow.client)} → {safe(flow.server)} · {safe(record.reason)}</span></summary>\n<div class=\"in\">\n")
        yield svg(record, style=False)
        for message in record.messages:
            yield from _message(record, message.fields)
        yield "</div></details>\n"


def _message(record: Record, told: Mapping[str, Any]) -> Iterator[str]:
    sender, recipients = _envelope(told)
    yield f"<h3>Message {safe(told.get('number', ''))}: {safe(told.get('subject') or '(no subject)')}</h3>\n"
    rows = [("Envelope", f"{sender} → {', '.join(recipients)}" if recipients else sender), ("From", told.get("from")),
            ("To", told.get("to")), ("Date", told.get("date")), ("Message-ID", told.get("message_id")),
            ("Octets", f"{told.get('size', 0):,}" + ("" if told.get("complete", True) else ", cut short"))]
    yield from table(("header", "~"), ((safe(name), safe(value)) for name, value in rows if value))
    parts = [part.fields for part in record.parts if part.fields.get("message") == told.get("number")]
    if parts:
        yield "<h3>Parts</h3>\n"
        yield from table(("part", "type", "~file", "#octets", "=SHA-256"), (
            (safe(part.get("part", "")), safe(part.get("content_type", "")), safe(part.get("filename", "")),
             f"{part.get('size', 0):,}", safe(part.get("sha256", ""))) for part in parts))
