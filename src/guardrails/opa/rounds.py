"""A thread that does something again and again, until it is told to end."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from guardrails.forks import begin_anew

if TYPE_CHECKING:
    from collections.abc import Callable

_FIRST: Final = 1.0
"""Seconds until the first turn."""

_AFTER_A_MISTAKE: Final = 60.0
"""Seconds until the next turn where one raised what nobody expected."""

_GRACE: Final = 15.0
"""Seconds that ending it waits for a turn."""

_log: Final = logging.getLogger("guardrails")


class Rounds:
    """Takes turns on a thread of its own; in the child of a fork, too.

    Args:
        turn: Does it; gives the seconds until the next time.
        name: The thread's.
    """

    def __init__(self, turn: Callable[[], float], name: str) -> None:
        self._turn = turn
        self._name = name
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        begin_anew(self._after_fork)

    def start(self) -> None:
        """Take turns from now on, the first one in a second."""
        self._begin(_FIRST)

    def end(self) -> None:
        """Take no more turns; one that has begun ends first."""
        self._stop.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_GRACE)

    def _begin(self, delay: float) -> None:
        self._thread = threading.Thread(
            target=self._go_on, args=(self._stop, delay), name=self._name, daemon=True
        )
        self._thread.start()

    def _after_fork(self) -> None:
        was_at_work = self._thread is not None and not self._stop.is_set()
        self._thread, self._stop = None, threading.Event()
        if was_at_work:
            self._begin(_FIRST)

    def _go_on(self, stop: threading.Event, delay: float) -> None:
        while not stop.wait(delay):
            try:
                delay = self._turn()
            except Exception:  # noqa: BLE001  # a thread's end, of which nobody would hear
                _log.exception("%s: a turn failed, and will be taken again", self._name)
                delay = _AFTER_A_MISTAKE


__all__ = ["Rounds"]
