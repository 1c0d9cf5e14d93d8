"""What is bounded stays bounded, in memory and in time, and what lies past a bound is still told."""

from __future__ import annotations

import tracemalloc
from itertools import repeat

import pytest
from mailspy_mime import limits
from mime_kit import read


def test_containers_within_each_other() -> None:
    levels = 3 * limits.DEPTH
    data = b"".join(b"Content-Type: multipart/mixed; boundary=b%d.\r\n\r\n--b%d.\r\n" % (level, level)
                    for level in range(levels))
    (part,) = read(data + b"\r\nend").parts()
    assert part["content_type"] == "multipart/mixed"
    assert part["part"].count(".") == limits.DEPTH - 1


def test_messages_within_each_other() -> None:
    (part,) = read(b"Content-Type: message/rfc822\r\n\r\n" * 3 * limits.DEPTH).parts()
    assert part["content_type"] == "message/rfc822"
    assert part["part"].count(".") == limits.DEPTH


def test_many_parts_the_last_takes_the_rest() -> None:
    count = 3 * limits.PARTS
    parts = read(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n" * count).parts()
    assert len(parts) == limits.PARTS - 1
    assert parts[-1]["size"] == len(b"--b\r\n") * (count - len(parts))


def test_an_endless_header_ends_at_the_limit_wherever_it_is_cut() -> None:
    data = b"Subject: x\r\n" + b"X: yyyyyyyy\r\n" * 100_000 + b"Subject: z\r\n\r\nbody"
    whole = read(data)
    assert whole.told()["subject"] == "x"
    assert whole.parts()[0]["size"] == len(data) - limits.HEADER + 1
    assert read([data[place:place + 999] for place in range(0, len(data), 999)]).everything() == whole.everything()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_message() -> None:
    head = (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: %s\r\n\r\n")
    for encoding, piece in ((b"base64", b"QUJD" * 4096), (b"quoted-printable", b"=3D" * 4096 + b"=\r"),
                            (b"8bit", b"-" * 4096), (b"base64", b"=A" * 4096), (b"8bit", b"\r\n--" * 4096)):
        peak = _peak(head % encoding, piece, 100)
        assert peak < 600_000, encoding


def _peak(head: bytes, piece: bytes, times: int) -> int:
    from mime_kit import MIME, Listener, a_message

    class Deaf(Listener):
        def open_part(self, part: object, message: object) -> None:  # type: ignore[override]
            return None

    session = Deaf()
    sink = MIME.open_message(a_message(session), session)  # type: ignore[arg-type]
    sink.feed(head)
    tracemalloc.start()
    try:
        for data in repeat(piece, times):
            sink.feed(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


HOSTILE = {
    "empty parts": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n" * 200_000,
    "header lines": b"X: y\r\n" * 170_000,
    "subject lines": b"To: y\r\n" * 150_000,
    "blank lines": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"\r\n" * 500_000,
    "dashes": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--\r\n" * 250_000,
    "encoded words": b"Subject: " + b"=?utf-8?q?" * 100_000 + b"\r\n\r\n",
    "paddings": b"Content-Transfer-Encoding: base64\r\n\r\n" + b"A=" * 500_000,
    "soft breaks": b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=\r" * 500_000,
    "equals": b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=" * 1_000_000,
    "parameters": b"Content-Type: text/plain" + b"; a=b" * 200_000 + b"\r\n\r\n",
    "comments": b"Content-Type: text/plain; " + b"( " * 500_000 + b"\r\n\r\n",
    "sections": b"Content-Disposition: attachment" + b"".join(b"; filename*%d=a" % n for n in range(50_000)),
    "addresses": b"To: " + b"a@b.example, " * 80_000 + b"\r\n\r\n",
    "like delimiters": b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
                                for n in range(99)) + b"--b\r\n" * 200_000,
    "rfc822": b"Content-Type: message/rfc822\r\n\r\n" * 30_000,
    "octets": bytes(range(256)) * 4_000,
    "groups": b"To: " + b"a:" * 500_000 + b"\r\n\r\n",
    "comments of addresses": b"To: " + b"(" * 1_000_000 + b"\r\n\r\n",
    "signs": b"To: " + b"@ " * 500_000 + b"\r\n\r\n",
    "backslashes": b'To: "' + b"\\" * 1_000_000 + b"\r\n\r\n",
    "received": b"Received: by a; Mon, 23 Nov 2026 10:00:00 +0000\r\n" * 20_000 + b"\r\n",
    "comments of Received": b"Received: " + b"(from " * 170_000 + b"\r\n\r\n",
    "references": b"References: " + b"<a@b> " * 170_000 + b"\r\n\r\n",
    "beginnings": b"\r\n" + b"begin 644 a\r\n" * 80_000,
    "files": b"\r\n" + b"begin 644 a\r\nend\r\n" * 55_000,
    "yEnc files": b"\r\n" + b"=ybegin name=a\r\n=yend size=0\r\n" * 33_000,
    "short lines": b"\r\nbegin 644 a\r\n" + b"!80  \r\n" * 150_000,
    "escapes": b"\r\n=ybegin line=1 name=a\r\n" + b"=j" * 500_000,
    "readings": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"".join(
        b"--b\r\nContent-Disposition: a; filename=%d; filename*=u''%d\r\nContent-Type: a/b\r\nContent-Type: b/c\r\n\r\n"
        % (n, n) for n in range(10_000)),
    "encoded messages": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + (
        b"--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nUQ==\r\n" * 12_000),
    "four boundaries": b"Content-Type: multipart/mixed; boundary=b1; boundary=b2; boundary=b3; boundary=b4\r\n\r\n" + (
        b"--b1\r\n--b4\r\n" * 80_000),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("size", [4096, 1 << 30])
@pytest.mark.timeout(30)
def test_time_is_linear(name: str, size: int) -> None:
    """Half a second for a MiB at most (hostile cases M04 to M10); what is quadratic takes minutes."""
    data = HOSTILE[name]
    pieces = [data[place:place + size] for place in range(0, len(data), size)]
    assert read(pieces).found[-1].event == "message"
