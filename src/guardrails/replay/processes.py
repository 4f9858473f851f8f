"""Work in several processes: each is handed a part when it has done the one before.

So no more results wait than there are processes, however much there is to do.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections import deque
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from guardrails.errors import GuardrailsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection

P = TypeVar("P")
R = TypeVar("R")


class WorkerLost(GuardrailsError):  # noqa: N818  # named for what happened
    """A process that worked on the record has ended before its work."""


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers(Generic[P, R]):
    """Processes that each make a worker of their own and hand it parts.

    Args:
        make: Makes a worker; the name of a function, for it is called in the processes.
        args: Its arguments; copied to the processes.
        number: How many processes; with one, the work is done here.
    """

    def __init__(
        self, make: Callable[..., Callable[[P], R]], args: tuple[Any, ...], number: int
    ) -> None:
        self._make = make
        self._args = args
        self._number = number

    def results(self, parts: Sequence[P]) -> Iterator[tuple[P, R]]:
        """Each part with what a worker made of it, in no order.

        Raises:
            WorkerLost: a process has ended, as by a lack of memory.
            GuardrailsError: a worker could not be made, or raised.
        """
        number = min(self._number, len(parts))
        if number <= 1:
            work = self._make(*self._args)
            yield from ((part, work(part)) for part in parts)
            return
        # Not forked: what this process holds (threads, locks, a terminal) is not theirs.
        context = multiprocessing.get_context("spawn")
        waiting = deque(parts)
        at_work: dict[Connection[Any, Any], P] = {}
        processes = []
        try:
            for _ in range(number):
                ours, theirs = context.Pipe()
                process = context.Process(
                    target=_serve, args=(theirs, self._make, self._args), daemon=True
                )
                process.start()
                theirs.close()
                processes.append(process)
                _hand(ours, waiting, at_work)
            while at_work:
                for ready in wait(list(at_work)):
                    part, result = _taken(ready, at_work)
                    _hand(ready, waiting, at_work)
                    yield part, result
        finally:
            for process in processes:
                process.terminate()
                process.join()


def _hand(connection: Any, waiting: deque[P], at_work: dict[Any, P]) -> None:
    if waiting:
        part = waiting.popleft()
        try:
            connection.send(part)
        except OSError as error:
            raise _lost() from error
        at_work[connection] = part
    else:
        connection.close()


def _taken(connection: Any, at_work: dict[Any, P]) -> tuple[P, Any]:
    try:
        error, result = connection.recv()
    except (EOFError, OSError) as fault:
        raise _lost() from fault
    if error is not None:
        raise error
    return at_work.pop(connection), result


def _lost() -> WorkerLost:
    return WorkerLost("a process that worked on the record has ended before its work was done")


def _serve(connection: Any, make: Callable[..., Callable[[P], R]], args: tuple[Any, ...]) -> None:
    """What such a process does until there is no more to do."""
    # What is decoded of a record holds no cycles, and looking for them takes a tenth of the time;
    # looking through all that was imported, after each part, takes a third.
    gc.disable()
    try:
        work = make(*args)
        gc.freeze()
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
