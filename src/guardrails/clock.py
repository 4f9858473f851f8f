"""The real time."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's clocks: UTC for records and policies, monotonic for intervals."""

    __slots__ = ()

    def now_ns(self) -> int:
        """UTC nanoseconds since 1970."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()
