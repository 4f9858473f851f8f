"""Money is exact: what is written is what is counted, under any decimal context."""

from __future__ import annotations

from decimal import Decimal, Inexact, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.model.money import display, dollars, micro_usd

micros = st.integers(0, 10**18)


@given(micros, st.integers(1, 30))
def test_dollars_and_micro_dollars_are_inverse_under_any_context(amount, precision):
    with localcontext(prec=precision) as context:
        context.traps[Inexact] = True
        assert micro_usd(dollars(amount)) == amount
        assert micro_usd(str(dollars(amount))) == amount


@given(st.integers(-(10**18), 10**18))
def test_dollars_keep_the_sign(amount):
    assert dollars(amount) * 1_000_000 == amount
    assert len(str(dollars(amount)).partition(".")[2]) <= 6


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("5", 5_000_000),
        (0.02, 20_000),
        (3, 3_000_000),
        ("0.000001", 1),
        (Decimal("1E+2"), 10**8),
        (0, 0),
    ],
)
def test_each_way_of_writing_an_amount(written, expected):
    assert micro_usd(written) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        "x",
        "",
        "NaN",
        "Infinity",
        "-1",
        -1,
        -0.5,
        "0.0000001",
        1e-7,
        0.1 + 0.2,
        float("nan"),
        float("inf"),
        "1E+999999999",
        "1E-999999999",
        Decimal("1E+999999"),
        Decimal("1E-999999"),
        "1" * 5000,
        10**13,
        Decimal("sNaN"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_amount_is_refused(wrong):
    with pytest.raises(ValueError):
        micro_usd(wrong)


@pytest.mark.parametrize("wrong", [True, None, b"5", [5], 5j])
def test_other_types_are_refused(wrong):
    with pytest.raises(TypeError):
        micro_usd(wrong)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (5_000_000, "$5.00"),
        (125, "$0.000125"),
        (-1_200_000, "-$1.20"),
        (0, "$0.00"),
        (4_180_000_000, "$4,180.00"),
    ],
)
def test_display(amount, text):
    assert display(amount) == text
