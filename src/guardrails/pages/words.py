"""Values as people read them on a page."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from guardrails.audit.exact_json import exact_json

_NS: Final = 1_000_000_000
_LONGEST: Final = 2000
_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR


def shown(value: object) -> str:
    """`value` as printable text, as JSON where it is none, and not too much of it."""
    text = value if isinstance(value, str) else exact_json(value)
    plain = "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)
    # Half of a surrogate pair has no bytes.
    plain = plain.encode("utf-8", "backslashreplace").decode()
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"


def moment(ns: int) -> str:
    """UTC nanoseconds as a time to the second, in UTC."""
    try:
        return datetime.fromtimestamp(ns / _NS, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(ns)


def number(value: object) -> str:
    """A number: thousands apart, no zeros behind."""
    if not isinstance(value, Decimal):
        return f"{value:,}"
    text = f"{value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration(seconds: Decimal) -> str:
    """So many seconds in the two largest units that they fill, as ``26 min 45 s``."""
    if seconds < _MINUTE:
        return f"{number(round(seconds, 1))} s"
    whole = round(seconds)
    for unit, name, below, less in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if whole >= unit:
            rest = whole % unit // below
            return f"{whole // unit:,} {name}" + (f" {rest} {less}" if rest else "")
    return f"{whole} s"


__all__ = ["duration", "moment", "number", "shown"]
