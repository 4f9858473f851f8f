"""``prices:`` of ``guardrails.yaml``: what models cost that nobody publishes a price of.

::

    prices:
      models:                         # US dollars for a million tokens
        acme-7b: {input: 0.20, output: 0.60}
        acme-70b: {input: 1.10, output: 3.30, cache_read: 0.11, cache_write: 1.40}
      fallback: {input: 15, output: 75}      # for every other model that has no price
"""

from __future__ import annotations

from pydantic import Field

from guardrails.pricing.price_list import PriceList
from guardrails.pricing.rates import Rates
from guardrails.register.source import Mapped
from guardrails.register.words import Keyed, Number, Text  # noqa: TC001  # pydantic reads them


class WrittenRates(Mapped):
    """Prices of one model as they are written."""

    input: Number
    output: Number
    cache_read: Number | None = None
    cache_write: Number | None = None

    def rates(self) -> Rates:
        """The same as the price list takes it."""
        return Rates(self.input, self.output, self.cache_read, self.cache_write)


class WrittenPrices(Mapped):
    """The section as it is written."""

    models: Keyed[Text, WrittenRates] = Field(default={}, validate_default=True)
    fallback: WrittenRates | None = None

    def price_list(self) -> PriceList:
        """The prices that hold: these, besides the published ones."""
        own = {name: written.rates() for name, written in self.models.items()}
        return PriceList(own, fallback=None if self.fallback is None else self.fallback.rates())
