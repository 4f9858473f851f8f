"""Which statements of a function mean that one of its definitions held.

A rule may have several definitions, and each may have `else` branches. A plan runs the
definitions one after the other, each in blocks of its own at the top of one function. The
statement with which a definition gives its value, or its element, is the last one of it that
matters: where it ran, the definition's body held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guardrails.rego import ir

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Definition(NamedTuple):
    """One definition of a rule or function.

    Attributes:
        path: The path of its function, as ``("g0", "guardrails", "decision")``.
        number: Which one it is, from 0, of those that are no default.
        among: How many of those there are.
        default: Whether it is the default.
        branch: Which of its branches gives the value: 0 the first, 1 the first `else`.
        branches: How many of those there are.
    """

    path: tuple[str, ...]
    number: int
    among: int
    default: bool
    branch: int
    branches: int


def head_writes(functions: Mapping[str, ir.Function]) -> dict[int, Definition]:
    """The statements with which definitions give their values, by their identity.

    It holds as long as `functions` are kept.
    """
    found: dict[int, Definition] = {}
    for function in functions.values():
        results = _results(function)
        writes = [
            [id(each) for each in ir.statements((body,)) if _gives(each, results)]
            for body in function.blocks
        ]
        default = [_is_default(body, results) for body in function.blocks]
        numbers = [n for n, body in enumerate(writes) if body and not default[n]]
        for block, body in enumerate(writes):
            number = numbers.index(block) if block in numbers else 0
            for branch, write in enumerate(body):
                found[write] = Definition(
                    function.path, number, len(numbers), default[block], branch, len(body)
                )
    return found


def blocks_of(functions: Mapping[str, ir.Function]) -> dict[int, int]:
    """In which of its function's blocks each statement stands, by its identity, as above."""
    return {
        id(each): number
        for function in functions.values()
        for number, body in enumerate(function.blocks)
        for each in ir.statements((body,))
    }


def _results(function: ir.Function) -> set[int]:
    """The locals that hold the function's value on its way to the end."""
    every = list(ir.statements(function.blocks))
    once = {each.target for each in every if isinstance(each, ir.AssignVarOnce)}
    results = {each.source.index for each in every if isinstance(each, ir.ReturnLocal)}
    # Chains of `else`, and OPA's rules with a default, pass the value on from local to local.
    while True:
        passed = set(_passed(every, once, results))
        if passed <= results:
            return results
        results |= passed


def _passed(every: list[ir.Statement], once: set[int], results: set[int]) -> Iterator[int]:
    for each in every:
        if isinstance(each, ir.AssignVarOnce) and each.target in results:
            source = each.source
            if isinstance(source, ir.Local) and source.index in once:
                yield source.index


def _gives(statement: ir.Statement, results: set[int]) -> bool:
    match statement:
        case ir.AssignVarOnce(source=source, target=target):
            passes_on = isinstance(source, ir.Local) and source.index in results
            return target in results and not passes_on
        case ir.SetAdd(set=changed):
            return changed.index in results
        case ir.ObjectInsert(object=changed) | ir.ObjectInsertOnce(object=changed):
            return changed.index in results
    return False


def _is_default(body: ir.Body, results: set[int]) -> bool:
    first = body[0] if body else None
    return isinstance(first, ir.IsUndefined) and first.source.index in results


__all__ = ["Definition", "blocks_of", "head_writes"]
