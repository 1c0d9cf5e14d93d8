"""TLS on a connection: a link for the relay, standing on a link that carries the records.

It works on memory (`ssl.MemoryBIO`), so that it stands on any plane; it costs a third of what pyOpenSSL costs a small record, and
keeps half-closes, which Twisted's own layer loses.

Rules.  Nothing is told before the handshake is done, and after it nothing more is read until somebody starts to listen.  The end
of one direction is close_notify, then FIN; a FIN alone is told as the end too, and remembered as `truncated`.  Octets that came
before TLS never get here.

Knows links and `ssl`.  Must not know flows, certificates or whom to trust.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from inspector.live.clock import now
from inspector.tls.asked import is_asked

if TYPE_CHECKING:
    from inspector.live.link import Link, Owner
    from inspector.pdu import Address

RECORD: Final = 65_536
"""Octets that are asked for at a time; OpenSSL gives those of one record."""


ALERT: Final = b"\x15"
"""How the record of an alert begins."""
TRAILING: Final = "octets came after the end of TLS (close_notify)"


class Secured(NamedTuple):
    """What was agreed on."""

    version: str
    """`TLSv1.3`."""
    cipher: str
    alpn: str
    """Empty where none was agreed on."""
    chain: tuple[bytes, ...]
    """What the other side has shown, as DER, its own certificate first."""
    resumed: bool
    duration: int
    """Microseconds of the handshake, from the client's hello on."""
    asked: bool = False
    """The server has asked us for a certificate."""
    shown: bool = False
    """It got one."""


class Refused(NamedTuple):
    """Why there is no TLS."""

    reason: str
    """In OpenSSL's words: `certificate unknown`, `wrong version number`."""
    theirs: bool
    """It is an alert of the other side's; else we have refused, or the connection has ended."""
    asked: bool = False
    """The server has asked us for a certificate."""


Settled = Callable[["SecureLink", Secured | Refused], None]


class SecureLink:
    """One connection in TLS."""

    __slots__ = ("_begun", "_clogged", "_cut", "_ended", "_ending", "_held", "_in", "_inner", "_lost", "_out", "_over",
                 "_settled", "_shaken", "_tls", "advice", "client", "failure", "owner", "peer", "records", "secured", "tap",
                 "truncated")

    def __init__(self, inner: Link, context: ssl.SSLContext, settled: Settled, name: str | None = None,
                 server_side: bool = False, early: bytes = b"", keep: bool = False) -> None:
        """Begins the handshake; `settled` is told how it went.  `name`: whom a client asks for (SNI); `early`: octets of TLS that
        came before now; `keep`: the records of the handshake, for a capture."""
        self._inner = inner
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side, None if server_side else name)
        self._settled: Settled | None = settled
        self._begun = now()
        self._shaken = False
        """The handshake is done."""
        self._ended = False
        """The other side sends nothing more."""
        self._ending = False
        """We do not either."""
        self._cut = False
        """Nor have we said so in TLS."""
        self._held = False
        """Who listens wants nothing for now."""
        self._clogged = False
        """The other side does not take what TLS itself answers (KeyUpdate, alerts): nothing more of it is read until it does."""
        self._over = False
        self.secured: Secured | None = None
        self._lost = False
        """The connection was aborted."""
        self.failure = ""
        """Why, where it was TLS that failed."""
        self.advice = ""
        """What to do if the other side refuses what it was shown after all: in TLS 1.3 a server says so after the handshake."""
        self.truncated = False
        """The other side has ended without saying so in TLS: somebody may have cut it off."""
        self.owner: Owner | None = None
        self.client = False
        self.peer: Address = inner.peer
        inner.owner = self
        self.records: list[tuple[bool, bytes, int]] | None = [] if keep else None
        """Those of the handshake: whether we sent them, octets, when."""
        self.tap: Callable[[bool, bytes], None] | None = None
        """Is told of the records that come, and of those that are about to be sent (True)."""
        if early:
            self._tell(False, early)
            self._in.write(early)
        if early or not server_side:
            self._shake()
        if not self._over and not self._shaken:
            inner.resume()
            inner.start()

    @property
    def faulty(self) -> bool:
        """A fault of our own has ended the connection."""
        return self._inner.faulty

    # What the link below tells

    def received(self, _: bool, data: bytes) -> None:
        """Records."""
        if self._ended:
            self._trail(data)
            return
        if self.tap is not None or self.records is not None:
            self._tell(False, data)
        self._in.write(data)
        if self._shaken:
            self._read()
        else:
            self._shake()

    def ended(self, _: bool) -> None:
        """FIN."""
        if not self._shaken:
            self._refused("the connection was closed in the middle of the handshake", False)
        elif not self._ended:
            self.truncated = True
            self._told_end()

    def broken(self, _: bool) -> None:
        """RST."""
        if not self._shaken:
            self._refused("the connection was aborted in the middle of the handshake", False)
        else:
            self._over = True
            self._told_break()

    def _told_break(self) -> None:
        self._lost = True
        if self.owner is not None:
            self.owner.broken(self.client)

    def drained(self, _: bool) -> None:
        """All records are on their way."""
        if self._clogged:
            self._clogged = False
            if not self._held:
                self._inner.resume()
        if self._shaken and self.owner is not None and not self._over:
            self.owner.drained(self.client)

    # The handshake

    def _shake(self) -> None:
        if self._over:
            return
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except (ssl.SSLError, ValueError) as error:
            self._flush()
            self._refused(reason_of(error), "ALERT" in str(error), is_asked(self._tls)[0])
            return
        self._flush()
        self._shaken = True
        self._inner.pause()
        tls = self._tls
        self.secured = Secured(tls.version() or "", (tls.cipher() or ("",))[0], tls.selected_alpn_protocol() or "", _chain(tls),
                               bool(tls.session_reused), now() - self._begun, *is_asked(tls))
        self._settle(self.secured)

    def _refused(self, reason: str, theirs: bool, asked: bool = False) -> None:
        if not self._over:
            self._over = True
            self._settle(Refused(reason, theirs, asked))

    def _settle(self, outcome: Secured | Refused) -> None:
        settled, self._settled = self._settled, None
        if settled is not None:
            settled(self, outcome)

    # Octets

    def _read(self) -> None:
        """Tells what has come, as far as there is somebody to tell: all records at once, which costs least."""
        if self._over or self._ended or self.owner is None:
            return
        pieces: list[bytes] = []
        ended, failure = False, ""
        while not ended:
            try:
                data = self._tls.read(RECORD)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                ended = True
            except ssl.SSLError as error:
                failure = reason_of(error)
                break
            else:
                pieces.append(data)
                ended = not data
        if whole := pieces[0] if len(pieces) == 1 else b"".join(pieces):
            self.owner.received(self.client, whole)
        if not self._over and (ended or failure):
            self._stop(failure)
        if not self._over and self._flush():
            self._clogged = True
            self._inner.pause()

    def _stop(self, failure: str) -> None:
        """Nothing more is read."""
        if failure and not self._cut:
            self._fail(failure)
            return
        # Where we have cut it off, as the other side of the relay was, the failure is that it complains of that.
        self.truncated = self.truncated or bool(failure)
        self._told_end()
        if trailing := self._in.read():
            self._trail(trailing)

    def _trail(self, data: bytes) -> None:
        """Octets after the end of TLS, which are nobody's; alerts are nothing."""
        if data[:1] != ALERT and not self._over:
            self._fail(TRAILING)

    def _fail(self, failure: str) -> None:
        self._over = True
        self.failure = failure + self.advice if "alert" in failure else failure
        self._flush()
        self._told_break()

    def _told_end(self) -> None:
        self._ended = True
        if self.owner is not None:
            self.owner.ended(self.client)

    def _flush(self) -> bool:
        """Sends the records that are ready."""
        data = self._out.read()
        if not data or self._ending:
            return False
        if self.tap is not None or self.records is not None:
            self._tell(True, data)
        return self._inner.send(data)

    def _tell(self, sent: bool, data: bytes) -> None:
        """Somebody captures the records."""
        if self.tap is not None:
            self.tap(sent, data)
        elif self.records is not None:
            self.records.append((sent, data, now()))

    @property
    def local(self) -> Address:
        """Our end of it."""
        return self._inner.local

    @property
    def backlog(self) -> int:
        """Octets that wait to be sent, as records."""
        return self._inner.backlog

    def send(self, data: bytes) -> bool:
        """Sends at once what the system takes, and keeps the rest.  True when something is kept."""
        if self._over or self._ending:
            return False
        left = memoryview(data)
        try:
            while left:
                written = self._tls.write(left)
                left = left[written:]
        except ssl.SSLError:
            return False
        return self._flush()

    def start(self) -> None:
        """Begins to tell what comes, and what has come with the handshake and since."""
        if self._lost:
            self._told_break()
        elif self._ended:
            self._told_end()
        else:
            self.resume()
            self._read()

    def pause(self) -> None:
        """Reads no more for now."""
        self._held = True
        self._inner.pause()

    def resume(self) -> None:
        """Reads again."""
        self._held = False
        if not self._clogged:
            self._inner.resume()

    def end(self, truncated: bool = False) -> None:
        """Half-close: close_notify, then FIN; the FIN alone where the other side of the relay was cut off."""
        if truncated:
            self._ending = self._cut = True
        self._notify()
        self._inner.end()

    def close(self) -> None:
        """Says so in TLS, sends what is kept, then closes."""
        self._notify()
        self.owner = None
        self._over = True
        self._inner.close()

    def abort(self) -> None:
        """Closes at once with RST."""
        self.owner = None
        self._over = True
        self._inner.abort()

    def _notify(self) -> None:
        if not self._ending and self._shaken:
            with suppress(ssl.SSLError):
                self._tls.unwrap()
            self._flush()
        self._ending = True


def reason_of(error: Exception) -> str:
    """What OpenSSL says, in words: `tlsv1 alert unknown ca`."""
    return str(getattr(error, "reason", None) or error).lower().replace("_", " ")


def _chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """The certificates of the other side.  Before Python 3.13 only an inner object gives them all."""
    source: Any = tls if hasattr(tls, "get_unverified_chain") else getattr(tls, "_sslobj", None)
    with suppress(AttributeError, ValueError, TypeError, ssl.SSLError):
        found = source.get_unverified_chain() or ()
        return tuple(one if isinstance(one, bytes) else one.public_bytes(_DER) for one in found)
    own = tls.getpeercert(binary_form=True)
    return (own,) if own else ()


_DER: Final = 2
"""ENCODING_DER of the inner module."""
