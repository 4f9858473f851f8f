"""Types: asked, named, and converted."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from guardrails.rego.builtins.base import BuiltinError, BuiltinTypeError, builtin
from guardrails.rego.builtins.operands import bounded, integral, wrong_type
from guardrails.rego.numerals import parse_decimal
from guardrails.rego.values import RegoSet, is_number, sorted_values, type_name

if TYPE_CHECKING:
    from guardrails.rego.values import Value

_NO_NUMBERS: Final = frozenset({"inf", "infinity", "nan"})
_LARGEST_FLOAT: Final = Decimal("1.797693134862315807e308")
_DIGITS: Final = frozenset("0123456789")


@builtin("is_array", arity=1)
def is_array(value: Value) -> Value:
    """Whether the value is an array."""
    return type(value) is list


@builtin("is_boolean", arity=1)
def is_boolean(value: Value) -> Value:
    """Whether the value is a boolean."""
    return type(value) is bool


@builtin("is_null", arity=1)
def is_null(value: Value) -> Value:
    """Whether the value is null."""
    return value is None


@builtin("is_number", arity=1)
def is_a_number(value: Value) -> Value:
    """Whether the value is a number."""
    return is_number(value)


@builtin("is_object", arity=1)
def is_object(value: Value) -> Value:
    """Whether the value is an object."""
    return type(value) is dict


@builtin("is_set", arity=1)
def is_set(value: Value) -> Value:
    """Whether the value is a set."""
    return type(value) is RegoSet


@builtin("is_string", arity=1)
def is_string(value: Value) -> Value:
    """Whether the value is a string."""
    return type(value) is str


@builtin("type_name", arity=1)
def name_of_type(value: Value) -> Value:
    """The name of the value's type."""
    return type_name(value)


@builtin("to_number", arity=1)
def to_number(value: Value) -> Value:
    """The number that a string names, 0 and 1 for null and booleans."""
    if value is None:
        return 0
    if type(value) is bool:
        return int(value)
    if is_number(value):
        return value
    if type(value) is not str:
        raise wrong_type(1, value, "null", "boolean", "number", "string")
    return _read(value)


def _read(text: str) -> Value:
    if text.lstrip("+-").lower() in _NO_NUMBERS:
        message = "operand 1 must be valid number string but got string"
        raise BuiltinTypeError(message)
    body = text[1:] if text[:1] in ("+", "-") else text
    mantissa, mark, exponent = body.lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    power = exponent[1:] if exponent[:1] in ("+", "-") else exponent
    digits = whole + fraction
    if not digits or not _DIGITS.issuperset(digits + power) or (mark and not power):
        message = f'strconv.ParseFloat: parsing "{text}": invalid syntax'
        raise BuiltinError(message)
    number = parse_decimal(text)
    if number.copy_abs() > _LARGEST_FLOAT:
        message = f'strconv.ParseFloat: parsing "{text}": value out of range'
        raise BuiltinError(message)
    if mark or "." in text:
        return number
    return integral(bounded(number))


@builtin("cast_array", arity=1)
def cast_array(value: Value) -> Value:
    """The array, or the members of a set as one."""
    if type(value) is list:
        return value
    if type(value) is RegoSet:
        return sorted_values(value)
    raise wrong_type(1, value, "array", "set")


@builtin("cast_set", arity=1)
def cast_set(value: Value) -> Value:
    """The set, or the elements of an array as one."""
    if type(value) is RegoSet:
        return value
    if type(value) is list:
        return RegoSet(value)
    raise wrong_type(1, value, "array", "set")


def _only(value: Value, kind: type, name: str) -> Value:
    if type(value) is kind:
        return value
    raise wrong_type(1, value, name)


@builtin("cast_string", arity=1)
def cast_string(value: Value) -> Value:
    """The value, which must be a string."""
    return _only(value, str, "string")


@builtin("cast_boolean", arity=1)
def cast_boolean(value: Value) -> Value:
    """The value, which must be a boolean."""
    return _only(value, bool, "boolean")


@builtin("cast_null", arity=1)
def cast_null(value: Value) -> Value:
    """The value, which must be null."""
    return _only(value, type(None), "null")


@builtin("cast_object", arity=1)
def cast_object(value: Value) -> Value:
    """The value, which must be an object."""
    return _only(value, dict, "object")
