"""What the octets of a file give away as they stream: programs, macros, encryption.

Nothing is unpacked: names and flags stand in the clear, in the local headers of a zip archive (APPNOTE 4.3.7) and in the
directory of an OLE file ([MS-CFB] 2.6).  Kept are the head, and the few octets that could begin what is sought.

Knows signatures.  Must not know messages, declared names or files.
"""

from __future__ import annotations

import struct
from typing import Final

from mailspy_attachments.limits import ENTRIES, ENTRY, HEAD
from mailspy_attachments.programs import program_name

OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
ZIP: Final = b"PK\x03\x04"
SIGNATURE: Final = 8
"""Octets by which it is decided what to look for."""

_HEADER: Final = struct.Struct("<4sHHHHHIIIHH")
"""A local header: signature, version, flags, method, time, date, CRC, two sizes, lengths of name and extra field."""
_ENCRYPTED: Final = 1
_SLOT: Final = 128
"""Octets of an entry in the directory of an OLE file: its name begins where it begins."""
_MACRO_PARTS: Final = ("vbaproject.bin", "macrosheets/")
_OLE_NAMES: Final = (("_VBA_PROJECT\0".encode("utf-16-le"), "macros", "an Office document with a VBA project"),
                     ("EncryptedPackage\0".encode("utf-16-le"), "encrypted", "an Office document under a password"))
_LONGEST: Final = max(len(name) for name, _, _ in _OLE_NAMES)


class Contents:
    """Looks at the octets of one file as they come."""

    __slots__ = ("_archive", "_begun", "_directory", "_head", "found")

    def __init__(self) -> None:
        self._head = bytearray()
        self._begun = False
        self._archive: Archive | None = None
        self._directory: Directory | None = None
        self.found: dict[str, str] = {}
        """Names of warnings, each with its detail."""

    @property
    def head(self) -> bytes:
        """The first octets, at most `HEAD`."""
        return bytes(self._head)

    def feed(self, data: bytes) -> None:
        """Takes the next octets."""
        head = self._head
        if not self._begun:
            if len(head) + len(data) < SIGNATURE:
                head += data
                return
            data = bytes(head) + data
            head.clear()
            self._begin(data[:SIGNATURE])
        if len(head) < HEAD:
            head += data[:HEAD - len(head)]
        if self._archive is not None:
            self._archive.feed(data)
        elif self._directory is not None:
            self._directory.feed(data)

    def finish(self) -> None:
        """No more octets come."""
        if self._archive is not None:
            self._archive.finish()

    def _begin(self, signature: bytes) -> None:
        self._begun = True
        if signature.startswith(ZIP):
            self._archive = Archive(self.found)
        elif signature == OLE:
            self._directory = Directory(self.found)


class Archive:
    """The entries of a zip archive."""

    __slots__ = ("_entries", "_found", "_rest")

    def __init__(self, found: dict[str, str]) -> None:
        self._found = found
        self._rest = b""
        self._entries = 0

    def feed(self, data: bytes) -> None:
        """Takes the next octets."""
        if self._entries >= ENTRIES:
            return
        if self._rest:
            data = self._rest + data
        end = len(data)
        place = data.find(ZIP)
        while place >= 0 and self._entries < ENTRIES:
            if end - place < _HEADER.size + ENTRY:
                self._rest = data[place:]
                return
            self._entry(data, place)
            place = data.find(ZIP, place + 4)
        self._rest = data[max(0, end - 3):]

    def finish(self) -> None:
        """No more octets come: looks at the entries that stand near the end."""
        rest, self._rest = self._rest, b""
        place = rest.find(ZIP)
        while place >= 0 and len(rest) - place >= _HEADER.size:
            self._entry(rest, place)
            place = rest.find(ZIP, place + 4)

    def _entry(self, data: bytes, place: int) -> None:
        self._entries += 1
        fields = _HEADER.unpack_from(data, place)
        start = place + _HEADER.size
        name = data[start:start + min(fields[9], ENTRY)].decode("utf-8", "replace")
        if fields[2] & _ENCRYPTED:
            self._found.setdefault("encrypted", f"an archive under a password: {name}")
        plain = name.lower()
        if any(part in plain for part in _MACRO_PARTS):
            self._found.setdefault("macros", f"an Office document with macros: {name}")
        if what := program_name(plain):
            self._found.setdefault("executable_inside", f"an archive with a program in it: {name} ({what})")


class Directory:
    """The directory of an OLE file, wherever its sectors stand."""

    __slots__ = ("_found", "_offset", "_rest")

    def __init__(self, found: dict[str, str]) -> None:
        self._found = found
        self._rest = b""
        self._offset = 0
        """Where in the file the data in hand begins."""

    def feed(self, data: bytes) -> None:
        """Takes the next octets."""
        if self._rest:
            data = self._rest + data
        for name, warning, detail in _OLE_NAMES:
            if warning not in self._found and self._stands(data, name):
                self._found[warning] = detail
        kept = max(0, len(data) - _LONGEST + 1)
        self._rest = data[kept:]
        self._offset += kept

    def _stands(self, data: bytes, name: bytes) -> bool:
        place = data.find(name)
        while place >= 0:
            if (self._offset + place) % _SLOT == 0:
                return True
            place = data.find(name, place + 1)
        return False
