"""What is odd about a file, and how odd: in its names, its type and its contents.

Knows the table of warnings.  Must not know how octets are looked at, or how a warning is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from mailspy_attachments.kinds import mismatch
from mailspy_attachments.limits import NAME
from mailspy_attachments.programs import INNOCENT, program_content, program_name

SEVERITIES: Final[dict[str, tuple[str, str]]] = {
    "executable": ("high", "A program or a script, by its first octets or by the extension of a name."),
    "double_extension": ("high", "The extension of a program behind one that people trust: `invoice.pdf.exe`."),
    "bidi_name": ("high", "A name with characters that turn the reading direction: `cod.exe` after U+202E looks like `exe.doc`."),
    "hidden_characters": ("medium", "A name with characters that cannot be seen."),
    "blank_run": ("medium", "A name with blanks before its extension, which push the extension out of sight."),
    "type_mismatch": ("medium", "The content is something else than the declared type."),
    "macros": ("medium", "An Office document that holds macros."),
    "encrypted": ("medium", "An archive or a document under a password: nobody on the way can look into it."),
    "executable_inside": ("medium", "An archive with a program in it."),
    "quota_reached": ("medium", "A limit of the run, or of a message, is reached: nothing more of it is saved.  Told once."),
    "container": ("medium", "A winmail.dat that could not be opened, or not whole."),
}
"""Severity and meaning of every warning."""


class Suspicion(NamedTuple):
    """One of them."""

    name: str
    detail: str

    @property
    def severity(self) -> str:
        """How much it matters."""
        return SEVERITIES[self.name][0]


_TURNING: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_MARKS: Final = frozenset("\u061c\u200e\u200f")
"""Marks that belong to honest Arabic and Hebrew names; a name without such letters needs none."""
_RIGHT_TO_LEFT: Final = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_HIDDEN: Final = re.compile("[\\x00-\\x1f\\x7f-\\x9f\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2060-\u2064\u3164\ufeff"
                            "\uffa0]|[\U000e0000-\U000e007f]|(?<=[ -~])[\u200c\u200d]|[\u200c\u200d](?=[ -~])")
"""Characters without a width, and controls.  Joiners are honest between letters that they join, and never beside ASCII."""
_BLANKS: Final = re.compile(r"(?<!\s)\s{4,}+[^\s.]*+\.\s*+\w|\.\s{3,}+\w")
"""A run of blanks, then an extension.  Possessive, so that a name of blanks costs no more than another."""


def of_file(names: Sequence[str], declared: str, detected: str, head: bytes, found: Mapping[str, str]) -> list[Suspicion]:
    """The warnings about a file, each name at most once.

    `names` are those that were declared, `found` what its contents gave away, with details.
    """
    warnings: dict[str, str] = {}
    if what := program_content(head):
        warnings["executable"] = f"the content is a {what}"
    for name in names:
        for warning, detail in of_name(name[:NAME]):
            warnings.setdefault(warning, detail)
    if mismatch(declared, detected):
        warnings["type_mismatch"] = f"declared {declared}, detected {detected}"
    for warning, detail in found.items():
        warnings.setdefault(warning, detail)
    return [Suspicion(name, detail) for name, detail in warnings.items()]


def of_name(name: str) -> Iterator[Suspicion]:
    """The warnings about a declared name."""
    turning = set(_TURNING.findall(name))
    if turning - (_MARKS if _RIGHT_TO_LEFT.search(name) else set()):
        yield Suspicion("bidi_name", f"in the name: {_points(turning)}")
    if hidden := set(_HIDDEN.findall(name)):
        yield Suspicion("hidden_characters", f"in the name: {_points(hidden)}")
    if _BLANKS.search(name):
        yield Suspicion("blank_run", "blanks before the extension")
    plain = _HIDDEN.sub("", _TURNING.sub("", name)).lower()
    if not program_name(plain):
        plain = name.partition("\0")[0].lower()  # what a reader sees that ends the name at a NUL
    if what := program_name(plain):
        extensions = [one.strip() for one in plain.rstrip(" .").split(".")[1:]]
        yield Suspicion("executable", f"the name is that of a {what}: .{extensions[-1]}")
        if INNOCENT.intersection(extensions[:-1]):
            yield Suspicion("double_extension", f".{'.'.join(extensions)}")


def _points(characters: set[str]) -> str:
    return ", ".join(f"U+{ord(one):04X}" for one in sorted(characters))
