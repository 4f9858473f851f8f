"""Windows tile time: every moment lies in one, also where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import hypothesis.strategies as st
import pytest
from hypothesis import given

from guardrails.errors import ConfigError
from guardrails.model.account import Window
from guardrails.runs.windows import Calendar

HOUR = 3600 * 10**9
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # clocks were changed at midnight
    "Asia/Kolkata",  # half an hour off
    "Australia/Lord_Howe",  # changes by half an hour
    "Pacific/Apia",  # left out a day in 2011
    "Africa/Cairo",
]


def ns(text, zone="UTC"):
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)]
)
def test_a_day_has_as_many_hours_as_its_clocks_say(day, hours):
    calendar = Calendar("Europe/Berlin")
    span = calendar.span(Window.DAY, ns(f"{day}T12:00:00", "Europe/Berlin"))
    assert span.start == ns(f"{day}T00:00:00", "Europe/Berlin")
    assert span.end - span.start == hours * HOUR
    assert calendar.span(Window.DAY, span.end - 1) == span
    assert calendar.span(Window.DAY, span.end).start == span.end


@pytest.mark.parametrize(
    ("moment", "start", "end"),
    [
        ("2026-01-31T23:59:59", "2026-01-01", "2026-02-01"),
        ("2028-02-29T10:00:00", "2028-02-01", "2028-03-01"),
        ("2026-12-31T23:59:59", "2026-12-01", "2027-01-01"),
        ("2026-03-01T00:00:00", "2026-03-01", "2026-04-01"),
    ],
)
def test_a_month_ends_where_the_calendar_says(moment, start, end):
    zone = "America/New_York"
    span = Calendar(zone).span(Window.MONTH, ns(moment, zone))
    assert span == (ns(f"{start}T00:00:00", zone), ns(f"{end}T00:00:00", zone))


def test_a_day_without_midnight_begins_when_clocks_were_put_on():
    span = Calendar("America/Sao_Paulo").span(Window.DAY, ns("2018-11-04T12:00:00"))
    assert datetime.fromtimestamp(span.start / 1e9, UTC).isoformat() == "2018-11-04T03:00:00+00:00"
    assert span.end - span.start == 23 * HOUR


def test_a_day_that_was_left_out_has_no_window():
    calendar = Calendar("Pacific/Apia")
    before = calendar.span(Window.DAY, ns("2011-12-30T09:00:00"))
    assert calendar.words(Window.DAY, before.start) == "2011-12-29"
    assert calendar.words(Window.DAY, before.end) == "2011-12-31"


def test_hours_follow_the_wall_clock():
    span = Calendar("Asia/Kolkata").span(Window.HOUR, ns("2026-06-01T10:15:00"))
    assert span.start == ns("2026-06-01T09:30:00")


@given(
    zone=st.sampled_from(ZONES),
    window=st.sampled_from(list(Window)),
    moment=st.integers(0, 2**32),
    step=st.integers(0, 10**5),
)
def test_every_moment_lies_in_its_window_and_windows_never_go_back(zone, window, moment, step):
    calendar = Calendar(zone)
    one = calendar.span(window, moment * 10**9)
    later = calendar.span(window, (moment + step) * 10**9)
    assert one.start <= moment * 10**9 < one.end
    assert later.start >= one.start
    assert calendar.span(window, one.end).start >= one.start
    if window in (Window.DAY, Window.MONTH):
        assert calendar.span(window, one.start) == calendar.span(window, one.end - 1) == one
        assert calendar.span(window, one.end).start == one.end


def test_a_zone_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="`Europe/Berlim` is no time zone"):
        Calendar("Europe/Berlim")
    with pytest.raises(ConfigError, match="no time zone"):
        Calendar("../etc/passwd")


def test_a_moment_is_shown_with_its_offset():
    assert (
        Calendar("Europe/Berlin").moment(ns("2026-07-01T10:00:00")) == "2026-07-01T12:00:00+02:00"
    )
    assert timedelta(hours=2) == datetime.fromisoformat("2026-07-01T12:00:00+02:00").utcoffset()
