"""A program of its own: reads a winmail.dat (TNEF, [MS-OXTNEF]) from standard input, writes the files in it to standard output.

Each file is a line of JSON, `{"name": …, "size": …}`, and its octets; `{"end": true}` follows when nothing was amiss.  What a
hostile winmail.dat does to the library happens here: memory, time and output are bounded by the system.

Knows tnefparse.  Must not import anything of mailspy: it runs alone, and must start quickly.
"""

import json
import resource
import sys
from collections.abc import Iterator
from typing import Any

import tnefparse

MEMORY = 1 << 30
"""Octets of address space: some ten times the largest file that is saved."""
SECONDS = 2
"""Of the processor."""
NAME = 1_024
"""Characters of a name."""
DEPTH = 10
"""Messages within messages."""


def main(output: int) -> None:
    """Writes at most `output` octets."""
    for limit, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_FSIZE, output),
                        (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 16)):
        resource.setrlimit(limit, (most, most))
    whole = True
    for name, data in files(sys.stdin.buffer.read()):
        whole = whole and name is not None
        if name is not None:
            write({"name": name, "size": len(data)}, data)
    if whole:
        write({"end": True}, b"")


def write(head: dict[str, Any], data: bytes) -> None:
    """One record."""
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + data)
    sys.stdout.buffer.flush()


def files(data: bytes) -> Iterator[tuple[str | None, bytes]]:
    """Name and octets of each file, those in embedded messages too; None for a name where something could not be read."""
    container = tnefparse.TNEF.__new__(tnefparse.TNEF)
    try:
        container.__init__(data, do_checksum=False)
    except Exception:
        yield None, b""
    level = list(getattr(container, "attachments", ()))
    for _ in range(DEPTH):
        inner: list[Any] = []
        for one in level:
            if hasattr(one, "embed"):
                inner += one.embed.attachments
            elif isinstance(one.data, bytes):
                yield name_of(one), one.data
        level = inner


def name_of(one: Any) -> str:
    """The long name, else the short one, as text."""
    try:
        name = one.long_filename()
    except Exception:
        name = one._name
    if isinstance(name, list | tuple):
        name = name[0] if name else ""
    return (name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name)).strip("\0")[:NAME]


if __name__ == "__main__":
    main(int(sys.argv[1]))
