"""Addresses as people type them: `--listen`, `--upstream`, and the routes that they make.

Knows the two notations and what can be wrong with each.  Must not resolve names or open ports for traffic.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from typing import Final, NamedTuple

from inspector.config import hint
from inspector.errors import OptionError
from inspector.pdu import Address, is_host_name
from inspector.protocol import Protocol, by_name, by_port
from inspector.recognition import TLS_PORTS
from inspector.starttls import Mode

LOCAL: Final = "127.0.0.1"
LATER: Final = ("imap", "imaps")
"""Schemes that mailspy does not read yet."""
SECURE: Final = {name: port for port, name in TLS_PORTS.items()}
"""The ports of schemes with TLS from the first octet (RFC 8314 §3); each protocol has such a scheme, its name with an s."""

_HOST_PORT: Final = re.compile(r"(?:\[(?P<bracketed>[^\[\]]*)\]|(?P<host>[^:\[\]]*))(?::(?P<port>[^:]*))?")


class Upstream(NamedTuple):
    """A server, as typed."""

    scheme: str
    """Empty when none was given; without the s of `pop3s`, or the `+starttls`."""
    host: str
    port: int
    mode: Mode = Mode.SAME


class Listener(NamedTuple):
    """Where to listen, as typed."""

    scheme: str
    address: Address
    mode: Mode


class Path(NamedTuple):
    """Where to listen, and the server behind it."""

    listen: Address
    host: str
    port: int
    protocol: str
    """Empty: to be told from the greeting."""
    client: Mode = Mode.SAME
    server: Mode = Mode.SAME
    """How each leg is in TLS: both the same, or neither `SAME`."""


def parse_listener(text: str, protocols: Sequence[Protocol]) -> Listener:
    """`1110`, `pop3s://:1995`.  Raises OptionError."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Listener("", parse_listen(text), Mode.SAME)
    name, mode = _scheme(f"--listen {text}", scheme.lower(), by_name(protocols))
    return Listener(name, parse_listen(rest, f"--listen {text}"), mode)


def _scheme(where: str, scheme: str, known: dict[str, Protocol]) -> tuple[str, Mode]:
    """The protocol of a scheme, and how it is in TLS.  Raises OptionError."""
    if scheme in known:
        return scheme, Mode.SAME
    if scheme.endswith("s") and scheme[:-1] in known:
        return scheme[:-1], Mode.IMPLICIT
    name, plus, mode = scheme.partition("+")
    if plus and name in known:
        if mode == Mode.STARTTLS and known[name].starttls is None:
            raise OptionError(f"{where}: {name} has no STARTTLS")
        if mode in (Mode.PLAIN, Mode.STARTTLS):
            return name, Mode(mode)
        raise OptionError(f"{where}: {scheme}: after the + stands {Mode.STARTTLS} or {Mode.PLAIN}; TLS from the first octet is "
                          f"{name}s")
    raise OptionError(f"{where}: {_unknown_scheme(scheme, known)}")


def parse_listen(text: str, where: str = "") -> Address:
    """`1110`, `:1110`, `127.0.0.1:1110`, `[::1]:1110`.  Raises OptionError."""
    where = where or f"--listen {text}"
    bare = f":{text}" if text.isdigit() else text
    match = _HOST_PORT.fullmatch(bare)
    if match is None or match["port"] is None:
        raise OptionError(f"{where}: expected [HOST:]PORT, such as 1110, 0.0.0.0:1110 or [::1]:1110")
    host = match["bracketed"] or match["host"] or LOCAL
    host = LOCAL if host == "localhost" else host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        raise OptionError(f"{where}: {host} is no IP address; 127.0.0.1 is this machine alone, 0.0.0.0 every "
                          "interface") from None
    return Address(host, port_number(where, match["port"], least=0))


def port_number(where: str, text: str, least: int = 1) -> int:
    """A TCP port.  Raises OptionError."""
    if text.isascii() and text.isdigit() and least <= int(text[:9]) <= 65_535:
        return int(text)
    raise OptionError(f"{where}: {text or 'nothing'} is no port; a port is a number from {least} to 65535")


def parse_upstream(text: str, protocols: Sequence[Protocol], forced: str = "", option: str = "--upstream") -> Upstream:
    """`pop.example:110`, `pop3://pop.example`, `[2001:db8::1]:25`.  Raises OptionError, naming the option."""
    where = f"{option} {text}"
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    known = by_name(protocols)
    written = scheme.lower()
    scheme, mode = _scheme(where, written, known) if separator else ("", Mode.SAME)
    match = _HOST_PORT.fullmatch(rest.removesuffix("/"))
    host = (match["bracketed"] or match["host"]) if match else ""
    if match is None or not host or not (match["bracketed"] or is_host_name(host)):
        raise OptionError(f"{where}: expected [SCHEME://]HOST[:PORT], such as pop.example:110, pop3://pop.example or "
                          "[2001:db8::1]:25")
    if match["bracketed"]:
        _check_v6(where, host)
    if match["port"] is not None:
        return Upstream(scheme, host, port_number(where, match["port"]), mode)
    told = known.get(scheme or forced)
    port = SECURE.get(written) if mode is Mode.IMPLICIT else told.ports[0] if told is not None and told.ports else None
    if port is None:
        raise OptionError(f"{where}: which port? Write {text}:PORT" if separator else
                          f"{where}: which port? Write {text}:110, or pop3://{rest}")
    return Upstream(scheme, host, port, mode)


def _check_v6(where: str, host: str) -> None:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise OptionError(f"{where}: {host} is no IPv6 address") from None


def _unknown_scheme(scheme: str, known: dict[str, Protocol]) -> str:
    if scheme in LATER:
        return f"{scheme} comes in a later version; mailspy reads {', '.join(known)}"
    every = [*known, *(f"{name}s" for name in known)]
    return f"unknown scheme {scheme or '(empty)'}{hint(scheme, every)}; mailspy reads {', '.join(every)}"


def make_paths(listens: Sequence[str], upstreams: Sequence[str], protocol: str,
               protocols: Sequence[Protocol]) -> list[Path]:
    """Pairs listeners and servers in their order.  Raises OptionError."""
    known = by_name(protocols)
    if protocol and protocol not in known:
        raise OptionError(f"--protocol {protocol}: not known{hint(protocol, known)}; mailspy reads {', '.join(known)}")
    if len(listens) != len(upstreams):
        raise OptionError(f"{len(listens)} --listen and {len(upstreams)} --upstream: each listener needs its server, "
                          "in the same order: --listen 1110 --upstream pop.example:110")
    paths: list[Path] = []
    for listen, upstream in zip(listens, upstreams, strict=True):
        client, server = parse_listener(listen, protocols), parse_upstream(upstream, protocols, protocol)
        if client.scheme and server.scheme and client.scheme != server.scheme:
            raise OptionError(f"--listen {listen} and --upstream {upstream}: two protocols; mailspy translates none")
        told = protocol or server.scheme or client.scheme or by_port(protocols, server.port)
        paths.append(Path(client.address, server.host, server.port, told, *_apart(client.mode, server.mode)))
    check_apart(paths)
    return paths


def _apart(client: Mode, server: Mode) -> tuple[Mode, Mode]:
    """What is not said of a leg is `PLAIN` where something is said of the other."""
    if client is server is Mode.SAME:
        return client, server
    return Mode.PLAIN if client is Mode.SAME else client, Mode.PLAIN if server is Mode.SAME else server


def check_apart(paths: Sequence[Path]) -> None:
    """Raises OptionError where two listeners are the same, or a server is a listener of ours: a loop."""
    seen: set[Address] = set()
    for path in paths:
        if path.listen.port and path.listen in seen:
            raise OptionError(f"--listen {path.listen}: given twice; each listener needs a port of its own")
        seen.add(path.listen)
        for other in paths:
            if path.port == other.listen.port and reaches(path.host, other.listen.host):
                server = Address(path.host, path.port)
                raise OptionError(f"--upstream {server}: that is our own --listen {other.listen}; the "
                                  "proxy would connect to itself without end: name the real server")


def reaches(host: str, listening: str) -> bool:
    """Whether a server's host, as far as it tells without asking the DNS, is where we listen."""
    name = host.lower().rstrip(".")
    literals = ("127.0.0.1", "::1") if name in ("localhost", socket.gethostname().lower()) else (name,)
    return any(_same(literal, ipaddress.ip_address(listening)) for literal in literals)


def _same(literal: str, listening: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        address = ipaddress.ip_address(literal)
    except ValueError:
        return False
    if listening.is_unspecified:
        return address.is_unspecified or address.is_loopback or _ours(address)
    return address == listening or (address.is_unspecified and listening.is_loopback)


def _ours(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an interface of this machine has that address; nothing is sent to find out."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True
