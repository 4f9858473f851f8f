"""What names mean: the modules together, and the local variables of one rule.

A path is the place in ``input`` or ``data`` that a term reads, as far as it can be told:
``input.tool[x]`` is ``("input", "tool", None)``. Local names that stand for a path
(``t := input.tool``) and imports are followed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from guardrails.rego.lint.reading import rules_of
from guardrails.rego.lint.terms import (
    WILDCARD,
    Bind,
    Comprehension,
    Every,
    Literal,
    Not,
    Ref,
    Scalar,
    Some,
    Var,
    terms_of,
    within,
)
from guardrails.rego.sources import TEST_SUFFIX
from guardrails.rego.syntax import path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from guardrails.rego.lint.terms import Query, Rule, Term
    from guardrails.rego.syntax import Module, Node

Path: TypeAlias = "tuple[str | None, ...]"
"""A place in ``input`` or ``data``; None for a step that is not known."""

Env: TypeAlias = "Mapping[str, Term | None]"
"""Local names with the terms that they stand for; None for any value."""

_Made = TypeVar("_Made")

ROOTS: Final = ("input", "data")
_FOLLOWED: Final = 32


@dataclass(frozen=True)
class View:
    """One module as the checks see it.

    Attributes:
        module: Its source and the parser's trees.
        rules: Its rules.
        imports: The paths of ``input`` and ``data`` by the names under which they are known.
    """

    module: Module
    rules: tuple[Rule, ...]
    imports: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, module: Module) -> View:
        """The view of `module`."""
        imports = {}
        for node in module.tree.find("import"):
            path = imported(node)
            if path[:1] and path[0] in ROOTS:
                imports[node.children[-1].text] = path
        return cls(module, rules_of(module), imports)

    @property
    def package(self) -> tuple[str, ...]:
        """The parts of its package's path."""
        return self.module.package

    @property
    def is_test(self) -> bool:
        """Whether it holds tests, by its name or its package."""
        return self.module.file.endswith(TEST_SUFFIX) or self.package[:1] == ("guardrails_test",)

    @property
    def decides(self) -> bool:
        """Whether it may take part in decisions."""
        return self.package[:1] == ("guardrails",) and not self.is_test


@dataclass(frozen=True, slots=True)
class Definition:
    """One rule and the module in which it stands."""

    view: View
    rule: Rule


@dataclass(frozen=True, eq=False)
class Scope:
    """What a check knows beside its own module.

    Attributes:
        views: Every module that parses.
        input_schema: The JSON schema of the input; None if it is not known.
        data_schema: The JSON schema of the base data, likewise.
    """

    views: tuple[View, ...]
    input_schema: Mapping[str, Any] | None = None
    data_schema: Mapping[str, Any] | None = None
    _made: dict[object, Any] = field(default_factory=dict, init=False, repr=False)

    def once(self, make: Callable[[Scope], _Made]) -> _Made:
        """What `make` makes of this scope, made once however often it is asked for."""
        if make not in self._made:
            self._made[make] = make(self)
        made: _Made = self._made[make]
        return made

    @cached_property
    def packages(self) -> Mapping[tuple[str, ...], Mapping[str, tuple[Definition, ...]]]:
        """The definitions of rules by package and first name."""
        found: dict[tuple[str, ...], dict[str, tuple[Definition, ...]]] = {}
        for view in self.views:
            package = found.setdefault(view.package, {})
            for rule in view.rules:
                if rule.name:
                    package[rule.name] = (
                        *package.get(rule.name, ()),
                        Definition(view, rule),
                    )
        return found

    def rules_in(self, package: tuple[str, ...]) -> Mapping[str, tuple[Definition, ...]]:
        """The definitions in `package`, by first name."""
        return self.packages.get(package, {})

    def definitions(self, path: Path) -> tuple[tuple[Definition, ...], Path]:
        """The rules that a path of ``data`` leads to, and the rest of the path."""
        if path[:1] != ("data",):
            return (), path
        steps = path[1:]
        for size in range(len(steps) - 1, -1, -1):
            name = steps[size]
            package = self.packages.get(steps[:size]) if None not in steps[:size] else None  # type: ignore[arg-type]  # no None is left in it
            if package is not None and name is not None and name in package:
                return package[name], steps[size + 1 :]
        return (), path

    def called(self, view: View, name: str, env: Env) -> tuple[Definition, ...]:
        """The functions or rules that a call of `name` in `view` means."""
        first, *rest = name.split(".")
        if first in env:
            return ()
        path: Path = (first, *rest)
        if first in self.rules_in(view.package):
            path = ("data", *view.package, *path)
        elif first in view.imports:
            path = (*view.imports[first], *rest)
        found, left = self.definitions(path)
        return found if not left or (found and found[0].rule.path[1:] == left) else ()

    def path(self, view: View, term: Term, env: Env, depth: int = 0) -> Path | None:
        """The place that `term` reads, or None if it is no reference."""
        if depth > _FOLLOWED:
            return None
        match term:
            case Var(name=name) if name in env:
                value = env[name]
                return None if value is None else self.path(view, value, env, depth + 1)
            case Var(name=name) if name in ROOTS:
                return (name,)
            case Var(name=name) if name in self.rules_in(view.package):
                return ("data", *view.package, name)
            case Var(name=name):
                return view.imports.get(name)
            case Ref(head=head, steps=steps):
                base = self.path(view, head, env, depth + 1)
                return None if base is None else (*base, *map(_step, steps))
        return None


def _step(term: Term) -> str | None:
    return term.value if isinstance(term, Scalar) and isinstance(term.value, str) else None


def imported(node: Node) -> tuple[str, ...]:
    """The path of an import."""
    reference = node.child("ref")
    return tuple(path_of(reference) or ()) if reference is not None else ()


def variables(term: Term) -> Iterator[Var]:
    """The names within a term in its own scope, wildcards left out."""
    for one in within(term):
        if isinstance(one, Var) and one.name != WILDCARD:
            yield one


def opened(query: Query, env: Env) -> Env:
    """`env` with what the literals of a body declare."""
    found: dict[str, Term | None] = dict(env)
    for literal in query:
        if isinstance(literal, Bind) and literal.declares:
            if isinstance(literal.left, Var):
                found[literal.left.name] = literal.right
            else:
                found.update(dict.fromkeys((v.name for v in variables(literal.left)), None))
        elif isinstance(literal, Some):
            for target in literal.targets:
                found.update(dict.fromkeys((v.name for v in variables(target)), None))
            found.update(_elements(literal.targets, literal.domain))
    found.pop(WILDCARD, None)
    return found


def iterating(literal: Every, env: Env) -> Env:
    """`env` with what ``every`` declares for its body."""
    names = {variable.name: None for variable in literal.targets if variable.name != WILDCARD}
    return {**env, **names, **_elements(literal.targets, literal.domain)}


def _elements(targets: tuple[Term, ...], domain: Term | None) -> Env:
    """The name of an iteration's elements, as what it stands for: ``domain[_]``."""
    last = targets[-1] if targets else None
    if domain is None or not isinstance(last, Var) or last.name == WILDCARD:
        return {}
    return {last.name: Ref(last.node, domain, (Var(last.node, WILDCARD),))}


def arguments(rule: Rule) -> Env:
    """What is local in the whole of a rule: the parameters of a function."""
    return {variable.name: None for term in rule.args for variable in variables(term)}


def literals_in(query: Query, env: Env) -> Iterator[tuple[Literal, Env]]:
    """Every literal of a body and of the bodies within it, with what is local there."""
    own = opened(query, env)
    for literal in query:
        yield literal, own
        if isinstance(literal, Every):
            yield from literals_in(literal.body, iterating(literal, own))
        elif isinstance(literal, Not):
            yield from literals_in(literal.body, own)
        for term in terms_of(literal):
            yield from _inner_literals(term, own)


def _inner_literals(term: Term, env: Env) -> Iterator[tuple[Literal, Env]]:
    for one in within(term):
        if isinstance(one, Comprehension):
            yield from literals_in(one.body, env)
            for head in one.heads:
                yield from _inner_literals(head, opened(one.body, env))


def terms_in(query: Query, env: Env, *heads: Term) -> Iterator[tuple[Term, Env]]:
    """Every term of a body and its heads, of inner bodies too, with what is local there."""
    own = opened(query, env)
    for head in heads:
        yield from _closed(head, own)
    for literal in query:
        for term in terms_of(literal):
            yield from _closed(term, own)
        if isinstance(literal, Every):
            yield from terms_in(literal.body, iterating(literal, own))
        elif isinstance(literal, Not):
            yield from terms_in(literal.body, own)


def _closed(term: Term, env: Env) -> Iterator[tuple[Term, Env]]:
    for one in within(term):
        yield one, env
        if isinstance(one, Comprehension):
            yield from terms_in(one.body, env, *one.heads)


def literals_of_rule(rule: Rule) -> Iterator[tuple[Literal, Env]]:
    """Every literal of a rule with what is local there."""
    env = arguments(rule)
    for branch in rule.branches:
        yield from literals_in(branch.body, env)
        if branch.value is not None:
            yield from _inner_literals(branch.value, opened(branch.body, env))
    for head in rule.heads if not rule.branches else ():
        yield from _inner_literals(head, env)


def terms_of_rule(rule: Rule) -> Iterator[tuple[Term, Env]]:
    """Every term of a rule with what is local there."""
    env = arguments(rule)
    for term in rule.args:
        yield from _closed(term, env)
    if not rule.branches:
        for head in rule.heads:
            yield from _closed(head, env)
    for number, branch in enumerate(rule.branches):
        heads = [] if branch.value is None else [branch.value]
        if number == 0:
            heads += [*rule.steps, *([] if rule.key is None else [rule.key])]
        yield from terms_in(branch.body, env, *heads)


__all__ = [
    "ROOTS",
    "Definition",
    "Env",
    "Path",
    "Scope",
    "View",
    "arguments",
    "imported",
    "iterating",
    "literals_in",
    "literals_of_rule",
    "opened",
    "terms_in",
    "terms_of_rule",
    "variables",
]
