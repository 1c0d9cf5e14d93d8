"""`replay(capture(live)) == live`, for random dialogues, cuttings and judges; `benchmarks/replay.py` plays more of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from telling import FOLLOW, PASS, REFUSE, SERVE, Plan, difference, planned

FLOWS = 40
"""Flows of one test."""


def mail(number: int) -> Plan:
    """That flow, of a protocol that is known, with its secrets."""
    plan = planned(number)
    return plan._replace(protocol=plan.protocol if plan.protocol in ("smtp", "lmtp", "pop3") else "smtp", keeps=True, policy=PASS)


SMALL = "few may wait"
"""How the names of flows begin that meet small limits."""

KINDS: dict[str, Plan] = {name: Plan(protocol, steps, judge, PASS, small=name.startswith(SMALL), keeps=False, tls="fails")
                         for name, protocol, judge, steps in (
    ("a reply with what comes back", "smtp", None, [(False, b"220 mx\r\n"), (True, b"XPASS hunter2\r\n"),
                                                    (False, b"500 what is hunter2 ** ?\r\n")]),
    ("a reply of several lines", "smtp", None, [(False, b"220 mx\r\n"), (True, b"hunter2 now\r\n"),
                                                (False, b"500-what\r\n500-hunter2\r\n500 now or never\r\n")]),
    ("its last line without an end", "smtp", None, [(False, b"220 mx\r\n"), (True, b"hunter2\r\n"),
                                                    (False, b"500-x\r\n500-hunter2")]),
    ("a line without an end", "pop3", None, [(False, b"+OK\r\n"), (True, b"PASS hunter2\r\n"), (False, b"-ERR hunter2")]),
    ("mailspy's own words", "smtp", (490784207, 20), [(True, b"the now\r\nBDAT 5\r\n"), (False, b"354 go\r\n334 \r\n"),
                                                      (True, b"Pass the salt\r\n"), (False, b"220 mx\r\n")]),
    ("a line that began before the secret", "pop3", None, [(False, b"+OK\r\n-ERR hunt"), (True, b"PASS hunter2\r\n"),
                                                           (False, b"er2 hunter2\r\n")]),
    ("a half line that the secret repeats", "smtp", None, [(True, b"STA"), (False, b"STA"), (True, b">")]),
    ("one that was masked before another secret", "pop3", None, [
        (False, b"+OK\r\n"), (True, b"PASS hunter2\r\n"), (False, b"-ERR hunter2 "), (True, b"PASS monpass\r\n"),
        (False, b"monpass\r\n-ERR\r\n")]),
    ("what nobody reads", "", None, [(True, b"WHAT now\r\n"), (False, b"what\r\n")]),
    ("a clear line where a record is due", "smtp", None, [
        (False, b"220 mx\r\n"), (True, b"hunter2\r\nSTARTTLS\r\n"), (False, b"500 no\r\n220 go\r\nwhat is hunter2\r\nhunter2")]),
    ("half a line while AUTH waits", "smtp", None, [(True, b"AUTH LOGIN\r\nSTAT"), (False, b"235 in\r\n")]),
    ("half a line, then its rest", "smtp", None, [(False, b"220 mx\r\n"), (True, b"AUTH LOGIN\r\nNO"), (False, b"235 in\r\n"),
                                                  (True, b"OP\r\nNOOP\r\n"), (False, b"250 ok\r\n250 ok\r\n")]),
    ("half a response", "pop3", None, [(True, b"AUTH LOGIN\r\n"), (False, b"+ \r\n"), (True, b"P"), (False, b"+OK\r\n")]),
    ("half a response, then its rest", "pop3", None, [
        (False, b"+OK\r\n"), (True, b"AUTH LOGIN\r\n"), (False, b"+ \r\n"), (True, b"STA"), (False, b"+OK\r\n"),
        (True, b"T\r\nSTAT\r\n"), (False, b"+OK 0 0\r\n+OK 0 0\r\n")]),
    ("a blank while AUTH waits", "pop3", None, [(True, b"AUTH F\n\n "), (False, b"+\n"), (True, b"\n"), (False, b"+OK\n")]),
    ("half a line in pieces", "lmtp", None, [(True, b"AUTH STA\n"), (False, b"ST"), (False, b"A")]),
    ("a greeting that another stands for", "", (72101276, 3), [(False, b"220 mx\r\n"), (True, b"USER a\r\n")]),
    ("half a greeting that a judge waits for", "", (378808519, 20), [(False, b"2")]),
    ("half a reply that the client speaks into", "smtp", None, [(False, b"\0"), (True, b"220 mx ESMTP\r\n"),
                                                                (False, b"220 mx ESMTP\r\n")]),
    ("a reply of which the first line waits for the last", "smtp", (383764891, 6), [
        (True, b"M:<a@b> SIZE=9 BODY=8BITMIME\r\n"), (False, b"250-SIZE\r\n250"), (False, b"\r\n")]),
    ("another reply in the place of one with what comes back", "smtp", (501003529, 6), [
        (True, b"a" * 700 + b"\r\n"), (False, b"a" * 700 + b"\r\n")]),
    ("a longer line in the place of one that came too early", "", (576632791, 6), [
        (False, b"220 mx\r\n"), (True, b"AUTH LOGIN\r\nUIDL\r\nLHLO c\r\n"), (False, b"220 mx\r\n")]),
    ("few may wait, and some of what came while AUTH waited is read", "smtp", None, [
        (True, b"AUTH LOGIN bmF0\r\n\n"), (False, b"250"), (True, b"\n\n\n\n\nAUT"), (False, b"\n2"), (True, b"H"),
        (False, b"235\n235\n250\n25"), (True, b"\n\x16"), (False, b"4\n")]),
    ("few may wait, and what reads as AUTH came while AUTH waited", "smtp", None, [
        (True, b"AUTH PLAIN AGEAYg==\r\nAPOP a c4c9334bac560ecc979e58001b3e22fb\r\nLHLO c\r\n\r\n.\r\n"), (False, b"334 \r\n"),
        (True, b"x\r\n..y\r\n.\r\nAUTH LOGIN bmF0\r\n"), (False, b"250 ok\r\n354 go\r\n250 ok\r\n250 ok\r\n"), (True, b".\r\n"),
        (False, b"334 \r\n")]),
    ("half a line when the server ends and a judge ends the flow", "smtp", (260716629, 6), [
        (False, b"220 mx\r\n* OK hi"), "server ends", (True, b"STAT\r\n")]),
    ("a clear line where a record is due, to a client that nobody reads", "pop3", None, [
        (False, b"+OK\r\n"), (True, b"STLS\r\n"), (False, b"+OK\r\n"), (True, b"\x16\x03\r\nWHAT now\r\n"), (True, b".\r\n"),
        (False, b"what\r\n")]),
    ("a reply that judges hold while its client says what it repeats", "lmtp", (20320300, 20), [
        (False, b"250-mx\r\nhel\r\n"), (True, b"hello\r\n"), (False, b"250 ok\r\n")]),
    ("half of its last line, too", "lmtp", (20320300, 20), [
        (False, b"250-mx\r\n250 hel"), (True, b"hello\r\n"), (False, b"lo ok\r\n")]),
    ("a reply that one secret masks, then another before it", "lmtp", (20320300, 20), [
        (True, b"second\r\n"), (False, b"250-mx first second\r\n"), (True, b"first\r\n"), (False, b"250 ok\r\n")]),
    ("data in TLS that nobody has agreed to yet", "smtp", None, [
        (False, b"220 mx\r\n"), (True, b"STARTTLS\r\n\x17\x03\x03\x00\x02ab"), (False, b"220 mx\r\n")]),
    ("few may wait, and too much comes while half a reply is held", "lmtp", (925347173, 6), [
        (False, b"451 later\r\n"), (True, b"AUTH PLAIN\r\n" + b"a" * 508)]),
    ("octets that are no record before the client goes on in the clear", "smtp", None, [
        (False, b"334 \r\n"), (True, b"RCPT TO:<c@d>\r\nSTARTTLS\r\n"), (False, b"220 mx\r\n\x16\r\n235 in\r\n"),
        (True, b"VRFY a\r\nSTARTTLS\r\n"), (False, b"235 in\r\n")]),
    ("a list of capabilities that answers a later command, and repeats a word", "smtp", (804751823, 20), [
        (True, b"STAT"), (False, b"220 mx\r\n"), (True, b": x\r\n\r\nLIST 1\r\nLHLO c\r\n"),
        (False, b"250 ok\r\n250-mx\r\n250 STARTTLS\r\n235 in\r\n")]),
    ("a line in the place of the first that tells the protocol", "imap", (5042760, 3), [(True, b"XCLIENT ADDR=1.2.3.4\r\n")]),
    ("half a reply before one that would begin TLS", "smtp", None, [
        (False, b"354 go\r\n"), (True, b"RSET\r\n"), (False, b"\x17\x03\x03\x00\x02ab"), (True, b"STARTTLS\r\n"),
        (False, b"220 mx\r\n")]),
    ("a blank line that was masked, to which a reply comes", "pop3", None, [
        (True, b"AUTH L\n "), (False, b"+OK"), (True, b"\n"), (False, b"\n+OK"), (True, b"T"), (False, b"+OK\n")]),
    ("half a line of the server's and a command answered in its place", "pop3", None, [
        (False, b"o"), (True, b"STLS\n"), (False, b" ")]),
    ("what comes of a line in which what a client said comes back", "smtp", None, [
        (True, b"Aut\n"), (False, b"334\nAUT"), (True, b"\n"), (False, b"250"), (False, b"\n")]),
    ("half a line before one of a TLS that judges do not see", "lmtp", (462705642, 20), [
        (True, b"STARTTLS\r\n"), (False, b"250 STARTTLS\r\n220 mx\r\nAUTH "), (True, b"MAIL FROM:<a@b>\r\n")]),
    ("a line of the reply that would begin TLS has left", "lmtp", None, [
        (False, b"220 mx\r\n"), (True, b"\rAUTH PLAIN\r\nSTARTTLS\r\n"), (False, b"250-mx\r\n"), (False, b"220 mx\r\n")]),
    ("a client that goes on after the flow was ended", "lmtp", None, [
        (False, b"220 mx\r\n."), (True, b"TOP 1 0\r\nSTARTTLS\r\n"), (False, b"220 mx\r\n"), (True, b"BDAT 5 LAST\r\n")]),
    ("AUTH twice before anybody knows the protocol", "", None, [
        (True, b"AUTH PLAIN\r\nAUTH PLAIN\r\n"), (False, b"235 in\r\n")]),
    ("few may wait, and what seems to be TLS is in a line", "pop3", None, [
        (True, b"\n\n\n LIST\r\nLHLO c\r\n\x16\x03\x01\x00\x05\x01elloAUTH LOGIN bmF0\r\nH"), (False, b"+OK\r\n+OK\r\n")]),
    ("half a line that is nearly a cancellation", "smtp", None, [(True, b"AUTH\n* "), (False, b"334 \r\n")]),
    ("two lines in the place of the first", "smtp", (653471593, 6), [(True, b"LIST 1\r\nNOOP\r\n")]),
    ("what was covered of a reply that never left", "lmtp", (730797907, 6), [
        (True, b"BDAT 5\r\n"), (False, b"."), (True, b"MAIL FROM:<a@b> SIZE=9 BODY=8BITMIME\r\n"),
        (False, b"250-mx\r\n250-SIZE\r\n")]),
    ("a line that began before the secret, and before anybody knew the protocol", "", None, [
        (True, b"2"), (False, b"!\x11\x00\x0c\x19"), (True, b"MAIL FROM:<a@b>\r\n"), (False, b"MAIL FROM:<a@b>\r\n"),
        (True, b"MAIL FROM:<a@b>\r\n")]),
    ("BDAT in the place of a line, when what follows is here", "smtp", (247632743, 6), [
        (True, b"STARTTLS\r\n"), (False, b"250 STARTTLS\r\n"), (True, b".\r\nAGEAYg==\r\n"), (False, b"354 go\r\n")]),
)}
"""Where a masked capture once told something else."""


@pytest.mark.parametrize("policy", [PASS, FOLLOW, REFUSE, SERVE], ids=["pass", "follow", "refuse", "serve"])
@pytest.mark.parametrize("name", KINDS)
def test_a_masked_capture_tells_what_live_told(name: str, policy, tmp_path: Path) -> None:
    """What is masked in a capture is masked in what is told, and nothing else is."""
    plan = KINDS[name]._replace(policy=policy)
    octets = [(step[0], step[1][at:at + 1]) for step in plan.steps if not isinstance(step, str) for at in range(len(step[1]))]
    for cut in (plan, plan._replace(steps=octets)):
        assert not difference(cut, tmp_path / "flow.pcapng"), cut


@pytest.mark.parametrize("made", [planned, mail], ids=["any protocol, with TLS, masked", "mail"])
@pytest.mark.parametrize("first", range(0, 400, FLOWS))
def test_replay_tells_what_live_told(first: int, made: Callable[[int], Plan], tmp_path: Path) -> None:
    """Every hook is called with the same, whatever judges say."""
    for number in range(first, first + FLOWS):
        plan = made(number)
        found = difference(plan, tmp_path / "flow.pcapng")
        assert not found, f"flow {number}: {plan}\n{found}"
