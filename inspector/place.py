"""Places that files are written to: the one way to open a folder, and a file in it.

Rule.  Nothing is written through a symbolic link: neither a file nor the folder that it is in may be one.  Links further up the
path are followed: whoever can change those can change the folder as well.  What others could do to a folder or to a file that
exists is told (`doubts`), not refused: it may be wanted.

`fate` tells whoever writes for long what others have done with a file meanwhile.

Knows the file system.  Must not know what is written.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINK: Final = "it is a symbolic link, and mailspy writes through none; name {} itself"


def open_folder(path: str, make: bool = False) -> int:
    """A descriptor of a folder; `make`: made with mode 0700 where it is missing, with those above it.  Raises OSError."""
    bare = _bare(path)
    if os.path.islink(bare):
        raise OSError(errno.ELOOP, _LINK.format("the folder"), path)
    if make:
        os.makedirs(bare, FOLDER_MODE, exist_ok=True)
    return os.open(bare, _FOLDER)


def open_file(path: str, flags: int, mode: int = FILE_MODE) -> int:
    """A descriptor of a file, opened with these flags in a folder that exists.  Raises OSError."""
    name = os.path.basename(path)
    folder = open_folder(os.path.dirname(path) or os.curdir)
    try:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            error.strerror = _LINK.format("the file")
        error.filename = path
        raise
    finally:
        os.close(folder)


def _bare(path: str) -> str:
    """The path without what would have a link at its end followed."""
    while len(path) > 1 and path.endswith(("/", "/.")):
        path = path[:-1].rstrip("/") or "/"
    return path


def doubts(descriptor: int, path: str) -> list[str]:
    """What others can do with a folder or a regular file that is open, one line each; nothing where it is the user's alone."""
    state = os.fstat(descriptor)
    folder = stat.S_ISDIR(state.st_mode)
    if not folder and not stat.S_ISREG(state.st_mode):
        return []
    mode = stat.S_IMODE(state.st_mode)
    found: list[str] = []
    if state.st_uid not in (os.geteuid(), 0):
        can = "can put other files in the place of ours" if folder else "can read and change it"
        found.append(f"{path}: belongs to another user (uid {state.st_uid}), who {can}")
    if folder and mode & 0o022 and not mode & stat.S_ISVTX:
        found.append(f"{path}: others can put other files in the place of ours (mode {mode:o}); `chmod go-w` mends it")
    elif not folder and mode & 0o077:
        found.append(f"{path}: others than its owner can use this file (mode {mode:o}); `chmod 600` mends it")
    return found


def doubts_beside(path: str) -> list[str]:
    """The same of the folder that a file is in.  Raises OSError."""
    parent = os.path.dirname(path) or os.curdir
    folder = open_folder(parent)
    try:
        return doubts(folder, parent)
    finally:
        os.close(folder)


def fate(path: str, descriptor: int) -> str:
    """What has become of the name of a file that is open: nothing, where it still leads there or nobody can tell."""
    ours = os.fstat(descriptor)
    try:
        there = os.stat(path, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return "was moved away" if ours.st_nlink else "was removed"
    except OSError:
        return ""
    return "" if os.path.samestat(ours, there) else "was replaced by another"
