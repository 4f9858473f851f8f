"""Amounts with units: ``10Ki``, ``1.5MB``, ``200m``."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from guardrails.rego.builtins import bigfloat
from guardrails.rego.builtins.base import BuiltinError, builtin
from guardrails.rego.builtins.operands import bounded, string

if TYPE_CHECKING:
    from guardrails.rego.values import Value

_LARGEST_EXPONENT_DIGITS: Final = 6
_LARGEST_EXPONENT: Final = 4_000
_PLACES: Final = 10
"""Decimal places that OPA gives of an amount with a fraction."""

_DIGITS: Final = frozenset("0123456789")
_PREFIXES: Final = "kmgtpe"

_BYTES: Final = {
    "": 1,
    **{
        letter + ending: base**power
        for power, letter in enumerate(_PREFIXES, start=1)
        for ending, base in (("", 1000), ("b", 1000), ("i", 1024), ("ib", 1024))
    },
}

_MILLI: Final = Fraction(0.001)
"""OPA reads a thousandth from a float64, not from the decimal number."""

_UNITS: Final[dict[str, int | Fraction]] = {
    "": 1,
    **{
        case + ending: base**power
        for power, letter in enumerate(_PREFIXES, start=1)
        for case in (letter, letter.upper())
        for ending, base in (("", 1000), ("i", 1024))
    },
    "m": _MILLI,
}


def _split(text: str, prefix: str) -> tuple[str, str]:
    """(number, unit): the text cut where the number ends."""
    place = 0
    while place < len(text):
        char = text[place]
        if char in "eE":
            after = text[place + 1 : place + 2]
            if not after or (after not in _DIGITS and after not in "+-"):
                break
            place += after in "+-"
            digits = len(text) - place - 1 - len(text[place + 1 :].lstrip("0123456789"))
            if digits > _LARGEST_EXPONENT_DIGITS:
                message = f"{prefix}: exponent too large"
                raise BuiltinError(message)
        elif char not in _DIGITS and char not in ".+-":
            break
        place += 1
    return text[:place], text[place:]


def _number(text: str, prefix: str) -> Fraction | None:
    """The amount exactly; None if the text is no number."""
    mantissa, _, exponent = text.lower().partition("e")
    if exponent and abs(int(exponent)) > _LARGEST_EXPONENT:
        message = f"{prefix}: exponent too large"
        raise BuiltinError(message)
    try:
        return Fraction(Decimal(f"{mantissa}e{exponent}" if exponent else mantissa))
    except ArithmeticError:
        return None


def _amount(text: str, prefix: str) -> tuple[Fraction, str]:
    if " " in text:
        message = f"{prefix}: spaces not allowed in resource strings"
        raise BuiltinError(message)
    number, unit = _split(text, prefix)
    what = "byte amount" if prefix.endswith("bytes") else "amount"
    if not number:
        message = f"{prefix}: no {what} provided"
        raise BuiltinError(message)
    value = _number(number, prefix)
    if value is None:
        message = f"{prefix}: could not parse {what} to a number"
        raise BuiltinError(message)
    return value, unit


@builtin("units.parse_bytes", arity=1)
def parse_bytes(text: Value) -> Value:
    """The number of bytes, as an integer."""
    source = string(text, 1).lower().replace('"', "")
    amount, unit = _amount(source, "units.parse_bytes")
    if unit not in _BYTES:
        message = f"units.parse_bytes: byte unit {unit} not recognized"
        raise BuiltinError(message)
    value = bigfloat.ratio(amount.numerator, amount.denominator)
    return bounded(bigfloat.truncated(bigfloat.multiply(value, (_BYTES[unit], 0))))


@builtin("units.parse", arity=1)
def parse(text: Value) -> Value:
    """The amount: an integer, or a number with ten decimal places."""
    source = string(text, 1).replace('"', "")
    amount, unit = _amount(source, "units.parse")
    unit = unit[:1] + unit[1:].lower()
    if unit not in _UNITS:
        message = f"units.parse: unit {unit} not recognized"
        raise BuiltinError(message)
    value = amount * _UNITS[unit]
    if value.denominator == 1:
        return bounded(value.numerator)
    scaled, rest = divmod(abs(value.numerator) * 10**_PLACES, value.denominator)
    # Half a unit of the last place rounds away from zero, as big.Rat prints it.
    scaled += 2 * rest >= value.denominator
    return Decimal(f"{'-' if value < 0 else ''}{scaled}E-{_PLACES}")
