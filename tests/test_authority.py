"""`mailspy ca`: an authority of one's own, kept safe; leaves that other programs accept from it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import stat
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID
from test_cli import _nobodys_settings  # noqa: F401 - nobody's settings here either

from inspector.cli import main
from inspector.errors import OptionError
from inspector.tls import authority
from inspector.tls.installing import TARGETS
from inspector.tls.leaf import CACHED, Leaves

OPENSSL = shutil.which("openssl")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "ca"


def ca(folder: Path, *arguments: str) -> int:
    return main(["ca", *arguments, "--ca-dir", str(folder)])


# The command


def test_it_is_made_once_and_shown(folder: Path, capsys) -> None:
    assert ca(folder, "create") == 0
    made = capsys.readouterr().out
    assert ca(folder, "create") == 2
    assert "mailspy ca rotate" in capsys.readouterr().err
    assert ca(folder, "show", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["sha256"] in made
    assert facts["name"] in made
    assert 1_820 < facts["days_left"] < 1_827
    assert ca(folder, "show") == 0
    assert facts["sha256"] in capsys.readouterr().out


def test_its_folder_is_private(folder: Path, capsys) -> None:
    os.umask(0)
    try:
        assert ca(folder, "create") == 0
    finally:
        os.umask(0o022)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {
        "authority.pem": 0o600, "ca.pem": 0o600}
    assert b"PRIVATE KEY" not in (folder / "ca.pem").read_bytes()
    assert "PRIVATE KEY" not in capsys.readouterr().out


@pytest.mark.parametrize(("what", "mode"), [("", 0o750), ("", 0o701), ("authority.pem", 0o640), ("authority.pem", 0o602)])
def test_what_others_could_touch_is_not_used(folder: Path, capsys, what: str, mode: int) -> None:
    assert ca(folder, "create") == 0
    (folder / what).chmod(mode)
    capsys.readouterr()
    assert ca(folder, "show") == 2
    told = capsys.readouterr().err
    assert "chmod" in told
    assert f"{mode:04o}" in told


def test_what_is_no_authority_is_not_used(folder: Path, tmp_path: Path, capsys) -> None:
    assert ca(folder, "show") == 2
    assert "mailspy ca create" in capsys.readouterr().err
    assert ca(folder, "create") == 0
    both = folder / "authority.pem"
    kept = both.read_bytes()
    other = authority.make()
    for octets in (b"", b"nonsense", kept[:300], other.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()) + authority.pem(
                authority.load(folder))):
        both.write_bytes(octets)
        assert ca(folder, "show") == 2
        assert "Traceback" not in capsys.readouterr().err
    both.unlink()
    (tmp_path / "elsewhere").write_bytes(kept)
    both.symlink_to(tmp_path / "elsewhere")
    assert ca(folder, "show") == 2
    assert ca(folder, "create") == 2
    both.unlink()
    os.mkfifo(both, 0o600)
    assert ca(folder, "show") == 2


def test_it_is_replaced(folder: Path, capsys) -> None:
    assert ca(folder, "rotate") == 2
    assert ca(folder, "create") == 0
    old = authority.load(folder)
    capsys.readouterr()
    assert ca(folder, "rotate", "--days", "30") == 0
    new = authority.load(folder)
    told = capsys.readouterr().out
    assert old.name in told
    assert new.name in told
    assert new.key.public_key() != old.key.public_key()
    assert (new.expires - new.certificate.not_valid_before_utc).days == 30
    former = [path for path in folder.iterdir() if path.name.startswith("former-")]
    assert [path.read_bytes() for path in former] == [authority.pem(old)]
    kept = b"".join(path.read_bytes() for path in folder.iterdir())
    secret = old.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    assert secret not in kept


def test_its_certificate_is_exported(folder: Path, tmp_path: Path, capsysbinary) -> None:
    assert ca(folder, "create") == 0
    certificate = authority.load(folder).certificate
    capsysbinary.readouterr()
    assert ca(folder, "export") == 0
    assert x509.load_pem_x509_certificate(capsysbinary.readouterr().out) == certificate
    for form in ("der", "p12"):
        path = str(tmp_path / form)
        assert ca(folder, "export", "--format", form, "--output", path) == 0
        assert ca(folder, "export", "--format", form, "--output", path) == 2
    assert x509.load_der_x509_certificate((tmp_path / "der").read_bytes()) == certificate
    key, _, others = pkcs12.load_key_and_certificates((tmp_path / "p12").read_bytes(), None)
    assert key is None
    assert others == [certificate]


def test_how_to_install_it(folder: Path, capsys) -> None:
    assert ca(folder, "create") == 0
    capsys.readouterr()
    assert ca(folder, "install-help") == 0
    every = capsys.readouterr().out
    for target in ("debian", "thunderbird", "curl", "openssl", "java", "python", "windows", "macos"):
        assert ca(folder, "install-help", target) == 0
        one = capsys.readouterr().out
        assert one.startswith(f"{target}: ")
        assert str(folder / "ca.pem") in one
        assert one in every
    assert set(TARGETS) == {"debian", "thunderbird", "curl", "openssl", "java", "python", "windows", "macos"}
    assert ca(folder, "install-help", "debain") == 2
    assert "debian" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [
    ["create", "--days", "0"], ["create", "--days", "99999"], ["create", "--only", "not a domain"], ["create", "--format", "der"],
    ["show", "--only", "a.example"], ["export", "curl"], ["create", "--json"], ["dance"], [], ["create", "--ca-dir", "/proc/x"]])
def test_mistakes(folder: Path, capsys, arguments: list[str]) -> None:
    assert ca(folder, *arguments) == 2 if "--ca-dir" not in arguments else main(["ca", *arguments]) == 2
    told = capsys.readouterr().err
    assert told.startswith("mailspy: error: ")
    assert told.count("\n") == 1
    assert not folder.exists()


# Leaves


def server_certificate(names: list[str], *, expired: bool = False, common: str = "real.example", bits: int = 2_048) -> bytes:
    """What a server might show, self-signed, as DER."""
    key = rsa.generate_private_key(65_537, bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    now = datetime.now(UTC).replace(microsecond=0)
    begin, end = (now - timedelta(30), now - timedelta(1)) if expired else (now - timedelta(1), now + timedelta(60))
    builder = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
               .serial_number(1).not_valid_before(begin).not_valid_after(end))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_a_leaf_looks_like_the_real_one() -> None:
    own = authority.make()
    leaves = Leaves(own)
    der = server_certificate(["pop.example", "*.mail.example"])
    real, leaf = x509.load_der_x509_certificate(der), leaves.of(der, "pop.example")
    assert leaf.subject == real.subject
    assert leaf.issuer == own.certificate.subject
    assert (leaf.not_valid_before_utc, leaf.not_valid_after_utc) == (real.not_valid_before_utc, real.not_valid_after_utc)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    assert names == ["pop.example", "*.mail.example"]
    assert isinstance(leaf.public_key(), ec.EllipticCurvePublicKey)
    assert leaf.public_key() != own.certificate.public_key()
    assert leaf.serial_number != real.serial_number
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert leaves.of(der, "pop.example") is leaf
    assert leaves.of(der, "other.example") is leaf


def names_in(leaf: x509.Certificate) -> list[str]:
    return [str(one.value) for one in leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value]


@pytest.mark.parametrize(("reached", "added"), [
    ("", []), ("pop.example", []), ("POP.EXAMPLE.", []), ("a.mail.example", []), ("a.b.mail.example", ["a.b.mail.example"]),
    ("mail.example", ["mail.example"]), ("localhost", ["localhost"]), ("127.0.0.1", ["127.0.0.1"]), ("::1", ["::1"]),
    ("*.example", []), ("no host", []), ("a" * 254, [])])
def test_a_client_finds_the_name_under_which_it_has_reached_us(reached: str, added: list[str]) -> None:
    leaves = Leaves(authority.make())
    der = server_certificate(["pop.example", "*.mail.example"])
    leaf = leaves.of(der, "pop.example", reached)
    assert names_in(leaf) == ["pop.example", "*.mail.example", *added]
    assert (leaf is leaves.of(der, "pop.example")) is not bool(added)
    assert leaves.of(der, "pop.example", reached) is leaf


def test_leaves_of_odd_certificates() -> None:
    leaves = Leaves(authority.make())
    for der, name, expected in ((None, "192.0.2.7", "192.0.2.7"), (None, "pop.example", "pop.example"),
                                (b"nonsense", "pop.example", "pop.example"),
                                (server_certificate([], common="mx.example"), "", "mx.example")):
        assert names_in(leaves.of(der, name)) == [expected]
    assert list(leaves.of(None, "").subject)
    expired = leaves.of(server_certificate(["old.example"], expired=True), "old.example")
    assert expired.not_valid_after_utc < datetime.now(UTC)


def test_the_cache_is_bounded() -> None:
    leaves = Leaves(authority.make())
    first = leaves.of(None, "0.example")
    for number in range(1, CACHED + 1):
        leaves._cached[b"", f"{number}.example", ""] = first
    leaves.of(None, "new.example")
    assert len(leaves._cached) <= CACHED + 1
    assert leaves.of(None, "0.example") is not first


def handshake(own: authority.Authority, leaves: Leaves, leaf: x509.Certificate, name: str, tmp_path: Path) -> str:
    """Python's own TLS on both ends: the version agreed on."""
    chain = tmp_path / "leaf.pem"
    chain.write_bytes(leaf.public_bytes(serialization.Encoding.PEM) + leaves.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(chain)
    trusting = ssl.create_default_context(cadata=authority.pem(own).decode())
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    here, there = socket.socketpair()
    answer: list[str] = []

    def serve() -> None:
        try:
            with serving.wrap_socket(there, server_side=True) as connection:
                connection.recv(1)
        except OSError as error:
            answer.append(str(error))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with trusting.wrap_socket(here, server_hostname=name) as connection:
            return str(connection.version())
    finally:
        here.close()
        thread.join(10)


def test_programs_that_trust_the_authority_accept_its_leaves(tmp_path: Path) -> None:
    own = authority.make()
    leaves = Leaves(own)
    leaf = leaves.of(server_certificate(["pop.example"]), "pop.example")
    assert handshake(own, leaves, leaf, "pop.example", tmp_path) == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(own, leaves, leaf, "other.example", tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        handshake(own, leaves, leaves.of(server_certificate(["pop.example"], expired=True), ""), "pop.example", tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"self-signed|unable to get local issuer"):
        handshake(authority.make(), leaves, leaf, "pop.example", tmp_path)


def test_an_authority_for_some_domains_speaks_for_these(tmp_path: Path) -> None:
    own = authority.make(only=["example.org"])
    leaves = Leaves(own)
    inside = leaves.of(server_certificate(["pop.example.org"], common="pop.example.org"), "")
    assert handshake(own, leaves, inside, "pop.example.org", tmp_path) == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        outside = leaves.of(server_certificate(["bank.example"], common="bank.example"), "")
        handshake(own, leaves, outside, "bank.example", tmp_path)


def test_a_restricted_authority_serves_this_machine_and_no_other_address(tmp_path: Path) -> None:
    own = authority.make(only=["example.org", "192.0.2.7"])
    assert authority.restriction(own) == ["example.org", "192.0.2.7"]
    leaves = Leaves(own)
    for address in ("127.0.0.1", "192.0.2.7"):
        assert handshake(own, leaves, leaves.of(None, address), address, tmp_path) == "TLSv1.3"
    reached = leaves.of(server_certificate(["pop.example.org"], common="pop.example.org"), "", "127.0.0.1")
    assert handshake(own, leaves, reached, "127.0.0.1", tmp_path) == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        handshake(own, leaves, leaves.of(None, "192.0.2.8"), "192.0.2.8", tmp_path)


def test_a_restriction_stays_when_the_authority_is_replaced(folder: Path, capsys) -> None:
    assert ca(folder, "create", "--only", "example.org") == 0
    assert "only         example.org, and this machine" in capsys.readouterr().out
    assert ca(folder, "rotate") == 0
    assert "only         example.org, and this machine" in capsys.readouterr().out
    assert ca(folder, "show", "--json") == 0
    assert json.loads(capsys.readouterr().out)["only"] == ["example.org"]
    assert ca(folder, "rotate", "--only", "other.example") == 0
    assert authority.restriction(authority.load(folder)) == ["other.example"]


def test_a_certificate_that_was_removed_is_there_again(folder: Path) -> None:
    own = authority.create(folder)
    for spoil in (Path.unlink, lambda path: path.write_bytes(b"another's")):
        spoil(folder / "ca.pem")
        authority.load(folder)
        assert (folder / "ca.pem").read_bytes() == authority.pem(own)
        assert stat.S_IMODE((folder / "ca.pem").stat().st_mode) == 0o600


def test_a_folder_that_was_named_must_have_one(tmp_path: Path, capsys) -> None:
    """Else TLS would be passed on unseen, and nobody would know why."""
    assert main(["--listen", "0", "--upstream", "pop3://192.0.2.1:110", "--ca-dir", str(tmp_path / "nope")]) == 2
    assert f"`mailspy ca create --ca-dir {tmp_path / 'nope'}` makes one" in capsys.readouterr().err


@pytest.mark.integration
@pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed")
def test_openssl_accepts_it(folder: Path, tmp_path: Path) -> None:
    own = authority.create(folder)
    leaf = Leaves(own).of(server_certificate(["pop.example"]), "pop.example")
    (tmp_path / "leaf.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    said = subprocess.run([OPENSSL, "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "pop.example",
                           "-CAfile", str(folder / "ca.pem"), str(tmp_path / "leaf.pem")], capture_output=True, check=False)
    assert said.stdout.endswith(b": OK\n"), said


def test_the_folder_by_default_is_the_users(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert authority.default_folder() == tmp_path / "mailspy" / "ca"
    with pytest.raises(OptionError, match="mailspy ca create"):
        authority.load(authority.default_folder())
