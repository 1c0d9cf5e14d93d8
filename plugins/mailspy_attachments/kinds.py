"""Kinds of files: what the first octets say, and whether that agrees with the declared type.

libmagic detects where python-magic and the library are installed, else puremagic.  Neither is believed when it only guesses
that something is text: that contradicts nothing.

Knows content types.  Must not know messages or names.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

Detector = Callable[[bytes], str]
"""The content type of a file that begins so, in small letters; empty when nobody knows.  Never raises."""

SURE: Final = 0.3
"""What puremagic must be sure of at least: three octets."""

SILENT: Final = frozenset({
    "", "application/octet-stream", "application/x-empty", "inode/x-empty", "text/plain",
})
"""Detected types that say nothing."""
VAGUE: Final = frozenset({
    "", "application/octet-stream", "binary/octet-stream", "application/binary", "application/unknown", "application/download",
    "application/x-download", "application/force-download", "application/x-force-download", "application/save",
})
"""Declared types that say nothing, and so cannot be wrong."""
OFFICE: Final = frozenset({"ole", "zip", "rtf"})
"""Forms in which office programs save, under any of their types."""

_FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    "exe": ("application/dosexec", "application/vnd.microsoft.portable-executable", "application/msdownload",
            "application/msdos-program", "application/executable", "application/exe"),
    "gzip": ("application/gzip", "application/gzip-compressed", "application/compressed-tar", "application/tgz",
             "application/tar", "application/gtar", "application/compress"),
    "jpeg": ("image/jpeg", "image/jpg", "image/pjpeg"),
    "mp3": ("audio/mpeg", "audio/mp3", "audio/mpeg3"),
    "mp4": ("video/mp4", "audio/mp4", "audio/m4a", "video/m4v", "video/quicktime", "video/3gpp", "audio/3gpp", "video/3gpp2"),
    "bmp": ("image/bmp", "image/ms-bmp"),
    "icon": ("image/icon", "image/vnd.microsoft.icon", "image/ico"),
    "heif": ("image/heic", "image/heif", "image/avif"),
    "ogg": ("application/ogg", "audio/ogg", "video/ogg", "audio/opus"),
    "matroska": ("video/webm", "audio/webm", "video/matroska", "audio/matroska"),
    "wave": ("audio/wav", "audio/wave", "audio/vnd.wave"),
    "ole": ("application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint", "application/vnd.ms-office",
            "application/ole-storage", "application/cdfv2", "application/cdfv2-encrypted", "application/vnd.ms-outlook",
            "application/vnd.ms-project", "application/vnd.visio", "application/vnd.ms-works", "application/encrypted"),
    "pdf": ("application/pdf", "application/illustrator", "application/vnd.adobe.illustrator", "application/vnd.fdf"),
    "pgp": ("application/pgp", "application/pgp-encrypted", "application/pgp-keys", "application/pgp-signature"),
    "pkcs7": ("application/pkcs7-mime", "application/pkcs7-signature", "application/pkcs7-certificates"),
    "rar": ("application/rar", "application/vnd.rar", "application/rar-compressed"),
    "rtf": ("application/rtf", "text/rtf"),
    "text": ("application/json", "application/xml", "application/javascript", "application/ecmascript", "application/xhtml+xml",
             "application/ics", "application/csv", "application/sql", "application/yaml", "application/shellscript",
             "application/sh", "application/perl", "application/python", "application/php", "application/ndjson",
             "application/wine-extension-ini", "application/mbox", "application/subrip", "application/tex",
             "application/postscript", "application/edi-x12", "application/edifact", "application/setupscript"),
    "tnef": ("application/ms-tnef", "application/vnd.ms-tnef"),
    "zip": ("application/zip", "application/zip-compressed", "application/java-archive", "application/epub+zip",
            "application/vnd.android.package-archive", "application/xpinstall", "application/vnd.google-earth.kmz"),
}
"""Types that are one to us, by the name of the family; an `x-` before the subtype is left out."""
_FAMILY: Final = {kind: family for family, kinds in _FAMILIES.items() for kind in kinds}
_ZIPPED: Final = ("application/vnd.openxmlformats-officedocument.", "application/vnd.oasis.opendocument.",
                  "application/vnd.apple.")
"""How the types of packages begin that are zip archives."""
_CONTAINERS: Final = {"zip": "application/zip", "ole": "application/x-ole-storage"}
"""What puremagic's guesses at office documents come down to."""


@lru_cache(maxsize=1024)
def family(kind: str) -> str:
    """What a content type comes down to: `zip` for a .docx, `text` for HTML; else the type, without `x-`."""
    kind = kind.replace("/x-", "/")
    if kind in _FAMILY:
        return _FAMILY[kind]
    if kind.startswith(_ZIPPED) or "macroenabled" in kind:
        return "zip"
    if kind.startswith(("text/", "message/", "multipart/")) or kind.endswith(("+xml", "+json")):
        return "text"
    return kind


def mismatch(declared: str, detected: str) -> bool:
    """Whether the content is something else than declared, in a way that matters."""
    if declared in VAGUE or detected in SILENT or declared == detected:
        return False
    said, found = (family(one[:255]) for one in (declared, detected))
    if said == found:
        return False
    office = (said in OFFICE and said != "zip") or "officedocument" in declared
    return not (office and (found in OFFICE or found == "text"))


def detector() -> tuple[str, Detector]:
    """The best detector there is, and its name: `libmagic`, `puremagic`; empty when there is none."""
    for name, make in (("libmagic", _libmagic), ("puremagic", _puremagic)):
        try:
            return name, _guarded(make())
        except (ImportError, OSError, AttributeError):
            continue
    return "", lambda head: ""


def _libmagic() -> Detector:
    import magic

    detect: Detector = magic.Magic(mime=True).from_buffer
    return detect


def _puremagic() -> Detector:
    import puremagic

    return lambda head: _best(puremagic.magic_string(head))


def _best(guesses: list[Any]) -> str:
    kind = next((str(one.mime_type) for one in guesses if one.mime_type and one.confidence >= SURE), "")
    return _CONTAINERS.get(family(kind), kind)


def _guarded(detect: Detector) -> Detector:
    """What goes wrong in a library on hostile octets is no answer, never a fault."""
    def guarded(head: bytes) -> str:
        try:
            found = detect(head) if head else ""
        except Exception:
            return ""
        return found.partition(";")[0].strip().lower()

    return guarded
