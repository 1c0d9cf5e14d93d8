"""Laws of pairing: on any dialogue that keeps to the standards nothing is odd and every pair is right; after any slide the pairs
are right again at the latest with the next code that says what it answers."""

from __future__ import annotations

import os
import random
from typing import NamedTuple

import pytest
from dialogue import LMTP, POP3, SMTP, Step, Witness, play

from inspector.pdu import C2S, S2C, Kind

MARKS = frozenset({"reply_misplaced", "unexpected_reply", "reply_without_command"})
SEEDS = int(os.environ.get("MAILSPY_SEEDS", "60"))
"""Dialogues of each kind; more by hand."""

REFUSALS = [b"421", b"450", b"451", b"452", b"500", b"501", b"502", b"503", b"550", b"552", b"554"]


class Said(NamedTuple):
    """One command with the truth about its reply."""

    line: bytes
    replies: list[bytes]
    sure: bool = False
    """Its code is no other command's."""


class Dialogue:
    """A random client and a random server that keep to the standards, in groups as RFC 2920 §3.1 has them."""

    def __init__(self, chance: random.Random, lmtp: bool, refusing: float = 0.2) -> None:
        self.chance, self.lmtp, self.refusing = chance, lmtp, refusing
        self.number = 0
        self.groups: list[list[Said]] = [[self.hello()]]
        for _ in range(chance.randint(1, 5)):
            self.groups += chance.choice([self.idle, self.idle, self.mail, self.mail, self.chunks])()
        self.groups.append([*self.idling(), Said(b"QUIT\r\n", [b"221 bye\r\n"], True)])

    def text(self) -> bytes:
        self.number += 1
        return b"n%d" % self.number

    def good(self, code: bytes) -> bytes:
        name = self.text()
        if self.chance.random() < 0.2:
            return b"%s-%s\r\n%s-more\r\n%s done\r\n" % (code, name, code, code)
        return b"%s %s\r\n" % (code, name)

    def bad(self) -> bytes:
        return self.good(self.chance.choice(REFUSALS))

    def said(self, line: bytes, code: bytes) -> Said:
        refused = self.chance.random() < self.refusing
        return Said(line, [self.bad() if refused else self.good(code)])

    def hello(self) -> Said:
        reply = b"250-%s\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250 CHUNKING\r\n" % self.text()
        return Said(b"LHLO c\r\n" if self.lmtp else b"EHLO c\r\n", [reply])

    def idling(self) -> list[Said]:
        chance = self.chance
        options = [lambda: self.said(b"RSET\r\n", b"250"), lambda: self.said(b"NOOP %s\r\n" % self.text(), b"250"),
                   lambda: self.said(b"VRFY %s\r\n" % self.text(), chance.choice([b"250", b"251", b"252"])),
                   lambda: self.said(b"HELP\r\n", chance.choice([b"211", b"214"])),
                   lambda: self.said(b"EXPN %s\r\n" % self.text(), chance.choice([b"250", b"252"])),
                   lambda: Said(b"%s\r\n" % chance.choice([b"", b"XYZZY", b"FOO bar"]), [b"500 what\r\n"])]
        return [chance.choice(options)() for _ in range(chance.randint(0, 3))]

    def idle(self) -> list[list[Said]]:
        return [self.idling()]

    def envelope(self) -> tuple[list[Said], int]:
        chance, said = self.chance, [Said(b"RSET\r\n", [self.good(b"250")]), Said(b"MAIL FROM:<s@x>\r\n", [self.good(b"250")])]
        recipients = [self.said(b"RCPT TO:<%s@x>\r\n" % self.text(), chance.choice([b"250", b"251"]))
                      for _ in range(chance.randint(1, 4))]
        return [*said, *recipients], sum(one.replies[0][:1] == b"2" for one in recipients)

    def ends(self, accepted: int) -> list[bytes]:
        return [self.bad() if self.chance.random() < self.refusing else self.good(b"250")
                for _ in range(accepted if self.lmtp else 1)]

    def mail(self) -> list[list[Said]]:
        envelope, accepted = self.envelope()
        if not accepted:
            return [[*envelope, Said(b"DATA\r\n", [b"503 nobody\r\n"])]]
        content = b"Subject: %s\r\n\r\n..\r\nhi\r\n.\r\n" % self.text()
        return [[*envelope, Said(b"DATA\r\n", [b"354 %s\r\n" % self.text()], True)],
                [Said(content, self.ends(accepted)), *self.idling()]]

    def chunks(self) -> list[list[Said]]:
        envelope, accepted = self.envelope()
        if not accepted:
            return [envelope]
        return [[*envelope, Said(b"BDAT 5\r\nhello", [self.good(b"250")]), Said(b"BDAT 3 LAST\r\n\r\n.", self.ends(accepted)),
                 *self.idling()]]


def steps(dialogue: Dialogue) -> list[Step]:
    """Greeting, and each group with its replies."""
    said: list[Step] = [(S2C, b"220 mx\r\n")]
    for group in dialogue.groups:
        said.append((C2S, b"".join(one.line for one in group)))
        said.append((S2C, b"".join(reply for one in group for reply in one.replies)))
    return [step for step in said if step[1]]


def paired(witness: Witness) -> list[tuple[bytes, bytes]]:
    """Each command with a reply to it, in the order of the replies."""
    return [(_whole(witness, pdu.command), pdu.raw) for pdu in witness.pdus if pdu.kind is Kind.REPLY and pdu.command is not None]


def _whole(witness: Witness, command) -> bytes:
    """A BDAT with its chunk, which is a PDU of its own."""
    at = witness.pdus.index(command)
    if command.verb == "BDAT" and command.kind is Kind.COMMAND:
        return command.raw + witness.pdus[at + 1].raw
    return command.raw


def truth(groups: list[list[Said]]) -> list[tuple[bytes, bytes]]:
    return [(one.line, reply) for group in groups for one in group for reply in one.replies]


@pytest.mark.parametrize("protocol", [SMTP, LMTP])
def test_where_servers_are_right_nothing_is_odd_and_all_pairs_are_right(protocol: str) -> None:
    """No false resynchronisation, in any cutting."""
    for seed in range(SEEDS):
        dialogue = Dialogue(random.Random(seed), protocol == LMTP)
        said = steps(dialogue)
        for cut in ("whole", "octets", "random"):
            witness = play(protocol, said, cut, seed=seed)
            assert not MARKS & {name for name, _ in witness.anomalies}, seed
            assert paired(witness) == truth(dialogue.groups), seed


def slipped(dialogue: Dialogue, chance: random.Random) -> tuple[list[Step], int]:
    """The same with one reply left out, doubled or added, and in which group."""
    places = [(group, number) for group, said in enumerate(dialogue.groups) for number, one in enumerate(said) if not one.sure]
    at, number = chance.choice(places)
    one = dialogue.groups[at][number]
    fault = chance.choice(["skipped", "doubled", "added"])
    if fault == "skipped":
        del one.replies[-1]
    else:
        one.replies.append(one.replies[-1] if fault == "doubled" and one.replies[-1][:1] == b"2" else b"250 surplus\r\n")
    return steps(dialogue), at


@pytest.mark.parametrize("protocol", [SMTP, LMTP])
def test_after_a_slide_the_pairs_are_right_again_with_the_next_sure_code(protocol: str) -> None:
    """From there on all of them, to the end; and the slide is told."""
    for seed in range(SEEDS):
        chance = random.Random(seed)
        dialogue = Dialogue(chance, protocol == LMTP, refusing=0)
        said, at = slipped(dialogue, chance)
        late = dialogue.groups[at:]
        first = next(number for number, group in enumerate(late) if any(one.sure for one in group))
        sure = next(number for number, one in enumerate(late[first]) if one.sure)
        right = truth([late[first][sure:], *late[first + 1:]])
        for cut in ("whole", "octets", "random"):
            witness = play(protocol, said, cut, seed=seed)
            assert paired(witness)[-len(right):] == right, (seed, cut)
            assert MARKS & {name for name, _ in witness.anomalies}, seed


# POP3

def maildrop(chance: random.Random) -> list[tuple[bytes, bytes]]:
    """Commands of a group with their replies, as RFC 1939 has them."""
    def one() -> tuple[bytes, bytes]:
        number, name = chance.randint(1, 9), b"n%d" % chance.randint(1, 999)
        command, reply = chance.choice([
            (b"NOOP", b"+OK"), (b"DELE %d" % number, b"+OK message %d deleted" % number),
            (b"RSET", b"+OK maildrop has 2 messages"), (b"STAT", b"+OK 2 320"), (b"LIST %d" % number, b"+OK %d 120" % number),
            (b"UIDL %d" % number, b"+OK %d %s" % (number, name)),
            (b"LIST", b"+OK 2 messages\r\n1 120\r\n2 200\r\n."), (b"UIDL", b"+OK\r\n1 %s\r\n." % name), (b"", b"-ERR what"),
            (b"CAPA", b"+OK\r\nTOP\r\nUIDL\r\n."), (b"RETR %d" % number, b"+OK\r\nSubject: %s\r\n\r\n+OK\r\n1 2\r\n." % name),
            (b"TOP %d 0" % number, b"+OK\r\nSubject: x\r\n\r\n."), (b"XYZZY", b"-ERR what")])
        return command + b"\r\n", (b"-ERR no" if chance.random() < 0.1 else reply) + b"\r\n"

    return [one() for _ in range(chance.randint(1, 5))]


LOGIN: list[Step] = [(S2C, b"+OK hello\r\n"), (C2S, b"USER a\r\n"), (S2C, b"+OK\r\n"), (C2S, b"PASS b\r\n"), (S2C, b"+OK in\r\n")]
LAST = [(b"RETR 77\r\n", b"+OK\r\nSubject: last\r\n\r\n.\r\n"), (b"STAT\r\n", b"+OK 2 320\r\n"), (b"QUIT\r\n", b"+OK bye\r\n")]


def asked(groups: list[list[tuple[bytes, bytes]]]) -> list[Step]:
    said = list(LOGIN)
    for group in groups:
        said += [(C2S, b"".join(command for command, _ in group)), (S2C, b"".join(reply for _, reply in group))]
    return [step for step in said if step[1]]


def statuses(witness: Witness) -> list[tuple[bytes, bytes]]:
    return [pair for pair in paired(witness) if pair[0][:4] not in (b"USER", b"PASS")]


def test_where_pop3_servers_are_right_nothing_is_odd_and_all_pairs_are_right() -> None:
    """No false resynchronisation by status or shape."""
    for seed in range(SEEDS):
        chance = random.Random(seed)
        groups = [*(maildrop(chance) for _ in range(chance.randint(1, 5))), LAST]
        for cut in ("whole", "octets", "random"):
            witness = play(POP3, asked(groups), cut, seed=seed)
            assert not MARKS & {name for name, _ in witness.anomalies}, seed
            assert statuses(witness) == [(command, reply.splitlines(keepends=True)[0])
                                         for group in groups for command, reply in group], seed


def test_after_a_reply_that_pop3_skipped_the_pairs_are_right_again_with_the_next_list() -> None:
    """The lines of a message are RETR's, whatever was counted before."""
    for seed in range(SEEDS):
        chance = random.Random(seed)
        single = [(b"NOOP\r\n", b"+OK\r\n"), (b"DELE 1\r\n", b"+OK gone\r\n"), (b"RSET\r\n", b"+OK\r\n"), (b"\r\n", b"")]
        first = [chance.choice(single) for _ in range(chance.randint(1, 4))]
        at = chance.randrange(len(first))
        first[at] = (first[at][0], b"")
        for groups in ([first, LAST], [[*first, *LAST]]):
            for cut in ("whole", "octets", "random"):
                witness = play(POP3, asked(groups), cut, seed=seed)
                assert statuses(witness)[-2:] == [(b"STAT\r\n", b"+OK 2 320\r\n"), (b"QUIT\r\n", b"+OK bye\r\n")], (seed, first)
                assert witness.messages[-1] == (b"Subject: last\r\n\r\n", True)
                assert "reply_misplaced" in {name for name, _ in witness.anomalies}
