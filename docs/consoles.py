"""The commands in the pages, run: every block marked `console` is a promise about what they print.

`python docs/consoles.py` runs them all and writes what they print now into the pages; the tests compare.  In a block, a
line that begins with `$ ` is a command and the lines beneath are what it prints, standard error included.  `…` stands for
anything in a line, and alone on a line for any number of lines; a block with `…` is compared and never rewritten.

The commands run in a folder that has `samples/`, and the plugins of `writing-plugins.md`.

Knows Markdown fences and a shell.  Must not know what the commands do.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent
TIMEOUT: Final = 60.0
"""Seconds that one command may take."""

_FENCE: Final = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE: Final = re.compile(r"^```\{code-block\} \w+\n:caption: (\S+)\n\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Step(NamedTuple):
    """One command and what it prints."""

    page: str
    line: int
    command: str
    printed: str


def sources() -> list[Path]:
    """The pages that people write."""
    return sorted(page for page in HERE.rglob("*.md")
                  if "_build" not in page.parts and not page.read_text("utf-8").startswith("% Made from the code"))


def steps(page: Path) -> Iterator[Step]:
    """The commands of a page."""
    text = page.read_text("utf-8")
    for block in _FENCE.finditer(text):
        line = text.count("\n", 0, block.start()) + 2
        for part in re.split(r"^(?=\$ )", block[1], flags=re.MULTILINE):
            if part.startswith("$ "):
                command, _, printed = part[2:].partition("\n")
                yield Step(str(page.relative_to(HERE)), line, command, printed)
            line += part.count("\n")


def files(page: Path) -> dict[str, str]:
    """The files that a page shows under their names; of several versions the last."""
    return {block[1]: block[2] for block in _FILE.finditer(page.read_text("utf-8"))}


def prepare(folder: Path) -> None:
    """Makes the folder that the commands run in."""
    sys.path[:0] = [str(HERE), str(ROOT), str(ROOT / "plugins")]
    import samples

    samples.write(folder / "samples")
    for name, text in files(HERE / "writing-plugins.md").items():
        (folder / name).write_text(text, "utf-8")
    programs = folder / ".bin"
    programs.mkdir()
    mailspy = programs / "mailspy"
    mailspy.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m inspector "$@"\n')
    mailspy.chmod(0o755)


def environment(folder: Path) -> dict[str, str]:
    """What the commands find around them: no settings of whoever runs this."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MAILSPY_")}
    return {**kept, "PATH": f"{folder / '.bin'}{os.pathsep}{kept.get('PATH', '')}", "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / ".config"), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'plugins'}",
            "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def run(command: str, folder: Path) -> str:
    """What a command prints."""
    done = subprocess.run(["/bin/sh", "-c", command], cwd=folder, env=environment(folder), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT, check=False)
    text = done.stdout.decode("utf-8", "backslashreplace").replace(f"{folder}/", "")
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def agrees(printed: str, promised: str) -> bool:
    """Whether a command printed what the page says."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n"
        for line in promised.splitlines())
    return re.fullmatch(pattern, printed) is not None


def refresh() -> int:
    """Runs all commands and brings the pages up to date; how many blocks still disagree."""
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for page in sources():
            text = page.read_text("utf-8")
            for step in steps(page):
                printed = run(step.command, folder)
                if agrees(printed, step.printed):
                    continue
                if "…" in step.printed:
                    wrong += 1
                    print(f"{step.page}:{step.line}: `{step.command}` prints something else:\n{printed}")
                    continue
                old, new = (f"$ {step.command}\n{lines}" for lines in (step.printed, printed))
                text = text.replace(old + "```", new + "```").replace(old + "$ ", new + "$ ")
            page.write_text(text, "utf-8")
    return wrong


if __name__ == "__main__":
    sys.exit(min(refresh(), 1))
