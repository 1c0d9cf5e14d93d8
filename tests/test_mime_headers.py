"""What a header says to programs: addresses, dates, references, the way the message went."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailspy_mime.addresses import mailboxes
from mailspy_mime.dates import seconds, utc
from mailspy_mime.limits import ADDRESSES, HOPS
from mime_kit import crlf, cuttings, read

ADDRESSES_READ = {
    "a@b.c": [("", "a@b.c")],
    "Al Ice <a@b.c>": [("Al Ice", "a@b.c")],
    '"Ice, Al" <a@b.c>': [("Ice, Al", "a@b.c")],
    r'"Al \"the\" Ice" <a@b.c>, b@c': [('Al "the" Ice', "a@b.c"), ("", "b@c")],
    "=?utf-8?q?Andr=C3=A9?= <a@b.c>": [("André", "a@b.c")],
    "a@b.c (Al Ice)": [("Al Ice", "a@b.c")],
    "Al (the (real) one) Ice <a@b.c>": [("Al Ice", "a@b.c")],
    "<a@b.c>": [("", "a@b.c")],
    "a@b.c, , d@e.f,": [("", "a@b.c"), ("", "d@e.f")],
    "Al Ice": [("Al Ice", "")], "Al Ice a@b.c": [("Al Ice", "a@b.c")], "root": [("", "root")],
    '"a b"@c.d': [("", '"a b"@c.d')],
    "<@x,@y:a@b.c>": [("", "@x,@y:a@b.c")],
    "unclosed <a@b.c": [("unclosed", "a@b.c")],
    "(": [], "<>": [("", "")], "": [], ",;:": [],
    "a @ b.c": [("", "a@b.c")],
}


@pytest.mark.parametrize("value", ADDRESSES_READ)
def test_addresses(value: str) -> None:
    """RFC 5322 §3.4, and what else is met."""
    found, more = mailboxes(value)
    assert [(one["name"], one["address"]) for one in found] == ADDRESSES_READ[value]
    assert not more


def test_a_group_names_its_members() -> None:
    """RFC 5322 §3.4: an empty one has none."""
    found, _ = mailboxes("Friends: a@b, Bob <b@c>; Nobody:; c@d")
    assert found == [{"name": "", "address": "a@b", "group": "Friends"}, {"name": "Bob", "address": "b@c", "group": "Friends"},
                     {"name": "", "address": "c@d"}]


def test_addresses_are_bounded() -> None:
    """A group of a hundred thousand."""
    message = read(b"To: all:" + b"a@b," * 100_000 + b";\r\n\r\n")
    assert len(message.told()["addresses"]["to"]) == ADDRESSES
    assert message.doubts == [("mime_limit", "message 1: more than 10000 addresses: to")]


@given(st.text(alphabet='ab@.,;:<>()"\\ \t=?é\0', max_size=60))
def test_any_list_is_read(value: str) -> None:
    """Nothing raises."""
    found, _ = mailboxes(value)
    assert all(isinstance(one["address"], str) for one in found)


DATES = {
    "Mon, 23 Nov 2026 14:00:00 +0100": "2026-11-23T13:00:00Z",
    "23 Nov 2026 14:00 -0000": "2026-11-23T14:00:00Z",
    "Mon, 23 Nov 2026 14:00:00 -0730 (somewhere)": "2026-11-23T21:30:00Z",
    "Mon, 23 Nov 98 14:00:00 EST": "1998-11-23T19:00:00Z",
    "Mon Nov 23 14:00:00 2026": "2026-11-23T14:00:00Z",
    "  1 jan 2000 00:00:00 +0000": "2000-01-01T00:00:00Z",
    "yesterday": "", "": "", "32 Nov 2026 14:00:00 +0000": "", "1 Foo 2026 14:00:00 +0000": "",
    "1 Nov 99999999999 14:00:00 +0000": "", "1 Jan 0001 00:00:00 +2359": "",
}


@pytest.mark.parametrize("value", DATES)
def test_dates(value: str) -> None:
    """RFC 5322 §3.3 and §4.3."""
    assert utc(seconds(value)) == DATES[value]


@given(st.text(alphabet="0123456789 :+-,JanFebMon\t\0é", max_size=50))
def test_any_date_is_read(value: str) -> None:
    """Nothing raises."""
    assert len(utc(seconds(value))) in {0, 20}


CHAIN = crlf("""\
Received: from mx.example.net (mx.example.net [192.0.2.7])
\tby mda.example.net (Postfix) with LMTP id 3
\tfor <bob@example.net>; Mon, 23 Nov 2026 10:00:05 +0000 (UTC)
Received: from mta.example.org ([IPv6:2001:db8::1] (helo=x))
\tby mx.example.net with ESMTPS id 2; Mon, 23 Nov 2026 11:00:04 +0100
Received: by mta.example.org; nonsense
Received: from alice.home by mta.example.org with ESMTPSA id 1; Mon, 23 Nov 2026 10:00:01 +0000
Date: Mon, 23 Nov 2026 09:59:59 +0000
Message-ID: <4@example.org>
In-Reply-To: <3@example.net>
References: <1@example.org> <2@example.net>
\t<3@example.net>

Hello.
""")


def test_the_way_of_a_message() -> None:
    """The chain of MTAs, the oldest first, each with its delay; what a server wrote wrongly has none."""
    for pieces in cuttings(CHAIN):
        told: dict[str, Any] = read(pieces).told()
        assert told["hops"] == [
            {"from": "alice.home", "by": "mta.example.org", "with": "ESMTPSA", "id": "1", "date": "2026-11-23T10:00:01Z",
             "delay": 2},
            {"by": "mta.example.org", "date": "", "delay": None},
            {"from": "mta.example.org", "by": "mx.example.net", "with": "ESMTPS", "id": "2", "ip": "2001:db8::1",
             "date": "2026-11-23T10:00:04Z", "delay": None},
            {"from": "mx.example.net", "by": "mda.example.net", "with": "LMTP", "id": "3", "for": "<bob@example.net>",
             "ip": "192.0.2.7", "date": "2026-11-23T10:00:05Z", "delay": 1},
        ]
        assert told["date_utc"] == "2026-11-23T09:59:59Z"
        assert told["in_reply_to"] == ["<3@example.net>"]
        assert told["references"] == ["<1@example.org>", "<2@example.net>", "<3@example.net>"]


def test_a_loop_is_read_up_to_a_limit() -> None:
    """More hops than any server allows."""
    message = read(b"Received: by a\r\n" * 1000 + b"\r\n")
    assert len(message.told()["hops"]) == HOPS
    assert message.doubts == [("mime_limit", "message 1: more than 100 Received fields")]
