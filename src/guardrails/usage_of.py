"""``guardrails.usage_of``: what a model's answer took, before it is charged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.pricing.price_list import PriceList
from guardrails.runs.context import current_run

if TYPE_CHECKING:
    from guardrails.model.model_usage import ModelUsage


def usage_of(
    usage: object,
    *,
    model: str,
    provider: str | None = None,
    batch: bool = False,
    tier: str | None = None,
) -> ModelUsage:
    """Tokens and dollars of a model's answer; charge them with ``charge(usage=…)``.

    In a run, the prices are those of its governor, so with what ``prices`` in guardrails.yaml
    states; outside of every run the published ones alone. Nothing is asked over the network.

    Args:
        usage: ``response.usage`` of OpenAI's, Anthropic's or LiteLLM's client, or the same as a
            mapping.
        model: The model's name, as in the response; a prefix may name the provider, as in
            ``openai/gpt-4o``.
        provider: Whose price it is, as ``openai``; None to tell it by the name.
        batch: Whether it came by the provider's batch interface.
        tier: The service tier that the response states, as ``flex``.

    Raises:
        PriceError: the usage cannot be read, or the model has no price.
        ConfigError: the extra with published prices, ``prices``, is not installed.
    """
    run = current_run()
    prices = PriceList() if run is None else run.governor.prices
    at_ns = None if run is None else run.governor.clock.now_ns()
    return prices.usage_of(
        usage, model=model, provider=provider, batch=batch, tier=tier, at_ns=at_ns
    )
