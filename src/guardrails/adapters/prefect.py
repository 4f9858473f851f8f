"""Prefect: tasks governed, the run around each flow run, approvals as suspended flow runs.

::

    from guardrails.adapters.prefect import governed, governed_flow

    @governed
    @task(retries=3)
    @gr.governed_tool(resource="payments", operation="write")
    def refund(order_id: str, amount: int) -> str: ...

    @flow(persist_result=True)
    @governed_flow(agent="billing-agent")
    def refunds() -> None:
        refund("A-17", 2000)

A task that waits for people fails with ``ApprovalPending``; where that reaches the flow's edge,
the flow run is suspended. Once they have answered, ``prefect.flow_runs.resume_flow_run(id)`` runs
it again from its beginning: tasks that were done give the results that Prefect has kept, and what
has waited is made. That it is resumed is no approval: whether a call may run is looked up where
people answer. Where nobody has, the flow run is suspended again.
"""

from __future__ import annotations

import inspect
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast
from uuid import uuid4

from prefect import Task
from prefect.context import FlowRunContext, TaskRunContext
from prefect.flow_runs import asuspend_flow_run, suspend_flow_run

from guardrails.adapters.agent_runs import AgentRuns, runs_of
from guardrails.adapters.words import words_for
from guardrails.enforcement.host_calls import host_call
from guardrails.enforcement.tools import tool_of
from guardrails.errors import ApprovalPending, ConfigError, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guardrails.adapters.words import Words

P = ParamSpec("P")
R = TypeVar("R")


def governed(
    task: Task[P, R] | None = None,
    *,
    resource: str | None = None,
    operation: str = "execute",
    labels: Iterable[str] = (),
) -> Any:
    """The task, each call of it decided; refusals are not retried. Also ``@governed(…)``.

    Where its function carries ``@governed_tool``, that says everything, and the call is decided
    there, once. Else the task is governed under its own name.

    Prefect keeps its results, unless it has ``persist_result=False``: a flow run that is resumed
    calls no task again that was done. By Prefect's default policy of caching, two calls of one
    task with equal arguments in one flow run are one.

    Args:
        task: A Prefect task.
        resource: What it works on, as grants name it; None for its name.
        operation: What it does to it.
        labels: Words for policy.

    Raises:
        ConfigError: words are given for a function that has its own, or this is no task, or one
            that gives several results.
    """
    labels = tuple(labels)
    if task is None:
        return lambda each: governed(each, resource=resource, operation=operation, labels=labels)
    if not isinstance(task, Task):
        msg = f"@governed stands above @task; {task!r} is no Prefect task"
        raise ConfigError(msg)
    if task.isgenerator:
        msg = f"`{task.name}` gives several results one by one, and cannot be governed"
        raise ConfigError(msg)
    own = tool_of(task.fn)
    words = words_for(task.name, resource, operation, labels, own=own)
    made = task.with_options(retry_condition_fn=_unless_refused(task.retry_condition_fn))
    if made.persist_result is None:
        made.persist_result = True
    made.fn = _made_governed(
        task.fn, task.name if own is None else own.facts.name, None if own is not None else words
    )
    return made


def _made_governed(
    function: Callable[..., Any], name: str, words: Words | None
) -> Callable[..., Any]:
    """The task's function, called as the host's call; `words` where it says nothing itself."""
    signature = inspect.signature(function)
    if inspect.iscoroutinefunction(function):
        described = None if words is None else words.tool(name)

        @wraps(function)
        async def call_async(*args: Any, **named: Any) -> Any:
            with host_call(name, _call_id()):
                if described is None:
                    return await function(*args, **named)

                async def make(decided: dict[str, Any]) -> Any:
                    return await function(**decided)

                return await described(make, **_named(signature, args, named))

        return call_async
    plainly = None if words is None else words.plain_tool(name)

    @wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        with host_call(name, _call_id()):
            if plainly is None:
                return function(*args, **named)
            return plainly(lambda decided: function(**decided), **_named(signature, args, named))

    return call


def _named(
    signature: inspect.Signature, args: tuple[Any, ...], named: dict[str, Any]
) -> dict[str, Any]:
    """The arguments by their names."""
    bound = signature.bind(*args, **named)
    found: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            found.update(value)
        else:
            found[name] = value
    return found


def _call_id() -> str | None:
    context = TaskRunContext.get()
    return None if context is None else str(context.task_run.id)


def _unless_refused(condition: Callable[..., Any] | None) -> Callable[..., Any]:
    """The condition of a retry: never for a refusal, else the task's own."""

    def may_be_retried(task: Any, task_run: Any, state: Any) -> Any:
        if isinstance(state.data, Refusal):
            return False
        return True if condition is None else condition(task, task_run, state)

    return may_be_retried


def governed_flow(
    *, agent: str, runs: AgentRuns | None = None, suspend_for: int | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Opens a run around each run of a flow, whose id it has; stands below ``@flow``.

    Args:
        agent: The agent's id in the register.
        runs: How its runs are opened; None for as the register says.
        suspend_for: Seconds after which Prefect no longer resumes a suspended flow run; None for
            any time.

    Raises (the flow):
        RunStopped: the run was killed.
        ApprovalPending: people have to answer, and the flow run cannot be suspended: Prefect
            suspends those of deployments, and no subflows.
        Refusal: a task's call did not run.
    """
    opening = runs_of(agent, runs)

    def around(function: Callable[P, R]) -> Callable[P, R]:
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def flow_async(*args: P.args, **named: P.kwargs) -> Any:
                try:
                    with opening.open(_flow_run_id()):
                        return await function(*args, **named)
                except ApprovalPending as waits:
                    try:
                        await asuspend_flow_run(timeout=suspend_for, key=_key())
                    except RuntimeError as cannot:
                        waits.add_note(str(cannot))
                    raise

            return cast("Callable[P, R]", flow_async)

        @wraps(function)
        def flow(*args: P.args, **named: P.kwargs) -> R:
            try:
                with opening.open(_flow_run_id()):
                    return function(*args, **named)
            except ApprovalPending as waits:
                try:
                    suspend_flow_run(timeout=suspend_for, key=_key())
                except RuntimeError as cannot:
                    waits.add_note(str(cannot))
                raise

        return flow

    return around


def _flow_run_id() -> str | None:
    context = FlowRunContext.get()
    return None if context is None or context.flow_run is None else str(context.flow_run.id)


def _key() -> str:
    """Of a flow run's suspensions each has its own key: Prefect grants every key once."""
    return f"guardrails-{uuid4()}"


__all__ = ["governed", "governed_flow"]
