"""What is known of the values in a walk, and the expressions for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.rego.emit.abstract import (
    ArrayLiteral,
    Known,
    Missing,
    ObjectLiteral,
    SetLiteral,
    Test,
    Variable,
)
from guardrails.rego.emit.known import known_size, known_value, opened_literal
from guardrails.rego.emit.shapes import BOOLEAN, NOTHING, Kind, Shape, joined
from guardrails.rego.values import ARRAY_TAG, OBJECT_TAG, UNDEFINED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrails.rego.emit.abstract import Abstract
    from guardrails.rego.emit.frames import Frame
    from guardrails.rego.emit.residual import Text
    from guardrails.rego.emit.unit import Unit


class Texts:
    """Expressions for values.

    Attributes:
        unit: The program that they belong to.
        facts: What is known here: values that were worked out already, shapes of variables.
        fixed: The variables whose values nothing changes in place any more.
        own: The variables whose collections hold nothing that something else holds, too.
        frame: The locals of the function of the plan.
    """

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.facts: dict[object, object] = {}
        self.own: set[str] = set()
        self.fixed: set[str] = set()
        self.frame: Frame

    def shape(self, value: Abstract) -> Shape:
        """What is known of a value here."""
        if isinstance(value, Variable):
            noted = None if value.changes else self.facts.get(("shape", value.name))
            return noted if isinstance(noted, Shape) else value.shape
        if isinstance(value, Known):
            return self.unit.shape_of(value)
        if isinstance(value, Missing):
            return NOTHING
        if isinstance(value, Test):
            return BOOLEAN
        if isinstance(value, ObjectLiteral):
            named = {key: self.shape(item) for key, item in value.fields.items()}
            if all(type(key) is str for key in named):
                fields = {str(name): each for name, each in named.items()}
                return Shape(Kind.OBJECT, Shape(Kind(0)), fields, named=True)
            return Shape(Kind.OBJECT, joined(named.values()))
        items = value.items if isinstance(value, ArrayLiteral) else value.members
        kind = Kind.ARRAY if isinstance(value, ArrayLiteral) else Kind.SET
        return Shape(kind, joined(map(self.shape, items)) or Shape(Kind(0)))

    def text(self, value: Abstract) -> Text:
        """An expression for a value; a literal's is a new collection each time."""
        if isinstance(value, Variable):
            return f"as_set({value.name})" if value.raw else value.name
        if isinstance(value, Known):
            return self.unit.constant(value)
        if isinstance(value, Missing):
            return "U"
        if isinstance(value, Test):
            return f"({value.text})"
        if isinstance(value, ArrayLiteral):
            return f"[{', '.join(map(self.text, value.items))}]"
        if isinstance(value, SetLiteral):
            return f"as_set({self.raw_text(value)})"
        fields = (
            f"{self.unit.key_constant(key)}: {self.text(item)}"
            for key, item in value.fields.items()
        )
        return f"{{{', '.join(fields)}}}"

    def own_text(self, local: int, value: Abstract) -> Text:
        """An expression for what is put into `local`, of which a constant is never changed."""
        text = self.text(value)
        if isinstance(value, Known) and local in self.frame.live.changed:
            return f"own({text})"
        return text

    def raw_text(self, value: Abstract) -> Text | None:
        """An expression for a set that was built here, by its keys; None for other values."""
        if isinstance(value, Variable):
            return value.name if value.raw else None
        if isinstance(value, SetLiteral):
            return f"{{{', '.join(': '.join(self.member(each)) for each in value.members)}}}"
        return "U" if isinstance(value, Missing) else None

    def key_text(self, value: Abstract) -> Text:
        """An expression for the key form of a value."""
        if isinstance(value, Known):
            return self.unit.key_constant(self.unit.key_of(value))
        shape = self.shape(value)
        if shape.is_only(Kind.PLAIN):
            return self.text(value)
        if isinstance(value, ArrayLiteral):
            return f"({ARRAY_TAG}, {_tuple(map(self.key_text, value.items))})"
        if isinstance(value, ObjectLiteral):
            fields = (
                f"({self.unit.key_constant(key)}, {self.key_text(item)})"
                for key, item in value.fields.items()
            )
            return f"({OBJECT_TAG}, frozenset({_tuple(fields)}))"
        text = self.text(value)
        if isinstance(value, Variable) and not value.raw and shape.items().is_only(Kind.PLAIN):
            if shape.is_only(Kind.ARRAY):
                return f"({ARRAY_TAG}, tuple({text}))"
            if shape.is_only(Kind.OBJECT):
                return f"({OBJECT_TAG}, frozenset({text}.items()))"
        return f"to_key({text})"

    def member(self, value: Abstract) -> tuple[Text, Text]:
        """Expressions for the key form of a member of a set, and for the member.

        A set has what its member is now, whatever is done with that later.
        """
        key = self.key_text(value)
        if self.shape(value).is_only(Kind.PLAIN):
            return key, key
        return key, self.text(value) if self.is_fixed(value) else f"from_key({key})"

    def is_fixed(self, value: Abstract) -> bool:
        """Whether nothing changes `value` in place any more, nor a part of it."""
        if isinstance(value, ArrayLiteral):
            return all(map(self.is_fixed, value.items))
        if isinstance(value, ObjectLiteral):
            return all(map(self.is_fixed, value.fields.values()))
        if isinstance(value, Variable) and not value.raw and value.name not in self.fixed:
            return self.shape(value).is_only(Kind.SCALAR | Kind.UNDEFINED)
        return True

    def is_own(self, value: Abstract) -> bool:
        """Whether nothing else holds `value` or a part of it that could be changed."""
        if isinstance(value, ArrayLiteral):
            return all(map(self.is_own, value.items))
        if isinstance(value, ObjectLiteral):
            return all(map(self.is_own, value.fields.values()))
        if isinstance(value, Variable) and (value.raw or value.name in self.own):
            return True
        return self.shape(value).is_only(Kind.SCALAR | Kind.UNDEFINED)

    def fresh_text(self, value: Abstract) -> Text:
        """An expression for `value` that shares nothing with anything."""
        if isinstance(value, ArrayLiteral):
            return f"[{', '.join(map(self.fresh_text, value.items))}]"
        if isinstance(value, ObjectLiteral):
            fields = (
                f"{self.unit.key_constant(key)}: {self.fresh_text(item)}"
                for key, item in value.fields.items()
            )
            return f"{{{', '.join(fields)}}}"
        if isinstance(value, Known) and self.unit.is_small(value.value):
            opened = opened_literal(value.value)
            return self.text(value) if opened is None else self.fresh_text(opened)
        return self.text(value) if self.is_own(value) else f"fresh({self.text(value)})"

    def settled(self, value: Abstract) -> Abstract:
        """A literal all of which is known, as what is known."""
        if isinstance(value, Known):
            return value  # with the place in the data where it stands
        found = known_value(value)
        return value if found is UNDEFINED else Known(found)

    def listed(self, value: Abstract) -> Abstract:
        """A literal array or set all of which is known, as what is known."""
        if isinstance(value, ArrayLiteral | SetLiteral) and known_size(value):
            return self.settled(value)
        return value


def _tuple(parts: Iterable[Text]) -> Text:
    """The text of a tuple."""
    return f"({''.join(f'{part}, ' for part in parts).rstrip()})"
