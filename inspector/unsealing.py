"""TLS records into what they hold, with the keys of the session: TLS 1.2 and 1.3, suites with AEAD.

Rules.  Whether it can be done is known with the client's hello; until then the octets are kept, so many of them.  A record that
does not open ends it for good: nothing is guessed.  What is not whole yet waits, a record at most.

Knows RFC 8446, RFC 5246, RFC 5288, RFC 6655, RFC 7905.  Must not know mail, nor where keys come from.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from inspector.keylog import Keys

HEADER: Final = 5
LONGEST: Final = 16_384 + 2_048
"""Octets of a record."""
LONGEST_HANDSHAKE: Final = 1 << 18
"""Octets of handshake messages that are not whole."""
LONGEST_WAIT: Final = 1 << 19
"""Octets that are kept until the client's hello is whole."""
CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
CLIENT_HELLO, SERVER_HELLO, FINISHED, KEY_UPDATE = 1, 2, 20, 24
_SUPPORTED_VERSIONS: Final = 43
_TLS_1_2, _TLS_1_3 = 0x0303, 0x0304
_RETRY: Final = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The random of a HelloRetryRequest (RFC 8446 §4.1.3)."""


GCM, CCM, CCM_8, CHACHA = "gcm", "ccm", "ccm_8", "chacha"
TAGS: Final = {CCM_8: 8}
"""Octets with which a record is authenticated, where they are not 16."""


class Suite(NamedTuple):
    """A cipher suite."""

    name: str
    key: int
    """Octets of its keys."""
    digest: str
    aead: str = GCM
    """How it seals: one of the words above."""

    @property
    def tag(self) -> int:
        """Octets that a record is longer for being sealed."""
        return TAGS.get(self.aead, 16)


SUITES: Final = {
    0x1301: Suite("TLS_AES_128_GCM_SHA256", 16, "sha256"),
    0x1302: Suite("TLS_AES_256_GCM_SHA384", 32, "sha384"),
    0x1303: Suite("TLS_CHACHA20_POLY1305_SHA256", 32, "sha256", CHACHA),
    0x1304: Suite("TLS_AES_128_CCM_SHA256", 16, "sha256", CCM),
    0x1305: Suite("TLS_AES_128_CCM_8_SHA256", 16, "sha256", CCM_8),
    0x009C: Suite("AES128-GCM-SHA256", 16, "sha256"),
    0x009D: Suite("AES256-GCM-SHA384", 32, "sha384"),
    0x009E: Suite("DHE-RSA-AES128-GCM-SHA256", 16, "sha256"),
    0x009F: Suite("DHE-RSA-AES256-GCM-SHA384", 32, "sha384"),
    0xC02B: Suite("ECDHE-ECDSA-AES128-GCM-SHA256", 16, "sha256"),
    0xC02C: Suite("ECDHE-ECDSA-AES256-GCM-SHA384", 32, "sha384"),
    0xC02F: Suite("ECDHE-RSA-AES128-GCM-SHA256", 16, "sha256"),
    0xC030: Suite("ECDHE-RSA-AES256-GCM-SHA384", 32, "sha384"),
    0xC09C: Suite("AES128-CCM", 16, "sha256", CCM),
    0xC09D: Suite("AES256-CCM", 32, "sha256", CCM),
    0xC09E: Suite("DHE-RSA-AES128-CCM", 16, "sha256", CCM),
    0xC09F: Suite("DHE-RSA-AES256-CCM", 32, "sha256", CCM),
    0xC0A0: Suite("AES128-CCM8", 16, "sha256", CCM_8),
    0xC0A1: Suite("AES256-CCM8", 32, "sha256", CCM_8),
    0xC0A2: Suite("DHE-RSA-AES128-CCM8", 16, "sha256", CCM_8),
    0xC0A3: Suite("DHE-RSA-AES256-CCM8", 32, "sha256", CCM_8),
    0xC0AC: Suite("ECDHE-ECDSA-AES128-CCM", 16, "sha256", CCM),
    0xC0AD: Suite("ECDHE-ECDSA-AES256-CCM", 32, "sha256", CCM),
    0xC0AE: Suite("ECDHE-ECDSA-AES128-CCM8", 16, "sha256", CCM_8),
    0xC0AF: Suite("ECDHE-ECDSA-AES256-CCM8", 32, "sha256", CCM_8),
    0xCCA8: Suite("ECDHE-RSA-CHACHA20-POLY1305", 32, "sha256", CHACHA),
    0xCCA9: Suite("ECDHE-ECDSA-CHACHA20-POLY1305", 32, "sha256", CHACHA),
    0xCCAA: Suite("DHE-RSA-CHACHA20-POLY1305", 32, "sha256", CHACHA),
}
"""By number; as OpenSSL names them."""


class SealedError(Exception):
    """A record that does not open."""


Open = Callable[[bytes, bytes], tuple[int, bytes]]
"""From the header of a record and its body to the type and the octets of what is in it."""


class Lane:
    """One direction."""

    __slots__ = ("buffer", "messages", "next", "open")

    def __init__(self) -> None:
        self.buffer = bytearray()
        """A record that is not whole."""
        self.messages = b""
        """Handshake messages that are not whole."""
        self.open: Open | None = None
        """How records are opened; None while they are in the clear."""
        self.next: Callable[[], Open] | None = None
        """What opens them after the next change of keys."""


class Unsealing:
    """One connection in TLS."""

    __slots__ = ("_kept", "_keys", "_lanes", "_random", "_secrets", "_suite", "_version", "raw", "state")

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._lanes = Lane(), Lane()
        self._random = b""
        self._secrets: dict[str, bytes] = {}
        self._suite: Suite | None = None
        self._version = 0
        self.state = WAITING
        self.raw: list[tuple[bool, bytes, int]] = []
        """What came while it was not known whether it can be read."""
        self._kept = 0
        """Octets of it."""

    @property
    def agreed(self) -> tuple[str, str]:
        """The version and the suite; empty before the server's hello."""
        version = {_TLS_1_2: "TLSv1.2", _TLS_1_3: "TLSv1.3"}.get(self._version, "")
        return version, self._suite.name if self._suite is not None else ""

    def feed(self, client: bool, data: bytes, time: int) -> bytes:
        """The octets that come out of a segment; `state` says how it stands then."""
        if self.state is WAITING:
            self._keep(client, data, time)
        lane = self._lanes[client]
        out: list[bytes] = []
        try:
            for header, body in _records(lane, data):
                self._record(client, lane, header, body, out)
            if self.state is WAITING and self._kept > LONGEST_WAIT:
                raise SealedError
        except (SealedError, ValueError, IndexError, KeyError):
            self.state = HOPELESS if self.state is WAITING else BROKEN
        return b"".join(out)

    def _keep(self, client: bool, data: bytes, time: int) -> None:
        self.raw.append((client, data, time))
        self._kept += len(data)

    def _record(self, client: bool, lane: Lane, header: bytes, body: bytes, out: list[bytes]) -> None:
        kind = header[0]
        if kind == CHANGE_CIPHER_SPEC:
            if self._version != _TLS_1_3 and lane.next is not None:
                lane.open = lane.next()
            return
        if lane.open is not None:
            kind, body = lane.open(header, body)
        elif kind == DATA:
            raise SealedError
        if kind == HANDSHAKE:
            self._handshake(client, lane, body)
        elif kind == DATA:
            out.append(body)

    def _handshake(self, client: bool, lane: Lane, octets: bytes) -> None:
        lane.messages += octets
        while len(lane.messages) >= 4:
            end = 4 + int.from_bytes(lane.messages[1:4], "big")
            if end > LONGEST_HANDSHAKE:
                raise SealedError
            if len(lane.messages) < end:
                return
            message, lane.messages = lane.messages[:end], lane.messages[end:]
            self._message(client, lane, message[0], message[4:])

    def _message(self, client: bool, lane: Lane, kind: int, body: bytes) -> None:
        if kind == CLIENT_HELLO and client and lane.open is None:
            self._random = body[2:34]
            self._secrets = self._keys.of(self._random)
            if not self._secrets:
                raise SealedError
            self.state, self.raw = READABLE, []
        elif kind == SERVER_HELLO and not client and lane.open is None:
            self._server_hello(body)
        elif self._version == _TLS_1_3 and kind in (FINISHED, KEY_UPDATE) and lane.next is not None:
            lane.open = lane.next()

    def _server_hello(self, body: bytes) -> None:
        random, at = body[2:34], 35 + body[34]
        if random == _RETRY:
            return
        suite = self._suite = SUITES[int.from_bytes(body[at:at + 2], "big")]
        self._version = _chosen(body[at + 3:]) or int.from_bytes(body[:2], "big")
        if self._version == _TLS_1_3:
            for client in (True, False):
                self._open_1_3(client, suite)
        elif self._version == _TLS_1_2:
            self._open_1_2(suite, random)
        else:
            raise SealedError

    def _open_1_3(self, client: bool, suite: Suite) -> None:
        """Keys of the handshake, then those of the session, then each made of the one before (RFC 8446 §7)."""
        who, lane = "CLIENT" if client else "SERVER", self._lanes[client]
        secret = self._secrets[f"{who}_HANDSHAKE_TRAFFIC_SECRET"]
        lane.open = _sealed_1_3(secret, suite)
        secret = self._secrets[f"{who}_TRAFFIC_SECRET_0"]

        def following() -> Open:
            nonlocal secret
            current, secret = secret, _expand(secret, b"traffic upd", len(secret), suite.digest)
            return _sealed_1_3(current, suite)

        lane.next = following

    def _open_1_2(self, suite: Suite, random: bytes) -> None:
        """RFC 5246 §6.3, RFC 5288 §3, RFC 6655 §3, RFC 7905 §2."""
        iv = 12 if suite.aead is CHACHA else 4
        seed = b"key expansion" + random + self._random
        block = _prf(self._secrets["CLIENT_RANDOM"], seed, 2 * (suite.key + iv), suite.digest)
        for client in (True, False):
            place = 0 if client else 1
            key = block[place * suite.key:(place + 1) * suite.key]
            salt = block[2 * suite.key + place * iv:2 * suite.key + (place + 1) * iv]
            opening = _sealed_1_2(key, salt, suite)
            self._lanes[client].next = lambda opening=opening: opening


WAITING: Final = "waiting"
READABLE: Final = "readable"
HOPELESS: Final = "hopeless"
"""There are no keys, or it is no TLS: what was kept is what there is."""
BROKEN: Final = "broken"
"""It was readable up to here."""


def _records(lane: Lane, data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The whole records in what has come, each as header and body."""
    lane.buffer += data
    size = len(lane.buffer)
    length = int.from_bytes(lane.buffer[3:HEADER], "big")
    if size < HEADER or (lane.buffer[1] == 3 and length <= LONGEST and size < HEADER + length):
        return  # it is not whole, and not copied for each octet that comes
    data, lane.buffer = bytes(lane.buffer), bytearray()
    at = 0
    try:
        while len(data) - at >= HEADER:
            length = int.from_bytes(data[at + 3:at + HEADER], "big")
            if data[at + 1] != 3 or length > LONGEST:
                raise SealedError
            end = at + HEADER + length
            if end > len(data):
                break
            header, body = data[at:at + HEADER], data[at + HEADER:end]
            at = end
            yield header, body
    finally:
        lane.buffer += data[at:]


def _chosen(extensions: bytes) -> int:
    """The version in the server's extensions, or 0."""
    at, end = 2, 2 + int.from_bytes(extensions[:2], "big")
    while at + 4 <= end:
        kind, size = int.from_bytes(extensions[at:at + 2], "big"), int.from_bytes(extensions[at + 2:at + 4], "big")
        if kind == _SUPPORTED_VERSIONS:
            return int.from_bytes(extensions[at + 4:at + 6], "big")
        at += 4 + size
    return 0


def _cipher(key: bytes, suite: Suite) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

    if suite.aead in (CCM, CCM_8):
        return AESCCM(key, suite.tag)
    return ChaCha20Poly1305(key) if suite.aead is CHACHA else AESGCM(key)


def _decrypted(cipher: Any, nonce: bytes, body: bytes, beside: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag

    try:
        clear: bytes = cipher.decrypt(nonce, body, beside)
    except InvalidTag:
        raise SealedError from None
    return clear


def _sealed_1_3(secret: bytes, suite: Suite) -> Open:
    """RFC 8446 §5.2."""
    cipher = _cipher(_expand(secret, b"key", suite.key, suite.digest), suite)
    iv = int.from_bytes(_expand(secret, b"iv", 12, suite.digest), "big")
    number = 0

    def opened(header: bytes, body: bytes) -> tuple[int, bytes]:
        nonlocal number
        inner = _decrypted(cipher, (iv ^ number).to_bytes(12, "big"), body, header).rstrip(b"\0")
        number += 1
        if not inner:
            raise SealedError
        return inner[-1], inner[:-1]

    return opened


def _sealed_1_2(key: bytes, salt: bytes, suite: Suite) -> Open:
    """RFC 5246 §6.2.3.3."""
    cipher = _cipher(key, suite)
    number = 0

    def opened(header: bytes, body: bytes) -> tuple[int, bytes]:
        nonlocal number
        if suite.aead is CHACHA:
            nonce = (int.from_bytes(salt, "big") ^ number).to_bytes(12, "big")
        else:
            nonce, body = salt + body[:8], body[8:]
        beside = number.to_bytes(8, "big") + header[:3] + max(0, len(body) - suite.tag).to_bytes(2, "big")
        number += 1
        return header[0], _decrypted(cipher, nonce, body, beside)

    return opened


def _expand(secret: bytes, label: bytes, size: int, digest: str) -> bytes:
    """HKDF-Expand-Label (RFC 8446 §7.1) for what is no longer than one digest."""
    label = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(label)]) + label + b"\0"
    return hmac.new(secret, info + b"\x01", digest).digest()[:size]


def _prf(secret: bytes, seed: bytes, size: int, digest: str) -> bytes:
    """The pseudo-random function of TLS 1.2 (RFC 5246 §5)."""
    out, link = b"", seed
    while len(out) < size:
        link = hmac.new(secret, link, digest).digest()
        out += hmac.new(secret, link + seed, digest).digest()
    return out[:size]
