"""``guardrails policy check``: what is wrong with policy sources, with its place and its mend.

A check is a function from one parsed module to its findings; :data:`CHECKS`
lists them. Beside them stand what the planner and OPA's compiler refuse, and
what :mod:`guardrails.rego.analysis` finds in the plan.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import yaml

from guardrails.errors import PolicyLoadError
from guardrails.rego import analysis
from guardrails.rego.builtins import BUILTINS
from guardrails.rego.decoder import decode
from guardrails.rego.opa_binary import check as opa_check
from guardrails.rego.opa_binary import find_opa
from guardrails.rego.planner import parse_modules, plan_modules
from guardrails.rego.sources import TEST_SUFFIX
from guardrails.rego.syntax import declared, path_of, rule_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from guardrails.rego.syntax import Module, Node

DECISION: Final = "guardrails/decision"
"""The entry point that is planned where the sources have it."""

_ROOTS: Final = ("guardrails", "guardrails_test", "system")
_NOT: Final = "future.keywords.not"
_SEVERITIES: Final = ("low", "medium", "high", "critical")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


class Finding(NamedTuple):
    """One thing that is wrong. Findings sort by place.

    Attributes:
        file: The source.
        row: Its line, from 1; 0 where only the file is known.
        col: Its column, from 1; 0 where only the line is known.
        rule_id: The check's stable id, as ``not-without-import``.
        message: What is wrong.
        mend: What to do about it.
    """

    file: str
    row: int
    col: int
    rule_id: str
    message: str
    mend: str


@dataclass(frozen=True, slots=True)
class Scope:
    """What a check knows about the other modules.

    Attributes:
        rules: The names of rules and functions by package.
    """

    rules: Mapping[tuple[str, ...], frozenset[str]]


def lint(
    modules: Mapping[str, str],
    *,
    data: Mapping[str, Any] | None = None,
    entrypoints: Sequence[str] = (),
    opa: str | None = None,
    use_opa: bool = True,
) -> list[Finding]:
    """Everything that is found in `modules`, sorted by place.

    Args:
        modules: The sources by path, tests among them if they are to be checked.
        data: The base data that the policies are loaded with.
        entrypoints: What to plan; empty for ``guardrails/decision``, or each package without it.
        opa: The OPA binary; None looks for one.
        use_opa: Ask ``opa check --strict`` too, where there is a binary.

    Raises:
        PolicyLoadError: No planner can be started, or `opa` names no program.
    """
    parsed, errors = parse_modules(modules)
    found = [_from_error(error, "parse-error", "correct the syntax") for error in errors]
    rules: dict[tuple[str, ...], frozenset[str]] = {}
    for module in parsed.values():
        own = {path[0] for rule in module.rules if (path := rule_path(rule))}
        rules[module.package] = rules.get(module.package, frozenset()) | own
    scope = Scope(rules)
    for module in parsed.values():
        for check in CHECKS:
            found.extend(check(module, scope))
    if not errors:
        untested = {name: text for name, text in modules.items() if not name.endswith(TEST_SUFFIX)}
        found += _planned(untested, {name: parsed[name] for name in untested}, entrypoints, data)
    binary = find_opa(opa) if use_opa else None
    if binary is not None:
        found += _by_opa(binary, modules, found)
    return sorted(set(found))


def planned(
    modules: Mapping[str, str], entrypoints: Sequence[str], data: Mapping[str, Any] | None
) -> list[Finding]:
    """What the planner refuses, or else what the analysis of its plan finds."""
    try:
        plan = plan_modules(modules, entrypoints)
        policy = decode(plan.document, planner=plan.planner)
    except PolicyLoadError as error:
        return [_from_error(error, "plan-error", "see the message")]
    return [
        _from_error(problem, "analysis", "see the message")
        for problem in analysis.problems(policy, dict(data) if data is not None else None)
    ]


def import_not(module: Module, _scope: Scope) -> Iterator[Finding]:
    """Finds a ``not`` that means something else to each planner without the import."""
    if _NOT in module.imports:
        return
    for rule in module.rules:
        own = declared(rule)
        for literal in rule.find("literal"):
            node = literal.children[0]
            if node.kind == "not-expr" and (_has_with(literal) or not _not_is_safe(node, own)):
                yield _finding(
                    module,
                    node,
                    "not-without-import",
                    "`not` on anything but a constant path, a helper without arguments,"
                    " `x == constant` or a call over local variables is undefined in OPA,"
                    " instead of true, where something inside is missing",
                    f"add `import {_NOT}` below the package line",
                )


def metadata(module: Module, _scope: Scope) -> Iterator[Finding]:
    """Finds rule packages without their METADATA, or with fields of it missing."""
    if module.package[:2] != analysis.RULES or _is_test(module):
        return
    mend = (
        "put `# METADATA` above `package` with `scope: package`, `title`, `description` and"
        " `custom: {severity, runbook}`"
    )
    row, block = _package_metadata(module)
    if block is None:
        message = f"the rule package `{'.'.join(module.package)}` has no METADATA"
        yield Finding(module.file, _package_row(module), 1, "metadata", message, mend)
        return
    try:
        fields = yaml.safe_load(block)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or "no YAML"
        yield Finding(module.file, row, 1, "metadata", f"METADATA cannot be read: {problem}", mend)
        return
    fields = fields if isinstance(fields, dict) else {}
    custom: object = fields.get("custom")
    custom = custom if isinstance(custom, dict) else {}
    missing = [name for name in ("title", "description") if not fields.get(name)]
    missing += [f"custom.{name}" for name in ("severity", "runbook") if not custom.get(name)]
    if fields.get("scope", "package") != "package":
        missing.insert(0, "scope: package")
    if missing:
        listed = ", ".join(f"`{name}`" for name in missing)
        yield Finding(module.file, row, 1, "metadata", f"METADATA lacks {listed}", mend)
    severity = custom.get("severity")
    if severity and severity not in _SEVERITIES:
        available = ", ".join(f"`{word}`" for word in _SEVERITIES)
        message = f"unknown severity `{severity}`; available: {available}"
        yield Finding(module.file, row, 1, "metadata", message, "use one of them")


def package_layout(module: Module, _scope: Scope) -> Iterator[Finding]:
    """Finds packages that stand where nobody hears them, and tests among the rules."""
    package, row = module.package, _package_row(module)
    shown = ".".join(package)
    if package[:2] == analysis.RULES:
        if len(package) != len(analysis.RULES) + 1 or not _NAME.fullmatch(package[-1]):
            message = f"`{shown}` is no rule package, and would not be heard"
            mend = "name it `guardrails.rules.<name>`, exactly three parts, in small letters"
            yield Finding(module.file, row, 1, "package-layout", message, mend)
    elif not package or package[0] not in _ROOTS:
        message = f"the package `{shown}` lies outside the policies' root"
        mend = "put it below `guardrails`, or tests below `guardrails_test`"
        yield Finding(module.file, row, 1, "package-layout", message, mend)
    if _is_test(module) and package[:1] not in {("guardrails_test",), ("system",)}:
        message = f"the package `{shown}` in a file of tests"
        mend = "name it `guardrails_test.…`, so that it stays out of the decision"
        yield Finding(module.file, row, 1, "package-layout", message, mend)


def nondeterminism(module: Module, _scope: Scope) -> Iterator[Finding]:
    """Finds the clock and chance on the decision path, where they cannot be replayed."""
    if module.package[:1] != ("guardrails",):
        return
    for node in module.tree.find("ref"):
        path = path_of(node) or []
        if path == ["time", "now_ns"]:
            yield _finding(
                module,
                node,
                "nondeterminism",
                "`time.now_ns` differs at every call",
                "use `input.time`",
            )
        elif path[:1] in (["rand"], ["uuid"]):
            message = f"`{'.'.join(path)}` makes decisions that nobody can repeat"
            yield _finding(
                module, node, "nondeterminism", message, "decide by what stands in `input`"
            )


def unconditional_allow(module: Module, _scope: Scope) -> Iterator[Finding]:
    """Finds an ``allow`` that holds for every call."""
    if module.package[:2] != analysis.RULES:
        return
    for rule in module.rules:
        if rule_path(rule) != ["allow"]:
            continue
        bodies = rule.child("rulebodyseq")
        literals = list(bodies.find("literal")) if bodies is not None else []
        if all(module.text(literal).strip() == "true" for literal in literals):
            yield _finding(
                module,
                rule,
                "unconditional-allow",
                "this allows every call",
                "give it a condition: `if …`",
            )


def unknown_builtin(module: Module, scope: Scope) -> Iterator[Finding]:
    """Finds calls of functions that no module defines and that are no builtins here."""
    own = scope.rules.get(module.package, frozenset())
    for call in module.tree.find("exprcall"):
        reference = call.child("ref")
        path = path_of(reference) if reference is not None else None
        if reference is None or path is None or path[0] in own or path[0] in {"data", "input"}:
            continue
        if path[0] in module.aliases or ".".join(path) in BUILTINS:
            continue
        message = (
            f"`{'.'.join(path)}` is no function of these policies and no builtin that is supported"
        )
        yield _finding(
            module, reference, "unknown-builtin", message, "correct its name, or define it"
        )


def v0_syntax(module: Module, _scope: Scope) -> Iterator[Finding]:
    """Finds rule bodies without ``if``, which OPA 1 refuses and regopy takes."""
    for rule in module.rules:
        bodies = rule.child("rulebodyseq")
        first = bodies.children[0] if bodies is not None and bodies.children else None
        if first is None or not module.text(first).startswith("{"):
            continue
        before = re.sub(r"#[^\n]*(?=\n)", "", module.before(first)).rstrip()
        if not before.endswith("if"):
            yield _finding(
                module,
                rule,
                "v0-syntax",
                "a rule's body needs `if`",
                "write `if {` in place of `{`",
            )


def shadowed_name(module: Module, scope: Scope) -> Iterator[Finding]:
    """Finds variables and rules that take a name which already means something."""
    for rule in module.rules:
        names = declared(rule) | set(rule_path(rule)[:1])
        taken = names & {"input", "data"}
        if taken:
            message = f"`{min(taken)}` is declared here, and hides the document of that name"
            yield _finding(module, rule, "shadowed-name", message, "give it another name")
    if "internal" in scope.rules.get(module.package, frozenset()):
        for rule in module.rules:
            if rule_path(rule)[:1] == ["internal"]:
                message = "a rule named `internal` hides the builtins behind `in`"
                yield _finding(module, rule, "shadowed-name", message, "give it another name")


def reassigned_variable(module: Module, _scope: Scope) -> Iterator[Finding]:
    """Finds a variable that is assigned twice in one body; OPA refuses it."""
    for query in module.tree.find("query"):
        seen: set[str] = set()
        for literal in query.children:
            expression = literal.child("expr")
            infix = expression.child("exprinfix") if expression is not None else None
            if infix is None or not any(infix.children[1].find("assign")):
                continue
            for variable in infix.children[0].find("var"):
                if variable.text in seen:
                    message = f"`{variable.text}` is assigned again"
                    mend = "use another name, or `==` to compare"
                    yield _finding(module, variable, "reassigned-variable", message, mend)
                seen.add(variable.text)


CHECKS: Final[tuple[Callable[[Module, Scope], Iterator[Finding]], ...]] = (
    import_not,
    metadata,
    package_layout,
    nondeterminism,
    unconditional_allow,
    unknown_builtin,
    v0_syntax,
    shadowed_name,
    reassigned_variable,
)
"""Every check of one module."""


def _planned(
    modules: Mapping[str, str],
    parsed: Mapping[str, Module],
    entrypoints: Sequence[str],
    data: Mapping[str, Any] | None,
) -> list[Finding]:
    heads = sorted({"/".join(module.package) for module in parsed.values() if module.rules})
    wanted = list(entrypoints)
    if not wanted:
        has_decision = any(
            module.package == ("guardrails",) and rule_path(rule) == ["decision"]
            for module in parsed.values()
            for rule in module.rules
        )
        wanted = [DECISION] if has_decision else heads
    return planned(modules, wanted, data) if wanted else []


def _by_opa(binary: str, modules: Mapping[str, str], found: Sequence[Finding]) -> list[Finding]:
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


def _package_metadata(module: Module) -> tuple[int, str | None]:
    """The row and the text of the METADATA block right above ``package``."""
    package = _package_row(module)
    comments = {comment.row: comment.text for comment in module.comments if comment.row < package}
    start = next((row for row in sorted(comments) if comments[row].strip() == "METADATA"), None)
    if start is None:
        return package, None
    lines = []
    row = start + 1
    while row in comments:
        lines.append(comments[row].removeprefix(" "))
        row += 1
    return start, "\n".join(lines)


def _package_row(module: Module) -> int:
    package = next(module.tokens.find("package"), None)
    return module.place(package)[0] if package is not None else 1


def _is_test(module: Module) -> bool:
    return module.file.endswith(TEST_SUFFIX)


def _finding(module: Module, node: Node, rule_id: str, message: str, mend: str) -> Finding:
    row, col = module.place(node)
    return Finding(module.file, row, col, rule_id, message, mend)


def _from_error(error: PolicyLoadError, rule_id: str, mend: str) -> Finding:
    return Finding(error.file or "", error.row or 0, error.col or 0, rule_id, error.message, mend)


__all__ = ["CHECKS", "Finding", "Scope", "lint", "planned"]
