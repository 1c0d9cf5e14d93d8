"""What TLS is spoken with: contexts of the standard library, for servers with leaves of ours and for clients.

Rules.  TLS 1.2 is the least, unless older versions are asked for.  Nobody renegotiates.  What a server shows is verified by
`verification` after the handshake, so that a context refuses none.

Knows `ssl`.  Must not know connections.
"""

from __future__ import annotations

import os
import ssl
import stat
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from inspector.errors import OptionError
from inspector.pdu import Address
from inspector.place import open_file
from inspector.tls.asked import watch
from inspector.tls.leaf import Leaves

CONTEXTS: Final = 100
"""Contexts that are kept."""
OLD_CIPHERS: Final = "ALL:@SECLEVEL=0"
"""For `legacy`: what TLS 1.0 and 1.1 need."""


class Shown(NamedTuple):
    """With what a client is served."""

    context: ssl.SSLContext
    leaf: bytes
    """The certificate that it is shown, as DER."""


class Serving:
    """Contexts for the clients' side, one for each server and leaf: sessions can be resumed with the same, and with no other."""

    def __init__(self, leaves: Leaves, legacy: bool = False, keylog: str | None = None) -> None:
        self._leaves = leaves
        self._legacy = legacy
        self._keylog = keylog
        self._contexts: OrderedDict[tuple[Address, x509.Certificate], Shown] = OrderedDict()

    def of(self, server: Address, real: bytes | None, reached: str) -> Shown:
        """What stands for a server with that certificate (DER; None for none), for a client that has reached us under that name
        or address."""
        leaf = self._leaves.of(real, server.host, reached)
        shown = self._contexts.get((server, leaf))
        if shown is None:
            shown = self._contexts[server, leaf] = self._make(leaf)
            if len(self._contexts) > CONTEXTS:
                self._contexts.popitem(last=False)
        else:
            self._contexts.move_to_end((server, leaf))
        return shown

    def _make(self, leaf: x509.Certificate) -> Shown:
        context = _plain(ssl.PROTOCOL_TLS_SERVER, self._legacy, self._keylog)
        self._load(context, leaf)
        return Shown(context, leaf.public_bytes(Encoding.DER))

    def _load(self, context: ssl.SSLContext, leaf: x509.Certificate) -> None:
        key = self._leaves.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with _as_file(leaf.public_bytes(Encoding.PEM) + key) as path:
            context.load_cert_chain(path)


def open_keylog(path: str) -> None:
    """Makes the file for keys, for its owner alone, or takes one that only its owner can read.  Raises OptionError."""
    try:
        descriptor = open_file(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    except OSError as error:
        raise OptionError(f"--keylog {path}: {error.strerror}") from error
    state = os.fstat(descriptor)
    os.close(descriptor)
    if not stat.S_ISREG(state.st_mode) or state.st_mode & 0o077:
        raise OptionError(f"--keylog {path}: others may read what is there, and with the keys all that crosses: chmod 600, or "
                          "another file")


def hidden_keylog() -> str:
    """A file for keys that has no name in any folder, and lives as long as this process."""
    descriptor = os.memfd_create("keylog", os.MFD_CLOEXEC)
    return f"/proc/self/fd/{descriptor}"


def reaching(legacy: bool = False, keylog: str | None = None, certificate: str | None = None) -> ssl.SSLContext:
    """The context for servers.  `certificate`: a PEM file with the client's own and its key.  Raises OSError, ssl.SSLError."""
    context = _plain(ssl.PROTOCOL_TLS_CLIENT, legacy, keylog)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    watch(context)
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


def _plain(protocol: int, legacy: bool, keylog: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if legacy:
        context.set_ciphers(OLD_CIPHERS)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    if keylog is not None:
        context.keylog_filename = keylog
    return context


@contextmanager
def _as_file(octets: bytes) -> Iterator[str]:
    """Octets under a name that only this process can open, where the system has that; else in a file that is removed."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("leaf", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, octets)
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(octets)
        file.flush()
        yield file.name
