"""Real SMTP servers that take mail for everybody and write down every recipient that they read.

Knows how to start them.  Must not know mailspy.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import sys
from pathlib import Path
from typing import Final, Protocol

import pytest

from .servers import Daemon, Endpoint, Postfix, free_port, missing

_EXIM: Final = """
exim_user = nobody
exim_group = nogroup
keep_environment =
primary_hostname = exim.example
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/spool/pid
acl_smtp_mail = accept
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
tls_advertise_hosts =
host_lookup =
rfc1413_hosts =
queue_only = true
chunking_advertise_hosts = *
pipelining_advertise_hosts = *
smtp_accept_max = 0
smtp_accept_max_nonmail = 1000
smtp_max_synprot_errors = 1000
smtp_max_unknown_commands = 1000
smtp_enforce_sync = false
begin acl
rcpt:
  accept logwrite = RCPT <$local_part@$domain>
begin routers
all:
  driver = accept
  transport = nothing
begin transports
nothing:
  driver = appendfile
  file = /dev/null
  user = nobody
"""

_AIOSMTPD: Final = """
import asyncio, sys
from aiosmtpd.smtp import SMTP

class Handler:
    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        print(f"RCPT <{address}>", flush=True)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        return "250 OK"

async def main():
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Handler(), enable_SMTPUTF8=True, ident="aiosmtpd", timeout=20), "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()

asyncio.run(main())
"""


class OpenServer(Protocol):
    """One of them."""

    smtp: Endpoint

    def recipients(self) -> list[str]:
        """The lines about recipients that were written since the last call."""


class _Log:
    """What was written since the last look."""

    def __init__(self, path: Path, word: str) -> None:
        self._path, self._word, self._seen = path, word, 0

    def fresh(self) -> list[str]:
        text = self._path.read_text(errors="replace") if self._path.exists() else ""
        text, self._seen = text[self._seen:], len(text)
        return [line for line in text.splitlines() if self._word in line]


class OpenPostfix:
    """The service of a Postfix that relays for everybody; what it takes is thrown away."""

    def __init__(self, postfix: Postfix) -> None:
        self.smtp = postfix.open
        self._log = _Log(postfix.folder / "postfix.log", "seen")

    def recipients(self) -> list[str]:
        """See `OpenServer`."""
        return self._log.fresh()


class Exim:
    """An Exim that queues everything and delivers nothing."""

    def __init__(self, folder: Path) -> None:
        binary = os.environ.get("MAILSPY_EXIM") or shutil.which("exim4", path="/usr/sbin:/usr/bin") or ""
        if not binary:
            pytest.skip("MAILSPY_EXIM does not say where an exim4 is (Debian: exim4-daemon-light; beside Postfix: unpacked)")
        self.smtp = Endpoint("smtp", free_port())
        (folder / "spool").mkdir()
        (folder / "log").mkdir()
        for name in ("spool", "log"):
            os.chown(folder / name, pwd.getpwnam("nobody").pw_uid, -1)
        (folder / "exim.conf").write_text(_EXIM.format(folder=folder, port=self.smtp.port))
        self.daemon = Daemon([binary, "-C", str(folder / "exim.conf"), "-bdf"], [self.smtp.port], folder / "exim.log")
        self._log = _Log(folder / "log" / "mainlog", "RCPT <")

    def recipients(self) -> list[str]:
        """See `OpenServer`."""
        return self._log.fresh()


class Aiosmtpd:
    """aiosmtpd with a handler that takes everything."""

    def __init__(self, folder: Path) -> None:
        if importlib.util.find_spec("aiosmtpd") is None:
            missing("aiosmtpd is not installed (pip install mailspy[test])")
        self.smtp = Endpoint("smtp", free_port())
        script = folder / "server.py"
        script.write_text(_AIOSMTPD)
        self.daemon = Daemon([sys.executable, str(script), str(self.smtp.port)], [self.smtp.port], folder / "aiosmtpd.log")
        self._log = _Log(folder / "aiosmtpd.out", "RCPT <")

    def recipients(self) -> list[str]:
        """See `OpenServer`."""
        return self._log.fresh()
