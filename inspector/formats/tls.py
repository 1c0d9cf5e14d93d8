"""What TLS says before it encrypts: record types, hellos, alerts.

Knows RFC 8446, RFC 5246, RFC 6066 §3 and RFC 7301.  Must not know connections, keys or certificates.
Never raises on hostile octets: it reads as far as they make sense, in linear time, and says what it could read.
`declared` has the same layouts field by field, for complete records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from inspector.text import decode

LONGEST: Final = 1 << 16
"""Octets of handshake that are looked at."""
MOST_NAMES: Final = 16
LONGEST_NAME: Final = 255

_ALERT: Final = 21
_HANDSHAKE: Final = 22
_RECORDS: Final = {
    20: "change_cipher_spec",
    21: "alert",
    22: "handshake",
    23: "application_data",
    24: "heartbeat",
}
_CLIENT_HELLO: Final = 1
_SERVER_HELLO: Final = 2
_HANDSHAKES: Final = {
    0: "HelloRequest",
    1: "ClientHello",
    2: "ServerHello",
    4: "NewSessionTicket",
    11: "Certificate",
    12: "ServerKeyExchange",
    13: "CertificateRequest",
    14: "ServerHelloDone",
    15: "CertificateVerify",
    16: "ClientKeyExchange",
    20: "Finished",
    22: "CertificateStatus",
}
_LEVELS: Final = {1: "warning", 2: "fatal"}
_ALERTS: Final = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    115: "unknown_psk_identity",
    116: "certificate_required",
    120: "no_application_protocol",
}
_VERSIONS: Final = {0x0300: "SSL 3.0", 0x0301: "TLS 1.0", 0x0302: "TLS 1.1", 0x0303: "TLS 1.2", 0x0304: "TLS 1.3"}
_SERVER_NAME: Final = 0
_ALPN: Final = 16
_SUPPORTED_VERSIONS: Final = 43
_RETRY_RANDOM: Final = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The random of a ServerHello that asks for another ClientHello (RFC 8446 §4.1.3)."""


@dataclass(slots=True, frozen=True)
class TlsHello:
    """A ClientHello or a ServerHello, as far as it could be read."""

    client: bool
    record_version: str
    """What the record layer says, `TLS 1.0` for most clients."""
    version: str
    """The best version that the client offers, or the one that the server chose; empty where it was not reached."""
    server_name: str = ""
    """The SNI, sanitised; empty for none."""
    alpn: tuple[str, ...] = ()
    """The protocols offered or chosen, sanitised."""
    retry: bool = False
    """A ServerHello that only asks for another ClientHello."""
    complete: bool = False
    """Whether all of it was there."""

    @property
    def name(self) -> str:
        """What the message is called."""
        return "ClientHello" if self.client else "HelloRetryRequest" if self.retry else "ServerHello"


class _Reader:
    """Octets taken one after the other; short of octets it gives what there is, and remembers it."""

    __slots__ = ("_at", "_data", "short")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self.short = False

    def take(self, size: int) -> bytes:
        found = self._data[self._at : self._at + size]
        self._at += size
        self.short = self.short or len(found) < size
        return found

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size_of_length: int) -> _Reader:
        """A field with its length before it (RFC 8446 §3.4)."""
        size = self.number(size_of_length)
        return _Reader(self.take(size))

    def __bool__(self) -> bool:
        return self._at < len(self._data)


def peek(record: bytes) -> TlsHello | None:
    """The hello at the beginning of a TLS stream: `record` is its first record, or the part of it that is there.

    A hello that goes on in the records after it is put together.  None for anything that does not begin as a hello.
    """
    if len(record) < 6 or record[0] != _HANDSHAKE or record[1] != 3:
        return None
    body = _Reader(b"".join(_fragments(record)))
    kind = body.number(1)
    if kind not in (_CLIENT_HELLO, _SERVER_HELLO):
        return None
    hello = body.vector(3)
    found = _Found(kind == _CLIENT_HELLO)
    found.read(hello)
    return TlsHello(
        client=found.client,
        record_version=_version(int.from_bytes(record[1:3], "big")),
        version=found.version,
        server_name=found.server_name,
        alpn=found.alpn,
        retry=found.retry,
        complete=not (body.short or hello.short),
    )


def describe(record_head: bytes) -> str:
    """One line for people about a record, from its first octets (2 KiB are plenty); never raises."""
    name = _RECORDS.get(record_head[0]) if len(record_head) >= 5 and record_head[1] == 3 else None
    if name is None:
        return "not a TLS record"
    detail = _DETAILS.get(record_head[0])
    return f"TLS {name}" + (detail(record_head) if detail else "")


def _describe_handshake(record: bytes) -> str:
    hello = peek(record)
    if hello is None:
        # An encrypted message has any type and any length; a plain one fits its record.
        plain = len(record) >= 9 and int.from_bytes(record[6:9], "big") + 4 <= LONGEST
        name = _HANDSHAKES.get(record[5]) if plain else None
        return f" {name}" if name else " (encrypted)"
    parts = [f" {hello.name}" + (f" {hello.version}" if hello.version else "")]
    if hello.server_name:
        parts.append(f"SNI {hello.server_name}")
    if hello.alpn:
        parts.append("ALPN " + "/".join(hello.alpn))
    return ", ".join(parts)


def _describe_alert(record: bytes) -> str:
    if int.from_bytes(record[3:5], "big") != 2 or len(record) < 7 or record[5] not in _LEVELS:
        return ""  # encrypted
    return f" {_LEVELS[record[5]]} {_ALERTS.get(record[6], record[6])}"


_DETAILS: Final[dict[int, Callable[[bytes], str]]] = {_HANDSHAKE: _describe_handshake, _ALERT: _describe_alert}


class _Found:
    """What a hello holds that we want; each extension fills its own field."""

    __slots__ = ("alpn", "client", "retry", "server_name", "version")

    def __init__(self, client: bool) -> None:
        self.client = client
        self.version = ""
        self.server_name = ""
        self.alpn: tuple[str, ...] = ()
        self.retry = False

    def read(self, hello: _Reader) -> None:
        """Reads the body of the message."""
        legacy = hello.number(2)
        if hello.short:
            return
        self.version = _version(legacy)
        self.retry = hello.take(32) == _RETRY_RANDOM and not self.client
        hello.vector(1)
        if self.client:
            hello.vector(2)
            hello.vector(1)
        else:
            hello.take(3)
        extensions = hello.vector(2) if hello else _Reader(b"")
        hello.short = hello.short or extensions.short
        while extensions:
            read = _EXTENSIONS.get(extensions.number(2))
            data = extensions.vector(2)
            if read is not None:
                read(self, data)

    def names(self, data: _Reader) -> None:
        """`server_name`: the first host name of the list; empty in a ServerHello."""
        entries = data.vector(2)
        if entries and entries.number(1) == 0:
            self.server_name = _text(entries.vector(2))

    def protocols(self, data: _Reader) -> None:
        """`application_layer_protocol_negotiation`."""
        entries = data.vector(2)
        found: list[str] = []
        while entries and len(found) < MOST_NAMES:
            found.append(_text(entries.vector(1)))
        self.alpn = tuple(found)

    def versions(self, data: _Reader) -> None:
        """`supported_versions`: a list from the client, one from the server."""
        if not self.client:
            self.version = _version(data.number(2))
            return
        entries = data.vector(1)
        offered: list[int] = []
        while entries:
            offered.append(entries.number(2))
        # What is not in the table is noise sent on purpose (GREASE, RFC 8701) or a draft.
        if known := [version for version in offered if version in _VERSIONS]:
            self.version = _version(max(known))


_EXTENSIONS: Final[dict[int, Callable[[_Found, _Reader], None]]] = {
    _SERVER_NAME: _Found.names,
    _ALPN: _Found.protocols,
    _SUPPORTED_VERSIONS: _Found.versions,
}


def _fragments(stream: bytes) -> Iterator[bytes]:
    """The contents of the handshake records at the beginning of `stream`."""
    at = 0
    while at + 5 <= min(len(stream), LONGEST) and stream[at] == _HANDSHAKE:
        length = int.from_bytes(stream[at + 3 : at + 5], "big")
        yield stream[at + 5 : at + 5 + length]
        at += 5 + length


def _version(number: int) -> str:
    return _VERSIONS.get(number, f"0x{number:04x}")


def _text(data: _Reader) -> str:
    return decode(data.take(LONGEST_NAME))
