"""A POP3 flow: which phase each PDU belongs to, which reply has further lines, which message crosses.

Knows POP3 (RFC 1939, 2449, 2595, 5034, 6856) and the sheet's client automaton.  Must not know who is told.
"""

from __future__ import annotations

from inspector.limits import Limits
from inspector.machine import Machine
from inspector.pdu import MORE, OK, PDU, Exchange, Flow, Kind, Message, Outcome, Transaction
from inspector.protocols.foreign import speaks
from inspector.protocols.pop3 import grammar, phases
from inspector.protocols.pop3.grammar import Command, Multiline
from inspector.protocols.secret import argument_span, line_end, partial_span
from inspector.reader import Reader
from inspector.session import Observer, Session, content_deviations, dirty

COMMAND_LINE = 255
"""Octets of a command line (RFC 2449 §4)."""
SASL_LINE = 12_288
"""Octets of a line that carries a SASL initial response or response (RFC 4954 §4.4, for want of one in RFC 5034)."""
REPLY_LINE = 512
"""Octets of a status line (RFC 1939 §3)."""


class Pop3Session(Session):
    """What is known of a POP3 flow."""

    __slots__ = ("_asking", "_lenient", "_listing", "_mechanism", "_name", "_tainted", "_unasked", "automaton",
                 "transactions", "utf8")

    def __init__(self, flow: Flow, observer: Observer, limits: Limits) -> None:
        super().__init__(flow, observer, limits, Machine(phases.PHASES, phases.AUTHORIZATION))
        self.automaton = Machine(phases.CLIENT, phases.CONNECTING)
        """The sheet's client, as far as the wire shows it."""
        self.transactions = 0
        self.utf8 = False
        self.pending.append(Exchange(phases.GREETING, phases.AUTHORIZATION, phases.CONNECTING, None))
        self._listing: Exchange | None = None
        """The exchange whose multi-line reply is being read."""
        self._asking = False
        """The server waits for a SASL response."""
        self._mechanism = b""
        self._name = ""
        self._unasked: Exchange | None = None
        """An unknown command that succeeded: further lines may follow, nobody can tell but by what comes."""
        self._lenient = False
        """The server ends its lines by LF alone."""
        self._tainted = False
        """What the reader is about to read was held while a secret could be in it."""

    @property
    def client_state(self) -> str:
        return self.automaton.state

    # The client's lines

    def client_line(self, line: bytes, size: int) -> None:
        if self._asking:
            self._sasl_response(line, size)
            return
        content = line[:-2] if line[-2:] == b"\r\n" else line.removesuffix(b"\n")
        word, _, argument = content.partition(b" ")
        found: list[tuple[str, str]] = []
        command = grammar.COMMANDS.get(word)
        if command is None:
            command, word, argument = self._uncommon(content, word, argument, found)
        if command.verb == "AUTH" and not argument:
            command = grammar.AUTH_LIST
        verb = command.verb
        machine, automaton = self.machine, self.automaton
        phase, state = machine.expected, automaton.expected
        row = machine.announce(verb)
        if row is None:
            if command is not grammar.UNKNOWN:
                found.append(("bad_sequence", f"{verb} in {phase}"))
        elif row.phase:
            phase = row.phase
        move = automaton.announce(verb)
        if move is not None and move.phase:
            state = move.phase
        if command.arguments.fullmatch(argument) is None:
            found.append(("syntax_error", f"{verb} with these arguments"))
        exchange = Exchange(verb, phase, state, None, None, command)
        if command.message:
            self.transactions += 1
            exchange.transaction = Transaction(self.transactions, verb, argument=argument.decode("latin-1"))
        secret = None if command.secret is None else argument_span(line, word, command.secret)
        self._check(line, size, command, secret, found)
        self._emit_command(line, size, exchange, secret, command, argument, found)

    def _emit_command(self, line: bytes, size: int, exchange: Exchange, secret: tuple[int, int] | None,
                      command: Command, argument: bytes, found: list[tuple[str, str]]) -> None:
        if self.pending and self.talked_early():
            found.append(("early_talker", "the greeting was not there yet"))
        if self._tainted and command is grammar.UNKNOWN:
            secret = (0, line_end(line))
        verb = exchange.verb or _verb_shown(line, secret)
        transaction = exchange.transaction
        pdu = self.emit(True, Kind.COMMAND, exchange.phase, verb, "", line, size, client_state=exchange.client_state,
                        transaction=transaction.number if transaction else 0, secret=secret)
        if command.verb == "PASS" or command.verb == "AUTH" and self._clear_mechanism(argument):
            found.append(("cleartext_credentials", f"{verb} without TLS"))
        if command.verb in ("USER", "APOP"):
            self._name = argument.split(b" ")[0].decode("utf-8", "backslashreplace")
        if found:
            self.anomalies(found, pdu)
        self.unanswered(exchange, pdu)
        if command.synchronises:
            self.client.paused = True

    def _uncommon(self, content: bytes, word: bytes, argument: bytes,
                  found: list[tuple[str, str]]) -> tuple[Command, bytes, bytes]:
        """A word that is not in the table as it stands: odd capitals, odd blanks, or unknown."""
        stripped = content.strip(b" \t")
        word = stripped.split(b" ", 1)[0].split(b"\t", 1)[0]
        if command := grammar.find(word):
            argument = stripped[len(word) + 1:]
            if stripped != content or stripped[len(word):len(word) + 1] == b"\t":
                found.append(("syntax_error", "blanks where none may stand"))
            return command, word, argument
        if glued := grammar.split_glued(stripped):
            found.append(("syntax_error", "no blank after the command"))
            return grammar.COMMANDS[glued[0].upper()], glued[0], glued[1]
        if other := speaks(content):
            found.append(("cross_protocol", f"this is {other}"))
        found.append(("unknown_command", ""))
        return grammar.UNKNOWN, word, argument

    def _check(self, line: bytes, size: int, command: Command, secret: tuple[int, int] | None,
               found: list[tuple[str, str]]) -> None:
        shown = line if secret is None else line[:secret[0]] + b"*" * (secret[1] - secret[0]) + line[secret[1]:]
        limit = SASL_LINE if command.verb == "AUTH" else COMMAND_LINE
        found += dirty(shown, size, limit, self.utf8)

    def _clear_mechanism(self, argument: bytes) -> bool:
        self._mechanism, _, initial = argument.upper().partition(b" ")
        return bool(initial) and initial != b"=" and self._mechanism in grammar.CLEARTEXT_MECHANISMS

    def _sasl_response(self, line: bytes, size: int) -> None:
        exchange = self.pending[0]
        self._asking = False
        self.client.paused = True
        end = line_end(line)
        cancel = line[:end] == b"*"
        secret = None if cancel else (0, end)
        found = [] if size <= SASL_LINE else [("line_too_long", f"{size} octets, {SASL_LINE} allowed")]
        pdu = self.emit(True, Kind.SASL_RESPONSE, exchange.phase, exchange.verb, "", line, size, secret=secret,
                        client_state=exchange.client_state)
        if not cancel and end and self._mechanism in grammar.CLEARTEXT_MECHANISMS:
            found.append(("cleartext_credentials", f"AUTH {self._mechanism.decode()} without TLS"))
        self.anomalies(found, pdu)

    # The server's lines

    def server_line(self, line: bytes, size: int) -> None:
        status, outcome = grammar.status(line)
        if outcome is None:
            self._not_a_status(line, size)
            return
        pending = self.pending
        exchange = pending[0] if pending else None
        if outcome is MORE:
            if exchange is not None and exchange.verb == "AUTH":
                self._continuation(exchange, line, size)
            else:
                self._stray(line, size, status)
            return
        if exchange is None:
            self._stray(line, size, status)
            return
        del pending[0]
        self._unasked = None
        self._lenient = line[-2:] != b"\r\n"
        self._reply(exchange, line, size, status, outcome)

    def _reply(self, exchange: Exchange, line: bytes, size: int, status: str, outcome: Outcome) -> None:
        command = exchange.command
        transaction = exchange.transaction
        kind = Kind.GREETING if command is None else Kind.REPLY
        pdu = self.emit(False, kind, exchange.phase, exchange.verb if command else "", status, line, size,
                        client_state=exchange.client_state, transaction=transaction.number if transaction else 0,
                        command=command)
        if found := dirty(line, size, REPLY_LINE, self.utf8):
            self.anomalies(found, pdu)
        self.answered(exchange, pdu)
        verb = exchange.verb
        self.automaton.settle(verb, outcome, [later.verb for later in self.pending] if self.pending else ())
        self.settle(verb, outcome)
        entry: Command | None = exchange.entry
        if entry is None:
            return
        if outcome is OK and self._has_lines(entry, command):
            self._begin_lines(exchange, entry)
        else:
            self.completed(exchange)
            if outcome is OK and entry is grammar.UNKNOWN:
                self._unasked = exchange
        self._effect(verb, outcome)

    def _effect(self, verb: str, outcome: Outcome) -> None:
        if verb in ("PASS", "APOP") and outcome is OK:
            self.user = self._name
        elif verb == "UTF8" and outcome is OK:
            self.utf8 = True
        elif verb == "STLS":
            if outcome is OK:
                self.start_tls()
                self.client.resume()
            else:
                self.release_client()
        elif verb == "AUTH":
            self._asking = False
            self._release()
        if self.client.paused:
            self.room()

    def _release(self) -> None:
        self._tainted = bool(self.client.held)
        self.release_client()
        self._tainted = False

    def _has_lines(self, entry: Command, command: PDU | None) -> bool:
        rule = entry.multiline
        if rule is Multiline.NEVER:
            return False
        return rule is Multiline.ALWAYS or command is not None and len(command.raw.split()) == 1

    def _begin_lines(self, exchange: Exchange, entry: Command) -> None:
        self._listing = exchange
        if entry.message and exchange.transaction is not None:
            self.transaction = exchange.transaction
            self.open_message(Message(exchange.transaction.number, exchange.transaction, exchange.verb, self, self.time))
            self.server.expect_content(self._lenient)
        else:
            self.server.expect_content(self._lenient, self.limits.listing)

    def body_end(self, reader: Reader, head: bytes, size: int, ambiguous: bool) -> None:
        exchange, self._listing = self._listing, None
        assert exchange is not None
        transaction, message = exchange.transaction, self.message
        note = ""
        if message is not None:
            self.close_message(not self._cut)
            note = f"message content, {size} octets"
        pdu = self.emit(False, Kind.BODY, exchange.phase, exchange.verb, "", head, size, note=note,
                        client_state=exchange.client_state, transaction=transaction.number if transaction else 0,
                        command=exchange.command)
        if found := content_deviations(head, ambiguous):
            self.anomalies(found, pdu)
        self.transaction = None
        self.completed(exchange)

    def _continuation(self, exchange: Exchange, line: bytes, size: int) -> None:
        pdu = self.emit(False, Kind.CONTINUATION, exchange.phase, exchange.verb, "+", line, size,
                        client_state=exchange.client_state, command=exchange.command)
        self.anomalies(dirty(line, size, SASL_LINE, self.utf8), pdu)
        self.answered(exchange, pdu)
        self._asking = True
        self.release_client()

    def _not_a_status(self, line: bytes, size: int) -> None:
        """A line without a status: one of an unknown command's multi-line reply, or nothing that the grammar knows."""
        if self._unasked is not None and size == len(line):
            self._listing, self._unasked = self._unasked, None
            self.server.expect_content(self._lenient, self.limits.listing)
            self.server.reread(line)
            return
        pdu = self.emit(False, Kind.REPLY, self.phase, "", "", line, size, client_state=self.client_state)
        found = [("syntax_error", "no +OK, no -ERR")]
        if not self.pending:
            found.append(("reply_without_command", ""))
        self.anomalies(found + dirty(line, size, REPLY_LINE, self.utf8), pdu)

    def _stray(self, line: bytes, size: int, status: str) -> None:
        pdu = self.emit(False, Kind.REPLY, self.phase, "", status, line, size, client_state=self.client_state)
        self.anomalies([("reply_without_command", "no command waits for it"),
                        *dirty(line, size, REPLY_LINE, self.utf8)], pdu)

    # Secrets and bounds

    def partial_secret(self, rest: bytes) -> tuple[int, int] | None:
        if self._asking:
            return None if rest.strip() == b"*" else (0, line_end(rest))
        return partial_span(rest, grammar.SECRET_WORDS)

    def secret_held(self) -> bool:
        return any(exchange.verb == "AUTH" for exchange in self.pending)

    def held_too_much(self, reader: Reader) -> None:
        """Reads on as if the reply hoped for had come: TLS after STLS, else commands."""
        if any(exchange.verb == "STLS" for exchange in self.pending):
            self.give_up()
        else:
            reader.resume()


def _verb_shown(line: bytes, secret: tuple[int, int] | None) -> str:
    """The word of an unknown command, for people and plugins; nothing when it may be a secret."""
    if secret is not None:
        return ""
    word = line[:32].split(maxsplit=1)
    return word[0].decode("ascii", "replace").upper() if word else ""

