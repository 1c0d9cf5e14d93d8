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
    "a word of somebody's own": b"X%s",
    "lower x": b"x%s",
    "param unknown": b"MAIL FROM:<a@b> X-TOKEN=%s",
    "param bare": b"RCPT TO:<a@b> %s",
    "mail auth": b"MAIL FROM:<a@b> AUTH=%b",
    "mail auth2": b"MAIL FROM:<a@b> AUTH=PLAIN %b",
    "mail auth raw": b"MAIL FROM:<a@b> AUTH=%s",
    "mail no from": b"MAIL alice %s",
    "mail no brackets": b"MAIL FROM: a@b %s",
    "mail envid": b"MAIL FROM:<a@b> ENVID=QQ %s",
    "rcpt pw": b"RCPT TO:<a@b> PASSWORD=%s",
    "xclient login": b"XCLIENT NAME=x LOGIN=%s",
    "xclient pass": b"XCLIENT PASSWORD=%s",
    "xclient token": b"XCLIENT ADDR=1.2.3.4 TOKEN=%s",
    "vrfy": b"VRFY alice %s",
    "expn": b"EXPN list %s",
    "send": b"SEND FROM:<a@b> %s",
    "help": b"HELP %s",
    "help known": b"HELP PASS %s",
    "user colon": b"USER alice:%s",
    "user slash": b"USER alice/%s",
    "burl": b"BURL imap://joe@example.com/INBOX;uid=20;urlauth=submit+joe:internal:%s LAST",
    "url pw": b"BURL imap://joe:%s@example.com/INBOX LAST",
    "lang": b"LANG %s",
    "utf8": b"UTF8 %s",
    "etrn": b"ETRN @x %s",
    "atrn": b"ATRN x.example,%s",
    "ehlo url": b"EHLO alice:%s@mx",
    "proxy": b"PROXY TCP4 %s",
    "proxy ip": b"PROXY TCP4 1.1.1.1 2.2.2.2 1 %s",
    "list": b"LIST 1 %s",
    "top": b"TOP 1 %s",
    "uidl": b"UIDL %s",
    "bdat": b"BDAT 10 %s",
    "bdat last": b"BDAT 10 LAST %s",
    "rset": b"RSET %s",
    "starttls": b"STARTTLS %s",
    "auth mech glued": b"AUTH PLAIN%s",
    "auth xoauth2": b"AUTH XOAUTH2 dXNlcj1hbGljZQFhdXRoPUJlYXJlciA%b",
    "auth bearer raw": b"AUTH OAUTHBEARER n,a=alice,\x01auth=Bearer %s\x01\x01",
    "auth =": b"AUTH PLAIN = %s",
    "auth =glue": b"AUTH PLAIN =%s",
    "auth star": b"AUTH LOGIN * %s",
    "tab auth": b"AUTH\tPLAIN\t%b",
    "auth comma": b"AUTH,PLAIN,%b",
    "au th": b"AU TH PLAIN %b",
    "aut": b"AUT PLAIN %b",
    "auth plain in two": b"AUTH PLAIN AGFs %b",
    "apop digest": b"APOP alice c4c9 %s",
    "apop tab": b"APOP\talice\t%s",
    "pass nbsp": b"PASS\xc2\xa0%s",
    "pass vt": b"PASS\x0b%s",
    "pass nul": b"PASS\x00%s",
    "pass ;": b"PASS;%s",
    "p ass": b"P ASS %s",
    "PASS cr": b"PASS\r%s",
    "PASS cr2": b"PASS \r%s",
    "user cr": b"USER alice\r%s",
    "USER cr PASS": b"USER alice\rPASS %s",
    "user nul": b"USER alice\x00%s",
    "user formfeed": b"USER alice\x0cPASS\x0c%s",
    "backspace": b"PASX\x08S %s",
    "arrow": b"\x1b[APASS %s",
    "telnet iac": b"\xff\xfd\x01PASS %s",
    "telnet eof": b"\xff\xf4\xff\xfd\x06PASS %s",
    "cookie": b"Cookie: session=%s",
    "set-cookie": b"X-Auth-Token: %s",
    "post": b"POST /login?user=a&password=%s HTTP/1.1",
    "form": b"user=alice&password=%s",
    "json": b'{"password": "%s"}',
    "get url": b"GET http://alice:%s@host/ HTTP/1.1",
    "get fragment": b"GET / HTTP/1.1 %s",
    "user-agent": b"User-Agent: %s",
    "host": b"Host: %s",
    "connect": b"CONNECT alice:%s@host:25 HTTP/1.1",
    "ftp user": b"USER anonymous %s",
    "ftp site": b"SITE PSWD %s",
    "ftp rein": b"ADAT %s",
    "imap login": b'a1 LOGIN "alice" "%s"',
    "imap no tag": b"LOGIN alice %s",
    "imap auth": b"a1 AUTHENTICATE XOAUTH2 %b",
    "imap id": b'a1 ID ("password" "%s")',
    "imap urlauth": b'a1 GENURLAUTH "imap://joe@example.com/INBOX;urlauth=submit+joe:internal:%s"',
    "imap select": b"a1 SELECT %s",
    "tag": b"%s LOGIN alice x",
    "star": b"* %s",
    "plus": b"+ %s",
    "dot": b".%s",
    "sieve lit": b'AUTHENTICATE "PLAIN" {12+}\r\n%s',
    "sieve put": b'PUTSCRIPT "x" {20+}\r\n%s',
    "subject": b"Subject: %s",
    "from": b"From: %s",
    "enable": b"ENABLE %s",
    "xtnd": b"XTND XMIT %s",
    "rpop": b"RPOP %s",
    "nntp": b"AUTHINFO PASS %s",
    "nntp2": b"AUTHINFO USER alice PASS %s",
    "nick irc": b"NICK x\r\nPASS :%s",
    "oper": b"OPER root %s",
    "redis": b"*3\r\n$3\r\nSET\r\n$10\r\n%s",
    "quit glued": b"QUIT%s",
    "noop glued": b"NOOP;PASS %s",
    "two": b"STAT;PASS %s",
    "longuser": b"USER " + b"a" * 300 + b" %s",
    "ssh": b"SSH-2.0-%s",
    "proxy2ish": b"\r\n\r\n\x00\r\nQUIT\n%s",
    "lmtp": b"LHLO me %s",
    "dele": b"DELE %s",
    "retr n": b"RETR 1;%s",
    "mail path url": b"MAIL FROM:<alice:%s@host>",
    "mail path unclosed": b"MAIL FROM:<alice PASS %s",
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


SESSION: Steps = [(S2C, b"220 mx.example ESMTP\r\n"), (C2S, b"EHLO me\r\n"), (S2C, b"250 mx.example\r\n"),
                  (C2S, b"QUIT\r\n"), (S2C, b"221 %s\r\n")]
TO, OK = b"CONNECT mx.example:25 HTTP/1.1\r\n", (S2C, b"HTTP/1.1 200 ok\r\n\r\n")
EARLY = b"EHLO me\r\nAUTH PLAIN %b\r\n"
PROXY2 = b"\r\n\r\n\0\r\nQUIT\n"
HEADERS: dict[str, Steps] = {
    "fields of CONNECT": [
        (C2S, TO + b"Host: mx.example\r\nCookie: a=%s\r\nX-Token: %s\r\nX-%s: 1\r\nAuthorization: %b\r\n\r\n"), OK],
    "a user in CONNECT": [(C2S, b"CONNECT alice:%s@mx.example:25 HTTP/1.1\r\nHost: mx\r\n\r\n"), OK],
    "behind CONNECT": [(C2S, TO + b"\r\n" + EARLY), OK],
    "CONNECT refused": [(C2S, TO + b"Cookie: %s\r\n\r\n"), (S2C, b"HTTP/1.1 407 no\r\n\r\nwhat is %s\r\n"),
                        (C2S, TO + b"Proxy-Authorization: %b\r\n\r\n"), OK],
    "CONNECT cut short": [(C2S, TO + b"Cookie: %s\r\nX-%s")],
    "PROXY UNKNOWN": [(C2S, b"PROXY UNKNOWN %s\r\n")],
    "PROXY with no address": [(C2S, b"PROXY TCP4 %s\r\n")],
    "PROXY cut short": [(C2S, b"PROXY TCP4 %s")],
    "a TLV of PROXY": [(C2S, PROXY2 + b"\x21\x11\0\x1a\1\2\3\4\5\6\7\x08\0\x19\0\x19\5\0\x0b%s")],
    "PROXY LOCAL": [(C2S, PROXY2 + b"\x20\0\0\x0b%s")],
    "SOCKS5": [(C2S, b"\5\1\2"), (S2C, b"\5\2"), (C2S, b"\1\5alice\x0b%s"), (S2C, b"\1\0"), (C2S, b"\5\1\0\3\2mx\0\x19"),
               (S2C, b"\5\0\0\1\1\2\3\4\0\x19")],
    "SOCKS5 at once": [(C2S, b"\5\1\2\1\5alice\x0b%s\5\1\0\3\2mx\0\x19" + EARLY), (S2C, b"\5\2\1\0\5\0\0\1\1\2\3\4\0\x19")],
    "SOCKS5 refused": [(C2S, b"\5\1\2"), (S2C, b"\5\2"), (C2S, b"\1\5alice\x0b%s"), (S2C, b"\1\1")],
    "a forged record of TLS": [(C2S, b"\x16\3\1\0\x20PASS %s\r\n")],
    "a forged record of data": [(C2S, b"\x17\3\3\0\x0d%s\r\n")],
    "a forged alert": [(C2S, b"\x15\3\1\0\x0d%s\r\n")],
    "behind SOCKS4": [(C2S, b"\4\1\0\x19\1\2\3\4me\0" + EARLY), (S2C, b"\0\x5a\0\0\0\0\0\0")],
}
"""What stands, or seems to stand, before a session; the secrets have eleven octets."""


def headers() -> list[Plant]:
    """Those, with a protocol given and without."""
    found: list[Plant] = []
    for name, steps in HEADERS.items():
        for protocol in ("", "smtp"):
            secret = b"s%03dKq7zW97" % len(found)
            session = [] if name.endswith(("short", "refused")) else SESSION
            response = b64(b"\0alice\0" + secret)
            found.append(Plant(f"{name}, {protocol or 'nobody'}", protocol, secret, [
                (who, data.replace(b"%s", secret).replace(b"%b", response)) for who, data in (*steps, *session)]))
    return found


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
    return found + headers()


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
