"""The policy: for whom a server takes mail, and who may have it relayed.  In Postfix's terms.

| here | Postfix |
|---|---|
| local domains | `mydestination`, `virtual_mailbox_domains` |
| relay domains | `relay_domains` |
| trusted networks | `mynetworks`, `permit_mynetworks` |
| authenticated clients | `permit_sasl_authenticated` |
| recipients and senders | `check_recipient_access`, `check_sender_access` |
| all others | `reject_unauth_destination` |

Knows rules.  Must not know sessions, nor what the server says.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from inspector import Options
from mailspy_relay.domains import Addresses, Domains, address
from mailspy_relay.networks import Networks
from mailspy_relay.route import Route, read

NOBODY: Final = "no local-domain matches"
"""The rule where none holds: the mail would be relayed for somebody who may not have it relayed."""
NO_DOMAIN: Final = "no domain"
"""An address without a domain is the server's own (RFC 5321 §2.3.5, §4.5.1: `postmaster`)."""
ITSELF: Final = "address of the server"
UNREADABLE: Final = "unreadable"
"""A command of which only the head was kept: it leads nobody knows where."""


class Envelope(NamedTuple):
    """What is known when a recipient is named."""

    recipient: str
    """The path of the RCPT, without its brackets."""
    sender: str
    """The path of the MAIL; empty for `<>`."""
    client: str
    """The client's IP address."""
    server: str
    authenticated: bool


class Decision(NamedTuple):
    """What the policy says of a recipient."""

    local: bool
    """The server is the destination; else it would relay."""
    allowed: bool
    rule: str
    """By which rule."""
    host: str
    """The host that the rule is about, as compared; empty where there is none."""
    tricks: tuple[str, ...] = ()


class Policy:
    """Who may send where."""

    __slots__ = ("authenticated", "local", "networks", "recipients", "relay", "senders")

    def __init__(self, options: Options) -> None:
        """Raises OptionError."""
        self.local = Domains("--local-domain", options.get("local-domain") or ())
        self.relay = Domains("--relay-domain", options.get("relay-domain") or ())
        self.networks = Networks("--trusted-network", options.get("trusted-network") or ())
        self.recipients = Addresses("--relay-recipient", options.get("relay-recipient") or ())
        self.senders = Addresses("--relay-sender", options.get("relay-sender") or ())
        self.authenticated = not options.get("no-auth-relay")

    def __bool__(self) -> bool:
        """Whether it says anything."""
        return any((self.local, self.relay, self.networks, self.recipients, self.senders))

    def decide(self, envelope: Envelope) -> Decision:
        """Judges a recipient."""
        route = read(envelope.recipient)
        homes = [self._home(host, envelope.server) for host in route.hosts]
        if all(homes):
            return Decision(True, True, homes[-1], route.hosts[-1], route.tricks)
        foreign = homes.index("")
        if rule := self._permission(envelope, route):
            return Decision(False, True, rule, route.hosts[foreign], route.tricks)
        for host, home in zip(route.hosts, homes, strict=True):
            if not home and not self.relay.rule(host):
                return Decision(False, False, NOBODY, host, route.tricks)
        host = route.hosts[foreign]
        return Decision(False, True, self.relay.rule(host), host, route.tricks)

    def _home(self, host: str, server: str) -> str:
        """The rule by which a host is the server itself; empty if it is another."""
        if not host:
            return NO_DOMAIN
        if rule := self.local.rule(host):
            return rule
        literal = address(host[1:-1]) if host[0] == "[" and host[-1] == "]" else None
        return ITSELF if literal is not None and (literal.is_loopback or literal == address(server)) else ""

    def _permission(self, envelope: Envelope, route: Route) -> str:
        """The rule by which mail to anywhere may be relayed; empty if none."""
        if envelope.authenticated and self.authenticated:
            return "authenticated"
        if rule := self.networks.rule(envelope.client):
            return rule
        if self.recipients and len(route.hosts) == 1 and (rule := self.recipients.rule(route.local, route.hosts[0])):
            return rule
        if not self.senders:
            return ""
        sender = read(envelope.sender)
        return self.senders.rule(sender.local, sender.hosts[0]) if len(sender.hosts) == 1 else ""
