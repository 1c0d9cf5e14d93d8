"""HTML as text for people: what a page says, its links written out.  Nothing is fetched, nothing is run.

Linear in the length of the page, whatever stands in it: one pass over its tags, each of which is looked for once.

Knows the tags that mail uses.  Must not know MIME.
"""

from __future__ import annotations

import html
import re
from typing import Final

PARAGRAPHS: Final = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol", "dl", "pre", "blockquote", "body"})
"""Elements with an empty line around them."""
LINES: Final = frozenset({"div", "tr", "li", "dt", "dd", "section", "article", "header", "footer", "address", "center",
                          "title", "caption", "option", "form", "figure"})
"""Elements that begin a line."""
UNSHOWN: Final = frozenset({"script", "style", "template", "noscript", "svg", "head"})
"""Elements whose content is no text; of `head` the title is lost, which mail does not show either."""

_TAG: Final = re.compile(r"""<(/?)([a-zA-Z][^\s/>]{0,64}+)((?:[^>"'=]++|=\s*+(?:"[^"]*+"|'[^']*+')?|["'])*+)>""")
_PLAIN_TAG: Final = re.compile(r"<(/?)([a-zA-Z][^\s/>]{0,64}+)([^>]*+)>")
_ATTRIBUTE: Final = re.compile(r"""([a-zA-Z-]++)\s*+=\s*+(?:"([^"]*+)"|'([^']*+)'|([^\s"'>]++))""")
_BLANKS: Final = re.compile(r"[ \t\r\n\f]+")
_LONG_REFERENCE: Final = re.compile(r"&#(?:[xX][0-9a-fA-F]{8,}|[0-9]{8,});?")
_GAP: Final = re.compile(r"\n{3,}")


def to_text(page: str) -> str:
    """The text of a page: lines parted by line feeds, empty lines between paragraphs, links as `text <address>`."""
    return _Reader(page).read()


class _Reader:
    """One pass over a page."""

    def __init__(self, page: str) -> None:
        self._page = page
        self._out: list[str] = []
        self._end = "\n\n"
        """What the output ends with, as far as it matters."""
        self._kept = 0
        """Depth in `pre`, where blanks count."""
        self._link = ""
        self._link_text: list[str] = []
        self._last = page.rfind(">")
        """Behind it there is no tag."""
        self._quotes = True
        """Whether tags are read by their quotes."""
        self._unclosed: set[str] = set()
        """What was looked for in vain: it need not be looked for again."""

    def read(self) -> str:
        """The text."""
        page, place = self._page, 0
        while (start := page.find("<", place)) >= 0:
            self._text(page[place:start])
            place = self._markup(start)
        self._text(page[place:])
        text = "\n".join(line.rstrip() for line in "".join(self._out).split("\n"))
        return _GAP.sub("\n\n", text).strip("\n")

    def _markup(self, start: int) -> int:
        """Reads what begins with `<`; returns where the text goes on."""
        page = self._page
        if page.startswith("<!--", start):
            return self._past("-->", start + 4)
        if page[start + 1:start + 2] in ("!", "?"):
            return self._past(">", start + 2)
        if start > self._last:
            self._text("<")
            return start + 1
        tag = _TAG.match(page, start) if self._quotes else None
        if tag is None:
            tag = _PLAIN_TAG.match(page, start)
            # A quote that is never closed: no tag is read by its quotes any more, or each would look for the end anew.
            self._quotes = self._quotes and tag is None
        if tag is None:
            self._text("<")
            return start + 1
        closing, name = bool(tag[1]), tag[2].lower()
        if name in UNSHOWN and not closing and not tag[3].endswith("/"):
            return self._element(name, tag.end())
        self._tag(name, closing, tag[3])
        return tag.end()

    def _past(self, end: str, place: int) -> int:
        """Behind the next `end`; the rest of the page where there is none, as in browsers."""
        found = self._page.find(end, place)
        return found + len(end) if found >= 0 else len(self._page)

    def _element(self, name: str, place: int) -> int:
        """Behind the end tag of an element that is not shown; where it begins if it never ends."""
        if name in self._unclosed:
            return place
        match = re.compile(rf"</{name}[^>]*>?", re.IGNORECASE).search(self._page, place)
        if match is None:
            self._unclosed.add(name)
            return len(self._page) if name in ("script", "style") else place
        return match.end()

    def _tag(self, name: str, closing: bool, rest: str) -> None:
        if name == "br":
            self._write("\n")
        elif name == "hr":
            self._line()
            self._write("─" * 20 + "\n")
        elif name == "img":
            alt = _attributes(rest).get("alt", "").strip()
            self._write(f"[{alt}]" if alt else "")
        elif name == "a":
            self._anchor(closing, rest)
        elif name in ("td", "th") and not closing and self._end[-1:] not in ("\n", " "):
            self._write("  ")
        elif name in PARAGRAPHS:
            self._line()
            if not self._end.endswith("\n\n"):
                self._write("\n")
        elif name in LINES:
            self._line()
        if name == "pre":
            self._kept = max(0, self._kept + (-1 if closing else 1))
        if name == "li" and not closing:
            self._write("• ")

    def _anchor(self, closing: bool, rest: str) -> None:
        if self._link:
            shown = "".join(self._link_text).strip()
            bare = self._link.removeprefix("mailto:")
            if shown not in (self._link, bare, self._link.removesuffix("/")):
                self._write(f" <{self._link}>")
        self._link, self._link_text = "", []
        if not closing:
            self._link = _attributes(rest).get("href", "").strip()

    def _line(self) -> None:
        if not self._end.endswith("\n"):
            self._write("\n")

    def _text(self, text: str) -> None:
        if not text:
            return
        text = html.unescape(_LONG_REFERENCE.sub("\ufffd", text)) if "&" in text else text
        if not self._kept:
            text = _BLANKS.sub(" ", text)
            if self._end[-1:] in ("\n", " "):
                text = text.lstrip(" ")
        if self._link:
            self._link_text.append(text)
        self._write(text)

    def _write(self, text: str) -> None:
        if text:
            self._out.append(text)
            self._end = (self._end + text[-2:])[-2:]


def _attributes(rest: str) -> dict[str, str]:
    """The attributes of a tag, the first of each name."""
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(rest):
        value = match[2] or match[3] or match[4] or ""
        found.setdefault(match[1].lower(), html.unescape(_LONG_REFERENCE.sub("\ufffd", value)))
    return found
