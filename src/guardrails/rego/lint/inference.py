"""The type of a term, from constants, builtins and rules; of the input only with its schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrails.rego.lint.scope import arguments, opened
from guardrails.rego.lint.signatures import SIGNATURES
from guardrails.rego.lint.terms import Call, Comprehension, Items, Object, Ref, Scalar, Var
from guardrails.rego.lint.types import (
    ANY,
    Type,
    array_of,
    joined,
    kind,
    object_of,
    selected,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.rego.lint.scope import Definition, Env, Path, Scope, View
    from guardrails.rego.lint.terms import Rule, Term

_DEEPEST: Final = 40
_JSON_KINDS: Final = {"integer": "number"}


class Inference:
    """Types of terms.

    Args:
        with_schemas: Whether what is read of the input and of the data has the type that its
            schema says. OPA's compiler does not know them.
    """

    def __init__(self, scope: Scope, *, with_schemas: bool = False) -> None:
        self._scope = scope
        self._rules: dict[int, Type] = {}
        self._roots: dict[str, Type] = {}
        if with_schemas:
            self._roots = {
                "input": type_of_schema(scope.input_schema),
                "data": type_of_schema(scope.data_schema),
            }

    def of(
        self, view: View, term: Term, env: Env, depth: int = 0
    ) -> Type:  # one for each kind of term
        """The type of `term`; ANY where nothing is known."""
        if depth > _DEEPEST:
            return ANY
        match term:
            case Scalar(value=value):
                return _scalar(value)
            case Items(kind="array", items=items):
                return array_of(tuple(self.of(view, item, env, depth + 1) for item in items))
            case Items(items=items):
                types = [self.of(view, item, env, depth + 1) for item in items]
                return kind("set", joined(types) if types else None)
            case Object(pairs=pairs):
                fields = []
                for key, held in pairs:
                    if not isinstance(key, Scalar) or not isinstance(key.value, str):
                        return kind("object")
                    fields.append((key.value, self.of(view, held, env, depth + 1)))
                return object_of(tuple(sorted(fields, key=lambda one: one[0])))
            case Comprehension(kind=form, heads=heads, body=body):
                inner = self.of(view, heads[-1], opened(body, env), depth + 1)
                return kind(form, inner if inner != ANY else None)
            case Call(name=name):
                return self._call(view, name, env)
            case Var(name=name) if name in env:
                known = env[name]
                return ANY if known is None else self.of(view, known, env, depth + 1)
            case Var() | Ref():
                return self.reference(view, term, env, depth)[0]
        return ANY

    def reference(
        self, view: View, term: Term, env: Env, depth: int = 0
    ) -> tuple[Type, int | None]:
        """The type of a reference, and the number of the step that can find nothing, if any."""
        path = self._scope.path(
            view, Ref(term.node, term, ()) if isinstance(term, Var) else term, env
        )
        steps = term.steps if isinstance(term, Ref) else ()
        if path is not None:
            base, left = self._document(path)
            # Steps that the path of a rule has used up are not the type's.
            steps = steps[len(steps) - len(left) :] if len(left) <= len(steps) else steps
            if len(left) > len(term.steps if isinstance(term, Ref) else ()):
                for name in left[: len(left) - len(steps)]:
                    base = selected(base, name, ANY if name is None else kind("string")) or ANY
        elif isinstance(term, Ref):
            base = self.of(view, term.head, env, depth + 1)
        else:
            return ANY, None
        for number, step in enumerate(steps):
            constant = step.value if isinstance(step, Scalar) else None
            key = constant if isinstance(constant, str) else None
            found = selected(base, key, self.of(view, step, env, depth + 1))
            if found is None:
                return ANY, len(term.steps) - len(steps) + number if isinstance(term, Ref) else None
            base = found
        return base, None

    def _document(self, path: Path) -> tuple[Type, Path]:
        """The type at which a path begins to be known, and what is left of it."""
        definitions, left = self._scope.definitions(path)
        if definitions:
            return self._rule(definitions, left)
        return self._roots.get(path[0] or "", ANY), path[1:]

    def _rule(self, definitions: tuple[Definition, ...], left: Path) -> tuple[Type, Path]:
        if any(len(definition.rule.path) > 1 for definition in definitions):
            return ANY, left
        return self.of_rule(definitions), left

    def of_rule(self, definitions: tuple[Definition, ...]) -> Type:
        """The type of a rule's value, or of what a function gives."""
        key = id(definitions[0].rule)
        if key not in self._rules:
            self._rules[key] = ANY  # while it is worked out: a rule that needs itself
            self._rules[key] = joined(
                self._one(definition.view, definition.rule) for definition in definitions
            )
        return self._rules[key]

    def _one(self, view: View, rule: Rule) -> Type:
        env = arguments(rule)
        if rule.kind == "set":
            body = rule.branches[0].body if rule.branches else ()
            inner = ANY if rule.key is None else self.of(view, rule.key, opened(body, env))
            return kind("set", inner if inner != ANY else None)
        values = [
            self.of(view, branch.value, opened(branch.body, env))
            for branch in rule.branches
            if branch.value is not None
        ]
        if any(branch.value is None for branch in rule.branches):
            values.append(kind("boolean"))
        if not rule.branches and rule.value is not None:
            values.append(self.of(view, rule.value, env))
        found = joined(values)
        return kind("object", found if found != ANY else None) if rule.kind == "object" else found

    def defines(self, view: View, name: str, env: Env) -> bool:
        """Whether a call of `name` means a function of the policies, not a builtin."""
        return bool(self._scope.called(view, name, env))

    def _call(self, view: View, name: str, env: Env) -> Type:
        definitions = self._scope.called(view, name, env)
        if definitions:
            return self.of_rule(definitions)
        signature = SIGNATURES.get(name)
        return ANY if signature is None else signature.result


def type_of_schema(schema: Mapping[str, Any] | None) -> Type:
    """The type of the documents that a JSON schema describes, as far as it is told there."""
    if not schema:
        return ANY
    if "enum" in schema:
        return joined(_scalar(value) for value in schema["enum"])
    named = schema.get("type")
    if named is None:
        return ANY
    return joined(
        _schema_kind(name, schema) for name in ([named] if isinstance(named, str) else named)
    )


def _schema_kind(name: str, schema: Mapping[str, Any]) -> Type:
    if name == "array":
        return kind("array", _known(type_of_schema(schema.get("items"))))
    if name == "object":
        fields = tuple(
            sorted(
                (key, type_of_schema(inner)) for key, inner in schema.get("properties", {}).items()
            )
        )
        more = schema.get("additionalProperties", True)
        if fields and more is False:
            return object_of(fields)
        return kind(
            "object",
            _known(type_of_schema(more if isinstance(more, dict) and not fields else None)),
        )
    return kind(_JSON_KINDS.get(name, name))


def _known(found: Type) -> Type | None:
    return None if found == ANY else found


def _scalar(value: object) -> Type:
    if value is None:
        return kind("null")
    if isinstance(value, bool):
        return kind("boolean")
    return kind("string" if isinstance(value, str) else "number")


__all__ = ["Inference", "type_of_schema"]
