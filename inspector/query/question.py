"""Expressions compiled: for one event, and for what several events belong to.

Rules.  An expression is compiled once for each kind of event; what that kind cannot have is folded away, so that
`anomaly == bare_lf` costs nothing for a line that crosses.  Of a session, each comparison holds when it held for some event of
it; what has not held yet may still, so that the answer is yes, no or not known yet (None), as Kleene's logic has it.

Knows the tree of an expression and the table of fields.  Must not know what is done with what satisfies it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from inspector.errors import ExpressionError
from inspector.query import grammar
from inspector.query.account import Account
from inspector.query.fields import EVENTS, FIELDS, FINDINGS, OPENED, OTHER, Field, Getter, near
from inspector.query.grammar import And, Comparison, Not, Or, Presence, Scope
from inspector.query.values import DIFFERENT, EQUAL, MATCHES, TRUTH, Test

Predicate = Callable[[Any, Any], bool]
"""Of the flow, PDU, anomaly or finding, and its session."""
State = list[bool | None]
"""What is known of each leaf of an expression."""
Truth = Callable[[State], bool | None]

EVENT: Final = "event"
SESSION: Final = "session"
KINDS: Final = frozenset(FINDINGS)


class Ask(NamedTuple):
    """A leaf: a field, and whether what its getter gives is what was asked for."""

    field: Field
    column: int
    passes: Test


class Within(NamedTuple):
    """`event(…)` or `session(…)`."""

    name: str
    column: int
    inner: Node


Node = Ask | Not | And | Or | Within


class Expression:
    """A filter."""

    def __init__(self, text: str) -> None:
        """Raises ExpressionError, with the place."""
        self.text = text
        tree = _Checker(text).checked(grammar.parse(text), "")
        fields = [leaf.field for leaf in leaves(tree)]
        if all(field.whole for field in fields) and not all(field.fixed for field in fields) and not _scoped(tree):
            tree = Within(SESSION, 0, tree)
        self.tree = tree

    @property
    def of_sessions(self) -> bool:
        """Whether an event alone cannot tell: something in it asks about a whole session."""
        return any(_asks_session(node) for node in _walk(self.tree))

    def of_event(self, kind: str) -> Predicate | bool:
        """The predicate for one kind of event; True or False where all or none of them satisfy the expression."""
        return compiled(self.tree, kind)

    def of_session(self) -> Question:
        """The same, asked about a session as a whole."""
        return Question(self.tree)

    def split(self) -> Split:
        """The parts that an event alone can tell, and those that a session tells."""
        return Split(self.tree)


class Question:
    """An expression about something that several events belong to."""

    def __init__(self, node: Node) -> None:
        self._leaves: list[Ask | Within] = []
        self.truth = structure(node, self._leaf)
        self._by_kind: dict[str, list[tuple[int, Predicate]]] = {kind: self._tests(kind) for kind in EVENTS}
        self._fixed = [index for index, leaf in enumerate(self._leaves) if isinstance(leaf, Ask) and leaf.field.fixed]
        self.late: list[tuple[int, Ask]] = [(index, leaf) for index, leaf in enumerate(self._leaves)
                                            if isinstance(leaf, Ask) and leaf.field.late is not None]
        """Those that only the end of a session tells."""

    def _leaf(self, node: Node) -> int | None:
        """The number of a leaf; None for what has parts."""
        if isinstance(node, Ask) or (isinstance(node, Within) and node.name == EVENT):
            self._leaves.append(node)
            return len(self._leaves) - 1
        return None

    def _tests(self, kind: str) -> list[tuple[int, Predicate]]:
        compiled_ = ((index, compiled(leaf.inner if isinstance(leaf, Within) else leaf, kind))
                     for index, leaf in enumerate(self._leaves))
        return [(index, _always if test is True else test) for index, test in compiled_ if not isinstance(test, bool) or test]

    def begin(self) -> State:
        """Nothing is known."""
        return [None] * len(self._leaves)

    def tell(self, state: State, kind: str, subject: Any, session: Any) -> bool:
        """An event of it; True where something is known now that was not."""
        changed = False
        for index, test in self._by_kind[kind]:
            if state[index] is None and test(subject, session):
                state[index] = changed = True
        if kind == OPENED:
            for index in self._fixed:
                if state[index] is None:
                    state[index] = False
                    changed = True
        return changed

    def end(self, state: State, account: Account | None) -> None:
        """It is over: what has not held does not hold."""
        if account is not None:
            for index, leaf in self.late:
                assert leaf.field.late is not None
                state[index] = leaf.passes(leaf.field.late(account))
        for index, known in enumerate(state):
            if known is None:
                state[index] = False


class Split:
    """An expression as parts that one event tells, parts that a session tells, and how they go together."""

    def __init__(self, node: Node) -> None:
        self.events: list[Node] = []
        self.sessions: list[Question] = []
        self._places: list[tuple[bool, int]] = []
        truth = structure(node, self._atom)
        places = self._places

        def together(events: Sequence[bool], sessions: Sequence[bool | None]) -> bool | None:
            return truth([sessions[index] if whole else events[index] for whole, index in places])

        self.truth = together

    def _atom(self, node: Node) -> int | None:
        if isinstance(node, Within) and node.name == SESSION:
            self._places.append((True, len(self.sessions)))
            self.sessions.append(Question(node.inner))
        elif _late(node):
            self._places.append((True, len(self.sessions)))
            self.sessions.append(Question(node))
        elif not any(_asks_session(inner) for inner in _walk(node)):
            self._places.append((False, len(self.events)))
            self.events.append(node)
        else:
            return None
        return len(self._places) - 1

    def predicates(self, kind: str) -> list[Predicate]:
        """The parts that one event of that kind tells."""
        tests = (compiled(node, kind) for node in self.events)
        return [test if not isinstance(test, bool) else _always if test else _never for test in tests]


def kind_of(event: str) -> str:
    """The kind of a finding, by the name of its event."""
    return event if event in KINDS else OTHER


def _always(subject: object, session: object) -> bool:
    return True


def _never(subject: object, session: object) -> bool:
    return False


# Trees


def _parts(node: Node) -> tuple[Any, ...]:
    if isinstance(node, And | Or):
        return node.parts
    return (node.inner,) if isinstance(node, Not | Within) else ()


def _walk(node: Node) -> list[Node]:
    return [node, *(inner for part in _parts(node) for inner in _walk(part))]


def leaves(node: Node) -> list[Ask]:
    """All that is asked for."""
    return [inner for inner in _walk(node) if isinstance(inner, Ask)]


def _scoped(node: Node) -> bool:
    return any(isinstance(inner, Within) for inner in _walk(node))


def _late(node: Node) -> bool:
    return isinstance(node, Ask) and node.field.late is not None


def _asks_session(node: Node) -> bool:
    return _late(node) or (isinstance(node, Within) and node.name == SESSION)


# One event


def compiled(node: Node, kind: str) -> Predicate | bool:
    """The predicate of a tree for one kind of event, or what it always is."""
    if isinstance(node, Ask):
        get = node.field.on.get(kind)
        return False if get is None else _asking(get, node.passes)
    if isinstance(node, Within):
        return compiled(node.inner, kind)
    tests = [compiled(part, kind) for part in _parts(node)]
    if isinstance(node, Not):
        test = tests[0]
        return not test if isinstance(test, bool) else _denied(test)
    decisive = isinstance(node, Or)
    if any(test is decisive for test in tests):
        return decisive
    open_ = [test for test in tests if not isinstance(test, bool)]
    if len(open_) < 2:
        return open_[0] if open_ else not decisive
    return _either(open_) if decisive else _both(open_)


def _asking(get: Getter, passes: Test) -> Predicate:
    return lambda subject, session: passes(get(subject, session))


def _denied(test: Predicate) -> Predicate:
    return lambda subject, session: not test(subject, session)


def _either(tests: list[Predicate]) -> Predicate:
    def either(subject: Any, session: Any) -> bool:
        for test in tests:  # noqa: SIM110 - any() with a generator takes twice the time
            if test(subject, session):
                return True
        return False

    return either


def _both(tests: list[Predicate]) -> Predicate:
    def both(subject: Any, session: Any) -> bool:
        for test in tests:  # noqa: SIM110
            if not test(subject, session):
                return False
        return True

    return both


# What is known


def structure(node: Node, leaf: Callable[[Node], int | None]) -> Truth:
    """How the leaves go together; `leaf` gives the number of each, and None for what has parts."""
    index = leaf(node)
    if index is not None:
        return _known(index)
    parts = [structure(part, leaf) for part in _parts(node)]
    if isinstance(node, Not):
        return _opposite(parts[0])
    return _decided(parts, isinstance(node, Or)) if isinstance(node, And | Or) else parts[0]


def _known(index: int) -> Truth:
    return lambda state: state[index]


def _opposite(part: Truth) -> Truth:
    def opposite(state: State) -> bool | None:
        known = part(state)
        return None if known is None else not known

    return opposite


def _decided(parts: list[Truth], decisive: bool) -> Truth:
    """Of Or, one that is true decides; of And, one that is false."""
    def decided(state: State) -> bool | None:
        told = [part(state) for part in parts]
        return decisive if decisive in told else None if None in told else not decisive

    return decided


# What a user can get wrong


class _Checker:
    """Finds the fields of a tree and reads its values."""

    def __init__(self, text: str) -> None:
        self._text = text

    def checked(self, node: grammar.Node, within: str) -> Node:
        """The tree, its leaves compiled.  Raises ExpressionError."""
        if isinstance(node, Scope):
            if within == EVENT and node.name == SESSION:
                raise self._error("session( ) cannot stand within event( )", node.column, len(SESSION))
            return Within(node.name, node.column, self.checked(node.inner, node.name))
        if isinstance(node, Presence):
            return Ask(self._field(node, within), node.column, bool)
        if isinstance(node, Comparison):
            return self._comparison(node, within)
        if isinstance(node, Not):
            return Not(self.checked(node.inner, within))  # type: ignore[arg-type]
        return type(node)(tuple(self.checked(part, within) for part in node.parts))  # type: ignore[misc]

    def _field(self, node: Presence | Comparison, within: str) -> Field:
        field = FIELDS.get(node.field)
        if field is None:
            other = near(node.field)
            hint = f"; did you mean {other}?" if other else "; `mailspy fields` lists them"
            raise self._error(f"no such field: {node.field}{hint}", node.column, len(node.field))
        if within == EVENT and field.late is not None:
            raise self._error(f"{field.name} is of a whole session, not of one event: write it outside event( )", node.column,
                              len(node.field))
        return field

    def _comparison(self, node: Comparison, within: str) -> Node:
        field = self._field(node, within)
        among = node.sign in ("in", "not in")
        sign = EQUAL if among or node.sign == DIFFERENT else node.sign
        if sign not in field.type.operators:
            raise self._error(f"{field.name} is {field.type.name}, which cannot be compared by {node.sign}; it can by "
                              f"{', '.join(field.type.operators)}", node.sign_column, len(node.sign))
        tests = [self._test(field, sign, value) for value in node.values]
        different = node.sign in (DIFFERENT, "not in")
        if field.type is TRUTH:  # so that it is not taken for known while it may still become true
            wanted = tests[0](True) is not different
            ask = Ask(field, node.column, bool)
            return ask if wanted else Not(ask)  # type: ignore[arg-type]
        passes = _passing(tests, field.several, different)
        return Ask(field, node.column, passes)

    def _test(self, field: Field, sign: str, value: grammar.Literal) -> Test:
        try:
            return field.type.make(sign, value.text)
        except (ValueError, OverflowError) as error:
            wrong = f"{field.name} is {field.type.expected}, not {value.text or 'nothing'}"
            why = f"{field.name}: {error}" if sign == MATCHES else wrong
            raise self._error(why, value.column, value.width) from None

    def _error(self, text: str, column: int, width: int) -> ExpressionError:
        return ExpressionError(text, self._text, column, width)


def _passing(tests: list[Test], several: bool, different: bool) -> Test:
    """Whether what a getter gives is what was asked for.  What an event does not have is None, and is never it."""
    test = tests[0] if len(tests) == 1 else lambda value: any(one(value) for one in tests)
    if several:
        if different:
            return lambda values: bool(values) and not any(map(test, values))
        return lambda values: any(map(test, values))
    if different:
        return lambda value: value not in (None, "") and not test(value)
    return lambda value: value is not None and test(value)


