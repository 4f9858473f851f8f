"""The schedule of attempts: bounded in number and time, growing, never the same for all."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.errors import ConfigError
from guardrails.webhooks.retries import RetryPolicy
from guardrails.webhooks.transport import seconds_of

policies = st.builds(
    lambda attempts, window, first, more: RetryPolicy(attempts, window, first, first + more),
    st.integers(1, 20),
    st.floats(0, 10_000),
    st.floats(0.001, 100),
    st.floats(0, 1_000),
)
chances = st.floats(0, 1, exclude_max=True)
asked = st.none() | st.floats(0, 20_000)


@given(policies, st.lists(st.tuples(chances, asked, st.floats(0, 30)), min_size=20, max_size=20))
def test_every_schedule_ends_within_its_attempts_and_its_window(policy, steps):
    passed, made = 0.0, 0
    for chance, wish, took in steps:
        made += 1
        begins = passed
        passed += took
        pause = policy.pause(made, passed, chance, wish)
        if pause is None:
            break
        passed += pause
        assert begins <= policy.window
        assert passed <= policy.window
        assert pause >= (wish or 0)
        assert pause >= policy.first / 2
    else:
        pytest.fail("it never ended")
    assert made <= policy.attempts


@given(policies, st.integers(1, 19), chances)
def test_pauses_double_up_to_the_longest_and_half_of_each_is_random(policy, made, chance):
    free = RetryPolicy(20, math.inf, policy.first, policy.longest)
    whole = min(policy.longest, policy.first * 2 ** (made - 1))
    assert free.pause(made, 0, chance) == whole * (1 + chance) / 2
    assert free.pause(made, 0, 0) == whole / 2
    later = free.pause(made + 1, 0, chance)
    assert later is None or later >= free.pause(made, 0, chance)


def test_the_usual_schedule_is_what_the_documentation_says():
    policy = RetryPolicy()
    pauses = [policy.pause(made, 0, 0.999999) for made in range(1, 9)]
    assert [pause and round(pause) for pause in pauses] == [2, 4, 8, 16, 32, 60, 60, None]
    assert policy.window == 300


def test_who_asks_for_more_time_than_there_is_gets_nothing_more():
    assert RetryPolicy(window=60).pause(1, 0, 0, 61) is None
    assert RetryPolicy(window=60).pause(1, 0, 0, 59) == 59


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": 21},
        {"window": -1.0},
        {"window": math.nan},
        {"first": 0.0},
        {"first": 2.0, "longest": 1.0},
    ],
)
def test_a_schedule_that_is_none_is_refused(wrong):
    with pytest.raises(ConfigError):
        RetryPolicy(**wrong)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("120", 120),
        (" 7 ", 7),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("9" * 30, None),
        ("Thu, 01 Jan 2026 00:02:00 GMT", 120),
        ("Wed, 31 Dec 2025 23:00:00 GMT", 0),
        ("Thu, 01 Jan 99999 00:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text, seconds):
    assert seconds_of(text, 1_767_225_600) == seconds


@given(st.text(max_size=60))
def test_no_retry_after_raises(text):
    found = seconds_of(text, 0)
    assert found is None or found >= 0
