"""mailspy_attachments: saves the files in the mail that crosses (`--attachments DIR`), each content once.

Rules.  A file is named `<sha256>-<slug>.<ext>`, of which the wire decides letters, digits and dashes only; the
declared name stands in a JSON file beside it.  Everything is opened relative to the folder's descriptor, never
followed, never overwritten, readable by the user only.  Parts are written as they stream and get their name when they
are whole; one that is cut short ends in `.incomplete`.  A full disk or a quota costs the file and is told; the
traffic is not touched.  Nothing is ever unpacked.

Knows files and names.  Must not know MIME: it is given decoded octets.
"""

from __future__ import annotations

import json
import os
import re
import stat
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from errno import EACCES, EEXIST, ENOSYS, EOPNOTSUPP, EPERM
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Final

from inspector import Finding, Message, OptionError, OptionParser, Options, Part, Sink, hookimpl

FILE: Final = 100_000_000
"""Octets of one file, as in Zeek.  Past it the file is removed and the rest of the part ignored."""
FILES: Final = 100_000
"""Files of one run: a folder of so many is still usable.  Past it nothing more is saved."""
TOTAL: Final = 10_000_000_000
"""Octets of all files of one run.  Past it nothing more is saved."""
BUFFER: Final = 262_144
"""Octets that are gathered before they are written: most attachments take one write, and a known one takes none."""
SLUG: Final = 64
"""Characters of the name that come from the wire: with the rest well below NAME_MAX (255)."""
EXTENSION: Final = 16
"""Characters of the longest extension; a longer one is taken for a part of the name."""

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS: Final = frozenset({EPERM, EOPNOTSUPP, ENOSYS})
"""What file systems without hard links say."""
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OUTSIDE: Final = re.compile(r"[^A-Za-z0-9_]+")
_EXTENSIONS: Final = {
    "application/gzip": "gz", "application/json": "json", "application/msword": "doc", "application/pdf": "pdf",
    "application/zip": "zip", "image/gif": "gif", "image/jpeg": "jpg", "image/png": "png", "message/rfc822": "eml",
    "text/calendar": "ics", "text/csv": "csv", "text/html": "html", "text/plain": "txt",
}
"""For parts that declare no name."""


class AttachmentsPlugin:
    """The plugin."""

    __slots__ = ("_folder", "idle")

    def __init__(self) -> None:
        self.idle = False
        self._folder: Folder | None = None

    @hookimpl
    def add_options(self, parser: OptionParser) -> None:
        """Declares `--attachments`."""
        parser.add("attachments", metavar="DIR", help="Save the attachments of all messages in this folder")

    @hookimpl
    def configure(self, options: Options) -> None:
        """Opens the folder.  Raises OptionError if it cannot be had."""
        if self._folder is not None:
            self._folder.close()
            self._folder = None
        if path := options.get("attachments"):
            try:
                self._folder = Folder(path)
            except OSError as error:
                raise OptionError(f"--attachments {path}: {error.strerror}; "
                                  "name a folder that you can write to") from None
        self.idle = self._folder is None

    @hookimpl
    def open_part(self, part: Part, message: Message) -> Sink | None:
        """A sink for a part that is a file."""
        folder = self._folder
        if folder is None or not is_file(part):
            return None
        return Attachment(folder, part)


def is_file(part: Part) -> bool:
    """Whether a part is meant to be saved: it says so, or has a name, or is no text."""
    return part.disposition == "attachment" or bool(part.filename) or not part.content_type.startswith("text/")


class Quota(Exception):
    """A limit of this run is reached."""


class Folder:
    """Where the files go.  Raises OSError if it can neither be made nor opened."""

    __slots__ = ("_descriptor", "_numbers", "_room", "_stored", "path")

    def __init__(self, path: str) -> None:
        os.makedirs(path, mode=0o700, exist_ok=True)
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if not os.access(path, os.W_OK | os.X_OK):
            os.close(self._descriptor)
            raise PermissionError(EACCES, os.strerror(EACCES))
        self.path = path
        self._stored: dict[str, str] = {}
        """File names by SHA-256: at most `FILES`."""
        self._room = TOTAL
        self._numbers = count(1)

    def close(self) -> None:
        """Gives the descriptor back."""
        os.close(self._descriptor)

    def create(self, name: str) -> int:
        """A descriptor of a new file, writable; never of one that exists."""
        return os.open(name, _NEW, 0o600, dir_fd=self._descriptor)

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
        if size > self._room or len(self._stored) >= FILES:
            raise Quota(f"the quota of {TOTAL // 10**9} GB or {FILES} files for one run is reached")
        self._room -= size

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

    def describe(self, name: str, facts: dict[str, object]) -> None:
        """Writes the JSON file beside a file, unless there is one."""
        try:
            descriptor = self.create(name + ".json")
        except FileExistsError:
            return
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dumps(facts, indent=1).encode("ascii") + b"\n")

    def _is_file(self, name: str) -> bool:
        try:
            return stat.S_ISREG(os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return False

    def _holds(self, name: str, digest: str, size: int) -> bool:
        """Whether a file, if it is one, has this content: an earlier run can have stored it."""
        try:
            descriptor = os.open(name, _READ, dir_fd=self._descriptor)
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


class Attachment:
    """The sink that saves one part."""

    __slots__ = ("_buffer", "_buffered", "_descriptor", "_digest", "_folder", "_part", "_size", "_temporary",
                 "_trouble")

    def __init__(self, folder: Folder, part: Part) -> None:
        self._folder = folder
        self._part = part
        self._digest = sha256()
        self._size = 0
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._temporary = ""
        self._descriptor = -1
        self._trouble = ""
        """Why the part is not saved: `quota: …` or `disk: …`."""

    def feed(self, data: bytes) -> None:
        """Takes decoded octets."""
        self._size += len(data)
        if self._trouble:
            return
        self._digest.update(data)
        if self._size > FILE:
            self._give_up(f"quota: larger than {FILE // 10**6} MB")
            return
        self._buffer.append(data)
        self._buffered += len(data)
        if self._buffered >= BUFFER:
            self._guarded(self._flush)

    def close(self, complete: bool) -> None:
        """The part is over: gives it its name and tells it."""
        name = ""
        digest = self._digest.hexdigest()
        if not self._trouble:
            name = self._folder.stored(digest)
            if name:
                self._discard()
            else:
                name = self._guarded(lambda: self._keep(digest, complete))
        self._tell(name, "" if self._trouble else digest, complete)

    def _keep(self, digest: str, complete: bool) -> str:
        """Writes what is left and publishes the file."""
        self._folder.reserve(0)
        self._flush()
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)
        part = self._part
        tail = f"-{slug(part.filename, part.content_type)}{'' if complete else '.incomplete'}"
        name = self._folder.publish(self._temporary, digest, tail, self._size)
        self._temporary = ""
        self._folder.describe(name, self._facts(digest, complete))
        return name

    def _flush(self) -> str:
        """Writes what is gathered.  Raises OSError, Quota."""
        if self._descriptor < 0:
            self._temporary, self._descriptor = self._folder.temporary()
        self._folder.reserve(self._buffered)
        left = memoryview(b"".join(self._buffer))
        while left:
            left = left[os.write(self._descriptor, left):]
        self._buffer.clear()
        self._buffered = 0
        return ""

    def _guarded(self, action: Callable[[], str]) -> str:
        """Does what can fail; a failure ends the saving of this part and nothing else."""
        try:
            return action()
        except Quota as reached:
            self._give_up(f"quota: {reached}")
        except OSError as error:
            self._give_up(f"disk: {error.strerror}")
        return ""

    def _give_up(self, trouble: str) -> None:
        self._trouble = trouble
        self._discard()

    def _discard(self) -> None:
        """Removes what was written."""
        self._buffer.clear()
        descriptor, self._descriptor = self._descriptor, -1
        temporary, self._temporary = self._temporary, ""
        try:
            if descriptor >= 0:
                os.close(descriptor)
            if temporary:
                self._folder.remove(temporary)
        except OSError as error:
            self._trouble = self._trouble or f"disk: {error.strerror}"

    def _facts(self, digest: str, complete: bool) -> dict[str, object]:
        part = self._part
        message = part.message
        flow = message.session.flow
        when = datetime.fromtimestamp(message.time // 1_000_000, UTC).replace(microsecond=message.time % 1_000_000)
        return {
            "filename": part.filename,
            "content_type": part.content_type,
            "disposition": part.disposition,
            "size": self._size,
            "sha256": digest,
            "complete": complete,
            "message": message.number,
            "part": part.number,
            "flow": flow.number,
            "client": str(flow.client),
            "server": str(flow.server),
            "time": when.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }

    def _tell(self, name: str, digest: str, complete: bool) -> None:
        part, trouble = self._part, self._trouble
        path = str(Path(self._folder.path, name)) if name else ""
        shown = part.filename or part.content_type
        fields: dict[str, object] = {
            "filename": part.filename,
            "path": path,
            "size": self._size,
            "sha256": digest,
            "content_type": part.content_type,
            "complete": complete,
            "message": part.message.number,
            "part": part.number,
        }
        if trouble:
            fields["reason"] = trouble
        summary = f"attachment “{shown}” not saved: {trouble}" if trouble else f"attachment “{shown}” saved as {path}"
        part.message.session.report(Finding("attachment", summary, fields, "medium" if trouble else "info"))


def slug(filename: str, content_type: str) -> str:
    """The part of a file name that comes from the wire: `a-z`, digits, dashes, underscores and one dot at most.

    Normalised first, so that no wide or composed character turns into something else afterwards (hostile case F03).
    The SHA-256 before it keeps it from beginning with a dot or being a device name of Windows.
    """
    plain = unicodedata.normalize("NFKC", filename[:1024])
    plain = "".join(letter for letter in plain if unicodedata.category(letter)[0] not in "CM").rstrip(" .")
    plain = unicodedata.normalize("NFKD", plain.replace("\\", "/").rpartition("/")[2])
    plain = "".join(letter for letter in plain if unicodedata.category(letter)[0] not in "CM")
    stem, dot, extension = plain.rpartition(".")
    extension = extension.strip()
    if not dot or not 0 < len(extension) <= EXTENSION or not (extension.isascii() and extension.isalnum()):
        stem, extension = plain, "" if plain else _EXTENSIONS.get(content_type, "bin")
    stem = _OUTSIDE.sub("-", stem).strip("-")[:SLUG].rstrip("-") or "unnamed"
    return f"{stem}.{extension}" if extension else stem


plugin = AttachmentsPlugin
