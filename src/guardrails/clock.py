"""The real time."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's clocks: UTC for records and policies, monotonic for intervals."""

    __slots__ = ()

    # The functions themselves, without a frame around them: every call asks for the time.
    now_ns = staticmethod(time.time_ns)
    """UTC nanoseconds since 1970."""

    monotonic = staticmethod(time.monotonic)
    """Seconds that never go back."""
