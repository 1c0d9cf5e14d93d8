"""Folders that the commands write into, where others could interfere.

Knows which options name a folder or a file.  Must not know what is written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from inspector.place import doubts, open_folder

OPTIONS: Final = ("eml", "mbox", "maildir", "jsonl", "eve", "zeek", "output")
"""Those of `export`.  A capture tells it itself."""


def tell_doubts(values: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Says who could put other files in the place of ours.  What cannot be opened is said by whoever needs it."""
    folders = [path if os.path.isdir(path) else os.path.dirname(path) or os.curdir
               for name in OPTIONS if (path := values.get(name)) and path != "-"]
    for path in dict.fromkeys(folders):
        try:
            folder = open_folder(path)
        except OSError:
            continue
        for doubt in doubts(folder, path):
            say(doubt)
        os.close(folder)
