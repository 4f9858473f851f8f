"""A circuit breaker: after some failures in a row nothing is tried for a while, then one probe.

Closed, everybody may try. Open, nobody; after `pause` seconds one caller may (half-open), and its
outcome closes the breaker or opens it again. A result counts only for the state in which its
attempt was permitted: what was under way when the breaker opened changes nothing any more.
"""

from __future__ import annotations

import threading
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from guardrails.ports import Clock


class BreakerState(StrEnum):
    """The three states."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Permit(NamedTuple):
    """That one attempt may be made; its outcome is reported with it, once.

    Attributes:
        period: Of which closed or half-open period of the breaker it is.
        is_probe: Whether it is the one attempt of a half-open period.
    """

    period: int
    is_probe: bool


class Breaker:
    """Counts failures in a row; threads may share it.

    Args:
        clock: Its monotonic time is read.
        failures: How many failures in a row open it.
        pause: How many seconds it stays open before a probe.
    """

    __slots__ = (
        "_clock", "_failed", "_failures", "_lock", "_opened", "_pause", "_period", "_state",
    )  # fmt: skip

    def __init__(self, clock: Clock, *, failures: int = 5, pause: float = 1.0) -> None:
        if failures < 1 or not pause >= 0:
            msg = "a breaker opens after at least one failure, for no negative time"
            raise ValueError(msg)
        self._clock = clock
        self._failures = failures
        self._pause = pause
        self._lock = threading.Lock()
        self._state = BreakerState.CLOSED
        self._failed = 0
        self._opened = 0.0
        self._period = 0

    @property
    def state(self) -> BreakerState:
        """The state now; half-open means that a probe is under way."""
        return self._state

    def admit(self) -> Permit | None:
        """A permit for one attempt, or None: do not try."""
        with self._lock:
            if self._state is BreakerState.CLOSED:
                return Permit(self._period, is_probe=False)
            if self._state is BreakerState.HALF_OPEN:
                return None
            if self._clock.monotonic() - self._opened < self._pause:
                return None
            self._state = BreakerState.HALF_OPEN
            self._period += 1
            return Permit(self._period, is_probe=True)

    def succeeded(self, permit: Permit) -> None:
        """The attempt reached the server."""
        with self._lock:
            if permit.period != self._period:
                return
            self._failed = 0
            if permit.is_probe and self._state is BreakerState.HALF_OPEN:
                self._state = BreakerState.CLOSED
                self._period += 1

    def failed(self, permit: Permit) -> None:
        """The attempt did not reach the server, or the server cannot decide."""
        with self._lock:
            if permit.period != self._period:
                return
            self._failed += 1
            if permit.is_probe or self._failed >= self._failures:
                self._open()

    def abandoned(self, permit: Permit) -> None:
        """The attempt was given up, as by a cancellation; a probe's place is free again."""
        with self._lock:
            if permit.period == self._period and permit.is_probe:
                # Open as before, and the pause is over: the next caller probes.
                self._state = BreakerState.OPEN
                self._period += 1

    def _open(self) -> None:
        self._state = BreakerState.OPEN
        self._opened = self._clock.monotonic()
        self._failed = 0
        self._period += 1
