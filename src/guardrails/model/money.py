"""Money as whole micro-dollars (millionths of a US dollar), so that sums are exact."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final, TypeAlias

MICRO: Final = 1_000_000
"""Micro-dollars in a dollar."""

_PLACES: Final = 6
_LARGEST: Final = 10**18
"""Largest sum, in micro-dollars, that is accepted: a million million dollars."""

Money: TypeAlias = str | int | Decimal | float
"""Dollars as a developer writes them; a float must be exact in micro-dollars."""


def micro_usd(amount: Money) -> int:
    """`amount` dollars in whole micro-dollars.

    Raises:
        ValueError: the amount is no finite number, is negative, is too large, or
            has a fraction of a micro-dollar.
        TypeError: the amount is of another type; ``bool`` is no amount.
    """
    if isinstance(amount, bool) or not isinstance(amount, str | int | Decimal | float):
        msg = f"an amount of money is a str, Decimal, int or float, not {type(amount).__name__}"
        raise TypeError(msg)
    shown = str(amount)[:40] if isinstance(amount, str | float) else f"{Decimal(amount):.20g}"
    try:
        # The shortest text of a float is what its author wrote.
        exact = Decimal(repr(amount)) if isinstance(amount, float) else Decimal(amount)
    except InvalidOperation:
        msg = f"`{shown}` is no amount of money"
        raise ValueError(msg) from None
    if not exact.is_finite():
        msg = f"`{shown}` is no amount of money"
        raise ValueError(msg)
    if exact < 0:
        msg = f"an amount of money is never negative, but this is `{shown}`"
        raise ValueError(msg)
    if exact > _LARGEST // MICRO:
        msg = f"`{shown}` dollars are more than can be accounted for"
        raise ValueError(msg)
    # On digits, not with arithmetic: a decimal context rounds, and a tiny exponent would make
    # an integer of its size.
    _, digits, exponent = exact.as_tuple()
    text = "".join(map(str, digits)).rstrip("0")
    places = int(exponent) + len(digits) - len(text)
    if not text:
        return 0
    if places < -_PLACES:
        msg = f"`{shown}` dollars have a fraction of a micro-dollar"
        raise ValueError(msg)
    return int(text + "0" * (places + _PLACES))


@lru_cache(maxsize=1024)
def dollars(micros: int) -> Decimal:
    """`micros` micro-dollars as an exact number of dollars, under any decimal context."""
    sign = "-" if micros < 0 else ""
    whole, fraction = divmod(abs(micros), MICRO)
    digits = f"{fraction:06d}".rstrip("0")
    return Decimal(f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}")


def display(micros: int) -> str:
    """`micros` micro-dollars for people: ``$5.00``, ``$0.000125``, ``-$1.20``."""
    sign = "-" if micros < 0 else ""
    whole, fraction = divmod(abs(micros), MICRO)
    digits = f"{fraction:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}${whole:,}.{digits}"
