"""The phase tables are whole: every state is in them, can be reached, and names where its rule stands."""

from __future__ import annotations

import re

import pytest

from inspector.machine import Machine, rows
from inspector.pdu import FAILED, MORE, OK
from inspector.pipeline import BUILTIN_PROTOCOLS
from inspector.protocols.pop3 import grammar as pop3
from inspector.protocols.pop3 import phases as pop3_phases
from inspector.protocols.smtp import grammar as smtp
from inspector.protocols.smtp import phases as smtp_phases

TABLES = {name: table for protocol in BUILTIN_PROTOCOLS for name, table in protocol.tables.items()}
START = {"pop3": "AUTHORIZATION", "pop3-client": "waiting", "smtp": "CONNECT", "lmtp": "CONNECT"}
PHASES = {
    "pop3": {"AUTHORIZATION", "TRANSACTION", "UPDATE"},
    "pop3-client": {"waiting", "connecting", "authentication", "transaction", "update"},
    "smtp": {"CONNECT", "HELLO", "TLS", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"},
    "lmtp": {"CONNECT", "HELLO", "TLS", "AUTH", "MAIL", "RCPT", "DATA", "QUIT"},
}


@pytest.mark.parametrize("name", TABLES)
def test_every_row_leads_to_a_state_of_the_table(name: str) -> None:
    """Total: no reply leads out of the table."""
    table = TABLES[name]
    assert set(table) == PHASES[name]
    for state, verb, row in rows(table):
        assert set(row.next) <= {OK, MORE, FAILED}, (state, verb)
        assert set(row.next.values()) <= set(table), (state, verb)
        assert not row.phase or row.phase in table, (state, verb)
        assert re.search(r"RFC \d+( §[\d.]+)?|sheet|Postfix", row.reference), (state, verb)


@pytest.mark.parametrize("name", TABLES)
def test_every_state_can_be_reached(name: str) -> None:
    """From the start, by replies."""
    table = TABLES[name]
    reached, waiting = set(), [START[name]]
    while waiting:
        state = waiting.pop()
        if state not in reached:
            reached.add(state)
            waiting += [following for row in table[state].values() for following in row.next.values()]
    assert reached == set(table)


def test_every_command_has_a_place_in_its_table() -> None:
    """A command of the grammar that no phase lists would always be out of sequence."""
    listed = {verb for _, verb, _ in rows(pop3_phases.PHASES)}
    assert {command.verb for command in pop3.COMMANDS.values()} <= listed
    obsolete = {"TURN", "SEND", "SOML", "SAML", "ATRN", "LHLO"}
    listed = {verb for _, verb, _ in rows(smtp_phases.PHASES)}
    assert {command.verb for command in smtp.COMMANDS.values()} - obsolete <= listed
    assert "LHLO" in {verb for _, verb, _ in rows(smtp_phases.LMTP_PHASES)}


def test_a_failed_reply_takes_back_what_was_hoped_for() -> None:
    """The expected state is made anew from the commands still unanswered."""
    machine = Machine(pop3_phases.PHASES, "AUTHORIZATION")
    machine.announce("PASS")
    machine.announce("STAT")
    machine.announce("QUIT")
    assert machine.expected == "UPDATE"
    machine.settle("PASS", FAILED)
    machine.hope(["STAT", "QUIT"])
    assert (machine.state, machine.expected) == ("AUTHORIZATION", "AUTHORIZATION")
