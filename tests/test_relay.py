"""Recipients judged local or relay: rules as a table, and a session from end to end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailspy_relay import RelayPlugin, domain_of

from inspector import PDU, Address, Direction, Finding, Flow, Kind, OptionError, OptionParser, Options
from inspector.host import Hooks, Host
from inspector.pipeline import Pipeline

DOMAINS = ("cnam.fr", "Example.NET.", ".below.example", "*.star.example", "bücher.example", "@at.example")


def configured(*domains: str) -> RelayPlugin:
    plugin = RelayPlugin()
    plugin.configure(Options({"local-domain": domains}))
    return plugin


@pytest.mark.parametrize(("path", "local", "rule"), [
    ("a@cnam.fr", True, "local-domain cnam.fr"),
    ("a@CNAM.FR.", True, "local-domain cnam.fr"),
    ("a@example.net", True, "local-domain Example.NET."),
    ("a@sub.cnam.fr", False, "no local-domain matches"),
    ("a@xcnam.fr", False, "no local-domain matches"),
    ("a@x.below.example", True, "local-domain .below.example"),
    ("a@x.y.below.example", True, "local-domain .below.example"),
    ("a@below.example", False, "no local-domain matches"),
    ("a@x.star.example", True, "local-domain *.star.example"),
    ("a@xn--bcher-kva.example", True, "local-domain bücher.example"),
    ("a@BÜCHER.example", True, "local-domain bücher.example"),
    ("a@at.example", True, "local-domain at.example"),
    ("postmaster", True, "no domain"),
    ("", True, "no domain"),
    ("@relay.example,@two.example:a@cnam.fr", True, "local-domain cnam.fr"),
    ("@cnam.fr:a@other.example", False, "no local-domain matches"),
    ('"a@cnam.fr"@other.example', False, "no local-domain matches"),
    ("a%other.example@cnam.fr", True, "local-domain cnam.fr"),
    ("a@[192.0.2.1]", False, "no local-domain matches"),
    ("a@" + "ü" * 300, False, "no local-domain matches"),
])
def test_rules(path: str, local: bool, rule: str) -> None:
    assert configured(*DOMAINS).rule(domain_of(path)) == (local, rule)


@pytest.mark.parametrize("domain", ["", "@", "a b", "a@b", "*", ".", "a.*.b", "a,b"])
def test_what_is_no_domain_is_refused(domain: str) -> None:
    with pytest.raises(OptionError, match="not a domain"):
        configured(domain)


def test_the_option_is_declared() -> None:
    parser = OptionParser("relay")
    RelayPlugin().add_options(parser)
    assert [(option.name, option.multiple) for option in parser.options] == [("local-domain", True)]


@given(st.text())
def test_no_address_raises(path: str) -> None:
    configured(*DOMAINS).rule(domain_of(path))


def findings(*domains: str) -> list[Finding]:
    """What the plugin reports of one session with pipelined recipients."""
    host = Host(pytest.fail)
    host.register("relay", RelayPlugin)
    told: list[Finding] = []

    class Ear:
        from inspector import hookimpl

        @hookimpl
        def finding(self, finding: Finding) -> None:
            told.append(finding)

    host.register("ear", Ear())
    host.configure(Options({"local-domain": domains}))
    flow = Flow(1, Address("192.0.2.1", 40000), Address("192.0.2.2", 25), 0, "smtp")
    inspector = Pipeline(Hooks(host, lambda head: "")).open(flow)
    for client, line in [
        (False, "220 mx\r\n"), (True, "EHLO c\r\n"), (False, "250 mx\r\n"),
        (True, "MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@cnam.fr>\r\n"),
        (True, "RCPT TO:<eve@other.example>\r\nRCPT TO:<mallory@other.example> NOTIFY=NEVER\r\n"),
        (False, "250 ok\r\n250 ok\r\n550 5.7.1 no relaying\r\n250 oh well\r\n"),
        (True, "RCPT\r\n"), (False, "501 syntax\r\n"),
    ]:
        inspector.feed(client, line.encode(), 1)
    return told


def test_a_session() -> None:
    bob, eve, mallory, _ = findings("cnam.fr")
    assert bob.event == "policy"
    assert bob.fields == {"recipient": "bob@cnam.fr", "decision": "local", "rule": "local-domain cnam.fr",
                          "sender": "alice@example.org", "accepted": True, "status": "250"}
    assert (bob.severity, bob.summary) == ("info", "local delivery to bob@cnam.fr accepted (250)")
    assert (eve.severity, eve.summary) == ("info", "relay to eve@other.example refused (550)")
    assert (mallory.severity, mallory.summary) == ("high", "relay to mallory@other.example accepted (250)")
    assert mallory.fields["decision"] == "relay"


def test_without_a_local_domain_nothing_is_judged() -> None:
    assert findings() == []


def test_other_pdus_cost_nothing() -> None:
    class Untouchable:
        def __getattr__(self, name: str) -> Any:
            pytest.fail(name)

    pdu = PDU(1, Direction.CLIENT_TO_SERVER, Kind.COMMAND, "", "DATA", "", b"", 0, 0, 0)
    configured("cnam.fr").pdu_seen(pdu, Untouchable())  # type: ignore[arg-type]
