"""Real captures, and what Suricata's and Zeek's own tests and Arkime's expect of them, asked of our exports.

The folder is looked for in MAILSPY_SHARED, or beside the repository.  `python tests/test_truth_peers.py` prints the agreement.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from inspector.cli import main

DATA = Path(os.environ.get("MAILSPY_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
SURICATA = sorted((DATA / "suricata-verify").glob("expectations.*.json")) if DATA.is_dir() else []
ARKIME = sorted((DATA / "arkime").glob("*.test")) if DATA.is_dir() else []
ZEEK = sorted((DATA / "zeek").glob("baseline_to_trace.*.json")) if DATA.is_dir() else []

pytestmark = pytest.mark.skipif(not SURICATA, reason="the captures of others are not here (MAILSPY_SHARED)")

OWN = frozenset({"smtp", "fileinfo", "pop3", "email"})
"""The kinds of records that tell what a reader found; others need rules that are not here."""
OURS_ALONE = ("pcap_cnt", "ip_v", "app_proto_tc", "app_proto_ts", "flow_id", "pkt_src")
"""Fields about the reader itself."""
"""What we tell differently."""

Check = tuple[str, str, int, dict[str, Any]]


def checks() -> list[Check]:
    """Capture, test, count and fields of each expectation, without those for other versions than the newest."""
    found: list[Check] = []
    for path in SURICATA:
        for entry in json.loads(path.read_text()).values():
            for test in entry["tests"]:
                for check in test["checks"]:
                    match = check.get("match") or {}
                    if match.get("event_type") not in OWN or "lt-version" in (check.get("requires") or {}):
                        continue
                    if test["test"].startswith("firewall/") and not check["count"]:
                        continue
                    found.append((entry["pcap"], test["test"], check["count"], match))
    return found


@lru_cache(maxsize=1)
def exported(form: str, capture: str) -> Any:
    """The capture in that form."""
    with TemporaryDirectory() as folder:
        target = Path(folder) / "out"
        assert main(["export", form, str(target), str(DATA / capture)]) in (0, 1)
        if form == "--zeek":
            return {path.name: table(path.read_text()) for path in sorted(target.iterdir())}
        return [json.loads(line) for line in target.read_text().splitlines()] if target.exists() else []


def holds(record: Any, name: str, value: Any) -> bool:
    """Whether a record has a field of that value, as Suricata's tests write it: `email.to[0]`."""
    if name in ("has-key", "not-has-key"):
        names = [value] if isinstance(value, str) else value
        return all((field(record, one) is None) == (name == "not-has-key") for one in names)
    return field(record, name) == value


def field(record: Any, name: str) -> Any:
    for step in re.findall(r"[^.\[\]]+", name):
        if isinstance(record, dict):
            record = record.get(step)
        elif isinstance(record, list) and step.isdecimal() and int(step) < len(record):
            record = record[int(step)]
        else:
            return None
    return record


def table(text: str) -> list[dict[str, str]]:
    """The rows of one of Zeek's logs."""
    names: list[str] = []
    rows = []
    for line in text.splitlines():
        if line.startswith("#fields"):
            names = line.split("\t")[1:]
        elif not line.startswith("#"):
            rows.append(dict(zip(names, line.split("\t"), strict=True)))
    return rows


def failed(check: Check) -> str:
    """What is wrong, or nothing."""
    capture, _, count, match = check
    asked = {name: value for name, value in match.items() if name not in OURS_ALONE}
    found = [record for record in exported("--eve", capture) if all(holds(record, *one) for one in asked.items())]
    if len(found) == count:
        return ""
    kind = [record for record in exported("--eve", capture) if record["event_type"] == match["event_type"]]
    near = min((["{}: {!r} is {!r}".format(name, value, field(record, name)) for name, value in asked.items()
                 if not holds(record, name, value)] for record in kind), key=len, default=["no record of the kind"])
    return f"{len(found)} instead of {count}; nearest: {near}"


# Arkime


def sessions(path: Path) -> list[dict[str, Any]]:
    """The sessions of mail that Arkime expects in a capture."""
    return [one["body"] for one in json.loads(path.read_text())["sessions3"]
            if {"smtp", "pop3"} & set(one["body"].get("protocol", ()))]


def unlike(path: Path) -> Iterator[tuple[str, Any, Any]]:
    """Where we tell something else of a session: what, Arkime's and ours."""
    capture = str(path.with_suffix(".pcap").relative_to(DATA))
    for session in sessions(path):
        port = session["source"]["port"]
        events = [one for one in exported("--eve", capture) if port in (one["src_port"], one["dest_port"])]
        flow = next((one["flow"] for one in events if one["event_type"] == "flow"), {})
        wrapped = "socks" in session["protocol"]
        for name, ours in (("client", "bytes_toserver"), ("server", "bytes_toclient")):
            if not wrapped and session[name]["bytes"] != flow.get(ours):
                yield name, session[name]["bytes"], flow.get(ours)
        email = session.get("email", {})
        mails = [one for one in events if one["event_type"] in ("smtp", "fileinfo")]
        told = {
            "subject": {field(one, "email.subject") for one in mails},
            "filename": {name for one in mails for name in field(one, "email.attachment") or ()},
            "id": {(field(one, "email.message_id") or "").strip("<>") for one in mails},
            "sha256": {field(one, "fileinfo.sha256") for one in mails},
            "smtpHello": {field(one, "smtp.helo") for one in mails},
            "useragent": {field(one, "email.user_agent") for one in mails},
        }
        for name, ours in told.items():
            for theirs in email.get(name, ()):
                if theirs.strip() not in ours:
                    yield name, theirs, ours


# Zeek


ZEEK_SMTP = ("id.orig_p", "trans_depth", "helo", "mailfrom", "rcptto", "date", "from", "to", "cc", "reply_to", "msg_id",
             "in_reply_to", "subject", "first_received", "last_reply", "path", "user_agent", "tls")
ZEEK_FILES = ("seen_bytes", "filename", "missing_bytes", "depth")


def baselines() -> Iterator[tuple[str, str, str]]:
    """Zeek's own tests that have a table: its name, that of the table, and the capture."""
    for path in ZEEK:
        for name, test in json.loads(path.read_text()).items():
            capture = f"zeek/traces/{test['traces'][0]}"
            if "tls" in capture or not (DATA / capture).exists():
                continue
            for log in ("smtp.log", "files.log"):
                if (DATA / "zeek" / "Baseline" / name / log).exists():
                    yield name, log, capture


def unlike_zeek(name: str, log: str, capture: str) -> Iterator[tuple[str, Any, Any]]:
    """Where our log tells something else: what, Zeek's and ours."""
    theirs = table((DATA / "zeek" / "Baseline" / name / log).read_text())
    ours = exported("--zeek", capture).get(log, [])
    if len(theirs) != len(ours):
        yield "rows", len(theirs), len(ours)
    for their, our in zip(theirs, ours, strict=False):
        for column in ZEEK_SMTP if log == "smtp.log" else ZEEK_FILES:
            one, other = their.get(column, "-"), our.get(column, "-")
            if one != other and sorted(one.split(",")) != sorted(other.split(",")):
                yield column, one, other


if __name__ == "__main__":
    right = 0
    for check in checks():
        wrong = failed(check)
        right += not wrong
        if wrong:
            print(check[0], check[1], wrong)
    print("Suricata:", right, "of", len(checks()))
    for path in ARKIME:
        for difference in unlike(path):
            print(path.name, *difference)
    for test in baselines():
        for difference in unlike_zeek(*test):
            print(*test[:2], *difference)
