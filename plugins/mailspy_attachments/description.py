"""The JSON file beside a saved file: what the wire said of it, and where it crossed.

Knows the members; `docs/howto/save-attachments` lists them.  Must not know how the file is written.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from inspector import sanitise
from mailspy_attachments.attachment import Attachment


def description(file: Attachment) -> bytes:
    """The description of a file, JSON in ASCII, its texts sanitised."""
    part = file.part
    message = part.message
    flow = message.session.flow
    facts: dict[str, object] = {
        "filename": sanitise(part.filename),
        "names": [sanitise(name) for name in file.names],
        "content_type": sanitise(part.content_type),
        "detected": file.detected,
        "disposition": sanitise(part.disposition),
        "size": file.size,
        "sha256": file.sha256,
        "md5": file.md5,
        "complete": file.complete,
        "warnings": [{"name": one.name, "severity": one.severity, "detail": sanitise(one.detail)} for one in file.suspicions],
        "message": message.number,
        "part": part.number,
        "flow": flow.number,
        "protocol": flow.protocol,
        "client": sanitise(str(flow.client)),
        "server": sanitise(str(flow.server)),
        "pdus": file.pdus,
        "time": _stamp(message.time),
    }
    return json.dumps(facts, indent=1).encode("ascii") + b"\n"


def _stamp(time: int) -> str:
    """Microseconds since the epoch as RFC 3339 writes them, in UTC."""
    when = datetime.fromtimestamp(time // 1_000_000, UTC).replace(microsecond=time % 1_000_000)
    return when.isoformat(timespec="microseconds").replace("+00:00", "Z")
