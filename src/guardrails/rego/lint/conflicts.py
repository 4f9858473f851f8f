"""Rules that cannot stand side by side, and rules of a form that OPA refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.rego.lint.finding import finding_at
from guardrails.rego.lint.terms import Call, Ref, Scalar, Var, within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.rego.lint.finding import Finding
    from guardrails.rego.lint.scope import Definition, Scope, View

_ONE_KIND = "give one of them another name"


def conflicting_rules(view: View, scope: Scope) -> Iterator[Finding]:
    """Finds rules of one name and different kinds, arities or depths, and two defaults."""
    for definitions in scope.rules_in(view.package).values():
        by_path: dict[tuple[str, ...], list[Definition]] = {}
        for definition in definitions:
            by_path.setdefault(definition.rule.path, []).append(definition)
        for path, same in by_path.items():
            yield from _one_path(view, path, same)
            deeper = [other for other in by_path if other[: len(path)] == path and other != path]
            first = same[0]
            if deeper and first.view is view and not _opens(same):
                message = f"the rule `{'.'.join(path)}` holds the rule `{'.'.join(deeper[0])}` too"
                yield finding_at(
                    view.module, first.rule.node, "conflicting-rules", message, _ONE_KIND
                )
    yield from _package_over_rule(view, scope)


def rule_forms(view: View, _scope: Scope) -> Iterator[Finding]:
    """Finds a default that is no constant, and an else where there can be none."""
    for rule in view.rules:
        if rule.is_default and rule.value is not None:
            bad = next(
                (one for one in within(rule.value) if isinstance(one, Var | Ref | Call)), None
            )
            if bad is not None:
                message = f"the default of `{rule.name}` is no constant"
                yield finding_at(
                    view.module, bad.node, "rule-form", message, "write a value that reads nothing"
                )
        if rule.kind == "set" and len(rule.branches) > 1:
            message = f"`else` cannot stand after `{rule.name} contains`"
            yield finding_at(
                view.module,
                rule.branches[1].node,
                "rule-form",
                message,
                "write a rule for each case",
            )


def _one_path(view: View, path: tuple[str, ...], same: list[Definition]) -> Iterator[Finding]:
    name = ".".join(path)
    kinds = {"complete" if d.rule.is_default else d.rule.kind for d in same}
    if any(d.rule.is_default and d.rule.args for d in same):
        kinds = {"function" if kind == "complete" else kind for kind in kinds}
    arities = {len(d.rule.args) for d in same if d.rule.kind == "function"}
    defaults = [d for d in same if d.rule.is_default]
    last = same[-1]
    if last.view is view and (len(kinds) > 1 or len(arities) > 1):
        what = " and ".join(sorted(kinds)) if len(kinds) > 1 else "functions of different arity"
        message = f"`{name}` is defined in ways that do not go together: {what}"
        yield finding_at(view.module, last.rule.node, "conflicting-rules", message, _ONE_KIND)
    if len(defaults) > 1 and defaults[-1].view is view:
        message = f"`{name}` has more than one default"
        yield finding_at(
            view.module, defaults[-1].rule.node, "conflicting-rules", message, "keep one of them"
        )


def _opens(same: list[Definition]) -> bool:
    """Whether the rules are partial ones whose own keys the deeper rules may be."""
    return all(
        d.rule.steps[len(d.rule.path) - 1 :]
        or (d.rule.kind == "object" and not isinstance(d.rule.key, Scalar))
        for d in same
    )


def _package_over_rule(view: View, scope: Scope) -> Iterator[Finding]:
    """Rules at whose path a package lies, too."""
    for rule in view.rules:
        below = (*view.package, *rule.path)
        for package in scope.packages:
            if package[: len(below)] == below and rule.name:
                name = ".".join(rule.path)
                message = f"the rule `{name}` and the package `{'.'.join(package)}` share a path"
                mend = "give the rule another name"
                yield finding_at(view.module, rule.node, "conflicting-rules", message, mend)


__all__ = ["conflicting_rules", "rule_forms"]
