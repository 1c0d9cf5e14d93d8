"""Kinds of hostile input: what a unit, repeated, can stand in.

A kind is a function from a unit and a size to an `Input`: some lines before, about `size` octets of the unit repeated, some lines
after.  Only the repeated octets are cut into segments.

Knows mail protocols and MIME.  Must not know who reads the input, or what it costs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

CLIENT, SERVER = True, False
Line = tuple[bool, bytes]

SYMBOLS: Final = (b"\r", b"\n", b".", b" ", b"a", b"1", b"=", b"-", b"\0", b"\x16", b"\xff", b'"')
"""The alphabet of the units."""


class Input(NamedTuple):
    """What crosses in one session."""

    protocol: str
    """Empty where nothing tells it beforehand."""
    before: tuple[Line, ...]
    sender: bool
    """Who sends the hostile octets."""
    octets: bytes
    answer: bytes = b""
    """What the other side sends after each hostile segment, for each line in it."""
    after: tuple[Line, ...] = ()


Kind = Callable[[bytes, int], Input]


def repeated(unit: bytes, size: int) -> bytes:
    """About so many octets of the unit."""
    return unit * max(size // len(unit), 1)


OPENED: Final[tuple[Line, ...]] = ((SERVER, b"220 mx.example ESMTP\r\n"), (CLIENT, b"EHLO a.example\r\n"),
                                   (SERVER, b"250-mx.example\r\n250-CHUNKING\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN\r\n"))
MAIL: Final[tuple[Line, ...]] = (*OPENED, (CLIENT, b"MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\n"),
                                 (SERVER, b"250 ok\r\n250 ok\r\n"))
DATA: Final[tuple[Line, ...]] = (*MAIL, (CLIENT, b"DATA\r\n"), (SERVER, b"354 go on\r\n"))
DOT: Final[tuple[Line, ...]] = ((CLIENT, b"\r\n.\r\n"), (SERVER, b"250 taken\r\n"))
AGREED: Final[tuple[Line, ...]] = (*OPENED, (CLIENT, b"STARTTLS\r\n"), (SERVER, b"220 go on\r\n"))
LOGIN: Final[tuple[Line, ...]] = ((SERVER, b"+OK ready\r\n"), (CLIENT, b"USER a\r\n"), (SERVER, b"+OK\r\n"),
                                  (CLIENT, b"PASS b\r\n"), (SERVER, b"+OK\r\n"))


def message(unit: bytes, size: int, head: bytes = b"Subject: a\r\n\r\n", tail: bytes = b"") -> Input:
    """A message by DATA, in it the unit after some lines."""
    return Input("smtp", (*DATA, (CLIENT, head)), CLIENT, repeated(unit, size), b"", (((CLIENT, tail),) if tail else ()) + DOT)


def framed(unit: bytes, size: int, begin: bytes, end: bytes, make: Callable[..., Input] = message, **more: bytes) -> Input:
    """The unit between others, over and over."""
    return make(begin + unit + end, size, **more)


def retrieved(unit: bytes, size: int, status: bytes = b"+OK\r\n", command: bytes = b"RETR 1\r\n") -> Input:
    """What a POP3 server sends up to a dot."""
    return Input("pop3", (*LOGIN, (CLIENT, command), (SERVER, status)), SERVER, repeated(unit, size), b"",
                 ((SERVER, b"\r\n.\r\n"),))


def said(unit: bytes, size: int, protocol: str = "smtp", before: tuple[Line, ...] = OPENED, sender: bool = CLIENT,
         answer: bytes = b"", after: tuple[Line, ...] = ()) -> Input:
    """Lines of one side, each answered by the other where `answer` says so."""
    return Input(protocol, before, sender, repeated(unit, size), answer, after)


def phrase(unit: bytes, size: int, begin: bytes, end: bytes = b"\r\n", **more: object) -> Input:
    """The unit as an argument, over and over."""
    return said(begin + unit + end, size, **more)  # type: ignore[arg-type]


def chunk(unit: bytes, size: int) -> Input:
    """One BDAT."""
    octets = repeated(unit, size)
    return Input("smtp", (*MAIL, (CLIENT, b"BDAT %d LAST\r\n" % len(octets))), CLIENT, octets, b"", ((SERVER, b"250 taken\r\n"),))


def chunks(unit: bytes, size: int) -> Input:
    """Many BDAT."""
    return said(b"BDAT %d\r\n" % len(unit) + unit, size, before=MAIL, after=((CLIENT, b"BDAT 0 LAST\r\n"),))


def boundary(unit: bytes, size: int) -> Input:
    """A boundary made of the unit, and lines that begin like it."""
    mark = bytes(octet for octet in unit * 8 if octet not in b'\r\n\0"').strip() or b"b"
    head = b'Content-Type: multipart/mixed; boundary="' + mark + b'"\r\n\r\n'
    return message(b"\r\n--" + mark[:-1] + b"\r\n--" + mark, size, head)


def records(unit: bytes, size: int, kind: int = 23, before: tuple[Line, ...] = AGREED, sender: bool = CLIENT) -> Input:
    """TLS records, a unit in each."""
    return said(bytes((kind, 3, 3)) + len(unit).to_bytes(2) + unit, size, before=before, sender=sender)


def hello(unit: bytes, size: int) -> Input:
    """Handshake records of 16 KiB, full of the unit."""
    load = b"\x01\x00\x3f\xfc\x03\x03" + repeated(unit, 16_378)
    octets = b"\x16\x03\x01" + len(load).to_bytes(2) + load
    return Input("smtp", AGREED, CLIENT, octets * max(size // len(octets), 1) if size >= len(octets) else octets[:size])


MIXED: Final = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
EMPTY: Final = b"\r\n\r\n"
NOOPS: Final = ((CLIENT, b"NOOP\r\n" * 4_000),)
MAILS: Final = ((CLIENT, b"MAIL FROM:<a@a.example>\r\n" * 3_000), (CLIENT, b"RSET\r\n" * 1_000))
FIELDS: Final = ("Subject", "To", "From", "Date", "Received", "References", "Content-Type", "Content-Disposition",
                 "Content-Transfer-Encoding", "Content-ID")
VERBS: Final = (b"MAIL FROM:", b"RCPT TO:", b"EHLO", b"DATA", b"BDAT", b"AUTH", b"AUTH PLAIN", b"RSET", b"STARTTLS", b"XCLIENT",
                b"NOOP")
POP3_VERBS: Final = (b"USER", b"PASS", b"APOP", b"RETR", b"LIST", b"UIDL", b"TOP", b"CAPA", b"AUTH", b"STLS")

KINDS: Final[dict[str, Kind]] = {
    "body": message,
    "body, retrieved": retrieved,
    "body, retrieved, LF alone": partial(retrieved, status=b"+OK\n"),
    "body after a long wait": lambda unit, size: Input("smtp", (*MAIL, (CLIENT, b"DATA\r\n")), CLIENT, repeated(unit, size), b"",
                                                       ((SERVER, b"354 go on\r\n"), *DOT)),
    "commands": said,
    "commands, refused": partial(said, answer=b"500 what?\r\n"),
    "commands, accepted": partial(said, answer=b"250 ok\r\n"),
    "commands, asked on": partial(said, answer=b"334 \r\n"),
    "commands, POP3": partial(said, protocol="pop3", before=LOGIN),
    "commands, POP3, refused": partial(said, protocol="pop3", before=LOGIN, answer=b"-ERR what?\r\n"),
    "commands, POP3, accepted": partial(said, protocol="pop3", before=LOGIN, answer=b"+OK\r\n.\r\n"),
    "commands behind many, refused": partial(said, before=(*OPENED, *MAILS), answer=b"550 no\r\n"),
    "commands held behind many": partial(said, before=(*OPENED, *MAILS, (CLIENT, b"DATA\r\n")), answer=b"550 no\r\n"),
    "commands before a greeting": partial(said, before=()),
    "replies": partial(said, sender=SERVER),
    "replies, waited for": partial(said, before=(*OPENED, *NOOPS), sender=SERVER),
    "replies, asked for": partial(said, sender=SERVER, answer=b"NOOP\r\n"),
    "replies, LMTP": partial(said, protocol="lmtp", sender=SERVER, answer=b"RCPT TO:<b@b.example>\r\n"),
    "replies of many lines": partial(phrase, begin=b"250-", sender=SERVER),
    "replies with a code": partial(phrase, begin=b"250 ", sender=SERVER, answer=b"NOOP\r\n"),
    "replies, POP3": partial(said, protocol="pop3", before=LOGIN, sender=SERVER),
    "replies, POP3, asked for": partial(said, protocol="pop3", before=LOGIN, sender=SERVER, answer=b"NOOP\r\n"),
    "replies, POP3, with a status": partial(phrase, begin=b"+OK ", protocol="pop3", before=LOGIN, sender=SERVER,
                                            answer=b"RETR 1\r\n"),
    "listing": partial(retrieved, command=b"LIST\r\n"),
    "capabilities": partial(retrieved, command=b"CAPA\r\n"),
    "an unknown command's lines": partial(retrieved, command=b"XYZ\r\n"),
    "listings": lambda unit, size: said(b"+OK\r\n" + unit + b"\r\n.\r\n", size, "pop3",
                                        (*LOGIN, (CLIENT, b"LIST\r\n" * 4_000)), SERVER),
    "SASL": partial(said, before=(*OPENED, (CLIENT, b"AUTH LOGIN\r\n"), (SERVER, b"334 \r\n")), answer=b"334 \r\n"),
    "SASL, not answered": partial(said, before=(*OPENED, (CLIENT, b"AUTH LOGIN\r\n")), after=((SERVER, b"535 no\r\n"),)),
    "SASL, POP3": partial(said, protocol="pop3", before=(*LOGIN[:1], (CLIENT, b"AUTH PLAIN\r\n"), (SERVER, b"+ \r\n")),
                          answer=b"+ \r\n"),
    "SASL challenges": partial(phrase, begin=b"334 ", before=(*OPENED, (CLIENT, b"AUTH LOGIN\r\n")), sender=SERVER,
                               answer=b"Zm9v\r\n"),
    **{f"arguments of {verb.decode()}": partial(phrase, begin=verb + b" ", answer=b"250 ok\r\n") for verb in VERBS},
    **{f"arguments of {verb.decode()}, POP3": partial(phrase, begin=verb + b" ", answer=b"+OK\r\n.\r\n", protocol="pop3",
                                                      before=LOGIN) for verb in POP3_VERBS},
    "a long argument": lambda unit, size: said(unit, size, before=(*OPENED, (CLIENT, b"AUTH PLAIN "))),
    "a long password": lambda unit, size: said(unit, size, "pop3", (*LOGIN[:3], (CLIENT, b"PASS "))),
    "BDAT": chunk,
    "BDAT, many": chunks,
    "header": partial(message, head=b""),
    "fields": partial(framed, begin=b"X-", end=b": a\r\n", head=b""),
    "values": partial(framed, begin=b"Subject: ", end=b"\r\n", head=b""),
    "folded": partial(framed, begin=b"\r\n ", end=b"", head=b"Subject: a"),
    **{name: partial(message, head=name.encode() + b": a; a=", tail=EMPTY) for name in FIELDS},
    "addresses": partial(framed, begin=b"a@", end=b",", head=b"To: ", tail=EMPTY),
    "quoted": partial(message, head=b'Content-Type: text/plain; name="', tail=b'"' + EMPTY),
    "commented": partial(message, head=b"To: (", tail=EMPTY),
    "parameters": partial(framed, begin=b"; a*0*=", end=b"", head=b"Content-Type: text/plain", tail=EMPTY),
    "names": partial(framed, begin=b"; filename*1=", end=b"", head=b"Content-Disposition: attachment", tail=EMPTY),
    "encoded words": partial(framed, begin=b"=?utf-8?q?", end=b"?= ", head=b"Subject: ", tail=EMPTY),
    "a boundary's name": partial(message, head=b"Content-Type: multipart/mixed; boundary=", tail=EMPTY),
    "boundaries": boundary,
    "delimiters": partial(framed, begin=b"\r\n--b", end=b"", head=MIXED),
    "preamble": partial(message, head=MIXED),
    "headers of parts": partial(framed, begin=b"\r\n--b\r\n", end=b"\r\n\r\n", head=MIXED),
    "names of parts": partial(framed, begin=b"\r\n--b\r\nContent-Type: a/b; name=", end=b"\r\n\r\nx", head=MIXED),
    "parts in base64": partial(framed, begin=b"\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n", end=b"", head=MIXED),
    "messages in messages": partial(framed, begin=b"Content-Type: message/rfc822\r\n\r\n", end=b"", head=b""),
    "base64": partial(message, head=b"Content-Transfer-Encoding: base64\r\n\r\n"),
    "base64, lines": partial(framed, begin=b"QUJD", end=b"\r\n", head=b"Content-Transfer-Encoding: base64\r\n\r\n"),
    "an encoded message": partial(message, head=b"Content-Type: message/rfc822\r\n"
                                                b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"),
    "quoted-printable": partial(message, head=b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"),
    "uuencode": partial(message, head=b"\r\nbegin 644 a\r\n"),
    "uuencode, encoded": partial(message, head=b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 a\r\n"),
    "uuencode, lines": partial(framed, begin=b"#QUJD", end=b"\n", head=b"\r\nbegin 644 a\r\n"),
    "files in a text": partial(framed, begin=b"begin 644 a\r\n", end=b"\r\nend\r\n"),
    "yEnc": partial(message, head=b"\r\n=ybegin line=1 size=1 name=a\r\n"),
    "UTF-8": partial(message, head=b"Content-Type: text/plain; charset=utf-8\r\n\r\n"),
    "octets of a file": partial(message, head=b"Content-Type: application/zip; name=a.zip\r\n\r\nPK\3\4"),
    "TLS": partial(said, before=AGREED),
    "TLS records": records,
    "TLS records of a server": partial(records, sender=SERVER),
    "TLS handshakes": partial(records, kind=22),
    "TLS alerts": partial(records, kind=21),
    "TLS hellos": hello,
    "TLS unasked": partial(records, kind=22, before=()),
    "TLS where nothing tells the protocol": lambda unit, size: said(b"\x16" + unit, size, "", ()),
    "nothing tells the protocol, client": partial(said, protocol="", before=()),
    "nothing tells the protocol, server": partial(said, protocol="", before=(), sender=SERVER),
    "nothing tells the protocol, both": partial(said, protocol="", before=(), answer=b"x"),
}
