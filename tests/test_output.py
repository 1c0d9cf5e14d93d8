"""Outputs: blocks, files of one's own, readers that do not read or have gone, disks that are full."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from inspector import output
from inspector.errors import OptionError
from inspector.output import Background, Direct, Output, Outputs


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    for descriptor in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def test_lines_are_gathered_and_written_at_the_flush(tmp_path: Path) -> None:
    outputs = Outputs()
    out = outputs.open(str(tmp_path / "log"))
    out.write(b"one\n")
    assert (tmp_path / "log").read_bytes() == b""
    outputs.flush()
    assert (tmp_path / "log").read_bytes() == b"one\n"
    out.write(b"two\n")
    outputs.close()
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"


def test_a_full_block_is_written_at_once(tmp_path: Path) -> None:
    outputs = Outputs()
    line = b"x" * 1023 + b"\n"
    out = outputs.open(str(tmp_path / "log"))
    for _ in range(64):
        out.write(line)
    assert (tmp_path / "log").stat().st_size == 65_536
    outputs.close()


def test_a_new_file_is_for_its_owner_alone_and_an_old_one_is_added_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for text in (b"one\n", b"two\n"):
        outputs = Outputs()
        outputs.open(str(path)).write(text)
        outputs.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_bytes() == b"one\ntwo\n"


def test_the_same_path_is_the_same_output(tmp_path: Path) -> None:
    outputs = Outputs()
    assert outputs.open(str(tmp_path / "log")) is outputs.open(str(tmp_path / "log"))
    outputs.close()


def test_a_file_that_others_can_read_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log"
    path.touch()
    path.chmod(0o644)
    outputs = Outputs()
    outputs.open(str(path))
    outputs.close()
    assert "others than its owner can use this file (mode 644)" in capfd.readouterr().err


def a_link(folder: Path) -> Path:
    (folder / "target").touch()
    (folder / "log").symlink_to(folder / "target")
    return folder / "log"


def a_lonely_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "log")
    return folder / "log"


@pytest.mark.parametrize(("make", "message"), [
    (a_link, "it is a symbolic link, and mailspy writes through none"),
    (lambda folder: folder, "it is a folder"),
    (lambda folder: folder / "none" / "log", "its folder does not exist"),
    (a_lonely_pipe, "it is a named pipe that nobody reads"),
])
def test_a_file_that_cannot_be_written_refuses_to_start(tmp_path: Path, make, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Outputs().open(str(make(tmp_path)))


def test_a_reader_that_has_gone_makes_it_silent(pipe, told) -> None:
    reader, writer = pipe
    os.close(reader)
    out = Output(writer, "pipe", Direct(writer, "pipe", told.append))
    out.write(b"line\n")
    out.flush()
    assert out.broken
    out.write(b"line\n")
    out.close()
    assert told == []


def test_a_closed_descriptor_is_a_reader_that_has_gone(pipe, told) -> None:
    _, writer = pipe
    os.close(writer)
    device = Direct(writer, "pipe", told.append)
    device.send(b"line\n")
    assert device.broken
    assert told == []


def test_a_reader_that_does_not_read_never_keeps_the_writer_waiting(pipe, told) -> None:
    reader, writer = pipe
    device = Background(writer, "pipe", told.append, bound=1_000_000)
    out = Output(writer, "pipe", device)
    line = b"x" * 99 + b"\n"
    begun = time.monotonic()
    for _ in range(30_000):
        out.write(line)
    assert time.monotonic() - begun < 5
    assert device.dropped > 10_000
    assert told == ["pipe: its reader does not read; lines are dropped until it does, the traffic goes on"]
    got = bytearray()
    drain = threading.Thread(target=lambda: [got.extend(piece) for piece in iter(lambda: os.read(reader, 1 << 20), b"")])
    drain.start()
    assert out.close()
    os.close(writer)
    drain.join()
    assert set(bytes(got).splitlines()) == {line[:-1]}
    assert len(got) > 900_000
    assert told[-1].endswith("lines were dropped: the reader did not read them in time")


def test_everything_is_written_at_the_close(pipe, told) -> None:
    reader, writer = pipe
    out = Output(writer, "pipe", Background(writer, "pipe", told.append))
    out.write(b"last words\n")
    out.close()
    assert os.read(reader, 100) == b"last words\n"
    assert told == []


def test_the_end_does_not_wait_for_ever(pipe, told, monkeypatch) -> None:
    monkeypatch.setattr(output, "PATIENCE", 0.05)
    reader, writer = pipe
    out = Output(writer, "pipe", Background(writer, "pipe", told.append))
    out.write(b"z" * 999_999 + b"\n")
    assert not out.close()
    while not out._device._worker.join(0.01) and out._device._worker.is_alive():
        os.read(reader, 1 << 20)


def test_a_pipe_that_does_not_block_is_waited_for(pipe, told) -> None:
    reader, writer = pipe
    os.set_blocking(writer, False)
    out = Output(writer, "pipe", Background(writer, "pipe", told.append))
    data = b"y" * 99_999 + b"\n"
    out.write(data)
    got = b""
    while len(got) < len(data):
        got += os.read(reader, 1 << 20)
    out.close()
    assert got == data


class Disk:
    """A disk with room for so many octets."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.data = b""

    def write(self, descriptor: int, view: memoryview) -> int:
        taken = min(self.room, len(view))
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.data += bytes(view[:taken])
        self.room -= taken
        return taken


def test_a_full_disk_loses_whole_lines_and_says_so_once(told, monkeypatch) -> None:
    disk = Disk(8)
    monkeypatch.setattr(output.os, "write", disk.write)
    device = Direct(99, "log", told.append)
    device.send(b"first\nsecond\nthird\n")
    device.send(b"fourth\n")
    assert told == ["log: no room: lines are lost until there is some; the traffic goes on"]
    disk.room = 100
    device.send(b"fifth\n")
    device.close()
    assert disk.data == b"first\nsecond\nfifth\n"
    assert told[1:] == ["log: 2 lines were lost for want of room"]
    assert not device.broken


def test_any_other_fault_is_told_once(told, monkeypatch) -> None:
    def fail(descriptor: int, view: memoryview) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(output.os, "write", fail)
    device = Direct(99, "log", told.append)
    device.send(b"line\n")
    device.send(b"line\n")
    assert told == ["log: Input/output error; nothing more is written there"]
    assert device.broken


def test_notices_go_to_standard_error_sanitised(capfd: pytest.CaptureFixture[str]) -> None:
    outputs = Outputs(live=True)
    outputs.notice("a\x1b[2Jb")
    outputs.close()
    assert capfd.readouterr() == ("", "mailspy: a\\x1b[2Jb\n")


def test_live_a_pipe_gets_a_thread_and_a_file_none(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    outputs = Outputs(live=True)
    assert not outputs.broken
    assert outputs.stdout() is outputs.stdout()
    outputs.stdout().write(b"hello\n")
    outputs.close()
    assert capfd.readouterr().out == "hello\n"
