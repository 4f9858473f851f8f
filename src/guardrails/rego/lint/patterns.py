"""Patterns of ``regex.match``: their text where it is constant, and where they may begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.rego.lint.terms import Scalar, Var

if TYPE_CHECKING:
    from guardrails.rego.lint.scope import Env, Scope, View
    from guardrails.rego.lint.terms import Term


def constant_pattern(view: View, scope: Scope, term: Term, env: Env) -> str | None:
    """The text of a constant pattern, also where a rule or a local holds it."""
    if isinstance(term, Var) and env.get(term.name) is not None:
        return constant_pattern(view, scope, env[term.name], {})  # type: ignore[arg-type]  # not None
    if isinstance(term, Scalar):
        return term.value if isinstance(term.value, str) else None
    path = scope.path(view, term, env)
    definitions, left = scope.definitions(path) if path is not None else ((), ())
    if len(definitions) == 1 and not left and isinstance(definitions[0].rule.value, Scalar):
        value = definitions[0].rule.value.value
        return value if isinstance(value, str) else None
    return None


def begins(pattern: str) -> bool:
    """Whether every alternative at the top of a pattern is bound to the start of the text."""
    depth, escaped, in_class = 0, False, False
    starts = [0]
    for at, letter in enumerate(pattern):
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter in "[]":
            in_class = letter == "["
        elif not in_class:
            depth += (letter == "(") - (letter == ")")
            if letter == "|" and depth == 0:
                starts.append(at + 1)
    texts = (pattern[start:] for start in starts)
    return all(text.startswith(("^", r"\A", "(?i)^", "(^", "(?:^")) for text in texts)


__all__ = ["begins", "constant_pattern"]
