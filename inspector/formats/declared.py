"""The binary formats, declared with construct: one `Struct` a record.

Knows every layout field by field; this is where to look one up.  Must not be imported on the way of live
traffic: importing construct takes longer than a session, and `pcapng`, `frame` and `packet` do the same work
with `struct` (tests/test_formats_declared.py holds them to these declarations).  The reader of captures uses
`section`, `interface` and `pcap_header`, which occur once a file.

Sources: draft-ietf-opsawg-pcapng, draft-ietf-opsawg-pcap, RFC 791, RFC 8200, RFC 9293, RFC 6994, RFC 8446.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from construct import (
    Aligned,
    Bytes,
    Const,
    ConstructError,
    FixedSized,
    FormatField,
    GreedyBytes,
    GreedyRange,
    If,
    Int8ub,
    Int16ub,
    Int24ub,
    Int32ub,
    Prefixed,
    Rebuild,
    Struct,
    len_,
    this,
)

from inspector.formats import marker
from inspector.formats.pcapng import MAGIC

# --- pcapng: each section says its own byte order, `<` or `>` as construct and struct write it ---


@cache
def option(order: str) -> Any:
    """One option of a block; code 0 ends the list."""
    u16 = FormatField(order, "H")
    return Struct(
        "code" / u16,
        "length" / Rebuild(u16, len_(this.value)),
        "value" / Aligned(4, Bytes(this.length)),
    )


@cache
def block(order: str) -> Any:
    """Any block, its body not looked into."""
    u32 = FormatField(order, "L")
    return Struct(
        "kind" / u32,
        "length" / Rebuild(u32, len_(this.body) + 12),
        "body" / Bytes(this.length - 12),
        "trailer" / Rebuild(u32, this.length),
    )


@cache
def section(order: str) -> Any:
    """The body of a section header block, up to its options; a length of -1 means that it is not told."""
    u16 = FormatField(order, "H")
    return Struct(
        "magic" / Const(MAGIC, FormatField(order, "L")),
        "major" / u16,
        "minor" / u16,
        "length" / FormatField(order, "q"),
    )


@cache
def interface(order: str) -> Any:
    """The body of an interface description block, up to its options."""
    u16 = FormatField(order, "H")
    return Struct("link" / u16, "reserved" / u16, "snaplen" / FormatField(order, "L"))


@cache
def packet(order: str) -> Any:
    """The body of an enhanced packet block, options (comments, flags) included."""
    u32 = FormatField(order, "L")
    return Struct(
        "interface" / u32,
        "time_high" / u32,
        "time_low" / u32,
        "captured" / Rebuild(u32, len_(this.data)),
        "original" / u32,
        "data" / Aligned(4, Bytes(this.captured)),
        "options" / GreedyRange(option(order)),
    )


@cache
def pcap_header(order: str) -> Any:
    """The header of a classic pcap file."""
    u16, u32 = FormatField(order, "H"), FormatField(order, "L")
    return Struct(
        "magic" / u32,
        "major" / u16,
        "minor" / u16,
        "zone" / FormatField(order, "l"),
        "accuracy" / u32,
        "snaplen" / u32,
        "link" / u32,
    )


@cache
def pcap_record(order: str) -> Any:
    """A packet in a classic pcap file."""
    u32 = FormatField(order, "L")
    return Struct(
        "seconds" / u32,
        "fraction" / u32,
        "captured" / Rebuild(u32, len_(this.data)),
        "original" / u32,
        "data" / Bytes(this.captured),
    )


class Interface(NamedTuple):
    """The fixed part of an interface description."""

    link: int
    snaplen: int


def read_interface(order: str, body: bytes) -> Interface:
    """The fixed part of an interface description block.  Raises ValueError where the body is too short."""
    found = _parse(interface(order), body)
    return Interface(found.link, found.snaplen)


def read_section(order: str, body: bytes) -> int:
    """The major version of a section.  Raises ValueError where it is none."""
    return int(_parse(section(order), body).major)


def read_pcap_header(order: str, raw: bytes) -> Interface:
    """Link type and snap length of a classic pcap file.  Raises ValueError where the header is cut short."""
    found = _parse(pcap_header(order), raw)
    # The upper bits tell of a frame check sequence, not of the link.
    return Interface(found.link & 0x0FFF_FFFF, found.snaplen)


def _parse(declaration: Any, raw: bytes) -> Any:
    try:
        return declaration.parse(raw)
    except ConstructError as error:
        raise ValueError(str(error)) from error


# --- IP and TCP ---

ipv4 = Struct(
    "version_length" / Int8ub,
    "service" / Int8ub,
    "total" / Int16ub,
    "identification" / Int16ub,
    "fragment" / Int16ub,
    "hops" / Int8ub,
    "protocol" / Int8ub,
    "checksum" / Int16ub,
    "source" / Bytes(4),
    "target" / Bytes(4),
    "options" / Bytes((this.version_length & 15) * 4 - 20),
)

ipv6 = Struct(
    "version_class_label" / Int32ub,
    "length" / Int16ub,
    "following" / Int8ub,
    "hops" / Int8ub,
    "source" / Bytes(16),
    "target" / Bytes(16),
)

tcp_option = Struct(
    "kind" / Int8ub,
    "length" / If(this.kind > 1, Rebuild(Int8ub, len_(this.value) + 2)),
    "value" / If(this.kind > 1, Bytes(this.length - 2)),
)

tcp = Struct(
    "source" / Int16ub,
    "target" / Int16ub,
    "seq" / Int32ub,
    "ack" / Int32ub,
    "offset" / Int8ub,
    "flags" / Int8ub,
    "window" / Int16ub,
    "checksum" / Int16ub,
    "urgent" / Int16ub,
    "options" / FixedSized((this.offset >> 4) * 4 - 20, GreedyRange(tcp_option)),
)

marker_option = Struct(
    "kind" / Const(marker.KIND, Int8ub),
    "length" / Rebuild(Int8ub, len_(this.protocol) + 9),
    "identifier" / Const(marker.IDENTIFIER),
    "flags" / Int8ub,
    "port" / Int16ub,
    "protocol" / Bytes(this.length - 9),
)
"""What `inspector.formats.marker` describes."""

# --- TLS: what can be read before anything is encrypted ---

tls_record = Struct(
    "kind" / Int8ub,
    "version" / Int16ub,
    "fragment" / Prefixed(Int16ub, GreedyBytes),
)

tls_extension = Struct("kind" / Int16ub, "data" / Prefixed(Int16ub, GreedyBytes))

_extensions = Prefixed(Int16ub, GreedyRange(tls_extension))

client_hello = Struct(
    "kind" / Const(1, Int8ub),
    "length" / Int24ub,
    "version" / Int16ub,
    "random" / Bytes(32),
    "session" / Prefixed(Int8ub, GreedyBytes),
    "ciphers" / Prefixed(Int16ub, GreedyRange(Int16ub)),
    "compressions" / Prefixed(Int8ub, GreedyBytes),
    "extensions" / _extensions,
)

server_hello = Struct(
    "kind" / Const(2, Int8ub),
    "length" / Int24ub,
    "version" / Int16ub,
    "random" / Bytes(32),
    "session" / Prefixed(Int8ub, GreedyBytes),
    "cipher" / Int16ub,
    "compression" / Int8ub,
    "extensions" / _extensions,
)

server_names = Prefixed(Int16ub, GreedyRange(Struct("kind" / Int8ub, "name" / Prefixed(Int16ub, GreedyBytes))))
protocol_names = Prefixed(Int16ub, GreedyRange(Prefixed(Int8ub, GreedyBytes)))
offered_versions = Prefixed(Int8ub, GreedyRange(Int16ub))
