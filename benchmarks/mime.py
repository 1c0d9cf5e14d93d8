"""The MIME reader against its peers, on the same messages in the same run: `python benchmarks/mime.py`.

Every reader takes a message, finds its parts, decodes them and hashes their octets, and reads subject, sender and date.
mailspy's gets segments of 64 KiB as they would cross, the others the whole message at once.

Knows mailspy's plugin by its hook.  Must not know how it reads.
"""

from __future__ import annotations

import argparse
import email
import email.policy
import json
import resource
import statistics
import subprocess
import sys
import time
from base64 import encodebytes
from collections.abc import Callable
from hashlib import sha256
from random import Random
from typing import Any, Final

SEGMENT: Final = 65_536
LARGE: Final = 50_000_000
GIANT: Final = 2_000_000_000
Reader = Callable[[bytes], list[str]]


def small() -> bytes:
    """600 octets, as the sheet's server states: plain text."""
    head = (b"Received: from alice.home by mx.example.org with ESMTP id 1; Mon, 23 Nov 2026 10:00:01 +0000\r\n"
            b"Message-ID: <1@example.org>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nFrom: Alice <alice@example.org>\r\n"
            b"To: Bob <bob@example.net>\r\nSubject: =?utf-8?q?Caf=C3=A9?=\r\nMIME-Version: 1.0\r\n"
            b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
    line = b"Rien de nouveau sous le soleil de Paris.\r\n"
    return (head + line * 20)[:598] + b"\r\n"


def large(size: int = LARGE) -> bytes:
    """A text and a file in base64."""
    file = Random(1).randbytes(size * 3 // 4 * 76 // 78)
    return (b"Message-ID: <2@example.org>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nFrom: Alice <alice@example.org>\r\n"
            b"To: Bob <bob@example.net>\r\nSubject: large\r\nMIME-Version: 1.0\r\n"
            b"Content-Type: multipart/mixed; boundary=part\r\n\r\n--part\r\nContent-Type: text/plain\r\n\r\nHere it is.\r\n"
            b"--part\r\nContent-Type: application/octet-stream; name=file.bin\r\nContent-Transfer-Encoding: base64\r\n"
            b"Content-Disposition: attachment; filename=file.bin\r\n\r\n" + encodebytes(file).replace(b"\n", b"\r\n")
            + b"--part--\r\n")


def mailspy() -> tuple[Reader, str]:
    """Our reader, and whether it is compiled."""
    import mailspy_mime
    from mailspy_mime import scanner

    from inspector import Address, Finding, Flow, Limits, Machine, Message, Part, Session, Transaction

    class Listener(Session):
        """A session that nobody observes."""

        hashes: list[str]

        def report(self, finding: Finding) -> None:
            if finding.event == "part":
                self.hashes.append(str(finding.fields["sha256"]))

        def anomaly(self, name: str, detail: str, pdu: object = None) -> None:
            raise AssertionError(detail)

        def open_part(self, part: Part, message: Message) -> None:
            return None

    flow = Flow(1, Address("192.0.2.1", 40000), Address("192.0.2.2", 25), 0, "smtp")
    session = Listener(flow, None, Limits(), Machine({"": {}}, ""))  # type: ignore[arg-type]
    plugin = mailspy_mime.plugin()

    def read(message: bytes) -> list[str]:
        session.hashes = []
        one = Message(1, Transaction(1, "MAIL", "alice@example.org", {}, []), "DATA", session, 0)
        sink = plugin.open_message(one, session)
        one.size = len(message)
        for place in range(0, len(message), SEGMENT):
            sink.feed(message[place:place + SEGMENT])
        sink.close(True)
        return session.hashes

    return read, "compiled" if not str(scanner.__file__).endswith(".py") else "pure"


def stdlib(policy: Any) -> Reader:
    """The standard library with one of its policies."""

    def read(message: bytes) -> list[str]:
        found = email.message_from_bytes(message, policy=policy)
        assert all(found[name] for name in ("subject", "from", "date"))
        return [sha256(part.get_payload(decode=True)).hexdigest() for part in found.walk() if not part.is_multipart()]

    return read


def fast() -> Reader | None:
    """fast-mail-parser, where it is installed: Rust behind Python."""
    try:
        from fast_mail_parser import parse_email
    except ImportError:
        return None

    def read(message: bytes) -> list[str]:
        found = parse_email(message)
        texts = [sha256(text.encode()).hexdigest() for text in (*found.text_plain, *found.text_html)]
        return texts + [sha256(file.content).hexdigest() for file in found.attachments]

    return read


def timed(read: Reader, message: bytes, times: int) -> float:
    """CPU seconds for one message."""
    begun = time.process_time()
    for _ in range(times):
        read(message)
    return (time.process_time() - begun) / times


def peak() -> int:
    """The most memory of this process so far, in octets."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def grow() -> None:
    """What a message of 2 GB adds to a process that has read a small one; printed in octets."""
    from mailspy_mime import plugin

    from inspector import Address, Flow, Limits, Machine, Message, Session, Transaction

    class Deaf(Session):
        """Nobody listens."""

        def report(self, finding: object) -> None:
            """Nothing."""

        def open_part(self, part: object, message: object) -> None:
            """Nobody."""

    session = Deaf(Flow(1, Address("192.0.2.1", 1), Address("192.0.2.2", 25), 0, "smtp"), None, Limits(),  # type: ignore[arg-type]
                   Machine({"": {}}, ""))
    body = large(SEGMENT * 4)
    head, _, rest = body.partition(b"attachment; filename=file.bin\r\n\r\n")
    lines = rest.rpartition(b"--part--")[0][:78 * 800]

    def send(size: int) -> None:
        one = Message(1, Transaction(1, "MAIL", "", {}, []), "DATA", session, 0)
        sink = plugin().open_message(one, session)
        sink.feed(head + b"attachment; filename=file.bin\r\n\r\n")
        for _ in range(size // len(lines)):
            sink.feed(bytes(bytearray(lines)))
        sink.feed(b"\r\n--part--\r\n")
        sink.close(True)

    send(1_000_000)
    before = peak()
    begun = time.process_time()
    send(GIANT)
    print(peak() - before, time.process_time() - begun)


def table(rounds: int, scale: float) -> list[dict[str, Any]]:
    """Every reader on every message, in turns, so that noise hits all alike."""
    own, form = mailspy()
    readers: dict[str, Reader | None] = {
        f"mailspy ({form})": own, "stdlib compat32": stdlib(email.policy.compat32),
        "stdlib default": stdlib(email.policy.default), "fast-mail-parser": fast()}
    works = {"50 MB": (large(int(LARGE * scale)), 1), "600 octets": (small(), int(2000 * scale) or 1)}
    records = []
    for work, (message, times) in works.items():
        expected = own(message)
        costs: dict[str, list[float]] = {}
        for _ in range(rounds):
            for name, read in readers.items():
                if read is None:
                    continue
                if name.startswith(("mailspy", "stdlib")):
                    assert read(message) == expected, name
                costs.setdefault(name, []).append(timed(read, message, times))
        ours = costs[f"mailspy ({form})"]
        for name, seconds in costs.items():
            ratios = [theirs / mine for theirs, mine in zip(seconds, ours, strict=True)]
            records.append({"work": work, "octets": len(message), "reader": name, "seconds": statistics.median(seconds),
                            "ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios)})
    return records


def main() -> int:
    """Prints a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the large message and the number of small ones")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--giant", action="store_true", help="also 2 GB in a process of its own, for its memory")
    parser.add_argument("--grow", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.grow:
        grow()
        return 0
    records = table(options.rounds, options.scale)
    if options.giant:
        done = subprocess.run([sys.executable, __file__, "--grow"], capture_output=True, text=True, check=True)
        octets, seconds = done.stdout.split()
        records.append({"work": "2 GB", "memory": int(octets), "seconds": float(seconds)})
    if options.json:
        print("\n".join(map(json.dumps, records)))
        return 0
    print("| work | reader | a message | rate | cost over mailspy's |\n|---|---|---|---|---|")
    for one in records:
        if "memory" in one:
            print(f"| 2 GB | mailspy | {one['seconds']:.1f} s | {GIANT / one['seconds'] / 1e6:,.0f} MB/s "
                  f"| memory +{one['memory'] / 2**20:.1f} MiB |")
            continue
        rate = (f"{one['octets'] / one['seconds'] / 1e6:,.0f} MB/s" if one["octets"] > SEGMENT
                else f"{1 / one['seconds']:,.0f} messages/s")
        print(f"| {one['work']} | {one['reader']} | {one['seconds'] * 1e6:,.0f} µs | {rate} "
              f"| {one['ratio']:.2f} ({one['least']:.2f}–{one['most']:.2f}) |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
