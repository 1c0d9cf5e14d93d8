"""Where files are written: never through a link, and never silently where others could interfere."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from inspector.capture.writer import CaptureWriter
from inspector.cli.folders import tell_doubts
from inspector.errors import MailspyError
from inspector.mail.folder import Folder
from inspector.output import Outputs
from inspector.place import doubts, open_file, open_folder
from inspector.tls.authority import create
from inspector.tls.contexts import open_keylog

FILES: dict[str, Callable[[str], object]] = {
    "log": lambda path: Outputs().open(path),
    "capture": lambda path: CaptureWriter(path, alarm=print),
    "key log": open_keylog,
}
"""Whatever writes a file that the user names."""


def attachments(path: str) -> object:
    from mailspy_attachments.folder import Folder as Attachments
    from mailspy_attachments.folder import Quotas

    return Attachments(path, Quotas())


FOLDERS: dict[str, Callable[[str], object]] = {
    "captures": lambda path: CaptureWriter(path + "/", alarm=print),
    "captures that exist": lambda path: CaptureWriter(path, alarm=print),
    "export": lambda path: Folder(path, "--eml"),
    "attachments": attachments,
    "authority": lambda path: create(Path(path)),
}
"""Whatever writes into a folder that the user names."""
ENDS = ["", "/", "//", "/."]


@pytest.mark.parametrize("name", FILES)
def test_no_file_is_written_through_a_link(tmp_path: Path, name: str) -> None:
    """The file is a link; the folder that it is in is one."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "file").symlink_to("target")
    for path in (tmp_path / "real" / "file", tmp_path / "link" / "new"):
        with pytest.raises((MailspyError, OSError), match="symbolic link"):
            FILES[name](str(path))
    assert os.listdir(tmp_path / "real") == ["file"]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", FOLDERS)
def test_no_folder_is_a_link(tmp_path: Path, name: str, end: str) -> None:
    """However its name ends."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises((MailspyError, OSError), match=r"symbolic link|not a plain folder"):
        FOLDERS[name](str(tmp_path / "link") + end)
    assert os.listdir(tmp_path / "real") == []


def test_links_further_up_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real" / "folder").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    os.close(open_folder(str(tmp_path / "link" / "folder")))
    os.close(open_file(str(tmp_path / "link" / "folder" / "new"), os.O_CREAT | os.O_WRONLY))
    assert (tmp_path / "real" / "folder" / "new").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("mode", "told"), [(0o700, 0), (0o755, 0), (0o1777, 0), (0o777, 1), (0o775, 1), (0o757, 1), (0o2770, 1)])
def test_a_folder_that_others_may_write_to_is_told(tmp_path: Path, mode: int, told: int) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(mode)
    descriptor = open_folder(str(folder))
    assert len(doubts(descriptor, "x")) == told
    os.close(descriptor)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_belongs_to_another_user_is_told(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    place.mkdir(mode=0o700) if kind == "folder" else place.touch(0o600)
    os.chown(place, 12345, -1)
    descriptor = os.open(place, os.O_RDONLY)
    assert "another user (uid 12345)" in doubts(descriptor, "x")[0]
    os.close(descriptor)


@pytest.mark.parametrize("name", ["log", "capture", "captures", "export"])
def test_whoever_runs_it_is_warned(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    """Of the folder of a file, and of a folder for files."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    if name == "log":
        outputs = Outputs()
        outputs.open(str(folder / "log"))
        outputs.close()
    elif name == "export":
        tell_doubts({"eml": str(folder)}, print)
    else:
        CaptureWriter(str(folder / "file" if name == "capture" else folder), alarm=print).close()
    said = capfd.readouterr()
    assert "others can put other files in the place of ours (mode 777)" in said.out + said.err
