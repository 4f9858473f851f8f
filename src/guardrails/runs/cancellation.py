"""An async body that a kill can stop: cancelled by the kill, and by nobody else in its name.

As :func:`asyncio.timeout` does it: the kill asks the task to cancel and, when the
``CancelledError`` comes back, takes its own request away with ``Task.uncancel``.
What is left over belongs to somebody else (another ``cancel()``, a timeout, a task
group that aborts), and then the ``CancelledError`` goes on to them. The kill is not
lost by that: the next governed call raises it.
"""

from __future__ import annotations

import asyncio
from inspect import iscoroutine
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Any

    from guardrails.model.kill import Kill
    from guardrails.ports import InFlight
    from guardrails.runs.run import Run

T = TypeVar("T")


async def cancellable(awaitable: Awaitable[T], run: Run, tool: str, in_flight: InFlight) -> T:
    """The result of `awaitable`, run in the current task; a kill from any thread cancels it.

    Outside of asyncio nothing is cancelled; the kill is seen when the body has ended.

    Args:
        awaitable: The body.
        run: The run of the call.
        tool: The tool whose body it is.
        in_flight: The calls in flight under the run's kill switch.

    Raises:
        RunKilled: the call was killed before, while or as the body ran. A result, or an
            error of the body, is discarded; the error is chained.
        asyncio.CancelledError: somebody else cancelled the task, also if a kill came too.
    """
    # One coroutine does it all: another between the caller and the body would cost every call.
    level = _Level()
    begun = False
    try:
        with in_flight.watch(run.subjects(tool), level.on_kill, owner=level.task):
            if level.kill is not None:
                raise run.killed_by(level.kill, tool)
            begun = True
            try:
                result = await awaitable
            except BaseException as error:
                kill = _kill_behind(error, level, run, tool)
                if kill is None:
                    raise
                raise run.killed_by(kill, tool) from error
            level.end()
            kill = level.kill or _known(run, tool)
            if kill is not None:
                raise run.killed_by(kill, tool)
            return result
    finally:
        if not begun:  # no kill could be heard of, or one was heard of before
            level.end()
            _discard(awaitable)


def _kill_behind(error: BaseException, level: _Level, run: Run, tool: str) -> Kill | None:
    """The kill that the body's end by `error` means; None where it means the error itself."""
    alone = level.end()
    if isinstance(error, asyncio.CancelledError):
        return level.kill if alone else None
    if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
        return None
    return level.kill or _known(run, tool)


def _known(run: Run, tool: str) -> Kill | None:
    try:
        return run.find_kill(tool)
    except Exception:  # noqa: BLE001  # the body ran and its result counts; the next call is refused
        return None


class _Level:
    """One body at work in a task. But for :meth:`on_kill`, only the task's loop touches it.

    Attributes:
        task: The task; None outside of asyncio.
        kill: The kill that it was told of.
    """

    __slots__ = ("_asked", "_before", "_ended", "_generation", "kill", "task")

    def __init__(self) -> None:
        self.kill: Kill | None = None
        self.task: asyncio.Task[Any] | None = None
        self._asked = 0
        self._generation = -1
        self._ended = False
        try:
            self.task = task = asyncio.current_task()
        except RuntimeError:  # no asyncio here
            return
        if task is not None:
            # Requests that were there before are not ours to answer.
            self._before = task.cancelling()

    def on_kill(self, kill: Kill) -> None:
        """Note the kill and ask the task to cancel, from any thread."""
        if self.kill is None:
            self.kill = kill
        if self.task is not None:
            try:
                loop = self.task.get_loop()
                loop.call_soon_threadsafe(self._cancel, kill.generation)
            except RuntimeError:  # the loop is closed, and the task with it
                return

    def _cancel(self, generation: int) -> None:
        # In a callback the task stands at an await of the body, unless the body has ended:
        # the request reaches the body, and none is left over for what comes after. Of one
        # kill it may hear twice, and is asked once; a new kill asks a body that goes on again.
        if self.task is not None and not self._ended and generation > self._generation:
            self._generation = generation
            self._asked += 1
            self.task.cancel()

    def end(self) -> bool:
        """Take back what was asked; whether the cancellation was the kill's alone."""
        self._ended = True
        if self.task is None or not self._asked:
            return False
        left = self.task.cancelling()
        while self._asked:
            self._asked -= 1
            left = self.task.uncancel()
        return left <= self._before


def _discard(awaitable: Awaitable[object]) -> None:
    if iscoroutine(awaitable):
        awaitable.close()  # it never starts; unclosed, Python would warn
    elif isinstance(awaitable, asyncio.Future):
        awaitable.cancel()
