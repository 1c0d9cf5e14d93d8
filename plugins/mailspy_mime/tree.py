"""The MIME tree at the place where the stream is: which containers are open, what ends them, how parts are numbered.

Kept as a stack, bounded in depth; nothing of a container stays when it is over.

Knows delimiters (RFC 2046 §5.1.1) and IMAP's part numbers (RFC 9051 §6.4.5).  Must not know the stream or what parts
hold.
"""

from __future__ import annotations

from mailspy_mime.limits import DEPTH, ENCLOSED, PARTS


class Count:
    """A number that several trees share."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Container:
    """A multipart, or a message with one entity in it."""

    __slots__ = ("count", "default", "delimiters", "path", "prefix")

    def __init__(self, prefix: str, delimiters: tuple[bytes, ...] = (), default: str = "text/plain",
                 path: tuple[tuple[str, str], ...] = ()) -> None:
        self.prefix = prefix
        """What the numbers of its entities begin with: empty, or `2.1.`."""
        self.delimiters = delimiters
        """What parts its entities, every reading of it; none for a message."""
        self.default = default
        """The type of an entity that has none."""
        self.count = 0
        self.path = path
        """Numbers and types of the containers from the outermost to this one; the message itself is not among them."""


class Tree:
    """The open containers, the innermost last."""

    __slots__ = ("_containers", "_depth", "_enclosed", "_entities", "delimiters", "left_open", "longest")

    def __init__(self, above: Tree | None = None, content_type: str = "") -> None:
        """`above`: the tree in whose entity in hand this one stands, a message of that type, encoded."""
        if above is None:
            self._containers = [Container("")]
            self._entities = Count()
            self._depth = self._enclosed = 0
        else:
            number = above.number
            self._containers = [Container(f"{number}.", path=(*above.path, (number, content_type)))]
            self._entities = above._entities
            self._depth = above._depth + len(above._containers)
            self._enclosed = above._enclosed + 1
        self.left_open = False
        """A multipart ended without its closing delimiter."""
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
        self._entities.value += 1
        self._containers[-1].count += 1
        return self._entities.value < PARTS

    def count(self) -> bool:
        """Counts an entity that is found within the one in hand; False when there are too many."""
        self._entities.value += 1
        return self._entities.value < PARTS

    @property
    def number(self) -> str:
        """The number of the entity in hand."""
        container = self._containers[-1]
        return f"{container.prefix}{container.count}"

    @property
    def path(self) -> tuple[tuple[str, str], ...]:
        """The containers around the entity in hand, outermost first: number and type."""
        return self._containers[-1].path

    @property
    def has_open(self) -> bool:
        """Whether a multipart waits for its closing delimiter."""
        return any(container.delimiters for container in self._containers)

    @property
    def can_enclose(self) -> bool:
        """Whether the entity in hand can be a message that is encoded, read by a tree of its own."""
        return self._enclosed < ENCLOSED and self._depth + len(self._containers) <= DEPTH

    def enter_multipart(self, boundaries: tuple[bytes, ...], content_type: str) -> bool:
        """The entity in hand holds entities; False when there are too many within each other."""
        container = self._containers[-1]
        # A multipart that is the whole of a message has no number of its own.
        number = self.number if container.delimiters else ""
        return self._push(Container(f"{number}." if number else container.prefix,
                                    tuple([b"--" + boundary for boundary in boundaries]),
                                    "message/rfc822" if content_type == "multipart/digest" else "text/plain",
                                    (*container.path, (number, content_type))))

    def enter_message(self, content_type: str) -> bool:
        """The entity in hand holds a message; False when there are too many within each other."""
        number = self.number
        return self._push(Container(f"{number}.", path=(*self.path, (number, content_type))))

    def _push(self, container: Container) -> bool:
        if self._depth + len(self._containers) > DEPTH:
            return False
        self._containers.append(container)
        if container.delimiters:
            self._refresh()
        return True

    def next(self, delimiter: bytes, closing: bool) -> None:
        """The delimiter of an open multipart was seen: what is open within it is over, and at a closing one it too."""
        containers = self._containers
        if not closing and delimiter in containers[-1].delimiters:
            return
        while delimiter not in containers[-1].delimiters:
            if containers.pop().delimiters:
                self.left_open = True
        if closing:
            containers.pop()
        self._refresh()

    def close_delimiters(self) -> None:
        """Nothing ends the entity in hand any more."""
        self.delimiters = ()

    def _refresh(self) -> None:
        self.delimiters = tuple({delimiter for one in self._containers for delimiter in one.delimiters})
        self.longest = max(map(len, self.delimiters), default=0)
