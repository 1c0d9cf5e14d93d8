"""One run: a peer started afresh between the generator's client and server, warmed up, loaded, measured and ended.

Knows the order of things.  Must not know how results are shown.
"""

from __future__ import annotations

import random
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import generator
import process
from generator import LoadError
from peers import Peer, Ports, Programs
from works import Load, Work

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bench:
    """What all runs share."""

    mailload: Path
    programs: Programs
    scale: float
    timeout: float = 180

    def run(self, work: Work, peer: Peer) -> list[Record]:
        """The records of one run; a failure is a record with an `error`."""
        with TemporaryDirectory(prefix="mailspy-bench-") as folder:
            run = Run(self, work, peer, Path(folder), Ports(*free_ports(4)))
            try:
                return list(run.records())
            except (LoadError, OSError) as error:
                return [{"work": work.name, "peer": peer.name, "error": str(error) + run.last_words()}]


@dataclass(slots=True)
class Run:
    """One peer under one work."""

    bench: Bench
    work: Work
    peer: Peer
    folder: Path
    ports: Ports
    proxy: subprocess.Popen[bytes] | None = None

    def records(self) -> Iterator[Record]:
        """Starts everything, plays the loads, ends everything, and only then believes the proxy."""
        loads = [load.scaled(self.bench.scale) for load in self.work.loads]
        with ExitStack() as running:
            running.enter_context(generator.server(self.bench.mailload, self.ports.back_pop, self.ports.back_smtp,
                                                   max(load.size for load in loads)))
            self.start_proxy(running)
            self.play(self.work.warm_up)
            done = [self.measured(load) for load in loads]
        seen = self.check_records([self.work.warm_up, *loads])
        if len(done) > 1:
            yield from done
        yield {**self.together(done), **seen}

    def start_proxy(self, running: ExitStack) -> None:
        """Starts the peer, if it is one, and waits until both its ports greet."""
        capture = self.folder / "capture" if self.work.capture else None
        command = self.peer.command(self.bench.programs, self.ports, self.folder, capture)
        if command:
            output = running.enter_context((self.folder / "output").open("wb"))
            errors = running.enter_context((self.folder / "errors").open("wb"))
            self.proxy = process.start(command, self.folder, output, errors, own_folders(self.folder))
            running.callback(process.stop, self.proxy)
            for port in (self.ports.pop, self.ports.smtp):
                wait_for_greeting(port, self.proxy)

    def port(self, load: Load) -> int:
        """Where the client connects: to the proxy, or to the server itself."""
        names = ("pop", "smtp") if self.proxy else ("back_pop", "back_smtp")
        return int(getattr(self.ports, names[load.side == "smtp"]))

    def play(self, load: Load, memory: dict[str, int] | None = None) -> Record:
        """Plays a load; memory is read into `memory` while idle sessions are held."""
        def when_held() -> None:
            time.sleep(1)
            if memory is not None and self.proxy:
                memory["held"] = process.memory_kib(self.proxy.pid, "VmRSS")

        return generator.run(self.bench.mailload, load, self.port(load), self.bench.timeout, when_held)

    def measured(self, load: Load) -> Record:
        """A load with the proxy's CPU time and memory around it."""
        if not self.proxy:
            return self.record(load, self.play(load))
        pid, memory, stolen = self.proxy.pid, dict[str, int](), process.stolen()
        cpu = process.settle(pid)
        process.forget_peak(pid)
        memory["before"] = process.memory_kib(pid, "VmRSS")
        report = self.play(load, memory)
        cpu = process.settle(pid) - cpu
        if self.proxy.poll() is not None:
            raise LoadError("the proxy ended during the run")
        memory["peak"] = process.memory_kib(pid, "VmHWM")
        return {**self.record(load, report, cpu, memory), "stolen": share(stolen, process.stolen())}

    def record(self, load: Load, report: Record, cpu: float = 0, memory: dict[str, int] | None = None) -> Record:
        """What is kept of one load."""
        record: Record = {"work": load.name, "peer": self.peer.name, "units": report["units"], "wall": report["wall"]}
        if memory:
            record |= {"cpu": cpu, "rss_kib": memory, "cost": self.cost(load, cpu, memory)}
        return record

    def cost(self, load: Load, cpu: float, memory: dict[str, int]) -> float:
        """Microseconds of CPU a unit, KiB a session, or MiB of growth."""
        if self.work.cost == "session":
            return float(memory["held"] - memory["before"]) / load.total
        if self.work.cost == "peak":
            return float(memory["peak"] - memory["before"]) / 1024
        return cpu / generator.units(load) * 1e6

    def together(self, done: list[Record]) -> Record:
        """All loads of a work as one."""
        if len(done) == 1:
            return done[0]
        total: Record = {key: sum(one[key] for one in done) for key in ("units", "wall", "cpu") if key in done[0]}
        record = {"work": self.work.name, "peer": self.peer.name, **total}
        if "cpu" in total:
            record["cost"] = total["cpu"] / total["units"] * 1e6
        return record

    def check_records(self, loads: list[Load]) -> Record:
        """That mailspy has written what it was asked for: every attachment's hash, and a capture of every octet."""
        if not self.peer.name.startswith("mailspy"):
            return {}
        output = self.folder / "output"
        seen: Record = {"json_octets": output.stat().st_size}
        if not seen["json_octets"]:
            raise LoadError("mailspy wrote no records")
        if self.work.cost == "cpu":
            self.check_hashes(output, loads)
        if self.work.capture:
            seen["capture_octets"] = self.check_capture(loads)
        return seen

    def check_hashes(self, output: Path, loads: list[Load]) -> None:
        """That each attachment was decoded and hashed."""
        for size in {load.size for load in loads if load.attachments}:
            digest = generator.attachment_hash(self.bench.mailload, size).encode()
            with open(output, "rb") as lines:
                found = sum(digest in line.lower() for line in lines)
            wanted = sum(load.attachments for load in loads if load.size == size)
            if found < wanted:
                raise LoadError(f"mailspy reports the SHA-256 of {found} of {wanted} attachments")

    def check_capture(self, loads: list[Load]) -> int:
        """That the capture can hold all that went through."""
        size = sum(path.stat().st_size for path in self.folder.glob("capture*"))
        least = sum(load.attachments * load.size for load in loads) * 0.99
        if not size or size < least:
            raise LoadError(f"the capture has {size} octets, less than went through")
        return size

    def last_words(self) -> str:
        """The end of what the proxy wrote to standard error."""
        errors = self.folder / "errors"
        words = errors.read_bytes()[-300:].decode(errors="replace").strip() if errors.exists() else ""
        return f" [{' | '.join(words.splitlines())}]" if words else ""


def share(before: tuple[int, int], after: tuple[int, int]) -> float:
    """The part of the machine's time that its host gave to others."""
    return round((after[0] - before[0]) / max(1, after[1] - before[1]), 3)


def own_folders(folder: Path) -> dict[str, str]:
    """An environment in which no configuration of the user's weighs in."""
    return {f"XDG_{name}_HOME": str(folder / name.lower()) for name in ("CONFIG", "DATA", "STATE", "CACHE")}


def free_ports(count: int) -> Iterator[int]:
    """Ports below those that the kernel gives to clients."""
    for port in random.sample(range(20_000, 30_000), 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port
        count -= 1
        if not count:
            return


def wait_for_greeting(port: int, proxy: subprocess.Popen[bytes], patience: float = 30) -> None:
    """Until a whole connection stands, through the proxy to the server."""
    end = time.monotonic() + patience
    while time.monotonic() < end and proxy.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as probe:
                probe.settimeout(5)
                if probe.recv(100):
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise LoadError("the proxy did not start")
