"""SMTP and LMTP as they are spoken, and misspoken."""

from __future__ import annotations

from dialogue import LMTP, SMTP, Witness, dialogue, everyway, play

from inspector.pdu import C2S, S2C, Address, Flow, Kind
from inspector.pipeline import Pipeline


def test_michel_writes_to_pierre():
    """The exercise sheet's II.5."""
    witness = dialogue(SMTP, """
        S: 220 cnam.fr ESMTP                   | CONNECT
        C: HELO cnam.fr                        | HELLO
        S: 250 cnam.fr                         | HELLO
        C: MAIL FROM:<michel@cnam.fr>          | MAIL
        S: 250 2.1.0 ok                        | MAIL
        C: RCPT TO:<pierre@cnam.fr>            | RCPT
        S: 250 2.1.5 ok                        | RCPT
        C: DATA                                | DATA
        S: 354 end with a dot                  | DATA
        C: Subject: bonjour\\r\\n\\r\\n..salut\\r\\n. | DATA
        S: 250 2.0.0 queued                    | DATA
        C: QUIT                                | QUIT
        S: 221 2.0.0 bye                       | QUIT
    """)
    assert witness.messages == [(b"Subject: bonjour\r\n\r\n.salut\r\n", True)]
    assert [pdu.transaction for pdu in witness.pdus] == [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]
    assert witness.pdus[3].details == {"path": "michel@cnam.fr"}
    assert witness.pdus[4].details == {"enhanced": "2.1.0"}


def test_refused_recipient_leaves_the_transaction_open():
    """A 550 to RCPT does not end the mail transaction (RFC 5321 §3.3)."""
    dialogue(SMTP, """
        S: 220 mx.example            | CONNECT
        C: EHLO client.example       | HELLO
        S: 250 mx.example            | HELLO
        C: MAIL FROM:<a@x.example>   | MAIL
        S: 250 ok                    | MAIL
        C: RCPT TO:<no@y.example>    | RCPT
        S: 550 no such user          | RCPT
        C: DATA                      | DATA ! bad_sequence
        S: 503 no valid recipients   | DATA
        C: RSET                      | MAIL
        S: 250 ok                    | MAIL
        C: RCPT TO:<a@y.example>     | RCPT ! bad_sequence
        S: 503 MAIL first            | RCPT
    """)


def test_a_pipelined_envelope_ends_with_data():
    """RFC 2920 §3.1."""
    dialogue(SMTP, """
        S: 220 mx            | CONNECT
        C: EHLO c            | HELLO
        S: 250-mx            |
        + 250-PIPELINING     |
        + 250 8BITMIME       | HELLO
        C: MAIL FROM:<> SIZE=10 BODY=8BITMIME | MAIL
        C: RCPT TO:<a@b.example> NOTIFY=NEVER | RCPT
        C: DATA              | DATA
        S: 250 ok            | MAIL
        S: 250 ok            | RCPT
        S: 354 go            | DATA
        C: hello\\r\\n.       | DATA
        C: QUIT              | QUIT
        S: 250 ok            | DATA
        S: 221 bye           | QUIT
    """)


def test_a_body_sent_after_a_refused_data_is_commands():
    """The server reads it so, and so do we: follow the server's replies (hostile case S07)."""
    witness = everyway(SMTP, [
        (S2C, b"220 mx\r\n"), (C2S, b"EHLO c\r\n"), (S2C, b"250 mx\r\n"), (C2S, b"MAIL FROM:<a@b>\r\n"), (S2C, b"250 ok\r\n"),
        (C2S, b"RCPT TO:<a@b>\r\n"), (S2C, b"250 ok\r\n"), (C2S, b"DATA\r\nSubject: x\r\n\r\nQUIT\r\n.\r\n"),
        (S2C, b"554 no\r\n500 what\r\n500 what\r\n221 bye\r\n"),
    ])
    assert [pdu.verb for pdu in witness.pdus if pdu.kind is Kind.COMMAND][-4:] == ["SUBJECT:", "", "QUIT", "."]
    assert witness.messages == []
    assert "early_content" in {name for name, _ in witness.anomalies}


def test_bdat_counts_octets_and_finds_the_next_command_behind_them():
    """RFC 3030 §2; hostile cases B01 and B02: a payload is a payload, whatever it says."""
    witness = everyway(SMTP, [
        (S2C, b"220 mx\r\n"), (C2S, b"EHLO c\r\n"), (S2C, b"250 CHUNKING\r\n"),
        (C2S, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 5\r\nhelloBDAT 17 LAST\r\n\r\n.\r\nQUIT\r\nSTARTTMAIL FROM:<e@f>\r\n"),
        (S2C, b"250 ok\r\n250 ok\r\n250 5 octets\r\n250 ok\r\n250 ok\r\n"), (C2S, b"BDAT 0 LAST\r\n"), (S2C, b"503 no\r\n"),
    ])
    assert witness.messages == [(b"hello\r\n.\r\nQUIT\r\nSTARTT"[:22], True), (b"", True)]
    assert [name for name, _ in witness.anomalies] == ["bad_sequence"]
    assert [pdu.transaction for pdu in witness.pdus if pdu.verb == "BDAT" and pdu.kind is Kind.BODY] == [1, 1]


def test_odd_bdats_are_syntax_errors_and_nothing_more():
    """Hostile case B03."""
    for line in (b"BDAT -1 LAST", b"BDAT 18446744073709551616", b"BDAT 5 X", b"BDAT 5 LASTx", b"BDAT"):
        witness = everyway(SMTP, [(S2C, b"220 mx\r\n"), (C2S, line + b"\r\nNOOP\r\n"), (S2C, b"501 no\r\n250 ok\r\n")])
        assert [pdu.verb for pdu in witness.pdus] == ["", "BDAT", "NOOP", "BDAT", "NOOP"], line
        assert ("syntax_error", 2) in witness.anomalies


def test_only_an_accepted_reset_resets():
    """RFC 5321 §4.1.4: a refused EHLO leaves the envelope as it was."""
    dialogue(SMTP, """
        S: 220 mx                  | CONNECT
        C: EHLO c                  | HELLO
        S: 250 mx                  | HELLO
        C: MAIL FROM:<a@b.example> | MAIL
        S: 250 ok                  | MAIL
        C: EHLO bad host           | HELLO
        S: 501 no                  | HELLO
        C: RCPT TO:<c@d.example>   | RCPT
        S: 250 ok                  | RCPT
        C: HELO c                  | HELLO
        S: 250 mx                  | HELLO
        C: DATA                    | DATA ! bad_sequence
        S: 503 no                  | DATA
    """)


def test_auth_is_a_phase_and_its_responses_are_masked():
    """RFC 4954."""
    witness = dialogue(SMTP, """
        S: 220 mx            | CONNECT
        C: EHLO c            | HELLO
        S: 250 AUTH PLAIN    | HELLO ! auth_offered_in_clear
        C: AUTH PLAIN AHVzZXIAcGFzcw== | AUTH ! cleartext_credentials
        S: 535 5.7.8 no      | AUTH
        C: AUTH CRAM-MD5     | AUTH
        S: 334 PDE+          | AUTH
        C: dXNlciAw          | AUTH
        S: 235 2.7.0 ok      | AUTH
        C: MAIL FROM:<a@b.c> | MAIL
        S: 250 ok            | MAIL
    """)
    assert [pdu.text for pdu in witness.pdus if pdu.secret] == ["AUTH PLAIN ********", "********"]
    assert witness.pdus[6].kind is Kind.CONTINUATION


def test_credentials_in_the_clear_are_told_once_an_exchange():
    """AUTH LOGIN sends the name and the password in two lines; the next attempt is told anew."""
    attempt = """
        C: AUTH LOGIN        | AUTH
        S: 334 VXNlcm5hbWU6  | AUTH
        C: bWljaGVs          | AUTH ! cleartext_credentials
        S: 334 UGFzc3dvcmQ6  | AUTH
        C: c2VjcmV0          | AUTH
        S: 535 5.7.8 no      | AUTH
    """
    dialogue(SMTP, """
        S: 220 mx            | CONNECT
        C: EHLO c            | HELLO
        S: 250 AUTH LOGIN    | HELLO ! auth_offered_in_clear
    """ + attempt + attempt)


def test_lmtp_answers_once_for_each_recipient_it_accepted():
    """RFC 2033 §4.2."""
    witness = dialogue(LMTP, """
        S: 220 mda            | CONNECT
        C: LHLO mx            | HELLO
        S: 250 mda            | HELLO
        C: MAIL FROM:<a@b.c>  | MAIL
        S: 250 ok             | MAIL
        C: RCPT TO:<d@e.f>    | RCPT
        S: 250 ok             | RCPT
        C: RCPT TO:<g@e.f>    | RCPT
        S: 550 no             | RCPT
        C: RCPT TO:<h@e.f>    | RCPT
        S: 250 ok             | RCPT
        C: DATA               | DATA
        S: 354 go             | DATA
        C: hi\\r\\n.           | DATA
        S: 250 for d          | DATA
        S: 452 h is full      | DATA
        C: QUIT               | QUIT
        S: 221 bye            | QUIT
        S: 250 too many       | QUIT ! reply_without_command
    """)
    assert witness.messages == [(b"hi\r\n", True)]


def test_lhlo_tells_that_an_smtp_port_speaks_lmtp():
    """The greeting of both is 220."""
    witness = dialogue(SMTP, """
        S: 220 mda            | CONNECT
        C: LHLO mx            | HELLO
        S: 250 mda            | HELLO
    """)
    assert witness.anomalies == []


def test_mail_without_hello_is_named_twice():
    """RFC 5321 §4.1.1.1 and §4.1.4."""
    dialogue(SMTP, """
        S: 220 mx               | CONNECT
        C: MAIL FROM:<a@b.c>    | MAIL ! bad_sequence greeting_skipped
        S: 503 hello first      | MAIL
        C: NOOP                 | CONNECT
        S: 250 ok               | CONNECT
    """)


def test_replies_that_are_none_never_shift_the_pairing():
    """Hostile case S12."""
    dialogue(SMTP, """
        S: hello there           | CONNECT ! syntax_error
        S: 220 mx                | CONNECT
        C: EHLO c                | HELLO
        S: 250-mx                |
        + 550 two                | HELLO ! syntax_error
        C: NOOP                  | CONNECT
        S: 2500 ok               | CONNECT ! syntax_error
        C: QUIT                  | QUIT
        S: 221 bye               | QUIT
        S: 421 4.3.2 closing     | QUIT
    """)


def test_dots_between_odd_line_ends_are_told_and_do_not_end_the_message():
    """Hostile cases S01 to S03: one message for the standard, and a warning that others see two."""
    for end in (b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r.\n", b"\n.\r"):
        smuggled = b"a" + end + b"MAIL FROM:<x@y>\r\n.\r\n"
        witness = everyway(SMTP, [
            (S2C, b"220 mx\r\n"), (C2S, b"EHLO c\r\n"), (S2C, b"250 mx\r\n"), (C2S, b"MAIL FROM:<a@b>\r\n"),
            (S2C, b"250 ok\r\n"), (C2S, b"RCPT TO:<c@d>\r\n"), (S2C, b"250 ok\r\n"), (C2S, b"DATA\r\n"), (S2C, b"354 go\r\n"),
            (C2S, smuggled), (S2C, b"250 ok\r\n"), (C2S, b"QUIT\r\n"), (S2C, b"221 bye\r\n"),
        ])
        assert len(witness.messages) == 1, end
        assert "ambiguous_end_of_data" in {name for name, _ in witness.anomalies}, end


def test_a_dot_before_two_crs_is_no_smuggling() -> None:
    """Hostile case S03: bare CRs are named, and no exploit is claimed."""
    witness = everyway(SMTP, [
        (S2C, b"220 mx\r\n"), (C2S, b"EHLO c\r\n"), (S2C, b"250 mx\r\n"), (C2S, b"MAIL FROM:<a@b>\r\n"), (S2C, b"250 ok\r\n"),
        (C2S, b"RCPT TO:<c@d>\r\n"), (S2C, b"250 ok\r\n"), (C2S, b"DATA\r\n"), (S2C, b"354 go\r\n"),
        (C2S, b"a\r\n.\r\r\nb\r\n.\r\n"), (S2C, b"250 ok\r\n")])
    assert {name for name, _ in witness.anomalies} == {"bare_cr"}
    assert len(witness.messages) == 1


def test_starttls_carries_nothing_over():
    """RFC 3207 §4.2; hostile cases T01 and T02."""
    hello = b"\x16\x03\x01\x00\x04\x01\x00\x00\x00"
    witness = everyway(SMTP, [
        (S2C, b"220 mx\r\n"), (C2S, b"EHLO c\r\n"), (S2C, b"250 STARTTLS\r\n"), (C2S, b"STARTTLS\r\n"),
        (S2C, b"220 go\r\n250 fake\r\n"), (C2S, hello),
    ])
    assert [pdu.phase for pdu in witness.pdus][-3:] == ["TLS"] * 3
    assert [name for name, _ in witness.anomalies] == ["plaintext_after_starttls"]


def test_a_decrypted_session_goes_on_after_starttls():
    """What a tap behind the TLS sees: no handshake, and a session that begins anew."""
    witness = dialogue(SMTP, """
        S: 220 mx                 | CONNECT
        C: EHLO c                 | HELLO
        S: 250 STARTTLS           | HELLO
        C: STARTTLS               | TLS
        S: 220 go                 | TLS
        C: EHLO c                 | HELLO
        S: 250 AUTH PLAIN         | HELLO
        C: AUTH PLAIN AGEAYg==    | AUTH
        S: 235 ok                 | AUTH
        C: MAIL FROM:<a@b>        | MAIL
        S: 250 ok                 | MAIL
    """)
    assert witness.anomalies == [("clear_after_starttls", None)]


def test_other_protocols_are_recognised():
    """Hostile case S14."""
    witness = everyway(SMTP, [(S2C, b"220 mx\r\n"), (C2S, b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"),
                              (S2C, b"500 no\r\n500 no\r\n500 no\r\n")])
    assert witness.anomalies[0][0] == "cross_protocol"


def test_an_endless_reply_is_counted_not_kept():
    """Hostile case S12: bounded, and the pairing goes on."""
    from inspector.limits import Limits

    witness = everyway(SMTP, [(S2C, b"220 mx\r\n"), (C2S, b"HELP\r\n"), (S2C, b"214-x\r\n" * 200 + b"214 end\r\n"),
                              (C2S, b"QUIT\r\n"), (S2C, b"221 bye\r\n")], Limits(reply=100))
    assert [name for name, _ in witness.anomalies] == ["reply_too_long"]
    assert witness.pdus[2].size == 7 * 200 + 9
    assert witness.pdus[-1].verb == "QUIT"


class Watcher(Witness):
    """Remembers of each PDU who is authenticated, the sender in force, and the sender that is hoped for."""

    def pdu_seen(self, pdu, session) -> None:
        super().pdu_seen(pdu, session)
        force, hoped = (one.sender if one is not None else None for one in (session.transaction, session.opening))
        self.lines.append(f"{pdu.text.split()[0]} {session.authenticated} {force} {hoped}")


def watched(*steps: tuple[bool, bytes]) -> list[str]:
    """What the watcher wrote."""
    witness = Watcher()
    inspector = Pipeline(witness).open(Flow(1, Address("127.0.0.1", 1), Address("127.0.0.1", 25), 1, "smtp"))
    for time, (client, data) in enumerate(steps, 2):
        inspector.feed(client, data, time)
    return witness.lines


def test_who_is_authenticated_is_known_until_the_server_forgets_it():
    """A refused AUTH changes nothing, nor do RSET and EHLO; XCLIENT begins anew (Postfix)."""
    asked = [b"AUTH X a", b"AUTH X b", b"RSET", b"EHLO c", b"AUTH X c", b"XCLIENT NAME=d"]
    said = [b"535 no", b"235 ok", b"250 ok", b"250 ok", b"503 once", b"220 mx"]
    steps = [(False, b"220 mx\r\n"), (True, b"EHLO c\r\n"), (False, b"250 mx\r\n")]
    for one, answer in zip(asked, said, strict=True):
        steps += [(True, one + b"\r\n"), (False, answer + b"\r\n")]
    steps += [(True, b"NOOP\r\n")]
    at_commands = [line.split()[1] for line in watched(*steps)[3::2]]
    assert at_commands == ["False", "False", "True", "True", "True", "True", "False"]


def test_the_transaction_hoped_for_is_known_before_its_reply():
    """What a judge of a pipelined RCPT goes by; a refused MAIL dashes the hope."""
    lines = watched((False, b"220 mx\r\n"), (True, b"EHLO c\r\n"), (False, b"250 mx\r\n"),
                    (True, b"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nRSET\r\nMAIL FROM:<c>\r\nRCPT TO:<d>\r\n"),
                    (False, b"250 ok\r\n250 ok\r\n250 ok\r\n550 no\r\n"), (True, b"NOOP\r\n"))
    assert [line.split()[2:] for line in lines[3:8]] == [["None", hoped] for hoped in ("a", "a", "None", "c", "c")]
    assert lines[-1] == "NOOP False None None"


def test_a_recipient_is_in_the_envelope_before_its_reply():
    """MAIL, RCPT and BDAT LAST in one segment: the message is whole before the server has said anything (RFC 3030 §4.2)."""
    envelopes = []

    class Asking(Witness):
        def open_message(self, message, session):
            envelopes.append([(one.address, one.refused) for one in message.transaction.recipients])
            return super().open_message(message, session)

    steps = [(S2C, b"220 mx\r\n"), (C2S, b"EHLO c\r\n"), (S2C, b"250-mx\r\n250 CHUNKING\r\n"),
             (C2S, b"MAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nRCPT TO:<g@h.i>\r\nBDAT 4 LAST\r\nhi\r\n")]
    witness = play(SMTP, steps, witness=Asking())
    assert envelopes == [[("d@e.f", False), ("g@h.i", False)]]
    assert witness.messages == [(b"hi\r\n", True)]


def test_recipients_get_their_own_replies():
    """In their order, whatever is answered before."""
    class Asking(Witness):
        def exchange_completed(self, exchange, session) -> None:
            said.append([(one.address, one.accepted, one.status) for one in exchange.transaction.recipients]
                        if exchange.verb == "RCPT" else [])

    said: list = []
    play(SMTP, [(S2C, b"220 mx\r\n"), (C2S, b"EHLO c\r\n"), (S2C, b"250 mx\r\n"),
                (C2S, b"MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\n"),
                (S2C, b"250 ok\r\n550 no\r\n251 ok\r\n450 later\r\n")], witness=Asking())
    assert said[-3] == [("a@b", False, "550"), ("c@d", False, ""), ("e@f", False, "")]
    assert said[-1] == [("a@b", False, "550"), ("c@d", True, "251"), ("e@f", False, "450")]
