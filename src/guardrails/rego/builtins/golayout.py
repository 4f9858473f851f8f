"""Go's time layouts: a date written the way the reference time Mon Jan 2 15:04:05 2006 looks."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrails.rego.builtins.base import BuiltinError

if TYPE_CHECKING:
    from datetime import datetime

DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

NAMED: Final = {
    "ANSIC": "Mon Jan _2 15:04:05 2006",
    "UnixDate": "Mon Jan _2 15:04:05 MST 2006",
    "RubyDate": "Mon Jan 02 15:04:05 -0700 2006",
    "RFC822": "02 Jan 06 15:04 MST",
    "RFC822Z": "02 Jan 06 15:04 -0700",
    "RFC850": "Monday, 02-Jan-06 15:04:05 MST",
    "RFC1123": "Mon, 02 Jan 2006 15:04:05 MST",
    "RFC1123Z": "Mon, 02 Jan 2006 15:04:05 -0700",
    "RFC3339": "2006-01-02T15:04:05Z07:00",
    "RFC3339Nano": "2006-01-02T15:04:05.999999999Z07:00",
}
"""The layouts that have a name in OPA."""

_ZONES: Final = tuple(
    sign + form for sign in "-Z" for form in ("070000", "07:00:00", "0700", "07:00", "07")
)
# Longer elements first, so that `January` is not read as `Jan`.
_ELEMENTS: Final = (
    *("January", "Jan", "Monday", "Mon", "MST", "2006", "002", "__2", "_2", "15"),
    *("01", "02", "03", "04", "05", "06", "1", "2", "3", "4", "5", "PM", "pm"),
    *_ZONES,
)
_STARTS: Final = frozenset(element[0] for element in _ELEMENTS) | {".", ","}
_KEPT_LAYOUTS: Final = 128
_NANO_DIGITS: Final = 9


class _Piece(NamedTuple):
    """Text of a layout, and the element after it: empty at the end."""

    prefix: str
    element: str


@functools.lru_cache(maxsize=_KEPT_LAYOUTS)
def _pieces(layout: str) -> tuple[_Piece, ...]:
    found: list[_Piece] = []
    start = place = 0
    while place < len(layout):
        element = _element(layout, place) if layout[place] in _STARTS else ""
        if element == "_2" and layout.startswith("_2006", place):
            # The underscore is text there.
            element = ""
        if element:
            found.append(_Piece(layout[start:place], element))
            start = place = place + len(element)
        else:
            place += 1
    found.append(_Piece(layout[start:], ""))
    return tuple(found)


def _element(layout: str, place: int) -> str:
    if layout[place] in ".,":
        digit = layout[place + 1 : place + 2]
        if digit not in ("0", "9"):
            return ""
        end = place + 1
        while layout[end : end + 1] == digit:
            end += 1
        return "" if _is_digit(layout, end) else layout[place:end]
    for element in _ELEMENTS:
        if layout.startswith(element, place):
            after = layout[place + len(element) : place + len(element) + 1]
            if element in ("Jan", "Mon") and "a" <= after <= "z":
                continue
            return element
    return ""


def _is_digit(text: str, place: int) -> bool:
    return "0" <= text[place : place + 1] <= "9"


def format_time(moment: datetime, nanosecond: int, layout: str) -> str:
    """A moment in a layout.

    Args:
        moment: The date and time with its zone.
        nanosecond: The fraction of its second.
        layout: Go's layout, not a name.
    """
    out: list[str] = []
    for prefix, element in _pieces(layout):
        out.append(prefix)
        if element:
            out.append(_shown(moment, nanosecond, element))
    return "".join(out)


def _shown(moment: datetime, nanosecond: int, element: str) -> str:
    if element[0] in ".,":
        return _fraction(nanosecond, element)
    if element in _ZONES:
        return _offset(moment, element)
    hour = moment.hour % 12 or 12
    yearday = moment.timetuple().tm_yday
    match element:
        case "January":
            return MONTHS[moment.month - 1]
        case "Jan":
            return MONTHS[moment.month - 1][:3]
        case "Monday":
            return DAYS[moment.weekday()]
        case "Mon":
            return DAYS[moment.weekday()][:3]
        case "PM" | "pm":
            half = "PM" if moment.hour >= 12 else "AM"  # noqa: PLR2004  # noon
            return half if element == "PM" else half.lower()
        case "MST":
            return moment.tzname() or "UTC"
    values = {
        "2006": f"{moment.year:04d}",
        "06": f"{moment.year % 100:02d}",
        "01": f"{moment.month:02d}",
        "1": f"{moment.month}",
        "02": f"{moment.day:02d}",
        "_2": f"{moment.day:2d}",
        "2": f"{moment.day}",
        "002": f"{yearday:03d}",
        "__2": f"{yearday:3d}",
        "15": f"{moment.hour:02d}",
        "03": f"{hour:02d}",
        "3": f"{hour}",
        "04": f"{moment.minute:02d}",
        "4": f"{moment.minute}",
        "05": f"{moment.second:02d}",
        "5": f"{moment.second}",
    }
    return values[element]


def _fraction(nanosecond: int, element: str) -> str:
    digits = f"{nanosecond:09d}".ljust(len(element) - 1, "0")[: len(element) - 1]
    if element[1] == "9":
        digits = digits.rstrip("0")
    return element[0] + digits if digits else ""


def _offset(moment: datetime, element: str) -> str:
    shift = moment.utcoffset()
    seconds = int(shift.total_seconds()) if shift is not None else 0
    if element[0] == "Z" and not seconds:
        return "Z"
    sign = "-" if seconds < 0 else "+"
    hours, rest = divmod(abs(seconds), 3600)
    parts = [f"{hours:02d}", f"{rest // 60:02d}", f"{rest % 60:02d}"]
    kept = parts[: len(element.replace(":", "")) // 2]
    return sign + (":" if ":" in element else "").join(kept)


@dataclass(slots=True)
class _Fields:
    """What was read so far; a number below zero was not."""

    year: int = 0
    month: int = -1
    day: int = -1
    yearday: int = -1
    hour: int = 0
    minute: int = 0
    second: int = 0
    nanosecond: int = 0
    afternoon: bool | None = None
    offset: int = 0


def parse_time(layout: str, text: str) -> tuple[date, int, int]:
    """The moment that `text` names.

    Returns:
        The date, the nanosecond of the day, and the seconds by which that is ahead of UTC.

    Raises:
        BuiltinError: the text does not look like the layout, or names no moment.
    """
    fields = _Fields()
    rest, shown = text, ""
    pieces = _pieces(layout)
    try:
        for place, (prefix, element) in enumerate(pieces):
            shown = element or prefix
            rest = _skipped(rest, prefix)
            if not element:
                if rest:
                    message = f'parsing time "{text}": extra text: "{rest}"'
                    raise BuiltinError(message)
                break
            following = pieces[place + 1]
            fraction_next = not following.prefix and following.element[:1] in (".", ",")
            rest = _read(fields, rest, element, fraction_next=fraction_next)
    except _Mismatch as mismatch:
        if mismatch.args:
            message = f'parsing time "{text}": {mismatch.args[0]} out of range'
        else:
            message = f'parsing time "{text}" as "{layout}": cannot parse "{rest}" as "{shown}"'
        raise BuiltinError(message) from None
    return _moment(fields, text)


class _Mismatch(Exception):  # noqa: N818  # control flow within this module, never seen outside
    """The text does not fit; with an argument: the field that is out of range."""


def _skipped(text: str, prefix: str) -> str:
    """`text` after `prefix`; a run of spaces there stands for any run of spaces."""
    place = 0
    while place < len(prefix):
        if prefix[place] == " ":
            if text and text[0] != " ":
                raise _Mismatch
            while prefix[place : place + 1] == " ":
                place += 1
            text = text.lstrip(" ")
        elif text[:1] == prefix[place]:
            text = text[1:]
            place += 1
        else:
            raise _Mismatch
    return text


def _number(text: str, *, fixed: bool, limit: range, name: str) -> tuple[int, str]:
    """One or two digits (two if `fixed`) and what follows them."""
    if not _is_digit(text, 0) or (fixed and not _is_digit(text, 1)):
        raise _Mismatch
    size = 2 if _is_digit(text, 1) else 1
    value = int(text[:size])
    if value not in limit:
        raise _Mismatch(name)
    return value, text[size:]


def _digits(text: str, count: int) -> tuple[int, str]:
    head = text[:count]
    if len(head) != count or not (head.isascii() and head.isdigit()):
        raise _Mismatch
    return int(head), text[count:]


def _name(text: str, names: tuple[str, ...], size: int | None) -> tuple[int, str]:
    for place, name in enumerate(names):
        wanted = name[:size] if size else name
        if text[: len(wanted)].lower() == wanted.lower():
            return place, text[len(wanted) :]
    raise _Mismatch


def _read(fields: _Fields, text: str, element: str, *, fraction_next: bool) -> str:  # noqa: C901, PLR0912  # one case an element
    if element[0] in ".,":
        return _read_fraction(fields, text, element)
    if element in _ZONES:
        return _read_offset(fields, text, element)
    fixed = element[0] == "0"
    match element:
        case "2006":
            fields.year, text = _digits(text, 4)
        case "06":
            short, text = _digits(text, 2)
            fields.year = short + (1900 if short >= 69 else 2000)  # noqa: PLR2004  # where Go turns
        case "January" | "Jan":
            place, text = _name(text, MONTHS, 3 if element == "Jan" else None)
            fields.month = place + 1
        case "Monday" | "Mon":
            _, text = _name(text, DAYS, 3 if element == "Mon" else None)
        case "01" | "1":
            fields.month, text = _number(text, fixed=fixed, limit=range(1, 13), name="month")
        case "02" | "2" | "_2":
            if element == "_2":
                text = text.removeprefix(" ")
            fields.day, text = _number(text, fixed=fixed, limit=range(100), name="day")
        case "002" | "__2":
            if element == "__2":
                text = text[:2].replace(" ", "0") + text[2:]
            fields.yearday, text = _digits(text, 3)
        case "15":
            fields.hour, text = _number(text, fixed=False, limit=range(24), name="hour")
        case "03" | "3":
            fields.hour, text = _number(text, fixed=fixed, limit=range(13), name="hour")
        case "04" | "4":
            fields.minute, text = _number(text, fixed=fixed, limit=range(60), name="minute")
        case "05" | "5":
            fields.second, text = _number(text, fixed=fixed, limit=range(60), name="second")
            if not fraction_next:
                text = _read_fraction(fields, text, ".9")
        case "PM" | "pm":
            half = text[:2]
            words = ("AM", "PM") if element == "PM" else ("am", "pm")
            if half not in words:
                raise _Mismatch
            fields.afternoon = half == words[1]
            text = text[2:]
        case _:
            text = _after_zone_name(text)
    return text


def _read_fraction(fields: _Fields, text: str, element: str) -> str:
    if element[1] == "0":
        size = len(element)
        if text[:1] not in (".", ",") or len(text) < size or not text[1:size].isdigit():
            raise _Mismatch
    else:
        if text[:1] not in (".", ",") or not _is_digit(text, 1):
            return text
        size = 1
        while _is_digit(text, size):
            size += 1
    fields.nanosecond = int(text[1:size][:_NANO_DIGITS].ljust(_NANO_DIGITS, "0"))
    return text[size:]


def _read_offset(fields: _Fields, text: str, element: str) -> str:
    if element[0] == "Z" and text[:1] == "Z":
        fields.offset = 0
        return text[1:]
    if text[:1] not in ("+", "-"):
        raise _Mismatch
    sign = -1 if text[0] == "-" else 1
    rest = text[1:]
    seconds = 0
    limits = (("time zone offset hour", 25, 3600), ("time zone offset minute", 60, 60))
    units = (*limits, ("time zone offset second", 60, 1))
    for place in range(len(element.replace(":", "")) // 2):
        if place and ":" in element:
            if rest[:1] != ":":
                raise _Mismatch
            rest = rest[1:]
        value, rest = _digits(rest, 2)
        name, limit, factor = units[place]
        if value >= limit:
            raise _Mismatch(name)
        seconds += value * factor
    fields.offset = sign * seconds
    return rest


def _after_zone_name(text: str) -> str:
    """What follows a zone's abbreviation. Go does not look up how far the zone is from UTC."""
    if text.startswith("UTC"):
        return text[3:]
    if text.startswith(("GMT", "+", "-")):
        rest = text.removeprefix("GMT")
        size = 1 + _is_digit(rest, 1) + (_is_digit(rest, 1) and _is_digit(rest, 2))
        if rest[:1] in ("+", "-") and size > 1 and int(rest[1:size]) <= 23:  # noqa: PLR2004  # hours
            return rest[size:]
        if text.startswith("GMT"):
            return rest
        raise _Mismatch
    size = 0
    while "A" <= text[size : size + 1] <= "Z":
        size += 1
    known = size == 3 or (size in (4, 5) and text[size - 1] == "T") or text[:4] == "WITA"  # noqa: PLR2004  # as Go reads them
    if not known:
        raise _Mismatch
    return text[size:]


def _moment(fields: _Fields, text: str) -> tuple[date, int, int]:
    hour = fields.hour
    if fields.afternoon is True and hour < 12:  # noqa: PLR2004  # noon
        hour += 12
    elif fields.afternoon is False and hour == 12:  # noqa: PLR2004  # midnight
        hour = 0
    if fields.year < 1:
        message = "time outside of valid range"
        raise BuiltinError(message)
    try:
        if fields.yearday >= 0:
            first = date(fields.year, 1, 1)
            day = date.fromordinal(first.toordinal() + fields.yearday - 1)
            wrong = day.year != fields.year or (
                fields.month >= 0 and (day.month, day.day) != (fields.month, fields.day)
            )
            if wrong:
                raise ValueError  # noqa: TRY301  # joins the refusal of an impossible day
        else:
            month = 1 if fields.month < 0 else fields.month
            day = date(fields.year, month, 1 if fields.day < 0 else fields.day)
    except (ValueError, OverflowError):
        message = f'parsing time "{text}": day out of range'
        raise BuiltinError(message) from None
    seconds = (hour * 60 + fields.minute) * 60 + fields.second
    return day, seconds * 10**9 + fields.nanosecond, fields.offset
