"""The laws of the house: any octets in any cutting give the same PDUs, which are those octets, and nothing raises."""

from __future__ import annotations

import random

import pytest
from dialogue import LMTP, POP3, SMTP, Witness, check_tiles, play
from hypothesis import given
from hypothesis import strategies as st

from inspector.limits import Limits
from inspector.pdu import C2S, S2C
from inspector.protocols.pop3 import grammar as pop3
from inspector.protocols.smtp import grammar as smtp

WORDS = sorted({*pop3.COMMANDS, *smtp.COMMANDS})
FRAGMENTS = [b"\r\n", b"\n", b"\r", b".", b"\r\n.\r\n", b"\n.\n", b" ", b"\x00", b"\xff", b"*", b"+OK", b"-ERR", b"+ ", b"220 ",
             b"250-", b"250 ", b"354 ", b"334 ", b"550 ", b"1", b"5", b"LAST", b"FROM:<a@b>", b"TO:<c@d>", b"PLAIN", b"=",
             b"\x16\x03\x01\x00\x05", b"\x17\x03\x03", b"a" * 700, b"GET / HTTP/1.1", *WORDS]
OCTETS = st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=12)) | st.sampled_from(
    [word + b"\r\n" for word in WORDS] + [b"+OK\r\n", b"-ERR\r\n", b"250 ok\r\n", b"354 go\r\n", b"220 go\r\n"])
STEPS = st.lists(st.tuples(st.sampled_from([C2S, S2C]), OCTETS), max_size=40)
SMALL = Limits(line=300, reply=400, head=64, listing=64, held=500, unanswered=5, undecided=200)


def same(one: Witness, other: Witness) -> None:
    assert other.told == one.told
    assert other.messages == one.messages


@pytest.mark.parametrize("protocol", [POP3, SMTP, LMTP, "", "nonsense"])
@pytest.mark.parametrize("limits", [Limits(), SMALL], ids=["usual", "small"])
def test_pdus_are_the_octets_whatever_the_cutting(protocol: str, limits: Limits) -> None:
    """Law 2 and law 3, on any conversation."""

    @given(STEPS, st.integers(0, 2**16))
    def hold(steps, seed):
        whole = play(protocol, steps, limits=limits)
        same(whole, play(protocol, steps, "octets", limits))
        same(whole, play(protocol, steps, "random", limits, seed))
        for direction in (C2S, S2C):
            check_tiles(whole, direction, b"".join(data for way, data in steps if way is direction))

    hold()


@pytest.mark.parametrize("protocol", [POP3, SMTP, LMTP])
def test_random_octets_never_raise(protocol: str) -> None:
    """Whatever a peer sends; a thousand conversations of noise."""
    chance = random.Random(7)
    for _ in range(300):
        steps = [(chance.choice([C2S, S2C]), chance.randbytes(chance.randint(1, 200))) for _ in range(10)]
        witness = play(protocol, steps, "random", seed=chance.randint(0, 999))
        assert not any(name == "parser_fault" for name, _ in witness.anomalies)
