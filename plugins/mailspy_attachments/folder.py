"""The folder where files are saved: each under a name of its own, none ever written over.

Everything is opened relative to the folder's descriptor, never followed, readable by the user only.  A file gets its name
when it is whole.

Knows files.  Must not know messages or what is in a file.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from errno import EACCES, EEXIST, ENOSYS, EOPNOTSUPP, EPERM
from hashlib import sha256
from itertools import count
from typing import Final

from inspector import doubts, open_folder
from mailspy_attachments.limits import BUFFER, FILE, FILES, TOTAL
from mailspy_attachments.sizes import shown

_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_LINKS: Final = frozenset({EPERM, EOPNOTSUPP, ENOSYS})
"""What file systems without hard links say."""


class Quota(Exception):
    """A limit is reached; the text says which, and `whole` whether it is one of the run."""

    def __init__(self, text: str, whole: bool) -> None:
        super().__init__(text)
        self.whole = whole


class Quotas:
    """How much may be saved, in octets and files."""

    __slots__ = ("file", "files", "total")

    def __init__(self, file: int = FILE, total: int = TOTAL, files: int = FILES) -> None:
        self.file = file
        self.total = total
        self.files = files


class Folder:
    """Where the files go.  Raises OSError if it can neither be made nor opened."""

    __slots__ = ("_descriptor", "_numbers", "_room", "_stored", "path", "quotas")

    def __init__(self, path: str, quotas: Quotas) -> None:
        self._descriptor = open_folder(path, make=True)
        if not os.access(path, os.W_OK | os.X_OK):
            os.close(self._descriptor)
            raise PermissionError(EACCES, os.strerror(EACCES))
        self.path = path
        self.quotas = quotas
        self._stored: dict[str, str] = {}
        """File names by SHA-256: at most as many as the quota."""
        self._room = quotas.total
        self._numbers = count(1)

    @property
    def doubts(self) -> list[str]:
        """What others could do there."""
        return doubts(self._descriptor, self.path)

    def close(self) -> None:
        """Gives the descriptor back."""
        os.close(self._descriptor)

    def create(self, name: str) -> int:
        """A descriptor of a new file, to write and to read; never of one that exists."""
        return os.open(name, _NEW, 0o600, dir_fd=self._descriptor)

    def open(self, name: str) -> int:
        """A descriptor of a file of ours, to read.  Raises OSError."""
        return os.open(name, _READ, dir_fd=self._descriptor)

    def temporary(self) -> tuple[str, int]:
        """A new file that has no final name yet, and its descriptor."""
        while True:
            name = f".incoming-{os.getpid()}-{next(self._numbers)}"
            try:
                return name, self.create(name)
            except FileExistsError:
                continue

    def remove(self, name: str) -> None:
        """Removes a file of ours, if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)

    def stored(self, digest: str) -> str:
        """The name of the file that has this content already; empty if there is none."""
        name = self._stored.get(digest, "")
        return name if name and self._is_file(name) else ""

    def reserve(self, size: int) -> None:
        """Takes octets from the quota of the run.  Raises Quota."""
        if size > self._room:
            raise Quota(f"{shown(self.quotas.total)} of one run are reached; see --attachments-max-total", True)
        if len(self._stored) >= self.quotas.files:
            raise Quota(f"{self.quotas.files} files of one run are reached; see --attachments-max-files", True)
        self._room -= size

    def give_back(self, size: int) -> None:
        """Octets that were reserved and are not kept."""
        self._room += size

    def publish(self, temporary: str, digest: str, tail: str, size: int) -> str:
        """Gives a whole file its name, never that of another one, and returns it.  Raises OSError."""
        for name in (digest[:16] + tail, digest + tail):
            try:
                self._rename(temporary, name)
            except FileExistsError:
                if not self._holds(name, digest, size):
                    continue
                self.remove(temporary)
            self._stored[digest] = name
            return name
        raise FileExistsError(EEXIST, "its names are taken by other files")

    def describe(self, name: str, facts: bytes) -> None:
        """Writes the description of a file beside it, unless there is one.  Raises OSError."""
        try:
            descriptor = self.create(name + ".json")
        except FileExistsError:
            return
        with os.fdopen(descriptor, "wb") as file:
            file.write(facts)

    def _rename(self, old: str, new: str) -> None:
        """Renames a file unless the new name is taken.  Raises FileExistsError, OSError."""
        folder = self._descriptor
        try:
            os.link(old, new, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if self._exists(new):
                raise FileExistsError(EEXIST, os.strerror(EEXIST)) from None
            os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)
        else:
            self.remove(old)

    def _exists(self, name: str) -> bool:
        try:
            os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _is_file(self, name: str) -> bool:
        try:
            return stat.S_ISREG(os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return False

    def _holds(self, name: str, digest: str, size: int) -> bool:
        """Whether a file, if it is one, has this content: an earlier run can have stored it."""
        try:
            descriptor = self.open(name)
        except OSError:
            return False
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode) or facts.st_size != size:
                return False
            found = sha256()
            while piece := file.read(BUFFER):
                found.update(piece)
        return found.hexdigest() == digest
