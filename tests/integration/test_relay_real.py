"""A policy in front of Postfix: what Postfix decides by itself, and what mailspy decides for it."""

from __future__ import annotations

import smtplib
import subprocess
from pathlib import Path

import pytest

from .conftest import BothWays, Proxied
from .harness import Run, command, environment, parsed
from .servers import HOME, HOP, USERS, Postfix
from .test_smtp_real import MICHEL, PIERRE, hello

FOREIGN = "x@elsewhere.example"


@pytest.fixture
def policed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy of that Postfix, for every mailspy that is started here, replays too."""
    monkeypatch.setenv("MAILSPY_LOCAL_DOMAIN", f"{HOME} {HOP}")


FORMS = (PIERRE, "postmaster", FOREIGN, f"x%elsewhere.example@{HOME}", f"elsewhere.example!x@{HOME}",
         f"x@elsewhere.example@{HOME}", f'"x@elsewhere.example"@{HOME}', f"@{HOME}:x@elsewhere.example",
         f"@elsewhere.example:{PIERRE}", "elsewhere.example!x", '"x%elsewhere.example"', "x@[192.0.2.1]")
"""Recipients in all forms."""


def session(port: int) -> bytes:
    """One mail to all of them, pipelined; what Postfix says, without a letter."""
    with hello(port) as line:
        line.say(f"MAIL FROM:<{MICHEL}>\r\n".encode() + b"".join(f"RCPT TO:<{form}>\r\n".encode() for form in FORMS)
                 + b"RSET\r\nQUIT\r\n")
        return line.rest()


@pytest.mark.usefixtures("policed")
def test_postfix_and_the_policy_agree(both_ways: BothWays, postfix: Postfix) -> None:
    """In every form that Postfix refuses to relay, the policy forbids it too."""
    run: Run = both_ways(postfix.smtp, session, dissected="smtp")
    told = {event["recipient"]: event for event in run.events("policy")}
    assert len(told) == len(FORMS)
    assert [form for form, event in told.items() if event["accepted"] != event["allowed"]] == []
    assert {event["verdict"] for event in told.values()} == {"local_accepted", "relay_refused"}


@pytest.mark.usefixtures("policed")
def test_what_is_enforced_never_reaches_postfix(proxied: Proxied, postfix: Postfix, monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter to two recipients, one forbidden: the other gets it, and Postfix has never heard of the first."""
    monkeypatch.setenv("MAILSPY_ENFORCE_RELAY", "1")
    postfix.empty()
    before = postfix.daemon.log.read_text(errors="replace").count(FOREIGN)
    with proxied(postfix.smtp, dissected="smtp") as run, \
            smtplib.SMTP("127.0.0.1", run.port, local_hostname="client.example", timeout=10) as smtp:
        refused = smtp.sendmail(MICHEL, [FOREIGN, PIERRE], b"Subject: x\r\n\r\nhello\r\n")
    assert refused == {FOREIGN: (550, b"5.7.1 relaying denied by mailspy")}
    assert len(postfix.stored("pierre")) == 1
    assert postfix.daemon.log.read_text(errors="replace").count(FOREIGN) == before
    assert [(event["verdict"], event["enforced"]) for event in run.events("policy")] == [
        ("relay_refused", True), ("local_accepted", False)]


@pytest.mark.usefixtures("policed")
def test_who_has_logged_in_may_relay(proxied: Proxied, postfix: Postfix, monkeypatch: pytest.MonkeyPatch) -> None:
    """mailspy lets it pass; this Postfix does not relay for anybody, which is told."""
    monkeypatch.setenv("MAILSPY_ENFORCE_RELAY", "1")
    with proxied(postfix.auth, dissected="smtp") as run, \
            smtplib.SMTP("127.0.0.1", run.port, local_hostname="client.example", timeout=10) as smtp:
        smtp.ehlo()
        smtp.mail(MICHEL)
        smtp.rcpt(FOREIGN)
        smtp.rset()
        smtp.login("natkin", USERS["natkin"])
        smtp.mail(MICHEL)
        smtp.rcpt(FOREIGN)
    assert [(event["verdict"], event["rule"], event["enforced"]) for event in run.events("policy")] == [
        ("relay_refused", "no local-domain matches", True), ("refused_local", "authenticated", False)]


def test_postfix_is_tested(postfix: Postfix, tmp_path: Path) -> None:
    """`relay-test` asks Postfix in every form; it relays in none, and has got no letter."""
    policy = tmp_path / "policy.toml"
    policy.write_text(f'local-domain = ["{HOME}", "{HOP}"]\n')
    logged = postfix.daemon.log.read_text(errors="replace")
    done = subprocess.run([*command(), "relay-test", f"127.0.0.1:{postfix.smtp.port}", "--policy", str(policy), "--json"],
                          cwd=tmp_path, env=environment(tmp_path), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    found = parsed(done.stdout.decode())
    assert len(found) >= 19
    assert {row["verdict"] for row in found} == {"relay_refused"}
    news = postfix.daemon.log.read_text(errors="replace").removeprefix(logged)
    assert "NOQUEUE: reject: RCPT" in news
    assert "postfix/cleanup" not in news


def test_a_postfix_that_relays_is_found(postfix: Postfix, tmp_path: Path) -> None:
    """The same Postfix has local users in the eyes of a policy that knows fewer domains: what it accepts is a breach."""
    policy = tmp_path / "policy.toml"
    policy.write_text('local-domain = ["other.example"]\n')
    done = subprocess.run([*command(), "relay-test", f"127.0.0.1:{postfix.smtp.port}", "--policy", str(policy), "--json",
                           "--recipient", PIERRE], cwd=tmp_path, env=environment(tmp_path), capture_output=True, timeout=60,
                          check=False)
    assert done.returncode == 1, done.stderr.decode()
    opened = [row["form"] for row in parsed(done.stdout.decode()) if row["verdict"] == "open_relay"]
    assert "stranger to stranger" in opened
