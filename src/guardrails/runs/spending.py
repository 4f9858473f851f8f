"""What was spent, read from the words in which a developer reports it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.model.budget import Charge
from guardrails.model.money import micro_usd

if TYPE_CHECKING:
    from guardrails.model.money import Money


def charge_of(usd: Money | None, tokens: int | None) -> Charge:
    """The charge that a report of `usd` dollars and `tokens` model tokens states.

    Raises:
        TypeError: an amount is of another type, or none is given.
        ValueError: an amount is negative, or no amount.
    """
    if usd is None and tokens is None:
        raise TypeError("nothing is reported; give `usd`, `tokens` or both")
    if tokens is not None and type(tokens) is not int:
        raise TypeError(f"tokens: a whole number is needed, not `{tokens!r}`")
    if tokens is not None and tokens < 0:
        raise ValueError(f"tokens: spending is never negative, but this is `{tokens}`")
    return Charge(None if usd is None else micro_usd(usd), tokens)
