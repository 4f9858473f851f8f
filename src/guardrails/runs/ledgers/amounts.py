"""Amounts as triples in the order of :data:`DIMENSIONS`; money is micro-dollars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from guardrails.model.money import display, dollars

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from guardrails.model.budget import Budget, Usage

DIMENSIONS: Final = ("usd", "tokens", "calls")
USD: Final = 0
TOKENS: Final = 1
CALLS: Final = 2

Amount: TypeAlias = tuple[int, int, int]
Limits: TypeAlias = tuple[int | None, int | None, int | None]

NOTHING: Final[Amount] = (0, 0, 0)
NO_LIMITS: Final[Limits] = (None, None, None)


def amount_of(usage: Usage) -> Amount:
    """`usage` as a triple.

    Raises:
        ValueError: a part of it is negative.
    """
    amount = (usage.micro_usd, usage.tokens, usage.calls)
    if min(amount) < 0:
        raise ValueError(f"spending is never negative, but this is `{usage}`")
    return amount


def limits_of(budget: Budget | None) -> Limits:
    """The limits of `budget`; seconds are no matter of accounts."""
    return NO_LIMITS if budget is None else (budget.micro_usd, budget.tokens, budget.calls)


def is_over(index: int, spent: int, limit: int | None) -> bool:
    """Whether no further call starts, however little it takes: overdrawn, or of tokens used up.

    How many tokens a call takes is known only afterwards, so that one which starts with none
    left could but overdraw. Money has prices: a call that costs nothing fits a limit that is met.
    """
    if limit is None:
        return False
    return spent > limit or (index == TOKENS and spent == limit > 0)


def part(limit: int, percent: int) -> int:
    """From how much on `percent` of a limit are used."""
    return -(-limit * percent // 100)  # rounded up: less is not yet that much of it


def reached(
    limits: Limits, spent: Sequence[int], alerted: Sequence[int], thresholds: Sequence[int]
) -> list[tuple[int, int]]:
    """Index and percent of each threshold that `spent` has reached and nobody was told of.

    Args:
        limits: The limits in force.
        spent: What is settled.
        alerted: The highest percent told of so far, by dimension; 0 for none.
        thresholds: Percent, ascending.
    """
    return [
        (index, percent)
        for index, limit in enumerate(limits)
        if limit
        for percent in thresholds
        if percent > alerted[index] and spent[index] >= part(limit, percent)
    ]


def still_alerted(
    limits: Limits, spent: Sequence[int], alerted: Sequence[int], thresholds: Sequence[int]
) -> list[int]:
    """What counts as told of once the limits are these: nothing that is not reached any more."""
    return [
        max(
            (
                percent
                for percent in thresholds
                if limit and percent <= alerted[index] and spent[index] >= part(limit, percent)
            ),
            default=0,
        )
        for index, limit in enumerate(limits)
    ]


def in_units(index: int, amount: int) -> Decimal | int:
    """An amount in the dimension's unit: dollars for money."""
    return dollars(amount) if index == USD else amount


def number(index: int, amount: int) -> str:
    """An amount for people, without its unit."""
    return display(amount) if index == USD else f"{amount:,}"


def words(index: int, amount: int) -> str:
    """An amount for people: ``$5.00``, ``1 call``, ``3,000 tokens``."""
    if index == USD:
        return display(amount)
    unit = DIMENSIONS[index]
    return f"{amount:,} {unit.removesuffix('s') if amount == 1 else unit}"
