"""Prices that configuration states, for models that nobody publishes a price of."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from guardrails.errors import ConfigError
from guardrails.model.money import MICRO

if TYPE_CHECKING:
    from guardrails.pricing.token_counts import TokenCounts

_PER: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars for a million tokens.

    Attributes:
        input: Of what goes in.
        output: Of what comes out.
        cache_read: Of input that is read from a cache; None: as any input.
        cache_write: Of input that is written to one; None: as any input.

    Raises:
        ConfigError: one is negative or no number.
    """

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None

    def __post_init__(self) -> None:
        for name in ("input", "output", "cache_read", "cache_write"):
            rate = getattr(self, name)
            if rate is None and name.startswith("cache"):
                continue
            if not isinstance(rate, Decimal) or not rate.is_finite() or rate < 0:
                msg = f"{name}: dollars for a million tokens are a Decimal from 0, not `{rate!r}`"
                raise ConfigError(msg)

    def micro_usd(self, counts: TokenCounts) -> int:
        """The price of `counts` in micro-dollars, exact and then rounded up."""
        read = self.input if self.cache_read is None else self.cache_read
        write = self.input if self.cache_write is None else self.cache_write
        plain = counts.input - counts.cache_read - counts.cache_write
        dollars = (
            Fraction(self.input) * plain
            + Fraction(read) * counts.cache_read
            + Fraction(write) * counts.cache_write
            + Fraction(self.output) * counts.output
        ) / _PER
        return -(-dollars * MICRO // 1)
