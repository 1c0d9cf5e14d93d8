"""What other programs say of our captures: tshark finds nothing to complain about, and dissects the mail."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from inspector.capture.reader import read
from inspector.capture.writer import CaptureWriter
from inspector.pdu import C2S, S2C, Address, Flow

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")

START = 1_700_000_000_000_000
COMPLAINTS = (
    "tcp.analysis.flags or tcp.checksum.status == 0 or ip.checksum.status == 0 or _ws.malformed "
    "or _ws.expert.severity >= 0x00600000"
)
"""Sequence analysis, checksums, and expert items from Warning up."""


def tshark(path: Path, *arguments: str) -> list[str]:
    checks = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    done = subprocess.run(["tshark", "-r", str(path), *checks, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def flow(number: int, client: str, server: str, port: int, protocol: str) -> Flow:
    return Flow(number, Address(client, 50_000 + number), Address(server, port), START, protocol)


FLOWS = [
    flow(1, "192.0.2.7", "127.0.0.1", 24_110, "pop3"),
    flow(2, "2001:db8::7", "2001:db8::25", 25, "smtp"),
    flow(3, "2001:db8::7", "127.0.0.1", 2_525, "smtp"),
    flow(4, "192.0.2.7", "0.0.0.0", 39_999, ""),
]
FIELDS = [(one.number, one.client, one.server, one.protocol) for one in FLOWS]
BODY = b"Subject: x\r\n\r\n" + b"a line of text\r\n" * 60_000 + b".\r\n"


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dialogues, bulk in both directions, both families, every way to end, and a file that was appended to."""
    path = tmp_path_factory.mktemp("tshark") / "flows.pcapng"
    for run in range(2):
        writer = CaptureWriter(str(path), alarm=pytest.fail)
        time = START + run * 1_000_000
        flows = [Flow(n, Address(a.host, a.port + 100 * run), b, time, c) for n, a, b, c in FIELDS]
        for one in flows:
            writer.open(one)
        for one in flows:
            pop = one.protocol == "pop3"
            writer.segment(one, S2C, b"+OK ready\r\n" if pop else b"220 ready\r\n", time, ["1 AUTHORIZATION greeting"])
            for number in range(30):
                line = b"x" * number
                writer.segment(
                    one, C2S, b"NOOP " + line + b"\r\n", time, ["2 NOOP", "finding: é"] if number == 3 else ()
                )
                writer.segment(one, S2C, (b"+OK " if pop else b"250 ") + line + b"\r\n", time)
            if pop:
                writer.segment(one, C2S, b"RETR 1\r\n", time)
                writer.segment(one, S2C, b"+OK\r\n" + BODY, time)
            if not one.protocol:
                for _ in range(40):
                    writer.segment(one, C2S, b"\xff" * 60_001, time)
            writer.end(one, C2S, time)
            writer.segment(one, S2C, b"+OK bye\r\n" if pop else b"221 bye\r\n", time)
            writer.end(one, S2C, time)
        writer.close()
    return path


def test_no_complaints(capture: Path) -> None:
    """No warning about sequence numbers, checksums, options or anything else."""
    assert tshark(capture, "-Y", COMPLAINTS) == []


def test_the_complaints_are_heard(capture: Path, tmp_path: Path) -> None:
    """The filter of these tests does find a wrong checksum."""
    path = tmp_path / "wrong.pcapng"
    path.write_bytes(capture.read_bytes().replace(b"RETR 1", b"RETR 2", 1))
    assert len(tshark(path, "-Y", COMPLAINTS)) == 1


def test_a_reset_is_a_reset(tmp_path: Path) -> None:
    """A RST is reported as what it is, and nothing else is."""
    writer = CaptureWriter(str(tmp_path / "a.pcapng"), alarm=pytest.fail)
    writer.open(FLOWS[0])
    writer.segment(FLOWS[0], S2C, b"+OK\r\n", START)
    writer.reset(FLOWS[0], C2S, START)
    writer.close()
    assert tshark(tmp_path / "a.pcapng", "-Y", COMPLAINTS, "-T", "fields", "-e", "tcp.flags.reset") == ["1"]


def test_sequence_numbers_wrap(tmp_path: Path) -> None:
    """Passing 2^32 is no complaint."""
    for opened in (0, 2**32 - 2_654_435_761 - 20, 2**32 - 2_654_435_761 - 0x4D41_494C - 20 + 2**32):
        path = tmp_path / f"{opened}.pcapng"
        one = Flow(1, FLOWS[0].client, FLOWS[0].server, opened, "")
        writer = CaptureWriter(str(path), alarm=pytest.fail)
        writer.open(one)
        for _ in range(20):
            writer.segment(one, C2S, b"abc\r\n", opened)
            writer.segment(one, S2C, b"defg\r\n", opened)
        writer.end(one, C2S, opened)
        writer.end(one, S2C, opened)
        writer.close()
        assert tshark(path, "-Y", COMPLAINTS) == []


def test_checksums_near_zero(tmp_path: Path) -> None:
    """Payloads whose checksums pass through zero are no complaint."""
    path = tmp_path / "a.pcapng"
    writer = CaptureWriter(str(path), alarm=pytest.fail)
    writer.open(FLOWS[3])
    for word in range(0, 65_536, 13):
        writer.segment(FLOWS[3], C2S, word.to_bytes(2, "big"), START)
    writer.close()
    assert tshark(path, "-Y", COMPLAINTS) == []


def test_pop_is_dissected(capture: Path) -> None:
    """A POP3 dialogue with a server on port 24110 is dissected as POP, by request and reply."""
    commands = tshark(capture, "-Y", "pop.request", "-T", "fields", "-e", "pop.request.command")
    assert commands.count("NOOP") == 60
    assert commands.count("RETR") == 2
    assert len(tshark(capture, "-Y", "smtp.rsp")) == 2 * 2 * 32


def test_comments(capture: Path) -> None:
    """Each comment is shown with its packet, the fourth command here."""
    shown = tshark(capture, "-Y", "pop and frame.comment", "-T", "fields", "-e", "frame.comment")
    assert shown == ["1 AUTHORIZATION greeting", "2 NOOP,finding: é"] * 2


def test_directions(capture: Path) -> None:
    """The packets' flags tell inbound from outbound."""
    flags = tshark(capture, "-Y", "pop.response", "-T", "fields", "-e", "frame.packet_flags_direction")
    assert set(flags) == {"0x00000002"}


@pytest.mark.skipif(shutil.which("capinfos") is None, reason="capinfos is not installed")
def test_capinfos(capture: Path) -> None:
    """capinfos reads the file, its interface and its program."""
    done = subprocess.run(["capinfos", str(capture)], check=True, capture_output=True, text=True)
    assert "Raw IP" in done.stdout
    assert "mailspy" in done.stdout


@pytest.mark.skipif(shutil.which("editcap") is None, reason="editcap is not installed")
@pytest.mark.parametrize("kind", ["pcap", "nsecpcap", "pcapng"])
def test_what_wireshark_writes_is_read(capture: Path, tmp_path: Path, kind: str) -> None:
    """A capture that Wireshark's tools rewrote gives the same events."""
    path = tmp_path / "again"
    subprocess.run(["editcap", "-F", kind, str(capture), str(path)], check=True)
    one, other = ([str(event) for event in read(str(name)) if hasattr(event, "time")] for name in (capture, path))
    assert one == other
