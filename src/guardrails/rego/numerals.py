"""Numbers as they are written: read with all their digits, or refused."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Final

_NUMBER: Final = re.compile(
    r"-?(?:0|[1-9][0-9]*)(?P<fraction>\.[0-9]+)?(?P<exponent>[eE][+-]?[0-9]+)?"
)

_MOST_DIGITS: Final = 4000
"""Most characters in the text of a number, and largest power of ten, that is read."""


def parse_number(text: str) -> int | Decimal:
    """The number that `text` writes as JSON does; ``5.0`` stays a decimal, with its digits.

    Raises:
        ValueError: `text` is no JSON number, or one that is too large to work with.
    """
    found = _NUMBER.fullmatch(text)
    if found is None:
        msg = f"`{text[:40]}` is no number"
        raise ValueError(msg)
    exponent = found["exponent"]
    if len(text) > _MOST_DIGITS or (exponent and abs(int(exponent[1:])) > _MOST_DIGITS):
        msg = f"the number `{text[:40]}` is too large"
        raise ValueError(msg)
    return Decimal(text) if exponent or found["fraction"] else int(text)


_BEYOND: Final = Decimal("Infinity")


def parse_decimal(text: str) -> Decimal:
    """The number that `text` writes as JSON does, with its digits, however far from one it is.

    Raises:
        ValueError: Its power of ten is beyond the range of Python's decimals.
    """
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = _BEYOND
    # A thread's decimal context may say NaN in place of raising; no comparison holds that back.
    if not number.is_finite():
        msg = f"the number `{text[:40]}` is out of range"
        raise ValueError(msg)
    return number


__all__ = ["parse_decimal", "parse_number"]
