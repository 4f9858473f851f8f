"""Rules that can never hold, rules that nobody uses, and an ``allow`` that always holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrails.rego import analysis
from guardrails.rego.lint.finding import finding_at, listed, written
from guardrails.rego.lint.inference import Inference
from guardrails.rego.lint.scope import arguments, opened, terms_of_rule
from guardrails.rego.lint.terms import Bind, Call, Holds, Items, Not, Ref, Scalar, Var
from guardrails.rego.lint.types import disjoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.rego.lint.finding import Finding
    from guardrails.rego.lint.scope import Env, Path, Scope, View
    from guardrails.rego.lint.terms import Literal, Term

_LOWER: Final = {"gt": True, "gte": False}
_UPPER: Final = {"lt": True, "lte": False}
_TURNED: Final = {"gt": "lt", "gte": "lte", "lt": "gt", "lte": "gte"}
_IS: Final = {
    "is_string": "string",
    "is_number": "number",
    "is_array": "array",
    "is_object": "object",
}


def never_fires(view: View, scope: Scope) -> Iterator[Finding]:
    """Finds bodies that no call can satisfy."""
    if not view.decides:
        return
    plain, schemas = Inference(scope), Inference(scope, with_schemas=True)
    for rule in view.rules:
        for branch in rule.branches:
            env = opened(branch.body, arguments(rule))
            facts = _Facts(view, scope, env)
            for literal in branch.body:
                why = facts.contradicted(literal) or _impossible(
                    view, scope, plain, schemas, literal, env
                )
                if why is not None:
                    message = f"this body never holds: {why}"
                    mend = "correct the condition, or leave the rule out"
                    yield finding_at(view.module, literal.node, "never-fires", message, mend)
                    break


def unused_rules(view: View, scope: Scope) -> Iterator[Finding]:
    """Finds rules of rule packages that no rule reads and that contribute nothing."""
    if view.package[:2] != analysis.RULES or view.is_test:
        return
    used = _used_names(scope, view.package)
    reported: set[str] = set()
    for rule in view.rules:
        name = rule.name
        if name in used or name in analysis.CONTRIBUTIONS or name in reported or not name:
            continue
        reported.add(name)
        meant = analysis.near_contribution(name)
        if meant and rule.kind == "set":
            continue  # the analysis says that it is misspelt
        message = f"nobody uses `{name}`, and it is no contribution"
        mend = f"did you mean `{meant}`?" if meant else "leave it out"
        if not meant:
            message += f"; these are: {listed(analysis.CONTRIBUTIONS)}"
        yield finding_at(view.module, rule.node, "unused-rule", message, mend)


def unconditional_allow(view: View, scope: Scope) -> Iterator[Finding]:
    """Finds an ``allow`` that holds for every call."""
    if view.package[:2] != analysis.RULES or view.is_test:
        return
    schemas = Inference(scope, with_schemas=True)
    for rule in view.rules:
        if rule.name != "allow" or rule.is_default:
            continue
        for body in [branch.body for branch in rule.branches] or [()]:
            env = opened(body, arguments(rule))
            if all(_always(view, scope, schemas, literal, env) for literal in body):
                message, mend = "this allows every call", "give it a condition: `if …`"
                yield finding_at(view.module, rule.node, "unconditional-allow", message, mend)


class _Facts:
    """What the literals of one body have said so far of paths and locals."""

    def __init__(self, view: View, scope: Scope, env: Env) -> None:
        self._view = view
        self._scope = scope
        self._env = env
        self._equal: dict[object, object] = {}
        self._low: dict[object, tuple[Any, bool]] = {}
        self._high: dict[object, tuple[Any, bool]] = {}

    def contradicted(self, literal: Literal) -> str | None:
        """Why `literal` cannot hold after those before it; None if it can."""
        if literal.withs:
            return None
        if isinstance(literal, Holds) and isinstance(literal.term, Call):
            call = literal.term
            if call.name == "equal" and len(call.args) == 2:  # noqa: PLR2004  # both sides
                return self._equals(call.args[0], call.args[1])
            if call.name in _TURNED and len(call.args) == 2:  # noqa: PLR2004  # both sides
                return self._bounds(call.name, call.args[0], call.args[1])
        elif isinstance(literal, Bind) and not literal.declares:
            return self._equals(literal.left, literal.right)
        return None

    def _equals(self, left: Term, right: Term) -> str | None:
        for one, other in ((left, right), (right, left)):
            place = self._place(one)
            if place is None or not isinstance(other, Scalar):
                continue
            before = self._equal.setdefault(place, other.value)
            if not _same(before, other.value):
                return f"`{self._text(one)}` cannot be `{before}` and `{other.value}` at once"
        return None

    def _bounds(self, name: str, left: Term, right: Term) -> str | None:
        for sign, one, other in ((name, left, right), (_TURNED[name], right, left)):
            place = self._place(one)
            if place is None or not isinstance(other, Scalar) or not _is_number(other.value):
                continue
            if sign in _LOWER:
                self._low[place] = (other.value, _LOWER[sign])
            else:
                self._high[place] = (other.value, _UPPER[sign])
            low, high = self._low.get(place), self._high.get(place)
            if low and high and (low[0] > high[0] or (low[0] == high[0] and (low[1] or high[1]))):
                return f"`{self._text(one)}` cannot lie above {low[0]} and below {high[0]} at once"
        return None

    def _place(self, term: Term) -> object:
        """What a term always stands for in this body: a constant path, or a local."""
        path = self._scope.path(self._view, term, self._env)
        if path is not None:
            return None if None in path else path
        return term.name if isinstance(term, Var) else None

    def _text(self, term: Term) -> str:
        return written(self._view.module, term.node)


def _impossible(  # noqa: PLR0913, PLR0917  # what a body is judged by
    view: View, scope: Scope, plain: Inference, schemas: Inference, literal: Literal, env: Env
) -> str | None:
    """Why `literal` holds for no call at all; None if it may."""
    if literal.withs:
        return None
    if isinstance(literal, Not):
        only = literal.body[0] if len(literal.body) == 1 else None
        inner = only.term if isinstance(only, Holds) else None
        return "`not true`" if isinstance(inner, Scalar) and inner.value is not False else None
    if isinstance(literal, Holds):
        return _false(view, scope, plain, schemas, literal.term, env)
    return None


def _false(  # noqa: PLR0913, PLR0917  # what a literal is judged by
    view: View, scope: Scope, plain: Inference, schemas: Inference, term: Term, env: Env
) -> str | None:
    if isinstance(term, Scalar):
        return "it is `false`" if term.value is False else None
    if not isinstance(term, Call) or not term.infix or len(term.args) != 2:  # noqa: PLR2004  # both sides
        return None
    left, right = term.args
    if isinstance(left, Scalar) and isinstance(right, Scalar):
        return (
            None if _compares(term.name, left.value, right.value) else "its two sides are constants"
        )
    if term.name == "equal":
        if disjoint(plain.of(view, left, env), plain.of(view, right, env)):
            return None  # a type error, which is found by its own check
        one, other = schemas.of(view, left, env), schemas.of(view, right, env)
        if disjoint(one, other):
            return f"one side is a {one}, the other a {other}"
        return _no_choice(view, scope, left, right, env) or _no_choice(
            view, scope, right, left, env
        )
    if term.name == "internal.member_2" and isinstance(right, Items):
        one = schemas.of(view, left, env)
        others = [schemas.of(view, item, env) for item in right.items]
        if all(disjoint(one, other) for other in others):
            return f"a {one} is none of these"
    return None


def _no_choice(view: View, scope: Scope, term: Term, value: Term, env: Env) -> str | None:
    """Whether a constant is none of the values that the schema lists at a path."""
    path = scope.path(view, term, env)
    if path is None or path[0] != "input" or not isinstance(value, Scalar):
        return None
    node: Any = scope.input_schema
    for step in path[1:]:
        node = node.get("properties", {}).get(step) if isinstance(node, dict) else None
    choices = node.get("enum") if isinstance(node, dict) else None
    if choices is None or value.value in choices:
        return None
    return f"`{'.'.join(str(step) for step in path)}` is one of {listed([str(c) for c in choices])}"


def _compares(name: str, left: Any, right: Any) -> bool:
    """Whether a comparison of two constants holds, or is none that is known here."""
    if name in {"equal", "neq"}:
        return _same(left, right) is (name == "equal")
    if name not in _TURNED or not (_is_number(left) and _is_number(right)):
        return True
    if left == right:
        return name in {"lte", "gte"}
    return (left < right) is (name in {"lt", "lte"})


def _always(view: View, scope: Scope, schemas: Inference, literal: Literal, env: Env) -> bool:
    """Whether a literal holds for every call that there can be."""
    if isinstance(literal, Bind):
        return literal.declares and not _reads(view, scope, literal.right, env)
    if not isinstance(literal, Holds):
        return False
    term = literal.term
    if isinstance(term, Scalar):
        return term.value is not False
    if isinstance(term, Call):
        if len(term.args) == 1 and term.name in _IS:
            given = schemas.of(view, term.args[0], env)
            return given.kinds == {_IS[term.name]} and _required(view, scope, term.args[0], env)
        if term.infix and len(term.args) == 2:  # noqa: PLR2004  # both sides
            left, right = term.args
            if isinstance(left, Scalar) and isinstance(right, Scalar):
                return _compares(term.name, left.value, right.value)
            same = view.module.text(left.node) == view.module.text(right.node)
            return (
                term.name in {"equal", "lte", "gte"} and same and _required(view, scope, left, env)
            )
        return False
    given = schemas.of(view, term, env)
    return "boolean" not in given.kinds and _required(view, scope, term, env)


def _reads(view: View, scope: Scope, term: Term, env: Env) -> bool:
    """Whether a term is anything but a constant."""
    return not isinstance(term, Scalar | Items) or scope.path(view, term, env) is not None


def _required(view: View, scope: Scope, term: Term, env: Env) -> bool:
    """Whether the schema requires what a term reads, so that it is always there."""
    path: Path | None = scope.path(view, term, env)
    if path is None or path[:1] != ("input",):
        return False
    node: Any = scope.input_schema
    for step in path[1:]:
        if not isinstance(node, dict) or step not in node.get("required", ()):
            return False
        node = node["properties"].get(step)
    return node is not None


def _used_names(scope: Scope, package: tuple[str, ...]) -> set[str]:
    """The rules of `package` that any rule of any module reads or calls."""
    found: set[str] = set()
    for view in scope.views:
        for rule in view.rules:
            for term, env in terms_of_rule(rule):
                if isinstance(term, Call):
                    for definition in scope.called(view, term.name, env):
                        if definition.view.package == package:
                            found.add(definition.rule.name)
                elif isinstance(term, Var | Ref):
                    path = scope.path(view, term, env) or ()
                    if path[1 : len(package) + 1] == package and len(path) > len(package) + 1:
                        found.add(str(path[len(package) + 1]))
    return found


def _is_number(value: object) -> bool:
    return not isinstance(value, bool | str) and value is not None


def _same(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


__all__ = ["never_fires", "unconditional_allow", "unused_rules"]
