"""The options of the program and of its commands, as tables.

Knows names, types, defaults and the sentence that explains each.  Must not know click, nor what an option does.
"""

from __future__ import annotations

from typing import Final

from inspector.limits import DEFAULT
from inspector.options import Option

LIVE: Final = (
    Option("listen", "where clients connect; 127.0.0.1 unless a host is named", metavar="[HOST:]PORT", multiple=True),
    Option("upstream", "the server behind it; one for each --listen, in the same order", metavar="[SCHEME://]HOST[:PORT]",
           multiple=True),
    Option("protocol", "the protocol, where neither scheme nor port tells it", metavar="NAME"),
    Option("write", "save the traffic as pcapng, in a file or a folder", metavar="FILE"),
    Option("keep-secrets", "save passwords as they are, not masked", bool, False),
    Option("connect-timeout", "seconds to reach the server", float, 30.0, "SECONDS"),
    Option("drain", "seconds that open sessions have to finish after Ctrl-C", float, 5.0, "SECONDS"),
    Option("max-sessions", "sessions at a time; 0 for as many as the system allows", int, 0, "N"),
    Option("tls", "TLS that begins in a session: intercept, pass (unseen) or refuse; where there is an authority of ours "
           "intercept, else pass", metavar="HOW"),
    Option("strip-starttls", "hide STARTTLS from clients, to see what they do: a downgrade attack", bool, False),
    Option("starttls-injection", "clear text that comes with STARTTLS or its reply: refuse (the session ends) or drop (it goes "
           "nowhere, and TLS begins)", str, "refuse", "HOW"),
    Option("capture-encrypted", "capture the client's leg as it is in TLS, with its keys: passwords stay in it", bool, False),
    Option("keylog", "write the keys of TLS there, on both legs, for Wireshark", metavar="FILE"),
    Option("upstream-ca", "the authorities that servers' certificates must be from; else the system's", metavar="FILE"),
    Option("upstream-verify", "when a server's certificate is not right: on (no session), warn or off", str, "on", "HOW"),
    Option("client-cert", "a certificate with its key, shown to servers that ask for one", metavar="FILE"),
    Option("tls-legacy", "also TLS 1.0 and 1.1, on both legs", bool, False),
    Option("ca-dir", "the folder of our own authority: `mailspy ca`", metavar="DIR"),
    Option("transport", "what moves the octets: epoll or twisted", metavar="NAME"),
    Option("read", "the same as `mailspy replay FILE`", metavar="FILE", multiple=True),
)
"""Of the live proxy alone."""

COMMON: Final = (
    Option("json", "one JSON object a line on standard output, and nothing else there", bool, False),
    Option("quiet", "no line a PDU: only findings, and anomalies of medium severity or more", bool, False),
    Option("verbose", "also times, octets, hexadecimal of what is not read", bool, False),
    Option("filter", "only what satisfies this expression: docs/howto/filter.md, `mailspy fields`", metavar="EXPR"),
    Option("anomalies", "deviations of one name that are told one by one in a flow; the rest are counted", int,
           DEFAULT.anomalies, "N"),
    Option("log", "also to a file: JSON if it ends in .json, .jsonl or .ndjson", metavar="FILE"),
    Option("plugin", "load a plugin from a file", metavar="FILE.py", multiple=True),
    Option("disable", "leave a plugin out", metavar="NAME", multiple=True),
    Option("config", "settings from this TOML file", metavar="FILE"),
)
"""Of the live proxy, replay and demo alike; they may stand before or after the command's name."""

READING: Final = (
    Option("merge", "several captures as one, packets sorted by time", bool, False),
    Option("checksums", "leave out packets whose checksums are wrong", bool, False),
    Option("keylog", "keys of TLS sessions (SSLKEYLOGFILE), beside those in the captures", metavar="FILE"),
)
"""Of the commands that read captures."""

REPLAY: Final = (
    *READING,
    Option("jobs", "processes that share the flows; the output is that of one", int, 1, "N"),
    Option("engine", "the workers of a Dask cluster, a capture each", metavar="dask://HOST:PORT"),
    Option("follow", "go on as the capture grows, until Ctrl-C", bool, False),
    Option("plugin-timing", "a table at the end: what each hook of each plugin costs", bool, False),
    Option("speed", "0 at once, 1 in the time that it took, 2 in half of it", float, 0.0, "FACTOR"),
)

DEMO: Final = (
    Option("serve", "keep the servers running for your own client", bool, False),
    Option("lang", "language of the comments: en or fr", str, "en", "LANGUAGE"),
    Option("keep", "keep captures and attachments there", metavar="DIR"),
)

SHOW: Final = (
    Option("message", "the message of that number, with its tree and texts; else all are listed if there are several", int,
           metavar="N"),
    Option("raw", "the exact octets of the message on standard output", bool, False),
)

EXPORT: Final = (
    *READING,
    Option("eml", "a file for each message, in that folder", metavar="DIR"),
    Option("mbox", "one new mailbox (mboxrd)", metavar="FILE"),
    Option("maildir", "a maildir, new or not", metavar="DIR"),
    Option("envelope", "also the envelope: headers (X-Mailspy-… in the copy) or json (beside it)", metavar="HOW"),
    Option("jsonl", "the events, as `replay --json` writes them", metavar="FILE"),
    Option("eve", "Suricata's EVE: smtp, pop3, email, fileinfo, anomaly, flow", metavar="FILE"),
    Option("zeek", "Zeek's smtp.log, files.log and conn.log, and a pop3.log", metavar="DIR"),
    Option("pcapng", "a capture, annotated; secrets masked unless --keep-secrets", metavar="FILE"),
    Option("ladder", "a sequence diagram of each session: svg, html or mermaid, to --output", metavar="FORM"),
    Option("report", "a page about everything: html, to --output", metavar="FORM"),
    Option("output", "where --ladder or --report goes: a file, a folder for a file each, - for standard output", metavar="PATH"),
    Option("sessions", "sessions that are drawn at most", int, 200, "N"),
    Option("lines", "lines of a session that are drawn at most", int, 400, "N"),
    Option("keep-secrets", "passwords as they are in --pcapng, not masked", bool, False),
    Option("incomplete", "also messages that are not whole, marked as such", bool, False),
    Option("lf", "write LF for each CRLF, as mail stores on Unix do", bool, False),
)

SESSIONS: Final = (
    Option("csv", "as CSV, for spreadsheets", bool, False),
    Option("sort", "by that column: duration, octets, anomalies, …; with - before it, the largest first", metavar="COLUMN"),
)

RELAY_TEST: Final = (
    Option("policy", "the policy from this TOML file: local-domain and the like; else mailspy.toml, else nobody may relay",
           metavar="FILE"),
    Option("recipient", "to whom the server is asked to relay; nothing is sent there", str, "relay-test@example.org", "ADDRESS"),
    Option("sender", "the stranger in whose name it is asked", str, "relay-test@example.net", "ADDRESS"),
    Option("helo", "the name to greet with; else the address of this machine", metavar="NAME"),
    Option("timeout", "seconds to wait for a connection, and for each reply", float, 30.0, "SECONDS"),
)

AUTHORITY: Final = (
    Option("ca-dir", "the folder of the authority; else one of this user's", metavar="DIR"),
    Option("days", "how long a new authority is valid; 1826 by default", int, metavar="N"),
    Option("only", "the domains that a new authority may speak for; else all", metavar="DOMAIN", multiple=True),
    Option("output", "where `export` writes; else standard output", metavar="FILE"),
)

COMMANDS: Final = {"replay": REPLAY, "demo": DEMO}
"""The commands that have options of their own in the configuration."""

SHORT: Final = {"write": "-w", "read": "-r", "quiet": "-q", "verbose": "-v"}
HIDDEN: Final = frozenset({"transport"})
NOT_IN_FILES: Final = frozenset({"config", "read"})
"""Options that only the command line takes."""
CHOICES: Final = {"lang": ("en", "fr"), "transport": ("epoll", "twisted"), "envelope": ("headers", "json"),
                  "upstream-verify": ("on", "warn", "off"), "tls": ("intercept", "pass", "refuse"),
                  "starttls-injection": ("refuse", "drop"),
                  "ladder": ("svg", "html", "mermaid"), "report": ("html",)}
LEAST: Final = {"anomalies": 0, "connect-timeout": 0.001, "drain": 0.0, "max-sessions": 0, "speed": 0.0, "jobs": 1,
                "sessions": 1, "lines": 8, "timeout": 0.001}
"""The smallest value that makes sense."""


def configurable(options: tuple[Option, ...] | list[Option]) -> list[Option]:
    """Those that the environment and the file can set."""
    return [option for option in options if option.name not in NOT_IN_FILES]
