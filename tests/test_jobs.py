"""Several processes read a capture; the output is that of one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CAPTURES = Path(__file__).parent.parent / "captures"
ALL = [str(path) for path in sorted(CAPTURES.glob("*.pcapng"))]


def replay(*arguments: str, folder: Path | None = None) -> tuple[int, bytes, bytes]:
    done = subprocess.run([sys.executable, "-m", "inspector", "replay", *arguments], capture_output=True, check=False,
                          timeout=120, cwd=folder)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("arguments", [
    [], ["--json"], ["--quiet"], ["--verbose"], ["--merge"], ["--filter", "status == 550 or verb == RETR"],
    ["--json", "--filter", "session(anomaly == cleartext_credentials)"], ["--local-domain", "cnam.fr"],
], ids=" ".join)
def test_the_output_is_that_of_one_process(arguments: list[str]) -> None:
    one = replay(*arguments, *ALL)
    assert one[0] == 0
    assert one[1].count(b"\n") > 2
    for jobs in ("2", "3"):
        assert replay("--jobs", jobs, *arguments, *ALL) == one


def test_a_log_beside_it(tmp_path: Path) -> None:
    """Two views in one run, each with heads of its own."""
    for jobs in ("1", "2"):
        (tmp_path / jobs).mkdir()
        assert replay("--jobs", jobs, "--json", "--log", "view.txt", *ALL, folder=tmp_path / jobs)[0] == 0
    assert (tmp_path / "1" / "view.txt").read_bytes() == (tmp_path / "2" / "view.txt").read_bytes()
    assert b"\0" not in (tmp_path / "2" / "view.txt").read_bytes()


def test_standard_input_is_shared_too() -> None:
    words = (CAPTURES / "smtp-pipelining.pcapng").read_bytes()
    outcomes = [subprocess.run([sys.executable, "-m", "inspector", "replay", "--json", *jobs, "-"], input=words,
                               capture_output=True, check=True, timeout=60).stdout for jobs in ([], ["--jobs", "2"])]
    assert outcomes[0] == outcomes[1] != b""


def test_damage_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "damaged.pcapng"
    words = Path(ALL[1]).read_bytes()
    path.write_bytes(words[:len(words) // 2 // 4 * 4] + b"\xff" * 50)
    one, two = (replay("--jobs", jobs, str(path)) for jobs in ("1", "2"))
    assert one == two
    assert one[2].count(b"damaged.pcapng") == 1


def test_a_mistake_in_an_option_is_told_by_one_worker(tmp_path: Path) -> None:
    code, out, said = replay("--jobs", "3", "--attachments", "/proc/none", ALL[0])
    assert (code, out) == (2, b"")
    assert said.count(b"--attachments /proc/none") == 1
    code, out, said = replay("--jobs", "3", "--log", str(tmp_path / "none" / "x.json"), ALL[0])
    assert (code, out) == (2, b"")
    assert b"its folder does not exist" in said


def test_what_does_not_go_with_jobs() -> None:
    code, _, said = replay("--jobs", "2", "--speed", "1", ALL[0])
    assert code == 2
    assert b"--speed and --jobs" in said
    code, _, said = replay("--jobs", "2", "--follow", ALL[0])
    assert code == 2
    assert b"--follow and --jobs" in said
    assert replay("--jobs", "0", ALL[0])[0] == 2


@pytest.mark.parametrize("age", [0, 0.4, 1])
@pytest.mark.parametrize("which", [0, 1])
def test_a_worker_that_dies_is_noticed(age: float, which: int) -> None:
    """Killed while the capture still comes, before it has said anything or after; nothing hangs."""
    words = Path(ALL[1]).read_bytes()
    with subprocess.Popen([sys.executable, "-m", "inspector", "replay", "--jobs", "2", "-"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdin.write(words[:len(words) // 2])
        process.stdin.flush()
        children: list[str] = []
        while len(children) < 2:
            time.sleep(0.05)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        time.sleep(age)
        os.kill(int(children[which]), signal.SIGKILL)
        time.sleep(0.1)
        _, said = process.communicate(words[len(words) // 2:], timeout=30)
    assert process.returncode in (1, 2)
    assert b"a worker process has died" in said


def test_nobody_reads_the_output() -> None:
    with subprocess.Popen([sys.executable, "-m", "inspector", "replay", "--jobs", "2", "--json", *ALL * 20],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(60) in (0, 1)
    assert b"Traceback" not in said


def test_disorder_fragments_and_ends_are_shared_alike(tmp_path: Path) -> None:
    """Many flows at a time, packets swapped and lost, flows open at the end of a file, files after each other."""
    from scapy.layers.inet import IP, TCP, fragment
    from scapy.layers.l2 import Ether
    from scapy.utils import wrpcap

    dice = random.Random(7)
    link = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    for number in (1, 2):
        packets = []
        for flow in range(60):
            up = link / IP(src=f"192.0.2.{flow}", dst="198.51.100.1") / TCP(sport=40_000 + flow, dport=110)
            down = link / IP(src="198.51.100.1", dst=f"192.0.2.{flow}") / TCP(sport=110, dport=40_000 + flow)
            some = []
            for packet, flags, payload, seq, ack in (
                    (up, "S", b"", 99, 0), (down, "SA", b"", 199, 100), (down, "PA", b"+OK hi\r\n", 200, 100),
                    (up, "PA", b"USER u\r\n", 100, 208), (down, "PA", b"+OK\r\n", 208, 108),
                    (up, "PA", b"QUIT\r\n", 108, 213), (down, "PA", b"+OK bye\r\n", 213, 114), (down, "FA", b"", 222, 114),
                    (up, "FA", b"", 114, 223))[:dice.choice((4, 7, 9, 9, 9))]:
                one = packet.copy()
                one[TCP].flags, one[TCP].seq, one[TCP].ack = flags, seq, ack
                some += fragment(one / payload, 8) if payload and dice.random() < 0.1 else [one / payload]
            packets.append(some)
        frames = []
        while packets := [some for some in packets if some]:
            some = dice.choice(packets)
            frames.append(some.pop(min(len(some) - 1, dice.choice((0, 0, 0, 1)))))
            if dice.random() < 0.05:
                frames.pop()
        wrpcap(str(tmp_path / f"{number}.pcap"), frames)
    names = [str(tmp_path / "1.pcap"), str(tmp_path / "2.pcap")]
    for arguments in (["--json"], [], ["--json", "--merge"]):
        one = replay(*arguments, *names)
        assert one[0] == 0
        assert one[1].count(b"\n") > 500
        for jobs in ("2", "5"):
            assert replay("--jobs", jobs, *arguments, *names) == one
