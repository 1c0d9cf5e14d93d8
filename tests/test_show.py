"""`mailspy show`: a message for people, from captures and mail files; nothing in it can harm."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_cli import (
    _nobodys_settings,  # noqa: F401 - nobody's settings here either
    in_a_terminal,
)
from test_console import HARMFUL, HOSTILE, SGR
from test_export import smtp

from inspector.cli import main
from inspector.mail.hypertext import to_text

CAPTURES = Path(__file__).parent.parent / "captures"
LETTER = """From: =?utf-8?q?G=C3=A9rard?= <g@x.example>
To: n@y.example,
 m@y.example
Subject: =?iso-8859-1?q?=E9t=E9?=
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

=E9t=E9 \t tabbed
--b
Content-Type: text/html

<p>See <a href="https://evil.example/">https://bank.example</a></p><script>alert(1)</script>
--b
Content-Type: application/pdf; name=x.pdf
Content-Disposition: attachment
Content-Transfer-Encoding: base64

AAAA
--b--
""".replace("\n", "\r\n").encode()


def shown(capfd, *arguments: str) -> str:
    assert main(["show", *arguments]) == 0
    return capfd.readouterr().out


def test_the_message_of_the_sheet(capfd) -> None:
    out = shown(capfd, str(CAPTURES / "pop3-sheet.pcapng"))
    assert out.startswith("message 1   flow 1 · pop3 RETR · PDU 14 · 935 octets · 2026-")
    assert 'From        "gerard" <gerard@cnam.fr>\n' in out
    assert "└── 2 application/msword “publi.doc” · base64 · attachment · 130 octets · sha256 287c62da412f\n" in out
    assert out.endswith("Ci joint les publications.\n--\nGérard Florin\n")


@pytest.mark.parametrize("ends", [b"\r\n", b"\n"])
def test_a_message_file_whatever_its_name_and_line_ends(ends: bytes, capfd) -> None:
    Path("letter.pcapng").write_bytes(LETTER.replace(b"\r\n", ends))
    out = shown(capfd, "letter.pcapng")
    assert out.splitlines()[1:4] == [
        "From        Gérard <g@x.example>", "To          n@y.example, m@y.example", "Subject     été"]
    assert "    ├── 1 text/plain · iso-8859-1 · quoted-printable · 12 octets · sha256 " in out
    assert "été      tabbed" in out
    assert "See https://bank.example <https://evil.example/>\n" in out
    assert "alert" not in out
    assert shown(capfd, "letter.pcapng", "--raw").encode() == LETTER.replace(b"\r\n", ends)


def test_several_messages_are_listed_and_one_is_chosen(capfd, tmp_path: Path) -> None:
    capture = smtp(tmp_path / "c.pcapng", LETTER, b"Subject: two\r\n\r\nhi\r\n")
    out = shown(capfd, capture).splitlines()
    assert [line.split()[0] for line in out] == ["N°", "1", "2"]
    assert out[2].endswith("two")
    assert "envelope    <a@x.example> → <b@y.example>, <no@y.example> (550 refused)\n" in shown(capfd, capture, "--message", "2")
    assert shown(capfd, capture, "--message", "1", "--raw").encode() == LETTER


def test_a_mailbox(capfd) -> None:
    Path("box").write_bytes(b"From a@x Sat Jun  2 15:26:38 2001\nSubject: one\n\n>From x\n\nFrom b@x Sat\nSubject: two\n\n")
    assert len(shown(capfd, "box").splitlines()) == 3
    out = shown(capfd, "box", "--message", "1")
    assert "2001-06-02 15:26:38 UTC" in out
    assert out.endswith("\nFrom x\n")


def test_json(capfd, tmp_path: Path) -> None:
    capture = smtp(tmp_path / "c.pcapng", LETTER, b"Subject: two\r\n\r\nhi\r\n")
    first, second = map(json.loads, shown(capfd, capture, "--json").splitlines())
    assert [part["part"] for part in first["tree"][0]["parts"]] == ["1", "2", "3"]
    assert [text["text"] for text in first["texts"]] == [
        "été      tabbed", "See https://bank.example <https://evil.example/>"]
    assert {"name": "Subject", "value": "été"} in first["headers"]
    assert (second["message"], second["texts"][0]["text"]) == (2, "hi")
    assert json.loads(shown(capfd, capture, "--json", "--message", "2")) == second


def test_what_is_not_whole_says_so(capfd, tmp_path: Path) -> None:
    out = shown(capfd, smtp(tmp_path / "c.pcapng", b"Subject: x\r\n\r\nhalf\r\n", over=False))
    assert "not whole   cut short\n" in out
    out = shown(capfd, str(CAPTURES / "pop3-apop-uidl-top.pcapng"))
    assert "(only its beginning was asked for (TOP))" in out


def test_a_long_text_is_cut_with_a_notice(capfd) -> None:
    Path("long").write_bytes(b"Subject: x\n\n" + b"0123456789 0123456789 0123456789 0123456789 01234\n" * 20_000)
    out = shown(capfd, "long")
    assert len(out) < 300_000
    assert out.endswith("[… of 1,000,000 octets the first 262,144 are shown; --raw prints all]\n")


def test_nothing_in_a_message_harms_a_terminal() -> None:
    evil = "\n".join(HOSTILE).encode("utf-8", "surrogateescape").replace(b"\r", b"")
    text = evil.replace(b"\n", b"\n ")
    Path("evil").write_bytes(b"From: " + text + b"\nSubject: " + text + b'\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n'
                             + evil + b"\n--b\nContent-Type: text/html\n\n" + evil + b"&#27;]0;x&#7;&#x202e;\n--b\n"
                             b"Content-Type: a/b; name*=utf-8''%1b%5b2J%0a\n\n--b--\n")
    seen = in_a_terminal("show", "evil")
    assert "\x1b[" in seen, "coloured: it is a terminal"
    assert not HARMFUL.search(SGR.sub("", seen).replace("\r\n", "\n"))


class Terminal(io.StringIO):
    """A file that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_what_is_piped_has_no_colours_and_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("letter").write_bytes(LETTER)
    program = "import sys; from inspector.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", program, "show", "letter"], capture_output=True, check=True)
    assert b"\x1b" not in done.stdout
    monkeypatch.setenv("TERM", "xterm")
    for value, coloured in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", value)
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        assert main(["show", "letter"]) == 0
        assert bool(re.search(r"\x1b\[[\d;]*3\d", terminal.getvalue())) is coloured


@pytest.mark.parametrize(("arguments", "message"), [
    ("none", "none: cannot be opened: No such file or directory"),
    (".", ".: no capture in this folder"),
    ("empty", "empty: is empty"),
    ("zip", "zip: begins neither like a capture (pcapng, pcap) nor like a message or a mailbox"),
    ("box --message 3", "box: --message 3: there is no such message; it has 2"),
    ("box --message 0", "--message 0: messages are numbered from 1"),
    ("box --raw", "box: has several messages; --message N chooses one"),
    ("box --raw --json", "--raw prints octets and --json objects: leave one of the two out"),
    ("box --disable mailspy_mime", "need the plugin mailspy_mime"),
])
def test_mistakes(arguments: str, message: str, capfd) -> None:
    Path("empty").touch()
    Path("zip").write_bytes(b"PK\x03\x04")
    Path("box").write_bytes(b"From a\nSubject: 1\n\nx\n\nFrom b\nSubject: 2\n\n")
    assert main(["show", *arguments.split()]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert message in err


def test_html_as_text() -> None:
    page = ("<html><head><title>t</title><style>p{}</style></head><body><p>Hello&nbsp;<b>you</b> &amp; me<p>"
            "<a href=mailto:a@b>a@b</a><ul><li>one<li>two</ul><table><tr><td>a<td>b<tr><td>c</table><pre> x\n  y</pre>1 < 2"
            "<!-- no --><img src=x alt=pic><br>end<a href='u'>l</a>")
    assert to_text(page) == "Hello\xa0you & me\n\na@b\n\n• one\n• two\n\na  b\nc\n\n x\n  y\n\n1 < 2[pic]\nendl <u>"


@pytest.mark.parametrize("unit", ["<", "<!--", '<a "', '<a href="', "<a =", "&", "<![CDATA[", "<a", "<script>", "<svg>", "<li>",
                                  "<a href=x>", "<a b=' ", "\"<x y='>", "<a b=\"'>", "</", "<a " + "=" * 999, "<p>", "&#9"])
def test_hostile_html_takes_linear_time(unit: str) -> None:
    """A quadratic reader would not end within the time that a test may take."""
    to_text((unit * 300_000)[:300_000])


def test_numbers_too_long_to_read() -> None:
    assert to_text("&#" + "9" * 10_000 + ";<a href='&#" + "9" * 10_000 + "'>x</a>") == "\ufffdx <\ufffd>"
