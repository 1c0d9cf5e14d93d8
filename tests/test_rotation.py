"""Files that others move away, remove, replace or empty while they are written: begun anew, and readable by themselves."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from dialogue import Witness
from hypothesis import given, settings
from hypothesis import strategies as st
from links import Pair

from inspector.capture.reader import read
from inspector.capture.writer import CaptureWriter
from inspector.output import Outputs
from inspector.pdu import C2S, Address, Finding, Flow
from inspector.pipeline import Pipeline
from inspector.segment import Noted, Opened, Segment, Words

TALK = (b"S220 mx\r\n", b"CEHLO a\r\n", b"S250 mx\r\n", b"CMAIL FROM:<a@b>\r\n", b"S250 ok\r\n", b"CRCPT TO:<c@d>\r\n",
        b"S250 ok\r\n", b"CDATA\r\n", b"S354 go\r\n",
        b"CSubject: x\r\n\r\nbody\r\n.\r\n", b"S250 taken\r\n", b"CQUIT\r\n", b"S221 bye\r\n")


def moved(path: Path) -> None:
    path.rename(path.with_suffix(".1"))


def removed(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    other = path.with_suffix(".new")
    other.touch(0o600)
    other.rename(path)


def emptied(path: Path) -> None:
    """As logrotate's copytruncate does."""
    shutil.copy(path, path.with_suffix(".1"))
    os.truncate(path, 0)


def folder_removed(path: Path) -> None:
    shutil.rmtree(path.parent)


HOW = {"moved": moved, "removed": removed, "replaced": replaced, "emptied": emptied, "folder removed": folder_removed}


def playing(capture: CaptureWriter) -> Pair:
    return Pair(Pipeline(Witness()), "smtp", capture)


def say(pair: Pair, *lines: bytes) -> None:
    for line in lines:
        (pair.s if line[:1] == b"S" else pair.c)(line[1:])


def told(path: Path) -> Witness:
    """What replay tells of a capture."""
    witness = Witness()
    pipeline = Pipeline(witness)
    pipeline.take_all(list(read(str(path))))
    pipeline.finish()
    return witness


def octets(path: Path) -> dict[bool, bytes]:
    found = {True: b"", False: b""}
    for event in read(str(path)):
        if isinstance(event, Segment):
            found[event.direction is C2S] += event.data
    return found


@pytest.mark.parametrize("gathered", [False, True])
@pytest.mark.parametrize("how", HOW)
def test_a_capture_is_begun_anew_and_can_be_read_by_itself(tmp_path: Path, how: str, gathered: bool) -> None:
    """An open flow goes on in the new file, joined; the next flow is whole there."""
    path = tmp_path / "folder" / "a.pcapng"
    path.parent.mkdir(mode=0o700)
    alarms: list[str] = []
    capture = CaptureWriter(str(path), alarm=alarms.append)
    if gathered:
        capture.gather()
    pair = playing(capture)
    say(pair, *TALK[:6])
    assert not capture.watch()
    HOW[how](path)
    say(pair, TALK[6])  # between two looks
    assert capture.watch()
    pair.relay.rejoin()
    assert not capture.watch()
    say(pair, *TALK[7:])
    pair.relay.ended(True)
    pair.relay.ended(False)
    whole = Pair(Pipeline(Witness()), "smtp", capture, number=2)
    say(whole, *TALK)
    whole.relay.ended(False)
    whole.relay.ended(True)
    capture.close()

    assert len(alarms) == 1
    assert "begun anew, 1 open session goes on in the new file" in alarms[0]
    events = list(read(str(path)))
    assert [event.joined for event in events if isinstance(event, Opened)] == [True, False]
    witness = told(path)
    assert [line for line in witness.told if line[0] == "closed"] == [("closed", "client closed"), ("closed", "server closed")]
    assert [body for body, complete in witness.messages if complete][-1] == b"Subject: x\r\n\r\nbody\r\n"
    assert octets(path) == {True: b"".join(line[1:] for line in (*TALK[7:], *TALK) if line[:1] == b"C"),
                            False: b"".join(line[1:] for line in (*TALK[7:], *TALK) if line[:1] == b"S")}
    if how == "moved":
        assert octets(path.with_suffix(".1"))[True] == b"".join(line[1:] for line in TALK[:6] if line[:1] == b"C")
    assert path.stat().st_mode & 0o777 == 0o600


@settings(max_examples=60, deadline=None)
@given(st.integers(0, sum(map(len, TALK))), st.booleans())
def test_wherever_it_is_cut_nothing_after_it_is_lost(tmp_path_factory: pytest.TempPathFactory, at: int,
                                                     half_closed: bool) -> None:
    """In the middle of a line, of a content, after a FIN: all octets after the cut stand in the new file, without a gap, and are
    read without a fault."""
    path = tmp_path_factory.mktemp("cut") / "a.pcapng"
    capture = CaptureWriter(str(path), alarm=lambda text: None)
    pair = playing(capture)
    stream = [(line[:1], line[1 + place:2 + place]) for line in TALK for place in range(len(line) - 1)]
    for side, octet in stream[:at]:
        say(pair, side + octet)
    if half_closed:
        pair.relay.ended(True)
    path.unlink()
    assert capture.watch()
    pair.relay.rejoin()
    rest = [(side, octet) for side, octet in stream[at:] if not (half_closed and side == b"C")]
    for side, octet in rest:
        say(pair, side + octet)
    pair.relay.ended(True)
    pair.relay.ended(False)
    capture.close()
    assert octets(path) == {client: b"".join(octet for side, octet in rest if (side == b"C") is client)
                            for client in (True, False)}
    witness = told(path)
    assert witness.told[-1] == ("closed", "client closed")
    assert not {"parser_fault", "capture_gap"} & {name for name, _ in witness.anomalies}


def test_what_cannot_be_read_from_its_middle_is_not_guessed(tmp_path: Path) -> None:
    """TLS that nobody looks into, in the middle of its records; and TLS that is seen in the clear."""
    path = tmp_path / "a.pcapng"
    capture = CaptureWriter(str(path), alarm=lambda text: None)
    veiled, clear = playing(capture), Pair(Pipeline(Witness()), "smtp", capture, number=2)
    for pair in (veiled, clear):
        say(pair, b"S220 mx\r\n", b"CEHLO a\r\n", b"S250-mx\r\n250 STARTTLS\r\n", b"CSTARTTLS\r\n", b"S220 go\r\n")
    veiled.c(b"\x16\x03\x01\x00\x04abcd")
    clear.relay.note([Finding("tls", "", {"leg": "server"})], True)
    path.unlink()
    assert capture.watch()
    for pair in (veiled, clear):
        pair.relay.rejoin()
    veiled.s(b"\x17\x03\x03\x00\x10MAIL FROM:<x@y>\r\n250 no\r\n")
    say(clear, b"CEHLO a\r\n", b"S250 mx\r\n")
    capture.close()
    witness = told(path)
    assert [pdu.kind for pdu in witness.pdus] == ["command", "reply", "opaque"]
    assert [event.flow.secure for event in read(str(path)) if isinstance(event, Opened)] == [False, True]


def test_a_name_without_address_goes_along(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    capture = CaptureWriter(str(path), alarm=lambda text: None)
    flow = Flow(1, Address("192.0.2.1", 4000), Address("pop.example", 110), 1_700_000_000_000_000, "pop3")
    capture.open(flow)
    path.unlink()
    assert capture.watch()
    capture.rejoin(flow, flow.opened + 9, False, False)
    capture.note(flow, (), False, flow.opened + 10, Words(reason="server name not resolved"))
    capture.close()
    opened, noted = read(str(path))
    assert isinstance(noted, Noted)
    assert opened.flow.server == flow.server
    assert opened.flow.opened == flow.opened + 9


@pytest.mark.skipif(not shutil.which("tshark"), reason="needs tshark")
def test_other_programs_read_it(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    capture = CaptureWriter(str(path), alarm=lambda text: None)
    pair = playing(capture)
    say(pair, *TALK[:8])
    path.unlink()
    assert capture.watch()
    pair.relay.rejoin()
    say(pair, *TALK[8:])
    pair.relay.ended(True)
    pair.relay.ended(False)
    capture.close()
    said = subprocess.run(["tshark", "-r", str(path), "-o", "tcp.check_checksum:TRUE", "-T", "fields", "-e",
                           "_ws.expert.message"], check=True, capture_output=True, text=True).stdout
    assert not [flaw for flaw in ("not captured", "Bad checksum", "previous segment") if flaw.lower() in said.lower()]


# What is in the way


def planted(path: Path, what: str) -> None:
    if what == "link":
        path.symlink_to(path.with_name("target"))
    elif what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"no capture\n" * 100)


@pytest.mark.parametrize("what", ["link", "folder", "pipe", "another file"])
def test_what_is_in_the_way_is_left_alone(tmp_path: Path, what: str) -> None:
    """The open file is written on, it is told once, and as soon as the way is free the capture begins anew."""
    path = tmp_path / "a.pcapng"
    alarms: list[str] = []
    capture = CaptureWriter(str(path), alarm=alarms.append)
    pair = playing(capture)
    say(pair, *TALK[:3])
    moved(path)
    planted(path, what)
    for line in TALK[3:6]:
        assert not capture.watch()
        say(pair, line)
    assert len(alarms) == 1
    assert "cannot be begun anew" in alarms[0]
    assert octets(path.with_suffix(".1"))[True] == b"".join(line[1:] for line in TALK[:6] if line[:1] == b"C")
    assert not path.with_name("target").exists()
    shutil.rmtree(path) if what == "folder" else path.unlink()
    assert capture.watch()
    pair.relay.rejoin()
    say(pair, *TALK[6:])
    capture.close()
    assert octets(path)[True] == b"".join(line[1:] for line in TALK[6:] if line[:1] == b"C")


def refusing(code: int) -> Callable[..., int]:
    """Opens nothing."""
    def refuse(path: str, *_: object) -> int:
        raise OSError(code, os.strerror(code), path)

    return refuse


@pytest.mark.parametrize("how", ["full", "permission"])
def test_a_disk_that_refuses_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    path = tmp_path / "a.pcapng"
    alarms: list[str] = []
    capture = CaptureWriter(str(path), alarm=alarms.append)
    pair = playing(capture)
    say(pair, *TALK[:3])
    moved(path)
    with monkeypatch.context() as patched:
        patched.setattr("inspector.capture.file.open_file", refusing(errno.ENOSPC if how == "full" else errno.EACCES))
        for line in TALK[3:6]:
            assert not capture.watch()
            say(pair, line)
    assert len(alarms) == 1
    assert capture.watch()
    pair.relay.rejoin()
    say(pair, *TALK[6:])
    capture.close()
    assert octets(path)[True] == b"".join(line[1:] for line in TALK[6:] if line[:1] == b"C")
    assert octets(path.with_suffix(".1"))[True] == b"".join(line[1:] for line in TALK[:6] if line[:1] == b"C")


# Logs


@pytest.mark.parametrize("how", HOW)
def test_a_log_is_begun_anew(tmp_path: Path, capfd: pytest.CaptureFixture[str], how: str) -> None:
    """What was gathered before goes where the file has gone; told once."""
    path = tmp_path / "folder" / "a.log"
    path.parent.mkdir(mode=0o700)
    outputs = Outputs(live=True)
    log = outputs.open(str(path))
    log.write(b"one\n")
    outputs.watch()
    HOW[how](path)
    log.write(b"two\n")
    outputs.watch()
    log.write(b"three\n")
    outputs.watch()
    assert path.read_text() == ("two\nthree\n" if how == "emptied" else "three\n")
    if how == "moved":
        assert path.with_suffix(".1").read_text() == "one\ntwo\n"
    assert outputs.open(str(path)) is log
    outputs.close()
    said = capfd.readouterr().err
    assert said.count("a.log") == 1
    assert ("lines go on in it" if how == "emptied" else "begun anew") in said
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("what", ["link", "folder", "pipe"])
def test_a_log_is_not_written_through_what_was_planted(tmp_path: Path, capfd: pytest.CaptureFixture[str], what: str) -> None:
    path = tmp_path / "a.log"
    outputs = Outputs(live=True)
    log = outputs.open(str(path))
    moved(path)
    planted(path, what)
    for _ in range(3):
        log.write(b"line\n")
        outputs.watch()
    assert path.with_suffix(".1").read_text() == "line\n" * 3
    shutil.rmtree(path) if what == "folder" else path.unlink()
    outputs.watch()
    log.write(b"again\n")
    outputs.close()
    assert path.read_text() == "again\n"
    assert capfd.readouterr().err.count("cannot be begun anew") == 1


