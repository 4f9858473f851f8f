"""What providers publish, as the package ``genai-prices`` carries it.

Always from the data inside the installed package, never from the network, and never from what
another library of the process may have downloaded: prices change with an update of the
package, which is a change that somebody makes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_CEILING, Context, localcontext
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import ConfigError, PriceError
from guardrails.model.model_usage import ModelUsage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from genai_prices.data_snapshot import DataSnapshot

    from guardrails.pricing.token_counts import TokenCounts

_NS: Final = 1_000_000_000
_EXACT: Final = Context(prec=100)
"""More digits than any sum here has, whatever the caller's own context is."""

_STANDARD: Final = frozenset({"auto", "default", "standard", "standard_only"})
_CHEAPER: Final = frozenset({"batch", "flex"})
"""Where no discount is published for these, the standard price is not too low."""


def published_usage(  # noqa: PLR0913  # what decides a price, each by its name
    counts: TokenCounts,
    model: str,
    provider: str | None,
    *,
    batch: bool,
    tier: str | None,
    at_ns: int | None,
) -> ModelUsage | None:
    """Tokens and money by the published price, or None where there is no such model.

    Raises:
        ConfigError: ``genai-prices`` is not installed.
        PriceError: the model is known and has no price for this.
    """
    at = datetime.now(UTC) if at_ns is None else datetime.fromtimestamp(at_ns / _NS, UTC)
    context = _context(counts, batch=batch, tier=tier)
    found = _find(model, provider)
    if found is None:
        return None
    source, info = found
    _check_dearer(info, source, context, at)
    with localcontext(_EXACT):
        price = _price(counts, info, source, at, context)
        micro = int((price.total_price * 1_000_000).to_integral_value(ROUND_CEILING))
    return ModelUsage(counts.total, micro, info.id, source.id, "published")


def known_models(provider: str | None) -> list[str]:
    """The models with a published price, of one provider or of all; none without the package."""
    try:
        providers = _snapshot().providers
    except ConfigError:
        return []
    return [
        model.id
        for each in providers
        if provider is None or each.id == provider.lower()
        for model in each.models
    ]


@cache
def _snapshot() -> DataSnapshot:
    try:
        from genai_prices.data import providers  # noqa: PLC0415  # an extra, and slow to import
        from genai_prices.data_snapshot import DataSnapshot  # noqa: PLC0415  # as above
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "genai_prices":
            raise
        msg = (
            "published prices need genai-prices: pip install 'guardrails-opa[prices]'; or state "
            "the model's own under `prices` in guardrails.yaml"
        )
        raise ConfigError(msg) from None
    return DataSnapshot(providers=providers, from_auto_update=False)


def _find(model: str, provider: str | None) -> tuple[Any, Any] | None:
    """Provider and model, by the name alone or by a prefix as in ``openai/gpt-4o``."""
    ways = [provider] if provider is not None else [None] + ["litellm"] * ("/" in model)
    for way in ways:
        try:
            return _snapshot().find_provider_model(model, None, way, None)
        except LookupError:
            continue
    return None


def _context(counts: TokenCounts, *, batch: bool, tier: str | None) -> dict[str, str]:
    context = {}
    if batch or counts.batch or tier == "batch":
        context["processing"] = "batch"
    if tier is not None and tier not in _STANDARD | {"batch"}:
        context["service_tier"] = tier
    if counts.fast:
        context["speed"] = "fast"
    return context


def _check_dearer(info: Any, source: Any, context: Mapping[str, str], at: datetime) -> None:
    """Refuse a tier that may cost more than the standard price, and has none of its own."""
    own = any(info is model for model in source.models)
    for key, value in context.items():
        if value in _CHEAPER:
            continue
        priced = own and any(
            variant.when.get(key) == value
            and (variant.constraint is None or variant.constraint.active(at))
            for variant in info.price_variants or ()
        )
        if not priced:
            raise PriceError(
                f"no price is published for {key} `{value}` of `{info.id}` at that time; state one "
                "under `prices` in guardrails.yaml, or charge `usd` yourself",
                model=info.id,
            )


def _price(
    counts: TokenCounts, info: Any, source: Any, at: datetime, context: Mapping[str, str]
) -> Any:
    from genai_prices import Usage  # noqa: PLC0415  # as in _snapshot, which came before

    stated: dict[str, int] = {
        "input_tokens": counts.input,
        "output_tokens": counts.output,
        "cache_read_tokens": counts.cache_read,
        "cache_write_tokens": counts.cache_write,
        "cache_write_5m_tokens": counts.cache_write_5m,
        "cache_write_1h_tokens": counts.cache_write_1h,
        "input_audio_tokens": counts.input_audio,
        "output_audio_tokens": counts.output_audio,
        "output_reasoning_tokens": counts.reasoning,
        "web_searches": counts.web_searches,
    }
    # Cached audio is not told apart in a report; without the cache all of it has the full price.
    plain = {key: count for key, count in stated.items() if not key.startswith("cache_read")}
    trouble = ""
    for form in (stated, plain):
        usage = Usage(**{key: count for key, count in form.items() if count})
        try:
            price = info.calc_price(
                usage, source, genai_request_timestamp=at, price_context=dict(context)
            )
        except ValueError as error:
            trouble = str(error)
            continue
        if price.total_price > 0 or not counts.total or _states_tokens(price.model_price):
            return price
        trouble = "what is published of it is no price of tokens"
    raise PriceError(
        f"the price of this usage of `{info.id}` cannot be said: {trouble}", model=info.id
    )


def _states_tokens(model_price: Any) -> bool:
    """Whether a price of nothing was meant: there is one for tokens, and it is 0."""
    return model_price.input_mtok is not None or model_price.output_mtok is not None
