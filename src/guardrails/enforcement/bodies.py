"""Running the body of a tool: at once, awaited, or item by item.

Every way of running ends in an :class:`~guardrails.enforcement.phases.Outcome`;
what the body raised is in it, unchanged. While the body runs, its call is the
current one, so that ``guardrails.charge`` finds it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardrails.enforcement import workers
from guardrails.enforcement.perform import check_kill, frame_of, raised
from guardrails.enforcement.phases import Outcome, Phase, refusal_for
from guardrails.errors import RunKilled
from guardrails.runs.cancellation import cancellable
from guardrails.runs.context import current_frame, enter, leave

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from contextvars import Token

    from guardrails.enforcement.call import Call
    from guardrails.runs.context import Frame


async def execute_async(call: Call) -> Outcome:
    """Await the body of a coroutine function; a kill cancels it."""
    arguments, tool, run = call.arguments, call.tool, call.run
    in_flight = run.governor.in_flight
    token = enter(frame_of(call))
    try:
        if tool.isolation is None:
            body = tool.function(*arguments.args, **arguments.kwargs)
        else:
            body = workers.run_async(call)
        value = await cancellable(body, run, tool.facts.name, in_flight)
        return tuple.__new__(Outcome, ("ok", value, None))  # as `Outcome(…)`, in half the time
    except BaseException as error:  # noqa: BLE001  # handed to the caller unchanged, once it is settled
        return raised(call, error)
    finally:
        leave(token)


async def _killable(call: Call, awaitable: Any) -> Any:
    run = call.run
    return await cancellable(awaitable, run, call.tool.facts.name, run.governor.in_flight)


class Items:
    """The body of a generator, advanced item by item; a kill is looked for before each.

    Between items the body's frame is kept, since it may have entered a child run meanwhile.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._frame = frame_of(call)
        self._body: Generator[Any, Any, Any] | None = None

    def send(self, value: Any) -> Any:
        """The next item, or the :class:`Outcome` where there is none."""
        return self._advance(lambda body: body.send(value))

    def throw(self, error: BaseException) -> Any:
        """What the body gives when `error` is thrown into it: an item or the :class:`Outcome`."""
        return self._advance(lambda body: body.throw(error))

    def close(self, closing: BaseException) -> Outcome:
        """The outcome of leaving the body early, for the reason `closing`."""
        token = _enter(self._call, self._frame)
        try:
            if self._body is not None:
                self._body.close()
        except BaseException as error:  # noqa: BLE001  # handed to the caller unchanged
            return _closed(self._call, closing, error)
        finally:
            _leave(self._call, token)
        return _closed(self._call, closing)

    def _advance(self, step: Callable[[Generator[Any, Any, Any]], Any]) -> Any:
        call = self._call
        try:
            check_kill(call)
        except BaseException as fault:  # noqa: BLE001  # becomes the outcome
            return self.close(refusal_for(Phase.KILL, fault))
        token = _enter(self._call, self._frame)
        try:
            if self._body is None:
                self._body = call.tool.function(*call.arguments.args, **call.arguments.kwargs)
            return step(self._body)
        except StopIteration as done:
            return Outcome("ok", done.value)
        except BaseException as error:  # noqa: BLE001  # handed to the caller unchanged
            return raised(call, error)
        finally:
            self._frame = current_frame() or self._frame
            _leave(self._call, token)


class AsyncItems:
    """The body of an async generator, advanced item by item; a kill cancels the one at work."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._frame = frame_of(call)
        self._body: AsyncGenerator[Any, Any] | None = None

    async def send(self, value: Any) -> Any:
        """The next item, or the :class:`Outcome` where there is none."""
        return await self._advance(lambda body: body.asend(value))

    async def throw(self, error: BaseException) -> Any:
        """What the body gives when `error` is thrown into it: an item or the :class:`Outcome`."""
        return await self._advance(lambda body: body.athrow(error))

    async def close(self, closing: BaseException) -> Outcome:
        """The outcome of leaving the body early, for the reason `closing`."""
        token = _enter(self._call, self._frame)
        try:
            if self._body is not None:
                await self._body.aclose()
        except BaseException as error:  # noqa: BLE001  # handed to the caller unchanged
            return _closed(self._call, closing, error)
        finally:
            _leave(self._call, token)
        return _closed(self._call, closing)

    async def _advance(self, step: Callable[[AsyncGenerator[Any, Any]], Any]) -> Any:
        call = self._call
        try:
            check_kill(call)
        except BaseException as fault:  # noqa: BLE001  # becomes the outcome
            return await self.close(refusal_for(Phase.KILL, fault))
        token = _enter(self._call, self._frame)
        try:
            if self._body is None:
                self._body = call.tool.function(*call.arguments.args, **call.arguments.kwargs)
            return await _killable(call, step(self._body))
        except StopAsyncIteration:
            return Outcome("ok")
        except RunKilled as kill:
            return await self.close(kill)
        except BaseException as error:  # noqa: BLE001  # handed to the caller unchanged
            return raised(call, error)
        finally:
            self._frame = current_frame() or self._frame
            _leave(self._call, token)


def _enter(call: Call, frame: Frame) -> Token[Frame | None]:
    if call.span is not None:
        call.span.enter()
    return enter(frame)


def _leave(call: Call, token: Token[Frame | None]) -> None:
    leave(token)
    if call.span is not None:
        call.span.leave()


def _closed(call: Call, closing: BaseException, error: BaseException | None = None) -> Outcome:
    """The outcome of a body that was closed for the reason `closing`, and then raised `error`."""
    if isinstance(closing, RunKilled) and (error is None or isinstance(error, Exception)):
        closing.__context__ = error
        return Outcome("killed", error=closing)
    return Outcome("closed", error=closing) if error is None else raised(call, error)
