"""Writes the captures that the pages work with: `python docs/samples.py samples`.

The sheet's POP3 session (III.4), a message with a dot alone on a line (III.7), michel's letter to pierre (II.5), and a
server that is asked to relay (II.6), each as mailspy itself would have saved it, at a fixed time; and a message file.

Knows the dialogues.  Must not know what mailspy makes of them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]

from inspector.capture.writer import CaptureWriter
from inspector.demo.letter import LETTER
from inspector.pdu import C2S, S2C, Address, Flow
from inspector.pipeline import Inspector, Pipeline

START: Final = 1_000_000_000_000_000
"""2001-09-09, 01:46:40 UTC, in microseconds."""
STEP: Final = 1_250
"""Microseconds between two segments."""

SHEET: Final = (
    "S: +OK pop.cnam.fr server ready", "C: USER natkin", "S: +OK password required for natkin", "C: PASS monpacs",
    "S: -ERR password supplied for natkin is incorrect", "C: USER natkin", "S: +OK password required for natkin",
    "C: PASS monpass", "S: +OK maildrop has 1 messages (600 octets)", "C: STAT", "S: +OK 1 600", "C: RETR 1", "S: +OK",
    "S: <letter>", "C: DELE 1", "S: +OK", "C: QUIT", "S: +OK pop.cnam.fr signing off",
)
DOT: Final = (
    "S: +OK pop.cnam.fr server ready", "C: USER natkin", "S: +OK password required for natkin", "C: PASS monpass",
    "S: +OK maildrop has 1 messages (60 octets)", "C: RETR 1", "S: +OK",
    "S: Subject: a dot\r\n\r\nbefore the dot\r\n..\r\nafter the dot\r\n.", "C: QUIT", "S: +OK pop.cnam.fr signing off",
)
MICHEL: Final = (
    "S: 220 cnam.fr ESMTP ready", "C: HELO cnam.fr", "S: 250 cnam.fr", "C: MAIL FROM:<michel@cnam.fr>",
    "S: 250 Sender address accepted", "C: RCPT TO:<pierre@cnam.fr>", "S: 250 Recipient address accepted", "C: DATA",
    "S: 354 Continue", "C: From: michel@cnam.fr\r\nTo: pierre@cnam.fr\r\nSubject: Bonjour\r\n\r\n"
    "Bonjour Pierre,\r\nce message est tape a la main avec telnet.\r\nMichel\r\n.", "S: 250 Delivery in progress", "C: QUIT",
    "S: 221 2.0.0 cnam.fr closing",
)
RELAY: Final = (
    "S: 220 cnam.fr ESMTP ready", "C: HELO ailleurs.example", "S: 250 cnam.fr",
    "C: MAIL FROM:<quelqu.un@ailleurs.example>", "S: 250 Sender address accepted",
    "C: RCPT TO:<quelqu.autre@plus.loin.example>", "S: 550 5.7.1 relaying denied: cnam.fr delivers to cnam.fr only",
    "C: RCPT TO:<pierre@cnam.fr>", "S: 250 Recipient address accepted", "C: RSET", "S: 250 2.0.0 reset", "C: QUIT",
    "S: 221 2.0.0 cnam.fr closing",
)
SAMPLES: Final = {"pop3-sheet": ("pop3", 110, SHEET), "pop3-dot": ("pop3", 110, DOT), "smtp-michel": ("smtp", 25, MICHEL),
                  "smtp-relay": ("smtp", 25, RELAY)}


WAY: Final = """\
Received: from mx.example.net (mx.example.net [192.0.2.7])
\tby mda.example.net (Postfix) with LMTP id 3
\tfor <bob@example.net>; Mon, 23 Nov 2026 10:00:05 +0000 (UTC)
Received: from mta.example.org (mta.example.org [192.0.2.5])
\tby mx.example.net with ESMTPS id 2; Mon, 23 Nov 2026 11:00:04 +0100
Received: from alice.home (alice.home [192.0.2.1])
\tby mta.example.org with ESMTPSA id 1; Mon, 23 Nov 2026 10:00:01 +0000
From: alice@example.org
To: bob@example.net
Subject: The way of a message
Date: Mon, 23 Nov 2026 09:59:59 +0000

Stored and forwarded.
"""
"""A message as it arrives, with the marks of those who carried it."""


class Nobody:
    """An observer that is not interested."""

    exchange_completed = None
    judge = None

    def __getattr__(self, name: str) -> object:
        return lambda *_: None

    def open_message(self, *_: object) -> None:
        """No sink."""

    open_part = open_message


def write(folder: Path) -> None:
    """Writes the captures into a folder, new."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (protocol, port, script) in SAMPLES.items():
        path = folder / f"{name}.pcapng"
        path.unlink(missing_ok=True)
        capture = CaptureWriter(str(path), alarm=print)
        flow = Flow(1, Address("192.0.2.10", 40_000), Address("192.0.2.25", port), START, protocol)
        inspector = Pipeline(Nobody()).open(flow)  # type: ignore[arg-type]
        _play(inspector, capture, script)
        capture.close()
    (folder / "way.eml").write_bytes(WAY.replace("\n", "\r\n").encode())


def _play(inspector: Inspector, capture: CaptureWriter, script: tuple[str, ...]) -> None:
    flow, time = inspector.flow, START
    inspector.collect()
    capture.open(flow)
    for line in script:
        time += STEP
        client, words = line.startswith("C"), line[3:]
        octets = LETTER + b".\r\n" if words == "<letter>" else words.encode() + b"\r\n"
        inspector.feed(client, octets, time)
        saved = inspector.masked(octets) if client else octets
        capture.segment(flow, C2S if client else S2C, saved, time, inspector.comments())
    for direction in (S2C, C2S):
        time += STEP
        inspector.end(direction, time)
        capture.end(flow, direction, time)


if __name__ == "__main__":
    write(Path(sys.argv[1] if sys.argv[1:] else "samples"))
