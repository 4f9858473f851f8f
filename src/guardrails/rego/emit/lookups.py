"""Looking up a key in a value that is known, half known, or known by its shape alone."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from guardrails.rego.emit.abstract import (
    ArrayLiteral,
    Known,
    Missing,
    ObjectLiteral,
    Variable,
)
from guardrails.rego.emit.shapes import ANYTHING, NOTHING, UNKNOWN, Kind, Shape
from guardrails.rego.operations import dot
from guardrails.rego.values import UNDEFINED, to_key

if TYPE_CHECKING:
    from guardrails.rego.emit.abstract import Abstract
    from guardrails.rego.emit.walk import Walk


def look_up(walk: Walk, source: Abstract, key: Abstract) -> Abstract | None:
    """What stands at `key` in `source`; None if the block is left for sure."""
    if isinstance(source, Missing) or isinstance(key, Missing):
        walk.fail()
        return None
    source, key = walk.defined(source), walk.defined(key)
    if isinstance(key, Known) and isinstance(source, Known):
        return _known(walk, source, key)
    if isinstance(source, ObjectLiteral) and isinstance(key, Known):
        found = source.fields.get(to_key(key.value))
        if found is not None:
            return found
        walk.fail()
        return None
    if isinstance(source, ArrayLiteral) and isinstance(key, Known):
        place = _place(key)
        if place is not None and place < len(source.items):
            return source.items[place]
        walk.fail()
        return None
    return _worked_out(walk, walk.held(source), walk.held(key))


def _known(walk: Walk, source: Known, key: Known) -> Abstract | None:
    found = dot(source.value, key.value)
    if found is UNDEFINED:
        walk.fail()
        return None
    origin = None
    if source.origin is not None and type(source.value) in (dict, list):
        origin = (*source.origin, key.value)
    return Known(found, origin)


def _place(key: Known) -> int | None:
    value = key.value
    if type(value) is Decimal and value == value.to_integral_value():
        value = int(value)
    return value if type(value) is int and value >= 0 else None


def _worked_out(walk: Walk, source: Abstract, key: Abstract) -> Abstract | None:
    """Emits the look-up, unless the same one was done before."""
    fact = _fact(source, key)
    if fact is not None:
        before = walk.lasting.get(fact) or walk.facts.get(fact)
        if isinstance(before, Variable | Known):
            before = walk.defined(before)
            return None if walk.leaving is not None else before
    text, shape = _expression(walk, source, key)
    if shape.kinds == Kind.UNDEFINED:
        walk.fail()
        return None
    if shape.only is not UNKNOWN and shape.defined:
        return Known(shape.only)
    if fact is not None and shape.defined and isinstance(key, Known):
        root = walk.root(source)
        if root is not None and root.is_only(Kind.OBJECT) and root.at(key.value).defined:
            return _fixed(walk, walk.before_all(fact, text, shape))
    if fact is not None and isinstance(source, Known):
        root = walk.root(key)
        if root is not None and root.is_only(Kind.PLAIN) and text.startswith("K"):
            found = walk.defined(_fixed(walk, walk.before_all(fact, text, shape)))
            return None if walk.leaving is not None else found
    found = walk.define(text, shape)
    if isinstance(found, Variable) and walk.is_fixed(source):
        walk.fixed.add(found.name)
    if fact is not None and isinstance(found, Variable | Known):
        walk.facts[fact] = found
    return found


def _fixed(walk: Walk, value: Variable) -> Variable:
    """`value`, a part of the input or of data."""
    walk.fixed.add(value.name)
    return value


def _fact(source: Abstract, key: Abstract) -> object | None:
    """A name for this look-up; None where it may have another result the next time."""
    parts: list[object] = []
    for value in (source, key):
        if isinstance(value, Variable) and not value.changes and not value.raw:
            parts.append(value.name)
        elif isinstance(value, Known):
            parts.append(value.origin or ("key", to_key(value.value)))
        else:
            return None
    return ("dot", *parts)


def _expression(walk: Walk, source: Abstract, key: Abstract) -> tuple[str, Shape]:
    """An expression for the look-up, and the shape of what it gives."""
    shape, wanted = walk.shape(source), walk.shape(key)
    raw = walk.raw_text(source)
    if raw is not None:
        if wanted.is_only(Kind.PLAIN):
            return f"({walk.text(key)} if {walk.text(key)} in {raw} else U)", _or_not(wanted)
        text = f"({walk.text(key)} if {walk.key_text(key)} in {raw} else U)"
        return text, _or_not(wanted)
    if not shape.may_be(Kind.ARRAY | Kind.OBJECT | Kind.SET):
        return "U", NOTHING
    if isinstance(key, Known) and type(key.value) is str:
        return _name(walk, source, shape, key)
    text = walk.text(source)
    if shape.is_only(Kind.OBJECT):
        beneath = _any_field(walk, source, shape)
        return f"{text}.get({walk.key_text(key)}, U)", _or_not(beneath)
    if shape.is_only(Kind.ARRAY) and isinstance(key, Known):
        place = _place(key)
        if place is None:
            return "U", NOTHING
        at = walk.text(Known(place))
        return f"({text}[{at}] if len({text}) > {at} else U)", _beneath(shape)
    if wanted.is_only(Kind.STRING):
        if not shape.may_be(Kind.OBJECT | Kind.SET):
            return "U", NOTHING
        if not shape.may_be(Kind.SET):
            got = f"({text}.get({walk.text(key)}, U) if type({text}) is dict else U)"
            return got, _beneath(shape)
    found = _beneath(shape) if shape.is_only(Kind.ARRAY | Kind.OBJECT) else ANYTHING
    return f"dot({text}, {walk.text(key)})", found


def _name(walk: Walk, source: Abstract, shape: Shape, key: Known) -> tuple[str, Shape]:
    """A look-up of a name that is known, which most are."""
    text, name = walk.text(source), walk.text(key)
    if shape.is_only(Kind.OBJECT):
        found = shape.at(key.value)
        if found.defined:
            return f"{text}[{name}]", found
        return f"{text}.get({name}, U)", found
    if not shape.may_be(Kind.OBJECT | Kind.SET):
        return "U", NOTHING
    if shape.may_be(Kind.SET):
        return f"dot({text}, {name})", ANYTHING
    found = shape.within(Kind.OBJECT).at(key.value)
    return f"({text}.get({name}, U) if type({text}) is dict else U)", _or_not(found)


def _any_field(walk: Walk, source: Abstract, shape: Shape) -> Shape:
    if isinstance(source, Known):
        return walk.unit.shape_of_items(source)
    return shape.items()


def _beneath(shape: Shape) -> Shape:
    return _or_not(shape.items())


def _or_not(shape: Shape) -> Shape:
    return replace(shape, kinds=shape.kinds | Kind.UNDEFINED)
