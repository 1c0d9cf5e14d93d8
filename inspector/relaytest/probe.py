"""Asks a server in each form whether it would relay, and has the answers judged by the relay plugin.

Rules.  Only MAIL, RCPT and RSET are sent, after EHLO or HELO: never DATA, so no letter leaves.  One server, the one that was
named.  A server that ends the connection, as many do after some errors, is called again, for each form once.

Knows forms, connections and the pipeline.  Must not know options or screens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple

from inspector.hookspecs import hookimpl
from inspector.pdu import Address, Finding, Flow
from inspector.pipeline import Pipeline
from inspector.relaytest.forms import FORMS, Form, Names, domain_in, filled
from inspector.relaytest.talk import Lost, Reply, Talk, Watch

TRIES: Final = 2
"""Connections for a form."""


class Target(NamedTuple):
    """What is asked, of whom."""

    host: str
    port: int
    seconds: float
    """For a connection, and for each reply."""
    hello: str
    """The name in EHLO; empty for the client's address."""
    sender: str
    user: str
    there: str
    here: str
    """The server's domain; empty for the name by which it greets."""


class Result(NamedTuple):
    """What became of a form."""

    form: Form
    reply: Reply | None
    """The reply to RCPT, or to the MAIL that was refused; None when none came."""
    asked: bool
    """The sender was accepted, so that the recipient was asked for."""
    lost: str
    """Why no reply came."""
    finding: Finding | None
    """What the relay plugin says of the recipient."""

    @property
    def accepted(self) -> bool:
        """Whether the server would take a letter."""
        return self.asked and self.reply is not None and self.reply.accepted

    @property
    def verdict(self) -> str:
        """That of the policy; where no recipient was asked for, why."""
        if self.reply is None:
            return "no_reply"
        return str(self.finding.fields["verdict"]) if self.finding is not None else "sender_refused"


class Ear:
    """A plugin that keeps the last finding of the policy."""

    def __init__(self) -> None:
        self.last: Finding | None = None

    @hookimpl
    def finding(self, finding: Finding) -> None:
        """Keeps it."""
        if finding.event == "policy":
            self.last = finding


class Probe:
    """The test of one server."""

    def __init__(self, target: Target, pipeline: Pipeline, ear: Ear) -> None:
        self._target = target
        self._pipeline = pipeline
        self._ear = ear
        self._talk: Talk | None = None
        self._names: Names | None = None
        self._flows = 0
        self.server = Address(target.host, target.port)
        """The address that answered, once one did."""

    def results(self, forms: tuple[Form, ...] = FORMS) -> Iterator[Result]:
        """What becomes of each form.  Raises Lost when not even a first connection comes about."""
        try:
            self._connect()
            for form in forms:
                yield self._result(form)
        finally:
            self._leave()

    def _result(self, form: Form) -> Result:
        lost = ""
        for _ in range(TRIES):
            try:
                return self._asked(form)
            except Lost as error:
                lost = str(error)
                self._drop()
        assert self._names is not None
        return Result(filled(form, self._names), None, False, lost, None)

    def _asked(self, form: Form) -> Result:
        talk = self._talk or self._connect()
        assert self._names is not None
        real = filled(form, self._names)
        self._ear.last = None
        reply = _alive(talk.ask(f"MAIL FROM:<{real.sender}>"))
        asked = reply.accepted
        if asked:
            reply = _alive(talk.ask(f"RCPT TO:<{real.recipient}>"))
        result = Result(real, reply, asked, "", self._ear.last if asked else None)
        try:
            if not _alive(talk.ask("RSET")).accepted:
                self._leave()
        except Lost:
            self._drop()
        return result

    def _connect(self) -> Talk:
        target = self._target
        talk = Talk(target.host, target.port, target.seconds)
        self._talk, self.server = talk, talk.server
        talk.watch = self._watch(talk)
        greeting = _welcome("does not want to talk", talk.reply())
        hello = target.hello or _literal(talk.client.host)
        if not talk.ask(f"EHLO {hello}").accepted:
            _welcome("accepts neither EHLO nor HELO", talk.ask(f"HELO {hello}"))
        literal = _literal(talk.server.host)
        here = target.here or domain_in(greeting.text) or literal
        self._names = Names(target.user, target.there, here, literal, target.sender)
        return talk

    def _watch(self, talk: Talk) -> Watch:
        self._flows += 1
        inspector = self._pipeline.open(Flow(self._flows, talk.client, talk.server, _now(), "smtp"))
        feed: Callable[..., Any] = inspector.feed
        return lambda client, data: feed(client, data, _now())

    def _leave(self) -> None:
        """Ends the connection politely."""
        if self._talk is not None:
            with suppress(Lost):
                self._talk.ask("QUIT")
            self._drop()

    def _drop(self) -> None:
        if self._talk is not None:
            self._talk.__exit__()
            self._talk = None


def _alive(reply: Reply) -> Reply:
    """421 says that the server ends the connection (RFC 5321 §3.8)."""
    if reply.status == "421":
        raise Lost(f"421 {reply.text}")
    return reply


def _welcome(what: str, reply: Reply) -> Reply:
    if not reply.accepted:
        raise Lost(f"the server {what}: {reply.status} {reply.text}")
    return reply


def _literal(host: str) -> str:
    """An address literal (RFC 5321 §4.1.3)."""
    host = host.partition("%")[0]
    return f"[IPv6:{host}]" if ":" in host else f"[{host}]"


def _now() -> int:
    return time.time_ns() // 1_000
