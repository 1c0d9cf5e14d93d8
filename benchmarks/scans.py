"""What captures of scans and floods cost to read: flows that never were, or of which nobody saw the end.

`python benchmarks/scans.py --mailspy .venv/bin/mailspy` makes a capture of each kind, reads it, and prints time and memory for
n flows and for twice as many; `--command "sessions --json"` reads with another command.  Knows packets and processes.  Must
not know how anybody reads them.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import NamedTuple

SYN, FIN, RST, ACK = 2, 1, 4, 16
RECORD = Struct("<IIII")
IP = Struct(">BBHHHBBH4s4s")
TCP = Struct(">HHIIBBHHH")
ETHERNET = b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0"
HEAD = Struct("<IHHiIII").pack(0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)


class Sent(NamedTuple):
    """A packet of a flow whose sides begin at 0 and 1,000."""

    up: bool
    flags: int
    seq: int
    ack: int = 0
    payload: bytes = b""


OPEN = (Sent(True, SYN, 0), Sent(False, SYN | ACK, 1_000, 1), Sent(True, ACK, 1, 1_001))
KINDS: dict[str, tuple[Sent, ...]] = {
    "syn": OPEN[:1],
    "refused": (OPEN[0], Sent(False, RST | ACK, 0, 1)),
    "half-open": OPEN[:2],
    "silent": OPEN,
    "fin": (*OPEN, Sent(True, FIN | ACK, 1, 1_001)),
    "closed": (*OPEN, Sent(True, FIN | ACK, 1, 1_001), Sent(False, FIN | ACK, 1_001, 2)),
    "octets": (*OPEN, Sent(True, ACK, 1, 1_001, b"ab")),
    "web": (*OPEN, Sent(True, ACK, 1, 1_001, b"GET / HTTP/1.1\r\n\r\n")),
    "joined": (Sent(True, ACK, 1, 1_001, b"ab"),),
    "late": (Sent(True, ACK, 1, 1_001, b"ab"), Sent(True, ACK, 9, 1_001, b"ij")),
    "greeted": (*OPEN, Sent(False, ACK, 1_001, 1, b"220 mx.example ESMTP\r\n")),
    "same-port": OPEN[:1],
}


def frames(kind: str, count: int, port: int, gap: int) -> Iterator[bytes]:
    """The packets of so many flows, one flow after the other, `gap` microseconds between packets."""
    time = 1_700_000_000_000_000
    for number in range(count):
        far = 0 if kind == "same-port" else number
        client = (10 << 24) + 1 + far // 50_000
        source = 1_024 + far % 50_000
        start = number * 7_919
        for sent in KINDS[kind]:
            time += gap
            ends = (client.to_bytes(4, "big"), b"\xc0\0\2\x0a")
            ports = (source, port)
            if not sent.up:
                ends, ports = (ends[1], ends[0]), (port, source)
            size = 40 + len(sent.payload)
            yield RECORD.pack(time // 1_000_000, time % 1_000_000, 14 + size, 14 + size)
            yield ETHERNET + IP.pack(0x45, 0, size, 0, 0, 64, 6, 0, *ends)
            yield TCP.pack(*ports, sent.seq + start & 0xFFFFFFFF, sent.ack and sent.ack + start & 0xFFFFFFFF, 0x50, sent.flags,
                           4_096, 0, 0) + sent.payload


def write(path: Path, kind: str, count: int, port: int, gap: int) -> None:
    """A pcap file."""
    with path.open("wb") as file:
        file.write(HEAD)
        file.writelines(frames(kind, count, port, gap))


def measured(command: list[str]) -> tuple[float, float]:
    """CPU seconds and the peak of RSS in MiB of a process and its children."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{shlex.join(command)}: ended with {status}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1_024


def main() -> None:
    """Makes, reads, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mailspy", default=str(Path(sys.executable).with_name("mailspy")))
    parser.add_argument("--command", default="replay --quiet")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--flows", type=int, default=100_000)
    parser.add_argument("--port", type=int, default=2_222)
    parser.add_argument("--gap", type=int, default=10, help="microseconds between packets")
    given = parser.parse_args()
    print(f"{'kind':<10} {'flows':>9} {'CPU s':>7} {'MiB':>6} {'CPU s':>7} {'MiB':>6}  (twice as many flows)")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.pcap"
        for kind in given.kinds.split(","):
            figures = []
            for count in (given.flows, 2 * given.flows):
                write(path, kind, count, given.port, given.gap)
                figures.append(measured([given.mailspy, *shlex.split(given.command), str(path)]))
            print(f"{kind:<10} {given.flows:>9,} " + " ".join(f"{cpu:7.2f} {mib:6.0f}" for cpu, mib in figures), flush=True)


if __name__ == "__main__":
    main()
