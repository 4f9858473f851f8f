"""The shells: they perform what `phases` names, for each kind of function.

The sync and the async shell differ in four phases only: deciding, waiting for
people, recording the intent, and running the body. They hold no rule.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

import uuid_utils

from guardrails.enforcement import deciding, perform, tracing
from guardrails.enforcement.bodies import AsyncItems, Items, execute_async
from guardrails.enforcement.call import IS_ASYNC, new_call
from guardrails.enforcement.perform import PERFORM
from guardrails.enforcement.phases import (
    STRAIGHT,
    Outcome,
    Phase,
    goes_straight,
    phases,
    refusal_for,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterable

    from guardrails.enforcement.call import Call
    from guardrails.enforcement.definition import Tool

_AWAIT: Final[dict[Phase, Callable[[Call], Any]]] = {
    Phase.DECIDE: deciding.decide_async,
    Phase.WAIT: perform.wait_async,
    Phase.INTENT: perform.record_intent_async,
    Phase.EXECUTE: execute_async,
}
"""What a coroutine function's shell does otherwise, and what it then awaits, if anything."""


class Holder:
    """Where a wrapper finds its tool; decorators above put a new one in, at import only."""

    __slots__ = ("tool", "wrapper")

    wrapper: Callable[..., Any]

    def __init__(self, tool: Tool) -> None:
        self.tool = tool


def new_id() -> str:
    """A new decision id: a UUIDv7 (RFC 9562), so that ids sort by time."""
    return str(uuid_utils.uuid7())


def wrapper_for(holder: Holder) -> Callable[..., Any]:
    """The governed function for `holder`'s tool, of the same kind as the function below it."""
    function = holder.tool.function
    wrapper: Callable[..., Any]

    if inspect.iscoroutinefunction(function):

        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            return await make_async(new_call(holder.tool, args, kwargs, new_id(), IS_ASYNC))

    elif inspect.isgeneratorfunction(function):

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return (yield from _run_generator(new_call(holder.tool, args, kwargs, new_id())))

    elif inspect.isasyncgenfunction(function):
        wrapper = _async_generator_function(holder)

    else:

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return make(new_call(holder.tool, args, kwargs, new_id()))

    functools.update_wrapper(wrapper, function)
    if isinstance(function, functools.partial):
        functools.update_wrapper(wrapper, function.func)
        vars(wrapper)["__wrapped__"] = function  # its signature is the partial's
    return wrapper


class Steps:
    """The phases of one call as a shell drives them.

    Attributes:
        phase: What to do next; None at the end.
        outcome: What came of the call, at the end.
    """

    __slots__ = ("_call", "_phases", "outcome", "phase")

    phase: Phase | None
    outcome: Outcome

    def __init__(self, call: Call) -> None:
        self._call = call
        self._phases = phases(call)
        self.phase = next(self._phases)

    def __del__(self) -> None:
        # A shell that is dropped half-way without being closed, as an async generator is whose
        # loop was closed before: what it holds must not stay, and its end has to be recorded.
        if getattr(self, "phase", None) is not None:
            with contextlib.suppress(BaseException):
                self.throw(GeneratorExit())
                self.perform()

    def send(self, answer: Any) -> None:
        """Go on with what the phase gave."""
        try:
            self.phase = self._phases.send(answer)
        except StopIteration as done:
            self._end(done.value)

    def throw(self, fault: BaseException) -> None:
        """Go on with what the phase raised; raises it, as a refusal, where that ends the call."""
        refusal = fault if self.phase is None else refusal_for(self.phase, fault)
        try:
            self.phase = self._phases.throw(refusal)
        except StopIteration as done:
            self._end(done.value)
        except BaseException as ended:
            if self._call.span is not None:
                tracing.refused(self._call, ended)
            raise

    def _end(self, outcome: Outcome) -> None:
        self.phase, self.outcome = None, outcome
        if self._call.span is not None:
            tracing.ended(self._call, outcome)

    def perform(self, *, until: Phase | None = None) -> None:
        """Perform phase after phase, up to the end or to `until`."""
        while self.phase is not None and self.phase is not until:
            self.perform_one()

    def perform_one(self) -> None:
        """Perform the next phase; there is one."""
        try:
            # The sending, too: the phases must hear of an interrupt wherever it comes.
            self.send(PERFORM[self.phase](self._call))  # type: ignore[index]  # there is one
        except BaseException as fault:  # noqa: BLE001  # thrown into the phases, which know what it means
            self.throw(fault)

    def drop(self) -> None:
        """End a call whose body has not begun: what it holds is given back."""
        with contextlib.suppress(GeneratorExit):
            self.throw(GeneratorExit())
            self.perform()

    async def perform_async(self, *, until: Phase | None = None) -> None:
        """The same, awaiting what may take time."""
        call = self._call
        while self.phase is not None and self.phase is not until:
            waits = _AWAIT.get(self.phase)
            try:
                if waits is None:
                    answer = PERFORM[self.phase](call)
                elif (answer := waits(call)) is not None:
                    answer = await answer
                self.send(answer)
            except BaseException as fault:  # noqa: BLE001  # thrown into the phases, which know what it means
                self.throw(fault)

    def result(self) -> Any:
        """What the body returned; raises what it raised."""
        outcome = self.outcome
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    def stand_in(self) -> Iterable[Any]:
        """The items of a withheld generator; a stand-in of None has none."""
        value = self.result()
        return () if value is None else value


def _descent(frames: int) -> Callable[[], None]:
    """A function that needs so many frames of the stack, and does nothing.

    Each function in it has code of its own: so Python learns, place by place, what is called
    there, and the whole takes half as long as one that calls itself.
    """

    def bottom() -> None:
        return

    def above(below: Callable[[], None]) -> Callable[[], None]:
        def level() -> None:
            below()

        return FunctionType(level.__code__.replace(), globals(), None, None, level.__closure__)

    function: Callable[[], None] = bottom
    for _ in range(frames):
        function = above(function)
    return function


_require_room: Final = _descent(14)
"""Raises ``RecursionError`` where the stack is too full for a call to be ended in order.

A call that has taken a hold needs a few frames to give it back, whatever went wrong.
"""


# As names of this module: a look into the enumeration takes as long as three of these.
_OPEN, _READ, _KILL, _BREAKERS, _RESERVE, _DECIDE, *_REST = STRAIGHT
_, _INTENT, _EXECUTE, _SETTLE, _OUTCOME = _REST


def _resumed(call: Call, done: int, fault: BaseException | None) -> Steps:
    """The steps of a call that went straight so far; what comes next, `phases` says.

    Args:
        call: The call.
        done: How many phases were performed.
        fault: What the next one raised, if it did.
    """
    steps = Steps(call)
    for phase in STRAIGHT[:done]:
        steps.send(call.outcome if phase is Phase.EXECUTE else None)
    if fault is not None:
        steps.throw(fault)
    return steps


def make(call: Call) -> Any:
    """Make a call of a plain function."""
    _require_room()
    # Most calls go straight. They need no generator that names their phases; whatever turns
    # up on the way, the generator is led to where they are, and goes on from there. Phase by
    # phase, not in a loop: Python learns of each place what is called there, and spares itself
    # most of the call.
    perform = PERFORM
    done = 0
    outcome: Outcome | None = None
    try:
        perform[_OPEN](call)
        done = 1
        perform[_READ](call)
        done = 2
        perform[_KILL](call)
        done = 3
        perform[_BREAKERS](call)
        done = 4
        perform[_RESERVE](call)
        done = 5
        perform[_DECIDE](call)
        done = 6
        if goes_straight(call):
            perform[_KILL](call)
            done = 7
            perform[_INTENT](call)
            done = 8
            call.outcome = outcome = perform[_EXECUTE](call)
            done = 9
            perform[_SETTLE](call)
            done = 10
            perform[_OUTCOME](call)
            done = 11
    except BaseException as fault:  # noqa: BLE001  # thrown into the phases, which know what it means
        steps = _resumed(call, done, fault)
    else:
        if outcome is not None:
            if call.span is not None:
                tracing.ended(call, outcome)
            _, value, error = outcome
            if error is not None:
                raise error
            return value
        steps = _resumed(call, done, None)
    steps.perform()
    return steps.result()


async def make_async(call: Call) -> Any:
    """Make a call of a coroutine function."""
    _require_room()
    perform, perform_async = PERFORM, _AWAIT
    done = 0
    outcome: Outcome | None = None
    try:
        perform[_OPEN](call)
        done = 1
        perform[_READ](call)
        done = 2
        perform[_KILL](call)
        done = 3
        perform[_BREAKERS](call)
        done = 4
        perform[_RESERVE](call)
        done = 5
        if (waits := perform_async[_DECIDE](call)) is not None:
            await waits
        done = 6
        if goes_straight(call):
            perform[_KILL](call)
            done = 7
            if (waits := perform_async[_INTENT](call)) is not None:
                await waits
            done = 8
            call.outcome = outcome = await perform_async[_EXECUTE](call)
            done = 9
            perform[_SETTLE](call)
            done = 10
            perform[_OUTCOME](call)
            done = 11
    except BaseException as fault:  # noqa: BLE001  # as above
        steps = _resumed(call, done, fault)
    else:
        if outcome is not None:
            if call.span is not None:
                tracing.ended(call, outcome)
            _, value, error = outcome
            if error is not None:
                raise error
            return value
        steps = _resumed(call, done, None)
    await steps.perform_async()
    value = steps.result()
    if steps.outcome.kind == "shadowed" and inspect.isawaitable(value):
        return await value
    return value


def _run_generator(call: Call) -> Generator[Any, Any, Any]:
    _require_room()
    steps = Steps(call)
    steps.perform(until=Phase.EXECUTE)
    if call.span is not None:
        call.span.leave()
    if steps.phase is not Phase.EXECUTE:
        return (yield from steps.stand_in())
    items = Items(call)
    item = items.send(None)
    while not isinstance(item, Outcome):
        try:
            sent = yield item
        except GeneratorExit as closing:
            item = items.close(closing)
        except BaseException as error:  # noqa: BLE001  # belongs to the body
            item = items.throw(error)
        else:
            item = items.send(sent)
    steps.send(item)
    steps.perform()
    return steps.result()


def _async_generator_function(holder: Holder) -> Callable[..., Any]:
    # The shell has to be the async generator function itself: those cannot delegate.
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        _require_room()
        call = new_call(holder.tool, args, kwargs, new_id(), IS_ASYNC)
        steps = Steps(call)
        await steps.perform_async(until=Phase.EXECUTE)
        if call.span is not None:
            call.span.leave()
        if steps.phase is not Phase.EXECUTE:
            for item in steps.stand_in():
                yield item
            return
        items = AsyncItems(call)
        item = await items.send(None)
        while not isinstance(item, Outcome):
            try:
                sent = yield item
            except GeneratorExit as closing:
                item = await items.close(closing)
            except BaseException as error:  # noqa: BLE001  # belongs to the body
                item = await items.throw(error)
            else:
                item = await items.send(sent)
        steps.send(item)
        await steps.perform_async()
        steps.result()

    return wrapper
