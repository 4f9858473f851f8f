"""Ranges of integers, and a random one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.rego.builtins.base import BuiltinError, EvaluationContext, builtin
from guardrails.rego.builtins.operands import big_int, int64, string

if TYPE_CHECKING:
    from guardrails.rego.values import Value


def _range(context: EvaluationContext, first: int, last: int, step: int) -> list[Value]:
    items = abs(last - first) // step + 1
    if items > context.largest_range:
        message = f"the range would have {items} items; at most {context.largest_range} are made"
        raise BuiltinError(message)
    if first <= last:
        return list(range(first, last + 1, step))
    return list(range(first, last - 1, -step))


@builtin("numbers.range", arity=2, needs_context=True)
def numbers_range(context: EvaluationContext, first: Value, last: Value) -> Value:
    """All integers from `first` to `last`, upwards or downwards."""
    return _range(context, big_int(first, 1), big_int(last, 2), 1)


@builtin("numbers.range_step", arity=3, needs_context=True)
def numbers_range_step(context: EvaluationContext, first: Value, last: Value, step: Value) -> Value:
    """Every `step`-th integer from `first` to at most `last`, upwards or downwards."""
    start, end, width = big_int(first, 1), big_int(last, 2), big_int(step, 3)
    if width <= 0:
        message = "numbers.range_step: step must be a positive integer"
        raise BuiltinError(message)
    return _range(context, start, end, width)


@builtin("rand.intn", arity=2, needs_context=True)
def rand_intn(context: EvaluationContext, name: Value, end: Value) -> Value:
    """A random integer from 0 up to `end`, the same one for the same `name` and `end`."""
    key = (string(name, 1), abs(int64(end, 2)))
    if not key[1]:
        return 0
    if key not in context.integers:
        context.integers[key] = context.random.randrange(key[1])
    return context.integers[key]
