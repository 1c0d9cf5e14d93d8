"""Clients that try to get a recipient past mailspy: a grammar of dialogues, every trick mixed with every other.

Knows SMTP and its abuses.  Must not know mailspy, nor any server.
"""

from __future__ import annotations

import random
from collections.abc import Callable

GOOD = b"b@cnam.fr"
"""A recipient that may pass."""
BAD = b"x@victim.example"
"""One that may not."""
CONTROLS = [bytes([octet]) for octet in (0, 1, 8, 0x0B, 0x0C, 0x0E, 0x14, 0x15, 0x16, 0x17, 0x18, 0x1B, 0x1C, 0x1F, 0x7F)]
JUNK = [*CONTROLS, b"\xef\xbb\xbf", b"\xff\xfe", b"\x80", b"\x85", b"\xa0", b"\xc2\x85", b"\xe2\x80\xa8", b"\r", b"\r\0", b"\0\r"]
PADDED = [b"\r\n. \r\n", b"\r\n .\r\n", b"\r\n\t.\t\r\n", b"\r\n. \t \r\n", b"\n .\n", b"\r\n\0 .\r\n", b"\0.\r\n", b"\0.\0",
          b"\x0b.\r\n", b"\r\n.\x0c", b"\x85.\x85", b"\r\n.\0\r\n", b"\r\n" + b" " * 700 + b"." + b" " * 700 + b"\r\n"]
ENDS = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\n.\r\r\n", b"\n.\r", b"\r.\n", b"\r\n\0.\r\n",
        b"\r\n.\0\r\n", b"\n\0.\n"]
CHUNKS = [b"BDAT %d LAST", b"BDAT %d", b"bdat %d last", b"BDAT\t%d LAST", b"BDAT  %d LAST", b"BDAT +%d LAST", b"BDAT 0x%x LAST",
          b"BDAT %dLAST", b"BDAT %d LAST extra", b"BDAT %d LAST ", b" BDAT %d LAST", b"BDAT 0%d LAST", b"BDAT -%d LAST",
          b"BDAT %d00000000000000000000 LAST", b"BDAT %d\tLAST", b"BDAT %d,LAST", b"BDATA %d LAST", b"B\0DAT %d LAST"]
RECORD = b"\x16\x03\x01"

Chance = random.Random


def recipient(chance: Chance, address: bytes) -> bytes:
    """A RCPT, spelled in some way, without its end."""
    pick = chance.choice
    return pick([
        b"RCPT TO:<%s>", b"RCPT TO:<%s>", b"RCPT TO:<%s>", b"rcpt to:<%s>", b"RcPt tO:%s", b"RCPT TO: <%s>", b"RCPT  TO:<%s>",
        b" RCPT TO:<%s>", b"\tRCPT TO:<%s>", b"RCPT\tTO:<%s>", b"RCPT TO:<@cnam.fr:%s>", b"RCPT TO:<\"%s\"@cnam.fr>",
        b"RCPT TO:<%s> NOTIFY=NEVER", b"RCPT TO <%s>", b"RCPT <%s>", b"RCPTTO:<%s>", b"RCPT:TO:<%s>", b"RCPTX TO:<%s>",
        b"RCPT TO:<b@cnam.fr> <%s>", b"RCPT TO:<<%s>>", b"RCPT TO:<%s", b";RCPT TO:<%s>", b"\"RCPT\" TO:<%s>",
        b"RCPT TO:<b@cnam.fr>,<%s>", b"RCPT TO:(x)<%s>", b"RCPT  TO :<%s>", b"RCPT TO<%s>", b"RCPT %s", b"ab RCPT TO:<%s>",
        b"> re: RCPT TO:<%s>", b"RCPT TO:<@a.example,@b.example:%s>", b"RCPT TO:<@cnam.fr,@cnam.fr:%s>", b"RCPT TO:<%s.>",
        b"RCPT TO:<%s(c)>", b"RCPT TO:<(@cnam.fr)%s>", b"RCPT TO:<%s(@cnam.fr)>", b"RCPT TO:<b@cnam.fr(%s)>",
        b"RCPT TO:<\"a b\"@cnam.fr,%s>", b"RCPT TO:<%s@cnam.fr>", b"RCPT TO:<%s,b@cnam.fr>", b"RCPT TO:<b@cnam.fr;%s>",
        b"RCPT TO:%s@cnam.fr", b"RCPT TO:<%s%%@cnam.fr>", b"RCPT TO:<@victim.example:b@cnam.fr>(%s)",
        b"RCPT TO:<\\\"%s\\\"@cnam.fr>", b"RCPT TO:<b\\@cnam.fr@%s>", b"RCPT TO:<%s>@cnam.fr", b"RCPT TO:<\"\\%s\"@cnam.fr>",
        b"RCPT TO:<x%%victim.example@cnam.fr>(%s)", b"RCPT TO:<%s#.cnam.fr>", b"RCPT TO:<%s&.cnam.fr>", b"RCPT TO:<%s=.cnam.fr>",
        b"RCPT TO:<%s/.cnam.fr>", b"RCPT TO:<b@%s.cnam.fr>"]) % address


def dirty(chance: Chance, line: bytes) -> bytes:
    """Octets in a line that some servers do not see, or see as something else."""
    how = chance.randrange(7)
    junk = chance.choice(JUNK)
    if how == 0:
        return junk * chance.choice((1, 1, 2, 5)) + line
    if how == 1:
        return b"".join(line[i:i + 1] + junk for i in range(len(line)))
    if how == 2:
        place = chance.randrange(len(line) + 1)
        return line[:place] + junk + line[place:]
    if how == 3:
        return bytes(octet | 128 if chance.random() < 0.9 else octet for octet in line)
    if how == 4:
        return chance.choice([b"NOOP", b"WHAT", b"VRFY x", b"AUTH PLAIN AGE", b"EHLO c", b"MAIL FROM:<>"]) + junk + line
    if how == 5:
        place = chance.randrange(len(line) + 1)
        return line[:place] + chance.choice([b"\n", b"\r", b"\r\0"]) + line[place:]
    return line + junk + chance.choice([b"", b"@cnam.fr>", b".cnam.fr"])


def padded(chance: Chance, line: bytes) -> bytes:
    """A line behind so many octets that a server may take it for another."""
    room = chance.choice((512, 510, 998, 1_000, 1_024, 2_048, 4_096, 8_192, 65_536, 70_000)) - chance.choice((0, 0, 1, 2, 5))
    begin = chance.choice([b"NOOP ", b"WHAT ", b"HELP ", b"MAIL FROM:<> X=", b"RCPT TO:<b@cnam.fr> ORCPT=rfc822;", b"AUTH PLAIN ",
                           b""])
    return begin + chance.choice((b"a", b" ", b"=", b"\t")) * max(0, room - len(begin)) + line


def some_line(chance: Chance) -> bytes:
    """One line with its end; most name the forbidden recipient in some way."""
    how = chance.random()
    line = recipient(chance, BAD)
    if how < 0.35:
        line = dirty(chance, line)
    elif how < 0.45:
        line = padded(chance, line)
    elif how < 0.7:
        line = chance.choice([
            b"NOOP", b"RSET", b"MAIL FROM:<a@x.example>", b"RCPT TO:<" + GOOD + b">", b"DATA", b".", b"", b"WHAT", b"HELP",
            b"STARTTLS", b"AUTH PLAIN", b"AUTH PLAIN AGEAYg==", b"AGEAYg==", b"*", b"EHLO c", b"HELO c", b"LHLO c", b"BDAT 0",
            b"BDAT 0 LAST", b"DATA x", b" DATA", b"\x16DATA", b"D\0ATA", b"DATA\r", b"DATAX", b"VRFY x", b"QUITE"])
        if line and chance.random() < 0.2:
            line = dirty(chance, line)
    return line + chance.choice((b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\0", b"\r\r\n", b"\n\r"))


def lines(chance: Chance, most: int = 4) -> bytes:
    """Some of them."""
    return b"".join(some_line(chance) for _ in range(chance.randint(1, most)))


def transaction(chance: Chance) -> bytes:
    """A second one, in the clear."""
    return b"MAIL FROM:<>\r\n" + recipient(chance, BAD) + b"\r\nDATA\r\nx\r\n.\r\n"


def in_chunk(chance: Chance) -> bytes:
    """What is a chunk to some, and commands to others."""
    octets = transaction(chance) if chance.random() < 0.6 else lines(chance)
    cut = chance.choice((len(octets), len(octets), max(0, len(octets) - chance.randint(1, 9)), len(octets) + 5, 0, 2))
    head = chance.choice(CHUNKS[:3] * 3 + CHUNKS) % cut
    return head + chance.choice((b"\r\n", b"\r\n", b"\n")) + octets


def in_content(chance: Chance) -> bytes:
    """A content that is over to some."""
    end = chance.choice(ENDS + PADDED)
    return (b"DATA\r\n" if chance.random() < 0.9 else b"") + b"Subject: x\r\n\r\ntext" + end + transaction(chance) + b"\r\n.\r\n"


def in_record(chance: Chance) -> bytes:
    """What looks like TLS, more or less."""
    octets = transaction(chance)
    return chance.choice([
        b"\x16\r\n", b"\x16", RECORD + b"\x00\x05hello\r\n", RECORD + b"\x00\x05\x01ello", RECORD, RECORD + b"\x00",
        b"\x80\x2e\x01\x03\x01", RECORD + len(octets).to_bytes(2, "big"), b"\x17\x03\x03" + len(octets).to_bytes(2, "big"),
        b"\x15\x03\x01\x00\x02\x02\x28", b"\x14\x03\x01\x00\x01\x01", b"\x18\r\n", RECORD + b"\x40\x00"]) + octets


def slip(chance: Chance) -> bytes:
    """Tries to make mailspy count one reply for another, and take commands for a content."""
    pick = chance.choice
    lead = pick([b"WHAT\rA\rB\r\n", b"WHAT\0A\r\n", b"NOOP" + b" " * 510 + b"x" * 600 + b"\r\n", b"\r\n\r\n",
                 b"BDAT 12 LAST\r\nNOOP\r\nNOOP\r\n", b"\x16DATA\r\n", b"NOOP\nNOOP\r\n", b"WHAT\x0bA\x0cB\r\n", b"DA\nTA\r\n",
                 b"AUTH PLAIN\r\nDATA\r\n", b""])
    middle = b"".join(pick([b"DATA\r\n", b".\r\n", b"NOOP\r\n", b"\r\n", b"RSET\r\n"]) for _ in range(chance.randint(1, 5)))
    return lead + b"DATA\r\n" + middle + b"DATA\r\n" + transaction(chance) + b"\r\n.\r\n"


def in_chunks(chance: Chance) -> bytes:
    """Commands that are cut in the middle by the ends of chunks, or hidden in a chunk of much else."""
    octets = chance.choice([transaction, lines])(chance) + b"  "
    before = chance.choice([b"", b"x" * 600, b"Subject: x\r\n\r\n", b"\xc3\xa9" * 300 + b"\r\n", b"R\0" * 40])
    cuts = sorted(chance.sample(range(1, len(octets)), min(len(octets) - 1, chance.randint(1, 2))))
    parts = [before + octets[:cuts[0]], *[octets[a:b] for a, b in zip(cuts, [*cuts[1:], len(octets)], strict=True)]]
    if chance.random() < 0.5:
        return b"".join(b"BDAT %d\r\n" % len(part) + part for part in parts) + b"BDAT 0 LAST\r\n"
    return b"BDAT %d LAST\r\n" % len(parts[0]) + b"".join(parts)


def opening(chance: Chance) -> bytes:
    """A chunk that is refused, and opens what hides the next commands."""
    inner = chance.randint(1, 3) * chance.choice([
        b"DATA\r\n", b"DATA\r\n.\r\n", b"BDAT %d LAST\r\n" % chance.randint(1, 200), b"AUTH LOGIN\r\n", b"NOOP\r\n", b"\r\n",
        b"MAIL FROM:<>\r\nDATA\r\n", b"RSET\r\nEHLO x\r\n", b"AUTH PLAIN AGEAYg==\r\n"])
    after = b"".join(chance.choice([
        b"DATA\r\n", b"NOOP\r\n", b".\r\n", b"RSET\r\n", b"AUTH LOGIN\r\n", b"AUTH PLAIN AGEAYg==\r\n", b"AGE\r\n",
        b"BDAT 4 LAST\r\nDATA", b"MAIL FROM:<>\r\n", b"RCPT TO:<" + GOOD + b">\r\n"]) for _ in range(chance.randint(1, 5)))
    return b"BDAT %d LAST\r\n" % len(inner) + inner + after + transaction(chance) + b"\r\n.\r\n"


TRICKS: tuple[Callable[[Chance], bytes], ...] = (lines, lines, in_chunk, in_content, in_record, slip, in_chunks, opening)


def mutated(chance: Chance, data: bytes) -> bytes:
    """Some octets added, taken away, or changed."""
    octets = bytearray(data)
    for _ in range(chance.choice((0, 0, 0, 1, 2, 4))):
        place = chance.randrange(len(octets) + 1)
        how = chance.randrange(3)
        if how == 0:
            octets[place:place] = chance.choice([*JUNK, b"\n", b"\r\n", b".", b" "])
        elif how == 1:
            del octets[place:place + 1]
        elif place < len(octets):
            octets[place] = chance.randrange(256)
    return bytes(octets)


def hostile(chance: Chance) -> list[bytes]:
    """What one such client sends: writes, before each of which it may wait for replies."""
    writes: list[bytes] = []
    if chance.random() < 0.15:
        writes.append(in_record(chance))
    if chance.random() < 0.9:
        writes.append(chance.choice((b"EHLO c\r\n", b"EHLO c\r\n", b"HELO c\r\n", b"LHLO c\r\n")))
    for _ in range(chance.randint(1, 3)):
        if chance.random() < 0.8:
            writes.append(b"MAIL FROM:<a@x.example>\r\n")
        if chance.random() < 0.6:
            writes.append(b"RCPT TO:<" + GOOD + b">\r\n")
        if chance.random() < 0.1:
            writes.append(b"STARTTLS\r\n")
        writes.append(mutated(chance, chance.choice(TRICKS)(chance)))
    writes.append(b"QUIT\r\n")
    if chance.random() < 0.5:
        return [b"".join(writes)]
    return writes


def ordinary(chance: Chance, chunks: bool = True) -> tuple[list[bytes], int]:
    """What an honest client sends, waiting where it must, and how many letters it sends; `chunks`: some of them by BDAT."""
    letters = chance.randint(1, 3)
    writes = [b"EHLO c\r\n"]
    for number in range(letters):
        chunked = chance.random() < 0.5 and chunks
        body = b"Subject: %d\r\n\r\n" % number + chance.choice([
            b"hello\r\n", b"..\r\n.x\r\n", b"RCPT TO:<" + (GOOD if chunked else BAD) + b">\r\nDATA\r\n",
            b"\xc3\xa9t\xc3\xa9 .\r\n. \r\n" * 3, b"a" * 900 + b"\r\n", b"line\nbare\rcr\r\n", b"\0\r\n",
            b"Mail me at x@victim.example,\r\nData, help: the RCPT command\r\n .\r\n\tRCPT\r\n",
            b"\x8d\x8aR\xff\0" * 40 + b"\r\n",
            b"pa\xc3\x85.\r\n . \x85\r\nGr\xc3\xbc\xc3\x9fe\r\n"])
        envelope = [b"MAIL FROM:<a@x.example>\r\n"] + [b"RCPT TO:<" + GOOD + b">\r\n"] * chance.randint(1, 3)
        last = b"BDAT %d LAST\r\n" % len(body) + body if chunked else b"DATA\r\n"
        if chance.random() < 0.5:
            writes.append(b"".join(envelope) + last)
        else:
            writes += [*envelope, last]
        if not chunked:
            writes.append(b"\n".join(b"." + line if line[:1] == b"." else line for line in body.split(b"\n")) + b".\r\n")
    return [*writes, b"QUIT\r\n"], letters
