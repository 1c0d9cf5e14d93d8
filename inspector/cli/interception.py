"""With what the live proxy looks into TLS, from its options.

Knows options and `inspector.tls`.  Must not know connections.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path as File
from typing import TYPE_CHECKING, Any, Final

from inspector.cli.address import Path
from inspector.errors import OptionError

if TYPE_CHECKING:
    from inspector.live.handshakes import Interception

NEEDLESS: Final = ("upstream_ca", "client_cert", "tls_legacy")
"""Options that mean nothing without a leg in TLS."""


def interception(values: Mapping[str, Any], paths: Sequence[Path]) -> Interception | None:
    """What the legs in TLS need; None where there are none.  Raises OptionError."""
    if not any(path.client_tls or path.server_tls for path in paths):
        if given := next((name for name in NEEDLESS if values[name]), ""):
            raise OptionError(f"--{given.replace('_', '-')}: no leg is in TLS; write --upstream pop3s://HOST, say")
        return None
    from inspector.live.handshakes import Interception
    from inspector.tls.authority import default_folder, load, make
    from inspector.tls.contexts import Serving, reaching
    from inspector.tls.leaf import Leaves
    from inspector.tls.verification import Store

    legacy = values["tls_legacy"]
    # Where no client is to trust it, one for this run alone will do.
    shown = any(path.client_tls for path in paths)
    authority = load(File(values["ca_dir"]) if values["ca_dir"] else default_folder()) if shown else make()
    try:
        context = reaching(legacy, None, values["client_cert"])
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror if isinstance(error, FileNotFoundError) else "expected a certificate and its key, as PEM"
        raise OptionError(f"--client-cert {values['client_cert']}: {reason}") from error
    return Interception(Serving(Leaves(authority), legacy), context, Store(values["upstream_ca"]), values["upstream_verify"])
