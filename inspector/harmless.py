"""What of a client's line is harmless.  All else is taken for a secret: deny by default.

Rules.  Whether an octet is shown depends on what stands before it in its line, never on what comes after: a line looks the same
in whatever pieces it came.  A covered line is read as what it covers: its words, its blanks where they count, its bare CRs and
NULs are left, and what is covered of it is covered again.

Words are shown that commands are known by.  Any other word is a secret; as it may come octet by octet, what covers it has
the octets up to the first in which it differs from all of them: the beginning of a word that stands here, `LONGEST` at most.
What may follow a word stands in `ARGUMENTS`; what may not is a secret up to the end of the line.  After a bare CR some servers
read another command (RFC 5321 §2.3.8 forbids it): so does this.

Knows words, of every protocol that may come where mail is due.  Must not know sessions: one table for all of them, because what
comes before the protocol is known must look the same when it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

LOOKED_AT: Final = 4_096
"""Octets of a line that can be harmless: the longest command is 2,048 (RFC 5321 §4.5.3.1.4 and what extensions add)."""

_STARS: Final = {keep: bytes(octet if octet in keep else 42 for octet in range(256)) for keep in (b"\r\n\0", b"\r\n\0 \t")}
_LINES: Final = re.compile(rb"[^\n]*\n|[^\n]+")
WHOLE: Final = _STARS[b"\r\n\0"]
"""What covers a secret, for `bytes.translate`: stars, but for what lines are made of."""
WORDS: Final = _STARS[b"\r\n\0 \t"]
"""The same, blanks left: of words that are counted."""


class Veiled(NamedTuple):
    """A line with its secret covered."""

    first: int
    """Where the secret begins; it goes on to the end of the line."""
    line: bytes
    """As long as what it covers."""


def covered(secret: bytes) -> bytes:
    """Octets that are all a secret.  A lone `*` would read as a cancelled SASL exchange (RFC 4954 §4, RFC 5034 §4)."""
    shown = secret.translate(WHOLE)
    return b"x" if shown == b"*" else shown


def beginnings(words: Iterable[str]) -> str:
    """A pattern that matches the longest beginning of any of the words, perhaps nothing."""
    heads: dict[str, list[str]] = {}
    for word in words:
        if word:
            heads.setdefault(word[0], []).append(word[1:])
    return "(?:" + "|".join(re.escape(head) + beginnings(rest) for head, rest in heads.items()) + ")?" if heads else ""


def _pattern(text: str) -> re.Pattern[bytes]:
    return re.compile(text.encode(), re.IGNORECASE)


MECHANISMS: Final = (
    "PLAIN", "LOGIN", "CRAM-MD5", "CRAM-SHA1", "DIGEST-MD5", "NTLM", "GSSAPI", "GSS-SPNEGO", "GS2-KRB5", "GS2-KRB5-PLUS",
    "KERBEROS_V4", "KERBEROS_V5", "SCRAM-SHA-1", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-512",
    "SCRAM-SHA-512-PLUS", "EXTERNAL", "ANONYMOUS", "OTP", "SKEY", "SECURID", "XOAUTH", "XOAUTH2", "OAUTHBEARER", "OAUTH10A",
    "SAML20", "OPENID20", "EAP-AES128", "ECDH-X25519-CHALLENGE", "SRP", "MSN", "PASSDSS-3DES-1", "TLS", "SSL", "LIST")
"""SASL mechanisms (IANA's registry, and what is spoken beside it), and what FTP and old clients put after AUTH."""

_IMAP: Final = ("LOGIN", "CAPABILITY", "SELECT", "EXAMINE", "AUTHENTICATE", "LOGOUT", "ID", "UID", "LIST", "STARTTLS", "NOOP")
"""What an IMAP client says after its tag."""

_BLANKS: Final = b" \t"
_LEAD: Final = re.compile(
    rb"(?:\xef(?:\xbb(?:\xbf)?)?|\x16\x03[\0-\4](?:[\0-\x09\x0b\x0c\x0e-\x48][^\r\n]?)?)?[\x00-\x20\x7f]*")
"""Before a word: blanks, control octets, a byte order mark, which some servers pass over; what may be a header of TLS."""
_BLANK: Final = re.compile(rb"[ \t]*")
_TO_BLANK: Final = re.compile(rb"[^ \t]*")
_MECHANISM: Final = _pattern(beginnings(MECHANISMS))
_HTTP: Final = re.compile(rb"(?: (?:H(?:T(?:T(?:P(?:/(?:\d(?:\.\d?)?)?)?)?)?)?)?)?")
_TAG: Final = _pattern(rf"[ \t]*{beginnings(_IMAP)}[ \t]*")
"""What follows a word that is no command: it may be the tag before one of IMAP."""

Follows = Callable[[bytes, int, int], int]
"""Where the secret begins in what follows a word; where the line ends, for none.  From the line, and where word and line end."""


def _after(pattern: bytes) -> Follows:
    """What matches the pattern is harmless."""
    compiled = re.compile(pattern, re.IGNORECASE)

    def follows(line: bytes, at: int, stop: int) -> int:
        match = compiled.match(line, at, stop)
        return match.end() if match is not None else at

    return follows


_NAME: Final = rb"[^\0-\x20\x7f:;,=&/*]*"
"""Of somebody or something: users, hosts, mailboxes.  Behind a colon a password may stand; a star is what covers one."""
_nothing: Final = _after(rb"[ \t]*")
_numbers: Final = _after(rb"[\d \t]*")
_host: Final = _after(rb"[ \t]*(?:\[[0-9A-Z.:-]*\]?|" + _NAME + rb")[ \t]*")
_name: Final = _after(rb"[ \t]*" + _NAME + rb"[ \t]*")
_language: Final = _after(rb"[ \t]*[A-Z]{0,3}(?:-[A-Z]{0,4})?")
_tag: Final = _after(_TAG.pattern)
_chunk: Final = _after(rb"[\d \t]*(?:L(?:A(?:ST?)?)?)?[ \t]*")
_proxied: Final = _after(rb"[ ]*(?:T(?:C(?:P(?:[46][ 0-9A-F:.]*)?)?)?|U(?:N(?:K(?:N(?:O(?:WN?)?)?)?)?)?)?")
_user: Final = _after(rb"[ \t]*(?:U(?:S(?:ER?)?)?)?[ \t]*")
_digested: Final = _after(rb"[ \t]*[0-9a-f]{0,8}(?:[^\0-\x20\x7f:;,=&/*0-9a-f]" + _NAME + rb")?[ \t]*")
"""A name and blanks.  Where more than eight hexadecimal digits begin the name, it is taken for the digest of a client that has
left the name out."""


def _words(*words: str) -> bytes:
    """A pattern that matches some of these with commas between them."""
    return rf"{beginnings(words)}(?:,{beginnings(words)})*".encode()


Values = dict[bytes, re.Pattern[bytes]]
"""What stands before a value → what of the value is harmless."""


def _values(*rows: tuple[str, bytes]) -> tuple[Values, re.Pattern[bytes]]:
    """From words and the pattern of their values; with what the words begin with."""
    table = {word.encode(): re.compile(value, re.IGNORECASE) for words, value in rows for word in words.split()}
    return table, _pattern(beginnings([word.decode() for word in table]))


_PARAMETERS: Final = _values(
    ("SIZE=", rb"\d*"), ("BODY=", _words("7BIT", "8BITMIME", "BINARYMIME")), ("RET=", _words("FULL", "HDRS")),
    ("NOTIFY=", _words("NEVER", "SUCCESS", "FAILURE", "DELAY")), ("ENVID= ORCPT=", rb"[!-)+-<>-~]*"),
    ("AUTH=", rb"<?>?"), ("BY= HOLDFOR= MT-PRIORITY=", rb"[\d;NRT-]*"), ("SMTPUTF8 REQUIRETLS", rb""))
"""Of MAIL and RCPT (RFC 1870, 6152, 3030, 3461, 4954, 2852, 4865, 6710, 6531, 8689).  A client that is in error about AUTH may
put its response there, and other parameters hold tokens (RFC 3885, 4468)."""
_ATTRIBUTES: Final = _values(("NAME= ADDR= PORT= PROTO= HELO= DESTADDR= DESTPORT= IDENT= SOURCE=", rb"[!-)+-<>-~]*"))
"""Of XCLIENT and XFORWARD; a LOGIN is somebody's."""
_PATH: Final = _pattern(
    r'(?:<(?:@[^\0-\x20\x7f>:"*]*:)?)?(?:"(?:[^"\\*\0-\x1f]|\\[ -)+-~]?)*"?|\[[0-9A-Z.:-]*\]?|[^\0-\x20\x7f<>:"\[*])*')
"""An address, which may have a route before it (RFC 5321 appendix C), and its quoted words; its bracket is open."""
_WAY: Final = _pattern(r"[ \t]*(?:FROM|TO)[ \t]*:[ \t]*")
_WAYS: Final = _pattern(rf"[ \t]*{beginnings(('FROM:', 'TO:'))}")


def _told(line: bytes, at: int, stop: int, known: tuple[Values, re.Pattern[bytes]]) -> int:
    """Words with their values, as long as all of them are known."""
    values, words = known
    while at < stop and line[at] in _BLANKS:
        begin = _end(_BLANK, line, at, stop)
        end = _end(_TO_BLANK, line, begin, stop)
        value_at = line.find(b"=", begin, end) + 1 or end
        value = values.get(line[begin:value_at].upper())
        if value is None:
            return _end(words, line, begin, stop)
        at = _end(value, line, value_at, end)
        if at < end:
            return at
    return at


def _path(line: bytes, at: int, stop: int) -> int:
    """An address and parameters."""
    begin = _end(_WAY, line, at, stop)
    if begin == at:
        return _end(_WAYS, line, at, stop)
    end = _end(_PATH, line, begin, stop)
    if line[begin:begin + 1] == b"<" and begin < stop:
        if end == stop or line[end] != 62:
            return end
        end += 1
    return _told(line, end, stop, _PARAMETERS)


def _attributes(line: bytes, at: int, stop: int) -> int:
    return _told(line, at, stop, _ATTRIBUTES)


def _mechanism(line: bytes, at: int, stop: int) -> int:
    """A mechanism; after it nothing, or `=`, which says that the response is empty (RFC 4954 §4)."""
    at = _end(_BLANK, line, at, stop)
    at = _end(_MECHANISM, line, at, stop)
    if at == stop or line[at] not in _BLANKS:
        return at
    at = _end(_BLANK, line, at, stop)
    return at + 1 if line[at:at + 1] == b"=" and at < stop else at


def _topic(line: bytes, at: int, stop: int) -> int:
    """A word that is shown."""
    at = _end(_BLANK, line, at, stop)
    return _end(_KNOWN, line, at, stop)


def _end(pattern: re.Pattern[bytes], line: bytes, at: int, stop: int) -> int:
    match = pattern.match(line, at, stop)
    return match.end() if match is not None else at


ARGUMENTS: Final[dict[bytes, Follows]] = {word: follows for words, follows in (
    (b"EHLO HELO LHLO", _host), (b"ETRN ATRN USER VRFY EXPN", _name),
    (b"MAIL RCPT SEND SOML SAML", _path), (b"XCLIENT XFORWARD", _attributes),
    (b"DATA RSET QUIT NOOP STARTTLS TURN STAT CAPA STLS PASS", _nothing),
    (b"LIST UIDL RETR DELE TOP", _numbers),
    (b"PROXY", _proxied), (b"BDAT", _chunk), (b"HELP", _topic), (b"AUTH X-EXPS", _mechanism), (b"APOP", _digested),
    (b"UTF8", _user), (b"LANG", _language),
    (b"GET POST HEAD PUT DELETE OPTIONS CONNECT PATCH TRACE PRI PROPFIND", _nothing),
    (b"LOGIN LOGOUT CAPABILITY SELECT AUTHENTICATE AUTHINFO ACCT FEAT SYST OPTS CLNT HOST", _nothing),
    (b". FROM: TO: CC: SUBJECT: DATE: MESSAGE-ID: RECEIVED: RETURN-PATH: MIME-VERSION: CONTENT-TYPE:", _nothing),
    (b"HOST: USER-AGENT: ACCEPT: AUTHORIZATION:", _nothing),
    (b"XTND RPOP ID ENABLE BURL WIZ DEBUG ONEX VERB", _nothing),
    (b"XADR XAUTH XCIR XEXCH50 XGEN XLIST XONE XPROXY XQUE XRCP XRCPT XREMOTEQUEUE XSENDER XSESSIONPARAMS XSHADOW XSTA XTRN XUSR"
     b" XVRB X-LINK2STATE", _nothing),
) for word in words.split()}
"""What may follow a word that commands are known by, in this protocol or another."""
CREDENTIALS: Final = frozenset({b"PASS", b"APOP", b"AUTH", b"X-EXPS"})
"""After these, what is not harmless is a secret indeed, and not only what nobody knows."""
_COUNTED: Final = frozenset({b"PASS"})
"""Whose blanks are not told either."""
_METHODS: Final = frozenset({b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"CONNECT", b"PATCH", b"TRACE", b"PRI",
                            b"PROPFIND"})
"""Of these a word follows, then how HTTP calls itself."""
_GLUED: Final = frozenset({b"USER", b"RETR", b"DELE"})
"""Words that may have no blank after them: the exercise sheet's BNF writes none."""

_KNOWN: Final = _pattern(beginnings((*(word.decode() for word in ARGUMENTS), "SSH-2.0-")))
LONGEST: Final = max(map(len, ARGUMENTS))
"""Octets of a word that is not known that a capture may have."""

_PLAIN: Final = re.compile(
    rb"(?:(?:MAIL FROM|RCPT TO):<[^\0-\x20\x7f\"<>:\[*]*>(?: SIZE=\d+| BODY=(?:7BIT|8BITMIME)| SMTPUTF8| AUTH=<>"
    rb"| RET=(?:FULL|HDRS)| (?:ENVID|ORCPT)=[!-)+-<>-~]+| NOTIFY=(?:NEVER|SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY))*)*"
    rb"|(?:EHLO|HELO|LHLO|USER) [^\0-\x20\x7f:;,=&/*]+|(?:QUIT|RSET|DATA|NOOP|STAT|CAPA|STARTTLS|STLS|LIST|UIDL)"
    rb"|(?:RETR|DELE|LIST|UIDL|TOP)(?: \d+){1,2}|BDAT \d+(?: LAST)?)\r?\n?", re.IGNORECASE)
"""Most of what is said, told at once."""

_NO_RECORD: Final = re.compile(rb"[\x14-\x18]\x03[\0-\x04][^\0-\x48]")
"""What begins as a record of TLS does, but for its length (RFC 8446 §5.1)."""
_P: Final = (b"P", b"p")
_PASS: Final = re.compile(rb"PASS [!-~]+\r?\n?", re.IGNORECASE)
"""Most of what is said that is secret."""


def lines_of(octets: bytes) -> list[bytes]:
    """Lines with their ends, the last perhaps without.  A bare CR ends none: servers differ, and `veil` knows."""
    return _LINES.findall(octets)


def line_end(line: bytes) -> int:
    """The index at which the end of the line begins."""
    if line[-2:] == b"\r\n":
        return len(line) - 2
    return len(line) - (line[-1:] in (b"\n", b"\r"))


def veil(line: bytes) -> Veiled | None:
    """A client's line, or the beginning of one, with what is not harmless in it covered; None where all of it is harmless."""
    found = _found(line)
    if found is not None and _NO_RECORD.match(line) is not None:
        return found._replace(line=found.line[:3] + unlike_length(found.line[3:]))
    return found


def unlike_length(shown: bytes) -> bytes:
    """What is shown of octets that stand where the length of a record of TLS is due, and are none: stars could be read as one."""
    return b"x" + shown[1:] if shown[:1] == b"*" else shown


def _found(line: bytes) -> Veiled | None:
    if len(line) <= LOOKED_AT:
        if line[:1] in _P and _PASS.fullmatch(line) is not None:
            return _covered(line, len(b"PASS "), line_end(line), b"PASS")
        if _PLAIN.fullmatch(line) is not None:
            return None
    at, end = 0, line_end(line)
    limit = min(end, LOOKED_AT)
    while at < limit:
        cut = line.find(b"\r", at, limit)
        stop = cut if cut >= 0 else limit
        if stop > at and (found := _veiled(line, at, stop, end)) is not None:
            return found
        at = stop + 1
    return Veiled(limit, line[:limit] + line[limit:].translate(WHOLE)) if end > limit else None


def _veiled(line: bytes, at: int, stop: int, end: int) -> Veiled | None:
    """The same of what stands from `at` on, which goes on to `stop`."""
    begin = _end(_LEAD, line, at, stop)
    after = _end(_KNOWN, line, begin, stop)
    word = line[begin:after].upper()
    if after == stop:
        # What may go on is shown; what does not, and is no command, is not told.
        return Veiled(begin, line) if word and stop < len(line) and word not in ARGUMENTS else None
    if line[after] in _BLANKS and word in ARGUMENTS:
        first = ARGUMENTS[word](line, after, stop)
    elif word[:4] in _GLUED:
        word = word[:4]
        first = ARGUMENTS[word](line, begin + 4, stop)
    elif word in CREDENTIALS:
        first = after
    else:
        return _unknown(line, begin, after, stop, end, _TAG)
    if first >= stop:
        return None
    return _unknown(line, first, first, stop, end, _HTTP) if word in _METHODS else _covered(line, first, end, word)


def _covered(line: bytes, first: int, end: int, word: bytes) -> Veiled:
    """Of a password not even the blanks are told."""
    if word in _COUNTED:
        return Veiled(first, line[:first] + covered(line[first:end]) + line[end:])
    return Veiled(first, line[:first] + line[first:end].translate(WORDS) + line[end:])


def _unknown(line: bytes, first: int, like: int, stop: int, end: int, shown_after: re.Pattern[bytes]) -> Veiled:
    """A word that is not known, and what follows it; of that what matches the pattern is shown.

    `like`: how far a capture may have it, because it is like one that is known.
    """
    after = _end(_TO_BLANK, line, like, stop)
    rest = _end(shown_after, line, after, stop)
    shown = line[like:after].translate(WHOLE) + line[after:rest] + line[rest:end].translate(WHOLE)
    return Veiled(first, line[:like] + shown + line[end:])
