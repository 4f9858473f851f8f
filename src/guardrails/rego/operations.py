"""What the statements do that look up, compare and build values, and move them between locals."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from guardrails.rego import ir
from guardrails.rego.evaluation import UNDEFINED_STATEMENT, error_at
from guardrails.rego.values import UNDEFINED, RegoSet, equal, to_key

if TYPE_CHECKING:
    from guardrails.rego.evaluation import Action, Evaluation, Frame, Signal
    from guardrails.rego.linking import Builders, Linker
    from guardrails.rego.values import Value

# Looking up, and comparing.


def dot(source: Value, key: Value) -> Value:
    """What stands at `key` in `source`, or UNDEFINED; in a set, the member itself."""
    kind = type(source)
    if kind is dict:
        return source.get(key if type(key) is str else to_key(key), UNDEFINED)
    if kind is list:
        # INVARIANT: type() and not isinstance(), for a boolean is no index; 1.0 is one.
        if type(key) is Decimal and key == key.to_integral_value():
            key = int(key)
        return source[key] if type(key) is int and 0 <= key < len(source) else UNDEFINED
    if kind is RegoSet:
        return key if key in source else UNDEFINED
    return UNDEFINED


def _dot(statement: ir.Dot, linker: Linker) -> Action:
    source, target = linker.place(statement.source), statement.target
    if isinstance(statement.key, ir.Constant) and type(statement.key.value) is str:
        return _dot_name(source, statement.key.value, target)
    key = linker.place(statement.key)

    def run(_: Evaluation, frame: Frame) -> Signal:
        name = frame[key]
        value = UNDEFINED if name is UNDEFINED else dot(frame[source], name)
        frame[target] = value
        return UNDEFINED_STATEMENT if value is UNDEFINED else None

    return run


def _dot_name(source: int, name: str, target: int) -> Action:
    """Most look-ups are of a name in an object."""

    def run(_: Evaluation, frame: Frame) -> Signal:
        held = frame[source]
        value = held.get(name, UNDEFINED) if type(held) is dict else dot(held, name)
        frame[target] = value
        return UNDEFINED_STATEMENT if value is UNDEFINED else None

    return run


def _len(statement: ir.Len, linker: Linker) -> Action:
    source, target = linker.place(statement.source), statement.target

    def run(_: Evaluation, frame: Frame) -> Signal:
        value = frame[source]
        if type(value) not in _SIZED:
            return UNDEFINED_STATEMENT
        frame[target] = len(value)
        return None

    return run


_SIZED: Final = frozenset((str, list, dict, RegoSet))


def _equal(statement: ir.Equal, linker: Linker) -> Action:
    first, second = linker.place(statement.a), linker.place(statement.b)

    def run(_: Evaluation, frame: Frame) -> Signal:
        a, b = frame[first], frame[second]
        if a is UNDEFINED or b is UNDEFINED:
            return UNDEFINED_STATEMENT
        return None if equal(a, b) else UNDEFINED_STATEMENT

    return run


def _not_equal(statement: ir.NotEqual, linker: Linker) -> Action:
    first, second = linker.place(statement.a), linker.place(statement.b)

    def run(_: Evaluation, frame: Frame) -> Signal:
        a, b = frame[first], frame[second]
        if a is UNDEFINED or b is UNDEFINED:
            return UNDEFINED_STATEMENT
        return UNDEFINED_STATEMENT if equal(a, b) else None

    return run


def _is_kind(statement: ir.IsArray | ir.IsObject | ir.IsSet, linker: Linker) -> Action:
    source, kind = linker.place(statement.source), _KINDS[type(statement)]

    def run(_: Evaluation, frame: Frame) -> Signal:
        return None if type(frame[source]) is kind else UNDEFINED_STATEMENT

    return run


_KINDS: Final[dict[type[ir.Statement], type]] = {
    ir.IsArray: list,
    ir.IsObject: dict,
    ir.IsSet: RegoSet,
}


def _is_defined(statement: ir.IsDefined, _: Linker) -> Action:
    source = statement.source.index

    def run(_: Evaluation, frame: Frame) -> Signal:
        return UNDEFINED_STATEMENT if frame[source] is UNDEFINED else None

    return run


def _is_undefined(statement: ir.IsUndefined, _: Linker) -> Action:
    source = statement.source.index

    def run(_: Evaluation, frame: Frame) -> Signal:
        return None if frame[source] is UNDEFINED else UNDEFINED_STATEMENT

    return run


# Locals, and what is built in them.


def _assign(statement: ir.AssignVar, linker: Linker) -> Action:
    source, target = linker.place(statement.source), statement.target

    def run(_: Evaluation, frame: Frame) -> None:
        frame[target] = frame[source]

    return run


def _assign_once(statement: ir.AssignVarOnce, linker: Linker) -> Action:
    source, target, where = linker.place(statement.source), statement.target, statement.where

    def run(_: Evaluation, frame: Frame) -> None:
        value, before = frame[source], frame[target]
        if before is UNDEFINED:
            frame[target] = value
        elif value is UNDEFINED or not equal(before, value):
            msg = "complete rules must not produce multiple outputs"
            raise error_at("eval_conflict_error", msg, where)

    return run


def _make_array(statement: ir.MakeArray, _: Linker) -> Action:
    target = statement.target

    def run(_: Evaluation, frame: Frame) -> None:
        frame[target] = []

    return run


def _make_object(statement: ir.MakeObject, _: Linker) -> Action:
    target = statement.target

    def run(_: Evaluation, frame: Frame) -> None:
        frame[target] = {}

    return run


def _make_set(statement: ir.MakeSet, _: Linker) -> Action:
    target = statement.target

    def run(_: Evaluation, frame: Frame) -> None:
        frame[target] = RegoSet()

    return run


def _make_scalar(statement: ir.MakeNull | ir.MakeNumber | ir.ResetLocal, _: Linker) -> Action:
    target = statement.target
    value: Value = UNDEFINED
    if isinstance(statement, ir.MakeNull):
        value = None
    elif isinstance(statement, ir.MakeNumber):
        value = statement.value

    def run(_: Evaluation, frame: Frame) -> None:
        frame[target] = value

    return run


def _own(statement: ir.Own, _: Linker) -> Action:
    target = statement.target

    def run(_: Evaluation, frame: Frame) -> None:
        frame[target] = own(frame[target])

    return run


def own(value: Value) -> Value:
    """`value`, or a shallow copy of it if it is a collection."""
    kind = type(value)
    if kind is dict or kind is list:
        return value.copy()
    if kind is RegoSet:
        return RegoSet.of_keys(set(value.keys))
    return value


def _append(statement: ir.ArrayAppend, linker: Linker) -> Action:
    held, source = statement.array.index, linker.place(statement.value)

    def run(_: Evaluation, frame: Frame) -> Signal:
        array, value = frame[held], frame[source]
        if value is UNDEFINED or type(array) is not list:
            return UNDEFINED_STATEMENT
        array.append(value)
        return None

    return run


def _set_add(statement: ir.SetAdd, linker: Linker) -> Action:
    held, source = statement.set.index, linker.place(statement.value)

    def run(_: Evaluation, frame: Frame) -> Signal:
        members, value = frame[held], frame[source]
        if value is UNDEFINED or type(members) is not RegoSet:
            return UNDEFINED_STATEMENT
        members.add(value)
        return None

    return run


def _insert(statement: ir.ObjectInsert, linker: Linker) -> Action:
    held = statement.object.index
    name, source = linker.place(statement.key), linker.place(statement.value)

    def run(_: Evaluation, frame: Frame) -> Signal:
        mapping, key, value = frame[held], frame[name], frame[source]
        if key is UNDEFINED or value is UNDEFINED or type(mapping) is not dict:
            return UNDEFINED_STATEMENT
        mapping[key if type(key) is str else to_key(key)] = value
        return None

    return run


def _insert_once(statement: ir.ObjectInsertOnce, linker: Linker) -> Action:
    held, where = statement.object.index, statement.where
    name, source = linker.place(statement.key), linker.place(statement.value)

    def run(_: Evaluation, frame: Frame) -> Signal:
        mapping, key, value = frame[held], frame[name], frame[source]
        if key is UNDEFINED or value is UNDEFINED or type(mapping) is not dict:
            return UNDEFINED_STATEMENT
        before = mapping.setdefault(key if type(key) is str else to_key(key), value)
        if before is not value and not equal(before, value):
            raise error_at("eval_conflict_error", "object keys must be unique", where)
        return None

    return run


def _merge(statement: ir.ObjectMerge, _: Linker) -> Action:
    first, second, target = statement.a.index, statement.b.index, statement.target

    def run(_: Evaluation, frame: Frame) -> Signal:
        a, b = frame[first], frame[second]
        if type(a) is not dict or type(b) is not dict:
            return UNDEFINED_STATEMENT
        frame[target] = merged(a, b)
        return None

    return run


def merged(a: dict[Any, Value], b: dict[Any, Value]) -> dict[Any, Value]:
    """The keys of both, recursively; where both have one, `a` wins."""
    found = b | a
    for key in a.keys() & b.keys():
        if type(a[key]) is dict and type(b[key]) is dict:
            found[key] = merged(a[key], b[key])
    return found


OPERATIONS: Final[Builders] = {
    ir.ArrayAppend: _append,
    ir.AssignVar: _assign,
    ir.AssignVarOnce: _assign_once,
    ir.Dot: _dot,
    ir.Equal: _equal,
    ir.IsArray: _is_kind,
    ir.IsDefined: _is_defined,
    ir.IsObject: _is_kind,
    ir.IsSet: _is_kind,
    ir.IsUndefined: _is_undefined,
    ir.Len: _len,
    ir.MakeArray: _make_array,
    ir.MakeNull: _make_scalar,
    ir.MakeNumber: _make_scalar,
    ir.MakeObject: _make_object,
    ir.MakeSet: _make_set,
    ir.NotEqual: _not_equal,
    ir.ObjectInsert: _insert,
    ir.ObjectInsertOnce: _insert_once,
    ir.ObjectMerge: _merge,
    ir.Own: _own,
    ir.ResetLocal: _make_scalar,
    ir.SetAdd: _set_add,
}
"""The builders of these statements."""
