"""TLS over a link: what is sent comes out on the other side, whatever the cutting; ends are ends."""

from __future__ import annotations

import random
import ssl
import subprocess
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL
from test_authority import OPENSSL, server_certificate

from inspector.capture import note
from inspector.live import handshakes
from inspector.live.hello import LONGEST, RECORDS, Hello
from inspector.live.secure import Refused, Secured, SecureLink
from inspector.pdu import Address, Finding
from inspector.tls import authority, contexts, verification
from inspector.tls.leaf import Leaves

OWN = authority.make()
LEAVES = Leaves(OWN)
REAL = server_certificate(["pop.example"])
SERVER = Address("pop.example", 995)


def served(reached: str = "", leaves: Leaves = LEAVES, real: bytes | None = REAL) -> ssl.SSLContext:
    """The context for a client that has reached us under that name."""
    return contexts.Serving(leaves).of(SERVER, real, reached).context


class Wire:
    """Two plain links with what is between them; octets cross when told to, in pieces."""

    def __init__(self, dice: random.Random | None = None) -> None:
        self.dice = dice
        self.ends = Plain(self), Plain(self)
        self.ends[0].other, self.ends[1].other = self.ends[1], self.ends[0]

    def run(self) -> None:
        while ready := [end for end in self.ends if end.sent and end.other.owner is not None]:
            for end in ready:
                end.cross(self.dice)


class Plain:
    """A link that keeps what is sent."""

    peer = Address("192.0.2.1", 40_000)
    local = Address("127.0.0.1", 1_995)

    def __init__(self, wire: Wire) -> None:
        self.owner = None
        self.client = False
        self.other: Plain
        self.sent: deque[object] = deque()
        self.octets = b""
        """All that was ever sent."""
        self.aborted = False
        self.backlog = 0
        self.full = self.paused = False

    def cross(self, dice: random.Random | None) -> None:
        what = self.sent.popleft()
        owner = self.other.owner
        if what == "fin":
            owner.ended(False)
        elif what == "rst":
            owner.broken(False)
        else:
            size = dice.choice((1, 5, 100, 2_000)) if dice else len(what)
            if what[size:]:
                self.sent.appendleft(what[size:])
            owner.received(False, what[:size])

    def send(self, data: bytes) -> bool:
        assert data
        self.octets += data
        self.sent.append(data)
        return self.full

    def start(self) -> None: ...

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    truncated = False
    failure = ""

    def end(self, truncated: bool = False) -> None:
        self.sent.append("fin")

    close = end

    def abort(self) -> None:
        self.aborted = True
        self.sent.append("rst")


class Listener:
    """Hears what comes out of a secure link."""

    def __init__(self) -> None:
        self.data = b""
        self.told: list[str] = []

    def received(self, client: bool, data: bytes) -> None:
        assert data
        self.data += data

    def ended(self, client: bool) -> None:
        self.told.append("ended")

    def broken(self, client: bool) -> None:
        self.told.append("broken")

    def drained(self, client: bool) -> None:
        self.told.append("drained")


class Pair:
    """A client and a server in TLS."""

    def __init__(self, dice: random.Random | None = None, name: str = "pop.example", serving: ssl.SSLContext | None = None,
                 reaching: ssl.SSLContext | None = None) -> None:
        self.wire = Wire(dice)
        self.outcomes: dict[bool, Secured | Refused] = {}
        self.listeners = {True: Listener(), False: Listener()}
        self.server = SecureLink(self.wire.ends[1], serving or served(), self.settled, server_side=True)
        self.client = SecureLink(self.wire.ends[0], reaching or contexts.reaching(), self.settled, name)
        self.wire.run()

    def settled(self, link: SecureLink, outcome: Secured | Refused) -> None:
        client = link is not getattr(self, "server", None)
        assert client not in self.outcomes
        self.outcomes[client] = outcome
        if isinstance(outcome, Secured):
            link.owner, link.client = self.listeners[client], client
            link.start()


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_octets_cross_in_any_cutting(seed: int | None) -> None:
    pair = Pair(random.Random(seed) if seed else None)
    outcome = pair.outcomes[True]
    assert isinstance(outcome, Secured)
    assert outcome.version == "TLSv1.3"
    assert outcome.cipher
    assert outcome.chain == (LEAVES.of(REAL, "pop.example").public_bytes(Encoding.DER),)
    assert outcome.duration >= 0
    big = random.Random(7).randbytes(200_000)
    pair.client.send(b"USER natkin\r\n")
    pair.server.send(b"+OK\r\n" + big)
    pair.client.send(big)
    pair.wire.run()
    assert pair.listeners[False].data == b"USER natkin\r\n" + big
    assert pair.listeners[True].data == b"+OK\r\n" + big
    assert b"natkin" not in pair.wire.ends[0].octets
    assert pair.listeners[True].told == []


def test_a_half_close_is_kept() -> None:
    """The client ends; the server goes on, and ends too."""
    pair = Pair()
    pair.client.send(b"QUIT\r\n")
    pair.client.end()
    pair.wire.run()
    assert pair.listeners[False].data == b"QUIT\r\n"
    assert pair.listeners[False].told == ["ended"]
    assert not pair.server.truncated
    pair.server.send(b"+OK bye\r\n")
    pair.server.end()
    pair.wire.run()
    assert pair.listeners[True].data == b"+OK bye\r\n"
    assert pair.listeners[True].told == ["ended"]
    assert not pair.client.truncated
    assert pair.client.send(b"too late") is False


def test_an_end_without_a_word_is_seen() -> None:
    pair = Pair()
    pair.wire.ends[1].end()
    pair.wire.run()
    assert pair.listeners[True].told == ["ended"]
    assert pair.client.truncated


def test_an_end_without_a_word_is_passed_on_as_such() -> None:
    """T10: who was cut off on one leg is cut off on the other; the peer can tell."""
    pair = Pair()
    pair.client.end(truncated=True)
    pair.wire.run()
    assert pair.listeners[False].told == ["ended"]
    assert pair.server.truncated


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("trailing", [b"MAIL FROM:<x@y>\r\n", b"\x17\x03\x03\x00\x20" + bytes(32)])
def test_octets_after_the_end_are_nobodys(together: bool, trailing: bytes) -> None:
    """T09: close_notify, then octets on the same connection (CVE-2026-45185): the session is over, and they fill no memory."""
    pair = Pair()
    pair.client.send(b"DATA\r\n")
    pair.client._notify()
    if together:
        pair.wire.ends[0].sent[-1] += trailing
    pair.wire.run()
    for _ in range(3):
        pair.wire.ends[0].sent.append(trailing)
        pair.wire.run()
    assert pair.listeners[False].data == b"DATA\r\n"
    assert pair.listeners[False].told == ["ended", "broken"]
    assert pair.server.failure == "octets came after the end of TLS (close_notify)"
    assert pair.server._in.pending == 0


def test_a_second_alert_is_nothing() -> None:
    pair = Pair()
    pair.client._notify()
    pair.wire.ends[0].sent.append(b"\x15\x03\x03\x00\x13" + bytes(19))
    pair.wire.run()
    assert pair.listeners[False].told == ["ended"]
    pair.server.send(b"+OK\r\n")
    pair.wire.run()
    assert pair.listeners[True].data == b"+OK\r\n"


def test_a_peer_that_complains_of_being_cut_off_has_ended() -> None:
    """OpenSSL answers an end without close_notify by an alert; it is we who have passed it on."""
    pair = Pair()
    pair.client.end(truncated=True)
    pair.wire.run()
    pair.wire.ends[1].sent.append(b"\x17\x03\x03\x00\x13" + bytes(19))
    pair.wire.run()
    assert pair.listeners[True].told == ["ended"]


def test_names_without_end_fill_no_memory() -> None:
    """T12: each name that a client asks for gets its leaf; the number that is kept is bounded."""
    serving = contexts.Serving(LEAVES)
    for number in range(contexts.CONTEXTS + 50):
        serving.of(SERVER, REAL, f"h{number}.example")
    assert len(serving._contexts) == contexts.CONTEXTS
    first = serving.of(SERVER, REAL, "pop.example")
    for name in ("", "*", "*.example", "a" * 255, "a\0b", "a\\x00b", "../../etc/passwd", ".", "pöp.example", "a b"):
        assert serving.of(SERVER, REAL, name) is first, "a name that is none is in the certificate"
        serving.of(Address(name, 995), None, name)
    for name in ("xn--e1afmkfd.example", "192.0.2.1", "::1", "a" * 63 + ".example", "under_score.example"):
        assert serving.of(SERVER, REAL, name) is not first


def test_an_abort_and_a_broken_record() -> None:
    pair = Pair()
    pair.wire.ends[1].abort()
    pair.wire.run()
    assert pair.listeners[True].told == ["broken"]
    pair = Pair()
    pair.wire.ends[1].send(b"\x17\x03\x03\x00\x20" + bytes(32))
    pair.wire.run()
    assert pair.listeners[True].told == ["broken"]


@pytest.mark.parametrize("octets", [
    b"220 no TLS here\r\n", b"-ERR\r\n", b"\x15\x03\x01\x00\x02\x02\x28", b"\x16\x03\x01\xff\xff" * 9])
def test_what_is_no_tls(octets: bytes) -> None:
    wire = Wire()
    told: list[object] = []
    SecureLink(wire.ends[0], contexts.reaching(), lambda link, outcome: told.append(outcome), "pop.example")
    wire.ends[1].owner = Listener()
    wire.ends[1].send(octets)
    wire.run()
    wire.ends[1].end()
    wire.run()
    assert len(told) == 1
    assert isinstance(told[0], Refused)
    assert told[0].theirs is (octets[0] == 0x15)


def test_a_peer_that_leaves_in_the_middle() -> None:
    for how in ("end", "abort"):
        wire = Wire()
        told: list[object] = []
        SecureLink(wire.ends[0], contexts.reaching(), lambda link, outcome: told.append(outcome), "pop.example")
        getattr(wire.ends[1], how)()
        wire.run()
        assert [type(one) for one in told] == [Refused]
        assert "in the middle of the handshake" in told[0].reason


def test_a_client_that_does_not_trust_says_so() -> None:
    """Its alert is told as its own."""
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    pair = Pair(reaching=trusting)
    assert isinstance(pair.outcomes[True], Refused)
    assert not pair.outcomes[True].theirs
    outcome = pair.outcomes[False]
    assert isinstance(outcome, Refused)
    assert outcome.theirs
    assert "unknown ca" in outcome.reason


def test_sessions_are_resumed() -> None:
    """A context serves every client of its name, so a ticket of one connection is good for the next."""
    serving, reaching = served(), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    reaching.check_hostname, reaching.verify_mode = False, ssl.CERT_NONE
    reaching.maximum_version = ssl.TLSVersion.TLSv1_2
    first = Pair(serving=serving, reaching=reaching)
    kept = first.client._tls.session
    wire = Wire()
    outcomes: list[object] = []
    SecureLink(wire.ends[1], serving, lambda link, outcome: outcomes.append(outcome), server_side=True)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    again = reaching.wrap_bio(incoming, outgoing, server_hostname="pop.example", session=kept)
    for _ in range(4):
        try:
            again.do_handshake()
        except ssl.SSLWantReadError:
            pass
        if data := outgoing.read():
            wire.ends[0].sent.append(data)

        class Taker:
            def received(self, _: bool, data: bytes) -> None:
                incoming.write(data)

        wire.ends[0].owner = Taker()
        wire.run()
    assert again.session_reused
    assert [one.resumed for one in outcomes] == [True]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_only_when_asked_for(version: ssl.TLSVersion) -> None:
    for legacy in (False, True):
        reaching = contexts.reaching(legacy=True)
        reaching.maximum_version = version
        outcome = Pair(serving=contexts.Serving(LEAVES, legacy).of(SERVER, REAL, "").context, reaching=reaching).outcomes[True]
        assert isinstance(outcome, Secured if legacy else Refused)
        if not legacy:
            assert "protocol version" in outcome.reason
            assert outcome.theirs


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(("asks", "has"), [(False, True), (True, False), (True, True)])
def test_a_server_that_asks_for_a_certificate(tmp_path, version: ssl.TLSVersion, asks: bool, has: bool) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "ca.pem").write_bytes(authority.pem(OWN))
    (tmp_path / "own.pem").write_bytes(
        ssl.DER_cert_to_PEM_cert(signed(key, [ExtendedKeyUsageOID.CLIENT_AUTH])).encode()
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    serving = served(leaves=Leaves(OWN))
    reaching = contexts.reaching(certificate=str(tmp_path / "own.pem") if has else None)
    reaching.maximum_version = version
    if asks:
        serving.verify_mode = ssl.CERT_OPTIONAL
        serving.load_verify_locations(tmp_path / "ca.pem")
    pair = Pair(serving=serving, reaching=reaching)
    outcome = pair.outcomes[True]
    assert isinstance(outcome, Secured)
    assert (outcome.asked, outcome.shown) == (asks, asks and has)
    assert [len(end.sent) for end in pair.wire.ends] == [0, 0]
    pair.client.send(b"after")
    pair.wire.run()
    assert pair.listeners[False].data == b"after", "what is no longer watched goes on"


@pytest.mark.parametrize("held", [True, False])
def test_who_asks_for_answers_and_does_not_take_them(held: bool) -> None:
    """What TLS itself answers (here: that nobody renegotiates) waits for its reader, and no more is read meanwhile; who
    listens may want nothing at that time as well."""
    wire, outcomes = Wire(), []
    plain = wire.ends[1]
    link = SecureLink(plain, served(), lambda link, outcome: outcomes.append(outcome), server_side=True)
    context = SSL.Context(SSL.TLSv1_2_METHOD)
    end = SSL.Connection(context)
    end.set_connect_state()

    def cross() -> None:
        with suppress(SSL.WantReadError):
            end.do_handshake()
        with suppress(SSL.WantReadError):
            plain.owner.received(False, end.bio_read(100_000))
        while plain.sent:
            end.bio_write(plain.sent.popleft())

    while not outcomes:
        cross()
    link.owner = Listener()
    link.start()
    assert not plain.paused
    plain.full = True
    for _ in range(2):
        assert end.renegotiate()
        cross()
    assert plain.paused
    if held:
        link.pause()
    link.resume()
    assert plain.paused, "it is not for the listener to go on"
    if held:
        link.pause()
    link.drained(False)
    assert plain.paused is held
    link.resume()
    assert not plain.paused


# Verification


def problems(der: bytes, name: str, store: verification.Store) -> list[str]:
    return [problem.name for problem in store.problems([der], name)]


def test_what_is_wrong_with_a_certificate(tmp_path) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.pem(OWN))
    store = verification.Store(str(tmp_path / "ca.pem"))
    good = LEAVES.of(REAL, "").public_bytes(Encoding.DER)
    expired = LEAVES.of(server_certificate(["pop.example"], expired=True), "").public_bytes(Encoding.DER)
    assert problems(good, "pop.example", store) == []
    assert problems(good, "other.example", store) == ["wrong_name"]
    assert problems(good, "192.0.2.1", store) == ["wrong_name"]
    assert problems(expired, "pop.example", store) == ["expired"]
    assert problems(expired, "other.example", store) == ["expired", "wrong_name"]
    assert problems(REAL, "pop.example", store) == ["self_signed"]
    assert problems(good, "pop.example", verification.Store()) == ["unknown_authority"]
    assert problems(b"nonsense", "pop.example", store) == ["invalid"]
    assert [one.name for one in store.problems([], "pop.example")] == ["no_certificate"]
    address = LEAVES.of(None, "192.0.2.7").public_bytes(Encoding.DER)
    assert problems(address, "192.0.2.7", store) == []


def signed(key, uses: list[x509.ObjectIdentifier] | None = None) -> bytes:
    """What an authority might have signed for pop.example, as DER."""
    now = datetime.now(UTC).replace(microsecond=0)
    builder = (x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(OWN.certificate.subject).serial_number(2)
               .public_key(key.public_key()).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(9))
               .add_extension(x509.SubjectAlternativeName([x509.DNSName("pop.example")]), critical=True))
    if uses is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    return builder.sign(OWN.key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_certificates_that_nobody_should_rely_on(tmp_path) -> None:
    """Signed by somebody trusted, and all the same forged with ease, or made for something else."""
    (tmp_path / "ca.pem").write_bytes(authority.pem(OWN))
    store, fine = verification.Store(str(tmp_path / "ca.pem")), ec.generate_private_key(ec.SECP256R1())
    client, server = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
    for der, expected in (
            (signed(fine), []), (signed(fine, [client, server]), []), (signed(rsa.generate_private_key(65_537, 2_048)), []),
            (signed(fine, [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), []),
            (signed(ed25519.Ed25519PrivateKey.generate()), []), (signed(fine, [client]), ["not_for_servers"]),
            (signed(rsa.generate_private_key(65_537, 1_024)), ["weak_key"]),
            (signed(ec.generate_private_key(ec.SECP192R1())), ["weak_key"])):
        assert problems(der, "pop.example", store) == expected


def odd_certificates() -> dict[str, bytes]:
    """What libraries choke on, as DER; most with a signature that is wrong then, which is looked at last."""
    begin = REAL.index(b"\x17\x0d")
    san = x509.ObjectIdentifier("2.5.29.17")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pop.example")])
    builder = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
               .not_valid_before(datetime.now(UTC) - timedelta(1)).not_valid_after(datetime.now(UTC) + timedelta(9)))

    def with_names(value: x509.ExtensionType) -> bytes:
        return builder.add_extension(value, critical=False).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)

    return {
        "version 5": REAL.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x04", 1),
        "an x400 address": with_names(x509.UnrecognizedExtension(san, b"\x30\x02\xa3\x00")),
        "names of 60,000 letters": with_names(x509.SubjectAlternativeName([x509.DNSName("x" * 60_000) for _ in range(10)])),
        "ends before it begins": REAL[:begin] + REAL[begin + 15:begin + 30] + REAL[begin:begin + 15] + REAL[begin + 30:],
        "cut": REAL[:300],
        "empty": b"\x30\x00",
    }


@pytest.mark.parametrize("name", list(odd_certificates()))
@pytest.mark.parametrize("verify", ["on", "warn", "off"])
def test_certificates_that_libraries_choke_on(name: str, verify: str, tmp_path) -> None:
    """They are wrong, which is told within bounds; where the user goes on all the same, a leaf stands for them."""
    shown = odd_certificates()[name]
    (tmp_path / "ca.pem").write_bytes(authority.pem(OWN))
    found = verification.Store(str(tmp_path / "ca.pem")).problems([shown], "pop.example")
    assert found
    secured = Secured("TLSv1.3", "TLS_AES_128_GCM_SHA256", "", (shown,), False, 1)
    leg = handshakes.Leg(secured, shown, "pop.example", problems=tuple(found), verify=verify)
    assert sum(map(len, note.pack([leg.finding("server")], True))) < 20_000
    served = contexts.Serving(LEAVES).of(SERVER, shown, "127.0.0.1")
    assert "127.0.0.1" in verification.facts_of(served.leaf)["names"]


def test_a_note_fits_into_its_comment() -> None:
    """Whatever a finding tells."""
    (octets,) = note.pack([Finding("tls", "s" * 99_999, {"leg": "server", "names": ["n" * 99_999]}, "info")], False)
    assert len(octets) < 2_000
    findings = note.unpack(octets).findings
    assert findings[0].fields == {"leg": "server"}


@pytest.mark.skipif(OPENSSL is None, reason="the openssl program is not there")
def test_a_certificate_that_can_be_forged(tmp_path) -> None:
    """Signed over SHA-1, which the libraries of today do no more."""
    (tmp_path / "ca.pem").write_bytes(authority.pem(OWN))
    (tmp_path / "ca.key").write_bytes(OWN.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    der = tmp_path / "old.der"
    subprocess.run([OPENSSL, "req", "-x509", "-sha1", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", "/dev/null", "-CA", str(tmp_path / "ca.pem"), "-CAkey", str(tmp_path / "ca.key"), "-subj", "/",
                    "-addext", "subjectAltName=DNS:pop.example", "-outform", "DER", "-out", str(der)], check=True,
                   capture_output=True)
    assert problems(der.read_bytes(), "pop.example", verification.Store(str(tmp_path / "ca.pem"))) == ["weak_signature"]
    assert problems(der.read_bytes(), "pop.example", verification.Store()) == ["unknown_authority", "weak_signature"]


def test_a_folder_of_authorities(tmp_path) -> None:
    """Under whatever names, and with other files beside them."""
    (tmp_path / "ours.crt").write_bytes(authority.pem(OWN))
    (tmp_path / "README").write_text("nothing")
    good = LEAVES.of(REAL, "").public_bytes(Encoding.DER)
    assert problems(good, "pop.example", verification.Store(str(tmp_path))) == []


def test_a_store_that_is_none(tmp_path) -> None:
    from inspector.errors import OptionError

    (tmp_path / "x.pem").write_text("nonsense")
    for path in (tmp_path / "x.pem", tmp_path / "none", tmp_path):
        with pytest.raises(OptionError, match="--upstream-ca"):
            verification.Store(str(path))


# Both legs


class Session:
    """A proxy between a client and a server, each of them in TLS or not."""

    def __init__(self, tmp_path, client: bool, server: bool, *, verify: str = "on", host: str = "pop.example",
                 shown: bytes = REAL, trusting: ssl.SSLContext | None = None, asking: str = "pop.example",
                 dice: random.Random | None = None) -> None:
        (tmp_path / "ca.pem").write_bytes(authority.pem(OWN))
        self.outcomes: list[object] = []
        self.ours: list[object] = []
        there = Leaves(OWN)
        self.left, self.right = Wire(dice), Wire()
        interception = handshakes.Interception(contexts.Serving(LEAVES), contexts.reaching(),
                                               verification.Store(str(tmp_path / "ca.pem")), verify)
        self.listener = Listener()
        if server:
            SecureLink(self.right.ends[1], served("", there, shown), self.settled, server_side=True)
        self.handshakes = handshakes.Handshakes(interception, Address(host, 995), self.left.ends[1], self.right.ends[0],
                                                lambda *what: self.ours.append(what), self.ours.append)
        self.handshakes.begin(client, server)
        if client:
            SecureLink(self.left.ends[0], trusting or contexts.reaching(), self.settled, asking or None)
        for _ in range(6):
            self.left.run()
            self.right.run()

    def settled(self, link: SecureLink, outcome: object) -> None:
        self.outcomes.append(outcome)
        link.owner = self.listener


@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize("server", [True, False])
def test_each_leg_is_in_tls_or_not(tmp_path, client: bool, server: bool) -> None:
    session = Session(tmp_path, client, server)
    (ours,) = session.ours
    assert [isinstance(link, SecureLink) for link in ours[:2]] == [client, server]
    assert [leg is not None for leg in ours[2:]] == [client, server]
    assert len(session.outcomes) == client + server
    assert all(isinstance(outcome, Secured) for outcome in session.outcomes)


@pytest.mark.parametrize(("more", "expected"), [
    ({"shown": server_certificate(["pop.example"], expired=True)}, "expired"), ({"host": "other.example"}, "wrong_name")])
def test_a_server_that_is_not_right(tmp_path, more: dict, expected: str) -> None:
    session = Session(tmp_path, True, True, **more)
    (failed,) = session.ours
    assert not failed.client
    assert expected in failed.reason
    assert "--upstream-verify warn" in failed.reason
    assert session.left.ends[1].octets == b"", "the client was shown something"
    for verify, problems in (("warn", [expected]), ("off", [])):
        (ours,) = Session(tmp_path, True, True, verify=verify, **more).ours
        assert [problem.name for problem in ours[3].problems] == problems


def test_a_client_that_does_not_know_the_authority_is_told_how(tmp_path) -> None:
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.maximum_version = ssl.TLSVersion.TLSv1_2
    session = Session(tmp_path, True, True, trusting=trusting)
    failed = session.ours[-1]
    assert failed.client
    assert "mailspy ca install-help" in failed.reason


def names_of(outcome: object) -> list[str]:
    """Those in the certificate that a client was shown."""
    assert isinstance(outcome, Secured)
    return verification.facts_of(outcome.chain[0])["names"]


@pytest.mark.parametrize("seed", [None, 1, 2])
@pytest.mark.parametrize(("asking", "expected"), [
    ("pop.example", ["pop.example"]), ("POP.example", ["pop.example"]), ("other.example", ["pop.example", "other.example"]),
    ("", ["pop.example", "127.0.0.1"])])
def test_the_client_is_shown_whom_it_has_asked_for(tmp_path, asking: str, expected: list[str], seed: int | None) -> None:
    """By SNI, or else by the address that it has connected to; told as it was asked."""
    session = Session(tmp_path, True, True, asking=asking, dice=random.Random(seed) if seed else None)
    for _ in range(2_000 if seed else 0):
        session.left.run()
    (ours,) = session.ours
    (shown,) = [outcome for outcome in session.outcomes if isinstance(outcome, Secured) and outcome.chain]
    assert names_of(shown) == expected
    fields = ours[2].finding("client").fields
    assert fields["names"] == expected
    assert fields["name"] == asking
    assert ours[3].finding("server").fields["names"] == ["pop.example"]


def test_a_session_is_resumed_with_its_own_server_and_name_only() -> None:
    """T11: each server and each leaf has a context, and with it keys for tickets, of its own."""
    serving = contexts.Serving(LEAVES)
    first = serving.of(SERVER, REAL, "pop.example").context
    assert serving.of(SERVER, REAL, "pop.example").context is first
    assert serving.of(Address("pop.example", 465), REAL, "pop.example").context is not first
    assert serving.of(Address("pop.example", 995), REAL, "other.example").context is not first


# The client's hello


def hello_of(name: str, alpn: tuple[str, ...] = ()) -> bytes:
    context = contexts.reaching()
    if alpn:
        context.set_alpn_protocols(list(alpn))
    outgoing = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


def in_records(hello: bytes, size: int) -> bytes:
    """The same handshake message in records of that size (RFC 8446 §5.1)."""
    body = hello[5:]
    pieces = [body[place:place + size] for place in range(0, len(body), size)]
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces)


def heard(*pieces: bytes) -> tuple[list[tuple[bytes, str, tuple[str, ...]]], list[str]]:
    """What is told of a client's first octets, and why there are none."""
    came: list[tuple[bytes, str, tuple[str, ...]]] = []
    gone: list[str] = []
    hello = Hello(Plain(Wire()), lambda octets, hello: came.append(
        (octets, hello.server_name if hello else "none", hello.alpn if hello else ())), gone.append)
    for piece in pieces:
        hello.received(True, piece)
    if not came:
        hello.ended(True)
        hello.broken(True)
    return came, gone


@pytest.mark.parametrize("size", [1, 3, 200, 100_000])
def test_a_hello_is_read_in_any_cutting(size: int) -> None:
    for octets in (hello_of("pop.example", ("pop3", "x")), in_records(hello_of("pop.example", ("pop3", "x")), 100)):
        pieces = [octets[place:place + size] for place in range(0, len(octets), size)]
        assert heard(*pieces) == ([(octets, "pop.example", ("pop3", "x"))], [])


def test_what_is_no_hello_goes_on_to_tls() -> None:
    """It is for TLS to say what is wrong; nothing waits for more than a hello may have, nor for records without end."""
    for octets in (b"USER natkin\r\n", b"U", b"\x80\x2e\x01", b"\x16\x02\x00", b"\x16\x03\x01\x00\x04\x02\x00\x00\x00"):
        assert heard(octets) == ([(octets, "none", ())], [])
    endless = b"\x16\x03\x01\x00\x01\x01" + b"\x16\x03\x01\x00\x01\xff" * 20_000
    for size in (1, 6, 1_000):
        came, _ = heard(*(endless[place:place + size] for place in range(0, len(endless), size)))
        assert len(came[0][0]) <= max(6 * RECORDS, size)
    came, _ = heard(b"\x16\x03\x01\xff\xff", *[bytes(10_000)] * 10)
    assert len(came[0][0]) <= LONGEST + 10_000


def test_a_client_that_leaves_before_its_hello_is_whole() -> None:
    for octets in (b"", b"\x16", hello_of("pop.example")[:-1]):
        assert heard(octets) == ([], ["the connection was closed in the middle of the handshake"])


@pytest.mark.parametrize("name", [b"a\x00b", b"\xff\xfe", b"*", b"[/red]", b"a" * 240, b"../../x", b"\x1b[2J"])
def test_hostile_names_are_served_and_shown_harmlessly(tmp_path, name: bytes) -> None:
    """T12: whatever is asked for, nothing of ours breaks, and it is told in letters that are safe."""
    session = Session(tmp_path, False, False)
    name += b".host.example"
    usual = b".".join([b"x" * 60] * 4)[:len(name) - 13] + b".host.example"
    hello = hello_of(usual.decode())
    assert hello.count(usual) == 1
    wires, told = (Wire(), Wire()), []
    waiting = handshakes.Handshakes(session.handshakes._interception, SERVER, wires[0].ends[1], wires[1].ends[0],
                                    lambda *what: told.append(what), told.append)
    waiting.begin(True, False)
    wires[0].ends[0].owner = Listener()
    wires[0].ends[0].send(hello.replace(usual, name))
    wires[0].run()
    assert waiting._hello is not None
    assert waiting._hello.server_name.isprintable()
    wires[0].ends[0].send(b"\x15\x03\x03\x00\x02\x02\x30")
    wires[0].run()
    (failed,) = told
    assert failed.client


def test_a_handshake_that_takes_too_long(tmp_path) -> None:
    wires = Wire(), Wire()
    told: list[object] = []
    interception = handshakes.Interception(contexts.Serving(LEAVES), contexts.reaching(), verification.Store())
    waiting = handshakes.Handshakes(interception, SERVER, wires[0].ends[1], wires[1].ends[0],
                                    lambda *what: pytest.fail("done"), told.append)
    waiting.begin(True, True)
    waiting.give_up("no handshake within 30 s")
    waiting.give_up("again")
    assert [one.reason for one in told] == ["no handshake within 30 s"]


@pytest.mark.parametrize(("host", "name"), [
    ("pop.example", "pop.example"), ("pop.example.", "pop.example"), ("192.0.2.1", None), ("2001:db8::1", None),
    ("a" * 70 + ".example", None), (".example", None), ("été.example", "été.example"),
    ("under_score.example", "under_score.example")])
def test_whom_a_server_is_asked_for(host: str, name: str | None) -> None:
    """Whatever can be typed, TLS can be begun with it."""
    assert handshakes.asked_name(host) == name
    SecureLink(Wire().ends[0], contexts.reaching(), lambda link, outcome: None, handshakes.asked_name(host))
