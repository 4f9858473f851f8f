"""Documents and graphs walked from end to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.rego.builtins.base import BuiltinError, builtin
from guardrails.rego.builtins.operands import object_, wrong_type
from guardrails.rego.values import RegoSet, from_key, sorted_keys, to_key

if TYPE_CHECKING:
    from guardrails.rego.values import Key, Value

_MOST_PATHS: Final = 100_000
"""Steps that ``graph.reachable_paths`` may take; the number of paths grows exponentially."""


@builtin("walk", arity=1)
def walk(document: Value) -> Value:
    """All values within the document as ``[path, value]``, the document itself first."""
    found: list[Value] = []
    pending: list[tuple[list[Value], Value]] = [([], document)]
    while pending:
        path, value = pending.pop()
        found.append([path, value])
        pending.extend(reversed([([*path, step], item) for step, item in _children(value)]))
    return found


def _children(value: Value) -> list[tuple[Value, Value]]:
    kind = type(value)
    if kind is list:
        return list(enumerate(value))
    if kind is dict:
        return [(from_key(key), value[key]) for key in sorted_keys(value)]
    if kind is RegoSet:
        return [(item, item) for item in value]
    return []


def _nodes(collection: Value) -> list[Key]:
    """The neighbours in `collection`, in key form; none if it is no collection."""
    if type(collection) is list:
        return [to_key(item) for item in collection]
    if type(collection) is RegoSet:
        return [to_key(item) for item in collection]
    return []


def _starts(initial: Value) -> list[Key]:
    if type(initial) not in (list, RegoSet):
        raise wrong_type(2, initial, "{array, set}")
    return _nodes(initial)


@builtin("graph.reachable", arity=2)
def reachable(graph: Value, initial: Value) -> Value:
    """The nodes of the graph that can be reached from the initial ones."""
    edges = object_(graph, 1)
    pending = _starts(initial)
    reached: set[Key] = set()
    while pending:
        node = pending.pop()
        if node in edges and node not in reached:
            reached.add(node)
            pending.extend(_nodes(edges[node]))
    return RegoSet.of_keys(reached)


@builtin("graph.reachable_paths", arity=2)
def reachable_paths(graph: Value, initial: Value) -> Value:
    """The paths from the initial nodes to where there is no way on but back."""
    edges = {key: _nodes(item) for key, item in object_(graph, 1).items()}
    paths: set[tuple[Key, ...]] = set()
    pending: list[tuple[Key, ...]] = [(node,) for node in _starts(initial) if node in edges]
    steps = 0
    while pending:
        path = pending.pop()
        steps += 1
        if steps + len(pending) > _MOST_PATHS:
            message = f"the graph has more than {_MOST_PATHS} paths"
            raise BuiltinError(message)
        neighbours = edges[path[-1]]
        if not neighbours:
            paths.add(path)
        for neighbour in neighbours:
            if neighbour in path or neighbour not in edges:
                paths.add(path)
            else:
                pending.append((*path, neighbour))
    return RegoSet([from_key(node) for node in path] for path in paths)
