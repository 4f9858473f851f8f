"""How large the arguments of one call may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limits:
    """How large the arguments of one call may be.

    Attributes:
        depth: Levels of nesting.
        nodes: Values in all, the nested ones included.
        text: Bytes of all strings and keys together, in UTF-8.
        digits: Significant digits of a decimal.
        exponent: Places that a decimal's first and last digit may stand from the point.
    """

    depth: int = 64
    nodes: int = 10_000
    text: int = 1_048_576
    digits: int = 100
    exponent: int = 400


DEFAULT_LIMITS: Final = Limits()
