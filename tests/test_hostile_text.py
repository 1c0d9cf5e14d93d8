"""Hostile text in every field that comes from the wire, and every place where people or programs read it: nothing gets through.

What is planted: escapes of terminals in 7 and 8 bits, BEL, backspace, DEL, NUL, overrides of the reading direction, line and
paragraph separators, invisible tags, a pile of combining marks, markup, a formula.  What is looked at: all that `mailspy` prints
and writes for people and programs, but for the octets of messages, which are written as they crossed.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.capture.note import EVENTS
from inspector.capture.writer import CaptureWriter
from inspector.cli import main
from inspector.pdu import C2S, S2C, Address, Direction, Finding, Flow
from inspector.protocols.line import word_shown

START = 1_790_000_000_000_000
EVIL = ("\x1b[2J\x1b]0;PWNED\a\b\x7f\x9b31m\u202e\u2066\u2028\u2029\u200b\U000e0041\ufeffe" + "\u0301" * 30
        + "<script>alert(1)</script>&\"'").encode()
"""As it can stand in a line, without blanks."""
HARMFUL = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def harm(text: str, allowed: str = "\n") -> list[str]:
    """The characters that could harm whoever reads it."""
    found = {char for char in text if unicodedata.category(char) in HARMFUL and char not in allowed}
    if re.search("[\u0300-\u036f]{5,}", text):
        found.add("a pile of marks")
    return sorted(map(ascii, found))


def hidden(value: object) -> list[str]:
    """The same of what JSON has escaped, wherever it stands in an object."""
    if isinstance(value, str):
        return harm(value, "\n")
    if isinstance(value, dict):
        return [found for name, inner in value.items() for found in (*harm(name, ""), *hidden(inner))]
    return [found for inner in value for found in hidden(inner)] if isinstance(value, list) else []


MAIL = b"""\
Received: from ~ ([192.0.2.9]) by ~ with ~ id ~ for <~>; ~
Subject: ~\x00\x0b
From: "~" <~@example.org>
From: second <b@c>
To: =?utf-8?q?=1B[2J=E2=80=AE=07?= <~@x>, grp:~;
Date: ~
Message-ID: <~>
In-Reply-To: <~>
References: <~>
X-Mailer: ~
~: ~
MIME-Version: 1.0
Content-Type: multipart/~; boundary="b"

--b
Content-Type: ~/~; charset=~; name="~"
Content-Disposition: ~; filename="../../~.exe"
Content-Transfer-Encoding: ~

text ~
--b
Content-Type: text/html; charset=utf-8

<p>~</p>&#27;[2J&#x202e;
--b
Content-Type: application/octet-stream
Content-Disposition: attachment; filename*0*=utf-8''%1B%5B2J%E2%80%AE; filename*1="~"

begin 644 ~
#0V%T
`
end
--b--
"""
SMTP = b"""\
S 220 ~
C EHLO ~
S 250-~
S 250-AUTH ~
S 250-~ x
S 250 SIZE
C ~ x
S 500 5.5.1 ~
C AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA~
S ~
C HELP ~
S 214 ~
C VRFY ~
S 252 ok
C MAIL FROM:<~@x> ~=~
S 250 ~
C RCPT TO:<=cmd|~@~>
S 250 ~
C RCPT TO:<@~:a%~@[~]>
S 550 5.7.1 ~
C DATA
S 354 ~
C $
C .
S 250 ~
C BDAT ~
S 501 ~
C AUTH ~ ~
S 334 ~
C ~
S 535 ~
C QUIT ~
S 221 ~
S 250 unasked ~
S \x1b~
"""
POP3 = b"""\
S +OK ~ <1@~>
C CAPA
S +OK
S ~
S SASL ~
S .
C ~
S -ERR [~] x
C USER ~
S +OK ~
C PASS x
S +OK ~
C UIDL
S +OK
S 1 ~
S .
C RETR 1
S +OK
S $
S .
C RETR ~
S +OK ~
S $
S .
C TOP 1 ~
S ~
C APOP ~ ~
S -ERR
"""
IMAP = b"S * OK ~\nC a LOGIN ~\nS ~\nC ~\n"
PROXY = b"C PROXY TCP4 ~ 192.0.2.2 1 25\n" + SMTP
NOISE = b"S ~~~\nC ~~~\n"


def spoken(script: bytes) -> Iterator[tuple[Direction, bytes]]:
    """A transcript with the text in place of each `~`, and the mail in place of `$`."""
    for line in script.splitlines():
        octets = line[2:] + b"\r\n"
        if octets == b"$\r\n":
            octets = MAIL.replace(b"\n", b"\r\n")
        yield (S2C if line[:1] == b"S" else C2S), octets.replace(b"~", EVIL)


TEXT = EVIL.decode("utf-8", "replace")
FINDINGS = [Finding(event, TEXT, {
    "leg": TEXT, "names": [TEXT], "reason": TEXT, "name": TEXT, "issuer": TEXT, "version": TEXT, "alpn_offered": [TEXT], TEXT: 1,
    "problems": [{"name": TEXT, "detail": TEXT}]}, "high") for event in sorted(EVENTS)]
"""What a forged note claims."""
LAST = {"tls_failed", "tls_passed"}
"""After these nothing of a session is read."""


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One capture with all of it: what the wire says, and what a forged note claims."""
    path = tmp_path_factory.mktemp("evil") / "evil.pcapng"
    writer = CaptureWriter(str(path), alarm=print)
    for number, (protocol, talk) in enumerate([("smtp", SMTP), ("pop3", POP3), ("lmtp", SMTP), ("", IMAP), ("", PROXY),
                                               ("", NOISE), ("smtp", NOISE)], 1):
        flow = Flow(number, Address("192.0.2.1", 4000 + number), Address("evil\u00e9.example", 25), START, protocol)
        writer.open(flow)
        writer.note(flow, [one for one in FINDINGS if one.event not in LAST], False, START)
        for time, (direction, octets) in enumerate(spoken(talk), START):
            writer.segment(flow, direction, octets, time)
        writer.note(flow, [one for one in FINDINGS if one.event in LAST], False, START + 98)
        writer.reset(flow, C2S, START + 99)
    writer.close()
    return path


PRINTS: dict[str, tuple[str, ...]] = {
    "view": ("replay", "{}"), "verbose": ("-v", "replay", "{}"), "quiet": ("-q", "replay", "{}"),
    "json": ("--json", "replay", "{}"), "jobs": ("replay", "{}", "--jobs", "2"),
    "policy": ("--local-domain", "x", "replay", "{}"),
    "filter": ("--filter", "text contains 'a'", "replay", "{}"),
    "sessions": ("sessions", "{}"), "sessions json": ("--json", "sessions", "{}"), "sessions csv": ("sessions", "{}", "--csv"),
    "stats": ("stats", "{}"), "stats json": ("--json", "stats", "{}"),
    "list": ("show", "{}"), "message": ("show", "{}", "--message", "1"),
    "message json": ("--json", "show", "{}", "--message", "2"),
    "jsonl": ("export", "{}", "--jsonl", "-"), "eve": ("export", "{}", "--eve", "-"),
    "report": ("export", "{}", "--report", "html", "--output", "-"),
    "html": ("export", "{}", "--ladder", "html", "--output", "-"),
    "svg": ("export", "{}", "--ladder", "svg", "--output", "-", "--filter", "flow == 1"),
    "mermaid": ("export", "{}", "--ladder", "mermaid", "--output", "-", "--filter", "flow == 2"),
}
"""Commands that print."""


@pytest.mark.parametrize("name", PRINTS)
def test_nothing_hostile_is_printed(capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str,
                                    capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    monkeypatch.chdir(tmp_path)
    code = main([part.format(capture) for part in PRINTS[name]])
    said, told = capfdbinary.readouterr()
    assert code == 0, told
    assert said
    for text in (said.decode(), told.decode()):
        assert harm(text) == []
        assert [found for line in text.splitlines() if line[:1] == "{" and (found := hidden(json.loads(line)))] == []
        if name in ("report", "html", "svg", "mermaid"):
            assert "<script>alert" not in text
    if name == "sessions csv":
        assert not re.search(r"(^|,)\"?[=+@|%-]", said.decode(), re.MULTILINE)


FILES: dict[str, tuple[str, ...]] = {
    "log": ("--log", "out.log", "replay", "{}"), "json log": ("--log", "out.json", "replay", "{}"),
    "zeek": ("export", "{}", "--zeek", "out"), "ladders": ("export", "{}", "--ladder", "svg", "--output", "out/"),
}
"""Commands that write texts."""


@pytest.mark.parametrize("name", FILES)
def test_nothing_hostile_is_written(capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([part.format(capture) for part in FILES[name]]) == 0
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    for path in written:
        text = path.read_bytes().decode()
        assert harm(text, "\n\t" if name == "zeek" else "\n") == [], path
        if name == "json log":
            assert hidden([json.loads(line) for line in text.splitlines()]) == []


NAMED: dict[str, tuple[str, ...]] = {
    "eml": ("export", "{}", "--eml", "out", "--incomplete"), "maildir": ("export", "{}", "--maildir", "out", "--incomplete"),
    "attachments": ("--attachments", "out", "replay", "{}")}
"""Commands that give names to files."""


@pytest.mark.parametrize("name", NAMED)
def test_no_file_is_called_by_it(capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """And the descriptions beside them are clean."""
    monkeypatch.chdir(tmp_path)
    assert main([part.format(capture) for part in NAMED[name]]) == 0
    names = os.listdir(tmp_path) + [path.name for path in (tmp_path / "out").rglob("*")]
    assert len(names) > 1
    assert all(re.fullmatch(r"[A-Za-z0-9._,=:-]+", name) for name in names), names
    for path in (tmp_path / "out").rglob("*.json"):
        assert harm(path.read_text()) == []
        assert hidden(json.loads(path.read_text())) == []


def test_comments_of_captures_are_clean(capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Wireshark shows beside a packet."""
    monkeypatch.chdir(tmp_path)
    comments: list[str] = []

    class Recorded:
        """In the place of the capture."""

        def __init__(self, *_: object, **__: object) -> None:
            self.open = self.gap = self.note = self.end = self.reset = self.forget = self.close = lambda *_: None

        def segment(self, flow: Flow, direction: Direction, data: bytes, time: int, told: Sequence[str] = ()) -> None:
            comments.extend(told)

    monkeypatch.setattr("inspector.cli.copying.CaptureWriter", Recorded)
    assert main(["export", str(capture), "--pcapng", "new.pcapng"]) == 0
    assert len(comments) > 30
    assert [found for comment in comments if (found := harm(comment, ""))] == []


@settings(max_examples=300)
@given(st.binary(max_size=80))
def test_the_word_of_an_unknown_command(line: bytes) -> None:
    """Printable ASCII and no blank, of bounded length."""
    word = word_shown(line)
    assert word.isascii()
    assert word.isprintable() or not word
    assert len(word) <= 128


