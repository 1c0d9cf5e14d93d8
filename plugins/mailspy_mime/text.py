"""Text parts as text: decoded from their character set as they stream, for whoever asks.

Knows how octets become text piece by piece.  Must not know where the octets come from, or what the text is for.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable

from mailspy_mime.words import lookup


class TextSink:
    """A sink for the hook `open_part` that hands a part on as text, in pieces as they come.

    `receive` is called with each piece, never empty.  Octets that do not belong to the character set come out as U+FFFD; where
    the set is unknown or none is declared the text is read as UTF-8, and such octets stay visible as `\\xhh`.  The text is that
    of the wire: sanitise it before it is shown.  Nothing is decoded for parts that nobody takes such a sink for.
    """

    __slots__ = ("_decoder", "_receive")

    def __init__(self, charset: str, receive: Callable[[str], object]) -> None:
        """`charset` is the label that the part declares: `part.charset`."""
        encoding = lookup(charset)
        if encoding is None:
            self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        else:
            self._decoder = encoding.codec_info.incrementaldecoder("replace")
        self._receive = receive

    def feed(self, data: bytes) -> None:
        """The next octets of the part."""
        self._take(data, False)

    def close(self, complete: bool) -> None:
        """The end of the part: half a character at the end is told as what does not belong there."""
        self._take(b"", True)

    def _take(self, data: bytes, final: bool) -> None:
        if piece := self._decoder.decode(data, final):
            self._receive(piece)
