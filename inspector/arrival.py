"""The first octets of a flow, live or in a capture of our own: what stands before the session, and which protocol it is.

Rules.  Nothing waits for what is not known: a server's first line names the protocol, or a client's first command that only one
has; the client's first line may refute a greeting that several protocols have.  What tells nothing goes on, and judges are asked
first.  A header in front of the session (`wrapping`) is taken off once it is whole.  What is decided depends on the octets and on
their order alone, so that replay decides the same.

Knows first words and headers.  Must not know sessions, gates or clocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from inspector.harmless import lines_of, veil
from inspector.hold import Hold, masked_lines, unread_lines
from inspector.reader import RECORD_HEADER, begins_tls
from inspector.recognition import (
    LOOKED_AT,
    NOT_MAIL,
    SMTP_FAMILY,
    blank,
    commanded,
    first_line,
    foreign,
    greeted,
    may_command,
    speaks_ftp,
)
from inspector.wrapping import Heads, Wrapping, begun, covered, header_end, passable, plain, secrets, unfinished, unwrapped

PREAUTH: Final = b"* PREAUTH"
"""How an IMAP server greets a client that need not log in (RFC 9051 §7.1.4)."""
UNSEEN: Final = "TLS from the first octet, passed on unseen; --listen and --upstream with pop3s:// or smtps:// look into it"

LONGEST: Final = 16_384
"""Octets of a header before the session."""
LINES: Final = 64
"""Lines of a client that may tell which protocol it speaks."""
Piece = tuple[bool, bytes, int]
"""Whether the client has sent them, octets, and when."""


class Arrival:
    """A flow until it is known what it is."""

    __slots__ = ("_came", "_ends", "_greeted", "_heads", "_looked_at", "_most", "_opening", "_plugins", "_scan",
                 "_scanned", "_shown_last", "_spoken", "_whole", "asked", "client", "deaf", "lapsed", "refutable", "scheme",
                 "server", "waiting", "wondered", "wrapping")

    def __init__(self, scheme: str, plugins: Sequence[tuple[bytes, str]], most: int) -> None:
        """`scheme`: the protocol that was given; `plugins`: greetings of protocols that nobody else knows; `most`: octets that
        wait."""
        self.scheme = scheme
        self._plugins = plugins
        self._most = min(LONGEST, most)
        self._looked_at = min(LOOKED_AT, most)
        self.client = b""
        self.server = b""
        """The first octets of both sides; without what wraps the session, when that is known."""
        self.waiting: list[Piece] = []
        """What no session has read yet."""
        self._came = {True: 0, False: 0}
        """How many octets that is, of the client and of the server."""
        self._scanned = 0
        """Up to where the client's lines were looked at, and have told nothing."""
        self._scan: Hold | None = None
        """Covers their secrets first."""
        self._shown_last: Hold | None = None
        """What the client has said, as far as a capture has it."""
        self._ends = self._whole = 0
        """How many of its lines are whole, of those that are looked at, and where the last of them ends."""
        self.wrapping: Wrapping | None = None
        self._heads: Heads | None = None
        self._opening = True
        """A header may stand before the session, and is not whole yet."""
        self._spoken = False
        """The server has spoken first: only a header that is not answered can come."""
        self.asked = False
        """The judges were asked about what passes unread of the client's."""
        self.wondered = False
        """They were asked about half a greeting."""
        self._greeted = False
        """It was asked what is odd about the greeting."""
        self.refutable = False
        """The greeting is that of several protocols."""
        self.deaf = False
        """What comes from the server tells nothing."""
        self.lapsed = False
        """It has taken too long: whatever comes may leave."""

    def hear(self, server: bytes) -> None:
        """The server has said so; what its client got, and comes next, is mailspy's in its place."""
        self.server, self.deaf = server, True
        if self._opening:
            self._unwrap(False)

    def withdraw(self, left: int) -> None:
        """Of what the server has said, and no session has read, its client gets no more than so many octets: no more crosses."""
        head = self.wrapping.server if self.wrapping is not None else 0
        self.server = self.server[:max(0, left - head)]
        waiting, self.waiting = self.waiting, []
        for client, data, time in waiting:
            crossing = data if client else data[:left]
            left -= 0 if client else len(crossing)
            if crossing:
                self.waiting.append((client, crossing, time))

    def take(self, client: bool, data: bytes, time: int) -> None:
        """Octets have come."""
        self.waiting.append((client, data, time))
        self._came[client] += len(data)
        if not client and self._tells_nothing():
            if self._opening:
                self._unwrap(False)
            return
        most = self._most if self._opening and (client or begun(self.client)) else LOOKED_AT
        if client:
            if (before := len(self.client)) < most:
                self.client += data
                self._see_lines(before)
        elif len(self.server) < most:
            self.server += data
        if self._opening:
            self._unwrap(client)

    # What nearly every flow begins with, where the protocol was given: nothing of it need wait

    def greets(self, data: bytes) -> bool:
        """Whether these octets, the first of all, are the whole greeting of a server of that protocol."""
        first = self._opening and not (self.waiting or self.client or self.server or self.deaf)
        if not first or not self.scheme or data[-1:] != b"\n" or len(data) > self._looked_at:
            return False
        line = first_line(data)
        if not line or not _fits(greeted(line), self.scheme):
            return False
        self.server, self._spoken, self._greeted = data, True, True
        return True

    def goes_on(self, data: bytes) -> bool:
        """Whether these octets of a client, its first after such a greeting, begin no header: all is known then."""
        return self._greeted and self._opening and not (self.client or self.waiting or self.deaf) and plain(data)

    # Whatever else comes

    def _tells_nothing(self) -> bool:
        """Whether what the server says now counts no more: after a secret of its client's it may be that, and is masked."""
        octets = self.client
        if octets and not self.deaf and not (self._opening and begun(octets)) and not self.greeting:
            said = octets[:self._looked_at]
            self.deaf = any(map(veil, lines_of(said))) or masked_lines(said) != said
        return self.deaf

    def _unwrap(self, client: bool) -> None:
        octets = self.client
        # Half a line may be held back, and then a capture has it later: it decides nothing.
        line = self.greeting
        if not client and line and (b"\n" in line or not self.scheme) and not begun(octets):
            # The server does not wait for a header.  Empty lines that came before are no beginning of one.
            self._spoken = True
            self._opening = not octets or bool(octets.strip(b"\r\n"))
        if not octets or not self._opening:
            return
        found = unwrapped(octets[:self._most], self.server[:self._most], self._spoken)
        self._opening = found is True and len(octets) < self._most and len(self.server) < self._most
        if not self._opening and not isinstance(found, Wrapping):
            found = (not self._spoken and unfinished(octets)) or False
        self._take_off(found)

    def _take_off(self, found: Wrapping | bool | None) -> None:
        if isinstance(found, Wrapping):
            self.wrapping, self._heads = found, Heads(found)
            self.client, self.server = self.client[found.client:], self.server[found.server:]
            self._ends = self._whole = 0
            self._see_lines(0)

    @property
    def header_secrets(self) -> bytes | None:
        """What is secret in what the client has said so far, where it is the beginning of a header, whose words the server may
        repeat; None where it is none."""
        if not (self._opening and begun(self.client)):
            return None
        return b" ".join([self.client[first:last] for first, last in secrets(self.client)])

    @property
    def in_tls(self) -> bool:
        """Whether the client begins with a handshake of TLS, in which no words are said."""
        return bool(self.client) and begins_tls(self.client[:RECORD_HEADER + 1]) is True

    @property
    def over(self) -> bool:
        """Whether nothing more is to be learnt, once there is a session."""
        return not (self._opening or self.refutable or self._greeting_due)

    @property
    def _greeting_due(self) -> bool:
        return not self.greeting and len(self.client) < self._looked_at

    @property
    def greeting(self) -> bytes:
        """The server's first line, or its first octets where they are none; nothing while that goes on."""
        return first_line(self.server, tuple(word for word, _ in self._plugins)) if self.server else b""

    @property
    def heard(self) -> bytes:
        """What the server has said that tells the protocol."""
        return self.server[:LOOKED_AT] if self._opening else (self.greeting or self.server)[:LOOKED_AT]

    @property
    def _may_speak(self) -> bool:
        """Whether what the server has said is its own, not the answer to a header."""
        return not self._opening or self._spoken or self.client.startswith((b"P", b"\r"))

    def name(self) -> str:
        """The protocol: its name, `NOT_MAIL`, or nothing while that is not known."""
        spoken = bool(self.client) and not self._opening
        if spoken and self.scheme:
            return self.scheme
        line = self.greeting if self._may_speak else b""
        if line:
            return self._by_greeting(line)
        tells_nothing = NOT_MAIL if len(self.client) >= self._looked_at or self._ends >= LINES else ""
        return self._commanded() or tells_nothing if spoken else ""

    @property
    def _shown(self) -> bytes:
        """The client's first line, as far as it is looked at, its secrets masked: a capture, where they are, tells the same."""
        octets = self.client[:self._looked_at]
        return masked_lines(octets[:octets.find(b"\n") + 1] or octets)

    def _commanded(self) -> str:
        """The protocol that a command of the client's tells, among the lines that were not looked at yet."""
        begin, end = self._scanned, self._whole
        if end <= begin:
            return ""
        self._scanned = end
        scan = self._scan = self._scan or unread_lines()
        return commanded(scan.feed(self.client[begin:end]))

    def _see_lines(self, begin: int) -> None:
        """Finds the ends of those of the client's lines that are looked at, from that octet on."""
        while self._ends < LINES and (end := self.client.find(b"\n", begin, self._looked_at) + 1):
            self._ends += 1
            self._whole = begin = end

    def _by_greeting(self, line: bytes) -> str:
        name, scheme = greeted(line), self.scheme
        if scheme and (name == NOT_MAIL or _fits(name, scheme)):
            return scheme
        if name == NOT_MAIL:
            name = next((protocol for word, protocol in self._plugins if word and line.startswith(word)), NOT_MAIL)
        self.refutable = name in SMTP_FAMILY
        return (self._commanded() if self.refutable else "") or name

    def refuted(self) -> bool:
        """Whether the client's first line shows that the greeting was not SMTP's."""
        if not self.refutable or self._opening or not (self._ends or len(self.client) >= self._looked_at):
            return False
        self.refutable = False
        return speaks_ftp(self.greeting, self._shown)

    def odd(self) -> str:
        """What is odd about a greeting where the protocol was given, once; nothing where it fits."""
        line, scheme = self.greeting if self.scheme and not self._greeted and self._may_speak else b"", self.scheme
        if not line:
            return ""
        name, self._greeted = greeted(line), True
        if name == NOT_MAIL or _fits(name, scheme):
            return ""
        return f"the server greets as {name.upper()} does, where {scheme.upper()} is due" + (
            ", and mailspy does not read that" if name == "imap" else "")

    def unread(self) -> str:
        """Why nobody reads the flow."""
        if greeted(self.greeting) == "imap":
            return "the server greets as IMAP does; mailspy does not read that"
        # Of the server no more than one octet is certain to be here, however it was cut.
        other = foreign(self._shown, b"")
        if other == "TLS" or self.server[:1] == b"\x16":
            return UNSEEN
        return f"this is {other}" if other else "neither the port nor the greeting tells it; see --protocol"

    def pieces(self) -> list[tuple[bool, bytes, int, bool]]:
        """Takes what a session can read by now, in order: who, octets, when, and whether they are a header."""
        waiting, self.waiting, self._came = self.waiting, [], {True: 0, False: 0}
        found = []
        for client, data, time in waiting:
            if self._opening and (client or not self._may_speak):
                self.waiting.append((client, data, time))
                self._came[client] += len(data)
                continue
            head, rest = self._heads.take(client, data) if self._heads is not None else (b"", data)
            if head:
                found.append((client, head, time, True))
            if rest:
                found.append((client, rest, time, False))
        return found

    def left(self, client: bool, time: int) -> None:
        """What waits of a side has left only now."""
        self.waiting = [(sender, data, time if sender is client else then) for sender, data, then in self.waiting]

    def let_go(self, time: int) -> None:
        """What judges have held of a greeting that was not whole leaves only now, behind what its client has said."""
        if not self.free(False, True):
            theirs = [(False, data, time) for client, data, _ in self.waiting if not client]
            self.waiting = [piece for piece in self.waiting if piece[0]] + theirs

    def keeps(self, client: bool) -> bool:
        """Whether there are octets of a side that no session has read."""
        return any(sender is client for sender, *_ in self.waiting)

    def close(self) -> None:
        """Nothing more comes: whatever waits is the session's."""
        if self._opening:
            self._take_off(unfinished(self.client))
        self._opening = self.refutable = False

    def free(self, client: bool, strict: bool) -> int:
        """How many octets of a side may leave though no session has read them; `strict`: lines leave as a whole."""
        head = 0
        if self.wrapping is not None:
            head = self.wrapping.client if client else self.wrapping.server
        octets = self.client if client else self.server
        came = self._came[client]
        if not strict or not came:
            return came
        if not client:
            answers = self._opening and begun(self.client) and not self._may_speak
            return came if answers or self.lapsed or self.deaf or (self.greeting and not self.scheme) else head
        end = octets.rfind(b"\n") + 1
        if self._opening and not self.lapsed:
            return passable(octets, self.server)
        return head + (end if self._may_command(octets[end:]) else len(octets))

    def _may_command(self, begun: bytes) -> bool:
        """Whether the rest of the client's line is to be waited for: it may be a command, which judges see whole."""
        return may_command(begun) and not (self.lapsed and blank(begun))

    @property
    def passes(self) -> bool:
        """Whether octets of the client pass that tell nothing: judges are to be asked."""
        octets = self.client
        if self._opening or self.lapsed:
            return self.lapsed and bool(octets)
        return b"\n" in octets or (bool(octets) and not may_command(octets))

    def masked(self, size: int) -> bytes:
        """The last octets of the client, their secrets masked."""
        same = self.wrapping is None and self._came[True] == len(self.client)
        if same and not self._opening:
            hold = self._shown_last
            if hold is None or len(self.client) - hold.size < size:
                hold = self._shown_last = unread_lines()
            return hold.feed(self.client[hold.size:])[-size:] if size else b""
        octets = self.client if same else b"".join(data for client, data, _ in self.waiting if client)
        opening = header_end(octets) if self._opening and begun(octets) else 0
        head = self.wrapping.client if self.wrapping is not None else opening
        hidden = covered(octets[:head]) + masked_lines(octets[head:])
        return hidden[-size:] if size else b""


def _fits(name: str, scheme: str) -> bool:
    """Whether a greeting of that protocol is one of the other."""
    return name == scheme or (name in SMTP_FAMILY and scheme in SMTP_FAMILY)
