"""Objects: looked up, merged, filtered, compared as parts of one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.rego.builtins.base import BuiltinTypeError, builtin
from guardrails.rego.builtins.operands import (
    array,
    integral,
    object_,
    wrong_element,
    wrong_type,
)
from guardrails.rego.values import UNDEFINED, RegoSet, equal, is_number, to_key

if TYPE_CHECKING:
    from guardrails.rego.values import Key, Value


@builtin("object.get", arity=3)
def get(whole: Value, key: Value, default: Value) -> Value:
    """The value at `key`, or along `key` if that is an array; `default` if there is none."""
    value = object_(whole, 1)
    if type(key) is not list:
        return value.get(to_key(key), default)
    found: Value = value
    for step in key:
        found = child(found, step)
        if found is UNDEFINED:
            return default
    return found


def child(value: Value, step: Value) -> Value:
    """What stands at `step` in `value`; undefined if nothing does."""
    kind = type(value)
    if kind is dict:
        return value.get(to_key(step), UNDEFINED)
    if kind is list and is_number(step):
        place = integral(step)
        if place is not None and 0 <= place < len(value):
            return value[place]
    if kind is RegoSet and step in value:
        return step
    return UNDEFINED


@builtin("object.keys", arity=1)
def keys(whole: Value) -> Value:
    """The keys as a set."""
    return RegoSet.of_keys(set(object_(whole, 1)))


def _merged(left: dict[Key, Value], right: dict[Key, Value]) -> dict[Key, Value]:
    result = dict(left)
    for key, value in right.items():
        before = result.get(key)
        if type(before) is dict and type(value) is dict:
            result[key] = _merged(before, value)
        else:
            result[key] = value
    return result


@builtin("object.union", arity=2)
def union(left: Value, right: Value) -> Value:
    """Both objects merged at every depth; on a conflict `right` wins."""
    return _merged(object_(left, 1), object_(right, 2))


@builtin("object.union_n", arity=1)
def union_n(objects: Value) -> Value:
    """All objects of the array merged in turn; on a conflict the later one wins."""
    items = array(objects, 1)
    for item in items:
        if type(item) is not dict:
            raise wrong_element(1, items, item, "object")
    result: dict[Key, Value] = {}
    for item in items:
        result = _merged(result, item)
    return result


def _key_set(value: Value) -> set[Key]:
    kind = type(value)
    if kind is dict:
        return set(value)
    if kind is RegoSet:
        return value.keys  # type: ignore[no-any-return]  # its type was just asked
    if kind is list:
        return {to_key(item) for item in value}
    raise wrong_type(2, value, "object", "set", "array")


@builtin("object.remove", arity=2)
def remove(whole: Value, unwanted: Value) -> Value:
    """The object without the keys in `unwanted`."""
    value = object_(whole, 1)
    names = _key_set(unwanted)
    return {key: item for key, item in value.items() if key not in names}


@builtin("object.filter", arity=2)
def keep(whole: Value, wanted: Value) -> Value:
    """The object with only the keys in `wanted`."""
    value = object_(whole, 1)
    names = _key_set(wanted)
    return {key: item for key, item in value.items() if key in names}


@builtin("object.subset", arity=2)
def subset(whole: Value, part: Value) -> Value:
    """Whether `whole` contains all of `part`."""
    if type(whole) is type(part) and type(whole) in (dict, RegoSet, list):
        return _contains(whole, part)
    if type(whole) is list and type(part) is RegoSet:
        # OPA looks for the match while it walks the array, so an empty array has none.
        return bool(whole) and part.keys <= {to_key(item) for item in whole}
    message = "both arguments object.subset must be of the same type or array and set"
    raise BuiltinTypeError(message)


def _contains(whole: Value, part: Value) -> bool:
    if equal(whole, part):
        return True
    kind = type(whole)
    if kind is not type(part):
        return False
    if kind is dict:
        return all(key in whole and _contains(whole[key], item) for key, item in part.items())
    if kind is RegoSet:
        return bool(part.keys <= whole.keys)
    if kind is list:
        return _contains_run(whole, part)
    return False


def _contains_run(whole: list[Value], part: list[Value]) -> bool:
    last = len(whole) - len(part)
    return any(
        all(equal(whole[start + place], item) for place, item in enumerate(part))
        for start in range(last + 1)
    )
