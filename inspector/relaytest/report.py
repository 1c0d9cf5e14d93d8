"""The results of a relay test: a table for people, a line of JSON each for programs.

Knows results.  Must not know how they came about.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from inspector.pdu import Address
from inspector.relaytest.probe import Result
from inspector.text import sanitise

TEXT: Final = 300
"""Characters of a reply that are shown."""
STYLES: Final = {"open_relay": "bold red", "relay_refused": "green", "no_reply": "yellow", "refused_local": "yellow"}


def as_json(result: Result, server: Address) -> bytes:
    """A line of JSON; its members are told in docs/howto/relay-test.md."""
    reply, told = result.reply, result.finding.fields if result.finding is not None else {}
    return msgspec.json.encode({
        "event": "relay_test", "server": str(server), "form": result.form.name, "sender": sanitise(result.form.sender),
        "recipient": sanitise(result.form.recipient), "asked": result.asked, "accepted": result.accepted,
        "status": reply.status if reply is not None else "", "reply": reply.text[:TEXT] if reply is not None else result.lost,
        "verdict": result.verdict, "rule": sanitise(str(told.get("rule", ""))), "tricks": told.get("tricks", [])}) + b"\n"


def table(results: Iterable[Result]) -> Any:
    """A rich table."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("form", "MAIL FROM", "RCPT TO", "reply", "verdict"):
        made.add_column(heading, overflow="fold")
    for result in results:
        reply = f"{result.reply.status} {result.reply.text}" if result.reply is not None else result.lost
        cells = (result.form.name, f"<{result.form.sender}>", f"<{result.form.recipient}>", reply[:TEXT])
        made.add_row(*(Text(sanitise(cell)) for cell in cells), Text(result.verdict, style=STYLES.get(result.verdict, "")))
    return made


def show(results: list[Result]) -> None:
    """Prints the table on standard output."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else 160
    Console(width=width, highlight=False, markup=False, emoji=False).print(table(results))


def summary(results: list[Result], server: Address) -> str:
    """One line: what was found."""
    opened = sum(result.verdict == "open_relay" for result in results)
    accepted = sum(result.accepted for result in results)
    silent = sum(result.reply is None for result in results)
    told = [f"{server}: {len(results)} forms, {accepted} accepted, {opened or 'none'} against the policy"]
    if silent:
        told.append(f"{silent} without a reply")
    return ", ".join(told)
