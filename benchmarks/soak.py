"""The soak: for minutes, everything that mailspy can do, with mail of all sizes both ways, compared octet by octet.

    python benchmarks/soak.py --minutes 10 --gigabytes 50

SMTP, LMTP and POP3 between scripted servers and clients (`soak_peers.py`), with a JSON log, a capture, all bundled plugins, a
judge that forwards, `--enforce-relay`, and TLS looked into in a share of the sessions.  Every command, reply and mail is compared
with what was sent, mails by SHA-256 at the end that gets them.  Capture and log are moved away every few seconds and counted, so
that they fit on any disk.  Passes when nothing differed, all sessions and messages were told, and the proxy's memory is flat.

Knows the processes and what they report.  Must not know protocols.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import process
from bench import free_ports
from peers import default_mailspy

PEERS: Final = str(Path(__file__).with_name("soak_peers.py"))
JUDGE: Final = '''
from inspector import Forward, hookimpl


class Watcher:
    @hookimpl
    def judge_pdu(self, pdu, session):
        return Forward()

    @hookimpl
    def judge_message(self, message, session):
        return Forward()


plugin = Watcher
'''
GROWTH: Final = 48 << 10
"""KiB by which the memory may grow after the warm-up: what allocators and caches do, not what a leak does in minutes."""
WARM: Final = 10.0
"""Seconds before memory counts."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    add = parser.add_argument
    add("--minutes", type=float, default=10.0)
    add("--gigabytes", type=float, default=50.0, help="how much must have come through (default: 50)")
    add("--clients", type=int, default=6, help="sessions at a time (default: 6)")
    add("--tls", type=float, default=0.1, help="share of the sessions with STARTTLS or STLS (default: 0.1)")
    add("--rotate", type=float, default=3.0, help="seconds between two moves of the capture and the log (default: 3)")
    add("--seed", type=int, default=12)
    add("--folder", help="where capture and log go (default: the temporary folder)")
    add("--mailspy", default=default_mailspy(), metavar="CMD", help="the command that starts mailspy")
    found = parser.parse_args()
    program, *words = shlex.split(found.mailspy)
    found.mailspy = shlex.join([str(Path(program).absolute()) if "/" in program else program, *words])
    return found


class Files:
    """The log and the capture of the proxy: moved away, counted, removed."""

    def __init__(self, folder: Path) -> None:
        self.capture, self.log = folder / "soak.pcapng", folder / "soak.jsonl"
        self.moves = 0
        self.captured = 0
        """Octets of the captures that were removed."""
        self.events: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self._moved: list[Path] = []

    def move(self) -> None:
        """Moves both away; counts what was moved the time before, which is no longer written by now."""
        self.count()
        self.moves += 1
        for path in (self.capture, self.log):
            old = path.with_name(f"{self.moves}-{path.name}")
            path.rename(old)
            self._moved.append(old)

    def begun_anew(self) -> None:
        """Waits until the proxy has noticed the last move."""
        for _ in range(100):
            if self.capture.exists() and self.log.exists():
                return
            time.sleep(0.1)

    def count(self) -> None:
        """Counts and removes what was moved away."""
        for path in self._moved:
            self._count(path)
            path.unlink()
        self._moved.clear()

    def finish(self) -> None:
        """What is left."""
        self.count()
        self._count(self.log)

    def _count(self, path: Path) -> None:
        if path.suffix == ".pcapng":
            self.captured += path.stat().st_size
            return
        with path.open("rb") as lines:
            for line in lines:
                event = line[10:line.index(b'"', 10)].decode()
                self.events[event] += 1
                if event == "flow_closed":
                    self.reasons[json.loads(line)["reason"]] += 1


def command(options: argparse.Namespace, ports: list[int], folder: Path, files: Files) -> list[str]:
    """The proxy with everything on."""
    line = shlex.split(options.mailspy)
    for name, listen, server in zip(("smtp", "lmtp", "pop3"), ports[:3], ports[3:], strict=True):
        line += ["--listen", f"127.0.0.1:{listen}", "--upstream", f"{name}://127.0.0.1:{server}"]
    return [*line, "--quiet", "--log", str(files.log), "-w", str(files.capture), "--plugin", str(folder / "judge.py"),
            "--local-domain", "local.example", "--relay-domain", "partner.example", "--enforce-relay",
            "--attachments", str(folder / "attachments"), "--attachments-max-size", "100k", "--attachments-max-files", "200",
            "--ca-dir", str(folder / "ca"), "--upstream-verify", "off"]


def listening(errors: Path, proxy: subprocess.Popen[bytes]) -> bool:
    """Waits until all three listen."""
    for _ in range(600):
        if errors.read_text().count("listening on") == 3:
            return True
        if proxy.poll() is not None:
            return False
        time.sleep(0.05)
    return False


def soak(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Runs it, and ends whatever it has started; returns what was counted."""
    with ExitStack() as started:
        return played(options, folder, started)


def ended(started: ExitStack, process: subprocess.Popen[Any]) -> subprocess.Popen[Any]:
    """The same process, ended with the run."""
    started.callback(process.kill)
    return process


def played(options: argparse.Namespace, folder: Path, started: ExitStack) -> dict[str, Any]:
    """The run itself."""
    ports = list(free_ports(6))
    (folder / "judge.py").write_text(JUDGE)
    files, errors = Files(folder), folder / "stderr.txt"
    subprocess.run([*shlex.split(options.mailspy), "ca", "create", "--ca-dir", str(folder / "ca")], check=True,
                   capture_output=True)
    shared = [str(options.seed), str(folder), *map(str, ports)]
    servers = ended(started, subprocess.Popen([sys.executable, PEERS, "serve", *shared], stdout=subprocess.PIPE, text=True))
    assert servers.stdout is not None
    servers.stdout.readline()
    with errors.open("wb") as said, (folder / "stdout.txt").open("wb") as out:
        proxy = ended(started, process.start(command(options, ports, folder, files), folder, out, said))
    if not listening(errors, proxy):
        return {"faults": [f"mailspy did not start: {errors.read_text()}"]}
    clients = ended(started, subprocess.Popen([sys.executable, PEERS, "drive", *shared, str(options.minutes * 60),
                                               str(options.clients), str(options.tls)], stdout=subprocess.PIPE, text=True))
    begun = time.monotonic()
    memory = watched(proxy, clients, files, options, begun)
    driven = json.loads(clients.communicate()[0] or '{"faults": ["the clients have failed"]}')
    wall, cpu = time.monotonic() - begun, process.cpu_seconds(proxy.pid)
    process.settle(proxy.pid)
    files.begun_anew()
    process.stop(proxy)
    files.finish()
    servers.terminate()
    served = json.loads(servers.communicate()[0] or '{"faults": ["the servers have failed"]}')
    replayed = subprocess.run([*shlex.split(options.mailspy), "replay", "--quiet", str(files.capture)], check=False,
                              capture_output=True, cwd=folder)
    return {"wall": wall, "cpu": cpu, "exit": proxy.returncode, "memory": memory, "driven": driven, "served": served,
            "events": files.events, "reasons": files.reasons, "moves": files.moves, "captured": files.captured,
            "replay": replayed.returncode, "notices": errors.read_text()}


def watched(proxy: subprocess.Popen[bytes], clients: subprocess.Popen[str], files: Files, options: argparse.Namespace,
            begun: float) -> list[int]:
    """Looks at the memory once a second while the clients work, and moves the files away; KiB."""
    found: list[int] = []
    due, said = begun + options.rotate, begun + 30
    while clients.poll() is None and proxy.poll() is None:
        time.sleep(1)
        now = time.monotonic()
        if proxy.poll() is None and now - begun > WARM:
            found.append(process.memory_kib(proxy.pid, "VmRSS"))
        if now >= due and files.capture.exists() and files.log.exists():
            files.move()
            due = now + options.rotate
        if now >= said:
            said = now + 30
            print(f"{now - begun:5.0f} s, {found[-1] / 1024:.0f} MiB", file=sys.stderr, flush=True)
    return found


def faults(result: dict[str, Any], options: argparse.Namespace) -> list[str]:
    """What was not as it must be."""
    if "faults" in result:
        return list(result["faults"])
    driven, served, memory, events = result["driven"], result["served"], result["memory"], result["events"]
    found = [*driven.get("faults", []), *served.get("faults", [])]
    octets, sessions = driven.get("octets", 0), driven.get("sessions", 0)
    told = {"octets": (octets >= options.gigabytes * 1e9, f"{octets / 1e9:.1f} GB, {options.gigabytes:g} wanted"),
            "flows": (events["flow_opened"] == events["flow_closed"] == sessions,
                      f"{events['flow_opened']} opened, {events['flow_closed']} closed of {sessions} sessions"),
            "messages": (events["message"] == driven.get("mails"), f"{events['message']} told of {driven.get('mails')}"),
            "reasons": (not set(result["reasons"]) - {"client closed", "server closed"}, dict(result["reasons"])),
            "refused": (served.get("forbidden") == 0, f"{served.get('forbidden')} forbidden recipients arrived"),
            "memory": (bool(memory) and max(memory) - memory[0] <= GROWTH,
                       f"{memory[0] / 1024:.0f} to {max(memory) / 1024:.0f} MiB" if memory else "too short to tell"),
            "exit": (result["exit"] == 0, f"exit code {result['exit']}"),
            "replay": (result["replay"] == 0, f"exit code {result['replay']} for the last capture"),
            "notices": (not re.search(r"fault|Traceback|CAPTURE|dropped|cannot be", result["notices"]), result["notices"][-600:])}
    return found + [f"{name}: {detail}" for name, (right, detail) in told.items() if not right]


def report(result: dict[str, Any]) -> str:
    """What was counted, for people."""
    driven, memory = result["driven"], result["memory"] or [0]
    octets = driven.get("octets", 0)
    rate = octets / 1e9 / result["wall"] * 60
    return "\n".join([
        f"{octets / 1e9:.1f} GB of mail in {result['wall']:.0f} s: {rate:.2f} GB a minute, {rate * 10:.0f} GB in ten",
        f"{driven.get('sessions'):,} sessions ({driven.get('tls'):,} with TLS), {driven.get('mails'):,} mails "
        f"{driven.get('kinds')}; {driven.get('refusals'):,} forbidden recipients refused",
        f"proxy: {result['cpu']:.0f} s of CPU ({result['cpu'] / max(octets / 1e9, 1e-9):.1f} s a GB); memory after {WARM:g} s "
        f"{memory[0] / 1024:.0f} MiB, at most {max(memory) / 1024:.0f}, at the end {memory[-1] / 1024:.0f}",
        f"capture and log moved away {result['moves']} times, {result['captured'] / 1e9:.1f} GB of capture; last capture: replay "
        f"{result['replay']}; events {dict(result['events'])}; ends {dict(result['reasons'])}"])


def main() -> int:
    """1 when something was not as it must be."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = arguments()
    with TemporaryDirectory(prefix="mailspy-soak-", dir=options.folder) as folder:
        result = soak(options, Path(folder))
        if "driven" in result:
            print(report(result))
        wrong = faults(result, options)
    for fault in wrong[:20]:
        print(f"FAULT {fault}")
    print("failed" if wrong else "passed")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
