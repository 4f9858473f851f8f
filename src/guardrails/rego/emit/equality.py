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
from guardrails.rego.emit.shapes import Kind, exactly, span_of
from guardrails.rego.values import RegoSet, equal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.rego.emit.abstract import Abstract
    from guardrails.rego.emit.shapes import Shape
    from guardrails.rego.emit.walk import Walk
    from guardrails.rego.values import Key, Value

_COMPARABLE: Final = (Kind.STRING, Kind.NUMBER, Kind.NULL)


def same(walk: Walk, a: Abstract, b: Abstract) -> Known | Test | Variable:
    """Whether `a` and `b`, both defined, are equal."""
    a, b = walk.settled(a), walk.settled(b)
    if isinstance(a, Known) and isinstance(b, Known):
        return Known(equal(a.value, b.value))
    if isinstance(a, Variable) and isinstance(b, Variable) and a.name == b.name:
        return Known(value=True)
    spans = span_of(walk.shape(a)), span_of(walk.shape(b))
    if spans[0] is not None and spans[1] is not None and _apart(spans[0], spans[1]):
        return Known(value=False)
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
    if _as_in_python(one) and _as_in_python(other) and not _raw(walk, a, b):
        return Test(f"{walk.text(a)} == {walk.text(b)}")
    return Test(f"equal({walk.text(a)}, {walk.text(b)})")


def _raw(walk: Walk, *values: Abstract) -> bool:
    return any(walk.raw_text(value) is not None for value in values)


def _as_in_python(shape: Shape, depth: int = 0) -> bool:
    """Whether Python's ``==`` says of such values what Rego's does: it mixes up 1 and true."""
    if not shape.is_only(Kind.PLAIN | Kind.ARRAY | Kind.OBJECT) or depth > _DEEPEST:
        return False
    if not shape.may_be(Kind.ARRAY | Kind.OBJECT):
        return True
    return _as_in_python(shape.items(), depth + 1)


_DEEPEST: Final = 4
"""Collections within one another that are looked into."""


def _apart(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[1] < other[0] or other[1] < one[0]


def _classes(shape: Shape) -> Kind:
    return shape.kinds


def _with_constant(  # noqa: C901, PLR0912  # one branch a kind of constant
    walk: Walk, a: Abstract, b: Known, shape: Shape
) -> Known | Test | None:
    value = b.value
    kind = type(value)
    if shape.filled and kind in (str, list, dict, RegoSet) and not len(value):
        return Known(value=False)
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
        if raw is None:
            return None
        if not value.keys:
            empty = walk.facts.get(("empty", raw))
            return Test(empty if isinstance(empty, str) else f"not {raw}")
        keys = walk.facts.get(("keys", raw))
        given = keys if isinstance(keys, str) else f"{raw}.keys()"
        return Test(f"{given} == {walk.unit.constant_keys(b)}")
    if kind is dict and isinstance(a, Variable):
        return _with_object(walk, a, value, shape)
    if kind in (list, dict) or isinstance(a, ArrayLiteral | ObjectLiteral | SetLiteral):
        return None
    if type(value) is int and value == 0 and isinstance(a, Variable):
        counted = walk.facts.get(("count", a.name))
        if isinstance(counted, str):
            return Test(f"not {counted}")
    if shape.is_only(Kind.NUMBER) or (kind is int and value not in (0, 1)):
        return Test(f"{walk.text(a)} == {walk.text(b)}")
    return None


def _with_object(
    walk: Walk, a: Variable, value: Mapping[Key, Value], shape: Shape
) -> Known | Test | None:
    """Whether `a` is one small object, field by field."""
    if len(value) > _FEW or not all(type(key) is str for key in value):
        return None
    name = a.name
    parts = [] if shape.is_only(Kind.OBJECT) else [f"type({name}) is dict"]
    parts.append(f"len({name}) == {len(value)}")
    for key, item in value.items():
        found = f"{name}.get({walk.text(Known(key))}, U)"
        if item is None or type(item) is bool:
            parts.append(f"{found} is {item}")
        elif type(item) is str:
            parts.append(f"{found} == {walk.text(Known(item))}")
        else:
            return None
    return Test(" and ".join(parts))


_FEW: Final = 4
"""Fields of an object that are compared one by one."""


def _learnt(value: Abstract, shape: Shape) -> dict[str, Shape]:
    if isinstance(value, Variable) and not value.changes and not value.raw:
        return {value.name: shape}
    return {}
