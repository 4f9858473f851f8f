"""Comparison: equality by content, order across all types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.rego.builtins.base import builtin
from guardrails.rego.values import compare, equal

if TYPE_CHECKING:
    from guardrails.rego.values import Value


@builtin("equal", arity=2)
def equals(left: Value, right: Value) -> Value:
    """Whether the two are the same."""
    return equal(left, right)


eq = equals.named("eq")
assign = equals.named("assign")


@builtin("neq", arity=2)
def differs(left: Value, right: Value) -> Value:
    """Whether the two are not the same."""
    return not equal(left, right)


@builtin("lt", arity=2)
def below(left: Value, right: Value) -> Value:
    """Whether left < right."""
    return compare(left, right) < 0


@builtin("lte", arity=2)
def not_above(left: Value, right: Value) -> Value:
    """Whether left <= right."""
    return compare(left, right) <= 0


@builtin("gt", arity=2)
def above(left: Value, right: Value) -> Value:
    """Whether left > right."""
    return compare(left, right) > 0


@builtin("gte", arity=2)
def not_below(left: Value, right: Value) -> Value:
    """Whether left >= right."""
    return compare(left, right) >= 0
