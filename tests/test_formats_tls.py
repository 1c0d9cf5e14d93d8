"""TLS hellos, alerts and records, from OpenSSL's own octets and from hostile ones."""

from __future__ import annotations

import ssl
from contextlib import suppress

import pytest
from construct import ConstructError
from hypothesis import given
from hypothesis import strategies as st

from inspector.formats import declared
from inspector.formats.tls import describe, peek


def client_hello(name: str | None = "pop.example", alpn: list[str] | None = None, newest: str = "TLSv1_3") -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.maximum_version = ssl.TLSVersion[newest]
    if alpn:
        context.set_alpn_protocols(alpn)
    out = ssl.MemoryBIO()
    connection = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return out.read()


def hello(kind: int, body: bytes, record: int = 0x0303) -> bytes:
    message = bytes([kind]) + len(body).to_bytes(3, "big") + body
    return b"\x16" + record.to_bytes(2, "big") + len(message).to_bytes(2, "big") + message


def server_hello(extensions: bytes, random: bytes = bytes(32)) -> bytes:
    body = b"\x03\x03" + random + b"\0" + b"\x13\x01" + b"\0" + len(extensions).to_bytes(2, "big") + extensions
    return hello(2, body)


CHOSE_TLS_1_3 = b"\x00\x2b\x00\x02\x03\x04"


def test_client_hello_of_openssl() -> None:
    """Version, SNI and ALPN of a real hello are read."""
    found = peek(client_hello(alpn=["h2", "pop3"]))
    assert found is not None
    assert found.client
    assert found.complete
    assert (found.version, found.server_name, found.alpn) == ("TLS 1.3", "pop.example", ("h2", "pop3"))
    assert describe(client_hello(alpn=["h2"])) == "TLS handshake ClientHello TLS 1.3, SNI pop.example, ALPN h2"


def test_client_hello_without_extras() -> None:
    """Without supported_versions the version is the hello's own."""
    assert describe(client_hello(None, newest="TLSv1_2")) == "TLS handshake ClientHello TLS 1.2"


def test_equals_the_declaration() -> None:
    """What is read by hand is what construct reads."""
    raw = client_hello(alpn=["h2", "pop3"])
    record = declared.tls_record.parse(raw)
    message = declared.client_hello.parse(record.fragment)
    extensions = {extension.kind: extension.data for extension in message.extensions}
    found = peek(raw)
    assert found is not None
    assert declared.server_names.parse(extensions[0])[0].name.decode() == found.server_name
    assert tuple(name.decode() for name in declared.protocol_names.parse(extensions[16])) == found.alpn
    assert max(declared.offered_versions.parse(extensions[43])) == 0x0304


def test_server_hello() -> None:
    """The chosen version comes from supported_versions, else from the message."""
    assert describe(server_hello(CHOSE_TLS_1_3)) == "TLS handshake ServerHello TLS 1.3"
    assert describe(server_hello(b"")) == "TLS handshake ServerHello TLS 1.2"
    assert declared.server_hello.parse(server_hello(CHOSE_TLS_1_3)[5:]).extensions[0].kind == 43


def test_hello_retry_request() -> None:
    """A ServerHello with the random of RFC 8446 §4.1.3 is called what it is."""
    random = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
    assert describe(server_hello(CHOSE_TLS_1_3, random)) == "TLS handshake HelloRetryRequest TLS 1.3"


def test_grease_is_not_a_version() -> None:
    """A version reserved for noise (RFC 8701) is passed over."""
    versions = b"\x00\x2b\x00\x07\x06\xfa\xfa\x03\x03\x03\x02"
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\2\x13\x01" + b"\1\0" + len(versions).to_bytes(2, "big") + versions
    found = peek(hello(1, body))
    assert found is not None
    assert found.version == "TLS 1.2"


def test_hello_over_two_records() -> None:
    """A hello cut over records is put together."""
    raw = client_hello()
    message = raw[5:]
    halves = [message[:40], message[40:]]
    cut = b"".join(b"\x16\x03\x01" + len(half).to_bytes(2, "big") + half for half in halves)
    assert peek(cut) == peek(raw)


def test_every_prefix() -> None:
    """Of any part of a hello what is there is read, and only the whole is complete."""
    raw = client_hello(alpn=["h2"])
    for size in range(len(raw)):
        found = peek(raw[:size])
        assert found is None or not found.complete
        assert describe(raw[:size])
    assert peek(raw[:6]) is not None


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (b"\x14\x03\x03\x00\x01\x01", "TLS change_cipher_spec"),
        (b"\x15\x03\x03\x00\x02\x02\x30", "TLS alert fatal unknown_ca"),
        (b"\x15\x03\x03\x00\x02\x02\xee", "TLS alert fatal 238"),
        (b"\x15\x03\x03\x00\x1a" + bytes(26), "TLS alert"),
        (b"\x17\x03\x03\x00\x05hello", "TLS application_data"),
        (b"\x16\x03\x03\x00\x04\x0e\x00\x00\x00", "TLS handshake ServerHelloDone"),
        (b"\x16\x03\x03\x00\x28" + b"\x99" * 40, "TLS handshake (encrypted)"),
        (b"\x16\x03\x03\x00\x28", "TLS handshake (encrypted)"),
        (b"", "not a TLS record"),
        (b"+OK\r\n", "not a TLS record"),
        (b"\x16\x03", "not a TLS record"),
    ],
)
def test_describe(record: bytes, line: str) -> None:
    """Each record type has its line."""
    assert describe(record) == line


def test_hostile_name_is_sanitised() -> None:
    """A server name cannot reach a terminal raw."""
    name = b"\x1b[31mevil\xff"
    entry = b"\0" + len(name).to_bytes(2, "big") + name
    names = len(entry).to_bytes(2, "big") + entry
    extension = b"\0\0" + len(names).to_bytes(2, "big") + names
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\0" + b"\0" + len(extension).to_bytes(2, "big") + extension
    assert describe(hello(1, body)) == "TLS handshake ClientHello TLS 1.2, SNI \\x1b[31mevil\\xff"


@given(
    st.binary(max_size=400), st.sampled_from([b"", b"\x16\x03\x01", b"\x16\x03\x01\x01\x00\x01\x00\x00\xf0\x03\x03"])
)
def test_any_octets(tail: bytes, start: bytes) -> None:
    """Nothing raises, and every line is printable."""
    assert describe(start + tail).isprintable()
    peek(start + tail)


@given(st.data())
def test_damaged_hello(data: st.DataObject) -> None:
    """A real hello with octets changed is read without a fault."""
    raw = bytearray(HELLO)
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    peek(bytes(raw))
    assert describe(bytes(raw)).isprintable()
    with suppress(ConstructError):
        declared.tls_record.parse(bytes(raw))


HELLO = client_hello(alpn=["h2", "imap"])
