"""mailspy as its users run it, and what must be true of every run.

Knows mailspy's command line, its JSON and its captures.  Must not import mailspy.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import pytest

from .servers import USERS, WRONG_PASSWORD, free_port, listening, program, wait_until

ROOT: Final = Path(__file__).resolve().parents[2]
STAND_IN: Final = bool(os.environ.get("MAILSPY_STAND_IN"))
"""Run the tests with a plain forwarder in the place of mailspy: what looks at its own findings is then skipped."""

Event = dict[str, Any]


def command() -> list[str]:
    """How mailspy, or its stand-in, is started."""
    if STAND_IN:
        return [sys.executable, str(Path(__file__).with_name("stand_in.py"))]
    return [sys.executable, "-m", "inspector"]


def environment(home: Path) -> dict[str, str]:
    """No settings of the user's own.  What runs is what is installed, in its form."""
    return os.environ | dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"), str(home))


class Run:
    """One mailspy process in front of one server."""

    def __init__(self, upstream: object, folder: Path, *options: str, port: int | None = None) -> None:
        folder.mkdir()
        self.folder = folder
        self.port = port or free_port()
        self.capture = folder / "capture.pcapng"
        self._json = folder / "events.jsonl"
        self._stderr = folder / "stderr.txt"
        line = [*command(), "--listen", f"127.0.0.1:{self.port}", "--upstream", str(upstream), "--json",
                "-w", str(self.capture), *options]
        with self._json.open("wb") as out, self._stderr.open("wb") as err:
            self.process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder,
                                            env=environment(folder))
        wait_until(lambda: listening(self.port) or self.process.poll() is not None, "mailspy listening", 20)
        if self.process.poll() is not None:
            pytest.fail(f"mailspy did not start:\n{self.stderr}")

    @property
    def stderr(self) -> str:
        """What it said to people."""
        return self._stderr.read_text(errors="replace")

    def stop(self) -> None:
        """Asks it to finish (SIGTERM) and waits; it must end well."""
        if self.process.returncode is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"mailspy does not end after SIGTERM:\n{self.stderr}")
        assert self.process.returncode == 0, self.stderr
        assert "Traceback" not in self.stderr, self.stderr

    def kill(self) -> None:
        """Ends it at once (SIGKILL)."""
        self.process.kill()
        self.process.wait()

    def events(self, name: str = "") -> list[Event]:
        """The JSON events of the run, all or those of one name, once it has stopped."""
        if STAND_IN:
            pytest.skip("all the same with the stand-in, which has no findings to look at")
        assert self.process.returncode is not None, "the run is not over"
        return [event for event in parsed(self._json.read_text()) if name in ("", event["event"])]

    def pdus(self, **members: object) -> list[Event]:
        """The PDUs whose members have these values."""
        return [event for event in self.events("pdu") if all(event[key] == value for key, value in members.items())]

    def verbs(self) -> list[str]:
        """The commands, in order."""
        return [pdu["verb"] for pdu in self.pdus(kind="command")]

    def anomalies(self) -> set[str]:
        """The names of the anomalies found."""
        return {event["name"] for event in self.events("anomaly")}

    def octets(self, direction: str) -> int:
        """How many octets the PDUs of a direction hold: they must tile its stream."""
        return sum(pdu["size"] for pdu in self.pdus(direction=direction))


def parsed(text: str) -> list[Event]:
    """JSON lines: each line one object, the last one ended as well."""
    assert text.endswith("\n") or not text
    return [json.loads(line) for line in text.splitlines()]


def assert_good(run: Run, dissected: str = "") -> None:
    """All that must be true of every run; `dissected` is what tshark has to find in its capture."""
    if STAND_IN:
        return
    with replay(run) as replaying, tshark(run) as dissecting:
        assert_replay_equals_live(run, replaying)
        table, errors = dissecting.communicate(timeout=60)
        assert dissecting.returncode == 0, errors.decode()
        assert_tshark_is_content(table.decode(), dissected)
    assert_no_secret(run)


def assert_replay_equals_live(run: Run, replaying: subprocess.Popen[bytes]) -> None:
    """The second law: replaying the capture gives the events of the live run, one for one."""
    out, complaints = replaying.communicate(timeout=60)
    assert replaying.returncode == 0, complaints.decode()
    replayed, live = parsed(out.decode()), run.events()
    for number, (one, other) in enumerate(zip(replayed, live, strict=False)):
        assert one == other, f"event {number}: replayed {one}, live {other}"
    assert len(replayed) == len(live), (replayed[len(live):], live[len(replayed):])


def replay(run: Run) -> subprocess.Popen[bytes]:
    """`mailspy replay --json` over the run's capture, started."""
    return subprocess.Popen([*command(), "replay", "--json", str(run.capture)], cwd=run.folder,
                            env=environment(run.folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


_FIELDS: Final = ("frame.number", "frame.protocols", "tcp.analysis.flags", "ip.checksum.status", "tcp.checksum.status",
                  "tcp.len", "frame.comment")


def tshark(run: Run) -> subprocess.Popen[bytes]:
    """tshark over the run's capture, started: a table of what it makes of each packet."""
    fields = [word for name in _FIELDS for word in ("-e", name)]
    return subprocess.Popen(
        [program("tshark", "tshark"), "-n", "-r", str(run.capture), "-o", "ip.check_checksum:TRUE",
         "-o", "tcp.check_checksum:TRUE", "-T", "fields", *fields],
        env=environment(run.folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def assert_tshark_is_content(table: str, dissected: str) -> None:
    """Wireshark finds a flawless TCP connection, our comments, and the protocol."""
    protocols = set()
    commented = False
    for row in table.splitlines():
        number, layers, flags, ip_sum, tcp_sum, length, comment = row.split("\t", len(_FIELDS) - 1)
        # A note stands on an acknowledgement that repeats the one before.
        assert not flags or comment.startswith("mailspy-note"), f"frame {number}: tshark's TCP analysis complains"
        assert set(ip_sum.split(",") + tcp_sum.split(",")) <= {"1", "Good"}, f"frame {number}: bad checksum"
        protocols.update(layers.split(":"))
        commented = commented or bool(comment and int(length))
    if dissected:
        assert dissected in protocols
        assert commented, "no packet has a comment"


def assert_no_secret(run: Run, more: Iterable[bytes] = ()) -> None:
    """No planted password, in clear or in base64, stands in any file that the run has written."""
    forms = {form for secret in (*USERS.values(), WRONG_PASSWORD) for form in _forms(secret.encode())} | set(more)
    for file in run.folder.rglob("*"):
        if not file.is_file():
            continue
        content = file.read_bytes()
        found = [form for form in forms if form in content]
        assert not found, f"{found} in {file.name}"


def _forms(secret: bytes) -> Iterable[bytes]:
    """A secret as it may appear: as it is, or somewhere in something written in base64."""
    yield secret
    yield base64.b64encode(secret).rstrip(b"=")[:-1]
    for shift in (1, 2):
        yield base64.b64encode(bytes(shift) + secret).rstrip(b"=")[shift + 1:-1]


_VARIABLE: Final = [(re.compile(pattern, re.MULTILINE), replacement) for pattern, replacement in (
    (rb"<[0-9a-f.]+\.[A-Za-z0-9+/=]+@[\w.-]+>", rb"<APOP>"),
    (rb"^((?:< )?(?:\+|334)) [A-Za-z0-9+/]{24,}=*(\r?)$", rb"\1 CHALLENGE\2"),
    (rb"queued as [0-9A-Za-z]+", rb"queued as ID"),
    (rb"> [A-Za-z0-9+/]{16,}(:R\d+)? Saved", rb"> ID\1 Saved"),
    (rb"^Received: .*\n(?:[ \t].*\n)*", rb"Received: TRACE\n"),
    (rb"127\.0\.0\.1:\d+", rb"HERE"),
    (rb"127\.0\.0\.1 port \d+", rb"HERE"),
    (rb"^Date: .*, \d+ \w+ 20[2-9]\d .*$", rb"Date: NOW"),
    (rb"^(Message-Id: <)[^@>]+", rb"\1ID"),
)]


def normalised(seen: Any) -> Any:
    """What was seen, without what no two sessions have in common: time stamps, queue ids, challenges, ports."""
    if isinstance(seen, bytes):
        for pattern, replacement in _VARIABLE:
            seen = pattern.sub(replacement, seen)
        return seen
    if isinstance(seen, str):
        return normalised(seen.encode("utf-8", "surrogateescape"))
    if isinstance(seen, (list, tuple)):
        return [normalised(item) for item in seen]
    if isinstance(seen, dict):
        return {key: normalised(value) for key, value in seen.items()}
    return seen


def readings(run: Run, flow: int, direction: str) -> list[Event]:
    """The PDUs of one direction of a flow without what may differ: when, in which order with the others, which ids."""
    return [normalised({key: value for key, value in pdu.items() if key not in ("time", "number", "flow")})
            for pdu in run.pdus(flow=flow, direction=direction)]


Story = Callable[[int], Any]
"""What a client does with the server on a port; it returns all that it received."""


def client(name: str, package: str, *arguments: object, expect: int = 0,
           stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Runs a client program to its end."""
    done = subprocess.run([program(name, package), *map(str, arguments)], input=stdin, capture_output=True,
                          check=False, timeout=60)
    assert done.returncode == expect, (done.returncode, done.stdout[-2_000:], done.stderr[-2_000:])
    return done
