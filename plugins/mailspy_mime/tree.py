"""The MIME tree at the place where the stream is: which containers are open, what ends them, how parts are numbered.

Kept as a stack, bounded in depth; nothing of a container stays when it is over.

Knows delimiters (RFC 2046 §5.1.1) and IMAP's part numbers (RFC 9051 §6.4.5).  Must not know the stream or what parts
hold.
"""

from __future__ import annotations

from mailspy_mime.limits import DEPTH, PARTS


class Container:
    """A multipart, or a message with one entity in it."""

    __slots__ = ("count", "default", "delimiter", "path", "prefix")

    def __init__(self, prefix: str, delimiter: bytes = b"", default: str = "text/plain",
                 path: tuple[tuple[str, str], ...] = ()) -> None:
        self.prefix = prefix
        """What the numbers of its entities begin with: empty, or `2.1.`."""
        self.delimiter = delimiter
        """What parts its entities; empty for a message."""
        self.default = default
        """The type of an entity that has none."""
        self.count = 0
        self.path = path
        """Numbers and types of the containers from the outermost to this one; the message itself is not among them."""


class Tree:
    """The open containers, the innermost last."""

    __slots__ = ("_containers", "_entities", "delimiters", "longest")

    def __init__(self) -> None:
        self._containers = [Container("")]
        self._entities = 0
        self.delimiters: tuple[bytes, ...] = ()
        """Those of the open multiparts: what ends the entity in hand."""
        self.longest = 0
        """Octets of the longest of them."""

    @property
    def default(self) -> str:
        """The type of the entity in hand if it has none."""
        return self._containers[-1].default

    def begin(self) -> bool:
        """Counts an entity; False when it is the last that is told apart: all that follows is its body."""
        self._entities += 1
        self._containers[-1].count += 1
        return self._entities < PARTS

    @property
    def number(self) -> str:
        """The number of the entity in hand."""
        container = self._containers[-1]
        return f"{container.prefix}{container.count}"

    @property
    def path(self) -> tuple[tuple[str, str], ...]:
        """The containers around the entity in hand, outermost first: number and type."""
        return self._containers[-1].path

    def enter_multipart(self, boundary: bytes, content_type: str) -> bool:
        """The entity in hand holds entities; False when there are too many within each other."""
        container = self._containers[-1]
        # A multipart that is the whole of a message has no number of its own.
        number = self.number if container.delimiter else ""
        return self._push(Container(f"{number}." if number else container.prefix, b"--" + boundary,
                                    "message/rfc822" if content_type == "multipart/digest" else "text/plain",
                                    (*container.path, (number, content_type))))

    def enter_message(self, content_type: str) -> bool:
        """The entity in hand holds a message; False when there are too many within each other."""
        number = self.number
        return self._push(Container(f"{number}.", path=(*self.path, (number, content_type))))

    def _push(self, container: Container) -> bool:
        if len(self._containers) > DEPTH:
            return False
        self._containers.append(container)
        if container.delimiter:
            self._refresh()
        return True

    def next(self, delimiter: bytes, closing: bool) -> None:
        """The delimiter of an open multipart was seen: what is open within it is over, and at a closing one it too."""
        containers = self._containers
        if not closing and containers[-1].delimiter == delimiter:
            return
        while containers[-1].delimiter != delimiter:
            containers.pop()
        if closing:
            containers.pop()
        self._refresh()

    def close_delimiters(self) -> None:
        """Nothing ends the entity in hand any more."""
        self.delimiters = ()

    def _refresh(self) -> None:
        self.delimiters = tuple({one.delimiter for one in self._containers if one.delimiter})
        self.longest = max(map(len, self.delimiters), default=0)
