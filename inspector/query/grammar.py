"""The language of filters: text to tree.

Rules.  Every node knows where it stands, so that every error can point at its place.  Nothing here knows which fields there are.

Knows lark and the grammar.  Must not know events.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from inspector.errors import ExpressionError

if TYPE_CHECKING:
    from lark import Lark

MOST: Final = 4_000
"""Characters of an expression."""
DEEPEST: Final = 50
"""Brackets and negations within one another."""

GRAMMAR: Final = r"""
    ?start: either
    ?either: both (_OR both)*
    ?both: denied (_AND denied)*
    ?denied: _NOT denied -> denial
           | _OPEN either _CLOSE
           | SCOPE _OPEN either _CLOSE -> scope
           | WORD SIGN value -> comparison
           | WORD IN value -> comparison
           | WORD IN _OPEN value (_COMMA value)* _CLOSE -> comparison
           | WORD -> presence
    ?value: TEXT | BARE

    _OR.3: /or(?![\w.])|\|\|/i
    _AND.3: /and(?![\w.])|&&/i
    _NOT.3: /not(?![\w.])|!(?!=)/i
    IN.3: /in(?![\w.])|not\s+in(?![\w.])/i
    SIGN.3: /==|=~|!=|<=|>=|<|>|=|~|contains(?![\w.])|matches(?![\w.])/i
    SCOPE.3: /(session|event)(?=\s*\()/i
    WORD.1: /[a-z_][\w.]*/i
    _OPEN: "("
    _CLOSE: ")"
    _COMMA: ","
    TEXT.2: /"([^"\\]|\\.)*"|'([^'\\]|\\.)*'/s
    BARE.1: /[^\s()"',&|]+/
    %ignore /\s+/
"""


class Literal(NamedTuple):
    """A value as typed, quotes taken away."""

    text: str
    column: int
    width: int


class Comparison(NamedTuple):
    """`field sign value`, or `field in (value, …)`: then there are several values."""

    field: str
    column: int
    sign: str
    sign_column: int
    values: tuple[Literal, ...]


class Presence(NamedTuple):
    """`field` alone: there is one, and it is not empty or false."""

    field: str
    column: int


class Not(NamedTuple):
    """`not …`."""

    inner: Node


class And(NamedTuple):
    """`… and …`."""

    parts: tuple[Node, ...]


class Or(NamedTuple):
    """`… or …`."""

    parts: tuple[Node, ...]


class Scope(NamedTuple):
    """`session(…)` or `event(…)`."""

    name: str
    column: int
    inner: Node


Node = Comparison | Presence | Not | And | Or | Scope

_SIGNS: Final = {"=": "==", "~": "matches", "=~": "matches"}
"""Other ways to write a sign."""
_EXPECTED: Final = {"SIGN": "a comparison (==, !=, <, >, contains, matches, in)", "WORD": "a field", "BARE": "a value",
                    "_CLOSE": ")",
                    "_AND": "and", "_OR": "or", "_COMMA": ",", "_OPEN": "("}
"""What a token is called, for people, in this order."""


def parse(text: str) -> Node:
    """The tree of an expression.  Raises ExpressionError, with the place."""
    from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedToken

    if not text.strip():
        raise ExpressionError("an empty expression; `mailspy fields` lists what can be asked for", text, 0)
    if len(text) > MOST:
        raise ExpressionError(f"longer than {MOST} characters", text, MOST)
    _check_depth(text)
    try:
        return _node(_parser().parse(text))
    except UnexpectedToken as error:
        ended = error.token.type == "$END"
        column = len(text.rstrip()) if ended else error.token.start_pos or 0
        raise _unexpected(text, column, "" if ended else str(error.token), error.accepts or error.expected) from None
    except UnexpectedCharacters as error:
        place = error.pos_in_stream or 0
        raise _unexpected(text, place, text[place], error.allowed or set()) from None
    except UnexpectedEOF as error:
        raise _unexpected(text, len(text.rstrip()), "", set(error.expected)) from None


@functools.cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(GRAMMAR, parser="lalr", maybe_placeholders=False)


def _check_depth(text: str) -> None:
    """Nothing recurses without bounds, even on a user's own text: it may come from a file."""
    depth = 0
    for column, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth > DEEPEST:
            raise ExpressionError(f"more than {DEEPEST} brackets within one another", text, column)


def _unexpected(text: str, column: int, found: str, expected: set[str]) -> ExpressionError:
    names = [name for token, name in _EXPECTED.items() if token in expected]
    if found[:1] in ("'", '"') and "TEXT" in expected:
        return ExpressionError("a text that begins here has no end", text, column)
    what = f"unexpected {found}" if found else "the expression ends too early"
    wanted = f"; expected {', '.join(names[:-1])}{' or ' if names[1:] else ''}{names[-1]}" if names else ""
    return ExpressionError(what + wanted, text, column, max(len(found), 1))


def _node(tree: Any) -> Node:
    node: Node = _MAKE[tree.data](tree.children)
    return node


def _comparison(children: list[Any]) -> Comparison:
    field, sign, *values = children
    written = " ".join(sign.lower().split())
    return Comparison(field.lower(), field.start_pos, _SIGNS.get(written, written), sign.start_pos,
                      tuple(Literal(_unquoted(value), value.start_pos, len(value)) for value in values))


def _unquoted(value: str) -> str:
    """A text without its quotes; of backslashes only those before a quote or a backslash go, since patterns are full of them."""
    if value[0] not in "\"'":
        return str(value)
    quote = value[0]
    return value[1:-1].replace(f"\\{quote}", quote)


_MAKE: Final[dict[str, Any]] = {
    "either": lambda children: Or(tuple(map(_node, children))),
    "both": lambda children: And(tuple(map(_node, children))),
    "denial": lambda children: Not(_node(children[0])),
    "scope": lambda children: Scope(str(children[0]).lower(), children[0].start_pos, _node(children[1])),
    "comparison": _comparison,
    "presence": lambda children: Presence(children[0].lower(), children[0].start_pos),
}
