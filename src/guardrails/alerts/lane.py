"""The way of notices to one sink: a bounded queue, and one thread that empties it.

Each sink has its own, so that one that hangs holds up no other. Nothing is lost in silence:
what was not delivered, or found no room, is reported with its reason.
"""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING, Final

from guardrails.errors import DeliveryError
from guardrails.forks import begin_anew
from guardrails.model.notice import Undelivered

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.model.notice import Notice
    from guardrails.ports import AlertSink

CAPACITY: Final = 1_000
"""Notices that may wait for one sink."""

GRACE: Final = 1.0
"""Seconds for an attempt that is under way when nothing may be tried again."""

_log: Final = logging.getLogger("guardrails")


class Lane:
    """Notices on their way to `sink`, in the order in which they came.

    A forked child begins with an empty one: what waits is the parent's to deliver.

    Args:
        name: The sink's name.
        sink: Delivers; each call may take long.
        undelivered: Told of every notice that was not delivered; must not block for long.
        capacity: Notices that may wait.
    """

    def __init__(
        self,
        name: str,
        sink: AlertSink,
        undelivered: Callable[[Undelivered], None],
        *,
        capacity: int = CAPACITY,
    ) -> None:
        self.name = name
        self._sink = sink
        self._undelivered = undelivered
        self._capacity = capacity
        self._closed = False
        self._failed = 0
        self._begin()
        begin_anew(self._begin)

    def _begin(self) -> None:
        # Reentrant: a signal handler that kills gives a notice inside whatever it interrupts.
        self._lock = threading.RLock()
        self._queue: queue.SimpleQueue[Notice | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._under_way: Notice | None = None

    @property
    def failed(self) -> int:
        """How many notices were not delivered."""
        return self._failed

    @property
    def waiting(self) -> int:
        """How many notices wait."""
        return self._queue.qsize()

    def put(self, notice: Notice) -> None:
        """Take `notice`; never blocks, never raises."""
        with self._lock:
            refused = self._refusal()
            if refused is None:
                self._queue.put(notice)
        if refused is not None:
            self._report(notice, refused)

    def close(self, drain: float) -> None:
        """Take nothing more, and deliver what waits, for at most `drain` seconds and a grace.

        What is then left is reported. Closing again does nothing.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            thread = self._thread
            self._queue.put(None)
        if thread is not None and thread is not threading.current_thread():
            thread.join(drain)
            if thread.is_alive():
                self._sink.close()
                thread.join(GRACE)
        self._report_rest()

    def _refusal(self) -> str | None:
        """Why nothing more is taken, or None where a thread is there to deliver."""
        if self._closed:
            return "it came after the end"
        if self._queue.qsize() >= self._capacity:
            return f"{self._capacity} notices wait for this sink already"
        if self._thread is None:
            thread = threading.Thread(
                target=self._work, name=f"guardrails-alerts-{self.name}", daemon=True
            )
            self._thread = thread  # first: a signal handler must not start another
            try:
                thread.start()
            except RuntimeError as error:
                self._thread = None
                return f"no thread can be started to deliver it: {error}"
        return None

    def _work(self) -> None:
        notices = self._queue
        while (notice := notices.get()) is not None:
            self._under_way = notice
            failure: tuple[str, int] | None = None
            try:
                self._sink.send(notice)
            except DeliveryError as error:
                failure = (str(error), error.attempts)
            except BaseException as error:  # noqa: BLE001  # a sink's end must not end the lane
                _log.warning("the alert sink `%s` raised", self.name, exc_info=True)
                failure = (f"it raised {type(error).__name__}", 1)
            # Once the lane was closed, what is under way may have been reported already.
            if self._taken() is not None and failure is not None:
                self._report(notice, *failure)

    def _taken(self) -> Notice | None:
        with self._lock:
            notice, self._under_way = self._under_way, None
        return notice

    def _report_rest(self) -> None:
        under_way = self._taken()
        if under_way is not None:
            self._report(under_way, "the process ended while it was sent; it may have arrived", 1)
        while True:
            try:
                notice = self._queue.get_nowait()
            except queue.Empty:
                break
            if notice is not None:
                self._report(notice, "the process ended before it was sent")
        self._queue.put(None)  # for a thread that comes back late

    def _report(self, notice: Notice, reason: str, attempts: int = 0) -> None:
        with self._lock:
            self._failed += 1
        undelivered = Undelivered(notice, self.name, reason, attempts)
        _log.error("notice %s did not reach the sink `%s`: %s", notice.id, self.name, reason)
        try:
            self._undelivered(undelivered)
        except Exception:  # noqa: BLE001  # it is logged above; there is nobody left to tell
            _log.exception("that notice %s was not delivered could not be recorded", notice.id)
