"""When a window of a limit began and when it ends, in a named time zone.

Days and months are the calendar's: a day in which clocks change has 23 or 25 hours.
Hours follow the wall clock, minutes do everywhere.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from guardrails.errors import ConfigError
from guardrails.model.account import Window

if TYPE_CHECKING:
    from datetime import tzinfo

_SECOND: Final = 1_000_000_000
_HOUR: Final = 3600
_DECEMBER: Final = 12


class Span(NamedTuple):
    """From `start` to just before `end`, in UTC nanoseconds since 1970."""

    start: int
    end: int


class Calendar:
    """The windows of one time zone.

    Args:
        zone: Its name in the IANA database, as ``Europe/Berlin``.

    Raises:
        ConfigError: there is no such zone here.
    """

    def __init__(self, zone: str = "UTC") -> None:
        self.zone = zone
        self._tz = time_zone(zone)

    def span(self, window: Window, now_ns: int) -> Span:
        """The window in which `now_ns` lies."""
        seconds = now_ns // _SECOND
        match window:
            case Window.MINUTE:
                return _length(seconds - seconds % 60, 60)
            case Window.HOUR:
                offset = self._local(seconds).utcoffset() or timedelta()
                past = (seconds + int(offset.total_seconds())) % _HOUR
                return _length(seconds - past, _HOUR)
            case Window.DAY:
                return self._days(seconds, lambda day: day, lambda day: day + timedelta(days=1))
            case Window.MONTH:
                return self._days(seconds, lambda day: day.replace(day=1), _next_month)

    def words(self, window: Window, start_ns: int) -> str:
        """The window as people write it: ``2026-03-29``, ``2026-03``, ``2026-03-29 14:00``."""
        form = {Window.MONTH: "%Y-%m", Window.DAY: "%Y-%m-%d"}.get(window, "%Y-%m-%d %H:%M")
        return self._local(start_ns // _SECOND).strftime(form)

    def moment(self, at_ns: int) -> str:
        """A moment as people write it, with its offset from UTC."""
        return self._local(at_ns // _SECOND).isoformat(timespec="seconds")

    def _local(self, seconds: int) -> datetime:
        return datetime.fromtimestamp(seconds, UTC).astimezone(self._tz)

    def _days(self, seconds: int, first: _Step, following: _Step) -> Span:
        day = first(self._local(seconds).date())
        start, after = self._midnight(day), self._midnight(following(day))
        # Where clocks change at midnight, the date on the clock can be ahead of or behind the day.
        while seconds < start:
            day = first(day - timedelta(days=1))
            start, after = self._midnight(day), start
        while seconds >= after:
            day = following(day)
            start, after = after, self._midnight(following(day))
        return Span(start * _SECOND, after * _SECOND)

    def _midnight(self, day: date) -> int:
        # Of two midnights the first; where there is none, the moment at which clocks were put on.
        return int(datetime(day.year, day.month, day.day, tzinfo=self._tz).timestamp())


if TYPE_CHECKING:
    from collections.abc import Callable

    _Step = Callable[[date], date]


def time_zone(name: str) -> tzinfo:
    """The time zone of this name.

    Raises:
        ConfigError: there is none, or this machine does not know it.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f"`{name}` is no time zone that this machine knows; one of the IANA database is "
            "needed, as `Europe/Berlin` or `UTC` (where the system has none, install `tzdata`)"
        ) from None


def _length(start: int, seconds: int) -> Span:
    return Span(start * _SECOND, (start + seconds) * _SECOND)


def _next_month(day: date) -> date:
    if day.month == _DECEMBER:
        return date(day.year + 1, 1, 1)
    return date(day.year, day.month + 1, 1)
