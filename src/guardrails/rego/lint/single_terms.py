"""Terms that mean something else than they say, wherever in a rule package they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.rego import analysis
from guardrails.rego.lint.fail_open import ORDERING
from guardrails.rego.lint.finding import finding_at
from guardrails.rego.lint.inference import Inference
from guardrails.rego.lint.patterns import begins, constant_pattern
from guardrails.rego.lint.scales import compares_scales
from guardrails.rego.lint.scope import terms_of_rule
from guardrails.rego.lint.terms import Call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.rego.lint.finding import Finding
    from guardrails.rego.lint.scope import Env, Scope, View

_PAIR: Final = 2


def single_terms(view: View, scope: Scope) -> Iterator[Finding]:
    """Finds terms that mean something else than they say, wherever they stand."""
    if view.package[:2] != analysis.RULES or view.is_test:
        return
    inference = Inference(scope, with_schemas=True)
    for rule in view.rules:
        for term, env in terms_of_rule(rule):
            # Calls with fewer arguments than two are an error of their own.
            if not isinstance(term, Call) or len(term.args) < _PAIR:
                continue
            if term.name in ORDERING:
                yield from compares_scales(view, scope, inference, term, env)
            elif term.name == "internal.member_2":
                yield from _member(view, scope, inference, term, env)
            else:
                yield from _lookup(view, scope, term, env)


def _member(
    view: View, scope: Scope, inference: Inference, call: Call, env: Env
) -> Iterator[Finding]:
    path = scope.path(view, call.args[1], env)
    if path == ("input", "args") or inference.of(view, call.args[1], env).kinds == {"object"}:
        message = "`in` looks among the values of an object, not among its keys"
        mend = 'write `"key" in object.keys(x)`'
        yield finding_at(view.module, call.node, "fail-open-in-object", message, mend)


def _lookup(view: View, scope: Scope, call: Call, env: Env) -> Iterator[Finding]:
    if call.name == "object.get":
        path = scope.path(view, call.args[0], env) or ()
        if path[:2] == ("input", "args"):
            message = "where the arguments are no object, `object.get` fails or is undefined"
            mend = 'look from the top: `object.get(input, ["args", "name"], default)`'
            yield finding_at(view.module, call.node, "fail-open-object-get", message, mend)
    elif call.name == "regex.match":
        pattern = constant_pattern(view, scope, call.args[0], env)
        if pattern is not None and not begins(pattern):
            message = f"`{pattern}` is found anywhere in the text"
            mend = "begin every alternative with `^`, and end it with `$`"
            yield finding_at(view.module, call.node, "fail-open-regex", message, mend)


__all__ = ["single_terms"]
