"""Transcripts as tests: a dialogue between a client and a server, with what mailspy must make of each PDU.

A script has one line a PDU, direction first, then what crosses, then after `|` what is expected: the phase, the client's state
(POP3), and after `!` the anomalies.  Each script runs whole, octet by octet, and at three random cuts, with the same outcome.
"""

from __future__ import annotations

import difflib
import random
from collections.abc import Iterable

from inspector.limits import DEFAULT, Limits
from inspector.pdu import C2S, S2C, Address, Direction, Flow, Kind, Message, Sink
from inspector.pipeline import BUILTIN_PROTOCOLS, Pipeline

POP3, SMTP, LMTP = "pop3", "smtp", "lmtp"


class Memory:
    """A sink that keeps everything."""

    def __init__(self, witness: Witness, message: Message) -> None:
        self.witness, self.message, self.data = witness, message, b""

    def feed(self, data: bytes) -> None:
        self.data += data

    def close(self, complete: bool) -> None:
        self.witness.messages.append((self.data, complete))
        assert self.message.size == len(self.data)


class Witness:
    """An observer that remembers what it was told, in order."""

    exchange_completed = None
    judge = None

    def __init__(self) -> None:
        self.pdus: list = []
        self.lines: list[str] = []
        self.told: list[tuple] = []
        self.messages: list[tuple[bytes, bool]] = []
        self.anomalies: list[tuple[str, int | None]] = []
        self.sessions: list = []

    def flow_opened(self, flow: Flow) -> None:
        self.told.append(("opened", flow.number))

    def flow_closed(self, flow: Flow, reason: str) -> None:
        self.told.append(("closed", reason))

    def pdu_seen(self, pdu, session) -> None:
        self.pdus.append(pdu)
        self.told.append(("pdu", pdu.number, pdu.direction, pdu.kind, pdu.phase, pdu.client_state, pdu.verb, pdu.status,
                          pdu.size, pdu.offset, pdu.text, pdu.raw, pdu.transaction, session.phase))

    def phase_changed(self, session, before: str) -> None:
        self.told.append(("phase", before, session.phase))

    def anomaly_found(self, anomaly, session) -> None:
        self.anomalies.append((anomaly.name, anomaly.pdu))
        self.told.append(("anomaly", anomaly.name, anomaly.pdu, anomaly.detail))

    def finding(self, finding, session) -> None:
        self.told.append(("finding", finding))

    def open_message(self, message: Message, session) -> Sink | None:
        return Memory(self, message)

    def open_part(self, part, message) -> Sink | None:
        return None

    def describe_record(self, head: bytes) -> str:
        return f"TLS record {head[0]}"


Step = tuple[Direction, bytes]


def play(protocol: str, steps: Iterable[Step], cut: str = "whole", limits: Limits = DEFAULT, seed: int = 0,
         witness: Witness | None = None) -> Witness:
    """Sends the steps through a pipeline, cut as told: `whole`, `octets` or `random`."""
    witness = witness or Witness()
    pipeline = Pipeline(witness, BUILTIN_PROTOCOLS, limits)
    flow = Flow(1, Address("127.0.0.1", 40000), Address("127.0.0.1", 110), 1_000_000, protocol)
    inspector = pipeline.open(flow)
    chance = random.Random(seed)
    time = 1_000_000
    for direction, data in steps:
        time += 1000
        for piece in pieces(data, cut, chance):
            inspector.feed(direction is C2S, piece, time)
    inspector.end(C2S, time)
    inspector.end(S2C, time)
    return witness


def pieces(data: bytes, cut: str, chance: random.Random) -> list[bytes]:
    """The octets in segments."""
    if not data:
        return []
    if cut == "octets":
        return [data[i:i + 1] for i in range(len(data))]
    if cut == "random":
        places = sorted(chance.sample(range(1, len(data)), min(3, len(data) - 1))) if len(data) > 1 else []
        return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
    return [data]


def everyway(protocol: str, steps: list[Step], limits: Limits = DEFAULT) -> Witness:
    """Plays the steps in every cutting; all must tell the same.  Checks the law of the octets on the way."""
    whole = play(protocol, steps, limits=limits)
    for cut, seed in (("octets", 0), ("random", 1), ("random", 2), ("random", 3)):
        other = play(protocol, steps, cut, limits, seed)
        assert other.told == whole.told, f"cut {cut} tells something else"
        assert other.messages == whole.messages
    for direction in (C2S, S2C):
        check_tiles(whole, direction, b"".join(data for way, data in steps if way is direction))
    return whole


def check_tiles(witness: Witness, direction: Direction, stream: bytes) -> None:
    """The PDUs of a direction, one after the other, are its octets."""
    at = 0
    for pdu in witness.pdus:
        if pdu.direction is direction:
            assert pdu.offset == at
            assert stream[at:at + len(pdu.raw)] == pdu.raw
            at += pdu.size
    assert at == len(stream)


def read_script(script: str) -> tuple[list[Step], list[str]]:
    """The steps of a script, and the line expected for each PDU.

    `C:` and `S:` begin a PDU; `\\x` escapes are understood; a line that begins with `+` continues the PDU above it.
    """
    steps: list[Step] = []
    expected: list[str] = []
    for line in filter(str.strip, script.splitlines()):
        text, _, wanted = line.strip().rpartition(" |")
        way, _, words = text.partition(": ")
        if text.startswith("+"):
            way, words = "", text[1:].strip()
        octets = words.strip().encode().decode("unicode_escape").encode("latin-1") + b"\r\n"
        if way in ("C", "S"):
            steps.append((C2S if way == "C" else S2C, octets))
            expected.append(f"{way} {' '.join(wanted.split())}")
        else:
            steps[-1] = (steps[-1][0], steps[-1][1] + octets)
            expected[-1] = f"{expected[-1][0]} {' '.join(wanted.split())}"
    return steps, expected


def dialogue(protocol: str, script: str) -> Witness:
    """Plays a script in every cutting and compares phase, client state and anomalies with its right-hand column."""
    steps, expected = read_script(script)
    witness = everyway(protocol, steps)
    found: dict[int | None, list[str]] = {}
    for name, number in witness.anomalies:
        found.setdefault(number, []).append(name)
    actual = []
    for pdu in witness.pdus:
        marks = found.get(pdu.number, [])
        state = f" {pdu.client_state}" if pdu.client_state else ""
        actual.append(f"{'C' if pdu.direction is C2S else 'S'} {pdu.phase}{state}{' ! ' + ' '.join(marks) if marks else ''}")
    if protocol == POP3 and not any(" " in line.split(" ! ")[0][2:] for line in expected):
        actual = [" ".join(line.split(" ! ")[0].split()[:2]) + line[len(line.split(" ! ")[0]):] for line in actual]
    if actual != expected:
        raise AssertionError("\n" + "\n".join(difflib.ndiff(expected, actual)))
    return witness


def bodies(witness: Witness) -> list[str]:
    """The texts of the bodies."""
    return [pdu.text for pdu in witness.pdus if pdu.kind is Kind.BODY]
