"""Between values and literals: what is known of a collection, and what one is made of."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from guardrails.rego.emit.abstract import (
    ArrayLiteral,
    Known,
    Missing,
    ObjectLiteral,
    SetLiteral,
    Variable,
)
from guardrails.rego.emit.shapes import join
from guardrails.rego.values import UNDEFINED, RegoSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrails.rego.emit.abstract import Abstract, Literal
    from guardrails.rego.values import Value


def opened_literal(value: Value) -> Literal | None:
    """A known collection as a literal of its parts; None for a scalar."""
    if type(value) is dict:
        return ObjectLiteral({key: Known(item) for key, item in value.items()})
    if type(value) is list:
        return ArrayLiteral(tuple(Known(item) for item in value))
    if type(value) is RegoSet:
        return SetLiteral(tuple(Known(item) for item in value))
    return None


def opened(value: Abstract) -> Abstract:
    """A known array or object as a literal, down to its scalars; other values as they are."""
    literal = opened_literal(value.value) if isinstance(value, Known) else None
    if isinstance(literal, ArrayLiteral):
        return ArrayLiteral(tuple(map(opened, literal.items)))
    if isinstance(literal, ObjectLiteral):
        return ObjectLiteral({key: opened(item) for key, item in literal.fields.items()})
    return value


def known_size(value: Literal) -> int:
    """How many items a literal has."""
    if isinstance(value, ObjectLiteral):
        return len(value.fields)
    return len(value.items) if isinstance(value, ArrayLiteral) else len(value.members)


def literal_size(value: Abstract, most: int) -> int:
    """How many parts a literal has at any depth, counted until there are more than `most`."""
    if isinstance(value, ObjectLiteral):
        parts = list(value.fields.values())
    elif isinstance(value, ArrayLiteral | SetLiteral):
        parts = list(value.items if isinstance(value, ArrayLiteral) else value.members)
    else:
        return 1
    total = 1
    for part in parts:
        total += literal_size(part, most - total)
        if total > most:
            break
    return total


def known_value(value: Abstract) -> Value:
    """What `value` is, if all of it is known; else UNDEFINED."""
    if isinstance(value, Known):
        return value.value
    if isinstance(value, ObjectLiteral):
        fields = {key: known_value(item) for key, item in value.fields.items()}
        return UNDEFINED if any(item is UNDEFINED for item in fields.values()) else fields
    if isinstance(value, ArrayLiteral | SetLiteral):
        listed = value.items if isinstance(value, ArrayLiteral) else value.members
        items = [known_value(item) for item in listed]
        if any(item is UNDEFINED for item in items):
            return UNDEFINED
        return items if isinstance(value, ArrayLiteral) else RegoSet(items)
    return UNDEFINED


def same_form(values: Sequence[Abstract]) -> Abstract | None:
    """The one form that all of `values` have; None if they differ."""
    first = values[0]
    if all(value is first for value in values):
        return first
    if all(isinstance(value, Missing) for value in values):
        return first
    if isinstance(first, Known) and all(
        isinstance(value, Known) and _same_scalar(value.value, first.value) for value in values
    ):
        return first
    if isinstance(first, Variable) and all(
        isinstance(value, Variable) and value.name == first.name for value in values
    ):
        shape = first.shape
        changes = first.changes
        for value in values[1:]:
            if isinstance(value, Variable):
                shape = join(shape, value.shape)
                changes = changes or value.changes
        return replace(first, shape=shape, changes=changes)
    return None


_SCALARS: Final = (type(None), bool, int, str)


def _same_scalar(a: object, b: object) -> bool:
    return type(a) is type(b) and isinstance(a, _SCALARS) and a == b
