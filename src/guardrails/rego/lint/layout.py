"""Where modules stand, and what they say of themselves: packages, METADATA, bodies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import yaml

from guardrails.rego import analysis
from guardrails.rego.lint.finding import Finding, finding_at, listed
from guardrails.rego.sources import TEST_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.rego.lint.scope import Scope, View
    from guardrails.rego.syntax import Module

_ROOTS: Final = ("guardrails", "guardrails_test", "system")
_SEVERITIES: Final = ("low", "medium", "high", "critical")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


def metadata(view: View, _scope: Scope) -> Iterator[Finding]:
    """Finds rule packages without their METADATA, or with fields of it missing."""
    module = view.module
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
        message = f"METADATA lacks {listed(missing)}"
        yield Finding(module.file, row, 1, "metadata", message, mend)
    severity = custom.get("severity")
    if severity and severity not in _SEVERITIES:
        message = f"unknown severity `{severity}`; available: {listed(_SEVERITIES)}"
        yield Finding(module.file, row, 1, "metadata", message, "use one of them")


def package_layout(view: View, _scope: Scope) -> Iterator[Finding]:
    """Finds packages that stand where nobody hears them, and tests among the rules."""
    module = view.module
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


def v0_syntax(view: View, _scope: Scope) -> Iterator[Finding]:
    """Finds rule bodies without ``if``, which OPA 1 refuses and regopy takes."""
    module = view.module
    for rule in module.rules:
        bodies = rule.child("rulebodyseq")
        first = bodies.children[0] if bodies is not None and bodies.children else None
        if first is None or not module.text(first).startswith("{"):
            continue
        before = re.sub(r"#[^\n]*(?=\n)", "", module.before(first)).rstrip()
        if not before.endswith("if"):
            yield finding_at(
                module,
                rule,
                "v0-syntax",
                "a rule's body needs `if`",
                "write `if {` in place of `{`",
            )


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


__all__ = ["metadata", "package_layout", "v0_syntax"]
