"""The sink that saves one part: written as it streams, named when it is whole, looked at as it comes.

A full disk or a quota costs the file and is told; the traffic is not touched.

Knows one part and where it goes.  Must not know MIME: it is given decoded octets.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from hashlib import md5, sha256
from typing import Final

from inspector import RUN, Finding, Part
from mailspy_attachments.containers import SIGNATURE, Opener
from mailspy_attachments.contents import Contents
from mailspy_attachments.folder import Folder, Quota
from mailspy_attachments.kinds import Detector
from mailspy_attachments.limits import BUFFER, NAMES, PDUS
from mailspy_attachments.names import slug
from mailspy_attachments.rules import Candidate, Rules
from mailspy_attachments.sizes import shown
from mailspy_attachments.suspicions import Suspicion, of_file

UNWANTED: Final = "unwanted"
"""The trouble of a file that the rules of the user leave out: it is not told."""


class Desk:
    """What all files of a run share: where they go, which are wanted, who detects kinds and opens containers."""

    __slots__ = ("detect", "folder", "full", "opener", "rules")

    def __init__(self, folder: Folder, rules: Rules, detect: Detector, opener: Opener | None = None) -> None:
        self.opener = opener
        """None when containers stay closed."""
        self.folder = folder
        self.rules = rules
        self.detect = detect
        self.full = False
        """Whether a quota of the run was told."""

    def wants(self, part: Part) -> bool:
        """Whether a part that begins can become a file that is wanted, or hold one."""
        return self.opener is not None or self.rules.allow(Candidate(declared_names(part), (), 0, False))


class Attachment:
    """The sink that saves one part."""

    __slots__ = ("_buffer", "_buffered", "_contents", "_descriptor", "_desk", "_detecting", "_digest", "_md5", "_opener",
                 "_reserved", "_temporary", "complete", "detected", "name", "names", "over", "part", "pdus", "size",
                 "suspicions", "trouble")

    def __init__(self, desk: Desk, part: Part, detecting: bool = True, opening: bool = True) -> None:
        self._desk = desk
        self._opener = desk.opener if opening else None
        self._detecting = detecting
        self._contents = Contents()
        self._digest = sha256()
        self._md5 = md5(usedforsecurity=False)
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._reserved = 0
        """Octets that were taken from the quota."""
        self._temporary = ""
        self._descriptor = -1
        self.part = part
        self.names = declared_names(part)
        self.size = 0
        self.pdus: list[int] = []
        """Numbers of the PDUs in which the part crossed."""
        self.over = False
        self.complete = False
        self.detected = ""
        """The content type that the first octets tell."""
        self.suspicions: list[Suspicion] = []
        self.trouble = ""
        """Why the part is not saved: `quota: …`, `disk: …` or `unwanted`."""
        self.name = ""
        """Of the file, when it is saved."""

    @property
    def patient(self) -> bool:
        """Whether nothing is written and no quota asked for what may come late: who asks first may have the last of it."""
        return bool(self.trouble) or (
            self._buffered + RUN < BUFFER and self.size + RUN < self._desk.folder.quotas.file)

    def feed(self, data: bytes) -> None:
        """Takes decoded octets."""
        self.size += len(data)
        if self.trouble:
            return
        self._digest.update(data)
        self._md5.update(data)
        self._contents.feed(data)
        limit = self._desk.folder.quotas.file
        if self.size > limit:
            self._give_up(f"quota: larger than {shown(limit)}; see --attachments-max-size")
            return
        self._buffer.append(data)
        self._buffered += len(data)
        if self._buffered >= BUFFER:
            self._flush()

    def close(self, complete: bool) -> None:
        """The part is over: gives it its name and tells it."""
        self.over = True
        self.complete = complete
        self._look()
        if self._is_container():
            self._attempt(self._open)
        if not self._wanted(True):
            self._give_up(UNWANTED)
        if not self.trouble:
            self._keep()
        if self.trouble != UNWANTED:
            self._tell()

    @property
    def sha256(self) -> str:
        """Of the octets, hexadecimal; empty when the file is not saved."""
        return "" if self.trouble else self._digest.hexdigest()

    @property
    def md5(self) -> str:
        """The same by MD5, for databases that know files by it."""
        return "" if self.trouble else self._md5.hexdigest()

    def saw(self, pdu: int) -> None:
        """A PDU is complete in which octets of the part crossed."""
        if len(self.pdus) < PDUS:
            self.pdus.append(pdu)
        else:
            self.pdus[PDUS - 1] = pdu

    def _look(self) -> None:
        """What the whole file gives away."""
        self._contents.finish()
        head = self._contents.head
        if self._detecting and not self.detected:
            self.detected = self._desk.detect(head)
        self.suspicions = of_file(self.names, self.part.content_type, self.detected, head, self._contents.found)

    def _wanted(self, whole: bool) -> bool:
        types = [*declared_types(self.part), self.detected] if whole else []
        return self._desk.rules.allow(Candidate(self.names, types, self.size, whole))

    def _keep(self) -> None:
        """Names the file, unless its content is there already."""
        self.name = self._desk.folder.stored(self._digest.hexdigest())
        if self.name:
            self._discard()
            return
        self._attempt(self._publish)

    def _is_container(self) -> bool:
        return self._opener is not None and not self.trouble and self._contents.head.startswith(SIGNATURE)

    def _open(self) -> None:
        """Has a container opened, wanted itself or not.  Raises OSError, Quota."""
        self._write()
        if self._opener is not None:
            descriptor = self._desk.folder.open(self._temporary)
            if trouble := self._opener.take(self.part, descriptor, self.pdus):
                self.suspicions.append(Suspicion("container", f"not opened: {trouble}"))

    def _publish(self) -> None:
        """Writes what is left and gives the file its name.  Raises OSError, Quota."""
        folder, part = self._desk.folder, self.part
        folder.reserve(0)
        self._write()
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)
        tail = f"-{slug(part.filename, part.content_type)}{'' if self.complete else '.incomplete'}"
        self.name = folder.publish(self._temporary, self._digest.hexdigest(), tail, self.size)
        self._temporary = ""

    def _flush(self) -> None:
        """Writes what is gathered, if the file can still be wanted."""
        if self._wanted(False) or self._is_container():
            self._attempt(self._write)
        else:
            self._give_up(UNWANTED)

    def _attempt(self, action: Callable[[], None]) -> None:
        """Does what can fail; a failure ends the saving of this part and nothing else."""
        try:
            action()
        except Quota as reached:
            self._exceeded(reached)
        except OSError as error:
            self._give_up(f"disk: {error.strerror}")

    def _write(self) -> None:
        """Writes what is gathered.  Raises OSError, Quota."""
        folder = self._desk.folder
        if self._descriptor < 0:
            self._temporary, self._descriptor = folder.temporary()
        folder.reserve(self._buffered)
        self._reserved += self._buffered
        left = memoryview(b"".join(self._buffer))
        while left:
            taken = os.write(self._descriptor, left)
            left = left[taken:]
        self._buffer.clear()
        self._buffered = 0

    def _exceeded(self, reached: Quota) -> None:
        self._give_up(f"quota: {reached}")
        if reached.whole and not self._desk.full:
            self._desk.full = True
            self.suspicions.append(Suspicion("quota_reached", f"{reached}"))
            if not self.over:
                warn(self.part, self.suspicions[-1])

    def _give_up(self, trouble: str) -> None:
        self.trouble = trouble
        self._discard()

    def _discard(self) -> None:
        """Removes what was written."""
        self._buffer.clear()
        self._buffered = 0
        self._desk.folder.give_back(self._reserved)
        self._reserved = 0
        descriptor, self._descriptor = self._descriptor, -1
        temporary, self._temporary = self._temporary, ""
        try:
            if descriptor >= 0:
                os.close(descriptor)
            if temporary:
                self._desk.folder.remove(temporary)
        except OSError as error:
            self.trouble = self.trouble or f"disk: {error.strerror}"

    def _tell(self) -> None:
        part, trouble = self.part, self.trouble
        path = os.path.join(self._desk.folder.path, self.name) if self.name else ""
        fields: dict[str, object] = {
            "filename": part.filename,
            "path": path,
            "size": self.size,
            "sha256": self.sha256,
            "content_type": part.content_type,
            "complete": self.complete,
            "message": part.message.number,
            "part": part.number,
            "detected": self.detected,
            "md5": self.md5,
        }
        if trouble:
            fields["reason"] = trouble
        called = part.filename or part.content_type
        summary = f"attachment “{called}” not saved: {trouble}" if trouble else f"attachment “{called}” saved as {path}"
        part.message.session.report(Finding("attachment", summary, fields, "medium" if trouble else "info"))
        for suspicion in self.suspicions:
            warn(part, suspicion, self.sha256)


def warn(part: Part, suspicion: Suspicion, digest: str = "") -> None:
    """Tells what is odd about a part; `digest` is the SHA-256 of a file that is saved."""
    part.message.session.report(Finding(
        "attachment_warning",
        f"attachment “{part.filename or part.content_type}”: {suspicion.name}: {suspicion.detail}",
        {
            "name": suspicion.name,
            "severity": suspicion.severity,
            "detail": suspicion.detail,
            "filename": part.filename,
            "sha256": digest,
            "message": part.message.number,
            "part": part.number,
        },
        suspicion.severity))


def declared_names(part: Part) -> Sequence[str]:
    """All names that readers may take for the part's, the likeliest first; none when it has none."""
    return tuple(dict.fromkeys(name for name in (part.filename, *part.candidates.get("filename", ())) if name))[:NAMES]


def declared_types(part: Part) -> Sequence[str]:
    """All types that readers may take for the part's, the likeliest first."""
    return tuple(dict.fromkeys((part.content_type, *part.candidates.get("content_type", ()))))[:NAMES]
