"""Medians with intervals that hold what they promise, and ratios that noise does not move."""

from __future__ import annotations

import math
import random

import pytest
from benchmarks.statistics import median_interval, percentile, ratios
from hypothesis import given
from hypothesis import strategies as st

times = st.lists(st.floats(0.001, 1e9), min_size=1, max_size=60)


@given(times, st.floats(0, 1))
def test_a_percentile_lies_among_the_values_and_splits_them(values, part):
    found = percentile(values, part)
    assert min(values) <= found <= max(values)
    assert sum(value <= found * (1 + 1e-12) for value in values) >= part * (len(values) - 1)


def test_a_percentile_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


@given(times)
def test_the_median_lies_in_its_interval(values):
    found = median_interval(values)
    assert min(values) <= found.low <= found.median <= found.high <= max(values)


@pytest.mark.parametrize("count", [1, 2, 5, 6, 7, 40, 200, 601])
def test_the_interval_is_the_shortest_that_reaches_its_confidence(count):
    found = median_interval(range(count))
    cut = int(found.low)
    assert found.high == count - 1 - cut

    def missed(values_cut):
        return 2 * sum(math.comb(count, k) for k in range(values_cut + 1)) / 2**count

    assert missed(cut) <= 0.05 or cut == 0
    assert missed(cut + 1) > 0.05


def test_the_interval_holds_the_true_median_as_often_as_it_says():
    rng = random.Random(7)
    held = 0
    for _ in range(1000):
        found = median_interval([rng.lognormvariate(0, 1) for _ in range(40)])
        held += found.low <= 1 <= found.high
    assert held >= 930


def test_a_slow_phase_of_the_machine_cancels_in_the_ratio():
    phases = [random.Random(3).choice([1.0, 4.0, 20.0]) for _ in range(99)]
    fast, slow = [100 * phase for phase in phases], [130 * phase for phase in phases]
    assert median_interval(ratios(slow, fast)).median == pytest.approx(1.3)


def test_ratios_need_the_same_rounds():
    with pytest.raises(ValueError, match="zip"):
        ratios([1.0, 2.0], [1.0])
