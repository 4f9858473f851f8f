"""What the planner calls for the language itself: template strings, ``print``, ``trace``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.rego.builtins.base import BuiltinError, EvaluationContext, builtin
from guardrails.rego.builtins.operands import array, bounded_text, string
from guardrails.rego.builtins.text import display
from guardrails.rego.values import RegoSet, type_name

if TYPE_CHECKING:
    from guardrails.rego.values import Value


@builtin("internal.template_string", arity=1)
def template_string(parts: Value) -> Value:
    """The parts joined: text, and sets of at most one value; an empty one is ``<undefined>``."""
    out = [_part(item) for item in array(parts, 1)]
    bounded_text(sum(map(len, out)))
    return "".join(out)


def _part(item: Value) -> str:
    kind = type(item)
    if kind is not RegoSet:
        if kind in (list, dict):
            message = f"illegal argument type: {type_name(item)}"
            raise BuiltinError(message)
        return display(item)
    if len(item) > 1:
        message = "template-strings must not produce multiple outputs"
        raise BuiltinError(message)
    return next((display(member) for member in item), "<undefined>")


@builtin("internal.print", arity=1)
def print_(parts: Value) -> Value:
    """True: nothing is printed where a policy decides, as in OPA without a print hook."""
    array(parts, 1)
    return True


@builtin("internal.test_case", arity=1)
def test_case(parts: Value) -> Value:
    """True: the names of cases matter to test reports only."""
    array(parts, 1)
    return True


@builtin("trace", arity=1)
def trace(note: Value) -> Value:
    """True."""
    string(note, 1)
    return True


@builtin("opa.runtime", arity=0, needs_context=True)
def opa_runtime(_context: EvaluationContext) -> Value:
    """The empty object: neither configuration nor environment variables reach a policy."""
    return {}
