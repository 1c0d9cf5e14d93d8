"""Certificates that look like a server's, signed by the authority of this installation.

Rules.  A leaf copies names and validity of the certificate that the server has shown; a client that has reached mailspy under a
name that is not among them finds it added, for it must be able to verify whom it talks to.  The key is made for the run, kept in
memory only, and never the authority's.

Knows X.509 (RFC 5280, RFC 6125).  Must not know connections.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from inspector.tls.authority import EARLIER, Authority
from inspector.tls.names import address_of

CACHED: Final = 1_000
"""Leaves that are kept."""
DAYS: Final = 7
"""Validity of a leaf that copies none."""
NAME: Final = 64
"""Characters of a common name (RFC 5280, ub-common-name)."""
HOST: Final = 253
"""Characters of a host's name (RFC 1035 §2.3.4)."""
MOST: Final = 100
"""Names that are copied of one certificate."""


class Leaves:
    """The leaves of a run."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._cached: OrderedDict[tuple[bytes, str, str], x509.Certificate] = OrderedDict()
        self.key = ec.generate_private_key(ec.SECP256R1())
        """That of all leaves."""

    def of(self, real: bytes | None, host: str, reached: str = "") -> x509.Certificate:
        """The leaf that stands for a server's certificate (DER), and for the name or address under which a client has reached us.

        Without a certificate, or with one that cannot be read, it stands for the server's `host`.
        """
        read = _read(real)
        copied = _copied(read) if read is not None else _plain(host)
        also = reached if _is_name(reached) and not covered(copied.names, reached) else ""
        wanted = (real or b"") if read is not None else b"", "" if read is not None else host, also
        leaf = self._cached.get(wanted)
        if leaf is None:
            leaf = self._cached[wanted] = self._made(copied, also, host)
            if len(self._cached) > CACHED:
                self._cached.popitem(last=False)
        else:
            self._cached.move_to_end(wanted)
        return leaf

    def _made(self, copied: Copied, also: str, host: str) -> x509.Certificate:
        """What cannot be copied, whatever is odd about it, is not."""
        try:
            return self._make(copied, also)
        except Exception:
            return self._make(_plain(host), also)

    def _make(self, copied: Copied, also: str) -> x509.Certificate:
        subject, names, begin, end = copied
        if also:
            names = [*names, _general(also)]
        authority = self._authority
        issuer = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(authority.certificate.subject)
                   .public_key(self.key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(begin).not_valid_after(end)
                   .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                   .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not list(subject))
        return builder.sign(authority.key, hashes.SHA256())


class Copied(NamedTuple):
    """What a leaf takes over."""

    subject: x509.Name
    names: Sequence[x509.GeneralName]
    begin: datetime
    end: datetime


@lru_cache(maxsize=100)
def _read(real: bytes | None) -> x509.Certificate | None:
    if not real:
        return None
    try:
        certificate = x509.load_der_x509_certificate(real)
        _copied(certificate)
    except Exception:  # whatever the library makes of hostile octets
        return None
    return certificate


@lru_cache(maxsize=100)
def _copied(real: x509.Certificate) -> Copied:
    """Subject, names and validity of a certificate.  Raises ValueError where it is malformed."""
    try:
        found = real.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        found = x509.SubjectAlternativeName([])
    names = [name for name in found if isinstance(name, x509.DNSName | x509.IPAddress) and len(str(name.value)) <= HOST][:MOST]
    if not names:
        names = [x509.DNSName(str(one.value)) for one in real.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
                 if _is_host(str(one.value))]
    return Copied(real.subject, names, real.not_valid_before_utc, real.not_valid_after_utc)


def _plain(name: str) -> Copied:
    """The same for a name alone.  An address is no common name: programs would take it for a host's (RFC 6125 §1.8)."""
    now = datetime.now(UTC).replace(microsecond=0)
    common = [] if address_of(name) is not None or not name else [x509.NameAttribute(NameOID.COMMON_NAME, name[:NAME])]
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "mailspy"), *common])
    return Copied(subject, [_general(name)] if _is_name(name) else [], now - EARLIER, now + timedelta(DAYS))


def covered(names: Sequence[x509.GeneralName], wanted: str) -> bool:
    """Whether a name or an address is one of those in a certificate (RFC 6125 §6.4: `*` stands for one label, the first)."""
    return bool(_forms(wanted).intersection(str(one.value).lower() for one in names))


def _forms(wanted: str) -> set[str]:
    """How a certificate may write it."""
    address = address_of(wanted)
    if address is not None:
        return {str(address)}
    name = wanted.lower().rstrip(".")
    return {name, f"*.{name.partition('.')[2]}"}


def _general(name: str) -> x509.GeneralName:
    """A name or an address as certificates have it."""
    address = address_of(name)
    return x509.IPAddress(address) if address is not None else x509.DNSName(name.rstrip("."))


def _is_name(name: str) -> bool:
    """Whether that is a host's name, or an address."""
    return address_of(name) is not None or (_is_host(name) and "*" not in name and not name.startswith("."))


def _is_host(name: str) -> bool:
    """The same for what a certificate may have, `*` included."""
    return 0 < len(name) <= HOST and name.isascii() and all(letter.isalnum() or letter in "-._*" for letter in name)
