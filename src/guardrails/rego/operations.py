"""What the statements do that look up, compare and build values, and move them between locals."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from guardrails.rego import ir
from guardrails.rego.evaluation import NEXT, UNDEFINED_STATEMENT, error_at, read
from guardrails.rego.values import UNDEFINED, RegoSet, equal, to_key

if TYPE_CHECKING:
    from guardrails.rego.evaluation import Evaluation, Frame, Handlers
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


def _dot(_: Evaluation, statement: ir.Dot, frame: Frame) -> int:
    source = read(statement.source, frame)
    key = read(statement.key, frame)
    if source is UNDEFINED or key is UNDEFINED:
        return UNDEFINED_STATEMENT
    value = dot(source, key)
    frame[statement.target] = value
    return UNDEFINED_STATEMENT if value is UNDEFINED else NEXT


def _len(_: Evaluation, statement: ir.Len, frame: Frame) -> int:
    source = read(statement.source, frame)
    if type(source) not in _SIZED:
        return UNDEFINED_STATEMENT
    frame[statement.target] = len(source)
    return NEXT


_SIZED: Final = frozenset((str, list, dict, RegoSet))


def _equal(_: Evaluation, statement: ir.Equal, frame: Frame) -> int:
    a = read(statement.a, frame)
    b = read(statement.b, frame)
    if a is UNDEFINED or b is UNDEFINED:
        return UNDEFINED_STATEMENT
    return NEXT if equal(a, b) else UNDEFINED_STATEMENT


def _not_equal(_: Evaluation, statement: ir.NotEqual, frame: Frame) -> int:
    a = read(statement.a, frame)
    b = read(statement.b, frame)
    if a is UNDEFINED or b is UNDEFINED:
        return UNDEFINED_STATEMENT
    return UNDEFINED_STATEMENT if equal(a, b) else NEXT


def _is_array(_: Evaluation, statement: ir.IsArray, frame: Frame) -> int:
    return NEXT if type(read(statement.source, frame)) is list else UNDEFINED_STATEMENT


def _is_object(_: Evaluation, statement: ir.IsObject, frame: Frame) -> int:
    return NEXT if type(read(statement.source, frame)) is dict else UNDEFINED_STATEMENT


def _is_set(_: Evaluation, statement: ir.IsSet, frame: Frame) -> int:
    return NEXT if type(read(statement.source, frame)) is RegoSet else UNDEFINED_STATEMENT


def _is_defined(_: Evaluation, statement: ir.IsDefined, frame: Frame) -> int:
    return UNDEFINED_STATEMENT if frame[statement.source.index] is UNDEFINED else NEXT


def _is_undefined(_: Evaluation, statement: ir.IsUndefined, frame: Frame) -> int:
    return NEXT if frame[statement.source.index] is UNDEFINED else UNDEFINED_STATEMENT


# Locals, and what is built in them.


def _assign(_: Evaluation, statement: ir.AssignVar, frame: Frame) -> int:
    frame[statement.target] = read(statement.source, frame)
    return NEXT


def _assign_once(_: Evaluation, statement: ir.AssignVarOnce, frame: Frame) -> int:
    value = read(statement.source, frame)
    before = frame[statement.target]
    if before is UNDEFINED:
        frame[statement.target] = value
    elif value is UNDEFINED or not equal(before, value):
        msg = "complete rules must not produce multiple outputs"
        raise error_at("eval_conflict_error", msg, statement.where)
    return NEXT


def _make_array(_: Evaluation, statement: ir.MakeArray, frame: Frame) -> int:
    frame[statement.target] = []
    return NEXT


def _make_object(_: Evaluation, statement: ir.MakeObject, frame: Frame) -> int:
    frame[statement.target] = {}
    return NEXT


def _make_set(_: Evaluation, statement: ir.MakeSet, frame: Frame) -> int:
    frame[statement.target] = RegoSet()
    return NEXT


def _make_null(_: Evaluation, statement: ir.MakeNull, frame: Frame) -> int:
    frame[statement.target] = None
    return NEXT


def _make_number(_: Evaluation, statement: ir.MakeNumber, frame: Frame) -> int:
    frame[statement.target] = statement.value
    return NEXT


def _reset(_: Evaluation, statement: ir.ResetLocal, frame: Frame) -> int:
    frame[statement.target] = UNDEFINED
    return NEXT


def _own(_: Evaluation, statement: ir.Own, frame: Frame) -> int:
    value = frame[statement.target]
    kind = type(value)
    if kind is dict or kind is list:
        frame[statement.target] = value.copy()
    elif kind is RegoSet:
        frame[statement.target] = RegoSet.of_keys(set(value.keys))
    return NEXT


def _append(_: Evaluation, statement: ir.ArrayAppend, frame: Frame) -> int:
    array = frame[statement.array.index]
    value = read(statement.value, frame)
    if value is UNDEFINED or type(array) is not list:
        return UNDEFINED_STATEMENT
    array.append(value)
    return NEXT


def _set_add(_: Evaluation, statement: ir.SetAdd, frame: Frame) -> int:
    members = frame[statement.set.index]
    value = read(statement.value, frame)
    if value is UNDEFINED or type(members) is not RegoSet:
        return UNDEFINED_STATEMENT
    members.add(value)
    return NEXT


def _insert(_: Evaluation, statement: ir.ObjectInsert, frame: Frame) -> int:
    mapping = frame[statement.object.index]
    key = read(statement.key, frame)
    value = read(statement.value, frame)
    if key is UNDEFINED or value is UNDEFINED or type(mapping) is not dict:
        return UNDEFINED_STATEMENT
    mapping[to_key(key)] = value
    return NEXT


def _insert_once(_: Evaluation, statement: ir.ObjectInsertOnce, frame: Frame) -> int:
    mapping = frame[statement.object.index]
    key = read(statement.key, frame)
    value = read(statement.value, frame)
    if key is UNDEFINED or value is UNDEFINED or type(mapping) is not dict:
        return UNDEFINED_STATEMENT
    found = to_key(key)
    before = mapping.get(found, UNDEFINED)
    if before is not UNDEFINED and not equal(before, value):
        raise error_at("eval_conflict_error", "object keys must be unique", statement.where)
    mapping[found] = value
    return NEXT


def _merge(_: Evaluation, statement: ir.ObjectMerge, frame: Frame) -> int:
    a = frame[statement.a.index]
    b = frame[statement.b.index]
    if type(a) is not dict or type(b) is not dict:
        return UNDEFINED_STATEMENT
    frame[statement.target] = _merged(a, b)
    return NEXT


def _merged(a: dict[Any, Value], b: dict[Any, Value]) -> dict[Any, Value]:
    merged = b | a
    for key in a.keys() & b.keys():
        if type(a[key]) is dict and type(b[key]) is dict:
            merged[key] = _merged(a[key], b[key])
    return merged


OPERATIONS: Final[Handlers] = {
    ir.ArrayAppend: _append,
    ir.AssignVar: _assign,
    ir.AssignVarOnce: _assign_once,
    ir.Dot: _dot,
    ir.Equal: _equal,
    ir.IsArray: _is_array,
    ir.IsDefined: _is_defined,
    ir.IsObject: _is_object,
    ir.IsSet: _is_set,
    ir.IsUndefined: _is_undefined,
    ir.Len: _len,
    ir.MakeArray: _make_array,
    ir.MakeNull: _make_null,
    ir.MakeNumber: _make_number,
    ir.MakeObject: _make_object,
    ir.MakeSet: _make_set,
    ir.NotEqual: _not_equal,
    ir.ObjectInsert: _insert,
    ir.ObjectInsertOnce: _insert_once,
    ir.ObjectMerge: _merge,
    ir.Own: _own,
    ir.ResetLocal: _reset,
    ir.SetAdd: _set_add,
}
"""The handlers of these statements."""
