"""Budgets: limits are checked where they are written, and never change."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.errors import ConfigError
from guardrails.model.budget import Budget, Remaining, Usage

amounts = st.integers(0, 10**15)
usages = st.builds(Usage, amounts, amounts, amounts)


@pytest.mark.parametrize(
    "wrong",
    [
        {"usd": "-1"},
        {"usd": True},
        {"usd": "NaN"},
        {"usd": "0.0000001"},
        {"usd": []},
        {"usd": "1E+999999999"},
        {"tokens": -1},
        {"tokens": 1.0},
        {"tokens": True},
        {"tokens": "5"},
        {"calls": 10**16},
        {"calls": Decimal(5)},
        {"seconds": -0.1},
        {"seconds": float("nan")},
        {"seconds": float("inf")},
        {"seconds": True},
        {"seconds": "5"},
        {"seconds": Decimal("sNaN")},
        {"seconds": 10**400},
    ],
    ids=repr,
)
def test_a_wrong_limit_is_an_error_where_it_is_written(wrong):
    with pytest.raises(ConfigError, match=f"budget {next(iter(wrong))}"):
        Budget(**wrong)


def test_a_budget_is_frozen():
    budget = Budget(usd="5", calls=3)
    with pytest.raises(AttributeError):
        budget.calls = 4
    with pytest.raises(AttributeError):
        del budget.calls
    assert budget.calls == 3


def test_equal_limits_are_equal_budgets():
    assert Budget(usd="5.0", seconds=1) == Budget(usd=5, seconds=1.0)
    assert hash(Budget(usd="5.0")) == hash(Budget(usd=5))
    assert Budget(usd=5) != Budget(usd=5, calls=1)
    assert Budget() == Budget()
    assert Budget().is_empty
    assert not Budget(calls=0).is_empty


def test_what_is_shown_makes_the_same_budget():
    budget = Budget(usd="1234.5", tokens=7, calls=3, seconds=2.5)
    assert eval(repr(budget), {"Budget": Budget}) == budget  # noqa: S307  # its own text


@given(usages, usages, usages)
def test_usage_adds_up(one, two, three):
    assert one + two == two + one
    assert (one + two) + three == one + (two + three)
    assert one + Usage() == one


def test_no_limit_is_none_and_no_number():
    assert Budget().usd is None
    assert Remaining().usd is None
    assert Remaining(micro_usd=-1_500_000).usd == Decimal("-1.5")
