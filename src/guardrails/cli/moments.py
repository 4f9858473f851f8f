"""Times and lengths of time, as people read them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

_NS: Final = 1_000_000_000
_STEPS: Final = (("d", 86_400), ("h", 3_600), ("min", 60))


def clock(ns: int) -> str:
    """UTC nanoseconds as a time to the second, in the zone of this machine."""
    return datetime.fromtimestamp(ns / _NS, UTC).astimezone().isoformat(" ", "seconds")


def ago(ns: int) -> str:
    """How long ago UTC nanoseconds are, in one unit: ``40 s``, ``12 min``, ``3 h``, ``5 d``."""
    seconds = max(0, (time.time_ns() - ns) // _NS)
    for unit, length in _STEPS:
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 run``, ``2 runs``, ``2 processes``."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun}{'es' if noun.endswith('s') else 's'}"
