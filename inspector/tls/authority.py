"""The certificate authority of this installation.

Rules.  Each installation makes its own; its key never leaves the folder and signs nothing but leaves.  The folder is the user's
alone (0700, files 0600): where others could read or change anything, nothing is used.  Key and certificate are one file, so that
there are always both or none.

    FOLDER/authority.pem     the key, then the certificate
    FOLDER/ca.pem            the certificate alone, for programs that are to trust it
    FOLDER/former-XXXXXXXX.pem    certificates that were replaced: to be removed where they were installed

Knows X.509 (RFC 5280) and the folder.  Must not know who uses it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from inspector.errors import OptionError
from inspector.place import open_folder

BOTH: Final = "authority.pem"
CERTIFICATE: Final = "ca.pem"
FORMER: Final = "former-"
DAYS: Final = 1_826
"""Five years."""
LONGEST: Final = 7_305
"""Twenty."""
EARLIER: Final = timedelta(hours=1)
"""The validity begins before now: clocks differ."""
LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
MOST: Final = 1 << 16
"""Octets of a file that is read."""
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS: Final = 0o077


def default_folder() -> Path:
    """Where the authority is when nobody names a folder."""
    from platformdirs import user_data_dir

    return Path(user_data_dir("mailspy")) / "ca"


@dataclass(frozen=True, slots=True)
class Authority:
    """A key that signs, and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as programs show it: `AB:CD:…`."""
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def name(self) -> str:
        """What it is called in lists of authorities."""
        return str(self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)

    @property
    def expires(self) -> datetime:
        """When it is over, UTC."""
        return self.certificate.not_valid_after_utc


def make(days: int = DAYS, only: Sequence[str] = (), now: datetime | None = None) -> Authority:
    """A new authority, on EC P-256.  `only`: the domains and addresses that it may speak for (RFC 5280 §4.2.1.10), beside this
    machine's own (127.0.0.1); without, for all."""
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "mailspy"),
                      x509.NameAttribute(NameOID.COMMON_NAME, f"mailspy CA {identifier.digest.hex()[:8]}")])
    begin = (now or datetime.now(UTC)).replace(microsecond=0) - EARLIER
    builder = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
               .serial_number(x509.random_serial_number()).not_valid_before(begin).not_valid_after(begin + timedelta(days))
               .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
               .add_extension(_usage(signs_certificates=True), critical=True)
               .add_extension(identifier, critical=False))
    if only:
        permitted = [*map(_permitted, only), *map(x509.IPAddress, LOOPBACK)]
        builder = builder.add_extension(x509.NameConstraints(permitted, None), critical=True)
    return Authority(key, builder.sign(key, hashes.SHA256()))


def _permitted(name: str) -> x509.GeneralName:
    """A domain with its hosts, or one address."""
    try:
        return x509.IPAddress(ip_network(name))
    except ValueError:
        return x509.DNSName(name)


def restriction(authority: Authority) -> list[str]:
    """The domains and addresses that an authority may speak for; none where it may for all."""
    try:
        found = authority.certificate.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
    except x509.ExtensionNotFound:
        return []
    return [str(one.value).removesuffix("/32").removesuffix("/128") for one in found if one.value not in LOOPBACK]


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=signs_certificates, crl_sign=signs_certificates, encipher_only=False,
        decipher_only=False)


# The folder


def exists(folder: Path) -> bool:
    """Whether an authority has been made there."""
    return (folder / BOTH).exists() or (folder / BOTH).is_symlink()


def create(folder: Path, days: int = DAYS, only: Sequence[str] = ()) -> Authority:
    """Makes and keeps an authority.  Raises OptionError, saying the way out."""
    if exists(folder):
        raise OptionError(f"{folder}: there is an authority already; `mailspy ca rotate` replaces it")
    authority = make(days, only)
    try:
        os.close(open_folder(str(folder), make=True))
        _check(os.stat(folder, follow_symlinks=False), folder, stat.S_IFDIR)
        _write(folder / BOTH, _both(authority))
        _replace(folder / CERTIFICATE, pem(authority))
    except OSError as error:
        raise OptionError(f"{error.filename or folder}: {error.strerror}; name another folder by --ca-dir") from error
    return authority


def load(folder: Path) -> Authority:
    """The authority in a folder.  Raises OptionError where there is none, or where others could have touched it."""
    path = folder / BOTH
    try:
        _check(os.stat(folder, follow_symlinks=False), folder, stat.S_IFDIR)
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        where = "" if folder == default_folder() else f" --ca-dir {folder}"
        raise OptionError(f"{folder}: no authority there; `mailspy ca create{where}` makes one") from None
    except OSError as error:
        raise OptionError(f"{path}: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        _check(os.fstat(descriptor), path, stat.S_IFREG)
        octets = file.read(MOST)
    authority = _read(octets, path)
    _restore(folder / CERTIFICATE, pem(authority))
    return authority


def _restore(path: Path, octets: bytes) -> None:
    """The certificate for other programs, where it was removed or is another's."""
    with suppress(OSError):
        if not path.exists() or path.read_bytes() != octets:
            _replace(path, octets)


def rotate(folder: Path, days: int = DAYS, only: Sequence[str] = ()) -> tuple[Authority, Authority]:
    """Replaces an authority: the old one, whose key is gone then, and the new one.  Without `only` the restriction stays.  Raises
    OptionError."""
    old = load(folder)
    new = make(days, only or restriction(old))
    try:
        _replace(folder / f"{FORMER}{old.fingerprint.replace(':', '')[:8].lower()}.pem", pem(old))
        _replace(folder / BOTH, _both(new))
        _replace(folder / CERTIFICATE, pem(new))
    except OSError as error:
        raise OptionError(f"{error.filename or folder}: {error.strerror}") from error
    return old, new


def pem(authority: Authority) -> bytes:
    """The certificate as PEM."""
    return authority.certificate.public_bytes(Encoding.PEM)


def _both(authority: Authority) -> bytes:
    return authority.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + pem(authority)


def _read(octets: bytes, path: Path) -> Authority:
    mend = "restore it, or remove it and run `mailspy ca create`"
    try:
        key, certificate = load_pem_private_key(octets, None), x509.load_pem_x509_certificate(octets)
    except (ValueError, TypeError) as error:
        raise OptionError(f"{path}: not a key with its certificate; {mend}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise OptionError(f"{path}: key and certificate do not belong together; {mend}")
    return Authority(key, certificate)


def _check(facts: os.stat_result, path: Path, kind: int) -> None:
    """Raises OptionError where others than the user can read or change what is there."""
    if stat.S_IFMT(facts.st_mode) != kind:
        plain = "folder" if kind == stat.S_IFDIR else "file"
        raise OptionError(f"{path}: not a plain {plain}; an authority is not used there")
    if facts.st_uid != os.geteuid():
        raise OptionError(f"{path}: belongs to another user; an authority is not used there")
    if facts.st_mode & _OTHERS:
        mode = "0700" if kind == stat.S_IFDIR else "0600"
        raise OptionError(f"{path}: others may read or change it (mode {stat.S_IMODE(facts.st_mode):04o}); if nobody has, "
                          f"`chmod {mode} {path}` mends it, else make a new authority")


def _write(path: Path, octets: bytes) -> None:
    """A new file.  Raises OSError."""
    descriptor = os.open(path, _NEW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(descriptor)


def _replace(path: Path, octets: bytes) -> None:
    """A file that is there whole or not at all, new or not.  Raises OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        draft.unlink()
    _write(draft, octets)
    draft.replace(path)
