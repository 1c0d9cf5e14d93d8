"""Secrets in as many ways as clients send them by mistake, and a finder that knows them again: raw, in base64, and decoded."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import NamedTuple

from inspector.pdu import C2S, S2C, Direction

Steps = list[tuple[Direction, bytes]]
GREETINGS = {
    "pop3": b"+OK <1.2@pop.example>\r\n", "smtp": b"220 mx.example ESMTP\r\n", "lmtp": b"220 mx.example LMTP\r\n",
    "imap": b"* OK IMAP4rev1 ready\r\n", "sieve": b'"IMPLEMENTATION" "x"\r\nOK\r\n', "ftp": b"220 ProFTPD ready\r\n", "": b""}
NO = {"pop3": b"-ERR what\r\n", "smtp": b"500 what\r\n", "lmtp": b"500 what\r\n", "imap": b"a1 BAD what\r\n",
      "sieve": b'NO "what"\r\n', "ftp": b"500 what\r\n", "": b"what\r\n"}


class Plant(NamedTuple):
    """A dialogue with a secret in it."""

    name: str
    protocol: str
    """Which is given; empty where the greeting is to tell."""
    secret: bytes
    steps: Steps


def b64(octets: bytes) -> bytes:
    """In base64."""
    return base64.b64encode(octets)


LINES: dict[str, bytes] = {
    "PASS": b"PASS %s",
    "in small letters": b"pass %s",
    "two blanks": b"PASS  %s",
    "no blank": b"PASS%s",
    "a tab": b"PASS\t%s",
    "a blank before": b" PASS %s",
    "a bare CR before": b"\rPASS %s",
    "a NUL before": b"\0PASS %s",
    "a mark before": b"\xef\xbb\xbfPASS %s",
    "behind a bare CR": b"NOOP\rPASS %s",
    "PSAS": b"PSAS %s",
    "PAS": b"PAS %s",
    "PASSS": b"PASSS %s",
    "APSS": b"APSS %s",
    "PASSWORD": b"PASSWORD %s",
    "PASS:": b"PASS: %s",
    "USER x PASS": b"USER x PASS %s",
    "USER x y": b"USER alice %s",
    "after a path": b"MAIL FROM:<a@b> PASS %s",
    "after a name": b"EHLO me PASS %s",
    "after QUIT": b"QUIT %s",
    "after NOOP": b"NOOP %s",
    "after STAT": b"STAT %s",
    "after RETR": b"RETR %s",
    "alone": b"%s",
    "own command": b"XLOGON %s",
    "quoted": b'PASS "%s"',
    "APOP": b"APOP alice %s",
    "AUTH with PLAIN": b"AUTH PLAIN %b",
    "auth plain": b"auth plain %b",
    "AUTH alone": b"AUTH %b",
    "AUTH=": b"AUTH=PLAIN %b",
    "AUHT": b"AUHT PLAIN %b",
    "AUTHPLAIN": b"AUTHPLAIN %b",
    "AUTH LOGIN": b"AUTH LOGIN %c",
    "AUTH of nobody": b"AUTH X-NONE %b",
    "AUTH raw": b"AUTH PLAIN alice %s",
    "base64 alone": b"%b",
    "of the password alone": b"%c",
    "LOGIN": b"a1 LOGIN alice %s",
    "AUTHENTICATE": b"a1 AUTHENTICATE PLAIN %b",
    "HTTP": b"GET /?password=%s HTTP/1.1",
    "Authorization": b"Authorization: Basic %b",
    "FTP's ACCT": b"ACCT %s",
    "of ManageSieve": b'AUTHENTICATE "PLAIN" "%b"',
}
"""What a client says: `%s` the secret, `%b` the response of PLAIN with it, `%c` it alone in base64."""


def said(line: bytes, secret: bytes) -> bytes:
    """The line with that secret."""
    return (line.replace(b"%s", secret).replace(b"%b", b64(b"\0alice\0" + secret)).replace(b"%c", b64(secret))) + b"\r\n"


def dialogues(line: bytes, kind: str) -> Iterator[tuple[str, Steps]]:
    """Where a line may come in a session of that kind."""
    hello, no = (C2S, b"EHLO me\r\n"), NO[kind]
    begin: Steps = [(S2C, GREETINGS[kind])] if kind else []
    begun: Steps = [*begin, hello, (S2C, b"250 mx\r\n")] if kind == "smtp" else begin
    yield "by itself", [*begun, (C2S, line), (S2C, no)]
    yield "said again", [*begun, (C2S, line), (S2C, no.replace(b"what", b"unknown command \"" + line[:-2] + b"\""))]
    yield "at once", [*begin, (C2S, b"NOOP\r\n" + line + b"QUIT\r\n"), (S2C, no * 3)]
    yield "cut short", [*begun, (C2S, line[:-2])]
    yield "before the greeting", [(C2S, line), *begin, (S2C, no)]
    if kind in ("pop3", "smtp"):
        more = b"+ \r\n" if kind == "pop3" else b"334 \r\n"
        refused = b"-ERR no\r\n" if kind == "pop3" else b"535 no\r\n"
        tls = b"STLS\r\n" if kind == "pop3" else b"STARTTLS\r\n"
        yield "as a response", [*begun, (C2S, b"AUTH LOGIN\r\n"), (S2C, more), (C2S, line), (S2C, refused)]
        yield "before the answer", [*begun, (C2S, b"AUTH LOGIN\r\n" + line), (S2C, refused + no)]
        yield "after it", [*begun, (C2S, b"AUTH LOGIN\r\n"), (S2C, refused), (C2S, line), (S2C, no)]
        yield "after giving up", [*begun, (C2S, b"AUTH LOGIN\r\n"), (S2C, more), (C2S, b"*\r\n"), (S2C, no), (C2S, line),
                                  (S2C, no)]
        yield "in two lines", [*begun, (C2S, b"AUTH LOGIN\r\n"), (S2C, more), (C2S, b"QUJD\r\n" + line), (S2C, refused + no)]
        yield "with STARTTLS", [*begun, (C2S, tls + line), (S2C, no), (S2C, no)]
        yield "after STARTTLS", [*begun, (C2S, tls), (S2C, GREETINGS[kind][:3] + b" go\r\n"), (C2S, line)]
        yield "after a hello that is none", [*begun, (C2S, b"\x16\r\n" + line), (S2C, no)]
        yield "after a flood", [*begun, (C2S, b"AUTH PLAIN\r\n"), (C2S, b"x" * 500 + b"\r\n"), (S2C, no), (C2S, line),
                                (S2C, no)]


PLACES = ("by itself", "said again", "at once", "cut short", "before the greeting", "as a response", "before the answer",
          "after it", "after giving up", "in two lines", "with STARTTLS", "after STARTTLS", "after a hello that is none",
          "after a flood")
KINDS = {"pop3": "pop3", "smtp": "smtp", "lmtp": "lmtp", "imap": "", "sieve": "", "ftp": "", "": ""}
"""How a server speaks → which protocol is given."""


def plants() -> list[Plant]:
    """All of them, each with a secret of its own."""
    found: list[Plant] = []
    for kind, protocol in KINDS.items():
        for how, form in LINES.items():
            for place in range(len(PLACES)):
                secret = b"s%03dKq7zW%02d" % (len(found) % 1000, len(found) // 1000)
                told = dict(dialogues(said(form, secret), kind))
                if PLACES[place] in told:
                    found.append(Plant(f"{kind or 'nobody'}, {how}, {PLACES[place]}", protocol, secret, told[PLACES[place]]))
    for number, (kind, refusal) in enumerate((("DATA\r\n", b"554 no\r\n"), ("BDAT 80 LAST\r\n", b"503 no\r\n"))):
        secret = b"s%03dKq7zW99" % number
        lines = kind.encode() + b"Subject: x\r\nAUTH PLAIN " + b64(b"\0alice\0" + secret) + b"\r\n\r\n"
        found.append(Plant(f"smtp, AUTH in a refused {kind[:4]}", "smtp", secret, [
            (S2C, GREETINGS["smtp"]), (C2S, b"EHLO me\r\n"), (S2C, b"250 mx\r\n"), (C2S, lines),
            (S2C, refusal + b"500 what\r\n" * 3)]))
    literal = b"s000Kq7zW98"
    found.append(Plant("imap, literals", "", literal, [
        (S2C, GREETINGS["imap"]), (C2S, b"a1 LOGIN {5}\r\n"), (S2C, b"+ go\r\n"), (C2S, b"alice {11}\r\n"), (S2C, b"+ go\r\n"),
        (C2S, literal + b"\r\n"), (S2C, b"a1 OK\r\n")]))
    return found


_TOKEN = re.compile(rb"[A-Za-z0-9+/]{8,}={0,2}")


def forms(secret: bytes) -> list[bytes]:
    """How a secret may look: as it is, and in base64 wherever it stands in what was encoded."""
    encoded = [b64(b"\0" * before + secret)[before + (before > 0):] for before in range(3)]
    return [secret, *(form[:len(form) - 4] for form in encoded)]


def found_in(output: bytes, secret: bytes) -> bool:
    """Whether a secret shows: raw, in base64, or in something that is base64."""
    if any(form.lower() in output.lower() for form in forms(secret)):
        return True
    return any(secret in base64.b64decode(token[0][:len(token[0]) // 4 * 4]) for token in _TOKEN.finditer(output))
