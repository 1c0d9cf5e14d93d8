"""Commands whose reader goes away, as in `mailspy replay FILE | head`: they end quietly, with exit code 0."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from integration.harness import environment

CAPTURE = str(Path(__file__).parent.parent / "captures" / "smtp-michel-pierre.pcapng")
LINES = (
    "replay FILE", "--json replay FILE", "replay --jobs 2 FILE", "-v replay FILE", "--filter flow==1 replay FILE",
    "sessions FILE", "--json sessions FILE", "sessions --csv FILE", "sessions --sort time FILE", "stats FILE",
    "--json stats FILE", "show FILE", "--json show FILE", "show --raw --message 1 FILE", "export --jsonl - FILE",
    "export --eve - FILE", "export --ladder html --output - FILE", "export --report html --output - FILE", "fields",
    "--json fields", "phases", "plugins", "--json plugins", "--help", "--help-all", "help replay", "help", "--version",
    "completion bash", "ca create --ca-dir ca",
)
"""Every command that prints."""


@pytest.mark.parametrize("line", LINES)
def test_it_ends_quietly(tmp_path: Path, line: str) -> None:
    """The pipe is closed before anything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    words = line.replace("FILE", CAPTURE).split()
    done = subprocess.run([sys.executable, "-m", "inspector", *words], check=False, stdout=writing, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, cwd=tmp_path, env=environment(tmp_path), timeout=60)
    os.close(writing)
    said = done.stderr.decode()
    assert done.returncode == 0, said
    assert "Traceback" not in said
    assert "roken pipe" not in said
    assert "error" not in said
