"""The bounds of what is saved, each with its reason.  The first three are defaults that options change.

Knows numbers.  Must not know what is done past them.
"""

from __future__ import annotations

from typing import Final

FILE: Final = 100_000_000
"""Octets of one file, as in Zeek (`--attachments-max-size`).  Past it the file is removed and the rest of the part ignored."""
TOTAL: Final = 10_000_000_000
"""Octets of all files of one run (`--attachments-max-total`).  Past it nothing more is saved."""
FILES: Final = 100_000
"""Files of one run: a folder of so many is still usable (`--attachments-max-files`).  Past it nothing more is saved."""
BUFFER: Final = 262_144
"""Octets that are gathered before they are written: most attachments take one write, and a known one takes none."""
SLUG: Final = 64
"""Characters of the name that come from the wire: with the rest well below NAME_MAX (255)."""
EXTENSION: Final = 16
"""Characters of the longest extension; a longer one is taken for a part of the name."""
NAME: Final = 1_024
"""Characters of a declared name that are looked at: four times NAME_MAX.  Past it: cut."""
NAMES: Final = 10
"""Declared names of one part that are kept and looked at."""
HEAD: Final = 16_384
"""Octets by which the kind of a file is detected: libmagic takes at most 2 ms for so many."""
MESSAGE: Final = 500
"""Files of one message: honest mail has some dozens, and each costs up to a millisecond.  Past it the rest are not saved."""
DETECTED: Final = 100
"""Files of one message whose kind is detected; the rest are saved with `detected` empty."""
ENTRIES: Final = 10_000
"""Entries of one archive whose names and flags are looked at."""
ENTRY: Final = 255
"""Octets of a name in an archive that are looked at."""
RUNNING: Final = 2
"""Processes at a time that open containers; more are opened one by one when their flow is over."""
WAITING: Final = 32
"""Containers at a time that are being opened or wait for the end of their flow; past it they are left as they are."""
CONTAINED: Final = 500
"""Files of one container.  Past it the rest are not saved."""
PATIENCE: Final = 5.0
"""Seconds that a process has left when its flow is over; it may use the processor for 2 in all."""
AWAITING: Final = 256
"""Files of one flow that wait for the end of their PDU to be described; past it they are described without its number."""
PDUS: Final = 100
"""Numbers of PDUs that are kept of one file; past it only the last of them changes."""
