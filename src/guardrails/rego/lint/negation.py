"""``not`` where OPA and regopy's planner disagree about it.

Without ``import future.keywords.not`` OPA says that ``not`` is undefined where a reference or a
call within it is missing, and a deny that rests on it does not fire; regopy says it is true.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.rego.lint.finding import finding_at
from guardrails.rego.syntax import declared, path_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.rego.lint.finding import Finding
    from guardrails.rego.lint.scope import Scope, View
    from guardrails.rego.syntax import Node

_NOT: Final = "future.keywords.not"


def import_not(view: View, _scope: Scope) -> Iterator[Finding]:
    """Finds a ``not`` that means something else to each planner without the import."""
    module = view.module
    if _NOT in module.imports:
        return
    for rule in module.rules:
        own = declared(rule)
        for literal in rule.find("literal"):
            node = literal.children[0]
            if node.kind == "not-expr" and (_has_with(literal) or not _not_is_safe(node, own)):
                yield finding_at(
                    module,
                    node,
                    "not-without-import",
                    "`not` on anything but a constant path, a helper without arguments,"
                    " `x == constant` or a call over local variables is undefined in OPA,"
                    " instead of true, where something inside is missing",
                    f"add `import {_NOT}` below the package line",
                )


def _not_is_safe(node: Node, own: set[str]) -> bool:
    """Whether what stands under ``not`` means the same to both planners without the import."""
    query = node.child("query")
    literals = query.children if query is not None else ()
    if len(literals) != 1 or any(literals[0].find("with")):
        return False
    expression = literals[0].child("expr")
    while expression is not None and expression.child("exprparens") is not None:
        expression = expression.children[0].child("expr")
    if expression is None or len(expression.children) != 1:
        return False
    inner = expression.children[0]
    if inner.kind == "term":
        return _is_plain(inner)
    if inner.kind == "exprinfix":
        left, operator, right = inner.children
        if not any(operator.find("equals")):
            return False
        sides = [_only(left), _only(right)]
        return any(_is_scalar(side) for side in sides) and all(
            _is_scalar(side) or _is_plain(side) for side in sides
        )
    if inner.kind == "exprcall":
        arguments = inner.child("exprseq")
        terms = (
            [_only(argument) for argument in arguments.children] if arguments is not None else []
        )
        return all(_is_scalar(term) or _variable(term) in own for term in terms)
    return False


def _has_with(literal: Node) -> bool:
    return any(literal.find("with"))


def _only(expression: Node) -> Node | None:
    """The term that an expression consists of."""
    inner = expression.children[0] if len(expression.children) == 1 else None
    return inner if inner is not None and inner.kind == "term" else None


def _is_scalar(term: Node | None) -> bool:
    return term is not None and term.child("scalar") is not None


def _variable(term: Node | None) -> str | None:
    variable = term.child("var") if term is not None else None
    return variable.text if variable is not None else None


def _is_plain(term: Node | None) -> bool:
    """Whether it is a variable, a helper's name or a path of constants."""
    if term is None:
        return False
    reference = term.child("ref")
    return _variable(term) is not None or (reference is not None and path_of(reference) is not None)


__all__ = ["import_not"]
