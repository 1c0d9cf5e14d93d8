"""A mail server that is lenient in every way at once, as a function of octets: what servers were seen to do, each a switch.

Knows what servers have done (see the references at the switches).  Must not know mailspy.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class Style:
    """How the server reads.  The defaults are those of a strict one."""

    cr: bool = False
    """CR alone ends a line, and so does CR NUL."""
    lf: bool = True
    """LF alone ends a line."""
    breaks: bool = False
    """VT, FF, FS, GS, RS, NEL, LS, PS end a line too, as in Python's splitlines; so does LF CR."""
    ways: bool = False
    """Source routes, per cent and bang paths are followed, comments and quotes passed over: what each names counts."""
    cut: int = 0
    """After so many octets a line is over, and the rest is the next; 0: never."""
    truncate: int = 0
    """Of a line so many octets are read; 0: all."""
    nul: str = ""
    """NUL ends the string (`stop`), or is passed over (`drop`)."""
    controls: str = ""
    """Control octets are passed over (`drop`), or are blanks (`blank`)."""
    high: str = ""
    """Octets above 127 are passed over (`drop`), or lose their top bit (`strip`)."""
    bits: bool = False
    """The top bit goes before lines are read at all."""
    letters: bool = False
    """The verb is the first four letters of the line, whatever stands before or behind them."""
    search: bool = False
    """A recipient is whatever stands between brackets, anywhere; else what looks like an address."""
    blank: bool = False
    """Empty lines are passed over without a reply."""
    ends: tuple[bytes, ...] = ()
    """What ends a content beside CRLF . CRLF (CVE-2023-51764 to 51766, CVE-2024-27305)."""
    nul_dot: bool = False
    """NUL and other control octets are passed over where a dot is looked for."""
    padded: bool = False
    """A dot alone on its line but for blanks ends a content, and so does one between octets that end a line to some."""
    chunking: str = "offered"
    """BDAT: `offered`, `hidden` (known, and not offered), `none` (500, and the octets are commands), `refused` (the same, and yet
    it is offered), `sometimes` (the same, every other time)."""
    refuses: str = "discard"
    """The octets of a BDAT that is refused for want of recipients: `discard`, or `commands` (as Exim did before 4.90)."""
    number: str = "digits"
    """How the octets of a BDAT are read: `digits`, `strtol` (blanks, signs, any base; what follows is passed over)."""
    data: bool = True
    """DATA is taken without recipients too."""
    smtputf8: bool = False
    dsn: bool = False
    auth: str = ""
    """`` (unknown), `fail` or `ok`: AUTH after its response."""
    starttls: str = ""
    """`` (unknown), `454`."""


def styles(chance: random.Random) -> Style:
    """Some style: each switch at random, the lenient values as likely as the strict."""
    pick = chance.choice
    return Style(
        cr=pick((False, True)), lf=pick((True, True, False)), breaks=pick((False, False, True)),
        cut=pick((0, 0, 512, 998, 1_000, 2_048, 4_096)), truncate=pick((0, 0, 510, 1_000, 2_048)), nul=pick(("", "stop", "drop")),
        controls=pick(("", "drop", "blank")), high=pick(("", "drop", "strip")), bits=pick((False, False, False, True)),
        letters=pick((False, True)), search=pick((False, True)), blank=pick((False, True)),
        ends=tuple(end for end in ENDS if chance.random() < 0.5), nul_dot=pick((False, True)),
        padded=pick((False, True)), ways=pick((False, True)),
        chunking=pick(("offered", "offered", "hidden", "none", "refused", "sometimes")), refuses=pick(("discard", "commands")),
        number=pick(("digits", "strtol")), data=pick((False, True)), smtputf8=pick((False, True)), dsn=pick((False, True)),
        auth=pick(("", "fail", "ok")), starttls=pick(("", "454")))


ENDS = (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\r\n.\r\r\n", b"\n.\r", b"\r.\n")
_BREAKS = b"\x0b\x0c\x1c\x1d\x1e\x85"
_ADDRESS = re.compile(rb"<\s*([^<>]*)>|([^\s<>:]+@[^\s<>]+)")
_VERBS = (b"EHLO", b"HELO", b"LHLO", b"MAIL", b"RCPT", b"DATA", b"BDAT", b"RSET", b"NOOP", b"QUIT", b"VRFY", b"HELP", b"AUTH",
          b"STAR")


def _followed(path: bytes) -> list[bytes]:
    """A path as servers of old would follow it: where it leads last, comments and quotes left out."""
    path = re.sub(rb"\([^()]*\)|[\"\\]", b"", path).strip(b" ,;")
    if path[:1] == b"@" and b":" in path:
        path = path.partition(b":")[2]
    while True:
        local, _, domain = path.rpartition(b"@")
        if b"@" in local or not domain.lower().endswith(b"cnam.fr") or not (b"%" in local or b"!" in local):
            break
        if b"!" in local:
            host, _, user = local.partition(b"!")
        else:
            user, _, host = local.rpartition(b"%")
        path = user + b"@" + host
    return [path] if path.count(b"@") < 2 else [path.rpartition(b"@")[0], path]


@dataclass
class Server:
    """One session of such a server: octets in, replies out."""

    style: Style
    arrived: list[bytes] = field(default_factory=list)
    """Every recipient that it has read, whatever it said to it."""
    queued: int = 0
    _held: bytes = b""
    _state: str = "command"
    _left: int = 0
    _content: bytes = b""
    _sender: bool = False
    _recipients: int = 0
    _over: bool = False
    _chunks: int = 0

    def greeting(self) -> bytes:
        return b"220 lenient.example ESMTP\r\n"

    def feed(self, data: bytes) -> bytes:
        """What it replies to these octets."""
        if self.style.bits:
            data = bytes(octet & 127 for octet in data)
        self._held += data
        said = b""
        while self._held and not self._over:
            if self._state == "chunk":
                taken = self._held[:self._left]
                self._left -= len(taken)
                self._held = self._held[len(taken):]
                if self._left:
                    return said
                said += self._chunk_over()
            elif self._state == "content":
                if not self._content_over():
                    return said
                said += self._taken()
            else:
                line = self._line()
                if line is None:
                    return said
                said += self._command(line)
        return said

    # Reading

    def _line(self) -> bytes | None:
        """The next line without its end, or None."""
        style, held = self.style, self._held
        ends = [rb"\r\n"] + [rb"\n"] * style.lf + [rb"\r\0", rb"\r(?!\Z)"] * style.cr
        if style.breaks:
            ends += [rb"\n\r", b"[" + re.escape(_BREAKS) + b"]", rb"\xc2\x85", rb"\xe2\x80[\xa8\xa9]"]
        match = re.search(b"|".join(ends), held)
        if style.cut and (match is None or match.start() > style.cut) and len(held) > style.cut:
            self._held = held[style.cut:]
            return held[:style.cut]
        if match is None:
            return None
        self._held = held[match.end():]
        line = held[:match.start()]
        return line[:style.truncate] if style.truncate else line

    def _cleaned(self, line: bytes) -> bytes:
        style = self.style
        if style.nul == "stop":
            line = line.partition(b"\0")[0]
        elif style.nul == "drop":
            line = line.replace(b"\0", b"")
        controls = bytes([*range(9), *range(10, 32), 127])
        if style.controls == "drop":
            line = line.translate(None, controls)
        elif style.controls == "blank":
            line = line.translate(bytes.maketrans(controls, b" " * len(controls)))
        if style.high == "drop":
            line = line.translate(None, bytes(range(128, 256)))
        elif style.high == "strip":
            line = bytes(octet & 127 for octet in line)
        return line

    def _content_over(self) -> bool:
        """Whether the end of the content has come; takes it away."""
        held = b"\r\n" + self._held if not self._content else self._content + self._held
        ends = [rb"\r\n\.\r\n", *map(re.escape, self.style.ends)]
        if self.style.nul_dot:
            ends.append(rb"[\r\n][\x00-\x08\x0b\x0c\x0e-\x1f]*\.[\x00-\x08\x0b\x0c\x0e-\x1f]*[\r\n]\n?")
        if self.style.padded:
            ends.append(rb"[\r\n\0\x0b\x0c\x85][ \t\0]*\.[ \t\0]*(?:\r\n|[\r\n\0\x0b\x0c\x85])")
        match = re.search(b"|".join(f"(?:{end.decode('latin-1')})".encode("latin-1") for end in ends), held)
        if match is None:
            self._content, self._held = held[-2048:], b""
            return False
        self._content, self._held = b"", held[match.end():]
        return True

    # Doing

    def _command(self, line: bytes) -> bytes:
        style = self.style
        line = self._cleaned(line)
        if self._state == "sasl":
            self._state = "command"
            return b"235 ok\r\n" if style.auth == "ok" else b"535 no\r\n"
        if not line.strip() and style.blank:
            return b""
        if style.letters:
            match = re.search(rb"[A-Za-z]{4}", line)
            verb, argument = (match[0].upper(), line[match.end():]) if match else (b"", b"")
        else:
            word, _, argument = line.strip(b" \t").replace(b"\t", b" ").partition(b" ")
            verb = word.upper()[:4] if word.upper() in (*_VERBS, b"STARTTLS") else b""
        method = getattr(self, "_" + verb.decode("ascii", "replace").lower(), None) if verb in _VERBS else None
        return method(argument) if method is not None else b"500 what\r\n"

    def _ehlo(self, argument: bytes) -> bytes:
        style = self.style
        self._sender = False
        words = [b"lenient.example", b"PIPELINING", b"8BITMIME"]
        words += [b"CHUNKING"] * (style.chunking in ("offered", "refused", "sometimes"))
        words += [b"SMTPUTF8"] * style.smtputf8 + [b"DSN"] * style.dsn
        words += [b"AUTH PLAIN LOGIN"] * bool(style.auth) + [b"STARTTLS"] * bool(style.starttls)
        return b"".join(b"250-" + word + b"\r\n" for word in words[:-1]) + b"250 " + words[-1] + b"\r\n"

    _lhlo = _ehlo

    def _helo(self, argument: bytes) -> bytes:
        self._sender = False
        return b"250 hello\r\n"

    def _mail(self, argument: bytes) -> bytes:
        self._sender, self._recipients = True, 0
        return b"250 sender\r\n"

    def _rcpt(self, argument: bytes) -> bytes:
        if self.style.search:
            found = [one or other for one, other in _ADDRESS.findall(argument)]
        else:
            way = argument.lstrip(b" :").removeprefix(b"TO").removeprefix(b"to").lstrip(b" :")
            found = [way.partition(b">")[0].lstrip(b"<").strip()]
        self.arrived += [one for each in found for one in (_followed(each) if self.style.ways else [each])]
        self._recipients += 1
        return b"250 recipient\r\n"

    def _data(self, argument: bytes) -> bytes:
        if not self._recipients and not self.style.data:
            return b"503 no recipients\r\n"
        self._state, self._content = "content", b""
        return b"354 go\r\n"

    def _bdat(self, argument: bytes) -> bytes:
        style = self.style
        self._chunks += 1
        if style.chunking in ("none", "refused") or (style.chunking == "sometimes" and self._chunks % 2 == 0):
            return b"500 what\r\n"
        argument = argument.lstrip(b" ")
        match = re.match(rb"\s*\+?(0[xX][0-9A-Fa-f]+|\d+)" if style.number == "strtol" else rb"(\d+)(?: LAST)?\Z", argument,
                         re.IGNORECASE)
        if match is None:
            return b"501 how many\r\n"
        digits = match[1]
        octets = int(digits, 16) if digits[:2].lower() == b"0x" else int(digits, 8) if (
            style.number == "strtol" and digits[0] == 48 and set(digits) <= set(b"01234567")) else int(digits)
        if not self._recipients and style.refuses == "commands":
            return b"503 no recipients\r\n"
        self._state, self._left = "chunk", min(octets, 1 << 40)
        self._last = b"LAST" in argument.upper()
        return b"" if octets else self._chunk_over()

    def _chunk_over(self) -> bytes:
        self._state = "command"
        if not self._recipients:
            return b"503 no recipients\r\n"
        return self._taken() if self._last else b"250 chunk\r\n"

    _last = False

    def _taken(self) -> bytes:
        self._state, self._sender, self._recipients = "command", False, 0
        self.queued += 1
        return b"250 queued\r\n"

    def _rset(self, argument: bytes) -> bytes:
        self._sender, self._recipients = False, 0
        return b"250 ok\r\n"

    def _noop(self, argument: bytes) -> bytes:
        return b"250 ok\r\n"

    def _vrfy(self, argument: bytes) -> bytes:
        return b"252 perhaps\r\n"

    def _help(self, argument: bytes) -> bytes:
        return b"214 help\r\n"

    def _quit(self, argument: bytes) -> bytes:
        self._over = True
        return b"221 bye\r\n"

    def _auth(self, argument: bytes) -> bytes:
        if not self.style.auth:
            return b"500 what\r\n"
        if len(argument.split()) > 1:
            return b"235 ok\r\n" if self.style.auth == "ok" else b"535 no\r\n"
        self._state = "sasl"
        return b"334 \r\n"

    def _star(self, argument: bytes) -> bytes:
        return b"454 not now\r\n" if self.style.starttls else b"500 what\r\n"


STRICT = Style()
"""A server that keeps to the standard."""
LENIENT = tuple(field.name for field in fields(Style))
"""The names of the switches."""
