"""What is exported from a live session is what the server stored."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from .conftest import Proxied
from .harness import Run, client, command, environment
from .mail import DOTS, EIGHT_BIT, LONG, SHEET
from .servers import HOME, Dovecot, Postfix

LETTERS = (b"Message-ID: <publi@cnam.fr>\r\n" + SHEET, DOTS, EIGHT_BIT, LONG)
"""Each with a Message-ID: Postfix gives one to a letter without."""
_TRACE = re.compile(rb"\A(?:(?:Return-Path|Delivered-To|X-Original-To|Received): ?[^\n]*\n(?:[ \t][^\n]*\n)*)*")


def untraced(stored: list[bytes]) -> list[bytes]:
    """What was stored without the trace fields that each server puts before it."""
    return sorted(_TRACE.sub(b"", mail, count=1) for mail in stored)


def exported(run: Run) -> list[bytes]:
    """The messages in the capture of a run, with Unix line ends."""
    run.stop()
    subprocess.run([*command(), "export", str(run.capture), "--maildir", "box", "--lf"], cwd=run.folder,
                   env=environment(run.folder), check=True, timeout=60)
    return sorted(file.read_bytes() for file in (run.folder / "box" / "new").iterdir())


def swaks(port: int, letter: Path, recipient: str, *more: str) -> None:
    """Sends a letter as it is."""
    client("swaks", "swaks", "--server", "127.0.0.1", "--port", port, "--helo", "client.example", "--from", f"michel@{HOME}",
           "--to", recipient, "--data", f"@{letter}", *more)


def test_postfix(proxied: Proxied, postfix: Postfix, tmp_path: Path) -> None:
    postfix.empty()
    with proxied(postfix.smtp) as run:
        for number, content in enumerate(LETTERS):
            (tmp_path / f"{number}").write_bytes(content)
            swaks(run.port, tmp_path / f"{number}", f"pierre@{HOME}")
        stored = untraced(postfix.stored("pierre"))
        assert len(stored) == len(LETTERS)
        assert exported(run) == stored


def test_dovecot(proxied: Proxied, dovecot: Dovecot, tmp_path: Path) -> None:
    dovecot.maildrop("natkin")
    with proxied(dovecot.lmtp) as run:
        for number, content in enumerate(LETTERS):
            (tmp_path / f"{number}").write_bytes(content)
            swaks(run.port, tmp_path / f"{number}", "natkin@x.example", "--protocol", "LMTP")
        stored = untraced(dovecot.stored("natkin"))
        assert len(stored) == len(LETTERS)
        assert exported(run) == stored
