"""Secrets that come back: what a client has said that was masked, found again in what its server says.

Rules.  The last few secrets are known, as they were said, in base64, and what they are in base64 themselves.  Of a line in which
one comes back, all is masked from its third octet on: whether an octet is shown depends on those before it in the line, so that
a line looks the same in whatever pieces it came.  What has come of a line before its client said a secret is not masked for that:
it has been shown.

Knows octets.  Must not know sessions, nor what a reply means.
"""

from __future__ import annotations

import binascii
import re
from collections import deque
from typing import Final

from inspector.harmless import ARGUMENTS, LOOKED_AT, MECHANISMS, WHOLE, line_end
from inspector.hold import Cover

KEPT: Final = 16
"""Lines with secrets that are remembered."""
WORDS: Final = 16
"""Words of each, the last."""
LEAST: Final = 3
"""Octets of a secret that is looked for; as many stand before the masks, less one."""
LONG: Final = 5
"""The same where it may stand in the middle of a word."""
COMPARED: Final = 64
"""Octets of a secret that are compared in what nobody reads."""
CLEAN: Final = 64
"""Lines that are known to hold none."""

_BETWEEN: Final = frozenset(b"\"'<>(){},;*")
"""What else than blanks and control octets is between words; a star covers what is one."""
_WORD: Final = re.compile(rb"[^\x00-\x20\"'<>(){},;*]+")
_ENCODED: Final = re.compile(rb"[A-Za-z0-9+/]{4,}={0,2}")
_COVER: Final = b"*x"
"""What covers a secret is made of."""
_PIECES: Final = re.compile(rb"[^\x00-\x20=]{3,}")
_HARMLESS: Final = frozenset(ARGUMENTS) | {word.encode() for word in MECHANISMS}


class Echo:
    """The secrets of one flow."""

    __slots__ = ("_begun", "_first", "_heads", "_lines", "_shown", "_whole", "clean", "covers", "said")

    def __init__(self) -> None:
        self._lines: deque[tuple[bytes, int]] = deque(maxlen=KEPT)
        """Lines, and where in them the secret begins."""
        self._heads: list[tuple[bytes, bool]] | None = None
        """How what is looked for begins, in small letters; whether only where a word does."""
        self.clean: set[bytes] = set()
        """Server's lines in which none comes back: nearly all."""
        self.said: list[tuple[bytes, bytes]] = []
        """Lines of the reply in hand in which some come back, as they are shown and as they came."""
        self.covers: list[Cover] = []
        """The same of what has not left yet, for its capture."""
        self._whole: list[bytes] | None = None
        """What is looked for as a whole."""
        self._begun = -1
        """Where in the server's stream the line begins that had not ended when its client said the last secret."""
        self._shown = 0
        """Octets of it that had come by then."""
        self._first = -1
        """Where in them the mask begins; -1 where they were shown."""

    def settle(self, line: bytes, size: int, offset: int) -> None:
        """The client is about to say a secret when so much has come of the server's line at that offset."""
        self._first = self._begin(line, offset)
        self._begun, self._shown = offset, size

    def remember(self, line: bytes, first: int) -> None:
        """A line, or octets that nobody reads, of which what is from `first` on is secret."""
        self._lines.append((line[:LOOKED_AT], first))
        self._heads = self._whole = None
        self.clean.clear()

    def begins(self, line: bytes, at: int) -> int:
        """Where what is masked begins in a server's line, from `at` on; -1 where nothing is."""
        if len(line) - at < LEAST:
            return self._none(line)
        heads = self._heads
        if heads is None:
            heads = self._heads = self._beginnings()
        lowered = line[:LOOKED_AT].lower()
        found = LOOKED_AT if len(line) > LOOKED_AT and heads else len(line)
        for head, at_word in heads:
            place = lowered.find(head, at)
            while at_word and place > 0 and lowered[place - 1:place].isalnum():
                place = lowered.find(head, place + 1)
            if place >= 0:
                found = min(found, place + len(head) - 1)
        if found < len(line):
            return found
        return self._none(line)

    def _none(self, line: bytes) -> int:
        """Nothing comes back in a line, which may come again."""
        if len(self.clean) < CLEAN and line[-1:] == b"\n":
            self.clean.add(line)
        return -1

    def veiled(self, line: bytes, offset: int) -> bytes:
        """A server's line, or the beginning of one, with what comes back covered; the line itself where nothing does.

        `offset`: where in the stream it begins.  A reply's code, or status, is never one.
        """
        first, end = self._begin(line, offset), line_end(line)
        if not 0 <= first < end:
            return line
        return line[:first] + line[first:end].translate(WHOLE) + line[end:]

    def again(self, line: bytes, offset: int) -> bytes:
        """The same of a line of the reply in hand that has not left, once its client has said more; of one it has said before."""
        came = next((came for shown, came in self.said if shown is line), line)
        self.said = [pair for pair in self.said if pair[1] is not came]
        self.covers = [cover for cover in self.covers if cover.offset != offset]
        shown = self.veiled(came, offset)
        if shown is not came:
            self.said.append((shown, came))
            self.covers.append(Cover(offset, shown, len(came)))
        return shown

    def _begin(self, line: bytes, offset: int) -> int:
        """Where the mask begins in the line at that offset; -1 where nothing comes back."""
        if offset == self._begun and self._first >= 0:
            return self._first
        # What was shown before there was a secret is not looked at: what follows looks as if it were a line.
        before = self._shown if offset == self._begun else 0
        rest = line[before:] if before else line
        at = 4 if rest[:3].isdigit() else 5 if rest[:1] == b"+" or rest[:1] == b"-" else 0
        first = self.begins(rest, at)
        return before + first if first >= 0 else -1

    def without(self, data: bytes) -> bytes:
        """Octets that nobody reads without the secrets that are whole in them, or that begin at their end."""
        lowered = data.lower()
        if self._whole is None:
            self._whole = self._needles()
        for secret in self._whole:
            at = lowered.find(secret)
            while at >= 0:
                data = data[:at] + data[at:at + len(secret)].translate(WHOLE) + data[at + len(secret):]
                at = lowered.find(secret, at + len(secret))
            size = min(len(secret) - 1, len(data))
            while size >= LEAST and not lowered.endswith(secret[:size]):
                size -= 1
            if size >= LEAST:
                data = data[:-size] + data[-size:].translate(WHOLE)
        return data

    def _beginnings(self) -> list[tuple[bytes, bool]]:
        """How all of the secrets may begin in another line."""
        heads: list[tuple[bytes, bool]] = []
        for line, first in self._lines:
            for word, shown in _words(line, first):
                _add_heads(word, shown, heads)
        return heads if len(self._lines) == 1 else list(dict.fromkeys(heads))

    def _needles(self) -> list[bytes]:
        """What is looked for as a whole, in small letters."""
        found = {form[:COMPARED].lower() for line, first in self._lines for word, _ in _words(line, first)
                 for form in (word, *_forms(word)) if len(form) > LEAST}
        return sorted(found)


def _words(line: bytes, first: int) -> list[tuple[bytes, int]]:
    """The words of a secret, and how many octets of each are shown: of the first, perhaps, the beginning."""
    begin = first
    while begin and line[begin - 1] > 32 and line[begin - 1] not in _BETWEEN:
        begin -= 1
    found: list[tuple[bytes, int]] = []
    shown = first - begin
    for word in _WORD.findall(line, begin):
        if len(word) >= LEAST and shown < len(word) and word.upper() not in _HARMLESS and word.strip(_COVER):
            found.append((word, shown))
        shown = 0
    return found[-WORDS:]


def _forms(word: bytes) -> list[bytes]:
    """What a word is in base64, and what it is if it is base64 itself."""
    return [binascii.b2a_base64(word, newline=False).rstrip(b"="), *_decoded(word)]


def _decoded(word: bytes) -> list[bytes]:
    """What a word is if it is base64: of `PLAIN` (RFC 4616) the password."""
    if len(word) < 8 or len(word) % 4 or _ENCODED.fullmatch(word) is None:
        return []
    try:
        said = binascii.a2b_base64(word)
    except ValueError:
        return []
    pieces = [said[said.rindex(b"\0") + 1:]] if said.count(b"\0") > 1 else _PIECES.findall(said)
    return [piece for piece in pieces[:WORDS] if len(piece) >= LEAST]


def _add_heads(word: bytes, shown: int, heads: list[tuple[bytes, bool]]) -> None:
    """How a word of a secret may begin in another line, in small letters; whether only where a word does.

    Of what is encoded so many octets are looked at as its beginning depends on.
    """
    heads.append((word[:max(LEAST, shown + 1)].lower(), True))
    if len(word) < LONG:
        heads.append((binascii.b2a_base64(word[:LEAST])[:LEAST].lower(), True))
        heads.append((binascii.b2a_base64(b"\0" + word)[2:2 + LONG].lower(), False))
        heads.append((binascii.b2a_base64(b"\0\0" + word)[3:3 + LONG].lower(), False))
    else:
        # The three at once: each fills groups of three octets.
        code = binascii.b2a_base64(word[:LEAST] + b"\0" + word[:LONG] + b"\0\0" + word[:LONG - 1]).lower()
        heads += (code[:LEAST], True), (code[6:6 + LONG], False), (code[15:15 + LONG], False)
    for form in _decoded(word):
        begin = form[:LEAST]
        heads += (begin.lower(), True), (binascii.b2a_base64(begin)[:LEAST].lower(), True)
