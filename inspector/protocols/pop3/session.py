"""A POP3 flow: which phase each PDU belongs to, which reply has further lines, which message crosses.

Knows POP3 (RFC 1939, 2449, 2595, 5034, 6856) and the sheet's client automaton.  Must not know who is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mypy_extensions import mypyc_attr

from inspector.hold import LINES, SECRET
from inspector.limits import Limits
from inspector.machine import Machine, moving
from inspector.pdu import MORE, NOTHING, OK, PDU, Exchange, Flow, Kind, Message, Outcome, Transaction
from inspector.protocols.line import (
    agreed,
    asks_by_name,
    content_deviations,
    deviations,
    line_end,
    secret_from,
    secret_span,
    word_shown,
)
from inspector.protocols.pop3 import caution, grammar, phases, replies
from inspector.protocols.pop3.grammar import KNOWN_COMMANDS, KNOWN_REPLIES, Command, CommandLine, ReplyLine
from inspector.protocols.pop3.replies import SHAPED
from inspector.reader import Reader
from inspector.session import Observer, Session
from inspector.text import decode
from inspector.wrapping import HEADER

_INSIDE = frozenset({"DELE", "LIST", "RETR", "STAT", "TOP", "UIDL"})
"""Commands on a maildrop: whose, only a login tells."""
_CLIENT_MOVING = moving(phases.CLIENT)
_MOVING = moving(phases.PHASES) | _CLIENT_MOVING


@mypyc_attr(allow_interpreted_subclasses=True)
class Pop3Session(Session):
    """What is known of a POP3 flow."""

    __slots__ = ("_asking", "_doubted", "_lenient", "_listing", "_mechanism", "_name", "_succeeded", "_unasked", "automaton",
                 "transactions", "utf8")

    def __init__(self, flow: Flow, observer: Observer, limits: Limits) -> None:
        super().__init__(flow, observer, limits, Machine(phases.PHASES, phases.AUTHORIZATION))
        self.automaton = Machine(phases.CLIENT, phases.CONNECTING)
        """The sheet's client, as far as the wire shows it."""
        self.automaton.announce(phases.GREETING)
        self.transactions = 0
        """How many retrievals there were so far."""
        self.utf8 = False
        self.pending.append(Exchange(phases.GREETING, phases.AUTHORIZATION, phases.CONNECTING))
        self._listing: Exchange | None = None
        """The exchange whose multi-line reply is being read."""
        self._asking = False
        """The server waits for a SASL response."""
        self._mechanism = b""
        self._name = ""
        self._unasked: Exchange | None = None
        """An unknown command that succeeded: further lines may follow, nobody can tell but by what comes."""
        self._succeeded: Exchange | None = None
        """A command of a reply of one line that succeeded with the server's last line."""
        self._doubted = False
        """The greeting may be the reply to a command that came before it."""
        self._lenient = False
        """The server ends its lines by LF alone."""

    @property
    def client_state(self) -> str:
        return self.automaton.state

    @property
    def downwards(self) -> bool:
        return True

    # The client's lines

    def client_line(self, line: bytes, size: int) -> None:
        if self.server.buffer:
            self.spoke()
        if self.doubtful is not None:
            self.moved_on()
        if self.lacking and not self.pending:
            self.server.end_body()
        if self._asking:
            self._sasl_response(line, size)
            return
        tainted = self.client.offset - size < self.taint
        reading = grammar.TAINTED if tainted else KNOWN_COMMANDS.get(line) or grammar.command_line(line, size)
        command = reading.command
        verb = command.verb
        found = list(reading.found) if reading.found else []
        machine, automaton = self.machine, self.automaton
        if machine.stale or automaton.stale or self.joined:
            self.hope_again(verb, machine, automaton)
        phase, state = machine.expected, automaton.expected
        row = machine.table[phase].get(verb)
        if row is None:
            if command is not grammar.UNKNOWN:
                found.insert(0, ("bad_sequence", f"{verb} in {phase}"))
        elif row.next:
            phase = row.phase or phase
        if verb in _CLIENT_MOVING:
            move = automaton.table[state].get(verb)
            if move is not None and move.phase:
                state = move.phase
        secret, shown = reading.secret, verb
        if command is grammar.UNKNOWN:
            secret = (0, line_end(line)) if tainted else secret
            shown = word_shown(line, secret)
        pdu = self.draft(True, Kind.COMMAND, phase, shown, "", line, size, state,
                         self.transactions + 1 if command.message else 0, secret, None, NOTHING, reading.text)
        pdu.veiled = reading.covered
        if self.instead is not None:
            self.read_instead(pdu)
            return
        exchange = self._accept(command, reading, phase, state)
        pending = self.pending
        if pending and self.talked_early():
            found.append(("early_talker", "the greeting was not there yet"))
        self.tell(pdu)
        if command.credentials:
            self._credentials(reading, found)
        if found:
            self.anomalies(agreed(found) if self.utf8 else found, pdu)
        exchange.command = pdu
        pending.append(exchange)
        if len(pending) > self.limits.unanswered:
            self.too_many(pdu)
        if command.synchronises:
            self.client.paused = True

    def _accept(self, command: Command, reading: CommandLine, phase: str, state: str) -> Exchange:
        """The command is on its way to the server."""
        verb = command.verb
        self.machine.announce(verb)
        if verb in _CLIENT_MOVING:
            self.automaton.announce(verb)
        exchange = Exchange(verb, phase, state, None, None, command)
        if command.message:
            self.transactions += 1
            exchange.transaction = Transaction(self.transactions, verb, argument=reading.argument.decode("latin-1"))
        return exchange

    def _credentials(self, reading: CommandLine, found: list[tuple[str, str]]) -> None:
        """Remembers who logs in, and names what crosses in the clear."""
        verb, argument = reading.command.verb, reading.argument
        clear = verb == "PASS"
        if verb == "AUTH":
            self._mechanism, _, initial = argument.upper().partition(b" ")
            clear = bool(initial) and initial != b"=" and self._mechanism in grammar.CLEARTEXT_MECHANISMS
            if clear:
                self._mechanism = b""
        elif not clear:
            self._name = argument.split(b" ")[0].decode("utf-8", "backslashreplace")
        if clear and not self.unveiled:
            found.append(("cleartext_credentials", f"{verb} without TLS"))

    def _sasl_response(self, line: bytes, size: int) -> None:
        exchange = self.pending[0]
        end = line_end(line)
        cancel = line[:end] == b"*"
        secret = None if cancel else (0, end)
        found = [] if size <= grammar.SASL_LINE else [("line_too_long", f"{size} octets, {grammar.SASL_LINE} allowed")]
        pdu = self.draft(True, Kind.SASL_RESPONSE, exchange.phase, exchange.verb, "", line, size, exchange.client_state, 0,
                         secret)
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

    # Where somebody judges

    def wary(self, pdu: PDU) -> tuple[bytes, Sequence[bytes]]:
        if pdu.kind is Kind.SASL_RESPONSE:
            return caution.of_response(pdu.raw, pdu.size)
        return caution.of_command(pdu.raw, pdu.size, pdu.offset < self.taint)

    def read_as(self, line: bytes) -> tuple[str, Mapping[str, str]]:
        return grammar.command_line(line, len(line)).command.verb, NOTHING

    def refusal(self, why: str) -> bytes:
        return caution.REFUSAL % why.encode()

    def farewell(self, why: str) -> bytes:
        return caution.REFUSAL % why.encode()

    def goes_on_after(self, command: PDU, answer: bytes) -> bool:
        return answer[:2] == b"+ " or answer == b"+\r\n" or super().goes_on_after(command, answer)

    def begins(self, client: bool, line: bytes) -> bool:
        if client:
            return not self._asking and grammar.command_line(line, len(line)).command is not grammar.UNKNOWN
        return line.startswith((b"+OK", b"-ERR", b"+ "))

    def may_reply(self, rest: bytes) -> bool:
        return b"+OK".startswith(rest) or b"-ERR".startswith(rest)

    # The server's lines

    def server_line(self, line: bytes, size: int) -> None:
        reading = KNOWN_REPLIES.get(line) or grammar.reply_line(line, size)
        outcome = reading.outcome
        if outcome is None:
            self._not_a_status(line, size, reading)
            return
        pending = self.pending
        if not pending:
            self._stray(line, size, reading)
            return
        exchange = pending[0]
        if outcome is MORE:
            if exchange.verb == "AUTH":
                self._continuation(exchange, line, size)
            elif pending[-1].verb == "AUTH":
                self._continuation(pending[-1], line, size, len(pending) - 1)
            else:
                self._stray(line, size, reading)
            return
        place = 0
        odd = None
        if outcome is OK and exchange.verb == HEADER:
            self.knows_header()
            self.server_line(line, size)
            return
        if outcome is OK and exchange.verb in SHAPED and replies.excluded(exchange, line):
            place = replies.claimant(pending, line)
            odd = self._misplaced(place, "+OK") if place else (
                "unexpected_reply", f"{decode(line[:line_end(line)])} to {self.awaited(exchange)}")
        self._reply(place, line, size, reading, outcome, odd)

    def _misplaced(self, place: int, status: str) -> tuple[str, str]:
        """What is told of a reply that is for the command at that place."""
        skipped = self.named(self.pending[:place])
        return "reply_misplaced", f"{status} is for {self.awaited(self.pending[place])}: no reply came to {skipped}"

    def went_on(self, exchange: Exchange) -> None:
        verb = exchange.verb
        if verb in _MOVING and verb != "QUIT":
            self.automaton.settle(verb, OK)
            self.settle(verb, OK)
        self.machine.stale = self.automaton.stale = True

    def _reply(self, place: int, line: bytes, size: int, reading: ReplyLine, outcome: Outcome,
               odd: tuple[str, str] | None) -> None:
        """The reply to the unanswered command at that place."""
        exchange = self.pending[place]
        command, transaction, verb = exchange.command, exchange.transaction, exchange.verb
        greeting = command is None
        pdu = self.draft(False, Kind.GREETING if greeting else Kind.REPLY, exchange.phase, "" if greeting else verb,
                         reading.status, line, size, exchange.client_state,
                         transaction.number if transaction is not None else 0, None, command, NOTHING, reading.text)
        if self.instead is not None:
            self.read_instead(pdu)
            return
        if verb == "STLS" and outcome is OK and self.suspended(pdu):
            return
        if place:
            self.passed_over(place)
        del self.pending[0]
        self._unasked = None
        self._doubted = greeting and self._early
        self.tell(pdu)
        if reading.found:
            self.anomalies(agreed(reading.found) if self.utf8 else list(reading.found), pdu)
        if odd is not None:
            self.anomaly(odd[0], odd[1], pdu)
        if self.observer.exchange_completed is not None:
            self.answered(exchange, pdu)
        if outcome is OK and exchange.phase == phases.AUTHORIZATION and verb in _INSIDE:
            self.anomaly("unasked_login", f"{verb} succeeds before any login", pdu)
        if verb in _MOVING:
            self.automaton.settle(verb, outcome)
            self.settle(verb, outcome)
        entry: Command | None = exchange.entry
        self._succeeded = None
        if entry is None:
            return
        if outcome is OK and entry.multiline:
            self._begin_lines(exchange, entry, line[-2:] != b"\r\n")
        else:
            self._succeeded = exchange if outcome is OK else None
            self.completed(exchange)
            if outcome is OK and entry is grammar.UNKNOWN:
                self._unasked = exchange
                self._lenient = line[-2:] != b"\r\n"
        if verb in _EFFECTS:
            self._effect(verb, outcome)
        if self.client.paused:
            self.room()

    def _effect(self, verb: str, outcome: Outcome) -> None:
        """What a reply does beside moving the phase."""
        if verb in ("PASS", "APOP"):
            self.user = self._name if outcome is OK else ""
        elif verb == "UTF8":
            self.utf8 = self.utf8 or outcome is OK
        elif verb == "STLS":
            self.answered_tls(outcome is OK)
        elif verb == "AUTH":
            self._asking = False
            self.release_tainted()

    def _begin_lines(self, exchange: Exchange, entry: Command, lenient: bool) -> None:
        self._listing = exchange
        transaction = exchange.transaction
        if transaction is not None:
            self.transaction = transaction
            self.open_message(Message(transaction.number, transaction, exchange.verb, self, self.time))
            self.server.expect_content(lenient)
        else:
            self.server.expect_content(lenient, self.limits.listing)

    def body_end(self, reader: Reader, head: bytes, size: int, ambiguous: bool) -> None:
        exchange, self._listing = self._listing, None
        assert exchange is not None
        transaction, message = exchange.transaction, self.message
        note = ""
        if message is not None:
            self.close_message(not self._cut)
            note = f"message content, {size} octets"
        pdu = self.emit(False, Kind.BODY, exchange.phase, exchange.verb, "", head, size, exchange.client_state,
                        transaction.number if transaction is not None else 0, None, exchange.command, note=note)
        if found := content_deviations(head, ambiguous):
            self.anomalies(found, pdu)
        if exchange.verb == "CAPA":
            self.offered(pdu)
        self.transaction = None
        self.completed(exchange)

    def _continuation(self, exchange: Exchange, line: bytes, size: int, place: int = 0) -> None:
        pdu = self.draft(False, Kind.CONTINUATION, exchange.phase, exchange.verb, "+", line, size, exchange.client_state, 0,
                         None, exchange.command)
        if self.instead is not None:
            self.read_instead(pdu)
            return
        odd = [self._misplaced(place, "+")] if place else []
        if place:
            self.passed_over(place)
        self.tell(pdu)
        self.anomalies([*odd, *deviations(line, size, grammar.SASL_LINE)], pdu)
        self.answered(exchange, pdu)
        self._asking = True
        self.release_tainted()

    def _not_a_status(self, line: bytes, size: int, reading: ReplyLine) -> None:
        """A line without a status: one of an unknown command's multi-line reply, or nothing that the grammar knows."""
        if self._doubted and self.pending and size == len(line) and self._greeting_was_a_reply(line):
            return
        if self._unasked is not None and size == len(line):
            self._listing, self._unasked = self._unasked, None
            self.server.expect_content(self._lenient, self.limits.listing)
            self.server.reread(line)
            return
        if self._succeeded is not None and self.pending and size == len(line) and self._success_was_of_another(line):
            return
        pdu = self.draft(False, Kind.REPLY, self.phase, "", "", line, size, self.client_state)
        if self.instead is not None:
            self.read_instead(pdu)
            return
        self.tell(pdu)
        found = [("syntax_error", "no +OK, no -ERR")]
        if not self.pending:
            found.append(("reply_without_command", ""))
        self.anomalies(found + list(reading.found), pdu)
        self.evaded = self.pending[0] if self.pending else None

    def _success_was_of_another(self, line: bytes) -> bool:
        """Whether the success told last was a later command's, one with a reply of many lines: its further lines tell."""
        place = replies.owner(self.pending, line)
        if place < 0:
            return False
        last, self._succeeded = self._succeeded, None
        assert last is not None
        exchange = self.pending[place]
        skipped = self.named([last, *self.pending[:place]])
        self.passed_over(place)
        del self.pending[0]
        self.anomaly("reply_misplaced", f"the last +OK was for {exchange.verb}: no reply came to {skipped}")
        self._begin_lines(exchange, exchange.entry, line[-2:] != b"\r\n")
        self.server.reread(line)
        return True

    def _greeting_was_a_reply(self, line: bytes) -> bool:
        """Whether the only line so far, after an early command of many lines, was no greeting: its further lines tell.

        A capture may lack the greeting, and a server may send none.
        """
        exchange = self.pending[0]
        entry = exchange.entry
        if entry is None or not entry.multiline:
            return False
        self._doubted = False
        del self.pending[0]
        self._begin_lines(exchange, entry, line[-2:] != b"\r\n")
        self.server.reread(line)
        return True

    def _stray(self, line: bytes, size: int, reading: ReplyLine) -> None:
        pdu = self.draft(False, Kind.REPLY, self.phase, "", reading.status, line, size, self.client_state)
        if self.instead is not None:
            self.read_instead(pdu)
            return
        self.tell(pdu)
        unasked = [] if self.joined or self.answered_in_clear() else [("reply_without_command", "no command waits for it")]
        self.anomalies([*unasked, *reading.found], pdu)

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
        return SECRET if any(exchange.verb == "AUTH" for exchange in self.pending) else LINES

    def comes_after(self, line: bytes) -> int:
        return SECRET if asks_by_name(line) else LINES

    def held_too_much(self, reader: Reader) -> None:
        """Reads no further: nobody can tell what the octets are, and they may be secret."""
        self.give_up()


_EFFECTS = frozenset({"PASS", "APOP", "UTF8", "STLS", "AUTH"})
