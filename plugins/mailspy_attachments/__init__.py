"""mailspy_attachments: saves the files in the mail that crosses (`--attachments DIR`), each content once.

A file is named `<sha256>-<slug>.<ext>`, of which the wire decides letters, digits and dashes only; what the wire said of it
stands in a JSON file beside it, written when the PDU is complete in which it crossed.  What is odd about a file is told as
`attachment_warning`.  Nothing is ever unpacked, unless the user asks for it.

Knows the hooks and the options.  Must not know how files are written (`folder`), looked at (`contents`, `kinds`) or named
(`names`).
"""

from __future__ import annotations

from contextlib import suppress

from inspector import PDU, Flow, Kind, Message, OptionError, OptionParser, Options, Part, Session, Sink, hookimpl
from mailspy_attachments.attachment import Attachment, Desk, declared_names, declared_types, warn
from mailspy_attachments.containers import Contained, Opener
from mailspy_attachments.description import description
from mailspy_attachments.folder import Folder, Quotas
from mailspy_attachments.kinds import detector
from mailspy_attachments.limits import AWAITING, DETECTED, FILE, FILES, MESSAGE, TOTAL
from mailspy_attachments.rules import HELP, Rules
from mailspy_attachments.sizes import octets, shown
from mailspy_attachments.suspicions import Suspicion

ALONE = ("attachments-match", "attachments-max-size", "attachments-max-total", "attachments-max-files", "open-tnef")
"""Options that mean nothing without `--attachments`."""


class Crossing:
    """The files of the message that crosses in a flow."""

    __slots__ = ("files", "message", "opened")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.opened = 0
        """Files so far."""
        self.files: list[Attachment] = []
        """Those that are not described yet."""


class AttachmentsPlugin:
    """The plugin."""

    __slots__ = ("_crossings", "_desk", "idle")

    def __init__(self) -> None:
        self.idle = False
        self._desk: Desk | None = None
        self._crossings: dict[int, Crossing] = {}
        """By the number of the flow."""

    @hookimpl
    def add_options(self, parser: OptionParser) -> None:
        """Declares `--attachments` and what belongs to it."""
        parser.add("attachments", metavar="DIR", help="Save the attachments of all messages in this folder")
        parser.add("attachments-match", metavar="RULE", multiple=True, help=f"Only those for which a rule holds: {HELP}")
        parser.add("attachments-max-size", metavar="SIZE", help=f"Save no file larger than that; {shown(FILE)} by default")
        parser.add("attachments-max-total", metavar="SIZE", help=f"Save no more than that in one run; {shown(TOTAL)} by default")
        parser.add("attachments-max-files", metavar="N", type=int, help=f"Save no more files in one run; {FILES} by default")
        parser.add("open-tnef", type=bool, help="Save the files in winmail.dat too; tnefparse opens it, in its own process")

    @hookimpl
    def configure(self, options: Options) -> None:
        """Opens the folder.  Raises OptionError if it cannot be had, or for what an option cannot be."""
        if self._desk is not None:
            self._desk.folder.close()
            self._desk = None
        self._crossings = {}
        path = options.get("attachments")
        if path:
            rules, quotas = Rules(options.get("attachments-match") or ()), _quotas(options)
            try:
                folder = Folder(path, quotas)
            except OSError as error:
                raise OptionError(f"--attachments {path}: {error.strerror}; "
                                  "name a folder that you can write to") from None
            if (outputs := options.get("outputs")) is not None:
                for doubt in folder.doubts:
                    outputs.notice(doubt)
            opener = Opener(folder) if options.get("open-tnef") else None
            self._desk = Desk(folder, rules, detector()[1], opener)
        elif alone := next((name for name in ALONE if options.get(name)), ""):
            raise OptionError(f"--{alone}: there is nothing to save in; add --attachments DIR")
        self.idle = self._desk is None

    @hookimpl
    def open_part(self, part: Part, message: Message) -> Sink | None:
        """A sink for a part that is a file."""
        desk = self._desk
        if desk is None or not is_file(part) or not desk.wants(part):
            return None
        number = message.session.flow.number
        crossing = self._crossings.get(number)
        if crossing is None or crossing.message is not message:
            self._describe(number)
            crossing = self._crossings[number] = Crossing(message)
        crossing.opened += 1
        if crossing.opened > MESSAGE:
            if crossing.opened == MESSAGE + 1:
                warn(part, Suspicion("quota_reached", f"{MESSAGE} files of one message are reached"))
            return None
        file = Attachment(desk, part, crossing.opened <= DETECTED)
        if len(crossing.files) >= AWAITING:
            crossing.files = self._described(crossing.files)
        crossing.files.append(file)
        return file

    @hookimpl
    def pdu_seen(self, pdu: PDU, session: Session) -> None:
        """A part of a message is complete: describes the files that ended in it."""
        if pdu.kind is Kind.BODY and (crossing := self._crossings.get(session.flow.number)) is not None:
            for file in crossing.files:
                file.saw(pdu.number)
            crossing.files = self._described(crossing.files)
            if session.message is None:
                del self._crossings[session.flow.number]

    @hookimpl(tryfirst=True)
    def flow_closed(self, flow: Flow) -> None:
        """Describes what belongs to a message that was cut short between two of its chunks, and saves what containers held."""
        self._describe(flow.number)
        desk = self._desk
        if desk is not None and desk.opener is not None:
            for number, contained in enumerate(desk.opener.results(flow.number), 1):
                if contained.trouble:
                    warn(contained.container.part, Suspicion("container", f"not opened whole: {contained.trouble}"))
                else:
                    self._save(desk, number, contained)

    def _save(self, desk: Desk, number: int, contained: Contained) -> None:
        """Saves a file of a container, told as a part of it."""
        container = contained.container
        outer = container.part
        part = Part(outer.message, f"{outer.number}.{number}", "application/octet-stream", disposition="attachment",
                    filename=contained.name, within=(*outer.within, (outer.number, outer.content_type)))
        file = Attachment(desk, part, number <= DETECTED, opening=False)
        file.pdus = container.pdus
        for piece in contained.pieces:
            file.feed(piece)
        file.close(file.size == contained.size)
        self._described([file])

    def _describe(self, flow: int) -> None:
        """Describes the files that a flow has left."""
        crossing = self._crossings.pop(flow, None)
        if crossing is not None:
            self._described(crossing.files)

    def _described(self, files: list[Attachment]) -> list[Attachment]:
        """Describes the files that are over; returns the others.  A full disk costs the description."""
        for file in files:
            if file.over and file.name and self._desk is not None:
                with suppress(OSError):
                    self._desk.folder.describe(file.name, description(file))
        return [file for file in files if not file.over]


def is_file(part: Part) -> bool:
    """Whether a part is meant to be saved: to some reader it says so, or has a name, or is no text."""
    return (bool(declared_names(part)) or "attachment" in (part.disposition, *part.candidates.get("disposition", ()))
            or not all(kind.startswith("text/") for kind in declared_types(part)))


def _quotas(options: Options) -> Quotas:
    """The limits of the run.  Raises OptionError."""
    files = options.get("attachments-max-files")
    if files is not None and files < 1:
        raise OptionError(f"--attachments-max-files {files}: must be at least 1")
    return Quotas(_size(options, "attachments-max-size", FILE), _size(options, "attachments-max-total", TOTAL),
                  FILES if files is None else files)


def _size(options: Options, name: str, default: int) -> int:
    given = options.get(name)
    if given is None:
        return default
    size = octets(given)
    if not size:
        raise OptionError(f"--{name} {given}: not a size; write 500k, 100M or 2G")
    return size


plugin = AttachmentsPlugin
