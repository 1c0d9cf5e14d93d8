"""What stands before a session in both directions: SOCKS 4 and 5, HTTP CONNECT, the PROXY protocol.

Rules.  Only what has the form of such a header to the last octet is one; anything else is the session's.  Where a header could be
read as commands of mail, that is said: a judge is to know.

Knows the forms of headers.  Must not know sessions, nor what comes after the header.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from struct import Struct
from typing import Final, NamedTuple

from inspector.harmless import WHOLE, beginnings, veil
from inspector.pdu import Address


class Wrapping(NamedTuple):
    """What stands before a session in both directions."""

    client: int
    """Octets of it from the client."""
    server: int
    port: int
    """Of the server behind it; 0 where that is not told."""
    name: str
    """What it is, for people."""
    host: str = ""
    """The server behind it; empty where that is not told."""
    source: str = ""
    """The client before it, as the header says, with its port; empty where that is not told."""
    lines: int = 0
    """How many lines a server sees in it that does not know it, and answers."""

    @property
    def target(self) -> str:
        """The server behind it, with its port; empty where that is not told."""
        return str(Address(self.host, self.port)) if self.host else ""

    @property
    def note(self) -> str:
        """A line for people; to be sanitised."""
        ends = [end for end in (self.source, f"to {self.target}" if self.target else "") if end]
        return " ".join([self.name, *ends])

    @property
    def details(self) -> Mapping[str, str]:
        """What programs are told."""
        found = {"wrapping": self.name, "client": self.source, "server": self.target}
        return {name: value for name, value in found.items() if value}


HEADER: Final = "PROXY"
"""The verb of a header's lines, for a server that answers them."""
Unwrap = Callable[[bytes, bytes], Wrapping | bool]
"""From what each side has said: what wraps the session, True while that is to come, False where it is something else."""

_PORT: Final = Struct(">H")
_PORTS: Final = Struct(">HH")
_CONNECT: Final = re.compile(rb"CONNECT (\S+?)(?::(\d{1,5}))?(?: \S+)? HTTP/1\.\d\r\n")
_FIELDS: Final = re.compile(rb"(?:[!#-'*+.^-z|~\dA-Z-]+:[^\r\n\0]*\r\n)*")
_CONNECTED: Final = re.compile(rb"HTTP/1\.\d 2\d\d[ \r]")
_PROXY: Final = re.compile(rb"PROXY (?:UNKNOWN[ -~]{0,90}|TCP[46] ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (\d{1,5}) (\d{1,5}))\r\n")
_PROXY2: Final = b"\r\n\r\n\0\r\nQUIT\n"
_PRINTABLE: Final = re.compile(rb"[!-~\x80-\xff]*")
_ADDRESS_SIZES: Final = {1: 4, 4: 16}
_FAMILIES: Final = {1: 4, 2: 16}
"""PROXY, version 2: the family → octets of an address."""
LONGEST_CONNECT: Final = 8_192
"""Octets of a CONNECT with its fields."""
_VERBS: Final = (b"HELO", b"EHLO", b"LHLO", b"MAIL", b"RCPT", b"DATA", b"BDAT", b"SEND", b"SOML", b"SAML", b"XCLIENT",
                 b"XFORWARD", b"AUTH", b"STARTTLS")
_COMMANDS: Final = re.compile(rb"(?:" + rb"|".join(_VERBS) + rb")(?=[\0- :]|$)", re.IGNORECASE)
_WORD: Final = re.compile(rb"[A-Za-z]+$")


def unwrapped(client: bytes, server: bytes, spoken: bool = False) -> Wrapping | bool:
    """What wraps the session, by the table of those that are known.

    `spoken`: the server has said something that is no part of it, and only a header that asks for no answer may come.
    """
    if not client or client[0] not in _FIRST_OCTETS:
        return False
    rows = _SILENT if spoken else _WRAPPINGS
    for first, unwrap in rows:
        if client.startswith(first):
            return unwrap(client, server)
    return any(first.startswith(client) for first, _ in rows)


def begun(client: bytes) -> bool:
    """Whether the first octets tell already which header begins."""
    return bool(client) and client[0] in _FIRST_OCTETS and any(client.startswith(first) for first, _ in _WRAPPINGS)


def plain(client: bytes) -> bool:
    """Whether no header begins so: the first octet tells."""
    return client[0] not in _FIRST_OCTETS


def passable(client: bytes, server: bytes) -> int:
    """How many octets of the beginning of a header may go on before it is whole: those that a proxy answers, and whole lines."""
    if client.startswith(b"\x05"):
        return len(client) if server else min(len(client), 2 + client[1]) if len(client) > 1 else 0
    if client.startswith(b"\x04"):
        return len(client) if _socks4(client, b"") is True and client.find(b"\0", 8) > 0 else 0
    return 0 if client.startswith(_PROXY2) else client.rfind(b"\n") + 1


def secrets(client: bytes) -> list[tuple[int, int]]:
    """Where in a header, as far as it has come, there is what is not harmless: deny by default."""
    return [span for span in _looked_at(client)[0] if span[0] < span[1]]


def header_end(client: bytes) -> int:
    """Where what comes after a header begins, as far as that is known before it is answered."""
    return _looked_at(client)[1]


def covered(header: bytes) -> bytes:
    """A header, or the beginning of one, as it is shown."""
    octets = bytearray(header)
    for first, last in secrets(header):
        octets[first:last] = octets[first:last].translate(WHOLE)
    return bytes(octets)


def unfinished(client: bytes) -> Wrapping | None:
    """What has come of a header that holds a secret, where the rest of it does not come, or no session follows."""
    name = "SOCKS5" if client[:1] == b"\x05" else "CONNECT" if _CONNECT.match(covered(client)) is not None else ""
    spans = secrets(client) if name else []
    last = spans[-1][1] if spans else 0
    end = client.find(b"\n", last) + 1 or len(client) if name == "CONNECT" else last
    return Wrapping(end, 0, 0, name) if spans else None


def hides(header: bytes) -> bool:
    """Whether a server that takes a header for lines may find a command of mail in it, or the beginning of one at its end."""
    octets = header.removeprefix(_PROXY2)
    word = _WORD.search(octets)
    tail = word[0].upper() if word is not None else b""
    return bool(_COMMANDS.search(octets)) or (bool(tail) and any(verb.startswith(tail) for verb in _VERBS))


class Heads:
    """Takes the header off what each side sends."""

    __slots__ = ("_heads", "_left")

    def __init__(self, wrapping: Wrapping) -> None:
        self._left = {True: wrapping.client, False: wrapping.server}
        self._heads = {True: b"", False: b""}

    def take(self, client: bool, data: bytes) -> tuple[bytes, bytes]:
        """The side's header, if these octets complete it, and the octets that are the session's."""
        left = self._left[client]
        if not left:
            return b"", data
        size = min(left, len(data))
        self._heads[client] += data[:size]
        self._left[client] = left - size
        return b"" if left > size else self._heads[client], data[size:]


def _socks5(client: bytes, server: bytes) -> Wrapping | bool:
    """RFC 1928; with a name and a password, RFC 1929."""
    if len(client) < 2:
        return True
    at, back = 2 + client[1], 2
    if client[1] == 0 or any(9 < method < 128 for method in client[2:at]) or server[:1] not in (b"", b"\x05"):
        return False
    if len(server) < 2:
        return len(client) <= at or client[at] in (1, 5)
    if server[1] == 2:
        if len(client) < at + 2 or len(client) < at + 3 + client[at + 1]:
            return True
        password = at + 2 + client[at + 1]
        at, back = password + 1 + client[password], 4
    elif server[1]:
        return False
    asked, answered = _socks5_end(client, at), _socks5_end(server, back)
    if not asked or not answered or (answered > 0 and server[back + 1]):
        return False
    if asked < 0 or answered < 0 or len(client) < asked or len(server) < answered:
        return True
    named = client[at + 3] == 3
    host = _text(client[at + 5:asked - 2]) if named else str(ip_address(client[at + 4:asked - 2]))
    return Wrapping(asked, answered, _PORT.unpack_from(client, asked - 2)[0], "SOCKS5", host)


def _socks5_end(octets: bytes, at: int) -> int:
    """Where a request or its answer ends; -1 while that is not known, 0 where it is neither."""
    if len(octets) < at + 5:
        return -1
    kind = octets[at + 3]
    if octets[at] != 5 or kind not in (1, 3, 4):
        return 0
    return at + 6 + (1 + octets[at + 4] if kind == 3 else _ADDRESS_SIZES[kind])


def _socks4(client: bytes, server: bytes) -> Wrapping | bool:
    end, user = client.find(b"\0", 8) + 1, client[8:]
    host = str(ip_address(client[4:8])) if len(client) > 7 else ""
    if end and client[4:7] == b"\0\0\0" and client[7]:
        name, end, user = client[end:], client.find(b"\0", end) + 1, client[8:end - 1]
        host = _text(name.partition(b"\0")[0])
        user += name.partition(b"\0")[0]
    elif end:
        user = client[8:end - 1]
    if not _PRINTABLE.fullmatch(user):
        return False
    if not end or len(server) < 8:
        return len(client) < 520 and b"\0\x5a".startswith(server[:2])
    return Wrapping(end, 8, _PORT.unpack_from(client, 2)[0], "SOCKS4", host) if server[:2] == b"\0\x5a" else False


def _connect(client: bytes, server: bytes) -> Wrapping | bool:
    """RFC 9110 §9.3.6; as a capture has it, in which it is covered."""
    client = covered(client)
    match = _CONNECT.match(client)
    if match is None:
        return b"\n" not in client and len(client) < LONGEST_CONNECT
    fields = _FIELDS.match(client, match.end())
    assert fields is not None
    end, back = fields.end() + 2, server.find(b"\r\n\r\n") + 4
    rest = client[fields.end():]
    if rest[:2] != b"\r\n":
        return b"\n" not in rest and end < LONGEST_CONNECT
    if back < 4:
        return b"HTTP/1".startswith(server[:6]) and len(server) < LONGEST_CONNECT
    if not _CONNECTED.match(server):
        return False
    return Wrapping(end, back, int(match[2] or 0) & 0xFFFF, "CONNECT", _text(match[1]).strip("[]"))


def _proxy(client: bytes, server: bytes) -> Wrapping | bool:
    """The PROXY protocol of haproxy.org, version 1."""
    match = _PROXY.match(client)
    if match is None:
        return b"\n" not in client and len(client) < 108
    source, host, port, behind = match.groups()
    ends = (int(behind) & 0xFFFF, _text(host), str(Address(_text(source), int(port)))) if source else (0, "", "")
    return Wrapping(match.end(), 0, ends[0], "PROXY", ends[1], ends[2], 1)


def _proxy2(client: bytes, server: bytes) -> Wrapping | bool:
    if len(client) < 16:
        return True
    if client[12] not in (0x20, 0x21) or client[13] & 15 > 2:
        return False
    end = 16 + int(_PORT.unpack_from(client, 14)[0])
    if len(client) < end:
        return True
    size = _FAMILIES.get(client[13] >> 4, 0)
    lines = client.count(b"\n", 0, end)
    if client[12] == 0x20 or not size or end < 20 + 2 * size:
        return Wrapping(end, 0, 0, "PROXY", lines=lines)
    source, host = (str(ip_address(client[at:at + size])) for at in (16, 16 + size))
    port, behind = _PORTS.unpack_from(client, 16 + 2 * size)
    return Wrapping(end, 0, behind, "PROXY", host, str(Address(source, port)), lines)


# What of a header is harmless

_TARGET: Final = re.compile(rb"CONNECT (?:\[[0-9A-Fa-f:.]*\]?|[A-Za-z0-9._-]*)(?::\d*)?")
_VERSION: Final = re.compile(rb"[^ \r\n]*(?: (?:H(?:T(?:T(?:P(?:/(?:1(?:\.\d?)?)?)?)?)?)?)?)?")
"""How HTTP calls itself, after a target."""
_KNOWN: Final = re.compile(beginnings((
    "Host:", "User-Agent:", "Proxy-Connection:", "Connection:", "Keep-Alive:", "Accept:", "Content-Length:", "Pragma:",
    "Cache-Control:")).encode(), re.IGNORECASE)
"""Fields of CONNECT that hold no secret, and what they begin with."""
Spans = list[tuple[int, int]]


def _looked_at(client: bytes) -> tuple[Spans, int]:
    """Where there are secrets in a header, and where it ends."""
    for first, look in _LOOKS:
        if client.startswith(first):
            return look(client)
    return [], len(client)


def _look_connect(client: bytes) -> tuple[Spans, int]:
    """Its target and those of its fields that are known are harmless; of others the colon is left."""
    spans: Spans = []
    at = 0
    while at < len(client):
        end = client.find(b"\n", at) + 1 or len(client)
        stop = at + len(client[at:end].rstrip(b"\r\n"))
        if stop == at:
            return spans, end
        if not at:
            target = _TARGET.match(client)
            begin = target.end() if target is not None else stop
            shown = _VERSION.match(client, begin, stop)
            word = client.find(b" ", begin, stop)
            spans += [(begin, word if word >= 0 else stop)]
            spans += [(shown.end(), stop)] if shown is not None and word >= 0 else []
        else:
            known = _KNOWN.match(client, at, stop)
            after = known.end() if known is not None else at
            if client[after - 1] != 58:
                colon = client.find(b":", after, stop)
                spans += [(after, colon), (colon + 1, stop)] if colon >= 0 else [(after, stop)]
        at = end
    return spans, len(client)


def _look_socks5(client: bytes) -> tuple[Spans, int]:
    """Of a name and its password the password (RFC 1929), whether the server has asked for them yet or not."""
    spans: Spans = []
    at = 2 + client[1] if len(client) > 1 else len(client)
    if client[at:at + 1] == b"\x01":
        password = at + 2 + client[at + 1] if len(client) > at + 1 else len(client)
        end = password + 1 + client[password] if len(client) > password else len(client)
        spans, at = [(password + 1, end)] if password < len(client) else [], end
    end = _socks5_end(client, at) if client[at:at + 1] == b"\x05" else at
    return spans, end if end > 0 else len(client)


def _look_socks4(client: bytes) -> tuple[Spans, int]:
    end = client.find(b"\0", 8) + 1
    if end and client[4:7] == b"\0\0\0" and client[7]:
        end = client.find(b"\0", end) + 1
    return [], end or len(client)


def _look_proxy(client: bytes) -> tuple[Spans, int]:
    """What haproxy.org lets follow UNKNOWN is not read."""
    end = client.find(b"\n") + 1 or len(client)
    found = veil(client[:end])
    return [] if found is None else [(found.first, len(client[:end].rstrip(b"\r\n")))], end


def _look_proxy2(client: bytes) -> tuple[Spans, int]:
    """Addresses are harmless; what else comes with them may be a token."""
    if len(client) < 16:
        return [], len(client)
    end = 16 + int(_PORT.unpack_from(client, 14)[0])
    size = _FAMILIES.get(client[13] >> 4, 0) if client[12] == 0x21 else 0
    at = 16 + (2 * size + 4 if size else 0)
    spans: Spans = []
    while at + 3 <= end and size:
        spans.append((at + 3, at + 3 + int.from_bytes(client[at + 1:at + 3])))
        at = spans[-1][1]
    spans = [(first, min(last, end)) for first, last in spans if first < len(client)] if size else [(at, end)]
    return [(first, min(last, len(client))) for first, last in spans if first < min(last, len(client))], end


def _text(octets: bytes) -> str:
    return octets.decode("ascii", "backslashreplace")


_SILENT: Final[tuple[tuple[bytes, Unwrap], ...]] = ((b"PROXY ", _proxy), (_PROXY2, _proxy2))
"""Those to which nobody answers."""
_WRAPPINGS: Final[tuple[tuple[bytes, Unwrap], ...]] = (
    (b"\x05", _socks5), (b"\x04\x01", _socks4), (b"CONNECT ", _connect), *_SILENT)
"""How the client begins → what reads it."""
_LOOKS: Final[tuple[tuple[bytes, Callable[[bytes], tuple[Spans, int]]], ...]] = (
    (b"\x05", _look_socks5), (b"\x04\x01", _look_socks4), (b"CONNECT ", _look_connect), (b"PROXY ", _look_proxy),
    (_PROXY2, _look_proxy2))
"""How the client begins → what of it is a secret, and where it ends."""
_FIRST_OCTETS: Final = frozenset(first[0] for first, _ in _WRAPPINGS)
