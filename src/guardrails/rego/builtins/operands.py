"""Checks of a builtin's arguments, with OPA's words when one does not fit."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeAlias

from guardrails.rego.builtins.base import BuiltinError, BuiltinTypeError
from guardrails.rego.values import RegoSet, type_name

if TYPE_CHECKING:
    from guardrails.rego.values import Key, Value

Number: TypeAlias = "int | Decimal"

LARGEST_INTEGER_BITS: Final = 14_280
"""Bits of the largest integer that a builtin makes: 4,299 digits, what Python turns into text."""

LARGEST_TEXT: Final = 16 * 1024 * 1024
"""Characters of the longest string that a builtin makes."""

_LARGEST_EXPONENT: Final = 4_298
_MOST_DIGITS: Final = 10_000
_INT64_MIN: Final = -(2**63)
_INT64_MAX: Final = 2**63 - 1


def wrong_type(position: int, value: Value, *expected: str) -> BuiltinTypeError:
    """The error for an operand of another type than `expected`."""
    wanted = expected[0] if len(expected) == 1 else f"one of {{{', '.join(expected)}}}"
    return BuiltinTypeError(f"operand {position} must be {wanted} but got {type_name(value)}")


def wrong_element(position: int, whole: Value, element: Value, *expected: str) -> BuiltinTypeError:
    """The error for an element of another type than `expected` in the operand `whole`."""
    kind = type_name(whole)
    wanted = (
        f"{kind} of {expected[0]}s"
        if len(expected) == 1
        else f"{kind} of (any of) {{{', '.join(expected)}}}"
    )
    return BuiltinTypeError(
        f"operand {position} must be {wanted} but got {kind} containing {type_name(element)}"
    )


def string(value: Value, position: int) -> str:
    """`value` as the string it must be."""
    if type(value) is str:
        return value
    raise wrong_type(position, value, "string")


def array(value: Value, position: int) -> list[Value]:
    """`value` as the array it must be."""
    if type(value) is list:
        return value
    raise wrong_type(position, value, "array")


def object_(value: Value, position: int) -> dict[Key, Value]:
    """`value` as the object it must be."""
    if type(value) is dict:
        return value
    raise wrong_type(position, value, "object")


def set_(value: Value, position: int) -> RegoSet:
    """`value` as the set it must be."""
    if type(value) is RegoSet:
        return value
    raise wrong_type(position, value, "set")


def number(value: Value, position: int) -> Number:
    """`value` as the number it must be."""
    kind = type(value)
    if kind is int or kind is Decimal:
        return value  # type: ignore[no-any-return]  # its type was just asked
    raise wrong_type(position, value, "number")


def int64(value: Value, position: int) -> int:
    """`value` as the 64-bit integer it must be; ``1.0`` is one and ``1e0`` is none, as in OPA."""
    whole = number(value, position)
    if type(whole) is Decimal and "E" not in str(whole) and whole == whole.to_integral_value():
        whole = int(whole)
    if type(whole) is int and _INT64_MIN <= whole <= _INT64_MAX:
        return whole
    message = f"operand {position} must be integer number but got floating-point number"
    raise BuiltinTypeError(message)


def big_int(value: Value, position: int) -> int:
    """`value` as the integer it must be, of any size; ``1.0`` is one."""
    if type(value) is int:
        return value
    if type(value) is not Decimal:
        raise wrong_type(position, value, "integer")
    whole = integral(value)
    if whole is None:
        message = f"operand {position} must be integer number but got floating-point number"
        raise BuiltinTypeError(message)
    return whole


def integral(value: Number) -> int | None:
    """The integer that `value` equals, or None if it has a fraction."""
    if type(value) is int:
        return value
    checked = bounded(value)
    whole = int(checked)
    return whole if whole == checked else None


def bounded(value: Number) -> Number:
    """`value`, if it can be computed with at a bearable cost.

    Raises:
        BuiltinError: it has too many digits, or an exponent as large as no amount has.
    """
    if type(value) is int:
        if value.bit_length() > LARGEST_INTEGER_BITS:
            message = "number is too large"
            raise BuiltinError(message)
        return value
    assert type(value) is Decimal  # noqa: S101  # the type says so; narrows it for mypy
    if not value:
        return 0
    exponent = value.as_tuple().exponent
    adjusted = value.adjusted()
    if (
        not isinstance(exponent, int)
        or abs(adjusted) > _LARGEST_EXPONENT
        or adjusted - exponent > _MOST_DIGITS
    ):
        message = "number is too large or too precise to compute with"
        raise BuiltinError(message)
    return value


def strings(value: Value, position: int) -> list[str]:
    """The strings of the array or set that `value` must be."""
    kind = type(value)
    if kind is not list and kind is not RegoSet:
        raise wrong_type(position, value, "array", "set")
    items = list(value)
    for item in items:
        if type(item) is not str:
            raise wrong_element(position, value, item, "string")
    return items


def bounded_text(length: int) -> None:
    """Refuse to make a string of `length` characters if that is too long.

    Raises:
        BuiltinError: it is longer than :data:`LARGEST_TEXT`.
    """
    if length > LARGEST_TEXT:
        message = f"the result would have {length} characters; at most {LARGEST_TEXT} are made"
        raise BuiltinError(message)


def utf8(text: str) -> bytes:
    """`text` in UTF-8; a lone surrogate, which Rego strings cannot hold, as U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return without_surrogates(text).encode()


def from_utf8(data: bytes) -> str:
    """The text in `data`; each byte that is not UTF-8 becomes U+FFFD, as Go prints it."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return without_surrogates(data.decode("utf-8", "surrogateescape"))


def without_surrogates(text: str) -> str:
    """`text` with each lone surrogate replaced by U+FFFD."""
    return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
