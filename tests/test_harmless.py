"""What of a client's line is harmless: nothing else is shown, in whatever pieces it comes, and what is masked reads the same."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.harmless import ARGUMENTS, LONGEST, line_end, veil
from inspector.hold import CONTENT, Hold, Letters
from inspector.protocols.line import secret_span
from inspector.protocols.pop3 import grammar as pop3
from inspector.protocols.smtp import grammar as smtp

WORD = st.sampled_from([
    b"PASS", b"AUTH", b"APOP", b"USER", b"MAIL FROM:<", b"a@b>", b" ", b"\t", b"\r", b"\0", b"x", b"S", b"hunter2", b"PLAIN",
    b"LOGIN", b"=", b"*", b"1", b"RETR", b"XFOO", b"LAST", b"BDAT ", b"HELP ", b"q", b"E", b"AGE=", b"deadbeef", b"\xef\xbb\xbf",
    b"\xff",
    b":", b";", b"/", b"@", b'"', b"\\", b"[",
    b"RCPT TO:", b"SIZE=", b"BODY=", b"XCLIENT ", b",", b"&", b"EHLO ",
    b"LANG ", b"TOP 1 2", b"\x16", b"PASSWORD:", b"GET / HTTP/1.1", b"a1 LOGIN ", b"Subject: ", b"SSH-2.0-"])
LINE = st.builds(lambda words, end: b"".join(words) + end, st.lists(WORD, max_size=7), st.sampled_from([b"\r\n", b"\n", b""]))


def shown(line: bytes) -> bytes:
    """The line as it is shown."""
    found = veil(line)
    return line if found is None else found.line


def same(piece: bytes, whole: bytes) -> bool:
    """Whether two masks say the same; of a lone octet the mask is `x`."""
    return all(one == two or (one, two) == (120, 42) for one, two in zip(piece, whole, strict=True))


@given(LINE, st.integers(0, 60))
def test_a_line_looks_the_same_in_whatever_pieces_it_comes(line: bytes, cut: int) -> None:
    """Whether an octet is shown depends on those before it alone."""
    assert len(shown(line)) == len(line)
    assert same(shown(line[:cut]), shown(line)[:cut])


@given(LINE)
def test_a_masked_line_reads_as_the_line(line: bytes) -> None:
    """What is masked is masked again, in the same place, and both grammars say the same of it."""
    assert shown(shown(line)) == shown(line)
    assert secret_span(shown(line)) == secret_span(line)
    for grammar in (pop3, smtp):
        assert grammar.command_line(shown(line), len(line))[:-1] == grammar.command_line(line, len(line))[:-1]


@given(st.lists(st.sampled_from([*(word.decode() for word in ARGUMENTS), "a", "Z", "7", "-", ":", "!"]), min_size=1, max_size=4))
def test_how_much_of_a_word_that_is_no_command_a_capture_may_have(parts: list[str]) -> None:
    """The beginning of a word that commands are known by, and of that nothing is told.

    Behind a word that needs no blank stands its argument.
    """
    word = "".join(parts).encode()
    found = veil(word + b"\r\n")
    if found is not None and word.upper() not in ARGUMENTS and not word.upper().startswith((b"USER", b"RETR", b"DELE")):
        left = found.line[:-2].rstrip(b"*x")
        assert found.first == 0 or left[found.first:] == b""
        assert len(left) <= LONGEST < 16
        assert any(known.startswith(left.upper()) for known in ARGUMENTS)


@pytest.mark.parametrize(("line", "expected"), [
    (b"PASS hunter2", b"PASS *******"),
    (b"PASS two words", b"PASS *********"),
    (b"PASS x", b"PASS x"),
    (b"PASSx", b"PASSx"),
    (b"pass hunter2", b"pass *******"),
    (b"PSAS hunter2", b"P*** *******"),
    (b"PAS hunter2", b"PAS *******"),
    (b"PASSS hunter2", b"PASS*********"),
    (b"AUHT PLAIN AGFi", b"AU** **********"),
    (b"\rPASS hunter2", b"\rPASS *******"),
    (b"NOOP\rPASS hunter2", b"NOOP\rPASS *******"),
    (b"\0PASS hunter2", b"\0PASS *******"),
    (b"USER x PASS y", b"USER x **** *"),
    (b"AUTH AGFiYwBkZWY=", b"AUTH A***********"),
    (b"AUTH=PLAIN AGFi", b"AUTH****** ****"),
    (b"AUTH PLAIN AGFi", b"AUTH PLAIN ****"),
    (b"AUTH PLAIN a b", b"AUTH PLAIN * *"),
    (b"AUTH PLAIN =", b"AUTH PLAIN ="),
    (b"AUTH PLAIN", b"AUTH PLAIN"),
    (b"AUTH X-OWN AGFi", b"AUTH X**** ****"),
    (b"APOP u a b", b"APOP u * *"),
    (b"APOP alice c4c9334bac", b"APOP alice **********"),
    (b"APOP c4c9334bac560ecc979e58001b3e22fb", b"APOP c4c9334b************************"),
    (b"QUIT hunter2", b"QUIT *******"),
    (b"MAIL FROM:<a@b>\rPASS hunter2", b"MAIL FROM:<a@b>\rPASS *******"),
    (b"MAIL FROM:<a@b> PASS y", b"MAIL FROM:<a@b> **** *"),
    (b"MAIL FROM:<a@b> AUTH=<> SIZE=5", b"MAIL FROM:<a@b> AUTH=<> SIZE=5"),
    (b"hunter2", b"h******"),
    (b"QUIt5ecret", b"QUIt******"),
    (b"USER alice:hunter2", b"USER alice********"),
    (b"user=alice&password=hunter2", b"user***********************"),
    (b"EHLO [IPv6:fe80::1]", b"EHLO [IPv6:fe80::1]"),
    (b"EHLO alice:hunter2@mx", b"EHLO alice***********"),
    (b"MAIL FROM:<@a,@b:c@d> SIZE=5 BODY=8BITMIME", b"MAIL FROM:<@a,@b:c@d> SIZE=5 BODY=8BITMIME"),
    (b"MAIL FROM:<alice:hunter2@d>", b"MAIL FROM:<alice***********"),
    (b"MAIL FROM:<a@b> AUTH=AGFi SIZE=5", b"MAIL FROM:<a@b> AUTH=**** ******"),
    (b"MAIL FROM:<a@b> BODY=hunter2", b"MAIL FROM:<a@b> BODY=*******"),
    (b'RCPT TO:<"a b"@[127.0.0.1]> ORCPT=rfc822;a@b NOTIFY=NEVER', b'RCPT TO:<"a b"@[127.0.0.1]> ORCPT=rfc822;a@b NOTIFY=NEVER'),
    (b"RCPT TO:a@b hunter2", b"RCPT TO:a@b h******"),
    (b"RCPT TO:<a@b> SIZ=5", b"RCPT TO:<a@b> SIZ**"),
    (b"XCLIENT NAME=a LOGIN=b ADDR=c", b"XCLIENT NAME=a ******* ******"),
    (b"VRFY alice hunter2", b"VRFY alice *******"),
    (b"LANG hunter2", b"LANG hun****"),
    (b"XFOO hunter2", b"XFO* *******"),
    (b"a1 LOGIN alice hunter2", b"a* LOGIN *************"),
    (b"a1 AUTHENTICATE PLAIN", b"a* AUTHENTICATE *****"),
    (b"{7+}", b"****"),
    (b'AUTHENTICATE "PLAIN" {12+}', b"AUTHENTICATE ******* *****"),
    (b"Authorization: Basic Zm9v", b"Authorization: ***** ****"),
    (b"GET /?pw=x HTTP/1.1", b"GET ****** HTTP/1.1"),
    (b"RETR 1", b"RETR 1"),
    (b"RETR1", b"RETR1"),
    (b"RETR x", b"RETR *"),
    (b"TOP 1 10", b"TOP 1 10"),
    (b"BDAT 10 LAST", b"BDAT 10 LAST"),
    (b"STAT now", b"STAT ***"),
    (b"HELP AUTH", b"HELP AUTH"),
    (b"EHLO me AUTH PLAIN x", b"EHLO me **** ***** *"),
    (b"NOOP hunter2", b"NOOP *******"),
    (b"", b""),
    (b"*", b"*"),
])
def test_what_is_shown_of_a_line(line: bytes, expected: bytes) -> None:
    """Words that commands are known by, and what may follow them."""
    assert shown(line + b"\r\n") == expected + b"\r\n"


def test_what_is_longer_than_any_command_is_not_shown() -> None:
    """Nobody reads that far."""
    line = b"MAIL FROM:<" + b"a" * 9_000 + b">\r\n"
    assert shown(line) == line[:4_096] + b"*" * (len(line) - 4_098) + b"\r\n"


LETTER = (b"Author: me\r\nAUTHOR me\r\nPass the salt\r\nPASSION fruit\r\nAuth plain and simple\r\nAUTH\r\n*\r\n"
          b"auth login \r\n.\r\n")


@given(st.integers(0, len(LETTER)), st.integers(0, len(LETTER)))
def test_a_content_is_not_changed(one: int, two: int) -> None:
    """Words are whole words; a line of which the response is still to come is taken for one, up to there."""
    pieces = sorted((0, one, two, len(LETTER)))
    letters = Letters()
    said = b"".join(letters.feed(LETTER[first:last]) for first, last in pairwise(pieces))
    mail = LETTER.index(b"and simple")
    assert said[:mail] == LETTER[:mail]
    assert said[mail + 3:] == LETTER[mail + 3:]
    if not {*range(mail + 1, mail + 5)} & {*pieces}:
        assert said == LETTER


@given(st.lists(st.integers(0, 60), max_size=8))
def test_in_a_content_only_auth_with_a_response_is_masked(cuts: list[int]) -> None:
    """It waits for the reply to DATA or BDAT, which may be no: then it was a command."""
    said = b"Hello\r\nAUTH PLAIN AGFiYwBkZWY=\r\nPASS the salt\r\n"
    pieces = sorted({0, len(said), *(cut for cut in cuts if cut < len(said))})
    hold = Hold(0, CONTENT, lambda line: CONTENT)
    masked = b"".join(hold.feed(said[first:last]) for first, last in pairwise(pieces))
    assert masked == b"Hello\r\nAUTH PLAIN ************\r\nPASS the salt\r\n"


def test_records_of_tls_are_left_where_they_are_held() -> None:
    """A client that does not wait for the reply to STARTTLS; what is no record after all is masked."""
    record = b"\x16\x03\x01\x00\x0a\x01unter2\r\nx"
    forged, data = b"\x16\x03\x01\x00\x0ePASS hunter2\r\n", b"\x17\x03\x03\x00\x05hello"
    for said, expected in ((record, record), (b"\x16\x03\x01PASS hunter2\r\n", b"\x16\x03\x01PASS *******\r\n"),
                           (b"\x16\r\nPASS hunter2\r\n", b"\x16\r\nPASS *******\r\n"),
                           (record + b"PASS x2\r\n", record + b"PASS **\r\n"),
                           (record + data, record + data), (forged, forged.replace(b"hunter2", b"*******")),
                           (data, data[:-2] + b"**")):
        for size in (1, 3, 100):
            hold = Hold(0, -1, lambda line: -1)
            masked = b"".join(hold.feed(said[at:at + size]) for at in range(0, len(said), size))
            assert same(expected, masked) or same(masked, expected)


def test_spans_end_before_the_end_of_the_line() -> None:
    """Whatever it is made of."""
    for end in (b"\r\n", b"\n", b"\r", b""):
        line = b"PASS hunter2" + end
        assert secret_span(line) == (5, line_end(line))
