"""`replay(capture(live)) == live`, for random dialogues, cuttings and judges; `benchmarks/replay.py` plays more of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from telling import PASS, Plan, difference, planned

FLOWS = 40
"""Flows of one test."""


def mail(number: int) -> Plan:
    """That flow, of a protocol that is known, with its secrets."""
    plan = planned(number)
    return plan._replace(protocol=plan.protocol if plan.protocol in ("smtp", "lmtp", "pop3") else "smtp", keeps=True, policy=PASS)


@pytest.mark.parametrize("first", range(0, 400, FLOWS))
def test_replay_tells_what_live_told(first: int, tmp_path: Path) -> None:
    """Every hook is called with the same, whatever judges say."""
    for number in range(first, first + FLOWS):
        plan = mail(number)
        found = difference(plan, tmp_path / "flow.pcapng")
        assert not found, f"flow {number}: {plan}\n{found}"
