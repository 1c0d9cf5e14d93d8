"""What a judge has put in the place of a line is read as it leaves: the session is the one in which the peer had said it."""

from __future__ import annotations

import random

import pytest
from dialogue import LMTP, POP3, SMTP, Step, Witness, pieces

from inspector import Answer, Replace, Verdict
from inspector.gate import FlowGate
from inspector.pdu import C2S, MAILSPY, PDU, S2C, Address, Flow, Message
from inspector.pipeline import Pipeline
from inspector.session import Session


class Judging(Witness):
    """A witness that judges by a table: a line → what takes its place."""

    def __init__(self, verdicts: dict[bytes, Verdict]) -> None:
        super().__init__()
        self.verdicts = verdicts
        self.asked: list[bytes] = []

    def judge(self, subject: PDU | Message, session: Session) -> Verdict | None:
        if isinstance(subject, Message):
            return None
        self.asked.append(subject.raw)
        return self.verdicts.get(subject.raw)


def judged(protocol: str, steps: list[Step], verdicts: dict[bytes, Verdict], cut: str = "whole", seed: int = 0):
    """Plays the steps past judges: the witness, the session, and what reached the server and the client."""
    witness = Judging(verdicts)
    inspector = Pipeline(witness).open(Flow(1, Address("127.0.0.1", 1), Address("127.0.0.1", 2), 1_000_000, protocol))
    gate = FlowGate()
    inspector.judged_by(gate)
    chance, left, time = random.Random(seed), {True: b"", False: b""}, 1_000_000
    for direction, data in steps:
        time += 1000
        for piece in pieces(data, cut, chance):
            gate.came(direction is C2S, piece)
            inspector.feed(direction is C2S, piece, time)
            gate.take_turns()
            for client in (True, False):
                left[client] += gate.leaves(client)
    session = inspector.session
    inspector.end(C2S, time)
    inspector.end(S2C, time)
    return witness, session, left[True], left[False]


HELLO: list[Step] = [(S2C, b"220 mx\r\n"), (C2S, b"EHLO c\r\n"), (S2C, b"250-mx\r\n250 SIZE\r\n")]
SAID: dict[str, tuple[str, list[Step], dict[bytes, bytes]]] = {
    "sender and recipient": (SMTP, [
        *HELLO, (C2S, b"MAIL FROM:<a@b>\r\nRCPT TO:<x@y>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
        (S2C, b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"), (C2S, b"hi\r\n.\r\nQUIT\r\n"), (S2C, b"250 taken\r\n221 bye\r\n")],
        {b"MAIL FROM:<a@b>\r\n": b"MAIL FROM:<long.sender@example.org> SIZE=9\r\n", b"RCPT TO:<x@y>\r\n": b"RCPT TO:<p@q>\r\n"}),
    "a command becomes another": (SMTP, [
        *HELLO, (C2S, b"MAIL FROM:<a@b>\r\nDATA\r\n"), (S2C, b"250 ok\r\n250 reset\r\n"),
        (C2S, b"NOOP\r\n"), (S2C, b"250 ok\r\n")],
        {b"DATA\r\n": b"RSET\r\n"}),
    "a command becomes DATA": (SMTP, [
        *HELLO, (C2S, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nNOOP\r\n"), (S2C, b"250 ok\r\n250 ok\r\n354 go\r\n"),
        (C2S, b"hi\r\n.\r\n"), (S2C, b"250 taken\r\n")],
        {b"NOOP\r\n": b"DATA\r\n"}),
    "a reply of several lines": (SMTP, [*HELLO, (C2S, b"STARTTLS\r\n"), (S2C, b"454 no\r\n")],
                                 {b"250-mx\r\n250 SIZE\r\n": b"250-other.example\r\n250-SIZE 10\r\n250 STARTTLS\r\n"}),
    "a reply changes its mind": (SMTP, [
        *HELLO, (C2S, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"), (S2C, b"250 ok\r\n250 yes\r\n354 go\r\n"),
        (C2S, b"RSET\r\n"), (S2C, b"250 ok\r\n")],
        {b"250 yes\r\n": b"550 no such user\r\n", b"354 go\r\n": b"554 no valid recipients\r\n"}),
    "a greeting": (POP3, [(S2C, b"+OK hi\r\n"), (C2S, b"USER a\r\nPASS b\r\n"), (S2C, b"+OK\r\n+OK\r\n")],
                   {b"+OK hi\r\n": b"+OK another <1@x>\r\n"}),
    "a login": (POP3, [(S2C, b"+OK hi\r\n"), (C2S, b"USER a\r\nPASS secret\r\nSTAT\r\n"), (S2C, b"+OK\r\n+OK\r\n+OK 0 0\r\n")],
                {b"USER a\r\n": b"USER another\r\n", b"PASS secret\r\n": b"PASS x\r\n"}),
    "a retrieval": (POP3, [(S2C, b"+OK hi\r\n"), (C2S, b"RETR 1\r\n"), (S2C, b"+OK\r\nx\r\n.\r\n"),
                           (C2S, b"NOOP\r\n"), (S2C, b"+OK\r\n")],
                    {b"RETR 1\r\n": b"TOP 1 0\r\n"}),
    "no retrieval": (POP3, [(S2C, b"+OK hi\r\n"), (C2S, b"RETR 1\r\nNOOP\r\n"), (S2C, b"+OK\r\n+OK\r\n")],
                     {b"RETR 1\r\n": b"DELE 1\r\n"}),
    "a SASL response": (SMTP, [*HELLO, (C2S, b"AUTH PLAIN\r\n"), (S2C, b"334 \r\n"), (C2S, b"AGEAYg==\r\n"),
                               (S2C, b"501 cancelled\r\n"),
                               (C2S, b"NOOP\r\n"), (S2C, b"250 ok\r\n")], {b"AGEAYg==\r\n": b"*\r\n"}),
    "a challenge": (POP3, [(S2C, b"+OK hi\r\n"), (C2S, b"AUTH LOGIN\r\n"), (S2C, b"+ VXNlcg==\r\n"),
                           (C2S, b"NOOP\r\n"), (S2C, b"+OK\r\n")],
                    {b"+ VXNlcg==\r\n": b"-ERR not here\r\n"}),
    "LHLO": (SMTP, [(S2C, b"220 mx\r\n"), (C2S, b"HELO c\r\n"), (S2C, b"250 mx\r\n"),
                    (C2S, b"MAIL FROM:<a@b>\r\n"), (S2C, b"250 ok\r\n")],
             {b"HELO c\r\n": b"LHLO c\r\n"}),
    "an unknown word": (LMTP, [(S2C, b"220 mx\r\n"), (C2S, b"LHLO c\r\n"), (S2C, b"250 mx\r\n"), (C2S, b"WHAT\r\n"),
                               (S2C, b"250 ok\r\n")],
                        {b"WHAT\r\n": b"NOOP\r\n"}),
}


@pytest.mark.parametrize("name", SAID)
@pytest.mark.parametrize("cut", ["whole", "octets", "random"])
def test_what_leaves_is_what_is_read(name: str, cut: str) -> None:
    """As in a session without judges in which the peers had said so themselves."""
    protocol, steps, instead = SAID[name]
    verdicts = {line: Replace(raw) for line, raw in instead.items()}
    witness, session, to_server, to_client = judged(protocol, steps, verdicts, cut, 3)
    said = steps
    for line, raw in instead.items():
        assert sum(line in data for _, data in said) == 1
        said = [(way, data.replace(line, raw)) for way, data in said]
    plain, other, *_ = judged(protocol, said, {}, "whole")
    assert witness.told == plain.told
    assert witness.messages == plain.messages
    assert to_server == b"".join(data for way, data in said if way is C2S)
    assert to_client == b"".join(data for way, data in said if way is S2C)
    for member in ("phase", "client_state", "user", "authenticated", "transactions", "lmtp"):
        assert getattr(session, member, None) == getattr(other, member, None)
    assert {pdu.raw for pdu in witness.pdus if pdu.origin is MAILSPY} == set(instead.values())
    assert not set(instead.values()) & set(witness.asked)  # mailspy's own words are judged by nobody


@pytest.mark.parametrize("cut", ["whole", "octets", "random"])
def test_a_session_s_envelope_has_the_recipient_that_the_server_got(cut: str) -> None:
    """The one whose mail is delivered, and no other."""
    protocol, steps, instead = SAID["sender and recipient"]
    _, session, *_ = judged(protocol, steps[:-2], {line: Replace(raw) for line, raw in instead.items()}, cut)
    assert session.transaction.sender == "long.sender@example.org"
    assert [one.address for one in session.transaction.recipients] == ["p@q", "c@d"]


@pytest.mark.parametrize("cut", ["whole", "octets", "random"])
def test_no_answer_comes_into_the_middle_of_another_reply(cut: str) -> None:
    """A letter on its way to the client stays the letter that it is."""
    steps = [(S2C, b"+OK hi\r\n"), (C2S, b"RETR 1\r\nDELE 1\r\n"), (S2C, b"+OK\r\nSubject: x\r\n"), (S2C, b"\r\nhel"),
             (S2C, b"lo\r\n.\r\n")]
    witness, _, to_server, to_client = judged(POP3, steps, {b"DELE 1\r\n": Answer(b"-ERR kept\r\n")}, cut)
    assert to_server == b"RETR 1\r\n"
    assert to_client == b"+OK hi\r\n+OK\r\nSubject: x\r\n\r\nhello\r\n.\r\n-ERR kept\r\n"
    assert witness.messages == [(b"Subject: x\r\n\r\nhello\r\n", True)]
    assert [pdu.origin is MAILSPY for pdu in witness.pdus] == [False] * 5 + [True]


@pytest.mark.parametrize("cut", ["whole", "octets", "random"])
def test_a_reply_of_several_lines_waits_for_its_verdict(cut: str) -> None:
    """None of its lines leaves before the last was there."""
    steps = [(S2C, b"220 mx\r\n"), (C2S, b"EHLO c\r\n"), (S2C, b"250-mx\r\n"), (S2C, b"250-SIZE\r\n")]
    *_, to_client = judged(SMTP, steps, {}, cut)
    assert to_client == b"220 mx\r\n"


STRANDED = {
    "a response after AUTH": (SMTP, b"AUTH LOGIN\r\n", b"NOOP\r\n", b"bmF0\r\n"),
    "a response after AUTH, in POP3": (POP3, b"AUTH LOGIN\r\n", b"NOOP\r\n", b"bmF0\r\n"),
    "a chunk": (SMTP, b"BDAT 6\r\n", b"NOOP\r\n", b"QUIT\r\n"),
    "a chunk of another size": (SMTP, b"BDAT 6\r\n", b"BDAT 5\r\n", b"QUIT\r\n"),
    "a letter": (SMTP, b"DATA\r\n", b"NOOP\r\n", b"x\r\n.\r\n"),
    "commands": (SMTP, b"NOOP\r\n", b"DATA\r\n", b"QUIT\r\n"),
}


@pytest.mark.parametrize("name", STRANDED)
def test_what_followed_a_command_is_not_read_as_what_follows_another(name: str) -> None:
    """The flow is ended before any of both leaves; where it comes only later, its client has seen what it follows."""
    protocol, said, instead, behind = STRANDED[name]
    hello: list[Step] = HELLO if protocol is SMTP else [(S2C, b"+OK hi\r\n")]
    greeted = b"".join(data for way, data in hello if way is C2S)
    *_, to_server, _ = judged(protocol, [*hello, (C2S, said + behind)], {said: Replace(instead)})
    assert to_server == greeted
    if said[:4] == b"BDAT":
        return  # mailspy refuses it here: there is no recipient
    *_, to_server, _ = judged(protocol, [*hello, (C2S, said), (C2S, behind)], {said: Replace(instead)})
    assert to_server.startswith(greeted + instead)
    *_, to_server, _ = judged(protocol, [*hello, (C2S, said + behind)], {said: Replace(said.lower())})
    assert to_server.startswith(greeted + said.lower())
