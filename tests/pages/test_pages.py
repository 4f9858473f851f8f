"""What plots are drawn from adds up, and values read as people write them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.pages import bars, columns, duration, number
from guardrails.pages.plots import HEIGHT, WIDTH
from guardrails.replay.timeline import Timeline

ROWS = st.lists(st.tuples(st.integers(0), st.tuples(*[st.integers(0, 10**9)] * 3)), max_size=80)


@given(ROWS)
def test_parts_of_a_column_stand_on_each_other_and_within_the_plot(rows) -> None:
    tallest = max((sum(counts) for _, counts in rows), default=0) or 1
    for (start, counts), column in zip(rows, columns(rows, ("a", "b", "c")), strict=True):
        assert (column["time"], column["total"]) == (start, sum(counts))
        assert (column["a"], column["b"], column["c"]) == counts
        foot = HEIGHT
        for part in column["parts"]:
            assert part["y"] + part["height"] == pytest.approx(foot, abs=0.02)
            foot = part["y"]
        assert HEIGHT - foot == pytest.approx(HEIGHT * sum(counts) / tallest, abs=0.02)
        assert 0 <= column["x"] <= column["x"] + column["width"] <= WIDTH + 0.02


@given(st.lists(st.fixed_dictionaries({"n": st.text(max_size=3), "v": st.integers(0, 99)})))
def test_the_largest_bar_is_whole(rows) -> None:
    found = bars(rows, "n", "v")
    assert len(found) <= 20
    assert all(bar["percent"] > 0 for bar in found)
    assert not found or max(bar["percent"] for bar in found) == 100


@given(
    times=st.lists(st.tuples(st.integers(-(10**6), 10**12), st.integers(0, 2)), max_size=200),
    most=st.integers(2, 20),
    split=st.integers(0, 200),
)
def test_counts_by_time_are_those_that_were_noted_however_they_are_gathered(
    times, most, split
) -> None:
    whole, one, other = (Timeline(3, shortest=7, most=most) for _ in range(3))
    for index, (time, kind) in enumerate(times):
        whole.note(time, kind)
        (one if index < split else other).note(time, kind)
    one.add(other)
    for line in (whole, one):
        assert len(line.spans) <= most
        rows = line.rows(10)
        assert len(rows) <= 10
        for kind in range(3):
            assert sum(counts[kind] for _, counts in rows) == sum(each == kind for _, each in times)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ("0", "0 s"),
        ("1.25", "1.2 s"),
        ("60", "1 min"),
        ("1604.747126", "26 min 45 s"),
        ("3600", "1 h"),
        ("7290", "2 h 1 min"),
        ("90000", "1 d 1 h"),
        ("864000000", "10,000 d"),
    ],
)
def test_a_duration_reads_well(seconds, words) -> None:
    assert duration(Decimal(seconds)) == words


def test_a_number_has_no_zeros_behind() -> None:
    assert number(Decimal("1234.500000")) == "1,234.5"
    assert number(Decimal(100)) == "100"
    assert number(1234567) == "1,234,567"
