"""Go's arbitrary-precision floats, at the precision that OPA computes with.

OPA adds, multiplies and divides fractions as ``big.Float`` with a mantissa of
64 bits, rounds half to even, and gives the shortest decimal number that reads
back as the same float. Doing the same here is what makes ``0.1 + 0.2 == 0.3``
and ``1 / 3`` come out alike on both sides.

A float is a pair of integers ``(mantissa, exponent)``: mantissa x 2**exponent.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeAlias

from guardrails.rego.builtins.operands import bounded

if TYPE_CHECKING:
    from guardrails.rego.builtins.operands import Number

Float: TypeAlias = tuple[int, int]

PRECISION: Final = 64
"""Bits of the mantissa that Go's ``big.Float`` takes when it reads text."""

_GUARD_BITS: Final = 2


def from_number(number: Number) -> Float:
    """The float nearest to `number`."""
    value = bounded(number)
    if type(value) is int:
        return rounded(value, 0)
    assert type(value) is Decimal  # noqa: S101  # the other case of the type; narrows it for mypy
    sign, digits, exponent = value.as_tuple()
    assert type(exponent) is int  # noqa: S101  # `bounded` refuses NaN and infinities
    coefficient = int("".join(map(str, digits)))
    if sign:
        coefficient = -coefficient
    if exponent >= 0:
        return rounded(coefficient * 10**exponent, 0)
    return ratio(coefficient, 10**-exponent)


def rounded(mantissa: int, exponent: int, precision: int = PRECISION) -> Float:
    """The float nearest to mantissa x 2**exponent, ties to even."""
    size = abs(mantissa)
    excess = size.bit_length() - precision
    if excess <= 0:
        return mantissa, exponent
    kept = size >> excess
    rest = size & ((1 << excess) - 1)
    half = 1 << (excess - 1)
    if rest > half or (rest == half and kept & 1):
        kept += 1
        if kept.bit_length() > precision:
            kept, excess = kept >> 1, excess + 1
    return (kept if mantissa > 0 else -kept), exponent + excess


def ratio(numerator: int, denominator: int, precision: int = PRECISION) -> Float:
    """The float nearest to numerator / denominator; the denominator is positive."""
    size = abs(numerator)
    shift = precision + _GUARD_BITS - (size.bit_length() - denominator.bit_length())
    if shift > 0:
        size <<= shift
    else:
        denominator <<= -shift
    quotient, remainder = divmod(size, denominator)
    # The bit appended stands for all that was cut off, so that a tie is seen as one.
    sticky = (quotient << 1) | (remainder != 0)
    return rounded(sticky if numerator >= 0 else -sticky, -shift - 1, precision)


def add(left: Float, right: Float) -> Float:
    """The sum left + right."""
    low = min(left[1], right[1])
    return rounded((left[0] << (left[1] - low)) + (right[0] << (right[1] - low)), low)


def subtract(left: Float, right: Float) -> Float:
    """The difference left - right."""
    return add(left, (-right[0], right[1]))


def multiply(left: Float, right: Float, precision: int = PRECISION) -> Float:
    """The product left x right."""
    return rounded(left[0] * right[0], left[1] + right[1], precision)


def divide(left: Float, right: Float) -> Float:
    """The quotient left / right; `right` is not zero."""
    numerator, denominator = left[0], right[0]
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    mantissa, exponent = ratio(numerator, denominator)
    return mantissa, exponent + left[1] - right[1]


def truncated(value: Float) -> int:
    """The integer part, towards zero."""
    mantissa, exponent = value
    if exponent >= 0:
        return mantissa << exponent
    part = abs(mantissa) >> -exponent
    return part if mantissa >= 0 else -part


def to_number(value: Float, precision: int = PRECISION) -> Number:
    """The shortest decimal number that reads back as `value`; an int if it is whole."""
    mantissa, exponent = value
    if mantissa == 0:
        return 0
    digits, place = _shortest(abs(mantissa), exponent, precision)
    if mantissa < 0:
        digits = -digits
    if place >= 0:
        return bounded(digits * 10**place)
    return Decimal(f"{digits}E{place}")


def _shortest(mantissa: int, exponent: int, precision: int) -> tuple[int, int]:
    """(digits, place): the shortest digits x 10**place that rounds to the float."""
    widen = precision - mantissa.bit_length()
    mantissa <<= widen
    exponent -= widen
    # All numbers below are integers over one denominator: the value, and the
    # bounds half way to its neighbours.
    scale = max(exponent, 0)
    denominator = 4 << (scale - exponent)
    middle = mantissa << (scale + 2)
    upper = (2 * mantissa + 1) << (scale + 1)
    if mantissa == 1 << (precision - 1):
        # Below a power of two the floats lie twice as close.
        lower = (4 * mantissa - 1) << scale
    else:
        lower = (2 * mantissa - 1) << (scale + 1)
    inclusive = mantissa % 2 == 0
    place = _magnitude(middle, denominator)
    while True:
        place -= 1
        unit = 10 ** abs(place)
        over, times = (denominator * unit, 1) if place >= 0 else (denominator, unit)
        down, rest = divmod(middle * times, over)
        low, high = lower * times, upper * times
        below, above = down * over, (down + 1) * over
        fits_down = rest == 0 or below > low or (inclusive and below == low)
        fits_up = above < high or (inclusive and above == high)
        if fits_down and fits_up:
            up = 2 * rest > over or (2 * rest == over and down & 1)
            return (down + 1 if up else down), place
        if fits_down:
            return down, place
        if fits_up:
            return down + 1, place


def _magnitude(numerator: int, denominator: int) -> int:
    """The k with 10**(k-1) <= numerator / denominator < 10**k."""
    # 1233 / 4096 is log10(2); the estimate is at most one off, which the loops mend.
    guess = ((numerator.bit_length() - denominator.bit_length()) * 1233) >> 12
    while (
        numerator >= denominator * 10**guess
        if guess >= 0
        else (numerator * 10**-guess >= denominator)
    ):
        guess += 1
    while (
        numerator < denominator * 10 ** (guess - 1)
        if guess > 0
        else (numerator * 10 ** (1 - guess) < denominator)
    ):
        guess -= 1
    return guess
