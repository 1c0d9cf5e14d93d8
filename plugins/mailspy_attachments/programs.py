"""Programs: what a name or the first octets say of what would run.

Knows signatures and extensions.  Must not know messages.
"""

from __future__ import annotations

from typing import Final

EXTENSIONS: Final[dict[str, str]] = {
    **dict.fromkeys(("exe", "scr", "com", "pif", "cpl", "dll", "sys", "ocx", "drv"), "Windows program"),
    **dict.fromkeys(("bat", "cmd", "ps1", "psm1", "vbs", "vbe", "js", "jse", "wsf", "wsh", "hta", "sct", "msc"),
                    "Windows script"),
    **dict.fromkeys(("msi", "msp", "mst", "msix", "appx", "appxbundle", "application"), "Windows installer"),
    **dict.fromkeys(("lnk", "url", "scf", "library-ms", "settingcontent-ms"), "Windows shortcut"),
    **dict.fromkeys(("reg", "inf", "chm", "hlp", "gadget", "xll", "wll", "ppam", "xlam"), "Windows file that can run code"),
    **dict.fromkeys(("jar", "jnlp", "class"), "Java program"),
    **dict.fromkeys(("app", "pkg", "dmg", "command", "scpt", "workflow"), "macOS program"),
    **dict.fromkeys(("apk", "xapk"), "Android program"),
    **dict.fromkeys(("deb", "rpm", "appimage", "run", "desktop"), "Linux program"),
    **dict.fromkeys(("sh", "bash", "csh", "ksh", "zsh", "py", "pyc", "pyw", "pl", "rb", "php"), "script"),
}
"""What files of these extensions are to the system that opens them."""
INNOCENT: Final = frozenset({
    "avi", "bmp", "csv", "doc", "docm", "docx", "eml", "gif", "htm", "html", "jpeg", "jpg", "mov", "mp3", "mp4", "odp", "ods",
    "odt", "pdf", "png", "ppt", "pptx", "rtf", "tif", "tiff", "txt", "wav", "xls", "xlsm", "xlsx", "xml", "zip",
})
"""Extensions that make people trust a name."""
SIGNATURES: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x7fELF", "ELF program"),
    (b"\xfe\xed\xfa\xce", "Mach-O program"), (b"\xfe\xed\xfa\xcf", "Mach-O program"),
    (b"\xce\xfa\xed\xfe", "Mach-O program"), (b"\xcf\xfa\xed\xfe", "Mach-O program"),
    (b"\xca\xfe\xba\xbe", "Mach-O or Java program"),
    (b"\x4c\0\0\0\x01\x14\x02\0", "Windows shortcut"),
    (b"#!/", "script"), (b"#! /", "script"), (b"\xef\xbb\xbf#!/", "script"),
    (b"\x00asm", "WebAssembly program"),
)
_DOS: Final = 64
"""Octets of the header of a DOS program, which text that begins with MZ has no zeros in."""


def program_content(head: bytes) -> str:
    """What kind of program begins so; empty for none."""
    if head[:2] in {b"MZ", b"ZM"} and (len(head) < _DOS or b"\0" in head[:_DOS]):
        return "Windows program"
    return next((what for signature, what in SIGNATURES if head.startswith(signature)), "")


def program_name(name: str) -> str:
    """What kind of program a file of this name, in small letters, is; empty for none.

    Windows drops dots and blanks at the end.
    """
    return EXTENSIONS.get(name.rstrip(" .").rpartition(".")[2].strip(), "") if "." in name else ""
