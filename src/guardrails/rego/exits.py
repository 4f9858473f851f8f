"""Stops working a rule out once it has the only value that it can have.

Where all bodies of a rule or function give the same constant, OPA leaves it with the first that
holds; its plans try them all. Here each further body begins with the question whether there is
a value already, and a loop that gave one is left. The results are the same; an error in a body
that OPA does not come to is none here, either.

Source: https://www.openpolicyagent.org/docs/policy-performance#early-exit-in-rule-evaluation
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from guardrails.rego import ir
from guardrails.rego.liveness import Liveness

_Marks: TypeAlias = set[tuple[str, object]]


def with_exits(policy: ir.Policy) -> ir.Policy:
    """`policy` with the same results, in which such rules are left early."""
    functions = {name: _with_exits(function) for name, function in policy.functions.items()}
    by_path = {path: functions[each.name] for path, each in policy.by_path.items()}
    return replace(policy, functions=functions, by_path=by_path)


def _with_exits(function: ir.Function) -> ir.Function:
    last = function.blocks[-1] if function.blocks else ()
    if not last or not isinstance(last[-1], ir.ReturnLocal):
        return function
    result = last[-1].source.index
    flows = _flows(function.blocks, result)
    if flows is None:
        return function
    found: list[ir.Body] = []
    given = False
    live = Liveness(function.blocks)
    for body in function.blocks[:-1]:
        written = {local for each in ir.statements((body,)) for local in ir.writes(each)}
        if not written & flows or all(isinstance(each, ir.ResetLocal) for each in body):
            found.append(body)
            continue
        copies = all(
            isinstance(each, ir.IsDefined | ir.AssignVarOnce | ir.AssignVar) for each in body
        )
        leaving = _leaving(body, flows, 0)
        if given and not copies and written & live.behind[id(body)] <= flows:
            leaving = (ir.IsUndefined(body[0].where, ir.Local(result)), *leaving)
        given = given or result in written
        found.append(leaving)
    return replace(function, blocks=(*found, last))


def _flows(blocks: tuple[ir.Body, ...], result: int) -> set[int] | None:
    """The locals through which a function gets its value, if that is one constant; else None."""
    sources: dict[int, _Marks] = {}
    for statement in ir.statements(blocks):
        for local in ir.writes(statement):
            sources.setdefault(local, set()).add(_mark(statement))
    flows: set[int] = set()
    constants: set[object] = set()
    waiting = [result]
    while waiting:
        local = waiting.pop()
        if local in flows:
            continue
        flows.add(local)
        for kind, value in sources.get(local, ()):
            if kind == "constant":
                constants.add((type(value), value))
            elif kind == "local" and isinstance(value, int):
                waiting.append(value)
            elif kind != "reset":
                return None
    return flows if len(constants) == 1 else None


def _mark(statement: ir.Statement) -> tuple[str, object]:
    """What a statement writes, as far as that matters here."""
    if isinstance(statement, ir.AssignVar | ir.AssignVarOnce):
        if isinstance(statement.source, ir.Constant):
            return "constant", statement.source.value
        return "local", statement.source.index
    return ("reset", None) if isinstance(statement, ir.ResetLocal) else ("other", None)


def _leaving(body: ir.Body, flows: set[int], depth: int, *, looped: bool = False) -> ir.Body:
    """`body`, in which a loop is left where its last statement gave the value."""
    if not body:
        return body
    *before, last = body
    if isinstance(last, ir.AssignVar | ir.AssignVarOnce) and last.target in flows and looped:
        return (*body, ir.Break(last.where, depth))
    if isinstance(last, ir.Scan):
        inner = _leaving(last.body, flows, depth + 1, looped=True)
        return (*before, replace(last, body=inner))
    if isinstance(last, ir.Block) and len(last.blocks) == 1:
        inner = _leaving(last.blocks[0], flows, depth + 1, looped=looped)
        return (*before, replace(last, blocks=(inner,)))
    return body
