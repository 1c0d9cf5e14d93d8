"""Where captures come from: folders, standard input, compressed files, files that grow; several as one."""

from __future__ import annotations

import gzip
import signal
import subprocess
import sys
import threading
from pathlib import Path
from struct import pack

import pytest
import zstandard

from inspector.capture.reader import Progress, Reading, read_batches
from inspector.capture.source import expanded, opened
from inspector.cli import main
from inspector.errors import CaptureError
from inspector.segment import Opened, Segment

CAPTURES = Path(__file__).parent.parent / "captures"
SHEET = CAPTURES / "pop3-sheet.pcapng"
WORDS = SHEET.read_bytes()


def sent(paths: list[Path], **how) -> list[bytes]:
    return [event.data for batch in read_batches(list(map(str, paths)), how=Reading(**how)) for event in batch
            if isinstance(event, Segment)]


PLAIN = sent([SHEET])

FORMS = {
    "plain": WORDS,
    "gzip": gzip.compress(WORDS),
    "gzip in two members": gzip.compress(WORDS[:999]) + gzip.compress(WORDS[999:]),
    "zstd": zstandard.compress(WORDS),
    "zstd in two frames": zstandard.compress(WORDS[:999]) + zstandard.compress(WORDS[999:]),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_compressed_capture_is_the_same_capture(form: str, tmp_path: Path) -> None:
    """Its name tells nothing."""
    path = tmp_path / "capture.txt"
    path.write_bytes(FORMS[form])
    assert sent([path]) == PLAIN


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_what_a_torn_compressed_capture_holds_is_read(form: str, tmp_path: Path) -> None:
    path = tmp_path / "torn"
    octets = FORMS[form] if form == "gzip" else zstandard.ZstdCompressor(level=1).compress(WORDS * 1)
    for size in (len(octets) - 20, len(octets) // 2, 20, 5):
        path.write_bytes(octets[:size])
        batches = read_batches([str(path)])
        found: list[bytes] = []
        try:
            for batch in batches:
                found += [event.data for event in batch if isinstance(event, Segment)]
        except CaptureError as error:
            assert "torn" in str(error)  # noqa: PT017 - the batches before it count
        assert found == PLAIN[:len(found)]


@pytest.mark.parametrize("octets", [b"\x1f\x8b", b"\x1f\x8bnonsense", b"\x28\xb5\x2f\xfdnonsense", b"", b"\x0a", b"nonsense"])
def test_what_is_no_capture_is_an_error(octets: bytes, tmp_path: Path) -> None:
    path = tmp_path / "odd"
    path.write_bytes(octets)
    try:
        assert sent([path]) == []
    except CaptureError as error:
        assert "odd" in str(error)  # noqa: PT017 - an empty file is torn, which is a warning
        assert not error.damaged  # noqa: PT017


def test_a_folder_is_its_captures(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.pcap.gz").write_bytes(FORMS["gzip"])
    (tmp_path / "a.pcapng").write_bytes(WORDS)
    (tmp_path / "notes.txt").write_text("no capture")
    (tmp_path / ".hidden.pcapng").write_bytes(WORDS)
    told: list[str] = []
    files = expanded([str(tmp_path), str(SHEET)], told.append)
    assert [Path(file).name for file in files] == ["a.pcapng", "2.pcap.gz", "pop3-sheet.pcapng"]
    assert told == [f"{tmp_path}: 1 files that are no captures left out"]


def test_a_folder_without_captures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="no capture in this folder"):
        expanded([str(tmp_path)], print)


def test_standard_input(tmp_path: Path) -> None:
    """A pipe; several programs write into one."""
    done = subprocess.run([sys.executable, "-m", "inspector", "sessions", "--json", "-"], input=FORMS["gzip"],
                          capture_output=True, check=True, timeout=60)
    assert done.stdout.count(b'"event": "session"') == 1


def test_a_file_that_grows_is_followed(tmp_path: Path) -> None:
    path, idle = tmp_path / "growing.pcapng", threading.Event()
    path.write_bytes(WORDS[:700])
    found: list[bytes] = []

    def follow() -> None:
        try:
            for batch in read_batches([str(path)], how=Reading(idle=idle.set)):
                found.extend(event.data for event in batch if isinstance(event, Segment))
                if found == PLAIN:
                    return
        finally:
            idle.set()

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    for size in range(900, len(WORDS) + 400, 400):
        assert idle.wait(20)
        idle.clear()
        assert found == PLAIN[:len(found)]
        with path.open("ab") as file:
            file.write(WORDS[size - 200 if size == 900 else size - 400:size])
    thread.join(20)
    assert found == PLAIN


def hearing() -> None:
    """A shell has what it runs in the background ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_follow_shows_what_came_until_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "growing.pcapng"
    path.write_bytes(WORDS[:2000])
    with subprocess.Popen([sys.executable, "-m", "inspector", "replay", "--follow", str(path)], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, preexec_fn=hearing) as process:
        shown = b""
        while b"USER" not in shown:
            shown += process.stdout.readline()
        with path.open("ab") as file:
            file.write(WORDS[2000:])
        while b"signing off" not in shown:
            shown += process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


# Several captures


def cut(path: Path, folder: Path) -> list[Path]:
    """A capture as two files, packets taken in turns: a connection goes from file to file."""
    blocks, at = [], 0
    octets = path.read_bytes()
    while at < len(octets):
        size = int.from_bytes(octets[at + 4:at + 8])
        blocks.append(octets[at:at + size])
        at += size
    heads = [block for block in blocks if block[:4] in (b"\n\r\r\n", b"\0\0\0\1")]
    packets = [block for block in blocks if block[:4] == b"\0\0\0\6"]
    assert len(packets) > 10
    files = [folder / "1.pcapng", folder / "2.pcapng"]
    for number, file in enumerate(files):
        file.write_bytes(b"".join(heads + packets[number::2]))
    return files


def test_merged_captures_are_one(tmp_path: Path) -> None:
    for capture in ("pop3-sheet", "smtp-pipelining", "lmtp-two-recipients"):
        path = CAPTURES / f"{capture}.pcapng"
        files = cut(path, tmp_path)
        assert sent(files, merge=True) == sent([path])
        assert sent(files) != sent([path])


def test_damage_in_one_file_hides_no_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "damaged.pcapng"
    damaged.write_bytes(WORDS[:2240] + pack(">II", 6, 3) + bytes(40))
    assert main(["sessions", "--json", str(damaged), str(SHEET)]) == 1
    out = capsys.readouterr()
    assert out.out.count('"event": "session"') == 2
    assert "damaged.pcapng: a block with the impossible length 3 at octet 2240" in out.err


def test_a_file_that_cannot_be_read_at_all_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sessions", "--json", str(SHEET), str(tmp_path / "none")]) == 2
    out = capsys.readouterr()
    assert out.out.count('"event": "session"') == 1
    assert "cannot be opened" in out.err


@pytest.mark.parametrize("arguments", [["--follow", str(SHEET), str(SHEET)], ["--follow", "--merge", str(SHEET)], ["-", "-"]])
def test_what_does_not_go_together(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", *arguments]) == 2
    assert "leave" in (said := capsys.readouterr().err) or "name one" in said


def test_progress_counts_octets_of_the_file_and_packets(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(FORMS["gzip"])
    told: list[Progress] = []
    sent([path, SHEET], progress=told.append)
    assert told[-1].octets == len(FORMS["gzip"]) + len(WORDS)
    assert told[-1].packets > 40
    assert told == sorted(told)


def test_a_compressed_capture_is_not_unpacked_ahead(tmp_path: Path) -> None:
    """A hundred megabytes of nothing in a hundred kilobytes: they are not kept."""
    import tracemalloc

    path = tmp_path / "bomb.gz"
    interface = WORDS[:400]
    path.write_bytes(gzip.compress(interface[:int.from_bytes(WORDS[4:8])] + bytes(100_000_000)))
    tracemalloc.start()
    try:
        with pytest.raises(CaptureError), opened(str(path)) as source:
            assert source.head
            sent([path])
            raise CaptureError("a torn file is only a warning")
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_flows_go_on_from_file_to_file() -> None:
    numbers = [event.flow.number for batch in read_batches([str(SHEET), str(SHEET)]) for event in batch
               if isinstance(event, Opened)]
    assert numbers == [1, 2]


