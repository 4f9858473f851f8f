"""The narrowest schema that some documents obey: what a caller might promise of them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence


def schema_of(documents: Sequence[Any]) -> dict[str, Any]:
    """A schema that all of `documents` obey."""
    named = sorted({_NAMES[type(each)] for each in documents})
    found: dict[str, Any] = {"type": named[0] if len(named) == 1 else named}
    objects = [each for each in documents if isinstance(each, dict)]
    if objects:
        names = list(dict.fromkeys(name for each in objects for name in each))
        found["properties"] = {
            name: schema_of([each[name] for each in objects if name in each]) for name in names
        }
        found["required"] = [name for name in names if all(name in each for each in objects)]
        found["additionalProperties"] = False
    items = [item for each in documents if isinstance(each, list) for item in each]
    if items:
        found["items"] = schema_of(items)
    return found


_NAMES: Final[dict[type, str]] = {
    type(None): "null",
    bool: "boolean",
    str: "string",
    list: "array",
    dict: "object",
    **dict.fromkeys((int, Decimal), "number"),
}
