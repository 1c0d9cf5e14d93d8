"""`mailspy export`: what comes out is what crossed, octet for octet, under names of our own."""

from __future__ import annotations

import io
import json
import mailbox as stdlib_mailbox
import os
import random
import resource
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from mime_kit import cut
from test_cli import _nobodys_settings  # noqa: F401 - nobody's settings here either

from inspector.capture.writer import CaptureWriter
from inspector.cli import main
from inspector.mail import lines
from inspector.mail.mailfile import mailbox
from inspector.mail.store import slug
from inspector.pdu import C2S, S2C, Address, Flow

CAPTURES = Path(__file__).parent.parent / "captures"
LETTER = (b"From: a@x.example\r\nSubject: A letter\r\n\r\n"
          b".dot\r\nFrom here\r\n>From there\r\n\r\nFrom after a blank\r\nbare\nLF\r\n\r\n")


def smtp(path: Path, *letters: bytes, sender: str = "a@x.example", over: bool = True, hole: int = 0) -> str:
    """A capture of a session that sends these letters; without its end unless `over`; `hole` octets of it are lost."""
    script: list[tuple[object, bytes]] = [(S2C, b"220 mx\r\n"), (C2S, b"EHLO c\r\n"), (S2C, b"250 mx\r\n")]
    for letter in letters:
        stuffed = letter.replace(b"\r\n.", b"\r\n..")
        script += [(C2S, f"MAIL FROM:<{sender}>\r\n".encode()), (S2C, b"250 ok\r\n"),
                   (C2S, b"RCPT TO:<b@y.example>\r\n"), (S2C, b"250 ok\r\n"),
                   (C2S, b"RCPT TO:<no@y.example>\r\n"), (S2C, b"550 5.1.1 no\r\n"),
                   (C2S, b"DATA\r\n"), (S2C, b"354 go\r\n"), (C2S, stuffed)]
        if over:
            script += [(C2S, b".\r\n"), (S2C, b"250 ok\r\n")]
    writer = CaptureWriter(str(path), alarm=pytest.fail)
    flow = Flow(1, Address("192.0.2.1", 40000), Address("192.0.2.2", 25), 1_000_000_000_000_000, "smtp")
    writer.open(flow)
    for place, (direction, data) in enumerate(script):
        writer.segment(flow, direction, data, flow.opened + place * 1000)  # type: ignore[arg-type]
    writer.end(flow, C2S, flow.opened + 10**6)
    writer.end(flow, S2C, flow.opened + 10**6)
    writer.close()
    return str(path)


def files(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


def test_a_letter_comes_out_as_it_was_sent(tmp_path: Path, capfd) -> None:
    capture = smtp(tmp_path / "c.pcapng", LETTER, b"\r\nno header\r\n")
    assert main(["export", capture, "--eml", "out"]) == 0
    assert files("out") == {"0001-001-a-letter.eml": LETTER, "0001-002-message.eml": b"\r\nno header\r\n"}
    assert capfd.readouterr() == ("", "mailspy: 2 messages exported to out\n")
    assert stat.S_IMODE(os.stat("out").st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in Path("out").iterdir()} == {0o600}


def test_nothing_is_written_over(tmp_path: Path) -> None:
    capture = smtp(tmp_path / "c.pcapng", LETTER)
    for _ in range(3):
        assert main(["export", capture, "--eml", "out"]) == 0
    assert set(files("out")) == {"0001-001-a-letter.eml", "0001-001-a-letter-2.eml", "0001-001-a-letter-3.eml"}
    Path("victim").write_text("mine")
    os.symlink("../victim", "out/0001-001-a-letter-4.eml")
    assert main(["export", capture, "--eml", "out"]) == 0
    assert Path("victim").read_text() == "mine"
    assert "0001-001-a-letter-5.eml" in files("out")


@pytest.mark.parametrize("name", sorted(path.stem for path in CAPTURES.glob("*.pcapng")))
def test_the_sample_captures(name: str, tmp_path: Path, capfd) -> None:
    """As many files as whole messages, each of the size that the golden log tells."""
    assert main(["export", str(CAPTURES / f"{name}.pcapng"), "--eml", "out"]) == 0
    told = [json.loads(line) for line in (CAPTURES / f"{name}.events").read_text().splitlines()]
    sizes = [one["size"] for one in told if one["event"] == "message" and one["complete"] and one["verb"] != "TOP"]
    assert sorted(map(len, files("out").values())) == sorted(sizes)


def test_a_mailbox_is_read_back_octet_for_octet(tmp_path: Path) -> None:
    """By ourselves, in any cutting; and its messages are counted right by Python."""
    letters = [LETTER, b"Subject: none\r\n\r\n", b"Subject: two\r\n\r\n>>From x\r\n\r\n\r\n"]
    capture = smtp(tmp_path / "c.pcapng", *letters)
    assert main(["export", capture, "--mbox", "all.mbox"]) == 0
    content = Path("all.mbox").read_bytes()
    assert content.startswith(b"From a@x.example Sun Sep  9 01:46:40 2001\nFrom: a@x.example\r\n")
    assert b"\r\n>From here\r\n>>From there\r\n" in content
    with closing(stdlib_mailbox.mbox("all.mbox")) as box:
        assert len(box) == 3
    assert main(["export", "all.mbox", "--eml", "back"]) == 0
    assert list(files("back").values()) == letters


def test_unix_line_ends(tmp_path: Path) -> None:
    capture = smtp(tmp_path / "c.pcapng", LETTER)
    assert main(["export", capture, "--mbox", "all.mbox", "--lf"]) == 0
    assert b"\r" not in Path("all.mbox").read_bytes()
    assert main(["export", "all.mbox", "--eml", "back"]) == 0
    assert list(files("back").values()) == [LETTER.replace(b"\r\n", b"\n")]


def test_a_maildir(tmp_path: Path) -> None:
    capture = smtp(tmp_path / "c.pcapng", LETTER, LETTER)
    for _ in range(2):
        assert main(["export", capture, "--maildir", "box"]) == 0
    assert {path.name for path in Path("box").iterdir()} == {"tmp", "new", "cur"}
    assert not list(Path("box/tmp").iterdir())
    assert list(files("box/new").values()) == [LETTER] * 4
    assert len(stdlib_mailbox.Maildir("box", create=False)) == 4


@pytest.mark.parametrize("length", [3, 70_000, 700_000])
def test_a_message_that_is_cut_short_is_left_out_unless_asked_for(length: int, tmp_path: Path, capfd) -> None:
    letter = b"Subject: cut\r\n\r\n" + b"x" * length
    capture = smtp(tmp_path / "c.pcapng", letter, over=False)
    assert main(["export", capture, "--eml", "out"]) == 0
    assert files("out") == {}
    assert "0 messages exported to out; 1 incomplete left out: --incomplete exports them" in capfd.readouterr().err
    assert main(["export", capture, "--eml", "out", "--incomplete"]) == 0
    assert files("out") == {"0001-001-cut.incomplete.eml": b"X-Mailspy-Incomplete: cut short\r\n" + letter}


def test_what_the_capture_lacks_is_incomplete(tmp_path: Path, capfd) -> None:
    """A packet in the middle of the message is lost: what is left must not pass for the message."""
    from inspector.capture.blocks import Frames

    body = b"Subject: hole\r\n\r\n" + b"".join(b"%07d\r\n" % number for number in range(20_000))
    path = smtp(tmp_path / "c.pcapng", body)
    whole = Path(path).read_bytes()
    place = whole.find(b"0010000\r\n")
    start = whole.rfind((6).to_bytes(4, "big"), 0, place)
    size = int.from_bytes(whole[start + 4:start + 8], "big")
    assert Frames(io.BytesIO(whole).read, "c", pytest.fail).batch()
    Path(path).write_bytes(whole[:start] + whole[start + size:])
    assert main(["export", path, "--eml", "out"]) == 0
    assert files("out") == {}
    assert "1 incomplete left out" in capfd.readouterr().err


def test_the_envelope_as_headers(tmp_path: Path) -> None:
    evil = "a\\\"b\x0bBcc: c@z.example"
    capture = smtp(tmp_path / "c.pcapng", LETTER, sender=evil)
    assert main(["export", capture, "--eml", "out", "--envelope", "headers"]) == 0
    head, _, rest = files("out").popitem()[1].partition(b"From: a@x")
    assert rest == LETTER[len(b"From: a@x"):]
    rows = head.split(b"\r\n")
    assert [row.split(b":")[0] for row in rows] == [b"X-Mailspy-Mail-From", b"X-Mailspy-Rcpt-To", b"X-Mailspy-Rcpt-Refused",
                                                     b"X-Mailspy-Flow", b"X-Mailspy-Time", b""]
    assert rows[1:3] == [b"X-Mailspy-Rcpt-To: <b@y.example>", b"X-Mailspy-Rcpt-Refused: <no@y.example> 550"]
    assert head.isascii()
    assert head.replace(b"\r\n", b"").decode().isprintable()


@pytest.mark.parametrize(("store", "beside"), [
    ("--eml", "out/0001-001-a-letter.eml.json"), ("--mbox", "out.jsonl"), ("--maildir", "out/mailspy-envelopes.jsonl")])
def test_the_envelope_as_json(store: str, beside: str, tmp_path: Path) -> None:
    assert main(["export", smtp(tmp_path / "c.pcapng", LETTER), store, "out", "--envelope", "json"]) == 0
    told = json.loads(Path(beside).read_text())
    assert told["mail_from"] == "a@x.example"
    assert told["rcpt_to"] == [{"address": "b@y.example", "accepted": True, "status": "250"},
                               {"address": "no@y.example", "accepted": False, "status": "550"}]
    assert (told["flow"], told["verb"], told["size"], told["complete"]) == (1, "DATA", len(LETTER), True)


@pytest.mark.parametrize("subject", [
    "../../etc/passwd", "/abs", "..", ".", "", "-rf", "~", "\x00", "con", "a\u202egpj.exe", "．．／x", "x" * 999, "é\u0301" * 99,
    "\ud800", "a\r\nb", "\u2028", "名前"])
def test_names_are_of_plain_letters(subject: str) -> None:
    name = slug(subject)
    assert 0 < len(name) <= 48
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert name.strip("-") == name


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    capture = smtp(tmp_path / "c.pcapng", LETTER, b"Subject: big\r\n\r\n" + b"x\r\n" * 1_000_000)
    program = "import sys; from inspector.cli import main; sys.exit(main())"
    limits = (1_000_000, resource.RLIM_INFINITY)
    for store, kept in (("--eml", ["0001-001-a-letter.eml"]), ("--maildir", None), ("--mbox", [])):
        folder = tmp_path / store.strip("-")
        folder.mkdir()
        done = subprocess.run([sys.executable, "-c", program, "export", capture, store, str(folder / "out")], text=True,
                              capture_output=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits))
        assert done.returncode == 1
        assert done.stderr.startswith(f"mailspy: error: {folder / 'out'}: File too large")
        found = files(str(folder))
        assert len(found) == 1 if kept is None else sorted(found) == kept
        assert not any(name.endswith(".tmp") for name in found)


@pytest.mark.parametrize(("arguments", "message"), [
    ("", "where to? Give one of --eml DIR, --mbox FILE and --maildir DIR"),
    ("--eml a --mbox b", "Give one of"),
    ("--mbox there", "--mbox there: exists already; name a new file"),
    ("--eml there", "--eml there: File exists; name a folder"),
    ("--maildir full", "--maildir full: has files in it and is no maildir"),
    ("--eml a --envelope post", "'post' is not one of 'headers', 'json'"),
])
def test_mistakes(arguments: str, message: str, tmp_path: Path, capfd) -> None:
    Path("there").touch()
    Path("full").mkdir()
    Path("full/x").touch()
    assert main(["export", smtp(tmp_path / "c.pcapng", LETTER), *arguments.split()]) == 2
    assert message in capfd.readouterr().err


def test_quoting_in_any_cutting() -> None:
    text = b"From a\n>From b\n >From\nFro\n" + b">" * 1_005 + b"From\n" + b">" * 998 + b"From c\nFrom d\n>>"
    dice = random.Random(1)
    expected = None
    for _ in range(200):
        pieces = cut(text, dice)
        quotes, unquotes = lines.quoting(), lines.unquoting()
        quoted = b"".join([*map(quotes.feed, pieces), quotes.finish()])
        expected = expected or quoted
        assert quoted == expected
        assert b"".join([*map(unquotes.feed, cut(quoted, dice)), unquotes.finish()]) == text
    assert expected is not None
    assert expected.startswith(b">From a\n>>From b\n >From\n")


class Slow(io.BytesIO):
    """A file that is read a few octets at a time."""

    def __init__(self, content: bytes, size: int) -> None:
        super().__init__(content)
        self._size = size

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._size)


def test_a_mailbox_in_any_cutting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of any size; lines longer than a block, too."""
    text = (b"From a Sat Jun  2 15:26:38 2001\nSubject: 1\n\nx\nFrom not\n\n\nFrom b x\n\nFrom c x\nS: 3\r\n\r\n\r\n"
            b"From d x\n" + b"y" * 300 + b"\n\nFrom e x\nlast")
    seen = set()
    for size in range(1, 420):
        monkeypatch.setattr("inspector.mail.mailfile.BLOCK", max(size, 60))
        stream = Slow(text, size)
        mails: list[bytes] = []
        for piece, starts in mailbox(stream):
            if starts:
                mails.append(b"")
            else:
                mails[-1] += piece
        seen.add(tuple(mails))
    assert seen == {(b"Subject: 1\n\nx\nFrom not\n\n", b"", b"S: 3\r\n\r\n", b"y" * 300 + b"\n", b"last")}


# --filter


def test_a_filter_chooses_messages(tmp_path: Path, capfd) -> None:
    """By the message itself, by a part of it, by what is odd in it."""
    wrong = LETTER.replace(b"A letter", b"Another")
    attached = (b"Subject: A third\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n"
                b"Content-Type: application/pdf; name=bill.pdf\r\n\r\n%PDF\r\n")
    capture = smtp(tmp_path / "c.pcapng", LETTER, wrong, attached)
    for expression, found in (("subject == 'Another'", [wrong]), ("filename ~ 'bill'", [attached]),
                              ("anomaly == unclosed_multipart", [attached]), ("size > 1M", []),
                              ("from ~ 'x.example'", [LETTER, wrong, attached])):
        folder = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        assert main(["export", "--eml", str(folder), "--filter", expression, capture]) == 0
        assert sorted(files(str(folder)).values()) == sorted(found), expression
    capfd.readouterr()
    assert main(["show", "--filter", "filename ~ 'bill'", capture]) == 0
    out = capfd.readouterr().out
    assert "A third" in out and "Another" not in out and "text" in out  # noqa: PT018 - the one that was asked for, whole
    assert main(["show", "--filter", "subject ~ 'A'", capture]) == 0
    assert len(capfd.readouterr().out.splitlines()) == 4


@pytest.mark.parametrize("arguments", [
    ["export", "--eml", "x", "--filter", "session(anomaly)"], ["show", "--filter", "session(anomaly)"],
    ["show", "--raw", "--filter", "subject == a"], ["show", "--message", "1", "--filter", "subject == a"],
    ["show", "--filter", "subject =="]])
def test_what_a_filter_cannot_choose(tmp_path: Path, capfd, arguments: list[str]) -> None:
    assert main([*arguments, smtp(tmp_path / "c.pcapng", LETTER)]) == 2
    assert "--filter" in capfd.readouterr().err
