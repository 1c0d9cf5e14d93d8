"""Real captures, and what Suricata's and Zeek's own tests and Arkime's expect of them, asked of our exports.

The folder is looked for in MAILSPY_SHARED, or beside the repository.  `python tests/test_truth_peers.py` prints the agreement.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
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
SURICATA_ELSE = {
    "detect-email-body_md5": "a digest that Suricata makes where its settings ask for it",
    "smtp-md5": "the same",
    "bug-6207-1": "a path without angle brackets on the wire, which we write as RFC 5321 does",
    "firewall/ruletype-firewall-136-smtp-multi-mail-blocked-sender": "its rule drops the rest of the session",
    "mime/mime-dec-parse-long-filename01": "the name is cut there",
    "mime/smtp-mime-encap-8649-baseline": "the last line end of a message is taken away there; it is the part's",
    "pop3": "the greeting has a record of its own there",
    "smtp-bdat-bad-tail-next-mail": "a message after a refused chunk, never answered: the connection is reset",
    "smtp-long-DATA-line": "whether a file is stored is up to rules there",
    "smtp-url-base64": "links in a text are not told",
}
"""Tests of Suricata's in which we tell something else, and why."""
ARKIME_ELSE = {
    ("smtp-moloch-bof.test", "filename"): "8 KiB of a name; ours are cut after 1,024 characters",
    ("smtp-subject-multi-nospace.test", "subject"): "the client's side alone, all of it at once, DATA never accepted",
}
ZEEK_ELSE = {
    ("scripts.base.protocols.smtp.attachment", "seen_bytes"): "the line end before a boundary is the boundary's",
    ("scripts.base.protocols.smtp.one-side", "trans_depth"): "the second message of a session, which is the first one there",
}

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
    near = min(([f"{name}: {value!r} is {field(record, name)!r}" for name, value in asked.items()
                 if not holds(record, name, value)] for record in kind), key=len, default=["no record of the kind"])
    return f"{len(found)} instead of {count}; nearest: {near}"


@pytest.mark.parametrize("check", checks() if SURICATA else [], ids=lambda check: check[1])
def test_suricatas_expectations(check: Check) -> None:
    if check[1] not in SURICATA_ELSE:
        assert not failed(check)


def test_most_of_suricatas_expectations_hold() -> None:
    """What is left out above is little, and each entry is needed."""
    wrong = [check[1] for check in checks() if failed(check)]
    assert set(wrong) <= set(SURICATA_ELSE)
    assert len(wrong) / len(checks()) <= 0.2


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
    every = exported("--jsonl", capture)
    for session in sessions(path):
        number = next((one["flow"] for one in every if one["event"] == "flow_opened"
                       and one["client"].endswith(f":{session['source']['port']}")), 0)
        events = [one for one in every if one["flow"] == number]
        email = session.get("email", {})
        told = {
            "subject": {one["subject"] for one in events if one["event"] == "message"},
            "filename": {one["filename"] for one in events if one["event"] == "part"},
            "id": {one["message_id"].strip("<>") for one in events if one["event"] == "message"},
            "sha256": {one["sha256"] for one in events if one["event"] == "part"},
            "smtpHello": {one["text"].partition(" ")[2].lower() for one in events if one.get("verb") in ("EHLO", "HELO")},
        }
        for name, ours in told.items():
            for theirs in email.get(name, ()):
                if " ".join(theirs.split()) not in {" ".join(one.split()) for one in ours}:
                    yield name, theirs, ours


@pytest.mark.parametrize("path", ARKIME, ids=lambda path: path.stem)
def test_arkimes_sessions(path: Path) -> None:
    assert [(what, theirs, ours) for what, theirs, ours in unlike(path) if (path.name, what) not in ARKIME_ELSE] == []


# Zeek


ZEEK_SMTP = ("id.orig_p", "trans_depth", "helo", "mailfrom", "rcptto", "date", "from", "to", "cc", "reply_to", "msg_id",
             "in_reply_to", "subject", "first_received", "last_reply", "path", "user_agent", "tls")
ZEEK_FILES = ("seen_bytes", "filename", "missing_bytes")


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


@pytest.mark.parametrize("test", list(baselines()), ids=lambda test: f"{test[0].rpartition('.')[2]}-{test[1]}")
def test_zeeks_logs(test: tuple[str, str, str]) -> None:
    assert [one for one in unlike_zeek(*test) if (test[0], one[0]) not in ZEEK_ELSE] == []


@pytest.mark.parametrize("number", range(3))
def test_the_files_that_zeek_takes_out_are_ours(number: int) -> None:
    """Zeek's end with the line end that is the boundary's."""
    theirs = (DATA / "zeek" / "Baseline" / "scripts.base.frameworks.file-analysis.smtp" / f"thefile{number}").read_bytes()
    theirs = theirs.partition(b"\n")[2] if theirs.startswith(b"###") else theirs
    every = {one["sha256"]: one["size"] for one in exported("--jsonl", "zeek/traces/smtp.pcap") if one["event"] == "part"}
    shapes = (theirs, theirs.removesuffix(b"\r\n"), theirs.removesuffix(b"\n"))
    assert any(sha256(shape).hexdigest() in every for shape in shapes)


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
