"""The prices that hold here: configured ones first, then published ones, then the fallback."""

from __future__ import annotations

from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING

from guardrails.errors import ConfigError, PriceError
from guardrails.model.model_usage import ModelUsage
from guardrails.pricing.published import known_models, published_usage
from guardrails.pricing.token_counts import token_counts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.pricing.rates import Rates


class PriceList:
    """Prices models' answers; implements :class:`guardrails.ports.Prices`.

    Args:
        own: Configured prices, by the model's name.
        fallback: For models that have no other price; None to refuse those.
    """

    def __init__(
        self, own: Mapping[str, Rates] | None = None, *, fallback: Rates | None = None
    ) -> None:
        self.own = MappingProxyType({name.lower(): rates for name, rates in (own or {}).items()})
        self.fallback = fallback

    def usage_of(  # noqa: PLR0913  # what decides a price, each by its name
        self,
        usage: object,
        *,
        model: str,
        provider: str | None = None,
        batch: bool = False,
        tier: str | None = None,
        at_ns: int | None = None,
    ) -> ModelUsage:
        """Tokens and money of one answer; never silently nothing.

        Args:
            usage: ``response.usage`` of OpenAI's, Anthropic's or LiteLLM's client, or the same as a
                mapping.
            model: The model's name, as in the response; a prefix may name the provider, as in
                ``openai/gpt-4o``.
            provider: Whose price it is, as ``openai``; None to tell it by the name.
            batch: Whether it came by the provider's batch interface.
            tier: The service tier that the response states, as ``flex``.
            at_ns: When it was, in UTC nanoseconds since 1970; None for now.

        Raises:
            PriceError: the usage cannot be read, or the model has no price.
            ConfigError: it has none here, and the extra with published prices is not installed.
        """
        counts = token_counts(usage)
        if not isinstance(model, str) or not model:
            raise PriceError(f"model: a model's name is needed, not `{model!r}`")
        own = self.own.get(model.lower())
        if own is not None:
            return ModelUsage(
                counts.total, own.micro_usd(counts), model.lower(), provider, "configured"
            )
        try:
            found = published_usage(counts, model, provider, batch=batch, tier=tier, at_ns=at_ns)
        except ConfigError:
            if self.fallback is None:
                raise
            found = None
        if found is not None:
            return found
        if self.fallback is not None:
            return ModelUsage(
                counts.total, self.fallback.micro_usd(counts), model, provider, "fallback"
            )
        raise self._unknown(model, provider)

    def _unknown(self, model: str, provider: str | None) -> PriceError:
        published = known_models(provider)
        whose = "" if provider is None else f" of provider `{provider}`"
        if provider is not None and not published:
            published, whose = known_models(None), f" of provider `{provider}`, which is not known"
        known = [*self.own, *published]
        near = get_close_matches(model.lower(), known, n=3, cutoff=0.6)
        hint = (
            f"; near are {', '.join(f'`{name}`' for name in dict.fromkeys(near))}" if near else ""
        )
        return PriceError(
            f"there is no price for the model `{model}`{whose}{hint}; state one under `prices` in "
            "guardrails.yaml (`models`, or a `fallback` for all)",
            model=model,
            near=tuple(dict.fromkeys(near)),
        )
