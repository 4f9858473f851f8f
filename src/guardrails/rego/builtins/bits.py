"""Integers as strings of bits, in two's complement of unlimited width."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.rego.builtins.base import BuiltinError, BuiltinTypeError, builtin
from guardrails.rego.builtins.operands import LARGEST_INTEGER_BITS, big_int

if TYPE_CHECKING:
    from guardrails.rego.values import Value


@builtin("bits.and", arity=2)
def bits_and(left: Value, right: Value) -> Value:
    """The bits set in both."""
    return big_int(left, 1) & big_int(right, 2)


@builtin("bits.or", arity=2)
def bits_or(left: Value, right: Value) -> Value:
    """The bits set in either."""
    return big_int(left, 1) | big_int(right, 2)


@builtin("bits.xor", arity=2)
def bits_xor(left: Value, right: Value) -> Value:
    """The bits set in exactly one."""
    return big_int(left, 1) ^ big_int(right, 2)


@builtin("bits.negate", arity=1)
def bits_negate(value: Value) -> Value:
    """Every bit flipped."""
    return ~big_int(value, 1)


def _shift(value: Value) -> int:
    places = big_int(value, 2)
    if places < 0:
        message = "operand 2 must be an unsigned integer number but got a negative integer"
        raise BuiltinTypeError(message)
    return places


@builtin("bits.lsh", arity=2)
def bits_lsh(value: Value, places: Value) -> Value:
    """The bits moved to the left."""
    number, distance = big_int(value, 1), _shift(places)
    if number and number.bit_length() + distance > LARGEST_INTEGER_BITS:
        message = f"the result would have more than {LARGEST_INTEGER_BITS} bits"
        raise BuiltinError(message)
    return number << distance if number else 0


@builtin("bits.rsh", arity=2)
def bits_rsh(value: Value, places: Value) -> Value:
    """The bits moved to the right."""
    return big_int(value, 1) >> _shift(places)
