"""``sort`` of a set that was built here: in the order of Rego, by what Python has for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.rego.emit.shapes import Kind, Shape, array_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrails.rego.emit.abstract import Abstract
    from guardrails.rego.emit.walk import Walk


def sort(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
    """The members of a set that was built here, in order."""
    (value,) = args
    raw = walk.raw_text(value)
    if raw is None:
        return None
    items, text = walk.shape(value).items(), f"members({raw})"
    if items.is_only(Kind.STRING):
        text = f"sorted({raw})"
    elif _in_columns(items):
        names = walk.unit.getter(sorted(items.fields))
        text = f"arranged({raw}, {names})"
    arrays = _flat_arrays(items)
    if items.is_only(Kind.OBJECT) and items.items().is_only(Kind.SCALAR):
        text = f"copies({text})"
    elif arrays is not None:
        text = f"copied({text}, {walk.unit.constant_path(arrays)})"
    elif not items.is_only(Kind.SCALAR):
        text = f"fresh({text})"
    found = walk.bind(text, array_of(items))
    walk.own.add(found.name)  # its members are no longer those of the set
    walk.fixed.add(found.name)
    return found


def _flat_arrays(shape: Shape) -> tuple[str, ...] | None:
    """Where arrays of scalars stand in an object that else holds scalars; None of another one."""
    if not shape.is_only(Kind.OBJECT) or not shape.closed:
        return None
    parts = {name: each for name, each in shape.fields.items() if not each.is_only(Kind.SCALAR)}
    if all(
        each.is_only(Kind.ARRAY) and each.items().is_only(Kind.SCALAR) for each in parts.values()
    ):
        return tuple(sorted(parts))
    return None


def _in_columns(shape: Shape) -> bool:
    """Whether Python orders objects of this shape as Rego does, by the tuples of their values."""
    return (
        shape.is_only(Kind.OBJECT)
        and bool(shape.fields)
        and shape.closed
        and all(
            each.is_only(Kind.STRING)
            or each.is_only(Kind.NUMBER)
            or (each.is_only(Kind.ARRAY) and each.items().is_only(Kind.STRING))
            for each in shape.fields.values()
        )
    )
