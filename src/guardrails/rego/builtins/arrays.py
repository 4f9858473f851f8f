"""Arrays: joined, cut, turned round, flattened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.rego.builtins.base import builtin
from guardrails.rego.builtins.operands import array, int64

if TYPE_CHECKING:
    from guardrails.rego.values import Value


@builtin("array.concat", arity=2)
def concat(left: Value, right: Value) -> Value:
    """The elements of both, one array after the other."""
    return [*array(left, 1), *array(right, 2)]


@builtin("array.slice", arity=3)
def cut(whole: Value, start: Value, stop: Value) -> Value:
    """The elements from `start` up to and without `stop`, both clamped to the array."""
    items = array(whole, 1)
    first = int64(start, 2)
    last = min(max(int64(stop, 3), 0), len(items))
    return items[min(max(first, 0), last) : last]


@builtin("array.reverse", arity=1)
def reverse(whole: Value) -> Value:
    """The elements in opposite order."""
    return array(whole, 1)[::-1]


@builtin("array.flatten", arity=1)
def flatten(whole: Value) -> Value:
    """The elements, those of inner arrays in their place; one level deep."""
    flat: list[Value] = []
    for item in array(whole, 1):
        if type(item) is list:
            flat.extend(item)
        else:
            flat.append(item)
    return flat
