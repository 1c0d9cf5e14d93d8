"""Real sessions with Exim, replayed: the policy of each server, translated, says of every recipient what the server said.

Where the transcripts are not there (`MAILSPY_SHARED`, or beside the repository) the tests are skipped.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mailspy_relay import RelayPlugin
from test_relay_sessions import Ear

from inspector import Address, Flow, Options
from inspector.host import Hooks, Host
from inspector.pipeline import Pipeline

SHARED = Path(os.environ.get("MAILSPY_SHARED", Path(__file__).resolve().parents[2] / "shared"))
FILE = SHARED / "data" / "transcripts" / "exim" / "relay_sessions.dev.json"
pytestmark = pytest.mark.skipif(not FILE.is_file(), reason="the transcripts of Exim are not there (MAILSPY_SHARED)")

V4NET = "224"
"""What Exim's tests put for the first octet of their own network."""

POLICIES: dict[str, dict[str, Any]] = {
    # The host that runs Exim (`hosts = :`) may relay.
    "0024": {"local-domain": ["test.ex"], "relay-domain": ["ten-1.test.ex"],
             "trusted-network": ["127.0.0.1", "224.255.255.0/24"]},
    # Named hosts: ten-1.test.ex, ten-5-6.test.ex; the excluded ones stand in files.
    "0060": {"local-domain": ["test.ex", "myhost.ex"],
             "trusted-network": ["!224.255.0.0/16", "224.0.0.1", "224.0.0.5", "224.0.0.6"]},
    # *-2.test.ex, *-3-alias.test.ex
    "0062": {"local-domain": ["test.ex", "myhost.ex"], "trusted-network": ["224.0.0.2", "224.0.0.3"]},
    # A file with ten-2.test.ex.
    "0064": {"local-domain": ["test.ex", "myhost.ex"], "trusted-network": ["224.0.0.2"]},
    # One file of exceptions, one of networks; the first entry that matches decides.
    "0066": {"local-domain": ["test.ex", "myhost.ex"],
             "trusted-network": ["!224.11.12.13", "224.0.0.3", "1.2.3.4", "!1.2.3.0/24", "1.2.0.0/16", "131.111.0.0/16",
                                 "192.152.98.0/24", "224.0.0.1"]},
    # *.masq.test.ex: none of the clients.
    "0094": {"local-domain": ["test.ex"]},
    "0157": {"local-domain": ["test.ex"], "trusted-network": ["224.0.0.1", "224.0.0.2"]},
    # A database with one address in it.
    "2600": {"local-domain": ["myhost.test.ex"], "trusted-network": ["10.10.10.10"]},
    "2620": {"local-domain": ["myhost.test.ex"], "trusted-network": ["10.10.10.10"]},
    "3400": {"local-domain": ["test.ex", "*.test.ex"], "trusted-network": ["10.0.0.4", "10.0.0.5"]},
}
"""The configurations of the tests as policies of ours."""

DIFFERENT = {
    ("3400", "10.0.0.1", "userx3@cus.cam.ac.uk"):
        "there authentication lets relay from two hosts only, and this is another; here from everywhere or nowhere",
}
"""By test, client and recipient: why the policy allows what the server refuses to relay."""

NOT_THE_POLICY = ("Sender verify failed", "Unrouteable address", "unknown user", "in a black list", "invalid sender",
                  "authentication required")
"""Other reasons for a refusal.  The last two are a policy that ours cannot say: a sender of one network only, and clients that
have to log in even to write to local users."""


class Row(NamedTuple):
    """A recipient, what Exim said and what mailspy says."""

    test: str
    peer: str
    recipient: str
    status: str
    text: str
    fields: dict[str, Any]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.test, self.peer, self.recipient


def numbered(text: str) -> str:
    """With an octet for the placeholder."""
    return text.replace("V4NET", V4NET)


def replayed(session: dict[str, Any]) -> list[dict[str, Any]]:
    """What the plugin says of a session, as the transcript has it."""
    host, ear = Host(pytest.fail), Ear()
    host.register("relay", RelayPlugin)
    host.register("ear", ear)
    host.configure(Options(POLICIES[session["test"]]))
    client = numbered(session["peer"] or "127.0.0.1")
    inspector = Pipeline(Hooks(host, lambda head: "")).open(Flow(1, Address(client, 1), Address("10.9.8.7", 25), 0, "smtp"))
    for speaker, *lines in session["turns"]:
        for line in lines:
            inspector.feed(speaker == "C", line.rstrip("\r").encode() + b"\r\n", 1)
    return [finding.fields for finding in ear.told]


@cache
def rows() -> list[Row]:
    """Every RCPT of every session."""
    found = []
    for session in json.loads(FILE.read_text("utf-8"))["sessions"]:
        fields, outcomes = replayed(session), session["rcpt_outcomes"]
        assert len(fields) == len(outcomes)
        peer = numbered(session["peer"] or "127.0.0.1")
        found += [Row(session["test"], peer, outcome["rcpt"].strip("<>"), outcome["code"], outcome["text"], told)
                  for told, outcome in zip(fields, outcomes, strict=True)]
    return found


def test_every_recipient_is_seen_with_its_status() -> None:
    assert rows()
    assert [row for row in rows() if (row.fields["recipient"], row.fields["status"]) != (row.recipient, row.status)] == []


def test_what_exim_accepts_the_policy_allows() -> None:
    accepted = [row for row in rows() if row.status == "250"]
    assert [row for row in accepted if not row.fields["allowed"]] == []
    assert {row.fields["verdict"] for row in accepted} == {"local_accepted", "relay_allowed"}


def test_what_exim_will_not_relay_the_policy_forbids() -> None:
    """But for what the table of differences explains."""
    denied = [row for row in rows() if "relay not permitted" in row.text]
    assert {row.key for row in denied if row.fields["allowed"]} == set(DIFFERENT)
    assert {row.fields["verdict"] for row in denied if row.key not in DIFFERENT} == {"relay_refused"}


def test_other_refusals_have_other_reasons() -> None:
    """They say nothing of relaying, whatever the policy says."""
    others = [row for row in rows() if row.status != "250" and "relay not permitted" not in row.text]
    assert [row for row in others if not any(reason in row.text for reason in NOT_THE_POLICY)] == []
    assert {row.fields["verdict"] for row in others} <= {"refused_local", "relay_refused"}


def test_who_had_logged_in_is_known() -> None:
    """As the transcripts say: the sessions of one test, where it matters."""
    by = Counter(row.fields["rule"] for row in rows() if row.test == "3400")
    assert by["authenticated"] == 2
