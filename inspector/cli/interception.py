"""With what the live proxy looks into TLS, from its options: what becomes of TLS on each path, and what that takes.

Knows options and `inspector.tls`.  Must not know connections.
"""

from __future__ import annotations

import os
import ssl
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as File
from typing import TYPE_CHECKING, Any, Final

from inspector.cli.address import LATER, Path
from inspector.errors import OptionError
from inspector.recognition import TLS_PORTS
from inspector.starttls import FOLLOW, HIDE, PASS, REFUSE, SERVE, Mode, Policy

if TYPE_CHECKING:
    from inspector.live.handshakes import Interception

NEEDLESS: Final = ("upstream_ca", "client_cert", "tls_legacy", "keylog", "capture_encrypted")
"""Options that mean nothing where we do not look into TLS."""
POLICIES: Final = {"intercept": FOLLOW, "pass": PASS, "refuse": REFUSE}
"""What `--tls` says of sessions whose legs are the same."""


def policies(values: Mapping[str, Any], paths: Sequence[Path], notice: Callable[[str], None]) -> list[Policy]:
    """What becomes of TLS that begins in the sessions of each path.  Raises OptionError."""
    how, strip = values["tls"], values["strip_starttls"]
    for path in paths:
        if path.client is not Mode.SAME and how in ("pass", "refuse"):
            raise OptionError(f"--tls {how}: --listen or --upstream asks for TLS on a leg, which is looked into: leave one out")
        if strip and path.client is Mode.STARTTLS:
            raise OptionError("--strip-starttls hides what --listen …+starttls:// offers: leave one out")
    for path in paths:
        inner = TLS_PORTS.get(path.port, "") if path.client is Mode.SAME else ""
        if inner and inner not in LATER:
            notice(f"port {path.port} of {path.host} is {inner[:-1]} in TLS from the first octet, which is passed on unseen; "
                   f"--listen {inner}://… and --upstream {inner}://… look into it")
    if strip:
        notice("WARNING: --strip-starttls: clients are made to believe that the server has no STARTTLS; this is an attack, for "
               "tests of your own clients only")
        return [HIDE] * len(paths)
    folder = _folder(values)
    if values["ca_dir"] and not os.path.lexists(folder):
        raise OptionError(f"--ca-dir {folder}: no authority there; `mailspy ca create --ca-dir {folder}` makes one")
    if not how and any(path.client is Mode.SAME for path in paths) and os.path.lexists(folder):
        how = "intercept"
        notice(f"STARTTLS is looked into, with the authority in {folder}; --tls pass leaves it alone")
    return [_policy(path, how or "pass") for path in paths]


def _policy(path: Path, how: str) -> Policy:
    if path.client is Mode.SAME:
        return POLICIES[how]
    if path.client is Mode.STARTTLS:
        return SERVE
    # A server that is in TLS offers it no more; one in the clear may, to a client that is not to know.
    return HIDE if path.server is Mode.PLAIN else PASS


def interception(values: Mapping[str, Any], paths: Sequence[Path], followed: Sequence[Policy]) -> Interception | None:
    """What the legs in TLS need; None where there are none.  Raises OptionError."""
    if values["capture_encrypted"] and not (values["write"] and values["keep_secrets"]):
        raise OptionError("--capture-encrypted: nothing in it can be masked, and the keys are with it: write --keep-secrets "
                          "too, and -w FILE")
    shown = any(path.client is Mode.IMPLICIT for path in paths) or any(policy.seen for policy in followed)
    if not shown and not any(path.server in (Mode.IMPLICIT, Mode.STARTTLS) for path in paths):
        if given := next((name for name in NEEDLESS if values[name]), ""):
            raise OptionError(f"--{given.replace('_', '-')}: no leg is in TLS; write --tls intercept, or --upstream pop3s://HOST")
        return None
    from cryptography.utils import CryptographyDeprecationWarning

    from inspector.live.handshakes import Interception
    from inspector.live.sealed import Keylog
    from inspector.tls.authority import load, make
    from inspector.tls.contexts import Serving, hidden_keylog, open_keylog, reaching
    from inspector.tls.leaf import Leaves
    from inspector.tls.verification import Store, digest_of

    # What a server's certificate makes the library say is for no user's screen.
    warnings.filterwarnings("ignore", category=CryptographyDeprecationWarning)
    legacy, keylog, taken = values["tls_legacy"], values["keylog"], None
    if values["capture_encrypted"]:
        keylog = keylog or hidden_keylog()
    # Where no client is to trust it, one for this run alone will do.
    authority = load(_folder(values)) if shown else make()
    if values["keylog"]:
        open_keylog(keylog)
    if values["capture_encrypted"]:
        taken = Keylog(keylog, ours=not values["keylog"])
    try:
        context = reaching(legacy, keylog, values["client_cert"])
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror if isinstance(error, FileNotFoundError) else "expected a certificate and its key, as PEM"
        raise OptionError(f"--client-cert {values['client_cert']}: {reason}") from error
    return Interception(Serving(Leaves(authority), legacy, keylog), context, Store(values["upstream_ca"]),
                        values["upstream_verify"], taken, digest_of(values["client_cert"]))


def _folder(values: Mapping[str, Any]) -> File:
    from inspector.tls.authority import default_folder

    return File(values["ca_dir"]) if values["ca_dir"] else default_folder()
