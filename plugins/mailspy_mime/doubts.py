"""What in the header of an entity readers take differently: every reading is told, none is hidden.

Knows which fields and parameters must not contradict each other.  Must not know the tree or the stream.
"""

from __future__ import annotations

from typing import Final

from mailspy_mime.fields import IN_DOUBT, Fields, Pairs
from mailspy_mime.limits import NAME, TOKEN
from mailspy_mime.parameters import Parameters, decoded
from mailspy_mime.words import text

Doubts = tuple[tuple[str, str], ...]
"""Names of anomalies, each with the readings, not yet fit to be shown."""

_SHOWN: Final = 5
"""Candidates that a detail names."""


def repeated(pairs: Pairs, fields: Fields) -> Doubts:
    """Fields that may stand once and stand more often (RFC 5322 §3.6, RFC 2045 §3); the first is the one we read."""
    if len(pairs) == len(fields):
        return ()
    values: dict[str, list[str]] = {}
    for name, value in reversed(pairs):
        values.setdefault(name.lower(), []).append(value)
    return tuple(("duplicate_field", f"{name}: {_listed(values[name])}")
                 for name in IN_DOUBT if len(values.get(name, ())) > 1)


def names(of_type: Parameters, of_disposition: Parameters) -> Doubts:
    """File names that differ: `filename`, `filename*` and `name` (RFC 2183 §2.3, RFC 2231 §4)."""
    said = [of_disposition.get("filename", ""), of_type.get("name", "")]
    readings = [text(one[:4 * NAME])[:NAME] for one in said if one]
    readings += [decoded(parameters, name)
                 for parameters, name in ((of_disposition, "filename"), (of_type, "name"))]
    different = list(dict.fromkeys(one for one in readings if one))
    return (("ambiguous_filename", _listed(different)),) if len(different) > 1 else ()


def _listed(values: list[str]) -> str:
    return " | ".join(text(one[:TOKEN]) for one in values[:_SHOWN])
