"""What plugins are told, live and of a capture: two lists of lines to compare."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector import hookimpl
from inspector.capture.reader import read_all
from inspector.host import Hooks, Host
from inspector.pipeline import Pipeline


class Told:
    """A plugin that writes down what is told; `detailed`: with times and details."""

    def __init__(self, detailed: bool = False) -> None:
        self.told: list[str] = []
        self._detailed = detailed

    @hookimpl
    def pdu_seen(self, pdu, session) -> None:
        more = f" {dict(pdu.details)} {session.flow.protocol} {session.phase} @{pdu.time}" if self._detailed else ""
        self.told.append(f"{pdu.direction} {pdu.kind} {pdu.phase} {pdu.verb} {pdu.status} {pdu.text}{more}")

    @hookimpl
    def anomaly_found(self, anomaly, session) -> None:
        more = f" {anomaly.pdu} {anomaly.detail} @{anomaly.time}" if self._detailed else ""
        self.told.append(f"{anomaly.severity} {anomaly.name}{more}")

    @hookimpl
    def finding(self, finding, session) -> None:
        self.told.append(f"{finding.event} {finding.summary}")

    @hookimpl
    def flow_closed(self, flow, reason) -> None:
        self.told.append(reason)


def listener(*plugins: object, detailed: bool = False) -> tuple[Told, Pipeline]:
    """One that is told, and the pipeline that tells it; `plugins` take part."""
    host = Host(pytest.fail)
    told = Told(detailed)
    host.register("told", told)
    for number, plugin in enumerate(plugins):
        host.register(f"plugin{number}", plugin)
    return told, Pipeline(Hooks(host, lambda head: "a record"), alarm=pytest.fail)


def replayed(capture: Path, detailed: bool = False) -> list[str]:
    """What a replay of a capture tells."""
    told, pipeline = listener(detailed=detailed)
    pipeline.take_all(list(read_all([str(capture)])))
    pipeline.finish()
    return told.told
