"""Real mail servers for the tests: Dovecot (POP3, LMTP) and Postfix (SMTP), each with its own configuration and data.

Rules.  Nothing of the system's own mail service is read or touched; every port is a free one of the loopback; every
process started here is ended by its id.

Knows how to start, fill and empty the servers.  Must not know mailspy.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import pytest

USERS: Final = {"natkin": "monpass", "gerard": "pl4nted-Secr3t"} | {f"user{n:02}": f"pl4nted-{n:02}" for n in range(50)}
"""Who has a mailbox, and with what password; none of these passwords may ever be seen again."""

WRONG_PASSWORD: Final = "monpacs"
"""What the exercise sheet's user types first."""

CERTIFIED: Final = "pop.example"
"""The name in the servers' certificate."""

HOME: Final = "cnam.example"
"""The domain whose mail Postfix delivers itself."""

HOP: Final = "lmtp.example"
"""The domain whose mail Postfix hands on by LMTP."""

_NOBODY: Final = 65_534
_SYSTEM_PATH: Final = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


class Endpoint(NamedTuple):
    """Where a server listens, and what it speaks."""

    scheme: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"


def missing(reason: str) -> None:
    """Skips the test, saying why; where everything should be there (CI), fails it."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def program(name: str, package: str) -> str:
    """The path of a program, or no test."""
    path = shutil.which(name, path=_SYSTEM_PATH)
    if path is None:
        missing(f"{name} is not installed (Debian: {package})")
        raise AssertionError
    return path


def free_port() -> int:
    """A port that nobody uses, below those that the kernel gives to clients."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def wait_until(condition: Callable[[], object], what: str, seconds: float = 15) -> None:
    """Waits for `condition`, or fails, saying what did not come."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{what}: not within {seconds:g} s")
        time.sleep(0.01)


def listening(port: int) -> bool:
    """Whether some process listens on that port; asks the kernel, so that no connection is made."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not os.path.exists(table):
            continue
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                return True
    return False


class Stat(NamedTuple):
    """What the kernel says of a process."""

    pid: int
    name: str
    session: int


def processes(session: int) -> Iterator[Stat]:
    """The living processes of a session."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            name, _, rest = Path("/proc", entry, "stat").read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        fields = rest.split()
        if int(fields[3]) == session and fields[0] != "Z":
            yield Stat(int(entry), name, session)


class Daemon:
    """A server's master process, in a session of its own, and all its children."""

    def __init__(self, command: Sequence[str], ports: Sequence[int], log: Path,
                 environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        with log.with_suffix(".out").open("wb") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                            start_new_session=True, env=environment)
        try:
            for port in ports:
                wait_until(partial(self._listens, port), f"{command[0]} on port {port}")
        except BaseException:
            self.stop()
            raise

    def _listens(self, port: int) -> bool:
        """Whether it listens there already; when it has ended, the test fails with what it said last."""
        if self.process.poll() is None:
            return listening(port)
        said = "".join(file.read_text(errors="replace") for file in (self.log.with_suffix(".out"), self.log)
                       if file.exists())
        pytest.fail(f"{self.process.args!r} ended with {self.process.returncode}:\n{said[-3_000:]}")

    def children(self, name: str) -> list[int]:
        """The ids of its processes of that name."""
        return [stat.pid for stat in processes(self.process.pid) if stat.name == name]

    def stop(self) -> None:
        """Ends the master, which ends its children; what is left after five seconds is killed, one by one."""
        session = self.process.pid
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + 5
        while time.monotonic() < end and (self.process.poll() is None or any(processes(session))):
            time.sleep(0.02)
        for stat in processes(session):
            os.kill(stat.pid, signal.SIGKILL)
        self.process.wait()


def as_root() -> None:
    """No test without the rights that Dovecot and Postfix need to start."""
    if os.geteuid() != 0:
        missing("Dovecot and Postfix can only be started by root")


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-made certificate and its key."""
    paths = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [program("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={CERTIFIED}",
         "-addext", f"subjectAltName=DNS:{CERTIFIED},DNS:localhost,IP:127.0.0.1",
         "-out", str(paths[0]), "-keyout", str(paths[1])],
        check=True, capture_output=True)
    return paths


# Dovecot

_DOVECOT: Final = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
listen = 127.0.0.1
protocols = pop3 lmtp
login_greeting = pop.example ready
instance_name = mailspy-test
hostname = pop.example

ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}

disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 apop
auth_username_format = %Ln
auth_failure_delay = 0
first_valid_uid = 1
last_valid_uid = 0
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={uid} home={folder}/homes/%Ln
}}
mail_location = maildir:~/Maildir
mail_max_userip_connections = 1000
pop3_uidl_format = %g

service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
  service_count = 0
  client_limit = 1000
  process_min_avail = 1
}}
service pop3 {{
  process_limit = 200
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
  inet_listener lmtps {{
    address = 127.0.0.1
    port = {lmtps}
    ssl = yes
  }}
}}
service auth {{
  inet_listener sasl {{
    address = 127.0.0.1
    port = {sasl}
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
protocol lmtp {{
  postmaster_address = postmaster@pop.example
}}
"""


class Dovecot:
    """A Dovecot whose mailboxes all lie in one folder."""

    def __init__(self, folder: Path, pair: tuple[Path, Path]) -> None:
        command = program("dovecot", "dovecot-core")
        for part, package in (("pop3", "dovecot-pop3d"), ("lmtp", "dovecot-lmtpd")):
            if not Path("/usr/lib/dovecot", part).exists() and not Path("/usr/libexec/dovecot", part).exists():
                missing(f"Dovecot's {part} is not installed (Debian: {package})")
        version = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
        if not version.startswith("2.3."):
            missing(f"written for the configuration of Dovecot 2.3, not of {version.strip()}")
        self.folder = folder
        self.pop3 = Endpoint("pop3", free_port())
        self.pop3s = Endpoint("pop3s", free_port())
        self.lmtp = Endpoint("lmtp", free_port())
        self.lmtps = Endpoint("lmtps", free_port())
        self.sasl_port = free_port()
        (folder / "homes").mkdir()
        os.chown(folder / "homes", _NOBODY, _NOBODY)
        (folder / "users").write_text("".join(f"{user}:{{PLAIN}}{secret}\n" for user, secret in USERS.items()))
        (folder / "dovecot.conf").write_text(_DOVECOT.format(
            folder=folder, certificate=pair[0], key=pair[1], uid=_NOBODY,
            pop3=self.pop3.port, pop3s=self.pop3s.port, lmtp=self.lmtp.port, lmtps=self.lmtps.port,
            sasl=self.sasl_port))
        self.daemon = Daemon([command, "-F", "-c", str(folder / "dovecot.conf")],
                             [self.pop3.port, self.pop3s.port, self.lmtp.port, self.lmtps.port, self.sasl_port],
                             folder / "dovecot.log")

    def maildrop(self, user: str, *messages: bytes) -> None:
        """The user's mailbox holds exactly these messages, their UIDLs always the same."""
        self.settle()
        home = self.folder / "homes" / user
        shutil.rmtree(home, ignore_errors=True)
        for name in ("cur", "new", "tmp"):
            (home / "Maildir" / name).mkdir(parents=True)
        for number, message in enumerate(messages, start=1):
            file = home / "Maildir" / "new" / f"{1_000_000_000 + number}.M{number}P1.pop.example"
            file.write_bytes(message.replace(b"\r\n", b"\n"))
        for path in (home, *home.rglob("*")):
            os.chown(path, _NOBODY, _NOBODY)

    def stored(self, user: str) -> list[bytes]:
        """The messages in the user's mailbox, as they lie on the disk."""
        self.settle()
        return stored(self.folder / "homes" / user / "Maildir")

    def settle(self) -> None:
        """Waits until the last session's process has gone: only then is its mailbox at rest."""
        wait_until(lambda: not self.daemon.children("pop3"), "the end of Dovecot's POP3 sessions")


def stored(maildir: Path) -> list[bytes]:
    """The messages of a maildir, in the order of their bodies: that of their arrival is left to chance."""
    files = [file for name in ("new", "cur") if (maildir / name).exists() for file in (maildir / name).iterdir()]
    return sorted((file.read_bytes() for file in files), key=lambda content: content.partition(b"\n\n")[2])


# Postfix

_MAIN: Final = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = {daemons}
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
myhostname = mx.cnam.example
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.2/32
smtpd_banner = $myhostname ESMTP
smtpd_peername_lookup = no
smtpd_relay_restrictions = reject_unauth_destination
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_hard_error_limit = 100
smtpd_soft_error_limit = 100
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{sasl}
smtpd_sasl_security_options = noanonymous
message_size_limit = 20000000
mailbox_size_limit = 0
virtual_mailbox_limit = 0
virtual_mailbox_base = {folder}/mail
virtual_mailbox_domains = {home}, {hop}
virtual_mailbox_maps = inline:{{ {mailboxes} }}
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
transport_maps = inline:{{ {{{hop} = lmtp:inet:127.0.0.1:{hop_port}}} }}
lmtp_connection_cache_on_demand = no
lmtp_host_lookup = native
smtp_host_lookup = native
smtputf8_enable = no
default_process_limit = 100
minimal_backoff_time = 1s
queue_run_delay = 1s
"""

_MASTER: Final = """
127.0.0.1:{smtp} inet n - n - - smtpd
127.0.0.1:{smtps} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes -o syslog_name=postfix/smtps
127.0.0.1:{open} inet n - n - - smtpd -o mynetworks=127.0.0.0/8 -o content_filter=discard: -o syslog_name=postfix/open
  -o {{ smtpd_relay_restrictions = permit_mynetworks, reject }}
  -o {{ smtpd_recipient_restrictions = check_recipient_access static:{{INFO seen}}, permit }}
127.0.0.1:{auth} inet n - n - - smtpd -o smtpd_sasl_auth_enable=yes -o syslog_name=postfix/auth
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
smtp unix - - n - - smtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

_QUEUES: Final = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved",
                  "trace")


class Postfix:
    """A Postfix that takes mail for two domains, refuses to relay, and delivers at once."""

    def __init__(self, folder: Path, pair: tuple[Path, Path], sasl_port: int) -> None:
        """`sasl_port` is where a Dovecot checks passwords; nobody needs to listen there unless `auth` is used."""
        postconf = program("postconf", "postfix")
        daemons = subprocess.run([postconf, "-hd", "daemon_directory"], capture_output=True, text=True, check=True)
        self.folder = folder
        self.smtp = Endpoint("smtp", free_port())
        self.auth = Endpoint("smtp", free_port())
        self.smtps = Endpoint("smtps", free_port())
        self.open = Endpoint("smtp", free_port())
        """Relays for everybody, writes down each recipient, and throws away what it takes."""
        self.hop_port = free_port()
        """Where Postfix looks for the LMTP server of the domain `HOP`: a test must put something there."""
        users = ["pierre", "michel", "natkin", "gerard", *(user for user in USERS if user.startswith("user"))]
        mailboxes = ", ".join(f"{{{user}@{domain} = {user}/}}" for user in users for domain in (HOME, HOP))
        etc = folder / "etc"
        etc.mkdir()
        (etc / "main.cf").write_text(_MAIN.format(
            folder=folder, daemons=daemons.stdout.strip(), certificate=pair[0], key=pair[1], sasl=sasl_port,
            home=HOME, hop=HOP, hop_port=self.hop_port, mailboxes=mailboxes, uid=_NOBODY))
        (etc / "master.cf").write_text(_MASTER.format(smtp=self.smtp.port, auth=self.auth.port, smtps=self.smtps.port,
                                                          open=self.open.port))
        self._make_queue()
        self.daemon = Daemon([str(Path(daemons.stdout.strip(), "master")), "-c", str(etc), "-d"],
                             [self.smtp.port, self.auth.port, self.smtps.port, self.open.port], folder / "postfix.log")

    def _make_queue(self) -> None:
        """The folders that `postfix start` would make, with the owners that it would give them."""
        (self.folder / "queue" / "pid").mkdir(parents=True)
        (self.folder / "mail").mkdir()
        os.chown(self.folder / "mail", _NOBODY, _NOBODY)
        (self.folder / "data").mkdir(mode=0o700)
        shutil.chown(self.folder / "data", "postfix")
        for name in _QUEUES:
            (self.folder / "queue" / name).mkdir(mode=0o700)
            shutil.chown(self.folder / "queue" / name, "postfix")
        for name, mode in (("maildrop", 0o730), ("public", 0o710)):
            (self.folder / "queue" / name).mkdir()
            shutil.chown(self.folder / "queue" / name, "postfix", "postdrop")
            (self.folder / "queue" / name).chmod(mode)

    def empty(self) -> None:
        """No mailbox holds anything."""
        self.settle()
        for mailbox in (self.folder / "mail").iterdir():
            shutil.rmtree(mailbox)

    def stored(self, user: str) -> list[bytes]:
        """The messages delivered to the user, once nothing is on its way any more."""
        self.settle()
        return stored(self.folder / "mail" / user)

    def settle(self) -> None:
        """Waits until the queue is empty."""
        wait_until(lambda: not any(file.is_file() for name in ("incoming", "active", "deferred", "maildrop")
                                   for file in (self.folder / "queue" / name).rglob("*")),
                   f"Postfix's queue empty (see {self.folder / 'postfix.log'})")
