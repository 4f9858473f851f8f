"""What the compiler knows about a value before there is one: its kinds, its fields, its items.

A :class:`Shape` is a promise about every value that may stand at a place. Promises only
ever get wider as they are joined, and :data:`ANYTHING` promises nothing. They come from
base data, which is known, from the tests that a policy makes (``is_number``), and from the
caller, who may promise a shape of the input.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from guardrails.rego.values import UNDEFINED, RegoSet, from_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guardrails.rego.values import Value


_WIDEST: Final = 64
"""Fields that a shape lists; of more it knows what holds of all."""


class Kind(enum.IntFlag):
    """The kinds of values; true and false are told apart, and "undefined" is one of them."""

    UNDEFINED = 1
    NULL = 2
    FALSE = 4
    TRUE = 8
    NUMBER = 16
    STRING = 32
    ARRAY = 64
    OBJECT = 128
    SET = 256

    BOOLEAN = TRUE | FALSE
    DEFINED = NULL | BOOLEAN | NUMBER | STRING | ARRAY | OBJECT | SET
    PLAIN = NULL | NUMBER | STRING
    """What is its own key form, and what Python compares as Rego does."""
    SCALAR = PLAIN | BOOLEAN


_KINDS: Final = {
    type(None): Kind.NULL,
    int: Kind.NUMBER,
    Decimal: Kind.NUMBER,
    str: Kind.STRING,
    list: Kind.ARRAY,
    dict: Kind.OBJECT,
    RegoSet: Kind.SET,
}


def kind_of(value: Value) -> Kind:
    """The one kind of a value that is there."""
    if value is UNDEFINED:
        return Kind.UNDEFINED
    if type(value) is bool:
        return Kind.TRUE if value else Kind.FALSE
    return _KINDS[type(value)]


class _Unknown:
    """The type of :data:`UNKNOWN`: no single value is promised."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()


@dataclass(frozen=True, slots=True)
class Shape:
    """What holds of every value at a place.

    Attributes:
        kinds: The kinds that it may have.
        item: What its items are: of an array, the members of a set, the values of an object
            under names that `fields` does not list. None promises nothing.
        fields: What stands under these names of an object. A field that may be missing has
            the kind UNDEFINED; names that are not listed may be there or not.
        json: It is a JSON document down to its leaves: no sets, and all keys are strings.
        named: All keys of an object are strings.
        only: The value itself, where there is only one.
        span: The least and the largest number that it may be, where it is an ``int``. It says
            nothing of values that are no numbers.
        filled: It is not empty where it is a text or a collection.
    """

    kinds: Kind
    item: Shape | None = None
    fields: Mapping[str, Shape] = field(default_factory=dict, hash=False)
    json: bool = False
    named: bool = False
    only: object = field(default=UNKNOWN, hash=False)
    span: tuple[int, int] | None = None
    filled: bool = False

    def is_only(self, kinds: Kind) -> bool:
        """Whether no value has a kind beside `kinds`."""
        return not self.kinds & ~kinds

    def may_be(self, kinds: Kind) -> bool:
        """Whether some value may have one of `kinds`."""
        return bool(self.kinds & kinds)

    @property
    def defined(self) -> bool:
        """Whether the value is sure to be there."""
        return not self.kinds & Kind.UNDEFINED

    @property
    def closed(self) -> bool:
        """Whether an object has all the names that `fields` lists, and no others."""
        closed = self.item is not None and self.item.is_only(Kind.UNDEFINED)
        return closed and all(each.defined for each in self.fields.values())

    def without(self, kinds: Kind) -> Shape:
        """The same, where it is known that the value has none of `kinds`."""
        return _alone(replace(self, kinds=self.kinds & ~kinds))

    def within(self, kinds: Kind) -> Shape:
        """The same, where it is known that the value has one of `kinds`."""
        return _alone(replace(self, kinds=self.kinds & kinds))

    def plain(self) -> Shape:
        """The same without what is known of items and fields."""
        return Shape(self.kinds)

    def items(self) -> Shape:
        """What its items are; defined, for only what is there is an item."""
        found = self.item or self._beneath
        for each in self.fields.values():
            found = join(found, each)
        return found.without(Kind.UNDEFINED)

    def at(self, name: str) -> Shape:
        """What stands at the key `name`, if anything."""
        if not self.may_be(Kind.ARRAY | Kind.OBJECT | Kind.SET):
            return NOTHING
        if self.is_only(Kind.OBJECT):
            return self.field(name)
        return replace(self._beneath, kinds=self._beneath.kinds | Kind.UNDEFINED)

    def field(self, name: str) -> Shape:
        """What stands under `name` where the value is an object."""
        found = self.fields.get(name)
        if found is None:
            found = self.item or self._beneath
            found = replace(found, kinds=found.kinds | Kind.UNDEFINED)
        return found

    @property
    def _beneath(self) -> Shape:
        return DOCUMENT if self.json else DEFINED


def _alone(shape: Shape) -> Shape:
    """`shape`, with the value where its kind has only one."""
    value = _ONLY_ONE.get(shape.kinds, UNKNOWN)
    return shape if value is UNKNOWN else replace(shape, only=value)


_ONLY_ONE: Final = {Kind.NULL: None, Kind.FALSE: False, Kind.TRUE: True}

NOTHING: Final = Shape(Kind.UNDEFINED)
DEFINED: Final = Shape(Kind.DEFINED)
ANYTHING: Final = Shape(Kind.DEFINED | Kind.UNDEFINED)
BOOLEAN: Final = Shape(Kind.BOOLEAN)
NUMBER: Final = Shape(Kind.NUMBER)
STRING: Final = Shape(Kind.STRING)

DOCUMENT: Final = Shape(Kind.DEFINED & ~Kind.SET, json=True)
"""Any JSON document."""


def array_of(item: Shape) -> Shape:
    """Of arrays whose items have the shape `item`."""
    return Shape(Kind.ARRAY, item)


def set_of(item: Shape) -> Shape:
    """Of sets whose members have the shape `item`."""
    return Shape(Kind.SET, item)


def whole(least: int, most: int) -> Shape:
    """Of each ``int`` from `least` to `most`."""
    return Shape(Kind.NUMBER, span=(least, most))


def span_of(shape: Shape) -> tuple[int, int] | None:
    """From where to where whole numbers of `shape` go; None if there may be others."""
    return shape.span if shape.kinds == Kind.NUMBER else None


def exactly(value: Value) -> Shape:
    """Of one value."""
    return replace(shape_of(value), only=value)


def join(a: Shape, b: Shape) -> Shape:
    """What holds of every value of which either holds."""
    if a is b or not b.kinds:
        return a
    if not a.kinds:
        return b
    if a.span != b.span or a.filled != b.filled:
        return _joint(a, b, _joined_fields(a, b))
    if b.kinds == a.kinds and not a.fields and a.only is UNKNOWN and _same_parts(a, b):
        return a
    fields = _joined_fields(a, b)
    if a.kinds | b.kinds == a.kinds and fields is a.fields and a.item is b.item:
        return (
            a if (a.json, a.named, a.only) == (b.json, b.named, UNKNOWN) else _joint(a, b, fields)
        )
    return _joint(a, b, fields)


def _same_parts(a: Shape, b: Shape) -> bool:
    return not b.fields and a.item is b.item and (a.json, a.named) == (b.json, b.named)


def _joint(a: Shape, b: Shape, fields: Mapping[str, Shape]) -> Shape:
    same = a.only is b.only or _same_text(a.only, b.only)
    return Shape(
        a.kinds | b.kinds,
        _joined_items(a, b, fields),
        fields,
        (a.json or not a.may_be(_COLLECTIONS)) and (b.json or not b.may_be(_COLLECTIONS)),
        _is_named(a) and _is_named(b),
        a.only if same and a.kinds | Kind.UNDEFINED == b.kinds | Kind.UNDEFINED else UNKNOWN,
        _joined_spans(a, b),
        (a.filled or not a.may_be(_SIZED)) and (b.filled or not b.may_be(_SIZED)),
    )


def _joined_spans(a: Shape, b: Shape) -> tuple[int, int] | None:
    if not a.may_be(Kind.NUMBER):
        return b.span
    if not b.may_be(Kind.NUMBER):
        return a.span
    if a.span is None or b.span is None:
        return None
    return min(a.span[0], b.span[0]), max(a.span[1], b.span[1])


def _is_named(shape: Shape) -> bool:
    return shape.named or shape.json or not shape.may_be(Kind.OBJECT)


def _same_text(a: object, b: object) -> bool:
    return type(a) is type(b) is str and a == b


_COLLECTIONS: Final = Kind.ARRAY | Kind.OBJECT | Kind.SET
_SIZED: Final = _COLLECTIONS | Kind.STRING


def _joined_items(a: Shape, b: Shape, fields: Mapping[str, Shape]) -> Shape | None:
    if not a.may_be(_COLLECTIONS):
        return b.item
    if not b.may_be(_COLLECTIONS):
        return a.item
    if a.item is None or b.item is None:
        return None
    found = join(a.item, b.item)
    for shape in (a, b):
        for name, each in shape.fields.items():
            if name not in fields:
                found = join(found, each)
    return found


def _joined_fields(a: Shape, b: Shape) -> Mapping[str, Shape]:
    if not a.may_be(Kind.OBJECT):
        return b.fields
    if not b.may_be(Kind.OBJECT):
        return a.fields
    names = dict.fromkeys((*a.fields, *b.fields))
    if len(names) > _WIDEST:
        return {}
    found = {name: join(a.field(name), b.field(name)) for name in names}
    if len(found) == len(a.fields) and all(found[name] is each for name, each in a.fields.items()):
        return a.fields
    return found


def joined(shapes: Iterable[Shape]) -> Shape | None:
    """What holds of every value of which any holds; None of no shapes."""
    found: Shape | None = None
    for shape in shapes:
        found = shape if found is None else join(found, shape)
    return found


_NO_ITEMS: Final = Shape(Kind(0), json=True)
_LARGE: Final = 1 << 62
_SCALARS: Final = {
    (kind, sign): Shape(
        kind,
        json=True,
        span=(sign, sign * _LARGE) if kind is Kind.NUMBER and sign is not None else None,
        filled=kind is Kind.STRING and sign == 1,
    )
    for kind in (Kind.NULL, Kind.FALSE, Kind.TRUE, Kind.NUMBER, Kind.STRING)
    for sign in (None, 0, 1)
}
_MANY: Final = 16
"""Items of which the values are not kept apart."""


class Shapes:
    """What is known of known values; each collection is looked at once."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, bool], tuple[object, Shape]] = {}
        self._same: dict[object, Shape] = {}

    def of(self, value: Value, *, loose: bool = False, depth: int = 0) -> Shape:
        """What is known of `value`.

        Args:
            value: The value.
            loose: Keep the kinds of scalars alone, not their values.
            depth: How deep it stands in what is looked at.
        """
        kind = kind_of(value)
        if kind not in _COLLECTIONS:
            return _SCALARS[kind, _sign(value)] if loose else _scalar(value, kind)
        if depth >= _DEEPEST:
            return Shape(kind)
        found = self._found.get((id(value), loose))
        if found is None:
            shape = self._of_collection(value, kind, loose=loose, depth=depth)
            found = self._found[id(value), loose] = (value, shape)
        return found[1]

    def of_items(self, value: Value) -> Shape:
        """What an item of a known collection is, whichever it is."""
        return self._joined(value, loose=len(value) > _MANY, depth=0)

    def _of_collection(self, value: Value, kind: Kind, *, loose: bool, depth: int) -> Shape:
        loose = loose or len(value) > _MANY
        filled = len(value) > 0
        if kind is not Kind.OBJECT:
            items = self._joined(value, loose=loose, depth=depth)
            json = items.json and kind is Kind.ARRAY
            return self._one(Shape(kind, items, json=json, filled=filled))
        named = all(type(key) is str for key in value)
        if not named or len(value) > _WIDEST:
            items = self._joined(value, loose=loose, depth=depth)
            json = named and items.json
            return self._one(Shape(kind, items, json=json, named=named, filled=filled))
        fields = {
            str(key): self.of(item, loose=loose, depth=depth + 1) for key, item in value.items()
        }
        json = all(shape.json for shape in fields.values())
        return self._one(Shape(kind, _NO_ITEMS, fields, json, named=True, filled=filled))

    def _joined(self, value: Value, *, loose: bool, depth: int) -> Shape:
        items = value.values() if type(value) is dict else value
        shapes = {
            id(shape): shape
            for shape in (self.of(each, loose=loose, depth=depth + 1) for each in items)
        }
        return joined(shapes.values()) or _NO_ITEMS

    def _one(self, shape: Shape) -> Shape:
        """The one shape that is like `shape`, so that joining it with itself costs nothing."""
        parts = tuple((name, id(each)) for name, each in shape.fields.items())
        key = (shape.kinds, id(shape.item), parts, shape.json, shape.named, shape.filled)
        return self._same.setdefault(key, shape)


_DEEPEST: Final = 64


def _scalar(value: Value, kind: Kind) -> Shape:
    """Of one scalar."""
    span = (value, value) if type(value) is int else None
    return Shape(kind, json=True, only=value, span=span, filled=type(value) is str and value != "")


def _sign(value: Value) -> int | None:
    """0 of zero and the empty text; 1 of other texts, and of whole numbers that are not large."""
    if type(value) is str:
        return 1 if value else 0
    if type(value) is int and 0 <= value <= _LARGE:
        return 1 if value else 0
    return None


def shape_of(value: Value) -> Shape:
    """What is known of a known value."""
    return Shapes().of(value)


def shape_of_keys(value: dict[object, Value]) -> Shape:
    """What a key of a known object is, whichever it is."""
    if all(type(key) is str for key in value):
        return STRING
    return joined(shape_of(from_key(key)) for key in value) or _NO_ITEMS
