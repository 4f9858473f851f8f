"""What stands in a local while the compiler walks through a function.

A value that is known is no code at all. One that is not stands in a variable of Python,
with its shape. Collections that are built from a literal stay open until something needs
them as values, so that a look-up in them costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from guardrails.rego.emit.shapes import ANYTHING, Kind, Shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.rego.emit.residual import Text
    from guardrails.rego.values import Value


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """One value, known now.

    Attributes:
        value: The value; never UNDEFINED.
        origin: Its path in the bound data, where it comes from there.
    """

    value: Value
    origin: tuple[str | int, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Missing:
    """Nothing: the local is undefined.

    Attributes:
        held: The variable that says so, where one does: it is ``U`` here.
    """

    held: str = ""


MISSING: Final = Missing()


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """What a variable of Python holds.

    Attributes:
        name: The variable.
        shape: What is known of its value; perhaps undefined, which is ``U``.
        changes: The variable may get another value later.
        raw: It holds no :class:`~guardrails.rego.values.RegoSet` but its members by their keys.
    """

    name: str
    shape: Shape = ANYTHING
    changes: bool = False
    raw: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Test:
    """A boolean that is worked out where it is asked for; working it out cannot fail.

    Attributes:
        text: An expression that is True or False.
        holds: What is known of variables where it is true.
        fails: The same where it is false.
    """

    text: Text
    holds: Mapping[str, Shape] = field(default_factory=dict)
    fails: Mapping[str, Shape] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class ObjectLiteral:
    """A new object under keys that are known, in key form; all its values are defined."""

    fields: Mapping[object, Abstract]


@dataclass(frozen=True, slots=True, eq=False)
class ArrayLiteral:
    """A new array; all its items are defined."""

    items: tuple[Abstract, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SetLiteral:
    """A new set; all its members are defined."""

    members: tuple[Abstract, ...]


Literal: TypeAlias = ObjectLiteral | ArrayLiteral | SetLiteral
Abstract: TypeAlias = Known | Missing | Variable | Test | ObjectLiteral | ArrayLiteral | SetLiteral

LITERALS: Final = (ObjectLiteral, ArrayLiteral, SetLiteral)


def is_sure(value: Abstract) -> bool:
    """Whether `value` is sure to be defined."""
    if isinstance(value, Variable):
        return not value.shape.kinds & Kind.UNDEFINED
    return not isinstance(value, Missing)
