"""Comparisons that OPA 1.20 gets wrong: of two numbers of which neither is known to be whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrails.rego.lint.finding import finding_at, written
from guardrails.rego.lint.terms import Call, Items, Ref, Scalar, Var

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.rego.lint.finding import Finding
    from guardrails.rego.lint.inference import Inference
    from guardrails.rego.lint.scope import Env, Scope, View
    from guardrails.rego.lint.terms import Term

_WHOLE: Final = frozenset({"count", "floor", "ceil", "round", "indexof", "strings.count", "rem"})
_ARITHMETIC: Final = frozenset({"plus", "minus", "mul"})
_PAIR: Final = 2


def compares_scales(
    view: View, scope: Scope, inference: Inference, call: Call, env: Env
) -> Iterator[Finding]:
    """Comparisons of two numbers of which neither is known to be whole."""
    if len(call.args) != _PAIR:
        return
    types = [inference.of(view, arg, env) for arg in call.args]
    if any("number" not in found.kinds for found in types):
        return
    if any(_is_whole(view, scope, arg, env) for arg in call.args):
        return
    left, right = (written(view.module, arg.node) for arg in call.args)
    low, high = (left, right) if call.name in {"lt", "lte"} else (right, left)
    sign = ">" if call.name in {"lt", "gt"} else ">="
    message = (
        "OPA 1.20 errs on numbers that are written with other scales: `4180.00 <= 1000.5` is true"
    )
    mend = f"compare the difference with zero: `{high} - {low} {sign} 0`"
    yield finding_at(view.module, call.node, "number-comparison", message, mend)


def _is_whole(
    view: View, scope: Scope, term: Term, env: Env, depth: int = 0
) -> bool:  # one return for each form
    """Whether a term is a whole number wherever it is a number."""
    if depth > 20:  # noqa: PLR2004  # names that stand for names
        return False
    if isinstance(term, Scalar):
        return (
            not isinstance(term.value, str)
            and term.value is not None
            and term.value == int(term.value)
        )
    if isinstance(term, Call):
        if term.name in _ARITHMETIC:
            return all(_is_whole(view, scope, arg, env, depth + 1) for arg in term.args)
        if term.name == "object.get" and len(term.args) > _PAIR:
            base = scope.path(view, term.args[0], env)
            keys = term.args[1].items if isinstance(term.args[1], Items) else (term.args[1],)
            steps = tuple(getattr(key, "value", None) for key in keys)
            return base is not None and _is_integer(scope, (*base, *steps))
        return term.name in _WHOLE or term.name.startswith("time.")
    if isinstance(term, Var) and term.name in env:
        value = env[term.name]
        return value is not None and _is_whole(view, scope, value, env, depth + 1)
    path = scope.path(view, term, env)
    if path is not None:
        definitions, left = scope.definitions(path)
        if definitions and not left:
            values = [
                (one.view, value)
                for one in definitions
                for value in ([b.value for b in one.rule.branches] or [one.rule.value])
            ]
            return all(
                value is not None and _is_whole(at, scope, value, {}, depth + 1)
                for at, value in values
            )
        return _is_integer(scope, path)
    if isinstance(term, Ref):
        return _is_whole(view, scope, term.head, env, depth + 1)
    return False


def _is_integer(scope: Scope, path: tuple[object, ...]) -> bool:
    node: Any = scope.input_schema if path[0] == "input" else scope.data_schema
    for step in path[1:]:
        if not isinstance(node, dict):
            return False
        properties = node.get("properties", {})
        node = properties.get(step) if step in properties else node.get("additionalProperties")
    return isinstance(node, dict) and node.get("type") == "integer"


__all__ = ["compares_scales"]
