"""Dialogues between clients and a server with mailspy between them, links and all, in one process and without sockets.

As a program it plays many, and tells what came of them:

    python tests/enforcement.py [DIALOGUES [FIRST]]

It ends with 1 where a forbidden recipient has arrived, and names the dialogues.
"""

from __future__ import annotations

import random
import re
import sys
from collections import Counter
from typing import Any

from hostile_clients import hostile, ordinary
from lenient import Server, Style, styles
from links import Pair
from mailspy_relay import RelayPlugin

from inspector import Options
from inspector.host import Hooks, Host
from inspector.pipeline import Pipeline

POLICY: dict[str, Any] = {"local-domain": ["cnam.fr", ".cnam.fr"], "enforce-relay": True, "no-auth-relay": True}
PIECES = 6
"""Pieces into which a write is cut at most."""


def pipeline() -> Pipeline:
    """One whose judge forbids all but the users of one domain."""
    host = Host(print)
    host.register("relay", RelayPlugin)
    host.configure(Options(POLICY))
    return Pipeline(Hooks(host, lambda head: ""), alarm=fail)


def fail(line: str) -> None:
    raise AssertionError(line)


class Dialogue:
    """One client, one server."""

    def __init__(self, pipe: Pipeline, style: Style, chance: random.Random, protocol: str = "smtp") -> None:
        self.pair = Pair(pipe, protocol, judged=True)
        self.server = Server(style)
        self._chance = chance
        self._seen = 0
        self._owed = self.server.greeting()

    def play(self, writes: list[bytes], patient: bool) -> Dialogue:
        """The client writes; `patient`: it waits for replies before each write, as honest clients do."""
        chance = self._chance
        if patient or chance.random() < 0.8:
            self._reply()
        for data in writes:
            for piece in self._pieces(data):
                if self.pair.over or self.pair.client.fate:
                    return self
                self.pair.c(piece)
                self._hear()
                if not patient and chance.random() < 0.5:
                    self._reply()
            if patient or chance.random() < 0.7:
                self._reply()
        self._reply()
        return self

    def _pieces(self, data: bytes) -> list[bytes]:
        chance = self._chance
        if len(data) < 2 or chance.random() < 0.5:
            return [data]
        cuts = sorted(chance.sample(range(1, len(data)), min(len(data) - 1, chance.randint(1, PIECES))))
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def _hear(self) -> None:
        """What has reached the server is read there."""
        sent = self.pair.server.sent
        if len(sent) > self._seen:
            fresh, self._seen = sent[self._seen:], len(sent)
            self._owed += self.server.feed(fresh)

    def _reply(self) -> None:
        """The server's replies come, and what they set free is read, until nothing moves."""
        self._hear()
        while self._owed and not self.pair.over and not self.pair.client.fate:
            owed, self._owed = self._owed, b""
            for piece in self._pieces(owed):
                if not self.pair.over and not self.pair.client.fate:
                    self.pair.s(piece)
            self._hear()


def forbidden(address: bytes) -> bool:
    """Whether an address leads to the victim: not where a change of the dialogue's has made it one below the domain that may."""
    return b"@victim" in address.lower() and re.fullmatch(rb"[^@]*@+[\w.-]*\.cnam\.fr\.?", address, re.IGNORECASE) is None


def count(told: Counter[str], dialogue: Dialogue) -> bool:
    """Adds a dialogue to the figures; False where a forbidden recipient has arrived."""
    arrived = dialogue.server.arrived
    found = [one for one in arrived if forbidden(one)]
    told["dialogues"] += 1
    told["recipients"] += len(arrived)
    told["forbidden"] += len(found)
    told["letters"] += dialogue.server.queued
    told["ended by mailspy"] += bool(dialogue.pair.client.fate) and not dialogue.server.feed(b"")
    return not found


def attacked(pipe: Pipeline, seed: int) -> Dialogue:
    """A hostile client before some server, by the number of the dialogue."""
    chance = random.Random(seed)
    style = styles(chance)
    return Dialogue(pipe, style, chance).play(hostile(chance), chance.random() < 0.3)


def main(many: int = 100_000, first: int = 0) -> int:
    """Plays so many hostile dialogues, and a tenth as many ordinary ones; tells the figures.  Gives the exit status."""
    pipe, told, plain = pipeline(), Counter[str](), Counter[str]()
    found = [seed for seed in range(first, first + many) if not count(told, attacked(pipe, seed))]
    harmed = []
    for seed in range(first, first + many // 10):
        chance = random.Random(seed)
        writes, letters = ordinary(chance)
        dialogue = Dialogue(pipe, Style(lf=False, blank=True, smtputf8=True, dsn=True), chance).play(writes, True)
        if not count(plain, dialogue) or dialogue.server.queued != letters:
            harmed.append(seed)
    for name, figures, wrong in (("hostile", told, found), ("ordinary", plain, harmed)):
        print(f"{name}: {', '.join(f'{count:,} {what}' for what, count in figures.items())}; wrong: {wrong or 'none'}")
    return 1 if found or harmed else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
