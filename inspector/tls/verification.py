"""Whether a server's certificate is what it should be: signed by somebody trusted, valid now, for the right name.

Rules.  What is wrong is told, all of it; who asks decides what follows from it.  The chain is judged by OpenSSL, the name by
service-identity (RFC 6125, RFC 9525).

Knows certificates and stores of authorities.  Must not know connections.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from time import monotonic
from typing import Any, Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import crypto
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address

from inspector.errors import OptionError
from inspector.tls.names import address_of

EXPIRED: Final = "expired"
NOT_YET_VALID: Final = "not_yet_valid"
SELF_SIGNED: Final = "self_signed"
UNKNOWN_AUTHORITY: Final = "unknown_authority"
WRONG_NAME: Final = "wrong_name"
NO_CERTIFICATE: Final = "no_certificate"
NOT_FOR_SERVERS: Final = "not_for_servers"
WEAK_KEY: Final = "weak_key"
WEAK_SIGNATURE: Final = "weak_signature"
INVALID: Final = "invalid"

REASONS: Final = {9: NOT_YET_VALID, 10: EXPIRED, 18: SELF_SIGNED, 19: UNKNOWN_AUTHORITY, 2: UNKNOWN_AUTHORITY,
                  20: UNKNOWN_AUTHORITY, 21: UNKNOWN_AUTHORITY}
"""What OpenSSL's codes mean (X509_V_ERR_…); any other is `invalid`."""
LONGEST: Final = 20
"""Certificates of a chain that are looked at."""
LEAST_BITS: Final[Sequence[tuple[type, int]]] = ((rsa.RSAPublicKey, 2_048), (dsa.DSAPublicKey, 2_048),
                                                 (ec.EllipticCurvePublicKey, 224))
"""Of a key (112 bits of security: NIST SP 800-57 part 1 §5.6.1; what OpenSSL's level 2 asks for)."""
WEAK_DIGESTS: Final = frozenset({"md5", "sha1"})
"""Those for which collisions have been made (RFC 6194, RFC 9155)."""


REMEMBERED: Final = 60.0
"""Seconds for which it is remembered what is wrong with a chain: judging costs more than half a handshake."""
MOST_REMEMBERED: Final = 100
LONGEST_NAME: Final = 253
"""Characters of a name that are told (RFC 1035 §2.3.4 allows a host no more)."""
LONGEST_DETAIL: Final = 300
"""Characters of what is told of a problem."""


class Problem(NamedTuple):
    """Something wrong with a certificate."""

    name: str
    """One of the words above."""
    detail: str


class Store:
    """The authorities that are trusted."""

    def __init__(self, path: str | None = None) -> None:
        """Those in a PEM file or a folder of them; without, those of the system.  Raises OptionError."""
        self._store = crypto.X509Store()
        self._found: OrderedDict[tuple[tuple[bytes, ...], str, int], Sequence[Problem]] = OrderedDict()
        paths = ssl.get_default_verify_paths()
        try:
            if path is not None:
                _load(self._store, path)
            elif paths.cafile or paths.capath:
                self._store.load_locations(paths.cafile, paths.capath)
        except (crypto.Error, OSError, ValueError) as error:
            raise OptionError(f"--upstream-ca {path}: no certificates there: expected a PEM file or a folder of them") from error

    def problems(self, chain: Sequence[bytes], name: str) -> Sequence[Problem]:
        """What is wrong with a chain (DER, the server's own first) for a server of that name or address, as of this minute."""
        wanted = tuple(chain[:LONGEST]), name, int(monotonic() / REMEMBERED)
        found = self._found.get(wanted)
        if found is None:
            found = self._found[wanted] = self._look(wanted[0], name)
            if len(self._found) > MOST_REMEMBERED:
                self._found.popitem(last=False)
        return found

    def _look(self, chain: Sequence[bytes], name: str) -> Sequence[Problem]:
        if not chain:
            return [Problem(NO_CERTIFICATE, "the server has shown none")]
        try:
            certificates = [x509.load_der_x509_certificate(one) for one in chain]
            return [*self._untrusted(certificates), *_misused(certificates[0]), *_misnamed(certificates[0], name)]
        except Exception as error:  # whatever the libraries make of hostile octets
            return [Problem(INVALID, f"malformed: {error}"[:LONGEST_DETAIL])]

    def _untrusted(self, certificates: Sequence[x509.Certificate]) -> list[Problem]:
        leaf, *others = [crypto.X509.from_cryptography(one) for one in certificates]
        try:
            chain = crypto.X509StoreContext(self._store, leaf, others).get_verified_chain()
        except crypto.X509StoreContextError as error:
            code = int(error.errors[0])
            return [Problem(REASONS.get(code, INVALID), str(error.errors[2])), *_weak(certificates[:1])]
        return _weak([one.to_cryptography() for one in chain[:-1]] or certificates[:1])


def _load(store: crypto.X509Store, path: str) -> None:
    import os

    if not os.path.isdir(path):
        _load_file(store, path)
        return
    loaded = 0
    for name in sorted(os.listdir(path)):
        # Keys and other files may lie beside them; OpenSSL's own way wants them under their hashes.
        with suppress(ValueError, OSError):
            _load_file(store, os.path.join(path, name))
            loaded += 1
    if not loaded:
        raise ValueError(path)


def _load_file(store: crypto.X509Store, path: str) -> None:
    with open(path, "rb") as file:
        for one in x509.load_pem_x509_certificates(file.read()):
            store.add_cert(crypto.X509.from_cryptography(one))


def _weak(certificates: Sequence[x509.Certificate]) -> list[Problem]:
    """What could be forged of a chain without its authority, whose own signature nobody relies on."""
    found: list[Problem] = []
    for one in certificates:
        key, digest = one.public_key(), one.signature_hash_algorithm
        least = next((bits for kind, bits in LEAST_BITS if isinstance(key, kind)), 0)
        bits = getattr(key, "key_size", least)
        if bits < least:
            found.append(Problem(WEAK_KEY, f"of {bits} bits, where {least} are the least"))
        if digest is not None and digest.name in WEAK_DIGESTS and one.issuer != one.subject:
            found.append(Problem(WEAK_SIGNATURE, f"over {digest.name.upper()}, which can be forged"))
    return found


def _misused(certificate: x509.Certificate) -> list[Problem]:
    """Whether it is for something else than servers (RFC 5280 §4.2.1.12)."""
    try:
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return []
    if any(one in (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE) for one in uses):
        return []
    return [Problem(NOT_FOR_SERVERS, "its extended key usage does not have serverAuth")]


def _misnamed(certificate: x509.Certificate, name: str) -> list[Problem]:
    try:
        if address_of(name) is not None:
            verify_certificate_ip_address(certificate, name)
        else:
            verify_certificate_hostname(certificate, name)
    except (VerificationError, CertificateError, ValueError):
        names = ", ".join(names_of(certificate))[:LONGEST_DETAIL] or "nobody"
        return [Problem(WRONG_NAME, f"for {names}, not for {name}")]
    return []


@lru_cache(maxsize=256)
def facts_of(der: bytes) -> dict[str, Any]:
    """Of a certificate (DER): whom it is for, who has signed it, its SHA-256, until when it is valid; empty what cannot be told,
    and all where there is none."""
    names: list[str] = []
    told = {"names": names, "issuer": "", "certificate": sha256(der).hexdigest() if der else "", "valid_until": ""}
    try:
        certificate = x509.load_der_x509_certificate(der)
        names += names_of(certificate)
        told["issuer"] = certificate.issuer.rfc4514_string()[:LONGEST_NAME]
        told["valid_until"] = f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    except Exception:  # whatever the library makes of hostile octets
        return told
    return told


def digest_of(path: str | None) -> str:
    """The SHA-256 of the first certificate in a PEM file; empty without one.  Raises OSError, ValueError."""
    if path is None:
        return ""
    with open(path, "rb") as file:
        return x509.load_pem_x509_certificates(file.read())[0].fingerprint(hashes.SHA256()).hex()


def names_of(certificate: x509.Certificate) -> list[str]:
    """The names and addresses that a certificate is for, ten of them at most."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [str(one.value)[:LONGEST_NAME] for one in found if isinstance(one, x509.DNSName | x509.IPAddress)][:10]
