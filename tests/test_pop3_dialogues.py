"""POP3 as it is spoken, and misspoken."""

from __future__ import annotations

from dialogue import POP3, dialogue, everyway

from inspector.pdu import C2S, S2C, Kind

SHEET = """
    S: +OK pop.cnam.fr server ready                           | AUTHORIZATION connecting
    C: USER natkin                                            | AUTHORIZATION authentication
    S: +OK password required for natkin                       | AUTHORIZATION authentication
    C: PASS monpacs                                           | AUTHORIZATION authentication ! cleartext_credentials
    S: -ERR password supplied for natkin is incorrect         | AUTHORIZATION authentication
    C: USER natkin                                            | AUTHORIZATION authentication
    S: +OK password required for natkin                       | AUTHORIZATION authentication
    C: PASS monpass                                           | AUTHORIZATION authentication ! cleartext_credentials
    S: +OK maildrop has 1 messages (600 octets)               | AUTHORIZATION authentication
    C: STAT                                                   | TRANSACTION transaction
    S: +OK 1 600                                              | TRANSACTION transaction
    C: RETR 1                                                 | TRANSACTION transaction
    S: +OK                                                    | TRANSACTION transaction
    S: Subject: Publi\\r\\n\\r\\nCi joint les publications.\\r\\n. | TRANSACTION transaction
    C: DELE 1                                                 | TRANSACTION transaction
    S: +OK                                                    | TRANSACTION transaction
    C: QUIT                                                   | UPDATE update
    S: +OK pop.cnam.fr signing off                            | UPDATE update
"""


def test_the_sheets_eighteen_pdus_have_their_phase_and_their_client_state():
    """The golden case: the exercise sheet's dialogue, III.4."""
    witness = dialogue(POP3, SHEET)
    assert [pdu.number for pdu in witness.pdus] == list(range(1, 19))
    assert witness.pdus[13].kind is Kind.BODY
    assert witness.messages == [(b"Subject: Publi\r\n\r\nCi joint les publications.\r\n", True)]


def test_a_password_is_masked_in_text_and_kept_in_raw():
    """What leaves the core for people holds no secret."""
    witness = dialogue(POP3, SHEET)
    assert witness.pdus[3].text == "PASS ********"
    assert witness.pdus[3].raw == b"PASS monpacs\r\n"
    assert witness.pdus[3].shown == b"PASS *******\r\n"


def test_list_has_further_lines_only_without_an_argument():
    """RFC 1939 §5: `LIST` lists all, `LIST 1` answers in one line; octet counts decide nothing."""
    witness = dialogue(POP3, """
        S: +OK ready             | AUTHORIZATION
        C: APOP u c4c9334bac560ecc979e58001b3e22fb | AUTHORIZATION
        S: +OK                   | AUTHORIZATION
        C: LIST                  | TRANSACTION
        S: +OK 2 messages (320 octets) | TRANSACTION
        S: 1 120\\r\\n2 200\\r\\n. | TRANSACTION
        C: LIST 2                | TRANSACTION
        S: +OK 2 200             | TRANSACTION
        C: UIDL                  | TRANSACTION
        S: +OK                   | TRANSACTION
        S: .                     | TRANSACTION
        C: UIDL 3                | TRANSACTION
        S: -ERR no such message  | TRANSACTION
        C: RETR 9                | TRANSACTION
        S: -ERR no such message  | TRANSACTION
        C: TOP 1 0               | TRANSACTION
        S: +OK                   | TRANSACTION
        S: Subject: x\\r\\n\\r\\n. | TRANSACTION
        C: QUIT                  | UPDATE
        S: +OK                   | UPDATE
    """)
    assert [pdu.text for pdu in witness.pdus if pdu.kind is Kind.BODY][:2] == ["1 120 / 2 200", "(empty)"]
    assert witness.pdus[1].text == "APOP u ********"


def test_a_pipeline_is_tagged_by_the_phase_hoped_for_and_replies_by_their_command():
    """RFC 2449 §6.6: PASS has not been answered when STAT is sent."""
    everyway(POP3, [
        (S2C, b"+OK\r\n"),
        (C2S, b"USER a\r\nPASS b\r\nSTAT\r\nQUIT\r\n"),
        (S2C, b"+OK\r\n+OK\r\n+OK 0 0\r\n+OK\r\n"),
    ])
    dialogue(POP3, """
        S: +OK        | AUTHORIZATION
        C: USER a     | AUTHORIZATION
        C: PASS b     | AUTHORIZATION ! cleartext_credentials
        C: STAT       | TRANSACTION
        C: QUIT       | UPDATE
        S: +OK        | AUTHORIZATION
        S: -ERR no    | AUTHORIZATION
        S: -ERR no    | TRANSACTION
        S: +OK bye    | UPDATE
    """)


def test_quit_before_login_opens_no_update():
    """RFC 1939 §4 and §6."""
    dialogue(POP3, """
        S: +OK     | AUTHORIZATION connecting
        C: QUIT    | AUTHORIZATION authentication
        S: +OK bye | AUTHORIZATION authentication
    """)


def test_sasl_in_several_steps_is_masked_whole():
    """RFC 5034: responses are secret, challenges are not; `*` cancels."""
    witness = dialogue(POP3, """
        S: +OK               | AUTHORIZATION
        C: AUTH              | AUTHORIZATION
        S: +OK               | AUTHORIZATION
        S: PLAIN\\r\\nLOGIN\\r\\n. | AUTHORIZATION
        C: AUTH LOGIN        | AUTHORIZATION
        S: + VXNlcm5hbWU6    | AUTHORIZATION
        C: bmF0a2lu          | AUTHORIZATION ! cleartext_credentials
        S: + UGFzc3dvcmQ6    | AUTHORIZATION
        C: *                 | AUTHORIZATION
        S: -ERR cancelled    | AUTHORIZATION
        C: AUTH PLAIN AG5hdGtpbgBtb25wYXNz | AUTHORIZATION ! cleartext_credentials
        S: +OK               | AUTHORIZATION
        C: STAT              | TRANSACTION
        S: +OK 0 0           | TRANSACTION
    """)
    texts = [pdu.text for pdu in witness.pdus]
    assert texts[6] == "********"
    assert texts[8] == "*"
    assert texts[10] == "AUTH PLAIN ********"
    assert [pdu.kind for pdu in witness.pdus[5:9]] == [Kind.CONTINUATION, Kind.SASL_RESPONSE] * 2


def test_unknown_commands_pass_and_their_further_lines_are_taken_together():
    """Nobody can tell but by what comes whether an unknown command has a multi-line reply."""
    dialogue(POP3, """
        S: +OK                  | AUTHORIZATION
        C: XSECRET word         | AUTHORIZATION ! unknown_command
        S: +OK here             | AUTHORIZATION
        S: line one\\r\\nline two\\r\\n. | AUTHORIZATION
        C: NOOP                 | AUTHORIZATION ! bad_sequence
        S: -ERR                 | AUTHORIZATION
        C: XTND XMIT            | AUTHORIZATION ! unknown_command
        S: +OK                  | AUTHORIZATION
        C: QUIT                 | AUTHORIZATION
        S: +OK                  | AUTHORIZATION
    """)


def test_deviations_have_names():
    """Each is found in the PDU in which it stands."""
    dialogue(POP3, """
        S: +OK                   | AUTHORIZATION
        C: USER a\\x00b           | AUTHORIZATION ! nul_octet
        S: +OK                   | AUTHORIZATION
        C: PASSmon               | AUTHORIZATION ! syntax_error cleartext_credentials
        S: -ERR                  | AUTHORIZATION
        C: RETR one              | AUTHORIZATION ! bad_sequence syntax_error
        S: -ERR                  | AUTHORIZATION
        C: USER \\xe9            | AUTHORIZATION ! eight_bit_in_command
        S: +OK                   | AUTHORIZATION
        C: USER a\\rb             | AUTHORIZATION ! bare_cr
        S: +OK                   | AUTHORIZATION
        C: EHLO me               | AUTHORIZATION ! cross_protocol unknown_command
        S: -ERR                  | AUTHORIZATION
        S: +OK nobody asked      | AUTHORIZATION ! reply_without_command
        S: what is this          | AUTHORIZATION ! syntax_error reply_without_command
    """)


def test_bare_lf_is_a_line_end_and_an_anomaly():
    """A server that ends its lines by LF ends its messages so too."""
    witness = everyway(POP3, [
        (S2C, b"+OK\n"), (C2S, b"APOP u c4c9334bac560ecc979e58001b3e22fb\n"), (S2C, b"+OK\n"), (C2S, b"RETR 1\n"),
        (S2C, b"+OK\nSubject: x\n\nhello\n.\n"), (C2S, b"QUIT\n"), (S2C, b"+OK\n"),
    ])
    assert witness.messages == [(b"Subject: x\n\nhello\n", True)]
    assert {name for name, _ in witness.anomalies} == {"bare_lf"}


def test_an_early_talker_is_named_once():
    """RFC 1939 §4: the server speaks first."""
    witness = everyway(POP3, [(C2S, b"USER a\r\nPASS b\r\n"), (S2C, b"+OK hi\r\n+OK\r\n+OK\r\n"), (C2S, b"QUIT\r\n"),
                              (S2C, b"+OK\r\n")])
    assert [name for name, _ in witness.anomalies] == ["early_talker", "cleartext_credentials"]


def test_after_stls_both_directions_are_records():
    """RFC 2595 §4: nothing is read any more, and what came in the clear is named."""
    hello = b"\x16\x03\x01\x00\x04\x01\x00\x00\x00"
    witness = everyway(POP3, [(S2C, b"+OK\r\n"), (C2S, b"STLS\r\n"), (S2C, b"+OK begin\r\n"), (C2S, hello),
                              (S2C, hello + b"\x17\x03\x03\x00\x01\x00"), (C2S, b"\x15\x03\x03\x00\x02\x01\x00")])
    assert [pdu.text for pdu in witness.pdus[3:]] == ["TLS record 22, 9 octets", "TLS record 22, 9 octets",
                                                      "TLS record 23, 6 octets", "TLS record 21, 7 octets"]
    assert witness.anomalies == []
    injected = everyway(POP3, [(S2C, b"+OK\r\n"), (C2S, b"STLS\r\nCAPA\r\n"), (S2C, b"+OK begin\r\n"), (C2S, hello)])
    assert [name for name, _ in injected.anomalies] == ["plaintext_after_starttls"] * 2


def test_a_refused_stls_leaves_the_session_in_the_clear():
    """What was sent too early are commands then."""
    witness = everyway(POP3, [(S2C, b"+OK\r\n"), (C2S, b"STLS\r\nCAPA\r\n"), (S2C, b"-ERR no\r\n+OK\r\nUSER\r\n.\r\n"),
                              (C2S, b"QUIT\r\n"), (S2C, b"+OK\r\n")])
    assert [pdu.verb for pdu in witness.pdus] == ["", "STLS", "STLS", "CAPA", "CAPA", "CAPA", "QUIT", "QUIT"]
    assert [name for name, _ in witness.anomalies] == ["starttls_refused", "early_content"]


def test_tls_on_a_clear_port_is_named():
    """A client with implicit TLS on port 110."""
    witness = everyway(POP3, [(C2S, b"\x16\x03\x01\x00\x04\x01\x00\x00\n"), (S2C, b"\x15\x03\x03\x00\x02\x02\x0a")])
    assert [name for name, _ in witness.anomalies] == ["cross_protocol"]
    assert [pdu.kind for pdu in witness.pdus] == [Kind.OPAQUE, Kind.OPAQUE]


def test_a_stream_that_ends_in_the_middle_is_truncated():
    """The half message is kept, marked, and belongs to a PDU."""
    witness = everyway(POP3, [(S2C, b"+OK\r\n"), (C2S, b"RETR 1\r\n"), (S2C, b"+OK\r\nSubject: x\r\n\r\nhal")])
    assert witness.messages == [(b"Subject: x\r\n\r\nhal", False)]
    assert ("truncated", 4) in witness.anomalies
    missing = everyway(POP3, [(S2C, b"+OK\r\n"), (C2S, b"CAPA\r\nLIS")])
    assert [name for name, _ in missing.anomalies] == ["truncated", "truncated"]


def test_a_command_without_a_word_that_is_never_answered_is_named_in_words():
    witness = everyway(POP3, [(S2C, b"+OK\r\n"), (C2S, b"\xff\r\n")])
    assert ("anomaly", "truncated", None, "no reply came to an unknown command") in witness.told


def test_a_session_without_a_greeting():
    """The greeting is not in the capture: the further lines of a reply tell that it was no greeting."""
    witness = everyway(POP3, [
        (C2S, b"CAPA\r\n"), (S2C, b"+OK list follows\r\nUSER\r\n.\r\n"),
        (C2S, b"QUIT\r\n"), (S2C, b"+OK\r\n")])
    assert [(pdu.kind, pdu.verb) for pdu in witness.pdus] == [
        ("command", "CAPA"), ("greeting", ""), ("body", "CAPA"), ("command", "QUIT"), ("reply", "QUIT")]
    assert [name for name, _ in witness.anomalies] == ["early_talker"]
