"""Rego as the checks read it: terms, literals and rules.

The parser's tree has a node for every bracket. Here a term is one object with its parts, an
operator is a call of the builtin behind it, and parentheses are gone. Everything keeps its
node, which knows its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator
    from decimal import Decimal

    from guardrails.rego.syntax import Node

WILDCARD: Final = "_"
"""The name of every variable that is written ``_``; no two of them are the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Scalar:
    """A number, string, boolean or null."""

    node: Node
    value: str | int | Decimal | bool | None


@dataclass(frozen=True, slots=True, eq=False)
class Var:
    """A name: a variable, a rule, an import, ``input`` or ``data``."""

    node: Node
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Ref:
    """A reference; ``a.b`` has the step ``"b"``."""

    node: Node
    head: Term
    steps: tuple[Term, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A call, of an operator too: ``x < 1`` calls ``lt``.

    Attributes:
        name: What is called, as ``time.now_ns``; empty if it is no constant path.
        infix: Whether it was written as an operator.
    """

    node: Node
    name: str
    args: tuple[Term, ...]
    infix: bool


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """An array or a set; `kind` says which."""

    node: Node
    kind: str
    items: tuple[Term, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Object:
    """An object."""

    node: Node
    pairs: tuple[tuple[Term, Term], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Comprehension:
    """A comprehension; `kind` is array, set or object, whose `heads` are key and value."""

    node: Node
    kind: str
    heads: tuple[Term, ...]
    body: Query


Term: TypeAlias = "Scalar | Var | Ref | Call | Items | Object | Comprehension"
"""One term."""

Query: TypeAlias = "tuple[Literal, ...]"
"""The literals of one body."""


@dataclass(frozen=True, slots=True, eq=False)
class Literal:
    """One line of a body.

    Attributes:
        withs: Targets and values of its ``with``.
    """

    node: Node
    withs: tuple[tuple[Term, Term], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Holds(Literal):
    """A term that must be defined and not false."""

    term: Term


@dataclass(frozen=True, slots=True, eq=False)
class Bind(Literal):
    """``left := right`` (`declares`), or ``left = right``."""

    left: Term
    right: Term
    declares: bool


@dataclass(frozen=True, slots=True, eq=False)
class Some(Literal):
    """``some x, y``, or ``some k, v in domain``, whose `targets` may be patterns."""

    targets: tuple[Term, ...]
    domain: Term | None


@dataclass(frozen=True, slots=True, eq=False)
class Every(Literal):
    """``every k, v in domain { body }``."""

    targets: tuple[Var, ...]
    domain: Term
    body: Query


@dataclass(frozen=True, slots=True, eq=False)
class Not(Literal):
    """``not`` before a literal, or before a body in `braces`, which is a scope of its own."""

    body: Query
    braces: bool


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """One way in which a rule holds: a body with its value; an else is a branch of its own."""

    node: Node
    value: Term | None
    body: Query


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One rule as it is written.

    Attributes:
        node: The whole of it.
        name: Its first name.
        path: The constant names that it begins with, as ``("limits", "usd")``.
        steps: What follows its first name, constants and variables.
        kind: ``complete``, ``set``, ``object`` or ``function``.
        is_default: Whether it is a ``default``.
        args: The parameters of a function.
        key: What ``contains`` adds, or the key of an object.
        value: Its value; of a set None.
        branches: Its bodies with their else branches; empty if it has none.
    """

    node: Node
    name: str
    path: tuple[str, ...]
    steps: tuple[Term, ...]
    kind: str
    is_default: bool
    args: tuple[Term, ...]
    key: Term | None
    value: Term | None
    branches: tuple[Branch, ...]

    @property
    def heads(self) -> tuple[Term, ...]:
        """The terms of its head, whose variables the body must bind."""
        return (*self.steps, *(part for part in (self.key, self.value) if part is not None))


def parts(term: Term) -> tuple[Term, ...]:
    """The terms right within `term`; of a comprehension none, since it is a scope of its own."""
    match term:
        case Ref():
            return (term.head, *term.steps)
        case Call():
            return term.args
        case Items():
            return term.items
        case Object():
            return tuple(part for pair in term.pairs for part in pair)
        case _:
            return ()


def within(term: Term) -> Iterator[Term]:
    """`term` and every term within it in the same scope; comprehensions come, but closed."""
    stack: list[Term] = [term]
    while stack:
        one = stack.pop()
        yield one
        stack.extend(reversed(parts(one)))


def terms_of(literal: Literal) -> tuple[Term, ...]:
    """The terms right in a literal, in its body's scope; what ``with`` replaces is left out."""
    own: tuple[Term, ...]
    match literal:
        case Holds():
            own = (literal.term,)
        case Bind():
            own = (literal.left, literal.right)
        case Some():
            own = (*literal.targets, *(() if literal.domain is None else (literal.domain,)))
        case Every():
            own = (literal.domain,)
        case _:
            own = ()
    return (*own, *(value for _, value in literal.withs))


__all__ = [
    "WILDCARD",
    "Bind",
    "Branch",
    "Call",
    "Comprehension",
    "Every",
    "Holds",
    "Items",
    "Literal",
    "Not",
    "Object",
    "Query",
    "Ref",
    "Rule",
    "Scalar",
    "Some",
    "Term",
    "Var",
    "parts",
    "terms_of",
    "within",
]
