"""The program that is left: a tree of a few kinds of Python statements.

Expressions are texts, made of names alone: ``i0`` and what is a letter with a number is a
local of the function; ``K5`` a constant, ``F5`` a function of the program, ``B5`` a builtin,
all globals; words are helpers of :mod:`guardrails.rego.emit.runtime`. No text of the policy
occurs in them, so what a text uses can be read off it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from guardrails.rego import ir

Text: TypeAlias = str
"""A Python expression in the names of this module."""

_LOCAL: Final = re.compile(r"\b[a-z][0-9]+\b")
_GLOBAL: Final = re.compile(r"\b[A-Z][0-9]+\b")
_FALLIBLE: Final = re.compile(
    r"\b(?:[BFL][0-9]+|once|put_once|gap|covers|difference|product|total|floor|date|number_in|concatenated|joined|substituted|shown|trim_space|lower|upper)\b"
)


def names(text: Text) -> list[str]:
    """The locals that occur in `text`, once for each time."""
    return _LOCAL.findall(text)


def globals_in(text: Text) -> list[str]:
    """The constants, functions and builtins that occur in `text`, once for each time."""
    return _GLOBAL.findall(text)


def fallible(text: Text) -> list[str]:
    """What in `text` may end in an error of the policy: builtins, functions, conflicts."""
    return _FALLIBLE.findall(text)


@dataclass(slots=True, eq=False)
class Node:
    """One statement.

    Attributes:
        where: The place in the policy that it was made for.
    """

    where: ir.Location


@dataclass(slots=True, eq=False)
class Set(Node):
    """``name = value``."""

    name: str
    value: Text
    hoisted: bool = False
    """The value cannot fail and never changes, so it may be worked out wherever it is read."""


@dataclass(slots=True, eq=False)
class Do(Node):
    """An expression that is evaluated for what it does."""

    value: Text
    idempotent: bool = False
    """Doing it twice is doing it once, and no order matters."""


@dataclass(slots=True, eq=False)
class If(Node):
    """``if condition: body else: orelse``."""

    condition: Text
    body: list[Node] = field(default_factory=list)
    orelse: list[Node] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Group(Node):
    """Statements that a :class:`Jump` may leave."""

    body: list[Node] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class For(Node):
    """``for target in source: body``; a jump may leave the body, which is the next round."""

    target: Text
    source: Text
    body: Group


@dataclass(slots=True, eq=False)
class Jump(Node):
    """Go on behind `group`, in which this stands."""

    group: Group


@dataclass(slots=True, eq=False)
class Stop(Node):
    """Leave the innermost loop (``break``)."""


@dataclass(slots=True, eq=False)
class Return(Node):
    """``return value``."""

    value: Text


@dataclass(slots=True, eq=False)
class Slot(Node):
    """A place at which statements may be put later."""

    body: list[Node] = field(default_factory=list)


Body: TypeAlias = list[Node]


def children(node: Node) -> tuple[Body, ...]:
    """The statements that stand directly in `node`."""
    if isinstance(node, If):
        return (node.body, node.orelse)
    if isinstance(node, Group | Slot):
        return (node.body,)
    if isinstance(node, For):
        return (node.body.body,)
    return ()


def walk(nodes: Iterable[Node]) -> Iterator[Node]:
    """Every statement of `nodes`, at any depth."""
    waiting = [*nodes][::-1]
    while waiting:
        node = waiting.pop()
        yield node
        kind = type(node)
        if kind is If:
            waiting += node.orelse[::-1]  # type: ignore[attr-defined]  # an If has one
            waiting += node.body[::-1]  # type: ignore[attr-defined]  # and this
        elif kind is Group or kind is Slot or kind is For:
            (body,) = children(node)
            waiting += body[::-1]


def bodies(body: Body) -> Iterator[Body]:
    """`body`, and every list of statements in it, at any depth."""
    yield body
    for node in body:
        for inner in children(node):
            yield from bodies(inner)


def texts(node: Node) -> tuple[Text, ...]:
    """The expressions that `node` itself evaluates."""
    if isinstance(node, Set):
        # A value that is kept in the memo needs the memo.
        return (node.value,) if names(node.name) == [node.name] else (node.value, node.name)
    if isinstance(node, Do | Return):
        return (node.value,)
    if isinstance(node, If):
        return (node.condition,)
    if isinstance(node, For):
        return (node.source,)
    return ()


def assigned(node: Node) -> list[str]:
    """The locals that `node` itself gives a value."""
    found = names(node.target) if isinstance(node, For) else []
    if isinstance(node, Set) and names(node.name) == [node.name]:
        found.append(node.name)
    for text in texts(node):
        found += re.findall(r"\(([a-z][0-9]+) :=", text)
    return found


def used(nodes: Iterable[Node]) -> set[str]:
    """The locals that `nodes` read, at any depth."""
    return {name for node in walk(nodes) for text in texts(node) for name in names(text)}
