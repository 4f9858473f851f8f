"""Time: nanoseconds since 1970 (UTC), taken apart, moved, parsed and written."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import ZoneInfo

from guardrails.rego.builtins.base import BuiltinError, EvaluationContext, builtin
from guardrails.rego.builtins.golayout import DAYS, NAMED, format_time, parse_time
from guardrails.rego.builtins.operands import int64, integral, number, string, wrong_type

if TYPE_CHECKING:
    from guardrails.rego.values import Value

_SECOND: Final = 10**9
_INT64_START: Final = -(2**63)
_INT64_END: Final = 2**63
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_DAY_SECONDS: Final = 86_400
_EARLIEST_YEAR: Final = 1600
_LATEST_YEAR: Final = 2400

_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "\u00b5s": 10**3,
    "\u03bcs": 10**3,
    "ms": 10**6,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
}
_EXTENDED_HOURS: Final = {"d": 24, "w": 168, "y": 8760}
_SEGMENT: Final = re.compile(r"([0-9.]+)(\u00b5s|\u03bcs|ms|us|ns|[a-z])")
_PLAIN_SEGMENT: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]+)")


class _Moment(NamedTuple):
    """A point in time in a zone; `nanosecond` is the fraction of its second."""

    local: datetime
    nanosecond: int
    layout: str


def _moment(value: Value) -> _Moment:
    """The time that an operand means: a number, or ``[number, zone]`` or with a layout."""
    parts = value if type(value) is list and value else [value]
    if type(value) is not list and type(value) not in (int, Decimal):
        raise wrong_type(1, value, "either number (ns) or [number (ns), string (tz)]")
    if value == []:
        raise wrong_type(1, value, "either number (ns) or [number (ns), string (tz)]")
    nanoseconds = integral(number(parts[0], 1))
    zone = _zone(string(parts[1], 1)) if len(parts) > 1 else UTC
    layout = string(parts[2], 1) if len(parts) > 2 else ""  # noqa: PLR2004  # the third part
    if nanoseconds is None or not _INT64_START <= nanoseconds < _INT64_END:
        message = "timestamp too big"
        raise BuiltinError(message)
    seconds, fraction = divmod(nanoseconds, _SECOND)
    moment = _EPOCH + timedelta(seconds=seconds)
    return _Moment(moment.astimezone(zone), fraction, layout)


def _zone(name: str) -> tzinfo:
    if name in ("", "UTC"):
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError):
        # INVARIANT: `Local` is unknown too, so that no decision depends on the machine.
        message = f"unknown time zone {name}"
        raise BuiltinError(message) from None
    except KeyError:
        message = f"unknown time zone {name}"
        raise BuiltinError(message) from None


def _in_range(nanoseconds: int) -> int:
    if not _INT64_START <= nanoseconds < _INT64_END:
        message = "time outside of valid range"
        raise BuiltinError(message)
    return nanoseconds


@builtin("time.now_ns", arity=0, needs_context=True)
def now_ns(context: EvaluationContext) -> Value:
    """Nanoseconds since 1970, the same throughout an evaluation."""
    return context.now_ns


@builtin("time.parse_ns", arity=2)
def parse_ns(layout: Value, text: Value) -> Value:
    """The nanoseconds since 1970 that the text names in Go's layout."""
    form = string(layout, 1)
    return _parsed(NAMED.get(form, form), string(text, 2))


@builtin("time.parse_rfc3339_ns", arity=1)
def parse_rfc3339_ns(text: Value) -> Value:
    """The nanoseconds since 1970 that the text names in the form of RFC 3339."""
    whole = string(text, 1)
    plain = _PLAIN.fullmatch(whole)
    if plain is not None:
        year, month, day, hour, minute, second = map(int, plain.groups())
        try:
            since = datetime(year, month, day, hour, minute, second, tzinfo=UTC) - _EPOCH
        except ValueError:
            pass  # it is told by the layout
        else:
            return _in_range((since.days * _DAY_SECONDS + since.seconds) * _SECOND)
    return _parsed(NAMED["RFC3339"], whole)


_PLAIN: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z")
"""Whole seconds in UTC, which are read without the layout, in a tenth of the time."""


def _parsed(layout: str, text: str) -> int:
    day, nanosecond, offset = parse_time(layout, text)
    seconds = (day.toordinal() - _EPOCH_DAY) * _DAY_SECONDS - offset
    return _in_range(seconds * _SECOND + nanosecond)


@builtin("time.format", arity=1)
def format_(value: Value) -> Value:
    """The time as text: RFC 3339 with nanoseconds, or the layout that the operand carries."""
    local, nanosecond, layout = _moment(value)
    layout = layout or NAMED["RFC3339Nano"]
    return format_time(local, nanosecond, NAMED.get(layout, layout))


@builtin("time.date", arity=1)
def date_(value: Value) -> Value:
    """``[year, month, day]``."""
    local = _moment(value).local
    return [local.year, local.month, local.day]


@builtin("time.clock", arity=1)
def clock(value: Value) -> Value:
    """``[hour, minute, second]``."""
    local = _moment(value).local
    return [local.hour, local.minute, local.second]


@builtin("time.weekday", arity=1)
def weekday(value: Value) -> Value:
    """The name of the day of the week."""
    return DAYS[_moment(value).local.weekday()]


@builtin("time.add_date", arity=4)
def add_date(value: Value, years: Value, months: Value, days: Value) -> Value:
    """The time moved by years, months and days on the calendar of its zone."""
    local, nanosecond, _ = _moment(value)
    shift = int64(years, 2) * 12 + int64(months, 3)
    year, month = divmod(local.year * 12 + local.month - 1 + shift, 12)
    if not _EARLIEST_YEAR < year < _LATEST_YEAR:
        # Days could bring it back, as nobody means it; what counts is that the result is exact.
        message = "time outside of valid range"
        raise BuiltinError(message)
    day = date(year, month + 1, 1).toordinal() + local.day - 1 + int64(days, 4) - _EPOCH_DAY
    clock_seconds = (local.hour * 60 + local.minute) * 60 + local.second
    wall = day * _DAY_SECONDS + clock_seconds
    _in_range((wall - _DAY_SECONDS) * _SECOND if wall > 0 else (wall + _DAY_SECONDS) * _SECOND)
    zone = local.tzinfo or UTC
    return _in_range((wall - _ahead(zone, wall - _ahead(zone, wall))) * _SECOND + nanosecond)


def _ahead(zone: tzinfo, seconds: int) -> int:
    """By how many seconds the zone is ahead of UTC at a time; Go asks it twice near a change."""
    shift = (_EPOCH + timedelta(seconds=seconds)).astimezone(zone).utcoffset()
    return int(shift.total_seconds()) if shift is not None else 0


@builtin("time.diff", arity=2)
def diff(left: Value, right: Value) -> Value:
    """``[years, months, days, hours, minutes, seconds]`` between two times."""
    start, end = _moment(left), _moment(right)
    earlier = (start.local, start.nanosecond)
    later = (end.local.astimezone(start.local.tzinfo), end.nanosecond)
    # Aware datetimes of one zone compare by their wall clock, so compare in UTC.
    if (earlier[0].astimezone(UTC), earlier[1]) > (later[0].astimezone(UTC), later[1]):
        earlier, later = later, earlier
    one, two = earlier[0], later[0]
    month_days = (
        date(one.year + one.month // 12, one.month % 12 + 1, 1) - one.date().replace(day=1)
    ).days
    seconds = two.second - one.second
    minutes = two.minute - one.minute
    hours = two.hour - one.hour
    days = two.day - one.day
    months = two.month - one.month
    years = two.year - one.year
    if seconds < 0:
        seconds, minutes = seconds + 60, minutes - 1
    if minutes < 0:
        minutes, hours = minutes + 60, hours - 1
    if hours < 0:
        hours, days = hours + 24, days - 1
    if days < 0:
        days, months = days + month_days, months - 1
    if months < 0:
        months, years = months + 12, years - 1
    return [years, months, days, hours, minutes, seconds]


@builtin("time.parse_duration_ns", arity=1)
def parse_duration_ns(text: Value) -> Value:
    """The nanoseconds of a duration such as ``1h30m``; ``d``, ``w`` and ``y`` are known too."""
    source = string(text, 1)
    failure = BuiltinError(f'time: invalid duration "{source}"')
    sign = -1 if source.startswith("-") else 1
    body = source[1:] if source[:1] in ("+", "-") else source
    if body == "0":
        return 0
    if any(char in "dwy" for char in source):
        body = _without_extended(body, failure)
    total = place = 0
    while place < len(body):
        segment = _PLAIN_SEGMENT.match(body, place)
        if segment is None:
            raise failure
        whole, fraction, unit = segment.groups()
        if not whole and not fraction:
            raise failure
        if unit not in _UNITS:
            message = f'time: unknown unit "{unit}" in duration "{source}"'
            raise BuiltinError(message)
        total += int(whole or 0) * _UNITS[unit]
        if fraction:
            total += int(float(int(fraction)) * (float(_UNITS[unit]) / 10 ** len(fraction)))
        place = segment.end()
    if not body or not _INT64_START <= sign * total < _INT64_END:
        raise failure
    return sign * total


def _without_extended(body: str, failure: BuiltinError) -> str:
    """The duration with days, weeks and years as hours, by float64 as OPA rewrites them."""
    out: list[str] = []
    place = 0
    while place < len(body):
        segment = _SEGMENT.match(body, place)
        if segment is None:
            raise failure
        digits, unit = segment.groups()
        if unit in _EXTENDED_HOURS:
            try:
                hours = Decimal(repr(float(digits) * _EXTENDED_HOURS[unit]))
            except ValueError:
                raise failure from None
            digits, unit = format(hours, "f").removesuffix(".0"), "h"
        out.append(digits + unit)
        place = segment.end()
    return "".join(out)
