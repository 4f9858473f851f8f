"""A bounded queue with one worker thread: what need not be done now, and never holds a call up.

Where the queue is full, what comes is dropped and counted. The thread starts with the first item,
is a daemon, and ends with :meth:`Backlog.close`. The child of a fork begins with an empty queue
and no thread.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from guardrails.forks import begin_anew

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_log: Final = logging.getLogger("guardrails")


class Backlog(Generic[T]):
    """Hands items to `work`, one after the other, on a thread of its own.

    Args:
        work: Does one item. What it raises is logged.
        size: How many items may wait.
        name: The thread's name.
    """

    def __init__(self, work: Callable[[T], None], *, size: int, name: str) -> None:
        self._work = work
        self._size = size
        self._name = name
        self._is_closed = False
        self._begin()
        begin_anew(self._begin)

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._items: deque[T] = deque()
        self._is_busy = False
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._items)

    def put(self, item: T) -> bool:
        """Whether `item` was taken; never blocks for longer than another `put`."""
        with self._changed:
            if self._is_closed or len(self._items) >= self._size:
                self.dropped += 1
                return False
            self._items.append(item)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return True

    def drain(self, seconds: float) -> bool:
        """Wait until nothing is left to do; whether that was reached in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._items and not self._is_busy, seconds)

    def close(self, seconds: float = 5.0) -> None:
        """Drop what waits and end the thread; at most `seconds` are waited for its last item."""
        with self._changed:
            self._is_closed = True
            self.dropped += len(self._items)
            self._items.clear()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._items or self._is_closed)
                if not self._items:
                    return
                item = self._items.popleft()
                self._is_busy = True
            try:
                self._work(item)
            except Exception:  # noqa: BLE001  # a thread's boundary: the other items go on
                _log.exception("%s: an item failed", self._name)
