"""Sets of sets: their union and intersection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.rego.builtins.base import builtin
from guardrails.rego.builtins.operands import set_
from guardrails.rego.values import RegoSet

if TYPE_CHECKING:
    from guardrails.rego.values import Value


@builtin("union", arity=1)
def union(sets: Value) -> Value:
    """The members of any of the sets."""
    members = [set_(item, 1).keys for item in set_(sets, 1)]
    return RegoSet.of_keys(set().union(*members))


@builtin("intersection", arity=1)
def intersection(sets: Value) -> Value:
    """The members of all of the sets; the empty set of none."""
    members = [set_(item, 1).keys for item in set_(sets, 1)]
    return RegoSet.of_keys(set.intersection(*members) if members else set())


@builtin("set_diff", arity=2)
def difference(left: Value, right: Value) -> Value:
    """The members of `left` that are not in `right`."""
    return RegoSet.of_keys(set_(left, 1).keys - set_(right, 2).keys)
