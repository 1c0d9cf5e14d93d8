"""Recipients judged in sessions, as transcripts: what each reply to RCPT is told to be.

`C:` and `S:` as in `dialogue`; after `|` stands what the policy says of that reply.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from dialogue import pieces
from mailspy_relay import RelayPlugin

from inspector import Address, Finding, Flow, Options, hookimpl
from inspector.host import Hooks, Host
from inspector.pipeline import Pipeline

HELLO = """
    S: 220 mx
    C: EHLO c
    S: 250 mx
"""


class Ear:
    """Hears what is found."""

    def __init__(self) -> None:
        self.told: list[Finding] = []

    @hookimpl
    def finding(self, finding: Finding) -> None:
        self.told.append(finding)


def findings(steps: list[tuple[bool, bytes]], cut: str = "whole", seed: int = 0, protocol: str = "smtp",
             **options: Any) -> list[Finding]:
    """What the plugin reports of one session."""
    host, ear = Host(pytest.fail), Ear()
    host.register("relay", RelayPlugin)
    host.register("ear", ear)
    host.configure(Options({"local-domain": ("cnam.fr",), **{name.replace("_", "-"): value for name, value in options.items()}}))
    flow = Flow(1, Address("192.0.2.1", 40000), Address("192.0.2.2", 25), 0, protocol)
    inspector = Pipeline(Hooks(host, lambda head: "")).open(flow)
    chance = random.Random(seed)
    for client, data in steps:
        for piece in pieces(data, cut, chance):
            inspector.feed(client, piece, 1)
    return ear.told


def judged(script: str, **options: Any) -> list[Finding]:
    """Plays a script in every cutting; what is found must be what its right-hand column says."""
    steps: list[tuple[bool, bytes]] = []
    expected = []
    for line in filter(str.strip, (HELLO + script).splitlines()):
        text, _, wanted = line.strip().partition(" | ")
        steps.append((text[0] == "C", text[3:].strip().encode() + b"\r\n"))
        expected += [" ".join(wanted.split())] if wanted else []
    joined: list[tuple[bool, bytes]] = []
    for client, data in steps:
        if joined and joined[-1][0] is client:
            joined[-1] = (client, joined[-1][1] + data)
        else:
            joined.append((client, data))
    told = findings(joined, **options)
    for cut, seed in (("octets", 0), ("random", 1), ("random", 2)):
        assert findings(joined, cut, seed, **options) == told
    assert [f"{one.fields['verdict']} {one.fields['rule']}" for one in told] == expected
    return told


def test_the_members_of_the_event() -> None:
    bob, eve, mallory, _ = judged("""
        C: MAIL FROM:<alice@example.org>
        C: RCPT TO:<bob@cnam.fr>
        C: RCPT TO:<eve@other.example>
        C: RCPT TO:<eve%other.example@cnam.fr> NOTIFY=NEVER
        S: 250 ok
        S: 250 ok               | local_accepted local-domain cnam.fr
        S: 550 5.7.1 no relaying | relay_refused no local-domain matches
        S: 250 oh well          | open_relay no local-domain matches
        C: RCPT
        S: 501 syntax           | relay_refused unreadable
    """)
    assert bob.event == "policy"
    assert bob.fields == {
        "recipient": "bob@cnam.fr", "decision": "local", "rule": "local-domain cnam.fr", "sender": "alice@example.org",
        "accepted": True, "status": "250", "allowed": True, "verdict": "local_accepted", "severity": "info", "host": "cnam.fr",
        "tricks": [], "enforced": False}
    assert (bob.severity, bob.summary) == ("info", "local delivery to bob@cnam.fr accepted (250)")
    assert (eve.severity, eve.summary) == ("info", "relay to eve@other.example refused (550)")
    assert mallory.summary == "relay to eve%other.example@cnam.fr accepted (250), by percent hack"
    assert (mallory.severity, mallory.fields["severity"], mallory.fields["tricks"]) == ("high", "high", ["percent hack"])
    assert (mallory.fields["decision"], mallory.fields["host"]) == ("relay", "other.example")


def test_the_envelope_is_what_the_replies_say() -> None:
    """A refused MAIL leaves no transaction, or the one before; RSET and EHLO end it when they are accepted."""
    told = judged("""
        C: MAIL FROM:<refused@x.example>
        C: RCPT TO:<bob@cnam.fr>
        S: 550 no
        S: 503 no               | not_judged local-domain cnam.fr
        C: MAIL FROM:<boss@x.example>
        S: 250 ok
        C: MAIL FROM:<nested@x.example>
        S: 503 nested
        C: RCPT TO:<eve@other.example>
        S: 250 ok               | relay_allowed relay-sender boss@x.example
        C: RSET
        S: 500 never
        C: RCPT TO:<eve@other.example>
        S: 250 ok               | relay_allowed relay-sender boss@x.example
        C: RSET
        S: 250 ok
        C: RCPT TO:<eve@other.example>
        S: 503 no               | not_judged no local-domain matches
        C: MAIL FROM:<boss@x.example>
        C: EHLO again
        C: RCPT TO:<eve@other.example>
        S: 250 ok
        S: 250 ok
        S: 250 oh               | open_relay no local-domain matches
        C: MAIL FROM:<>
        C: RCPT TO:<postmaster>
        C: RCPT TO:<eve@other.example>
        S: 250 ok
        S: 250 ok               | local_accepted no domain
        S: 550 no               | relay_refused no local-domain matches
    """, relay_sender=["boss@x.example"])
    assert [one.fields["sender"] for one in told] == ["", "boss@x.example", "boss@x.example", "", "", "", ""]


def test_a_message_ends_the_envelope() -> None:
    judged("""
        C: MAIL FROM:<boss@x.example>
        C: RCPT TO:<eve@other.example>
        C: DATA
        S: 250 ok
        S: 250 ok               | relay_allowed relay-sender boss@x.example
        S: 354 go
        C: Subject: x
        C: .
        S: 250 queued
        C: RCPT TO:<eve@other.example>
        S: 250 what             | open_relay no local-domain matches
    """, relay_sender=["boss@x.example"])


def test_who_has_logged_in_may_relay() -> None:
    script = """
        C: AUTH CRAM-MD5
        S: 334 PDE+
        C: YWxpY2UgeA==
        S: 535 no
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<eve@other.example>
        S: 250 ok
        S: 554 5.7.1 no         | relay_refused no local-domain matches
        C: RSET
        S: 250 ok
        C: AUTH CRAM-MD5
        S: 334 PDE+
        C: YWxpY2UgeQ==
        S: 235 yes
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<eve@other.example>
        S: 250 ok
        S: 250 ok               | relay_allowed authenticated
        C: RCPT TO:<eve@other.example>
        S: 554 5.7.1 no         | refused_local authenticated
    """
    assert judged(script)[-1].severity == "low"
    judged(script.replace("relay_allowed authenticated", "open_relay no local-domain matches")
           .replace("refused_local authenticated", "relay_refused no local-domain matches"), no_auth_relay=True)


def test_a_trusted_network_and_a_relay_domain() -> None:
    script = """
        C: MAIL FROM:<a@x.example>
        C: RCPT TO:<eve@other.example>
        S: 250 ok
        S: 250 ok               | """
    judged(f"{script} relay_allowed trusted-network 192.0.2.0/24", trusted_network=["192.0.2.0/24"])
    judged(f"{script} relay_allowed relay-domain .example", relay_domain=[".example"])


def test_a_line_too_long_to_be_kept_leads_nowhere() -> None:
    """What stands behind the part that is kept could be any domain."""
    steps = [(False, b"220 mx\r\n"), (True, b"EHLO c\r\nMAIL FROM:<>\r\n"), (False, b"250 mx\r\n250 ok\r\n"),
             (True, b"RCPT TO:<" + b"a" * 100_000 + b"@victim.example>\r\n"), (False, b"250 really\r\n")]
    told = findings(steps)
    assert [(one.fields["verdict"], one.fields["rule"]) for one in told] == [("open_relay", "unreadable")]


def test_lmtp_is_judged_alike() -> None:
    steps = [(False, b"220 mx\r\n"), (True, b"LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<bob@cnam.fr>\r\nRCPT TO:<eve@x.example>\r\n"),
             (False, b"250 mx\r\n250 ok\r\n250 ok\r\n550 no\r\n")]
    assert [one.fields["verdict"] for one in findings(steps, protocol="lmtp")] == ["local_accepted", "relay_refused"]


def test_without_a_policy_nothing_is_judged() -> None:
    steps = [(False, b"220 mx\r\n"), (True, b"MAIL FROM:<>\r\nRCPT TO:<bob@cnam.fr>\r\n"), (False, b"250 ok\r\n250 ok\r\n")]
    assert findings(steps, local_domain=()) == []
    assert len(findings(steps)) == 1
