"""Work in several processes, this one among them: who has done a part is handed another.

So no more results wait than a few for each process, however much there is to do. To start another
process takes as long as tens of thousands of decisions: this one is at work meanwhile, and nobody
waits for one that is not there when all is done.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections import deque
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from guardrails.errors import GuardrailsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

P = TypeVar("P")
R = TypeVar("R")


class WorkerLost(GuardrailsError):  # noqa: N818  # named for what happened
    """A process that worked on the record has ended before its work."""


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


_AHEAD: Final = 2
"""Parts that a process is handed before the first is done: this one has its own to do meanwhile."""


class Workers(Generic[P, R]):
    """Processes that work on parts.

    Args:
        own: The worker of this process.
        make: Makes one of another process; the name of a function, for it is called there.
        args: Its arguments; copied to the processes.
        number: How many processes work, this one included.
    """

    def __init__(
        self,
        own: Callable[[P], R],
        make: Callable[..., Callable[[P], R]],
        args: tuple[Any, ...],
        number: int,
    ) -> None:
        self._own = own
        self._make = make
        self._args = args
        self._number = number

    def results(self, parts: Sequence[P]) -> Iterator[tuple[P, R]]:
        """Each part with what a worker made of it, in no order.

        Raises:
            WorkerLost: a process has ended, as by a lack of memory.
            GuardrailsError: a worker could not be made, or raised.
        """
        # Not forked: what this process holds (threads, locks, a terminal) is not theirs.
        context = multiprocessing.get_context("spawn")
        waiting = deque(parts)
        at_work: dict[Any, deque[P]] = {}  # by connection
        processes = []
        try:
            for _ in range(min(self._number, len(parts)) - 1):
                ours, theirs = context.Pipe()
                process = context.Process(
                    target=_serve, args=(theirs, self._make, self._args), daemon=True
                )
                process.start()
                theirs.close()
                processes.append(process)
                at_work[ours] = deque()
            while waiting or any(at_work.values()):
                for ready in wait(list(at_work), 0 if waiting else None):
                    result = _taken(ready)
                    done = at_work[ready].popleft() if at_work[ready] else None
                    while waiting and len(at_work[ready]) < _AHEAD:
                        part = waiting.popleft()
                        _hand(ready, part)
                        at_work[ready].append(part)
                    if done is not None:
                        yield done, result
                if waiting:
                    part = waiting.popleft()
                    yield part, self._own(part)
        finally:
            for process in processes:
                process.terminate()
                process.join()
            for connection in at_work:
                connection.close()


def _hand(connection: Any, part: object) -> None:
    try:
        connection.send(part)
    except OSError as error:
        raise _lost() from error


def _taken(connection: Any) -> Any:
    try:
        error, result = connection.recv()
    except (EOFError, OSError) as fault:
        raise _lost() from fault
    if error is not None:
        raise error
    return result


def _lost() -> WorkerLost:
    return WorkerLost("a process that worked on the record has ended before its work was done")


def _serve(connection: Any, make: Callable[..., Callable[[P], R]], args: tuple[Any, ...]) -> None:
    """What such a process does until it is ended: it says that it is there, then what it made."""
    # What is decoded of a record holds no cycles, and looking for them takes a tenth of the time;
    # looking through all that was imported, after each part, takes a third.
    gc.disable()
    try:
        work = make(*args)
        gc.freeze()
        connection.send((None, None))
        while True:
            try:
                part = connection.recv()
            except EOFError:
                return
            connection.send((None, work(part)))
            gc.collect()
    except GuardrailsError as error:
        connection.send((_plain(error), None))
    except KeyboardInterrupt:
        return


def _plain(error: GuardrailsError) -> GuardrailsError:
    # Errors with more than a message do not pass from process to process.
    return GuardrailsError(str(error))
