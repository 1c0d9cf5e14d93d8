"""Lists of addresses: names, mailboxes, groups (RFC 5322 §3.4), read generously.

One pass over tokens, so that no list costs more than its length.

Knows the syntax of addresses.  Must not know which fields hold them.
"""

from __future__ import annotations

import re
from typing import Final

from mailspy_mime.limits import ADDRESSES, TOKEN, WORDS
from mailspy_mime.parameters import end_of_comment
from mailspy_mime.words import text

Mailbox = dict[str, str]
"""`name` and `address`, decoded for people; `group` where it stands in one."""

_SIMPLE: Final = re.compile(r'\s*+(?:"([^"\\<>]*+)"|([^"<>(),:;@\\]*+))\s*+<([^<>\s"(),:;\\]++)>\s*+')
_BARE: Final = re.compile(r'\s*+([^\s<>"(),:;\\]++)\s*+')
_TOKEN: Final = re.compile(
    r'"((?:[^"\\]++|\\.)*+)"?|<((?:[^<>"]++|"(?:[^"\\]++|\\.)*+"?)*+)>?|([,;:(>)])|([^\s"<>(),;:]++)', re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


def mailboxes(value: str) -> tuple[list[Mailbox], bool]:
    """The mailboxes of an unfolded value, at most ADDRESSES; and whether there are more."""
    simple = _SIMPLE.fullmatch(value)
    if simple is not None:
        return [_mailbox(simple[1] or simple[2] or "", simple[3], "")], False
    bare = _BARE.fullmatch(value)
    if bare is not None:
        return [_mailbox("", bare[1], "")], False
    return _List(value).read()


class _List:
    """A list in the course of being read."""

    __slots__ = ("_address", "_comment", "_found", "_group", "_phrase", "_unclosed", "_value")

    def __init__(self, value: str) -> None:
        self._value = value
        self._found: list[Mailbox] = []
        self._group = ""
        self._unclosed = False
        self._clear()

    def _clear(self) -> None:
        self._phrase: list[str] = []
        self._address: str | None = None
        self._comment = ""

    def read(self) -> tuple[list[Mailbox], bool]:
        """All of it."""
        value, place = self._value, 0
        for _ in range(WORDS):
            token = _TOKEN.search(value, place)
            if token is None:
                self._end()
                return self._found, False
            place = token.end()
            quoted, angle, mark, word = token.groups()
            if mark == "(":
                place = self._skip_comment(place)
            elif mark is not None:
                self._take_mark(mark)
            elif angle is not None:
                self._address = angle
            elif quoted is not None and value.startswith("@", place):
                self._push(token[0])
            else:
                self._push(word if quoted is None else _ESCAPED.sub(r"\1", quoted[:8 * TOKEN]))
            if len(self._found) >= ADDRESSES:
                break
        return self._found, True

    def _push(self, word: str) -> None:
        """A word; blanks around an @ are old syntax (RFC 5322 §4.4)."""
        phrase = self._phrase
        if phrase and (word.startswith("@") or phrase[-1].endswith("@")) and len(phrase[-1]) < 4 * TOKEN:
            phrase[-1] += word
        elif len(phrase) < TOKEN:
            phrase.append(word)

    def _take_mark(self, mark: str) -> None:
        if mark == ":":
            self._group = text(" ".join(self._phrase)[:TOKEN])
            self._clear()
        elif mark in ",;":
            self._end()
            if mark == ";":
                self._group = ""

    def _skip_comment(self, place: int) -> int:
        end = -1 if self._unclosed else end_of_comment(self._value, place)
        if end < 0:
            # Never closed: the marks alone are passed over, this one and all that follow.
            self._unclosed = True
            return place
        self._comment = self._comment or self._value[place:end - 1]
        return end

    def _end(self) -> None:
        """A mailbox is over.  Where no brackets are, the last word with an @ is the address, a comment the name."""
        address, phrase = self._address, self._phrase
        if address is None and phrase:
            place = next((place for place in range(len(phrase) - 1, -1, -1) if "@" in phrase[place]), None)
            address = "" if place is None and len(phrase) > 1 else phrase.pop(place or 0)
        if address is not None:
            self._found.append(_mailbox(" ".join(phrase) or self._comment, address, self._group))
        self._clear()


def _mailbox(name: str, address: str, group: str) -> Mailbox:
    mailbox = {"name": text(name[:4 * TOKEN].strip()), "address": text(address[:4 * TOKEN].strip())}
    if group:
        mailbox["group"] = group
    return mailbox
