"""The shape that a JSON schema promises.

What a schema says beyond kinds, properties and items (lengths, patterns, alternatives) promises
nothing here. A keyword that is not understood never makes a shape narrower.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from guardrails.rego.emit.shapes import DOCUMENT, Kind, Shape, exactly

_KINDS: Final = {
    "null": Kind.NULL,
    "boolean": Kind.BOOLEAN,
    "number": Kind.NUMBER,
    "integer": Kind.NUMBER,
    "string": Kind.STRING,
    "array": Kind.ARRAY,
    "object": Kind.OBJECT,
}


def shape_of_schema(schema: object) -> Shape:
    """What holds of every document that is valid against `schema`.

    Args:
        schema: A JSON schema; ``$ref`` and combinations (``anyOf`` …) promise nothing.
    """
    if not isinstance(schema, Mapping) or _OPAQUE & schema.keys() or "type" not in schema:
        return DOCUMENT
    named = schema["type"]
    kinds = Kind(0)
    names = named if isinstance(named, list) else [named]
    if "number" in names:
        names = [name for name in names if name != "integer"]
    for name in names:
        if name not in _KINDS:
            return DOCUMENT
        kinds |= _KINDS[name]
    fields: dict[str, Shape] = {}
    item: Shape | None = None
    if Kind.OBJECT in kinds:
        fields, item = _properties(schema)
    elif Kind.ARRAY in kinds:
        item = shape_of_schema(schema.get("items"))
    if kinds & Kind.ARRAY and kinds & Kind.OBJECT:
        fields, item = {}, None
    return Shape(kinds, item, fields, json=True, span=_span(schema) if "integer" in names else None)


def _span(schema: Mapping[str, Any]) -> tuple[int, int] | None:
    """From where to where whole numbers go; None if the schema does not say that."""
    least, most = schema.get("minimum"), schema.get("maximum")
    if type(least) is int and type(most) is int and least <= most:
        return least, most
    return None


_OPAQUE: Final = frozenset({"$ref", "anyOf", "oneOf", "allOf", "not", "if", "enum", "const"})
_NOTHING: Final = Shape(Kind(0), json=True)


def _properties(schema: Mapping[str, Any]) -> tuple[dict[str, Shape], Shape | None]:
    required = schema.get("required", ())
    fields = {}
    for name, each in schema.get("properties", {}).items():
        shape = shape_of_schema(each)
        if name not in required:
            shape = replace(shape, kinds=shape.kinds | Kind.UNDEFINED)
        fields[str(name)] = shape
    others = schema.get("additionalProperties", True)
    if others is False and "patternProperties" not in schema:
        return fields, _NOTHING
    if "patternProperties" in schema or others is True:
        return fields, None
    return fields, shape_of_schema(others)


def with_parts(shape: Shape, parts: Mapping[str, Any]) -> Shape:
    """`shape`, where the values at some fields are known.

    Args:
        shape: Of an object.
        parts: The known values by their names.
    """
    fields = dict(shape.fields)
    for name, value in parts.items():
        fields[name] = exactly(value)
    return replace(shape, fields=fields)
