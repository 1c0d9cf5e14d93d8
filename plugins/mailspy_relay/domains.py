"""Domains and addresses as a policy names them, and as they are compared.

Rules.  `example.org` names that domain alone, `.example.org` and `*.example.org` all below it and not itself, `[192.0.2.1]` an
address literal.  Compared are A-labels (RFC 5890 §2.3.2.1) in small letters, the dot at the end left out, and literals by the
address that they write (RFC 5321 §4.1.3).  What could not be a domain never matches a wildcard.

Knows patterns.  Must not know what a match means.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import idna

from inspector import OptionError

LONGEST: Final = 255
"""Octets of the longest domain (RFC 5321 §4.5.3.1.2).  A longer one is compared as it is, without IDNA."""
_LABEL: Final = r"[\w-]+"
"""Letters, digits, hyphens, as DNS has them (RFC 1035 §2.3.1), and the underscore that some use."""
_DOMAIN: Final = re.compile(rf"\[[^\s\[\]@]+\]|{_LABEL}(?:\.{_LABEL})*")


def comparable(domain: str) -> str:
    """A domain or an address literal in the form in which it is compared."""
    domain = domain.strip().lower()
    if domain[:1] == "[":
        return _literal(domain)
    domain = domain[:-1] if domain[-1:] == "." else domain
    return domain if domain.isascii() or len(domain) > LONGEST else _a_labels(domain)


def _a_labels(domain: str) -> str:
    """With A-labels for U-labels; as it is where it has none (UTS 46, non-transitional, as mail servers do)."""
    try:
        mapped = idna.uts46_remap(domain, False, False)
        return ".".join(label if label.isascii() else idna.alabel(label).decode("ascii")
                        for label in mapped.removesuffix(".").split("."))
    except UnicodeError:
        return domain


def _literal(domain: str) -> str:
    found = address(domain[1:-1].removeprefix("ipv6:")) if domain[-1] == "]" else None
    return domain if found is None else f"[{found}]"


def address(text: str) -> IPv4Address | IPv6Address | None:
    """An IP address; the IPv4 address of a mapped one (RFC 4291 §2.5.5.2), without its zone.  None for what is none."""
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        return found.ipv4_mapped or found
    return found


class Domains:
    """Domains, wildcards and literals."""

    __slots__ = ("_below", "_exact", "option")

    def __init__(self, option: str, patterns: Iterable[str] = ()) -> None:
        """`option` is where they come from.  Raises OptionError for a pattern that cannot be one."""
        self.option = option
        self._exact: dict[str, str] = {}
        """What the user wrote, by domain as compared."""
        self._below: dict[str, str] = {}
        """What the user wrote, by domain whose subdomains are meant."""
        for pattern in patterns:
            self.add(pattern)

    def __bool__(self) -> bool:
        return bool(self._exact or self._below)

    def add(self, given: str) -> None:
        """One more pattern; a leading `@` counts for nothing.  Raises OptionError."""
        pattern = given.strip().removeprefix("@")
        below = pattern.startswith((".", "*."))
        domain = comparable(pattern.removeprefix("*").removeprefix(".") if below else pattern)
        if _DOMAIN.fullmatch(domain) is None or (domain[0] == "[" and (below or address(domain[1:-1]) is None)):
            raise OptionError(f"{self.option} {given}: not a domain; write cnam.fr, .cnam.fr, *.cnam.fr or [192.0.2.1]")
        (self._below if below else self._exact)[domain] = pattern

    def rule(self, domain: str) -> str:
        """The rule that names a domain, given as compared: `local-domain .cnam.fr`; empty if none does."""
        pattern = self._exact.get(domain)
        if pattern is None and self._below and domain[:1] != "[" and _DOMAIN.fullmatch(domain) is not None:
            parent = domain
            while parent and pattern is None:
                parent = parent.partition(".")[2]
                pattern = self._below.get(parent)
        return "" if pattern is None else f"{self.option.removeprefix('--')} {pattern}"


class Addresses:
    """Addresses, and all addresses of domains; `<>` is the empty one."""

    __slots__ = ("_domains", "_exact", "option")

    def __init__(self, option: str, patterns: Iterable[str] = ()) -> None:
        """`user@example.org`, or a domain as in `Domains`, for all its users.  Raises OptionError."""
        self.option = option
        self._domains = Domains(option)
        self._exact: dict[str, str] = {}
        for given in patterns:
            local, _, domain = given.strip().removeprefix("<").removesuffix(">").rpartition("@")
            if given.strip() == "<>":
                self._exact["@"] = "<>"
            elif not local:
                self._domains.add(given)
            elif _DOMAIN.fullmatch(comparable(domain)) is None:
                raise OptionError(f"{option} {given}: not an address; write user@cnam.fr, or cnam.fr for all its users")
            else:
                self._exact[_written(local, comparable(domain))] = given.strip()

    def __bool__(self) -> bool:
        return bool(self._exact or self._domains)

    def rule(self, local: str, domain: str) -> str:
        """The rule that names an address, its domain given as compared; empty if none does."""
        pattern = self._exact.get(_written(local, domain))
        return self._domains.rule(domain) if pattern is None else f"{self.option.removeprefix('--')} {pattern}"


def _written(local: str, domain: str) -> str:
    """An address as a key: mail servers fold the capitals of local parts in their tables, and so does a policy."""
    return f"{local.lower()}@{domain}"
