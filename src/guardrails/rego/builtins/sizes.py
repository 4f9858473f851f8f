"""How large a value may be before a library is handed it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.rego.builtins.base import BuiltinError

if TYPE_CHECKING:
    from guardrails.rego.values import Value

MOST_VALUES: Final = 100_000
"""Values within the largest document that a library is handed."""


def bounded_size(value: Value, what: str) -> None:
    """Refuse a value, of arrays and objects, that holds more than :data:`MOST_VALUES`.

    Args:
        value: The value.
        what: What it is, for the message.

    Raises:
        BuiltinError: It is too large.
    """
    count = 0
    stack = [value]
    while stack:
        item = stack.pop()
        count += 1
        if count > MOST_VALUES:
            message = f"the {what} has more than {MOST_VALUES} values"
            raise BuiltinError(message)
        if type(item) is dict:
            stack.extend(item.values())
        elif type(item) is list:
            stack.extend(item)
