"""What a rule is for: to refuse, or to name the good case; and what comes from the arguments.

A literal *refuses* if a call is refused only where it holds: in a ``deny``, and in every helper
that such a rule needs. Where it is undefined, nothing is refused. Under ``not`` the role turns
round. A helper that some rule needs to be true before a call may pass is a *good case*, and stays
one where it is used otherwise too: without it the call is refused already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from guardrails.rego import analysis
from guardrails.rego.lint.scope import arguments, literals_in, opened, terms_in, variables
from guardrails.rego.lint.terms import (
    Call,
    Comprehension,
    Every,
    Not,
    Ref,
    Var,
    terms_of,
    within,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.rego.lint.scope import Definition, Env, Path, Scope, View
    from guardrails.rego.lint.terms import Branch, Literal, Query, Rule, Term

CLOSING: Final = frozenset({"deny", "shadow", "require_approval", "obligations"})
"""The contributions that narrow what is allowed: where they do not fire, more is."""

_ARGUMENTS: Final = ("input", "args")


@dataclass(frozen=True, slots=True)
class Place:
    """A literal with what surrounds it.

    Attributes:
        refuses: Whether a call is refused only where it holds.
    """

    view: View
    rule: Rule
    branch: Branch
    literal: Literal
    env: Env
    refuses: bool


class Roles:
    """The roles of all rules of rule packages, and the parameters that carry arguments."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._good: set[int] = set()
        self._refusing: set[int] = set()
        self._carriers: dict[int, set[str]] = {}
        starts = [
            (definition, definition.rule.name in CLOSING)
            for package, names in scope.packages.items()
            if package[:2] == analysis.RULES
            for name, definitions in names.items()
            if name in CLOSING or name == "allow"
            for definition in definitions
        ]
        self._spread(starts)
        self._carry()

    def places(self, view: View) -> Iterator[Place]:
        """The literals of the rules in `view` that have a role."""
        for rule in view.rules:
            if id(rule) in self._good | self._refusing:
                refuses = id(rule) not in self._good
                for branch in rule.branches:
                    for literal, env, role in _polar(branch.body, arguments(rule), refuses):
                        yield Place(view, rule, branch, literal, env, role)

    def from_arguments(self, place: Place, term: Term, env: Env | None = None) -> bool:
        """Whether the value of `term` comes from ``input.args``."""
        return self._comes(place.view, place.rule, term, place.env if env is None else env)

    def path(self, place: Place, term: Term) -> Path | None:
        """The path that `term` reads."""
        return self._scope.path(place.view, term, place.env)

    def _spread(self, starts: list[tuple[Definition, bool]]) -> None:
        pending = starts
        while pending:
            definition, refuses = pending.pop()
            roles = self._refusing if refuses else self._good
            if id(definition.rule) in roles:
                continue
            roles.add(id(definition.rule))
            rule = definition.rule
            for branch in rule.branches:
                for literal, env, role in _polar(branch.body, arguments(rule), refuses):
                    for term in terms_of(literal):
                        pending += [(one, role) for one in self._used(definition.view, term, env)]
                if branch.value is not None:
                    env = opened(branch.body, arguments(rule))
                    pending += [
                        (one, refuses) for one in self._used(definition.view, branch.value, env)
                    ]

    def _used(self, view: View, term: Term, env: Env) -> Iterator[Definition]:
        for one in within(term):
            if isinstance(one, Call):
                yield from self._scope.called(view, one.name, env)
            elif isinstance(one, Var | Ref):
                path = self._scope.path(view, one, env)
                if path is not None and (not isinstance(one, Var) or one.name not in env):
                    yield from self._scope.definitions(path)[0]

    def _carry(self) -> None:
        """Works out which parameters of functions are given arguments of the call."""
        size = -1
        while size != sum(map(len, self._carriers.values())):
            size = sum(map(len, self._carriers.values()))
            for view in self._scope.views:
                if view.decides:
                    for rule in view.rules:
                        for branch in rule.branches:
                            self._carry_from(view, rule, branch.body)

    def _carry_from(self, view: View, rule: Rule, body: Query) -> None:
        for term, env in terms_in(body, arguments(rule)):
            if not isinstance(term, Call):
                continue
            for definition in self._scope.called(view, term.name, env):
                for given, parameter in zip(term.args, definition.rule.args, strict=False):
                    if self._comes(view, rule, given, env):
                        names = {variable.name for variable in variables(parameter)}
                        self._carriers.setdefault(id(definition.rule), set()).update(names)

    def _comes(self, view: View, rule: Rule, term: Term, env: Env, depth: int = 0) -> bool:
        if depth > 20:  # noqa: PLR2004  # names that stand for names; a cycle is an error elsewhere
            return False
        carriers = self._carriers.get(id(rule), set())
        for one in within(term):
            if isinstance(one, Var) and one.name in env:
                value = env[one.name]
                if value is None and one.name in carriers:
                    return True
                if value is not None and self._comes(view, rule, value, env, depth + 1):
                    return True
            elif isinstance(one, Comprehension):
                inner = opened(one.body, env)
                if any(self._comes(view, rule, head, inner, depth + 1) for head in one.heads):
                    return True
            elif self._is_argument(view, one, env):
                return True
        return False

    def _is_argument(self, view: View, term: Term, env: Env) -> bool:
        """Whether `term` reads something within the arguments, and not all of them."""
        if isinstance(term, Ref):
            path = self._scope.path(view, term, env)
            # A part of the input that is not known may be a part of the arguments.
            return path is not None and _within_arguments(path)
        if isinstance(term, Call) and term.name == "object.get" and len(term.args) > 1:
            base = self._scope.path(view, term.args[0], env) or ()
            keys = getattr(term.args[1], "items", (term.args[1],))
            named = tuple(getattr(key, "value", None) for key in keys)
            path = (*base, *named)
            return _within_arguments(path)
        return False


def _within_arguments(path: Path) -> bool:
    if path[:2] == _ARGUMENTS:
        return len(path) > len(_ARGUMENTS)
    return path[:2] == ("input", None)


def _polar(query: Query, env: Env, refuses: bool) -> Iterator[tuple[Literal, Env, bool]]:  # noqa: FBT001  # the role turns in the recursion
    """The literals of a body, of inner bodies too, each with its role."""
    own = opened(query, env)
    for literal in query:
        yield literal, own, refuses
        if isinstance(literal, Not):
            yield from _polar(literal.body, own, not refuses)
        elif isinstance(literal, Every):
            names = {variable.name: None for variable in literal.targets}
            last = literal.targets[-1]
            element = Ref(last.node, literal.domain, (Var(last.node, "_"),))
            yield from _polar(literal.body, {**own, **names, last.name: element}, refuses)
        for term in terms_of(literal):
            for one in within(term):
                if isinstance(one, Comprehension):
                    for inner, inner_env in literals_in(one.body, own):
                        yield inner, inner_env, refuses


__all__ = ["CLOSING", "Place", "Roles"]
