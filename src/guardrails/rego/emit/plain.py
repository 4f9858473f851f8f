"""The plan without its planner's manners: fewer statements, the same results.

* A local that is written and never read is not written.
* OPA plans "this must hold" as two blocks within one another with two breaks; what must hold
  stands in place of them, for a statement that is undefined leaves its block anyway.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from guardrails.rego import ir

if TYPE_CHECKING:
    from collections.abc import Iterable


def plain(policy: ir.Policy) -> ir.Policy:
    """`policy` with the same results, in fewer statements."""
    functions = {
        name: replace(function, blocks=_plain(function.blocks))
        for name, function in policy.functions.items()
    }
    plans = {name: replace(plan, blocks=_plain(plan.blocks)) for name, plan in policy.plans.items()}
    by_path = {path: functions[each.name] for path, each in policy.by_path.items()}
    return replace(policy, functions=functions, plans=plans, by_path=by_path)


def _plain(blocks: tuple[ir.Body, ...]) -> tuple[ir.Body, ...]:
    blocks = tuple(_asserting(body) for body in blocks)
    while True:
        read = {local for each in ir.statements(blocks) for local in ir.reads(each)}
        kept = _without(blocks, read)
        if kept == blocks:
            return blocks
        blocks = kept


def _without(blocks: Iterable[ir.Body], read: set[int]) -> tuple[ir.Body, ...]:
    """`blocks` without copies into locals that nobody reads."""
    found = []
    for body in blocks:
        kept: list[ir.Statement] = []
        for statement in body:
            if isinstance(statement, ir.AssignVar) and statement.target not in read:
                continue
            if isinstance(statement, ir.Block):
                inner = _without(statement.blocks, read)
                if not any(inner):
                    continue
                kept.append(replace(statement, blocks=inner))
            elif isinstance(statement, ir.Scan | ir.Not | ir.With):
                kept.append(replace(statement, body=_without((statement.body,), read)[0]))
            else:
                kept.append(statement)
        found.append(tuple(kept))
    return tuple(found)


def _asserting(body: ir.Body) -> ir.Body:
    found: list[ir.Statement] = []
    for statement in body:
        if isinstance(statement, ir.Block):
            inner = replace(statement, blocks=tuple(map(_asserting, statement.blocks)))
            asserted = _asserted(inner)
            if asserted is None:
                found.append(inner)
            else:
                found += asserted
        elif isinstance(statement, ir.Scan | ir.Not | ir.With):
            found.append(replace(statement, body=_asserting(statement.body)))
        else:
            found.append(statement)
    return tuple(found)


def _asserted(block: ir.Block) -> ir.Body | None:
    """What must hold for `block` to be passed, if it only asks: ``{{s; break 1}; break 1}``."""
    match block.blocks:
        case ((ir.Block(blocks=((*held, ir.Break(index=1)),)), ir.Break(index=1)),):
            inside = ir.statements((tuple(held),))
            if not any(isinstance(each, ir.Break | ir.CallDynamic) for each in inside):
                return tuple(held)
    return None


def reach(body: Iterable[ir.Statement], depth: int) -> int:
    """How many blocks a break in `body` leaves beyond those that `depth` counts.

    Args:
        body: Statements.
        depth: How many blocks around them do not count.
    """
    found = 0
    for statement in body:
        if isinstance(statement, ir.Break):
            found = max(found, statement.index + 1 - depth)
        if isinstance(statement, ir.CallDynamic):
            found = max(found, ir.UNDEFINED_CALL_LEAVES + 1 - depth)
        for inner in ir.bodies(statement):
            found = max(found, reach(inner, depth + 1))
    return found
