"""The file on the disk: created with care, mended, whole when the disk is full, written before the call returns."""

from __future__ import annotations

import errno
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.capture.reader import read
from inspector.capture.writer import CaptureWriter
from inspector.errors import CaptureError
from inspector.pdu import C2S, S2C, Address, Flow
from inspector.segment import Gap, Opened, Segment

START = 1_700_000_000_000_000
SECOND = 1_000_000


def flow(number: int = 1, port: int = 50_000) -> Flow:
    return Flow(number, Address("192.0.2.7", port), Address("127.0.0.1", 24_110), START, "pop3")


def silent(text: str) -> None:
    raise AssertionError(text)


def octets(path: str, direction: str = C2S) -> bytes:
    return b"".join(event.data for event in read(path) if isinstance(event, Segment) and event.direction == direction)


def small(path: Path) -> bytes:
    """A small capture, written to `path`."""
    writer = CaptureWriter(str(path), alarm=silent)
    writer.open(flow())
    writer.segment(flow(), S2C, b"+OK\r\n", START + 1, ["greeting"])
    writer.segment(flow(), C2S, b"QUIT\r\n", START + 2)
    writer.end(flow(), C2S, START + 3)
    writer.end(flow(), S2C, START + 4)
    writer.close()
    return path.read_bytes()


# --- where it is written ---


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    """A capture is created with mode 0600, whatever the umask."""
    before = os.umask(0)
    try:
        small(tmp_path / "a.pcapng")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.pcapng").stat().st_mode) == 0o600


def test_a_folder_takes_one_file_a_run(tmp_path: Path) -> None:
    """In a folder each run has a file of its own, and a missing folder is made for the owner alone."""
    folder = f"{tmp_path}/new/"
    paths = [CaptureWriter(folder, alarm=silent).path for _ in range(3)]
    assert len(set(paths)) == 3
    assert all(re.fullmatch(r"mailspy-\d{8}-\d{6}(-[23])?\.pcapng", Path(path).name) for path in paths)
    assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    """A symbolic link in place of the file is refused, and what it points to stays as it is."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"")
    link = tmp_path / "a.pcapng"
    link.symlink_to(victim)
    with pytest.raises(CaptureError, match="symbolic link"):
        CaptureWriter(str(link), alarm=silent)
    assert victim.read_bytes() == b""


def test_a_file_of_another_kind_is_kept(tmp_path: Path) -> None:
    """What is no pcapng is neither appended to nor cut."""
    path = tmp_path / "notes.txt"
    path.write_bytes(b"my precious notes")
    with pytest.raises(CaptureError, match=r"notes\.txt: exists and is not a pcapng"):
        CaptureWriter(str(path), alarm=silent)
    assert path.read_bytes() == b"my precious notes"


def test_special_files(tmp_path: Path) -> None:
    """A pipe, a device and a missing folder are refused at once."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null"), tmp_path / "none" / "a.pcapng"):
        with pytest.raises(CaptureError, match=re.escape(str(path))):
            CaptureWriter(str(path), alarm=silent)


def test_one_writer_a_file(tmp_path: Path) -> None:
    """A second writer of the same file is refused while the first is there."""
    path = str(tmp_path / "a.pcapng")
    first = CaptureWriter(path, alarm=silent)
    with pytest.raises(CaptureError, match="another mailspy"):
        CaptureWriter(path, alarm=silent)
    first.close()
    CaptureWriter(path, alarm=silent).close()


# --- appending and mending ---


def test_appending(tmp_path: Path) -> None:
    """A capture is appended to as a section of its own, and both are read."""
    path = tmp_path / "a.pcapng"
    first = small(path)
    second = small(path)
    assert second == first * 2
    assert [event.flow.number for event in read(str(path), silent) if isinstance(event, Opened)] == [1, 2]


def test_appending_to_a_file_that_others_may_read(tmp_path: Path) -> None:
    """The mode of an existing file stays, with a warning."""
    path = tmp_path / "a.pcapng"
    small(path)
    path.chmod(0o644)
    alarms: list[str] = []
    CaptureWriter(str(path), alarm=alarms.append).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert len(alarms) == 1
    assert "mode 644" in alarms[0]


def test_torn_at_every_octet(tmp_path: Path) -> None:
    """Cut anywhere, a capture gives the beginning of its events, and can be appended to."""
    path = tmp_path / "a.pcapng"
    whole = small(path)
    events = [str(event) for event in read(str(path), silent) if not isinstance(event, Opened)]
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        path.chmod(0o600)
        warnings: list[str] = []
        found = [str(event) for event in read(str(path), warnings.append) if not isinstance(event, Opened)]
        assert found == events[: len(found)]
        alarms: list[str] = []
        CaptureWriter(str(path), alarm=alarms.append).close()
        mended = path.read_bytes()
        kept = len(mended) - len(mended[mended.rindex(b"\x0a\x0d\x0d\x0a") :])
        assert mended[:kept] == whole[:kept]
        assert (kept < size) == bool(alarms)
        assert bool(warnings) == (kept < size or size == 0)
        again = [str(event) for event in read(str(path), silent) if not isinstance(event, Opened)]
        assert again == found


def test_zeros_at_the_end(tmp_path: Path) -> None:
    """The zeros that a power failure leaves are a torn end too."""
    path = tmp_path / "a.pcapng"
    whole = small(path)
    path.write_bytes(whole + bytes(4_096))
    path.chmod(0o600)
    warnings: list[str] = []
    assert len(list(read(str(path), warnings.append))) == 5
    assert len(warnings) == 1
    CaptureWriter(str(path), alarm=warnings.append).close()
    assert path.read_bytes().startswith(whole + b"\x0a\x0d\x0d\x0a")


def test_damage_far_from_the_end_is_not_cut(tmp_path: Path) -> None:
    """What no torn write explains is not cut off."""
    path = tmp_path / "a.pcapng"
    damaged = small(path) + b"\xff" * (2 << 20)
    path.write_bytes(damaged)
    path.chmod(0o600)
    with pytest.raises(CaptureError, match="damaged at octet"):
        CaptureWriter(str(path), alarm=silent)
    assert path.read_bytes() == damaged


# --- written before it returns ---

KILLED = """
import os, signal, sys
from inspector.capture.writer import CaptureWriter
from inspector.pdu import C2S, Address, Flow
flow = Flow(1, Address("192.0.2.7", 50000), Address("127.0.0.1", 110), 1, "pop3")
writer = CaptureWriter(sys.argv[1], alarm=print)
writer.open(flow)
for number in range(100):
    writer.segment(flow, C2S, b"NOOP %d\\r\\n" % number, number, ["a comment"])
writer.segment(flow, C2S, b"x" * 300_000, 100)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed(tmp_path: Path) -> None:
    """What was written is there after kill -9."""
    path = str(tmp_path / "a.pcapng")
    done = subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert octets(path) == b"".join(b"NOOP %d\r\n" % number for number in range(100)) + b"x" * 300_000


# --- comments ---


def test_comments_have_bounds(tmp_path: Path) -> None:
    """Long and many comments are cut, and what cannot be encoded is written as an escape."""
    path = tmp_path / "a.pcapng"
    writer = CaptureWriter(str(path), alarm=silent)
    writer.segment(flow(), C2S, b"x", START, ["é" * 5_000, "\ud800", *["more"] * 70])
    writer.close()
    raw = path.read_bytes()
    assert raw.count(b"more") == 62 + 1
    assert b"and 8 more, not written here" in raw
    assert b"\\ud800" in raw
    assert len(raw) < 4_000


# --- the disk is full ---


class Disk:
    """A disk with room for so many octets, in place of the system calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: int = errno.ENOSPC) -> None:
        self.room = 1 << 30
        self.attempts = 0
        self._error = error
        self._write, self._writev = os.write, os.writev
        monkeypatch.setattr("inspector.capture.file.os.write", self.write)
        monkeypatch.setattr("inspector.capture.file.os.writev", lambda fd, pieces: self.write(fd, b"".join(pieces)))

    def write(self, fd: int, data: bytes) -> int:
        self.attempts += 1
        if not self.room:
            raise OSError(self._error, os.strerror(self._error))
        written = self._write(fd, data[: self.room])
        self.room -= written
        return written


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("room", [0, 1, 50])
@pytest.mark.parametrize("size", [10, 200_000])
def test_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, room: int, size: int) -> None:
    """Nothing is raised, the file stays whole, one alarm tells, and recording resumes with the gap marked."""
    path = str(tmp_path / "a.pcapng")
    disk = Disk(monkeypatch, error)
    alarms: list[str] = []
    writer = CaptureWriter(path, alarm=alarms.append)
    writer.open(flow())
    writer.segment(flow(), C2S, b"before", START)
    disk.room = room
    for number in range(5):
        writer.segment(flow(), C2S, b"x" * size, START + number)
    assert len(alarms) == 1
    assert "CAPTURE STOPPED" in alarms[0]
    assert octets(path) == b"before"
    attempts = disk.attempts
    disk.room = 1 << 30
    writer.segment(flow(), C2S, b"too soon", START + SECOND - 1)
    assert disk.attempts == attempts
    writer.segment(flow(), C2S, b"after", START + SECOND)
    missing = 5 * size + len(b"too soon")
    assert len(alarms) == 2
    assert f"resumed: {path}: {missing} octets" in alarms[1]
    writer.segment(flow(), C2S, b"wards", START + SECOND)
    writer.end(flow(), C2S, START + SECOND)
    writer.close()
    warnings: list[str] = []
    found = list(read(path, warnings.append))
    assert [event.data for event in found if isinstance(event, Segment)] == [b"before", b"after", b"wards"]
    assert [event for event in found if isinstance(event, Gap)] == [Gap(1, C2S, START + SECOND, missing)]
    assert len(found) == 6
    assert warnings == []
    assert f"{missing} octets of all flows are missing".encode() in Path(path).read_bytes()


def test_flows_that_come_and_go_while_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow opened meanwhile is opened in the file with its first octets; one that ended meanwhile is no obstacle."""
    path = str(tmp_path / "a.pcapng")
    disk = Disk(monkeypatch)
    alarms: list[str] = []
    writer = CaptureWriter(path, alarm=alarms.append)
    writer.open(flow(1))
    disk.room = 0
    writer.open(flow(2, 50_001))
    writer.open(flow(3, 50_002))
    writer.segment(flow(2), C2S, b"lost", START)
    writer.end(flow(1), C2S, START)
    writer.end(flow(1), S2C, START)
    writer.reset(flow(3), C2S, START)
    disk.room = 1 << 30
    writer.segment(flow(2), C2S, b"kept", START + SECOND)
    writer.segment(flow(2), S2C, b"+OK", START + SECOND)
    writer.open(flow(1))
    writer.close()
    events = list(read(path))
    assert [event.flow.client.port for event in events if isinstance(event, Opened)] == [50_000, 50_001, 50_000]
    assert [event.data for event in events if isinstance(event, Segment)] == [b"kept", b"+OK"]
    assert len(alarms) == 2


def test_full_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A capture that never resumed says at its close what is missing, and a clock set back tries again."""
    disk = Disk(monkeypatch)
    alarms: list[str] = []
    writer = CaptureWriter(str(tmp_path / "a.pcapng"), alarm=alarms.append)
    writer.open(flow())
    disk.room = 0
    writer.segment(flow(), C2S, b"12345", START)
    attempts = disk.attempts
    writer.segment(flow(), C2S, b"67", START - 1)
    assert disk.attempts == attempts + 1
    writer.close()
    writer.close()
    assert "the last 7 octets" in alarms[-1]
    assert len(alarms) == 2


def test_no_room_for_the_first_octet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A capture that cannot even begin is refused at the start."""
    disk = Disk(monkeypatch)
    for room in (0, 10):
        disk.room = room
        with pytest.raises(CaptureError, match="cannot be written"):
            CaptureWriter(str(tmp_path / "a.pcapng"), alarm=silent)


@pytest.fixture
def little_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, check=False, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no mount command")
    if done.returncode:
        pytest.skip("a small tmpfs cannot be mounted here: " + done.stderr.decode().strip())
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_really_full(little_disk: Path) -> None:
    """On a real file system the same holds."""
    path = str(little_disk / "a.pcapng")
    ballast = little_disk / "ballast"
    ballast.write_bytes(bytes(40_000))
    alarms: list[str] = []
    writer = CaptureWriter(path, alarm=alarms.append)
    writer.open(flow())
    for number in range(40):
        writer.segment(flow(), C2S, b"x" * 1_000, START + number)
    assert len(alarms) == 1
    whole = len(octets(path))
    assert whole % 1_000 == 0
    ballast.unlink()
    writer.segment(flow(), C2S, b"after", START + 2 * SECOND)
    writer.close()
    assert len(alarms) == 2
    assert octets(path) == b"x" * whole + b"after"


def test_a_damaged_small_file_is_not_cut(tmp_path: Path) -> None:
    """A length that does not fit is damage, not a tear, however small the file."""
    path = tmp_path / "a.pcapng"
    whole = small(path)
    damaged = whole[:4] + b"\0\0\0\x21" + whole[8:]
    path.write_bytes(damaged)
    path.chmod(0o600)
    with pytest.raises(CaptureError, match="damaged at octet 0"):
        CaptureWriter(str(path), alarm=silent)
    assert path.read_bytes() == damaged


def test_a_block_half_zeros(tmp_path: Path) -> None:
    """A last block of which only the beginning reached the disk is cut off."""
    path = tmp_path / "a.pcapng"
    whole = small(path)
    path.write_bytes(whole[:-30] + bytes(30))
    path.chmod(0o600)
    told: list[str] = []
    before = [str(event) for event in read(str(path), told.append)][1:]
    CaptureWriter(str(path), alarm=told.append).close()
    assert len(told) == 2
    assert [str(event) for event in read(str(path), silent)][1:] == before
