"""Rules that do not refuse where an argument is missing, of another type, or spelt otherwise.

OPA leaves a rule out whose condition is undefined. A ``deny`` that compares an argument is
therefore silent where the argument is missing, null or no number. These are the shapes that fail
open in every engine; what refuses must name the good case and refuse where it does not hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.rego import analysis
from guardrails.rego.lint.finding import finding_at
from guardrails.rego.lint.roles import CLOSING, Place, Roles
from guardrails.rego.lint.scope import arguments, opened, terms_in
from guardrails.rego.lint.terms import Bind, Call, Holds, Items, Ref, Scalar, Some, terms_of, within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.rego.lint.finding import Finding
    from guardrails.rego.lint.scope import Path, Scope, View
    from guardrails.rego.lint.terms import Literal, Term

ORDERING: Final = frozenset({"lt", "lte", "gt", "gte"})
"""The comparisons that any two values take, of whatever type."""

_LISTING: Final = frozenset(
    {"equal", "internal.member_2", "startswith", "endswith", "contains", "regex.match"}
    | {"glob.match", "strings.any_prefix_match", "strings.any_suffix_match"}
)
_TESTED: Final = {"regex.match": 1, "glob.match": 2}
_MESSAGES: Final = {
    "fail-open-comparison": "this refuses nothing where the argument is missing, null, a boolean or"
    " negative; strings and arrays sort above all numbers",
    "fail-open-not-equal": "`!=` is undefined where the argument is missing, and then nothing is"
    " refused",
    "fail-open-list": "this refuses what is listed, and lets pass what is spelt otherwise (`Users`"
    " for `users`) or missing",
    "fail-open-missing-argument": "this is undefined where the argument is missing, and then"
    " nothing is refused",
}
_SAFE: Final = (
    "name the good case in a helper without arguments, `is_number` or `is_string` first, and write"
    ' `deny contains "…" if not good`'
)
_DATA: Final = ("data", "guardrails_data")


def fails_open(view: View, scope: Scope) -> Iterator[Finding]:
    """Finds refusals that fall silent where an argument or a limit is not as expected."""
    if view.is_test:
        return
    roles = scope.once(Roles)
    seen: set[tuple[int, str]] = set()
    for place in roles.places(view):
        if place.refuses and place.rule.name not in CLOSING and place.rule.is_default:
            continue
        for rule_id, at, message in _shapes(roles, scope, place):
            if (id(place.branch), rule_id) not in seen:
                seen.add((id(place.branch), rule_id))
                yield finding_at(view.module, at.node, rule_id, message, _SAFE)
    yield from _messages(view, scope)


def _shapes(roles: Roles, scope: Scope, place: Place) -> Iterator[tuple[str, Term, str]]:
    literal = place.literal
    if not place.refuses or literal.withs or _lifted(place):
        return
    for term in _whole(literal):
        rule_id = _shape(roles, place, term)
        if rule_id is not None:
            yield rule_id, term, _MESSAGES[rule_id]
    for term, path in _data(roles, place):
        if not _guarded(scope, roles, place, path):
            shown = ".".join(str(step) for step in path if step is not None)
            message = f"where `{shown}` lacks what is read here, nothing is refused"
            yield "fail-open-missing-data", term, message
            break


def _shape(roles: Roles, place: Place, term: Term) -> str | None:
    """In which shape `term`, which must hold for a refusal, fails to hold; None for none."""
    if not isinstance(term, Call):
        return "fail-open-missing-argument" if roles.from_arguments(place, term) else None
    derived = any(roles.from_arguments(place, arg) for arg in _args(term))
    if not derived:
        return None
    if term.name in ORDERING:
        return "fail-open-comparison"
    if term.name == "neq":
        return "fail-open-not-equal"
    if _asks_for_nothing(term):
        return None
    if term.name in _LISTING:
        tested = term.args[min(_TESTED.get(term.name, 0), len(term.args) - 1)]
        return "fail-open-list" if roles.from_arguments(place, tested) else None
    return "fail-open-missing-argument"


def _asks_for_nothing(term: Term) -> bool:
    """Whether a term asks whether something is empty: ``x == null``, ``x in [null, []]``."""
    if not isinstance(term, Call) or term.name not in {"equal", "internal.member_2"}:
        return False
    side = term.args[-1]
    members = side.items if isinstance(side, Items) and side.items else (side,)
    return all(
        (isinstance(one, Scalar) and (one.value is None or one.value == ""))
        or (isinstance(one, Items) and not one.items)
        for one in members
    )


def _lifted(place: Place) -> bool:
    """Whether it is an exception within a good case that already asks for what is good.

    `not startswith(value, "@")` beside `value in contacts` only narrows the good case.
    """
    if place.rule.name in CLOSING:
        return False
    good = [literal for literal in place.branch.body if literal is not place.literal]
    holds = any(
        isinstance(literal, Holds)
        and isinstance(literal.term, Call)
        and literal.term.name in _LISTING
        for literal in good
    )
    return holds and place.literal not in place.branch.body


def _whole(literal: Literal) -> tuple[Term, ...]:
    """The terms of a literal that must be defined for it to hold."""
    if isinstance(literal, Holds):
        return (literal.term,)
    if isinstance(literal, Bind):
        return (literal.right,) if literal.declares else (literal.left, literal.right)
    if isinstance(literal, Some) and literal.domain is not None:
        return (literal.domain,)
    return ()


def _args(term: Term) -> tuple[Term, ...]:
    """What a call needs; ``object.get`` has its default."""
    if not isinstance(term, Call) or term.name == "object.get":
        return ()
    return term.args


def _data(roles: Roles, place: Place) -> Iterator[tuple[Term, Path]]:
    """What a literal reads of the data, ``object.get`` aside."""
    for term in terms_of(place.literal):
        skipped = {
            inner
            for one in within(term)
            if isinstance(one, Call) and one.name in {"object.get", "is_object", "is_array"}
            for inner in within(one)
        }
        for one in within(term):
            path = roles.path(place, one) if isinstance(one, Ref) and one not in skipped else None
            if path is not None and path[:2] == _DATA and len(path) > len(_DATA):
                yield one, path


def _guarded(scope: Scope, roles: Roles, place: Place, path: Path) -> bool:
    """Whether a good case of the same package reads the same document, so that it is there."""
    for view in scope.views:
        if view.package != place.view.package:
            continue
        for other in roles.places(view):
            if other.refuses:
                continue
            for term in terms_of(other.literal):
                for one in within(term):
                    read = roles.path(other, one)
                    if read and len(read) > len(_DATA) and read == path[: len(read)]:
                        return True
    return False


def _messages(view: View, scope: Scope) -> Iterator[Finding]:
    """Contributions whose message or demand is undefined where an argument is missing."""
    if view.package[:2] != analysis.RULES:
        return
    for rule in view.rules:
        if rule.name not in CLOSING or rule.key is None:
            continue
        body = rule.branches[0].body if rule.branches else ()
        env = opened(body, arguments(rule))
        for term, inner in terms_in((), env, rule.key):
            if isinstance(term, Ref):
                path = scope.path(view, term, inner)
                if path is not None and path[:2] == ("input", "args"):
                    message = (
                        "where this argument is missing the message is undefined, and nothing is"
                        " refused"
                    )
                    mend = "write a constant message; the record has the arguments"
                    yield finding_at(view.module, term.node, "fail-open-message", message, mend)


__all__ = ["ORDERING", "fails_open"]
