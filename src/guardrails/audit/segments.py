"""The durable record: events on disk in hash-chained, signed segments, written by one thread.

:meth:`SegmentRecord.write` puts an event into a queue; a thread takes what has gathered, writes
it in one go, closes it with a chained line and has it on the disk before it forgets it. So a
call hands over one tuple, and no work on files or JSON is done on its path.

=============== =================================================================================
``batch``       An event is handed to the disk at most `window` seconds after it was handed over.
                That much is lost where the process is killed.
``write_ahead`` The same; and :meth:`SegmentRecord.write_ahead` gives what to wait for, so that
                an act with side effects happens only when its intent is on the disk. Calls that
                wait at the same time share one write (group commit).
=============== =================================================================================

When the queue is full, handing over waits. When the disk refuses, nothing is forgotten: what was
handed over is tried again until it is written, and further calls are refused until then. Whoever
waits for the disk is refused, and the intent is not written.

Events must not change once they are handed over; enforcement gives documents that nobody else
holds. Each process writes a stream of its own. A forked child begins anew, with nothing of what
its parent has not written yet; that is the parent's to write.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import multiprocessing.util
import os
import threading
import weakref
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from guardrails.audit.layout import MANIFEST, make_directory, open_ours
from guardrails.audit.lines import lines_of
from guardrails.audit.redaction import Redaction
from guardrails.audit.stream import Stream
from guardrails.errors import ConfigError, StateUnavailable
from guardrails.forks import survive_forks

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.audit.keys import RecordKey
    from guardrails.model.call import Event

CAPACITY: Final = 16_384
"""Events that may wait to be written."""

WINDOW: Final = 0.1
"""Seconds within which an event is handed to the disk, unless told otherwise."""

SEGMENT_SIZE: Final = 64 << 20
"""Bytes after which a segment is rotated, unless told otherwise."""

_BATCH: Final = 2048
"""Events that are closed by one line, at most."""

_RETRY: Final = 0.25
"""Seconds after which what the disk refused is tried again."""

_IDLE: Final = 10.0
"""Seconds without work after which the thread ends; the next event begins another."""

_STALL: Final = 30.0
"""Seconds without any progress after which a full queue refuses."""

_AT_THE_END: Final = -100
"""The priority of a worker's last act: after those of everything that may still write."""

_log: Final = logging.getLogger("guardrails")


class _Intent(NamedTuple):
    """An event that somebody waits for."""

    event: Event
    written: Future[None]


class SegmentRecord:
    """Writes events to segments in a directory; implements :class:`guardrails.ports.Record`.

    The directory is checked, and made, now; the stream begins with the first event.

    Args:
        directory: Where the segments are.
        key: Signs; None for a chain without signatures.
        durability: ``batch`` or ``write_ahead``, as above.
        window: Seconds that an event may wait for others before it is written.
        segment_size: Bytes after which the next segment begins.
        retention: Seconds after which a sealed segment is deleted; None to keep all.
        anchor: Is given heads of the stream, each a line, to be kept where nobody can change
            them. It is called on the thread that writes. While it fails, calls are refused.
        capacity: Events that may wait to be written.
        redaction: Takes out of events what must not be written.

    Raises:
        StateUnavailable: the directory cannot be used; also from :meth:`write`.
        ConfigError: there is no such durability.
    """

    def __init__(  # noqa: PLR0913  # what a record can be told, each by its name
        self,
        directory: str | Path,
        *,
        key: RecordKey | None = None,
        durability: str = "batch",
        window: float = WINDOW,
        segment_size: int = SEGMENT_SIZE,
        retention: float | None = None,
        anchor: Callable[[bytes], None] | None = None,
        capacity: int = CAPACITY,
        redaction: Redaction | None = None,
    ) -> None:
        if durability not in {"batch", "write_ahead"}:
            raise ConfigError(f"durability: `{durability}`; there are `batch` and `write_ahead`")
        self.path = Path(directory).absolute()
        self.is_signed = key is not None
        self._waits = durability == "write_ahead"
        self._redaction = redaction if redaction is not None else Redaction()
        self._window = window
        self._capacity = capacity

        def new_stream() -> Stream:
            return Stream(
                self.path,
                key=key,
                segment_size=segment_size,
                retention=retention,
                anchor=anchor,
            )

        self._new_stream = new_stream
        self.fork_lock = threading.RLock()  # held while files are worked on
        self._is_closed = False
        self._refusal: str | None = None
        self._begin()
        try:
            make_directory(self.path)
            if not (self.path / MANIFEST).exists() and any(self.path.iterdir()):
                raise OSError(0, "it is a directory of other files")  # noqa: TRY301  # as below
            os.close(open_ours(self.path / MANIFEST, os.O_RDWR | os.O_CREAT))
        except OSError as error:
            self._is_closed = True
            self._refuse(_reason(error), None, error)
        survive_forks(self)
        atexit.register(_close, weakref.ref(self))
        # A worker of `multiprocessing` that was forked ends without `atexit`, and forgets, as it
        # begins, what its parent wanted at its end; but not whom to tell that it has begun.
        self._close_at_end()
        multiprocessing.util.register_after_fork(self, SegmentRecord._close_at_end)

    def _close_at_end(self) -> None:
        multiprocessing.util.Finalize(None, _close, (weakref.ref(self),), exitpriority=_AT_THE_END)

    def _begin(self) -> None:
        self._queue: deque[Event | _Intent] = deque()
        self._taken: list[Event | _Intent] = []  # out of the queue, and not on the disk
        self._stream = self._new_stream()
        self._batches = 0
        self._thread: threading.Thread | None = None
        self._starting = threading.RLock()  # reentrant: a signal handler may write, too
        self._room = threading.Condition()
        self._bell = threading.Lock()
        self._bell.acquire()
        self._is_asleep = True
        self._is_urgent = False

    def write(self, event: Event) -> None:
        """Hand one event over. It waits only where the queue is full.

        Raises:
            StateUnavailable: it cannot be written, and is not taken.
        """
        queue = self._queue
        if self._refusal is not None or len(queue) >= self._capacity:
            self._hold_back(event)
        queue.append(event)
        if self._is_asleep:
            self._wake(event)

    def write_ahead(self, event: Event) -> Future[None] | None:
        """Hand one event over; what is done when it is on the disk, or None for nothing to await.

        A future that is cancelled before it is done takes the event back, if it can be.

        Raises:
            StateUnavailable: it cannot be written, and is not taken. The future raises it, too.
        """
        if not self._waits:
            self.write(event)
            return None
        if self._refusal is not None or len(self._queue) >= self._capacity:
            self._hold_back(event)
        intent = _Intent(event, Future())
        self._queue.append(intent)
        self._is_urgent = True
        self._wake(intent)
        return intent.written

    def waiting(self) -> int:
        """How many events were handed over and are not on the disk yet."""
        return len(self._queue) + len(self._taken)

    def close(self) -> None:
        """Write all that was handed over, seal the stream, and stop; a later write raises.

        Raises:
            StateUnavailable: not all of it could be written.
        """
        with self._starting:
            if self._is_closed:
                return
            self._is_closed = True
            self._refusal = self._refusal or "it is closed"
            thread = self._thread
        self._is_urgent = True
        self._ring()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_STALL)
        problem: Exception | None = None
        with self.fork_lock:
            try:
                while self._write_some():
                    pass
                self._stream.end()
            except Exception as error:  # noqa: BLE001  # whatever it is, it is said below
                problem = error
                self._stream.abandon()
            self._refusal = "it is closed"
            self._is_asleep = True
            left = len(self._taken) + len(self._queue)
            self._settle(self._taken, problem)
        if problem is not None:
            what = f"{left} events are lost: " if left else ""
            raise StateUnavailable(
                f"the record `{self.path}` could not be closed: {what}{_reason(problem)}"
            ) from problem

    def after_fork(self) -> None:
        """Begin a stream of its own in the child; what waits in the parent is the parent's."""
        self._stream.abandon()
        self._begin()
        self._refusal = "it is closed" if self._is_closed else None

    def _hold_back(self, event: Event) -> None:
        """Return when there is room for one more."""
        self._ring()
        seen, patience = self._batches, _STALL
        while True:
            if self._refusal is not None:
                self._refuse(self._refusal, event)
            if len(self._queue) < self._capacity:
                return
            with self._room:
                self._room.wait(0.05)
            patience = _STALL if self._batches != seen else patience - 0.05
            seen = self._batches
            if patience <= 0:
                self._refuse("the disk takes nothing, and its queue is full", event)

    def _wake(self, item: Event | _Intent) -> None:
        with self._starting:
            if self._is_closed:
                self._take_back(item)
            elif self._thread is None:
                thread = threading.Thread(target=self._work, name="guardrails-record", daemon=True)
                self._is_asleep = False
                try:
                    thread.start()
                except RuntimeError:  # the interpreter ends, and starts no more threads
                    self._is_asleep = True
                    with self.fork_lock:
                        self._try_to_write()
                else:
                    self._thread = thread
                return
        self._ring()

    def _take_back(self, item: Event | _Intent) -> None:
        """Refuse what was handed over while the record was closed, unless it was still written."""
        try:
            self._queue.remove(item)
        except ValueError:
            return
        self._refuse("it is closed", item.event if isinstance(item, _Intent) else item)

    def _ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is ringing
            self._bell.release()

    # ---------------------------------------------------------------- on the thread that writes

    def _work(self) -> None:
        try:
            while self._rest():
                while self._try_to_write() and self._queue:
                    pass
        except BaseException as error:
            self._refusal = f"its thread ended: {_reason(error)}"
            self._settle(self._taken, error)
            raise

    def _rest(self) -> bool:
        """Wait for work, and then for more of it; False where the thread is to end."""
        self._is_asleep = True
        if not self._queue and not self._is_closed:
            due = self._stream.due
            rest = _IDLE if due is None else min(due, _IDLE)
            if self._refusal is not None:
                rest = _RETRY
            rung = self._bell.acquire(timeout=rest)
            if not rung and due is None and self._refusal is None:
                with self._starting:
                    if not self._queue:
                        self._thread = None
                        return False
        elif self._refusal is not None and not self._is_closed:
            self._bell.acquire(timeout=_RETRY)
        self._is_asleep = False
        if self._is_closed:
            return False
        if not self._is_urgent and self._queue and self._refusal is None:
            self._bell.acquire(timeout=self._window / 2)
        self._is_urgent = False
        return True

    def _try_to_write(self) -> bool:
        """Whether there was something to write and it was written."""
        try:
            with self.fork_lock:
                return self._write_some()
        except Exception as error:  # noqa: BLE001  # whatever the disk or an anchor raises refuses
            reason = _reason(error)
            if self._refusal is None:
                _log.critical("the record `%s` cannot be written: %s", self.path, reason)
            if not self._is_closed:
                self._refusal = reason  # before anybody hears of it, and hands over more
            with self.fork_lock:
                self._taken = self._settle(self._taken, error)
            return False

    def _write_some(self) -> bool:
        """Write one batch, if there is any, and do what else is due."""
        if not self._taken:
            self._take()
        taken = self._taken
        if taken:
            events = [each.event if isinstance(each, _Intent) else each for each in taken]
            self._stream.append(lines_of(events, self._redaction), len(events))
            self._taken = []
            self._batches += 1
            for each in taken:
                if isinstance(each, _Intent):
                    each.written.set_result(None)
            if len(self._queue) < self._capacity:
                with self._room:
                    self._room.notify_all()
        self._stream.tend()
        if self._refusal is not None and not self._is_closed:
            _log.warning("the record `%s` is written again", self.path)
            self._refusal = None
        return bool(taken)

    def _take(self) -> None:
        queue = self._queue
        for _ in range(min(len(queue), _BATCH)):
            each = queue.popleft()
            # What was cancelled is not wanted any more; what runs cannot be cancelled.
            if isinstance(each, _Intent) and not each.written.set_running_or_notify_cancel():
                continue
            self._taken.append(each)

    def _settle(
        self, taken: list[Event | _Intent], error: BaseException | None
    ) -> list[Event | _Intent]:
        """What is left of `taken` once those who wait for it are refused."""
        kept: list[Event | _Intent] = []
        for each in taken:
            if isinstance(each, _Intent):
                try:
                    self._refuse(_reason(error), each.event, error)
                except StateUnavailable as refusal:
                    each.written.set_exception(refusal)
            else:
                kept.append(each)
        return kept

    def _refuse(
        self, reason: str, event: Event | None, cause: BaseException | None = None
    ) -> NoReturn:
        where: dict[str, Any] = {}
        if event is not None:
            where = {
                "tool": event.tool,
                "agent": event.agent,
                "run_id": event.run_id,
                "decision_id": event.decision_id,
            }
        message = f"the record `{self.path}` cannot be written: {reason}"
        raise StateUnavailable(message, **where) from cause


def _reason(error: BaseException | None) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error) or type(error).__name__) if error is not None else "it is closed"


def _close(known: weakref.ref[SegmentRecord]) -> None:
    record = known()
    if record is None:
        return
    try:
        record.close()
    except StateUnavailable as error:
        _log.critical("%s", error)
