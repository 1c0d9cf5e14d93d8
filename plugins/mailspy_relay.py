"""mailspy_relay: judges of every RCPT whether it is for a local domain, and whether the server relays for others.

Rules.  Nothing is judged unless the user names the local domains (`--local-domain`).  A recipient is local if its
domain is named, or if it has none (RFC 5321 §4.5.1: `postmaster`).  `.example` and `*.example` name all domains below
example, not example itself.  A relay that the server accepts is a breach; one that it refuses is as it should be.

Knows addresses and domains.  Must not know how replies are read.
"""

from __future__ import annotations

import re
from typing import Final

from inspector import PDU, Finding, Kind, OptionError, OptionParser, Options, Session, hookimpl

_DOMAIN: Final = 255
"""Octets of the longest domain (RFC 5321 §4.5.3.1.2).  A longer one is compared as it is, without IDNA."""
_LABELS: Final = re.compile(r"[^\s@,;/]+")


class RelayPlugin:
    """The plugin."""

    __slots__ = ("_domains", "_parents", "idle")

    def __init__(self) -> None:
        self.idle = False
        self._domains: dict[str, str] = {}
        """What the user wrote, by domain as compared."""
        self._parents: dict[str, str] = {}
        """What the user wrote, by domain whose subdomains are local."""

    @hookimpl
    def add_options(self, parser: OptionParser) -> None:
        """Declares `--local-domain`."""
        parser.add("local-domain", metavar="DOMAIN", multiple=True,
                   help="A domain that the server takes mail for, '.example' for all below it; others are relayed")

    @hookimpl
    def configure(self, options: Options) -> None:
        """Takes the domains.  Raises OptionError for what cannot be one."""
        self._domains, self._parents = {}, {}
        for given in options.get("local-domain") or ():
            pattern = given.strip().removeprefix("@")
            below = pattern.startswith((".", "*."))
            domain = comparable(pattern.removeprefix("*").removeprefix("."))
            if not domain or "*" in domain or not _LABELS.fullmatch(domain):
                raise OptionError(f"--local-domain {given}: not a domain; write cnam.fr, .cnam.fr or *.cnam.fr")
            (self._parents if below else self._domains)[domain] = pattern
        self.idle = not (self._domains or self._parents)

    @hookimpl
    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        """Judges a recipient when its reply comes."""
        if pdu.verb != "RCPT" or pdu.kind is not Kind.REPLY or not (self._domains or self._parents):
            return
        command = pdu.command
        if command is not None:
            session.report(self._judge(command.details.get("path", ""), pdu.status, session))

    def _judge(self, recipient: str, status: str, session: Session) -> Finding:
        local, rule = self.rule(domain_of(recipient))
        accepted = status[:1] == "2"
        transaction = session.transaction
        decision = "local" if local else "relay"
        said = "accepted" if accepted else "refused"
        return Finding(
            "policy",
            f"{decision} {'delivery ' if local else ''}to {recipient} {said} ({status})",
            {
                "recipient": recipient,
                "decision": decision,
                "rule": rule,
                "sender": transaction.sender if transaction is not None else "",
                "accepted": accepted,
                "status": status,
            },
            "high" if accepted and not local else "info")

    def rule(self, domain: str) -> tuple[bool, str]:
        """Whether a domain is local, and by which rule."""
        if not domain:
            return True, "no domain"
        if (pattern := self._domains.get(domain)) is not None:
            return True, f"local-domain {pattern}"
        parent = domain if self._parents else ""
        while parent:
            parent = parent.partition(".")[2]
            if (pattern := self._parents.get(parent)) is not None:
                return True, f"local-domain {pattern}"
        return False, "no local-domain matches"


def domain_of(path: str) -> str:
    """The domain of a forward-path, as it is compared; empty if there is none.

    A source route names hosts on the way, which count for nothing (RFC 5321 appendix C).
    """
    return comparable(path.rpartition("@")[2]) if "@" in path else ""


def comparable(domain: str) -> str:
    """A domain in small letters, its dot at the end left out, its U-labels as A-labels (RFC 5890 §2.3.2.1)."""
    domain = domain.strip().rstrip(".").lower()
    if domain.isascii() or len(domain) > _DOMAIN:
        return domain
    try:
        return domain.encode("idna").decode("ascii")
    except UnicodeError:
        return domain


plugin = RelayPlugin
