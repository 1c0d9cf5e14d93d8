"""`mailspy export --pcapng`.

Knows the pipeline, the writer and options.  Must not know packets.
"""

from __future__ import annotations

import os
from typing import Any

from inspector.capture.writer import CaptureWriter
from inspector.cli.reading import files, reading
from inspector.cli.start import Setup, say
from inspector.errors import CaptureError, OptionError
from inspector.export.copy import Copy
from inspector.formats.tls import describe
from inspector.host import Hooks, Host
from inspector.options import Options
from inspector.pipeline import Pipeline
from inspector.replay import replay


def check(path: str) -> None:
    """Raises OptionError where no new file can be made."""
    if os.path.lexists(path):
        raise OptionError(f"--pcapng {path}: exists already; name a new file")


def copied(setup: Setup, values: dict[str, Any], wanted: set[int] | None) -> int:
    """The sessions into a capture; how many they were.  Raises CaptureError."""
    paths = files(values, say)
    host = Host(say)
    host.configure(Options({}))
    pipeline = Pipeline(Hooks(host, describe), setup.protocols, alarm=lambda line: None)
    writer = CaptureWriter(values["pcapng"], alarm=say)
    pipeline.copy = copy = Copy(writer, values["keep_secrets"], wanted)
    try:
        with reading(values, paths, False) as how:
            replay(paths, pipeline, 0.0, _nobody, how=how)
    except CaptureError as error:
        if not error.damaged:
            raise
    finally:
        writer.close()
    return copy.flows


def _nobody(line: str) -> None:
    """It has been said when the files were read for the first time."""
