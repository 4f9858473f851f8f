"""Percentiles, and ratios that a noisy machine does not move: medians of ratios per round.

In a round the variants run within a few milliseconds of each other, so what slows the machine
down slows both sides of a ratio. The median ignores the rounds in which only one was hit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Interval:
    """A median with its confidence interval.

    Attributes:
        median: Of the values.
        low: The lower end.
        high: The upper end.
    """

    median: float
    low: float
    high: float


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which `part` (0 to 1) of the values lie, between two values linearly.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        msg = "there are no values"
        raise ValueError(msg)
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def median_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The median with the interval that holds the true one with at least `confidence`.

    By order statistics: how many of n values lie below the true median is binomial with 1/2,
    whatever their distribution (David and Nagaraja, Order Statistics, section 7.1). Too few
    values for the confidence give the whole range.
    """
    ordered = sorted(values)
    count = len(ordered)
    tail = (1 - confidence) / 2
    cut = 0
    reach = 0.0
    for below in range((count + 1) // 2):
        reach += math.comb(count, below) / 2**count
        if reach > tail:
            break
        cut = below
    return Interval(percentile(ordered, 0.5), ordered[cut], ordered[count - 1 - cut])


def ratios(of: Sequence[float], to: Sequence[float]) -> list[float]:
    """Round by round, how many times `to` is `of`.

    Raises:
        ValueError: they do not come from the same rounds.
    """
    return [one / other for one, other in zip(of, to, strict=True)]
