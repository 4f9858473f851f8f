"""What one answer of a model took: tokens, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from guardrails.model.budget import Charge
from guardrails.model.money import dollars

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """Tokens and money of one answer.

    Attributes:
        tokens: All tokens, read from a cache or not.
        micro_usd: The price in millionths of a US dollar, rounded up.
        model: The model as the price list calls it.
        provider: Whose price it is; None for a configured one.
        source: ``published``, ``configured`` or ``fallback``.
    """

    tokens: int
    micro_usd: int
    model: str
    provider: str | None
    source: str

    @property
    def usd(self) -> Decimal:
        """The price in dollars."""
        return dollars(self.micro_usd)

    @property
    def charge(self) -> Charge:
        """The same as a report of spending."""
        return Charge(self.micro_usd, self.tokens)
