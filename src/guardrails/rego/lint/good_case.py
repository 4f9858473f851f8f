"""Good cases that are too good: checks that hold for more than was meant.

These stand where a call passes if they hold, and each of them holds for values that nobody
meant: null, an empty array, an object, an address with a second one before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrails.rego.lint.fail_open import ORDERING
from guardrails.rego.lint.finding import finding_at, written
from guardrails.rego.lint.patterns import begins, constant_pattern
from guardrails.rego.lint.roles import Roles
from guardrails.rego.lint.terms import (
    Call,
    Every,
    Holds,
    Items,
    Term,
    Var,
    terms_of,
    within,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.rego.lint.finding import Finding
    from guardrails.rego.lint.roles import Place
    from guardrails.rego.lint.scope import Scope, View

_ANYWHERE: Final = frozenset({"endswith", "contains", "strings.any_suffix_match"})
_MEASURES: Final = frozenset({"count", "plus", "minus", "mul", "div", "rem", "sum", "to_number"})
_WHOLE: Final = frozenset({"count", "floor", "ceil", "round", "indexof", "strings.count", "rem"})
_ARITHMETIC: Final = frozenset({"plus", "minus", "mul"})
_PAIR: Final = 2


def weak_good_cases(view: View, scope: Scope) -> Iterator[Finding]:
    """Finds good cases that hold for values of another type, for nothing, or for a mere ending."""
    if view.is_test:
        return
    roles = scope.once(Roles)
    for place in roles.places(view):
        literal = place.literal
        if place.refuses:
            continue
        if isinstance(literal, Every):
            yield from _every(view, scope, roles, place, literal)
        for term in terms_of(literal):
            for one in within(term):
                if isinstance(one, Call):
                    yield from _call(view, scope, roles, place, one)


def _call(view: View, scope: Scope, roles: Roles, place: Place, call: Call) -> Iterator[Finding]:
    if len(call.args) < _PAIR:
        return  # which is an error of its own
    if call.name in _ANYWHERE and roles.from_arguments(place, call.args[0]):
        message = f"`{call.name}` holds for `evil@x,a@example.com`, too"
        mend = "compare the whole value with what is allowed: `value in allowed`"
        yield finding_at(view.module, call.node, "fail-open-suffix", message, mend)
    elif call.name == "regex.match" and roles.from_arguments(place, call.args[1]):
        pattern = constant_pattern(view, scope, call.args[0], place.env)
        if pattern is not None and begins(pattern) and not pattern.endswith(("$", r"\z")):
            message = f"`{pattern}` holds for whatever follows"
            mend = "end the pattern with `$`"
            yield finding_at(view.module, call.node, "fail-open-regex", message, mend)
    elif call.name in ORDERING and len(call.args) == _PAIR:
        for arg in call.args:
            measured = isinstance(arg, Call) and arg.name in _MEASURES
            if measured or not roles.from_arguments(place, arg):
                continue
            if (roles.path(place, arg) or ("",))[0] == "data":
                continue  # an argument is only its key
            if not _is_number_there(scope, roles, place, arg):
                shown = written(view.module, arg.node)
                message = f"`{shown}` may be null or a boolean, which sort below all numbers"
                mend = f"write `is_number({shown})` before it"
                yield finding_at(view.module, call.node, "fail-open-comparison", message, mend)


def _is_number_there(scope: Scope, roles: Roles, place: Place, term: Term) -> bool:
    """Whether the body says that `term` is a number, itself or by a helper that it needs."""
    wanted = roles.path(place, term) or _name(term)
    for literal in place.branch.body:
        if not isinstance(literal, Holds):
            continue
        held = literal.term
        if (
            isinstance(held, Call)
            and held.name in {"is_number", "is_string"}
            and held.args
            and (roles.path(place, held.args[0]) or _name(held.args[0])) == wanted
        ):
            return True
        path = roles.path(place, held)
        definitions = scope.definitions(path)[0] if path is not None else ()
        if definitions and all(_says(scope, one.view, one.rule, wanted) for one in definitions):
            return True
    return False


def _says(scope: Scope, view: View, rule: Any, wanted: object) -> bool:
    return bool(rule.branches) and all(
        any(
            isinstance(literal, Holds)
            and isinstance(literal.term, Call)
            and literal.term.name == "is_number"
            and literal.term.args
            and scope.path(view, literal.term.args[0], {}) == wanted
            for literal in branch.body
        )
        for branch in rule.branches
    )


def _every(
    view: View, scope: Scope, roles: Roles, place: Place, literal: Every
) -> Iterator[Finding]:
    if not roles.from_arguments(place, literal.domain):
        return
    domain = roles.path(place, literal.domain) or _name(literal.domain)
    checked = {
        roles.path(place, other.term.args[0]) or _name(other.term.args[0])
        for other in place.branch.body
        if isinstance(other, Holds)
        and isinstance(other.term, Call)
        and other.term.name in {"is_array", "is_set"}
        and other.term.args
    }
    shown = written(view.module, literal.domain.node)
    if domain not in checked:
        message = "`every` over an object sees its values only, and not its keys"
        yield finding_at(
            view.module,
            literal.node,
            "fail-open-every",
            message,
            f"write `is_array({shown})` before it",
        )
    elif not _asks_for_some(scope, roles, view):
        message = "`every` holds where there is nothing to look at"
        yield finding_at(
            view.module,
            literal.node,
            "fail-open-every",
            message,
            f"write `count({shown}) > 0` before it",
        )


def _asks_for_some(scope: Scope, roles: Roles, view: View) -> bool:
    """Whether the package looks anywhere at whether an argument is empty."""
    for other in scope.views:
        if other.package != view.package:
            continue
        for place in roles.places(other):
            for term in terms_of(place.literal):
                for one in within(term):
                    if not isinstance(one, Call) or not roles.from_arguments(place, one):
                        continue
                    empty = any(isinstance(each, Items) and not each.items for each in within(one))
                    if one.name == "count" or (
                        empty and one.name in {"equal", "neq", "internal.member_2"}
                    ):
                        return True
    return False


def _name(term: Term) -> str | None:
    return term.name if isinstance(term, Var) else None


__all__ = ["weak_good_cases"]
