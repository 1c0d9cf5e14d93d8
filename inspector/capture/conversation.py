"""The TCP connection that a capture shows for a flow: sequence numbers, handshake, acknowledgements.

Knows how the packets of a plausible TCP connection follow each other.  Must not know files.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from socket import AF_INET, AF_INET6, inet_pton
from struct import Struct
from typing import Final, NamedTuple

from inspector.capture.note import named
from inspector.formats import frame, marker, pcapng
from inspector.formats.checksum import total
from inspector.formats.frame import Frame, Frame4, Frame6
from inspector.pdu import C2S, Direction, Flow, is_host_name

SERVICE_PORTS: Final = {"smtp": 25, "lmtp": 24, "pop3": 110, "imap": 143}
"""The ports by which other programs know what to dissect."""
TLS_PORTS: Final = {"smtp": 465, "pop3": 995, "imap": 993}
"""The same where it stands as records of TLS."""

ACKNOWLEDGE: Final = 256 * 1024
"""Octets one way after which the other side acknowledges, having nothing to say itself."""

MAPPED: Final = b"\0" * 10 + b"\xff\xff"
"""What comes before an IPv4 address to make it IPv6 (RFC 4291 §2.5.5.2)."""

_UNSPECIFIED: Final = bytes(4)
_WRAP: Final = 0xFFFF_FFFF
_SPREAD: Final = 2_654_435_761
"""A multiplier that sends neighbouring flow numbers far apart."""
_SERVER_OFFSET: Final = 0x4D41_494C
_BLOCK: Final = 32
"""Octets of a packet block beside the packet and what `pcapng.ending` makes: 28 before, 4 after."""
_TRAILER: Final = Struct(">I").pack


class Path(NamedTuple):
    """The two ends as they stand in the packets: addresses of one family, packed."""

    client: bytes
    client_port: int
    server: bytes
    server_port: int

    @property
    def reversed(self) -> Path:
        """The same path seen from its other end, which in a capture is the same connection."""
        return Path(self.server, self.server_port, self.client, self.client_port)


class Half:
    """One direction of a conversation: what its sender has sent so far."""

    __slots__ = ("ended", "endings", "frame", "peer", "seq", "unacknowledged")
    peer: Half

    def __init__(self, shape: Frame, seq: int, direction: int) -> None:
        self.frame = shape
        self.seq = seq
        self.endings = pcapng.ending(direction)
        self.unacknowledged = 0
        self.ended = False

    def packet(self, word: int, time: int, options: bytes = b"", comments: Sequence[str] = ()) -> bytes:
        """A packet without payload; `options`, whole words, are those of the TCP header."""
        ending = pcapng.commented(len(options), comments, self.endings) if comments else self.endings[0]
        return self._bare(word, time, options, ending)

    def note(self, text: bytes, time: int, word: int = frame.ACK, options: bytes = b"") -> bytes:
        """An acknowledgement, or another packet without payload, that carries a note as its comment."""
        return self._bare(word, time, options, pcapng.annotated(len(options), text, self.endings))

    def _bare(self, word: int, time: int, options: bytes, ending: bytes) -> bytes:
        size = len(options)
        length = _BLOCK + self.frame.headers + size + len(ending)
        acknowledged = 0 if word == frame.SYN else self.peer.seq
        word += frame.OPTION_WORD * (size >> 2)
        head = self.frame.head(time, self.seq, acknowledged, word, total(options), size, length)
        return head + options + ending + _TRAILER(length)

    def advance(self, octets: int) -> None:
        """Counts octets, or one for a SYN or a FIN, as sent."""
        self.seq = (self.seq + octets) & _WRAP

    def data(self, payload: bytes | memoryview, time: int, comments: Sequence[str]) -> list[bytes | memoryview]:
        """A packet with up to `frame.LARGEST` octets of payload, in pieces, and an acknowledgement when one is due."""
        size = len(payload)
        ending = pcapng.commented(size, comments, self.endings) if comments else self.endings[size & 3]
        shape = self.frame
        length = _BLOCK + shape.headers + size + len(ending)
        peer = self.peer
        seq = self.seq
        head = shape.head(time, seq, peer.seq, frame.PUSH, total(payload), size, length)
        self.seq = (seq + size) & _WRAP
        peer.unacknowledged = 0
        self.unacknowledged += size
        if self.unacknowledged < ACKNOWLEDGE:
            return [head, payload, ending, _TRAILER(length)]
        self.unacknowledged = 0
        return [head, payload, ending, _TRAILER(length), peer.packet(frame.ACK, time)]


class Conversation:
    """A flow as a capture shows it."""

    __slots__ = ("_wider", "client", "path", "pending", "server")

    def __init__(self, flow: Flow, taken: set[Path]) -> None:
        """`taken` are the paths of other flows, to be kept apart from."""
        client, server = (_packed(end.host) or _UNSPECIFIED for end in (flow.client, flow.server))
        self._wider = len(client) - len(server)
        client, server = _widened(client, server), _widened(server, client)
        self.path = _free(flow, client, server, taken)
        shape = Frame4 if len(client) == 4 else Frame6
        port = self.path.server_port
        start = flow.number * _SPREAD + flow.opened
        client_port = flow.client.port & _WRAP >> 16
        self.client = Half(shape(client, server, client_port, port), start & _WRAP, pcapng.INBOUND)
        self.server = Half(shape(server, client, port, client_port), (start + _SERVER_OFFSET) & _WRAP, pcapng.OUTBOUND)
        self.client.peer, self.server.peer = self.server, self.client
        self.pending = self._handshake(flow, flow.opened, flow.secure)
        """The handshake, until it has been written."""

    def half(self, direction: Direction) -> Half:
        """The half that sends in that direction."""
        return self.client if direction is C2S else self.server

    def rejoin(self, flow: Flow, time: int, secure: bool, unread: bool) -> None:
        """The flow goes on in another file: a handshake there says that it was joined; the FIN of who has ended stands again."""
        for half in (self.client, self.server):
            half.advance(-1 - half.ended)
        again = self._handshake(flow, time, secure, True, unread)
        for half in (self.client, self.server):
            if half.ended:
                again += half.packet(frame.FINISH, time)
                half.advance(1)
        self.pending = again

    def _handshake(self, flow: Flow, time: int, secure: bool, joined: bool = False, unread: bool = False) -> bytes:
        name = _name(flow.server.host)
        described = _described(flow.server.port, flow.protocol, self._wider, secure, flow.sealed, joined, unread)
        syn = (self.client.note(named(name), time, frame.SYN, described) if name else
               self.client.packet(frame.SYN, time, described))
        self.client.advance(1)
        syn_ack = self.server.packet(frame.SYN_ACK, time, _PLAIN_OPTIONS)
        self.server.advance(1)
        return syn + syn_ack + self.client.packet(frame.ACK, time)


def _aligned(options: bytes) -> bytes:
    """TCP options filled up to whole words with end-of-list marks."""
    return options + b"\0" * (-len(options) & 3)


_PLAIN_OPTIONS: Final = _aligned(frame.MSS + frame.WINDOW_SCALE)


@lru_cache(maxsize=256)
def _described(port: int, protocol: str, wider: int, secure: bool, sealed: bool, joined: bool, unread: bool) -> bytes:
    """The options of a SYN, the marker among them; `wider` is below 0 where the client was mapped, above for the server."""
    told = marker.Marker(port, protocol, wider < 0, wider > 0, secure, sealed, joined, unread)
    return _aligned(frame.MSS + frame.WINDOW_SCALE + marker.pack(told))


@lru_cache(maxsize=4096)
def _packed(host: str) -> bytes:
    """An address as 4 or 16 octets, without its zone; of what is no address, such as a name, nothing."""
    plain = host.partition("%")[0]
    for family in (AF_INET, AF_INET6):
        try:
            return inet_pton(family, plain)
        except (OSError, ValueError):
            continue
    return b""


def _name(host: str) -> str:
    """What a server is called that has no address."""
    return host if not _packed(host) and is_host_name(host) else ""


def _widened(address: bytes, other: bytes) -> bytes:
    """`address` in the family of the wider of the two."""
    return address if len(address) >= len(other) else MAPPED + address


def _free(flow: Flow, client: bytes, server: bytes, taken: set[Path]) -> Path:
    """A path that no other flow has: by the service port, else the real port, else any.

    Whichever it is, the marker tells the real one.
    """
    real = flow.server.port & _WRAP >> 16
    client_port = flow.client.port & _WRAP >> 16
    service = (TLS_PORTS if flow.sealed else SERVICE_PORTS).get(flow.protocol, real)
    for port in chain((service, real), range(65_535, 0, -1)):
        path = Path(client, client_port, server, port)
        if path not in taken and path.reversed not in taken and path != path.reversed:
            break
    return path
