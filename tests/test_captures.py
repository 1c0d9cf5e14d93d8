"""The sample captures: what mailspy says of each is what it said when its golden log was written."""

from __future__ import annotations

import base64
import difflib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from itertools import zip_longest
from pathlib import Path

import pytest

from inspector.capture.reader import read
from inspector.segment import Opened, Segment

CAPTURES = Path(__file__).parent.parent / "captures"
NAMES = sorted(path.stem for path in CAPTURES.glob("*.pcapng"))
OPTIONS = {"smtp-michel-pierre": ["--local-domain", "cnam.fr"], "smtp-relay-attempt": ["--local-domain", "cnam.fr"]}
REQUIRED = {"pop3-sheet", "smtp-michel-pierre", "smtp-relay-attempt", "smtp-pipelining", "smtp-bdat", "pop3-apop-uidl-top"}


def replay(*arguments: str) -> list[dict]:
    """The events that the command prints, with nobody's settings."""
    with tempfile.TemporaryDirectory() as home:
        settings = {name: value for name, value in os.environ.items() if not name.startswith("MAILSPY_")}
        settings |= dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"), home)
        run = subprocess.run([sys.executable, "-m", "inspector", "replay", "--json", *arguments], capture_output=True,
                             text=True, check=False, cwd=CAPTURES.parent, env=settings)
    assert run.returncode == 0, run.stderr
    return [json.loads(line) for line in run.stdout.splitlines()]


def golden(name: str) -> list[dict]:
    return [json.loads(line) for line in (CAPTURES / f"{name}.events").read_text().splitlines()]


@pytest.mark.parametrize("name", NAMES)
def test_a_replay_says_what_the_golden_log_says(name: str) -> None:
    """Event for event."""
    wanted, actual = golden(name), replay(*OPTIONS.get(name, []), f"captures/{name}.pcapng")
    for number, (one, other) in enumerate(zip_longest(wanted, actual, fillvalue={}), start=1):
        lines = [[f"{key}: {value!r}" for key, value in event.items()] for event in (one, other)]
        assert one == other, f"{name}.events, line {number}:\n" + "\n".join(difflib.ndiff(*lines))


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
def test_it_is_a_pcapng(name: str) -> None:
    """A section header, an interface, packets; each block says its length twice, and they fill the file."""
    octets = (CAPTURES / f"{name}.pcapng").read_bytes()
    order = "big" if octets[8:12] == b"\x1a\x2b\x3c\x4d" else "little"
    kinds = []
    at = 0
    while at < len(octets):
        size = int.from_bytes(octets[at + 4:at + 8], order)
        assert size >= 12
        assert size % 4 == 0
        assert octets[at + size - 4:at + size] == octets[at + 4:at + 8]
        kinds.append(int.from_bytes(octets[at:at + 4], order))
        at += size
    assert at == len(octets)
    assert kinds[:2] == [0x0A0D0D0A, 1]
    assert set(kinds[2:]) == {6}


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
    """The table is kept: names, counts, options."""
    row = re.compile(r"^\| `([\w-]+)\.pcapng` \|.*\| (\d+) \| [^|]+ \|(?: `([^`]+)`)? \|$", re.MULTILINE)
    rows = {name: (int(count), options.split()) for name, count, options in row.findall((CAPTURES / "README.md").read_text())}
    assert set(rows) == set(NAMES)
    assert set(NAMES) >= REQUIRED
    for name, (count, options) in rows.items():
        assert count == sum(event["event"] == "pdu" for event in golden(name)), name
        assert options == OPTIONS.get(name, []), name


def test_every_file_is_called_after_its_protocol_and_its_story() -> None:
    """And each capture has its golden log, each log its capture."""
    files = {path.name for path in CAPTURES.iterdir()} - {"README.md"}
    assert files == {f"{name}{suffix}" for name in NAMES for suffix in (".pcapng", ".events")}
    for name in NAMES:
        assert re.fullmatch(r"(pop3|smtp|lmtp)(-[a-z0-9]+)+", name), name


def decoded(octets: bytes) -> bytes:
    """What the words say that may be base64, wherever in them it begins."""
    found = []
    for word in re.findall(rb"[A-Za-z0-9+/]{6,}", octets):
        for start in range(4):
            part = word[start:]
            found.append(base64.b64decode(part[: len(part) // 4 * 4]))
            found.append(base64.b64decode(part + b"A" * (-len(part) % 4)))
    return b"\n".join(found)


SECRETS = (b"monpass", b"monpacs", b"pl4nted")


def test_secrets_in_base64_are_found() -> None:
    """The next test would see them."""
    for shift in range(4):
        assert b"monpass" in decoded(b"x" * shift + base64.b64encode(b"\0natkin\0monpass").rstrip(b"="))


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_is_in_any_capture(name: str) -> None:
    """Neither in clear, nor in base64, nor as the digest of APOP."""
    octets = (CAPTURES / f"{name}.pcapng").read_bytes() + (CAPTURES / f"{name}.events").read_bytes()
    readable = octets + decoded(octets)
    for secret in SECRETS:
        assert secret not in readable
    for stamp in set(re.findall(rb"<[^<>\s]+@[\w.-]+>", octets)):
        for password in (b"monpass", b"monpacs"):
            assert hashlib.md5(stamp + password, usedforsecurity=False).hexdigest().encode() not in octets


@pytest.mark.parametrize("name", NAMES)
def test_it_does_not_tell_where_it_was_made(name: str) -> None:
    """No address but the loopback's, no host but those of the examples, no path."""
    path = CAPTURES / f"{name}.pcapng"
    said = (CAPTURES / f"{name}.events").read_bytes()
    assert not re.search(rb"/(home|root|tmp|usr|var|etc)/", said + path.read_bytes())
    for event in golden(name):
        if event["event"] == "flow_opened":
            assert {event[side].rpartition(":")[0] for side in ("client", "server")} == {"127.0.0.1"}
    if "starttls" not in name:  # in encrypted octets anything can be found
        said += b"".join(event.data for event in read(str(path), pytest.fail) if isinstance(event, Segment))
    for host in re.findall(rb"[\w.=-]@([\w.-]+)", said):
        assert host.endswith((b".example", b"cnam.fr")), host


@pytest.mark.parametrize("name", NAMES)
def test_tshark_reads_it_without_complaint(name: str) -> None:
    """Checksums and sequence numbers are right, and the protocol is dissected."""
    if shutil.which("tshark") is None:
        if os.environ.get("CI"):
            pytest.fail("tshark is missing: apt-get install tshark")
        pytest.skip("tshark is missing")
    columns = ("frame.protocols", "tcp.analysis.flags", "ip.checksum.status", "tcp.checksum.status", "_ws.malformed")
    fields = [word for column in columns for word in ("-e", column)]
    run = subprocess.run(["tshark", "-n", "-r", str(CAPTURES / f"{name}.pcapng"), "-o", "ip.check_checksum:TRUE", "-o",
                          "tcp.check_checksum:TRUE", "-T", "fields", *fields], capture_output=True, text=True, check=True)
    protocols: set[str] = set()
    for number, row in enumerate(run.stdout.splitlines(), start=1):
        layers, flags, ip_sum, tcp_sum, malformed = row.split("\t")
        assert not flags, f"packet {number}"
        assert not malformed, f"packet {number}"
        assert {ip_sum, tcp_sum} <= {"1", "Good"}, f"packet {number}"
        protocols.update(layers.split(":"))
    assert "tcp" in protocols
    expected = {"pop3": "pop", "smtp": "smtp"}.get(name.split("-", maxsplit=1)[0])
    assert expected is None or expected in protocols
    assert "starttls" not in name or "tls" in protocols
