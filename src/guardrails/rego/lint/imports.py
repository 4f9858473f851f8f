"""Imports: of nothing that is used, twice, or of what cannot be imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.rego.lint.finding import finding_at
from guardrails.rego.lint.scope import ROOTS, imported, terms_of_rule
from guardrails.rego.lint.terms import Call, Var

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.rego.lint.finding import Finding
    from guardrails.rego.lint.scope import Scope, View

_LANGUAGE: Final = ("future", "rego")


def imports(view: View, _scope: Scope) -> Iterator[Finding]:
    """Finds imports that are not used, that hide another one, or that mean nothing."""
    used = _used(view)
    seen: dict[str, str] = {}
    for node in view.module.tree.find("import"):
        path = imported(node)
        alias = node.children[-1].text
        shown = ".".join(path)
        if not path or path[0] not in (*ROOTS, *_LANGUAGE):
            message = f"`{shown or view.module.text(node)}` cannot be imported"
            mend = "import from `data`, `input`, `future` or `rego`"
            yield finding_at(view.module, node, "import", message, mend)
            continue
        name = alias if path[0] in ROOTS else shown
        if name in seen:
            message = f"`{name}` is imported already, as `{seen[name]}`"
            yield finding_at(view.module, node, "import", message, "leave one of them out")
        elif path[0] in ROOTS and alias not in used:
            message = f"the import `{shown}` is not used"
            yield finding_at(view.module, node, "import", message, "leave it out")
        seen.setdefault(name, shown)


def _used(view: View) -> set[str]:
    """The names that the rules read and do not declare themselves."""
    found: set[str] = set()
    for rule in view.rules:
        for term, env in terms_of_rule(rule):
            if isinstance(term, Var) and term.name not in env:
                found.add(term.name)
            elif isinstance(term, Call) and term.name.partition(".")[0] not in env:
                found.add(term.name.partition(".")[0])
    return found


__all__ = ["imports"]
