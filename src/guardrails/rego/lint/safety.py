"""Unsafe variables: those that nothing in a body gives a value.

The rules are OPA's: a literal binds variables if what they depend on is bound; the order of
the literals means nothing; what stands under ``not``, in ``every`` or in a comprehension binds
nothing outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.rego.lint.finding import finding_at
from guardrails.rego.lint.scope import ROOTS, arguments, opened, variables
from guardrails.rego.lint.signatures import SIGNATURES
from guardrails.rego.lint.terms import (
    WILDCARD,
    Bind,
    Call,
    Comprehension,
    Every,
    Holds,
    Items,
    Not,
    Object,
    Ref,
    Some,
    Var,
    terms_of,
    within,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guardrails.rego.lint.finding import Finding
    from guardrails.rego.lint.scope import Scope, View
    from guardrails.rego.lint.terms import Literal, Query, Rule, Term

_BOUND_BY: Final = "bind it in the body, with `:=`, `some` or `in`, or correct its name"


def unsafe_variables(view: View, scope: Scope) -> Iterator[Finding]:
    """Finds variables that nothing binds: OPA refuses them, and misspelt names are such."""
    known = {*scope.rules_in(view.package), *view.imports, *ROOTS}
    for rule in view.rules:
        reported: set[str] = set()
        for variable in _Safety(view, scope, known).of_rule(rule):
            name = variable.name
            if name in reported:
                continue
            reported.add(name)
            message = f"the variable `{name}` is unsafe: nothing gives it a value"
            mend = _BOUND_BY
            if name == WILDCARD:
                message, mend = "`_` has no value here", "name what is meant"
            yield finding_at(view.module, variable.node, "unsafe-variable", message, mend)


class _Safety:
    """The search in one module; `known` are the names that mean something in all of it."""

    def __init__(self, view: View, scope: Scope, known: set[str]) -> None:
        self._view = view
        self._scope = scope
        self._known = known

    def of_rule(self, rule: Rule) -> Iterator[Var]:
        own = set(arguments(rule))
        if not rule.branches:
            yield from self._body((), rule.heads, own, own)
        for number, branch in enumerate(rule.branches):
            heads = () if branch.value is None else (branch.value,)
            if number == 0:
                heads = (*rule.steps, *(() if rule.key is None else (rule.key,)), *heads)
            yield from self._body(branch.body, heads, own, own)

    def _body(
        self, query: Query, heads: Sequence[Term], bound: set[str], visible: set[str]
    ) -> Iterator[Var]:
        """The unsafe variables of a body.

        Args:
            query: The body.
            heads: Terms outside the body whose variables it binds.
            bound: The names that have a value around it.
            visible: The names that mean something around it, bound or not.
        """
        declared = set(opened(query, {}))
        used = {v.name for literal in query for term in terms_of(literal) for v in variables(term)}
        safe = bound - declared
        # What stands around this body and is not bound there cannot be bound from within.
        barred = (visible - bound) - declared
        size = -1
        while size != len(safe):
            size = len(safe)
            for literal in query:
                safe |= self._binds(literal, safe) - barred
        inner = visible | declared | used
        for literal in query:
            yield from self._unbound(literal, safe, inner)
        for head in heads:
            yield from self._unsafe(head, safe, inner)

    def _unbound(self, literal: Literal, safe: set[str], visible: set[str]) -> Iterator[Var]:
        bare = isinstance(literal, Some) and literal.domain is None
        functions = {value for _, value in literal.withs if self._is_function(value)}
        for term in () if bare else terms_of(literal):
            if term in functions:
                continue
            pattern = isinstance(literal, Bind)
            pattern = pattern or (isinstance(literal, Some) and term in literal.targets)
            yield from self._unsafe(term, safe, visible, pattern=pattern)
        if isinstance(literal, Every):
            own = {variable.name for variable in literal.targets}
            yield from self._body(literal.body, (), safe | own, visible | own)
        elif isinstance(literal, Not):
            if literal.braces:
                yield from self._body(literal.body, (), safe, visible)
            for inner in () if literal.braces else literal.body:
                yield from self._unbound(inner, safe, visible)

    def _is_function(self, term: Term) -> bool:
        """Whether `term` names a builtin, which ``with`` may put in another's place."""
        return self._view.module.text(term.node) in SIGNATURES

    def _unsafe(
        self, term: Term, safe: set[str], visible: set[str], *, pattern: bool = False
    ) -> Iterator[Var]:
        wild = self._wild(term, pattern=pattern)
        for one in within(term):
            if isinstance(one, Var):
                unsafe = one.name != WILDCARD and one.name not in self._known | safe
                if unsafe or one in wild:
                    # The parser gives some wildcards no place of their own.
                    yield one if one.node.start is not None else Var(term.node, one.name)
            elif isinstance(one, Comprehension):
                yield from self._body(one.body, one.heads, safe, visible)

    def _wild(self, term: Term, *, pattern: bool) -> set[Var]:
        """The wildcards in `term` that stand where a value is needed."""
        found: set[Var] = set()
        if isinstance(term, Var) and not pattern:
            found.add(term)
        for one in within(term):
            if isinstance(one, Call) and one.name != "unify":
                output = self._output(one)
                found.update(arg for arg in one.args if isinstance(arg, Var) and arg is not output)
        return {variable for variable in found if variable.name == WILDCARD}

    # What binds.

    def _binds(self, literal: Literal, safe: set[str]) -> set[str]:
        match literal:
            case Holds(term=term):
                return self._outputs(term, safe)
            case Bind(left=left, right=right):
                return self._unify(left, right, safe)
            case Some(targets=targets, domain=domain) if domain is not None:
                found = self._outputs(domain, safe)
                if self._ready(domain, safe | found):
                    for target in targets:
                        found |= _bindable(target)
                return found
            case Every(domain=domain):
                return self._outputs(domain, safe)
            case _:
                return set()

    def _outputs(self, term: Term, safe: set[str]) -> set[str]:
        """The variables that references and calls within `term` bind."""
        found: set[str] = set()
        for one in within(term):
            if isinstance(one, Ref) and self._ready(one.head, safe | found):
                for step in one.steps:
                    found |= _bindable(step)
            elif isinstance(one, Call):
                output = self._output(one)
                inputs = one.args[:-1]
                if output is not None and all(self._ready(arg, safe | found) for arg in inputs):
                    found |= _bindable(output)
        return found

    def _output(self, call: Call) -> Term | None:
        """The argument of a call that takes its result: one more than the function has."""
        signature = SIGNATURES.get(call.name)
        if signature is not None:
            count = len(signature.args)
        else:
            found = self._scope.called(self._view, call.name, {})
            count = len(found[0].rule.args) if found else -1
        return call.args[-1] if len(call.args) == count + 1 and count >= 0 and call.args else None

    def _unify(self, left: Term, right: Term, safe: set[str]) -> set[str]:
        found = self._outputs(left, safe) | self._outputs(right, safe)
        now = safe | found
        if self._ready(left, now):
            found |= _bindable(right)
        if self._ready(right, now):
            found |= _bindable(left)
        if isinstance(left, Items) and isinstance(right, Items):
            if left.kind == right.kind == "array" and len(left.items) == len(right.items):
                for one, other in zip(left.items, right.items, strict=True):
                    found |= self._unify(one, other, now)
        elif isinstance(left, Object) and isinstance(right, Object):
            for (_, one), (_, other) in zip(left.pairs, right.pairs, strict=False):
                found |= self._unify(one, other, now)
        return found

    def _ready(self, term: Term, safe: set[str]) -> bool:
        """Whether `term` has a value once `safe` have one."""
        for one in within(term):
            if isinstance(one, Var) and one.name != WILDCARD and one.name not in self._known | safe:
                return False
        # A wildcard alone has none; within a reference it is bound by it.
        return not (isinstance(term, Var) and term.name == WILDCARD)


def _bindable(pattern: Term) -> set[str]:
    """The names that are bound when `pattern` is matched with a value."""
    found: set[str] = set()
    pending: list[Term] = [pattern]
    while pending:
        one = pending.pop()
        if isinstance(one, Var) and one.name != WILDCARD:
            found.add(one.name)
        elif isinstance(one, Items) and one.kind == "array":
            pending.extend(one.items)
        elif isinstance(one, Object):
            pending.extend(value for _, value in one.pairs)
    return found


__all__ = ["unsafe_variables"]
