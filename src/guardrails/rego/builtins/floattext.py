"""A float64 as Go's ``strconv.FormatFloat`` writes it."""

from __future__ import annotations

from typing import Final

_LEAST_EXPONENT: Final = -4
_SHORTEST_LIMIT: Final = 6
"""The decimal exponent from which the shortest form turns to ``e`` notation."""

_DEFAULT_DIGITS: Final = 6


def format_float(value: float, verb: str, precision: int | None, *, sharp: bool = False) -> str:
    """`value` in the form of a verb.

    Args:
        value: A finite number.
        verb: ``e``, ``E``, ``f``, ``F``, ``g`` or ``G``.
        precision: Digits, in the verb's sense; None for as few as name the number.
        sharp: Keep the point and trailing zeros, as the flag ``#`` asks.
    """
    lower = verb.lower()
    if lower == "f":
        text = format(value, f"{'#' if sharp else ''}.{precision}f")
    elif lower == "e":
        text = format(value, f"{'#' if sharp else ''}.{precision}e")
    elif precision is None:
        text = _shortest(value)
        if sharp:
            text = format(value, f"#.{_DEFAULT_DIGITS}g") if len(text) <= _DEFAULT_DIGITS else text
    else:
        text = format(value, f"{'#' if sharp else ''}.{precision or 1}g")
    return text.upper() if verb.isupper() else text


def _shortest(value: float) -> str:
    text = repr(value)
    sign = "-" if text.startswith("-") else ""
    mantissa, _, exponent = text.removeprefix("-").partition("e")
    whole, _, fraction = mantissa.partition(".")
    if fraction == "0":
        fraction = ""
    power = len(whole) + int(exponent or 0)
    digits = whole + fraction
    stripped = digits.lstrip("0")
    power -= len(digits) - len(stripped)
    stripped = stripped.rstrip("0")
    if not stripped:
        return sign + "0"
    if power - 1 < _LEAST_EXPONENT or power - 1 >= _SHORTEST_LIMIT:
        point = "." if len(stripped) > 1 else ""
        return f"{sign}{stripped[0]}{point}{stripped[1:]}e{power - 1:+03d}"
    if power <= 0:
        return f"{sign}0.{'0' * -power}{stripped}"
    if power >= len(stripped):
        return sign + stripped.ljust(power, "0")
    return f"{sign}{stripped[:power]}.{stripped[power:]}"
