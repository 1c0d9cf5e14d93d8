"""Coverage-guided fuzzing of the capture readers: `fuzz/run.sh 60 capture`.

An input is a file.  The laws: nothing but CaptureError is raised, no segment is empty, the PDUs of a flow are its octets, and
what the pipeline tells is the same whether segments are read together or one by one.

Knows the reader and the pipeline.  Must not know how they work.
"""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["inspector"]):
    from inspector.capture import blocks, reader
    from inspector.pipeline import Pipeline

from inspector.capture.reassembly import Reassembly
from inspector.errors import CaptureError
from inspector.segment import Event, Gap, Segment


class Kept:
    """The octets of a message."""

    def __init__(self, told: list[object], flow: int, patient: bool) -> None:
        self._told, self._flow, self._data = told, flow, b""
        self.patient = patient

    def feed(self, data: bytes) -> None:
        """Some."""
        self._data += data

    def close(self, complete: bool) -> None:
        """The end."""
        self._told.append((self._flow, self._data, complete))


class Observer:
    """Keeps what it is told, as values."""

    exchange_completed = None
    judge = None

    def __init__(self, patient: bool) -> None:
        self.patient = patient
        self.told: list[object] = []
        self.sizes: dict[tuple[int, object], int] = {}

    def flow_opened(self, flow: object) -> None:
        """Kept."""
        self.told.append(("opened", flow.number, flow.protocol))

    def flow_closed(self, flow: object, reason: str) -> None:
        """Kept."""
        self.told.append(("closed", flow.number, reason))

    def pdu_seen(self, pdu: object, session: object) -> None:
        """Kept; its text can be made."""
        key = session.flow.number, pdu.direction
        self.sizes[key] = self.sizes.get(key, 0) + pdu.size
        self.told.append((session.flow.number, pdu.number, pdu.kind, pdu.verb, pdu.text, pdu.time))

    def phase_changed(self, session: object, before: str) -> None:
        """Nothing."""

    def anomaly_found(self, anomaly: object, session: object) -> None:
        """Kept."""
        assert anomaly.name != "parser_fault", anomaly.detail
        self.told.append((session.flow.number, anomaly.name, anomaly.detail))

    def finding(self, finding: object, session: object) -> None:
        """Nothing."""

    def open_message(self, message: object, session: object) -> Kept:
        """Kept."""
        return Kept(self.told, session.flow.number, self.patient)

    def open_part(self, part: object, message: object) -> None:
        """Nothing."""

    def describe_record(self, head: bytes) -> str:
        """A record."""
        return f"record {head[:1].hex()}"


def events(data: bytes) -> list[list[Event]]:
    """The events of a file, by batches."""
    frames = blocks.Frames(BytesIO(data).read, "input", lambda text: None)
    reassembly = Reassembly(lambda text: None)
    dissection = reader._Dissection(reassembly, reader._Limited("input", lambda text: None),
                                    reader.Reading(checksums=data[-1:] == b"!"))
    batches: list[list[Event]] = []
    try:
        while batch := frames.batch():
            dissection.take(batch)
            batches.append(reassembly.taken())
    except CaptureError:
        pass
    dissection.finish()
    batches.append(reassembly.taken())
    return batches


def one(data: bytes) -> None:
    """One input."""
    batches = events(data)
    single, together = Observer(False), Observer(True)
    first, second = Pipeline(single), Pipeline(together)
    octets: dict[tuple[int, object], int] = {}
    missing: dict[tuple[int, object], int] = {}
    """What is not in the file, and counts in the PDU that it is missing of."""
    for batch in batches:
        for event in batch:
            if isinstance(event, Segment):
                assert event.data, "an empty segment"
                key = event.flow, event.direction
                octets[key] = octets.get(key, 0) + len(event.data)
            elif isinstance(event, Gap):
                assert event.size >= 0
                missing[event.flow, event.direction] = missing.get((event.flow, event.direction), 0) + event.size
            first.take(event)
    first.finish()
    for batch in events(data):
        second.take_all(batch)
    second.finish()
    assert single.told == together.told, "it matters that segments are read together"
    told = {entry[1] for entry in single.told if entry[0] == "opened"}
    for key, size in octets.items():
        assert key[0] not in told or size <= single.sizes.get(key, 0) <= size + missing.get(key, 0), "octets without a PDU"



if __name__ == "__main__":
    Path("fuzz/corpus/capture").mkdir(parents=True, exist_ok=True)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
