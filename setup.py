"""Builds mailspy; what it is made of stands in setup.cfg.

Where there is a C compiler, the modules on the path of the traffic are compiled by mypyc, from the same source: mailspy is then
about twice as fast.  Without one, with MAILSPY_COMPILE=0, or installed as editable (unless MAILSPY_COMPILE=1), they stay Python.
MAILSPY_OPT_LEVEL is gcc's level of optimisation: 1, or 0 for a build in less than half of the time.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

COMPILED = {
    "inspector": ("anomaly", "arrival", "doubt", "echo", "framing", "gate", "harmless", "hold", "host", "intact", "interrupt",
                  "jobs", "limits", "lines", "machine", "mask", "newcomer", "offers", "output", "pdu", "pipeline", "posing",
                  "protocol", "reader", "readings", "recognition", "remainder", "run", "segment", "session", "sinks", "starttls",
                  "text", "timing", "wary", "wrapping"),
    "inspector/protocols": ("foreign", "line"),
    "inspector/protocols/pop3": ("caution", "grammar", "phases", "replies", "session"),
    "inspector/protocols/smtp": ("caution", "grammar", "phases", "replies", "session"),
    "inspector/formats": ("checksum", "frame", "marker", "packet", "pcapng", "word"),
    "inspector/capture": ("blocks", "connection", "connections", "conversation", "early", "embryo", "ends", "file", "reader",
                          "reassembly", "writer"),
    "inspector/live": ("clock", "connect", "outbox", "plane", "relay", "secure", "service"),
    "plugins/mailspy_attachments": ("attachment", "contents", "folder", "names", "programs", "suspicions"),
    "plugins/mailspy_mime": ("addresses", "dates", "decoders", "doubts", "embedded", "entity", "fields", "leaf", "parameters",
                             "received", "scanner", "summary", "tree", "uuencode", "words", "yenc"),
    "plugins/mailspy_relay": ("command", "domains", "networks", "outcome", "policy", "route"),
}
"""What the traffic goes through, by folder."""
BUILDING = frozenset({"bdist_wheel", "build", "build_ext", "install"})
"""Commands that build; others ask for the metadata only."""
EDITABLE = frozenset({"editable_wheel", "develop"})
"""Commands that install as editable, where an edited source would be hidden by its compiled form."""


def wanted() -> bool:
    """Whether to compile where it makes sense: as MAILSPY_COMPILE says; else where it can be done."""
    asked = os.environ.get("MAILSPY_COMPILE", "")
    return asked != "0" if asked else can_compile()


def can_compile() -> bool:
    """Whether there is a C compiler, and Python's headers."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    return bool(shutil.which(compiler)) and Path(sysconfig.get_path("include"), "Python.h").exists()


def extensions() -> list:
    """The compiled modules; none where they are not wanted, or mypy is not there yet (setuptools asks for it first)."""
    commands = BUILDING | EDITABLE if os.environ.get("MAILSPY_COMPILE") else BUILDING
    if not wanted() or not commands.intersection(sys.argv):
        return []
    try:
        from mypyc.build import mypycify
    except ImportError:
        return []
    # Types are checked elsewhere, strictly; here the libraries that they come from are missing.
    options = ["--config-file=", "--ignore-missing-imports", "--disable-error-code=empty-body", "--disable-error-code=call-arg"]
    files = [f"{folder}/{module}.py" for folder, modules in COMPILED.items() for module in modules]
    try:
        modules = mypycify([*options, *files], opt_level=os.environ.get("MAILSPY_OPT_LEVEL", "1"), debug_level="0")
    except SystemExit:
        print("mailspy is installed as Python: this version of mypy cannot compile it", file=sys.stderr)
        return []
    if os.name == "posix":
        for module in modules:
            # To look for what to warn of in code that nobody has written takes most of the time.
            module.extra_compile_args.append("-Wno-all")
    return modules


if __name__ == "__main__":
    from setuptools import setup

    setup(ext_modules=extensions(), setup_requires=["mypy>=1.18"] if wanted() else [])
