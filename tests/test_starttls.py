"""TLS that begins in a session: what crosses the gate before, at and after the switch, whole and in any cutting.

The wall: no octet received in the clear is ever read as if it had come in TLS, either way.
"""

from __future__ import annotations

import random

import pytest
from links import FakeLink
from told import listener, replayed

from inspector.capture.reader import read_all
from inspector.capture.writer import CaptureWriter
from inspector.gate import FlowGate
from inspector.live.relay import GatedRelay
from inspector.offers import weak
from inspector.pdu import S2C, Address, Finding, Flow
from inspector.protocols.pop3.starttls import STLS
from inspector.protocols.smtp.starttls import SMTP
from inspector.segment import Opened, Segment
from inspector.starttls import FOLLOW, HIDE, PASS, REFUSE, SERVE, Policy

HELLO = b"\x16\x03\x01\x00\x05\x01ello"
SWITCHED = [Finding("tls", f"{leg} leg: TLSv1.3", {"leg": leg}) for leg in ("server", "client")]


class Live:
    """A gated relay between two fake links; TLS begins at once when it may."""

    def __init__(self, protocol: str, policy: Policy, capture: CaptureWriter | None = None, holds: bool = False,
                 drops: bool = False) -> None:
        told, self.pipeline = listener()
        self.told = told.told
        self.links = FakeLink(), FakeLink()
        self.inner = FakeLink(), FakeLink()
        self.gate: FlowGate | None = None
        """That of a session in which TLS was agreed on."""
        self.reply = b""
        self.hello = b""
        self.breached = ""
        self.holds, self.drops = holds, drops
        flow = Flow(1, Address("127.0.0.1", 40001), Address("127.0.0.1", 24110), 1_790_000_000_000_000, protocol)
        self.relay = GatedRelay(self.pipeline.open(flow), *self.links, capture, False, lambda relay: None, None, policy, False,
                                self.begin)

    def begin(self, relay: GatedRelay, gate: FlowGate) -> None:
        assert self.gate is None, "TLS begins twice"
        self.gate, self.reply, self.hello, self.breached = gate, gate.reply, gate.hello, gate.breached
        if self.breached and not self.drops:
            relay.abandon([Finding("tls_failed", "breached", {}, "high")], b"421 no\r\n")
        elif not self.holds:
            self.links[0].send(self.reply)
            both = gate.policy.answer is None
            relay.secured(self.inner[0], self.inner[1] if both else self.links[1], SWITCHED[not both:], PASS if both else HIDE)

    def play(self, *said: bytes, dice: random.Random | None = None) -> Live:
        """`C…` is said by the client, `S…` by the server, each as one segment or in pieces."""
        for line in said:
            client, rest = line[:1] == b"C", line[1:]
            while rest:
                size = dice.choice((1, 2, 7, 40)) if dice else len(rest)
                self.relay.received(client, rest[:size])
                rest = rest[size:]
        return self


CUTTINGS = [None, *range(6)]

POP3 = (b"S+OK ready\r\n", b"CSTLS\r\n", b"S+OK begin\r\n", b"CUSER a\r\n", b"S+OK\r\n", b"CQUIT\r\n", b"S+OK bye\r\n")
MAIL = (b"S220 mx\r\n", b"CEHLO a\r\n", b"S250-mx\r\n250 STARTTLS\r\n", b"CSTARTTLS\r\n", b"S220 go\r\n", b"CEHLO a\r\n",
        b"S250 mx\r\n")


@pytest.mark.parametrize("seed", CUTTINGS)
@pytest.mark.parametrize(("protocol", "said", "switch"), [("pop3", POP3, 3), ("smtp", MAIL, 5)])
def test_the_session_goes_on_in_tls(protocol: str, said: tuple[bytes, ...], switch: int, seed: int | None) -> None:
    """Each octet arrives on the side where it belongs: before the switch in the clear, after it in TLS."""
    live = Live(protocol, FOLLOW).play(*said, dice=random.Random(seed) if seed is not None else None)
    before, after = said[:switch], said[switch:]
    assert live.links[1].sent == b"".join(line[1:] for line in before if line[:1] == b"C")
    assert live.links[0].sent == b"".join(line[1:] for line in before if line[:1] == b"S")
    assert live.inner[1].sent == b"".join(line[1:] for line in after if line[:1] == b"C")
    assert live.inner[0].sent == b"".join(line[1:] for line in after if line[:1] == b"S")
    assert live.reply == said[switch - 1][1:]
    assert not [line for line in live.told if line.split()[0] in ("low", "medium", "high", "critical")]
    assert "tls client leg: TLSv1.3" in live.told
    assert live.relay.inspector.session.gate is None, "nothing is gated any more"


@pytest.mark.parametrize("said", [
    (b"S220 mx\r\n", b"CEHLO a\r\n", b"S250 STARTTLS\r\n", b"CSTARTTLS\r\nEHLO commandinjectiontester\r\n", b"S220 go\r\n"),
    (b"S220 mx\r\n", b"CEHLO a\r\n", b"S250 STARTTLS\r\n", b"CSTARTTLS\r\nRC", b"S220 go\r\n"),
    (b"S220 mx\r\n", b"CEHLO a\r\n", b"S250 STARTTLS\r\n", b"CSTARTTLS\r\n", b"S220 go\r\n250 fake\r\n"),
    (b"S220 mx\r\n", b"CEHLO a\r\n", b"S250 STARTTLS\r\n", b"CSTARTTLS\r\n", b"S220 go\r\n25"),
    (b"S220 mx\r\n", b"CEHLO a\r\n", b"S250 STARTTLS\r\n", b"CSTARTTLS\r\n\x00", b"S220 go\r\n"),
    (b"S+OK\r\n", b"CSTLS\r\nCAPA\r\n", b"S+OK\r\n"),
    (b"S+OK\r\n", b"CSTLS\r\n", b"S+OK\r\n+OK fake\r\n"),
    (b"S+OK\r\n", b"CSTLS\r\n", b"S+OK\r\n\x16\x03"),
    (b"S+OK\r\n", b"CSTLS\r\nUSER a\r\n" + HELLO, b"S+OK\r\n"),
])
def test_the_wall(said: tuple[bytes, ...], tmp_path) -> None:
    """T01, T02: what comes with the command or its reply goes nowhere; the session is ended on both legs, and told."""
    protocol = "pop3" if said[0].startswith(b"S+OK") else "smtp"
    capture = CaptureWriter(str(tmp_path / "c.pcapng"), alarm=pytest.fail)
    live = Live(protocol, FOLLOW, capture).play(*said)
    capture.close()
    client_guilty = said[-2].partition(b"\r\n")[2] != b""
    assert live.breached == ("client" if client_guilty else "server")
    assert live.links[1].sent.endswith((b"STLS\r\n", b"STARTTLS\r\n")), "the server got what followed"
    assert live.links[0].sent.endswith(b"421 no\r\n")
    assert b"go" not in live.links[0].sent.partition(b"STARTTLS")[2], "the client was told to begin"
    assert b"fake" not in live.links[0].sent
    assert live.inner[0].sent == live.inner[1].sent == b""
    assert (live.links[0].fate, live.links[1].fate) == ("closed", "aborted")
    assert "critical plaintext_after_starttls" in live.told
    assert "tls_failed breached" in live.told
    assert b"".join(said[-2:-1])[1:] in (tmp_path / "c.pcapng").read_bytes(), "it is not in the capture"
    assert replayed(tmp_path / "c.pcapng") == live.told


@pytest.mark.parametrize("drops", [True, False])
def test_secrets_that_come_in_the_clear_are_masked(drops: bool, tmp_path) -> None:
    """Pipelined behind STARTTLS, where nobody has seen yet what they are: in what is told, and in the capture."""
    capture = CaptureWriter(str(tmp_path / "c.pcapng"), alarm=pytest.fail)
    live = Live("smtp", FOLLOW, capture, drops=drops).play(
        b"S220 mx\r\n", b"CSTARTTLS\r\nAUTH LOGIN\r\nbmF0a2lu\r\nc2VjcmV0\r\n", b"S220 go\r\n")
    live.relay.stop()
    capture.close()
    assert not [line for line in live.told if "c2VjcmV0" in line]
    assert b"c2VjcmV0" not in (tmp_path / "c.pcapng").read_bytes()
    assert replayed(tmp_path / "c.pcapng") == live.told


def test_nothing_is_noted_of_what_is_over(tmp_path) -> None:
    """It would be another flow in the capture."""
    capture = CaptureWriter(str(tmp_path / "c.pcapng"), alarm=pytest.fail)
    live = Live("smtp", HIDE, capture)

    def send(data: bytes) -> bool:
        live.relay.broken(True)
        return False

    live.links[0].send = send
    live.play(b"S220 mx\r\n")
    capture.close()
    assert [type(event).__name__ for event in read_all([str(tmp_path / "c.pcapng")])].count("Opened") == 1


@pytest.mark.parametrize("seed", CUTTINGS)
def test_the_wall_where_we_answer(seed: int | None) -> None:
    """T01: the client is not told to begin, and what it has injected goes nowhere; a hello is for TLS."""
    live = Live("pop3", SERVE).play(b"S+OK\r\n", b"CSTLS\r\nUSER mallory\r\n", dice=random.Random(seed) if seed else None)
    assert live.links[1].sent == b""
    assert b"USER" not in live.inner[1].sent
    if seed is None:
        assert live.breached == "client"
        assert live.links[0].sent == b"+OK\r\n421 no\r\n"
        assert "critical plaintext_after_starttls" in live.told
    live = Live("pop3", SERVE, holds=True).play(b"S+OK\r\n", b"CSTLS\r\n" + HELLO)
    assert (live.hello, live.breached, live.reply) == (HELLO, "", STLS.accepted)
    assert live.links[0].sent == b"+OK\r\n"


@pytest.mark.parametrize(("policy", "word"), [(SERVE, "offers"), (HIDE, "hides"), (REFUSE, "refuses")])
def test_what_is_done_in_the_servers_place_is_not_the_servers(policy: Policy, word: str, tmp_path) -> None:
    """It is told once, and taken for no downgrade; replay tells the same."""
    capture = CaptureWriter(str(tmp_path / "c.pcapng"), alarm=pytest.fail)
    live = Live("smtp", policy, capture, holds=True)
    live.pipeline.offers.withdrawn(Address("127.0.0.1", 24110), True)  # in an earlier session
    live.play(b"S220 mx\r\n", b"CEHLO a\r\n", b"S250-mx\r\n250 STARTTLS\r\n", b"CSTARTTLS\r\n")
    live.relay.stop()
    capture.close()
    assert [line.split()[2] for line in live.told if line.startswith("tls_policy ")] == [word]
    assert not [line for line in live.told if line.split()[0] in ("low", "medium", "high", "critical")]
    told, pipeline = listener()
    pipeline.offers.withdrawn(Address("127.0.0.1", 24110), True)
    pipeline.take_all(list(read_all([str(tmp_path / "c.pcapng")])))
    pipeline.finish()
    assert told.told == live.told


def test_tls_where_nobody_has_asked_for_it() -> None:
    """On a port that begins in the clear: the server's answers in the clear are no injection."""
    live = Live("smtp", PASS).play(b"S220 mx\r\n", b"C" + HELLO, b"S500 what\r\n", b"S500 what\r\n")
    assert [line for line in live.told if line.split()[0] in ("low", "medium", "high", "critical")] == ["high cross_protocol"]


@pytest.mark.parametrize(("asked", "answered"), [
    (b"CSTLS\r\nUSER mallory\r\nSTA", b"S+OK go\r\n"), (b"CSTLS\r\n", b"S+OK go\r\n+OK fake\r\n+O")])
def test_what_is_injected_may_be_dropped(asked: bytes, answered: bytes, tmp_path) -> None:
    """`--starttls-injection drop`: it is told and captured, and goes nowhere; TLS begins with empty buffers."""
    capture = CaptureWriter(str(tmp_path / "c.pcapng"), alarm=pytest.fail)
    live = Live("pop3", FOLLOW, capture, drops=True).play(b"S+OK\r\n", asked, answered, b"CUSER alice\r\n", b"S+OK alice\r\n")
    capture.close()
    assert live.links[1].sent == b"STLS\r\n"
    assert live.links[0].sent == b"+OK\r\n+OK go\r\n"
    assert live.inner[1].sent == b"USER alice\r\n"
    assert live.inner[0].sent == b"+OK alice\r\n"
    assert "critical plaintext_after_starttls" in live.told
    assert replayed(tmp_path / "c.pcapng")[:-1] == live.told


@pytest.mark.parametrize("tail", [b"\x17\x04zzzzzz", b"\x16\x03\x03\xff\xffx", b"\x17\x03\x03\0\x09x", b"\0" * 99, b"x"])
@pytest.mark.parametrize("guilty", ["client", "server"])
def test_what_was_dropped_hides_nothing(tail: bytes, guilty: str, tmp_path) -> None:
    """What looks like a record, right or wrong, is no reason to read less of what then comes in TLS."""
    capture = CaptureWriter(str(tmp_path / "c.pcapng"), alarm=pytest.fail)
    asked, answered = (tail, b"") if guilty == "client" else (b"", tail)
    live = Live("smtp", FOLLOW, capture, drops=True).play(
        b"S220 mx\r\n", b"CSTARTTLS\r\n" + asked, b"S220 go\r\n" + answered, b"CEHLO a\r\n", b"S250 mx\r\n",
        b"CAUTH PLAIN AGEAc2VjcmV0\r\n", b"S235 ok\r\n")
    live.relay.stop()
    capture.close()
    assert ("critical plaintext_after_starttls" in live.told) is (tail[:1] != b"\x16" or guilty == "server")
    assert "C->S command HELLO EHLO  EHLO a" in live.told
    assert "S->C reply HELLO EHLO 250 250 mx" in live.told
    assert live.inner[1].sent == b"EHLO a\r\nAUTH PLAIN AGEAc2VjcmV0\r\n"
    assert b"c2VjcmV0" not in (tmp_path / "c.pcapng").read_bytes()
    assert replayed(tmp_path / "c.pcapng") == live.told


@pytest.mark.parametrize("pieces", [(HELLO,), (HELLO[:1], HELLO[1:]), (HELLO[:4], HELLO[4:7], HELLO[7:])])
@pytest.mark.parametrize("glued", [True, False])
def test_an_eager_handshake_goes_to_tls(pieces: tuple[bytes, ...], glued: bool) -> None:
    """T03: in the same segment as the command, or before its reply."""
    first = (b"CSTLS\r\n" + pieces[0],) if glued else (b"CSTLS\r\n", b"C" + pieces[0])
    live = Live("pop3", FOLLOW, holds=True).play(b"S+OK\r\n", *first, *(b"C" + piece for piece in pieces[1:]), b"S+OK go\r\n")
    assert live.hello == HELLO
    assert live.breached == ""
    assert live.links[1].sent == b"STLS\r\n"
    assert not [line for line in live.told if "plaintext" in line or "early" in line]


@pytest.mark.parametrize("policy", [FOLLOW, HIDE, SERVE, REFUSE])
def test_a_line_without_end_is_not_kept(policy: Policy) -> None:
    """S09: nobody judges here, so what cannot be STARTTLS leaves as it comes, however long; and a prompt without a line's end."""
    live = Live("smtp", policy).play(b"S220 mx\r\n")
    for _ in range(50):
        live.play(b"C" + b"x" * 100_000)
    assert live.links[1].sent == b"x" * 5_000_000
    live.play(b"C\r\n", b"S500 who are you", b"C?")
    assert live.links[0].sent.endswith(b"500 who are you")
    assert live.links[1].fate == ""


@pytest.mark.parametrize("policy", [HIDE, SERVE, REFUSE])
@pytest.mark.parametrize("line", [b"STARTTLS" + b" " * 700 + b"\r\n", b" " * 700 + b"StartTLS\r\n",
                                  b"STARTTLS" + b"\t" * 5_000 + b"\r\n"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_padded_command_is_no_way_round(policy: Policy, line: bytes, seed: int) -> None:
    """Servers pass over blanks; in whatever pieces it comes, the command never gets to the server."""
    live = Live("smtp", policy, holds=True).play(b"S220 mx\r\n")
    live.play(b"C" + line, dice=random.Random(seed))
    live.play(b"C" + line[:600]).play(b"C" + line[600:]) if policy != SERVE else None
    assert live.links[1].sent == b""
    assert (live.gate is not None) is (policy == SERVE)
    if policy != SERVE:
        assert live.links[0].sent == b"220 mx\r\n" + SMTP.refused * 2


@pytest.mark.parametrize("policy", [FOLLOW, HIDE, SERVE, REFUSE])
@pytest.mark.parametrize("rest", [b"454 no TLS here", b"250-mx\r\n250-STA"])
def test_what_is_held_when_a_side_ends_leaves_before_its_end(policy: Policy, rest: bytes, tmp_path) -> None:
    """Octets are exact, whoever waits for the end of a line or of a list."""
    capture = CaptureWriter(str(tmp_path / "c.pcapng"), alarm=pytest.fail)
    live = Live("smtp", policy, capture).play(b"S220 mx\r\n", b"CEHLO a\r\nSTA", b"S" + rest)
    live.relay.ended(False)
    assert live.links[0].sent == b"220 mx\r\n" + rest
    live.relay.ended(True)
    capture.close()
    assert live.links[1].sent == b"EHLO a\r\nSTA"
    assert replayed(tmp_path / "c.pcapng") == live.told


def test_nobody_answers_for_a_server_that_has_ended(tmp_path) -> None:
    """The client has got FIN: there is nothing more that it could be told."""
    capture = CaptureWriter(str(tmp_path / "c.pcapng"), alarm=pytest.fail)
    live = Live("smtp", SERVE, capture, holds=True).play(b"S220 mx\r\n")
    live.relay.ended(False)
    live.play(b"CSTARTTLS\r\n")
    live.relay.ended(True)
    capture.close()
    assert live.gate is None
    assert live.links[0].sent == b"220 mx\r\n"
    assert replayed(tmp_path / "c.pcapng") == live.told


def test_a_padded_command_is_held_within_bounds() -> None:
    live = Live("smtp", HIDE).play(b"S220 mx\r\n", b"CSTARTTLS")
    for _ in range(50):
        live.play(b"C" + b" " * 100_000)
    assert live.links[1].sent == b""
    assert live.links[1].fate == "aborted"


def test_a_refusal_gives_the_octets_back() -> None:
    """T07: the server says no; what the client sent is the session's after all, and goes to the server."""
    for tail in (b"NOOP\r\n", HELLO + b"\n"):
        live = Live("smtp", FOLLOW).play(b"S220 mx\r\n", b"CSTARTTLS\r\n" + tail, b"S454 no\r\n")
        assert live.gate is None
        assert live.links[1].sent == b"STARTTLS\r\n" + tail
        assert live.links[0].sent == b"220 mx\r\n454 no\r\n"


@pytest.mark.parametrize("seed", CUTTINGS)
def test_the_word_where_it_is_no_command(seed: int | None) -> None:
    """T06: in a message, in a chunk, as a SASL response."""
    said = (b"S220 mx\r\n", b"CEHLO a\r\n", b"S250 CHUNKING\r\n", b"CMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
            b"S250 ok\r\n250 ok\r\n354 go\r\n", b"CSTARTTLS\r\n220 go\r\n.\r\n", b"S250 ok\r\n",
            b"CMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 20 LAST\r\nSTARTTLS\r\n..\r\nMAIL", b"S250 ok\r\n250 ok\r\n250 ok\r\n",
            b"CAUTH LOGIN\r\n", b"S334 VXNlcjo=\r\n", b"CSTARTTLS\r\n", b"S535 no\r\n", b"CQUIT\r\n", b"S221 bye\r\n")
    live = Live("smtp", FOLLOW).play(*said, dice=random.Random(seed) if seed is not None else None)
    assert live.gate is None
    assert live.links[1].sent == b"".join(line[1:] for line in said if line[:1] == b"C")
    assert live.links[0].sent == b"".join(line[1:] for line in said if line[:1] == b"S")


def test_a_reply_to_another_command() -> None:
    """T07: 250 that answers NOOP begins nothing; STARTTLS after STARTTLS was refused may."""
    live = Live("smtp", FOLLOW).play(b"S220 mx\r\n", b"CNOOP\r\nSTARTTLS\r\n", b"S250 ok\r\n")
    assert live.gate is None
    live.play(b"S454 no\r\n", b"CSTARTTLS\r\n", b"S220 go\r\n")
    assert live.reply == b"220 go\r\n"


@pytest.mark.parametrize("passed_over", [b"\r\n", b"XYZZY\r\n", b"NOOP\r\n"])
def test_a_command_that_the_server_passes_over_keeps_nobody_from_tls(passed_over: bytes) -> None:
    """220 is for STARTTLS (RFC 3207 §4), whatever else waits for a reply: TLS is followed, and nothing is withheld."""
    live = Live("smtp", FOLLOW).play(b"S220 mx\r\n", b"C" + passed_over, b"CEHLO a\r\n", b"S250-mx\r\n250 STARTTLS\r\n",
                                     b"CSTARTTLS\r\n")
    assert live.links[0].sent == b"220 mx\r\n250-mx\r\n250 STARTTLS\r\n"
    live.play(b"S220 go\r\n")
    assert live.reply == b"220 go\r\n"


@pytest.mark.parametrize(("said", "client", "told"), [
    ((b"CMAIL FROM:<a@b>\r\n", b"S250 ok\r\n", b"CRCPT TO:<c@d>\r\n", b"S250 ok\r\n", b"CDATA\r\n", b"S354 go\r\n",
      b"CSubject: x\r\n\r\nhalf"), True, True),
    ((b"CMAIL FROM:<a@b>\r\n",), False, True),
    ((b"CMAIL FR",), True, True),
    ((b"CQUIT\r\n",), False, False), ((b"CQUIT\r\n", b"S221 bye\r\n"), False, False), ((), True, False)])
def test_a_leg_that_is_cut_off(said: tuple[bytes, ...], client: bool, told: bool, tmp_path) -> None:
    """T10: an end that TLS does not vouch for is passed on as one, and told where it cuts something short."""
    capture = CaptureWriter(str(tmp_path / "c.pcapng"), alarm=pytest.fail)
    live = Live("smtp", FOLLOW, capture).play(*MAIL, *said)
    live.inner[not client].truncated = True
    live.relay.ended(client)
    live.relay.ended(not client)
    capture.close()
    assert [line for line in live.told if line.startswith("tls_truncated")] == (
        [f"tls_truncated {'client' if client else 'server'} leg: it ended in the middle of the session, and TLS did not say so: "
         "somebody may have cut it off"] if told else [])
    heard, pipeline = listener()
    pipeline.take_all(list(read_all([str(tmp_path / "c.pcapng")])))
    pipeline.finish()
    assert heard.told == live.told


def test_starttls_in_tls_is_not_followed() -> None:
    live = Live("smtp", FOLLOW).play(*MAIL, b"CSTARTTLS\r\n", b"S220 again\r\n")
    assert live.inner[1].sent.endswith(b"STARTTLS\r\n")
    assert live.inner[0].sent.endswith(b"220 again\r\n")


def test_it_is_passed_unseen() -> None:
    """`--tls pass` with a judge: the records cross."""
    live = Live("pop3", PASS).play(b"S+OK\r\n", b"CSTLS\r\n", b"S+OK go\r\n", b"C" + HELLO, b"S" + HELLO)
    assert live.gate is None
    assert live.links[1].sent == b"STLS\r\n" + HELLO
    assert live.links[0].sent == b"+OK\r\n+OK go\r\n" + HELLO


CAPABLE = b"+OK\r\nTOP\r\nSTLS\r\nUIDL\r\n.\r\n"


@pytest.mark.parametrize("seed", CUTTINGS)
@pytest.mark.parametrize(("policy", "got"), [
    (HIDE, b"+OK\r\nTOP\r\nUIDL\r\n.\r\n"), (REFUSE, CAPABLE), (SERVE, CAPABLE), (FOLLOW, CAPABLE)])
def test_what_a_capability_list_says(policy: Policy, got: bytes, seed: int | None) -> None:
    dice = random.Random(seed) if seed is not None else None
    live = Live("pop3", policy).play(b"S+OK ready\r\n", b"CCAPA\r\n", b"S" + CAPABLE, b"CLIST\r\n", b"S+OK\r\n1 5\r\n.\r\n",
                                     dice=dice)
    assert live.links[0].sent == b"+OK ready\r\n" + got + b"+OK\r\n1 5\r\n.\r\n"
    assert [line for line in live.told if line.startswith("tls_edit")] == (
        ["tls_edit mailspy hides STLS in the answer to CAPA"] if policy is HIDE else [])


@pytest.mark.parametrize("policy", [HIDE, REFUSE])
def test_the_command_is_refused_in_the_servers_place(policy: Policy) -> None:
    live = Live("pop3", policy).play(b"S+OK ready\r\n", b"CSTLS\r\n", b"CUSER a\r\n", b"S+OK\r\n")
    assert live.links[1].sent == b"USER a\r\n"
    assert live.links[0].sent == b"+OK ready\r\n-ERR [SYS/TEMP] TLS not available\r\n+OK\r\n"


@pytest.mark.parametrize("seed", CUTTINGS)
def test_it_is_served_in_the_servers_place(seed: int | None) -> None:
    """The server never hears of it, and is not spoken to anew."""
    live = Live("smtp", SERVE).play(
        b"S220 mx\r\n", b"CEHLO a\r\n", b"S250-mx\r\n250 SIZE\r\n", b"CSTARTTLS\r\n",
        b"CEHLO a\r\n", b"S250-mx\r\n250-STARTTLS\r\n250 SIZE\r\n", dice=random.Random(seed) if seed is not None else None)
    assert live.links[1].sent == b"EHLO a\r\nEHLO a\r\n"
    assert live.links[0].sent == b"220 mx\r\n250-mx\r\n250-STARTTLS\r\n250 SIZE\r\n220 2.0.0 Ready to start TLS\r\n"
    assert live.inner[0].sent == b"250-mx\r\n250 SIZE\r\n", "STARTTLS is offered in TLS"


@pytest.mark.parametrize(("starttls", "listing", "with_it", "without"), [
    (SMTP, b"250-mx\r\n250-STARTTLS\r\n250 SIZE\r\n", None, b"250-mx\r\n250 SIZE\r\n"),
    (SMTP, b"250-mx\r\n250 STARTTLS\r\n", None, b"250 mx\r\n"),
    (SMTP, b"250 mx\r\n", b"250-mx\r\n250 STARTTLS\r\n", None),
    (SMTP, b"250-mx\r\n250 SIZE\r\n", b"250-mx\r\n250-STARTTLS\r\n250 SIZE\r\n", None),
    (SMTP, b"250-mx STARTTLS\r\n250-starttls \r\n250 XSTARTTLS\r\n", None, b"250-mx STARTTLS\r\n250 XSTARTTLS\r\n"),
    (STLS, b"TOP\r\nstls\r\n.\r\n", None, b"TOP\r\n.\r\n"),
    (STLS, b".\r\n", b"STLS\r\n.\r\n", None),
    (STLS, b"XSTLS\r\n.\r\n", b"STLS\r\nXSTLS\r\n.\r\n", None)])
def test_lists_are_edited(starttls, listing: bytes, with_it: bytes | None, without: bytes | None) -> None:
    """None: nothing changes."""
    assert starttls.edited(listing, True) == (with_it or listing)
    assert starttls.edited(listing, False) == (without or listing)


def test_the_wall_holds_for_any_cut_of_an_injection() -> None:
    """Wherever it is cut: what is injected is refused while it comes before the reply; and never arrives."""
    for cut in range(1, len(b"STLS\r\nCAPA\r\n")):
        text = b"STLS\r\nCAPA\r\n"
        live = Live("pop3", FOLLOW).play(b"S+OK\r\n", b"C" + text[:cut], b"C" + text[cut:], b"S+OK\r\n")
        assert live.breached == "client"
        assert live.links[1].sent == b"STLS\r\n"




# What a man in the middle leaves behind


def sessions(*dialogues: tuple[str, ...]) -> list[str]:
    """What is told of sessions with one server, one after the other: anomalies only."""
    told, pipeline = listener()
    for number, said in enumerate(dialogues, 1):
        flow = Flow(number, Address("127.0.0.1", 40_000 + number), Address("192.0.2.1", 110), 1_000_000 * number, "pop3")
        inspector = pipeline.open(flow)
        for line in said:
            inspector.feed(line[0] == "C", line[1:].encode("latin-1"), flow.opened)
        inspector.close("over")
    return [line for line in told.told if line.split()[0] in ("info", "low", "medium", "high", "critical")]


OFFERS = ("S+OK\r\n", "CCAPA\r\n", "S+OK\r\nSTLS\r\nTOP\r\n.\r\n")
STRIPPED = ("S+OK\r\n", "CCAPA\r\n", "S+OK\r\nTOP\r\n.\r\n")


def test_a_server_that_offers_it_no_more() -> None:
    assert sessions(OFFERS, OFFERS, STRIPPED, OFFERS) == ["high starttls_withdrawn"]
    assert sessions(STRIPPED, OFFERS) == []


def test_a_server_that_offers_and_refuses() -> None:
    assert sessions((*OFFERS, "CSTLS\r\n", "S-ERR no\r\n")) == ["medium starttls_refused"]


def test_records_of_an_old_version() -> None:
    """TLS that is not looked into tells its version all the same."""
    hello = "\x16\x03\x01\x00\x2c\x02\x00\x00\x28\x03\x01" + "r" * 32 + "\x00\x00\x2f\x00\x00\x00"
    told, pipeline = listener()
    from inspector.formats.tls import describe

    pipeline.observer.describe_record = describe
    inspector = pipeline.open(Flow(1, Address("127.0.0.1", 1), Address("192.0.2.1", 110), 1, "pop3"))
    for line in ("S+OK\r\n", "CSTLS\r\n", "S+OK\r\n", "C" + HELLO.decode("latin-1"), "S" + hello):
        inspector.feed(line[0] == "C", line[1:].encode("latin-1"), 1)
    assert "high weak_tls" in told.told


@pytest.mark.parametrize(("version", "cipher", "told"), [
    ("TLSv1.3", "TLS_AES_256_GCM_SHA384", ""), ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384", ""), ("TLSv1", "AES128-SHA", "TLSv1"),
    ("TLSv1.1", "DES-CBC3-SHA", "TLSv1.1, DES-CBC3-SHA"), ("TLSv1.2", "RC4-SHA", "RC4-SHA"),
    ("SSLv3", "NULL-MD5", "SSLv3, NULL-MD5"), ("TLS 1.2", "", ""), ("TLS 1.0", "", "TLS 1.0")])
def test_what_is_weak(version: str, cipher: str, told: str) -> None:
    assert weak(version, cipher) == told


def test_a_leg_of_an_old_version_is_told() -> None:
    live = Live("smtp", FOLLOW, holds=True).play(*MAIL[:5])
    live.relay.secured(*live.inner, [Finding("tls", "server leg", {"leg": "server", "version": "TLSv1", "cipher": "x"})], PASS)
    assert "high weak_tls" in live.told


@pytest.mark.parametrize("greeting", [b"* PREAUTH hi\r\n", b"* PREAUTH [CAPABILITY IMAP4rev1] hi\r\n"])
def test_a_preauth_greeting(greeting: bytes) -> None:
    """T05: live, before the protocol is known, and in captures of others."""
    told, pipeline = listener()
    inspector = pipeline.open(Flow(1, Address("127.0.0.1", 1), Address("192.0.2.1", 143), 1))
    inspector.feed(False, greeting, 1)
    inspector.close("over")
    assert "critical unasked_login" in told.told
    told, pipeline = listener()
    flow = Flow(1, Address("127.0.0.1", 1), Address("192.0.2.1", 143), 1)
    pipeline.take_all([Opened(flow, own=False), Segment(1, S2C, 1, greeting)])
    pipeline.finish()
    assert "critical unasked_login" in told.told
