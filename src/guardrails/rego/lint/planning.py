"""What the planner refuses, what the analysis finds in its plan, and what OPA adds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import PolicyLoadError
from guardrails.rego import analysis
from guardrails.rego.decoder import decode
from guardrails.rego.lint.finding import Finding, finding_of
from guardrails.rego.opa_binary import check as opa_check
from guardrails.rego.planner import plan_modules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from guardrails.rego import ir
    from guardrails.rego.lint.scope import View

DECISION: Final = "guardrails/decision"
"""The entry point that is planned where the sources have it."""

BY_PLAN: Final = ""
"""The mend of what is found in the plan: none beside the message, which says it."""

_IMPORT: Final = re.compile(r"^import[ \t]+([\w.]+)(?:[ \t]+as[ \t]+(\w+))?", re.MULTILINE)
_TWICE: Final = "import must not shadow"
_IDS: Final[Mapping[Callable[[ir.Policy, object], Iterator[PolicyLoadError]], str]] = {
    analysis.unassigned_locals: "unsafe-variable",
    analysis.recursion: "recursion",
    analysis.data_over_rules: "data-over-rules",
    analysis.rule_packages: "package-layout",
    analysis.contributions: "contribution",
}


def unreadable(error: PolicyLoadError, unread: Mapping[str, str]) -> Finding:
    """The finding of what does not parse; of an import that is there twice, with its place.

    Args:
        error: What the parser says, of an import without its place.
        unread: The modules that do not parse.
    """
    if not error.message.startswith(_TWICE):
        return finding_of(error, "parse-error", "correct the syntax")
    for file, source in unread.items():
        seen: set[str] = set()
        for found in _IMPORT.finditer(source):
            path, alias = found[1], found[2]
            named = path if path.startswith(("future.", "rego.")) else path.split(".")[-1]
            name = alias or named
            if name in seen:
                row = source.count("\n", 0, found.start()) + 1
                message = f"`{name}` is imported already"
                return Finding(file, row, 1, "import", message, "leave one of them out")
            seen.add(name)
    return finding_of(error, "import", "leave one of the imports out")


def entrypoints_of(views: Sequence[View]) -> list[str]:
    """What to plan: the decision where there is one, else each package with rules."""
    for view in views:
        if view.package == ("guardrails",) and any(rule.name == "decision" for rule in view.rules):
            return [DECISION]
    return sorted({"/".join(view.package) for view in views if view.rules})


def planned(
    modules: Mapping[str, str], entrypoints: Sequence[str], data: Mapping[str, Any] | None
) -> list[Finding]:
    """What the planner refuses, or else what the analysis of its plan finds."""
    try:
        plan = plan_modules(modules, entrypoints)
        policy = decode(plan.document, planner=plan.planner)
    except PolicyLoadError as error:
        return [finding_of(error, "plan-error", BY_PLAN)]
    document = dict(data) if data is not None else None
    return [
        finding_of(problem, rule_id, BY_PLAN)
        for check, rule_id in _IDS.items()
        for problem in check(policy, document)
    ]


def refused_by_opa(
    binary: str, modules: Mapping[str, str], found: Sequence[Finding]
) -> list[Finding]:
    """What ``opa check --strict`` adds, at rows where nothing was found yet."""
    known = {(finding.file, finding.row) for finding in found}
    return [
        Finding(
            error.file or next(iter(modules), ""),
            error.row or 0,
            error.col or 0,
            "opa-check",
            f"{error.code}: {error.message}" if error.code else error.message,
            "OPA refuses it; correct it as it says",
        )
        for error in opa_check(binary, modules)
        if (error.file, error.row) not in known
    ]


__all__ = ["BY_PLAN", "DECISION", "entrypoints_of", "planned", "refused_by_opa", "unreadable"]
