"""The peers: for each the command that puts it between client and server.

Knows command lines and configuration files.  Must not know the works, nor how anything is measured.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

HAPROXY: Final = """
global
    nbthread 1
    maxconn 9900
defaults
    mode tcp
    timeout connect 5s
    timeout client 10m
    timeout server 10m
    maxconn 9900
listen pop
    bind 127.0.0.1:{pop}
    server s 127.0.0.1:{back_pop} maxconn 9900
listen smtp
    bind 127.0.0.1:{smtp}
    server s 127.0.0.1:{back_smtp} maxconn 9900
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the proxy listens, and where the servers behind it do."""

    pop: int
    smtp: int
    back_pop: int
    back_smtp: int


@dataclass(frozen=True, slots=True)
class Programs:
    """Which programs to start, from the command line of the benchmark."""

    mailspy: str
    mitmdump: str
    haproxy: str
    python: str


@dataclass(frozen=True, slots=True)
class Peer:
    """Something that can stand between client and server."""

    name: str
    command: Callable[[Programs, Ports, Path, Path | None], list[str]]
    """From programs, ports, a folder for its files and the capture to write, if any."""
    absent: Callable[[Programs], str]
    """Why it cannot run here; empty when it can."""


def mailspy(programs: Programs, ports: Ports, folder: Path, capture: Path | None) -> list[str]:
    """All bundled plugins are on by default; its records go to standard output."""
    return [*shlex.split(programs.mailspy),
            "--listen", f"127.0.0.1:{ports.pop}", "--upstream", f"pop3://127.0.0.1:{ports.back_pop}",
            "--listen", f"127.0.0.1:{ports.smtp}", "--upstream", f"smtp://127.0.0.1:{ports.back_smtp}",
            "--json", *(["-w", str(capture)] if capture else [])]


def another(number: int, command: str) -> Peer:
    """One more build of mailspy."""
    def started(programs: Programs, ports: Ports, folder: Path, capture: Path | None) -> list[str]:
        return mailspy(replace(programs, mailspy=command), ports, folder, capture)

    return Peer(f"mailspy-{number}", started, lambda programs: missing(command))


def forwarder(programs: Programs, ports: Ports, folder: Path, capture: Path | None) -> list[str]:
    """Our script around Twisted's portforward."""
    return [programs.python, str(Path(__file__).with_name("forwarder.py")),
            f"{ports.pop}:{ports.back_pop}", f"{ports.smtp}:{ports.back_smtp}"]


def mitmdump(programs: Programs, ports: Ports, folder: Path, capture: Path | None) -> list[str]:
    """mitmproxy without a screen, in its raw TCP mode."""
    return [programs.mitmdump, "-q", "--set", "flow_detail=0", "--set", f"confdir={folder / 'mitmproxy'}",
            "--listen-host", "127.0.0.1", "--mode", f"reverse:tcp://127.0.0.1:{ports.back_pop}@{ports.pop}",
            "--mode", f"reverse:tcp://127.0.0.1:{ports.back_smtp}@{ports.smtp}"]


def haproxy(programs: Programs, ports: Ports, folder: Path, capture: Path | None) -> list[str]:
    """One thread, mode tcp."""
    configuration = folder / "haproxy.cfg"
    configuration.write_text(HAPROXY.format(pop=ports.pop, smtp=ports.smtp,
                                            back_pop=ports.back_pop, back_smtp=ports.back_smtp))
    return [programs.haproxy, "-db", "-f", str(configuration)]


def direct(programs: Programs, ports: Ports, folder: Path, capture: Path | None) -> list[str]:
    """Nothing in between: shows what the generator can do."""
    return []


def missing(command: str) -> str:
    """Why a command cannot be started."""
    words = shlex.split(command)
    return "" if words and shutil.which(words[0]) else f"{command or 'its program'} not found"


def without_twisted(programs: Programs) -> str:
    """Why the forwarder cannot run."""
    command = [programs.python, "-c", "import twisted.protocols.portforward"]
    probe = subprocess.run(command, check=False, capture_output=True)
    return f"{programs.python} has no Twisted" if probe.returncode else ""


def default_mailspy() -> str:
    """The command beside the running Python, or the one on PATH."""
    beside = Path(sys.executable).with_name("mailspy")
    return str(beside) if beside.exists() else "mailspy"


PEERS: Final = {peer.name: peer for peer in (
    Peer("mailspy", mailspy, lambda programs: missing(programs.mailspy)),
    Peer("forwarder", forwarder, without_twisted),
    Peer("mitmdump", mitmdump, lambda programs: missing(programs.mitmdump)),
    Peer("haproxy", haproxy, lambda programs: missing(programs.haproxy)),
    Peer("direct", direct, lambda programs: ""),
)}
