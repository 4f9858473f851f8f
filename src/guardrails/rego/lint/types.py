"""The types of Rego's values, as far as the checks tell them apart.

A type is the kinds that a value may be of, with what is known of its parts. What is not known
is any value, so that a check only ever errs to the side of silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_KINDS: Final = ("null", "boolean", "number", "string", "array", "object", "set")
_COLLECTIONS: Final = frozenset({"array", "object", "set"})


@dataclass(frozen=True, slots=True)
class Type:
    """What a value may be.

    Attributes:
        kinds: The names of its types, as ``number``.
        items: What the elements of an array or set, or the values of an object may be; None for
            anything.
        positions: The elements of an array one by one, where they are known.
        fields: All the fields of an object, where they are known.
    """

    kinds: frozenset[str]
    items: Type | None = None
    positions: tuple[Type, ...] | None = None
    fields: tuple[tuple[str, Type], ...] | None = None

    def __str__(self) -> str:
        return " or ".join(kind for kind in _KINDS if kind in self.kinds) or "nothing"


ANY: Final = Type(frozenset(_KINDS))
"""Any value."""


def kind(name: str, items: Type | None = None) -> Type:
    """The type with one kind."""
    return Type(frozenset({name}), items)


def array_of(positions: tuple[Type, ...]) -> Type:
    """An array with these elements."""
    return Type(frozenset({"array"}), joined(positions) if positions else None, positions)


def object_of(fields: tuple[tuple[str, Type], ...]) -> Type:
    """An object with exactly these fields."""
    return Type(
        frozenset({"object"}), joined(t for _, t in fields) if fields else None, None, fields
    )


def union(one: Type, other: Type) -> Type:
    """The type of a value that is of one of two types."""
    if one == other:
        return one
    kinds = one.kinds | other.kinds
    if not other.kinds & _COLLECTIONS:
        return Type(kinds, one.items, one.positions, one.fields)
    if not one.kinds & _COLLECTIONS:
        return Type(kinds, other.items, other.positions, other.fields)
    items = union(one.items, other.items) if one.items and other.items else None
    return Type(kinds, items)


def joined(types: object) -> Type:
    """The union of several types; anything if there are none."""
    found: Type | None = None
    for one in types:  # type: ignore[attr-defined]  # an iterable of types
        found = one if found is None else union(found, one)
    return found or ANY


def disjoint(one: Type, other: Type) -> bool:
    """Whether no value is of both types, so that a comparison of them is a mistake."""
    common = one.kinds & other.kinds
    if not common:
        return True
    if common == {"array"} and one.positions is not None and other.positions is not None:
        return len(one.positions) != len(other.positions) or any(
            disjoint(left, right)
            for left, right in zip(one.positions, other.positions, strict=True)
        )
    if common == {"object"} and one.fields is not None and other.fields is not None:
        left, right = dict(one.fields), dict(other.fields)
        return left.keys() != right.keys() or any(
            disjoint(left[name], right[name]) for name in left
        )
    return False


def fits(given: Type, wanted: Type) -> bool:
    """Whether a value of the type `given` can be what a builtin wants."""
    common = given.kinds & wanted.kinds
    if not common:
        return False
    if not common <= _COLLECTIONS or wanted.items is None or given.items is None:
        return True
    if given.positions is not None and wanted.positions is None and common == {"array"}:
        return all(fits(position, wanted.items) for position in given.positions)
    return fits(given.items, wanted.items)


def selected(base: Type, key: str | None, key_type: Type) -> Type | None:
    """What `base` has under a key: a constant string, or one of a type. None if nothing."""
    if not base.kinds & _COLLECTIONS:
        return None
    found: list[Type] = []
    if "object" in base.kinds:
        if key is not None and base.fields is not None:
            if key in dict(base.fields):
                found.append(dict(base.fields)[key])
        else:
            found.append(base.items or ANY)
    if "array" in base.kinds and "number" in key_type.kinds:
        found.append(base.items or ANY)
    if "set" in base.kinds and not (base.items is not None and disjoint(base.items, key_type)):
        found.append(base.items or ANY)
    return joined(found) if found else None


def type_of_text(text: str) -> Type:
    """The type that `text` writes, as ``string|array[any]`` or ``tuple[string,any]``."""
    found, rest = _read(text)
    if rest:
        msg = f"`{text}` is no type"
        raise ValueError(msg)
    return found


def _read(text: str) -> tuple[Type, str]:
    found: Type | None = None
    while True:
        size = next((at for at, letter in enumerate(text) if letter in "[],|"), len(text))
        name, text = text[:size], text[size:]
        inner: list[Type] = []
        while text[:1] in {"[", ","} and (text[:1] == "[" or inner) and name:
            part, text = _read(text[1:])
            inner.append(part)
        if inner:
            text = text[1:]
        if name == "any":
            one = ANY
        elif name == "tuple":
            one = array_of(tuple(inner))
        else:
            one = kind(name, inner[0] if inner and inner[0] != ANY else None)
        found = one if found is None else union(found, one)
        if text[:1] != "|":
            return found, text
        text = text[1:]


__all__ = [
    "ANY",
    "Type",
    "array_of",
    "disjoint",
    "fits",
    "joined",
    "kind",
    "object_of",
    "selected",
    "type_of_text",
    "union",
]
