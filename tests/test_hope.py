"""What is expected of a long pipeline is made anew only as far as it changes, and is the same as if all of it were made anew."""

from __future__ import annotations

import pytest
from dialogue import LMTP, POP3, SMTP, play
from hypothesis import given
from hypothesis import strategies as st

import inspector.session
from inspector.limits import Limits
from inspector.machine import Machine
from inspector.pdu import C2S, S2C
from inspector.session import Session

PURE = str(inspector.session.__file__).endswith(".py")
pytestmark = pytest.mark.skipif(not PURE, reason="a compiled session cannot be watched")

CLIENT = {POP3: [b"USER a", b"PASS b", b"APOP a b", b"STAT", b"DELE 1", b"RETR 1", b"RSET", b"NOOP", b"QUIT", b"UTF8", b"CAPA"]}
CLIENT[SMTP] = CLIENT[LMTP] = [b"EHLO a", b"LHLO a", b"HELO a", b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>", b"RSET", b"NOOP", b"QUIT",
                               b"BDAT 0", b"BDAT 0 LAST", b"DATA", b"VRFY a", b"XCLIENT a"]
SERVER = {POP3: [b"+OK", b"-ERR", b"-ERR"]}
SERVER[SMTP] = SERVER[LMTP] = [b"250 a", b"550 a", b"503 a", b"354 a", b"421 a", b"220 a"]


def whole(self: Session, *machines: Machine) -> None:
    """The expectation, made anew from the first unanswered command to the last."""
    for machine in machines:
        machine.hope([exchange.verb for exchange in self.pending])


@pytest.mark.parametrize("protocol", [POP3, SMTP, LMTP])
def test_expectations_are_those_made_from_all(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = st.lists(st.one_of(st.tuples(st.just(C2S), st.sampled_from(CLIENT[protocol])),
                               st.tuples(st.just(S2C), st.sampled_from(SERVER[protocol]))), max_size=60)

    @given(steps, st.integers(0, 20))
    def hold(lines, pipelined):
        first = [(C2S, line) for way, line in lines if way is C2S][:pipelined]
        said = [(S2C, SERVER[protocol][0]), *first, *lines]
        dialogue = [(way, line + b"\r\n") for way, line in said]
        with monkeypatch.context() as patched:
            patched.setattr(Session, "hope", whole)
            wanted = play(protocol, dialogue).told
        assert play(protocol, dialogue).told == wanted

    hold()


@pytest.mark.parametrize(("protocol", "command", "reply"), [
    (SMTP, b"MAIL FROM:<a@b>\r\n", b"550 no\r\n"), (SMTP, b"RSET\r\n", b"550 no\r\n"), (POP3, b"USER a\r\n", b"-ERR\r\n"),
    (SMTP, b"EHLO a\r\n", b"550 no\r\n"), (SMTP, b"MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\n", b"550 no\r\n550 no\r\n")])
def test_a_refusal_does_not_go_through_all_that_waits(protocol, command, reply, monkeypatch: pytest.MonkeyPatch) -> None:
    """4,000 commands wait, and each that is refused is followed by another."""
    count = 0

    def announce(self: Machine, verb: str):
        nonlocal count
        count += 1
        return told(self, verb)

    told = Machine.announce
    monkeypatch.setattr(Machine, "announce", announce)
    waiting, turns = 500, 200
    steps = [(S2C, b"220 a\r\n" if protocol == SMTP else b"+OK\r\n"), (C2S, command * waiting)]
    steps += [(S2C, reply), (C2S, command)] * turns
    play(protocol, steps, limits=Limits())
    assert count < 20 * (waiting + turns)
