"""What policies read: fields that the schemas do not have, and rules that are not there.

A misspelt field is undefined at every call. ``input.args`` is free, and so is everything that a
schema leaves open. Local names (``t := input.tool``), imports, and ``object.get`` with a
constant path are followed.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final

from guardrails.rego.lint.finding import finding_at, listed
from guardrails.rego.lint.scope import literals_of_rule, terms_of_rule
from guardrails.rego.lint.terms import Call, Items, Ref, Scalar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from guardrails.rego.lint.finding import Finding
    from guardrails.rego.lint.scope import Env, Path, Scope, View
    from guardrails.rego.lint.terms import Term

_OWN: Final = ("guardrails", "guardrails_test", "system")
_SETTINGS: Final = ("data", "guardrails_data")
_NEAR: Final = 0.6
_MISSPELT: Final = 0.75
_SHOWN: Final = 12


def unknown_fields(view: View, scope: Scope) -> Iterator[Finding]:
    """Finds reads of the input and the data that their schemas do not have."""
    if view.package[:1] not in {("guardrails",), ("guardrails_test",)}:
        return
    for rule in view.rules:
        for term, env in terms_of_rule(rule):
            path = _read(view, scope, term, env)
            own = len(term.steps) if isinstance(term, Ref) else 1
            yield from _checked(view, scope, term, path, own)
        for literal, env in literals_of_rule(rule):
            for target, _ in literal.withs:
                path = scope.path(view, target, env) or ()
                yield from _checked(view, scope, target, path, len(path))


def unknown_rules(view: View, scope: Scope) -> Iterator[Finding]:
    """Finds references to rules that a package does not have."""
    for rule in view.rules:
        for term, env in terms_of_rule(rule):
            path = scope.path(view, term, env) if isinstance(term, Ref) else None
            if path is None or path[:1] != ("data",) or scope.definitions(path)[0]:
                continue
            name = _missing(scope, path)
            if name is None:
                continue
            package, rule_name = name
            available = list(scope.rules_in(package))
            message = f"the package `{'.'.join(package)}` has no rule `{rule_name}`"
            mend = _meant(rule_name, available)
            yield finding_at(view.module, term.node, "unknown-rule", message, mend)


def _missing(scope: Scope, path: Path) -> tuple[tuple[str, ...], str] | None:
    """The package at the start of a path and the name that it lacks."""
    steps = path[1:]
    for size in range(len(steps) - 1, 0, -1):
        package = tuple(step for step in steps[:size] if step is not None)
        name = steps[size]
        if len(package) == size and package in scope.packages:
            longer = any(other[: size + 1] == (*package, name) for other in scope.packages)
            return None if name is None or longer else (package, name)
    return None


def _read(view: View, scope: Scope, term: Term, env: Env) -> Path:
    """The whole path that `term` reads; of ``object.get`` that of what it looks for."""
    if isinstance(term, Ref):
        return scope.path(view, term, env) or ()
    if not isinstance(term, Call) or term.name != "object.get" or len(term.args) < 2:  # noqa: PLR2004  # the object and the key
        return ()
    base = scope.path(view, term.args[0], env)
    key = term.args[1]
    keys = key.items if isinstance(key, Items) and key.kind == "array" else (key,)
    if base is None:
        return ()
    named = (one.value if isinstance(one, Scalar) else None for one in keys)
    return (*base, *(one if isinstance(one, str) else None for one in named))


def _checked(view: View, scope: Scope, term: Term, path: Path, own: int) -> Iterator[Finding]:
    """What a schema does not have at `path`, if it is among the last `own` steps."""
    if path[:1] == ("input",):
        schema, what = scope.input_schema, "the input"
    elif path[:1] == ("data",) and path[1:2] and path[1] not in (*_OWN, None):
        schema, what = scope.data_schema, "the data"
    else:
        return
    wrong = None if schema is None else _first_unknown(schema, path)
    if wrong is None or wrong[0] < len(path) - max(own, 1):
        return
    at, available = wrong
    if path[:at] == _SETTINGS and not difflib.get_close_matches(
        str(path[at]), available, n=1, cutoff=_MISSPELT
    ):
        # A project may give the engine documents of its own there, beside what is described.
        return
    holder = ".".join(str(step) if step is not None else "…" for step in path[:at])
    message = f"{what} has no `{holder}.{path[at]}`"
    message += f"; `{holder}` has {listed(sorted(available)[:_SHOWN])}" if available else ""
    mend = _meant(str(path[at]), available)
    rule_id = "unknown-input-field" if path[0] == "input" else "unknown-data-field"
    yield finding_at(view.module, term.node, rule_id, message, mend)


def _first_unknown(schema: Mapping[str, Any], path: Path) -> tuple[int, list[str]] | None:
    """The number of the step that the schema forbids, and the names that it has there."""
    node: object = schema
    for number, step in enumerate(path[1:], 1):
        if not isinstance(node, dict) or not node:
            return None
        kinds = node.get("type")
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if isinstance(kinds, list) and not {"object", "array"} & set(kinds):
            return None if step is None else (number, [])
        if isinstance(kinds, list) and "array" in kinds and step is None:
            node = node.get("items")
            continue
        properties = node.get("properties", {})
        if step in properties:
            node = properties[step]
        elif step is None and properties:
            return None
        else:
            node = node.get("additionalProperties", True)
            if node is False:
                return None if step is None else (number, list(properties))
    return None


def _meant(name: str, available: list[str]) -> str:
    close = difflib.get_close_matches(name, available, n=1, cutoff=_NEAR)
    return f"did you mean `{close[0]}`?" if close else "correct the name"


__all__ = ["unknown_fields", "unknown_rules"]
