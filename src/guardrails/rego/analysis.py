"""What a planned policy must not contain, whichever planner made the plan.

OPA's compiler refuses most of this before it plans; regopy plans it, and its
plan then decides something else than its author meant. So every program is
checked at load. A check is a function from the decoded policy to the problems
that it finds; :data:`CHECKS` lists them.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from guardrails.errors import PolicyLoadError
from guardrails.rego import ir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RULES: Final = ("guardrails", "rules")
"""The package under which rule packages lie."""

CONTRIBUTIONS: Final = ("deny", "shadow", "allow", "require_approval", "obligations")
"""The rules by which a rule package contributes to the decision; each is a partial set."""

_PREFIX: Final = len(RULES) + 1  # `g0`, which every path begins with
_FORM: Final = _PREFIX + 2  # … the package's name, and the rule's
_NEAR: Final = 0.8


def problems(policy: ir.Policy, data: object = None) -> list[PolicyLoadError]:
    """Everything that is wrong with `policy` and `data` together, in a stable order.

    Args:
        policy: A decoded plan.
        data: The base document that the policy is loaded with; None if there is none.
    """
    found = [problem for check in CHECKS for problem in check(policy, data)]
    unique = {str(problem): problem for problem in found}
    return list(unique.values())


def check(policy: ir.Policy, data: object = None) -> None:
    """Returns if `policy` may be loaded with `data`.

    Args:
        policy: A decoded plan.
        data: The base document that the policy is loaded with; None if there is none.

    Raises:
        PolicyLoadError: The first of the :func:`problems`.
    """
    for problem in problems(policy, data):
        raise problem


def unassigned_locals(policy: ir.Policy, _data: object) -> Iterator[PolicyLoadError]:
    """Finds variables that are read and never assigned: unsafe ones, and misspelt roots."""
    units = [(f.blocks, f.params, f.where) for f in policy.functions.values()]
    units += [(p.blocks, (), ir.NOWHERE) for p in policy.plans.values()]
    for blocks, params, whole in units:
        assigned = {ir.INPUT, ir.DATA, *params}
        for statement in ir.statements(blocks):
            if not isinstance(statement, ir.ResetLocal):
                assigned.update(ir.writes(statement))
        where = whole
        for statement in ir.statements(blocks):
            where = statement.where if statement.where != ir.NOWHERE else where
            if isinstance(statement, ir.IsDefined | ir.IsUndefined | ir.ReturnLocal):
                continue
            if not assigned.issuperset(ir.reads(statement)):
                yield _problem(
                    "a variable is read here and never assigned: an unsafe variable, or a"
                    " misspelt name, as `inpt.args` for `input.args`",
                    where,
                )
                break


def recursion(policy: ir.Policy, _data: object) -> Iterator[PolicyLoadError]:
    """Finds rules and functions that call themselves, directly or through others."""
    calls = {
        name: sorted(_callees(policy, function.blocks) - {""})
        for name, function in policy.functions.items()
    }
    for cycle in _cycles(calls):
        path = " -> ".join(
            f"`{_shown(policy.functions[name].path)}`" for name in (*cycle, cycle[0])
        )
        yield _problem(f"recursion: {path}", policy.functions[cycle[0]].where)


def data_over_rules(policy: ir.Policy, data: object) -> Iterator[PolicyLoadError]:
    """Finds base data at a rule's path, or a value that is no object on the way to it."""
    if data is None:
        return
    if not isinstance(data, Mapping):
        yield PolicyLoadError(f"data must be an object, not {type(data).__name__}")
        return
    for function in policy.functions.values():
        path = function.path[1:]
        value: object = data
        for depth, part in enumerate(path):
            if not isinstance(value, Mapping):
                yield _problem(
                    f"the data has a value at `{_shown(function.path[: depth + 1])}`, which hides"
                    f" the rule `{_shown(function.path)}`",
                    function.where,
                )
                break
            if part not in value:
                break
            value = value[part]
        else:
            yield _problem(
                f"the data has a value at `{_shown(function.path)}`, where a rule stands; keep data"
                " under a root of its own, as `guardrails_data`",
                function.where,
            )


def rule_packages(policy: ir.Policy, _data: object) -> Iterator[PolicyLoadError]:
    """Finds rules under ``guardrails.rules`` that are not in a package of exactly three parts."""
    for function in _rules(policy):
        if len(function.path) != _FORM:
            yield _problem(
                f"`{_shown(function.path)}`: a rule package is named `guardrails.rules.<name>`,"
                " exactly three parts, and its rules have names without dots; this one would not"
                " be heard",
                function.where,
            )


def contributions(policy: ir.Policy, _data: object) -> Iterator[PolicyLoadError]:
    """Finds contributions that are no partial set, and near misses of their names."""
    for function in _rules(policy):
        if len(function.path) != _FORM:
            continue
        name = function.path[-1]
        if name not in CONTRIBUTIONS:
            meant = near_contribution(name)
            if meant is not None and _looks_contributed(function):
                yield _problem(
                    f"`{name}` in `{_shown(function.path[:-1])}` is not heard;"
                    f" did you mean `{meant}`? available:"
                    f" {', '.join(f'`{word}`' for word in CONTRIBUTIONS)}",
                    function.where,
                )
        elif len(function.params) > 2:  # noqa: PLR2004  # the input and data, which every rule has
            yield _problem(
                f"`{name}` in `{_shown(function.path[:-1])}` is a function, which nobody calls;"
                f" write `{name} contains <message> if …`",
                function.where,
            )
        elif not _is_partial_set(function):
            yield _problem(
                f"`{name}` in `{_shown(function.path[:-1])}` is not a partial set; write"
                f" `{name} contains <message> if …`",
                function.where,
            )


CHECKS: Final[tuple[Callable[[ir.Policy, object], Iterator[PolicyLoadError]], ...]] = (
    unassigned_locals,
    recursion,
    data_over_rules,
    rule_packages,
    contributions,
)
"""Every check, in the order in which their problems are reported."""


def near_contribution(name: str) -> str | None:
    """The contribution that `name` probably misspells; None if it misspells none."""
    if name in CONTRIBUTIONS:
        return None
    folded = name.lower().replace("-", "_")
    if folded in CONTRIBUTIONS:
        return folded
    matches = difflib.get_close_matches(folded, CONTRIBUTIONS, n=1, cutoff=_NEAR)
    return matches[0] if matches else None


def _looks_contributed(function: ir.Function) -> bool:
    """Whether it could be meant as a contribution; a helper `allowed if …` is not.

    A near miss counts if it is a partial set, or if its name differs by letters that no
    inflection explains: `denny if …` was meant as `deny`, `allowed if …` is a helper.
    """
    name = function.path[-1]
    meant = near_contribution(name) or ""
    inflected = {f"{meant}{end}" for end in ("ed", "d", "s", "able", "ing")} | {"denied", "denies"}
    return _is_partial_set(function) or name not in inflected


def _rules(policy: ir.Policy) -> Iterator[ir.Function]:
    for function in policy.functions.values():
        if function.path[1:_PREFIX] == RULES:
            yield function


def _is_partial_set(function: ir.Function) -> bool:
    """Whether the function returns a set that it makes itself at its top and adds to."""
    returned = {
        statement.source.index
        for body in function.blocks
        for statement in body
        if isinstance(statement, ir.ReturnLocal)
    }
    made = {
        statement.target
        for body in function.blocks
        for statement in body
        if isinstance(statement, ir.MakeSet)
    }
    return bool(returned) and returned <= made


def _callees(policy: ir.Policy, blocks: tuple[ir.Body, ...]) -> set[str]:
    """The functions that the blocks may call; by a value, all those that its path fits."""
    names: set[str] = set()
    for statement in ir.statements(blocks):
        if isinstance(statement, ir.CallFunction):
            names.add(statement.function)
        elif isinstance(statement, ir.CallDynamic):
            names.update(
                function.name
                for function in policy.functions.values()
                if len(function.path) == len(statement.path)
                and _fits(statement.path, function.path)
            )
        elif isinstance(statement, ir.Reference):
            # It may end in a package, whose rules are all called, or go on into a rule's value.
            names.update(
                function.name
                for function in policy.functions.values()
                if len(function.params) == ir.RULE_PARAMETERS
                and _fits(statement.path, function.path[1:])
            )
    return names


def _fits(path: tuple[ir.Operand, ...], rule: tuple[str, ...]) -> bool:
    """Whether `path` and `rule` can be the same, as far as both go."""
    return all(
        not isinstance(step, ir.Constant) or step.value == part
        for step, part in zip(path, rule, strict=False)
    )


def _cycles(calls: Mapping[str, list[str]]) -> Iterator[list[str]]:
    """One cycle through each function at which a walk from the top meets itself."""
    done: set[str] = set()
    for start in calls:
        if start in done:
            continue
        path = [start]
        on_path = {start}
        pending = [iter(calls[start])]
        while pending:
            callee = next(pending[-1], None)
            if callee is None:
                pending.pop()
                finished = path.pop()
                on_path.discard(finished)
                done.add(finished)
            elif callee in on_path:
                yield path[path.index(callee) :]
            elif callee not in done and callee in calls:
                path.append(callee)
                on_path.add(callee)
                pending.append(iter(calls[callee]))


def _shown(path: tuple[str, ...]) -> str:
    """A function's path as Rego writes it: ``data.guardrails.decision``."""
    return ".".join(("data", *path[1:]))


def _problem(message: str, where: ir.Location) -> PolicyLoadError:
    return PolicyLoadError(message, file=where.file, row=where.row, col=where.col)


__all__ = ["CHECKS", "CONTRIBUTIONS", "RULES", "check", "near_contribution", "problems"]
