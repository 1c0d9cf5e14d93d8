"""The forms in which open relays have been found: sender and recipient of each, as templates.

Sources: the tests of Network Abuse Clearinghouse and of nmap's smtp-open-relay, RFC 5321 §4.1.3 and appendix C, RFC 1123 §5.2.16.

Knows addresses.  Must not know servers or replies.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class Form(NamedTuple):
    """A pair of paths, as they stand between the angle brackets."""

    name: str
    sender: str
    recipient: str


class Names(NamedTuple):
    """What the templates are filled with."""

    user: str
    there: str
    """The recipient's domain, which is not the server's."""
    here: str
    """The server's own domain."""
    literal: str
    """The server's address: `[192.0.2.25]`."""
    sender: str
    """Somebody elsewhere."""


FORMS: Final = (
    Form("stranger to stranger", "{sender}", "{user}@{there}"),
    Form("empty sender", "", "{user}@{there}"),
    Form("local sender", "postmaster@{here}", "{user}@{there}"),
    Form("sender by address", "postmaster@{literal}", "{user}@{there}"),
    Form("sender without domain", "postmaster", "{user}@{there}"),
    Form("percent hack", "{sender}", "{user}%{there}@{here}"),
    Form("percent hack by address", "{sender}", "{user}%{there}@{literal}"),
    Form("percent hack without domain", "{sender}", "{user}%{there}"),
    Form("quoted percent hack", "{sender}", '"{user}%{there}"'),
    Form("quoted address", "{sender}", '"{user}@{there}"'),
    Form("quoted address at the server", "{sender}", '"{user}@{there}"@{here}'),
    Form("quoted address by address", "{sender}", '"{user}@{there}"@{literal}'),
    Form("second @", "{sender}", "{user}@{there}@{here}"),
    Form("second @ by address", "{sender}", "{user}@{there}@{literal}"),
    Form("source route", "{sender}", "@{here}:{user}@{there}"),
    Form("source route by address", "{sender}", "@{literal}:{user}@{there}"),
    Form("bang path", "{sender}", "{there}!{user}"),
    Form("bang path at the server", "{sender}", "{there}!{user}@{here}"),
    Form("bang path by address", "{sender}", "{there}!{user}@{literal}"),
)

_DOMAIN: Final = re.compile(r"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")


def filled(form: Form, names: Names) -> Form:
    """The form with real names in it."""
    values = names._asdict()
    return Form(form.name, form.sender.format(**values), form.recipient.format(**values))


def domain_in(greeting: str) -> str:
    """The name by which a server greets (RFC 5321 §4.2); empty when it names none."""
    word = greeting.split(maxsplit=1)[0] if greeting.split() else ""
    return word if len(word) <= 255 and _DOMAIN.fullmatch(word) else ""
