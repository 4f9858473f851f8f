"""Documents changed by paths: ``json.filter``, ``json.remove`` and ``json.patch`` (RFC 6902)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.rego.builtins.base import BuiltinError, BuiltinTypeError, builtin
from guardrails.rego.builtins.objects import child
from guardrails.rego.builtins.operands import array, integral, object_, wrong_type
from guardrails.rego.values import (
    UNDEFINED,
    RegoSet,
    equal,
    from_key,
    is_number,
    to_key,
    type_name,
)

if TYPE_CHECKING:
    from guardrails.rego.values import Key, Value

_OPERATIONS: Final = frozenset({"add", "remove", "replace", "move", "copy", "test"})


def _paths(value: Value) -> list[list[Value]]:
    if type(value) not in (list, RegoSet):
        raise wrong_type(2, value, "set", "array")
    return [_path(item) for item in value]


def _path(value: Value) -> list[Value]:
    if type(value) is list:
        return value
    if type(value) is not str:
        message = (
            "operand 2 must be one of {set, array} containing string paths or array of path "
            f"segments but got {type_name(value)}"
        )
        raise BuiltinTypeError(message)
    if not value:
        return []
    return [part.replace("~1", "/").replace("~0", "~") for part in value.lstrip("/").split("/")]


def _tree(paths: list[list[Value]]) -> dict[Key, Value]:
    """The paths as nested dictionaries; None where one ends, with all below it."""
    root: dict[Key, Value] = {}
    for path in paths:
        if not path:
            continue
        node = root
        for step in path[:-1]:
            node = node.setdefault(to_key(step), {})
            if node is None:
                break
        else:
            node[to_key(path[-1])] = None
    return root


@builtin("json.filter", arity=2)
def keep(document: Value, paths: Value) -> Value:
    """The document with only what the paths lead to."""
    value = object_(document, 1)
    return _kept(value, _tree(_paths(paths)))


def _kept(value: Value, tree: dict[Key, Value] | None) -> Value:
    if tree is None:
        return value
    kind = type(value)
    if kind is dict:
        return {key: _kept(item, tree[key]) for key, item in value.items() if key in tree}
    if kind is list:
        return [
            _kept(item, tree[str(place)]) for place, item in enumerate(value) if str(place) in tree
        ]
    if kind is RegoSet:
        return RegoSet(_kept(from_key(key), tree[key]) for key in value.keys if key in tree)
    return value


@builtin("json.remove", arity=2)
def remove(document: Value, paths: Value) -> Value:
    """The document without what the paths lead to."""
    value = object_(document, 1)
    return _without(value, _tree(_paths(paths)))


_ABSENT: Final[dict[Key, Value]] = {}


def _without(value: Value, tree: dict[Key, Value]) -> Value:
    kind = type(value)
    if not tree:
        return value
    if kind is dict:
        return {
            key: _without(item, tree.get(key, _ABSENT))
            for key, item in value.items()
            if tree.get(key, _ABSENT) is not None
        }
    if kind is list:
        return [
            _without(item, tree.get(str(place), _ABSENT))
            for place, item in enumerate(value)
            if tree.get(str(place), _ABSENT) is not None
        ]
    if kind is RegoSet:
        return RegoSet(
            _without(from_key(key), tree.get(key, _ABSENT))
            for key in value.keys
            if tree.get(key, _ABSENT) is not None
        )
    return value


@builtin("json.patch", arity=2)
def patch(document: Value, operations: Value) -> Value:
    """The document after all operations; an error if one of them fails."""
    value = document
    for step in array(operations, 2):
        value = _apply(value, step)
    return value


def _apply(value: Value, operation: Value) -> Value:
    if type(operation) is not dict:
        message = (
            "must be an array of JSON-Patch objects, but at least one element is not an object"
        )
        raise BuiltinError(message)
    kind = _attribute(operation, "op")
    if type(kind) is not str or kind not in _OPERATIONS:
        message = f"unrecognized op: '{kind}'"
        raise BuiltinError(message)
    path = _path(_attribute(operation, "path"))
    if kind == "add":
        return _insert(value, path, _attribute(operation, "value"))
    if kind == "remove":
        return _delete(value, path)
    if kind == "replace":
        return _insert(_delete(value, path), path, _attribute(operation, "value"))
    if kind == "test":
        if not equal(_look_up(value, path), _attribute(operation, "value")):
            message = "test failed"
            raise BuiltinError(message)
        return value
    source = _path(_attribute(operation, "from"))
    chunk = _look_up(value, source)
    if kind == "move":
        value = _delete(value, source)
    return _insert(value, path, chunk)


def _attribute(operation: dict[Key, Value], name: str) -> Value:
    if name not in operation:
        message = f"missing required attribute '{name}'"
        raise BuiltinError(message)
    return operation[name]


def _missing(step: Value) -> BuiltinError:
    return BuiltinError(f"nothing stands at {step!r}")


def _place(items: list[Value], step: Value, *, end: bool) -> int:
    """The index that `step` means: a number, its text, or ``-`` for the end."""
    place: int | None = None
    if is_number(step):
        place = integral(step)
    elif step == "-" and type(step) is str:
        place = len(items)
    elif type(step) is str and step.isascii() and step.isdigit() and str(int(step)) == step:
        place = int(step)
    if place is None or not 0 <= place < len(items) + end:
        raise _missing(step)
    return place


def _child(value: Value, step: Value) -> Value:
    if type(value) is list:
        return value[_place(value, step, end=False)]
    found = child(value, step)
    if found is UNDEFINED:
        raise _missing(step)
    return found


def _look_up(value: Value, path: list[Value]) -> Value:
    for step in path:
        value = _child(value, step)
    return value


def _put_child(value: Value, step: Value, item: Value) -> Value:
    """`value` with `item` in place of what stands at `step`."""
    if type(value) is dict:
        return {**value, to_key(step): item}
    if type(value) is list:
        place = _place(value, step, end=False)
        return [*value[:place], item, *value[place + 1 :]]
    return RegoSet.of_keys((value.keys - {to_key(step)}) | {to_key(item)})


def _insert(value: Value, path: list[Value], item: Value) -> Value:
    if not path:
        return item
    step, rest = path[0], path[1:]
    if rest:
        return _put_child(value, step, _insert(_child(value, step), rest, item))
    kind = type(value)
    if kind is dict:
        return {**value, to_key(step): item}
    if kind is list:
        place = _place(value, step, end=True)
        return [*value[:place], item, *value[place:]]
    if kind is RegoSet and equal(step, item):
        return RegoSet.of_keys(value.keys | {to_key(item)})
    raise _missing(step)


def _delete(value: Value, path: list[Value]) -> Value:
    if not path:
        return None
    step, rest = path[0], path[1:]
    found = _child(value, step)
    if rest:
        return _put_child(value, step, _delete(found, rest))
    if type(value) is dict:
        key = to_key(step)
        return {name: item for name, item in value.items() if name != key}
    if type(value) is list:
        place = _place(value, step, end=False)
        return [*value[:place], *value[place + 1 :]]
    return RegoSet.of_keys(value.keys - {to_key(step)})
