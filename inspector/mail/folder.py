"""Private files that have their names only when they are whole.

Rules.  Everything is opened relative to the folder's descriptor, created anew (O_CREAT, O_EXCL, O_NOFOLLOW), 0600 in 0700;
what exists is never written to, and never replaced.

Knows the file system.  Must not know messages.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from errno import EEXIST, EMLINK, ENOSYS, ENOTSUP, EPERM
from typing import Final

from inspector.errors import OptionError
from inspector.place import open_folder

BUFFER: Final = 262_144
"""Octets of a message that are gathered before they are written; nothing of a smaller one is written before its end."""
NAMES: Final = 1_000
"""Names that are tried where a name is taken."""

_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS: Final = frozenset({EPERM, EMLINK, ENOSYS, ENOTSUP})


class Folder:
    """A folder, open."""

    def __init__(self, path: str, where: str) -> None:
        """Makes the folder if it is missing.  `where` names the option.  Raises OptionError."""
        self.path = path
        try:
            self._descriptor = open_folder(path, make=True)
        except OSError as error:
            raise OptionError(f"{where} {path}: {error.strerror}; name a folder that can be made or written to") from error

    def close(self) -> None:
        """Lets go of it."""
        os.close(self._descriptor)

    def draft(self) -> Draft:
        """A file without a name."""
        return Draft(self._descriptor)

    def publish(self, draft: Draft, stem: str, ending: str = "") -> str:
        """Gives a draft its name, `stem` or `stem-2` … where that is taken, and returns it.  Raises OSError."""
        draft.flush()
        for number in range(1, NAMES):
            name = f"{stem}-{number}{ending}" if number > 1 else f"{stem}{ending}"
            try:
                self._rename(draft.name, name)
            except FileExistsError:
                continue
            draft.name = ""
            return name
        raise FileExistsError(EEXIST, f"{stem}{ending} and {NAMES} names like it are taken")

    def _rename(self, old: str, new: str) -> None:
        """Raises FileExistsError where the name is taken."""
        folder = self._descriptor
        try:
            os.link(old, new, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with suppress(FileNotFoundError):
                os.stat(new, dir_fd=folder, follow_symlinks=False)
                raise FileExistsError(EEXIST, os.strerror(EEXIST)) from None
            os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)
        else:
            os.unlink(old, dir_fd=folder)

    def move(self, name: str, other: Folder, new: str) -> None:
        """Gives a file its name in another folder of the same file system.  Raises FileExistsError, OSError."""
        os.link(name, new, src_dir_fd=self._descriptor, dst_dir_fd=other._descriptor, follow_symlinks=False)
        os.unlink(name, dir_fd=self._descriptor)

    def dated(self, name: str, time: int) -> None:
        """Sets when a file was changed, in microseconds since the epoch."""
        with suppress(OSError, OverflowError):
            os.utime(name, ns=(time * 1000, time * 1000), dir_fd=self._descriptor, follow_symlinks=False)


class Draft:
    """A file that grows under a temporary name, opened for each writing only: there may be thousands at a time."""

    def __init__(self, folder: int) -> None:
        self.name = ""
        """Its temporary name; empty while nothing was written."""
        self._folder = folder
        self._buffer: list[bytes] = []
        self._buffered = 0

    def write(self, data: bytes) -> None:
        """Takes octets.  Raises OSError."""
        self._buffer.append(data)
        self._buffered += len(data)
        if self._buffered >= BUFFER:
            self.flush()

    def flush(self) -> None:
        """Writes what is gathered.  Raises OSError."""
        if self._buffer or not self.name:
            descriptor = self._open()
            try:
                left = memoryview(b"".join(self._buffer))
                while left:
                    left = left[os.write(descriptor, left):]
            finally:
                os.close(descriptor)
            self._buffer.clear()
            self._buffered = 0

    def _open(self) -> int:
        if self.name:
            return os.open(self.name, _APPEND, dir_fd=self._folder)
        name = f".mailspy-{secrets.token_hex(8)}.tmp"
        descriptor = os.open(name, _CREATE, 0o600, dir_fd=self._folder)
        self.name = name
        return descriptor

    def pieces(self) -> Iterator[bytes]:
        """What was written, in order.  Raises OSError."""
        if self.name:
            with os.fdopen(os.open(self.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder), "rb") as file:
                while piece := file.read(BUFFER):
                    yield piece
        yield from self._buffer

    def discard(self) -> None:
        """Removes it."""
        self._buffer.clear()
        name, self.name = self.name, ""
        if name:
            with suppress(OSError):
                os.unlink(name, dir_fd=self._folder)
