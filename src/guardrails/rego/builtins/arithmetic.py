"""Arithmetic: exact on integers of any size, OPA's 64-bit floats on fractions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.rego.builtins import bigfloat
from guardrails.rego.builtins.base import BuiltinError, builtin
from guardrails.rego.builtins.operands import bounded, integral, number, set_, wrong_type
from guardrails.rego.values import RegoSet, is_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.rego.builtins.operands import Number
    from guardrails.rego.values import Value


def _exact_or_float(
    left: Number,
    right: Number,
    exact: Callable[[int, int], int],
    floating: Callable[[bigfloat.Float, bigfloat.Float], bigfloat.Float],
) -> Number:
    whole_left = integral(left)
    whole_right = integral(right)
    if whole_left is not None and whole_right is not None:
        return bounded(exact(bounded_int(whole_left), bounded_int(whole_right)))
    result = floating(bigfloat.from_number(left), bigfloat.from_number(right))
    return bigfloat.to_number(result)


def bounded_int(value: int) -> int:
    """`value`, if it is not so large that computing with it would hurt."""
    bounded(value)
    return value


@builtin("plus", arity=2)
def plus(left: Value, right: Value) -> Value:
    """The sum left + right."""
    return _exact_or_float(
        number(left, 1), number(right, 2), lambda one, two: one + two, bigfloat.add
    )


@builtin("minus", arity=2)
def minus(left: Value, right: Value) -> Value:
    """The difference left - right, of two numbers or of two sets."""
    if type(left) is RegoSet and type(right) is RegoSet:
        return RegoSet.of_keys(left.keys - right.keys)
    if not is_number(left) and type(left) is not RegoSet:
        raise wrong_type(1, left, "number", "set")
    if type(left) is RegoSet or not is_number(right):
        raise wrong_type(2, right, "set" if is_number(right) else "number")
    return _exact_or_float(left, right, lambda one, two: one - two, bigfloat.subtract)


@builtin("mul", arity=2)
def multiply(left: Value, right: Value) -> Value:
    """The product left x right."""
    return _exact_or_float(
        number(left, 1), number(right, 2), lambda one, two: one * two, bigfloat.multiply
    )


@builtin("div", arity=2)
def divide(left: Value, right: Value) -> Value:
    """The quotient left / right."""
    dividend, divisor = number(left, 1), number(right, 2)
    if not divisor:
        message = "divide by zero"
        raise BuiltinError(message)
    if type(dividend) is int and type(divisor) is int:
        quotient, rest = divmod(bounded_int(dividend), bounded_int(divisor))
        if not rest and -(2**63) < quotient < 2**63:
            return quotient
    return bigfloat.to_number(
        bigfloat.divide(bigfloat.from_number(dividend), bigfloat.from_number(divisor))
    )


@builtin("rem", arity=2)
def remainder(left: Value, right: Value) -> Value:
    """The rest of left / right, with the sign of `left`."""
    dividend, divisor = number(left, 1), number(right, 2)
    one, two = integral(dividend), integral(divisor)
    if one is None or two is None:
        message = "modulo on floating-point number"
        raise BuiltinError(message)
    if not two:
        message = "modulo by zero"
        raise BuiltinError(message)
    rest = abs(bounded_int(one)) % abs(bounded_int(two))
    return -rest if one < 0 else rest


@builtin("abs", arity=1)
def absolute(value: Value) -> Value:
    """The value without its sign."""
    mantissa, exponent = bigfloat.from_number(number(value, 1))
    return bigfloat.to_number((abs(mantissa), exponent))


@builtin("round", arity=1)
def nearest(value: Value) -> Value:
    """The nearest integer, halves away from zero."""
    whole = bigfloat.from_number(number(value, 1))
    half = (1, -1) if whole[0] >= 0 else (-1, -1)
    return bounded(bigfloat.truncated(bigfloat.add(whole, half)))


@builtin("ceil", arity=1)
def ceiling(value: Value) -> Value:
    """The smallest integer that is not below the value; but 1 of what lies between -1 and 0.

    The exception is OPA's: it loses the sign of the zero that is left of such a number.
    """
    given = bigfloat.from_number(number(value, 1))
    whole = bigfloat.truncated(given)
    return bounded(whole + 1 if whole >= 0 and _has_fraction(given) else whole)


@builtin("floor", arity=1)
def floor(value: Value) -> Value:
    """The largest integer that is not above the value; but 0 of what lies between -1 and 0.

    The exception is OPA's, as in :data:`ceiling`.
    """
    given = bigfloat.from_number(number(value, 1))
    whole = bigfloat.truncated(given)
    return bounded(whole - 1 if whole < 0 and _has_fraction(given) else whole)


def _has_fraction(value: bigfloat.Float) -> bool:
    mantissa, exponent = value
    return exponent < 0 and mantissa & ((1 << -exponent) - 1) != 0


@builtin("and", arity=2)
def intersect(left: Value, right: Value) -> Value:
    """The members of both sets."""
    return RegoSet.of_keys(set_(left, 1).keys & set_(right, 2).keys)


@builtin("or", arity=2)
def unite(left: Value, right: Value) -> Value:
    """The members of either set."""
    return RegoSet.of_keys(set_(left, 1).keys | set_(right, 2).keys)
