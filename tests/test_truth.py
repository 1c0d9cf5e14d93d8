"""Real captures that others made, against the readings of others.

The folder is looked for in MAILSPY_SHARED, or beside the repository.  `python tests/test_truth.py` prints the agreement.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter, defaultdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from dialogue import Witness

from inspector.capture.reader import read
from inspector.pdu import C2S, Flow, Kind
from inspector.pipeline import Pipeline
from inspector.segment import Gap, Opened, Segment

DATA = Path(os.environ.get("MAILSPY_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
READINGS = sorted(DATA.rglob("*.expected.json")) if DATA.is_dir() else []
NAMES = [str(path.relative_to(DATA)).removesuffix(".expected.json") for path in READINGS]

pytestmark = pytest.mark.skipif(not READINGS, reason="the captures of others are not here (MAILSPY_SHARED)")

MESSAGES_OF_OTHERS = {
    "arkime/smtp-moloch-bof.pcap": "the export takes the QUIT behind the dot for a part of the message",
    "suricata-verify/smtp-pipelining/input.pcap": "the export takes pipelined commands for a message",
    "arkime/ntlm_synthetic.pcap": "the export takes SASL responses of POP3 for messages",
    "zeek/traces/pop3-unknown-commands.pcap": "the export takes the lines of unknown commands' replies for messages",
}
"""Where the export of messages is wrong."""


class Reading(Witness):
    """What the pipeline tells, by the number of the flow."""

    def __init__(self) -> None:
        super().__init__()
        self.flows: dict[int, Flow] = {}
        self.lines: dict[int, list[Any]] = defaultdict(list)
        self.octets: list[bytes] = []

    def flow_opened(self, flow: Flow) -> None:
        self.flows[flow.number] = flow

    def pdu_seen(self, pdu, session) -> None:
        self.lines[session.flow.number].append(pdu)

    def open_message(self, message, session):
        return _Keep(self.octets)


class _Keep:
    def __init__(self, into: list[bytes]) -> None:
        self.into, self.data = into, b""

    def feed(self, data: bytes) -> None:
        self.data += data

    def close(self, complete: bool) -> None:
        self.into.append(self.data)


def streams(path: Path) -> list[tuple[Flow, bytes, bytes, int]]:
    """Each flow with the octets of its directions, and how many are missing."""
    found: dict[int, list[Any]] = {}
    for event in read(str(path)):
        if isinstance(event, Opened):
            found[event.flow.number] = [event.flow, b"", b"", 0]
        elif isinstance(event, Segment):
            found[event.flow][1 if event.direction is C2S else 2] += event.data
        elif isinstance(event, Gap):
            found[event.flow][3] += event.size
    return [tuple(one) for one in found.values()]


def told(path: Path) -> Reading:
    witness = Reading()
    pipeline = Pipeline(witness)
    for event in read(str(path)):
        pipeline.take(event)
    pipeline.finish()
    return witness


def load(reading: Path) -> tuple[Path, dict[str, Any]]:
    return reading.with_name(reading.name.removesuffix(".expected.json")), json.loads(reading.read_text())


def hashed(octets: bytes) -> str:
    return sha256(octets).hexdigest()


@pytest.mark.parametrize("reading", READINGS, ids=NAMES)
def test_the_octets_of_both_directions_are_those_of_tshark(reading: Path) -> None:
    path, expected = load(reading)
    ours = Counter((str(flow.client), str(flow.server), hashed(up), hashed(down)) for flow, up, down, _ in streams(path))
    theirs = Counter((one["client"], one["server"], one["c2s_sha256"], one["s2c_sha256"]) for one in expected["streams"])
    assert theirs or expected["mail_streams"] == 0
    assert not theirs - ours


@pytest.mark.parametrize("reading", READINGS, ids=NAMES)
def test_the_protocol_is_recognised(reading: Path) -> None:
    path, expected = load(reading)
    ours = Counter((str(flow.client), str(flow.server), flow.protocol) for flow in told(path).flows.values())
    assert not Counter((one["client"], one["server"], one["protocol"]) for one in expected["streams"]) - ours


def commands(pdus: list[Any]) -> list[str]:
    return [_plain(pdu.raw) for pdu in pdus if pdu.kind in (Kind.COMMAND, Kind.SASL_RESPONSE)]


def replies(pdus: list[Any]) -> list[str]:
    return [_plain(pdu.raw.split(b"\n")[0]) for pdu in pdus if pdu.direction is not C2S and pdu.kind is not Kind.BODY]


def _plain(raw: bytes) -> str:
    return "".join(raw.decode("latin-1").split()).lower()


def left_out(few: list[str], many: list[str]) -> list[str]:
    """Those of the one list that do not stand, in their order, in the other."""
    rest = iter(many)
    return [one for one in few if not any(other.startswith(one) or one.startswith(other) for other in rest)]


@pytest.mark.parametrize("reading", READINGS, ids=NAMES)
def test_no_command_that_tshark_has_is_missing(reading: Path) -> None:
    """It leaves out SASL responses, pipelined commands and those after BDAT: ours are more, in the same order."""
    path, expected = load(reading)
    witness = told(path)
    for one in expected["streams"]:
        if one["protocol"] in ("smtp", "pop3"):
            numbers = [number for number, flow in witness.flows.items()
                       if (str(flow.client), str(flow.server)) == (one["client"], one["server"])]
            theirs = ["".join(line.split()).lower() for line in one["commands"]]
            assert any(left_out(theirs, commands(witness.lines[number])) == [] for number in numbers), one["client"]
            heads = ["".join(line.split("\n")[0].split()).lower() for line in one["responses"]]
            if SPLIT.isdisjoint((path.name, path.parent.name)):
                assert any(left_out(heads, replies(witness.lines[number])) == [] for number in numbers), one["client"]


SPLIT = {"IMAP-Authenticate_Plain_Base64.pcap", "IMAP-Authenticate_Plain_Base64.pcapng", "smtp-bug-6053"}
"""Where tshark cuts a reply of several lines into two: `250-` and then `334` are one by RFC 5321 §4.2.1."""


def exported(reading: Path) -> list[bytes]:
    """The messages that tshark has exported, without their last line end, of the captures of SMTP alone."""
    folder = reading.with_name(reading.name.removesuffix(".expected.json") + ".eml.d")
    _, expected = load(reading)
    if {one["protocol"] for one in expected["streams"]} != {"smtp"} or not folder.is_dir():
        return []
    names = [(one.get("from_stream") or {}).get("eml") or one["eml"] for one in expected["exported_imf"]
             if one["bytes_found_in_stream"] or one.get("from_stream")]
    return [(folder / name).read_bytes().rstrip(b"\r\n") for name in names]


@pytest.mark.parametrize("reading", READINGS, ids=NAMES)
def test_the_messages_of_smtp_are_those_that_tshark_exports(reading: Path) -> None:
    name = str(reading.relative_to(DATA)).removesuffix(".expected.json")
    messages = exported(reading)
    if not messages:
        pytest.skip("nothing to compare")
    if name in MESSAGES_OF_OTHERS:
        pytest.skip(MESSAGES_OF_OTHERS[name])
    ours = [message.replace(b"\n.", b"\n") for message in told(load(reading)[0]).octets]
    for message in messages:
        assert any(message.replace(b"\n.", b"\n") in one for one in ours), len(message)


def agreement() -> None:
    """Prints, by source, how many streams, protocols and commands agree."""
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for reading in READINGS:
        path, expected = load(reading)
        source = table[path.relative_to(DATA).parts[0]]
        found = streams(path)
        witness = told(path)
        for one in expected["streams"]:
            source["streams"] += 1
            source["octets"] += any((str(flow.client), str(flow.server), hashed(up), hashed(down)) == (
                one["client"], one["server"], one["c2s_sha256"], one["s2c_sha256"]) for flow, up, down, _ in found)
            source["protocol"] += any((str(flow.client), str(flow.server), flow.protocol) == (
                one["client"], one["server"], one["protocol"]) for flow in witness.flows.values())
            if one["protocol"] in ("smtp", "pop3"):
                source["dialogues"] += 1
                theirs = ["".join(line.split()).lower() for line in one["commands"]]
                source["same commands"] += any(
                    commands(witness.lines[number]) == theirs for number, flow in witness.flows.items()
                    if (str(flow.client), str(flow.server)) == (one["client"], one["server"]))
    for name, source in sorted(table.items()):
        print(f"{name:18} octets and protocol {source['octets']} and {source['protocol']} of {source['streams']}, "
              f"the same commands {source['same commands']} of {source['dialogues']}")


if __name__ == "__main__":
    agreement()
