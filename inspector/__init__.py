"""mailspy, seen by its plugins: everything that a plugin may import.

- `hookimpl` marks the functions that mailspy calls; `docs/hooks` lists the hooks.
- A `Flow` is one proxied connection; its `Session` knows the phase, the transaction, who is logged in.
- `PDU`s are what crosses, in both directions; an `Exchange` is a command with its replies, a `Message` a mail.
- What a plugin finds it tells by `session.report(Finding(…))`; what it decides is a `Verdict`.
- A folder to write into is opened by `open_folder`, through no symbolic link; `doubts` says what others could do there.
- Wire data is hostile: `decode` and `sanitise` make it fit for a screen, a log or a file name.
"""

from typing import TYPE_CHECKING, Any

from inspector.anomaly import CATALOGUE, Anomaly, AnomalyType, Severity
from inspector.errors import CaptureError, MailspyError, OptionError, PluginError
from inspector.hookspecs import hookimpl
from inspector.limits import Limits
from inspector.machine import Machine, Row, Table
from inspector.options import Option, OptionParser, Options
from inspector.pdu import (
    PDU,
    RUN,
    Address,
    Direction,
    Exchange,
    Finding,
    Flow,
    Kind,
    Message,
    Outcome,
    Part,
    PatientSink,
    Recipient,
    Sink,
    Transaction,
)
from inspector.place import doubts, open_folder
from inspector.protocol import Protocol
from inspector.session import Observer, Session
from inspector.text import decode, sanitise
from inspector.verdict import Answer, Close, Forward, Replace, Verdict

if TYPE_CHECKING:
    from inspector.lines import JsonRecord

__version__ = "0.1.0"

__all__ = [
    "CATALOGUE",
    "PDU",
    "RUN",
    "Address",
    "Anomaly",
    "AnomalyType",
    "Answer",
    "CaptureError",
    "Close",
    "Direction",
    "Exchange",
    "Finding",
    "Flow",
    "Forward",
    "JsonRecord",
    "Kind",
    "Limits",
    "Machine",
    "MailspyError",
    "Message",
    "Observer",
    "Option",
    "OptionError",
    "OptionParser",
    "Options",
    "Outcome",
    "Part",
    "PatientSink",
    "PluginError",
    "Protocol",
    "Recipient",
    "Replace",
    "Row",
    "Session",
    "Severity",
    "Sink",
    "Table",
    "Transaction",
    "Verdict",
    "__version__",
    "decode",
    "doubts",
    "hookimpl",
    "open_folder",
    "sanitise",
]


def __getattr__(name: str) -> Any:
    """What is heavy is loaded when it is asked for."""
    if name == "JsonRecord":
        from inspector.lines import JsonRecord

        return JsonRecord
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
