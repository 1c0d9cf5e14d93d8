"""What is told of deviations is bounded: so many of one name in a flow one by one, the rest once, with their number."""

from __future__ import annotations

import json
from collections import Counter
from itertools import product

import pytest
from dialogue import LMTP, POP3, SMTP, Witness, play
from hypothesis import given
from hypothesis import strategies as st
from test_laws import SMALL, STEPS

from inspector.anomaly import CATALOGUE, Anomaly
from inspector.limits import DEFAULT, Limits
from inspector.lines import JsonRecord
from inspector.pdu import C2S, S2C, Address, Flow
from inspector.pipeline import Pipeline
from inspector.query.account import Account
from inspector.survey.stats import Stats

MANY = 1 << 40


def limited(most: int) -> Limits:
    return Limits(line=SMALL.line, reply=SMALL.reply, head=SMALL.head, listing=SMALL.listing, held=SMALL.held,
                  unanswered=SMALL.unanswered, undecided=SMALL.undecided, anomalies=most)


class Counting(Witness):
    """Keeps the anomalies themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Anomaly] = []

    def anomaly_found(self, anomaly, session) -> None:
        super().anomaly_found(anomaly, session)
        self.found.append(anomaly)


@pytest.mark.parametrize("protocol", [POP3, SMTP, LMTP, ""])
def test_the_first_are_told_and_the_rest_counted(protocol: str) -> None:
    """Whatever crosses: the same is told as without a limit but for what is over it, and the numbers add up."""

    @given(STEPS, st.integers(0, 4))
    def hold(steps, most):
        every = play(protocol, steps, limits=limited(MANY))
        some = play(protocol, steps, limits=limited(most))
        counts = Counter(name for name, _ in every.anomalies)
        more = {name: number - most for name, number in counts.items() if number > most}
        seen: Counter[str] = Counter()
        wanted = []
        for event in every.told:
            if event[0] == "closed":
                wanted += [("anomaly", name, None, f"{number:,} more, {counts[name]:,} in all") for name, number in more.items()]
            if event[0] == "anomaly":
                seen[event[1]] += 1
                if seen[event[1]] > most:
                    continue
            wanted.append(event)
        assert some.told == wanted

    hold()


def flood(protocol: str, client: bytes, server: bytes, listener, limits: Limits = DEFAULT) -> None:
    """A greeting, then floods both ways."""
    pipeline = Pipeline(listener, limits=limits)
    flow = Flow(1, Address("192.0.2.1", 40_000), Address("192.0.2.2", 25), 1_000_000, protocol)
    inspector = pipeline.open(flow)
    inspector.feed(False, b"220 a\r\n" if protocol == SMTP else b"+OK\r\n", 1_000_000)
    for client_sends, octets in ((True, client), (False, server)):
        if octets:
            inspector.feed(client_sends, octets, 1_000_001)
    inspector.end(C2S, 1_000_002)
    inspector.end(S2C, 1_000_002)


class Written(Witness):
    """Octets of JSON by event."""

    def __init__(self) -> None:
        super().__init__()
        self.octets: Counter[str] = Counter()
        self.lines: list[dict] = []
        self._record = record = JsonRecord(self._take)
        self.flow_opened, self.pdu_seen = record.flow_opened, record.pdu_seen
        self.anomaly_found, self.finding = record.anomaly_found, record.finding

    def flow_closed(self, flow: Flow, reason: str) -> None:
        self._record.flow_closed(flow, reason)
        self._record.fill()

    def _take(self, lines: bytes) -> None:
        for line in lines.splitlines():
            told = json.loads(line)
            self.lines.append(told)
            self.octets[told["event"]] += len(line)


SYMBOLS = (b"\n", b"\r\n", b"\0", b"\xff", b"250")
UNITS = [b"".join(symbols) for size in (1, 2) for symbols in product(SYMBOLS, repeat=size)]


@pytest.mark.parametrize("protocol", [SMTP, POP3])
@pytest.mark.parametrize("sender", [C2S, S2C])
def test_deviations_add_no_more_than_pdus(protocol: str, sender) -> None:
    """One MiB of LF once made 599 MiB of JSON, two thirds of it deviations."""
    for unit in UNITS:
        written = Written()
        octets = unit * (4_000 // len(unit))
        flood(protocol, octets if sender is C2S else b"", octets if sender is S2C else b"", written)
        told = Counter(line["name"] for line in written.lines if line["event"] == "anomaly")
        assert max(told.values(), default=0) <= DEFAULT.anomalies + 1
        least = 300 * DEFAULT.anomalies * len(told)
        assert written.octets["anomaly"] <= max(written.octets["pdu"], least), unit
        if b"\n" in unit:
            assert written.octets["anomaly"] <= written.octets["pdu"], unit


def test_whoever_counts_counts_all() -> None:
    """JSON, sessions and statistics say how many there were, not how many were told."""
    written, counted = Written(), Counting()
    flood(SMTP, b"", b"250\n" * 1_000, written)
    flood(SMTP, b"", b"250\n" * 1_000, counted, Limits(anomalies=MANY))
    every = Counter(anomaly.name for anomaly in counted.found)
    assert every["bare_lf"] == 1_000
    added: Counter[str] = Counter()
    for line in written.lines:
        if line["event"] == "anomaly":
            added[line["name"]] += line.get("count", 1)
            assert "count" not in line or (line["pdu"] is None and line["count"] > 1)
    assert added == every

    account, stats = Account(Flow(1, Address("a", 1), Address("b", 2), 0)), Stats()
    for anomaly in (Anomaly(CATALOGUE["bare_lf"], 1, "", 0), Anomaly(CATALOGUE["bare_lf"], None, "", 0, 999)):
        account.anomaly_found(anomaly, None)
        stats.anomaly_found(anomaly, None)
    assert (account.anomaly_count, account.anomalies) == (1_000, {"bare_lf": 1_000})
    assert stats.anomalies == {("bare_lf", "medium"): 1_000}
