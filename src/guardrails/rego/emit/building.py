"""Statements that make values, and change the collections that they made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrails.rego import ir
from guardrails.rego.emit import residual
from guardrails.rego.emit.abstract import (
    LITERALS,
    MISSING,
    ArrayLiteral,
    Known,
    ObjectLiteral,
    SetLiteral,
    Variable,
)
from guardrails.rego.emit.frames import CannotEmit
from guardrails.rego.emit.known import literal_size, opened, opened_literal
from guardrails.rego.emit.shapes import Kind, Shape
from guardrails.rego.values import to_key

if TYPE_CHECKING:
    from guardrails.rego.emit.abstract import Abstract
    from guardrails.rego.emit.walk import Walk


def make_null(walk: Walk, statement: ir.MakeNull) -> None:
    """Null."""
    walk.write(statement.target, Known(None))


def make_number(walk: Walk, statement: ir.MakeNumber) -> None:
    """A number."""
    walk.write(statement.target, Known(statement.value))


def make_array(walk: Walk, statement: ir.MakeArray) -> None:
    """An array, empty so far."""
    walk.write(statement.target, ArrayLiteral(()))


def make_object(walk: Walk, statement: ir.MakeObject) -> None:
    """An object, empty so far."""
    walk.write(statement.target, ObjectLiteral({}))


def make_set(walk: Walk, statement: ir.MakeSet) -> None:
    """A set, empty so far."""
    walk.write(statement.target, SetLiteral(()))


def reset(walk: Walk, statement: ir.ResetLocal) -> None:
    """Nothing."""
    walk.write(statement.target, MISSING)


def own(walk: Walk, statement: ir.Own) -> None:
    """A copy of what is changed in place later."""
    value = walk.frame.env[statement.target]
    if not isinstance(value, Variable) or not walk.frame.live.needs(statement):
        return
    shape = walk.shape(value)
    if not shape.is_only(Kind.SCALAR | Kind.UNDEFINED):
        copy = walk.bind(f"own({walk.text(value)})", shape.plain())
        walk.write(statement.target, copy)


def _opened(walk: Walk, local: int, kind: type[Any]) -> Abstract | None:
    """What `local` holds, to be changed; None if it is nothing of that kind."""
    value = walk.frame.env[local]
    if isinstance(value, Known):
        literal = opened_literal(value.value)
        if literal is None:
            return None
        value = literal
    if isinstance(value, LITERALS):
        if value in walk.unit.lent:
            msg = "a collection is changed that something else holds, too"
            raise CannotEmit(msg)
        return value if isinstance(value, kind) else None
    return value if isinstance(value, Variable) else None


PYTHON: Final = {Kind.ARRAY: "list", Kind.OBJECT: "dict", Kind.SET: "Set"}


def _changeable(walk: Walk, value: Variable, kind: Kind) -> str | None:
    """The variable of a collection that is changed in place; None if the block is left."""
    shape = walk.shape(value)
    if not shape.may_be(kind):
        walk.fail()
        return None
    if not shape.is_only(kind):
        walk.require(f"type({value.name}) is {PYTHON[kind]}")
    return value.name


def _element(walk: Walk, operand: ir.Operand) -> Abstract | None:
    """A value that goes into a collection; None if it is undefined, and the block left."""
    value = walk.defined(walk.steady(walk.held(walk.read(operand))))
    lend(walk, operand)
    return None if walk.leaving is not None else value


def _part(walk: Walk, operand: ir.Operand) -> Abstract | None:
    """A value that becomes a part of an array or object; what is known of little is made anew."""
    value = _element(walk, operand)
    if isinstance(value, LITERALS) and literal_size(value, _LARGEST) > _LARGEST:
        return walk.bind(walk.text(value), walk.shape(value).plain())
    if isinstance(value, Known) and walk.unit.is_small(value.value):
        return opened(value)
    return value


_LARGEST: Final = 200
"""Parts of a literal that still stand where it is used."""


def append(walk: Walk, statement: ir.ArrayAppend) -> None:
    """One more item of an array."""
    local = statement.array.index
    held = _opened(walk, local, ArrayLiteral)
    value = _part(walk, statement.value)
    if value is None:
        return
    if isinstance(held, ArrayLiteral):
        walk.write(local, ArrayLiteral((*held.items, value)))
    elif isinstance(held, Variable):
        name = _changeable(walk, held, Kind.ARRAY)
        if name is not None:
            walk.put_in(name, value, f"{name}.append({walk.text(value)})")
    else:
        walk.fail()


def set_add(walk: Walk, statement: ir.SetAdd) -> None:
    """One more member of a set."""
    local = statement.set.index
    value = _element(walk, statement.value)
    if value is None:
        return
    sink = walk.frame.sink
    if sink is not None and sink[0] == local:
        sink[1](value)
        return
    value = walk.settled(value)
    held = _opened(walk, local, SetLiteral)
    if isinstance(held, SetLiteral):
        walk.write(local, SetLiteral((*held.members, value)))
    elif isinstance(held, Variable) and held.raw:
        walk.defined(held)
        if walk.leaving is None:
            walk.add_member(held.name, value)
    elif isinstance(held, Variable):
        name = _changeable(walk, held, Kind.SET)
        if name is not None:
            text = f"{name}.add({walk.text(value)})"
            walk.put(residual.Do(walk.where, text, idempotent=True))
    else:
        walk.fail()


def insert(walk: Walk, statement: ir.ObjectInsert | ir.ObjectInsertOnce) -> None:
    """A value at a key of an object."""
    local = statement.object.index
    once = isinstance(statement, ir.ObjectInsertOnce)
    held = _opened(walk, local, ObjectLiteral)
    key = _element(walk, statement.key)
    value = None if key is None else _part(walk, statement.value)
    if key is None or value is None:
        return
    if isinstance(held, ObjectLiteral) and isinstance(key, Known):
        name = to_key(key.value)
        if name not in held.fields or not once:
            walk.write(local, ObjectLiteral({**held.fields, name: value}))
            return
    if isinstance(held, Known | ObjectLiteral | ArrayLiteral | SetLiteral):
        held = walk.contain(local, held)
    if not isinstance(held, Variable):
        walk.fail()
        return
    mapping = _changeable(walk, held, Kind.OBJECT)
    if mapping is None:
        return
    if once:
        text = f"put_once({mapping}, {walk.key_text(key)}, {walk.text(value)})"
    else:
        text = f"{mapping}.__setitem__({walk.key_text(key)}, {walk.text(value)})"
    walk.put_in(mapping, value, text, key)


def merge(walk: Walk, statement: ir.ObjectMerge) -> None:
    """Two objects in one."""
    first, second = walk.read(statement.a), walk.read(statement.b)
    for value in (first, second):
        shape = walk.shape(value)
        if not shape.may_be(Kind.OBJECT):
            walk.fail()
            return
        if not shape.is_only(Kind.OBJECT):
            walk.require(f"type({walk.text(value)}) is dict")
    text = f"merged({walk.text(first)}, {walk.text(second)})"
    walk.write(statement.target, walk.bind(text, Shape(Kind.OBJECT)))


def lend(walk: Walk, operand: ir.Operand) -> None:
    """Note that a literal now has a second holder: it must not be changed any more."""
    value = walk.read(operand)
    if isinstance(value, LITERALS):
        walk.unit.lent.add(value)
