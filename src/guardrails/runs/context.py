"""The current run: the one context variable, and what carries it into threads.

Child tasks and :func:`asyncio.to_thread` inherit it by themselves. A plain thread
starts without it; :func:`bind` and :class:`GovernedExecutor` carry it there. Lost
context refuses: a governed call without a run raises ``NoActiveRun``.
"""

from __future__ import annotations

import asyncio
import inspect
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar, cast

from contextvars_extras import (  # type: ignore[import-untyped]  # 0.7.0 ships no types
    ContextVarDescriptor,
    ContextVarsRegistry,
)
from contextvars_extras.context_management import (  # type: ignore[import-untyped]  # as above
    bind_to_snapshot_context,
)

from guardrails.errors import ConfigError, NoActiveRun
from guardrails.runs.spending import charge_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator
    from concurrent.futures import Future
    from contextvars import Token

    from guardrails.errors import Refusal, RunKilled
    from guardrails.model.money import Money
    from guardrails.ports import Hold
    from guardrails.runs.run import Run

P = ParamSpec("P")
T = TypeVar("T")


class HostCall:
    """What an agent host and guardrails know of one tool call that the host makes.

    Attributes:
        id: The id that the host gives the call; None where it gives none.
        asks: The call is not to be made: it is only wanted to know whether people must be asked.
        refusal: Why the governed call did not run, or the refusal that its body let pass, whatever
            the host made of that since.
    """

    __slots__ = ("asks", "id", "refusal")

    def __init__(self, id: str | None, *, asks: bool = False) -> None:
        self.id = id
        self.asks = asks
        self.refusal: Refusal | RunKilled | None = None


class Frame(NamedTuple):
    """Where code runs.

    Attributes:
        run: The current run.
        hold: The hold of the governed call whose body runs; None between calls.
        tool: That call's tool.
        key: That call's idempotency key; see :func:`idempotency_key`.
        call: The call itself, as enforcement knows it.
        host: An agent host's tool call that is under way, until the governed call is made of it.
    """

    run: Run
    hold: Hold | None = None
    tool: str | None = None
    key: str | None = None
    call: object = None
    host: HostCall | None = None


class _Current(ContextVarsRegistry):  # type: ignore[misc]  # untyped base class
    frame = ContextVarDescriptor(default=None)


# The descriptor's raw methods are the built-in ones of the variable: no Python call between.
current_frame: Callable[[], Frame | None] = _Current.frame.get_raw
"""Where the caller runs, or None outside of every run."""

enter: Callable[[Frame | None], Token[Frame | None]] = _Current.frame.set
"""Makes a frame the current one; the token leads back."""

_reset: Callable[[Token[Frame | None]], None] = _Current.frame.reset


def current_run() -> Run | None:
    """The run that the caller is in, or None outside of every run."""
    frame = current_frame()
    return None if frame is None else frame.run


def leave(token: Token[Frame | None]) -> None:
    """Go back to where :func:`enter` was called.

    From another context there is no way back: nothing happens there, and code that
    still sees the frame finds its run closed.
    """
    try:  # noqa: SIM105  # in every call: a context manager would take longer than what it does
        _reset(token)
    except (ValueError, RuntimeError):
        pass


def raise_if_killed() -> None:
    """Stop here if the current run or tool was killed; for tools that work long.

    Outside of every run it does nothing, so that a tool works ungoverned too.

    Raises:
        RunKilled: the run, one that it is part of, its agent, its tool or everything was killed.
    """
    frame = current_frame()
    if frame is not None:
        frame.run.check_kill(frame.tool)


def charge(
    *,
    usd: Money | None = None,
    tokens: int | None = None,
    usage: object = None,
    model: str | None = None,
    provider: str | None = None,
) -> None:
    """Report what the current call really cost; between calls, what the run spent otherwise.

    In a call, the first report in a dimension replaces the price that was reserved, and
    further ones add. It never raises for an overrun: the next call is refused.

    Args:
        usd: US dollars.
        tokens: Model tokens.
        usage: In place of these: the usage of a model's response, or what
            :func:`guardrails.usage_of` gave.
        model: The model that `usage` is of.
        provider: Whose price it is; None to tell it by the model's name.

    Raises:
        NoActiveRun: there is no run to charge.
        PriceError: `usage` cannot be read, or the model has no price; the run takes no further
            call, since what it spent is not counted.
        ConfigError: the extra with published prices is not installed; likewise.
        TypeError: an amount is of another type, none is given, or both forms are.
        ValueError: an amount is negative or no amount.
    """
    frame = current_frame()
    if frame is None:
        raise NoActiveRun("there is no run to charge; open one with `guardrails.run(...)`")
    reported = charge_of(frame.run, usd, tokens, usage, model, provider)
    if frame.hold is None:
        frame.run.spend(reported.usage)
    else:
        frame.run.charge_call(frame.hold, reported)


def idempotency_key() -> str:
    """A key that the current call may hand to the systems that it acts on, so that they act once.

    Each call has its own. Where an approved call was cut off and nobody knows whether it
    acted, the same call has the same key when it is approved and made again.

    Raises:
        NoActiveRun: no governed call is at work here.
    """
    frame = current_frame()
    if frame is None or frame.key is None:
        raise NoActiveRun("there is no governed call at work; ask for its key inside its tool")
    return frame.key


def bind(fn: Callable[P, T]) -> Callable[P, T]:
    """`fn` bound to the caller's context: every call of it runs in a copy of its own.

    For threads, callbacks and queues, which do not inherit the current run. A coroutine
    function runs as a task of its own in such a copy.

    Raises:
        ConfigError: `fn` is a generator function; its body would run in the context of
            whoever consumes it. Bind that consumer.
    """
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise ConfigError(
            f"`{getattr(fn, '__qualname__', fn)}` is a generator function, which runs where it is "
            "consumed; bind the function that consumes it"
        )
    if _is_coroutine_function(fn):
        return cast("Callable[P, T]", _bind_coroutine_function(cast("Callable[..., Any]", fn)))
    in_snapshot = _in_snapshot(fn)

    @wraps(fn)
    def bound(*args: P.args, **kwargs: P.kwargs) -> T:
        return in_snapshot(args, kwargs)

    return bound


class GovernedExecutor(ThreadPoolExecutor):
    """A thread pool whose work runs in the context, and so in the run, of whoever submits it."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` in a thread, in a copy of the caller's context."""
        return super().submit(bind(fn), *args, **kwargs)

    def map(self, fn: Callable[..., T], *iterables: Iterable[Any], **options: Any) -> Iterator[T]:
        """The results of `fn` over `iterables`, each call in a copy of the caller's context."""
        # Bound here: some options make the pool submit only while the results are read.
        return super().map(bind(fn), *iterables, **options)


def _in_snapshot(fn: Callable[..., T]) -> Callable[[tuple[Any, ...], dict[str, Any]], T]:
    def call(*, args: tuple[Any, ...], kwargs: dict[str, Any]) -> T:
        return fn(*args, **kwargs)

    # contextvars-extras 0.7.0 drops the positional arguments of a call, hence the keywords.
    in_snapshot: Callable[..., T] = bind_to_snapshot_context(call)
    return lambda args, kwargs: in_snapshot(args=args, kwargs=kwargs)


def _is_coroutine_function(fn: object) -> bool:
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(
        getattr(fn, "__call__", None)  # noqa: B004  # not whether it is callable: whether that is async
    )


def _bind_coroutine_function(
    fn: Callable[..., Coroutine[Any, Any, T]],
) -> Callable[..., Coroutine[Any, Any, T]]:
    def start(*args: object, **kwargs: object) -> asyncio.Task[T]:
        return asyncio.get_running_loop().create_task(fn(*args, **kwargs))

    in_snapshot = _in_snapshot(start)

    @wraps(fn)
    async def bound(*args: object, **kwargs: object) -> T:
        return await in_snapshot(args, kwargs)

    return bound
