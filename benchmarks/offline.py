"""Captures read by mailspy and by others, in one run: wall time and memory, and the ratio to mailspy's.

`python benchmarks/offline.py --mailspy .venv/bin/mailspy` makes three captures and prints a table:

    O1   short POP3 sessions with a letter each, 50 at a time
    O2   SMTP sessions with a message of 2 MB each, 8 at a time
    O3   O2, one packet in a hundred swapped with the next or sent twice

Peers that are not installed are left out.  In every other round the last comes first.

Knows packets and processes.  Must not know how anybody reads them.
"""

from __future__ import annotations

import argparse
import base64
import os
import random
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from struct import Struct

SEGMENT = 1448
RECORD = Struct("<IIII")
IP = Struct(">BBHHHBBH4s4s")
TCP = Struct(">HHIIBBHHH")
ETHERNET = b"\2\0\0\0\0\1\2\0\0\0\0\2\x08\0"
LETTER = b"\r\n".join([
    b"From: alice@example.org", b"To: bob@example.org", b"Subject: a letter", b"Date: Thu, 28 May 2026 20:26:40 +0000",
    b"Message-ID: <1@example.org>", b"Received: from a.example ([192.0.2.1]) by b.example; Thu, 28 May 2026 20:26:39 +0000",
    b"MIME-Version: 1.0", b"Content-Type: text/plain; charset=utf-8", b"", *[b"A line of a letter, as there are many."] * 8, b""])

DPKT = """
import dpkt, sys
streams = {}
with open(sys.argv[1], "rb") as file:
    for _, frame in dpkt.pcap.Reader(file):
        ip = dpkt.ethernet.Ethernet(frame).data
        tcp = ip.data
        if tcp.data:
            streams[ip.src, tcp.sport, ip.dst, tcp.dport] = tcp.seq + len(tcp.data)
print(len(streams))
"""
"""Packets taken apart, and nothing done with them."""


class Connection:
    """The packets of one connection, one after the other."""

    def __init__(self, number: int, port: int) -> None:
        self.ends = (bytes((10, 1, number >> 8 & 255, number & 255)), b"\xc0\0\2\x0a")
        self.ports = (1024 + number % 60_000, port)
        self.numbers = [number * 7919 & 0xFFFFFFFF, number * 104_729 & 0xFFFFFFFF]

    def packet(self, way: int, flags: int, payload: bytes = b"") -> bytes:
        """An Ethernet frame; the checksums are left to the network card."""
        seq, ack = self.numbers[way], self.numbers[1 - way]
        self.numbers[way] = (seq + len(payload) + bool(flags & 3)) & 0xFFFFFFFF
        head = IP.pack(0x45, 0, 40 + len(payload), 0, 0x4000, 64, 6, 0, self.ends[way], self.ends[1 - way])
        tcp = TCP.pack(self.ports[way], self.ports[1 - way], seq, ack if flags & 16 else 0, 0x50, flags, 65_535, 0, 0)
        return ETHERNET + head + tcp + payload

    def packets(self, talk: list[tuple[int, bytes]]) -> Iterator[bytes]:
        """Handshake, talk, acknowledgements, end."""
        yield self.packet(0, 2)
        yield self.packet(1, 18)
        yield self.packet(0, 16)
        for way, octets in talk:
            for place in range(0, len(octets), SEGMENT):
                yield self.packet(way, 24, octets[place:place + SEGMENT])
                if place // SEGMENT % 2:
                    yield self.packet(1 - way, 16)
        yield self.packet(0, 17)
        yield self.packet(1, 17)
        yield self.packet(0, 16)


def pop3(number: int) -> list[tuple[int, bytes]]:
    """A session with a letter."""
    return [(1, b"+OK ready\r\n"), (0, b"USER bob%d\r\n" % number), (1, b"+OK\r\n"), (0, b"PASS secret\r\n"), (1, b"+OK\r\n"),
            (0, b"STAT\r\n"), (1, b"+OK 1 %d\r\n" % len(LETTER)), (0, b"RETR 1\r\n"),
            (1, b"+OK\r\n" + LETTER + b".\r\n"), (0, b"DELE 1\r\n"), (1, b"+OK\r\n"), (0, b"QUIT\r\n"), (1, b"+OK bye\r\n")]


def smtp(number: int) -> list[tuple[int, bytes]]:
    """A session with an attachment of 1.46 MB, 2 MB in base64."""
    lines = base64.encodebytes(random.Random(number % 4).randbytes(1_460_000)).replace(b"\n", b"\r\n")
    message = (b"From: a@example.org\r\nTo: b@example.org\r\nSubject: a file %d\r\nMIME-Version: 1.0\r\n"
               b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nHere it is.\r\n--x\r\n"
               b"Content-Type: application/octet-stream; name=file.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n" % number)
    return [(1, b"220 mx ESMTP\r\n"), (0, b"EHLO c\r\n"), (1, b"250 mx\r\n"), (0, b"MAIL FROM:<a@example.org>\r\n"),
            (1, b"250 ok\r\n"), (0, b"RCPT TO:<b@example.org>\r\n"), (1, b"250 ok\r\n"), (0, b"DATA\r\n"), (1, b"354 go\r\n"),
            (0, message + lines + b"--x--\r\n.\r\n"), (1, b"250 ok\r\n"), (0, b"QUIT\r\n"), (1, b"221 bye\r\n")]


def interleaved(talk: Callable[[int], list[tuple[int, bytes]]], port: int, sessions: int, width: int) -> Iterator[bytes]:
    """The packets of many sessions, `width` at a time, in turns."""
    waiting = (Connection(number, port).packets(talk(number)) for number in range(1, sessions + 1))
    running = list(islice(waiting, width))
    while running:
        for packets in list(running):
            packet = next(packets, None)
            if packet is not None:
                yield packet
                continue
            running.remove(packets)
            running.extend(islice(waiting, 1))


def disorder(packets: Iterator[bytes]) -> Iterator[bytes]:
    """One in a hundred swapped with the next, or twice."""
    dice, held = random.Random(1), b""
    for packet in packets:
        chance = dice.random()
        if held:
            yield packet
            yield held
            held = b""
        elif chance < 0.005:
            held = packet
        else:
            yield packet
            if chance < 0.01:
                yield packet
    if held:
        yield held


def make(path: Path, packets: Iterator[bytes]) -> int:
    """Writes a pcap file; its size."""
    time_ = 1_780_000_000_000_000
    with path.open("wb", buffering=1 << 20) as file:
        file.write(bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"))
        for packet in packets:
            time_ += 40
            file.write(RECORD.pack(time_ // 1_000_000, time_ % 1_000_000, len(packet), len(packet)) + packet)
    return path.stat().st_size


def run(command: list[str], out: str) -> tuple[float, float]:
    """Seconds and the peak of memory in MiB."""
    begun = time.perf_counter()
    with open(out, "wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with code {process.returncode}")
    return time.perf_counter() - begun, usage.ru_maxrss / 1024


def main() -> None:
    """Makes the captures, runs everybody in turns, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mailspy", action="append", metavar="CMD",
                        help="the command that starts mailspy; a second one measures another build in the same run, as mailspy-2")
    parser.add_argument("--scale", type=float, default=1.0, help="of 20,000 and 200 sessions")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--works", default="O1,O2,O3")
    options = parser.parse_args()
    options.mailspy = options.mailspy or ["mailspy"]
    sessions = max(1, int(20_000 * options.scale)), max(1, int(200 * options.scale))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        makers: dict[str, Callable[[], Iterator[bytes]]] = {
            "O1": lambda: interleaved(pop3, 110, sessions[0], 50), "O2": lambda: interleaved(smtp, 25, sessions[1], 8),
            "O3": lambda: disorder(interleaved(smtp, 25, sessions[1], 8))}
        for work in options.works.split(","):
            capture = place / f"{work}.pcap"
            size = make(capture, makers[work]())
            table(work, str(capture), size, options, place)
            capture.unlink()


def table(work: str, capture: str, size: int, options: argparse.Namespace, place: Path) -> None:
    """One work."""
    out = str(place / "out")
    order = ["-o", "tcp.reassemble_out_of_order:TRUE"] if work == "O3" else []
    fields = [part for name in ("frame.number", "tcp.stream", "pop.request.command", "pop.response.indicator", "smtp.req.command",
                                "smtp.response.code", "imf.from", "imf.subject") for part in ("-e", name)]
    builds = {f"mailspy-{number}" if number > 1 else "mailspy": [*shlex.split(command), "replay", "--json", capture]
              for number, command in enumerate(options.mailspy, 1)}
    commands = {**builds, **{f"{name} --jobs 2": [*command, "--jobs", "2"] for name, command in builds.items()},
                "tshark fields": ["tshark", "-n", *order, "-r", capture, "-Y", "pop||smtp", "-T", "fields", *fields],
                "tshark imf": ["tshark", "-n", *order, "-r", capture, "-q", "--export-objects", f"imf,{place / 'objects'}"],
                "bare dpkt loop": [sys.executable, "-c", DPKT, capture],
                "tcpflow": ["tcpflow", "-q", "-r", capture, "-o", str(place / "objects")]}
    if work == "O1":
        del commands["tshark imf"]
    times: dict[str, list[float]] = {}
    peaks: dict[str, float] = {}
    for number in range(options.rounds):
        for name, command in list(commands.items())[::1 - 2 * (number % 2)]:
            if shutil.which(command[0]) is None or (command[1] == "-c" and find_spec("dpkt") is None):
                continue
            shutil.rmtree(place / "objects", ignore_errors=True)
            (place / "objects").mkdir()
            took, peak = run(command, out)
            times.setdefault(name, []).append(took)
            peaks[name] = max(peak, peaks.get(name, 0))
    own = statistics.median(times["mailspy"])
    print(f"\n{work}: {size / 1e6:.0f} MB")
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        print(f"  {name:18} {middle:7.2f} s ({min(seconds):.2f}-{max(seconds):.2f})  {size / 1e6 / middle:7.1f} MB/s  "
              f"{peaks[name]:6.0f} MiB  {middle / own:5.2f} of mailspy's time", flush=True)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
