"""What OPA's type checker refuses: arguments that do not fit, and comparisons that cannot hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.rego.lint.finding import finding_at, written
from guardrails.rego.lint.inference import Inference
from guardrails.rego.lint.scope import literals_of_rule, terms_of_rule
from guardrails.rego.lint.signatures import SIGNATURES
from guardrails.rego.lint.terms import Bind, Call, Ref, Some, Var
from guardrails.rego.lint.types import disjoint, fits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.rego.lint.finding import Finding
    from guardrails.rego.lint.scope import Env, Scope, View
    from guardrails.rego.lint.terms import Literal, Term

_SIGNS: Final = {
    "plus": "+",
    "minus": "-",
    "mul": "*",
    "div": "/",
    "rem": "%",
    "and": "&",
    "or": "|",
}
_SIDES: Final = 2
_ITERABLE: Final = frozenset({"array", "object", "set"})


def type_errors(view: View, scope: Scope) -> Iterator[Finding]:
    """Finds what OPA's type checker refuses, as far as it follows from constants and builtins."""
    inference = Inference(scope)
    for rule in view.rules:
        for term, env in terms_of_rule(rule):
            if isinstance(term, Call):
                yield from _call(view, inference, term, env)
            elif isinstance(term, Ref):
                yield from _reference(view, inference, term, env)
        for literal, env in literals_of_rule(rule):
            yield from _literal(view, inference, literal, env)


def _call(view: View, inference: Inference, call: Call, env: Env) -> Iterator[Finding]:
    if call.name == "equal" and len(call.args) == _SIDES:
        yield from _comparison(view, inference, call, call.args[0], call.args[1], env)
        return
    signature = SIGNATURES.get(call.name)
    if signature is None or inference.defines(view, call.name, env):
        return
    shown = f"`{_SIGNS[call.name]}`" if call.infix and call.name in _SIGNS else f"`{call.name}`"
    for number, (given, wanted) in enumerate(zip(call.args, signature.args, strict=False), 1):
        found = inference.of(view, given, env)
        if not fits(found, wanted):
            message = (
                f"{shown} takes {_described(wanted)} as argument {number}, not {_described(found)}"
            )
            yield finding_at(
                view.module,
                given.node,
                "type-error",
                message,
                "OPA refuses it; correct the argument",
            )


def _described(found: object) -> str:
    items = getattr(found, "items", None)
    return f"{found} of {items}" if items is not None else str(found)


def _comparison(  # noqa: PLR0913, PLR0917  # two sides and where they stand
    view: View, inference: Inference, at: Term | Literal, left: Term, right: Term, env: Env
) -> Iterator[Finding]:
    one, other = inference.of(view, left, env), inference.of(view, right, env)
    if disjoint(one, other):
        what = f"{one} and {other}" if one.kinds != other.kinds else f"two {one}s of other forms"
        message = f"this compares {what}, which are never equal"
        yield finding_at(view.module, at.node, "type-error", message, "compare values of one type")


def _reference(view: View, inference: Inference, term: Ref, env: Env) -> Iterator[Finding]:
    _, failed = inference.reference(view, term, env)
    if failed is not None:
        message = f"`{written(view.module, term.node)}` reads what is never there"
        yield finding_at(
            view.module, term.node, "undefined-reference", message, "correct the name or the type"
        )


def _literal(view: View, inference: Inference, literal: Literal, env: Env) -> Iterator[Finding]:
    if isinstance(literal, Bind) and not (literal.declares and isinstance(literal.left, Var)):
        yield from _comparison(view, inference, literal, literal.left, literal.right, env)
    elif isinstance(literal, Some) and literal.domain is not None:
        found = inference.of(view, literal.domain, env)
        if not found.kinds & _ITERABLE:
            message = f"`some … in` iterates over collections, not over a {found}"
            yield finding_at(view.module, literal.node, "type-error", message, "name a collection")


__all__ = ["type_errors"]
