"""Segments of a content that are read together, where nobody can tell the difference.

A content ends with a dot, and a part of it with a line of dashes.  A segment with neither only lengthens what is crossing, and
where those who take it tell nothing before its end (`PatientSink`), it can wait for others: one long piece costs much less than
many short ones.

Knows octets.  Must not know flows, or who takes the content.
"""

from __future__ import annotations

from inspector.pdu import RUN


class Run:
    """Segments of one direction that follow each other."""

    __slots__ = ("client", "pieces", "size", "time")

    def __init__(self, client: bool) -> None:
        self.client = client
        self.pieces: list[bytes] = []
        self.size = 0
        self.time = 0
        """That of the last."""

    def takes(self, client: bool, data: bytes) -> bool:
        """Whether a segment may wait with the others."""
        return client is self.client and self.size + len(data) <= RUN and data.find(b"-") < 0 and data.find(b".") < 0

    def add(self, data: bytes, time: int) -> None:
        """One more."""
        self.pieces.append(data)
        self.size += len(data)
        self.time = time


def calm(data: bytes) -> bool:
    """Whether the line that a segment leaves unfinished is neither the end of a content nor a delimiter, whatever comes."""
    start = data.rfind(b"\n") + 1
    return start > 0 and data.find(b"-", start) < 0 and data.find(b".", start) < 0
