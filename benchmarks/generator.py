"""The load generator: `load/*.c` compiled, its server started, its client run.

Knows the command line of mailload.  Must not know proxies.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from process import start, stop
from works import Load


class LoadError(Exception):
    """The load could not be made, or did not go through whole."""


def build(folder: Path) -> Path:
    """Compiles mailload into the folder."""
    program = folder / "mailload"
    compiler = shutil.which("gcc")
    if not compiler:
        raise LoadError("gcc was not found; the load generator is written in C: install the package gcc")
    sources = sorted(map(str, (Path(__file__).parent / "load").glob("*.c")))
    made = subprocess.run([compiler, "-O2", "-std=gnu11", "-Wall", "-o", str(program), *sources], check=False,
                          capture_output=True, text=True)
    if made.returncode:
        raise LoadError(f"gcc could not compile the load generator:\n{made.stderr}")
    return program


@contextmanager
def server(program: Path, pop: int, smtp: int, size: int) -> Iterator[None]:
    """The maildrop and the sink, while the context lasts."""
    command = [str(program), "serve", str(pop), str(smtp), str(size)]
    process = start(command, program.parent, subprocess.PIPE, subprocess.DEVNULL)
    try:
        assert process.stdout
        if process.stdout.readline() != b"ready\n":
            raise LoadError("the server of the load generator did not start")
        yield
    finally:
        stop(process)


def run(program: Path, load: Load, port: int, timeout: float, when_held: Callable[[], None]) -> dict[str, Any]:
    """Plays a load; `when_held` is called while idle sessions are open.

    Raises LoadError unless every reply was right.
    """
    words = ["run", load.script, port, load.total, load.at_a_time, load.each, load.size, timeout]
    process = subprocess.Popen([str(program), *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        if load.script == "C" and process.stdout.readline() == "held\n":
            when_held()
        output, errors = process.communicate(timeout=timeout + 20)
    except subprocess.TimeoutExpired:
        raise LoadError("the load generator hangs") from None
    finally:
        process.kill()
        process.wait()
    return checked(load, output, errors)


def checked(load: Load, output: str, errors: str) -> dict[str, Any]:
    """The generator's report, if it says that all went well."""
    try:
        report: dict[str, Any] = json.loads(output)
    except ValueError:
        raise LoadError(f"the load generator failed: {errors[-300:]}") from None
    if report["failed"] or report["ok"] != load.total or report["units"] != units(load):
        raise LoadError(f"{report['failed']} of {load.total} connections failed: {report['complaint']}")
    return report


def units(load: Load) -> int:
    """How many units of work a load is."""
    return load.total * load.each


@cache
def attachment_hash(program: Path, size: int) -> str:
    """The SHA-256 of the attachment in the generator's message, decoded."""
    message = subprocess.run([str(program), "message", str(size)], capture_output=True, check=True).stdout
    encoded = message.partition(b"base64\r\n\r\n")[2].partition(b"--=_b_")[0]
    return hashlib.sha256(base64.b64decode(encoded)).hexdigest()
