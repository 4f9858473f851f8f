"""The gate: every check over all modules, then the planner, the analysis and OPA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrails.rego.lint.agreeing import disagreements
from guardrails.rego.lint.calls import calls, decision_path
from guardrails.rego.lint.conflicts import conflicting_rules, rule_forms
from guardrails.rego.lint.declarations import declarations, shadowed_names
from guardrails.rego.lint.fail_open import fails_open
from guardrails.rego.lint.fields import unknown_fields, unknown_rules
from guardrails.rego.lint.finding import Finding
from guardrails.rego.lint.firing import never_fires, unconditional_allow, unused_rules
from guardrails.rego.lint.good_case import weak_good_cases
from guardrails.rego.lint.imports import imports
from guardrails.rego.lint.layout import metadata, package_layout, v0_syntax
from guardrails.rego.lint.negation import import_not
from guardrails.rego.lint.planning import (
    BY_PLAN,
    entrypoints_of,
    planned,
    refused_by_opa,
    unreadable,
)
from guardrails.rego.lint.safety import unsafe_variables
from guardrails.rego.lint.scope import Scope, View
from guardrails.rego.lint.single_terms import single_terms
from guardrails.rego.lint.typechecks import type_errors
from guardrails.rego.opa_binary import find_opa
from guardrails.rego.planner import parse_modules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

CHECKS: Final[tuple[Callable[[View, Scope], Iterator[Finding]], ...]] = (
    import_not,
    metadata,
    package_layout,
    v0_syntax,
    shadowed_names,
    imports,
    conflicting_rules,
    rule_forms,
    declarations,
    unsafe_variables,
    calls,
    type_errors,
    decision_path,
    unknown_fields,
    unknown_rules,
    never_fires,
    unused_rules,
    unconditional_allow,
    fails_open,
    weak_good_cases,
    single_terms,
)
"""Every check of one module."""

_UNPLANNED: Final = frozenset({"parse-error", "plan-error", "opa-check"})
_TOO_DEEP: Final = "the module is nested too deep to be checked"


def lint(  # noqa: PLR0913  # what the gate is told, by name
    modules: Mapping[str, str],
    *,
    data: Mapping[str, Any] | None = None,
    entrypoints: Sequence[str] = (),
    opa: str | None = None,
    use_opa: bool = True,
    input_schema: Mapping[str, Any] | None = None,
    data_schema: Mapping[str, Any] | None = None,
    compare: int = 0,
) -> list[Finding]:
    """Everything that is found in `modules`, sorted by place.

    Args:
        modules: The sources by path, tests among them if they are to be checked.
        data: The base data that the policies are loaded with.
        entrypoints: What to plan; empty for ``guardrails/decision``, or each package without it.
        opa: The OPA binary; None looks for one.
        use_opa: Ask ``opa check --strict`` too, where there is a binary.
        input_schema: The JSON schema of the input, to check what policies read of it.
        data_schema: The JSON schema of the base data, likewise.
        compare: Over how many inputs to compare OPA's plan with regopy's, where there is an OPA
            binary and both can plan them; 0 for none.

    Raises:
        PolicyLoadError: No planner can be started, or `opa` names no program.
    """
    parsed, errors = parse_modules(modules)
    unread = {name: text for name, text in modules.items() if name not in parsed}
    found = [unreadable(error, unread) for error in errors]
    views = []
    for module in parsed.values():
        try:
            views.append(View.of(module))
        except RecursionError:
            found.append(Finding(module.file, 0, 0, "parse-error", _TOO_DEEP, "make it simpler"))
    scope = Scope(tuple(views), input_schema, data_schema)
    for view in views:
        for check in CHECKS:
            try:
                found.extend(check(view, scope))
            except RecursionError:
                found.append(
                    Finding(view.module.file, 0, 0, "parse-error", _TOO_DEEP, "make it simpler")
                )
    deciding = [view for view in views if not view.is_test]
    wanted = list(entrypoints) or entrypoints_of(deciding)
    if not errors and wanted:
        sources = {view.module.file: modules[view.module.file] for view in deciding}
        found += planned(sources, wanted, data)
    binary = find_opa(opa) if use_opa else None
    if binary is not None:
        found += refused_by_opa(binary, modules, found)
        # Only what both planners take can be compared.
        if compare and wanted and not any(each.rule_id in _UNPLANNED for each in found):
            found += disagreements(scope, deciding, wanted, data, opa=binary, inputs=compare)
    return tidy(found)


def tidy(found: Sequence[Finding]) -> list[Finding]:
    """Findings sorted by place, each once, without the echoes of what was found in the source."""
    by_source = [each for each in found if each.mend != BY_PLAN]
    exact = {(each.file, each.rule_id) for each in by_source}
    places = {(each.file, each.row) for each in by_source}
    kept = []
    for each in set(found):
        if each.mend == BY_PLAN:
            # The planner stumbles over what is found already, often without a place.
            stumbled = each.rule_id == "plan-error" and bool(by_source)
            if stumbled and (not each.row or (each.file, each.row) in places):
                continue
            if (each.file, each.rule_id) in exact:
                continue
        kept.append(each)
    return sorted(kept)


__all__ = ["CHECKS", "lint", "tidy"]
