"""The sample captures: what mailspy says of each is what it said when its golden log was written."""

from __future__ import annotations

import difflib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from inspector.capture.reader import read
from inspector.segment import Opened, Segment

CAPTURES = Path(__file__).parent.parent / "captures"
NAMES = sorted(path.stem for path in CAPTURES.glob("*.pcapng"))
OPTIONS = {"smtp-michel-pierre": ["--local-domain", "cnam.fr"], "smtp-relay-attempt": ["--local-domain", "cnam.fr"]}
REQUIRED = {"pop3-sheet", "smtp-michel-pierre", "smtp-relay-attempt", "smtp-pipelining", "smtp-bdat", "pop3-apop-uidl-top"}


def replay(*arguments: str) -> list[dict]:
    """The events that the command prints."""
    run = subprocess.run([sys.executable, "-m", "inspector", "replay", "--json", *arguments], capture_output=True, text=True,
                         check=True, cwd=CAPTURES.parent)
    return [json.loads(line) for line in run.stdout.splitlines()]


def golden(name: str) -> list[dict]:
    return [json.loads(line) for line in (CAPTURES / f"{name}.events").read_text().splitlines()]


@pytest.mark.parametrize("name", NAMES)
def test_a_replay_says_what_the_golden_log_says(name: str) -> None:
    """Event for event."""
    wanted = [json.dumps(event) for event in golden(name)]
    actual = [json.dumps(event) for event in replay(*OPTIONS.get(name, []), f"captures/{name}.pcapng")]
    assert actual == wanted, "\n" + "\n".join(difflib.ndiff(wanted, actual))


def test_the_sheets_capture_holds_the_eighteen_pdus() -> None:
    """Number, direction, phase and client state, as the sheet's III.4 and III.9 have them."""
    pdus = [event for event in golden("pop3-sheet") if event["event"] == "pdu"]
    assert [pdu["number"] for pdu in pdus] == list(range(1, 19))
    assert [pdu["direction"] for pdu in pdus] == ["S->C", "C->S"] * 6 + ["S->C", "S->C"] + ["C->S", "S->C"] * 2
    assert [pdu["phase"] for pdu in pdus] == ["AUTHORIZATION"] * 9 + ["TRANSACTION"] * 7 + ["UPDATE"] * 2
    assert [pdu["client_state"] for pdu in pdus] == (["connecting"] + ["authentication"] * 8 + ["transaction"] * 7
                                                     + ["update"] * 2)
    assert [pdu["text"] for pdu in pdus[:5]] == [
        "+OK pop.cnam.fr server ready", "USER natkin", "+OK password required for natkin", "PASS ********",
        "-ERR password supplied for natkin is incorrect"]


def test_all_captures_together_are_one_run() -> None:
    """Flow numbers go on from file to file."""
    events = replay(*(f"captures/{name}.pcapng" for name in NAMES))
    opened = [event["flow"] for event in events if event["event"] == "flow_opened"]
    assert opened == list(range(1, len(NAMES) + 1))


@pytest.mark.parametrize("name", NAMES)
def test_the_pdus_are_the_octets(name: str) -> None:
    """The sizes of a direction's PDUs sum to its stream."""
    streams = {"C->S": 0, "S->C": 0}
    for event in read(str(CAPTURES / f"{name}.pcapng"), pytest.fail):
        if isinstance(event, Segment):
            streams[event.direction] += len(event.data)
        elif isinstance(event, Opened):
            assert event.flow.protocol == name.split("-", maxsplit=1)[0]
    for direction, octets in streams.items():
        assert octets == sum(event["size"] for event in golden(name) if event.get("direction") == direction)


def test_the_readme_lists_every_capture_and_the_right_count() -> None:
    """The table is kept."""
    rows = dict(re.findall(r"^\| `([\w-]+)\.pcapng` \|.*\| (\d+) \|", (CAPTURES / "README.md").read_text(), re.MULTILINE))
    assert set(rows) == set(NAMES)
    assert set(NAMES) >= REQUIRED
    for name, count in rows.items():
        assert int(count) == sum(event["event"] == "pdu" for event in golden(name)), name


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_is_in_any_capture(name: str) -> None:
    """Neither in clear nor in base64."""
    octets = (CAPTURES / f"{name}.pcapng").read_bytes() + (CAPTURES / f"{name}.events").read_bytes()
    for secret in (b"monpass", b"monpacs", b"bW9ucGFzcw", b"AG5hdGtpbgBtb25wYWNz"):
        assert secret not in octets


@pytest.mark.parametrize("name", NAMES)
def test_tshark_reads_it_without_complaint(name: str) -> None:
    """Checksums and sequence numbers are right, and the protocol is dissected."""
    if shutil.which("tshark") is None:
        if os.environ.get("CI"):
            pytest.fail("tshark is missing: apt-get install tshark")
        pytest.skip("tshark is missing")
    checks = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    wrong = "tcp.analysis.flags or tcp.checksum.status == 0 or ip.checksum.status == 0 or _ws.malformed"
    path = str(CAPTURES / f"{name}.pcapng")
    assert not subprocess.run(["tshark", "-n", "-r", path, *checks, "-Y", wrong], capture_output=True, text=True).stdout
    protocol = name.split("-", maxsplit=1)[0].replace("pop3", "pop")
    if protocol != "lmtp":
        assert subprocess.run(["tshark", "-n", "-r", path, "-Y", protocol], capture_output=True, text=True).stdout
