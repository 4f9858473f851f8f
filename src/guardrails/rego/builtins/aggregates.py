"""Aggregates: one value for a whole collection, and membership in one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.rego.builtins import bigfloat
from guardrails.rego.builtins.base import builtin
from guardrails.rego.builtins.operands import bounded, integral, wrong_element, wrong_type
from guardrails.rego.values import (
    UNDEFINED,
    RegoSet,
    compare,
    equal,
    is_number,
    sorted_values,
    to_key,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrails.rego.builtins.operands import Number
    from guardrails.rego.values import Value

_PRODUCT_PRECISION = 53
"""OPA starts a product of fractions from a float64, whose mantissa it keeps."""


@builtin("count", arity=1)
def count(collection: Value) -> Value:
    """The number of elements, or of characters."""
    if type(collection) in (list, dict, RegoSet, str):
        return len(collection)
    raise wrong_type(1, collection, "array", "object", "set", "string")


def _items(collection: Value) -> list[Value]:
    if type(collection) is list:
        return collection
    if type(collection) is RegoSet:
        return list(collection)
    raise wrong_type(1, collection, "set", "array")


def _numbers(collection: Value) -> list[Number]:
    items = _items(collection)
    for item in items:
        if not is_number(item):
            raise wrong_element(1, collection, item, "number")
    return items


def _integers(numbers: Sequence[Number]) -> list[int] | None:
    whole = [integral(item) for item in numbers]
    found = [item for item in whole if item is not None]
    return found if len(found) == len(whole) else None


@builtin("sum", arity=1)
def total(collection: Value) -> Value:
    """The sum of all numbers; 0 of none."""
    numbers = _numbers(collection)
    integers = _integers(numbers)
    if integers is not None:
        return bounded(sum(integers))
    result: bigfloat.Float = (0, 0)
    for item in numbers:
        result = bigfloat.add(result, bigfloat.from_number(item))
    return bigfloat.to_number(result)


@builtin("product", arity=1)
def product(collection: Value) -> Value:
    """The product of all numbers; 1 of none."""
    numbers = _numbers(collection)
    integers = _integers(numbers)
    if integers is not None:
        result = 1
        for item in integers:
            result *= item
            bounded(result)
        return result
    value: bigfloat.Float = (1, 0)
    for factor in numbers:
        value = bigfloat.multiply(value, bigfloat.from_number(factor), _PRODUCT_PRECISION)
    return bigfloat.to_number(value, _PRODUCT_PRECISION)


@builtin("max", arity=1)
def largest(collection: Value) -> Value:
    """The last element in Rego's order; undefined of none."""
    items = _items(collection)
    best = UNDEFINED if not items else items[0]
    for item in items[1:]:
        if compare(best, item) <= 0:
            best = item
    return best


@builtin("min", arity=1)
def smallest(collection: Value) -> Value:
    """The first element in Rego's order; undefined of none."""
    items = _items(collection)
    best = UNDEFINED if not items else items[0]
    for item in items[1:]:
        if compare(best, item) >= 0:
            best = item
    return best


@builtin("sort", arity=1)
def in_order(collection: Value) -> Value:
    """The elements as an array in Rego's order."""
    return sorted_values(_items(collection))


@builtin("all", arity=1)
def every_true(collection: Value) -> Value:
    """Whether every element is ``true``."""
    if type(collection) not in (list, RegoSet):
        raise wrong_type(1, collection, "array", "set")
    return all(item is True for item in collection)


@builtin("any", arity=1)
def some_true(collection: Value) -> Value:
    """Whether some element is ``true``."""
    if type(collection) not in (list, RegoSet):
        raise wrong_type(1, collection, "array", "set")
    return any(item is True for item in collection)


@builtin("internal.member_2", arity=2)
def member(value: Value, collection: Value) -> Value:
    """``value in collection``."""
    kind = type(collection)
    if kind is RegoSet:
        return value in collection
    if kind is list:
        return any(equal(value, item) for item in collection)
    if kind is dict:
        return any(equal(value, item) for item in collection.values())
    return False


@builtin("internal.member_3", arity=3)
def member_at(key: Value, value: Value, collection: Value) -> Value:
    """``key, value in collection``."""
    kind = type(collection)
    if kind is RegoSet:
        return key in collection and equal(key, value)
    if kind is dict:
        found = collection.get(to_key(key), UNDEFINED)
        return found is not UNDEFINED and equal(value, found)
    if kind is list and is_number(key):
        place = integral(key)
        return (
            place is not None and 0 <= place < len(collection) and equal(value, collection[place])
        )
    return False
