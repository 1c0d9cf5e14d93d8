"""Certificates that look like a server's, signed by the authority of this installation.

Rules.  A leaf copies names and validity of the certificate that the server has shown; its key is made for the run, kept in memory
only, and never the authority's.

Knows X.509 (RFC 5280, RFC 6125).  Must not know connections.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from inspector.tls.authority import EARLIER, Authority

CACHED: Final = 1_000
"""Leaves that are kept."""
DAYS: Final = 7
"""Validity of a leaf that copies none."""
NAME: Final = 64
"""Characters of a common name (RFC 5280, ub-common-name)."""
MOST: Final = 100
"""Names that are copied of one certificate."""


class Leaves:
    """The leaves of a run."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._cached: OrderedDict[tuple[bytes, str], x509.Certificate] = OrderedDict()
        self.key = ec.generate_private_key(ec.SECP256R1())
        """That of all leaves."""

    def of(self, real: bytes | None, name: str) -> x509.Certificate:
        """The leaf that stands for a server's certificate (DER), which was asked for by that name (SNI; empty if by none).

        Without a certificate, or with one that cannot be read, it is for the name alone.
        """
        wanted = (real or b"", name)
        leaf = self._cached.get(wanted)
        if leaf is None:
            leaf = self._cached[wanted] = self._make(_read(real), name)
            if len(self._cached) > CACHED:
                self._cached.popitem(last=False)
        else:
            self._cached.move_to_end(wanted)
        return leaf

    def _make(self, real: x509.Certificate | None, name: str) -> x509.Certificate:
        subject, names, begin, end = _copied(real) if real is not None else _plain(name)
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


_Copied = tuple[x509.Name, Sequence[x509.GeneralName], datetime, datetime]


def _read(real: bytes | None) -> x509.Certificate | None:
    if not real:
        return None
    try:
        certificate = x509.load_der_x509_certificate(real)
        _copied(certificate)
    except (ValueError, TypeError):
        return None
    return certificate


def _copied(real: x509.Certificate) -> _Copied:
    """Subject, names and validity of a certificate.  Raises ValueError where it is malformed."""
    try:
        found = real.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        found = x509.SubjectAlternativeName([])
    names = [name for name in found if isinstance(name, x509.DNSName | x509.IPAddress)][:MOST]
    if not names:
        names = [x509.DNSName(str(one.value)) for one in real.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
                 if _is_host(str(one.value))]
    return real.subject, names, real.not_valid_before_utc, real.not_valid_after_utc


def _plain(name: str) -> _Copied:
    """The same for a name alone."""
    now = datetime.now(UTC).replace(microsecond=0)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:NAME] or "mailspy")])
    names: list[x509.GeneralName] = []
    try:
        names.append(x509.IPAddress(ipaddress.ip_address(name)))
    except ValueError:
        if _is_host(name):
            names.append(x509.DNSName(name))
    return subject, names, now - EARLIER, now + timedelta(DAYS)


def _is_host(name: str) -> bool:
    return bool(name) and name.isascii() and all(letter.isalnum() or letter in "-._*" for letter in name)
