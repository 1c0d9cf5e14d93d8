"""Records of TLS opened with their keys: every version and suite that is read, in any cutting; and what does not open."""

from __future__ import annotations

import random
import ssl
from collections.abc import Sequence
from contextlib import suppress

import pytest
from dialogue import Witness
from OpenSSL import SSL
from test_authority import server_certificate

from inspector.keylog import Keys
from inspector.live.sealed import finished
from inspector.pdu import C2S, S2C, Address, Flow
from inspector.pipeline import Pipeline
from inspector.segment import Gap, Opened, Secrets, Segment
from inspector.tls import authority, contexts
from inspector.tls.leaf import Leaves
from inspector.unsealing import BROKEN, HOPELESS, LONGEST_WAIT, READABLE, SUITES, WAITING, Unsealing

REAL = server_certificate(["pop.example"])
LEAVES = Leaves(authority.make())
TALK = [(False, b"+OK ready\r\n"), (True, b"CAPA\r\n"), (False, b"+OK\r\nTOP\r\n.\r\n"), (True, b"x" * 40_000),
        (False, b"y" * 70_000), (True, b"QUIT\r\n"), (False, b"+OK bye\r\n")]

Wire = Sequence[tuple[bool, bytes]]
QUIET = [TALK[0], TALK[1], TALK[2], TALK[5], TALK[6]]


def talk(tmp_path, name: str, version: ssl.TLSVersion, suites: str = "", curve: str = "", said: Wire = ()) -> tuple[Wire, bytes]:
    """What crosses when `TALK`, or something else, is said in TLS, and the keys."""
    keylog = tmp_path / name
    client = contexts.reaching(keylog=str(keylog))
    server = contexts.Serving(LEAVES).of(Address("pop.example", 995), REAL, "").context
    client.minimum_version = client.maximum_version = version
    if suites or curve:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        contexts.Serving(LEAVES)._load(server, LEAVES.of(REAL, "pop.example"))
    if suites:
        for one in (client, server):
            one.set_ciphers(f"{suites}:@SECLEVEL=0")
    if curve:
        server.set_ecdh_curve(curve)
    coming = {True: ssl.MemoryBIO(), False: ssl.MemoryBIO()}
    going = {True: ssl.MemoryBIO(), False: ssl.MemoryBIO()}
    ends = {True: client.wrap_bio(coming[True], going[True], server_hostname="pop.example"),
            False: server.wrap_bio(coming[False], going[False], True)}
    wire: list[tuple[bool, bytes]] = []

    def crossing(sender: bool) -> None:
        """What one side has written is seen, and reaches the other."""
        if data := going[sender].read():
            wire.append((sender, data))
            coming[not sender].write(data)

    done: set[bool] = set()
    while len(done) < 2:
        for side in (True, False):
            try:
                ends[side].do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
            crossing(side)
    for side, text in said or TALK:
        ends[side].write(text)
        crossing(side)
        got = b""
        while len(got) < len(text):
            got += ends[not side].read(100_000)
        assert got == text
    return wire, keylog.read_bytes()


CASES = [(ssl.TLSVersion.TLSv1_3, "", ""), (ssl.TLSVersion.TLSv1_3, "", "secp384r1"),
         *((ssl.TLSVersion.TLSv1_2, suite, "") for suite in (
             "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
             "ECDHE-ECDSA-AES128-CCM", "ECDHE-ECDSA-AES256-CCM8"))]


def opened(wire: Wire, keys: Keys, dice: random.Random | None = None) -> tuple[Unsealing, dict[bool, bytes]]:
    """What comes out of each direction."""
    unsealing, out = Unsealing(keys), {True: b"", False: b""}
    for client, data in wire:
        place = 0
        while place < len(data):
            size = dice.choice((1, 3, 100, 5_000)) if dice else len(data)
            out[client] += unsealing.feed(client, data[place:place + size], 0)
            place += size
    return unsealing, out


def known(keylog: bytes) -> Keys:
    keys = Keys()
    keys.add(keylog)
    return keys


SAID = {side: b"".join(text for one, text in TALK if one is side) for side in (True, False)}


@pytest.mark.parametrize(("version", "suites", "curve"), CASES)
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_what_was_said_comes_out(tmp_path, version: ssl.TLSVersion, suites: str, curve: str, seed: int | None) -> None:
    wire, keylog = talk(tmp_path, "keys", version, suites, curve)
    unsealing, out = opened(wire, known(keylog), random.Random(seed) if seed else None)
    assert unsealing.state is READABLE
    assert unsealing.raw == []
    assert out == SAID
    assert unsealing.agreed[0] == {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
    assert unsealing.agreed[1] == suites or not suites


@pytest.mark.parametrize("suite", [suite.name for suite in SUITES.values() if suite.name.startswith("TLS_")])
def test_what_was_said_comes_out_by_every_suite_of_tls_1_3(suite: str) -> None:
    """Of which Python's own ssl cannot choose."""
    keylog = b""

    def logged(_: SSL.Connection, line: bytes) -> None:
        nonlocal keylog
        keylog += line + b"\n"

    ends = {}
    for client in (True, False):
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_tls13_ciphersuites(f"{suite}".encode())
        context.set_cipher_list(b"ALL:@SECLEVEL=0")
        context.set_keylog_callback(logged)
        if not client:
            context.use_certificate(LEAVES.of(REAL, "pop.example"))
            context.use_privatekey(LEAVES.key)
        ends[client] = SSL.Connection(context)
        (ends[client].set_connect_state if client else ends[client].set_accept_state)()
    wire: list[tuple[bool, bytes]] = []

    def crossing(sender: bool) -> None:
        with suppress(SSL.WantReadError):
            while data := ends[sender].bio_read(100_000):
                wire.append((sender, data))
                ends[not sender].bio_write(data)

    for side in (True, False, True, False):
        with suppress(SSL.WantReadError):
            ends[side].do_handshake()
        crossing(side)
    for side, text in QUIET:
        ends[side].send(text)
        crossing(side)
        assert ends[not side].recv(1_000) == text
    unsealing, out = opened(wire, known(keylog))
    assert unsealing.agreed == ("TLSv1.3", suite)
    assert out == {side: b"".join(text for one, text in QUIET if one is side) for side in (True, False)}


def test_every_suite_has_its_keys() -> None:
    assert all(suite.key in (16, 32) and suite.digest in ("sha256", "sha384") for suite in SUITES.values())


def test_without_keys_everything_is_given_back(tmp_path) -> None:
    wire, _ = talk(tmp_path, "keys", ssl.TLSVersion.TLSv1_3)
    unsealing = Unsealing(Keys())
    assert unsealing.feed(*wire[0], 7) == b""
    assert unsealing.state is HOPELESS
    assert unsealing.raw == [(*wire[0], 7)]


def test_what_is_no_tls_is_given_back() -> None:
    for data in (b"CAPA\r\n", b"\x16\x05\x01\x00\x02xx", b"\x16\x03\x01\xff\xff" + b"x" * 99, b"\x17\x03\x03\x00\x01x"):
        unsealing = Unsealing(Keys())
        unsealing.feed(True, data, 0)
        assert unsealing.state in (HOPELESS, WAITING)
        assert unsealing.raw == [(True, data, 0)]


def test_what_comes_before_a_hello_is_bounded() -> None:
    """A server may send records for ever while the client has said nothing."""
    unsealing, record = Unsealing(Keys()), b"\x16\x03\x03\x40\x00\x02\0\0\0" + bytes(16_380)
    fed = 0
    while unsealing.state is WAITING:
        unsealing.feed(False, record, 0)
        fed += len(record)
        assert fed <= LONGEST_WAIT + len(record)
    assert unsealing.state is HOPELESS
    assert sum(len(data) for _, data, _ in unsealing.raw) == fed


@pytest.mark.parametrize("seed", range(200))
def test_no_octets_raise(tmp_path, seed: int) -> None:
    """Any octet wrong: nothing false comes out, and nothing is raised."""
    if not hasattr(test_no_octets_raise, "talk"):
        test_no_octets_raise.talk = talk(tmp_path, "keys", ssl.TLSVersion.TLSv1_3)
    wire, keylog = test_no_octets_raise.talk
    dice = random.Random(seed)
    broken = [(client, bytearray(data)) for client, data in wire]
    octets = broken[dice.randrange(len(broken))][1]
    octets[dice.randrange(len(octets))] ^= 1 << dice.randrange(8)
    unsealing, out = opened([(client, bytes(data)) for client, data in broken], known(keylog))
    assert all(SAID[side].startswith(out[side]) for side in (True, False))
    assert unsealing.state in (READABLE, BROKEN, HOPELESS, WAITING)


def test_key_logs_of_any_form() -> None:
    """Comments, junk and other programs' lines are passed over; what is known is bounded."""
    keys = Keys()
    keys.add(b"# TLS secrets log file\nCLIENT_RANDOM " + b"ab" * 32 + b" " + b"cd" * 48 + b"\r\nRSA 1234 5678\njunk\n"
             b"CLIENT_TRAFFIC_SECRET_0 " + b"AB" * 32 + b" " + b"ef" * 32 + b"\nCLIENT_RANDOM zz aa\n")
    assert keys.of(b"\xab" * 32) == {"CLIENT_RANDOM": b"\xcd" * 48, "CLIENT_TRAFFIC_SECRET_0": b"\xef" * 32}
    assert keys.of(b"\x00" * 32) == {}


# In captures of others


def told(*events) -> list[str]:
    """What the pipeline makes of events."""
    witness = Witness()
    pipeline = Pipeline(witness)
    pipeline.take_all(events)
    pipeline.finish()
    return [f"{pdu.direction} {pdu.verb} {pdu.size}" for pdu in witness.pdus] + [name for name, _ in witness.anomalies]


def foreign(port: int, wire: Wire, before: Wire = ()) -> list:
    """A capture that somebody else has made."""
    flow = Flow(1, Address("127.0.0.1", 40_000), Address("192.0.2.1", port), 1_000_000)
    return [Opened(flow, own=False), *(Segment(1, C2S if client else S2C, 1_000_000, data) for client, data in [*before, *wire])]


def test_a_session_in_tls_from_its_first_octet(tmp_path) -> None:
    wire, keylog = talk(tmp_path, "keys", ssl.TLSVersion.TLSv1_3, said=QUIET)
    assert told(Secrets(0, 0, keylog), *foreign(995, wire)) == ["S->C  11", "C->S CAPA 6", "S->C CAPA 5", "S->C CAPA 8",
                                                               "C->S QUIT 6", "S->C QUIT 9"]
    veiled = told(*foreign(995, wire))
    assert len(veiled) > 6
    assert not any("CAPA" in line for line in veiled)


@pytest.mark.parametrize("port", [1_995, 110])
def test_on_any_port_where_there_are_keys(tmp_path, port: int) -> None:
    """As a tcpdump beside mailspy's own listener has it; the octets of a hello may come in pieces."""
    wire, keylog = talk(tmp_path, "keys", ssl.TLSVersion.TLSv1_3, said=QUIET)
    cut = [(True, wire[0][1][:20]), (True, wire[0][1][20:]), *wire[1:]]
    expected = ["S->C  11", "C->S CAPA 6", "S->C CAPA 5", "S->C CAPA 8", "C->S QUIT 6", "S->C QUIT 9"]
    assert told(Secrets(0, 0, keylog), *foreign(port, cut)) == expected
    if port == 1_995:
        assert told(*foreign(port, cut)) == told(Secrets(0, 0, b"CLIENT_RANDOM " + b"00" * 32 + b" " + b"11" * 48 + b"\n"),
                                                 *foreign(port, cut)) == []


def test_what_is_no_mail_in_tls_is_left_out(tmp_path) -> None:
    web = [(True, b"GET / HTTP/1.1\r\n\r\n"), (False, b"HTTP/1.1 200 OK\r\n\r\n")]
    wire, keylog = talk(tmp_path, "keys", ssl.TLSVersion.TLSv1_3, said=web)
    assert told(Secrets(0, 0, keylog), *foreign(8_443, wire)) == []


def test_a_session_that_goes_over_to_tls(tmp_path) -> None:
    wire, keylog = talk(tmp_path, "keys", ssl.TLSVersion.TLSv1_2, said=QUIET[1:])
    before = [(False, b"+OK ready\r\n"), (True, b"STLS\r\n"), (False, b"+OK go\r\n")]
    found = told(Secrets(0, 0, keylog), *foreign(110, wire, before))
    assert found == ["S->C  11", "C->S STLS 6", "S->C STLS 8", "C->S CAPA 6", "S->C CAPA 5", "S->C CAPA 8", "C->S QUIT 6",
                     "S->C QUIT 9"]


def test_octets_that_are_missing_end_it(tmp_path) -> None:
    wire, keylog = talk(tmp_path, "keys", ssl.TLSVersion.TLSv1_3, said=QUIET)
    events = [Secrets(0, 0, keylog), *foreign(995, wire)]
    found = told(*events[:-3], Gap(1, S2C, 1_000_000, 50), *events[-3:])
    assert "tcp_gap" in found
    assert found[0] == "S->C  11"


def test_a_record_that_does_not_open_ends_it_and_is_told(tmp_path) -> None:
    wire, keylog = talk(tmp_path, "keys", ssl.TLSVersion.TLSv1_3, said=QUIET)
    client, data = wire[-1]
    found = told(Secrets(0, 0, keylog), *foreign(995, [*wire[:-1], (client, data[:-1] + bytes([data[-1] ^ 1]))]))
    assert "sealed" in found
    assert "C->S QUIT 6" in found
    assert "S->C QUIT 9" not in found


def test_a_record_that_did_not_open_live_either(tmp_path) -> None:
    """In a capture of our own: what was told then is in it."""
    wire, keylog = talk(tmp_path, "keys", ssl.TLSVersion.TLSv1_3, said=QUIET)
    client, data = wire[-1]
    flow = Flow(1, Address("127.0.0.1", 40_000), Address("192.0.2.1", 995), 1_000_000, "pop3", secure=True, sealed=True)
    spoiled = foreign(995, [*wire[:-1], (client, data[:-1] + bytes([data[-1] ^ 1])), (client, data)])[1:]
    found = told(Opened(flow), Secrets(0, 0, keylog), *spoiled)
    assert found == ["S->C  11", "C->S CAPA 6", "S->C CAPA 5", "S->C CAPA 8", "C->S QUIT 6"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_where_the_clients_handshake_ends(tmp_path, version: ssl.TLSVersion) -> None:
    """A command may come right behind it."""
    wire, _ = talk(tmp_path, "keys", version, said=[(True, b"CAPA\r\n")])
    flights = [data for client, data in wire if client]
    name = "TLSv1.3" if version is ssl.TLSVersion.TLSv1_3 else "TLSv1.2"
    assert finished(flights[1] + flights[2], name) == len(flights[1])
    assert finished(flights[1], name) == len(flights[1])


def test_our_own_capture_of_records_without_its_keys(tmp_path) -> None:
    """Records are told as records, and nothing is said to be odd about them."""
    wire, keylog = talk(tmp_path, "keys", ssl.TLSVersion.TLSv1_3, said=QUIET)
    flow = Flow(1, Address("127.0.0.1", 40_000), Address("192.0.2.1", 995), 1_000_000, "pop3", secure=True, sealed=True)
    events = [Opened(flow), *foreign(995, wire)[1:]]
    found = told(*events)
    assert not any("CAPA" in line for line in found)
    assert "cross_protocol" not in found
    assert len(found) > 6
    flow.closed = 0
    assert told(Secrets(0, 0, keylog), *events)[:2] == ["S->C  11", "C->S CAPA 6"]
