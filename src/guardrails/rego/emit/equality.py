"""Whether two values are equal, as a boolean that is known or an expression that asks least."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.rego.emit.abstract import (
    ArrayLiteral,
    Known,
    ObjectLiteral,
    SetLiteral,
    Test,
    Variable,
)
from guardrails.rego.emit.shapes import Kind, exactly
from guardrails.rego.values import RegoSet, equal

if TYPE_CHECKING:
    from guardrails.rego.emit.abstract import Abstract
    from guardrails.rego.emit.shapes import Shape
    from guardrails.rego.emit.walk import Walk

_COMPARABLE: Final = (Kind.STRING, Kind.NUMBER, Kind.NULL)


def same(walk: Walk, a: Abstract, b: Abstract) -> Known | Test | Variable:
    """Whether `a` and `b`, both defined, are equal."""
    a, b = walk.settled(a), walk.settled(b)
    if isinstance(a, Known) and isinstance(b, Known):
        return Known(equal(a.value, b.value))
    if isinstance(a, Variable) and isinstance(b, Variable) and a.name == b.name:
        return Known(value=True)
    if isinstance(a, Known):
        a, b = b, a
    one, other = walk.shape(a).without(Kind.UNDEFINED), walk.shape(b).without(Kind.UNDEFINED)
    if not _classes(one) & _classes(other):
        return Known(value=False)
    if isinstance(b, Known):
        found = _with_constant(walk, a, b, one)
        if found is not None:
            return found
    if one.is_only(other.kinds) and any(
        one.is_only(kind) and other.is_only(kind) for kind in _COMPARABLE
    ):
        return Test(f"{walk.text(a)} == {walk.text(b)}")
    if one.is_only(Kind.STRING) or other.is_only(Kind.STRING):
        # Nothing but a string equals one, in Python as in Rego.
        return Test(f"{walk.text(a)} == {walk.text(b)}")
    return Test(f"equal({walk.text(a)}, {walk.text(b)})")


def _classes(shape: Shape) -> Kind:
    return shape.kinds


def _with_constant(  # noqa: C901, PLR0912  # one branch a kind of constant
    walk: Walk, a: Abstract, b: Known, shape: Shape
) -> Known | Test | None:
    value = b.value
    kind = type(value)
    if kind is bool:
        if isinstance(a, Test):
            return a if value else Test(f"not ({a.text})", a.fails, a.holds)
        only = Kind.TRUE if value else Kind.FALSE
        if shape.is_only(only):
            return Known(value=True)
        return Test(f"{walk.text(a)} is {value}", _learnt(a, exactly(value)))
    if value is None:
        return Test(f"{walk.text(a)} is None", _learnt(a, exactly(value)))
    if kind is str:
        return Test(f"{walk.text(a)} == {walk.text(b)}", _learnt(a, exactly(value)))
    if kind is list and not value:
        text = f"not {walk.text(a)}"
        if not shape.is_only(Kind.ARRAY):
            text = f"type({walk.text(a)}) is list and {text}"
        return Test(text)
    if kind is RegoSet:
        raw = walk.raw_text(a)
        if raw is not None and not value.keys:
            return Test(f"not {raw}")
        return None if raw is None else Test(f"{raw} == {walk.unit.constant_keys(b)}")
    if kind in (list, dict) or isinstance(a, ArrayLiteral | ObjectLiteral | SetLiteral):
        return None
    if type(value) is int and value == 0 and isinstance(a, Variable):
        counted = walk.facts.get(("count", a.name))
        if isinstance(counted, str):
            return Test(f"not {counted}")
    if shape.is_only(Kind.NUMBER) or (kind is int and value not in (0, 1)):
        return Test(f"{walk.text(a)} == {walk.text(b)}")
    return None


def _learnt(value: Abstract, shape: Shape) -> dict[str, Shape]:
    if isinstance(value, Variable) and not value.changes and not value.raw:
        return {value.name: shape}
    return {}
