"""Local names: declared twice, declared and not used, or taken from something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.rego.lint.finding import finding_at
from guardrails.rego.lint.scope import ROOTS, arguments, variables
from guardrails.rego.lint.terms import (
    WILDCARD,
    Bind,
    Call,
    Comprehension,
    Every,
    Not,
    Object,
    Ref,
    Scalar,
    Some,
    Var,
    terms_of,
    within,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.rego.lint.finding import Finding
    from guardrails.rego.lint.scope import Scope, View
    from guardrails.rego.lint.terms import Literal, Query, Rule, Term

_RESERVED: Final = frozenset(
    {"if", "contains", "in", "every", "some", "not", "with", "else", "default", "import"}
    | {"package", "as", "null", "true", "false"}
)


def declarations(view: View, _scope: Scope) -> Iterator[Finding]:
    """Finds local names that are declared twice, in vain, or where nothing can be declared."""
    for rule in view.rules:
        args = set(arguments(rule))
        for branch in rule.branches:
            heads = (branch.value,) if branch.value is not None else ()
            heads = (*heads, *rule.steps, *(() if rule.key is None else (rule.key,)))
            yield from _body(view, branch.body, heads, args)
        if not rule.branches:
            for head in rule.heads:
                yield from _closures(view, head)
        yield from _unused_arguments(view, rule)


def shadowed_names(view: View, _scope: Scope) -> Iterator[Finding]:
    """Finds variables and rules that take a name which already means something."""
    mend = "give it another name"
    for rule in view.rules:
        if rule.name in ROOTS:
            message = f"the rule `{rule.name}` hides the document of that name"
            yield finding_at(view.module, rule.node, "shadowed-name", message, mend)
        elif rule.name == "internal":
            message = "a rule named `internal` hides the builtins behind `in`"
            yield finding_at(view.module, rule.node, "shadowed-name", message, mend)
        elif rule.name in _RESERVED and not rule.steps and len(rule.path) == 1:
            message = f"`{rule.name}` is a word of the language, and cannot name a rule"
            yield finding_at(view.module, rule.node, "shadowed-name", message, mend)
        for variable in _declared_in(rule):
            if variable.name in ROOTS:
                message = f"`{variable.name}` is declared here, and hides the document of that name"
                yield finding_at(view.module, variable.node, "shadowed-name", message, mend)


def _body(view: View, query: Query, heads: tuple[Term, ...], args: set[str]) -> Iterator[Finding]:
    """What is wrong with the declarations of one body and of those within it."""
    declared: dict[str, tuple[Var, str]] = {}
    yield from _misplaced(view, query)
    yield from _again(view, query, args, declared)
    used = _referenced(query, heads)
    for name, (variable, how) in declared.items():
        if name not in used and how != "iterated":
            message = f"`{name}` is {how} and not used"
            mend = "leave it out, or write `_`"
            yield finding_at(view.module, variable.node, "unused-variable", message, mend)
    for literal in query:
        if isinstance(literal, Every):
            yield from _unused_elements(view, literal)
        if isinstance(literal, Every | Not):
            yield from _body(view, literal.body, (), set())
        for term in terms_of(literal):
            yield from _closures(view, term)
    for head in heads:
        yield from _closures(view, head)


def _misplaced(view: View, query: Query) -> Iterator[Finding]:
    """Assignments to what can take no value, and where nothing keeps one."""
    for literal in query:
        if isinstance(literal, Bind) and literal.declares:
            yield from _target(view, literal.left)
        elif isinstance(literal, Not) and not literal.braces and literal.body:
            inner = literal.body[0]
            if isinstance(inner, Bind) and inner.declares:
                message = "a variable is assigned under `not`, where nothing keeps it"
                mend = "write `==` to compare"
                yield finding_at(view.module, inner.node, "reassigned-variable", message, mend)


def _again(
    view: View, query: Query, args: set[str], declared: dict[str, tuple[Var, str]]
) -> Iterator[Finding]:
    """Names that are declared though they are there already; fills `declared`."""
    seen: set[str] = set()
    for literal in query:
        if isinstance(literal, Bind) and literal.declares:
            seen |= _mentions(literal.right)
        for variable, how in _declares(literal):
            name = variable.name
            before = declared[name][1] if name in declared else None
            if before is not None:
                message = f"`{name}` is {'assigned again' if how == before else before + ' above'}"
            elif name in args:
                message = f"the parameter `{name}` is declared again"
            elif name in seen:
                message = f"`{name}` is used before it is assigned here"
            else:
                declared[name] = (variable, how)
                continue
            mend = "use another name, or `==` to compare"
            yield finding_at(view.module, variable.node, "reassigned-variable", message, mend)
        seen |= _referenced((literal,), ())


def _unused_elements(view: View, literal: Every) -> Iterator[Finding]:
    inside = _referenced(literal.body, ())
    for variable in literal.targets:
        if variable.name not in inside and variable.name != WILDCARD:
            message = f"`{variable.name}` is declared by `every` and not used"
            yield finding_at(view.module, variable.node, "unused-variable", message, "write `_`")


def _closures(view: View, term: Term) -> Iterator[Finding]:
    for one in within(term):
        if isinstance(one, Comprehension):
            yield from _body(view, one.body, one.heads, set())


def _target(view: View, left: Term) -> Iterator[Finding]:
    """What stands before ``:=`` and can take no value."""
    words = {Ref: "a reference", Call: "a call", Scalar: "a constant"}
    word = words.get(type(left))
    if word is not None:
        message = f"nothing can be assigned to {word}"
        mend = "write `==` to compare"
        yield finding_at(view.module, left.node, "assigned-term", message, mend)


def _declares(literal: Literal) -> Iterator[tuple[Var, str]]:
    """The names that a literal declares, and how."""
    if isinstance(literal, Bind) and literal.declares:
        for variable in _pattern(literal.left):
            yield variable, "assigned"
    elif isinstance(literal, Some):
        how = "declared" if literal.domain is None else "iterated"
        for target in literal.targets:
            for variable in _pattern(target):
                yield variable, how


def _pattern(term: Term) -> Iterator[Var]:
    """The names in a pattern; the keys of an object are read, not declared."""
    pending: list[Term] = [term]
    while pending:
        one = pending.pop(0)
        if isinstance(one, Object):
            pending = [value for _, value in one.pairs] + pending
        elif isinstance(one, Var):
            if one.name != WILDCARD:
                yield one
        elif not isinstance(one, Ref | Call | Comprehension | Scalar):
            pending = list(one.items) + pending


def _mentions(term: Term) -> set[str]:
    """The names in a term, those of closures too where they are not their own."""
    return _names_in((term,))


def _referenced(query: Query, heads: tuple[Term, ...]) -> set[str]:
    """The names that a body and its heads read, whether it declares them or not."""
    found = _names_in(heads)
    for literal in query:
        taken = {id(variable) for variable, _ in _declares(literal)}
        found |= _names_in(terms_of(literal), taken)
        if isinstance(literal, Every | Not):
            own = {v.name for v in literal.targets} if isinstance(literal, Every) else set()
            found |= _free(literal.body, ()) - own
    return found


def _free(query: Query, heads: tuple[Term, ...]) -> set[str]:
    declared = {variable.name for literal in query for variable, _ in _declares(literal)}
    return _referenced(query, heads) - declared


def _names_in(terms: tuple[Term, ...], without: set[int] | None = None) -> set[str]:
    found: set[str] = set()
    for term in terms:
        for one in within(term):
            if isinstance(one, Var):
                if id(one) not in (without or ()):
                    found.add(one.name)
            elif isinstance(one, Call):
                found.add(one.name.partition(".")[0])
            elif isinstance(one, Comprehension):
                found |= _free(one.body, one.heads)
    return found


def _unused_arguments(view: View, rule: Rule) -> Iterator[Finding]:
    used: set[str] = set()
    for branch in rule.branches:
        used |= _free(branch.body, () if branch.value is None else (branch.value,))
    if not rule.branches:
        used |= _names_in(rule.heads)
    used |= _names_in(rule.steps)
    seen: set[str] = set()
    for term in rule.args:
        for variable in variables(term):
            if variable.name not in used and variable.name not in seen:
                message = f"the parameter `{variable.name}` is not used"
                yield finding_at(
                    view.module, variable.node, "unused-variable", message, "write `_`"
                )
            seen.add(variable.name)


def _declared_in(rule: Rule) -> Iterator[Var]:
    """Every name that a rule declares anywhere."""
    for term in rule.args:
        yield from variables(term)
    pending: list[Query] = [branch.body for branch in rule.branches]
    heads = [*rule.heads, *(b.value for b in rule.branches if b.value is not None)]
    pending += [
        one.body for head in heads for one in within(head) if isinstance(one, Comprehension)
    ]
    while pending:
        for literal in pending.pop():
            for variable, _ in _declares(literal):
                yield variable
            if isinstance(literal, Every):
                yield from literal.targets
            if isinstance(literal, Every | Not):
                pending.append(literal.body)
            for term in terms_of(literal):
                pending += [one.body for one in within(term) if isinstance(one, Comprehension)]


__all__ = ["declarations", "shadowed_names"]
