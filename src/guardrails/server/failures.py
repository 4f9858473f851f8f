"""How often nobody knew who asked, by the address that asked: what is recorded, what is put off.

Only failures are counted and put off. A valid token always passes: else whoever shares an address
with the approvers, as every process of the machine does, could keep them from answering. Nothing
is won by guessing on: tokens are random, and signatures are not guessed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from guardrails.ports import Clock

AT_MOST: Final = 10
"""Failures of one address that are recorded in a window; further ones are counted."""

WINDOW: Final = 60.0
"""Seconds."""

_ADDRESSES: Final = 4_096


@dataclass(slots=True)
class _Count:
    began: float
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """What one failure is.

    Attributes:
        recorded: Whether it is to be recorded.
        unrecorded: How many of the window before were not.
        retry_after: Seconds until the window ends; None while it may be tried again.
    """

    recorded: bool
    unrecorded: int = 0
    retry_after: int | None = None


class Failures:
    """Counts by address; may be used by any thread.

    Args:
        clock: The time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def add(self, address: str) -> Failure:
        """Count one failure of `address`."""
        now = self._clock.monotonic()
        with self._lock:
            count = self._counts.pop(address, None)
            unrecorded = 0
            if count is None or now - count.began >= WINDOW:
                unrecorded = 0 if count is None else max(0, count.failed - AT_MOST)
                count = _Count(now)
            count.failed += 1
            self._counts[address] = count
            while len(self._counts) > _ADDRESSES:
                self._counts.popitem(last=False)
            if count.failed <= AT_MOST:
                return Failure(recorded=True, unrecorded=unrecorded)
            left = max(1, round(WINDOW - (now - count.began)))
            return Failure(recorded=False, retry_after=left)
