"""What the worst mebibytes that we know cost the MIME reader: `python benchmarks/mime_hostile.py`.

Each is read in segments of 64 KiB; the limit is 0.5 s of CPU time for a MiB.  `--only WORD` chooses by name.

Knows the plugin by its hook.  Must not know how it reads.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Final

import mailspy_mime

from inspector import Address, Finding, Flow, Limits, Machine, Message, Part, Session, Transaction

MEBIBYTE: Final = 1 << 20
SEGMENT: Final = 65_536
LIMIT: Final = 0.5
MIXED: Final = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
PLAIN: Final = b"\r\n"
BASE64: Final = b"Content-Transfer-Encoding: base64\r\n\r\n"
QP: Final = b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"


def fill(head: bytes, unit: bytes, tail: bytes = b"") -> bytes:
    """A mebibyte of the unit."""
    return head + unit * ((MEBIBYTE - len(head) - len(tail)) // len(unit)) + tail


def numbered(head: bytes, unit: str) -> bytes:
    """A mebibyte of the unit with a number in it."""
    out, size, number = [head], len(head), 0
    while size < MEBIBYTE:
        out.append(unit.format(number).encode())
        size += len(out[-1])
        number += 1
    return b"".join(out)


CASES: Final = {
    "fields that stand often": fill(b"", b"Content-Type: a/b; name=a\r\n", b"\r\n"),
    "fields that differ, in parts": fill(MIXED, b"--b\r\nContent-Type: a/b; name=a\r\nContent-Type: c/d; name=b\r\n"
                                         b"Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: 7bit\r\n\r\nx\r\n"),
    "boundaries like each other": b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
                                           for n in range(99)) + b"--b\r\n" * 200_000,
    "four boundaries": fill(b"Content-Type: multipart/mixed; boundary=b1; boundary=b2; boundary=b3; boundary=b4\r\n\r\n",
                            b"--b1\r\n--b4\r\n"),
    "a boundary of 2 KiB": fill(b"Content-Type: multipart/mixed; boundary=" + b"x" * 2048 + b"\r\n\r\n",
                                b"--" + b"x" * 2047 + b"\r\n"),
    "messages in messages": fill(b"", b"Content-Type: message/rfc822\r\n\r\n"),
    "multiparts in multiparts": numbered(b"", "Content-Type: multipart/mixed; boundary=b{0}.\r\n\r\n--b{0}.\r\n"),
    "encoded messages": fill(MIXED, b"--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nUQ==\r\n"),
    "empty parts": fill(MIXED, b"--b\r\n"),
    "deep and many": b"".join(b"Content-Type: multipart/mixed; boundary=b%d.\r\n\r\n--b%d.\r\n" % (n, n) for n in range(90))
                     + b"--b89.\r\n\r\n" * 80_000,
    "addresses": fill(b"To: ", b"a@b.example, ", b"\r\n\r\n"),
    "a group": fill(b"To: all:", b"a@b,", b";\r\n\r\n"),
    "groups": fill(b"To: ", b"a:", b"\r\n\r\n"),
    "open comments": fill(b"To: ", b"(", b"\r\n\r\n"),
    "comments": fill(b"To: ", b"()", b"\r\n\r\n"),
    "signs": fill(b"To: ", b"@ ", b"\r\n\r\n"),
    "quotes": fill(b"To: ", b'"', b"\r\n\r\n"),
    "backslashes": fill(b'To: "', b"\\", b"\r\n\r\n"),
    "encoded names": fill(b"To: ", b"=?utf-8?q?a?= <a@b>,", b"\r\n\r\n"),
    "header lines": fill(b"", b"X: y\r\n"),
    "lines that are no fields": fill(b"", b"x\r\n", b"\r\n"),
    "lone CRs": fill(b"A: ", b"\r", b"\r\n\r\n"),
    "a folded line": fill(b"Subject: x", b"\r\n y", b"\r\n\r\n"),
    "blank lines": fill(MIXED, b"\r\n"),
    "dashes": fill(MIXED, b"--\r\n"),
    "parameters": fill(b"Content-Type: text/plain", b"; a=b", b"\r\n\r\n"),
    "a hundred parameters a part": fill(MIXED, b"--b\r\nContent-Type: a/b" + b"".join(b";a%d=b" % n for n in range(100))
                                        + b"\r\n\r\n"),
    "sections": numbered(b"Content-Disposition: attachment", "; filename*{0}=a"),
    "sections, in parts": numbered(MIXED, "--b\r\nContent-Disposition: a; filename*0*=u''{0}; filename*1=x; "
                                   "filename*2*=%41; filename=y\r\n\r\n"),
    "open comments of a field": fill(b"Content-Type: text/plain; ", b"( ", b"\r\n\r\n"),
    "encoded words": fill(b"Subject: ", b"=?utf-8?q?=41?= ", b"\r\n\r\n"),
    "unfinished words": fill(b"Subject: ", b"=?utf-8?q?", b"\r\n\r\n"),
    "paddings": fill(BASE64, b"A="),
    "short lines of base64": fill(BASE64, b"QUJD\n"),
    "uneven lines of base64": fill(BASE64, b"QUJDQUJD\r\nQUJD\r\n"),
    "base64 with noise": fill(BASE64, b"Q-U-J-D-\r\n"),
    "base64 in one line": fill(BASE64, b"QUJD"),
    "soft breaks": fill(QP, b"=\r"),
    "equals": fill(QP, b"="),
    "escapes": fill(QP, b"=41"),
    "lines of escapes": fill(QP, b"=\r\n"),
    "Received": fill(b"", b"Received: from a (b [192.0.2.1]) by c with d id e; Mon, 23 Nov 2026 10:00:00 +0000\r\n", b"\r\n"),
    "comments of Received": fill(b"Received: ", b"(from ", b"\r\n\r\n"),
    "references": fill(b"References: ", b"<a@b> ", b"\r\n\r\n"),
    "beginnings": fill(PLAIN, b"begin 644 a\r\n"),
    "files in a text": fill(PLAIN, b"begin 644 a\r\nend\r\n"),
    "uuencode, empty lines": fill(b"\r\nbegin 644 a\r\n", b"`\r\n"),
    "uuencode, short lines": fill(b"\r\nbegin 644 a\r\n", b"!80  \r\n"),
    "yEnc files": fill(PLAIN, b"=ybegin name=a\r\n=yend size=0\r\n"),
    "yEnc escapes": fill(b"\r\n=ybegin line=1 name=a\r\n", b"=j"),
    "UTF-8": fill(b"Content-Type: text/plain; charset=utf-8\r\n\r\n", "é".encode()),
    "all octets": bytes(range(256)) * 4096,
}


class Deaf(Session):
    """A session that nobody observes."""

    def report(self, finding: Finding) -> None:
        """Nothing."""

    def anomaly(self, name: str, detail: str, pdu: object = None) -> None:
        """Nothing."""

    def open_part(self, part: Part, message: Message) -> None:
        """Nobody."""


def seconds(data: bytes) -> float:
    """CPU seconds for a MiB."""
    session = Deaf(Flow(1, Address("192.0.2.1", 40000), Address("192.0.2.2", 25), 0, "smtp"), None, Limits(),  # type: ignore[arg-type]
                   Machine({"": {}}, ""))
    message = Message(1, Transaction(1, "MAIL", "", {}, []), "DATA", session, 0)
    begun = time.process_time()
    sink = mailspy_mime.plugin().open_message(message, session)
    for place in range(0, len(data), SEGMENT):
        sink.feed(data[place:place + SEGMENT])
    sink.close(True)
    return (time.process_time() - begun) * MEBIBYTE / len(data)


def main() -> int:
    """Prints the cases, the worst first; the exit code is 1 if one is over the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="cases with this word in their name")
    parser.add_argument("--rounds", type=int, default=3, help="the least of so many counts")
    options = parser.parse_args()
    costs = sorted(((min(seconds(data) for _ in range(options.rounds)), name)
                    for name, data in CASES.items() if options.only in name), reverse=True)
    for cost, name in costs:
        print(f"{cost:8.3f} s/MiB  {name}{'   OVER THE LIMIT' if cost > LIMIT else ''}")
    return 1 if costs and costs[0][0] > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
