"""An SMTP or LMTP flow: phases, envelopes, and the messages that cross by DATA and BDAT.

Knows SMTP (RFC 5321 and its extensions) and LMTP (RFC 2033).  Must not know who is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from mypy_extensions import mypyc_attr

from inspector import wary
from inspector.hold import CONTENT, LINES, SECRET
from inspector.limits import Limits
from inspector.machine import Machine, moving
from inspector.pdu import (
    FAILED,
    MORE,
    OK,
    PDU,
    Exchange,
    Flow,
    Kind,
    Message,
    Outcome,
    Recipient,
    Transaction,
)
from inspector.posing import Posing
from inspector.protocols.line import agreed, content_deviations, line_end, secret_from, secret_span, word_shown
from inspector.protocols.smtp import caution, grammar, phases, replies
from inspector.protocols.smtp.grammar import KNOWN_COMMANDS, KNOWN_REPLIES, Command, ReplyLine
from inspector.protocols.smtp.replies import ANSWERS
from inspector.reader import Reader
from inspector.session import Observer, Session
from inspector.wrapping import HEADER

AGREED: Final = "220"
"""The one reply to STARTTLS after which TLS begins (RFC 3207 §4)."""
AUTHENTICATED: Final = "235"
"""The one reply to AUTH that says so (RFC 4954 §6)."""
_MOVING: Final = moving(phases.PHASES) | moving(phases.LMTP_PHASES)


@mypyc_attr(allow_interpreted_subclasses=True)
class SmtpSession(Session):
    """What is known of an SMTP flow."""

    __slots__ = ("_asking", "_code", "_counted", "_cut_reply", "_distrusted", "_failed", "_last", "_lines", "_listing", "_mail",
                 "_mechanism", "_odd", "_odd_at", "_odd_refused", "_opened", "_reply_size", "lmtp", "transactions")

    def __init__(self, flow: Flow, observer: Observer, limits: Limits) -> None:
        self.lmtp = flow.protocol == "lmtp"
        """A reply for each recipient follows the end of data."""
        table = phases.LMTP_PHASES if self.lmtp else phases.PHASES
        super().__init__(flow, observer, limits, Machine(table, phases.CONNECT))
        self.transactions = 0
        self._mail = 0
        """The number of the last MAIL."""
        self.pending.append(Exchange(phases.GREETING, phases.CONNECT, "", None))
        self._asking = False
        """The server waits for a SASL response."""
        self._mechanism = b""
        self._last = False
        """The BDAT chunk in hand is the last of its message."""
        self._listing = b""
        """What the server has said to EHLO last."""
        self._failed: Transaction | None = None
        """The last transaction of which the server has refused a chunk."""
        self._opened = self._distrusted = False
        # `_distrusted`: the server has refused a chunk, and may have read it as commands.
        """Where somebody judges: in a chunk that the server has not taken yet stands a line that would open something."""
        self._lines: list[bytes] = []
        """The lines so far of a reply of several."""
        self._reply_size = 0
        self._code = b""
        self._cut_reply = False
        self._counted: Exchange | None = None
        """LMTP: the last end of data that had several replies; one too few, and those counted last were another command's."""
        self._odd: Exchange | None = None
        self._odd_at, self._odd_refused = 0, False
        """The last DATA or QUIT that was refused or answered oddly, and where the client's stream was then: if 354 or 221 follows
        at once, the reply was one too many."""

    # The client's lines

    def client_line(self, line: bytes, size: int) -> None:
        if self.server.buffer:
            self.spoke()
        if self.doubtful is not None:
            self.moved_on()
        if self._asking:
            self._sasl_response(line, size)
            return
        tainted = self.client.offset - size < self.taint
        reading = grammar.TAINTED if tainted else KNOWN_COMMANDS.get(line) or grammar.command_line(line, size)
        command, details = reading.command, reading.details
        found = list(reading.found) if reading.found else []
        phase = self._phase_of(command, found)
        secret = (0, line_end(line)) if tainted and command.verb != "AUTH" else reading.secret
        pdu = self.draft(True, Kind.COMMAND, phase, _word_shown(command, line, secret), "", line, size, "",
                         self._number_of(command), secret, None, details, reading.text)
        pdu.veiled = reading.covered
        if self.instead is not None:
            self.read_instead(pdu)
            return
        self._announce(command)
        transaction = self._transaction_of(command, details)
        exchange = Exchange(command.verb, phase, "", transaction, None, command, 0 if command is grammar.BDAT_LAST else 1)
        if self.pending and self.talked_early():
            found.append(("early_talker", "the greeting was not there yet"))
        if self.pending and self.pending[-1].verb in _HELLO and not self.joined and not self.flow.missing:
            found.append(("pipelining_not_offered", f"before the reply to {self.pending[-1].verb}"))
        if command.verb == "AUTH":
            self._credentials(reading.argument, found)
        self.tell(pdu)
        if found:
            self.anomalies(agreed(found) if transaction and "SMTPUTF8" in transaction.parameters else found, pdu)
        self._wait(exchange, pdu)
        if reading.octets >= 0:
            if self.gate is not None:
                self.gate.opens(pdu, reading.octets)
            self._last = command is grammar.BDAT_LAST
            self._begin_chunk(exchange, reading.octets)
        elif command.synchronises:
            self.client.paused = True

    def _phase_of(self, command: Command, found: list[tuple[str, str]]) -> str:
        """The phase of a command, by its row in the expected phase or, where that has none, by its home."""
        verb, machine = command.verb, self.machine
        if machine.stale or self.joined:
            self.hope_again(verb, machine)
        before = machine.expected
        table = phases.LMTP_PHASES if self._turns_lmtp(verb) else machine.table
        row = table[before].get(verb)
        if row is not None:
            return row.phase or phases.HOME.get(verb, before)
        if command is not grammar.UNKNOWN:
            found.append(("bad_sequence", f"{verb} in {before}"))
            if verb == "MAIL" and before == phases.CONNECT:
                found.append(("greeting_skipped", "MAIL before HELO or EHLO was accepted"))
        return phases.HOME.get(verb, before)

    def _turns_lmtp(self, verb: str) -> bool:
        """Whether the command tells that this is LMTP, whatever the port and the greeting said."""
        return verb == "LHLO" and not self.lmtp and self.machine.expected == phases.CONNECT

    def _announce(self, command: Command) -> None:
        """The command is on its way to the server."""
        if self._turns_lmtp(command.verb):
            self.lmtp = True
            self.machine.table = phases.LMTP_PHASES
            for exchange in self.pending:
                exchange.hoped = None
        self.machine.announce(command.verb)

    def _number_of(self, command: Command) -> int:
        """The number of the transaction that a command belongs to, or would begin."""
        if command.verb == "MAIL":
            return self.transactions + 1
        return self.opening.number if self.opening is not None and not command.resets else 0

    def _transaction_of(self, command: Command, details: Mapping[str, str]) -> Transaction | None:
        """The transaction that a command belongs to, or begins."""
        if command.verb == "MAIL":
            self.transactions += 1
            given = {name: value for name, value in details.items() if name != "path"}
            self.opening = Transaction(self.transactions, "MAIL", details["path"], given)
        elif command.resets:
            self.opening = None
        elif command.verb == "RCPT" and self.opening is not None and len(self.opening.recipients) < self.limits.recipients:
            self.opening.recipients.append(Recipient(details["path"], False, ""))
        return self.opening

    def _credentials(self, argument: bytes, found: list[tuple[str, str]]) -> None:
        """AUTH, perhaps with an initial response: some mechanisms put the secret itself into it."""
        self._mechanism, _, initial = argument.upper().partition(b" ")
        if initial and initial != b"=" and self._mechanism in grammar.CLEARTEXT_MECHANISMS and not self.unveiled:
            found.append(("cleartext_credentials", f"AUTH {self._mechanism.decode()} without TLS"))
            self._mechanism = b""

    def _sasl_response(self, line: bytes, size: int) -> None:
        exchange = self.pending[0]
        end = line_end(line)
        cancel = line[:end] == b"*"
        found = [] if size <= grammar.SASL_LINE else [("line_too_long", f"{size} octets, {grammar.SASL_LINE} allowed")]
        pdu = self.draft(True, Kind.SASL_RESPONSE, exchange.phase, exchange.verb, "", line, size, "", 0,
                         None if cancel else (0, end))
        if self.instead is not None:
            self.read_instead(pdu)
            return
        self._asking = False
        self.client.paused = True
        self.tell(pdu)
        if not cancel and end and self._mechanism in grammar.CLEARTEXT_MECHANISMS and not self.unveiled:
            found.append(("cleartext_credentials", f"AUTH {self._mechanism.decode()} without TLS"))
            self._mechanism = b""  # told once an exchange
        self.anomalies(found, pdu)

    # Messages

    def _begin_content(self, exchange: Exchange) -> None:
        """The server has said 354: what the client sends now is a message, up to the dot."""
        self._open_message(exchange, "DATA")
        self.client.expect_content()

    def _begin_chunk(self, exchange: Exchange, octets: int) -> None:
        self.chunked = True
        if self.message is None:
            self._open_message(exchange, "BDAT")
        self.client.expect_octets(octets)

    def _open_message(self, exchange: Exchange, verb: str) -> None:
        transaction = exchange.transaction
        if transaction is None:
            self.transactions += 1
            transaction = exchange.transaction = Transaction(self.transactions, "MAIL")
        self.open_message(Message(transaction.number, transaction, verb, self, self.time))

    def body_end(self, reader: Reader, head: bytes, size: int, ambiguous: bool) -> None:
        message = self.message
        transaction = message.transaction if message is not None else self.opening
        number = transaction.number if transaction is not None else 0
        chunked = message is not None and message.verb == "BDAT"
        if not chunked or self._last or self._cut:
            self.close_message(not self._cut)
        if size:
            note = f"BDAT chunk, {size} octets" if chunked else f"message content, {size} octets"
            command = self.pending[-1].command if chunked and self.pending else None
            pdu = self.emit(True, Kind.BODY, phases.DATA, "BDAT" if chunked else "DATA", "", head, size, "", number, None,
                            command, note=note)
            if found := content_deviations(head, ambiguous):
                self.anomalies(found, pdu)
            if not chunked:
                self._end_of_data(pdu, transaction)
        if not chunked or self._last:
            self.opening = None

    def _end_of_data(self, pdu: PDU, transaction: Transaction | None) -> None:
        """The dot is answered like a command."""
        exchange = Exchange(phases.END_OF_DATA, phases.DATA, "", transaction, None, grammar.END_OF_DATA, 0)
        if self.machine.stale:
            self.hope(self.machine)
        self.machine.announce(phases.END_OF_DATA)
        self._wait(exchange, pdu)

    def _wait(self, exchange: Exchange, pdu: PDU) -> None:
        """The exchange waits for its reply."""
        exchange.command = pdu
        if exchange.verb == "MAIL":
            self._mail = pdu.number
        self.pending.append(exchange)
        if len(self.pending) > self.limits.unanswered:
            self.too_many(pdu)

    # The server's lines

    def server_line(self, line: bytes, size: int) -> None:
        if self.lacking and not self.pending:
            self.client.end_body()
        if self._lines or line[3:4] == b"-":
            self._one_of_several(line, size)
            return
        reading = KNOWN_REPLIES.get(line) or grammar.reply_line(line, size)
        if reading.outcome is None:
            self._not_a_reply(line, size, reading)
        else:
            self._reply(line, size, reading, reading.outcome)

    def _one_of_several(self, line: bytes, size: int) -> None:
        """A line of a reply of several; the last has no hyphen after its code (RFC 5321 §4.2.1)."""
        if not self._lines:
            if not line[:3].isdigit():
                self._not_a_reply(line, size, grammar.reply_line(line, size))
                return
            self._code, self._reply_size, self._cut_reply = line[:3], 0, False
        if self._reply_size + len(line) <= self.limits.reply:
            self._lines.append(line)
        else:
            self._cut_reply = True
        self._reply_size += size
        if line[:3].isdigit() and line[3:4] != b"-":
            lines, self._lines = self._lines, []
            self._finish_lines(lines, line)

    def _finish_lines(self, lines: list[bytes], last: bytes) -> None:
        reading = grammar.reply_lines(lines if lines[-1] is last else [*lines, last], self._code)
        if self._cut_reply:
            told = ("reply_too_long", f"{self._reply_size} octets, {self.limits.reply} kept")
            reading = reading._replace(found=(*reading.found, told))
        raw = b"".join(lines)
        listing = bool(self.pending) and self.pending[0].verb not in _LISTING and replies.lists(raw)
        self._reply(raw, self._reply_size, reading, reading.outcome or FAILED, listing)

    def gap(self, client: bool, size: int) -> None:
        super().gap(client, size)
        if not client:
            self._cut_lines()

    def goes_on(self) -> None:
        exchange = self.doubtful
        super().goes_on()
        if exchange is not None and exchange.verb == "DATA" and not self.client.in_body:
            self._begin_content(exchange)

    def begins(self, client: bool, line: bytes) -> bool:
        if client:
            return not self._asking and grammar.command_line(line, len(line)).command is not grammar.UNKNOWN
        return line[:3].isdigit() and line[3:4] in (b" ", b"-", b"\r", b"\n")

    def may_reply(self, rest: bytes) -> bool:
        return len(rest) <= 3 and rest.isdigit()

    def finish(self, time: int) -> None:
        super().finish(time)
        self._cut_lines()

    def give_up(self) -> None:
        if self._held_back and not self._cut_reply:
            # Its octets leave only now, and unread.
            self.server.put_back(self._lines)
            self._lines = []
            if self.echo is not None:
                self.echo.said.clear()
        self._cut_lines()
        super().give_up()

    @property
    def _held_back(self) -> bool:
        """Whether the lines in hand of a reply have not left: judges are to see it whole."""
        return bool(self._lines) and self.gate is not None and self.gate.given <= self.server.offset - self._reply_size

    def partial_line(self, reader: Reader, rest: bytes, secret: tuple[int, int] | None) -> None:
        if reader.client or not self._lines:
            super().partial_line(reader, rest, secret)
        else:
            self._lines.append(rest)
            self._reply_size += len(rest)
            self._cut_lines()

    @property
    def reply_in_hand(self) -> int:
        return self._reply_size if self._lines else 0

    def remember(self, octets: bytes, first: int) -> None:
        super().remember(octets, first)
        if self._held_back and self.echo is not None and not self.listing:
            # They leave behind the secret.
            begin = self.server.offset - self._reply_size
            for place, line in enumerate(self._lines):
                self._lines[place] = self.echo.again(line, begin)
                begin += len(line)

    def withdraw(self, left: int) -> None:
        super().withdraw(left)
        if self._lines and self.server.offset > left:
            self.server.offset -= self._reply_size
            self._lines = []
            self._uncover(self.server.offset)

    def close_server(self) -> None:
        super().close_server()
        self._cut_lines()

    def _cut_lines(self) -> None:
        """A reply of several lines whose last will not come."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._cut = True
            self.emit(False, Kind.REPLY, self.phase, "", self._code.decode("ascii"), b"".join(lines), self._reply_size)

    def _reply(self, raw: bytes, size: int, reading: ReplyLine, outcome: Outcome, listing: bool = False) -> None:
        pending, status = self.pending, reading.status
        if not pending and not self._content_taken(outcome, status):
            self._stray(raw, size, reading)
            return
        place = 0
        odd = None
        if listing or status not in ANSWERS[pending[0].verb]:
            if pending[0].verb == HEADER:
                self.knows_header()
                self._reply(raw, size, reading, outcome, listing)
                return
            place, odd = self._misplaced(status, listing)
        exchange = pending[place]
        verb, command, transaction = exchange.verb, exchange.command, exchange.transaction
        challenge = outcome is MORE and verb == "AUTH"
        if outcome is OK and verb == "STARTTLS" and status != AGREED:
            outcome = FAILED
        kind = Kind.GREETING if command is None else Kind.CONTINUATION if challenge else Kind.REPLY
        pdu = self.draft(False, kind, exchange.phase, "" if command is None else phases.SHOWN.get(verb, verb), status, raw,
                         size, "", transaction.number if transaction is not None else 0, None, command, reading.details,
                         reading.text)
        if self.instead is not None:
            self.read_instead(pdu)
            return
        if verb == "STARTTLS" and outcome is OK and self.suspended(pdu):
            return
        if place:
            self.passed_over(place)
            self._counted = None
        if not challenge and self._last_reply(exchange):
            del pending[0]
        self.tell(pdu)
        if reading.found:
            self.anomalies(list(reading.found), pdu)
        if odd is not None:
            self.anomaly(odd[0], odd[1], pdu)
            self._distrust()
        if outcome is OK and verb in _GREETING:
            self._listing = raw if verb in _LISTING else b""
            if verb in _LISTING:
                self.offered(pdu)
        if self.observer.exchange_completed is not None:
            self.answered(exchange, pdu)
        final = exchange.due <= 0
        if (final or challenge) and verb in _MOVING:
            self.settle(verb, outcome)
        effect = _EFFECTS.get(verb)
        if effect is not None:
            effect(self, exchange, outcome, status)
        if final and not challenge:
            self.completed(exchange)
        if self.client.paused:
            self.room()

    def _content_taken(self, outcome: Outcome, status: str) -> bool:
        """Whether the server answers a content that goes on for us: it has seen its end at another dot (421 may always come)."""
        return self.client.doubting and outcome is not MORE and status != "421" and self.client.taken(outcome is OK)

    def _misplaced(self, status: str, listing: bool) -> tuple[int, tuple[str, str] | None]:
        """For which unanswered command a reply is that does not stand in the oldest one's row, and what is odd about it."""
        pending, oldest = self.pending, self.pending[0]
        if replies.excluded(oldest, status, listing) and (place := replies.claimant(pending, status, listing)):
            skipped = pending[:place]
            told = f"{status} is for {pending[place].verb}: no reply came to {self.named(skipped)}{self._missing(skipped)}"
            return place, ("reply_misplaced", told)
        if self.flow.missing or replies.answers(oldest, status):
            return 0, None
        return 0, ("unexpected_reply", f"{status} to {self.awaited(oldest) or 'the connection'}")

    def _missing(self, skipped: list[Exchange]) -> str:
        """LMTP: so many replies too few were noticed; the last that had to be counted were those to an end of data."""
        counted = self._counted
        if counted is None or counted.transaction is None or counted.due > 0 or not any(map(replies.succeeds, skipped)):
            return ""
        accepted = _accepted(counted.transaction)
        missing = accepted[max(1, len(accepted) - len(skipped)):]
        return f"; it seems that {counted.verb} had none for {_some(missing)}" if missing else ""

    def awaited(self, exchange: Exchange) -> str:
        if self.lmtp and exchange.verb in _DELIVERIES and exchange.transaction is not None:
            accepted = _accepted(exchange.transaction)
            if due := accepted[max(0, len(accepted) - exchange.due) if exchange.due else 0:]:
                return f"{exchange.verb} for {_some(due)}"
        return super().awaited(exchange)

    def went_on(self, exchange: Exchange) -> None:
        verb = exchange.verb
        if verb == "QUIT":
            self.machine.stale = True
            return
        if verb == "RCPT" and exchange.transaction is not None:
            exchange.transaction.accepted += 1  # else LMTP would count its replies wrong, too
        if verb in _MOVING:
            self.settle(verb, OK)
        effect = _EFFECTS.get(verb)
        if effect is not None and verb in _GUESSED:
            effect(self, exchange, OK, "")

    def _late(self, exchange: Exchange, raw: bytes, size: int, reading: ReplyLine) -> None:
        """The right reply, after one that the command cannot have had."""
        pdu = self.draft(False, Kind.REPLY, exchange.phase, exchange.verb, reading.status, raw, size, "",
                         exchange.transaction.number if exchange.transaction is not None else 0, None, exchange.command,
                         reading.details, reading.text)
        if self.instead is not None:
            self.read_instead(pdu)
            return
        self._odd = None
        transaction = exchange.transaction
        if exchange.verb == "DATA" and self._odd_refused and transaction is not None and transaction.accepted:
            # It was the last recipient's, and the good reply that was one too many another's.
            transaction.accepted -= 1
        self.tell(pdu)
        told = f"{reading.status} is for {exchange.verb}: the reply before was not"
        self.anomalies([*reading.found, ("reply_misplaced", told)], pdu)
        self.settle(exchange.verb, MORE if exchange.verb == "DATA" else OK)
        if exchange.verb == "DATA" and not self.client.in_body:
            self._begin_content(exchange)
        self.judge_unread()

    def _stray(self, raw: bytes, size: int, reading: ReplyLine) -> None:
        """A reply that answers nothing; 421 may come at any time (RFC 5321 §3.8)."""
        odd = self._odd
        if (odd is not None and _LATE.get(odd.verb) == reading.status and self._odd_at == self.client.position
                and not self.client.in_body and not self.flow.missing):
            self._late(odd, raw, size, reading)
            return
        pdu = self.draft(False, Kind.REPLY, self.phase, "", reading.status, raw, size, "", 0, None, None, reading.details)
        if self.instead is not None:
            self.read_instead(pdu)
            return
        self.tell(pdu)
        expected = reading.status == "421" or self.joined or self.answered_in_clear()
        unasked = [] if expected else [("reply_without_command", "no command waits for it")]
        self.anomalies([*reading.found, *unasked], pdu)
        if unasked:
            self._distrust()

    def _distrust(self) -> None:
        """A reply comes that nothing asks for: if it answers a line of a refused chunk, none after it is what it seems to be."""
        if self._distrusted and self.judged and self.gate is not None:
            self.gate.refuse(caution.CHUNK_READ)

    def _last_reply(self, exchange: Exchange) -> bool:
        """Counts a final reply; True when no more are due (RFC 2033 §4.2)."""
        if exchange.due == 0:
            transaction = exchange.transaction
            exchange.due = max(1, transaction.accepted) if self.lmtp and transaction is not None else 1
            if exchange.due > 1:
                self._counted = exchange
        exchange.due -= 1
        return exchange.due <= 0

    def _not_a_reply(self, line: bytes, size: int, reading: ReplyLine) -> None:
        pdu = self.draft(False, Kind.REPLY, self.phase, "", "", line, size)
        if self.instead is not None:
            self.read_instead(pdu)
            return
        self.tell(pdu)
        self.anomalies([("syntax_error", "no reply code"), *reading.found], pdu)
        self.evaded = self.pending[0] if self.pending else None

    # What replies do

    def _mail_answered(self, exchange: Exchange, outcome: Outcome, status: str) -> None:
        if outcome is OK:
            self.transaction = exchange.transaction
        elif self.opening is exchange.transaction:
            self.opening = self.transaction

    def _rcpt_answered(self, exchange: Exchange, outcome: Outcome, status: str) -> None:
        transaction = exchange.transaction
        if transaction is None:
            return
        if outcome is OK:
            transaction.accepted += 1
        if transaction.answered < len(transaction.recipients):
            address = transaction.recipients[transaction.answered].address
            transaction.recipients[transaction.answered] = Recipient(address, outcome is OK, status)
        transaction.answered += 1

    def unanswered(self, exchange: Exchange) -> None:
        if exchange.verb == "RCPT":
            self._rcpt_answered(exchange, FAILED, "")

    def _data_answered(self, exchange: Exchange, outcome: Outcome, status: str) -> None:
        if self.client.step is Reader.content:
            if outcome is not MORE:
                self.give_up()
        elif outcome is MORE:
            self._counted = None
            self._begin_content(exchange)
            self.client.resume()
        else:
            self._doubt_reply(exchange, outcome)
            self.release_client()

    def _quit_answered(self, exchange: Exchange, outcome: Outcome, status: str) -> None:
        if status != _LATE["QUIT"]:
            self._doubt_reply(exchange, outcome)

    def _doubt_reply(self, exchange: Exchange, outcome: Outcome) -> None:
        """The reply may have been one too many, and the right one to follow."""
        self._odd, self._odd_at, self._odd_refused = exchange, self.client.position, outcome is FAILED

    def _refused_chunk(self, exchange: Exchange) -> None:
        """No chunk of its transaction is taken any more; where the server has not waited for the octets, it may take what is
        still to come for commands."""
        self._failed = exchange.transaction
        own = self.server.says(self.server.offset - 1, self.server.offset)
        self._distrusted = self._distrusted or not own
        if (self.client.step is Reader.octets or self._opened) and not own:
            self.judge_unread()

    def _chunk_taken(self) -> None:
        """The server has taken what it had got of the message for what it is."""
        if (self.client.posing is None and not self._opened) or self.client.in_body:
            return
        if not any(exchange.verb in _CHUNKS for exchange in self.pending):
            self.client.posing, self._opened = None, False

    def _content_answered(self, exchange: Exchange, outcome: Outcome, status: str) -> None:
        if outcome is OK:
            self._chunk_taken()
        if outcome is not OK and exchange.verb == phases.BDAT_LAST:
            self._refused_chunk(exchange)
        if exchange.due <= 0 and self.transaction is exchange.transaction:
            self.transaction = None

    def _chunk_answered(self, exchange: Exchange, outcome: Outcome, status: str) -> None:
        if outcome is OK:
            self._chunk_taken()
        else:
            self._refused_chunk(exchange)
        if outcome is not OK and self.message is not None and self.client.step is Reader.line:
            self.close_message(False)

    def _reset_answered(self, exchange: Exchange, outcome: Outcome, status: str) -> None:
        if outcome is OK:
            self.transaction = None
            if self.client.step is Reader.line:
                self.close_message(False)
        elif self.opening is None and not self._mail_waits():
            self.opening = self.transaction

    def _mail_waits(self) -> bool:
        """Whether a MAIL is unanswered: the last is, if it is no older than the oldest that is."""
        oldest = self.pending[0].command if self.pending else None
        return bool(self.pending) and self._mail >= (oldest.number if oldest is not None else 1)

    def _starttls_answered(self, exchange: Exchange, outcome: Outcome, status: str) -> None:
        self._reset_answered(exchange, outcome, status)
        self.answered_tls(outcome is OK, status if outcome is FAILED and status[:1] == "2" else "")

    def _auth_answered(self, exchange: Exchange, outcome: Outcome, status: str) -> None:
        self._asking = outcome is MORE
        if status == AUTHENTICATED:
            self.authenticated = True
        self.release_tainted()

    def _xclient_answered(self, exchange: Exchange, outcome: Outcome, status: str) -> None:
        """The session begins anew, as that of another client."""
        self._reset_answered(exchange, outcome, status)
        if outcome is OK:
            self.authenticated = False

    # Where somebody judges

    def wary(self, pdu: PDU) -> tuple[bytes, Sequence[bytes]]:
        if pdu.kind is Kind.SASL_RESPONSE:
            return caution.of_response(pdu.raw, pdu.size)
        self._goes_on_with(pdu.raw)
        known = b"" if any(exchange.verb in _GREETING for exchange in self.pending) else self._listing
        return caution.of_command(pdu.raw, pdu.size, known, pdu.offset < self.taint)

    def doubtful_end(self) -> None:
        if self.gate is not None:
            self.gate.refuse(caution.DOUBTFUL_END)

    def posing(self) -> Posing | None:
        return Posing(caution.COMMANDS) if self.judged else None

    def posed(self, posing: Posing, octets: bytes) -> None:
        self._look_at(posing, posing.seen(octets), self.client.step is Reader.content)

    def _look_at(self, posing: Posing, lines: Sequence[bytes], strictly: bool) -> None:
        """Ends the flow where a line of a message is forbidden as a command; `strictly`: where it only opens something, too."""
        judge = self.observer.judge
        if judge is None or self.gate is None:
            return
        refused = posing.disguised
        for line in lines:
            found = caution.of_posing(line)
            self._opened = self._opened or found.opens
            refused = (refused or found.refused or (strictly and found.opens)
                       or (found.judged and wary.forbidden(self, line, judge)))
        if refused:
            self.gate.refuse(caution.POSING)

    def _goes_on_with(self, line: bytes) -> None:
        """A line comes after a chunk whose last line has no end: to a server that has refused the chunk both are one."""
        posing = self.client.posing
        if posing is not None:
            self._look_at(posing, [found for found in posing.joined(line) if found.rstrip() not in line], True)

    def read_as(self, line: bytes) -> tuple[str, Mapping[str, str]]:
        reading = grammar.command_line(line, len(line))
        return reading.command.verb, reading.details

    def refusal(self, why: str) -> bytes:
        return caution.REFUSAL % why.encode()

    def farewell(self, why: str) -> bytes:
        return caution.CLOSING % why.encode()

    def goes_on_after(self, command: PDU, answer: bytes) -> bool:
        return answer[:1] == b"3" or super().goes_on_after(command, answer)

    def opening_refused(self, exchange: Exchange) -> bytes:
        transaction = exchange.transaction
        known = transaction is not None and transaction is self.transaction and transaction is not self._failed
        return b"" if known and transaction is not None and transaction.accepted else caution.NO_RECIPIENTS

    # Secrets and bounds

    @property
    def secretive(self) -> bool:
        return self._asking or self.client.offset < self.taint

    def partial_secret(self, rest: bytes) -> tuple[int, int] | None:
        if self.secretive:
            return None if rest.rstrip(b"\r\n") == b"*" else (0, line_end(rest))
        return secret_span(rest)

    def unread_secret(self, lines: bytes) -> tuple[int, int] | None:
        return secret_from(lines)

    def holds(self) -> int:
        waiting = {exchange.verb for exchange in self.pending}
        if "AUTH" in waiting:
            return SECRET
        return CONTENT if "DATA" in waiting or self.client.in_body else LINES

    def comes_after(self, line: bytes) -> int:
        if _MAY_CHANGE.match(line) is None:
            return LINES
        reading = grammar.command_line(line, len(line))
        return reading.octets if reading.octets >= 0 else _AFTER.get(reading.command.verb, LINES)

    def held_too_much(self, reader: Reader) -> None:
        """Reads on as if DATA had been accepted, once; where anything else waits for its reply, reads no further."""
        waiting = [exchange for exchange in self.pending if exchange.entry is not None and exchange.entry.synchronises]
        if len(waiting) == 1 and waiting[0].verb == "DATA" and reader.step is not Reader.content:
            self._begin_content(waiting[0])
            reader.paused = False
            self.judge_unread()
        else:
            self.give_up()


def _word_shown(command: Command, line: bytes, secret: tuple[int, int] | None) -> str:
    """The verb of a PDU: of an unknown command its word, unless that may be a secret."""
    if command is not grammar.UNKNOWN:
        return "BDAT" if command is grammar.BDAT_LAST else command.verb
    return word_shown(line, secret)


_AFTER: Final = {"AUTH": SECRET, "DATA": CONTENT}
"""What comes after a command that is held."""
_MAY_CHANGE: Final = re.compile(rb"[^A-Za-z]*[ABDabd]")
"""How lines begin that may be one of these, or BDAT."""


NAMED: Final = 3
"""Recipients that one line names."""


def _accepted(transaction: Transaction) -> list[str]:
    return [recipient.address for recipient in transaction.recipients if not recipient.refused]


def _some(addresses: list[str]) -> str:
    named = ", ".join(f"<{address}>" for address in addresses[:NAMED])
    return f"{named} and {len(addresses) - NAMED} more" if len(addresses) > NAMED else named


_DELIVERIES: Final = frozenset({phases.END_OF_DATA, phases.BDAT_LAST})
"""What LMTP answers for each recipient (RFC 2033 §4.2)."""
_CHUNKS: Final = frozenset({"BDAT", phases.BDAT_LAST})
_GUESSED: Final = frozenset({"MAIL", "EHLO", "HELO", "LHLO", "RSET", phases.END_OF_DATA, phases.BDAT_LAST})
"""Commands whose effect is that of success where no reply came and the server went on."""
_LATE: Final = {"DATA": "354", "QUIT": "221"}
"""Replies that are known again after a wrong one."""
_HELLO: Final = frozenset({"EHLO", "HELO", "LHLO"})
_LISTING: Final = frozenset({"EHLO", "LHLO"})
_GREETING: Final = frozenset({"EHLO", "HELO", "LHLO"})
_EFFECTS: Final = {
    "MAIL": SmtpSession._mail_answered,
    "RCPT": SmtpSession._rcpt_answered,
    "DATA": SmtpSession._data_answered,
    phases.END_OF_DATA: SmtpSession._content_answered,
    "BDAT": SmtpSession._chunk_answered,
    phases.BDAT_LAST: SmtpSession._content_answered,
    "EHLO": SmtpSession._reset_answered,
    "HELO": SmtpSession._reset_answered,
    "LHLO": SmtpSession._reset_answered,
    "RSET": SmtpSession._reset_answered,
    "QUIT": SmtpSession._quit_answered,
    "XCLIENT": SmtpSession._xclient_answered,
    "STARTTLS": SmtpSession._starttls_answered,
    "AUTH": SmtpSession._auth_answered,
}
"""What a reply does to the transaction and to the reader, by the verb that it answers."""
