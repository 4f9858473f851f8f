"""How long a run has worked, less the time it waited for people."""

from __future__ import annotations

from threading import RLock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Stopwatch:
    """Seconds of work. It can be paused from several threads at once.

    Args:
        monotonic: Seconds that never go back.
    """

    __slots__ = ("_ended", "_lock", "_monotonic", "_pause", "_paused", "_pauses", "_started")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = RLock()  # reentrant, as the ledger's
        self._started: float | None = None
        self._ended: float | None = None
        self._pauses = 0
        self._pause = 0.0
        self._paused = 0.0

    def start(self) -> None:
        """Begin to count."""
        self._started = self._monotonic()

    def stop(self) -> None:
        """Count no further."""
        self._ended = self._monotonic()

    def pause(self) -> None:
        """Stand still until as many :meth:`go_on` have come as there were pauses."""
        now = self._monotonic()
        with self._lock:
            if not self._pauses:
                self._pause = now
            self._pauses += 1

    def go_on(self) -> None:
        """End one pause."""
        now = self._monotonic()
        with self._lock:
            self._pauses -= 1
            if not self._pauses:
                self._paused += max(0.0, now - self._pause)

    def worked(self) -> float:
        """Seconds between start and now, or stop, less the pauses."""
        now = self._monotonic() if self._ended is None else self._ended
        if self._started is None:
            return 0.0
        with self._lock:
            paused = self._paused
            if self._pauses:
                paused += max(0.0, now - self._pause)
        return max(0.0, now - self._started - paused)

    def passed(self) -> float:
        """Seconds between start and now, or stop, the pauses included."""
        if self._started is None:
            return 0.0
        now = self._monotonic() if self._ended is None else self._ended
        return max(0.0, now - self._started)
