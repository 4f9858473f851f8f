"""What was spent, read from the words in which a developer reports it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.model.budget import Charge
from guardrails.model.model_usage import ModelUsage
from guardrails.model.money import micro_usd

if TYPE_CHECKING:
    from guardrails.model.money import Money
    from guardrails.runs.run import Run


def charge_of(  # noqa: PLR0913, PLR0917  # the words of a report, in the order of `charge`
    run: Run,
    usd: Money | None,
    tokens: int | None,
    usage: object = None,
    model: str | None = None,
    provider: str | None = None,
) -> Charge:
    """The charge that a report states: amounts, or the usage of a model's response.

    A usage that cannot be priced was spent all the same, and whoever reports it may swallow the
    error: `run` then takes no further call.

    Raises:
        TypeError: an amount is of another type, nothing is given, or too much.
        ValueError: an amount is negative, or no amount.
        PriceError: the usage cannot be read, or the model has no price.
        ConfigError: the extra with published prices is not installed.
    """
    if usage is None:
        if model is not None or provider is not None:
            raise TypeError("`model` and `provider` say what a `usage` is of; give that, too")
        return _amounts(usd, tokens)
    if usd is not None or tokens is not None:
        raise TypeError("a `usage` states tokens and dollars; give it without `usd` and `tokens`")
    if isinstance(usage, ModelUsage):
        return usage.charge
    if model is None:
        raise TypeError("usage: the `model` that it is of has to be named, too")
    try:
        at_ns = run.governor.clock.now_ns()
        found = run.governor.prices.usage_of(usage, model=model, provider=provider, at_ns=at_ns)
    except Exception:
        run.mark_unaccountable(f"a usage of the model `{model}` could not be priced")
        raise
    return found.charge


def _amounts(usd: Money | None, tokens: int | None) -> Charge:
    if usd is None and tokens is None:
        raise TypeError("nothing is reported; give `usd`, `tokens` or both")
    if tokens is not None and type(tokens) is not int:
        raise TypeError(f"tokens: a whole number is needed, not `{tokens!r}`")
    if tokens is not None and tokens < 0:
        raise ValueError(f"tokens: spending is never negative, but this is `{tokens}`")
    return Charge(None if usd is None else micro_usd(usd), tokens)
