"""The thread that finds kills by other processes while calls are in flight here.

A call that starts reads the page itself. A call at work does not; for it a thread reads
the page every few milliseconds, and tells the calls of what it finds. It begins with the
first call in flight that can be told, and ends by itself a while after the last one.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Final

from guardrails.errors import StateUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

_log: Final = logging.getLogger("guardrails")

POLL: Final = 0.005
"""Seconds between two looks."""

LINGER: Final = 2.0
"""Seconds without calls in flight after which the thread ends."""

_PATIENCE: Final = 5.0
"""Seconds to wait for the end of a look that is under way."""


class KillWatcher:
    """At most one thread, which runs while there is something to look for.

    Args:
        look: One look; what it raises is logged, once for each row of failures.
        is_busy: Whether there is something to look for.
        ended: Called on the thread after its last look.
        lock: Held to start and to end the thread.
    """

    __slots__ = ("_ended", "_is_busy", "_is_stopped", "_lock", "_look", "_thread")

    def __init__(
        self,
        look: Callable[[], None],
        is_busy: Callable[[], bool],
        ended: Callable[[], None],
        lock: AbstractContextManager[object],
    ) -> None:
        self._look = look
        self._is_busy = is_busy
        self._ended = ended
        self._lock = lock
        self._thread: threading.Thread | None = None
        self._is_stopped = False

    @property
    def is_running(self) -> bool:
        """Whether a thread looks, and will look again. Read it after there is something new."""
        return self._thread is not None

    def start(self) -> None:
        """Have a thread; only under the lock.

        Raises:
            StateUnavailable: the system gives none, so that no kill could be heard of.
        """
        if self._thread is not None:
            return
        thread = threading.Thread(target=self._run, name="guardrails-kill-watcher", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError as error:
            self._thread = None
            raise StateUnavailable(f"no thread can look for kills: {error}") from error

    def stop(self) -> None:
        """Look no more, from now on: what is looked at is about to be closed. Without the lock."""
        self._is_stopped = True
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_PATIENCE)

    def forget(self) -> None:
        """Have no thread, in a forked child: the parent's did not come along."""
        self._thread = None

    def _run(self) -> None:
        failing = False
        idle = 0.0
        while not self._is_stopped:
            failing = not self._attempt(self._look, silent=failing)
            idle = 0.0 if self._is_busy() else idle + POLL
            if idle > LINGER and self._leave():
                break
            time.sleep(POLL)
        self._attempt(self._ended, silent=False)

    def _leave(self) -> bool:
        with self._lock:
            thread, self._thread = self._thread, None
            # In this order: who adds work does so first, and then asks whether a thread looks.
            if not self._is_busy():
                return True
            self._thread = thread
        return False

    def _attempt(self, step: Callable[[], None], *, silent: bool) -> bool:
        try:
            step()
        except Exception:  # noqa: BLE001  # the calls at work go on, and the next call of any kind refuses
            if not silent and not self._is_stopped:
                _log.exception("kills by other processes cannot be looked for")
            return False
        return True
