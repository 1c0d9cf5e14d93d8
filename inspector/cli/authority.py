"""`mailspy ca`: the certificate authority for interception.

Knows options and `inspector.tls`.  Must not know how certificates are made.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from inspector.cli.start import Setup, say
from inspector.config import hint
from inspector.errors import OptionError
from inspector.place import open_file
from inspector.tls.names import address_of

if TYPE_CHECKING:
    from inspector.tls.authority import Authority

Values = dict[str, Any]

ACTIONS: Final = ("create", "show", "export", "install-help", "rotate")
FORMATS: Final = ("pem", "der", "p12")
_DOMAIN: Final = re.compile(r"\.?[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")


def authority(setup: Setup, values: Values) -> int:
    """Does what is asked for."""
    from inspector.tls.authority import default_folder

    folder = Path(values["ca_dir"]) if values["ca_dir"] else default_folder()
    action = values["action"]
    _check(values, action)
    {"create": _create, "show": _show, "export": _export, "install-help": _install_help, "rotate": _rotate}[action](
        folder, values)
    return 0


_OWN: Final = {"days": ("create", "rotate"), "only": ("create", "rotate"), "form": ("export",), "output": ("export",),
               "target": ("install-help",), "json": ("show",)}


def _check(values: Values, action: str) -> None:
    from inspector.tls.authority import DAYS, LONGEST

    for name, actions in _OWN.items():
        if values[name] not in (None, (), False) and action not in actions:
            shown = values[name] if name == "target" else f"--{'format' if name == 'form' else name}"
            raise OptionError(f"{shown}: not for `mailspy ca {action}`, but for `mailspy ca {actions[0]}`")
    values["days"] = DAYS if values["days"] is None else values["days"]
    if not 1 <= values["days"] <= LONGEST:
        raise OptionError(f"--days {values['days']}: expected 1 to {LONGEST}")
    for domain in values["only"]:
        if address_of(domain) is None and (not _DOMAIN.fullmatch(domain) or len(domain) > 253):
            raise OptionError(f"--only {domain}: not a domain nor an address; in other letters, write it as xn--…")


def _create(folder: Path, values: Values) -> None:
    from inspector.tls.authority import CERTIFICATE, create

    made = create(folder, values["days"], values["only"])
    print(f"made {made.name}, valid until {made.expires:%Y-%m-%d}\n"
          f"  certificate  {folder / CERTIFICATE}\n"
          f"  SHA-256      {made.fingerprint}\n{_restricted(made)}"
          "Programs must trust it before mailspy can look into their TLS: `mailspy ca install-help` tells how.\n"
          "Whoever has its key can deceive them: it stays in that folder, and `mailspy ca rotate` makes a new one.")


def _rotate(folder: Path, values: Values) -> None:
    from inspector.tls.authority import CERTIFICATE, rotate

    old, new = rotate(folder, values["days"], values["only"])
    print(f"made {new.name}, valid until {new.expires:%Y-%m-%d}, in place of {old.name}, whose key is gone\n"
          f"  certificate  {folder / CERTIFICATE}\n"
          f"  SHA-256      {new.fingerprint}\n{_restricted(new)}"
          f"Let programs forget {old.name} and trust the new one: `mailspy ca install-help` tells how. A mailspy that is "
          "running goes on with the old one until it is started again.")


def _restricted(made: Authority) -> str:
    """A line for whom it may speak, where not for all."""
    from inspector.tls.authority import restriction

    only = restriction(made)
    return f"  only         {', '.join(only)}, and this machine (127.0.0.1)\n" if only else ""


def _show(folder: Path, values: Values) -> None:
    from inspector.tls.authority import CERTIFICATE, load

    found = load(folder)
    facts = _facts(found, folder / CERTIFICATE)
    if values["json"]:
        print(json.dumps(facts))
        return
    for name, value in facts.items():
        if value == []:
            continue
        print(f"{name.replace('_', ' '):12} {', '.join(value) if isinstance(value, list) else value}")
    if facts["days_left"] < 0:
        say("the authority has expired: `mailspy ca rotate` makes a new one")


def _facts(found: Authority, path: Path) -> dict[str, Any]:
    from datetime import UTC, datetime

    from inspector.tls.authority import restriction

    return {
        "name": found.name, "certificate": str(path), "sha256": found.fingerprint,
        "valid_from": f"{found.certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}",
        "valid_until": f"{found.expires:%Y-%m-%dT%H:%M:%SZ}", "days_left": (found.expires - datetime.now(UTC)).days,
        "only": restriction(found)}


def _export(folder: Path, values: Values) -> None:
    from inspector.tls.authority import load

    octets = _formatted(load(folder), values["form"] or "pem")
    if values["output"] in (None, "-"):
        if values["form"] in ("der", "p12") and sys.stdout.isatty():
            raise OptionError(f"--format {values['form']}: not for a terminal; give --output FILE")
        sys.stdout.buffer.write(octets)
        return
    path = values["output"]
    try:
        descriptor = open_file(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        raise OptionError(f"--output {path}: exists already; name a new file") from None
    except OSError as error:
        raise OptionError(f"--output {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
    if values["form"] == "p12":
        say(f"{path}: the certificate alone, under an empty password")


def _formatted(found: Authority, form: str) -> bytes:
    """The certificate, without its key."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, pkcs12

    if form == "p12":
        return pkcs12.serialize_key_and_certificates(found.name.encode(), None, None, [found.certificate], NoEncryption())
    return found.certificate.public_bytes(Encoding.DER if form == "der" else Encoding.PEM)


def _install_help(folder: Path, values: Values) -> None:
    from inspector.tls.authority import CERTIFICATE, load
    from inspector.tls.installing import TARGETS, text

    found = load(folder)
    target = values["target"]
    if target is not None and target not in TARGETS:
        raise OptionError(f"install-help {target}: nothing is known of that{hint(target, TARGETS)}; "
                          f"there are {', '.join(TARGETS)}")
    path = str((folder / CERTIFICATE).absolute())
    print("\n".join(text(one, path, found.name) for one in ([target] if target else TARGETS)), end="")
