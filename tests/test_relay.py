"""Recipients judged by a policy: rules as tables, tricks seen through, options that make no policy."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailspy_relay import RelayPlugin
from mailspy_relay.domains import Addresses, Domains, comparable
from mailspy_relay.networks import Networks
from mailspy_relay.outcome import outcome
from mailspy_relay.policy import Decision, Envelope, Policy
from mailspy_relay.route import HOSTS, read

from inspector import PDU, Direction, Kind, OptionError, OptionParser, Options

LOCAL = ("cnam.fr", "Example.NET.", ".below.example", "*.star.example", "bücher.example", "@at.example", "straße.example",
         "[192.0.2.25]", "[IPv6:2001:DB8::25]")
SERVER = "198.51.100.25"


def policy(**options: Any) -> Policy:
    return Policy(Options({"local-domain": LOCAL, **{name.replace("_", "-"): value for name, value in options.items()}}))


def decided(path: str, *, sender: str = "", client: str = "203.0.113.1", authenticated: bool = False, **options: Any) -> Decision:
    return policy(**options).decide(Envelope(path, sender, client, SERVER, authenticated))


NOBODY = "no local-domain matches"


@pytest.mark.parametrize(("path", "rule"), [
    ("a@cnam.fr", "local-domain cnam.fr"),
    ("a@CNAM.FR.", "local-domain cnam.fr"),
    ("a@example.net", "local-domain Example.NET."),
    ("a@sub.cnam.fr", NOBODY),
    ("a@xcnam.fr", NOBODY),
    ("a@x.below.example", "local-domain .below.example"),
    ("a@x.y.below.example", "local-domain .below.example"),
    ("a@below.example", NOBODY),
    ("a@x.star.example", "local-domain *.star.example"),
    ("a@victim.example;x.star.example", NOBODY),
    ("a@victim.example\0.star.example", NOBODY),
    ("a@.star.example", NOBODY),
    ("a@xn--bcher-kva.example", "local-domain bücher.example"),
    ("a@BÜCHER.example", "local-domain bücher.example"),
    ("a@bücher。example", "local-domain bücher.example"),
    ("a@xn--strae-oqa.example", "local-domain straße.example"),
    ("a@strasse.example", NOBODY),
    ("a@ｃnam.fr", "local-domain cnam.fr"),
    ("a@сnam.fr", NOBODY),
    ("a@at.example", "local-domain at.example"),
    ("postmaster", "no domain"),
    ("Postmaster", "no domain"),
    ("", "no domain"),
    ("a@", "no domain"),
    ("a@[192.0.2.25]", "local-domain [192.0.2.25]"),
    ("a@[IPv6:2001:db8:0:0::25]", "local-domain [IPv6:2001:DB8::25]"),
    ("a@[IPv6:::ffff:192.0.2.25]", "local-domain [192.0.2.25]"),
    ("a@[192.0.2.1]", NOBODY),
    ("a@192.0.2.25", NOBODY),
    (f"a@[{SERVER}]", "address of the server"),
    ("a@[127.0.0.1]", "address of the server"),
    ("a@[IPv6:::1]", "address of the server"),
    ("a@[127.0.0.1", NOBODY),
    ("a@[x]", NOBODY),
    ("a@" + "ü" * 300, NOBODY),
    ("postmaster@other.example", NOBODY),
])
def test_whose_domain_it_is(path: str, rule: str) -> None:
    found = decided(path)
    assert (found.rule, found.local, found.allowed) == (rule, rule != NOBODY, rule != NOBODY)
    assert found.tricks == ()


@pytest.mark.parametrize(("path", "allowed", "host", "tricks"), [
    ("@relay.example,@two.example:a@cnam.fr", True, "cnam.fr", ["source route"]),
    ("@cnam.fr:a@victim.example", False, "victim.example", ["source route"]),
    ("@[192.0.2.25]:a@victim.example", False, "victim.example", ["source route"]),
    ("@[IPv6:2001:db8::25],@cnam.fr:a@victim.example", False, "victim.example", ["source route"]),
    ("@cnam.fr,b:a@victim.example", False, "victim.example", ["second @"]),
    ("a%victim.example@cnam.fr", False, "victim.example", ["percent hack"]),
    ("a%below%victim.example@cnam.fr", False, "victim.example", ["percent hack"]),
    ("a%victim.example%cnam.fr@cnam.fr", False, "victim.example", ["percent hack"]),
    ("a%victim.example", False, "victim.example", ["percent hack"]),
    ("a%cnam.fr@example.net", True, "cnam.fr", ["percent hack"]),
    ("a%victim.example@[192.0.2.25]", False, "victim.example", ["percent hack"]),
    ("victim.example!a", False, "victim.example", ["bang path"]),
    ("victim.example!a@cnam.fr", False, "victim.example", ["bang path"]),
    ("cnam.fr!victim.example!a@cnam.fr", False, "victim.example", ["bang path"]),
    ("cnam.fr!a", True, "cnam.fr", ["bang path"]),
    ("victim.example!a%cnam.fr@cnam.fr", False, "victim.example", ["bang path", "percent hack"]),
    ("cnam.fr!a%victim.example@cnam.fr", False, "victim.example", ["bang path", "percent hack"]),
    ("a@victim.example@cnam.fr", False, "victim.example", ["second @"]),
    ('"a@victim.example"@cnam.fr', False, "victim.example", ["quoted local part", "second @"]),
    ('"a@victim.example"', False, "victim.example", ["quoted local part", "second @"]),
    ('"a%victim.example"', False, "victim.example", ["quoted local part", "percent hack"]),
    ('"a\\@victim.example"@cnam.fr', False, "victim.example", ["quoted local part", "second @"]),
    ('a"@"victim.example@cnam.fr', False, "victim.example", ["quoted local part", "second @"]),
    ('a@"victim.example"', False, "victim.example", ["quoted local part", "second @"]),
    ('"a@cnam.fr"@victim.example', False, "victim.example", ["quoted local part", "second @"]),
    ('"a b"@cnam.fr', True, "cnam.fr", []),
    ("a%@cnam.fr", True, "", ["percent hack"]),
    ("@cnam.fr", True, "cnam.fr", []),
])
def test_where_a_path_leads_in_truth(path: str, allowed: bool, host: str, tricks: list[str]) -> None:
    """Every host that a server could send the mail on to must be allowed."""
    found = decided(path)
    assert (found.allowed, found.host, list(found.tricks)) == (allowed, host, tricks)


@pytest.mark.parametrize(("given", "rule"), [
    ({}, NOBODY),
    ({"authenticated": True}, "authenticated"),
    ({"authenticated": True, "no_auth_relay": True}, NOBODY),
    ({"trusted_network": ["203.0.113.0/24"]}, "trusted-network 203.0.113.0/24"),
    ({"trusted_network": ["203.0.113.1"]}, "trusted-network 203.0.113.1"),
    ({"trusted_network": ["!203.0.113.1", "203.0.113.0/24"]}, NOBODY),
    ({"trusted_network": ["203.0.113.0/24", "!203.0.113.1"]}, "trusted-network 203.0.113.0/24"),
    ({"trusted_network": ["0.0.0.0/0"], "client": "::ffff:10.0.0.1"}, "trusted-network 0.0.0.0/0"),
    ({"trusted_network": ["fe80::/10"], "client": "fe80::1%eth0"}, "trusted-network fe80::/10"),
    ({"trusted_network": ["[2001:db8::]/32"], "client": "2001:db8::1"}, "trusted-network [2001:db8::]/32"),
    ({"trusted_network": ["::/0"]}, NOBODY),
    ({"trusted_network": ["10.0.0.0/8"], "client": "?"}, NOBODY),
    ({"relay_domain": ["victim.example"]}, "relay-domain victim.example"),
    ({"relay_domain": [".example"]}, "relay-domain .example"),
    ({"relay_recipient": ["A@Victim.example"]}, "relay-recipient A@Victim.example"),
    ({"relay_recipient": ["victim.example"]}, "relay-recipient victim.example"),
    ({"relay_recipient": ["b@victim.example"]}, NOBODY),
    ({"relay_sender": ["<>"]}, "relay-sender <>"),
    ({"relay_sender": ["boss@cnam.fr"], "sender": "Boss@CNAM.fr"}, "relay-sender boss@cnam.fr"),
    ({"relay_sender": ["cnam.fr"], "sender": "boss%cnam.fr@x.example"}, NOBODY),
    ({"relay_sender": [".cnam.fr"], "sender": "boss@lab.cnam.fr"}, "relay-sender .cnam.fr"),
    ({"relay_sender": ["boss@cnam.fr"]}, NOBODY),
])
def test_who_may_relay(given: dict[str, Any], rule: str) -> None:
    found = decided("a@victim.example", **given)
    assert (found.local, found.allowed, found.rule) == (False, rule != NOBODY, rule)


def test_a_way_through_a_relay_domain_must_end_in_one() -> None:
    """Postfix: no sender-specified routing through what one relays for."""
    assert decided("a%inner.example@outer.example", relay_domain=["outer.example", "inner.example"]).allowed
    assert decided("a%cnam.fr@outer.example", relay_domain=["outer.example"]).allowed
    found = decided("a%victim.example@outer.example", relay_domain=["outer.example"])
    assert (found.allowed, found.host) == (False, "victim.example")
    assert not decided("a%victim.example@outer.example", relay_recipient=["outer.example"]).allowed


@pytest.mark.parametrize("domain", ["", "@", "a b", "a@b", "*", ".", "a.*.b", "a,b", "[300.1.2.3]", "*.[192.0.2.1]", "a..b"])
def test_what_is_no_domain_is_refused(domain: str) -> None:
    with pytest.raises(OptionError, match=r"--relay-domain .*: not a domain"):
        Domains("--relay-domain", [domain])


@pytest.mark.parametrize(("network", "told"), [
    ("10.0.0.1/8", "not a network; was 10.0.0.0/8 meant"), ("!10.0.0.1/8", "was 10.0.0.0/8 meant"), ("x", "write 192.0.2.0/24"),
    ("", "write 192"), ("10.0.0.0/33", "write 192"), ("1" * 5000, "write 192"),
])
def test_what_is_no_network_is_refused(network: str, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        Networks("--trusted-network", [network])


@pytest.mark.parametrize("address", ["a@b c", "a@", "a@*", "", "x y"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(OptionError, match="not a"):
        Addresses("--relay-sender", [address])


@pytest.mark.parametrize("options", [{"no-auth-relay": True}, {"enforce-relay": True}])
def test_an_exception_needs_a_policy(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="which policy"):
        RelayPlugin().configure(Options(options))


def test_the_options_are_declared() -> None:
    parser = OptionParser("relay")
    RelayPlugin().add_options(parser)
    assert [(option.name, option.multiple) for option in parser.options] == [
        ("local-domain", True), ("relay-domain", True), ("trusted-network", True), ("relay-recipient", True),
        ("relay-sender", True), ("no-auth-relay", False), ("enforce-relay", False)]


@pytest.mark.parametrize(("local", "allowed", "status", "enhanced", "transaction", "expected"), [
    (True, True, "250", "", True, ("local_accepted", "info")),
    (True, True, "251", "", True, ("local_accepted", "info")),
    (True, True, "550", "5.7.1", True, ("refused_local", "low")),
    (True, True, "550", "", True, ("refused_local", "low")),
    (True, True, "550", "5.1.1", True, ("refused_local", "info")),
    (True, True, "450", "4.2.0", True, ("refused_local", "info")),
    (True, True, "501", "", True, ("refused_local", "info")),
    (True, True, "503", "", False, ("not_judged", "info")),
    (False, True, "250", "", True, ("relay_allowed", "info")),
    (False, True, "554", "5.7.1", True, ("refused_local", "low")),
    (False, False, "250", "", True, ("open_relay", "high")),
    (False, False, "250", "", False, ("open_relay", "high")),
    (False, False, "252", "", True, ("open_relay", "high")),
    (False, False, "550", "", True, ("relay_refused", "info")),
    (False, False, "354", "", True, ("relay_refused", "info")),
    (False, False, "503", "", False, ("not_judged", "info")),
    (True, True, "", "", True, ("refused_local", "low")),
])
def test_what_the_server_did(local: bool, allowed: bool, status: str, enhanced: str, transaction: bool,
                             expected: tuple[str, str]) -> None:
    assert outcome(Decision(local, allowed, "", ""), status, enhanced, transaction) == expected


@given(st.text(st.sampled_from('@%!",:\\[]<>. aü\0') | st.characters()))
def test_no_path_raises(path: str) -> None:
    read(path)
    decided(path, relay_domain=[".example"], relay_recipient=["a@b.example"], sender=path, relay_sender=["a@b.example"])


@given(st.text(st.sampled_from('a@%!".cnfr\\')), st.sampled_from(["%s%%victim.example@cnam.fr", "victim.example!%s@cnam.fr",
                                                                 "%s@victim.example@cnam.fr", '"%s@victim.example"@cnam.fr']))
def test_nothing_before_it_hides_a_host(before: str, form: str) -> None:
    """Whatever stands at the user's place, mail to the victim is never taken for local."""
    found = decided(form % before)
    assert not found.allowed


@given(st.text(max_size=80))
def test_what_is_compared_stays_as_it_is(domain: str) -> None:
    once = comparable(domain)
    assert comparable(once) == once or not domain.isascii() or ".." in domain or domain != domain.strip()


@pytest.mark.parametrize("path", [
    *(character * size for character in '@%!"\\[' for size in (999, 4096)), "@a," * 1400 + ":", "ü" * 4096 + "@" + "ü." * 120,
    "a@" + "." * 4096, "a@" + "a." * 500])
def test_a_path_of_any_length_names_few_hosts(path: str) -> None:
    """What is left past them is nobody's."""
    found = read(path)
    assert len(found.hosts) <= HOSTS + 1
    assert found.hosts[HOSTS:] in ((), ("?",))
    decided(path)


def test_other_pdus_cost_nothing() -> None:
    class Untouchable:
        def __getattr__(self, name: str) -> Any:
            pytest.fail(name)

    plugin = RelayPlugin()
    plugin.configure(Options({"local-domain": ["cnam.fr"]}))
    assert plugin.idle == {"judge_pdu"}
    pdu = PDU(1, Direction.CLIENT_TO_SERVER, Kind.COMMAND, "", "DATA", "", b"", 0, 0, 0)
    plugin.pdu_seen(pdu, Untouchable())  # type: ignore[arg-type]
