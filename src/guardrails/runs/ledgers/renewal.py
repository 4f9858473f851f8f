"""The thread that keeps a ledger's dealings with other processes going between calls."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_log: Final = logging.getLogger("guardrails")

LOOK: Final = 0.1
"""Seconds between two looks at whether others want something."""


class Renewal:
    """Calls `work` of `owner` every :data:`LOOK` seconds, for as long as `owner` lives.

    What it raises is logged, once in a row: the next call of a tool meets the same fault and
    refuses.

    Args:
        owner: Whose work it is; it is not kept alive.
        work: Takes the owner, and the seconds by a clock that never goes back.
    """

    def __init__(self, owner: Any, work: Callable[[Any, float], None]) -> None:
        self._owner = weakref.ref(owner, lambda _: self._stop.set())
        self._work = work
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="guardrails-budgets", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Do it no more. Work that has begun ends."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        failing = False
        while not self._stop.wait(LOOK):
            owner = self._owner()
            if owner is None:
                return
            try:
                self._work(owner, time.monotonic())
            except Exception:  # noqa: BLE001  # the thread outlives a fault; calls meet it and refuse
                if not failing:
                    _log.exception("budgets cannot be renewed")
                failing = True
            else:
                failing = False
            del owner
